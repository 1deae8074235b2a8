//! `system.compaction_history`: what compactions did in the last seven days.
//!
//! Each shard writes the rows of its own compactions to its own store, under ids that it owns, so that every reader finds
//! them. That a row may be lost with the process is no harm, so nobody waits for it.

use crate::message::RequestId;
use crate::replica::Caller;
use crate::shard::Shard;
use crate::system::row::SystemRow;
use model::key::{self, DecoratedKey};
use model::schema::{Table, TableId};
use model::time::Now;
use model::value::join_collection;
use std::sync::Arc;
use storage::CompactionStats;
use uuid::Uuid;

/// Ids tried for one that this shard owns: with 256 shards one in 10,000 rows has another owner, and is not seen.
const ID_TRIES: usize = 2048;
/// Number of an operation there never is.
const NOBODY: Caller = Caller::Local(RequestId {
    operation: u64::MAX,
    part: 0,
});

impl Shard {
    /// Writes down the compactions that ended.
    pub(crate) fn note_compactions(&mut self, now: Now) {
        for compaction in self.replica.store.take_compactions() {
            let history = self.virtual_keyspaces["system"].tables["compaction_history"].clone();
            // As in Cassandra: else the history would make compactions by itself.
            if compaction.table != history.id {
                self.note_compaction(&compaction, &history, now);
            }
        }
    }

    fn note_compaction(&mut self, compaction: &CompactionStats, history: &Table, now: Now) {
        let Some(table) = self.stored_table(compaction.table) else {
            return;
        };
        let id = self.owned_id(now);
        let ttl = history.options.default_time_to_live;
        let merged: Vec<[Vec<u8>; 2]> = compaction
            .merged
            .iter()
            .map(|(sources, count)| {
                let sources = i32::try_from(*sources).unwrap_or(i32::MAX);
                [sources.to_be_bytes().to_vec(), count.to_be_bytes().to_vec()]
            })
            .collect();
        let parts = merged.iter().flatten().map(Vec::as_slice);
        let properties = [&b"compaction_type"[..], b"Compaction"];
        let mutation = SystemRow::new(history, now.wall.0)
            .expiring(ttl, now)
            .set("bytes_in", &compaction.input_bytes.to_be_bytes())
            .set("bytes_out", &compaction.output_bytes.to_be_bytes())
            .set("columnfamily_name", table.name.as_bytes())
            .set("compacted_at", &(compaction.at_micros / 1000).to_be_bytes())
            .set(
                "compaction_properties",
                &join_collection(1, properties.into_iter()),
            )
            .set("keyspace_name", table.keyspace.as_bytes())
            .set("rows_merged", &join_collection(merged.len(), parts))
            .finish(&key_of(id), &[]);
        self.replica.apply(&mutation.encode(), NOBODY, now);
    }

    /// The table of an id, a stored system table too; none if it was dropped meanwhile.
    fn stored_table(&self, id: TableId) -> Option<Arc<Table>> {
        let system = self.virtual_keyspaces["system"].tables.values();
        let mut tables = self.schema.tables().chain(system);
        tables.find(|table| table.id == id).cloned()
    }

    /// A time UUID whose token this shard owns.
    fn owned_id(&mut self, now: Now) -> Uuid {
        let mut id = self.random.time_uuid(now);
        for _ in 0..ID_TRIES {
            if self.owner(key_of(id).token) == self.number {
                break;
            }
            id = self.random.time_uuid(now);
        }
        id
    }
}

fn key_of(id: Uuid) -> DecoratedKey {
    DecoratedKey::new(key::join(&[id.as_bytes().as_slice()]))
}
