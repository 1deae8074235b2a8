//! Whole nodes of real code on one network, in virtual time, and what may be expected of them whatever happens.
//!
//! What one node's shards send leaves as encoded messages and arrives at the shards of another, later, in order or not at all
//! ([`network`]). A [`run`] is a function of its seed: clients of one [`workload`] send protocol frames to any node, at the levels
//! that its promises are about, while [`faults`] happen to nodes, disks, clocks and links; then the faults end, and what the
//! clients were told is compared with what is there, with every replica's own rows in the end ([`converge`]).
//!
//! [`Cluster`] alone is what tests of one mechanism use: they start nodes, cut links, ask statements and let time pass.

mod asking;
mod converge;
mod faults;
mod founding;
mod meddling;
pub mod network;
mod ring_change;
mod run;
pub mod stories;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tracking;
mod workload;

use crate::node::machine::Machine;
use crate::random::Rng;
use ::node::config::NodeConfig;
use network::Network;
pub use run::{KINDS, Options, QUIET_KINDS, Summary, run};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use storage::{Generation, StoreConfig};

/// Nodes and the network between them.
pub struct Cluster {
    /// The nodes.
    pub nodes: Vec<Machine>,
    /// What is between them.
    pub network: Network,
    /// Machines that are no members: they never were, or are gone.
    pub out: BTreeSet<usize>,
    /// Nodes that do not run for a while, and until when.
    paused: BTreeMap<usize, u64>,
    /// Nodes whose clients are connected.
    connected: Vec<bool>,
    nanos: u64,
}

/// Where a node is reached by the others.
pub fn address(node: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, node as u8 + 1], 7000))
}

/// Where a node is reached by clients.
fn client_address(node: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, node as u8 + 1], 9042))
}

impl Cluster {
    /// So many machines with empty disks, not started; the first two are seeds.
    pub fn new(seed: u64, count: usize) -> Self {
        let mut rng = Rng::new(seed);
        let nodes = (0..count).map(|number| machine(number, count, &mut rng));
        Self {
            nodes: nodes.collect(),
            network: Network::new(rng.fork()),
            out: BTreeSet::new(),
            paused: BTreeMap::new(),
            connected: vec![false; count],
            nanos: 1,
        }
    }

    /// One more machine with an empty disk, like another.
    pub fn add_spare(&mut self, rng: &mut Rng) {
        let number = self.nodes.len();
        let like = &self.nodes[0].config;
        let mut spare = machine(number, number, rng);
        spare.config.datacenter.clone_from(&like.datacenter);
        spare.config.rack.clone_from(&like.rack);
        spare.config.num_tokens = like.num_tokens;
        self.nodes.push(spare);
        self.connected.push(false);
        self.out.insert(number);
    }

    /// The machines that are members, or are to be.
    pub fn members(&self) -> Vec<usize> {
        let all = 0..self.nodes.len();
        all.filter(|node| !self.out.contains(node)).collect()
    }

    /// Virtual time so far, in nanoseconds.
    pub fn nanos(&self) -> u64 {
        self.nanos
    }

    /// Runs all nodes for some virtual time.
    pub fn pass(&mut self, millis: u64) {
        self.run_to(self.nanos + millis * 1_000_000);
    }

    /// Carries out what happens until a moment, and stops there.
    pub fn run_to(&mut self, until: u64) {
        while let Some(at) = self.next_at().filter(|at| *at <= until) {
            self.nanos = self.nanos.max(at);
            self.resume();
            self.deliver();
            for number in 0..self.nodes.len() {
                self.run_node(number);
            }
        }
        self.nanos = self.nanos.max(until);
        self.resume();
    }

    fn next_at(&self) -> Option<u64> {
        let running = self.nodes.iter().enumerate();
        let running = running.filter(|(number, _)| !self.paused.contains_key(number));
        let nodes = running.filter_map(|(_, node)| node.next_at());
        let resumed = self.paused.values().copied();
        let network = self.network.next_at();
        nodes.chain(resumed).chain(network).min()
    }

    /// Brings a node up to the present.
    fn run_node(&mut self, number: usize) {
        if !self.paused.contains_key(&number) {
            self.nodes[number].run_to(self.nanos);
            self.send(number);
        }
    }

    /// Hands over what arrives now.
    fn deliver(&mut self) {
        while let Some(arrived) = self.network.take_due(self.nanos, &self.paused) {
            let to = arrived.to;
            self.nodes[to].run_to(self.nanos);
            self.nodes[to].hear(&arrived.from, arrived.class, arrived.bytes);
            self.send(to);
        }
    }

    fn send(&mut self, number: usize) {
        let find = |to, nodes: &[Machine]| (0..nodes.len()).find(|other| address(*other) == to);
        for (shard, to, class, bytes) in self.nodes[number].take_sent() {
            let Some(to) = find(to, &self.nodes) else {
                continue;
            };
            let identity = self.nodes[number].identity(shard);
            if let Some(from) = identity.filter(|_| self.nodes[to].shard_count() > 0) {
                self.network
                    .send((number, from), to, class, bytes, self.nanos);
            }
        }
        for peer in self.nodes[number].take_closed() {
            if let Some(peer) = find(peer, &self.nodes) {
                let is_now = self.nodes[peer].identity(0);
                self.network.close(number, peer, is_now);
            }
        }
    }

    /// A node does not run for a while: nothing is lost, its disk goes on.
    pub fn pause(&mut self, number: usize, millis: u64) {
        self.run_node(number);
        let until = self.nanos + millis * 1_000_000;
        self.paused.insert(number, until);
    }

    fn resume(&mut self) {
        let over = self
            .paused
            .iter()
            .filter(|(_, until)| **until <= self.nanos);
        let over: Vec<usize> = over.map(|(number, _)| *number).collect();
        for number in over {
            self.paused.remove(&number);
            self.nodes[number].skip_to(self.nanos);
        }
    }

    /// Whether a node does not run at present.
    pub fn is_paused(&self, number: usize) -> bool {
        self.paused.contains_key(&number)
    }

    /// Starts a node with so many shards.
    pub fn start(&mut self, number: usize, shards: u16) {
        self.connected[number] = false;
        self.nodes[number].run_to(self.nanos);
        self.nodes[number].start(shards);
        self.send(number);
    }

    /// Power fails at a node: what was not synced survives in any part.
    pub fn crash(&mut self, number: usize) {
        self.end(number);
        self.nodes[number].crash();
    }

    /// A node's process dies; what it wrote is there.
    pub fn kill(&mut self, number: usize) {
        self.end(number);
        self.nodes[number].kill();
    }

    fn end(&mut self, number: usize) {
        self.connected[number] = false;
        if self.paused.remove(&number).is_none() {
            self.run_node(number);
        }
        self.nodes[number].skip_to(self.nanos);
        self.network.lose_connections(number, self.nanos);
    }

    /// Whether a node serves clients, which are connected then; an error if it cannot start.
    pub fn serves(&mut self, number: usize) -> Result<bool, String> {
        let node = &mut self.nodes[number];
        if node.shard_count() == 0 || !node.is_ready()? {
            return Ok(false);
        }
        if !self.connected[number] && !self.paused.contains_key(&number) {
            self.connected[number] = true;
            node.run_to(self.nanos);
            node.connect_all();
        }
        Ok(self.connected[number])
    }

    /// Runs until all nodes that were started serve; an error after so long.
    pub fn wait_until_served(&mut self, millis: u64) -> Result<(), String> {
        let end = self.nanos + millis * 1_000_000;
        loop {
            let mut all = true;
            for number in 0..self.nodes.len() {
                all &= self.nodes[number].shard_count() == 0 || self.serves(number)?;
            }
            if all {
                return Ok(());
            }
            if self.nanos >= end {
                return Err(format!(
                    "not all nodes serve after {millis} ms\n{}",
                    self.describe()
                ));
            }
            self.pass(50);
        }
    }

    /// What the nodes say of themselves, and logged.
    pub fn describe(&self) -> String {
        let nodes = self.nodes.iter().enumerate().map(|(number, node)| {
            let logged = node.log.iter().map(|line| format!("    {line}\n"));
            let states = node.describe().join("; ");
            format!(
                "node {}: {states}\n{}",
                number + 1,
                logged.collect::<String>()
            )
        });
        nodes.collect()
    }

    /// A digest of everything that happened, in order: equal for equal seeds.
    pub fn history(&self) -> u64 {
        let nodes = self.nodes.iter().map(|node| node.history);
        nodes.fold(self.network.history, |all, one| {
            (all ^ one).wrapping_mul(0x0100_0000_01b3)
        })
    }
}

/// A machine with an empty disk, for a cluster of so many.
fn machine(number: usize, count: usize, rng: &mut Rng) -> Machine {
    let generation = Generation {
        number: 0,
        previous: None,
    };
    let mut machine = Machine::new(rng.fork(), StoreConfig::new(0, 1, generation));
    machine.config = NodeConfig {
        internode_address: address(number),
        listen_address: address(number).ip(),
        client_address: client_address(number),
        seeds: (0..count.min(2))
            .filter(|seed| *seed != number)
            .map(address)
            .collect(),
        founds: number == 0,
        has_wire: true,
        password_authentication: false,
        ..machine.config
    };
    machine
}
