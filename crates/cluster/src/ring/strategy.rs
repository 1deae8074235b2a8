//! Replication strategies, which pick the replicas of an arc as Cassandra's do: drivers compute the same from the schema and
//! the tokens, and route by it.

use super::{Location, Ring};
use crate::topology::NodeId;
use model::schema::Replication;
use std::collections::{BTreeMap, BTreeSet};

/// How the replicas of an arc are picked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strategy {
    /// Every member has its own: system tables.
    Local,
    /// So many members, one after the other on the ring, wherever they stand.
    Simple(u32),
    /// So many in each of these data centres, on different racks as far as there are any.
    NetworkTopology(BTreeMap<String, u32>),
}

impl Strategy {
    /// A keyspace's strategy. Options that are no factors were refused when the keyspace was made.
    pub fn of(replication: &Replication) -> Self {
        let factor = |text: &String| {
            // `3/1`: three, one of them transient, which is not offered.
            let full = text.split('/').next().unwrap_or_default();
            full.trim().parse().unwrap_or(0)
        };
        let options = &replication.options;
        match replication.class.as_str() {
            "SimpleStrategy" => Self::Simple(options.get("replication_factor").map_or(0, factor)),
            "NetworkTopologyStrategy" => {
                let datacenters = options.iter().filter(|(name, _)| *name != "class");
                Self::NetworkTopology(
                    datacenters
                        .map(|(name, text)| (name.clone(), factor(text)))
                        .collect(),
                )
            }
            _ => Self::Local,
        }
    }

    /// The replicas of the arc at a place of the ring.
    pub(super) fn replicas(&self, ring: &Ring, place: usize) -> Vec<NodeId> {
        match self {
            Self::Local => Vec::new(),
            Self::Simple(factor) => simple(ring, place, *factor as usize),
            Self::NetworkTopology(factors) => network_topology(ring, place, factors),
        }
    }
}

fn simple(ring: &Ring, place: usize, factor: usize) -> Vec<NodeId> {
    let wanted = factor.min(ring.locations.len());
    let mut replicas = Vec::with_capacity(wanted);
    for id in ring.walk(place) {
        if replicas.len() == wanted {
            break;
        }
        if !replicas.contains(&id) {
            replicas.push(id);
        }
    }
    replicas
}

/// What is still to be picked in a data centre.
struct Quota<'a> {
    left: usize,
    /// Replicas that may stand on a rack that has one already: those that there are too few racks for.
    repeats: usize,
    racks: BTreeSet<&'a str>,
}

impl<'a> Quota<'a> {
    fn new(members: &[&'a Location], factor: usize) -> Self {
        let racks: BTreeSet<&str> = members
            .iter()
            .map(|location| location.rack.as_str())
            .collect();
        Self {
            left: factor.min(members.len()),
            repeats: factor.saturating_sub(racks.len()),
            racks: BTreeSet::new(),
        }
    }

    /// Whether the next member on the ring, which was not picked, is.
    fn takes(&mut self, location: &'a Location) -> bool {
        if self.left == 0 {
            return false;
        }
        if !self.racks.insert(&location.rack) {
            if self.repeats == 0 {
                return false;
            }
            self.repeats -= 1;
        }
        self.left -= 1;
        true
    }
}

fn network_topology(ring: &Ring, place: usize, factors: &BTreeMap<String, u32>) -> Vec<NodeId> {
    let mut quotas: BTreeMap<&str, Quota<'_>> = BTreeMap::new();
    for (datacenter, factor) in factors {
        let members = ring.locations.values();
        let members: Vec<&Location> = members
            .filter(|location| location.datacenter == *datacenter)
            .collect();
        quotas.insert(datacenter, Quota::new(&members, *factor as usize));
    }
    let mut left: usize = quotas.values().map(|quota| quota.left).sum();
    let mut replicas = Vec::with_capacity(left);
    for id in ring.walk(place) {
        if left == 0 {
            break;
        }
        let location = &ring.locations[&id];
        let Some(quota) = quotas.get_mut(location.datacenter.as_str()) else {
            continue;
        };
        if !replicas.contains(&id) && quota.takes(location) {
            replicas.push(id);
            left -= 1;
        }
    }
    replicas
}
