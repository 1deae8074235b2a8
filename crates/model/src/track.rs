//! Identity of mutations: which log an id belongs to, and sets of ids.
//!
//! An id is (log, sequence); a log is what one origin shard coordinates for one range in one epoch. A node whose
//! keyspaces have one replica assigns none, so an absent id costs a byte. SSTable statistics carry the set of ids they
//! cover; purging and proof are computed from it (DESIGN section 6).

mod intervals;

use crate::varint;
pub use intervals::Intervals;
use std::collections::BTreeMap;

/// A log of ids: the node number in the upper 32 bits, its counter in the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub u64);

/// The identity of one mutation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MutationId {
    /// The log it was assigned in.
    pub log: LogId,
    /// Its place in the log, from 1.
    pub sequence: u64,
}

/// A set of ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdSet {
    logs: BTreeMap<LogId, Intervals>,
}

impl IdSet {
    /// Whether the set holds nothing.
    pub fn is_empty(&self) -> bool {
        self.logs.is_empty()
    }

    /// Adds one id; constant time when ids arrive in order.
    pub fn insert(&mut self, id: MutationId) {
        self.insert_interval(id.log, id.sequence, id.sequence);
    }

    /// Adds every id from `first` to `last`.
    pub fn insert_interval(&mut self, log: LogId, first: u64, last: u64) {
        self.logs.entry(log).or_default().insert(first, last);
    }

    /// Whether the set holds `id`.
    pub fn contains(&self, id: MutationId) -> bool {
        self.logs
            .get(&id.log)
            .is_some_and(|intervals| intervals.contains(id.sequence))
    }

    /// Adds all of `other`.
    pub fn union(&mut self, other: &Self) {
        for (log, intervals) in &other.logs {
            self.logs.entry(*log).or_default().union(intervals);
        }
    }

    /// The intervals, by log.
    pub fn intervals(&self) -> impl Iterator<Item = (LogId, u64, u64)> + '_ {
        let logs = self.logs.iter();
        logs.flat_map(|(&log, intervals)| {
            intervals
                .iter()
                .map(move |(first, last)| (log, first, last))
        })
    }

    /// Appends the set: count of logs, then each with its intervals.
    pub fn encode(&self, out: &mut Vec<u8>) {
        varint::put(out, self.logs.len() as u64);
        for (log, intervals) in &self.logs {
            varint::put(out, log.0);
            intervals.encode(out);
        }
    }

    /// Reads what [`Self::encode`] wrote; `None` if it is cut or not in order.
    pub fn decode(input: &mut &[u8]) -> Option<Self> {
        let mut set = Self::default();
        for _ in 0..varint::get(input)? {
            let log = LogId(varint::get(input)?);
            let intervals = Intervals::decode(input)?;
            set.logs.entry(log).or_default().union(&intervals);
        }
        Some(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_as_a_set(ids in proptest::collection::vec((0u64..3, 0u64..40), 0..60)) {
            let mut set = IdSet::default();
            let mut model = BTreeSet::new();
            for &(log, sequence) in &ids {
                set.insert(MutationId { log: LogId(log), sequence });
                model.insert((log, sequence));
            }
            for log in 0..3 {
                for sequence in 0..41 {
                    let id = MutationId { log: LogId(log), sequence };
                    prop_assert_eq!(set.contains(id), model.contains(&(log, sequence)));
                }
            }
            let mut bytes = Vec::new();
            set.encode(&mut bytes);
            prop_assert_eq!(IdSet::decode(&mut bytes.as_slice()), Some(set));
        }
    }
}
