//! What is counted, and how it is shown: Prometheus' text, with Cassandra's names where it has one for the same thing.
//!
//! Each shard counts for itself, without contention; a scrape adds up.

use crate::client::Admission;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::fmt;
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

/// Everything that a scrape shows.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
}

#[derive(Debug)]
struct Process {
    shards: Vec<Arc<ShardMetrics>>,
    admission: Arc<Admission>,
}

impl Metrics {
    /// Shows these shards' counts.
    pub fn new(shards: Vec<Arc<ShardMetrics>>, admission: Arc<Admission>) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process { shards, admission }));
        Self { registry }
    }

    /// The page that Prometheus reads.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut gauge = |name: &str, help: &str, value: u64| {
            let gauge = ConstGauge::new(value as i64);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        gauge(
            "cassandra_client_connected_native_clients",
            "Connections of clients",
            self.admission.connections(),
        )?;
        gauge(
            "cassandra_client_requests_size_in_flight_bytes",
            "Bytes of requests without answers",
            self.admission.bytes(),
        )?;
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
            let counter = ConstCounter::new(0_u64);
            let mut family = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            for (index, shard) in self.shards.iter().enumerate() {
                let counter = ConstCounter::new(read(shard));
                counter.encode(family.encode_family(&[("shard", index.to_string())])?)?;
            }
        }
        Ok(())
    }
}
