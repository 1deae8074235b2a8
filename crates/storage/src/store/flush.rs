//! Flushing: when a memtable is frozen, and what becomes of it.

use super::Store;
use super::job::{NewJob, Work};
use super::table::{Frozen, TableState, Then};
use crate::commitlog::{Health, Position};
use crate::config::StoreConfig;
use crate::error::StoreError;
use crate::merge::{Flow, Sink};
use crate::sstable::codec::Compression;
use crate::sstable::{SsTable, SsTableWriter, WriterOptions};
use model::env::IoQueue;
use model::key::Token;
use model::row::Deletion;
use model::schema::TableId;
use model::time::Now;
use model::tombstone::RangeTombstone;
use std::sync::Arc;

/// Flushes that may run at once.
const MAX_FLUSHES: usize = 2;

impl Store {
    /// Freezes memtables whose time has come: too much memory, too much log, too old.
    pub(super) fn freeze_due(&mut self, now: Now) {
        let Some(log) = &self.log else { return };
        let end = Some(log.end());
        let mut due: Vec<TableId> = Vec::new();
        if self.agenda.flush_at.is_some_and(|at| now.boot >= at) {
            self.agenda.flush_at = None;
            for (id, state) in &self.tables {
                match state.flush_at() {
                    Some(at) if now.boot >= at => due.push(*id),
                    Some(at) => super::sooner(&mut self.agenda.flush_at, at),
                    None => {}
                }
            }
        }
        // What the log keeps for other replicas is no reason to flush. Which that is takes a look at every table: only where
        // all of the log together is too much.
        let is_too_much =
            |segments: usize| segments * self.config.segment_bytes > self.config.log_bytes;
        let floor = is_too_much(log.segments_from(0)).then(|| self.floor_segment());
        let beyond = floor.map(|floor| (floor, log.segments_from(floor)));
        if let Some((floor, segments)) = beyond.filter(|(_, segments)| is_too_much(*segments)) {
            // Whatever holds back the oldest quarter of the segments.
            let segment = floor + (segments as u64).div_ceil(4);
            let holds =
                |position: Option<Position>| position.is_some_and(|first| first.segment < segment);
            let old = self
                .tables
                .iter()
                .filter(|(_, state)| holds(state.active.first()));
            due.extend(old.map(|(id, _)| *id));
        }
        for id in due {
            self.freeze(id, end);
        }
        self.freeze_largest(end);
    }

    /// Freezes the largest memtables until half of the budget is free or being freed.
    fn freeze_largest(&mut self, end: Option<Position>) {
        loop {
            if self.memtable_bytes - self.frozen_bytes <= self.config.memtable_bytes / 2 {
                return;
            }
            let largest = self
                .tables
                .iter()
                .max_by_key(|(_, state)| state.active.bytes());
            match largest {
                Some((&id, state)) if !state.active.is_empty() => self.freeze(id, end),
                _ => return,
            }
        }
    }

    /// Freezes a table's memtable, unless it is empty.
    pub(super) fn freeze(&mut self, id: TableId, upto: Option<Position>) {
        let state = self.tables.get_mut(&id).expect("one of the tables");
        if state.active.is_empty() {
            return;
        }
        state.active_since = None;
        let memtable = std::mem::take(&mut state.active);
        self.frozen_bytes += memtable.bytes();
        self.agenda.flushes = true;
        state.frozen.push_back(Frozen {
            memtable,
            upto,
            in_job: false,
            tasks: Vec::new(),
        });
    }

    /// Begins flushing frozen memtables, the oldest of each table first. What the log does not hold durably yet must
    /// not become durable in one table before it is in all others of its mutation: a mutation is whole or absent.
    pub(super) fn start_flushes(&mut self, now: Now, io: &mut IoQueue) {
        if self.frozen_bytes == 0 || !std::mem::take(&mut self.agenda.flushes) {
            return;
        }
        let running = self
            .jobs
            .values()
            .filter(|job| matches!(job.work, Work::Flush))
            .count();
        let mut log = self.log.as_mut();
        let mut unsynced = false;
        let mut may_begin = |frozen: &Frozen| {
            let synced = match (&mut log, frozen.upto) {
                (Some(log), Some(upto)) => log.is_synced_to(upto),
                _ => true,
            };
            unsynced |= !synced;
            synced && !frozen.in_job
        };
        let waiting: Vec<TableId> = self
            .tables
            .iter()
            .filter(|(_, state)| state.frozen.front().is_some_and(&mut may_begin))
            .map(|(id, _)| *id)
            .collect();
        let waiting = super::in_turn(waiting, self.agenda.flushed_last);
        // The sync is on its way: they are looked at again in the next turn.
        self.agenda.flushes = unsynced;
        self.fail_unflushable();
        for id in waiting
            .into_iter()
            .take(MAX_FLUSHES.saturating_sub(running))
        {
            self.agenda.flushed_last = Some(id);
            let state = self.tables.get_mut(&id).expect("listed above");
            let name = state.next_name(&self.config);
            let frozen = state.frozen.front_mut().expect("listed above");
            frozen.in_job = true;
            let (partitions, bytes) = (
                frozen.memtable.partition_count() as u64,
                frozen.memtable.bytes() as u64,
            );
            let coverage = frozen.memtable.ids().clone();
            let options = WriterOptions {
                coverage,
                ..writer_options(state, name, partitions, now)
            };
            let new = NewJob {
                table: id,
                work: Work::Flush,
                options,
                input_bytes: bytes,
            };
            self.start_job(new, io);
        }
    }

    /// After the log failed, what it may not hold can never be flushed: those who wait for that are told.
    fn fail_unflushable(&mut self) {
        let Some(log) = &mut self.log else { return };
        let Health::Poisoned(reason) = log.health().clone() else {
            return;
        };
        let mut tasks = Vec::new();
        for frozen in self.tables.values_mut().flat_map(|state| &mut state.frozen) {
            if frozen.upto.is_some_and(|upto| !log.is_synced_to(upto)) {
                tasks.append(&mut frozen.tasks);
            }
        }
        for task in tasks {
            self.task_step(task, Some(StoreError::Poisoned(reason.clone())));
        }
    }

    /// A table's oldest frozen memtable is in an SSTable now.
    pub(super) fn flushed(&mut self, id: TableId, outputs: Vec<Arc<SsTable>>) {
        let state = self.tables.get_mut(&id).expect("its epoch was checked");
        let frozen = state.frozen.pop_front().expect("a flush has a memtable");
        let bytes = frozen.memtable.bytes();
        self.memtable_bytes -= bytes;
        self.frozen_bytes -= bytes;
        state.counters.flushes += 1;
        let first = frozen.memtable.first();
        state.unlisted.push(first);
        if let Some(upto) = frozen.upto {
            state.flushed = state.flushed.max(upto);
            state.log_synced = state.log_synced.max(upto);
        }
        for output in outputs {
            state.proof.flushed(&output, frozen.memtable.untracked());
            state.add(output);
        }
        let tasks = frozen.tasks.into_iter().map(Then::Task);
        state.change([Then::Release(first)]);
        state.change(tasks);
        self.decaying.push(frozen.memtable);
    }
}

/// Options for a new file of a table.
pub(super) fn writer_options(
    state: &TableState,
    name: crate::sstable::FileName,
    partitions: u64,
    now: Now,
) -> WriterOptions {
    WriterOptions {
        table: state.table.id,
        name,
        compression: Compression::new(&state.table.options.compression),
        false_positive: state.table.options.bloom_filter_fp_chance,
        partitions,
        level: 0,
        written_at: now.wall.0,
        coverage: model::track::IdSet::default(),
    }
}

/// Writes a memtable out as it is, but for what its own deletions cover.
pub(super) struct FlushSink<'a> {
    pub writer: &'a mut SsTableWriter,
}

impl Sink for FlushSink<'_> {
    fn wants_static(&self) -> bool {
        true
    }

    fn begin(
        &mut self,
        token: Token,
        key: &[u8],
        deletion: Deletion,
        static_row: Option<&[u8]>,
    ) -> Flow {
        self.writer
            .begin_partition(token, key, deletion, static_row);
        Flow::Continue
    }

    fn range(&mut self, range: &RangeTombstone) {
        self.writer
            .range(&range.slice.start, &range.slice.end, range.deletion);
    }

    fn row(&mut self, clustering: &[u8], row: &[u8]) -> Flow {
        self.writer.row(clustering, row);
        Flow::Continue
    }

    fn end(&mut self) -> Flow {
        self.writer.end_partition();
        Flow::Continue
    }

    fn restart(&mut self) -> bool {
        false
    }
}

/// Budgets are set by configuration only; a store that could hold nothing is a mistake of its owner's.
pub(super) fn check(config: &StoreConfig) {
    assert!(config.memtable_bytes >= 64 << 10, "memtables need room");
    assert!(config.segment_bytes >= 4 << 10, "a segment needs room");
}
