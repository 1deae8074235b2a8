//! Jobs that write SSTables: a flush of a memtable, a compaction of several tables.
//!
//! A job is a walk over its inputs, a writer, and the file the writer's bytes go to. Steps alternate between walking
//! and waiting for the disk; nothing a job does is seen before its output is synced.

use super::blocks::Waiter;
use super::{RETRY_MS, Store};
use crate::cache::BlockKey;
use crate::error::StoreError;
use crate::io::Purpose;
use crate::merge::{Fetch, Outcome, Pins, View, Walk};
use crate::sstable::bloom::Bloom;
use crate::sstable::{SsTable, SsTableWriter, WriterOptions, Written};
use crate::store::cleanup::KeptTokens;
use crate::store::compact::{AtHand, CompactionSink, Merging};
use crate::store::flush::FlushSink;
use crate::store::table::Then;
use model::env::{FileId, IoOutcome, IoQueue, IoRequest, OpenMode};
use model::merge::Purge;
use model::schema::TableId;
use model::time::{BootNanos, Now};
use std::sync::Arc;

/// Bytes of output collected before they are written.
const WRITE_BYTES: usize = 256 << 10;
/// Bytes written after which they are synced while the job goes on: a sync of gigabytes at the end would hold up every
/// other on the same device.
const SYNC_BYTES: usize = 8 << 20;
/// Writes a job may have outstanding.
const MAX_WRITES: usize = 2;
/// Bytes of input read at once.
const AHEAD_BYTES: usize = 512 << 10;

/// What a job is for.
#[derive(Debug)]
pub(crate) enum Work {
    /// The oldest frozen memtable of the table.
    Flush,
    /// These SSTables.
    Compaction {
        inputs: Vec<Arc<SsTable>>,
        purge: Purge,
        /// Bytes after which the output goes on in another file.
        split_bytes: Option<u64>,
        /// Tokens of which alone anything is kept.
        kept: Option<Arc<KeptTokens>>,
        /// Tasks that wait for it.
        tasks: Vec<u64>,
        /// The partition it is in.
        at: AtHand,
    },
    /// What is this shard's of an SSTable that somebody has placed beside the table's.
    Import {
        input: Arc<SsTable>,
        kept: Arc<KeptTokens>,
        at: AtHand,
        /// Who waits for it.
        placing: u64,
    },
}

/// What forgets nothing, and finds nothing expired.
const NOTHING: Purge = Purge {
    now_seconds: i64::MIN,
    gc_before: i64::MIN,
    older_than: i64::MIN,
};

impl Work {
    /// What it merges, and how; `None` of a flush.
    fn merging(&mut self) -> Option<Merging<'_>> {
        match self {
            Self::Flush => None,
            Self::Compaction {
                inputs,
                purge,
                split_bytes,
                kept,
                at,
                ..
            } => Some(Merging {
                inputs,
                purge: *purge,
                split_bytes: *split_bytes,
                kept: kept.as_deref(),
                at,
            }),
            Self::Import {
                input, kept, at, ..
            } => Some(Merging {
                inputs: std::slice::from_ref(input),
                purge: NOTHING,
                split_bytes: None,
                kept: Some(kept),
                at,
            }),
        }
    }

    /// The SSTables it reads.
    fn inputs(&self) -> Vec<Arc<SsTable>> {
        match self {
            Self::Flush => Vec::new(),
            Self::Compaction { inputs, .. } => inputs.clone(),
            Self::Import { input, .. } => vec![input.clone()],
        }
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its file is being made.
    Opening,
    /// Walking and writing.
    Running,
    /// The last bytes are being written.
    Closing,
    /// The file is being synced.
    Syncing,
    /// It failed and is begun anew at this time.
    Waiting(BootNanos),
}

/// A job.
#[derive(Debug)]
pub(crate) struct Job {
    pub table: TableId,
    pub epoch: u64,
    pub work: Work,
    stage: Stage,
    options: WriterOptions,
    directory: String,
    file: FileId,
    path: String,
    walk: Walk,
    writer: SsTableWriter,
    written: Option<Written>,
    /// Files that are complete: all but the last of a split output.
    outputs: Vec<Arc<SsTable>>,
    pins: Pins,
    waits: usize,
    writes: usize,
    /// Bytes written since the last sync was asked for.
    unsynced: usize,
    error: Option<StoreError>,
    /// Bytes of input, for progress.
    pub input_bytes: u64,
}

impl Job {
    /// When it goes on although nothing happens.
    pub(crate) fn retry_at(&self) -> Option<BootNanos> {
        match self.stage {
            Stage::Waiting(at) => Some(at),
            _ => None,
        }
    }

    /// Bytes written so far.
    pub(crate) fn output_bytes(&self) -> u64 {
        self.writer.length()
    }

    fn can_walk(&self) -> bool {
        self.stage == Stage::Running
            && self.waits == 0
            && self.writes < MAX_WRITES
            && self.error.is_none()
    }
}

/// What a job is made from.
pub(super) struct NewJob {
    pub table: TableId,
    pub work: Work,
    pub options: WriterOptions,
    pub input_bytes: u64,
}

impl Store {
    /// Begins a job.
    pub(super) fn start_job(&mut self, new: NewJob, io: &mut IoQueue) {
        self.next_job += 1;
        let id = self.next_job;
        let state = &self.tables[&new.table];
        let path = state.path(new.options.name);
        let file = self.requests.file();
        let mut chain = Vec::with_capacity(8);
        if !state.has_directory {
            chain.extend(super::manifests::make_directory(&state.directory));
        }
        chain.push(IoRequest::Open {
            file,
            path: path.clone(),
            mode: OpenMode::Create,
        });
        self.requests
            .submit(io, Purpose::Job(id), IoRequest::Chain(chain));
        let job = Job {
            epoch: state.epoch,
            table: new.table,
            work: new.work,
            stage: Stage::Opening,
            directory: state.directory.clone(),
            file,
            path,
            walk: Walk::everything(),
            writer: SsTableWriter::new(new.options.clone()),
            options: new.options,
            written: None,
            outputs: Vec::new(),
            pins: Pins::default(),
            waits: 0,
            writes: 0,
            unsynced: 0,
            error: None,
            input_bytes: new.input_bytes,
        };
        self.jobs.insert(id, job);
    }

    /// Gives the inputs of jobs that failed a while ago free, so that others are begun on them.
    pub(super) fn retry_jobs(&mut self, now: Now) {
        let waiting: Vec<u64> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.retry_at().is_some_and(|at| now.boot >= at))
            .map(|(id, _)| *id)
            .collect();
        for id in waiting {
            self.abandon(id);
        }
    }

    /// Walks jobs that can go on, flushes first; returns whether any could go on at once.
    pub(super) fn run_jobs(&mut self, now: Now, budget: usize, io: &mut IoQueue) -> bool {
        if self.jobs.is_empty() {
            return false;
        }
        let mut ready: Vec<(bool, u64)> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.can_walk())
            .map(|(id, job)| (!matches!(job.work, Work::Flush), *id))
            .collect();
        ready.sort_unstable();
        let mut left = budget;
        for (_, id) in ready {
            if left == 0 {
                break;
            }
            self.walk_job(id, &mut left, now, io);
        }
        self.jobs.values().any(Job::can_walk)
    }

    fn walk_job(&mut self, id: u64, budget: &mut usize, now: Now, io: &mut IoQueue) {
        let job = self.jobs.get_mut(&id).expect("listed by the caller");
        let Some(state) = self
            .tables
            .get(&job.table)
            .filter(|state| state.epoch == job.epoch)
        else {
            job.error = Some(StoreError::Superseded);
            return self.settle_job(id, now, io);
        };
        let mut wanted = Vec::new();
        let mut fetch = Fetch {
            cache: None,
            pins: &mut job.pins,
            wanted: &mut wanted,
            ahead_bytes: AHEAD_BYTES,
        };
        let outcome = if let Some(merging) = job.work.merging() {
            let view = View {
                memtables: &[],
                sstables: merging.inputs,
            };
            let mut sink = CompactionSink::new(&mut job.writer, state, merging);
            job.walk.run(view, &mut fetch, &mut sink, budget)
        } else {
            let memtable = &state
                .frozen
                .front()
                .expect("a flush has a memtable")
                .memtable;
            let view = View {
                memtables: &[memtable],
                sstables: &[],
            };
            let mut sink = FlushSink {
                writer: &mut job.writer,
            };
            job.walk.run(view, &mut fetch, &mut sink, budget)
        };
        match outcome {
            Outcome::Yielded => {}
            Outcome::Missing => {
                let (table, inputs) = (job.table, job.work.inputs());
                let waits = self.load(table, &wanted, Waiter::Job(id), &inputs, io);
                self.jobs.get_mut(&id).expect("looked up above").waits = waits;
            }
            Outcome::Failed(error) => job.error = Some(error),
            Outcome::Finished => {
                job.stage = Stage::Closing;
                if !job.writer.is_empty() {
                    job.written = Some(job.writer.finish());
                }
            }
        }
        self.settle_job(id, now, io);
    }

    /// Writes what there is to write and moves a job to its next stage when nothing is outstanding.
    fn settle_job(&mut self, id: u64, now: Now, io: &mut IoQueue) {
        let job = self.jobs.get_mut(&id).expect("listed by the caller");
        let enough = if job.stage == Stage::Closing {
            1
        } else {
            WRITE_BYTES
        };
        if job.error.is_none() && job.writer.pending() >= enough && job.stage != Stage::Opening {
            let (offset, data) = job.writer.take();
            job.writes += 1;
            job.unsynced += data.len();
            let file = job.file;
            let mut request = IoRequest::Write { file, offset, data };
            if job.unsynced >= SYNC_BYTES && job.stage != Stage::Closing {
                job.unsynced = 0;
                request = IoRequest::Chain(vec![request, IoRequest::Sync { file }]);
            }
            self.requests.submit(io, Purpose::Job(id), request);
        }
        if job.writes > 0 || job.waits > 0 || job.stage == Stage::Opening {
            return;
        }
        if job.error.is_some() {
            return self.fail_job(id, now, io);
        }
        if job.stage != Stage::Closing {
            return;
        }
        if job.written.is_none() {
            // Everything in it was purged.
            return self.finish_job(id, now, io);
        }
        job.stage = Stage::Syncing;
        let chain = vec![
            IoRequest::Sync { file: job.file },
            IoRequest::SyncDirectory {
                path: job.directory.clone(),
            },
        ];
        self.requests
            .submit(io, Purpose::Job(id), IoRequest::Chain(chain));
    }

    pub(super) fn job_on_io(&mut self, id: u64, outcome: IoOutcome, now: Now, io: &mut IoQueue) {
        let job = self
            .jobs
            .get_mut(&id)
            .expect("a job waits for its requests");
        if let Err(error) = outcome {
            job.error = Some(StoreError::io(&job.path, error));
        }
        match job.stage {
            Stage::Opening => {
                job.stage = Stage::Running;
                if job.error.is_none()
                    && let Some(state) = self.tables.get_mut(&job.table)
                {
                    state.has_directory = true;
                }
            }
            Stage::Syncing if job.error.is_none() => return self.finish_job(id, now, io),
            Stage::Syncing => job.stage = Stage::Closing,
            _ => job.writes -= 1,
        }
        self.settle_job(id, now, io);
    }

    /// Hands blocks to a job that waits for them.
    pub(super) fn job_loaded(
        &mut self,
        id: u64,
        loaded: &Result<Vec<(BlockKey, Arc<[u8]>)>, StoreError>,
        now: Now,
        io: &mut IoQueue,
    ) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        job.waits -= 1;
        match loaded {
            Ok(blocks) => {
                for (key, block) in blocks {
                    job.pins.add(*key, block.clone());
                }
            }
            Err(error) => job.error = Some(error.clone()),
        }
        self.settle_job(id, now, io);
    }

    /// Removes what a failed job wrote; it is tried again later, or, if its table changed, not at all.
    fn fail_job(&mut self, id: u64, now: Now, io: &mut IoQueue) {
        let job = self.jobs.get_mut(&id).expect("listed by the caller");
        let close = IoRequest::Close { file: job.file };
        let remove = IoRequest::Remove {
            path: job.path.clone(),
        };
        self.requests.submit(io, Purpose::Nobody, close);
        self.requests.submit(io, Purpose::Nobody, remove);
        for output in std::mem::take(&mut job.outputs) {
            self.retired.push(output);
        }
        if let Work::Import { input, placing, .. } = &job.work {
            let (input, placing) = (input.clone(), *placing);
            let job = self.jobs.remove(&id).expect("looked up above");
            let error = job.error.unwrap_or(StoreError::Superseded);
            self.import_failed(placing, &input, error, io);
            return self.remove_retired(io);
        }
        let retry_at = now.boot.plus_millis(RETRY_MS);
        job.stage = Stage::Waiting(retry_at);
        super::sooner(&mut self.agenda.retry_at, retry_at);
        let valid = self
            .tables
            .get(&job.table)
            .is_some_and(|state| state.epoch == job.epoch);
        let error = job.error.clone().expect("it failed");
        if let Work::Compaction { tasks, kept, .. } = &mut job.work {
            let mut tasks = std::mem::take(tasks);
            if kept.is_some()
                && let Some(state) = self.tables.get_mut(&job.table)
            {
                tasks.extend(state.cleanup.take().map_or(Vec::new(), |begun| begun.tasks));
            }
            for task in tasks {
                self.task_step(task, Some(error.clone()));
            }
        }
        self.recovery_failed_write(&error);
        if let Some(state) = self.tables.get_mut(&self.jobs[&id].table)
            && matches!(self.jobs[&id].work, Work::Flush)
            && valid
        {
            // Those behind it cannot be flushed before it.
            let tasks = state
                .frozen
                .iter_mut()
                .flat_map(|frozen| std::mem::take(&mut frozen.tasks));
            for task in tasks.collect::<Vec<_>>() {
                self.task_step(task, Some(error.clone()));
            }
        }
        if !valid {
            self.abandon(id);
        }
        self.remove_retired(io);
    }

    /// Forgets a failed job, so that its input is free for another.
    fn abandon(&mut self, id: u64) {
        let job = self.jobs.remove(&id).expect("listed by the caller");
        let Some(state) = self
            .tables
            .get_mut(&job.table)
            .filter(|state| state.epoch == job.epoch)
        else {
            return;
        };
        match job.work {
            Work::Flush => {
                if let Some(frozen) = state.frozen.front_mut() {
                    frozen.in_job = false;
                }
                self.agenda.flushes = true;
            }
            Work::Compaction { .. } => {
                state.compaction_due = true;
                self.agenda.compactions = true;
            }
            Work::Import { .. } => unreachable!("it is not tried again"),
        }
    }

    /// A job's file is complete: the next is begun, or the output takes the place of the input.
    fn finish_job(&mut self, id: u64, now: Now, io: &mut IoQueue) {
        let job = self.jobs.get_mut(&id).expect("listed by the caller");
        let state = self
            .tables
            .get_mut(&job.table)
            .filter(|state| state.epoch == job.epoch);
        let Some(state) = state else {
            job.error = Some(StoreError::Superseded);
            return self.fail_job(id, now, io);
        };
        match job.written.take() {
            Some(mut written) => {
                self.next_sstable += 1;
                let filter_bytes = written.filter.as_ref().map_or(0, Bloom::bytes);
                if self.filter_bytes + filter_bytes > self.config.filter_bytes {
                    written.filter = None;
                } else {
                    self.filter_bytes += filter_bytes;
                }
                let (file, name) = (job.file, job.options.name);
                let table =
                    SsTable::written(self.next_sstable, file, name, job.path.clone(), written);
                job.outputs.push(Arc::new(table));
            }
            None => {
                let close = IoRequest::Close { file: job.file };
                let remove = IoRequest::Remove {
                    path: job.path.clone(),
                };
                self.requests
                    .submit(io, Purpose::Nobody, IoRequest::Chain(vec![close, remove]));
            }
        }
        if !job.walk.is_finished() {
            job.options.name = state.next_name(&self.config);
            job.path = state.path(job.options.name);
            job.file = self.requests.file();
            job.writer = SsTableWriter::new(job.options.clone());
            job.unsynced = 0;
            job.stage = Stage::Opening;
            let (file, path) = (job.file, job.path.clone());
            let open = IoRequest::Open {
                file,
                path,
                mode: OpenMode::Create,
            };
            self.requests.submit(io, Purpose::Job(id), open);
            return;
        }
        let job = self.jobs.remove(&id).expect("looked up above");
        match job.work {
            Work::Flush => self.flushed(job.table, job.outputs),
            Work::Compaction {
                inputs, tasks, at, ..
            } => {
                self.compacted(job.table, inputs, job.outputs, at, now);
                let state = self.tables.get_mut(&job.table).expect("looked up above");
                state.change(tasks.into_iter().map(Then::Task));
            }
            Work::Import { input, placing, .. } => {
                self.imported((job.table, placing), &input, job.outputs, now, io);
            }
        }
        self.agenda.manifests = true;
        self.agenda.flushes = true;
        self.agenda.compactions = true;
        self.write_manifests(now, io);
    }
}
