//! Clusters and keyspaces for tests.

use crate::replication::KeyspaceReplicas;
use crate::ring::{self, Location, Ring};
use crate::topology::{Node, NodeId, Topology};
use model::error::Consistency;
use model::key::Token;
use model::schema::Replication;
use proptest::prelude::*;
use std::sync::Arc;
use uuid::Uuid;

/// Nodes by data centre and rack; node n, counted from 1, has the token 100 * n, and the first is this one.
pub(crate) fn cluster(nodes: &[(&str, &str)]) -> Topology {
    let node = |(place, (datacenter, rack)): (usize, &(&str, &str))| Node {
        id: NodeId(place as u32 + 1),
        host_id: Uuid::nil(),
        client_address: "127.0.0.1:9042".parse().expect("an address"),
        internode_address: "127.0.0.1:7000".parse().expect("an address"),
        datacenter: (*datacenter).to_owned(),
        rack: (*rack).to_owned(),
        tokens: vec![Token(100 * (place as i64 + 1))],
        alive: true,
    };
    let nodes = nodes.iter().enumerate().map(node).collect();
    Topology::new("c".to_owned(), nodes, NodeId(1))
}

/// A keyspace's replicas in a cluster.
pub(crate) fn placed(topology: &Topology, replication: &Replication) -> KeyspaceReplicas {
    let ring = Ring::new(topology.nodes.iter().map(|node| {
        let location = Location {
            datacenter: node.datacenter.clone(),
            rack: node.rack.clone(),
        };
        (node.id, location, node.tokens.as_slice())
    }));
    let placement = ring.place(&ring::Strategy::of(replication));
    KeyspaceReplicas::new(replication, Arc::new(placement), topology)
}

/// So many replicas.
pub(crate) fn simple(factor: u32) -> Replication {
    replication("SimpleStrategy", &[("replication_factor", factor)])
}

/// So many replicas in each data centre.
pub(crate) fn network(factors: &[(&str, u32)]) -> Replication {
    replication("NetworkTopologyStrategy", factors)
}

fn replication(class: &str, options: &[(&str, u32)]) -> Replication {
    let options = options
        .iter()
        .map(|(name, factor)| ((*name).to_owned(), factor.to_string()));
    Replication {
        class: class.to_owned(),
        options: options.collect(),
    }
}

/// Every level.
pub(crate) const LEVELS: [Consistency; 11] = [
    Consistency::Any,
    Consistency::One,
    Consistency::Two,
    Consistency::Three,
    Consistency::Quorum,
    Consistency::All,
    Consistency::LocalQuorum,
    Consistency::EachQuorum,
    Consistency::Serial,
    Consistency::LocalSerial,
    Consistency::LocalOne,
];

/// A cluster of up to three data centres, a keyspace, and a level: what a property test is about.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub topology: Topology,
    pub keyspace: Replication,
    /// Replicas by data centre; a single one without a name for a keyspace that names none.
    pub factors: Vec<(String, u32)>,
    pub level: Consistency,
}

impl Scene {
    /// Whether answers of these nodes are what the level wants, told from the words of the specification alone.
    pub(crate) fn reached(&self, answered: &[NodeId]) -> bool {
        let datacenter = |node: &NodeId| {
            let mut nodes = self.topology.nodes.iter();
            let node = nodes.find(|known| known.id == *node);
            node.expect("a node of the cluster").datacenter.as_str()
        };
        let all: u32 = self.factors.iter().map(|(_, factor)| factor).sum();
        let here = self.topology.local().datacenter.as_str();
        let by_name = self.keyspace.class == "NetworkTopologyStrategy";
        let answers = answered.len() as u32;
        let answers_in = |name: &str| {
            let there = answered.iter().filter(|node| datacenter(node) == name);
            there.count() as u32
        };
        let factor_here = match self.factors.iter().find(|(name, _)| name == here) {
            Some((_, factor)) => *factor,
            None if by_name => 0,
            None => all,
        };
        match self.level {
            Consistency::Any | Consistency::One => answers >= 1,
            Consistency::Two => answers >= 2,
            Consistency::Three => answers >= 3,
            Consistency::All => answers >= all.max(1),
            Consistency::LocalOne => answers_in(here) >= 1,
            Consistency::LocalQuorum | Consistency::LocalSerial => {
                answers_in(here) > factor_here / 2
            }
            Consistency::EachQuorum if by_name => {
                let mut each = self.factors.iter().filter(|(_, factor)| *factor > 0);
                answers > 0 && each.all(|(name, factor)| answers_in(name) > factor / 2)
            }
            Consistency::Quorum | Consistency::Serial | Consistency::EachQuorum => {
                answers > all / 2
            }
        }
    }
}

/// Any scene; some nodes may be down.
pub(crate) fn scenes() -> impl Strategy<Value = Scene> {
    let nodes = prop::collection::vec((0..3usize, 0..2usize, prop::bool::weighted(0.8)), 1..8);
    let factors = prop::collection::vec(0..4u32, 3);
    (nodes, factors, any::<bool>(), 0..LEVELS.len()).prop_map(|(nodes, factors, by_name, level)| {
        let names = ["dc1", "dc2", "dc3"];
        let racks = ["a", "b"];
        let places: Vec<(&str, &str)> = nodes
            .iter()
            .map(|(datacenter, rack, _)| (names[*datacenter], racks[*rack]))
            .collect();
        let mut topology = cluster(&places);
        for (node, (_, _, alive)) in topology.nodes.iter_mut().zip(&nodes) {
            node.alive = *alive;
        }
        let (keyspace, factors) = if by_name {
            let named: Vec<(&str, u32)> = names.into_iter().zip(factors).collect();
            let owned = named
                .iter()
                .map(|(name, factor)| ((*name).to_owned(), *factor));
            (network(&named), owned.collect())
        } else {
            (simple(factors[0]), vec![(String::new(), factors[0])])
        };
        Scene {
            topology,
            keyspace,
            factors,
            level: LEVELS[level],
        }
    })
}
