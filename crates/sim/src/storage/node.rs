//! One machine of the storage simulation: a disk, the layout file, a store per shard, and virtual time.

use crate::disk::SimDisk;
use crate::random::Rng;
use model::env::{IoOutcome, IoQueue, IoTag};
use model::key::Token;
use model::limits::SHARDING_IGNORE_MSB;
use model::read::{ReadCommand, ReadResponse};
use model::schema::Schema;
use model::time::{BootNanos, Now, WallMicros};
use model::track::MutationId;
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::{Fetched, LayoutFile, ReadProgress, Store, StoreConfig, StoreError};

/// First second of virtual time: late enough that TTLs and ages are positive.
pub const EPOCH_SECONDS: i64 = 1_700_000_000;
const LAYOUT_SPACE: u8 = 9;
/// Bytes of work a store is given per turn, one of these: with few, partitions take many steps. With 300 bytes
/// seed 3005 once did not settle in time; it does now, and why it did not is not known. Such runs are too slow for every day.
const TURN_BYTES: [usize; 3] = [64 << 10, 64 << 10, 4 << 10];

/// Makes a shard's configuration from its numbers.
pub type Configure = fn(u64, StoreConfig) -> StoreConfig;

/// What the stores reported.
#[derive(Debug, Default)]
pub struct Reports {
    /// Tickets of durable writes.
    pub durable: Vec<u64>,
    /// Tickets of writes that failed.
    pub failed: Vec<(u64, StoreError)>,
    /// Finished reads.
    pub reads: BTreeMap<u64, Result<ReadResponse, StoreError>>,
    /// What was read of the journal, by ticket.
    pub fetched: BTreeMap<u64, Fetched>,
    /// Finished tasks.
    pub tasks: BTreeMap<u64, Result<(), StoreError>>,
}

/// How a machine stops unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// What was not synced may be lost.
    PowerFails,
    /// The system goes on, and with it all it was told.
    ProcessDies,
}

/// The machine.
#[derive(Debug)]
pub struct Node {
    /// Its disk.
    pub disk: SimDisk,
    /// Its stores, by shard.
    pub stores: Vec<Store>,
    /// What they reported.
    pub reports: Reports,
    layout: Option<LayoutFile>,
    io: IoQueue,
    nanos: u64,
    /// Seconds added to the wall clock.
    pub second_offset: i64,
    next_ticket: u64,
    /// A digest of everything that happened, in order: equal for equal seeds.
    pub history: u64,
    seed: u64,
    configure: Configure,
    turn_bytes: usize,
    /// Turns of a start after which it is stopped.
    turns_left: Option<u64>,
}

impl Node {
    /// A machine with an empty disk, not started.
    pub fn new(seed: u64, rng: Rng, configure: Configure) -> Self {
        Self {
            disk: SimDisk::new(rng),
            stores: Vec::new(),
            reports: Reports::default(),
            layout: None,
            io: IoQueue::default(),
            nanos: 1,
            second_offset: 0,
            next_ticket: 0,
            history: 0,
            seed,
            configure,
            turn_bytes: *Rng::new(seed ^ 0x5717).pick(&TURN_BYTES),
            turns_left: None,
        }
    }

    /// Starts from now on are with another configuration.
    pub fn set_configure(&mut self, configure: Configure) {
        self.configure = configure;
    }

    /// Both clocks.
    pub fn now(&self) -> Now {
        let seconds = EPOCH_SECONDS + self.second_offset;
        Now {
            wall: WallMicros(seconds * 1_000_000 + (self.nanos / 1000) as i64),
            boot: BootNanos(self.nanos),
        }
    }

    /// A ticket never used before.
    pub fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    /// The shard of a token.
    pub fn shard(&self, token: Token) -> usize {
        usize::from(token.shard(self.stores.len() as u32, SHARDING_IGNORE_MSB))
    }

    fn note(&mut self, what: &str) {
        for byte in what.bytes() {
            self.history = (self.history ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Hands what shard `owner` wants of the disk to the disk.
    fn submit(&mut self, owner: u16) {
        for (tag, request) in self.io.drain() {
            self.disk.submit(owner, tag, request, self.nanos);
        }
    }

    /// Starts with so many shards and runs until every store is ready, or one fails.
    pub fn start(&mut self, shards: u16, schema: &Arc<Schema>) -> Result<(), StoreError> {
        self.stores.clear();
        self.reports = Reports::default();
        self.layout = Some(LayoutFile::open(shards, LAYOUT_SPACE, &mut self.io));
        self.submit(0);
        let generation = loop {
            let layout = self.layout.as_ref().expect("made above");
            if let Some(error) = layout.error() {
                return Err(error.clone());
            }
            if let Some(generation) = layout.generation() {
                break generation;
            }
            if self.is_stopped() {
                return Err(StoreError::NotReady);
            }
            self.event();
        };
        for shard in 0..shards {
            let config = (self.configure)(self.seed, StoreConfig::new(shard, shards, generation));
            let store = Store::open(config, schema, self.now(), &mut self.io);
            self.stores.push(store);
            self.submit(shard);
        }
        while !self.stores.iter().all(Store::is_ready) {
            if let Some(error) = self.stores.iter().find_map(Store::recovery_error) {
                return Err(error.clone());
            }
            if self.is_stopped() {
                return Err(StoreError::NotReady);
            }
            self.turn();
        }
        if generation.previous.is_some() {
            let layout = self.layout.as_mut().expect("made above");
            layout.commit(&mut self.io);
            self.submit(0);
            while !self.layout.as_ref().expect("made above").is_settled() {
                if let Some(error) = self.layout.as_ref().and_then(LayoutFile::error) {
                    return Err(error.clone());
                }
                if self.is_stopped() {
                    return Err(StoreError::NotReady);
                }
                self.event();
            }
            for shard in 0..self.stores.len() {
                self.stores[shard].layout_committed(&mut self.io);
                self.submit(shard as u16);
            }
        }
        Ok(())
    }

    /// Starts and is stopped after so many turns; whether it was ready before that.
    pub fn start_and_stop(
        &mut self,
        shards: u16,
        schema: &Arc<Schema>,
        turns: u64,
        stop: Stop,
    ) -> bool {
        self.turns_left = Some(turns);
        let started = self.start(shards, schema);
        self.turns_left = None;
        match stop {
            Stop::PowerFails => self.crash(),
            Stop::ProcessDies => self.kill(),
        }
        started.is_ok()
    }

    /// Whether the start is to be stopped now.
    fn is_stopped(&mut self) -> bool {
        match &mut self.turns_left {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }

    /// The next step of the disk, or time passing if it has none.
    fn event(&mut self) {
        match self.disk.next_at() {
            Some(at) => {
                self.nanos = self.nanos.max(at);
                if let Some((owner, tag, outcome)) = self.disk.step() {
                    self.deliver(owner, tag, outcome);
                }
            }
            None => self.nanos += 1_000_000,
        }
    }

    fn deliver(&mut self, owner: u16, tag: IoTag, outcome: IoOutcome) {
        self.note(&format!("{owner} {tag:?} {}", outcome.is_ok()));
        let now = self.now();
        if tag.0 >> 56 == u64::from(LAYOUT_SPACE) {
            if let Some(layout) = &mut self.layout {
                layout.on_io(tag, outcome, &mut self.io);
            }
        } else if let Some(store) = self.stores.get_mut(usize::from(owner)) {
            let known = store.on_io(tag, outcome, now, &mut self.io);
            assert!(known, "{tag:?} is the store's");
        }
        self.submit(owner);
    }

    /// One wake-up of every shard: the next event, background work, the end of the turn.
    pub fn turn(&mut self) {
        let mut more = false;
        for shard in 0..self.stores.len() {
            let now = self.now();
            let store = &mut self.stores[shard];
            more |= store.background(now, self.turn_bytes, &mut self.io);
            store.end_of_turn(now, &mut self.io);
            self.submit(shard as u16);
            self.collect(shard);
        }
        if more && self.disk.next_at().is_none_or(|at| at > self.nanos) {
            self.nanos += 10_000;
            return;
        }
        let deadline = self.stores.iter().filter_map(Store::next_deadline).min();
        match (self.disk.next_at(), deadline) {
            (None, Some(BootNanos(at))) if at > self.nanos => {
                self.nanos = at.min(self.nanos + 50_000_000)
            }
            _ => self.event(),
        }
        for shard in 0..self.stores.len() {
            self.collect(shard);
        }
    }

    /// Takes over what a store finished.
    pub fn collect(&mut self, shard: usize) {
        let store = &mut self.stores[shard];
        let durable = store.durable_tickets();
        let failed = store.failed_tickets();
        let reads = store.take_finished_reads();
        let tasks = store.take_finished_tasks();
        let fetched = store.take_fetched().into_iter();
        let fetched = fetched.map(|fetched| (fetched.ticket, fetched));
        self.reports.fetched.extend(fetched);
        if !durable.is_empty() {
            self.note(&format!("durable {durable:?}"));
        }
        self.reports.durable.extend(durable);
        self.reports.failed.extend(failed);
        self.reports.reads.extend(reads);
        for (ticket, result) in tasks {
            self.note(&format!("task {ticket} {}", result.is_ok()));
            self.reports.tasks.insert(ticket, result);
        }
    }

    /// Applies a mutation on its shard.
    pub fn apply(
        &mut self,
        token: Token,
        mutation: &[u8],
        id: Option<MutationId>,
    ) -> Result<u64, StoreError> {
        let ticket = self.ticket();
        let shard = self.shard(token);
        let now = self.now();
        self.stores[shard]
            .apply(mutation, id, ticket, now)
            .map(|_| ticket)
    }

    /// Reads on one shard, to the end.
    pub fn read(
        &mut self,
        shard: usize,
        command: &ReadCommand,
    ) -> Result<ReadResponse, StoreError> {
        let ticket = self.ticket();
        let now = self.now();
        match self.stores[shard].read(command, ticket, now, &mut self.io) {
            ReadProgress::Done(response) => return Ok(response),
            ReadProgress::Failed(error) => return Err(error),
            ReadProgress::Waiting => {}
        }
        self.submit(shard as u16);
        for _ in 0..1_000_000 {
            if let Some(result) = self.reports.reads.remove(&ticket) {
                return result;
            }
            self.turn();
        }
        panic!("a read never finished");
    }

    /// Runs until a read of the journal is finished.
    pub fn wait_fetched(&mut self, ticket: u64) -> Fetched {
        for _ in 0..1_000_000 {
            if let Some(fetched) = self.reports.fetched.remove(&ticket) {
                return fetched;
            }
            self.turn();
        }
        panic!("a read of the journal never finished");
    }

    /// Runs until the task is finished.
    pub fn wait(&mut self, ticket: u64) -> Result<(), StoreError> {
        for _ in 0..1_000_000 {
            if let Some(result) = self.reports.tasks.remove(&ticket) {
                return result;
            }
            self.turn();
        }
        let stats: Vec<_> = self
            .stores
            .iter()
            .map(|store| (store.write_error(), store.stats()))
            .collect();
        panic!("task {ticket} never finished: {stats:#?}");
    }

    /// Runs until this much virtual time has passed.
    pub fn pass(&mut self, millis: u64) {
        let until = self.nanos + millis * 1_000_000;
        while self.nanos < until {
            self.turn();
        }
    }

    /// The I/O queue, for calls on a store; hand it over with [`Self::flush_io`].
    pub fn with_store<T>(
        &mut self,
        shard: usize,
        call: impl FnOnce(&mut Store, Now, &mut IoQueue) -> T,
    ) -> T {
        let now = self.now();
        let result = call(&mut self.stores[shard], now, &mut self.io);
        self.submit(shard as u16);
        result
    }

    /// Loses power.
    pub fn crash(&mut self) {
        self.stores.clear();
        self.layout = None;
        self.disk.crash();
    }

    /// The process dies.
    pub fn kill(&mut self) {
        self.stores.clear();
        self.layout = None;
        self.disk.kill();
    }
}
