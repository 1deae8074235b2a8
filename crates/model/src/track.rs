//! Identity of mutations: which log an id belongs to, and sets of ids.
//!
//! An id is (log, sequence); a log is what one origin shard coordinates for one range in one epoch. A node whose
//! keyspaces have one replica assigns none, so an absent id costs a byte. SSTable statistics carry the set of ids they
//! cover; purging and proof are computed from it (DESIGN section 6).

mod intervals;

use crate::varint;
pub use intervals::Intervals;
use std::collections::BTreeMap;

/// A log of ids: the origin's number in the upper 20 bits, 22 bits for its boot, 22 for the log's number within that. So no two
/// are alike, for boots are counted durably before anything else of a start, and whoever meets an id knows whose it is. A shard
/// opens one for each group of nodes it writes to: 22 bits are 65,536 groups in one boot of a node with 64 shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub u64);

/// Bits of a log's number within a boot.
const NUMBER_BITS: u32 = 22;
/// Bits of a boot.
const BOOT_BITS: u32 = 22;

impl LogId {
    /// A log of a node; `None` where the node, its boot or the number of its logs is beyond what an id can name.
    pub fn new(node: u32, boot: u32, number: u32) -> Option<Self> {
        let fits = node >> (u64::BITS - BOOT_BITS - NUMBER_BITS) == 0
            && boot >> BOOT_BITS == 0
            && number >> NUMBER_BITS == 0;
        let upper = u64::from(node) << BOOT_BITS | u64::from(boot);
        fits.then_some(Self(upper << NUMBER_BITS | u64::from(number)))
    }

    /// The origin's number.
    pub fn node(self) -> u32 {
        (self.0 >> (BOOT_BITS + NUMBER_BITS)) as u32
    }

    /// The origin's boot.
    pub fn boot(self) -> u32 {
        (self.0 >> NUMBER_BITS) as u32 & ((1 << BOOT_BITS) - 1)
    }
}

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

    /// Adds these of a log.
    pub fn insert_all(&mut self, log: LogId, sequences: &Intervals) {
        if !sequences.is_empty() {
            self.logs.entry(log).or_default().union(sequences);
        }
    }

    /// Takes all of a log out.
    pub fn forget(&mut self, log: LogId) {
        self.logs.remove(&log);
    }

    /// Its logs, with what it has of each.
    pub fn logs(&self) -> impl Iterator<Item = (LogId, &Intervals)> + '_ {
        self.logs.iter().map(|(log, sequences)| (*log, sequences))
    }

    /// What it has of a log.
    pub fn of(&self, log: LogId) -> Option<&Intervals> {
        self.logs.get(&log)
    }

    /// How many ids, or `u64::MAX` if that many or more.
    pub fn count(&self) -> u64 {
        let counts = self.logs.values().map(Intervals::count);
        counts.fold(0, u64::saturating_add)
    }

    /// Those that are not in `other`.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let left = self.logs.iter().map(|(log, sequences)| {
            let taken = other.logs.get(log);
            let left = taken.map_or_else(|| sequences.clone(), |taken| sequences.minus(taken));
            (*log, left)
        });
        let logs = left.filter(|(_, left)| !left.is_empty()).collect();
        Self { logs }
    }

    /// Those that are in both.
    #[must_use]
    pub fn both(&self, other: &Self) -> Self {
        let mut both = Self::default();
        for (log, sequences) in &self.logs {
            if let Some(others) = other.logs.get(log) {
                both.insert_all(*log, &sequences.both(others));
            }
        }
        both
    }

    /// Whether all of `other` are in it.
    pub fn covers(&self, other: &Self) -> bool {
        let mut logs = other.logs.iter();
        logs.all(|(log, sequences)| {
            let own = self.logs.get(log);
            sequences.is_empty() || own.is_some_and(|own| own.covers(sequences))
        })
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

    #[test]
    fn a_log_names_its_origin_and_boot() {
        let log = LogId::new(0xf_ffff, 0x3f_fffe, 0x3f_ffff).unwrap();
        assert_eq!((log.node(), log.boot()), (0xf_ffff, 0x3f_fffe));
        assert_ne!(LogId::new(1, 2, 3), LogId::new(1, 3, 2));
        assert_eq!(LogId::new(1 << 20, 0, 0), None);
        assert_eq!(LogId::new(0, 1 << 22, 0), None);
        assert_eq!(LogId::new(0, 0, 1 << 22), None);
    }

    type Pairs = BTreeSet<(u64, u64)>;

    fn set_of(pairs: &Pairs) -> IdSet {
        let mut set = IdSet::default();
        for &(log, sequence) in pairs {
            set.insert(MutationId {
                log: LogId(log),
                sequence,
            });
        }
        set
    }

    proptest! {
        #[test]
        fn sets_are_compared_as_sets_are(
            one in proptest::collection::btree_set((0u64..3, 1u64..20), 0..40),
            other in proptest::collection::btree_set((0u64..3, 1u64..20), 0..40),
        ) {
            let (a, b) = (set_of(&one), set_of(&other));
            prop_assert_eq!(a.minus(&b), set_of(&one.difference(&other).copied().collect()));
            prop_assert_eq!(a.both(&b), set_of(&one.intersection(&other).copied().collect()));
            prop_assert_eq!(a.covers(&b), other.is_subset(&one));
            prop_assert_eq!(a.count(), one.len() as u64);
        }

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
