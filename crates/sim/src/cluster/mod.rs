//! Whole nodes of real code on one network, in virtual time: what one node's shards send leaves as encoded messages and arrives at the
//! shards of another, later, in order or not at all.

#[cfg(test)]
mod founding;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tracking;

use crate::node::machine::Machine;
use crate::random::Rng;
use ::cluster::internode::{Class, PeerIdentity};
use ::node::config::NodeConfig;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use storage::{Generation, StoreConfig};

/// Nanoseconds that all nodes run before any gets ahead.
const STEP_NANOS: u64 = 1_000_000;
/// Longest time a message takes in calm, in nanoseconds.
const DELAY_NANOS: u64 = 2_000_000;

/// A message under way.
struct Flying {
    from: PeerIdentity,
    to: usize,
    class: Class,
    bytes: Vec<u8>,
}

/// Nodes and the network between them.
pub struct Cluster {
    /// The nodes.
    pub nodes: Vec<Machine>,
    /// Pairs between which nothing passes, from and to.
    pub cut: BTreeSet<(usize, usize)>,
    flying: BTreeMap<(u64, u64), Flying>,
    /// When the last message of a connection arrives: they do not overtake each other.
    arrivals: BTreeMap<(usize, u16, usize, u8), u64>,
    count: u64,
    nanos: u64,
    rng: Rng,
}

/// Where a node is reached by the others.
pub fn address(node: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, node as u8 + 1], 7000))
}

impl Cluster {
    /// So many machines with empty disks, not started; the first two are seeds.
    pub fn new(seed: u64, count: usize) -> Self {
        let mut rng = Rng::new(seed);
        let generation = Generation {
            number: 0,
            previous: None,
        };
        let nodes = (0..count).map(|number| {
            let mut machine = Machine::new(rng.fork(), StoreConfig::new(0, 1, generation));
            machine.config = NodeConfig {
                internode_address: address(number),
                listen_address: address(number).ip(),
                seeds: (0..count.min(2))
                    .filter(|seed| *seed != number)
                    .map(address)
                    .collect(),
                founds: number == 0,
                has_wire: true,
                ..NodeConfig::default()
            };
            machine
        });
        Self {
            nodes: nodes.collect(),
            cut: BTreeSet::new(),
            flying: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            count: 0,
            nanos: 1,
            rng,
        }
    }

    /// Runs all nodes for some virtual time.
    pub fn pass(&mut self, millis: u64) {
        let until = self.nanos + millis * 1_000_000;
        while self.nanos < until {
            self.nanos += STEP_NANOS;
            self.deliver();
            for node in 0..self.nodes.len() {
                self.nodes[node].run_until(self.nanos);
                self.send(node);
            }
        }
    }

    fn deliver(&mut self) {
        while let Some(entry) = self.flying.first_entry()
            && entry.key().0 <= self.nanos
        {
            let flying = entry.remove();
            self.nodes[flying.to].hear(&flying.from, flying.class, flying.bytes);
            self.send(flying.to);
        }
    }

    fn send(&mut self, node: usize) {
        for (shard, to, class, bytes) in self.nodes[node].take_sent() {
            let Some(to) = (0..self.nodes.len()).find(|other| address(*other) == to) else {
                continue;
            };
            let Some(from) = self.nodes[node].identity(shard) else {
                continue;
            };
            if self.cut.contains(&(node, to)) {
                continue;
            }
            let connection = (node, shard, to, class as u8);
            let arrival = self.arrivals.entry(connection).or_default();
            *arrival = (*arrival).max(self.nanos + 1 + self.rng.below(DELAY_NANOS));
            self.count += 1;
            let flying = Flying {
                from,
                to,
                class,
                bytes,
            };
            self.flying.insert((*arrival, self.count), flying);
        }
    }
}
