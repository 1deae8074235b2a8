//! Reading one row: newest sources first, and no further than needed.
//!
//! Everything in an SSTable is at most as new as its largest timestamp. So when what was found so far is newer in every
//! column that is asked for, and the row is alive by a marker that is newer too, no older SSTable can change the
//! answer; nor can one that a deletion already found covers whole. That holds for live data only: an answer that other
//! replicas' answers are merged with must not depend on how data lies in files.

use super::responder::Responder;
use crate::merge::{Fetch, Flow, Merged, Sink, Stop, View, source};
use model::clustering::Slice;
use model::comparable;
use model::key::DecoratedKey;
use model::read::{Columns, Dead, Direction, Partitions, ReadCommand};
use model::row::{ColumnId, Deletion, Row};
use model::schema::Table;
use model::tombstone::RangeTombstone;

/// What became of the attempt.
#[derive(Debug)]
pub(crate) enum Point {
    /// The answer is complete.
    Answered,
    /// The command is not a read of one row.
    NotOne,
}

/// Answers the command if it is a read of one row of live data.
pub(crate) fn point(
    view: View<'_>,
    responder: &mut Responder<'_>,
    merged: &mut Merged,
    fetch: &mut Fetch<'_>,
) -> Result<Point, Stop> {
    let command = responder.command;
    let (Partitions::Key(key), [slice]) = (&command.partitions, &command.slices[..]) else {
        return Ok(Point::NotOne);
    };
    let simple = command.dead == Dead::Dropped
        && command.resume.is_none()
        && !responder.wants_static()
        && is_prefix(slice);
    if !simple {
        return Ok(Point::NotOne);
    }
    merged.clear();
    let Some((mut deletion, only)) = in_memory(view, key, slice, merged) else {
        return Ok(Point::NotOne);
    };
    let mut tables = view
        .sstables
        .iter()
        .filter(|table| table.may_contain(key.token))
        .peekable();
    if let Some(row) = only {
        if tables.peek().is_none() && deletion.is_none() {
            answer(responder, key, &slice.start, row);
            return Ok(Point::Answered);
        }
        merged.add(row);
    }
    // Newest first; see `TableState::sstables`.
    for table in tables {
        let newest = table.stats.max_timestamp;
        if !deletion.is_none() && deletion.covers(newest)
            || is_settled(responder, merged, deletion, newest)
        {
            break;
        }
        let at = &slice.start;
        let found = source::open(table, key.token, &key.key, at, Direction::Forward, fetch)?;
        let Some(mut source) = found else { continue };
        source.load(at, slice, Direction::Forward, usize::MAX, fetch)?;
        if begins_inside(source.ranges(), slice) {
            return Ok(Point::NotOne);
        }
        deletion = deletion
            .max(source.deletion())
            .max(covering(source.ranges(), at));
        if let Some((clustering, row)) = source.peek() {
            if clustering != slice.start {
                return Ok(Point::NotOne);
            }
            merged.add(row);
        } else if source.bound() < slice.end.as_slice() {
            // The slice goes on in the next block: only a prefix of several rows does.
            return Ok(Point::NotOne);
        }
    }
    if let Some(row) = merged.uncovered(deletion) {
        answer(responder, key, &slice.start, row);
    }
    Ok(Point::Answered)
}

/// What the memtables have: the deletion that covers the row, and the one version there is, as long as there is one
/// only; the others are merged. `None` if the slice is more than one row.
fn in_memory<'a>(
    view: View<'a>,
    key: &DecoratedKey,
    slice: &Slice,
    merged: &mut Merged,
) -> Option<(Deletion, Option<&'a [u8]>)> {
    let mut deletion = Deletion::NONE;
    let mut only: Option<&[u8]> = None;
    for memtable in view.memtables {
        let Some(partition) = memtable.get(key.token, &key.key) else {
            continue;
        };
        deletion = deletion.max(partition.deletion());
        if let Some(ranges) = partition.ranges() {
            if begins_inside(ranges.pieces(), slice) {
                return None;
            }
            deletion = deletion.max(ranges.covering(&slice.start));
        }
        let Some((clustering, row)) = partition.first_row(&slice.start, &slice.end) else {
            continue;
        };
        if clustering != slice.start {
            return None;
        }
        match only.take() {
            None if merged.is_none() => only = Some(row),
            None => merged.add(row),
            Some(other) => {
                merged.add(other);
                merged.add(row);
            }
        }
    }
    Some((deletion, only))
}

/// Puts the row into the answer, if it is alive and passes the filter.
fn answer(responder: &mut Responder<'_>, key: &DecoratedKey, clustering: &[u8], row: &[u8]) {
    let bytes = &mut responder.answer.response.bytes;
    bytes.reserve(key.key.len() + clustering.len() + row.len() + 48);
    if responder.begin(key.token, &key.key, Deletion::NONE, None) == Flow::Continue {
        responder.row(clustering, row);
    }
    responder.end();
    // One row was asked for by name: there are no more.
    responder.answer.response.more = false;
}

/// Whether the slice is all keys with one prefix: of one row, if the prefix is a whole key.
fn is_prefix(slice: &Slice) -> bool {
    slice.end.split_last() == Some((&comparable::ABOVE, &slice.start))
}

/// Whether a deleted range begins behind the first row of the slice: it is more than one row, or may be, and such ranges
/// are counted.
fn begins_inside(ranges: &[RangeTombstone], slice: &Slice) -> bool {
    ranges
        .iter()
        .any(|range| range.slice.start > slice.start && range.slice.start < slice.end)
}

fn covering(ranges: &[RangeTombstone], key: &[u8]) -> Deletion {
    let covers = ranges.iter().find(|range| range.slice.contains(key));
    covers.map_or(Deletion::NONE, |range| range.deletion)
}

/// Whether nothing written up to `newest` can change the answer.
fn is_settled(responder: &Responder<'_>, merged: &Merged, deletion: Deletion, newest: i64) -> bool {
    if merged.is_none() {
        return false;
    }
    let Some(row) = Row::parse(merged.row()) else {
        return false;
    };
    let now = responder.command.now_seconds;
    let marked = row.liveness.is_some_and(|liveness| {
        liveness.is_live(now) && liveness.timestamp > newest && !deletion.covers(liveness.timestamp)
    });
    marked && columns_are_newer(responder.table, responder.command, &row, newest, deletion)
}

fn columns_are_newer(
    table: &Table,
    command: &ReadCommand,
    row: &Row<'_>,
    newest: i64,
    deletion: Deletion,
) -> bool {
    if table.is_counter() {
        // Shares of a counter add up, however old.
        return false;
    }
    let newer = |column: ColumnId| {
        let newer =
            |timestamp| timestamp > newest && (deletion.is_none() || !deletion.covers(timestamp));
        row.cell(column).is_some_and(|cell| newer(cell.timestamp))
    };
    let asked = |column: ColumnId| match &command.columns {
        Columns::All => true,
        Columns::Only(ids) => ids.contains(&column),
    };
    // A filter may look at any column.
    let all = !command.filter.is_empty();
    table
        .regulars()
        .iter()
        .filter(|column| all || asked(column.id))
        .all(|column| !column.ctype.is_multi_cell() && newer(column.id))
}
