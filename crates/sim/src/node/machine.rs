//! One machine: a disk, the shards of one node, and clients that speak the native protocol, in virtual time.

use crate::disk::SimDisk;
use crate::random::Rng;
use ::cluster::internode::{Class, PeerIdentity};
use bytes::BytesMut;
use cql::frame::header::{HEADER_BYTES, flags};
use cql::frame::put::Put;
use cql::frame::reader::Reader;
use cql::frame::{DecodeError, Decoder, Opcode, ProtocolVersion};
use model::env::{Clock, Random};
use model::error::Consistency;
use model::time::{BootNanos, Now, WallMicros};
use node::client::ClientId;
use node::config::{MetadataLogBound, NodeConfig};
use node::effects::{Effects, SlowWork, WorkDone, WorkOrder};
use node::machine::{Event, Machine as _};
use node::message::ShardMessage;
use node::startup::{NodeShard, StartupConfig};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use storage::StoreConfig;

/// First second of virtual time: late enough that TTLs and ages are positive.
const EPOCH_SECONDS: i64 = 1_700_000_000;
/// Small, so that the metadata log is replaced often.
const METADATA_LOG: MetadataLogBound = MetadataLogBound {
    bytes: 16 << 10,
    snapshots: 1,
};
/// Longest way of a message between shards, in nanoseconds.
const MESSAGE_DELAY: u64 = 300_000;
/// What a turn of background work takes, in nanoseconds.
const TURN_NANOS: u64 = 10_000;
/// How far time goes at most while nothing happens, in nanoseconds: clients act in between.
const IDLE_NANOS: u64 = 5_000_000;
/// Bit of a request's flags that asks for a result without its columns (specification, section 4.1.4).
const SKIP_METADATA: u8 = 0x02;
/// Largest body a client sends.
const MAX_BODY_BYTES: usize = 1 << 20;
/// Longest time that hashing a password takes, in nanoseconds.
const WORK_DELAY: u64 = 80_000_000;
/// How often the threads for that have no room, in percent.
const WORK_REFUSED: u64 = 3;
/// Longest virtual time a client waits for an answer, in milliseconds.
const PATIENCE_MS: u64 = 60_000;
/// Connections of a shard beside its first have this bit: they only log in.
const EXTRA_CLIENT: u64 = 1 << 32;
/// The protocol's `Protocol_error`.
const PROTOCOL_ERROR: i32 = 0x000A;
/// The protocol's `Authentication_error`.
const BAD_CREDENTIALS: i32 = 0x0100;
/// The protocol's `Overloaded`.
pub(super) const OVERLOADED: i32 = 0x1001;
/// What the hash of a password begins with; the machine does not know bcrypt.
const FAKE_HASH: &str = "hash of ";
/// The role a new cluster has, and its password.
const SUPERUSER: &str = "cassandra";

/// What a client was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is done, and there is nothing to say.
    Done,
    /// The id of a prepared statement.
    Prepared(Vec<u8>),
    /// Rows of cells.
    Rows(Vec<Vec<Option<Vec<u8>>>>),
    /// An error's code and message.
    Error(i32, String),
}

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
    /// Who this node says it is.
    identity: Option<PeerIdentity>,
    out: Effects,
    rng: Rng,
    store: StoreConfig,
    /// What nodes that are started are told, but for the shards, the login and the metadata log.
    pub config: NodeConfig,
}

impl Machine {
    /// A machine with an empty disk, not started. Stores are told what `store` says but their numbers.
    pub fn new(mut rng: Rng, store: StoreConfig) -> Self {
        Self {
            disk: SimDisk::new(rng.fork()),
            answers: BTreeMap::new(),
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
            identity: None,
            out: Effects::default(),
            rng,
            store,
            config: NodeConfig::default(),
        }
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
            client_address: SocketAddr::from((Ipv4Addr::LOCALHOST, 9042)),
            password_authentication: true,
            metadata_log: METADATA_LOG,
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

    /// Whether every shard serves; an error if one cannot.
    pub fn is_ready(&self) -> Result<bool, String> {
        match self.shards.iter().find_map(NodeShard::failure) {
            Some(reason) => Err(reason.to_owned()),
            None => Ok(self.shards.iter().all(NodeShard::is_ready)),
        }
    }

    /// Connects a client to each shard and logs it in. The node must be ready.
    pub fn connect(&mut self) -> Result<(), String> {
        for number in 0..self.shard_count() {
            let client = ClientId(u64::from(number));
            if !self.log_in(client, SUPERUSER, SUPERUSER)? {
                return Err("the superuser cannot log in".to_owned());
            }
        }
        Ok(())
    }

    /// Whether a role can log in with a password, on a connection of its own.
    pub fn can_log_in(&mut self, role: &str, password: &str) -> Result<bool, String> {
        self.next_client += 1;
        let shard = self.rng.below(u64::from(self.shard_count()));
        let client = ClientId(shard | EXTRA_CLIENT * self.next_client);
        let done = self.log_in(client, role, password);
        self.tell(shard as u16, Event::ClientClosed(client));
        done
    }

    fn log_in(&mut self, client: ClientId, role: &str, password: &str) -> Result<bool, String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000));
        let connected = Event::ClientConnected {
            client,
            address,
            tls: false,
        };
        self.tell(shard_of(client), connected);
        let mut startup = Vec::new();
        startup.put_short(1);
        startup.put_string("CQL_VERSION");
        startup.put_string("3.0.0");
        let begun = self.frame(client, Opcode::Startup, &startup);
        self.wait(begun, "STARTUP")?;
        let mut token = Vec::new();
        token.put_bytes(Some(format!("\0{role}\0{password}").as_bytes()));
        loop {
            let first = self.frame(client, Opcode::AuthResponse, &token);
            // Impatient clients are told to wait, and cost nothing.
            let second = self
                .rng
                .chance(20)
                .then(|| self.frame(client, Opcode::AuthResponse, &token));
            let answer = self.wait(first, "AUTH_RESPONSE")?;
            if let Some(second) = second {
                match self.wait(second, "AUTH_RESPONSE")? {
                    Answer::Error(PROTOCOL_ERROR, _) => {}
                    other => return Err(format!("a second login at a time: {other:?}")),
                }
            }
            match answer {
                Answer::Error(OVERLOADED, _) => {}
                Answer::Error(BAD_CREDENTIALS, _) => return Ok(false),
                Answer::Error(code, message) => return Err(format!("login: {code:#x} {message}")),
                _ => return Ok(true),
            }
        }
    }

    /// Sends a statement to a shard; [`Self::answers`] has the answer under the number returned.
    pub fn query(&mut self, shard: u16, text: &str) -> u64 {
        self.query_at(Consistency::One, shard, text)
    }

    /// Sends a statement at a consistency level.
    pub fn query_at(&mut self, consistency: Consistency, shard: u16, text: &str) -> u64 {
        let mut body = Vec::new();
        body.put_bytes(Some(text.as_bytes()));
        body.put_short(consistency as u16);
        body.put_byte(SKIP_METADATA);
        self.frame(ClientId(u64::from(shard)), Opcode::Query, &body)
    }

    /// Sends a statement and runs until it is answered.
    pub fn ask(&mut self, shard: u16, text: &str) -> Result<Answer, String> {
        let request = self.query(shard, text);
        self.wait(request, text)
    }

    /// Reads at SERIAL and runs until it is answered.
    pub fn select_serially(&mut self, text: &str) -> Result<Answer, String> {
        let request = self.query_at(Consistency::Serial, 0, text);
        self.wait(request, text)
    }

    /// Sends a request and runs until it is answered.
    pub fn request(&mut self, shard: u16, opcode: Opcode, body: &[u8]) -> Result<Answer, String> {
        let request = self.frame(ClientId(u64::from(shard)), opcode, body);
        self.wait(request, opcode.name())
    }

    fn wait(&mut self, request: u64, what: &str) -> Result<Answer, String> {
        let limit = self.millis() + PATIENCE_MS;
        while self.millis() < limit {
            if let Some(answer) = self.answers.remove(&request) {
                return Ok(answer);
            }
            self.turn();
        }
        Err(format!("never answered: {what}"))
    }

    fn frame(&mut self, client: ClientId, opcode: Opcode, body: &[u8]) -> u64 {
        self.next_request += 1;
        let request = self.next_request;
        let stream = (request % 30_000) as i16;
        self.streams.insert((client, stream), request);
        let mut envelope = vec![ProtocolVersion::V4 as u8, 0];
        envelope.put_short(stream as u16);
        envelope.put_byte(opcode as u8);
        envelope.put_int(body.len() as i32);
        envelope.extend_from_slice(body);
        let mut input = BytesMut::from(&envelope[..]);
        let frame = Decoder::new(MAX_BODY_BYTES)
            .next(&mut input)
            .ok()
            .flatten()
            .expect("a frame of our own");
        self.tell(shard_of(client), Event::ClientFrame { client, frame });
        request
    }

    /// The next event: a wake-up, a message, a step of the disk; or time passes.
    pub fn turn(&mut self) {
        let now = BootNanos(self.nanos);
        for number in 0..self.shards.len() {
            if self.busy[number] || self.wakes[number].is_some_and(|at| at <= now) {
                self.wake(number as u16, None);
            }
        }
        let message = self.messages.keys().next().map(|(at, _)| *at);
        let wake = self.wakes.iter().flatten().map(|at| at.0).min();
        let work = self.work.keys().next().map(|(at, _)| *at);
        let busy = self.busy.contains(&true).then_some(self.nanos + TURN_NANOS);
        let idle = Some(self.nanos + IDLE_NANOS);
        let events = [message, work, self.disk.next_at(), wake, busy, idle];
        let at = events.into_iter().flatten().min().unwrap_or(self.nanos);
        self.nanos = self.nanos.max(at);
        if message == Some(at) {
            let (_, (from, to, message)) = self.messages.pop_first().expect("seen above");
            let batch = &mut vec![message];
            self.tell(to, Event::Messages { from, batch });
        } else if work == Some(at) {
            let (_, (shard, number, done)) = self.work.pop_first().expect("seen above");
            self.tell(shard, Event::Work { number, done });
        } else if self.disk.next_at() == Some(at)
            && let Some((owner, tag, outcome)) = self.disk.step()
        {
            self.note(&[owner as u8, tag.0 as u8, u8::from(outcome.is_ok())]);
            self.tell(owner, Event::Io { tag, outcome });
        }
    }

    /// Runs up to a moment of virtual time, or a little beyond.
    pub fn run_until(&mut self, nanos: u64) {
        while self.nanos < nanos {
            self.turn();
        }
    }

    /// What was sent to other nodes since the last call.
    pub fn take_sent(&mut self) -> Vec<(u16, SocketAddr, Class, Vec<u8>)> {
        std::mem::take(&mut self.sent)
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

    /// Runs for some virtual time.
    pub fn pass(&mut self, millis: u64) {
        let until = self.millis() + millis;
        while self.millis() < until {
            self.turn();
        }
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
        let buffer = std::mem::take(&mut self.out.buffer);
        for (client, range) in std::mem::take(&mut self.out.responses) {
            self.answered(client, &buffer[range]);
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

    /// Keeps a client's answer.
    fn answered(&mut self, client: ClientId, envelope: &[u8]) {
        self.note(envelope);
        let stream = i16::from_be_bytes([envelope[2], envelope[3]]);
        let Some(request) = self.streams.remove(&(client, stream)) else {
            return;
        };
        let opcode = Opcode::from_number(envelope[4]).expect("an opcode of our own");
        let mut body = Reader::new(&envelope[HEADER_BYTES..]);
        if envelope[1] & flags::WARNING != 0 {
            body.string_list().expect("warnings");
        }
        let answer = match opcode {
            Opcode::Error => body
                .int()
                .and_then(|code| Ok(Answer::Error(code, body.string()?.to_owned()))),
            Opcode::Result => result(&mut body),
            _ => Ok(Answer::Done),
        };
        self.answers
            .insert(request, answer.expect("a well-formed answer"));
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

    fn end(&mut self) {
        self.shards.clear();
        self.busy.clear();
        self.wakes.clear();
        self.messages.clear();
        self.arrivals.clear();
        self.streams.clear();
        self.work.clear();
        self.answers.clear();
        self.out = Effects::default();
    }
}

/// Reads past a type (specification, section 4.2.5.2).
fn skip_type(body: &mut Reader<'_>) -> Result<(), DecodeError> {
    match body.short()? {
        0 => body.string().map(drop),
        0x20 | 0x22 => skip_type(body),
        0x21 => {
            skip_type(body)?;
            skip_type(body)
        }
        0x30 => {
            body.string()?;
            body.string()?;
            for _ in 0..body.short()? {
                body.string()?;
                skip_type(body)?;
            }
            Ok(())
        }
        0x31 => (0..body.short()?).try_for_each(|_| skip_type(body)),
        _ => Ok(()),
    }
}

fn shard_of(client: ClientId) -> u16 {
    client.0 as u16
}

/// Reads a RESULT.
fn result(body: &mut Reader<'_>) -> Result<Answer, DecodeError> {
    const ROWS: i32 = 2;
    const ONE_TABLE: i32 = 1;
    const HAS_MORE_PAGES: i32 = 2;
    const NO_COLUMNS: i32 = 4;
    const PREPARED: i32 = 4;
    match body.int()? {
        ROWS => {}
        PREPARED => return Ok(Answer::Prepared(body.short_bytes()?.to_vec())),
        _ => return Ok(Answer::Done),
    }
    let (metadata, columns) = (body.int()?, body.int()?);
    if metadata & HAS_MORE_PAGES != 0 {
        body.bytes()?;
    }
    if metadata & NO_COLUMNS == 0 {
        assert!(metadata & ONE_TABLE != 0, "a result of one table");
        body.string()?;
        body.string()?;
        for _ in 0..columns {
            body.string()?;
            skip_type(body)?;
        }
    }
    let count = body.int()?;
    let mut rows = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let cells = (0..columns).map(|_| Ok(body.bytes()?.map(<[u8]>::to_vec)));
        rows.push(cells.collect::<Result<_, DecodeError>>()?);
    }
    Ok(Answer::Rows(rows))
}
