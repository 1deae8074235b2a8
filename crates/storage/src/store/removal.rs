//! What is done before a table's data goes: a snapshot, and for a drop a mark.
//!
//! A snapshot is what the table holds at that moment: memtables are flushed, then the SSTables are hard-linked under
//! `snapshots/<name>` of its directory, beside a manifest that lists them. Each shard adds its own; one that holds
//! nothing of the table adds nothing. What is written meanwhile is not in it.
//!
//! A mark is an empty file in the table's directory that says "this shard has files here, and the table is about to be
//! dropped". The drop is decided in the metadata log, and a crash may come between that and the removal of the files: a
//! start that finds a mark of a table that is not in the schema knows that its files are to go. Without a mark files of
//! unknown tables are left alone, for then it may be the schema that was lost.

use super::manifests::make_directory;
use super::{Store, Task};
use crate::error::StoreError;
use crate::io::Purpose;
use crate::manifest::{drop_mark, manifest_name};
use crate::sstable::SsTable;
use model::env::{IoQueue, IoRequest, OpenMode};
use model::schema::TableId;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Why a table's data is about to go, if it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is not: somebody wants to have it as it is now.
    Nothing,
    /// The table stays.
    Truncate,
    /// The table goes too.
    Drop,
}

/// What is to be done before a table's data goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Farewell {
    /// Which table.
    pub table: TableId,
    /// Why its data goes.
    pub removal: Removal,
    /// Name of the snapshot to take, if one is.
    pub snapshot: Option<Arc<str>>,
}

/// A farewell whose flush is done.
#[derive(Debug)]
pub(super) struct DueFarewell {
    ticket: u64,
    farewell: Farewell,
}

impl Store {
    /// Takes a snapshot of a table and marks it, as the farewell says. The ticket is finished when that is durable; it fails
    /// on a full disk, and then nothing is lost but room.
    pub fn bid_farewell(&mut self, farewell: &Farewell, ticket: u64) -> Result<(), StoreError> {
        let table = farewell.table;
        if !self.is_ready() {
            return Err(StoreError::NotReady);
        }
        if !self.tables.contains_key(&table) {
            return Err(StoreError::UnknownTable(table));
        }
        let due = DueFarewell {
            ticket,
            farewell: farewell.clone(),
        };
        if farewell.snapshot.is_some() {
            let end = self.log.as_ref().map(crate::commitlog::Log::end);
            self.freeze(table, end);
        }
        self.next_task += 1;
        let state = self.tables.get_mut(&table).expect("looked up above");
        match state.frozen.back_mut() {
            Some(frozen) if farewell.snapshot.is_some() => {
                frozen.tasks.push(self.next_task);
                let task = Task {
                    ticket,
                    left: 1,
                    error: None,
                    holds: Vec::new(),
                    then: Some(due),
                };
                self.tasks.insert(self.next_task, task);
            }
            _ => self.farewells.push(due),
        }
        Ok(())
    }

    /// Links and marks what is flushed by now.
    pub(super) fn carry_out_farewells(&mut self, io: &mut IoQueue) {
        for due in std::mem::take(&mut self.farewells) {
            let table = due.farewell.table;
            let Some(state) = self.tables.get(&table) else {
                let error = StoreError::Superseded;
                self.finished_tasks.push((due.ticket, Err(error)));
                continue;
            };
            let mut chain = Vec::new();
            let mut holds = Vec::new();
            let has_files = state.has_directory;
            let (directory, tables) = (state.directory.clone(), state.sstables.clone());
            if let Some(name) = due.farewell.snapshot
                && !tables.is_empty()
            {
                chain = self.snapshot_requests(table, &name);
                holds = tables;
            }
            if due.farewell.removal == Removal::Drop && has_files {
                chain.extend(self.mark_requests(directory));
            }
            let left = usize::from(!chain.is_empty());
            let task = self.new_task(due.ticket, left);
            if let Some(task) = self.tasks.get_mut(&task) {
                for table in &holds {
                    table.in_flight.fetch_add(1, Ordering::Relaxed);
                }
                task.holds = holds;
            }
            if left > 0 {
                let purpose = Purpose::Task(task);
                self.requests.submit(io, purpose, IoRequest::Chain(chain));
            }
        }
    }

    /// Links a table's SSTables, and writes the manifest that lists them beside.
    fn snapshot_requests(&mut self, table: TableId, name: &str) -> Vec<IoRequest> {
        let file = self.requests.file();
        let state = &self.tables[&table];
        let directory = format!("{}/snapshots/{name}", state.directory);
        let mut chain = make_directory(&directory);
        let link = |table: &Arc<SsTable>| IoRequest::Link {
            from: table.path.clone(),
            to: format!("{directory}/{}", table.name.file()),
        };
        chain.extend(state.sstables.iter().map(link));
        let manifest = manifest_name(self.config.generation.number, self.config.shard);
        let path = format!("{directory}/{manifest}");
        chain.extend([
            IoRequest::Open {
                file,
                path,
                mode: OpenMode::Create,
            },
            IoRequest::Write {
                file,
                offset: 0,
                data: state.manifest().encode(),
            },
            IoRequest::Sync { file },
            IoRequest::Close { file },
            IoRequest::SyncDirectory { path: directory },
        ]);
        chain
    }

    /// Makes the mark; an earlier drop that came to nothing may have left one.
    fn mark_requests(&mut self, directory: String) -> [IoRequest; 4] {
        let file = self.requests.file();
        let mark = drop_mark(self.config.generation.number, self.config.shard);
        let path = format!("{directory}/{mark}");
        [
            IoRequest::Remove { path: path.clone() },
            IoRequest::Open {
                file,
                path,
                mode: OpenMode::Create,
            },
            IoRequest::Close { file },
            IoRequest::SyncDirectory { path: directory },
        ]
    }
}
