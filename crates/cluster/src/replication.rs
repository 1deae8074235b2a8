//! Replication factors of keyspaces.
//!
//! The arithmetic is Cassandra's: a quorum is of the factor that was configured, not of the nodes that happen to exist,
//! so a factor of 3 on one node makes QUORUM unavailable and says so.

use model::schema::Replication;

/// Replicas are placed by data centre and rack.
pub(crate) const NETWORK_TOPOLOGY: &str = "NetworkTopologyStrategy";
/// Replicas are placed by the ring alone.
pub(crate) const SIMPLE: &str = "SimpleStrategy";

/// Replicas configured in one data centre.
pub fn factor_in(replication: &Replication, datacenter: &str) -> u32 {
    match replication.class.as_str() {
        NETWORK_TOPOLOGY => parse(replication.options.get(datacenter)),
        SIMPLE => parse(replication.options.get("replication_factor")),
        _ => 1,
    }
}

/// Replicas configured in all.
pub fn factor(replication: &Replication) -> u32 {
    match replication.class.as_str() {
        NETWORK_TOPOLOGY => factors(replication).map(|(_, factor)| factor).sum(),
        SIMPLE => parse(replication.options.get("replication_factor")),
        _ => 1,
    }
}

/// `3`, or `3/1` with transient replicas, of which the first number counts.
fn parse(option: Option<&String>) -> u32 {
    option
        .and_then(|text| text.split('/').next())
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// More than half.
pub fn quorum(factor: u32) -> u32 {
    factor / 2 + 1
}

/// The data centres that a keyspace names, and the replicas configured in each.
pub fn factors(replication: &Replication) -> impl Iterator<Item = (&str, u32)> {
    replication
        .options
        .iter()
        .filter(|(name, _)| *name != "class")
        .map(|(name, factor)| (name.as_str(), parse(Some(factor))))
}

/// Whether a keyspace names replicas by data centre.
pub fn is_by_datacenter(replication: &Replication) -> bool {
    replication.class == NETWORK_TOPOLOGY
}
