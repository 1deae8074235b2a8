//! The store as a replica's journal (docs/tracking.md): which ids it holds, what other replicas may still need of its log, and
//! reading that.
//!
//! What must stay true:
//! - an id is told of as held only once the record that makes it so is synced, whatever the sync mode;
//! - what was not released can be read, for as long as the disk is sound.

use super::Store;
use crate::commitlog::{Place, Position, statement_bytes};
use crate::error::StoreError;
use crate::held::{Held, MAX_MEMBERS, Members, Statement};
use crate::io::Purpose;
use model::env::{FileId, IoDone, IoOutcome, IoQueue, IoRequest, OpenMode};
use model::mutation::MutationView;
use model::track::{IdSet, LogId, MutationId};

/// Mutations read from the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Under which ticket they were asked for.
    pub ticket: u64,
    /// The mutations, encoded.
    pub mutations: Vec<(MutationId, Vec<u8>)>,
    /// Those that are not there any more, or cannot be read.
    pub gone: IdSet,
}

/// A read of the log that is under way.
#[derive(Debug)]
pub(super) struct Fetch {
    ticket: u64,
    place: Place,
    file: FileId,
}

impl Store {
    /// What the log holds, and what it says of ids beside. Some of it may not be synced yet: [`Self::take_held`] tells what is,
    /// but for what was there at the start, all of which is.
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// Takes the ids that became durable since the last call.
    pub fn take_held(&mut self) -> IdSet {
        self.log
            .as_mut()
            .map(crate::commitlog::Log::take_held)
            .unwrap_or_default()
    }

    /// Whether an encoded mutation goes to the log: whether any of its tables has durable writes.
    pub fn is_journaled(&self, mutation: &[u8]) -> bool {
        let tables = MutationView::parse(mutation);
        let tables = tables.into_iter().flat_map(|view| {
            let tables: Vec<_> = view.updates().map(|(table, _)| table).collect();
            tables
        });
        tables
            .filter_map(|table| self.tables.get(&table))
            .any(|state| state.durable_writes)
    }

    /// Notes whom a log is for, before the first of its ids comes.
    pub fn open_log(&mut self, log: LogId, members: &Members) -> Result<(), StoreError> {
        assert!(members.len() <= MAX_MEMBERS, "a log is for few nodes");
        if self.held.members(log).is_some() {
            return Ok(());
        }
        self.append_statements(&[Statement::Log(log, members.clone())], None)
    }

    /// Writes down what is to be known of ids. The ticket is reported when that is synced, whatever the sync mode: others are
    /// told of it.
    pub fn state(&mut self, statements: &[Statement], ticket: u64) -> Result<(), StoreError> {
        self.append_statements(statements, Some(ticket))
    }

    fn append_statements(
        &mut self,
        statements: &[Statement],
        ticket: Option<u64>,
    ) -> Result<(), StoreError> {
        if let Some(error) = self.write_error() {
            return Err(error);
        }
        self.make_room(0, statement_bytes(statements))?;
        if let Some(log) = &mut self.log {
            log.state(statements, ticket);
        }
        statements
            .iter()
            .for_each(|statement| self.held.take(statement));
        Ok(())
    }

    /// Other replicas will not ask for these any more: they hold them, or what they lack is written down. Their segments may go.
    pub fn release(&mut self, ids: &IdSet, io: &mut IoQueue) {
        self.released.union(ids);
        self.free_log(io);
    }

    /// Every replica holds these: tombstones of tracked tables are purged only when all ids of the files they are in are among
    /// such, and nobody will ask for them.
    pub fn prove(&mut self, ids: &IdSet, io: &mut IoQueue) {
        self.proven.union(ids);
        self.release(ids, io);
    }

    /// Of a group's logs of these nodes up to these boots all members hold everything: nothing of them is kept for anybody, and they
    /// are forgotten. The log says so, so that a start knows it.
    pub fn retire(
        &mut self,
        members: &Members,
        boots: &[(u32, u32)],
        io: &mut IoQueue,
    ) -> Result<(), StoreError> {
        let statements: Vec<Statement> = boots
            .iter()
            .map(|(node, boot)| Statement::Retired(members.clone(), *node, *boot))
            .collect();
        let before: Vec<LogId> = self.held.logs.keys().copied().collect();
        self.append_statements(&statements, None)?;
        for log in before {
            if self.held.is_forgotten(log) {
                self.released.forget(log);
                self.proven.forget(log);
                self.unjournaled.forget(log);
            }
        }
        self.free_log(io);
        Ok(())
    }

    /// Bytes of the log that are kept because other replicas may ask for them.
    pub fn journal_bytes(&self) -> u64 {
        let floor = self.floor_segment();
        self.log.as_ref().map_or(0, |log| log.journal_bytes(floor))
    }

    /// Numbers of the first segment of the log there is, and of the one that is written.
    pub fn log_span(&self) -> (u64, u64) {
        let log = self.log.as_ref();
        log.map_or((0, 0), |log| (log.first_segment(), log.end().segment))
    }

    /// Of the oldest segment that is kept because other replicas may ask for it, the ids that are not released: once they are,
    /// its room is free.
    pub fn oldest_unreleased(&self) -> Option<IdSet> {
        let floor = self.floor_segment();
        let log = self.log.as_ref()?;
        log.oldest_unreleased(floor, &self.released, &self.held)
    }

    /// Those of these ids that are held and that nobody can be sent.
    pub fn unjournaled_of(&self, ids: &IdSet) -> IdSet {
        self.unjournaled.both(ids)
    }

    /// Reads some of these mutations, the oldest first; returns whether any is there. What was read comes out of
    /// [`Self::take_fetched`]; whoever wants the rest asks again.
    pub fn fetch(&mut self, wanted: &IdSet, ticket: u64, io: &mut IoQueue) -> bool {
        let place = self.log.as_ref().and_then(|log| log.find(wanted));
        let Some(place) = place else {
            return false;
        };
        let file = self.requests.file();
        let chain = vec![
            IoRequest::Open {
                file,
                path: place.path.clone(),
                mode: OpenMode::Read,
            },
            IoRequest::Read {
                file,
                offset: u64::from(place.offset),
                length: place.length as usize,
            },
        ];
        self.next_fetch += 1;
        let number = self.next_fetch;
        let fetch = Fetch {
            ticket,
            place,
            file,
        };
        self.fetches.insert(number, fetch);
        self.requests
            .submit(io, Purpose::Fetch(number), IoRequest::Chain(chain));
        true
    }

    /// Mutations that were read since the last call.
    pub fn take_fetched(&mut self) -> Vec<Fetched> {
        std::mem::take(&mut self.fetched)
    }

    pub(super) fn fetch_on_io(&mut self, number: u64, outcome: IoOutcome, io: &mut IoQueue) {
        let Some(fetch) = self.fetches.remove(&number) else {
            return;
        };
        let close = IoRequest::Close { file: fetch.file };
        self.requests.submit(io, Purpose::Nobody, close);
        let mutations = match outcome {
            Ok(IoDone::Read(bytes)) => {
                let read = fetch.place.mutations(&bytes).into_iter();
                read.map(|(id, at, mutation)| (id, self.not_emptied(at, mutation)))
                    .collect()
            }
            // It was freed meanwhile, or the disk is not sound.
            _ => Vec::new(),
        };
        let mut found = IdSet::default();
        mutations.iter().for_each(|(id, _)| found.insert(*id));
        self.fetched.push(Fetched {
            ticket: fetch.ticket,
            mutations,
            gone: fetch.place.ids.minus(&found),
        });
    }

    /// What is left of a mutation that the log holds: not what was meant for tables that were emptied after it. Empty if that is
    /// all.
    fn not_emptied(&self, at: Position, mutation: Vec<u8>) -> Vec<u8> {
        let emptied = |table| {
            let state = self.tables.get(&table);
            state.is_some_and(|state| at < state.truncated_upto)
        };
        let view = MutationView::parse(&mutation);
        if !view.is_some_and(|view| view.updates().any(|(table, _)| emptied(table))) {
            return mutation;
        }
        MutationView::retain(&mutation, |table| !emptied(table)).unwrap_or_default()
    }
}
