//! What became of the records that the disk was given.

use super::{DISK_RETRY_MS, MetadataLog};
use crate::effects::LogLevel;
use cluster::raft::Output;
use model::env::{IoOutcome, IoQueue, IoTag};
use model::time::BootNanos;
use storage::StoreError;

impl MetadataLog {
    /// A disk request of the log ended.
    pub fn on_io(&mut self, tag: IoTag, outcome: IoOutcome, now: BootNanos, io: &mut IoQueue) {
        self.disk.on_io(tag, outcome, io);
        self.take_disk(now, io);
    }

    /// Hears what became of the records that the disk was given.
    pub(super) fn take_disk(&mut self, now: BootNanos, io: &mut IoQueue) {
        let mut out = Output::default();
        for ticket in self.disk.durable_tickets() {
            self.tickets_until(ticket, now, &mut out);
        }
        for (ticket, error) in self.disk.failed_tickets() {
            self.tickets.retain(|(other, _)| *other != ticket);
            if error == StoreError::DiskFull {
                self.retry_disk = Some(now.plus_millis(DISK_RETRY_MS));
            }
            self.disk_failed(error);
        }
        self.carry_out(out, now, io);
    }

    /// The disk did not take something.
    fn disk_failed(&mut self, error: StoreError) {
        self.fail_all(&error.to_string());
        if self.disk_error.as_ref() != Some(&error) {
            let note = format!("the metadata log cannot be written: {error}");
            self.notes.push((LogLevel::Error, note));
        }
        self.disk_error = Some(error);
    }

    fn tickets_until(&mut self, ticket: u64, now: BootNanos, out: &mut Output) {
        while let Some((first, position)) = self.tickets.front().copied()
            && first <= ticket
        {
            self.tickets.pop_front();
            // With a record among them that the disk did not take, all will be written again.
            if self.retry_disk.is_none() {
                self.disk_error = None;
                self.raft.on_persisted(position, now, out);
            }
        }
    }
}
