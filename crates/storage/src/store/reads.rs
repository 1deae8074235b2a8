//! Reads: answered at once when everything is in memory, otherwise resumed when their blocks are there.

use super::Store;
use super::blocks::Waiter;
use crate::cache::BlockKey;
use crate::error::StoreError;
use crate::memtable::Memtable;
use crate::merge::{Fetch, Merged, Outcome, Pins, Stop, View, Walk, Want};
use crate::read::{Answer, Point, Projection, Responder, point};
use model::env::IoQueue;
use model::read::{KeyBound, Partitions, ReadCommand, ReadResponse};
use model::time::Now;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Bytes a read may walk before it lets others go first: about half a millisecond.
const RUN_BYTES: usize = 256 << 10;
/// Most bytes read ahead at once.
const MAX_AHEAD_BYTES: usize = 256 << 10;

/// What became of a read so far.
#[derive(Debug)]
pub enum ReadProgress {
    /// It is answered.
    Done(ReadResponse),
    /// It waits for the disk, or for its turn: it comes out of [`Store::take_finished_reads`].
    Waiting,
    /// It cannot be answered.
    Failed(StoreError),
}

/// A read under way.
#[derive(Debug)]
struct ReadOperation {
    command: ReadCommand,
    state: ReadState,
}

impl ReadOperation {
    /// Bytes its answer takes so far.
    fn held(&self) -> usize {
        self.state.answer.response.bytes.len()
    }
}

/// How far a read is.
#[derive(Debug)]
struct ReadState {
    answer: Answer,
    /// `None` until the attempt to read it as one row has failed.
    walk: Option<Walk>,
    pins: Pins,
    waits: usize,
    ahead_bytes: usize,
}

/// Reads under way, by ticket.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    operations: BTreeMap<u64, ReadOperation>,
    runnable: VecDeque<u64>,
    /// Bytes of the answers of `operations`.
    bytes: usize,
    merged: Merged,
}

impl Reads {
    /// Reads under way.
    pub(crate) fn len(&self) -> usize {
        self.operations.len()
    }
}

impl Store {
    /// Reads. Tickets of reads under way are unique.
    pub fn read(
        &mut self,
        command: &ReadCommand,
        ticket: u64,
        _now: Now,
        io: &mut IoQueue,
    ) -> ReadProgress {
        if !self.is_ready() {
            return ReadProgress::Failed(StoreError::NotReady);
        }
        let Some(state) = self.tables.get_mut(&command.table) else {
            return ReadProgress::Failed(StoreError::UnknownTable(command.table));
        };
        state.counters.reads += 1;
        let mut state = ReadState {
            answer: Answer::new(command),
            walk: None,
            pins: Pins::default(),
            waits: 0,
            ahead_bytes: 0,
        };
        match self.run_read(command, &mut state, ticket, io) {
            Some(Ok(response)) => ReadProgress::Done(response),
            Some(Err(error)) => ReadProgress::Failed(error),
            None => {
                let command = command.clone();
                match self.keep_read(ticket, ReadOperation { command, state }) {
                    Ok(()) => ReadProgress::Waiting,
                    Err(error) => ReadProgress::Failed(error),
                }
            }
        }
    }

    /// Forgets a read under way; whether there was one.
    pub fn cancel(&mut self, ticket: u64) -> bool {
        self.take_read(ticket).is_some()
    }

    /// Keeps a read that has to wait, unless all that wait hold too much.
    fn keep_read(&mut self, ticket: u64, operation: ReadOperation) -> Result<(), StoreError> {
        let (held, budget) = (operation.held(), self.config.answer_bytes);
        // One alone always goes on: a command's own limit bounds it.
        if self.reads.bytes > 0 && self.reads.bytes + held > budget {
            let bytes = self.reads.bytes + held;
            return Err(StoreError::TooManyAnswers { bytes, budget });
        }
        self.reads.bytes += held;
        let earlier = self.reads.operations.insert(ticket, operation);
        assert!(earlier.is_none(), "tickets of reads under way are unique");
        Ok(())
    }

    fn take_read(&mut self, ticket: u64) -> Option<ReadOperation> {
        let operation = self.reads.operations.remove(&ticket)?;
        self.reads.bytes -= operation.held();
        Some(operation)
    }

    /// Runs a read until it is finished (`Some`) or has to wait.
    fn run_read(
        &mut self,
        command: &ReadCommand,
        read: &mut ReadState,
        ticket: u64,
        io: &mut IoQueue,
    ) -> Option<Result<ReadResponse, StoreError>> {
        let Some(state) = self.tables.get(&command.table) else {
            return Some(Err(StoreError::Superseded));
        };
        let mut wanted: Vec<Want> = Vec::new();
        let (alone, several);
        let memtables: &[&Memtable] = if state.frozen.is_empty() {
            alone = [&state.active];
            &alone
        } else {
            several = state.memtables();
            &several
        };
        let view = View {
            memtables,
            sstables: &state.sstables,
        };
        let mut fetch = Fetch {
            cache: Some(&self.cache),
            pins: &mut read.pins,
            wanted: &mut wanted,
            ahead_bytes: read.ahead_bytes,
        };
        let mut responder = Responder {
            command,
            table: &state.table,
            projection: Projection {
                known: state.known_columns.as_deref(),
                columns: &command.columns,
            },
            answer: &mut read.answer,
        };
        let mut budget = RUN_BYTES;
        let outcome = match &mut read.walk {
            Some(walk) => walk.run(view, &mut fetch, &mut responder, &mut budget),
            none => match point(view, &mut responder, &mut self.reads.merged, &mut fetch) {
                Ok(Point::Answered) => Outcome::Finished,
                Err(Stop::Missing) => Outcome::Missing,
                Err(Stop::Failed(error)) => Outcome::Failed(error),
                Ok(Point::NotOne) => {
                    none.insert(walk(command))
                        .run(view, &mut fetch, &mut responder, &mut budget)
                }
            },
        };
        self.settle_read(command, read, ticket, outcome, &wanted, io)
    }

    /// Acts on how a run of a read ended.
    fn settle_read(
        &mut self,
        command: &ReadCommand,
        read: &mut ReadState,
        ticket: u64,
        outcome: Outcome,
        wanted: &[Want],
        io: &mut IoQueue,
    ) -> Option<Result<ReadResponse, StoreError>> {
        let tombstones = read.answer.response.tombstones;
        if tombstones > command.limits.tombstones {
            return Some(Err(StoreError::TooManyTombstones(tombstones)));
        }
        match outcome {
            Outcome::Finished => Some(Ok(std::mem::take(&mut read.answer.response))),
            Outcome::Failed(error) => Some(Err(error)),
            Outcome::Yielded => {
                read.pins.end_run();
                self.reads.runnable.push_back(ticket);
                None
            }
            Outcome::Missing => {
                read.pins.end_run();
                read.waits = self.load(command.table, wanted, Waiter::Read(ticket), &[], io);
                if read.walk.is_some() {
                    read.ahead_bytes = (read.ahead_bytes * 2).clamp(32 << 10, MAX_AHEAD_BYTES);
                }
                if read.waits == 0 {
                    self.reads.runnable.push_back(ticket);
                }
                None
            }
        }
    }

    /// Hands blocks to a read that waits for them.
    pub(super) fn read_loaded(
        &mut self,
        ticket: u64,
        loaded: &Result<Vec<(BlockKey, Arc<[u8]>)>, StoreError>,
        io: &mut IoQueue,
    ) {
        // Cancelled, or failed already.
        let Some(operation) = self.reads.operations.get_mut(&ticket) else {
            return;
        };
        match loaded {
            Ok(blocks) => {
                for (key, block) in blocks {
                    operation.state.pins.add(*key, block.clone());
                }
                operation.state.waits -= 1;
                if operation.state.waits == 0 {
                    self.go_on(ticket, io);
                }
            }
            Err(error) => {
                self.take_read(ticket);
                self.finished_reads.push((ticket, Err(error.clone())));
            }
        }
    }

    fn go_on(&mut self, ticket: u64, io: &mut IoQueue) {
        let Some(mut operation) = self.take_read(ticket) else {
            return;
        };
        match self.run_read(&operation.command, &mut operation.state, ticket, io) {
            Some(result) => self.finished_reads.push((ticket, result)),
            None => {
                if let Err(error) = self.keep_read(ticket, operation) {
                    self.finished_reads.push((ticket, Err(error)));
                }
            }
        }
    }

    /// Lets reads that yielded go on; returns whether more wait for their turn.
    pub(super) fn run_reads(&mut self, budget: usize, io: &mut IoQueue) -> bool {
        let turns = (budget / RUN_BYTES).max(1).min(self.reads.runnable.len());
        for _ in 0..turns {
            if let Some(ticket) = self.reads.runnable.pop_front() {
                self.go_on(ticket, io);
            }
        }
        !self.reads.runnable.is_empty()
    }
}

/// The walk that answers a command.
fn walk(command: &ReadCommand) -> Walk {
    let (slices, direction) = (command.slices.clone(), command.direction);
    let resume = command.resume.as_ref();
    let mut walk = match (&command.partitions, resume) {
        (Partitions::Key(key), Some(resume)) if resume.clustering.is_none() => {
            // The partition is done with.
            let end = KeyBound::AfterKey(key.clone());
            return Walk::range(end.clone(), end, slices, direction);
        }
        (Partitions::Key(key), _) => Walk::key(key.clone(), slices, direction),
        (Partitions::Range(range), None) => {
            Walk::range(range.start.clone(), range.end.clone(), slices, direction)
        }
        (Partitions::Range(range), Some(resume)) => {
            let start = KeyBound::AfterKey(resume.key.clone());
            Walk::range(start, range.end.clone(), slices, direction)
        }
    };
    if let Some(resume) = resume
        && let Some(clustering) = &resume.clustering
    {
        walk.begin_after(resume.key.clone(), clustering);
    }
    walk
}
