//! Moments at which operations go on although nothing came for them: one more replica is asked, a ballot is tried again.
//!
//! An operation has at most a few alarms, and takes back those it does not need any more; one that rings for an operation that is
//! gone finds nothing under its number.

use super::operation::Operation;
use crate::effects::Effects;
use crate::latency::Measure;
use crate::shard::Shard;
use model::schema::SpeculativeRetry;
use model::schema::Table;
use model::time::{BootNanos, Now};
use std::collections::BTreeSet;

const NANOS_PER_MS: f64 = 1e6;
/// A replica is given at least this long before it is called slow, in nanoseconds: turns take that long when a shard is busy.
const LEAST_DELAY_NANOS: u64 = 1_000_000;

/// Operations by when they go on.
pub type Alarms = BTreeSet<(BootNanos, u64)>;

impl Shard {
    /// An operation goes on at a moment.
    pub(super) fn set_alarm(&mut self, at: BootNanos, number: u64) {
        self.alarms.insert((at, number));
    }

    /// It does not need to any more.
    pub(super) fn drop_alarm(&mut self, at: BootNanos, number: u64) {
        self.alarms.remove(&(at, number));
    }

    /// When [`Self::ring_alarms`] is due.
    pub(crate) fn next_alarm(&self) -> Option<BootNanos> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// Operations whose moment has come go on.
    pub(crate) fn ring_alarms(&mut self, now: Now, out: &mut Effects) {
        while let Some((at, number)) = self.alarms.pop_first() {
            if at > now.boot {
                self.alarms.insert((at, number));
                return;
            }
            match self.operations.get_mut(number) {
                Some(Operation::Replicas(_)) => self.read_is_slow(number, now, out),
                Some(Operation::Decision(_)) => self.decision_goes_on(number, now, out),
                _ => {}
            }
        }
    }

    /// How long replicas of a table are waited for before one more is asked, in nanoseconds; `None` if none ever is.
    pub(super) fn speculation_delay(&self, table: &Table) -> Option<u64> {
        let percentile = |part: f64| {
            let measure = Measure::CoordinatorRead;
            let micros = self
                .replica
                .latencies
                .percentile(table.id, measure, part / 100.0);
            // As long as nothing is known of the table, half of what its reads may take, as in Cassandra.
            let unknown = self.config.read_timeout_ms as f64 * 500.0;
            micros.unwrap_or(unknown) * 1000.0
        };
        let nanos = match table.options.speculative_retry {
            SpeculativeRetry::Never => return None,
            SpeculativeRetry::Always => return Some(0),
            SpeculativeRetry::Percentile(part) => percentile(part),
            SpeculativeRetry::FixedMillis(millis) => millis * NANOS_PER_MS,
            SpeculativeRetry::Min(part, millis) => percentile(part).min(millis * NANOS_PER_MS),
            SpeculativeRetry::Max(part, millis) => percentile(part).max(millis * NANOS_PER_MS),
        };
        Some((nanos as u64).max(LEAST_DELAY_NANOS))
    }
}
