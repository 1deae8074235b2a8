//! Which partitions take the most of a shard's reads and writes: heavy hitters by the space-saving algorithm (Metwally, Agrawal,
//! El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data Streams", 2005).
//!
//! One request in [`SAMPLED`] is counted, so that the others cost an increment. A partition that takes more than 1 in
//! [`ENTRIES`] of them is certainly among the entries; of each it is known how much too high its count may be. Once a
//! minute everything is halved, so that the shares are of the last minutes.

use model::murmur;
use model::schema::TableId;
use model::time::BootNanos;
use std::collections::BTreeMap;

/// Partitions that are counted at a time.
const ENTRIES: usize = 128;
/// One request of so many is counted.
const SAMPLED: u32 = 16;
/// When counts are halved, in nanoseconds.
const HALVING_NANOS: u64 = 60_000_000_000;
/// Longest key that is kept; a longer one is shown by its beginning.
const MAX_KEY_BYTES: usize = 256;

/// What is done to a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// It is read.
    Read,
    /// It is written.
    Write,
}

impl Access {
    /// For tools and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// A partition that takes many requests.
#[derive(Debug, Clone, PartialEq)]
pub struct HotFact {
    /// Its table.
    pub table: TableId,
    /// What is done to it.
    pub access: Access,
    /// Its key; the beginning of a long one.
    pub key: Box<[u8]>,
    /// Requests in the last minutes, estimated.
    pub requests: u64,
    /// By how many that may be too high.
    pub error: u64,
    /// Requests of all the table's partitions in the last minutes, of the same kind, estimated.
    pub of: u64,
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    table: TableId,
    access: Access,
    key: Box<[u8]>,
    count: u64,
    error: u64,
}

/// The partitions of a shard that take the most requests.
#[derive(Debug, Default)]
pub struct HotPartitions {
    entries: Vec<Entry>,
    totals: BTreeMap<(TableId, Access), u64>,
    skipped: u32,
    halved_at: Option<BootNanos>,
}

impl HotPartitions {
    /// Whether this request is one that is counted.
    #[inline]
    pub fn is_due(&mut self) -> bool {
        self.skipped += 1;
        if self.skipped < SAMPLED {
            return false;
        }
        self.skipped = 0;
        true
    }

    /// Counts a request, of those that [`Self::is_due`] picks.
    pub fn note(&mut self, table: TableId, access: Access, key: &[u8]) {
        *self.totals.entry((table, access)).or_default() += 1;
        let hash = murmur::hash(key) as u64;
        let key = &key[..key.len().min(MAX_KEY_BYTES)];
        let known = self.entries.iter_mut().find(|entry| {
            entry.hash == hash
                && entry.access == access
                && entry.table == table
                && *entry.key == *key
        });
        if let Some(entry) = known {
            entry.count += 1;
            return;
        }
        let mut fresh = Entry {
            hash,
            table,
            access,
            key: key.into(),
            count: 1,
            error: 0,
        };
        if self.entries.len() < ENTRIES {
            return self.entries.push(fresh);
        }
        if let Some(least) = self.entries.iter_mut().min_by_key(|entry| entry.count) {
            fresh.count += least.count;
            fresh.error = least.count;
            *least = fresh;
        }
    }

    /// Lets what is old count less. Called about once a second.
    pub fn tick(&mut self, now: BootNanos) {
        let since = *self.halved_at.get_or_insert(now);
        if now.since(since) < HALVING_NANOS {
            return;
        }
        self.halved_at = Some(now);
        for entry in &mut self.entries {
            entry.count /= 2;
            entry.error /= 2;
        }
        self.entries.retain(|entry| entry.count > 0);
        for total in self.totals.values_mut() {
            *total /= 2;
        }
        self.totals.retain(|_, total| *total > 0);
    }

    /// What is known, of partitions that certainly take more than one request in a hundred of their table's.
    pub fn facts(&self) -> Vec<HotFact> {
        let facts = self.entries.iter().filter_map(|entry| {
            let of = *self.totals.get(&(entry.table, entry.access))?;
            ((entry.count - entry.error) * 100 >= of && entry.count > entry.error).then(|| {
                HotFact {
                    table: entry.table,
                    access: entry.access,
                    key: entry.key.clone(),
                    requests: entry.count * u64::from(SAMPLED),
                    error: entry.error * u64::from(SAMPLED),
                    of: of * u64::from(SAMPLED),
                }
            })
        });
        facts.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const TABLE: TableId = TableId(uuid::Uuid::from_u128(1));

    proptest! {
        #[test]
        fn what_takes_much_is_found_and_its_count_is_bounded(keys in prop::collection::vec(0u32..400, 0..6_000)) {
            let mut hot = HotPartitions::default();
            let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
            for key in &keys {
                // A third is of one key.
                let key = if key % 3 == 0 { 0 } else { *key };
                hot.note(TABLE, Access::Write, &key.to_be_bytes());
                *counts.entry(key).or_default() += 1;
            }
            let all = keys.len() as u64;
            for (key, count) in &counts {
                let entry = hot.entries.iter().find(|entry| *entry.key == key.to_be_bytes());
                match entry {
                    Some(entry) => prop_assert!(entry.count >= *count && entry.count - entry.error <= *count),
                    None => prop_assert!(*count <= all / ENTRIES as u64),
                }
            }
        }
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let mut hot = HotPartitions::default();
        hot.tick(BootNanos(1));
        for _ in 0..64 {
            hot.note(TABLE, Access::Read, b"k");
        }
        let fact = &hot.facts()[0];
        assert_eq!((fact.requests, fact.error, fact.of), (1024, 0, 1024));
        for minute in 1..=7 {
            hot.tick(BootNanos(1 + minute * HALVING_NANOS));
        }
        assert_eq!(hot.facts(), []);
        assert!(hot.entries.is_empty() && hot.totals.is_empty());
    }

    #[test]
    fn one_request_of_sixteen_is_counted() {
        let mut hot = HotPartitions::default();
        assert_eq!((0..160).filter(|_| hot.is_due()).count(), 10);
    }
}
