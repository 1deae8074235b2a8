//! What each replica lacks of what the others sent: read repair.
//!
//! Versions meet as in [`resolve`](super::resolve), but tombstones and all; whoever's version is not what they come to is sent
//! that, whole rows at a time. Merging is idempotent, so too much does no harm; but nothing is sent of what a replica has not spoken
//! of: rows behind the end of its answer are not missing for that.

use super::{End, Merging, Part, PartitionKey, merged, parts};
use model::key::DecoratedKey;
use model::mutation::{Mutation, PartitionUpdate};
use model::read::{Direction, ReadCommand, ReadResponse, Resume};
use model::row::Deletion;
use model::schema::Table;
use model::tombstone::{RangeTombstone, RangeTombstones};
use std::collections::BTreeMap;

/// Bytes of rows in one mutation, about.
const UPDATE_BYTES: usize = 1 << 20;

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
        let mut updates = vec![self.head_lacking(own)];
        let versions: BTreeMap<&[u8], &[u8]> = own.rows.iter().copied().collect();
        let mut bytes = 0;
        for (key, covering, row) in &self.rows {
            let version = merged(versions.get(key).copied().into_iter(), *covering);
            if version.as_deref() == Some(row) {
                continue;
            }
            bytes += key.len() + row.len();
            if bytes > UPDATE_BYTES {
                bytes = 0;
                updates.push(PartitionUpdate::default());
            }
            let update = updates.last_mut().expect("one is begun");
            update.add_row(key.to_vec(), row.clone());
        }
        updates.retain(|update| *update != PartitionUpdate::default());
        updates
    }

    /// The partition deletion, static row and ranges that a version lacks.
    fn head_lacking(&self, own: &Part<'_>) -> PartitionUpdate {
        let mut update = PartitionUpdate::default();
        let own_deletion = own.deletion.unwrap_or(Deletion::NONE);
        if own_deletion.max(self.deletion) != own_deletion {
            update.delete(self.deletion);
        }
        let own_static = merged(own.static_row.into_iter(), self.deletion);
        if let Some(row) = &self.static_row
            && own_static.as_deref() != Some(row)
        {
            update.add_static(row.clone());
        }
        for piece in self.ranges.pieces() {
            let covered = self.deletion.covers(piece.deletion.timestamp);
            if !covered && !has(&own.ranges, piece) {
                update.ranges.add(piece.slice.clone(), piece.deletion);
            }
        }
        update
    }
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
