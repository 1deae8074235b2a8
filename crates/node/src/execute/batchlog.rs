//! Logged batches over several partitions: written down whole before any part is applied, so that all of a batch
//! happens or nothing of it.
//!
//! The log is the table `system.batches`, as in Cassandra: a row a batch, kept by the shard that owns the batch's id,
//! which is the shard that coordinates it. Invariants:
//! - no part is sent before the row is durable;
//! - the row is deleted only when every part is durable;
//! - a row that no operation works on is replayed: after a start, and some seconds after a batch ended without all of
//!   its parts. Parts carry the timestamps they were first given, so applying them twice is applying them once.

use super::operation::Operation;
use crate::effects::{Effects, LogLevel};
use crate::message::ReplicaError;
use crate::replica::Caller;
use crate::reply::Reply;
use crate::shard::Shard;
use crate::system::row::SystemRow;
use cluster::coordinate::write::{Progress, WriteSet};
use cql::plan::modify::oversized;
use model::clustering::Slice;
use model::error::{Consistency, WriteType};
use model::filter::RowFilter;
use model::key::{self, DecoratedKey};
use model::limits::MAX_MUTATION_BYTES;
use model::mutation::{Mutation, MutationView};
use model::read::{
    Columns, Dead, Direction, KeyRange, Limits, Partitions, ReadCommand, ReadEntry, ReadResponse,
    Resume,
};
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
    /// When to look for others; `None` while there is nothing to look for, or the search is on.
    replay_at: Option<BootNanos>,
}

/// What a write has to do with the batch log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchWrite {
    /// Its mutations are the parts of this batch.
    Parts(Uuid),
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
    /// The write of the batch's row.
    row: WriteSet,
    /// When the client is told to give up.
    pub deadline: BootNanos,
}

/// Batches that are being applied again, one after the other.
#[derive(Debug, Default)]
pub struct ReplayOperation {
    /// The batch at hand is the first: its id and its parts.
    batches: VecDeque<(Uuid, Vec<Vec<u8>>)>,
    /// Parts of the batch at hand that are not durable yet.
    left: usize,
    /// Why a part of it could not be applied.
    failed: Option<ReplicaError>,
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
        }
    }

    /// When the log wants to be looked through.
    pub fn next_deadline(&self) -> Option<BootNanos> {
        self.replay_at
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
        ReadCommand {
            table: self.table.id,
            partitions: Partitions::Range(KeyRange::all()),
            slices: vec![Slice::all()],
            direction: Direction::Forward,
            columns: Columns::All,
            static_counts: false,
            filter: RowFilter::default(),
            limits: Limits {
                rows: REPLAY_PAGE,
                ..Limits::NONE
            },
            resume,
            now_seconds: now.wall.seconds(),
            purge_before: i64::MIN,
            dead: Dead::Dropped,
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
        let operation = LogOperation {
            reply,
            id,
            parts,
            write,
            row: self.local_write(level, WriteType::BatchLog),
            deadline: now.boot.plus_millis(self.config.write_timeout_ms),
        };
        let sends = operation.row.sends();
        let number = self.operations.insert(Operation::Log(Box::new(operation)));
        let mut row = (self.owner(batch_key(id).token), entry);
        for send in sends {
            self.send(send, std::mem::take(&mut row), false, number, now, out);
        }
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
        let replica = self.endpoint();
        let Some(Operation::Log(operation)) = self.operations.get_mut(number) else {
            return;
        };
        let Progress::Done(ended) = replica.wrote(&mut operation.row, 0, result) else {
            return;
        };
        let Some(Operation::Log(operation)) = self.operations.remove(number) else {
            return;
        };
        let LogOperation {
            reply,
            id,
            parts,
            write,
            ..
        } = *operation;
        match ended {
            Ok(()) => {
                let batch = Some(BatchWrite::Parts(id));
                self.send_parts(parts, write, Some(reply), batch, now, out);
            }
            Err(error) => {
                self.batchlog.leave(id, now);
                self.fail(&reply, &error, now, out);
            }
        }
    }

    /// The deadline passed before the batch was written down; whether it happens is open.
    pub(super) fn batch_log_time_out(
        &mut self,
        operation: LogOperation,
        now: Now,
        out: &mut Effects,
    ) {
        self.batchlog.leave(operation.id, now);
        let error = operation.row.on_timeout();
        self.fail(&operation.reply, &error, now, out);
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
            (BatchWrite::Parts(id), Ended::Durable) => self.forget_batch(id, now, out),
            (BatchWrite::Removal(id), Ended::Durable) => {
                self.batchlog.in_flight.remove(&id);
            }
            (BatchWrite::Parts(id) | BatchWrite::Removal(id), Ended::Open) => {
                self.batchlog.leave(id, now);
            }
        }
    }

    /// Every part of the batch is durable: its row goes.
    fn forget_batch(&mut self, id: Uuid, now: Now, out: &mut Effects) {
        self.batchlog.in_flight.insert(id);
        let mut deletion = Mutation::new(batch_key(id));
        deletion.update(self.batchlog.table.id).delete(Deletion {
            timestamp: self.clock.next(now),
            local_seconds: now.wall.seconds(),
        });
        let write = self.local_write(Consistency::One, WriteType::Simple);
        let parts = self.encode_parts(&[deletion]);
        let purpose = Some(BatchWrite::Removal(id));
        self.send_parts(parts, write, None, purpose, now, out);
    }

    /// Looks for batches that nobody works on, when it is time to.
    pub(crate) fn replay_batches(&mut self, now: Now, out: &mut Effects) {
        if self.batchlog.replay_at.is_some_and(|at| now.boot >= at) {
            self.batchlog.replay_at = None;
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
                self.forget_batch(id, now, out);
                continue;
            }
            replay.left = parts.len();
            let number = self.operations.insert(Operation::Replay(replay));
            for part in parts {
                let view = MutationView::parse(&part).expect("parsed when it was read");
                let owner = self.owner(view.token);
                self.send_part(owner, part, false, number.into(), now, out);
            }
            return;
        }
        if replay.next.is_some() {
            return self.replay_page(replay, now, out);
        }
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

    /// A part that was applied again is durable, or could not be applied.
    pub(crate) fn replay_applied(
        &mut self,
        number: u64,
        result: Result<(), ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Replay(replay)) = self.operations.get_mut(number) else {
            return;
        };
        replay.left -= 1;
        if let Err(error) = result {
            replay.failed.get_or_insert(error);
        }
        if replay.left > 0 {
            return;
        }
        let Some(Operation::Replay(mut replay)) = self.operations.remove(number) else {
            unreachable!("just found")
        };
        let (id, _) = replay.batches.pop_front().expect("one is at hand");
        match replay.failed.take() {
            None => {
                replay.counts.0 += 1;
                self.forget_batch(id, now, out);
            }
            Some(error) => {
                replay.counts.1 += 1;
                let text = format!(
                    "batch {id} is unfinished, and tried again in {RETRY_MS} ms: {error:?}"
                );
                out.log.push((LogLevel::Warn, text));
            }
        }
        self.replay_next(replay, now, out);
    }
}
