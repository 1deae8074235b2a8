//! Whole clusters of gossip in virtual time: encoded bytes over a network with delay and loss, all from one seed.

use crate::detector::matrix::{Member, Verdict, verdicts};
use crate::detector::{self, Detector, DetectorConfig, PeerState};
use crate::gossip::config::GossipConfig;
use crate::gossip::state::{State, StateKey, Status};
use crate::gossip::{Effect, Endpoint, Generation, Gossip, Identity};
use crate::seeded::Seeded;
use crate::topology::NodeId;
use model::env::Random;
use model::time::BootNanos;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use uuid::Uuid;

mod scenarios;

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
    Watch(usize),
    Ping {
        from: usize,
        to: usize,
        nonce: u64,
    },
    Pong {
        from: usize,
        to: usize,
        nonce: u64,
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
    /// A detector for each node, if they are watched for.
    pub detectors: Vec<Detector>,
    /// Who changed its opinion of whom, when, to what.
    pub opinions: Vec<(usize, usize, BootNanos, PeerState)>,
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
            detectors: Vec::new(),
            opinions: Vec::new(),
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

    /// Gives every node a detector that watches all, and pings those up to `neighbours` numbers away.
    pub fn watch(&mut self, neighbours: usize) {
        let nodes = self.nodes.len();
        for index in 0..nodes {
            let mut detector = Detector::new(DetectorConfig::default(), self.now);
            for peer in (0..nodes).filter(|peer| *peer != index) {
                detector.watch(NodeId(peer as u32), self.now);
            }
            let pinged = (1..=neighbours).flat_map(|away| [index + away, index + nodes - away]);
            let pinged = pinged
                .map(|peer| peer % nodes)
                .filter(|peer| *peer != index);
            let pinged = pinged.map(|peer| NodeId(peer as u32)).collect();
            detector.set_neighbours(&pinged, self.now);
            let due = detector.next_deadline();
            self.detectors.push(detector);
            self.schedule(due, Event::Watch(index));
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
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
                self.carry_out(index);
            }
            Event::Deliver { from, to, bytes } => {
                let Some(gossip) = &mut self.nodes[to] else {
                    return;
                };
                self.traffic[to].received += bytes.len() as u64;
                gossip.on_message(self.now, from, &bytes, &mut self.random, &mut self.effects);
                self.carry_out(to);
            }
            Event::Watch(index) => {
                let (now, mut effects) = (self.now, Vec::new());
                self.detectors[index].tick(now, &mut effects);
                let due = self.detectors[index].next_deadline();
                self.schedule(due, Event::Watch(index));
                self.detected(index, &mut effects);
            }
            Event::Ping { from, to, nonce } => {
                if self.nodes[to].is_some() {
                    self.detectors[to].on_ping(NodeId(from as u32), self.now);
                    let (from, to) = (to, from);
                    self.pass(from, to, Event::Pong { from, to, nonce });
                }
            }
            Event::Pong { from, to, nonce } => {
                let (now, mut effects) = (self.now, Vec::new());
                let peer = NodeId(from as u32);
                self.detectors[to].on_pong(peer, nonce, now, &mut effects);
                self.detected(to, &mut effects);
            }
        }
    }

    /// What is wrong, as a node sees it. Two nodes a zone.
    pub fn verdicts(&self, index: usize) -> Vec<Verdict> {
        let gossip = self.nodes[index].as_ref().expect("it runs");
        let members = gossip.endpoints().map(|endpoint| {
            let node = index_of(endpoint.address());
            let row = match endpoint.state(StateKey::Unreachable) {
                Some(State::Unreachable(row)) => row.as_slice(),
                _ => &[],
            };
            (node, self.now.since(endpoint.heard_at()) / 1_000_000, row)
        });
        let mut members: Vec<_> = members.collect();
        members.sort_unstable();
        let places: Vec<String> = members
            .iter()
            .map(|(node, ..)| format!("zone {}", node / 2))
            .collect();
        let members = members.iter().zip(&places);
        let members = members.map(|(&(node, heard_ms_ago, unreachable), place)| Member {
            node: NodeId(node as u32),
            place,
            heard_ms_ago,
            unreachable,
        });
        verdicts(NodeId(index as u32), &members.collect::<Vec<_>>())
    }

    fn carry_out(&mut self, index: usize) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Send { to, bytes } => self.transmit(index, to, bytes),
                Effect::Heard { address } => {
                    let (now, mut effects) = (self.now, Vec::new());
                    let peer = NodeId(index_of(address) as u32);
                    if let Some(detector) = self.detectors.get_mut(index) {
                        detector.on_heartbeat(peer, now, &mut effects);
                        self.detected(index, &mut effects);
                    }
                }
                other => self.told[index].push(other),
            }
        }
        self.effects = effects;
    }

    fn detected(&mut self, index: usize, effects: &mut Vec<detector::Effect>) {
        if self.nodes[index].is_none() {
            return effects.clear();
        }
        for effect in effects.drain(..) {
            match effect {
                detector::Effect::Ping { peer, nonce } => {
                    let (from, to) = (index, peer.0 as usize);
                    self.pass(from, to, Event::Ping { from, to, nonce });
                }
                detector::Effect::Changed {
                    peer, from, to, at, ..
                } => {
                    let peer = peer.0 as usize;
                    self.opinions.push((index, peer, at, to));
                    if from.is_up() != to.is_up() {
                        let row = self.detectors[index].unreachable(at);
                        let gossip = self.gossip(index);
                        gossip.set_reachable(address(peer), to.is_up());
                        gossip.set_local(State::Unreachable(row));
                    }
                }
                detector::Effect::OwnPause { .. } => unreachable!("nobody pauses here"),
            }
        }
    }

    fn transmit(&mut self, from: usize, to: SocketAddr, bytes: Vec<u8>) {
        let target = index_of(to);
        self.traffic[from].sent += bytes.len() as u64;
        let sender = address(from);
        let deliver = |bytes| Event::Deliver {
            from: sender,
            to: target,
            bytes,
        };
        if self.random.below(1_000) < self.network.doubled_per_mille {
            self.pass(from, target, deliver(bytes.clone()));
        }
        self.pass(from, target, deliver(bytes));
    }

    /// Lets an event happen at its target later, or never.
    fn pass(&mut self, from: usize, to: usize, event: Event) {
        let lost = self.random.below(1_000) < self.network.loss_per_mille;
        if lost || to >= self.nodes.len() || (self.cut)(from, to) {
            return;
        }
        let base = self.network.delay_us;
        let mut delay = base + self.random.below(base + 1);
        if self.random.below(100) == 0 {
            delay *= 10;
        }
        self.schedule(BootNanos(self.now.0 + delay * 1_000), event);
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
