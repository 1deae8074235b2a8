//! Logged batches over several partitions: written down whole before any part is applied, so that all of a batch
//! happens or nothing of it.
//!
//! The log is the table `system.batches`, as in Cassandra: a row a batch, kept by the shard that owns the batch's id. Its holders are two
//! other nodes ([`cluster::coordinate::batchlog`]); a node alone keeps it itself, on the shard that coordinates the batch. Invariants:
//! - no part is sent before the row is durable with its holders;
//! - the row gets no id (docs/tracking.md): its holders replicate nothing together, and one that has removed it must not fetch it again;
//! - the row is deleted only when every part has reached the batch's level;
//! - a row that no operation works on is replayed by each holder: after a start, some seconds after a batch ended without all of
//!   its parts, and where its coordinator is another node once that has had its time. Parts carry the timestamps they were first
//!   given, so applying them twice is applying them once.

use super::modify::WriteOperation;
use super::operation::Operation;
use crate::effects::{Effects, LogLevel};
use crate::message::ReplicaError;
use crate::replica::Caller;
use crate::reply::Reply;
use crate::shard::Shard;
use crate::system::row::SystemRow;
use cluster::coordinate::batchlog::{Holders, holders};
use cluster::coordinate::write::WriteSet;
use cluster::coordinate::{Access, ReplicaPlan};
use cluster::topology::NodeId;
use cql::plan::modify::oversized;
use model::env::Random;
use model::error::{Consistency, RequestError, WriteType};
use model::key::{self, DecoratedKey};
use model::limits::MAX_MUTATION_BYTES;
use model::mutation::{Mutation, MutationView};
use model::read::{KeyRange, Limits, Partitions, ReadCommand, ReadEntry, ReadResponse, Resume};
use model::row::{Deletion, Row};
use model::schema::{Keyspace, Table, TableKind};
use model::time::{BootNanos, Now};
use model::value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use uuid::Uuid;

/// Version of the parts' encoding, in the column `version`: that of a mutation in the commit log.
const VERSION: i32 = 1;
/// Batches read at once to be applied again.
const REPLAY_PAGE: u64 = 16;
/// How long after a batch ended without all of its parts it is tried again, in milliseconds: Cassandra's
/// `BatchlogManager` goes round as often.
const RETRY_MS: u64 = 10_000;
/// Ids tried, for each shard of the node, to find one that this shard owns: all fail less than once in 10^27 batches.
const ID_ATTEMPTS: u32 = 64;

/// The log of one shard.
pub struct Batchlog {
    table: Arc<Table>,
    /// Batches an operation of this shard works on.
    in_flight: BTreeSet<Uuid>,
    /// When to look for others; `None` while there is nothing to look for.
    replay_at: Option<BootNanos>,
    /// Whether the search is on.
    is_replaying: bool,
}

/// What a write has to do with the batch log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchWrite {
    /// Its mutations are the parts of this batch, which these nodes keep.
    Parts(Uuid, Holders),
    /// It removes the row of this batch.
    Removal(Uuid),
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All of it is durable.
    Durable,
    /// Some of it may not be.
    Open,
}

/// A batch that is being written down.
#[derive(Debug)]
pub struct LogOperation {
    reply: Reply,
    id: Uuid,
    /// Owners and encoded mutations.
    parts: Vec<(u16, Vec<u8>)>,
    /// The write of the parts, once the batch is written down.
    write: WriteSet,
    /// Who keeps the batch.
    holders: Holders,
}

/// Batches that are being applied again, one after the other.
#[derive(Debug, Default)]
pub struct ReplayOperation {
    /// The batch at hand is the first: its id and its parts.
    batches: VecDeque<(Uuid, Vec<Vec<u8>>)>,
    /// Batches applied, and batches that have to be tried again.
    counts: (u64, u64),
    /// Where the search goes on.
    next: Option<Resume>,
}

impl Batchlog {
    /// The log of a shard that just started: what an earlier process left in it is looked for at once.
    pub fn new(virtual_keyspaces: &BTreeMap<String, Arc<Keyspace>>) -> Self {
        let table = virtual_keyspaces["system"].tables["batches"].clone();
        assert_eq!(table.kind, TableKind::Stored, "batches survive a crash");
        Self {
            table,
            in_flight: BTreeSet::new(),
            replay_at: Some(BootNanos(0)),
            is_replaying: false,
        }
    }

    /// When the log wants to be looked through.
    pub fn next_deadline(&self) -> Option<BootNanos> {
        self.replay_at.filter(|_| !self.is_replaying)
    }

    /// Another node may have written down a batch: it is looked for at this time.
    pub(super) fn expect(&mut self, mutation: &[u8], at: BootNanos) {
        if self.replay_at.is_none() && self.has(mutation) {
            self.replay_at = Some(at);
        }
    }

    /// Whether an encoded mutation is of the log itself: writes a batch down, or removes it.
    pub(crate) fn has(&self, mutation: &[u8]) -> bool {
        let view = MutationView::parse(mutation);
        let table = view.and_then(|view| view.updates().next());
        table.is_some_and(|(table, _)| table == self.table.id)
    }

    /// The row of a batch.
    fn entry(&self, id: Uuid, parts: &[(u16, Vec<u8>)], timestamp: i64) -> Mutation {
        let mutations = parts.iter().map(|(_, mutation)| mutation.as_slice());
        SystemRow::new(&self.table, timestamp)
            .set("mutations", &value::join_collection(parts.len(), mutations))
            .set("version", &VERSION.to_be_bytes())
            .finish(&batch_key(id), &[])
    }

    /// An operation works on the batch no more and did not see all of it applied.
    pub(super) fn leave(&mut self, id: Uuid, now: Now) {
        if self.in_flight.remove(&id) && self.replay_at.is_none() {
            self.replay_at = Some(now.boot.plus_millis(RETRY_MS));
        }
    }

    /// Reads the next batches.
    fn command(&self, resume: Option<Resume>, now: Now) -> ReadCommand {
        let all = Partitions::Range(KeyRange::all());
        ReadCommand {
            static_counts: false,
            limits: Limits {
                rows: REPLAY_PAGE,
                ..Limits::NONE
            },
            resume,
            ..ReadCommand::all(self.table.id, all, now.wall.seconds())
        }
    }

    /// The parts of a row, and when they were written, in microseconds. `None` if it is not one we understand.
    fn parts<'a>(&self, row: &'a [u8]) -> Option<(i64, Vec<&'a [u8]>)> {
        let row = Row::parse(row)?;
        let version = row.cell(self.table.column("version")?.id)?.value;
        if version != VERSION.to_be_bytes() {
            return None;
        }
        let mutations = self.table.column("mutations")?.id;
        let written_at = row.liveness?.timestamp;
        let cells = row.cells().filter(|cell| cell.column == mutations);
        Some((written_at, cells.map(|cell| cell.value).collect()))
    }
}

fn batch_key(id: Uuid) -> DecoratedKey {
    DecoratedKey::new(key::join(&[id.as_bytes().as_slice()]))
}

impl Shard {
    /// Writes a batch down, then sends its parts to their owners.
    pub(super) fn write_logged(
        &mut self,
        mutations: &[Mutation],
        write: WriteSet,
        level: Consistency,
        mut reply: Reply,
        now: Now,
        out: &mut Effects,
    ) {
        let parts = self.encode_parts(mutations);
        let mut holders = holders(&self.topology, self.random.next_u64());
        if holders.is_empty() && level == Consistency::Any {
            holders.push(self.topology.local);
        }
        if holders.is_empty() {
            let error = RequestError::Unavailable {
                consistency: Consistency::One,
                required: 1,
                alive: 0,
            };
            return self.fail(&reply, &error, now, out);
        }
        let id = self.batch_id(now);
        let timestamp = self.clock.next(now);
        let entry = self.batchlog.entry(id, &parts, timestamp).encode();
        if entry.len() > MAX_MUTATION_BYTES {
            let error = oversized(entry.len());
            return self.fail(&reply, &error, now, out);
        }
        reply.note(|| {
            format!(
                "Writing a batch of {} mutations to the batch log",
                parts.len()
            )
        });
        self.batchlog.in_flight.insert(id);
        let plan = ReplicaPlan::of_all(level, holders.iter().copied(), &self.topology);
        let row = WriteSet::new(WriteType::BatchLog, [Ok(plan)]).expect("a plan there is");
        let operation = LogOperation {
            reply,
            id,
            parts,
            write,
            holders,
        };
        let number = self.operations.insert(Operation::Log(Box::new(operation)));
        let deadline = now.boot.plus_millis(self.config.write_timeout_ms);
        let row = WriteOperation::of(Caller::Local(number.into()), row, deadline);
        let part = (self.owner(batch_key(id).token), entry);
        self.send_write(vec![part], row, now, out);
    }

    /// An id whose row this shard owns, so that writing it down costs no way to another shard.
    fn batch_id(&mut self, now: Now) -> Uuid {
        let attempts = u32::from(self.config.shards) * ID_ATTEMPTS;
        let mut id = self.random.time_uuid(now);
        for _ in 0..attempts {
            if self.owner(batch_key(id).token) == self.number {
                break;
            }
            id = self.random.time_uuid(now);
        }
        id
    }

    /// The batch is written down, or could not be.
    pub(crate) fn batch_logged(
        &mut self,
        number: u64,
        result: Result<(), ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Log(operation)) = self.operations.remove(number) else {
            return;
        };
        let LogOperation {
            reply,
            id,
            parts,
            write,
            holders,
        } = *operation;
        match result {
            Ok(()) => {
                let level = write.level();
                let plan = |(_, part): &(u16, Vec<u8>)| self.plan_part(part, level);
                // What was planned before the ring changed is planned again; if that cannot be reached the batch is left to be
                // replayed, and who waits hears that it is not known.
                let write = if write.epoch(0) == self.topology.epoch {
                    write
                } else {
                    WriteSet::new(WriteType::Batch, parts.iter().map(plan)).unwrap_or(write)
                };
                let batch = Some(BatchWrite::Parts(id, holders));
                self.send_parts(parts, write, Some(reply), batch, now, out);
            }
            // Whether it happens is open.
            Err(error) => {
                self.batchlog.leave(id, now);
                let error = match error {
                    ReplicaError::Told(error) => *error,
                    other => RequestError::Server(other.into_text()),
                };
                self.fail(&reply, &error, now, out);
            }
        }
    }

    /// A write for the batch log or of what is in it has ended.
    pub(super) fn batch_write_ended(
        &mut self,
        purpose: BatchWrite,
        ended: Ended,
        now: Now,
        out: &mut Effects,
    ) {
        match (purpose, ended) {
            (BatchWrite::Parts(id, holders), Ended::Durable) => {
                self.forget_batch(id, &holders, now, out);
            }
            (BatchWrite::Removal(id), Ended::Durable) => {
                self.batchlog.in_flight.remove(&id);
            }
            (BatchWrite::Parts(id, _) | BatchWrite::Removal(id), Ended::Open) => {
                self.batchlog.leave(id, now);
            }
        }
    }

    /// Every part of the batch is where it must be: its row goes. A holder that does not hear of it applies the batch once more.
    fn forget_batch(&mut self, id: Uuid, holders: &[NodeId], now: Now, out: &mut Effects) {
        self.batchlog.in_flight.insert(id);
        let mut deletion = Mutation::new(batch_key(id));
        deletion.update(self.batchlog.table.id).delete(Deletion {
            timestamp: self.clock.next(now),
            local_seconds: now.wall.seconds(),
        });
        let alive = self.topology.nodes.iter().filter(|node| node.alive);
        let alive = alive.map(|node| node.id).filter(|id| holders.contains(id));
        let plan = ReplicaPlan::of_all(Consistency::One, alive, &self.topology);
        if plan.replicas.is_empty() {
            return self.batchlog.leave(id, now);
        }
        let write = WriteSet::new(WriteType::Simple, [Ok(plan)]).expect("a plan there is");
        let parts = self.encode_parts(&[deletion]);
        let purpose = Some(BatchWrite::Removal(id));
        self.send_parts(parts, write, None, purpose, now, out);
    }

    /// Looks for batches that nobody works on, when it is time to.
    pub(crate) fn replay_batches(&mut self, now: Now, out: &mut Effects) {
        if self
            .batchlog
            .next_deadline()
            .is_some_and(|at| now.boot >= at)
        {
            self.batchlog.replay_at = None;
            self.batchlog.is_replaying = true;
            self.replay_page(Box::default(), now, out);
        }
    }

    fn replay_page(&mut self, mut replay: Box<ReplayOperation>, now: Now, out: &mut Effects) {
        let command = self.batchlog.command(replay.next.take(), now);
        let number = self.operations.insert(Operation::Replay(replay));
        if let Some(result) =
            self.replica
                .read(&command, Caller::Local(number.into()), now, &mut out.io)
        {
            self.replay_read(number, result, now, out);
        }
    }

    /// Rows of the log: applies those that nobody works on.
    pub(crate) fn replay_read(
        &mut self,
        number: u64,
        result: Result<ReadResponse, ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                self.operations.remove(number);
                self.batchlog.is_replaying = false;
                self.batchlog.replay_at = Some(now.boot.plus_millis(RETRY_MS));
                let text = format!("the batch log could not be read: {error:?}");
                return out.log.push((LogLevel::Error, text));
            }
        };
        let Some(Operation::Replay(mut replay)) = self.operations.remove(number) else {
            return;
        };
        let mut last = None;
        for entry in response.entries() {
            match entry {
                ReadEntry::Partition { key, .. } => last = Some(DecoratedKey::new(key)),
                ReadEntry::Row { row, .. } => {
                    let Some(key) = &last else { continue };
                    match (Uuid::from_slice(&key.key), self.batchlog.parts(row)) {
                        (Ok(id), _) if self.batchlog.in_flight.contains(&id) => {}
                        // Its coordinator may be at it still.
                        (Ok(_), Some((written_at, _))) if self.is_young(written_at, now) => {
                            replay.counts.1 += 1;
                        }
                        (Ok(id), Some((written_at, mutations))) => {
                            // Its row must be older than what removes it.
                            self.clock.observe(written_at);
                            let parts = mutations.into_iter();
                            let parts =
                                parts.filter_map(|part| self.still_wanted(part, written_at));
                            replay.batches.push_back((id, parts.collect()));
                        }
                        _ => out.log.push((
                            LogLevel::Error,
                            format!(
                                "system.batches holds a row of another version: {:02x?}",
                                key.key
                            ),
                        )),
                    }
                }
                ReadEntry::Static(_) | ReadEntry::Range { .. } => {}
            }
        }
        replay.next = last.filter(|_| response.more).map(|key| Resume {
            key,
            clustering: None,
            left_in_partition: 0,
            gave_rows: true,
        });
        self.replay_next(replay, now, out);
    }

    /// Applies the next batch, reads the next page, or ends.
    fn replay_next(&mut self, mut replay: Box<ReplayOperation>, now: Now, out: &mut Effects) {
        while let Some((id, parts)) = replay.batches.front_mut() {
            let (id, parts) = (*id, std::mem::take(parts));
            if parts.is_empty() {
                replay.batches.pop_front();
                replay.counts.0 += 1;
                self.forget_own_batch(id, now, out);
                continue;
            }
            let plans: Vec<_> = parts.iter().map(|part| self.replay_plan(part)).collect();
            let write = match WriteSet::new(WriteType::UnloggedBatch, plans) {
                Ok(write) => write,
                Err(error) => {
                    replay.batches.pop_front();
                    replay.counts.1 += 1;
                    log_unfinished(id, &error.to_string(), out);
                    continue;
                }
            };
            let number = self.operations.insert(Operation::Replay(replay));
            let deadline = now.boot.plus_millis(self.config.write_timeout_ms);
            let write = WriteOperation::of(Caller::Local(number.into()), write, deadline);
            let owner = |part: &[u8]| {
                let view = MutationView::parse(part).expect("parsed when it was read");
                self.owner(view.token)
            };
            let parts = parts.into_iter().map(|part| (owner(&part), part)).collect();
            return self.send_write(parts, write, now, out);
        }
        if replay.next.is_some() {
            return self.replay_page(replay, now, out);
        }
        self.batchlog.is_replaying = false;
        let (applied, left) = replay.counts;
        self.metrics.batches_replayed += applied;
        if left > 0 {
            self.batchlog.replay_at = Some(now.boot.plus_millis(RETRY_MS));
        }
        if applied > 0 {
            let text = format!("{applied} logged batches that were left unfinished are applied");
            out.log.push((LogLevel::Info, text));
        }
    }

    /// What of a part is to be applied again: not what changes tables that were dropped or truncated since.
    fn still_wanted(&self, part: &[u8], written_at: i64) -> Option<Vec<u8>> {
        MutationView::retain(part, |table| {
            let stats = self.replica.store.table_stats(table);
            stats.is_some_and(|stats| stats.truncated_at < written_at)
        })
    }

    /// Whether a batch's coordinator, another node, may still work on it.
    fn is_young(&self, written_at: i64, now: Now) -> bool {
        let grace = 1_000 * self.batch_grace_ms() as i64;
        self.topology.nodes.len() > 1 && written_at.saturating_add(grace) > now.wall.0
    }

    /// How long the coordinator of a batch has for it, in milliseconds: twice its timeout, as in Cassandra.
    pub(super) fn batch_grace_ms(&self) -> u64 {
        2 * self.config.write_timeout_ms
    }

    /// Who is sent a part that is applied again: a quorum has to have it, or one if there is none.
    fn replay_plan(&self, part: &[u8]) -> Result<ReplicaPlan, RequestError> {
        let plan = |level| self.plan_part(part, level);
        plan(Consistency::Quorum).or_else(|_| plan(Consistency::One))
    }

    /// Who is sent a part of a batch, found by the tables it changes.
    fn plan_part(&self, part: &[u8], level: Consistency) -> Result<ReplicaPlan, RequestError> {
        let view = MutationView::parse(part).expect("parsed when it was read");
        let (table, _) = view.updates().next().expect("it changes something");
        let Some(table) = self.schema.tables().find(|known| known.id == table) else {
            return Ok(ReplicaPlan::local(Consistency::One, &self.topology));
        };
        self.admit(Access::Batch, level, &table.keyspace, view.token)
    }

    /// A batch that this node keeps is done.
    fn forget_own_batch(&mut self, id: Uuid, now: Now, out: &mut Effects) {
        let own = self.topology.local;
        self.forget_batch(id, &[own], now, out);
    }

    /// All parts of a batch that was applied again are where they must be, or could not be applied.
    pub(crate) fn replay_applied(
        &mut self,
        number: u64,
        result: Result<(), ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Replay(mut replay)) = self.operations.remove(number) else {
            return;
        };
        let (id, _) = replay.batches.pop_front().expect("one is at hand");
        match result {
            Ok(()) => {
                replay.counts.0 += 1;
                self.forget_own_batch(id, now, out);
            }
            Err(error) => {
                replay.counts.1 += 1;
                log_unfinished(id, &error.into_text(), out);
            }
        }
        self.replay_next(replay, now, out);
    }
}

fn log_unfinished(id: Uuid, why: &str, out: &mut Effects) {
    let text = format!("batch {id} is unfinished, and tried again in {RETRY_MS} ms: {why}");
    out.log.push((LogLevel::Warn, text));
}
