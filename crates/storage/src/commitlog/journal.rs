//! The log as the journal of what other replicas may lack: which segments are kept for that alone, and where a mutation stands.

use super::Position;
use super::index::SegmentIndex;
use super::log::Log;
use super::record::{Kind, Record, tracked_body};
use crate::held::{Held, Statement};
use model::track::{IdSet, LogId, MutationId};
use std::collections::BTreeMap;

/// What becomes of a segment that is not needed any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retired {
    /// It is one of this log's size and may be used again.
    Recycle,
    /// It is removed.
    Remove,
}

/// A segment that nothing is appended to any more.
#[derive(Debug)]
pub(crate) struct Sealed {
    /// Where it ends.
    pub end: u32,
    /// What its checksums begin with.
    pub salt: u32,
    /// Its ids.
    pub index: SegmentIndex,
    /// What becomes of it.
    pub retired: Retired,
}

/// Where mutations stand that are to be read.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Number of the segment.
    pub segment: u64,
    /// Path of the segment.
    pub path: String,
    /// Offset of the first record.
    pub offset: u32,
    /// Bytes of the records.
    pub length: u32,
    /// What their checksums begin with.
    pub salt: u32,
    /// Those of the ids that were asked for that must be there.
    pub ids: IdSet,
}

impl Place {
    /// The mutations of these ids among the records read there, and where each stands.
    pub(crate) fn mutations(&self, bytes: &[u8]) -> Vec<(MutationId, Position, Vec<u8>)> {
        let (mut found, mut rest) = (Vec::new(), bytes);
        while let Some(record) = Record::read(rest, self.salt) {
            if record.kind == Kind::Tracked
                && let Some((id, mutation)) = tracked_body(record.body)
                && self.ids.contains(id)
            {
                let at = Position {
                    segment: self.segment,
                    offset: self.offset + (bytes.len() - rest.len()) as u32,
                };
                found.push((id, at, mutation.to_vec()));
            }
            rest = rest.get(record.bytes..).unwrap_or_default();
        }
        found
    }
}

/// Bytes of statements in a record.
pub(crate) fn statement_bytes(statements: &[Statement]) -> usize {
    let mut bytes = Vec::new();
    statements
        .iter()
        .for_each(|statement| statement.encode(&mut bytes));
    bytes.len()
}

impl Log {
    /// Takes the ids that became durable since the last call.
    pub(crate) fn take_held(&mut self) -> IdSet {
        std::mem::take(&mut self.held)
    }

    pub(super) fn ends(&self) -> BTreeMap<u64, u32> {
        let sealed = self.sealed.iter();
        sealed
            .map(|(&number, sealed)| (number, sealed.end))
            .collect()
    }

    /// Appends what is to be known of ids. It must fit. A ticket is reported when that is synced, whatever the sync mode.
    pub(crate) fn state(&mut self, statements: &[Statement], ticket: Option<u64>) {
        for statement in statements {
            if let Statement::Held(log, sequences) | Statement::Empty(log, sequences) = statement {
                self.open_batch().ids.insert_all(*log, sequences);
            }
        }
        self.put(Kind::Statement, None, |out| {
            statements
                .iter()
                .for_each(|statement| statement.encode(out));
        });
        if let Some(ticket) = ticket {
            self.awaiting_sync.push_back((self.end(), ticket));
            self.sync_now = true;
        }
    }

    /// Bytes of the segments that are kept for the sake of their ids alone: all wholly below `floor`, where the first segment
    /// begins that memtables need.
    pub(crate) fn journal_bytes(&self, floor: u64) -> u64 {
        let kept = self.sealed.range(..floor).count() as u64;
        kept * u64::from(self.config.segment_bytes)
    }

    /// Segments from that one on.
    pub(crate) fn segments_from(&self, floor: u64) -> usize {
        self.sealed.range(floor..).count() + 1
    }

    /// Number of the first segment there is.
    pub(crate) fn first_segment(&self) -> u64 {
        let sealed = self.sealed.first_key_value();
        sealed.map_or(self.active.number, |(number, _)| *number)
    }

    /// What keeps the oldest segment, if it is below `floor`: its ids that are not released, and of no log that is forgotten.
    pub(crate) fn oldest_unreleased(
        &self,
        floor: u64,
        released: &IdSet,
        held: &Held,
    ) -> Option<IdSet> {
        let (number, sealed) = self.sealed.first_key_value()?;
        (*number < floor).then(|| {
            let mut ids = sealed.index.ids().minus(released);
            let logs: Vec<LogId> = ids.logs().map(|(log, _)| log).collect();
            let forgotten = logs.into_iter().filter(|log| held.is_forgotten(*log));
            forgotten.for_each(|log| ids.forget(log));
            ids
        })
    }

    /// All ids that stand in it.
    pub(crate) fn ids(&self) -> IdSet {
        let mut ids = self.active.index.ids();
        let sealed = self.sealed.values();
        sealed.for_each(|sealed| ids.union(&sealed.index.ids()));
        ids
    }

    /// Where the oldest of these ids stand that are synced; one stretch of one segment.
    pub(crate) fn find(&self, wanted: &IdSet) -> Option<Place> {
        let active = (self.active.number, (self.active.salt, &self.active.index));
        let sealed = self.sealed.iter();
        let segments = sealed.map(|(number, sealed)| (*number, (sealed.salt, &sealed.index)));
        segments
            .chain([active])
            .find_map(|(number, (salt, index))| {
                let below = match number.cmp(&self.synced_to.segment) {
                    std::cmp::Ordering::Less => u32::MAX,
                    std::cmp::Ordering::Equal => self.synced_to.offset,
                    std::cmp::Ordering::Greater => 0,
                };
                let stretch = index.find(wanted, below)?;
                Some(Place {
                    segment: number,
                    path: self.name(number),
                    offset: stretch.from,
                    length: stretch.to - stretch.from,
                    salt,
                    ids: stretch.ids.both(wanted),
                })
            })
    }
}
