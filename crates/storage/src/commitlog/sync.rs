//! When what was appended is synced, and who waits for that.
//!
//! An acknowledgement waits for a sync by the log's mode; what other nodes are told and rely on always does.

use super::Position;
use super::log::{Health, Log};
use crate::config::SyncMode;
use crate::error::StoreError;
use model::time::Now;

impl Log {
    /// Whether everything below a position is synced. If not, a sync is under way or will be soon, unless the log is
    /// poisoned.
    pub(crate) fn is_synced_to(&mut self, position: Position) -> bool {
        let synced =
            self.synced_to >= position || self.batches.is_empty() && self.unsynced.is_empty();
        self.sync_now |= !synced;
        synced
    }

    /// Syncs what is written, and what is being written, without waiting for the period.
    pub(crate) fn sync_soon(&mut self) {
        self.sync_now |= !self.is_idle();
    }

    /// Whether everything appended is as durable as an acknowledgement promises. If not, the ticket is reported when it
    /// is, or with the reason why it may not be.
    pub(crate) fn confirm(&mut self, ticket: u64) -> Result<bool, StoreError> {
        if let Health::Poisoned(reason) = &self.health {
            return Err(StoreError::Poisoned(reason.clone()));
        }
        match (self.config.sync, self.batches.back_mut()) {
            (SyncMode::Periodic { .. }, _) | (_, None) => Ok(true),
            (SyncMode::Group | SyncMode::Batch, Some(batch)) => {
                batch.tickets.push(ticket);
                Ok(false)
            }
        }
    }

    /// Whether everything appended is synced, whatever the mode says of acknowledgements. If not, the ticket is reported when it
    /// is, or with the reason why it may not be.
    pub(crate) fn confirm_synced(&mut self, ticket: u64) -> Result<bool, StoreError> {
        if let Health::Poisoned(reason) = &self.health {
            return Err(StoreError::Poisoned(reason.clone()));
        }
        let end = self.end();
        let synced = self.is_synced_to(end);
        if !synced {
            self.awaiting_sync.push_back((end, ticket));
        }
        Ok(synced)
    }

    /// Reports the tickets that waited for what is synced now.
    pub(super) fn report_synced(&mut self) {
        while let Some((position, ticket)) = self.awaiting_sync.front()
            && *position <= self.synced_to
        {
            self.durable.push(*ticket);
            self.awaiting_sync.pop_front();
        }
        self.sync_now = !self.awaiting_sync.is_empty();
    }

    /// Everything that was written is synced.
    pub(super) fn synced(&mut self, now: Now) {
        self.syncs += 1;
        self.last_sync = now.boot;
        self.unsynced.clear();
        self.held.union(&std::mem::take(&mut self.unsynced_ids));
        self.synced_to = match self.batches.front() {
            Some(batch) => Position {
                segment: batch.segment,
                offset: batch.offset,
            },
            None => self.end(),
        };
        // Nothing was written while the sync was in flight, so what is not in a batch is synced.
        let queued: usize = self
            .batches
            .iter()
            .filter(|batch| batch.segment == self.active.number)
            .map(|batch| batch.data.len())
            .sum();
        self.active.synced = self.active.offset - queued as u32;
        self.report_synced();
    }
}
