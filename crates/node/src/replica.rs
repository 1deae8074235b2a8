//! This shard as a replica: its store, and who waits for what it does.
//!
//! The only place that calls `storage`. What cannot be answered at once is kept under a ticket; [`Replica::finished`]
//! gives the answers as the store finishes them.

use crate::hot::{Access, HotPartitions};
use crate::latency::{Latencies, Measure};
use crate::message::{Emptied, READ_TOO_MANY_TOMBSTONES, ReplicaError, RequestId};
use crate::peers::PeerCaller;
use crate::shard::DRAIN_TICKET;
use crate::slab::Slab;
use model::env::IoQueue;
use model::mutation::MutationView;
use model::read::{Partitions, ReadCommand, ReadResponse};
use model::schema::TableId;
use model::time::{BootNanos, Now};
use model::track::{IdSet, MutationId};
use std::collections::BTreeSet;
use std::sync::Arc;
use storage::held::Statement;
use storage::{
    Applied, Closeness, Farewell, KeptTokens, ReadProgress, Rewritten, Store, StoreError,
};

/// Who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caller {
    /// An operation of this shard.
    Local(RequestId),
    /// Another shard.
    Shard(u16, RequestId),
    /// Another node.
    Peer(PeerCaller),
    /// A question of a home of groups, by its number.
    Fence(u64),
    /// What other nodes are owed, by the number of the write.
    Owing(u64),
    /// Nobody.
    Nobody,
}

/// Something a caller waited for.
#[derive(Debug)]
pub enum Finished {
    /// A mutation is durable, or was refused.
    Applied(Caller, Result<(), ReplicaError>),
    /// A truncation, flush or the like is done.
    Task(Caller, Result<(), ReplicaError>),
    /// A read is done.
    Read(Caller, Result<ReadResponse, ReplicaError>),
}

/// Something the store is asked for.
#[derive(Debug)]
struct Ticket {
    caller: Caller,
    /// What is timed, of which table, and since when.
    timed: Option<(TableId, Measure, BootNanos)>,
}

impl Ticket {
    fn untimed(caller: Caller) -> Self {
        Self {
            caller,
            timed: None,
        }
    }
}

/// The store and its waiters.
pub struct Replica {
    /// The shard's data.
    pub store: Store,
    /// How long what it did took, by table; the shard adds what its clients waited.
    pub latencies: Latencies,
    /// Which partitions are asked for most.
    pub hot: HotPartitions,
    tickets: Slab<Ticket>,
    finished: Vec<Finished>,
    /// Reads that nobody waits for any more, until the next look at what is finished.
    cancelled: BTreeSet<Caller>,
    /// Whether a drain that was asked for is done.
    pub is_drained: bool,
}

impl Replica {
    /// A replica over a store that is ready.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            latencies: Latencies::default(),
            hot: HotPartitions::default(),
            tickets: Slab::default(),
            finished: Vec::new(),
            cancelled: BTreeSet::new(),
            is_drained: false,
        }
    }

    /// Applies an encoded mutation; the caller hears when it is durable. Returns whether it was applied.
    pub fn apply(&mut self, mutation: &[u8], caller: Caller, now: Now) -> bool {
        let ticket = self.tickets.insert(Ticket::untimed(caller));
        let applied = self.store.apply(mutation, None, ticket, now);
        if let Ok(applied) = &applied
            && self.hot.is_due()
            && let Some(view) = MutationView::parse(mutation)
        {
            self.hot.note(applied.table, Access::Write, view.key);
        }
        self.applied(applied, ticket, caller, now)
    }

    /// Applies an encoded mutation with its id; the caller hears when it is durable. Returns whether it was applied.
    pub fn apply_with_id(
        &mut self,
        mutation: &[u8],
        id: MutationId,
        caller: Caller,
        now: Now,
    ) -> bool {
        let ticket = self.tickets.insert(Ticket::untimed(caller));
        let applied = self.store.apply(mutation, Some(id), ticket, now);
        self.applied(applied, ticket, caller, now)
    }

    /// The caller of a mutation hears at once, or waits under its ticket. Returns whether it was applied.
    fn applied(
        &mut self,
        applied: Result<Applied, StoreError>,
        ticket: u64,
        caller: Caller,
        now: Now,
    ) -> bool {
        match applied {
            Ok(applied) if applied.durable => {
                self.tickets.remove(ticket);
                self.latencies.note(applied.table, Measure::LocalWrite, 0);
                self.skip(caller);
                true
            }
            Ok(applied) => {
                if let Some(waiting) = self.tickets.get_mut(ticket) {
                    waiting.timed = Some((applied.table, Measure::LocalWrite, now.boot));
                }
                true
            }
            Err(error) => {
                self.tickets.remove(ticket);
                self.refuse(caller, classed(&error));
                false
            }
        }
    }

    /// Applies data that can be had again until its table is flushed: it is not written to the log.
    pub fn apply_unlogged(&mut self, mutation: &[u8], now: Now) -> Result<(), ReplicaError> {
        let applied = self.store.apply_unlogged(mutation, now);
        applied.map_err(|error| classed(&error))
    }

    /// Applies a mutation that nobody waits for, with its id. Returns whether the log has it.
    pub fn apply_unattended(
        &mut self,
        mutation: &[u8],
        id: MutationId,
        now: Now,
    ) -> Result<bool, StoreError> {
        let ticket = self.tickets.insert(Ticket::untimed(Caller::Nobody));
        let applied = self.store.apply(mutation, Some(id), ticket, now);
        let is_logged = applied.map(|applied| !applied.durable);
        if is_logged != Ok(true) {
            self.tickets.remove(ticket);
        }
        is_logged
    }

    /// Writes down what is to be known of ids; the caller hears when it is durable, unless it is refused at once.
    pub fn state(&mut self, statements: &[Statement], caller: Caller) -> Result<(), StoreError> {
        let ticket = self.tickets.insert(Ticket::untimed(caller));
        let stated = self.store.state(statements, ticket);
        if stated.is_err() {
            self.tickets.remove(ticket);
        }
        stated
    }

    /// The caller hears that its mutation is not taken.
    pub fn refuse(&mut self, caller: Caller, error: ReplicaError) {
        self.finished.push(Finished::Applied(caller, Err(error)));
    }

    /// The caller hears that nothing is left to be done of its mutation.
    pub fn skip(&mut self, caller: Caller) {
        self.finished.push(Finished::Applied(caller, Ok(())));
    }

    /// Has what was read so far confirmed to be as durable as an acknowledged write; the caller hears when it is. For
    /// answers that must still be true after a crash although they acknowledge no write.
    pub fn confirm(&mut self, caller: Caller) {
        let ticket = self.tickets.insert(Ticket::untimed(caller));
        let confirmed = self.store.confirm(ticket);
        self.confirmed(confirmed, ticket, caller);
    }

    /// Has everything that was read and applied so far confirmed to be synced, whatever the sync mode; the caller hears when it
    /// is. For what other nodes are told and rely on.
    pub fn confirm_synced(&mut self, caller: Caller) {
        let ticket = self.tickets.insert(Ticket::untimed(caller));
        let confirmed = self.store.confirm_synced(ticket);
        self.confirmed(confirmed, ticket, caller);
    }

    fn confirmed(&mut self, confirmed: Result<bool, StoreError>, ticket: u64, caller: Caller) {
        let result = match confirmed {
            Ok(false) => return,
            Ok(true) => Ok(()),
            Err(error) => Err(classed(&error)),
        };
        self.tickets.remove(ticket);
        self.finished.push(Finished::Applied(caller, result));
    }

    /// Reads; `None` if the caller hears later.
    pub fn read(
        &mut self,
        command: &ReadCommand,
        caller: Caller,
        now: Now,
        io: &mut IoQueue,
    ) -> Option<Result<ReadResponse, ReplicaError>> {
        let measure = match command.partitions {
            Partitions::Range(_) => Measure::LocalScan,
            Partitions::Key(_) => Measure::LocalRead,
        };
        if let Partitions::Key(key) = &command.partitions
            && self.hot.is_due()
        {
            self.hot.note(command.table, Access::Read, &key.key);
        }
        let ticket = self.tickets.insert(Ticket {
            caller,
            timed: Some((command.table, measure, now.boot)),
        });
        match self.store.read(command, ticket, now, io) {
            ReadProgress::Waiting => None,
            ReadProgress::Done(response) => {
                self.tickets.remove(ticket);
                self.latencies.note(command.table, measure, 0);
                self.note_read(command.table, &response);
                Some(Ok(response))
            }
            ReadProgress::Failed(error) => {
                self.tickets.remove(ticket);
                Some(Err(classed(&error)))
            }
        }
    }

    /// Ends the read somebody waited for, if it is under way; the caller hears so.
    pub fn cancel(&mut self, caller: Caller) {
        self.cancelled.insert(caller);
    }

    /// Ends all reads that were cancelled, with one look at all that is waited for.
    fn end_cancelled(&mut self) {
        if self.cancelled.is_empty() {
            return;
        }
        let cancelled = std::mem::take(&mut self.cancelled);
        let tickets = &self.tickets;
        for ticket in tickets.select(|ticket| cancelled.contains(&ticket.caller)) {
            if self.store.cancel(ticket)
                && let Some(Ticket { caller, .. }) = self.tickets.remove(ticket)
            {
                let error = ReplicaError::Overloaded("the read was cancelled".into());
                self.finished.push(Finished::Read(caller, Err(error)));
            }
        }
    }

    /// Empties a table of what was written up to a time in microseconds.
    pub fn truncate(&mut self, emptied: Emptied, caller: Caller, now: Now, io: &mut IoQueue) {
        let ticket = self.tickets.insert(Ticket::untimed(caller));
        let Emptied { table, at, epoch } = emptied;
        if let Err(error) = self.store.truncate(table, (at, epoch), ticket, now, io) {
            self.tickets.remove(ticket);
            self.finished
                .push(Finished::Task(caller, Err(classed(&error))));
        }
    }

    /// Keeps what is to be kept of a table whose data is about to go.
    pub fn bid_farewell(&mut self, farewell: &Farewell, caller: Caller) {
        let ticket = self.tickets.insert(Ticket::untimed(caller));
        let begun = self.store.bid_farewell(farewell, ticket);
        self.task_begun(begun, ticket, caller);
    }

    /// Writes what is in a table's memory to an SSTable.
    pub fn flush(&mut self, table: TableId, caller: Caller) {
        let ticket = self.tickets.insert(Ticket::untimed(caller));
        let begun = self.store.flush(Some(table), ticket);
        self.task_begun(begun, ticket, caller);
    }

    /// Merges all SSTables of a table into one.
    pub fn compact(&mut self, table: TableId, caller: Caller) {
        let ticket = self.tickets.insert(Ticket::untimed(caller));
        let begun = self.store.compact(table, ticket);
        self.task_begun(begun, ticket, caller);
    }

    /// Rewrites SSTables of a table.
    pub fn clean_up(&mut self, table: TableId, which: Rewritten, caller: Caller) {
        let ticket = self.tickets.insert(Ticket::untimed(caller));
        let begun = self.store.clean_up(table, which, ticket);
        self.task_begun(begun, ticket, caller);
    }

    /// Reads the SSTables of a table again.
    pub fn verify(&mut self, table: TableId, how: Closeness, caller: Caller, io: &mut IoQueue) {
        let ticket = self.tickets.insert(Ticket::untimed(caller));
        let begun = self.store.verify(table, how, ticket, io);
        self.task_begun(begun, ticket, caller);
    }

    /// Looks at files that are placed beside a table's, or takes over what they hold of these tokens.
    pub fn refresh(
        &mut self,
        table: TableId,
        (tokens, takes): (Arc<KeptTokens>, bool),
        caller: Caller,
        io: &mut IoQueue,
    ) {
        let ticket = self.tickets.insert(Ticket::untimed(caller));
        let begun = if takes {
            self.store.take_placed(table, tokens, ticket, io)
        } else {
            self.store.look_at_placed(table, tokens, ticket, io)
        };
        self.task_begun(begun, ticket, caller);
    }

    fn task_begun(&mut self, begun: Result<(), StoreError>, ticket: u64, caller: Caller) {
        if let Err(error) = begun {
            self.tickets.remove(ticket);
            self.finished
                .push(Finished::Task(caller, Err(classed(&error))));
        }
    }

    /// Notes what a read met.
    fn note_read(&mut self, table: TableId, response: &ReadResponse) {
        self.latencies.note(table, Measure::Rows, response.rows);
        self.latencies
            .note(table, Measure::Tombstones, response.tombstones);
    }

    /// Who waits for something that is done now.
    fn take(&mut self, ticket: u64, now: Now) -> Option<(Caller, Option<TableId>)> {
        let Ticket { caller, timed } = self.tickets.remove(ticket)?;
        if let Some((table, measure, began)) = timed {
            self.latencies.took(table, measure, began, now.boot);
        }
        Some((caller, timed.map(|(table, ..)| table)))
    }

    /// The state of the store in a line.
    pub fn describe(&self) -> String {
        let stats = self.store.stats();
        let owed = self.store.held().owed.values();
        let owed: u64 = owed.map(IdSet::count).sum();
        format!(
            "{} tickets, {} logs of ids, {owed} mutations owed, {} bytes in memtables, {} bytes in the block cache, {} jobs",
            self.tickets.len(),
            self.store.held().logs.len(),
            stats.memtable_bytes,
            stats.cache_bytes,
            stats.jobs.len()
        )
    }

    /// Takes what finished since the last call.
    pub fn finished(&mut self, now: Now) -> Vec<Finished> {
        self.end_cancelled();
        for ticket in self.store.durable_tickets() {
            if let Some((caller, _)) = self.take(ticket, now) {
                self.finished.push(Finished::Applied(caller, Ok(())));
            }
        }
        for (ticket, error) in self.store.failed_tickets() {
            if let Some(Ticket { caller, .. }) = self.tickets.remove(ticket) {
                self.finished
                    .push(Finished::Applied(caller, Err(classed(&error))));
            }
        }
        for (ticket, result) in self.store.take_finished_tasks() {
            self.is_drained |= ticket == DRAIN_TICKET;
            if let Some((caller, _)) = self.take(ticket, now) {
                self.finished.push(Finished::Task(
                    caller,
                    result.map_err(|error| classed(&error)),
                ));
            }
        }
        for (ticket, result) in self.store.take_finished_reads() {
            if let Some((caller, table)) = self.take(ticket, now) {
                if let (Some(table), Ok(response)) = (table, &result) {
                    self.note_read(table, response);
                }
                self.finished.push(Finished::Read(
                    caller,
                    result.map_err(|error| classed(&error)),
                ));
            }
        }
        std::mem::take(&mut self.finished)
    }
}

/// What a coordinator is told of a store's error.
pub fn classed(error: &StoreError) -> ReplicaError {
    match error {
        StoreError::Overloaded { .. }
        | StoreError::LogBehind { .. }
        | StoreError::TooManyAnswers { .. } => ReplicaError::Overloaded(error.to_string()),
        StoreError::TooManyTombstones(_) => {
            ReplicaError::Failed(READ_TOO_MANY_TOMBSTONES, error.to_string())
        }
        StoreError::TooLarge { .. } | StoreError::UnknownTable(_) => {
            ReplicaError::Invalid(error.to_string())
        }
        other => ReplicaError::Failed(0, other.to_string()),
    }
}
