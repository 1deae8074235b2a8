//! Compaction: carrying out what a strategy chooses, and forgetting what may be forgotten.
//!
//! A tombstone goes when it is older than `gc_grace_seconds`, when nothing it could hide is anywhere else (SSTables that
//! are not among the inputs and may have the partition, and memtables that have it, hold only what is newer), and when
//! every replica is known to hold it: all ids of the inputs are proven, and what came without one came before a moment up
//! to which the replicas are proved equal. Tables that no other node has need none of the last.

use super::cleanup::KeptTokens;
use super::flush::writer_options;
use super::job::{NewJob, Work};
use super::stats::CompactionStats;
use super::table::{TableState, Then};
use super::{Phase, Store};
use crate::compaction::{Candidate, Choice, Strategy};
use crate::held::Held;
use crate::merge::{Flow, Sink};
use crate::sstable::{SsTable, SsTableWriter, WriterOptions};
use model::env::IoQueue;
use model::key::Token;
use model::merge::{self, Purge};
use model::policy::Defect;
use model::row::{ColumnId, Deletion, Row, RowWriter};
use model::schema::TableId;
use model::time::Now;
use model::tombstone::RangeTombstone;
use model::track::IdSet;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Milliseconds after which tables are looked at again although nothing was written: tombstones come of age.
const RECHECK_MS: u64 = 60_000;
/// Bytes of input up to which a compaction is begun beside one that runs: small ones do not wait for hours.
const SMALL_BYTES: u64 = 64 << 20;

impl Store {
    /// Begins the next compaction, if there is one worth while: any if none is running, a small one of another table if one
    /// is. Tables take turns.
    pub(super) fn start_compactions(&mut self, now: Now, io: &mut IoQueue) {
        if !self.agenda.compactions || !matches!(self.phase, Phase::Ready) {
            return;
        }
        let running: Vec<TableId> = self
            .jobs
            .values()
            .filter(|job| matches!(job.work, Work::Compaction { .. }))
            .map(|job| job.table)
            .collect();
        let most_bytes = match running.len() {
            0 => u64::MAX,
            1 => SMALL_BYTES,
            _ => return,
        };
        let due = |id: &TableId, state: &TableState| {
            let automatic = self.config.compaction && state.compaction_due;
            let wanted = !state.major.is_empty() || automatic && !state.sstables.is_empty();
            let wanted = wanted || state.cleanup.is_some();
            wanted && !running.contains(id)
        };
        let due: Vec<TableId> = self
            .tables
            .iter()
            .filter(|(id, state)| due(id, state))
            .map(|(id, _)| *id)
            .collect();
        self.agenda.compactions = false;
        for id in super::in_turn(due, self.agenda.compacted_last) {
            let state = self.tables.get_mut(&id).expect("listed above");
            match state.next_cleanup() {
                Ok(Some((choice, kept))) => {
                    self.agenda.compactions = true;
                    self.agenda.compacted_last = Some(id);
                    return self.start_compaction(id, &choice, (Vec::new(), Some(kept)), now, io);
                }
                Ok(None) => {}
                Err(done) => done.into_iter().for_each(|task| self.task_step(task, None)),
            }
            let state = self.tables.get_mut(&id).expect("listed above");
            state.compaction_due = false;
            super::sooner(
                &mut self.agenda.recheck_at,
                now.boot.plus_millis(RECHECK_MS),
            );
            let strategy = Strategy::new(&state.table.options.compaction);
            let candidates = candidates(state, now);
            let tasks = std::mem::take(&mut state.major);
            let choice = if tasks.is_empty() {
                strategy.choose(&candidates, now.wall.0)
            } else {
                strategy.everything(&candidates)
            };
            match choice {
                Some(choice) if input_bytes(&candidates, &choice) > most_bytes => {
                    // When the one that runs has ended.
                    state.compaction_due = true;
                    state.major = tasks;
                }
                Some(choice) => {
                    self.agenda.compactions = true;
                    self.agenda.compacted_last = Some(id);
                    return self.start_compaction(id, &choice, (tasks, None), now, io);
                }
                None => tasks
                    .into_iter()
                    .for_each(|task| self.task_step(task, None)),
            }
        }
    }

    /// Compactions that the tables' strategies would begin one after the other, and those that somebody asked for. Of
    /// tables without any nothing is said.
    pub fn pending_compactions(&self, now: Now) -> BTreeMap<TableId, u64> {
        let mut pending = BTreeMap::new();
        for (id, state) in &self.tables {
            let strategy = Strategy::new(&state.table.options.compaction);
            let mut left = candidates(state, now);
            let mut count = state.major.len() as u64;
            while let Some(choice) = strategy.choose(&left, now.wall.0) {
                let before = left.len();
                left.retain(|candidate| !choice.inputs.contains(&candidate.id));
                count += 1;
                if left.len() == before {
                    break;
                }
            }
            if count > 0 {
                pending.insert(*id, count);
            }
        }
        pending
    }

    fn start_compaction(
        &mut self,
        id: TableId,
        choice: &Choice,
        (tasks, kept): (Vec<u64>, Option<Arc<KeptTokens>>),
        now: Now,
        io: &mut IoQueue,
    ) {
        let state = self.tables.get_mut(&id).expect("the caller's");
        let chosen = state
            .sstables
            .iter()
            .filter(|table| choice.inputs.contains(&table.id));
        let inputs: Vec<Arc<SsTable>> = chosen.cloned().collect();
        let mut coverage = IdSet::default();
        inputs
            .iter()
            .for_each(|table| coverage.union(&table.stats.coverage));
        let policy = self.config.policy;
        let proven = policy.has(Defect::ProofIgnored)
            || is_proven(&coverage, &self.proven, &self.held) && state.proof.covers(&inputs);
        let grace = match state.table.options.gc_grace_seconds {
            _ if policy.has(Defect::AgeIgnored) => 0,
            grace => i64::from(grace),
        };
        let purge = Purge {
            now_seconds: now.wall.seconds(),
            gc_before: now.wall.seconds() - grace,
            older_than: if proven { i64::MAX } else { i64::MIN },
        };
        let name = state.next_name(&self.config);
        let partitions = inputs.iter().map(|table| table.stats.partitions).sum();
        let input_bytes = inputs.iter().map(|table| table.length).sum();
        let partitions = expected_partitions(partitions, input_bytes, choice.split_bytes);
        let options = WriterOptions {
            level: choice.level,
            coverage,
            ..writer_options(state, name, partitions, now)
        };
        let new = NewJob {
            table: id,
            work: Work::Compaction {
                inputs,
                purge,
                split_bytes: choice.split_bytes,
                kept,
                tasks,
                at: AtHand::default(),
            },
            options,
            input_bytes,
        };
        self.start_job(new, io);
    }

    /// Compactions that ended since the last call.
    pub fn take_compactions(&mut self) -> Vec<CompactionStats> {
        std::mem::take(&mut self.compactions)
    }

    /// A compaction's output takes the place of its inputs.
    pub(super) fn compacted(
        &mut self,
        id: TableId,
        inputs: Vec<Arc<SsTable>>,
        outputs: Vec<Arc<SsTable>>,
        at: AtHand,
        now: Now,
    ) {
        let bytes = |tables: &[Arc<SsTable>]| tables.iter().map(|table| table.length).sum();
        self.compactions.push(CompactionStats {
            table: id,
            at_micros: now.wall.0,
            input_bytes: bytes(&inputs),
            output_bytes: bytes(&outputs),
            merged: at.merged,
        });
        let state = self.tables.get_mut(&id).expect("its epoch was checked");
        state.counters.compactions += 1;
        state.proof.compacted(&inputs, &outputs);
        state
            .sstables
            .retain(|table| inputs.iter().all(|input| input.id != table.id));
        outputs.into_iter().for_each(|output| state.add(output));
        state.change([Then::Remove(inputs)]);
    }
}

/// Partitions that one file of the output will have at most, about: what its bloom filter is sized by. Files that are
/// split off each take their share of the input's partitions, and a little more where partitions are small.
fn expected_partitions(partitions: u64, input_bytes: u64, split_bytes: Option<u64>) -> u64 {
    let Some(split_bytes) = split_bytes.filter(|split| *split < input_bytes) else {
        return partitions;
    };
    let share = u128::from(partitions) * u128::from(split_bytes) / u128::from(input_bytes.max(1));
    let share = share as u64;
    partitions.min(share + share / 4 + 1)
}

/// Bytes of what a choice merges.
fn input_bytes(candidates: &[Candidate], choice: &Choice) -> u64 {
    let chosen = candidates
        .iter()
        .filter(|candidate| choice.inputs.contains(&candidate.id));
    chosen.map(|candidate| candidate.bytes).sum()
}

fn candidates(state: &TableState, now: Now) -> Vec<Candidate> {
    let gc_before = now.wall.seconds() - i64::from(state.table.options.gc_grace_seconds);
    let sound = state
        .sstables
        .iter()
        .filter(|table| !table.suspect.load(Ordering::Relaxed));
    sound
        .filter_map(|table| {
            let (first, last) = table.stats.bounds.as_ref()?;
            Some(Candidate {
                id: table.id,
                bytes: table.length,
                level: table.stats.level,
                tokens: (first.token.0, last.token.0),
                max_timestamp: table.stats.max_timestamp,
                droppable: table.stats.droppable_ratio(gc_before),
                written_at: table.stats.written_at,
            })
        })
        .collect()
}

/// Whether every id of `coverage` is proven, or of a log that is forgotten, which all hold.
fn is_proven(coverage: &IdSet, proven: &IdSet, held: &Held) -> bool {
    let mut logs = coverage.logs();
    logs.all(|(log, sequences)| {
        let all = proven
            .of(log)
            .is_some_and(|proven| proven.covers(sequences));
        all || held.is_forgotten(log)
    })
}

/// What compaction keeps of a row.
enum Kept {
    Nothing,
    /// All of it, as it is.
    Whole,
    /// What is in the sink's buffer.
    Part,
}

/// What is known of the partition a compaction is in: kept between its steps, for a partition may take many.
#[derive(Debug)]
pub(crate) struct AtHand {
    token: Token,
    key: Vec<u8>,
    /// What may be forgotten in it, once that was asked.
    purge: Option<Purge>,
    /// Whether nothing of it was kept so far.
    is_pending: bool,
    /// What remains of a row.
    kept: Vec<u8>,
    scratch: Vec<u8>,
    /// Partitions by how many of the inputs may hold them.
    merged: BTreeMap<u32, u64>,
}

impl Default for AtHand {
    fn default() -> Self {
        Self {
            token: Token::MIN,
            key: Vec::new(),
            purge: None,
            is_pending: false,
            kept: Vec::new(),
            scratch: Vec::new(),
            merged: BTreeMap::new(),
        }
    }
}

/// What is merged, and how.
pub(super) struct Merging<'a> {
    pub inputs: &'a [Arc<SsTable>],
    /// What may be forgotten at most.
    pub purge: Purge,
    /// Bytes after which the output goes on in another file.
    pub split_bytes: Option<u64>,
    /// Tokens of which alone anything is kept.
    pub kept: Option<&'a KeptTokens>,
    /// The partition that it is in.
    pub at: &'a mut AtHand,
}

/// Writes what remains of the inputs.
pub(super) struct CompactionSink<'a> {
    writer: &'a mut SsTableWriter,
    state: &'a TableState,
    inputs: &'a [Arc<SsTable>],
    /// The table's SSTables that are not among the inputs.
    others: Vec<&'a SsTable>,
    /// What may be forgotten at most.
    purge: Purge,
    split_bytes: u64,
    /// Tokens of which alone anything is kept.
    kept: Option<&'a KeptTokens>,
    /// Columns whose cells are left out, ascending.
    dropped: Vec<ColumnId>,
    at: &'a mut AtHand,
}

impl<'a> CompactionSink<'a> {
    pub(super) fn new(
        writer: &'a mut SsTableWriter,
        state: &'a TableState,
        merging: Merging<'a>,
    ) -> Self {
        let Merging {
            inputs,
            purge,
            split_bytes,
            kept,
            at,
        } = merging;
        let dropped = state.table.dropped.iter();
        let mut dropped: Vec<ColumnId> = dropped.map(|dropped| dropped.column.id).collect();
        dropped.sort_unstable();
        let mut ids: Vec<u64> = inputs.iter().map(|input| input.id).collect();
        ids.sort_unstable();
        let sstables = state.sstables.iter().map(|table| &**table);
        let others = sstables.filter(|table| ids.binary_search(&table.id).is_err());
        Self {
            writer,
            state,
            inputs,
            others: others.collect(),
            purge,
            split_bytes: split_bytes.unwrap_or(u64::MAX),
            kept,
            dropped,
            at,
        }
    }

    /// What may be forgotten in the partition at hand: only what is older than all that is not among the inputs.
    fn local(&mut self) -> Purge {
        if let Some(local) = self.at.purge {
            return local;
        }
        let tables = self
            .others
            .iter()
            .filter(|table| table.may_contain(self.at.token))
            .map(|table| table.stats.min_timestamp);
        let memtables = self.state.memtables();
        let memory = memtables
            .iter()
            .filter_map(|memtable| memtable.get(self.at.token, &self.at.key));
        let memory = memory.map(|partition| partition.min_timestamp());
        let oldest = tables.chain(memory).min().unwrap_or(i64::MAX);
        let older_than = self.purge.older_than.min(oldest);
        *self.at.purge.insert(Purge {
            older_than,
            ..self.purge
        })
    }

    fn forgets(&mut self, deletion: Deletion) -> bool {
        // Most deletions are too young, and then nobody else need be asked.
        self.purge.forgets(deletion) && self.local().forgets(deletion)
    }

    fn begin_pending(&mut self, deletion: Deletion, static_row: Option<&[u8]>) {
        if std::mem::take(&mut self.at.is_pending) {
            self.writer
                .begin_partition(self.at.token, &self.at.key, deletion, static_row);
        }
    }

    /// Decides what remains of a row.
    fn keep(&mut self, row: &[u8]) -> Kept {
        self.at.kept.clear();
        if self.dropped.is_empty() {
            if is_untouched(row, &self.purge) {
                return Kept::Whole;
            }
            let local = self.local();
            return part(merge::purged(row, &local, &mut self.at.kept));
        }
        self.at.scratch.clear();
        if !without_columns(row, &self.dropped, &mut self.at.scratch) {
            return Kept::Nothing;
        }
        let local = self.local();
        let AtHand { scratch, kept, .. } = &mut *self.at;
        part(merge::purged(scratch, &local, kept))
    }
}

fn part(any: bool) -> Kept {
    if any { Kept::Part } else { Kept::Nothing }
}

/// Whether nothing of a row is expired or may be forgotten: most rows are like that and are copied.
fn is_untouched(bytes: &[u8], purge: &Purge) -> bool {
    let row = Row::parse(bytes).expect("rows are verified where they enter the process");
    row.liveness
        .is_none_or(|liveness| liveness.is_live(purge.now_seconds))
        && row.deletion.is_none()
        && row.cells().all(|cell| cell.is_live(purge.now_seconds))
}

impl Sink for CompactionSink<'_> {
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
        let holders = self.inputs.iter().filter(|table| table.may_contain(token));
        *self.at.merged.entry(holders.count() as u32).or_default() += 1;
        self.at.purge = None;
        self.at.token = token;
        key.clone_into(&mut self.at.key);
        self.at.is_pending = true;
        if self.kept.is_some_and(|kept| !kept.contains(token)) {
            return Flow::NextPartition;
        }
        let deletion = if !deletion.is_none() && self.forgets(deletion) {
            Deletion::NONE
        } else {
            deletion
        };
        match static_row.map(|row| (self.keep(row), row)) {
            Some((Kept::Whole, row)) => self.begin_pending(deletion, Some(row)),
            Some((Kept::Part, _)) => {
                let kept = std::mem::take(&mut self.at.kept);
                self.begin_pending(deletion, Some(&kept));
                self.at.kept = kept;
            }
            _ if !deletion.is_none() => self.begin_pending(deletion, None),
            _ => {}
        }
        Flow::Continue
    }

    fn range(&mut self, range: &RangeTombstone) {
        if !self.forgets(range.deletion) {
            self.begin_pending(Deletion::NONE, None);
            let slice = &range.slice;
            self.writer.range(&slice.start, &slice.end, range.deletion);
        }
    }

    fn row(&mut self, clustering: &[u8], row: &[u8]) -> Flow {
        match self.keep(row) {
            Kept::Nothing => {}
            Kept::Whole => {
                self.begin_pending(Deletion::NONE, None);
                self.writer.row(clustering, row);
            }
            Kept::Part => {
                self.begin_pending(Deletion::NONE, None);
                self.writer.row(clustering, &self.at.kept);
            }
        }
        Flow::Continue
    }

    fn end(&mut self) -> Flow {
        if !std::mem::take(&mut self.at.is_pending) {
            self.writer.end_partition();
        }
        if self.writer.length() >= self.split_bytes {
            Flow::Stop
        } else {
            Flow::Continue
        }
    }

    fn restart(&mut self) -> bool {
        false
    }
}

/// Appends a row without the cells of some columns; whether anything is left.
fn without_columns(row: &[u8], columns: &[ColumnId], out: &mut Vec<u8>) -> bool {
    let row = Row::parse(row).expect("rows are verified where they enter the process");
    let mut writer = RowWriter::new(out);
    if let Some(liveness) = row.liveness {
        writer.liveness(liveness);
    }
    if !row.deletion.is_none() {
        writer.deletion(row.deletion);
    }
    if let Some(original) = row.original_clustering {
        writer.original_clustering(original);
    }
    for cell in row
        .cells()
        .filter(|cell| columns.binary_search(&cell.column).is_err())
    {
        writer.cell(&cell);
    }
    !writer.is_empty()
}
