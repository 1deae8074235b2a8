//! Figures for nodetool, metrics and the virtual tables.

use super::Store;
use super::job::Work;
use crate::commitlog::Log;
use crate::sstable::Stats;
use model::schema::{Table, TableId};
use std::collections::BTreeMap;

/// Figures of one table on one shard.
#[derive(Debug, Clone, PartialEq)]
pub struct TableStats {
    /// The table.
    pub table: TableId,
    /// Bytes of memory of its memtables.
    pub memtable_bytes: usize,
    /// Partitions in its memtables.
    pub memtable_partitions: usize,
    /// Rows in its memtables.
    pub memtable_rows: u64,
    /// SSTables.
    pub sstables: usize,
    /// Bytes of them.
    pub disk_bytes: u64,
    /// Their data, uncompressed.
    pub raw_bytes: u64,
    /// Partitions in them; one that is in several counts several times.
    pub partitions: u64,
    /// Rows in them, counted likewise.
    pub rows: u64,
    /// Tombstones in them.
    pub tombstones: u64,
    /// Memory of their index roots and bloom filters.
    pub index_bytes: usize,
    /// Reads since the start.
    pub reads: u64,
    /// Writes since the start.
    pub writes: u64,
    /// Flushes since the start.
    pub flushes: u64,
    /// Compactions since the start.
    pub compactions: u64,
    /// When it was last truncated, in microseconds; `i64::MIN` if never.
    pub truncated_at: i64,
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum JobKind {
    Flush,
    Compaction,
}

/// A job under way (`system_views.sstable_tasks`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobStats {
    /// Number within the store.
    pub id: u64,
    /// The table.
    pub table: TableId,
    /// What it does.
    pub kind: JobKind,
    /// Bytes of its input.
    pub input_bytes: u64,
    /// Bytes it has written.
    pub output_bytes: u64,
}

/// A compaction that ended (`system.compaction_history`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactionStats {
    /// The table.
    pub table: TableId,
    /// When it ended, in microseconds.
    pub at_micros: i64,
    /// Bytes of the SSTables it read.
    pub input_bytes: u64,
    /// Bytes of those it wrote.
    pub output_bytes: u64,
    /// Partitions by how many of the SSTables may have held them.
    pub merged: BTreeMap<u32, u64>,
}

/// Figures of one shard's store.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreStats {
    /// By table, ordered by id.
    pub tables: Vec<TableStats>,
    /// Flushes and compactions under way.
    pub jobs: Vec<JobStats>,
    /// Bytes of all memtables.
    pub memtable_bytes: usize,
    /// Bytes in the block cache.
    pub cache_bytes: usize,
    /// Questions to the block cache that it answered.
    pub cache_hits: u64,
    /// Questions that it did not.
    pub cache_misses: u64,
    /// Memory of bloom filters.
    pub filter_bytes: usize,
    /// Bytes of commit-log files.
    pub log_bytes: usize,
    /// Commit-log segments.
    pub log_segments: usize,
    /// Syncs of the commit log.
    pub log_syncs: u64,
    /// Bytes waiting to be written to the log.
    pub log_queued_bytes: usize,
    /// Reads under way.
    pub reads: usize,
    /// Log records that recovery left out: of tables there are no more, or rotten.
    pub skipped_records: u64,
}

impl Store {
    /// The store's figures.
    pub fn stats(&self) -> StoreStats {
        let log = self.log.as_ref();
        let (cache_hits, cache_misses) = self.cache.counts();
        StoreStats {
            tables: self
                .tables
                .keys()
                .filter_map(|id| self.table_stats(*id))
                .collect(),
            jobs: self.job_stats(),
            memtable_bytes: self.memtable_bytes,
            cache_bytes: self.cache.bytes(),
            cache_hits,
            cache_misses,
            filter_bytes: self.filter_bytes,
            log_bytes: log.map_or(0, Log::bytes),
            log_segments: log.map_or(0, Log::segments),
            log_syncs: log.map_or(0, Log::syncs),
            log_queued_bytes: log.map_or(0, Log::queued_bytes),
            reads: self.reads.len(),
            skipped_records: self.skipped_records,
        }
    }

    /// Whether a table is in the schema in force here.
    pub fn has_table(&self, id: TableId) -> bool {
        self.tables.contains_key(&id)
    }

    /// A table of the schema in force here.
    pub fn table(&self, id: TableId) -> Option<&Table> {
        self.tables.get(&id).map(|state| &*state.table)
    }

    /// The directory of a table.
    pub fn table_directory(&self, table: &Table) -> String {
        crate::manifest::table_directory(&self.config.data_directory, table)
    }

    /// A table's figures.
    pub fn table_stats(&self, id: TableId) -> Option<TableStats> {
        let state = self.tables.get(&id)?;
        let memtables = state.memtables();
        let sum = |figure: fn(&Stats) -> u64| -> u64 {
            state
                .sstables
                .iter()
                .map(|table| figure(&table.stats))
                .sum()
        };
        Some(TableStats {
            table: id,
            memtable_bytes: state.memtable_bytes(),
            memtable_partitions: memtables
                .iter()
                .map(|memtable| memtable.partition_count())
                .sum(),
            memtable_rows: memtables.iter().map(|memtable| memtable.row_count()).sum(),
            sstables: state.sstables.len(),
            disk_bytes: state.sstables.iter().map(|table| table.length).sum(),
            raw_bytes: sum(|stats| stats.raw_bytes),
            partitions: sum(|stats| stats.partitions),
            rows: sum(|stats| stats.rows),
            tombstones: sum(|stats| stats.tombstones),
            index_bytes: state.sstables.iter().map(|table| table.memory()).sum(),
            reads: state.counters.reads,
            writes: state.counters.writes,
            flushes: state.counters.flushes,
            compactions: state.counters.compactions,
            truncated_at: state.truncated_at,
        })
    }

    /// The statistics of a table's SSTables, by path.
    pub fn sstable_stats(&self, id: TableId) -> Vec<(&str, u64, &Stats)> {
        let tables = self
            .tables
            .get(&id)
            .into_iter()
            .flat_map(|state| &state.sstables);
        tables
            .map(|table| (table.path.as_str(), table.length, &table.stats))
            .collect()
    }

    fn job_stats(&self) -> Vec<JobStats> {
        let jobs = self.jobs.iter().map(|(id, job)| JobStats {
            id: *id,
            table: job.table,
            kind: match job.work {
                Work::Flush => JobKind::Flush,
                Work::Compaction { .. } | Work::Import { .. } => JobKind::Compaction,
            },
            input_bytes: job.input_bytes,
            output_bytes: job.output_bytes(),
        });
        jobs.collect()
    }
}
