//! Reads that meet many tombstones: the client is warned above `tombstone_warn_threshold`, and refused above
//! `tombstone_failure_threshold`. Both hold for each read of a statement by itself: of a partition, or of a range.

use super::{SelectOperation, select_plan};
use crate::execute::rows::rows;
use crate::message::{READ_TOO_MANY_TOMBSTONES, ReplicaError};
use crate::shard::Shard;
use model::read::ReadResponse;

/// How much of a statement a warning shows, as in Cassandra.
const SHOWN_CHARS: usize = 512;

impl Shard {
    /// What this node answers as a replica to a read that meets too many.
    pub(super) fn too_many_tombstones(&self) -> ReplicaError {
        let node = self.config.internode_address;
        let detail = format!("READ_TOO_MANY_TOMBSTONES from /{node}");
        ReplicaError::Failed(READ_TOO_MANY_TOMBSTONES, detail)
    }
}

impl SelectOperation {
    /// Warns of what several reads of a statement may meet.
    pub(in crate::execute) fn warn_once(&mut self, text: &str) {
        if !self.reply.warnings.iter().any(|known| known == text) {
            self.reply.warnings.push(text.to_owned());
        }
    }

    /// Warns of what one read met, with the token of its partition: of a range, of the last partition it gave.
    pub(super) fn warn_of_tombstones(&mut self, response: &ReadResponse) {
        let plan = select_plan(&self.statement);
        let token = match &self.bound.restrictions.keys {
            Some(keys) => keys.get(self.next_key).map(|key| key.token),
            None => rows(std::iter::once(response), plan.static_counts())
                .last()
                .map(|row| row.token),
        };
        let token = token.map_or_else(String::new, |token| format!("; token {}", token.0));
        let text: String = self.statement.text.chars().take(SHOWN_CHARS).collect();
        self.reply.warnings.push(format!(
            "Read {} live rows and {} tombstone cells for query {text}{token} (see tombstone_warn_threshold)",
            response.rows, response.tombstones
        ));
    }
}
