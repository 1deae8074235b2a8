//! Replication factors, and how many replicas a consistency level waits for.
//!
//! The arithmetic is Cassandra's: a quorum is of the factor that was configured, not of the nodes that happen to exist,
//! so a factor of 3 on one node makes QUORUM unavailable and says so.

use crate::topology::Topology;
use model::error::Consistency;
use model::schema::Replication;

/// Replicas configured in one data centre.
pub fn factor_in(replication: &Replication, datacenter: &str) -> u32 {
    match replication.class.as_str() {
        "NetworkTopologyStrategy" => parse(replication.options.get(datacenter)),
        "SimpleStrategy" => parse(replication.options.get("replication_factor")),
        _ => 1,
    }
}

/// Replicas configured in all.
pub fn factor(replication: &Replication) -> u32 {
    match replication.class.as_str() {
        "NetworkTopologyStrategy" => replication
            .options
            .iter()
            .filter(|(name, _)| *name != "class")
            .map(|(_, factor)| parse(Some(factor)))
            .sum(),
        "SimpleStrategy" => parse(replication.options.get("replication_factor")),
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

fn quorum(factor: u32) -> u32 {
    factor / 2 + 1
}

/// How many replicas must answer at a level.
pub fn required(consistency: Consistency, replication: &Replication, topology: &Topology) -> u32 {
    let local = factor_in(replication, &topology.local().datacenter);
    match consistency {
        Consistency::Any | Consistency::One | Consistency::LocalOne => 1,
        Consistency::Two => 2,
        Consistency::Three => 3,
        Consistency::Quorum | Consistency::Serial => quorum(factor(replication)),
        Consistency::All => factor(replication),
        Consistency::LocalQuorum | Consistency::LocalSerial => quorum(local),
        Consistency::EachQuorum if replication.class == "NetworkTopologyStrategy" => replication
            .options
            .iter()
            .filter(|(name, _)| *name != "class")
            .map(|(_, factor)| quorum(parse(Some(factor))))
            .sum(),
        Consistency::EachQuorum => quorum(factor(replication)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{Node, NodeId};

    fn topology() -> Topology {
        let node = Node {
            id: NodeId(1),
            host_id: uuid::Uuid::nil(),
            client_address: "127.0.0.1:9042".parse().expect("an address"),
            datacenter: "dc1".into(),
            rack: "r1".into(),
            tokens: Vec::new(),
            alive: true,
        };
        Topology {
            cluster_name: "c".into(),
            nodes: vec![node],
            local: NodeId(1),
        }
    }

    #[test]
    fn levels_count_configured_replicas() {
        let options = [
            ("dc1".to_owned(), "3".to_owned()),
            ("dc2".to_owned(), "2".to_owned()),
        ]
        .into();
        let replication = Replication {
            class: "NetworkTopologyStrategy".into(),
            options,
        };
        for (level, wanted) in [
            (Consistency::Any, 1),
            (Consistency::LocalOne, 1),
            (Consistency::Three, 3),
            (Consistency::Quorum, 3),
            (Consistency::LocalQuorum, 2),
            (Consistency::EachQuorum, 4),
            (Consistency::All, 5),
        ] {
            assert_eq!(
                required(level, &replication, &topology()),
                wanted,
                "{level}"
            );
        }
    }
}
