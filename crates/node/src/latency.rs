//! How long reads and writes of each table took, and what reads met (`system_views`).
//!
//! Times are those of the shard's turns, which are read anyway: nothing here asks the clock, and what is answered in the
//! turn it came in took no time that could be told. Counts go to buckets a quarter of a power of two wide; once a minute
//! all are halved, so that percentiles are of the last minutes, as Cassandra's are, and counts of everything.

mod distribution;

use crate::system::{LatencyFact, PerReadFact, TableFact};
pub use distribution::Distribution;
use model::schema::TableId;
use model::time::BootNanos;

/// Buckets of values below 2^40: microseconds of twelve days.
const BUCKETS: usize = 156;
const MAX_VALUE: u64 = (1 << 40) - 1;
/// Seconds after which percentiles count half.
const HALVING_S: f64 = 60.0;
/// Seconds of the mean rate, as Cassandra's one-minute rate.
const RATE_S: f64 = 60.0;
/// A rate below this is none.
const LEAST_RATE: f64 = 0.001;

/// What is timed or counted of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// A SELECT of named partitions, as its client waits for it; microseconds.
    CoordinatorRead,
    /// A SELECT of a range.
    CoordinatorScan,
    /// A write.
    CoordinatorWrite,
    /// A read of a partition by this shard's store.
    LocalRead,
    /// A read of a range.
    LocalScan,
    /// A write, until it is durable.
    LocalWrite,
    /// Live rows that a read of the store found.
    Rows,
    /// Tombstones that it met.
    Tombstones,
}

/// Values in buckets.
#[derive(Debug, Clone)]
struct Histogram {
    buckets: [u32; BUCKETS],
    /// All values there ever were.
    count: u64,
    max: u64,
    /// Values a second, lately.
    rate: f64,
    /// `count` when the rate was last computed.
    rated: u64,
}

impl Histogram {
    const EMPTY: Self = Self {
        buckets: [0; BUCKETS],
        count: 0,
        max: 0,
        rate: 0.0,
        rated: 0,
    };

    #[inline]
    fn add(&mut self, value: u64) {
        let value = value.min(MAX_VALUE);
        let bucket = &mut self.buckets[bucket_of(value)];
        *bucket = bucket.saturating_add(1);
        self.count += 1;
        self.max = self.max.max(value);
    }

    fn percentile(&self, part: f64) -> f64 {
        percentile(&self.buckets, self.max, part)
    }

    fn distribution(&self) -> Distribution {
        Distribution::new(&self.buckets, self.max, self.count)
    }

    fn tick(&mut self, seconds: f64) {
        let now = (self.count - self.rated) as f64 / seconds;
        self.rated = self.count;
        self.rate += (1.0 - (-seconds / RATE_S).exp()) * (now - self.rate);
        if self.rate < LEAST_RATE {
            self.rate = 0.0;
        }
    }

    fn halve(&mut self) {
        let mut left = 0;
        for (index, bucket) in self.buckets.iter_mut().enumerate() {
            *bucket /= 2;
            if *bucket > 0 {
                left = last_of(index);
            }
        }
        self.max = self.max.min(left);
    }

    fn latency(&self) -> LatencyFact {
        LatencyFact {
            count: self.count,
            max_ms: self.max as f64 / 1000.0,
            p50_ms: self.percentile(0.5) / 1000.0,
            p99_ms: self.percentile(0.99) / 1000.0,
            per_second: self.rate,
        }
    }

    fn per_read(&self) -> PerReadFact {
        PerReadFact {
            count: self.count,
            max: self.max as f64,
            p50: self.percentile(0.5),
            p99: self.percentile(0.99),
        }
    }
}

/// The largest value of the bucket in which this part of all values is reached, and no more than the largest seen.
fn percentile<C: Copy + Into<u64>>(buckets: &[C], max: u64, part: f64) -> f64 {
    let sum: u64 = buckets.iter().map(|count| (*count).into()).sum();
    let wanted = ((sum as f64 * part).ceil() as u64).max(1);
    let mut seen = 0;
    for (index, count) in buckets.iter().enumerate() {
        seen += (*count).into();
        if seen >= wanted {
            return last_of(index).min(max) as f64;
        }
    }
    0.0
}

/// The bucket of a value: four in every power of two.
fn bucket_of(value: u64) -> usize {
    if value < 4 {
        return value as usize;
    }
    let power = 63 - value.leading_zeros() as usize;
    4 * (power - 1) + (value >> (power - 2)) as usize % 4
}

/// The largest value of a bucket.
fn last_of(bucket: usize) -> u64 {
    if bucket < 4 {
        return bucket as u64;
    }
    let (power, quarter) = (bucket / 4 + 1, bucket as u64 % 4);
    ((5 + quarter) << (power - 2)) - 1
}

const MEASURES: usize = 8;

/// The figures of a shard's tables.
#[derive(Debug, Default)]
pub struct Latencies {
    /// Ascending by table.
    tables: Vec<(TableId, Box<[Histogram; MEASURES]>)>,
    /// Where the table asked for last stands.
    last: usize,
    ticked: Option<BootNanos>,
    /// Seconds since percentiles were halved.
    since_halving: f64,
}

impl Latencies {
    /// Notes a value.
    pub fn note(&mut self, table: TableId, measure: Measure, value: u64) {
        if self
            .tables
            .get(self.last)
            .is_none_or(|(id, _)| *id != table)
        {
            self.last = match self.tables.binary_search_by_key(&table, |(id, _)| *id) {
                Ok(index) => index,
                Err(index) => {
                    let empty = Box::new([Histogram::EMPTY; MEASURES]);
                    self.tables.insert(index, (table, empty));
                    index
                }
            };
        }
        self.tables[self.last].1[measure as usize].add(value);
    }

    /// Notes how long something took that began then.
    pub fn took(&mut self, table: TableId, measure: Measure, began: BootNanos, now: BootNanos) {
        self.note(table, measure, now.since(began) / 1000);
    }

    /// What a part of a table's values is not above; `None` if there are none.
    pub fn percentile(&self, table: TableId, measure: Measure, part: f64) -> Option<f64> {
        let found = self.tables.binary_search_by_key(&table, |(id, _)| *id);
        let histogram = &self.tables[found.ok()?].1[measure as usize];
        (histogram.count > 0).then(|| histogram.percentile(part))
    }

    /// All that was measured, by table and [`Measure`].
    pub fn tables(&self) -> impl Iterator<Item = (TableId, Vec<Distribution>)> {
        let tables = self.tables.iter();
        tables.map(|(id, all)| (*id, all.iter().map(Histogram::distribution).collect()))
    }

    /// Forgets tables there are no more.
    pub fn retain(&mut self, is_live: impl Fn(TableId) -> bool) {
        self.tables.retain(|(id, _)| is_live(*id));
    }

    /// Brings rates up to date, and lets what is old count less. Called about once a second.
    pub fn tick(&mut self, now: BootNanos) {
        let seconds = match self.ticked {
            Some(ticked) => now.since(ticked) as f64 / 1e9,
            None => 0.0,
        };
        if self.ticked.is_some() && seconds < 0.5 {
            return;
        }
        self.ticked = Some(now);
        if seconds == 0.0 {
            return;
        }
        self.since_halving += seconds;
        let halve = self.since_halving >= HALVING_S;
        if halve {
            self.since_halving = 0.0;
        }
        for histogram in self.tables.iter_mut().flat_map(|(_, all)| all.iter_mut()) {
            histogram.tick(seconds);
            if halve {
                histogram.halve();
            }
        }
    }

    /// Fills in what is known of a table.
    pub fn fill(&self, fact: &mut TableFact) {
        let found = self.tables.binary_search_by_key(&fact.table, |(id, _)| *id);
        let Ok(index) = found else { return };
        let of = |measure: Measure| &self.tables[index].1[measure as usize];
        let pair = |coordinator, local| [of(coordinator).latency(), of(local).latency()];
        fact.reads = pair(Measure::CoordinatorRead, Measure::LocalRead);
        fact.scans = pair(Measure::CoordinatorScan, Measure::LocalScan);
        fact.writes = pair(Measure::CoordinatorWrite, Measure::LocalWrite);
        fact.rows_per_read = of(Measure::Rows).per_read();
        fact.tombstones_per_read = of(Measure::Tombstones).per_read();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_the_bucket_that_ends_at_or_above_it() {
        let mut value = 0;
        while value < MAX_VALUE {
            for value in [value, value + 1] {
                let bucket = bucket_of(value);
                assert!(bucket < BUCKETS && value <= last_of(bucket), "{value}");
                assert!(bucket == 0 || value > last_of(bucket - 1), "{value}");
            }
            value += 1 + value / 7;
        }
        assert_eq!(bucket_of(MAX_VALUE), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_of_the_last_minutes_and_counts_of_everything() {
        let table = TableId(uuid::Uuid::from_u128(1));
        let mut latencies = Latencies::default();
        let second = |seconds: u64| BootNanos(seconds * 1_000_000_000);
        latencies.tick(second(1));
        for micros in 1..=1000 {
            latencies.note(table, Measure::LocalRead, micros);
        }
        latencies.took(table, Measure::CoordinatorWrite, second(1), second(3));
        latencies.tick(second(2));
        let mut fact = TableFact::new(table);
        latencies.fill(&mut fact);
        let read = fact.reads[1];
        assert_eq!((read.count, read.max_ms), (1000, 1.0));
        assert!((0.5..0.63).contains(&read.p50_ms), "{}", read.p50_ms);
        assert!((0.99..=1.0).contains(&read.p99_ms), "{}", read.p99_ms);
        assert!(
            (15.0..18.0).contains(&read.per_second),
            "{}",
            read.per_second
        );
        let write = fact.writes[0];
        assert_eq!((write.count, write.max_ms), (1, 2000.0));
        assert_eq!(fact.scans[0], LatencyFact::default());
        for minute in 1..=15 {
            latencies.tick(second(2 + 60 * minute));
        }
        latencies.fill(&mut fact);
        let read = fact.reads[1];
        assert_eq!((read.count, read.max_ms, read.p99_ms), (1000, 0.0, 0.0));
        assert!(read.per_second < 0.01);
        latencies.retain(|_| false);
        latencies.note(table, Measure::Rows, 7);
        latencies.fill(&mut fact);
        assert_eq!((fact.rows_per_read.count, fact.rows_per_read.max), (1, 7.0));
        assert_eq!(fact.reads[1].count, 0);
    }
}
