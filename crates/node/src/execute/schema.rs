//! What changes the schema or the roles: planned on shard 0, one change at a time, ordered by the metadata log, then put in
//! force on every shard before the client is answered.
//!
//! A statement becomes a [`Demand`], which waits for the change before it; what it comes to is decided against the schema
//! in force ([`decide`]) and proposed to the metadata log. Whatever that decides is put in force, whoever proposed it
//! ([`apply`]); a proposal that another change came before is planned again. Each client is told by its own deadline, and what was
//! not decided by then may still come into force.

pub(super) mod apply;
mod decide;
mod events;

use super::call::{Call, Requester};
use super::farewell::Goal;
use super::operation::Operation;
use super::work::AfterWork;
use crate::effects::{Effects, LogLevel};
use crate::metadata_log::{self, Change as MetadataChange, MetadataLog};
use crate::reply::Reply;
use crate::shard::Shard;
use cluster::metadata::{Command, Refused};
use cql::ast::Statement as Syntax;
use cql::frame::ProtocolVersion;
use cql::frame::response::{put_schema_change, put_void};
use cql::plan::ddl::SchemaEvent;
use decide::Decision;
use model::env::{IoOutcome, IoQueue, IoTag};
use model::error::RequestError;
use model::schema::Table;
use model::time::{BootNanos, Now};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use storage::Removal;

/// What a client is told whose change was not decided in time.
const UNDECIDED: &str = "The schema change was not decided in time; it may still take effect";
/// What a client is told whose change nobody can decide on.
const NO_MAJORITY: &str = "The schema cannot be changed now: no majority of the voters of the metadata log can be reached";

/// What is answered once a change is in force everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaAnswer {
    /// A change clients are told of.
    Change(SchemaEvent),
    /// Nothing to tell: roles.
    Void,
    /// A table is empty.
    Truncated,
}

impl SchemaAnswer {
    /// What a client is told whose change came to nothing.
    pub(super) fn error(&self, reason: String) -> RequestError {
        match self {
            Self::Truncated => RequestError::Truncate(format!("Error during truncate: {reason}")),
            Self::Change(_) | Self::Void => RequestError::Server(reason),
        }
    }

    /// Appends the answer.
    fn put(&self, version: ProtocolVersion, buffer: &mut Vec<u8>) {
        match self {
            Self::Change(event) => put_schema_change(buffer, version, event.change, &event.target),
            Self::Void | Self::Truncated => put_void(buffer),
        }
    }
}

/// What a client wants: planned again if another change comes between.
#[derive(Debug)]
pub struct Wish {
    requester: Requester,
    statement: Syntax,
    /// The hash of the password it sets, once there is one.
    salted_hash: Option<String>,
}

/// What a wish comes to, against one schema.
#[derive(Debug)]
pub struct PlannedChange {
    /// What the metadata log is asked for.
    command: Command,
    answer: SchemaAnswer,
    wish: Wish,
}

impl PlannedChange {
    /// Whether it empties a table.
    pub(super) fn truncates(&self) -> bool {
        self.answer == SchemaAnswer::Truncated
    }
}

/// A change that is proposed.
#[derive(Debug)]
struct Change {
    ticket: u64,
    planned: Box<PlannedChange>,
    /// The operation that owes the answer, until its deadline.
    operation: u64,
}

/// A statement that asks for a change.
#[derive(Debug)]
pub struct Demand {
    wish: Wish,
    /// The answer owed.
    pub(super) reply: Reply,
}

impl Demand {
    /// The same, its password hashed.
    pub(super) fn with_hash(mut self, hash: String) -> Box<Self> {
        self.wish.salted_hash = Some(hash);
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

/// A client that waits for a change to be decided.
#[derive(Debug)]
pub struct ChangeOperation {
    reply: Reply,
    /// Whether it empties a table.
    truncates: bool,
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
    /// It is proposed to the metadata log.
    Proposed(Change),
    /// It is decided, and not in force on all shards yet.
    Decided,
}

/// The metadata log and the changes under way. On other shards than 0 there is no log, and nothing is ever under way.
pub struct SchemaChanges {
    log: Option<MetadataLog>,
    state: ChangeState,
    /// What was decided and is not in force here yet.
    applying: apply::Applying,
    /// Operations that wait for their turn, in order; some may have been given up.
    waiting: VecDeque<u64>,
    next_ticket: u64,
    pub(super) last_snapshot_millis: i64,
}

impl SchemaChanges {
    /// No change under way.
    pub fn new(log: Option<MetadataLog>) -> Self {
        Self {
            log,
            state: ChangeState::Idle,
            applying: apply::Applying::default(),
            waiting: VecDeque::new(),
            next_ticket: 0,
            last_snapshot_millis: 0,
        }
    }

    /// A disk request of the metadata log ended.
    pub fn on_io(&mut self, tag: IoTag, outcome: IoOutcome, now: BootNanos, io: &mut IoQueue) {
        if let Some(log) = &mut self.log {
            log.on_io(tag, outcome, now, io);
        }
    }

    /// What was decided since the last call, and how proposals of this node ended.
    pub fn take_decided(
        &mut self,
        out: &mut Effects,
    ) -> (Vec<MetadataChange>, Vec<(u64, metadata_log::Decision)>) {
        let Some(log) = &mut self.log else {
            return Default::default();
        };
        out.log.extend(log.take_notes());
        (log.take_changes(), log.take_finished())
    }

    /// The metadata log, on shard 0.
    pub(crate) fn log(&self) -> Option<&MetadataLog> {
        self.log.as_ref()
    }

    /// The same, to be told something.
    pub(crate) fn log_mut(&mut self) -> Option<&mut MetadataLog> {
        self.log.as_mut()
    }

    /// When [`Shard::tend_metadata`] is due.
    pub fn next_deadline(&self) -> Option<BootNanos> {
        let due = self.log.as_ref().map(MetadataLog::next_deadline);
        let due = due.filter(|due| *due < BootNanos(u64::MAX));
        due.into_iter().chain(self.applying.retry_at()).min()
    }

    /// Whether all that was decided is in force on all shards.
    pub(crate) fn is_settled(&self) -> bool {
        self.applying.is_done()
    }

    /// Whether no change is under way and none waits.
    pub(crate) fn is_quiet(&self) -> bool {
        !self.is_busy() && self.waiting.is_empty() && self.applying.is_done()
    }

    fn is_busy(&self) -> bool {
        !matches!(self.state, ChangeState::Idle)
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
        let wish = Wish {
            requester: call.requester.clone(),
            statement: statement.clone(),
            salted_hash: None,
        };
        let demand = Demand {
            wish,
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
            Decision::Truncate(table) if self.schema.tables().any(|known| known.id == table.id) => {
                let command = Command::Truncate(table.id);
                let leaving = [(table, Removal::Truncate)];
                self.plan_change(
                    *demand,
                    command,
                    SchemaAnswer::Truncated,
                    &leaving,
                    now,
                    out,
                );
            }
            // Every node has its own, and nobody else knows of it.
            Decision::Truncate(table) => {
                let goal = Goal::Empty(table.id);
                let leaving = [(table, Removal::Truncate)];
                self.leave(&leaving, goal, Some(demand.reply), now, out);
            }
            Decision::Change(edits, answer) => {
                let leaving = self.tables_dropped(&edits);
                let command = Command::Edit {
                    planned_on: self.schema.epoch,
                    edits,
                };
                if let Err(error) = self.check_gained(&command) {
                    return self.fail(&demand.reply, &error, now, out);
                }
                self.plan_change(*demand, command, answer, &leaving, now, out);
            }
            Decision::Hash(work) => {
                let deadline = now.boot.plus_millis(self.config.truncate_timeout_ms);
                self.order_work(work, AfterWork::StoreRole(demand), deadline, out);
            }
        }
    }

    /// Keeps what is to be kept of tables that go, then proposes.
    fn plan_change(
        &mut self,
        demand: Demand,
        command: Command,
        answer: SchemaAnswer,
        leaving: &[(Arc<Table>, Removal)],
        now: Now,
        out: &mut Effects,
    ) {
        let Demand { wish, reply } = demand;
        let planned = Box::new(PlannedChange {
            command,
            answer,
            wish,
        });
        if leaving.is_empty() {
            return self.propose_change(planned, reply, now, out);
        }
        self.schema_changes.state = ChangeState::Leaving;
        self.leave(leaving, Goal::Propose(planned), Some(reply), now, out);
    }

    /// Has the metadata log decide on a change, after which it is put in force.
    pub(super) fn propose_change(
        &mut self,
        planned: Box<PlannedChange>,
        reply: Reply,
        now: Now,
        out: &mut Effects,
    ) {
        let deadline = now.boot.plus_millis(self.config.truncate_timeout_ms);
        let waiting = ChangeOperation {
            reply,
            truncates: planned.truncates(),
            deadline,
        };
        let operation = self.operations.insert(Operation::Change(waiting));
        let command = planned.command.clone();
        let changes = &mut self.schema_changes;
        assert!(
            matches!(changes.state, ChangeState::Idle | ChangeState::Leaving),
            "one change at a time"
        );
        changes.next_ticket += 1;
        let ticket = changes.next_ticket;
        changes.state = ChangeState::Proposed(Change {
            ticket,
            planned,
            operation,
        });
        let log = changes.log.as_mut().expect("shard 0 has the metadata log");
        log.propose(command, ticket, deadline, now.boot);
        self.tend_metadata(now, out);
    }

    /// Gives the metadata log its turn.
    pub(crate) fn tend_metadata(&mut self, now: Now, out: &mut Effects) {
        if let Some(log) = &mut self.schema_changes.log {
            let alive = self.topology.nodes.iter().filter(|node| node.alive);
            let alive: BTreeSet<_> = alive.map(|node| node.id).collect();
            log.tick(&alive, now.boot, &mut self.random, &mut out.io);
        }
        self.retry_applying(now, out);
    }

    /// The change is not decided when the client's deadline passes.
    pub(super) fn change_time_out(
        &mut self,
        operation: &ChangeOperation,
        now: Now,
        out: &mut Effects,
    ) {
        let error = if operation.truncates {
            RequestError::Truncate("Truncate timed out".into())
        } else {
            RequestError::Server(UNDECIDED.into())
        };
        self.fail(&operation.reply, &error, now, out);
    }

    /// The change before it is not done yet when the client's deadline passes: it is not carried out.
    pub(super) fn demand_time_out(&mut self, waiting: &WaitingDemand, now: Now, out: &mut Effects) {
        let error = RequestError::Server("The change before this one takes too long".into());
        self.fail(&waiting.demand.reply, &error, now, out);
    }

    /// Whoever waits for a change, if its deadline has not passed.
    fn take_change(&mut self, operation: u64) -> Option<Reply> {
        match self.operations.remove(operation) {
            Some(Operation::Change(waiting)) => Some(waiting.reply),
            _ => None,
        }
    }

    /// A proposal ended. Of one that was carried out [`Self::on_metadata`] has heard before.
    pub(crate) fn on_proposal_end(
        &mut self,
        ticket: u64,
        decision: metadata_log::Decision,
        now: Now,
        out: &mut Effects,
    ) {
        let changes = &mut self.schema_changes;
        if !matches!(&changes.state, ChangeState::Proposed(own) if own.ticket == ticket) {
            return;
        }
        let state = std::mem::replace(&mut changes.state, ChangeState::Idle);
        let ChangeState::Proposed(own) = state else {
            unreachable!("it was looked at above")
        };
        let reply = self.take_change(own.operation);
        let reason = match decision {
            metadata_log::Decision::Refused(Refused::SchemaChanged) => {
                if let Some(reply) = reply {
                    let wish = own.planned.wish;
                    self.carry_out(Box::new(Demand { wish, reply }), now, out);
                }
                return self.go_on_if_idle(now, out);
            }
            metadata_log::Decision::Done => "The schema change changed nothing".to_owned(),
            metadata_log::Decision::Refused(refused) => {
                format!("The schema change was refused: {refused}")
            }
            metadata_log::Decision::NoMajority => NO_MAJORITY.to_owned(),
            metadata_log::Decision::Undecided => UNDECIDED.to_owned(),
            metadata_log::Decision::Failed(reason) => {
                format!(
                    "The schema change could not be made durable, and may still take effect: {reason}"
                )
            }
        };
        match reply {
            Some(reply) => self.fail(&reply, &own.planned.answer.error(reason), now, out),
            None => out.log.push((LogLevel::Error, reason)),
        }
        self.next_schema_change(now, out);
    }

    fn go_on_if_idle(&mut self, now: Now, out: &mut Effects) {
        if !self.schema_changes.is_busy() {
            self.next_schema_change(now, out);
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
}
