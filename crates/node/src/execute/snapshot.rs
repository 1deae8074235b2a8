//! The metadata log is kept short: once the changes in it take much more room than what they came to, they are replaced by
//! that, in one step. Else every start would replay every change there ever was.

use crate::metadata::{self, Entry, Identity};
use crate::shard::Shard;
use model::env::IoQueue;

/// The ticket of a replacement; those of changes begin at one.
pub(super) const REPLACED_TICKET: u64 = 0;

impl Shard {
    /// Replaces the log's entries if they are worth it. The schema in force is what all of them come to: no change is
    /// under way that is not in it.
    pub(super) fn shorten_metadata_log(&mut self, io: &mut IoQueue) {
        let bound = self.config.metadata_log;
        let changes = &mut self.schema_changes;
        let Some(log) = &mut changes.log else { return };
        let allowed = |snapshot: u64| bound.bytes.max(bound.snapshots.saturating_mul(snapshot));
        if log.bytes() <= allowed(changes.snapshot_bytes) {
            return;
        }
        let node = self.topology.local();
        let identity = Identity {
            host_id: node.host_id,
            tokens: node.tokens.clone(),
        };
        let entries = vec![
            metadata::encode(Entry::Snapshot(Box::new((*self.schema).clone()))),
            metadata::encode(Entry::Identity(identity)),
        ];
        changes.snapshot_bytes = entries.iter().map(|entry| entry.len() as u64).sum();
        if log.bytes() > allowed(changes.snapshot_bytes) {
            log.replace(entries, REPLACED_TICKET, io);
        }
    }
}
