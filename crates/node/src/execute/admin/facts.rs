//! What a shard does and counts, as the admin API shows it: added up over the shards by whoever asked.

use crate::latency::{Distribution, Measure};
use crate::metrics::ShardMetrics;
use crate::shard::Shard;
use crate::system::NodeFacts;
use model::schema::{Schema, TableId};
use model::time::Now;
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::StoreStats;

/// A shard at a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardFacts {
    /// The schema in force, which gives tables their names.
    pub schema: Arc<Schema>,
    /// What system tables show of it.
    pub shown: NodeFacts,
    /// Its store.
    pub store: StoreStats,
    /// What it counts.
    pub counts: ShardMetrics,
    /// How long what was asked of each table took, and what reads met.
    pub measured: BTreeMap<TableId, Measured>,
    /// Compactions that are due, by table.
    pub pending: BTreeMap<TableId, u64>,
    /// The part of all requests that it traces unasked.
    pub trace_probability: f64,
}

/// Distributions of a table, by what is measured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured(Vec<Distribution>);

impl Measured {
    /// What was measured; empty if nothing was.
    pub fn of(&self, measure: Measure) -> Distribution {
        let found = self.0.get(measure as usize);
        found.cloned().unwrap_or_default()
    }
}

impl Shard {
    pub(super) fn shard_facts(&mut self, now: Now) -> ShardFacts {
        self.replica.latencies.tick(now.boot);
        let measured = self.replica.latencies.tables();
        let measured = measured.map(|(table, distributions)| (table, Measured(distributions)));
        ShardFacts {
            schema: self.schema.clone(),
            shown: self.collect_facts(),
            store: self.replica.store.stats(),
            counts: self.metrics.clone(),
            measured: measured.collect(),
            pending: self.replica.store.pending_compactions(now),
            trace_probability: self.trace_probability,
        }
    }
}
