//! What a store holds of one table.

use super::cleanup::Cleanup;
use super::proof::TableProof;
use crate::commitlog::Position;
use crate::config::StoreConfig;
use crate::manifest::{Manifest, ManifestEntry, manifest_name, table_directory};
use crate::memtable::Memtable;
use crate::read::known_columns;
use crate::sstable::{FileName, SsTable};
use model::env::FileId;
use model::row::ColumnId;
use model::schema::Table;
use model::time::BootNanos;
use std::collections::VecDeque;
use std::sync::Arc;

/// A memtable that takes no more writes and waits to be flushed, or is being flushed.
#[derive(Debug)]
pub(crate) struct Frozen {
    pub memtable: Memtable,
    /// Everything the log holds of the table below it is in this memtable, an earlier one or the SSTables; `None` while
    /// the log is being replayed, for it is not replayed in order.
    pub upto: Option<Position>,
    /// Whether a job writes it.
    pub in_job: bool,
    /// Tasks that wait for it.
    pub tasks: Vec<u64>,
}

/// What is to be done when the manifest that is about to be written is durable.
#[derive(Debug)]
pub(crate) enum Then {
    /// The log is not needed any more from this position on.
    Release(Option<Position>),
    /// These files are not listed any more.
    Remove(Vec<Arc<SsTable>>),
    /// A task has one thing less to wait for.
    Task(u64),
}

/// Writing of the manifest.
#[derive(Debug, Default)]
pub(crate) struct ManifestState {
    /// Whether the one on disk is not what it should be.
    pub dirty: bool,
    /// What waits for the next one written.
    pub then: Vec<Then>,
    /// What waits for the one being written.
    pub writing: Option<Vec<Then>>,
    /// The file being written.
    pub file: Option<FileId>,
    /// When to try again after a failure.
    pub retry_at: Option<BootNanos>,
}

/// Counters of a table, for statistics.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counters {
    pub reads: u64,
    pub writes: u64,
    pub flushes: u64,
    pub compactions: u64,
}

/// A table.
#[derive(Debug)]
pub(crate) struct TableState {
    pub table: Arc<Table>,
    /// Ids of its columns, if some were dropped.
    pub known_columns: Option<Vec<ColumnId>>,
    /// Whether its writes go to the commit log.
    pub durable_writes: bool,
    pub directory: String,
    /// Whether the directory is known to exist, durably.
    pub has_directory: bool,
    pub active: Memtable,
    /// When the first write came into the active memtable.
    pub active_since: Option<BootNanos>,
    pub frozen: VecDeque<Frozen>,
    /// Newest data first: by largest timestamp, descending.
    pub sstables: Vec<Arc<SsTable>>,
    /// What is known of other replicas.
    pub proof: TableProof,
    /// First log positions of memtables that are in SSTables no durable manifest lists yet.
    pub unlisted: Vec<Option<Position>>,
    pub flushed: Position,
    /// What was flushed was synced in the log up to here.
    pub log_synced: Position,
    pub truncated_at: i64,
    pub truncated_epoch: u64,
    /// What the log holds of it below this was emptied.
    pub truncated_upto: Position,
    pub next_number: u64,
    pub manifest: ManifestState,
    /// Counts truncations: a job of an earlier epoch is void.
    pub epoch: u64,
    /// Tasks that want everything compacted into one.
    pub major: Vec<u64>,
    /// A cleanup that is under way.
    pub cleanup: Option<Cleanup>,
    /// Whether anything changed that could make a compaction worth while.
    pub compaction_due: bool,
    pub counters: Counters,
}

impl TableState {
    /// A table without data.
    pub(crate) fn new(config: &StoreConfig, table: Arc<Table>, durable_writes: bool) -> Self {
        Self {
            directory: table_directory(&config.data_directory, &table),
            known_columns: known_columns(&table),
            table,
            durable_writes,
            has_directory: false,
            active: Memtable::default(),
            active_since: None,
            frozen: VecDeque::new(),
            sstables: Vec::new(),
            proof: TableProof::default(),
            unlisted: Vec::new(),
            flushed: Position::default(),
            log_synced: Position::default(),
            truncated_at: i64::MIN,
            truncated_epoch: 0,
            truncated_upto: Position::default(),
            next_number: 1,
            manifest: ManifestState::default(),
            epoch: 0,
            major: Vec::new(),
            cleanup: None,
            compaction_due: false,
            counters: Counters::default(),
        }
    }

    /// Path of the manifest.
    pub(crate) fn manifest_path(&self, config: &StoreConfig) -> String {
        let name = manifest_name(config.generation.number, config.shard);
        format!("{}/{name}", self.directory)
    }

    /// The manifest as it should be.
    pub(crate) fn manifest(&self) -> Manifest {
        Manifest {
            table: self.table.id,
            next_number: self.next_number,
            flushed: self.flushed,
            log_synced: self.log_synced,
            truncated_at: self.truncated_at,
            truncated_epoch: self.truncated_epoch,
            truncated_upto: self.truncated_upto,
            entries: self
                .sstables
                .iter()
                .map(|table| ManifestEntry {
                    name: table.name,
                    origin: table.origin,
                    length: table.length,
                    places: table.places.clone(),
                    tokens: table.tokens(),
                })
                .collect(),
        }
    }

    /// Notes a change that the manifest must show, and what is to be done when it does.
    pub(crate) fn change(&mut self, then: impl IntoIterator<Item = Then>) {
        self.manifest.dirty = true;
        self.manifest.then.extend(then);
    }

    /// A name for a new file.
    pub(crate) fn next_name(&mut self, config: &StoreConfig) -> FileName {
        let number = self.next_number;
        self.next_number += 1;
        FileName {
            generation: config.generation.number,
            shard: config.shard,
            number,
        }
    }

    /// Path of one of its files.
    pub(crate) fn path(&self, name: FileName) -> String {
        format!("{}/{}", self.directory, name.file())
    }

    /// Adds an SSTable where it belongs.
    pub(crate) fn add(&mut self, table: Arc<SsTable>) {
        let newest = table.stats.max_timestamp;
        let index = self
            .sstables
            .partition_point(|other| other.stats.max_timestamp > newest);
        self.sstables.insert(index, table);
        self.compaction_due = true;
    }

    /// When the active memtable is flushed for its age, if it ever is.
    pub(crate) fn flush_at(&self) -> Option<BootNanos> {
        let period = u64::from(self.table.options.memtable_flush_period_in_ms);
        let since = self.active_since.filter(|_| period > 0)?;
        Some(since.plus_millis(period))
    }

    /// Bytes of frozen memtables.
    pub(crate) fn frozen_bytes(&self) -> usize {
        self.frozen
            .iter()
            .map(|frozen| frozen.memtable.bytes())
            .sum()
    }

    /// Bytes of memtables.
    pub(crate) fn memtable_bytes(&self) -> usize {
        self.frozen_bytes() + self.active.bytes()
    }

    /// The memtables, newest first.
    pub(crate) fn memtables(&self) -> Vec<&Memtable> {
        let mut all = Vec::with_capacity(1 + self.frozen.len());
        if !self.active.is_empty() {
            all.push(&self.active);
        }
        all.extend(self.frozen.iter().rev().map(|frozen| &frozen.memtable));
        all
    }

    /// The lowest log position that is needed because of it.
    pub(crate) fn log_floor(&self) -> Option<Position> {
        let memtables = self.memtables();
        let firsts = memtables.iter().map(|memtable| memtable.first());
        firsts.chain(self.unlisted.iter().copied()).flatten().min()
    }
}
