//! The end of recovery: the new log is begun, and the store is ready.
//!
//! A log's first record is its checkpoint, which says what ids are held. A store that goes on with its own log is ready as
//! soon as that is submitted: the segments before say the same. One that takes over from an earlier generation has none
//! before, and the node removes that generation once every shard is ready. So it is ready when the checkpoint is synced,
//! whatever the sync mode, and if the log cannot be written the start fails: the generation before is untouched.

use super::super::{Phase, Store, sooner};
use super::Stage;
use crate::commitlog::{Checkpoint, Health, Log, LogConfig, Position};
use crate::error::StoreError;
use model::env::IoQueue;
use model::time::Now;
use std::collections::BTreeMap;

impl Store {
    /// Begins the new log. Where it takes over from an earlier generation its first record is synced at once.
    pub(super) fn begin_log(&mut self, now: Now, io: &mut IoQueue) {
        let Some(recovery) = self.recovery() else {
            return;
        };
        recovery.stage = Stage::Beginning;
        let own = recovery.places.is_none();
        let held = std::mem::take(&mut recovery.held);
        let found = if own {
            std::mem::take(&mut recovery.found)
        } else {
            BTreeMap::new()
        };
        let flushed = recovery
            .flushed
            .values()
            .map(|position| position.segment)
            .filter(|_| own);
        let last = flushed.chain(found.keys().copied()).max().unwrap_or(0);
        let config = LogConfig {
            directory: self.config.commitlog_directory.clone(),
            generation: self.config.generation.number,
            shard: self.config.shard,
            segment_bytes: self.config.segment_bytes as u32,
            sync: self.config.sync,
            clock: self.config.clock.clone(),
            policy: self.config.policy,
        };
        // What is written from now on is younger than every truncation.
        for state in self.tables.values() {
            self.config.clock.observe(state.truncated_at);
        }
        // What is owed was to go when the store was stopped.
        held.owed
            .values()
            .for_each(|owed| self.released.union(owed));
        let mut log = Log::new(config, last + 1, found, now);
        self.unjournaled = held.ids().minus(&log.ids());
        self.held = held;
        if own {
            self.settle_flushed(log.end());
        }
        let floor = self.log_floor().unwrap_or(log.end());
        let checkpoint = Checkpoint {
            replay_from: floor,
            ..self.checkpoint()
        };
        log.begin(checkpoint);
        if !own {
            log.sync_soon();
        }
        log.submit(now, &mut self.requests, io);
        self.log = Some(log);
    }

    /// Waits for the first record of a log that takes over from an earlier generation.
    pub(super) fn await_log(&mut self, now: Now, io: &mut IoQueue) {
        let log = self.log.as_ref().expect("it was begun before this stage");
        if let Some(error) = refusal(log.health()) {
            self.fail_recovery(error);
        } else if log.is_idle() {
            self.finish_recovery(now, io);
        }
    }

    /// Everything is recovered and the new log is begun: the store is ready.
    pub(super) fn finish_recovery(&mut self, now: Now, io: &mut IoQueue) {
        self.phase = Phase::Ready;
        self.agenda.compactions = true;
        for state in self
            .tables
            .values_mut()
            .filter(|state| !state.active.is_empty())
        {
            state.active_since = Some(now.boot);
            if let Some(at) = state.flush_at() {
                sooner(&mut self.agenda.flush_at, at);
            }
        }
        self.free_log(io);
    }

    /// Notes of the tables that were flushed during recovery that all of the log so far is in their SSTables, or will be with
    /// the last memtable that was frozen. Otherwise a second crash would replay it over SSTables that have forgotten
    /// tombstones meanwhile. Where a memtable is left it holds the oldest records, and they are replayed with all others.
    fn settle_flushed(&mut self, end: Position) {
        for state in self.tables.values_mut() {
            if !state.active.is_empty() {
                continue;
            }
            if let Some(last) = state.frozen.back_mut() {
                last.upto = Some(end);
            } else if state.counters.flushes > 0 {
                state.flushed = state.flushed.max(end);
                state.change([]);
                self.agenda.manifests = true;
            }
        }
    }

    /// The log heard from the disk: it may be what recovery waits for.
    pub(in crate::store) fn recovery_log_written(&mut self, now: Now, io: &mut IoQueue) {
        self.recovery_advance(now, io);
    }
}

/// Why a start that takes over from an earlier generation cannot go on with a log in this state.
fn refusal(health: &Health) -> Option<StoreError> {
    match health {
        Health::Fine => None,
        Health::Stalled(StoreError::DiskFull, _) => Some(StoreError::NoRoomForShards),
        Health::Stalled(StoreError::NoSegment(reason), _) | Health::Poisoned(reason) => {
            Some(StoreError::NoLogForShards(reason.clone()))
        }
        Health::Stalled(error, _) => Some(error.clone()),
    }
}
