//! The writing side of the commit log: batches, one sync in flight.

use super::Position;
use super::batch::{Batch, ClockRecord};
use super::index::SegmentIndex;
use super::journal::{Retired, Sealed};
use super::record::{self, CLOCK_RECORD_BYTES, Checkpoint, Kind};
use super::replay::SegmentImage;
use crate::config::SyncMode;
use crate::error::StoreError;
use crate::io::{Purpose, Requests};
use model::env::{FileId, IoError, IoOutcome, IoQueue, IoRequest};
use model::hybrid_clock::HybridClock;
use model::policy::{Defect, Policy};
use model::time::{BootNanos, Now};
use model::track::{IdSet, MutationId};
use model::varint;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Milliseconds between two attempts on a full disk.
pub(super) const RETRY_MS: u64 = 500;

/// What a request of the log was for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LogStep {
    /// The front batch.
    Batch,
    /// A periodic sync of everything written before.
    Sync,
    /// Making or opening the file of the next segment.
    Open,
    /// Zero-filling it.
    Fill,
    /// Giving it its head and name.
    Name,
    /// Renaming a freed segment for recycling.
    Spare(String),
}

/// Whether the log takes writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Health {
    /// It does.
    Fine,
    /// The disk is full, or the next segment cannot be made; the next attempt is at this time.
    Stalled(StoreError, BootNanos),
    /// A write or sync failed: never again.
    Poisoned(String),
}

/// Where and how the log is kept.
#[derive(Debug, Clone)]
pub(crate) struct LogConfig {
    pub directory: String,
    pub generation: u32,
    pub shard: u16,
    pub segment_bytes: u32,
    pub sync: SyncMode,
    pub clock: Arc<HybridClock>,
    pub policy: Policy,
}

#[derive(Debug)]
pub(super) struct Active {
    pub(super) number: u64,
    pub(super) salt: u32,
    /// Where the next record goes.
    pub(super) offset: u32,
    /// Below this the segment is synced.
    pub(super) synced: u32,
    pub(super) ids: Vec<(MutationId, u32)>,
    pub(super) index: SegmentIndex,
}

#[derive(Debug)]
pub(super) struct Preparing {
    pub(super) number: u64,
    pub(super) file: FileId,
    pub(super) path: String,
    pub(super) filled: usize,
    pub(super) fill: bool,
}

/// The log.
#[derive(Debug)]
pub(crate) struct Log {
    pub(super) config: LogConfig,
    pub(super) opened: Now,
    pub(super) active: Active,
    /// Segments that can be written.
    pub(super) files: BTreeMap<u64, FileId>,
    /// Ends of the segments before the active one.
    pub(super) sealed: BTreeMap<u64, Sealed>,
    pub(super) batches: VecDeque<Batch>,
    pub(super) in_flight: bool,
    /// Segments written and not synced (periodic only).
    pub(super) unsynced: BTreeSet<u64>,
    pub(super) last_sync: BootNanos,
    pub(super) preparing: Option<Preparing>,
    pub(super) spares: Vec<String>,
    /// Freed segments whose renaming to a spare is under way.
    pub(super) recycling: usize,
    pub(super) spare_counter: u64,
    /// When the next segment is prepared again, and why it could not be.
    pub(super) retry_prepare: Option<(BootNanos, StoreError)>,
    pub(super) health: Health,
    pub(super) queued_bytes: usize,
    /// Everything below is synced.
    pub(super) synced_to: Position,
    /// A periodic sync is wanted before its time.
    pub(super) sync_now: bool,
    pub(super) durable: Vec<u64>,
    /// Tickets that wait until everything below these positions is synced, whatever the mode.
    pub(super) awaiting_sync: VecDeque<(Position, u64)>,
    pub(super) failed: Vec<(u64, StoreError)>,
    /// Ids that became durable and nobody was told of, and those that are written and not synced (periodic only).
    pub(super) held: IdSet,
    pub(super) unsynced_ids: IdSet,
    pub(super) syncs: u64,
}

impl Log {
    /// A log that begins a new segment after the ones found.
    pub(crate) fn new(
        config: LogConfig,
        number: u64,
        found: BTreeMap<u64, Sealed>,
        now: Now,
    ) -> Self {
        let active = Active {
            number,
            salt: salt(&config, number, now),
            offset: SegmentImage::START,
            synced: SegmentImage::START,
            ids: Vec::new(),
            index: SegmentIndex::default(),
        };
        Self {
            active,
            files: BTreeMap::new(),
            sealed: found,
            batches: VecDeque::new(),
            in_flight: false,
            unsynced: BTreeSet::new(),
            last_sync: now.boot,
            preparing: None,
            spares: Vec::new(),
            recycling: 0,
            spare_counter: 0,
            retry_prepare: None,
            health: Health::Fine,
            queued_bytes: 0,
            synced_to: Position {
                segment: number,
                offset: SegmentImage::START,
            },
            sync_now: false,
            durable: Vec::new(),
            awaiting_sync: VecDeque::new(),
            failed: Vec::new(),
            held: IdSet::default(),
            unsynced_ids: IdSet::default(),
            syncs: 0,
            opened: now,
            config,
        }
    }

    /// Whether it takes writes.
    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    /// Whether the active segment can be written to.
    pub(crate) fn is_open(&self) -> bool {
        self.files.contains_key(&self.active.number)
    }

    /// Where the next record goes.
    pub(crate) fn end(&self) -> Position {
        Position {
            segment: self.active.number,
            offset: self.active.offset,
        }
    }

    /// Segments there are.
    pub(crate) fn segments(&self) -> usize {
        self.sealed.len() + 1
    }

    /// Bytes of the segments that hold something; spares are no reason to flush.
    pub(crate) fn bytes(&self) -> usize {
        self.segments() * self.config.segment_bytes as usize
    }

    /// Syncs done.
    pub(crate) fn syncs(&self) -> u64 {
        self.syncs
    }

    /// Bytes waiting for the disk.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Whether everything appended is on disk, and synced.
    pub(crate) fn is_idle(&self) -> bool {
        self.batches.is_empty() && self.unsynced.is_empty()
    }

    /// Tickets whose records are durable.
    pub(crate) fn durable(&mut self) -> &mut Vec<u64> {
        &mut self.durable
    }

    /// Tickets whose records may not be.
    pub(crate) fn failed(&mut self) -> &mut Vec<(u64, StoreError)> {
        &mut self.failed
    }

    /// The longest body a record may have.
    pub(crate) fn max_body(&self) -> usize {
        (self.config.segment_bytes as usize / 2).min(model::limits::MAX_MUTATION_BYTES + 64)
    }

    /// Whether a record of this body and the seal still fit in the active segment, with a statement of so many bytes before it.
    pub(crate) fn fits(&self, body: usize, statement: usize) -> bool {
        self.active.offset as usize
            + CLOCK_RECORD_BYTES
            + record::record_bytes(body + 2 * varint::MAX_BYTES)
            + record::record_bytes(statement)
            + record::seal_bytes(self.active.ids.len() + 1)
            <= self.config.segment_bytes as usize
    }

    /// Whether the segment after the active one is ready, so that a rotation makes nobody wait.
    pub(crate) fn next_is_ready(&self) -> bool {
        self.files.contains_key(&(self.active.number + 1))
    }

    /// Seals the active segment and begins the next with a checkpoint.
    pub(crate) fn rotate(&mut self, mut checkpoint: Checkpoint) {
        let mut ids = std::mem::take(&mut self.active.ids);
        self.put(Kind::Seal, None, |out| record::put_seal(&mut ids, out));
        assert!(
            self.active.offset <= self.config.segment_bytes,
            "a segment holds its seal"
        );
        let number = self.active.number + 1;
        let next = Active {
            number,
            salt: salt(&self.config, number, self.opened),
            offset: SegmentImage::START,
            synced: SegmentImage::START,
            ids: Vec::new(),
            index: SegmentIndex::default(),
        };
        let full = std::mem::replace(&mut self.active, next);
        let sealed = Sealed {
            end: full.offset,
            salt: full.salt,
            index: full.index,
            retired: Retired::Recycle,
        };
        self.sealed.insert(full.number, sealed);
        checkpoint.ends = self.ends();
        self.put(Kind::Checkpoint, None, |out| checkpoint.encode(out));
        self.put_clock();
    }

    /// Writes the first checkpoint of a log just opened.
    pub(crate) fn begin(&mut self, mut checkpoint: Checkpoint) {
        assert_eq!(self.active.offset, SegmentImage::START, "a log begins once");
        checkpoint.ends = self.ends();
        self.put(Kind::Checkpoint, None, |out| checkpoint.encode(out));
        self.put_clock();
    }

    /// Appends a mutation; its ticket is reported when it is durable. It must fit.
    pub(crate) fn append(
        &mut self,
        id: Option<MutationId>,
        mutation: &[u8],
        ticket: u64,
    ) -> Position {
        if self.open_batch().clock.is_none() {
            self.put_clock();
        }
        let position = self.end();
        match id {
            None => self.put(Kind::Mutation, Some(ticket), |out| {
                out.extend_from_slice(mutation);
            }),
            Some(id) => {
                self.active.ids.push((id, position.offset));
                self.open_batch().ids.insert(id);
                if self.config.policy.has(Defect::UnsyncedTold) {
                    self.held.insert(id);
                }
                self.put(Kind::Tracked, Some(ticket), |out| {
                    varint::put(out, id.log.0);
                    varint::put(out, id.sequence);
                    out.extend_from_slice(mutation);
                });
                let end = self.active.offset;
                self.active.index.note(id, position.offset, end);
            }
        }
        position
    }

    /// Begins a record of the clock in the batch that is being filled.
    fn put_clock(&mut self) {
        let (salt, synced) = (self.active.salt, self.active.synced);
        let batch = self.open_batch();
        let at = batch.data.len();
        batch.clock = Some(ClockRecord { at, salt, synced });
        self.put(Kind::Clock, None, |out| out.extend_from_slice(&[0; 8]));
    }

    /// The batch that is being filled: not in flight, and of the active segment.
    pub(super) fn open_batch(&mut self) -> &mut Batch {
        let open = self.batches.len() > usize::from(self.in_flight)
            && self
                .batches
                .back()
                .is_some_and(|batch| batch.segment == self.active.number);
        if !open {
            let batch = Batch::new(self.active.number, self.active.offset);
            self.batches.push_back(batch);
        }
        self.batches.back_mut().expect("just made")
    }

    pub(super) fn put(&mut self, kind: Kind, ticket: Option<u64>, body: impl FnOnce(&mut Vec<u8>)) {
        let (salt, synced) = (self.active.salt, self.active.synced);
        let batch = self.open_batch();
        let data = Arc::make_mut(&mut batch.data);
        let before = data.len();
        record::put_record(data, salt, synced, kind, body);
        let bytes = data.len() - before;
        self.active.offset += bytes as u32;
        self.queued_bytes += bytes;
        if let Some(ticket) = ticket {
            match self.config.sync {
                SyncMode::Periodic { .. } => self.durable.push(ticket),
                SyncMode::Group | SyncMode::Batch => self.open_batch().tickets.push(ticket),
            }
        }
    }

    /// Submits what waits: the next batch, a periodic sync, the preparation of the next segment.
    pub(crate) fn submit(&mut self, now: Now, requests: &mut Requests, io: &mut IoQueue) {
        match &self.health {
            Health::Poisoned(_) => return,
            Health::Stalled(_, at) if now.boot < *at => return,
            _ => {}
        }
        self.submit_batch(requests, io);
        self.submit_sync(now, requests, io);
        self.prepare(now, requests, io);
    }

    fn submit_batch(&mut self, requests: &mut Requests, io: &mut IoQueue) {
        if self.in_flight {
            return;
        }
        let Some(batch) = self.batches.front_mut() else {
            return;
        };
        let Some(&file) = self.files.get(&batch.segment) else {
            return;
        };
        batch.fill_clock(self.config.clock.last());
        let mut chain = Vec::with_capacity(3);
        // A segment's first record vouches for the segments before it.
        let before = self.unsynced.range(..batch.segment);
        chain.extend(before.map(|segment| IoRequest::Sync {
            file: self.files[segment],
        }));
        chain.push(IoRequest::WriteShared {
            file,
            offset: u64::from(batch.offset),
            data: batch.data.clone(),
        });
        // Under periodic syncs one that is waited for goes with the write: a log that always has something to write would
        // never come to a sync by itself.
        batch.synced = !matches!(self.config.sync, SyncMode::Periodic { .. }) || self.sync_now;
        if batch.synced {
            chain.push(IoRequest::Sync { file });
        }
        self.in_flight = true;
        requests.submit(io, Purpose::Log(LogStep::Batch), IoRequest::Chain(chain));
    }

    fn submit_sync(&mut self, now: Now, requests: &mut Requests, io: &mut IoQueue) {
        if self.sync_due().is_none_or(|at| now.boot < at) {
            return;
        }
        let chain = self
            .unsynced
            .iter()
            .map(|segment| IoRequest::Sync {
                file: self.files[segment],
            })
            .collect();
        self.in_flight = true;
        requests.submit(io, Purpose::Log(LogStep::Sync), IoRequest::Chain(chain));
    }

    /// When the next periodic sync begins; what is in flight looks again when it is done.
    fn sync_due(&self) -> Option<BootNanos> {
        match self.config.sync {
            _ if self.in_flight => None,
            SyncMode::Periodic { .. } if !self.unsynced.is_empty() && self.sync_now => {
                Some(self.last_sync)
            }
            SyncMode::Periodic { ms } if !self.unsynced.is_empty() => {
                Some(self.last_sync.plus_millis(ms))
            }
            _ => None,
        }
    }

    /// When [`Self::submit`] has something to do although nothing happens.
    pub(crate) fn next_deadline(&self) -> Option<BootNanos> {
        match &self.health {
            Health::Poisoned(_) => None,
            Health::Stalled(..) if self.in_flight || self.preparing.is_some() => None,
            Health::Stalled(_, at) => Some(*at),
            Health::Fine => {
                let prepare = self.retry_prepare.as_ref().map(|(at, _)| *at);
                [self.sync_due(), prepare].into_iter().flatten().min()
            }
        }
    }

    /// Takes the outcome of one of the log's requests.
    pub(crate) fn on_io(
        &mut self,
        step: LogStep,
        outcome: IoOutcome,
        now: Now,
        requests: &mut Requests,
        io: &mut IoQueue,
    ) {
        match (step, outcome) {
            (LogStep::Batch, Ok(_)) => self.batch_done(now, requests, io),
            (LogStep::Sync, Ok(_)) => {
                self.in_flight = false;
                self.synced(now);
                self.close_written(requests, io);
            }
            (LogStep::Batch, Err(IoError::Full(_))) => {
                self.in_flight = false;
                self.stall(StoreError::DiskFull, now.boot.plus_millis(RETRY_MS));
            }
            (LogStep::Batch | LogStep::Sync, Err(error)) => {
                self.in_flight = false;
                self.poison(&error);
            }
            (LogStep::Open | LogStep::Fill, Ok(_)) => self.prepare_on(requests, io),
            (LogStep::Name, Ok(_)) => {
                let prepared = self.preparing.take().expect("it was being prepared");
                self.files.insert(prepared.number, prepared.file);
            }
            (LogStep::Open | LogStep::Fill | LogStep::Name, Err(error)) => {
                self.prepare_failed(&error, now, requests, io);
            }
            (LogStep::Spare(path), Ok(_)) => {
                self.recycling -= 1;
                self.spares.push(path);
            }
            // Under whichever name the file is now, the next start removes it.
            (LogStep::Spare(_), Err(_)) => self.recycling -= 1,
        }
        self.submit(now, requests, io);
    }

    fn batch_done(&mut self, now: Now, requests: &mut Requests, io: &mut IoQueue) {
        self.in_flight = false;
        self.health = Health::Fine;
        let mut batch = self
            .batches
            .pop_front()
            .expect("the front batch was in flight");
        self.queued_bytes -= batch.data.len();
        self.durable.append(&mut batch.tickets);
        if let SyncMode::Periodic { .. } = self.config.sync {
            self.unsynced_ids.union(&batch.ids);
            if self.unsynced.is_empty() {
                self.last_sync = now.boot;
            }
            self.unsynced = self.unsynced.split_off(&batch.segment);
            self.unsynced.insert(batch.segment);
            if batch.synced {
                self.synced(now);
            }
        } else {
            self.syncs += 1;
            self.held.union(&batch.ids);
            self.synced_to = Position {
                segment: batch.segment,
                offset: batch.offset + batch.data.len() as u32,
            };
            if batch.segment == self.active.number {
                self.active.synced = batch.offset + batch.data.len() as u32;
            }
            self.report_synced();
        }
        self.close_written(requests, io);
    }

    /// Closes the segments that nothing will be written to any more.
    fn close_written(&mut self, requests: &mut Requests, io: &mut IoQueue) {
        let needed = self
            .batches
            .front()
            .map_or(self.active.number, |batch| batch.segment);
        while let Some(entry) = self.files.first_entry() {
            if *entry.key() >= needed || self.unsynced.contains(entry.key()) {
                break;
            }
            let file = entry.remove();
            requests.submit(io, Purpose::Nobody, IoRequest::Close { file });
        }
    }

    /// Refuses writes until a later attempt succeeds.
    pub(super) fn stall(&mut self, error: StoreError, retry_at: BootNanos) {
        self.fail_all(&error);
        self.health = Health::Stalled(error, retry_at);
    }

    fn poison(&mut self, error: &IoError) {
        let reason = error.to_string();
        self.fail_all(&StoreError::Poisoned(reason.clone()));
        self.health = Health::Poisoned(reason);
    }

    /// Tells everyone who waits; the records themselves stay queued, for they are applied already.
    fn fail_all(&mut self, error: &StoreError) {
        for batch in &mut self.batches {
            let failed = batch
                .tickets
                .drain(..)
                .map(|ticket| (ticket, error.clone()));
            self.failed.extend(failed);
        }
        let awaiting = self.awaiting_sync.drain(..);
        self.failed
            .extend(awaiting.map(|(_, ticket)| (ticket, error.clone())));
    }
}

/// A salt no earlier use of the same file had: it differs by number, and by when the log was opened.
pub(super) fn salt(config: &LogConfig, number: u64, opened: Now) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&config.generation.to_le_bytes());
    hasher.update(&config.shard.to_le_bytes());
    hasher.update(&number.to_le_bytes());
    hasher.update(&opened.wall.0.to_le_bytes());
    hasher.finalize()
}
