//! Taking writes: into the log's next batch and the memtable, at once.

use super::Store;
use crate::commitlog::{Checkpoint, Log, Position};
use crate::error::StoreError;
use crate::memtable::Coming;
use model::env::IoQueue;
use model::mutation::MutationView;
use model::schema::TableId;
use model::time::Now;
use model::track::MutationId;

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Whether it is as durable as it will get: its keyspace has no durable writes. Otherwise the ticket comes out of
    /// [`Store::durable_tickets`], or of [`Store::failed_tickets`].
    pub durable: bool,
    /// The first table it changes.
    pub table: TableId,
    /// Where it stands in the log.
    pub position: Option<Position>,
}

impl Store {
    /// Applies a mutation, encoded by [`model::mutation::Mutation`] and verified. It can be read at once; its ticket is
    /// reported when it is durable.
    pub fn apply(
        &mut self,
        mutation: &[u8],
        id: Option<MutationId>,
        ticket: u64,
        now: Now,
    ) -> Result<Applied, StoreError> {
        let view = MutationView::parse(mutation).ok_or(StoreError::Malformed)?;
        self.admit(&view, self.config.memtable_bytes)?;
        let mut durable_writes = false;
        let mut first = None;
        for (table, _) in view.updates() {
            first.get_or_insert(table);
            durable_writes |= self.tables[&table].durable_writes;
        }
        let position = if durable_writes {
            Some(self.append(mutation, id, ticket)?)
        } else {
            None
        };
        self.merge(&view, position, id, now);
        Ok(Applied {
            durable: !durable_writes,
            table: first.unwrap_or(TableId(uuid::Uuid::nil())),
            position,
        })
    }

    /// Applies a mutation without writing it to the log: it is durable once its table is flushed ([`Self::flush`]), and gone if the
    /// process ends before. For data that can be had again until then.
    pub fn apply_unlogged(&mut self, mutation: &[u8], now: Now) -> Result<(), StoreError> {
        let view = MutationView::parse(mutation).ok_or(StoreError::Malformed)?;
        // What clients write meanwhile needs room, too.
        self.admit(&view, self.config.memtable_bytes / 4 * 3)?;
        self.merge(&view, None, None, now);
        Ok(())
    }

    /// Bytes of mutations that [`Self::apply_unlogged`] takes all of where memtables are empty: they take more room there.
    pub fn unlogged_bytes(&self) -> usize {
        self.config.memtable_bytes / 8
    }

    /// Whether a mutation is taken now, with so many bytes in memtables at most.
    fn admit(&self, view: &MutationView<'_>, budget: usize) -> Result<(), StoreError> {
        if let Some(error) = self.write_error() {
            return Err(error);
        }
        if self.memtable_bytes > budget {
            return Err(StoreError::Overloaded {
                bytes: self.memtable_bytes,
                budget,
            });
        }
        let mut tables = view.updates().map(|(table, _)| table);
        match tables.find(|table| !self.tables.contains_key(table)) {
            Some(unknown) => Err(StoreError::UnknownTable(unknown)),
            None => Ok(()),
        }
    }

    /// Puts an admitted mutation into the memtables.
    fn merge(
        &mut self,
        view: &MutationView<'_>,
        position: Option<Position>,
        id: Option<MutationId>,
        now: Now,
    ) {
        for (table, update) in view.updates() {
            let state = self.tables.get_mut(&table).expect("it was admitted");
            let before = state.active.bytes();
            state
                .active
                .apply(view.token, view.key, &update, Coming::AtRandom);
            let position = position.filter(|_| state.durable_writes);
            state.active.note(position, id, now.boot);
            if state.active_since.is_none() {
                state.active_since = Some(now.boot);
                if let Some(at) = state.flush_at() {
                    super::sooner(&mut self.agenda.flush_at, at);
                }
            }
            state.counters.writes += 1;
            self.memtable_bytes += state.active.bytes() - before;
        }
    }

    /// Whether everything that can be read is as durable as an acknowledged write. If not, the ticket comes out of
    /// [`Store::durable_tickets`], or of [`Store::failed_tickets`]: what is read may then be gone after a crash.
    pub fn confirm(&mut self, ticket: u64) -> Result<bool, StoreError> {
        self.log
            .as_mut()
            .map_or(Ok(true), |log| log.confirm(ticket))
    }

    /// Whether everything that can be read is synced, whatever the sync mode. If not, the ticket comes out of
    /// [`Store::durable_tickets`] when it is, or of [`Store::failed_tickets`]. For what other nodes are told and rely on.
    pub fn confirm_synced(&mut self, ticket: u64) -> Result<bool, StoreError> {
        self.log
            .as_mut()
            .map_or(Ok(true), |log| log.confirm_synced(ticket))
    }

    fn append(
        &mut self,
        mutation: &[u8],
        id: Option<MutationId>,
        ticket: u64,
    ) -> Result<Position, StoreError> {
        let log = self
            .log
            .as_mut()
            .expect("a store that takes writes has a log");
        if mutation.len() > log.max_body() {
            return Err(StoreError::TooLarge {
                bytes: mutation.len(),
                limit: log.max_body(),
            });
        }
        let (bytes, budget) = (log.queued_bytes(), self.config.queued_log_bytes);
        if bytes > budget {
            return Err(StoreError::LogBehind { bytes, budget });
        }
        self.make_room(mutation.len(), 0)?;
        if let Some(id) = id {
            self.held.insert(id);
        }
        let log = self.log.as_mut().expect("looked up above");
        Ok(log.append(id, mutation, ticket))
    }

    /// Begins the next segment if the active one has no room for a record and a statement before it.
    pub(super) fn make_room(&mut self, body: usize, statement: usize) -> Result<(), StoreError> {
        let room = |log: &Option<Log>| log.as_ref().is_some_and(|log| log.fits(body, statement));
        if room(&self.log) {
            return Ok(());
        }
        if let Some(error) = self.log.as_ref().and_then(Log::next_is_refused) {
            return Err(error);
        }
        self.rotate_log();
        assert!(room(&self.log), "an empty segment holds any mutation");
        Ok(())
    }

    /// What the next segment's checkpoint says.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        let end = self.log.as_ref().map(Log::end).unwrap_or_default();
        Checkpoint {
            replay_from: self.log_floor().unwrap_or(end),
            ends: std::collections::BTreeMap::new(),
            flushed: self
                .tables
                .iter()
                .map(|(id, state)| (*id, state.flushed))
                .collect(),
            held: self.held.clone(),
        }
    }

    fn rotate_log(&mut self) {
        let checkpoint = self.checkpoint();
        if let Some(log) = &mut self.log {
            log.rotate(checkpoint);
        }
    }

    /// Frees the segments that nothing needs.
    pub(super) fn free_log(&mut self, io: &mut IoQueue) {
        let floor = self.log_floor();
        if let Some(log) = &mut self.log {
            let floor = floor.unwrap_or(log.end());
            let released = (&self.released, &self.held);
            log.free_below(floor, released, &mut self.requests, io);
        }
    }
}
