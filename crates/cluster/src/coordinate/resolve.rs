//! Answers of several replicas to one read become one: versions merged, what is dead left out, limits applied again.
//!
//! Replicas answer with their tombstones ([`Dead::Kept`]) and without the statement's filter, so that nothing an old
//! version would let through, or hide, decides before the versions have met. What must stay true:
//! - a row is in the answer only if no replica could still send something that covers it: where a replica's answer ended at a limit,
//!   the merged one ends too, and [`Resolved::resume`] says where to go on (short-read protection);
//! - counting (limits, rows of static columns alone) is the replica's own: of what is alive at the command's now.
//!
//! [`Dead::Kept`]: model::read::Dead::Kept

use model::clustering::{self, Slice};
use model::key::{self, DecoratedKey, Token};
use model::merge;
use model::read::{Direction, ReadCommand, ReadEntry, ReadResponse, Resume};
use model::row::{Deletion, Row};
use model::schema::Table;
use model::tombstone::RangeTombstones;
use std::borrow::Cow;
use std::collections::BTreeMap;

mod repair;
#[cfg(test)]
mod tests;

pub use repair::{ended, lacking};

/// What the answers come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Live rows, as one replica that had everything would have answered.
    pub response: ReadResponse,
    /// Where to go on, if there may be more; with `response.rows` below the limit it has to be, before the page is whole.
    pub resume: Option<Resume>,
}

/// A partition as one replica has it.
#[derive(Debug, Default)]
struct Part<'a> {
    deletion: Option<Deletion>,
    static_row: Option<&'a [u8]>,
    ranges: RangeTombstones,
    /// In the order of the read.
    rows: Vec<(&'a [u8], &'a [u8])>,
}

type PartitionKey<'a> = (Token, &'a [u8]);

/// Where a replica's answer ended although it may have more: its last partition, and the last row of that, if it has one.
#[derive(Debug, Clone, Copy)]
struct End<'a> {
    partition: PartitionKey<'a>,
    row: Option<&'a [u8]>,
}

/// A replica's answer, taken apart.
fn parts(
    response: &ReadResponse,
    now_seconds: i64,
) -> (BTreeMap<PartitionKey<'_>, Part<'_>>, Option<End<'_>>) {
    let mut parts: BTreeMap<PartitionKey<'_>, Part<'_>> = BTreeMap::new();
    let mut at: Option<PartitionKey<'_>> = None;
    for entry in response.entries() {
        if let ReadEntry::Partition {
            token,
            key,
            deletion,
        } = entry
        {
            at = Some((token, key));
            parts.entry((token, key)).or_default().deletion = Some(deletion);
            continue;
        }
        let Some(part) = at.and_then(|at| parts.get_mut(&at)) else {
            continue;
        };
        match entry {
            ReadEntry::Static(row) => part.static_row = Some(row),
            ReadEntry::Row { clustering, row } => part.rows.push((clustering, row)),
            ReadEntry::Range {
                start,
                end,
                deletion,
            } => {
                let slice = Slice {
                    start: start.to_vec(),
                    end: end.to_vec(),
                };
                part.ranges.add(slice, deletion);
            }
            ReadEntry::Partition { .. } => {}
        }
    }
    let live = |row: &[u8]| Row::parse(row).is_some_and(|row| row.is_live(now_seconds));
    let live_rows = |part: &Part<'_>| part.rows.iter().filter(|(_, row)| live(row)).count();
    let end = at.filter(|_| response.more).map(|partition| {
        let last = &parts[&partition];
        // One that is counted for its static row alone has been read to its end.
        let is_over = live_rows(last) == 0 && last.static_row.is_some_and(live) && {
            let others = parts.iter().filter(|(key, _)| **key != partition);
            let counted = others.map(|(_, part)| match live_rows(part) {
                0 => usize::from(part.static_row.is_some_and(live)),
                rows => rows,
            });
            response.rows > counted.sum::<usize>() as u64
        };
        let row = last.rows.last().map(|(clustering, _)| *clustering);
        End {
            partition,
            row: row.filter(|_| !is_over),
        }
    });
    (parts, end)
}

/// Merges the answers of replicas to `command`, whose filter and limits are the statement's.
pub fn resolve(command: &ReadCommand, table: &Table, responses: &[ReadResponse]) -> Resolved {
    let mut merging = Merging {
        command,
        table,
        response: ReadResponse::default(),
        rows_left: command.limits.rows,
        resume: None,
    };
    let answers: Vec<_> = responses
        .iter()
        .map(|response| parts(response, command.now_seconds))
        .collect();
    let ends: Vec<End<'_>> = answers.iter().filter_map(|(_, end)| *end).collect();
    let mut partitions: BTreeMap<PartitionKey<'_>, Vec<&Part<'_>>> = BTreeMap::new();
    for (key, part) in answers.iter().flat_map(|(parts, _)| parts) {
        partitions.entry(*key).or_default().push(part);
    }
    for (key, parts) in &partitions {
        let beyond = ends.iter().any(|end| end.partition < *key);
        if beyond || !merging.partition(*key, parts, &ends) {
            break;
        }
    }
    merging.response.more = merging.resume.is_some() || !ends.is_empty();
    if merging.resume.is_none()
        && let Some(end) = ends.iter().min_by_key(|end| end.partition)
    {
        // All up to the first end was taken, the partition it is in as a whole: what it has there is in its answer.
        merging.resume = Some(Resume {
            key: DecoratedKey::new(end.partition.1),
            clustering: None,
            left_in_partition: 0,
            gave_rows: true,
        });
    }
    let tombstones = responses.iter().map(|response| response.tombstones);
    merging.response.tombstones = tombstones.max().unwrap_or(0);
    Resolved {
        response: merging.response,
        resume: merging.resume,
    }
}

struct Merging<'a> {
    command: &'a ReadCommand,
    table: &'a Table,
    response: ReadResponse,
    rows_left: u64,
    resume: Option<Resume>,
}

impl Merging<'_> {
    /// Whether a row is at or before a position, in the order of the read.
    fn reaches(&self, position: &[u8], row: &[u8]) -> bool {
        match self.command.direction {
            Direction::Forward => row <= position,
            Direction::Backward => row >= position,
        }
    }

    /// Where an earlier answer ended, if it was within this partition.
    fn resumed(&self, key: PartitionKey<'_>) -> Option<&Resume> {
        self.command.resume.as_ref().filter(|resume| {
            resume.clustering.is_some() && (resume.key.token, &*resume.key.key) == key
        })
    }

    /// Rows that a partition may still give.
    fn left_in(&self, key: PartitionKey<'_>) -> u64 {
        match self.resumed(key) {
            Some(resume) => resume.left_in_partition,
            None => self.command.limits.per_partition,
        }
    }

    /// The row that the read may go up to in a partition; `None` if to its end. A replica has said nothing of what lies behind
    /// the end of its answer, nor of what lies behind as many rows as may be had of one partition.
    fn horizon<'b>(
        &self,
        key: PartitionKey<'_>,
        parts: &[&Part<'b>],
        ends: &[End<'b>],
        left: u64,
    ) -> Option<&'b [u8]> {
        let ended = ends.iter().filter(|end| end.partition == key);
        let ended = ended.filter_map(|end| end.row);
        let full = parts.iter().filter_map(|part| {
            let live = part.rows.iter().filter(|(_, row)| self.is_live(row));
            let last = part.rows.last().map(|(clustering, _)| *clustering);
            last.filter(|_| live.count() as u64 >= left)
        });
        let rows = ended.chain(full);
        match self.command.direction {
            Direction::Forward => rows.min(),
            Direction::Backward => rows.max(),
        }
    }

    /// Takes a partition in; returns whether to go on with the next.
    fn partition(&mut self, key: PartitionKey<'_>, parts: &[&Part<'_>], ends: &[End<'_>]) -> bool {
        let deletions = parts.iter().filter_map(|part| part.deletion);
        let deletion = deletions.fold(Deletion::NONE, Deletion::max);
        let statics = parts.iter().filter_map(|part| part.static_row);
        let static_row = merged(statics, deletion);
        let mut left = self.left_in(key);
        if !self.accepts_partition(key.1, static_row.as_deref()) {
            return true;
        }
        let live_static = static_row.filter(|row| self.is_live(row));
        let live_static = live_static.map(|row| self.live(&row));
        let mut head = Head {
            key,
            static_row: live_static,
            written: false,
        };
        let mut ranges = RangeTombstones::default();
        let pieces = parts.iter().flat_map(|part| part.ranges.pieces());
        pieces.for_each(|piece| ranges.add(piece.slice.clone(), piece.deletion));
        let horizon = self.horizon(key, parts, ends, left);
        let mut gave_rows = self.resumed(key).is_some_and(|resume| resume.gave_rows);
        for (row_key, versions) in self.rows(parts) {
            if horizon.is_some_and(|horizon| !self.reaches(horizon, row_key)) {
                break;
            }
            if left == 0 {
                break;
            }
            let covering = deletion.max(ranges.covering(row_key));
            let Some(row) = merged(versions.into_iter(), covering) else {
                continue;
            };
            if !self.is_live(&row) || !self.accepts_row(row_key, &row) {
                continue;
            }
            head.write(&mut self.response);
            let live = self.live(&row);
            self.response.put_row(row_key, &live);
            self.response.rows += 1;
            gave_rows = true;
            left -= 1;
            self.rows_left -= 1;
            let full = self.response.bytes.len() >= self.command.limits.bytes;
            if self.rows_left == 0 || full {
                return self.stop(key, Some(row_key), (left, true));
            }
        }
        if let Some(horizon) = horizon
            && left > 0
        {
            // Some replica has more of it than it sent: what follows could still be covered by that.
            return self.stop(key, Some(horizon), (left, gave_rows));
        }
        let static_counts = self.command.static_counts
            && !gave_rows
            && head.static_row.is_some()
            && !self.command.filter.looks_at_rows();
        if static_counts {
            head.write(&mut self.response);
            self.response.rows += 1;
            self.rows_left -= 1;
            if self.rows_left == 0 {
                return self.stop(key, None, (0, true));
            }
        }
        true
    }

    /// The page, or what can be told of it, ends here.
    fn stop(
        &mut self,
        key: PartitionKey<'_>,
        row: Option<&[u8]>,
        (left, gave_rows): (u64, bool),
    ) -> bool {
        self.resume = Some(Resume {
            key: DecoratedKey::new(key.1),
            clustering: row.filter(|_| left > 0).map(<[u8]>::to_vec),
            left_in_partition: left,
            gave_rows,
        });
        false
    }

    /// All versions of each row, in the order of the read.
    fn rows<'b>(&self, parts: &[&Part<'b>]) -> Vec<(&'b [u8], Vec<&'b [u8]>)> {
        let mut rows: BTreeMap<&[u8], Vec<&[u8]>> = BTreeMap::new();
        for (clustering, row) in parts.iter().flat_map(|part| &part.rows) {
            rows.entry(clustering).or_default().push(row);
        }
        match self.command.direction {
            Direction::Forward => rows.into_iter().collect(),
            Direction::Backward => rows.into_iter().rev().collect(),
        }
    }

    fn is_live(&self, row: &[u8]) -> bool {
        Row::parse(row).is_some_and(|row| row.is_live(self.command.now_seconds))
    }

    /// What is live of a row, of the columns that were asked for.
    fn live(&self, row: &[u8]) -> Vec<u8> {
        let mut live = Vec::with_capacity(row.len());
        if let Some(row) = Row::parse(row) {
            let command = self.command;
            row.put_live(command.now_seconds, |_| true, &command.columns, &mut live);
        }
        live
    }

    fn accepts_partition(&self, key: &[u8], static_row: Option<&[u8]>) -> bool {
        let filter = &self.command.filter;
        if filter.is_empty() {
            return true;
        }
        let components = key::split(key, self.table.partition_key().len()).unwrap_or_default();
        let row = static_row.and_then(Row::parse);
        filter.accepts_partition(&components, row.as_ref(), self.command.now_seconds)
    }

    fn accepts_row(&self, clustering: &[u8], row: &[u8]) -> bool {
        let filter = &self.command.filter;
        if filter.is_empty() {
            return true;
        }
        let Some(row) = Row::parse(row) else {
            return false;
        };
        let values = if !filter.looks_at_clustering() {
            Vec::new()
        } else if let Some(original) = row.original_clustering {
            let split = key::split(original, self.table.clustering_key().len());
            let split = split.unwrap_or_default().into_iter();
            split.map(<[u8]>::to_vec).collect()
        } else {
            clustering::decode(self.table, clustering).unwrap_or_default()
        };
        filter.accepts_row(&values, &row, self.command.now_seconds)
    }
}

/// What stands before the rows of a partition, written with the first of them.
struct Head<'a> {
    key: PartitionKey<'a>,
    static_row: Option<Vec<u8>>,
    written: bool,
}

impl Head<'_> {
    fn write(&mut self, response: &mut ReadResponse) {
        if std::mem::replace(&mut self.written, true) {
            return;
        }
        let (token, key) = self.key;
        response.put_partition(token, key, Deletion::NONE);
        if let Some(row) = &self.static_row {
            response.put_static(row);
        }
    }
}

/// Versions of a row as one, without what a deletion covers; `None` if nothing is left.
fn merged<'a>(
    mut versions: impl Iterator<Item = &'a [u8]>,
    deletion: Deletion,
) -> Option<Cow<'a, [u8]>> {
    let mut row = Cow::Borrowed(versions.next()?);
    for version in versions {
        let mut both = Vec::with_capacity(row.len() + version.len());
        merge::rows(&row, version, &mut both);
        row = Cow::Owned(both);
    }
    if deletion.is_none() {
        return Some(row);
    }
    let mut left = Vec::with_capacity(row.len());
    merge::uncovered(&row, deletion, &mut left).then_some(Cow::Owned(left))
}
