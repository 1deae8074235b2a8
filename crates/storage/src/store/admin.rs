//! What operators and the schema ask for: flush, compact, truncate, drop, drain.

use super::table::{TableState, Then};
use super::{Phase, Store, Task};
use crate::commitlog::{Health, Log};
use crate::error::StoreError;
use crate::io::Purpose;
use crate::read::known_columns;
use model::env::{IoQueue, IoRequest};
use model::schema::{Schema, TableId, TableKind};
use model::time::Now;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Store {
    /// Takes a new schema: tables it adds are empty, tables it lacks are dropped with their files.
    pub fn set_schema(&mut self, schema: &Arc<Schema>, io: &mut IoQueue) {
        let mut kept = BTreeSet::new();
        for keyspace in schema.keyspaces.values() {
            for table in keyspace
                .tables
                .values()
                .filter(|table| table.kind == TableKind::Stored)
            {
                kept.insert(table.id);
                let state = self.tables.entry(table.id).or_insert_with(|| {
                    TableState::new(&self.config, table.clone(), keyspace.durable_writes)
                });
                if !Arc::ptr_eq(&state.table, table) {
                    self.agenda.compactions = true;
                    state.compaction_due |=
                        state.table.options.compaction != table.options.compaction;
                    state.table = table.clone();
                    state.known_columns = known_columns(table);
                    if let Some(at) = state.flush_at() {
                        super::sooner(&mut self.agenda.flush_at, at);
                    }
                }
                state.durable_writes = keyspace.durable_writes;
            }
        }
        let dropped: Vec<TableId> = self
            .tables
            .keys()
            .filter(|id| !kept.contains(id))
            .copied()
            .collect();
        for id in dropped {
            self.drop_table(id, io);
        }
    }

    /// Forgets a table and removes this shard's files of it; its directory, and snapshots in it, stay.
    pub fn drop_table(&mut self, id: TableId, io: &mut IoQueue) {
        let Some(mut state) = self.tables.remove(&id) else {
            return;
        };
        self.memtable_bytes -= state.memtable_bytes();
        self.frozen_bytes -= state.frozen_bytes();
        let writing = state.manifest.writing.take();
        let is_writing = writing.is_some();
        let writing = writing.into_iter().flatten();
        for then in state.manifest.then.drain(..).chain(writing) {
            match then {
                Then::Task(task) => self.task_step(task, Some(StoreError::Superseded)),
                Then::Remove(tables) => self.retired.extend(tables),
                Then::Release(_) => {}
            }
        }
        let frozen = state
            .frozen
            .iter_mut()
            .flat_map(|frozen| std::mem::take(&mut frozen.tasks));
        let cleanup = state.cleanup.take().map_or(Vec::new(), |begun| begun.tasks);
        for task in frozen
            .chain(std::mem::take(&mut state.major))
            .chain(cleanup)
            .collect::<Vec<_>>()
        {
            self.task_step(task, Some(StoreError::Superseded));
        }
        // The manifest goes first and durably: a file it lists must not be missing.
        let path = state.manifest_path(&self.config);
        let chain = vec![
            IoRequest::Remove {
                path: format!("{path}.new"),
            },
            IoRequest::Remove { path },
            IoRequest::SyncDirectory {
                path: state.directory.clone(),
            },
        ];
        self.next_task += 1;
        let holds = std::mem::take(&mut state.sstables);
        for table in &holds {
            table.in_flight.fetch_add(1, Ordering::Relaxed);
        }
        self.retired.extend(holds.iter().cloned());
        self.drops.insert(self.next_task, holds);
        if is_writing {
            // What is under way could come after the removal.
            self.dropping.insert(id, (self.next_task, chain));
        } else {
            let purpose = Purpose::Drop(self.next_task);
            self.requests.submit(io, purpose, IoRequest::Chain(chain));
        }
        self.free_log(io);
        self.remove_retired(io);
    }

    /// The last write of a dropped table's manifest is answered: now it can be removed.
    pub(super) fn drop_written(&mut self, id: TableId, io: &mut IoQueue) {
        if let Some((drop, chain)) = self.dropping.remove(&id) {
            self.requests
                .submit(io, Purpose::Drop(drop), IoRequest::Chain(chain));
        }
    }

    /// The manifest of a dropped table is gone: so may be what it listed.
    pub(super) fn manifest_dropped(&mut self, drop: u64, io: &mut IoQueue) {
        for table in self.drops.remove(&drop).into_iter().flatten() {
            table.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
        self.remove_retired(io);
    }

    /// Up to which epoch of the metadata what it says of emptied tables is carried out for a table.
    pub fn truncated_epoch(&self, id: TableId) -> Option<u64> {
        self.tables.get(&id).map(|state| state.truncated_epoch)
    }

    /// Deletes everything a table holds at this moment. `at` is the time of the truncation in microseconds, kept for
    /// whoever asks, and `epoch` that of the metadata that says so, 0 if none does. The ticket is finished when that is
    /// durable.
    pub fn truncate(
        &mut self,
        id: TableId,
        (at, epoch): (i64, u64),
        ticket: u64,
        now: Now,
        io: &mut IoQueue,
    ) -> Result<(), StoreError> {
        if !self.is_ready() {
            return Err(StoreError::NotReady);
        }
        let task = {
            let state = self.tables.get(&id).ok_or(StoreError::UnknownTable(id))?;
            self.memtable_bytes -= state.memtable_bytes();
            self.frozen_bytes -= state.frozen_bytes();
            self.new_task(ticket, 1)
        };
        let end = self.log.as_ref().map(Log::end).unwrap_or_default();
        let state = self.tables.get_mut(&id).expect("looked up above");
        state.epoch += 1;
        let firsts = state
            .memtables()
            .iter()
            .map(|memtable| memtable.first())
            .collect::<Vec<_>>();
        state.active = crate::memtable::Memtable::default();
        state.active_since = None;
        let frozen = std::mem::take(&mut state.frozen);
        state.flushed = state.flushed.max(end);
        state.truncated_at = state.truncated_at.max(at);
        state.truncated_epoch = state.truncated_epoch.max(epoch);
        state.truncated_upto = end;
        state.unlisted.extend(firsts.iter().copied());
        state.change(firsts.into_iter().map(Then::Release));
        let tables = std::mem::take(&mut state.sstables);
        state.proof.emptied();
        state.change([Then::Remove(tables), Then::Task(task)]);
        self.agenda.manifests = true;
        let mut waiting = std::mem::take(&mut state.major);
        waiting.extend(state.cleanup.take().map_or(Vec::new(), |begun| begun.tasks));
        for task in frozen
            .into_iter()
            .flat_map(|frozen| frozen.tasks)
            .chain(waiting)
        {
            self.task_step(task, None);
        }
        self.write_manifests(now, io);
        Ok(())
    }

    /// Flushes a table, or all; the ticket is finished when what they hold at this moment is in SSTables.
    pub fn flush(&mut self, table: Option<TableId>, ticket: u64) -> Result<(), StoreError> {
        if !self.is_ready() {
            return Err(StoreError::NotReady);
        }
        let ids: Vec<TableId> = match table {
            Some(id) if !self.tables.contains_key(&id) => return Err(StoreError::UnknownTable(id)),
            Some(id) => vec![id],
            None => self.tables.keys().copied().collect(),
        };
        let end = self.log.as_ref().map(Log::end);
        for id in &ids {
            self.freeze(*id, end);
        }
        let busy: Vec<TableId> = ids
            .into_iter()
            .filter(|id| !self.tables[id].frozen.is_empty())
            .collect();
        let task = self.new_task(ticket, busy.len());
        for id in busy {
            let state = self.tables.get_mut(&id).expect("one of the tables");
            state
                .frozen
                .back_mut()
                .expect("it is busy")
                .tasks
                .push(task);
        }
        Ok(())
    }

    /// Compacts all SSTables of a table into one; the ticket is finished when that is done.
    pub fn compact(&mut self, table: TableId, ticket: u64) -> Result<(), StoreError> {
        let task = self.table_task(table, ticket)?;
        let state = self.tables.get_mut(&table).expect("it has a task");
        state.major.push(task);
        self.agenda.compactions = true;
        Ok(())
    }

    /// A task of one table's, which the ticket waits for.
    pub(super) fn table_task(&mut self, table: TableId, ticket: u64) -> Result<u64, StoreError> {
        if !self.is_ready() {
            return Err(StoreError::NotReady);
        }
        if !self.tables.contains_key(&table) {
            return Err(StoreError::UnknownTable(table));
        }
        Ok(self.new_task(ticket, 1))
    }

    /// Refuses writes from now on, flushes everything; the ticket is finished when the log holds nothing any more.
    pub fn drain(&mut self, ticket: u64) -> Result<(), StoreError> {
        if !matches!(self.phase, Phase::Ready) {
            return Err(StoreError::NotReady);
        }
        let end = self.log.as_ref().map(Log::end);
        for id in self.tables.keys().copied().collect::<Vec<_>>() {
            self.freeze(id, end);
        }
        self.next_task += 1;
        let task = Task {
            ticket,
            left: 1,
            error: None,
            holds: Vec::new(),
            then: None,
        };
        self.tasks.insert(self.next_task, task);
        self.phase = Phase::Draining(self.next_task);
        Ok(())
    }

    pub(super) fn check_drained(&mut self) {
        let Phase::Draining(task) = self.phase else {
            return;
        };
        let log = self.log.as_ref().expect("a store that drains has a log");
        let settled = |state: &TableState| {
            state.frozen.is_empty() && !state.manifest.dirty && state.manifest.writing.is_none()
        };
        if let Health::Poisoned(reason) = log.health() {
            let error = StoreError::Poisoned(reason.clone());
            self.phase = Phase::Drained;
            self.task_step(task, Some(error));
        } else if log.is_idle() && self.tables.values().all(settled) {
            self.phase = Phase::Drained;
            self.task_step(task, None);
        }
    }
}
