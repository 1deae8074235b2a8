//! What changes the schema or the roles: planned and made durable on shard 0, one change at a time, then put in force
//! on every shard before the client is answered.
//!
//! A statement becomes a [`Demand`], which waits for the change before it; what it comes to is decided against the schema
//! in force ([`decide`]) and then carried out. A change whose disk does not answer goes on, and so does everybody's wait for
//! it; but each client is told by its own deadline.

mod decide;
mod events;

use super::call::{Call, Requester};
use super::farewell::Goal;
use super::gather::{AfterGather, GatherOperation};
use super::operation::Operation;
use super::snapshot::REPLACED_TICKET;
use super::work::AfterWork;
use crate::effects::{Effects, LogLevel};
use crate::message::ShardMessage;
use crate::metadata::{self, Entry};
use crate::reply::Reply;
use crate::shard::Shard;
use cql::ast::Statement as Syntax;
use cql::frame::response::{Event, put_void};
use cql::plan::ddl::SchemaEvent;
use decide::Decision;
use events::events;
use model::env::{IoOutcome, IoQueue, IoTag};
use model::error::RequestError;
use model::schema::{Schema, SchemaEdit};
use model::time::{BootNanos, Now};
use std::collections::VecDeque;
use std::sync::Arc;
use storage::MetaLog;

/// What is answered once a schema is in force everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaAnswer {
    /// A change clients are told of.
    Change(SchemaEvent),
    /// Nothing to tell: roles.
    Void,
}

/// A change being made durable.
#[derive(Debug)]
struct Change {
    edits: Vec<SchemaEdit>,
    answer: SchemaAnswer,
    /// The operation that owes the answer, until its deadline.
    operation: u64,
}

/// A statement that asks for a change.
#[derive(Debug)]
pub struct Demand {
    requester: Requester,
    statement: Syntax,
    /// The hash of the password it sets, once there is one.
    salted_hash: Option<String>,
    /// The answer owed.
    pub(super) reply: Reply,
}

impl Demand {
    /// The same, its password hashed.
    pub(super) fn with_hash(mut self, hash: String) -> Box<Self> {
        self.salted_hash = Some(hash);
        Box::new(self)
    }
}

/// A statement that waits for the change before it.
#[derive(Debug)]
pub struct WaitingDemand {
    demand: Box<Demand>,
    /// When the client is told to give up.
    pub deadline: BootNanos,
}

/// A client that waits for a change to be durable.
#[derive(Debug)]
pub struct ChangeOperation {
    reply: Reply,
    /// When the client is told to give up; the change goes on.
    pub deadline: BootNanos,
}

/// How far the change under way is.
#[derive(Debug)]
enum ChangeState {
    /// There is none.
    Idle,
    /// What it drops is being kept in snapshots.
    Leaving,
    /// Its entry is being made durable.
    Storing(Change),
    /// It is being put in force on all shards.
    Installing,
}

/// The metadata log and the changes under way. On other shards than 0 there is no log, and nothing is ever under way.
pub struct SchemaChanges {
    pub(super) log: Option<MetaLog>,
    /// Bytes of the last snapshot made for the log.
    pub(super) snapshot_bytes: u64,
    state: ChangeState,
    /// Operations that wait for their turn, in order; some may have been given up.
    waiting: VecDeque<u64>,
    next_ticket: u64,
    pub(super) last_snapshot_millis: i64,
}

impl SchemaChanges {
    /// No change under way.
    pub fn new(log: Option<MetaLog>) -> Self {
        Self {
            log,
            snapshot_bytes: 0,
            state: ChangeState::Idle,
            waiting: VecDeque::new(),
            next_ticket: 0,
            last_snapshot_millis: 0,
        }
    }

    /// A disk request of the metadata log ended.
    pub fn on_io(&mut self, tag: IoTag, outcome: IoOutcome, io: &mut IoQueue) {
        if let Some(log) = &mut self.log {
            log.on_io(tag, outcome, io);
        }
    }

    /// Tickets of entries that are durable, or why they are not.
    pub fn take_durable(&mut self) -> Vec<(u64, Result<(), storage::StoreError>)> {
        let Some(log) = &mut self.log else {
            return Vec::new();
        };
        let durable = log
            .durable_tickets()
            .into_iter()
            .map(|ticket| (ticket, Ok(())));
        let mut ended: Vec<_> = durable.collect();
        ended.extend(
            log.failed_tickets()
                .into_iter()
                .map(|(ticket, error)| (ticket, Err(error))),
        );
        ended
    }

    /// Whether no change is under way and none waits.
    pub(crate) fn is_quiet(&self) -> bool {
        !self.is_busy() && self.waiting.is_empty()
    }

    fn is_busy(&self) -> bool {
        !matches!(self.state, ChangeState::Idle)
    }

    fn append(&mut self, change: Change, io: &mut IoQueue) {
        assert!(
            matches!(self.state, ChangeState::Idle | ChangeState::Leaving),
            "one change at a time"
        );
        let entry = metadata::encode(Entry::Schema(change.edits.clone()));
        self.state = ChangeState::Storing(change);
        self.next_ticket += 1;
        let log = self.log.as_mut().expect("shard 0 has the metadata log");
        log.append(&entry, self.next_ticket, io);
    }
}

impl Shard {
    /// Schema, roles, TRUNCATE.
    pub(super) fn administer(
        &mut self,
        call: &mut Call<'_>,
        statement: &Syntax,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), RequestError> {
        if self.number != 0 {
            self.forward(0, call, now, out);
            return Ok(());
        }
        let demand = Demand {
            requester: call.requester.clone(),
            statement: statement.clone(),
            salted_hash: None,
            reply: call.take_reply(),
        };
        self.demand(Box::new(demand), now, out);
        Ok(())
    }

    /// Carries a demand out when it is its turn.
    pub(super) fn demand(&mut self, demand: Box<Demand>, now: Now, out: &mut Effects) {
        if !self.schema_changes.is_busy() {
            return self.carry_out(demand, now, out);
        }
        let waiting = WaitingDemand {
            demand,
            deadline: now.boot.plus_millis(self.config.truncate_timeout_ms),
        };
        let number = self.operations.insert(Operation::Demand(waiting));
        self.schema_changes.waiting.push_back(number);
    }

    /// Decides what a demand comes to, and does that.
    fn carry_out(&mut self, mut demand: Box<Demand>, now: Now, out: &mut Effects) {
        let decision = match self.decide(&mut demand, now) {
            Ok(decision) => decision,
            Err(error) => return self.fail(&demand.reply, &error, now, out),
        };
        match decision {
            Decision::Nothing => self.succeed(&demand.reply, now, out, put_void),
            Decision::Rows(listing) => {
                let version = demand.reply.version;
                self.succeed(&demand.reply, now, out, |buffer| {
                    decide::put_listing(buffer, version, &listing);
                });
            }
            Decision::Truncate(table) => {
                let goal = Goal::Truncate(table.id);
                self.leave(&[table], goal, demand.reply, now, out);
            }
            Decision::Change(edits, answer) => {
                let dropped = self.tables_dropped(&edits);
                if dropped.is_empty() {
                    return self.store_change(edits, answer, demand.reply, now, out);
                }
                self.schema_changes.state = ChangeState::Leaving;
                let goal = Goal::Change(edits, answer);
                self.leave(&dropped, goal, demand.reply, now, out);
            }
            Decision::Hash(work) => {
                let deadline = now.boot.plus_millis(self.config.truncate_timeout_ms);
                self.order_work(work, AfterWork::StoreRole(demand), deadline, out);
            }
        }
    }

    /// Makes a change durable, after which it is put in force.
    pub(super) fn store_change(
        &mut self,
        edits: Vec<SchemaEdit>,
        answer: SchemaAnswer,
        reply: Reply,
        now: Now,
        out: &mut Effects,
    ) {
        let deadline = now.boot.plus_millis(self.config.truncate_timeout_ms);
        let waiting = ChangeOperation { reply, deadline };
        let change = Change {
            edits,
            answer,
            operation: self.operations.insert(Operation::Change(waiting)),
        };
        self.schema_changes.append(change, &mut out.io);
    }

    /// The change is not durable yet when the client's deadline passes.
    pub(super) fn change_time_out(
        &mut self,
        operation: &ChangeOperation,
        now: Now,
        out: &mut Effects,
    ) {
        let error = RequestError::Server(
            "The disk did not make the schema change durable in time; it may still take effect"
                .into(),
        );
        self.fail(&operation.reply, &error, now, out);
    }

    /// The change before it is not done yet when the client's deadline passes: it is not carried out.
    pub(super) fn demand_time_out(&mut self, waiting: &WaitingDemand, now: Now, out: &mut Effects) {
        let error = RequestError::Server("The change before this one takes too long".into());
        self.fail(&waiting.demand.reply, &error, now, out);
    }

    /// The entry of the change under way is durable: put it in force.
    pub(crate) fn on_schema_durable(
        &mut self,
        ended: (u64, Result<(), storage::StoreError>),
        now: Now,
        out: &mut Effects,
    ) {
        let (ticket, result) = ended;
        if ticket == REPLACED_TICKET {
            return out.log.push(replaced(result));
        }
        let changes = &mut self.schema_changes;
        let state = std::mem::replace(&mut changes.state, ChangeState::Installing);
        let ChangeState::Storing(change) = state else {
            unreachable!("only a change under way is stored")
        };
        let reply = match self.operations.remove(change.operation) {
            Some(Operation::Change(waiting)) => Some(waiting.reply),
            _ => None,
        };
        match result {
            Ok(()) => self.install_change(change, reply, now, out),
            Err(error) => {
                let error = format!("The schema change could not be made durable: {error}");
                match reply {
                    Some(reply) => self.fail(&reply, &RequestError::Server(error), now, out),
                    None => out.log.push((LogLevel::Error, error)),
                }
                self.next_schema_change(now, out);
            }
        }
    }

    /// Puts a change in force on every shard.
    fn install_change(
        &mut self,
        change: Change,
        reply: Option<Reply>,
        now: Now,
        out: &mut Effects,
    ) {
        let schema = Arc::new(self.schema.apply_all(&change.edits));
        let events: Arc<[Event]> = match &change.answer {
            SchemaAnswer::Change(event) => {
                events(event.change, &event.target, &self.schema, &schema).into()
            }
            SchemaAnswer::Void => Arc::default(),
        };
        self.install_schema(schema.clone(), out);
        self.shorten_metadata_log(&mut out.io);
        events.iter().for_each(|event| self.publish(event, out));
        let gather = GatherOperation {
            reply,
            left: usize::from(self.config.shards) - 1,
            then: AfterGather::Schema(change.answer),
            failed: None,
            deadline: now.boot.plus_millis(self.config.truncate_timeout_ms),
        };
        if gather.left == 0 {
            return self.gathered(gather, now, out);
        }
        let request = self.operations.insert(Operation::Gather(gather));
        for shard in self.other_shards() {
            let message = ShardMessage::Schema {
                request,
                schema: schema.clone(),
                events: events.clone(),
            };
            self.tell(shard, message, out);
        }
    }

    pub(super) fn next_schema_change(&mut self, now: Now, out: &mut Effects) {
        self.schema_changes.state = ChangeState::Idle;
        while !self.schema_changes.is_busy() {
            let Some(number) = self.schema_changes.waiting.pop_front() else {
                return;
            };
            // Those that were given up are gone.
            if let Some(Operation::Demand(waiting)) = self.operations.remove(number) {
                self.carry_out(waiting.demand, now, out);
            }
        }
    }

    /// Puts a schema in force on this shard.
    pub(crate) fn install_schema(&mut self, schema: Arc<Schema>, out: &mut Effects) {
        assert!(
            schema.epoch >= self.schema.epoch,
            "the schema does not go back"
        );
        self.schema = schema.clone();
        let stored = crate::system::stored(&schema);
        self.replica.store.set_schema(&stored, &mut out.io);
        let store = &self.replica.store;
        self.replica.latencies.retain(|id| store.has_table(id));
    }
}

/// What the operator is told of a replacement of the metadata log.
fn replaced(result: Result<(), storage::StoreError>) -> (LogLevel, String) {
    match result {
        Ok(()) => (
            LogLevel::Info,
            "the metadata log is replaced by a snapshot".to_owned(),
        ),
        Err(error) => (
            LogLevel::Warn,
            format!("the metadata log could not be replaced by a snapshot: {error}"),
        ),
    }
}
