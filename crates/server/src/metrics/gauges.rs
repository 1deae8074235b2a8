//! What is gathered from the shards for a scrape beside their counters: the state of tables, compactions, latencies, members.

use node::execute::admin::{ClusterFacts, ShardFacts};
use node::latency::{Distribution, Measure};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use std::collections::BTreeMap;
use std::fmt;

/// What the shards said for one scrape.
#[derive(Debug, Default)]
pub struct Gathered {
    /// Every shard's.
    pub shards: Vec<ShardFacts>,
    /// Shard 0's; none if it did not say.
    pub cluster: Option<ClusterFacts>,
}

type Labels = Vec<(&'static str, String)>;

/// Values of one name with their labels.
struct Family {
    name: &'static str,
    help: &'static str,
    values: Vec<(Labels, f64)>,
}

const QUANTILES: [(&str, f64); 3] = [("0.5", 0.5), ("0.95", 0.95), ("0.99", 0.99)];
const MICROS_PER_SECOND: f64 = 1e6;

impl Gathered {
    /// Appends all of it to a scrape.
    pub fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        if self.shards.is_empty() {
            return Ok(());
        }
        let mut families = self.latencies();
        families.extend(self.tables());
        families.extend(self.totals());
        families.extend(self.tracking());
        families.extend(self.cluster.iter().flat_map(members));
        for family in families {
            let metric_type = ConstGauge::new(0.0_f64).metric_type();
            let mut encoder =
                encoder.encode_descriptor(family.name, family.help, None, metric_type)?;
            for (labels, value) in family.values {
                ConstGauge::new(value).encode(encoder.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    /// What clients waited for.
    fn latencies(&self) -> Vec<Family> {
        let kinds = [
            (
                "cassandra_client_request_read_latency_seconds",
                Measure::CoordinatorRead,
            ),
            (
                "cassandra_client_request_range_slice_latency_seconds",
                Measure::CoordinatorScan,
            ),
            (
                "cassandra_client_request_write_latency_seconds",
                Measure::CoordinatorWrite,
            ),
        ];
        let families = kinds.into_iter().map(|(name, measure)| {
            let mut sum = Distribution::default();
            let measured = self.shards.iter().flat_map(|shard| shard.measured.values());
            measured.for_each(|measured| sum.add(&measured.of(measure)));
            let values = QUANTILES.iter().map(|(label, part)| {
                let seconds = sum.percentile(*part) / MICROS_PER_SECOND;
                (vec![("quantile", (*label).to_owned())], seconds)
            });
            Family {
                name,
                help: "How long clients waited in the last minutes",
                values: values.collect(),
            }
        });
        families.collect()
    }

    /// Tables that clients made.
    fn tables(&self) -> Vec<Family> {
        type Read = fn(&storage::TableStats) -> u64;
        const FIGURES: [(&str, &str, Read); 3] = [
            (
                "cassandra_table_live_disk_space_used_bytes",
                "Bytes on disk",
                |of| of.disk_bytes,
            ),
            ("cassandra_table_live_ss_table_count", "SSTables", |of| {
                of.sstables as u64
            }),
            (
                "cassandra_table_memtable_live_data_size_bytes",
                "Bytes in memory that are not on disk yet",
                |of| of.memtable_bytes as u64,
            ),
        ];
        let schema = &self.shards[0].schema;
        let tables: Vec<_> = schema.tables().collect();
        let families = FIGURES.iter().map(|(name, help, read)| {
            let values = tables.iter().map(|table| {
                let stats = self.shards.iter().flat_map(|shard| &shard.store.tables);
                let own = stats.filter(|stats| stats.table == table.id);
                let labels = vec![
                    ("keyspace", table.keyspace.clone()),
                    ("table", table.name.clone()),
                ];
                (labels, own.map(read).sum::<u64>() as f64)
            });
            Family {
                name,
                help,
                values: values.collect(),
            }
        });
        families.collect()
    }

    /// What is proved, owed and kept.
    fn tracking(&self) -> Vec<Family> {
        let one = |name, help, value: f64| Family {
            name,
            help,
            values: vec![(Vec::new(), value)],
        };
        let sum = |of: fn(&ShardFacts) -> u64| self.shards.iter().map(of).sum::<u64>() as f64;
        let kept = sum(|shard| shard.journal_bytes.0);
        let budget = sum(|shard| shard.journal_bytes.1);
        let oldest = self.shards.iter().map(|shard| shard.proof.oldest_ms).max();
        vec![
            one(
                "helenus_age_of_proof_seconds",
                "How long ago everything was on all replicas, of the ranges that are worst off",
                oldest.unwrap_or(0) as f64 / 1_000.0,
            ),
            one(
                "helenus_unproved_groups",
                "Sets of replicas that were not proved equal since the start",
                sum(|shard| shard.proof.unproved),
            ),
            one(
                "helenus_owed_ranges",
                "Ranges of mutations that a replica lacks and that are not kept for it",
                sum(|shard| shard.proof.owed_ranges),
            ),
            one(
                "helenus_owed_mutations",
                "Mutations that a replica lacks and that are not kept for it",
                sum(|shard| shard.proof.owed_mutations),
            ),
            one(
                "helenus_journal_bytes",
                "Bytes of commit log that are kept for replicas that lack them",
                kept,
            ),
            one(
                "helenus_journal_budget_ratio",
                "The part of its budget that the journal takes",
                if budget > 0.0 { kept / budget } else { 0.0 },
            ),
            self.debts(),
        ]
    }

    /// What members lack, which falls to nothing as they catch up.
    fn debts(&self) -> Family {
        let mut lacks: BTreeMap<u32, u64> = BTreeMap::new();
        let groups = self.shards.iter().flat_map(|shard| &shard.shown.groups);
        for member in groups.flat_map(|group| &group.of) {
            *lacks.entry(member.node.0).or_default() += member.lacks;
        }
        let members = self.cluster.iter().flat_map(|cluster| &cluster.members);
        let values = members.map(|member| {
            let labels = vec![("peer", member.internode_address.to_string())];
            let lacks = lacks.get(&member.number).copied().unwrap_or(0);
            (labels, lacks as f64)
        });
        Family {
            name: "helenus_lacking_mutations",
            help: "Mutations that a member lacks, as far as this node knows",
            values: values.collect(),
        }
    }

    /// Sums and extremes of the node.
    fn totals(&self) -> Vec<Family> {
        let pending = self.shards.iter().flat_map(|shard| shard.pending.values());
        let stats = || self.shards.iter().flat_map(|shard| &shard.store.tables);
        let hot = self.shards.iter().flat_map(|shard| &shard.shown.hot);
        let hottest = hot.map(|fact| fact.requests as f64 / fact.of as f64);
        let one = |name, help, value: f64| Family {
            name,
            help,
            values: vec![(Vec::new(), value)],
        };
        vec![
            one(
                "cassandra_compaction_pending_tasks",
                "Compactions that are due",
                pending.sum::<u64>() as f64,
            ),
            one(
                "cassandra_storage_load_bytes",
                "Bytes of data on disk",
                stats().map(|of| of.disk_bytes).sum::<u64>() as f64,
            ),
            one(
                "helenus_hot_partition_share",
                "The largest part of a table's requests on a shard that one partition takes",
                hottest.fold(0.0, f64::max),
            ),
            one(
                "cassandra_commit_log_total_size_bytes",
                "Bytes of the commit log",
                self.shards
                    .iter()
                    .map(|shard| shard.store.log_bytes)
                    .sum::<usize>() as f64,
            ),
        ]
    }
}

/// Who answers, and what is wrong between members.
fn members(cluster: &ClusterFacts) -> Vec<Family> {
    const STATES: [&str; 4] = ["HEALTHY", "SUSPECTED", "CONFIRMED", "RECOVERING"];
    let count = |up| {
        cluster
            .members
            .iter()
            .filter(|member| member.up == up)
            .count() as f64
    };
    let judged = cluster.members.iter().filter_map(|member| {
        let state = &member.detector.as_ref()?.state;
        Some((member.internode_address.to_string(), state))
    });
    let states = judged.flat_map(|(peer, now)| {
        STATES.map(|state| {
            let labels = vec![("peer", peer.clone()), ("state", state.to_owned())];
            (labels, f64::from(u8::from(now == state)))
        })
    });
    let value = |labels: Labels, value: f64| (labels, value);
    vec![
        Family {
            name: "helenus_nodes",
            help: "Members, by whether they answer",
            values: vec![
                value(vec![("state", "up".to_owned())], count(true)),
                value(vec![("state", "down".to_owned())], count(false)),
            ],
        },
        Family {
            name: "helenus_peer_state",
            help: "1 for the state the detector has a member in",
            values: states.collect(),
        },
        Family {
            name: "helenus_partitions",
            help: "What is wrong between members, as far as this node can tell",
            values: vec![value(Vec::new(), cluster.verdicts.len() as f64)],
        },
        Family {
            name: "helenus_metadata_leader_known",
            help: "1 while somebody leads the metadata log",
            values: vec![value(
                Vec::new(),
                f64::from(u8::from(cluster.leader.is_some())),
            )],
        },
    ]
}
