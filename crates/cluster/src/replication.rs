//! How many replicas a keyspace has, and who they are.
//!
//! The arithmetic is Cassandra's: a quorum is of the factor that was configured, not of the nodes that happen to exist,
//! so a factor of 3 on one node makes QUORUM unavailable and says so.

use crate::ring::{Placement, Strategy};
use crate::topology::Topology;
use model::schema::Replication;
use std::sync::Arc;

/// More than half.
pub fn quorum(factor: u32) -> u32 {
    factor / 2 + 1
}

/// A keyspace's replication in a cluster, worked out once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyspaceReplicas {
    /// The strategy's class, as errors name it.
    pub class: String,
    /// Who has which token; `None` if every node has its own.
    pub placement: Option<Arc<Placement>>,
    /// Replicas configured in all.
    pub factor: u32,
    /// Replicas configured in this node's data centre.
    pub factor_here: u32,
    /// Replicas configured in each data centre that is named, by the number of that; one that nobody is in has the greatest.
    /// `None` if the strategy names none.
    pub by_datacenter: Option<Box<[(u16, u32)]>>,
}

impl KeyspaceReplicas {
    /// A keyspace of this replication, which places replicas so.
    pub(crate) fn new(
        replication: &Replication,
        placement: Arc<Placement>,
        topology: &Topology,
    ) -> Self {
        let mut replicas = Self {
            class: replication.class.clone(),
            placement: Some(placement),
            factor: 1,
            factor_here: 1,
            by_datacenter: None,
        };
        match Strategy::of(replication) {
            Strategy::Local => replicas.placement = None,
            Strategy::Simple(factor) => {
                (replicas.factor, replicas.factor_here) = (factor, factor);
            }
            Strategy::NetworkTopology(factors) => {
                let here = &topology.local().datacenter;
                replicas.factor = factors.values().sum();
                replicas.factor_here = factors.get(here).copied().unwrap_or(0);
                let known = topology.datacenters();
                let number = |name: &String| {
                    let place = known.binary_search(name);
                    place.map_or(u16::MAX, |place| place as u16)
                };
                let factors = factors.iter().filter(|(_, factor)| **factor > 0);
                let numbered = factors.map(|(name, factor)| (number(name), *factor));
                replicas.by_datacenter = Some(numbered.collect());
            }
        }
        replicas
    }
}
