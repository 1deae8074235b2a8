//! Reading one row: newest sources first, and no further than needed.
//!
//! Everything in an SSTable is at most as new as its largest timestamp. So when what was found so far is newer in every
//! column that is asked for, and the row is alive by a marker that is newer too, no older SSTable can change the
//! answer; nor can one that a deletion already found covers whole. That holds for live data only: an answer that other
//! replicas' answers are merged with must not depend on how data lies in files.

use super::responder::Responder;
use crate::merge::{BlockCursor, Fetch, Flow, Merged, Sink, Source, Stop, View};
use crate::sstable::SsTable;
use crate::sstable::block::{Block, Span};
use crate::sstable::index::Spot;
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
pub(crate) fn point<'a>(
    view: View<'a>,
    responder: &mut Responder<'_>,
    merged: &mut Merged,
    fetch: &mut Fetch<'a>,
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
    let mut versions = Versions::new(merged);
    let Some(mut deletion) = in_memory(view, key, slice, &mut versions) else {
        return Ok(Point::NotOne);
    };
    let tables = view.sstables.iter();
    // Newest first; see `TableState::sstables`.
    for table in tables.filter(|table| table.may_contain(key.token)) {
        let newest = table.stats.max_timestamp;
        if !deletion.is_none() && deletion.covers(newest)
            || versions
                .row()
                .is_some_and(|row| is_settled(responder, row, deletion, newest))
        {
            break;
        }
        match on_disk(table, key, slice, &mut versions, fetch)? {
            Look::Nothing => {}
            Look::One(found) => deletion = deletion.max(found),
            Look::Several => return Ok(Point::NotOne),
        }
    }
    let known = if deletion.is_none() && versions.is_all_live() {
        Known::AllLive
    } else {
        Known::Nothing
    };
    if let Some(row) = versions.uncovered(deletion) {
        answer(responder, key, &slice.start, row, known);
    }
    Ok(Point::Answered)
}

/// The versions of the row found so far. As long as there is one only it stays where it is: nearly every row has one
/// version, and is copied once, into the answer.
struct Versions<'a, 'm> {
    only: Option<Version<'a>>,
    /// All of them, once there are two.
    merged: &'m mut Merged,
}

/// A version where it lies.
enum Version<'a> {
    Memory(&'a [u8]),
    Disk(BlockCursor<'a>, Span),
}

impl Version<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Memory(row) => row,
            Self::Disk(cursor, span) => span.of(cursor.bytes()),
        }
    }
}

impl<'a, 'm> Versions<'a, 'm> {
    fn new(merged: &'m mut Merged) -> Self {
        merged.clear();
        Self { only: None, merged }
    }

    fn add(&mut self, version: Version<'a>) {
        if self.only.is_none() && self.merged.is_none() {
            self.only = Some(version);
        } else {
            self.merge(version.bytes());
        }
    }

    /// Adds a version that cannot stay where it is.
    fn merge(&mut self, version: &[u8]) {
        if let Some(first) = self.only.take() {
            self.merged.add(first.bytes());
        }
        self.merged.add(version);
    }

    /// Whether there is one version, of which everything is alive, whatever the time is.
    fn is_all_live(&self) -> bool {
        match &self.only {
            Some(Version::Disk(cursor, _)) => cursor.is_all_live(),
            Some(Version::Memory(_)) | None => false,
        }
    }

    /// The versions merged, so far.
    fn row(&self) -> Option<&[u8]> {
        match &self.only {
            Some(version) => Some(version.bytes()),
            None => (!self.merged.is_none()).then(|| self.merged.row()),
        }
    }

    /// The merged row without what a deletion covers; `None` if nothing is left.
    fn uncovered(&mut self, deletion: Deletion) -> Option<&[u8]> {
        if deletion.is_none() {
            return self.row();
        }
        if let Some(only) = self.only.take() {
            self.merged.add(only.bytes());
        }
        self.merged.uncovered(deletion)
    }
}

/// What a source has of the row.
enum Look {
    Nothing,
    /// One row at most, and what deletes it there.
    One(Deletion),
    /// The slice is more than one row.
    Several,
}

/// What is known of the row without a look at its cells.
#[derive(Debug, Clone, Copy)]
enum Known {
    AllLive,
    Nothing,
}

/// Adds what the memtables have; returns the deletion that covers the row there. `None` if the slice is more than one row.
fn in_memory<'a>(
    view: View<'a>,
    key: &DecoratedKey,
    slice: &Slice,
    versions: &mut Versions<'a, '_>,
) -> Option<Deletion> {
    let mut deletion = Deletion::NONE;
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
        versions.add(Version::Memory(row));
    }
    Some(deletion)
}

/// Adds what an SSTable has.
fn on_disk<'a>(
    table: &'a SsTable,
    key: &DecoratedKey,
    slice: &Slice,
    versions: &mut Versions<'a, '_>,
    fetch: &mut Fetch<'a>,
) -> Result<Look, Stop> {
    let at = &slice.start;
    let spot = Spot {
        token: key.token,
        key: &key.key,
        clustering: Some(at),
    };
    let Some(cursor) = BlockCursor::seek(table, &spot, false, fetch)? else {
        return Ok(Look::Nothing);
    };
    let Some(segment) = cursor.find(key.token, &key.key)? else {
        return Ok(Look::Nothing);
    };
    let block = Block(cursor.bytes());
    if !block.covers(&segment, slice) || Block::has_ranges(&segment) {
        return in_chunk(Source::disk(cursor, segment), slice, versions, fetch);
    }
    let first = block.first_row(&segment, at, &slice.end);
    if let Some(row) = first.ok_or_else(|| cursor.malformed())? {
        if row.key.of(block.0) != at.as_slice() {
            return Ok(Look::Several);
        }
        versions.add(Version::Disk(cursor, row.row));
    }
    Ok(Look::One(segment.deletion))
}

/// The same where a partition is wider than a block, or has deleted ranges.
fn in_chunk<'a>(
    mut source: Source<'a>,
    slice: &Slice,
    versions: &mut Versions<'a, '_>,
    fetch: &mut Fetch<'a>,
) -> Result<Look, Stop> {
    let at = &slice.start;
    source.load(at, slice, Direction::Forward, usize::MAX, fetch)?;
    if begins_inside(source.ranges(), slice) {
        return Ok(Look::Several);
    }
    if let Some((clustering, row)) = source.peek() {
        if clustering != at.as_slice() {
            return Ok(Look::Several);
        }
        versions.merge(row);
    } else if source.bound() < slice.end.as_slice() {
        // The slice goes on in the next block: only a prefix of several rows does.
        return Ok(Look::Several);
    }
    Ok(Look::One(
        source.deletion().max(covering(source.ranges(), at)),
    ))
}

/// Puts the row into the answer, if it is alive and passes the filter.
fn answer(
    responder: &mut Responder<'_>,
    key: &DecoratedKey,
    clustering: &[u8],
    row: &[u8],
    known: Known,
) {
    let bytes = &mut responder.answer.response.bytes;
    bytes.reserve(key.key.len() + clustering.len() + row.len() + 48);
    if responder.begin(key.token, &key.key, Deletion::NONE, None) == Flow::Continue {
        match known {
            Known::AllLive => responder.live_row(clustering, row),
            Known::Nothing => responder.row(clustering, row),
        };
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
fn is_settled(responder: &Responder<'_>, row: &[u8], deletion: Deletion, newest: i64) -> bool {
    let Some(row) = Row::parse(row) else {
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
