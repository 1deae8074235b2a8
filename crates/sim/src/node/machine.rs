//! One machine: a disk, the shards of one node, and clients that speak the native protocol, in virtual time.

mod client;
mod time;

use crate::disk::SimDisk;
use crate::random::Rng;
use ::cluster::internode::{Class, PeerIdentity};
use ::cluster::metadata::Metadata;
use ::cluster::topology::NodeId;
#[cfg(test)]
pub(super) use client::OVERLOADED;
use client::SUPERUSER;
pub use client::{Answer, Asking};
use model::env::{Clock, Random};
use model::time::{BootNanos, Now, WallMicros};
use node::client::ClientId;
use node::config::{MetadataLogBound, NodeConfig};
use node::effects::{Effects, SlowWork, WorkDone, WorkOrder};
use node::execute::admin::{AdminAnswer, AdminWork};
use node::machine::{Event, Machine as _};
use node::message::ShardMessage;
use node::startup::{NodeShard, StartupConfig};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use storage::{StoreConfig, SyncMode};
use uuid::Uuid;

/// First second of virtual time: late enough that TTLs and ages are positive.
const EPOCH_SECONDS: i64 = 1_700_000_000;
/// Small, so that the metadata log is replaced often.
const METADATA_LOG: MetadataLogBound = MetadataLogBound {
    bytes: 16 << 10,
    snapshots: 1,
};
/// Longest way of a message between shards, in nanoseconds.
const MESSAGE_DELAY: u64 = 300_000;
/// Longest time that hashing a password takes, in nanoseconds.
const WORK_DELAY: u64 = 80_000_000;
/// How often the threads for that have no room, in percent.
const WORK_REFUSED: u64 = 3;
/// Connections of a shard beside its first have this bit: they only log in.
const EXTRA_CLIENT: u64 = 1 << 32;
/// What the hash of a password begins with; the machine does not know bcrypt.
const FAKE_HASH: &str = "hash of ";

/// What the shards time their traces with: the moment of the wake-up they are in.
#[derive(Debug)]
struct Stopwatch(Mutex<Now>);

impl Stopwatch {
    fn set(&self, now: Now) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

impl Clock for Stopwatch {
    fn wall(&self) -> WallMicros {
        self.now().wall
    }

    fn boot(&self) -> BootNanos {
        self.now().boot
    }

    fn now(&self) -> Now {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The machine.
pub struct Machine {
    /// Its disk.
    pub disk: SimDisk,
    /// Answers that came, by request.
    pub answers: BTreeMap<u64, Answer>,
    /// Where the next page begins, by request.
    pub pages: BTreeMap<u64, Vec<u8>>,
    /// How what an operator asked for ended, by number.
    pub administered: BTreeMap<u64, Result<AdminAnswer, String>>,
    /// What the shards logged since the last start.
    pub log: Vec<String>,
    /// A digest of everything that happened, in order: equal for equal seeds.
    pub history: u64,
    shards: Vec<NodeShard>,
    /// Background work is left.
    busy: Vec<bool>,
    wakes: Vec<Option<BootNanos>>,
    /// Messages under way, by arrival and a counter that keeps them apart.
    messages: BTreeMap<(u64, u64), (u16, u16, ShardMessage)>,
    /// Arrival of the last message of each pair: they do not overtake.
    arrivals: BTreeMap<(u16, u16), u64>,
    /// Requests by client and stream.
    streams: BTreeMap<(ClientId, i16), u64>,
    /// Passwords being hashed or checked, by the time that is done and a counter that keeps them apart.
    work: BTreeMap<(u64, u64), (u16, u64, WorkDone)>,
    next_request: u64,
    counter: u64,
    nanos: u64,
    stopwatch: Arc<Stopwatch>,
    /// How far the wall clock is from the virtual time, in microseconds.
    wall_offset: i64,
    next_client: u64,
    /// What was sent to other nodes: by which shard, to whom, as what.
    sent: Vec<(u16, SocketAddr, Class, Vec<u8>)>,
    /// Peers that there is nothing more to say to.
    closed: Vec<SocketAddr>,
    /// Who this node says it is.
    identity: Option<PeerIdentity>,
    out: Effects,
    rng: Rng,
    store: StoreConfig,
    /// What nodes that are started are told, but for the shards.
    pub config: NodeConfig,
}

impl Machine {
    /// A machine with an empty disk, not started. Stores are told what `store` says but their numbers.
    pub fn new(mut rng: Rng, store: StoreConfig) -> Self {
        Self {
            disk: SimDisk::new(rng.fork()),
            answers: BTreeMap::new(),
            administered: BTreeMap::new(),
            pages: BTreeMap::new(),
            log: Vec::new(),
            history: 0,
            shards: Vec::new(),
            busy: Vec::new(),
            wakes: Vec::new(),
            messages: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            streams: BTreeMap::new(),
            work: BTreeMap::new(),
            next_request: 0,
            counter: 0,
            nanos: 1,
            stopwatch: Arc::new(Stopwatch(Mutex::new(Now {
                wall: WallMicros(0),
                boot: BootNanos(0),
            }))),
            wall_offset: 0,
            next_client: 0,
            sent: Vec::new(),
            closed: Vec::new(),
            identity: None,
            out: Effects::default(),
            rng,
            store,
            config: NodeConfig {
                client_address: SocketAddr::from((Ipv4Addr::LOCALHOST, 9042)),
                password_authentication: true,
                metadata_log: METADATA_LOG,
                ..NodeConfig::default()
            },
        }
    }

    /// When the commit log is synced, from the next start on.
    pub fn sync_by(&mut self, sync: SyncMode) {
        self.store.sync = sync;
    }

    /// Segments of the commit log and memtables of so many bytes, so that both are replaced often.
    pub fn shrink(&mut self, segment_bytes: usize, memtable_bytes: usize) {
        self.store.segment_bytes = segment_bytes;
        self.store.log_bytes = segment_bytes * 16;
        self.store.memtable_bytes = memtable_bytes;
    }

    fn now(&self) -> Now {
        let micros = (self.nanos / 1000) as i64 + self.wall_offset;
        Now {
            wall: WallMicros(EPOCH_SECONDS * 1_000_000 + micros),
            boot: BootNanos(self.nanos),
        }
    }

    /// What the shards say of themselves, a line each.
    pub fn describe(&self) -> Vec<String> {
        self.shards.iter().map(NodeShard::describe).collect()
    }

    /// Milliseconds of virtual time so far.
    pub fn millis(&self) -> u64 {
        self.nanos / 1_000_000
    }

    /// Somebody sets the wall clock, by so many microseconds.
    pub fn step_wall_clock(&mut self, micros: i64) {
        self.wall_offset += micros;
    }

    /// Shards that run.
    pub fn shard_count(&self) -> u16 {
        self.shards.len() as u16
    }

    /// Starts a node of so many shards. It serves once [`Self::is_ready`].
    pub fn start(&mut self, shards: u16) {
        self.log.clear();
        let node = Arc::new(NodeConfig {
            shards,
            policy: self.disk.planted.policy(),
            ..self.config.clone()
        });
        self.store.clock = Arc::default();
        self.shards = (0..shards)
            .map(|number| {
                NodeShard::new(StartupConfig {
                    number,
                    node: node.clone(),
                    store: self.store.clone(),
                    stopwatch: self.stopwatch.clone(),
                    seed: self.rng.next_u64(),
                })
            })
            .collect();
        self.busy = vec![false; usize::from(shards)];
        self.wakes = vec![None; usize::from(shards)];
        for number in 0..shards {
            self.tell(number, Event::Start);
        }
    }

    /// How many members the node knows, itself included; `None` before it is one.
    pub fn members(&mut self) -> Option<usize> {
        let shard = self.shards.first_mut()?.running()?;
        Some(shard.topology.nodes.len())
    }

    /// What the members agree on, as this node has it.
    pub fn metadata(&mut self) -> Option<Arc<Metadata>> {
        let shard = self.shards.first_mut()?.running()?;
        Some(shard.metadata_log()?.metadata().clone())
    }

    /// Who votes on the metadata log, as this node knows.
    pub fn voters(&mut self) -> BTreeSet<NodeId> {
        let shard = self.shards.first_mut().and_then(NodeShard::running);
        let log = shard.as_ref().and_then(|shard| shard.metadata_log());
        log.map(|log| log.voters().clone()).unwrap_or_default()
    }

    /// The members as this node knows them, by where they are reached, and how many tokens each has.
    pub fn ring(&mut self) -> Vec<(SocketAddr, usize)> {
        let shard = self.shards.first_mut().and_then(NodeShard::running);
        let nodes = shard.iter().flat_map(|shard| &shard.topology.nodes);
        nodes
            .map(|node| (node.internode_address, node.tokens.len()))
            .collect()
    }

    /// Who this node is to operators; `None` before it is a member.
    pub fn host_id(&mut self) -> Option<Uuid> {
        let shard = self.shards.first_mut()?.running()?;
        Some(shard.topology.local().host_id)
    }

    /// Whether every shard serves; an error if one cannot.
    pub fn is_ready(&self) -> Result<bool, String> {
        match self.shards.iter().find_map(NodeShard::failure) {
            Some(reason) => Err(reason.to_owned()),
            None => Ok(self.shards.iter().all(NodeShard::is_ready)),
        }
    }

    /// An operator asks the first shard for something; [`Self::administered`] says under this number how it ended.
    pub fn administer(&mut self, work: &AdminWork) -> u64 {
        self.next_request += 1;
        let id = self.next_request;
        self.tell(0, Event::Admin { id, work });
        id
    }

    /// What was sent to other nodes since the last call.
    pub fn take_sent(&mut self) -> Vec<(u16, SocketAddr, Class, Vec<u8>)> {
        std::mem::take(&mut self.sent)
    }

    /// Whose connections were closed since the last call, after what was sent.
    pub fn take_closed(&mut self) -> Vec<SocketAddr> {
        std::mem::take(&mut self.closed)
    }

    /// Who a shard says it is to others, once it talks to them.
    pub fn identity(&self, shard: u16) -> Option<PeerIdentity> {
        self.identity
            .map(|identity| PeerIdentity { shard, ..identity })
    }

    /// A message of another node arrives.
    pub fn hear(&mut self, from: &PeerIdentity, class: Class, bytes: Vec<u8>) {
        if self.shards.is_empty() {
            return;
        }
        let shard = from.serving_shard(self.shard_count());
        let message = bytes.into();
        self.tell(
            shard,
            Event::PeerMessage {
                from,
                class,
                message,
            },
        );
    }

    /// One wake-up of a shard for an event.
    fn tell(&mut self, number: u16, event: Event<'_>) {
        self.wake(number, Some(event));
    }

    /// One wake-up of a shard: an event, the end of the turn, and what both want of the world.
    fn wake(&mut self, number: u16, event: Option<Event<'_>>) {
        let now = self.now();
        let index = usize::from(number);
        let Some(shard) = self.shards.get_mut(index) else {
            return;
        };
        self.stopwatch.set(now);
        if let Some(event) = event {
            shard.on(event, now, &mut self.out);
        }
        let end = shard.end_of_turn(now, &mut self.out);
        self.busy[index] = end.more;
        self.wakes[index] = end.wake;
        for (tag, request) in self.out.io.drain() {
            self.disk.submit(number, tag, request, self.nanos);
        }
        for (to, message) in std::mem::take(&mut self.out.messages) {
            self.counter += 1;
            let arrival = self.arrivals.entry((number, to)).or_default();
            *arrival = (*arrival).max(self.nanos + self.rng.below(MESSAGE_DELAY));
            self.messages
                .insert((*arrival, self.counter), (number, to, message));
        }
        if let Some(admission) = self.out.peers.admission.take() {
            self.identity = Some(admission.own);
        }
        let sent = &mut self.sent;
        self.out.peers.drain(0, |to, class, message| {
            sent.push((number, to, class, message.to_vec()));
        });
        self.closed.append(&mut self.out.peers.closes);
        let buffer = std::mem::take(&mut self.out.buffer);
        for (client, range) in std::mem::take(&mut self.out.responses) {
            self.answered(client, &buffer[range]);
        }
        for (id, ended) in self.out.admin.drain(..) {
            let ended = ended.map_err(|error| error.to_string());
            self.administered.insert(id, ended);
        }
        for order in std::mem::take(&mut self.out.work) {
            self.begin_work(number, order);
        }
        for (_, line) in self.out.log.drain(..) {
            self.log.push(format!(
                "{} ms, shard {number}: {line}",
                self.nanos / 1_000_000
            ));
        }
    }

    /// A thread hashes or checks a password, or none has room for it.
    fn begin_work(&mut self, shard: u16, order: WorkOrder) {
        let done = match order.work {
            _ if self.rng.chance(WORK_REFUSED) => WorkDone::Refused,
            SlowWork::VerifyPassword { password, hash } => {
                let of_superuser = !hash.starts_with(FAKE_HASH) && password == SUPERUSER;
                WorkDone::Verified(of_superuser || hash == format!("{FAKE_HASH}{password}"))
            }
            SlowWork::HashPassword { password, .. } => {
                WorkDone::Hashed(Ok(format!("{FAKE_HASH}{password}")))
            }
        };
        self.counter += 1;
        let at = self.nanos + self.rng.below(WORK_DELAY);
        let done = (shard, order.number, done);
        self.work.insert((at, self.counter), done);
    }

    fn note(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.history = (self.history ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Whether no request is under way on any shard.
    pub fn is_quiet(&self) -> bool {
        self.shards.iter().all(NodeShard::is_quiet)
    }

    /// Has every shard make everything durable.
    pub fn drain(&mut self) {
        for number in 0..self.shard_count() {
            self.tell(number, Event::Drain);
        }
    }

    /// Whether everything is durable.
    pub fn is_drained(&self) -> bool {
        self.shards.iter().all(NodeShard::is_drained)
    }

    /// Power fails: what was not synced survives in any part.
    pub fn crash(&mut self) {
        self.end();
        self.disk.crash();
    }

    /// The process dies; the machine goes on.
    pub fn kill(&mut self) {
        self.end();
        self.disk.kill();
    }

    /// The disk of a machine that does not run is lost: there is an empty one in its place.
    pub fn lose_disk(&mut self) {
        self.disk = SimDisk::new(self.rng.fork());
    }

    fn end(&mut self) {
        self.shards.clear();
        self.busy.clear();
        self.wakes.clear();
        self.messages.clear();
        self.arrivals.clear();
        self.streams.clear();
        self.work.clear();
        self.answers.clear();
        self.pages.clear();
        self.sent.clear();
        self.closed.clear();
        self.identity = None;
        self.out = Effects::default();
    }
}
