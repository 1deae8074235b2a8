//! What a shard counts for each peer, and how it is shown.

use crate::metrics::Count;
use model::limits::MAX_INTERNODE_CONNECTIONS;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What one shard counts of one peer. One thread counts, others read.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct PeerMetrics {
    /// Connections that were opened, by either side.
    pub opened: Count,
    /// Of those, the ones that have ended.
    pub ended: Count,
    /// Of those this node opened, the ones that took the place of one before.
    pub reconnects: Count,
    pub sent_bytes: Count,
    pub sent_messages: Count,
    pub received_bytes: Count,
    pub received_messages: Count,
    /// Messages that were not taken, or were taken and could not be sent.
    pub dropped_messages: Count,
    pub dropped_bytes: Count,
    /// Bytes that wait to be sent now.
    pub waiting_bytes: Gauge,
}

/// A number that goes up and down, of one thread.
#[derive(Debug, Default)]
pub struct Gauge(std::sync::atomic::AtomicU64);

impl Gauge {
    /// It was `before` for one of its parts, and is `after`.
    pub fn change(&self, before: u64, after: u64) {
        use std::sync::atomic::Ordering::Relaxed;
        let value = self.0.load(Relaxed) + after - before;
        self.0.store(value, Relaxed);
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// Every peer's metrics of one shard.
#[derive(Debug, Default)]
pub struct PeerBook(Mutex<BTreeMap<SocketAddr, Arc<PeerMetrics>>>);

impl PeerBook {
    /// Those of this peer. Where there are too many peers, the rest share one.
    pub fn of(&self, peer: SocketAddr) -> Arc<PeerMetrics> {
        let mut peers = self.lock();
        let full = peers.len() >= MAX_INTERNODE_CONNECTIONS && !peers.contains_key(&peer);
        let rest = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        peers
            .entry(if full { rest } else { peer })
            .or_default()
            .clone()
    }

    /// Every peer's.
    pub fn all(&self) -> Vec<(SocketAddr, Arc<PeerMetrics>)> {
        let peers = self.lock();
        peers
            .iter()
            .map(|(peer, metrics)| (*peer, metrics.clone()))
            .collect()
    }

    /// The peer is no more.
    pub(super) fn remove(&self, peer: SocketAddr) {
        self.lock().remove(&peer);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Arc<PeerMetrics>>> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows the peers of all shards to a scrape.
#[derive(Debug, Clone)]
pub struct PeerCollector(pub Vec<Arc<PeerBook>>);

type Read = fn(&PeerMetrics) -> u64;

const COUNTERS: [(&str, &str, Read); 7] = [
    (
        "helenus_internode_reconnects",
        "Connections to a peer that took the place of one before",
        |peer| peer.reconnects.get(),
    ),
    (
        "helenus_internode_sent_bytes",
        "Bytes sent to a peer",
        |peer| peer.sent_bytes.get(),
    ),
    (
        "helenus_internode_sent_messages",
        "Messages sent to a peer",
        |peer| peer.sent_messages.get(),
    ),
    (
        "helenus_internode_received_bytes",
        "Bytes received from a peer",
        |peer| peer.received_bytes.get(),
    ),
    (
        "helenus_internode_received_messages",
        "Messages received from a peer",
        |peer| peer.received_messages.get(),
    ),
    (
        "helenus_internode_dropped_messages",
        "Messages to a peer that were dropped",
        |peer| peer.dropped_messages.get(),
    ),
    (
        "helenus_internode_dropped_bytes",
        "Bytes of messages to a peer that were dropped",
        |peer| peer.dropped_bytes.get(),
    ),
];

const GAUGES: [(&str, &str, Read); 2] = [
    (
        "helenus_internode_connections",
        "Connections with a peer, in both directions",
        |peer| peer.opened.get().saturating_sub(peer.ended.get()),
    ),
    (
        "helenus_internode_waiting_bytes",
        "Bytes that wait to be sent to a peer",
        |peer| peer.waiting_bytes.get(),
    ),
];

impl Collector for PeerCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let books: Vec<_> = self.0.iter().map(|book| book.all()).collect();
        let peers = || {
            let shards = books.iter().enumerate();
            shards.flat_map(|(shard, book)| {
                book.iter().map(move |(peer, metrics)| {
                    (
                        [("shard", shard.to_string()), ("peer", peer.to_string())],
                        metrics,
                    )
                })
            })
        };
        for (name, help, read) in COUNTERS {
            let metric_type = ConstCounter::new(0_u64).metric_type();
            let mut family = encoder.encode_descriptor(name, help, None, metric_type)?;
            for (labels, metrics) in peers() {
                ConstCounter::new(read(metrics)).encode(family.encode_family(&labels)?)?;
            }
        }
        for (name, help, read) in GAUGES {
            let metric_type = ConstGauge::new(0_i64).metric_type();
            let mut family = encoder.encode_descriptor(name, help, None, metric_type)?;
            for (labels, metrics) in peers() {
                let value = read(metrics) as i64;
                ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::registry::Registry;

    #[test]
    fn a_scrape_shows_every_peer_of_every_shard() {
        let books = [Arc::new(PeerBook::default()), Arc::new(PeerBook::default())];
        let peer = "10.0.0.2:7000".parse().unwrap();
        books[1].of(peer).sent_messages.add(3);
        books[1].of(peer).opened.add(2);
        books[1].of(peer).ended.add(1);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(PeerCollector(books.to_vec())));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "helenus_internode_sent_messages_total{shard=\"1\",peer=\"10.0.0.2:7000\"} 3",
            "helenus_internode_connections{shard=\"1\",peer=\"10.0.0.2:7000\"} 1",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\nin {text}");
        }
    }
}
