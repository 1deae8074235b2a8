//! What each replica lacks of what the others sent: read repair.
//!
//! Versions meet as in [`resolve`](super::resolve), but tombstones and all; whoever's version is not what they come to is sent
//! that, whole rows at a time. Merging is idempotent, so too much does no harm; but nothing is sent of what a replica has not spoken
//! of: rows behind the end of its answer are not missing for that.

use super::{End, Merging, Part, PartitionKey, merged, parts};
use model::key::DecoratedKey;
use model::limits::MAX_MUTATION_BYTES;
use model::mutation::{Mutation, PartitionUpdate};
use model::read::{Direction, ReadCommand, ReadResponse, Resume};
use model::row::{Cell, Deletion, Row, RowWriter};
use model::schema::Table;
use model::tombstone::{RangeTombstone, RangeTombstones};
use std::collections::BTreeMap;

/// Bytes of rows, or of ranges, in one mutation, about.
const UPDATE_BYTES: usize = 1 << 20;
/// A row that is longer is cut: until then a replica has it whole or not at all.
const LARGE_ROW_BYTES: usize = MAX_MUTATION_BYTES / 2;
/// Bytes of a range beside its ends, and of a cell beside its value and path, about.
const RANGE_BYTES: usize = 24;
const CELL_BYTES: usize = 24;

/// The mutations that each replica lacks, by its place among the responses.
pub fn lacking(
    command: &ReadCommand,
    table: &Table,
    responses: &[ReadResponse],
) -> Vec<Vec<Mutation>> {
    let merging = Merging {
        command,
        table,
        response: ReadResponse::default(),
        rows_left: command.limits.rows,
        resume: None,
    };
    let answers: Vec<(BTreeMap<PartitionKey<'_>, Part<'_>>, Option<End<'_>>)> = responses
        .iter()
        .map(|response| parts(response, command.now_seconds))
        .collect();
    let ends: Vec<End<'_>> = answers.iter().filter_map(|(_, end)| *end).collect();
    let mut keys: Vec<PartitionKey<'_>> = answers
        .iter()
        .flat_map(|(parts, _)| parts.keys().copied())
        .collect();
    keys.sort_unstable();
    keys.dedup();
    let mut lacking = vec![Vec::new(); responses.len()];
    let nothing = Part::default();
    for key in keys {
        if ends.iter().any(|end| end.partition < key) {
            break;
        }
        let versions: Vec<&Part<'_>> = answers
            .iter()
            .map(|(parts, _)| parts.get(&key).unwrap_or(&nothing))
            .collect();
        let left = merging.left_in(key);
        let horizon = merging.horizon(key, &versions, &ends, left);
        let whole = Whole::of(&merging, &versions, horizon);
        for (own, lacking) in versions.iter().zip(&mut lacking) {
            let updates = whole.lacking(own).into_iter();
            lacking.extend(updates.map(|update| {
                let mut mutation = Mutation::new(DecoratedKey::new(key.1));
                *mutation.update(table.id) = update;
                mutation
            }));
        }
    }
    lacking
}

/// Where a read goes on of which some answers ended at a limit, all of which are without filter; `None` if none did. Up to there
/// [`lacking`] says what each replica lacks.
pub fn ended(command: &ReadCommand, responses: &[ReadResponse]) -> Option<Resume> {
    let answers = responses
        .iter()
        .map(|response| parts(response, command.now_seconds));
    let ends: Vec<(DecoratedKey, Option<Vec<u8>>)> = answers
        .filter_map(|(_, end)| {
            let End { partition, row } = end?;
            let key = DecoratedKey::new(partition.1);
            Some((key, row.map(<[u8]>::to_vec)))
        })
        .collect();
    let first = ends.iter().map(|(key, _)| (key.token, &key.key)).min()?;
    let of_first = ends
        .iter()
        .filter(|(key, _)| (key.token, &key.key) == first);
    let rows = of_first.clone().filter_map(|(_, row)| row.as_deref());
    let row = match command.direction {
        Direction::Forward => rows.min(),
        Direction::Backward => rows.max(),
    };
    let (key, _) = of_first.clone().next()?;
    Some(Resume {
        key: key.clone(),
        clustering: row.map(<[u8]>::to_vec),
        left_in_partition: if row.is_some() { u64::MAX } else { 0 },
        gave_rows: true,
    })
}

/// A partition as all versions together have it, tombstones and all.
struct Whole<'a> {
    deletion: Deletion,
    static_row: Option<Vec<u8>>,
    ranges: RangeTombstones,
    rows: Vec<(&'a [u8], Deletion, Vec<u8>)>,
}

impl<'a> Whole<'a> {
    fn of(merging: &Merging<'_>, versions: &[&Part<'a>], horizon: Option<&[u8]>) -> Self {
        let deletions = versions.iter().filter_map(|part| part.deletion);
        let deletion = deletions.fold(Deletion::NONE, Deletion::max);
        let statics = versions.iter().filter_map(|part| part.static_row);
        let mut ranges = RangeTombstones::default();
        let pieces = versions.iter().flat_map(|part| part.ranges.pieces());
        pieces.for_each(|piece| ranges.add(piece.slice.clone(), piece.deletion));
        let reaches = |row: &[u8]| horizon.is_none_or(|horizon| merging.reaches(horizon, row));
        let mut rows = Vec::new();
        for (key, versions) in merging.rows(versions) {
            if !reaches(key) {
                break;
            }
            let covering = deletion.max(ranges.covering(key));
            if let Some(row) = merged(versions.into_iter(), covering) {
                rows.push((key, covering, row.into_owned()));
            }
        }
        Self {
            deletion,
            static_row: merged(statics, deletion).map(Into::into),
            ranges,
            rows,
        }
    }

    /// What a version lacks, in updates of a bounded size.
    fn lacking(&self, own: &Part<'_>) -> Vec<PartitionUpdate> {
        let mut updates = Updates::default();
        self.put_head_lacking(own, &mut updates);
        let versions: BTreeMap<&[u8], &[u8]> = own.rows.iter().copied().collect();
        for (key, covering, row) in &self.rows {
            let version = merged(versions.get(key).copied().into_iter(), *covering);
            if version.as_deref() == Some(row) {
                continue;
            }
            for piece in pieces(row) {
                let update = updates.with_room(key.len() + piece.len());
                update.add_row(key.to_vec(), piece);
            }
        }
        updates.all
    }

    /// The partition deletion, static row and ranges that a version lacks.
    fn put_head_lacking(&self, own: &Part<'_>, updates: &mut Updates) {
        let own_deletion = own.deletion.unwrap_or(Deletion::NONE);
        if own_deletion.max(self.deletion) != own_deletion {
            updates.with_room(0).delete(self.deletion);
        }
        let own_static = merged(own.static_row.into_iter(), self.deletion);
        if let Some(row) = &self.static_row
            && own_static.as_deref() != Some(row)
        {
            for piece in pieces(row) {
                updates.with_room(piece.len()).add_static(piece);
            }
        }
        for piece in self.ranges.pieces() {
            let covered = self.deletion.covers(piece.deletion.timestamp);
            if !covered && !has(&own.ranges, piece) {
                let slice = &piece.slice;
                let bytes = slice.start.len() + slice.end.len() + RANGE_BYTES;
                let update = updates.with_room(bytes);
                update.ranges.add(slice.clone(), piece.deletion);
            }
        }
    }
}

/// Updates of one partition, none of which is much longer than a mutation should be.
#[derive(Default)]
struct Updates {
    all: Vec<PartitionUpdate>,
    /// Bytes in the last.
    bytes: usize,
}

impl Updates {
    /// One with room for so much more.
    fn with_room(&mut self, bytes: usize) -> &mut PartitionUpdate {
        let is_full = self.bytes > 0 && self.bytes + bytes > UPDATE_BYTES;
        if self.all.is_empty() || is_full {
            self.all.push(PartitionUpdate::default());
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.all.last_mut().expect("one is begun")
    }
}

/// A row as it is, or, if a mutation could not hold it, cut between its cells: many mutations have written it, and many bring it.
fn pieces(row: &[u8]) -> Vec<Vec<u8>> {
    let large = Row::parse(row).filter(|_| row.len() > LARGE_ROW_BYTES);
    let Some(whole) = large else {
        return vec![row.to_vec()];
    };
    let mut pieces = Vec::new();
    let mut cells = whole.cells().peekable();
    let mut is_first = true;
    while is_first || cells.peek().is_some() {
        let mut piece = Vec::new();
        let mut writer = RowWriter::new(&mut piece);
        if std::mem::take(&mut is_first) {
            whole.liveness.iter().for_each(|own| writer.liveness(*own));
            if !whole.deletion.is_none() {
                writer.deletion(whole.deletion);
            }
        }
        let original = whole.original_clustering.iter();
        original.for_each(|bytes| writer.original_clustering(bytes));
        let mut bytes = 0;
        let mut fits = |cell: &Cell<'_>| {
            let length = cell.value.len() + cell.path.map_or(0, <[u8]>::len);
            let fits = bytes == 0 || bytes + length <= UPDATE_BYTES;
            bytes += length + CELL_BYTES;
            fits
        };
        while let Some(cell) = cells.next_if(&mut fits) {
            writer.cell(&cell);
        }
        pieces.push(piece);
    }
    pieces
}

/// Whether ranges delete all of a piece at least as strongly.
fn has(ranges: &RangeTombstones, wanted: &RangeTombstone) -> bool {
    let mut at = wanted.slice.start.as_slice();
    let from = ranges
        .pieces()
        .partition_point(|piece| piece.slice.end.as_slice() <= at);
    for piece in &ranges.pieces()[from..] {
        let weaker = piece.deletion.max(wanted.deletion) != piece.deletion;
        if piece.slice.start.as_slice() > at || weaker {
            return false;
        }
        at = &piece.slice.end;
        if at >= wanted.slice.end.as_slice() {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::clustering::Slice;
    use model::row::{CellKind, ColumnId, Liveness, NEVER};

    /// What comes of the updates that somebody without anything lacks; none may be too long.
    fn together(whole: &Whole<'_>) -> (PartitionUpdate, usize) {
        let updates = whole.lacking(&Part::default());
        let count = updates.len();
        let mut all = PartitionUpdate::default();
        for update in updates {
            let mut mutation = Mutation::new(DecoratedKey::new(vec![1]));
            let table = model::schema::TableId(uuid::Uuid::nil());
            *mutation.update(table) = update.clone();
            assert!(mutation.encode().len() < MAX_MUTATION_BYTES / 2);
            for (key, row) in update.rows() {
                all.add_row(key.clone(), row.clone());
            }
            for piece in update.ranges.pieces() {
                all.ranges.add(piece.slice.clone(), piece.deletion);
            }
        }
        (all, count)
    }

    #[test]
    fn a_row_that_no_mutation_can_hold_is_cut_between_its_cells() {
        let mut row = Vec::new();
        let mut writer = RowWriter::new(&mut row);
        writer.liveness(Liveness {
            timestamp: 5,
            ttl: 0,
            expires: NEVER,
        });
        writer.deletion(Deletion {
            timestamp: 3,
            local_seconds: 9,
        });
        let value = vec![7; 300 << 10];
        for number in 0..80u8 {
            writer.cell(&Cell {
                column: ColumnId(1),
                kind: CellKind::Live,
                timestamp: 5 + i64::from(number % 3),
                path: Some(&[number]),
                original_path: None,
                value: &value,
            });
        }
        assert!(row.len() > MAX_MUTATION_BYTES);
        let whole = Whole {
            deletion: Deletion::NONE,
            static_row: None,
            ranges: RangeTombstones::default(),
            rows: vec![(b"c", Deletion::NONE, row.clone())],
        };
        let (all, count) = together(&whole);
        assert!(count > 20, "{count}");
        assert_eq!(all.rows(), [(b"c".to_vec(), row)]);
    }

    #[test]
    fn more_ranges_than_a_mutation_can_hold_come_in_several() {
        let mut ranges = RangeTombstones::default();
        for number in 0..60_000u32 {
            let slice = Slice {
                start: [&number.to_be_bytes()[..], &[0; 60]].concat(),
                end: [&number.to_be_bytes()[..], &[1; 60]].concat(),
            };
            let deletion = Deletion {
                timestamp: 5,
                local_seconds: 9,
            };
            ranges.add(slice, deletion);
        }
        let whole = Whole {
            deletion: Deletion::NONE,
            static_row: None,
            ranges: ranges.clone(),
            rows: Vec::new(),
        };
        let (all, count) = together(&whole);
        assert!(count > 5, "{count}");
        assert_eq!(all.ranges, ranges);
    }
}
