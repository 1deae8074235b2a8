//! Whole clusters of gossip in virtual time: encoded bytes over a network with delay and loss, all from one seed.

use crate::gossip::config::GossipConfig;
use crate::gossip::state::{State, StateKey, Status};
use crate::gossip::{Effect, Endpoint, Generation, Gossip, Identity};
use model::env::Random;
use model::time::BootNanos;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use uuid::Uuid;

/// SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Debug, Clone)]
pub struct Seeded(pub u64);

impl Random for Seeded {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

impl Seeded {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64() % bound
    }
}

/// Where node `index` listens.
pub fn address(index: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (index / 250) as u8, (index % 250) as u8], 7000))
}

fn index_of(address: SocketAddr) -> usize {
    match address {
        SocketAddr::V4(v4) => {
            let [_, _, high, low] = v4.ip().octets();
            usize::from(high) * 250 + usize::from(low)
        }
        SocketAddr::V6(_) => unreachable!("the simulation has IPv4 addresses only"),
    }
}

pub fn identity(index: usize, boot: u32) -> Identity {
    Identity {
        address: address(index),
        host_id: Uuid::from_u128(0x1000 + index as u128),
        generation: Generation {
            boot,
            started_seconds: 1_790_000_000 + u64::from(boot) * 60 + index as u64,
        },
        replaces: None,
    }
}

/// A node as it would be after it has said who it is.
pub fn node(index: usize, boot: u32, seeds: usize, now: BootNanos) -> Gossip {
    let config = GossipConfig {
        cluster_name: "Test Cluster".into(),
        seeds: (0..seeds).map(address).collect(),
        identity: identity(index, boot),
    };
    let mut gossip = Gossip::new(config, now);
    for state in [
        State::Status(Status::Normal),
        State::DataCenter(format!("dc{}", index % 2 + 1)),
        State::Rack(format!("r{}", index % 3 + 1)),
        State::TokensDigest(index as u64),
        State::ReleaseVersion("5.0.6".into()),
        State::Load(1 << 30),
        State::NativeReady(true),
    ] {
        gossip.set_local(state);
    }
    gossip
}

/// The network's manners.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    /// Messages lost, in a thousand.
    pub loss_per_mille: u64,
    /// Shortest way, in microseconds; jitter of as much again, and a hundredth of messages takes ten times as long.
    pub delay_us: u64,
    /// Messages delivered twice, in a thousand.
    pub doubled_per_mille: u64,
}

enum Event {
    Tick(usize),
    Deliver {
        from: SocketAddr,
        to: usize,
        bytes: Vec<u8>,
    },
}

/// Traffic of a node.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traffic {
    pub sent: u64,
    pub received: u64,
}

pub struct Cluster {
    pub now: BootNanos,
    pub nodes: Vec<Option<Gossip>>,
    pub traffic: Vec<Traffic>,
    /// What each node was told since it was last asked, but for messages.
    pub told: Vec<Vec<Effect>>,
    /// Whether a message may pass, besides loss.
    pub cut: fn(usize, usize) -> bool,
    network: Network,
    random: Seeded,
    events: BTreeMap<(BootNanos, u64), Event>,
    sequence: u64,
    effects: Vec<Effect>,
}

impl Cluster {
    pub fn new(seed: u64, network: Network) -> Self {
        Self {
            now: BootNanos(1_000_000_000),
            nodes: Vec::new(),
            traffic: Vec::new(),
            told: Vec::new(),
            cut: |_, _| false,
            network,
            random: Seeded(seed),
            events: BTreeMap::new(),
            sequence: 0,
            effects: Vec::new(),
        }
    }

    /// Nodes that know each other already, each with its next tick at a moment of its own.
    pub fn settled(seed: u64, network: Network, nodes: usize) -> Self {
        let mut cluster = Self::new(seed, network);
        let mut fresh: Vec<Gossip> = (0..nodes).map(|i| node(i, 1, 3, cluster.now)).collect();
        for gossip in &mut fresh {
            // Two months of beats: what counts grows, and its bytes with it.
            gossip.local_mut().heartbeat = 5_000_000 + cluster.random.below(1_000_000);
        }
        let all: Vec<Endpoint> = fresh.iter().map(|gossip| gossip.local().clone()).collect();
        for mut gossip in fresh {
            for endpoint in &all {
                gossip.roster.insert(endpoint.clone());
            }
            let offset = cluster.random.below(1_000);
            gossip.rounds = super::Rounds::new(cluster.now.plus_millis(offset));
            cluster.add(gossip);
        }
        cluster
    }

    pub fn add(&mut self, gossip: Gossip) {
        let index = self.nodes.len();
        let due = gossip.next_deadline();
        self.nodes.push(Some(gossip));
        self.traffic.push(Traffic::default());
        self.told.push(Vec::new());
        self.schedule(due, Event::Tick(index));
    }

    /// Starts a node that is down.
    pub fn start(&mut self, index: usize, gossip: Gossip) {
        let due = gossip.next_deadline();
        assert!(self.nodes[index].is_none(), "it runs");
        self.nodes[index] = Some(gossip);
        self.schedule(due, Event::Tick(index));
    }

    fn schedule(&mut self, at: BootNanos, event: Event) {
        self.sequence += 1;
        self.events.insert((at.max(self.now), self.sequence), event);
    }

    /// Runs for so many milliseconds.
    pub fn run(&mut self, millis: u64) {
        let end = self.now.plus_millis(millis);
        while let Some(entry) = self.events.first_entry() {
            let &(at, _) = entry.key();
            if at > end {
                break;
            }
            let event = entry.remove();
            self.now = at;
            self.handle(event);
        }
        self.now = end;
    }

    fn handle(&mut self, event: Event) {
        let index = match event {
            Event::Tick(index) => {
                let Some(gossip) = &mut self.nodes[index] else {
                    return;
                };
                // A node that was started again has a tick of its own.
                if self.now >= gossip.next_deadline() {
                    gossip.tick(self.now, &mut self.random, &mut self.effects);
                    let due = gossip.next_deadline();
                    self.schedule(due, Event::Tick(index));
                }
                index
            }
            Event::Deliver { from, to, bytes } => {
                let Some(gossip) = &mut self.nodes[to] else {
                    return;
                };
                self.traffic[to].received += bytes.len() as u64;
                gossip.on_message(self.now, from, &bytes, &mut self.random, &mut self.effects);
                to
            }
        };
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Send { to, bytes } => self.transmit(index, to, bytes),
                Effect::Heard { .. } => {}
                other => self.told[index].push(other),
            }
        }
        self.effects = effects;
    }

    fn transmit(&mut self, from: usize, to: SocketAddr, bytes: Vec<u8>) {
        let target = index_of(to);
        self.traffic[from].sent += bytes.len() as u64;
        let lost = self.random.below(1_000) < self.network.loss_per_mille;
        if lost || target >= self.nodes.len() || (self.cut)(from, target) {
            return;
        }
        if self.random.below(1_000) < self.network.doubled_per_mille {
            self.deliver(from, target, bytes.clone());
        }
        self.deliver(from, target, bytes);
    }

    fn deliver(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        let base = self.network.delay_us;
        let mut delay = base + self.random.below(base + 1);
        if self.random.below(100) == 0 {
            delay *= 10;
        }
        let at = BootNanos(self.now.0 + delay * 1_000);
        let from = address(from);
        self.schedule(at, Event::Deliver { from, to, bytes });
    }

    /// Runs until all running nodes fulfil something, at most so many milliseconds; how many it took.
    pub fn run_until(&mut self, millis: u64, is_done: impl Fn(&Gossip) -> bool) -> Option<u64> {
        let step = 100;
        for passed in 0..=millis / step {
            if self.nodes.iter().flatten().all(&is_done) {
                return Some(passed * step);
            }
            self.run(step);
        }
        None
    }

    pub fn gossip(&mut self, index: usize) -> &mut Gossip {
        self.nodes[index].as_mut().expect("it runs")
    }

    /// Largest and mean bytes a second that nodes sent and received since the last call.
    pub fn rates(&mut self, millis: u64) -> [u64; 4] {
        let per_second = |bytes: u64| bytes * 1_000 / millis;
        let nodes = self.traffic.len() as u64;
        let sent = self.traffic.iter().map(|traffic| traffic.sent);
        let received = self.traffic.iter().map(|traffic| traffic.received);
        let rates = [
            sent.clone().max().map_or(0, per_second),
            per_second(sent.sum::<u64>() / nodes),
            received.clone().max().map_or(0, per_second),
            per_second(received.sum::<u64>() / nodes),
        ];
        self.traffic.fill(Traffic::default());
        rates
    }
}

/// Whether a node knows this load of another.
pub fn knows_load(gossip: &Gossip, of: SocketAddr, load: u64) -> bool {
    gossip
        .endpoint(of)
        .is_some_and(|endpoint| endpoint.state(StateKey::Load) == Some(&State::Load(load)))
}

pub const CALM: Network = Network {
    loss_per_mille: 0,
    delay_us: 500,
    doubled_per_mille: 0,
};
pub const LOSSY: Network = Network {
    loss_per_mille: 10,
    delay_us: 20_000,
    doubled_per_mille: 5,
};

/// The goal: 500 nodes, a change everywhere within 10 s, under 64 kB/s a node.
fn changes_spread(seed: u64, network: Network, nodes: usize) {
    let mut cluster = Cluster::settled(seed, network, nodes);
    let mut random = Seeded(seed ^ 1);
    cluster.run(3_000);
    cluster.rates(3_000);
    let mut slowest = 0;
    let started = cluster.now;
    for change in 0..3 {
        // Beside the change that is watched, others go on: a sixtieth of the nodes every second tells its load.
        for _ in 0..nodes / 20 {
            let other = random.below(nodes as u64) as usize;
            let load = random.next_u64() >> 20;
            cluster.gossip(other).set_local(State::Load(load));
        }
        let index = random.below(nodes as u64) as usize;
        let load = 7_000_000 + change;
        cluster.gossip(index).set_local(State::Load(load));
        let taken = cluster.run_until(10_000, |gossip| knows_load(gossip, address(index), load));
        slowest = slowest.max(taken.expect("everybody knows within ten seconds"));
    }
    let millis = cluster.now.since(started) / 1_000_000;
    let [sent, sent_mean, received, received_mean] = cluster.rates(millis);
    println!(
        "seed {seed}, {nodes} nodes, loss {} ‰: slowest {slowest} ms over {millis} ms; bytes/s sent {sent_mean} \
         (most {sent}), received {received_mean} (most {received})",
        network.loss_per_mille
    );
    assert!(sent < 64_000 && received < 64_000, "too much traffic");
}

#[test]
fn a_change_reaches_500_nodes_in_calm() {
    changes_spread(1, CALM, 500);
}

#[test]
fn a_change_reaches_500_nodes_with_loss() {
    changes_spread(2, LOSSY, 500);
}
