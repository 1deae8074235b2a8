//! What is counted, and how it is shown: Prometheus' text, with Cassandra's names where it has one for the same thing.
//!
//! Each shard counts for itself, without contention; a scrape adds up.

mod gauges;

use crate::client::Admission;
use crate::internode::{PeerCollector, PeerMetrics};
pub use gauges::Gathered;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A counter that one thread counts up and others read.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Counts up. Only the owning thread does.
    pub fn add(&self, more: u64) {
        // A plain load and store: there is one writer.
        self.0
            .store(self.0.load(Ordering::Relaxed) + more, Ordering::Relaxed);
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one shard counts.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct ShardMetrics {
    pub requests: Count,
    pub overloaded: Count,
    pub bytes_received: Count,
    pub shard_messages: Count,
    pub turns: Count,
}

/// Names that Cassandra has for what a shard counts; what is not here is shown as `helenus_…`.
const CASSANDRA_NAMES: [(&str, &str); 13] = [
    ("reads", "cassandra_client_request_read"),
    ("range_reads", "cassandra_client_request_range_slice"),
    ("writes", "cassandra_client_request_write"),
    ("conditional_writes", "cassandra_client_request_cas_write"),
    ("counter_writes", "cassandra_client_request_counter_write"),
    ("timeouts", "cassandra_client_request_timeouts"),
    ("unavailable", "cassandra_client_request_unavailables"),
    ("failures", "cassandra_client_request_failures"),
    (
        "prepared_executed",
        "cassandra_cql_prepared_statements_executed",
    ),
    (
        "regular_executed",
        "cassandra_cql_regular_statements_executed",
    ),
    ("dropped_reads", "cassandra_dropped_message_read"),
    ("replica_reads", "cassandra_table_read"),
    ("replica_writes", "cassandra_table_write"),
];

/// What a shard's state machine counts, by name.
pub type Counters = Vec<(&'static str, u64)>;

/// Everything that a scrape shows.
#[derive(Debug, Clone)]
pub struct Metrics {
    shards: Vec<Arc<ShardMetrics>>,
    admission: Arc<Admission>,
    peers: PeerCollector,
}

impl Metrics {
    /// Shows these shards' counts.
    pub fn new(
        shards: Vec<Arc<ShardMetrics>>,
        admission: Arc<Admission>,
        peers: PeerCollector,
    ) -> Self {
        Self {
            shards,
            admission,
            peers,
        }
    }

    /// What each shard counts of each peer.
    pub fn peers(&self) -> Vec<(SocketAddr, Arc<PeerMetrics>)> {
        let books = self.peers.0.iter();
        books.flat_map(|book| book.all()).collect()
    }

    /// The page that Prometheus reads, with what the shards' state machines count and show.
    pub fn text(&self, counters: Vec<Counters>, gathered: Gathered) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Scrape {
            metrics: self.clone(),
            counters,
            gathered,
        }));
        registry.register_collector(Box::new(self.peers.clone()));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

/// The counts of one moment.
#[derive(Debug)]
struct Scrape {
    metrics: Metrics,
    counters: Vec<Counters>,
    gathered: Gathered,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let admission = &self.metrics.admission;
        let gauges = [
            (
                "cassandra_client_connected_native_clients",
                "Connections of clients",
                admission.connections(),
            ),
            (
                "cassandra_client_requests_size_in_flight_bytes",
                "Bytes of requests without answers",
                admission.bytes(),
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value as i64);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        type Read = fn(&ShardMetrics) -> u64;
        let counters: [(&str, &str, Read); 5] = [
            (
                "cassandra_client_requests",
                "Requests of clients",
                |shard| shard.requests.get(),
            ),
            (
                "cassandra_client_overloaded",
                "Requests refused as too many",
                |shard| shard.overloaded.get(),
            ),
            (
                "cassandra_client_bytes_received",
                "Bytes of requests",
                |shard| shard.bytes_received.get(),
            ),
            (
                "helenus_shard_messages",
                "Messages to other shards",
                |shard| shard.shard_messages.get(),
            ),
            (
                "helenus_shard_turns",
                "Turns of the shards' loops",
                |shard| shard.turns.get(),
            ),
        ];
        for (name, help, read) in counters {
            encode_by_shard(
                &mut encoder,
                name,
                help,
                self.metrics.shards.iter().map(|shard| read(shard)),
            )?;
        }
        self.encode_counters(&mut encoder)?;
        self.gathered.encode(&mut encoder)
    }
}

impl Scrape {
    /// What the shards' state machines count.
    fn encode_counters(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(first) = self.counters.first() else {
            return Ok(());
        };
        for (index, (name, _)) in first.iter().enumerate() {
            let known = CASSANDRA_NAMES.iter().find(|(ours, _)| ours == name);
            let shown = known.map_or_else(
                || format!("helenus_{name}"),
                |(_, theirs)| (*theirs).to_owned(),
            );
            let values = self
                .counters
                .iter()
                .map(|counters| counters.get(index).map_or(0, |(_, value)| *value));
            encode_by_shard(encoder, &shown, &name.replace('_', " "), values)?;
        }
        Ok(())
    }
}

fn encode_by_shard(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = u64>,
) -> Result<(), fmt::Error> {
    let metric_type = ConstCounter::new(0_u64).metric_type();
    let mut family = encoder.encode_descriptor(name, help, None, metric_type)?;
    for (shard, value) in values.enumerate() {
        let labels = [("shard", shard.to_string())];
        ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
