//! What a shard does and counts, as the admin API shows it: added up over the shards by whoever asked.

use crate::latency::{Distribution, Measure};
use crate::metrics::ShardMetrics;
use crate::shard::Shard;
use crate::system::NodeFacts;
use crate::track::handoff::HandoffSettings;
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
    /// Bytes of its commit log that are kept for other members alone, and how many may be.
    pub journal_bytes: (u64, u64),
    /// What groups whose home it is are proved, and what is owed.
    pub proof: ProofFacts,
    /// What is kept for members that lack it, and how fast it is sent.
    pub handoff: HandoffSettings,
    /// The part of all requests that it traces unasked.
    pub trace_probability: f64,
}

/// What groups are proved, and what is owed to their members.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProofFacts {
    /// How long ago all members of the group that is worst off held everything, in milliseconds; of groups that were proved once.
    pub oldest_ms: u64,
    /// Groups of which that was not proved since the start.
    pub unproved: u64,
    /// Entries of the ledger: a member, and a log of which it lacks something that is not kept for it.
    pub owed_ranges: u64,
    /// Mutations of those.
    pub owed_mutations: u64,
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
    fn proof_facts(&self, now: Now) -> ProofFacts {
        let groups = self.group_facts(now.boot);
        let ages = groups
            .iter()
            .filter_map(|group| group.proved_age_ms(now.boot));
        let owed = self.replica.store.held().owed.values();
        ProofFacts {
            oldest_ms: ages.max().unwrap_or(0),
            unproved: groups.iter().filter(|group| group.proved.is_none()).count() as u64,
            owed_ranges: owed.clone().map(|ids| ids.logs().count() as u64).sum(),
            owed_mutations: owed.map(model::track::IdSet::count).sum(),
        }
    }

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
            journal_bytes: (
                self.replica.store.journal_bytes(),
                self.config.journal_bytes_per_shard,
            ),
            proof: self.proof_facts(now),
            handoff: self.handoff_settings().clone(),
            trace_probability: self.trace_probability,
        }
    }
}
