//! What an SSTable knows of its contents: for skipping it in reads, choosing it for compaction, and purging safely.

use model::key::{DecoratedKey, Token};
use model::row::{CellKind, Deletion, NEVER, Row};
use model::track::IdSet;
use model::varint;
use std::collections::BTreeMap;

/// Most bins of the tombstone histogram, as in Cassandra.
const MAX_BINS: usize = 100;
/// Seconds a bin is rounded to before bins are joined.
const BIN_SECONDS: i64 = 60;

/// Counts of tombstones by the second they were made (or expire) at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TombstoneHistogram {
    bins: BTreeMap<i64, u64>,
}

impl TombstoneHistogram {
    fn add(&mut self, seconds: i64, count: u64) {
        let bin = seconds
            .div_euclid(BIN_SECONDS)
            .saturating_add(1)
            .saturating_mul(BIN_SECONDS);
        *self.bins.entry(bin).or_default() += count;
        if self.bins.len() > 2 * MAX_BINS {
            self.join_bins();
        }
    }

    /// Halves the bins by joining neighbours into the later one, so that nothing seems droppable too early.
    fn join_bins(&mut self) {
        let bins: Vec<(i64, u64)> = std::mem::take(&mut self.bins).into_iter().collect();
        for pair in bins.chunks(2) {
            let last = pair[pair.len() - 1].0;
            self.bins.insert(last, pair.iter().map(|bin| bin.1).sum());
        }
    }

    /// Tombstones that were made before a second.
    pub fn before(&self, seconds: i64) -> u64 {
        self.bins.range(..=seconds).map(|bin| bin.1).sum()
    }
}

/// An SSTable's statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// First and last partition.
    pub bounds: Option<(DecoratedKey, DecoratedKey)>,
    /// Partitions.
    pub partitions: u64,
    /// Rows, static rows left out.
    pub rows: u64,
    /// Cells, of static rows too.
    pub cells: u64,
    /// Tombstones of every kind.
    pub tombstones: u64,
    /// Smallest timestamp of anything; `i64::MAX` if there is none.
    pub min_timestamp: i64,
    /// Largest timestamp of anything; `i64::MIN` if there is none.
    pub max_timestamp: i64,
    /// Last second at which anything dies: [`NEVER`] if something lives for ever.
    pub max_local_seconds: i64,
    /// Smallest TTL of an expiring cell or row; 0 if something has none.
    pub min_ttl: u32,
    /// Largest TTL.
    pub max_ttl: u32,
    /// Smallest and largest clustering position of rows and deleted ranges.
    pub clustering: Option<(Vec<u8>, Vec<u8>)>,
    /// When tombstones become droppable, before `gc_grace_seconds` is added.
    pub histogram: TombstoneHistogram,
    /// Uncompressed bytes of data.
    pub raw_bytes: u64,
    /// Bytes of data blocks on disk.
    pub data_bytes: u64,
    /// Level, of leveled compaction.
    pub level: u32,
    /// Wall clock when it was written, in microseconds.
    pub written_at: i64,
    /// Ids of the mutations it holds.
    pub coverage: IdSet,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            bounds: None,
            partitions: 0,
            rows: 0,
            cells: 0,
            tombstones: 0,
            min_timestamp: i64::MAX,
            max_timestamp: i64::MIN,
            max_local_seconds: i64::MIN,
            min_ttl: u32::MAX,
            max_ttl: 0,
            clustering: None,
            histogram: TombstoneHistogram::default(),
            raw_bytes: 0,
            data_bytes: 0,
            level: 0,
            written_at: 0,
            coverage: IdSet::default(),
        }
    }
}

impl Stats {
    /// Notes a partition.
    pub(crate) fn partition(&mut self, token: Token, key: &[u8], deletion: Deletion) {
        self.partitions += 1;
        if self.bounds.is_none() {
            let first = DecoratedKey {
                token,
                key: key.into(),
            };
            self.bounds = Some((first.clone(), first));
        }
        self.deletion(deletion);
    }

    /// Notes which of the partitions was the last.
    pub(crate) fn last_partition(&mut self, token: Token, key: &[u8]) {
        if let Some((_, last)) = &mut self.bounds {
            *last = DecoratedKey {
                token,
                key: key.into(),
            };
        }
    }

    /// Notes a deletion of a partition, range or row.
    pub(crate) fn deletion(&mut self, deletion: Deletion) {
        if !deletion.is_none() {
            self.timestamp(deletion.timestamp);
            self.tombstone(deletion.local_seconds);
        }
    }

    fn timestamp(&mut self, timestamp: i64) {
        self.min_timestamp = self.min_timestamp.min(timestamp);
        self.max_timestamp = self.max_timestamp.max(timestamp);
    }

    fn tombstone(&mut self, seconds: i64) {
        self.tombstones += 1;
        self.histogram.add(seconds, 1);
        self.max_local_seconds = self.max_local_seconds.max(seconds);
    }

    fn lifetime(&mut self, ttl: u32, expires: i64) {
        self.min_ttl = self.min_ttl.min(ttl);
        self.max_ttl = self.max_ttl.max(ttl);
        self.max_local_seconds = self.max_local_seconds.max(expires);
        if expires != NEVER {
            self.histogram.add(expires, 1);
        }
    }

    /// Whether everything is alive, whatever the time is: nothing was deleted, and nothing expires.
    pub(crate) fn is_all_live(&self) -> bool {
        self.tombstones == 0 && self.max_ttl == 0
    }

    /// Notes the contents of a row.
    pub(crate) fn contents(&mut self, row: &[u8]) {
        let Some(row) = Row::parse(row) else {
            return;
        };
        if let Some(liveness) = row.liveness {
            self.timestamp(liveness.timestamp);
            self.lifetime(liveness.ttl, liveness.expires);
        }
        self.deletion(row.deletion);
        for cell in row.cells() {
            self.cells += 1;
            self.timestamp(cell.timestamp);
            match cell.kind {
                CellKind::Live | CellKind::Counter => self.lifetime(0, NEVER),
                CellKind::Expiring { ttl, expires } => self.lifetime(ttl, expires),
                CellKind::Tombstone { deleted_at }
                | CellKind::CollectionDeletion { deleted_at } => {
                    self.tombstone(deleted_at);
                }
            }
        }
    }

    /// Notes clustering positions from `first` to `last`.
    pub(crate) fn positions(&mut self, first: &[u8], last: &[u8]) {
        match &mut self.clustering {
            Some((low, high)) => {
                if first < low.as_slice() {
                    first.clone_into(low);
                }
                if last > high.as_slice() {
                    last.clone_into(high);
                }
            }
            None => self.clustering = Some((first.to_vec(), last.to_vec())),
        }
    }

    /// Share of its cells and rows that are tombstones droppable at a moment, from 0 to 1.
    pub fn droppable_ratio(&self, gc_before: i64) -> f64 {
        let all = self.cells.max(self.rows).max(1);
        self.histogram.before(gc_before) as f64 / all as f64
    }

    /// Appends them.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.bounds.is_some()) | u8::from(self.clustering.is_some()) << 1);
        if let Some((first, last)) = &self.bounds {
            for key in [first, last] {
                out.extend_from_slice(&key.token.0.to_le_bytes());
                varint::put_bytes(out, &key.key);
            }
        }
        if let Some((low, high)) = &self.clustering {
            varint::put_bytes(out, low);
            varint::put_bytes(out, high);
        }
        for count in [
            self.partitions,
            self.rows,
            self.cells,
            self.tombstones,
            u64::from(self.min_ttl),
            u64::from(self.max_ttl),
            self.raw_bytes,
            self.data_bytes,
            u64::from(self.level),
        ] {
            varint::put(out, count);
        }
        for signed in [
            self.min_timestamp,
            self.max_timestamp,
            self.max_local_seconds,
            self.written_at,
        ] {
            varint::put_signed(out, signed);
        }
        varint::put(out, self.histogram.bins.len() as u64);
        for (&bin, &count) in &self.histogram.bins {
            varint::put_signed(out, bin);
            varint::put(out, count);
        }
        self.coverage.encode(out);
    }

    /// Reads what [`Self::encode`] wrote; `None` if it is no such thing.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let input = &mut bytes;
        let flags = varint::take(input, 1)?[0];
        let mut stats = Self::default();
        if flags & 1 != 0 {
            let key = |input: &mut &[u8]| {
                let token = i64::from_le_bytes(varint::take(input, 8)?.try_into().ok()?);
                let key = varint::get_bytes(input)?.into();
                Some(DecoratedKey {
                    token: Token(token),
                    key,
                })
            };
            stats.bounds = Some((key(input)?, key(input)?));
        }
        if flags & 2 != 0 {
            stats.clustering = Some((
                varint::get_bytes(input)?.to_vec(),
                varint::get_bytes(input)?.to_vec(),
            ));
        }
        stats.partitions = varint::get(input)?;
        stats.rows = varint::get(input)?;
        stats.cells = varint::get(input)?;
        stats.tombstones = varint::get(input)?;
        stats.min_ttl = u32::try_from(varint::get(input)?).ok()?;
        stats.max_ttl = u32::try_from(varint::get(input)?).ok()?;
        stats.raw_bytes = varint::get(input)?;
        stats.data_bytes = varint::get(input)?;
        stats.level = u32::try_from(varint::get(input)?).ok()?;
        stats.min_timestamp = varint::get_signed(input)?;
        stats.max_timestamp = varint::get_signed(input)?;
        stats.max_local_seconds = varint::get_signed(input)?;
        stats.written_at = varint::get_signed(input)?;
        for _ in 0..varint::get(input)? {
            let bin = varint::get_signed(input)?;
            stats.histogram.bins.insert(bin, varint::get(input)?);
        }
        stats.coverage = IdSet::decode(input)?;
        input.is_empty().then_some(stats)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::track::{LogId, MutationId};

    #[test]
    fn read_back_as_written() {
        let mut stats = Stats::default();
        let deletion = Deletion {
            timestamp: 5,
            local_seconds: 1_000,
        };
        stats.partition(Token(1), b"a", deletion);
        stats.partition(Token(2), b"b", Deletion::NONE);
        stats.positions(b"k", b"m");
        stats.positions(b"b", b"c");
        stats.coverage.insert(MutationId {
            log: LogId(3),
            sequence: 4,
        });
        let mut bytes = Vec::new();
        stats.encode(&mut bytes);
        assert_eq!(Stats::decode(&bytes), Some(stats.clone()));
        assert_eq!(stats.clustering, Some((b"b".to_vec(), b"m".to_vec())));
        assert_eq!(
            (stats.histogram.before(1_100), stats.histogram.before(900)),
            (1, 0)
        );
        assert_eq!(Stats::decode(&bytes[1..]), None);
    }

    #[test]
    fn histogram_stays_small_and_never_early() {
        let mut histogram = TombstoneHistogram::default();
        (0..10_000).for_each(|index| histogram.add(index * 97, 1));
        assert!(histogram.bins.len() <= 2 * MAX_BINS);
        assert!((0..10_000).all(|index| histogram.before(index * 97) <= index as u64));
        assert_eq!(histogram.before(i64::MAX), 10_000);
    }
}
