//! One shard's store: the commit log, the tables and the work on them, behind one type.
//!
//! The owner calls in with requests, outcomes of I/O and the time, and collects what is finished; nothing here waits,
//! sleeps or touches a file. One wake-up of the shard is: `on_io` for every outcome, `apply` and `read` for every
//! request, `background` for a share of the time, and `end_of_turn`, which submits the log's next batch.
//!
//! What must stay true:
//! - A mutation is in a memtable as soon as `apply` returns, and stays readable while it moves to an SSTable.
//! - The log is freed only up to the oldest mutation that no durable manifest covers.
//! - A file is removed only when no durable manifest lists it and no request on it is outstanding.

mod admin;
mod blocks;
mod cleanup;
mod compact;
mod flush;
mod job;
mod journal;
mod manifests;
mod proof;
mod reads;
mod recover;
mod refresh;
mod removal;
mod stats;
mod table;
mod verify;
mod write;

pub use cleanup::{KeptTokens, Rewritten};
pub use journal::Fetched;
pub use reads::ReadProgress;
pub use refresh::PLACED;
pub use removal::{Farewell, Removal};
pub use stats::{CompactionStats, JobKind, JobStats, StoreStats, TableStats};
pub use verify::{Closeness, Verified};
pub use write::Applied;

use crate::cache::BlockCache;
use crate::commitlog::{Health, Log, Position};
use crate::config::StoreConfig;
use crate::error::StoreError;
use crate::held::Held;
use crate::io::{Purpose, Requests};
use crate::memtable::Memtable;
use blocks::Loads;
use job::Job;
use model::env::{IoOutcome, IoQueue, IoRequest, IoTag};
use model::read::ReadResponse;
use model::schema::{Schema, TableId, TableKind};
use model::time::{BootNanos, Now};
use model::track::IdSet;
use reads::Reads;
use recover::Recovery;
use removal::DueFarewell;
use std::collections::BTreeMap;
use std::sync::Arc;
use table::TableState;

/// Milliseconds between two attempts at what a full disk or another error stopped.
const RETRY_MS: u64 = 1000;

/// What the store is doing on the whole.
#[derive(Debug)]
enum Phase {
    Recovering(Box<Recovery>),
    Ready,
    /// Recovery failed.
    Failed(StoreError),
    /// Everything is being flushed; the task waits for it.
    Draining(u64),
    Drained,
}

/// A task that waits for several things.
#[derive(Debug)]
struct Task {
    ticket: u64,
    left: usize,
    error: Option<StoreError>,
    /// SSTables that must not be removed meanwhile.
    holds: Vec<Arc<crate::sstable::SsTable>>,
    /// What comes next if nothing failed.
    then: Option<DueFarewell>,
}

/// What is due, and when something will be. Each is a hint: looking without need finds nothing.
#[derive(Debug, Default)]
struct Agenda {
    /// Manifests may have to be written.
    manifests: bool,
    /// Frozen memtables may wait for a job.
    flushes: bool,
    /// Compactions may be worth while.
    compactions: bool,
    /// The table that was flushed last, and the one that was compacted last: the others come first.
    flushed_last: Option<TableId>,
    compacted_last: Option<TableId>,
    /// Tables are looked at again for tombstones that came of age.
    recheck_at: Option<BootNanos>,
    /// Something that failed is tried again.
    retry_at: Option<BootNanos>,
    /// The next memtable that is flushed by its age.
    flush_at: Option<BootNanos>,
}

/// The earlier of two times, of which either may be none.
fn sooner(one: &mut Option<BootNanos>, other: BootNanos) {
    *one = Some(one.map_or(other, |one| one.min(other)));
}

/// Tables in the order in which they get their turn: those behind the last that had one, then those before. A table that is
/// always due, or always fails, keeps nobody else waiting.
fn in_turn(mut tables: Vec<TableId>, last: Option<TableId>) -> Vec<TableId> {
    let behind = tables.partition_point(|id| last.is_some_and(|last| *id <= last));
    tables.rotate_left(behind);
    tables
}

/// One shard's durable data.
#[derive(Debug)]
pub struct Store {
    config: StoreConfig,
    phase: Phase,
    requests: Requests,
    tables: BTreeMap<TableId, TableState>,
    log: Option<Log>,
    cache: BlockCache,
    loads: Loads,
    reads: Reads,
    jobs: BTreeMap<u64, Job>,
    next_job: u64,
    tasks: BTreeMap<u64, Task>,
    next_task: u64,
    /// Snapshots and marks to be made: what they wait for is flushed.
    farewells: Vec<DueFarewell>,
    next_sstable: u64,
    /// Verifications under way, and what the last of each table found until somebody asks.
    verifications: BTreeMap<u64, verify::Verification>,
    next_verification: u64,
    verified: BTreeMap<TableId, Verified>,
    /// Files that are placed and looked at or taken, and those that were taken last.
    placings: BTreeMap<u64, refresh::Placing>,
    next_placing: u64,
    placed: BTreeMap<TableId, Vec<crate::sstable::FileName>>,
    /// Memory of bloom filters.
    filter_bytes: usize,
    /// Bytes of all memtables.
    memtable_bytes: usize,
    /// Of these, bytes of frozen ones.
    frozen_bytes: usize,
    /// Memtables that are being given back piece by piece.
    decaying: Vec<Memtable>,
    /// What is to be looked at again, and when: so that a turn in which nothing is due costs nothing.
    agenda: Agenda,
    /// Files that are not listed any more and wait for their last request.
    retired: Vec<Arc<crate::sstable::SsTable>>,
    /// Files of dropped tables whose manifests are being removed.
    drops: BTreeMap<u64, Vec<Arc<crate::sstable::SsTable>>>,
    /// Of these, the ones that wait for a write of the manifest, with their requests.
    dropping: BTreeMap<TableId, (u64, Vec<IoRequest>)>,
    /// Ids that every replica is known to hold: what tombstones of tracked tables may be purged by.
    proven: IdSet,
    /// Which mutations the log holds, and which of them no other replica will ask for any more.
    held: Held,
    /// What of it the log had no payload of at the start: it was settled, or written with another number of shards.
    unjournaled: IdSet,
    released: IdSet,
    /// Reads of the log for other replicas, and what they brought.
    fetches: BTreeMap<u64, journal::Fetch>,
    next_fetch: u64,
    fetched: Vec<Fetched>,
    finished_reads: Vec<(u64, Result<ReadResponse, StoreError>)>,
    finished_tasks: Vec<(u64, Result<(), StoreError>)>,
    /// Compactions that ended and nobody heard of.
    compactions: Vec<CompactionStats>,
    /// Log records of tables the schema does not have, and records skipped because they were rotten.
    skipped_records: u64,
    /// What the operator should hear of.
    notices: Vec<String>,
}

impl Store {
    /// Begins opening a store on the tables of a schema. It is ready when [`Self::is_ready`] says so.
    pub fn open(config: StoreConfig, schema: &Arc<Schema>, now: Now, io: &mut IoQueue) -> Self {
        assert!(config.shard < config.shards, "a shard is one of the node's");
        let mut tables = BTreeMap::new();
        for keyspace in schema.keyspaces.values() {
            for table in keyspace
                .tables
                .values()
                .filter(|table| table.kind == TableKind::Stored)
            {
                let state = TableState::new(&config, table.clone(), keyspace.durable_writes);
                tables.insert(table.id, state);
            }
        }
        let mut store = Self {
            requests: Requests::new(config.io_space),
            phase: Phase::Recovering(Box::new(Recovery::new(&config))),
            tables,
            log: None,
            cache: BlockCache::new(config.cache_bytes),
            loads: Loads::default(),
            reads: Reads::default(),
            jobs: BTreeMap::new(),
            next_job: 0,
            tasks: BTreeMap::new(),
            next_task: 0,
            farewells: Vec::new(),
            next_sstable: 0,
            verifications: BTreeMap::new(),
            next_verification: 0,
            verified: BTreeMap::new(),
            placings: BTreeMap::new(),
            next_placing: 0,
            placed: BTreeMap::new(),
            filter_bytes: 0,
            memtable_bytes: 0,
            frozen_bytes: 0,
            decaying: Vec::new(),
            agenda: Agenda::default(),
            retired: Vec::new(),
            drops: BTreeMap::new(),
            dropping: BTreeMap::new(),
            proven: IdSet::default(),
            held: Held::default(),
            unjournaled: IdSet::default(),
            released: IdSet::default(),
            fetches: BTreeMap::new(),
            next_fetch: 0,
            fetched: Vec::new(),
            finished_reads: Vec::new(),
            finished_tasks: Vec::new(),
            compactions: Vec::new(),
            skipped_records: 0,
            notices: Vec::new(),
            config,
        };
        store.begin_recovery(now, io);
        store
    }

    /// Whether recovery is done. After a change of the number of shards all that this generation took over is durable, and the
    /// node must still commit the layout file, before the first write, when every shard is ready.
    pub fn is_ready(&self) -> bool {
        !matches!(self.phase, Phase::Recovering(_) | Phase::Failed(_))
    }

    /// Why recovery failed.
    pub fn recovery_error(&self) -> Option<&StoreError> {
        match &self.phase {
            Phase::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// What was found damaged since the last call and does not keep the store from serving, in words for the operator.
    pub fn take_notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }

    /// Why writes are refused, if they are: full disk, a failed log, draining.
    pub fn write_error(&self) -> Option<StoreError> {
        match &self.phase {
            Phase::Recovering(_) => return Some(StoreError::NotReady),
            Phase::Failed(error) => return Some(error.clone()),
            Phase::Draining(_) | Phase::Drained => return Some(StoreError::Drained),
            Phase::Ready => {}
        }
        match self.log.as_ref().map(Log::health) {
            Some(Health::Fine) => None,
            Some(Health::Stalled(error, _)) => Some(error.clone()),
            Some(Health::Poisoned(reason)) => Some(StoreError::Poisoned(reason.clone())),
            None => Some(StoreError::NotReady),
        }
    }

    /// Whether the store waits for an outcome with this tag.
    pub fn asked(&self, tag: IoTag) -> bool {
        self.requests.contains(tag)
    }

    /// Takes the outcome of a request; returns whether the tag was one of this store's.
    pub fn on_io(&mut self, tag: IoTag, outcome: IoOutcome, now: Now, io: &mut IoQueue) -> bool {
        let Some(purpose) = self.requests.finish(tag) else {
            return false;
        };
        match purpose {
            Purpose::Log(step) => {
                let log = self.log.as_mut().expect("the log asked for it");
                log.on_io(step, outcome, now, &mut self.requests, io);
                if let Phase::Recovering(_) = self.phase {
                    self.recovery_log_written(now, io);
                }
            }
            Purpose::Recovery(step) => self.recovery_on_io(step, outcome, now, io),
            Purpose::Blocks(load, _) => self.blocks_on_io(load, outcome, now, io),
            Purpose::Job(job) => self.job_on_io(job, outcome, now, io),
            Purpose::Manifest(table) => self.manifest_on_io(table, outcome, now, io),
            Purpose::Task(task) => {
                let error = outcome.err().map(|error| StoreError::io("snapshot", error));
                self.task_step(task, error);
                self.remove_retired(io);
            }
            Purpose::Drop(drop) => self.manifest_dropped(drop, io),
            Purpose::Fetch(fetch) => self.fetch_on_io(fetch, outcome, io),
            Purpose::Leftovers(path) => self.leftovers_listed(&path, outcome, io),
            Purpose::Verify(verification) => self.verify_on_io(verification, outcome, io),
            Purpose::Placed(placing) => self.placed_on_io(placing, outcome, now, io),
            Purpose::Nobody => {}
        }
        true
    }

    /// Ends a wake-up: what was appended to the log is submitted, what finished is acted on.
    pub fn end_of_turn(&mut self, now: Now, io: &mut IoQueue) {
        if let Some(log) = &mut self.log {
            if let Phase::Draining(_) = self.phase {
                log.sync_soon();
            }
            log.submit(now, &mut self.requests, io);
        }
        self.write_manifests(now, io);
        self.carry_out_farewells(io);
        self.check_drained();
    }

    /// Does up to `budget` bytes of work that nobody waits for at this moment: reads that yielded, flushes,
    /// compactions. 128 KiB take about half a millisecond. Returns whether there is more to do right away.
    pub fn background(&mut self, now: Now, budget: usize, io: &mut IoQueue) -> bool {
        if let Phase::Recovering(_) = self.phase {
            return self.recovery_work(now, budget, io);
        }
        if let Phase::Failed(_) = self.phase {
            return false;
        }
        self.attend(now);
        let more_reads = self.run_reads(budget, io);
        self.freeze_due(now);
        self.start_flushes(now, io);
        self.start_compactions(now, io);
        let more_work = self.run_jobs(now, budget, io);
        self.write_manifests(now, io);
        if let Some(memtable) = self.decaying.last_mut()
            && !memtable.decay()
        {
            self.decaying.pop();
        }
        more_reads || more_work || !self.decaying.is_empty()
    }

    /// Notes what has come due.
    fn attend(&mut self, now: Now) {
        let due = |at: &mut Option<BootNanos>| at.take_if(|at| now.boot >= *at).is_some();
        if due(&mut self.agenda.retry_at) {
            self.agenda.manifests = true;
            self.agenda.flushes = true;
            self.agenda.compactions = true;
            self.retry_jobs(now);
            // What failed later than the first is tried later.
            let manifests = self.tables.values().map(|state| state.manifest.retry_at);
            let jobs = self.jobs.values().map(Job::retry_at);
            let later = manifests.chain(jobs).flatten().filter(|at| *at > now.boot);
            self.agenda.retry_at = later.min();
        }
        if due(&mut self.agenda.recheck_at) {
            self.agenda.compactions = true;
            for state in self.tables.values_mut() {
                state.compaction_due |= !state.sstables.is_empty();
            }
        }
    }

    /// The next moment at which `end_of_turn` and `background` have something to do although nothing happens.
    pub fn next_deadline(&self) -> Option<BootNanos> {
        let log = self.log.as_ref().and_then(Log::next_deadline);
        let agenda = [
            self.agenda.recheck_at,
            self.agenda.retry_at,
            self.agenda.flush_at,
        ];
        agenda.into_iter().chain([log]).flatten().min()
    }

    /// Tickets of writes that became durable since the last call.
    pub fn durable_tickets(&mut self) -> Vec<u64> {
        self.log
            .as_mut()
            .map(|log| std::mem::take(log.durable()))
            .unwrap_or_default()
    }

    /// Tickets of writes that may not be durable: the log could not be written.
    pub fn failed_tickets(&mut self) -> Vec<(u64, StoreError)> {
        self.log
            .as_mut()
            .map(|log| std::mem::take(log.failed()))
            .unwrap_or_default()
    }

    /// Reads that finished after they had to wait.
    pub fn take_finished_reads(&mut self) -> Vec<(u64, Result<ReadResponse, StoreError>)> {
        std::mem::take(&mut self.finished_reads)
    }

    /// Flushes, compactions, truncations, snapshots, verifications and drains that finished.
    pub fn take_finished_tasks(&mut self) -> Vec<(u64, Result<(), StoreError>)> {
        std::mem::take(&mut self.finished_tasks)
    }

    /// The first segment of the log that memtables need.
    fn floor_segment(&self) -> u64 {
        let end = self.log.as_ref().map(Log::end);
        let floor = self.log_floor().or(end);
        floor.unwrap_or_default().segment
    }

    fn log_floor(&self) -> Option<Position> {
        self.tables.values().filter_map(TableState::log_floor).min()
    }

    /// Begins a task that waits for `left` things; one that waits for nothing is finished at once.
    fn new_task(&mut self, ticket: u64, left: usize) -> u64 {
        self.next_task += 1;
        if left == 0 {
            self.finished_tasks.push((ticket, Ok(())));
        } else {
            let task = Task {
                ticket,
                left,
                error: None,
                holds: Vec::new(),
                then: None,
            };
            self.tasks.insert(self.next_task, task);
        }
        self.next_task
    }

    /// One of the things a task waits for is done, or failed.
    fn task_step(&mut self, id: u64, error: Option<StoreError>) {
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        task.left -= 1;
        task.error = task.error.take().or(error);
        if task.left == 0 {
            let task = self.tasks.remove(&id).expect("found above");
            for table in &task.holds {
                table
                    .in_flight
                    .fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
            }
            match (task.error, task.then) {
                (Some(error), _) => self.finished_tasks.push((task.ticket, Err(error))),
                (None, Some(farewell)) => self.farewells.push(farewell),
                (None, None) => self.finished_tasks.push((task.ticket, Ok(()))),
            }
        }
    }
}
