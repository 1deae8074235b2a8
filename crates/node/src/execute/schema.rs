//! What changes the schema or the roles: planned and made durable on shard 0, one change at a time, then put in force
//! on every shard before the client is answered.

mod events;

use super::farewell::Goal;
use super::operation::{AfterGather, GatherOperation, Operation};
use super::request::{Requester, send_prepared};
use super::snapshot::REPLACED_TICKET;
use crate::client::ClientId;
use crate::effects::{Effects, LogLevel, Order, Work, WorkDone};
use crate::message::{ReplicaError, ShardMessage};
use crate::metadata::{self, Entry};
use crate::reply::Reply;
use crate::shard::Shard;
use cql::ast::Statement as Syntax;
use cql::frame::RequestFrame;
use cql::frame::response::{Event, MetadataForm, RowsWriter, put_schema_change, put_void};
use cql::frame::{ColumnSpec, ResultMetadata};
use cql::plan::ddl::roles::{Authorization, Listing, RoleContext, RolePlan, User, plan_role};
use cql::plan::ddl::{self, DdlContext, SchemaEvent, SchemaPlan};
use events::events;
use model::env::{IoOutcome, IoQueue, IoTag, Random};
use model::error::RequestError;
use model::schema::{Schema, SchemaEdit};
use model::time::{BootNanos, Now};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use storage::MetaLog;

/// What to do when slow work is done.
#[derive(Debug)]
pub enum AfterWork {
    /// A password was checked.
    LogIn {
        /// Whose connection.
        client: ClientId,
        /// Who wants in.
        user: Arc<str>,
    },
    /// A password was hashed: carry out the statement it is for, as the roles are by then.
    StoreRole(Box<Demand>),
}

/// What is answered once a schema is in force everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaAnswer {
    /// A change clients are told of.
    Change(SchemaEvent),
    /// Nothing to tell: roles.
    Void,
}

/// A change being made.
#[derive(Debug)]
struct Change {
    reply: Reply,
    edits: Vec<SchemaEdit>,
    answer: SchemaAnswer,
}

/// A statement that asks for a change.
#[derive(Debug)]
pub struct Demand {
    requester: Requester,
    statement: Syntax,
    /// The hash of the password it sets, once there is one.
    salted_hash: Option<String>,
}

/// A statement that waits for the change before it.
#[derive(Debug)]
pub struct WaitingDemand {
    demand: Demand,
    /// The answer owed.
    pub reply: Reply,
    /// When the client is told to give up.
    pub deadline: BootNanos,
}

/// How far the change under way is.
#[derive(Debug)]
enum Progress {
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
    progress: Progress,
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
            progress: Progress::Idle,
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
        !matches!(self.progress, Progress::Idle)
    }

    fn append(&mut self, change: Change, io: &mut IoQueue) {
        assert!(
            matches!(self.progress, Progress::Idle | Progress::Leaving),
            "one change at a time"
        );
        let entry = metadata::encode(Entry::Schema(change.edits.clone()));
        self.progress = Progress::Storing(change);
        self.next_ticket += 1;
        let log = self.log.as_mut().expect("shard 0 has the metadata log");
        log.append(&entry, self.next_ticket, io);
    }
}

impl Shard {
    /// Schema, roles, TRUNCATE.
    pub(super) fn administer(
        &mut self,
        requester: &Requester,
        frame: &RequestFrame,
        statement: &Syntax,
        reply: Reply,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), (Reply, RequestError)> {
        if self.number != 0 {
            self.forward(0, requester, frame, reply, now, out);
            return Ok(());
        }
        let demand = Demand {
            requester: requester.clone(),
            statement: statement.clone(),
            salted_hash: None,
        };
        self.demand(demand, reply, now, out)
    }

    /// Carries a change out when it is its turn.
    fn demand(
        &mut self,
        demand: Demand,
        reply: Reply,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), (Reply, RequestError)> {
        if !self.schema_changes.is_busy() {
            return self.administer_now(demand, reply, now, out);
        }
        let waiting = WaitingDemand {
            demand,
            reply,
            deadline: now.boot.plus_millis(self.config.truncate_timeout_ms),
        };
        let number = self.operations.insert(Operation::Schema(Box::new(waiting)));
        self.schema_changes.waiting.push_back(number);
        Ok(())
    }

    fn administer_now(
        &mut self,
        demand: Demand,
        mut reply: Reply,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), (Reply, RequestError)> {
        let (requester, statement) = (&demand.requester, &demand.statement);
        let datacenters = self.datacenters();
        let new_id = uuid::Builder::from_random_bytes(self.random_bytes()).into_uuid();
        let context = DdlContext {
            keyspace: requester.keyspace.as_deref(),
            now_micros: self.clock.next(now),
            new_id,
            datacenters: &datacenters,
            virtual_keyspaces: &self.virtual_keyspaces,
            config: &self.config.ddl,
        };
        if let Syntax::Truncate(name) = statement {
            return match ddl::plan_truncate(name, &self.schema, &context) {
                Ok(table) => {
                    let tables = [table.clone()];
                    self.leave(&tables, Goal::Truncate(table.id), reply, now, out);
                    Ok(())
                }
                Err(error) => Err((reply, error)),
            };
        }
        let Some(planned) = ddl::plan(statement, &self.schema, &context) else {
            return self.administer_roles(demand, reply, now, out);
        };
        match planned {
            Err(error) => Err((reply, error)),
            Ok(SchemaPlan::Nothing { warnings }) => {
                reply.warnings.extend(warnings);
                reply.result(out, put_void);
                self.finish_trace(&reply, now, out);
                Ok(())
            }
            Ok(SchemaPlan::Change {
                edits,
                event,
                warnings,
            }) => {
                reply.warnings.extend(warnings);
                let answer = SchemaAnswer::Change(event);
                let dropped = self.tables_dropped(&edits);
                if dropped.is_empty() {
                    self.store_change(edits, answer, reply, out);
                } else {
                    self.schema_changes.progress = Progress::Leaving;
                    self.leave(&dropped, Goal::Change(edits, answer), reply, now, out);
                }
                Ok(())
            }
        }
    }

    /// Roles and permissions. A password is hashed on a worker thread before its edit is stored.
    fn administer_roles(
        &mut self,
        demand: Demand,
        reply: Reply,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), (Reply, RequestError)> {
        let requester = &demand.requester;
        let datacenters = self.datacenters();
        let context = DdlContext {
            keyspace: requester.keyspace.as_deref(),
            now_micros: now.wall.0,
            new_id: uuid::Uuid::nil(),
            datacenters: &datacenters,
            virtual_keyspaces: &self.virtual_keyspaces,
            config: &self.config.ddl,
        };
        let roles = RoleContext {
            user: requester
                .user
                .as_deref()
                .map_or(User::Anonymous, User::Role),
            passwords: self.config.password_authentication,
            authorization: Authorization::None,
        };
        let planned = plan_role(&demand.statement, &self.schema, &context, &roles);
        match planned {
            None => Err((reply, RequestError::not_supported("This statement is"))),
            Some(Err(error)) => Err((reply, error)),
            Some(Ok(RolePlan::Nothing)) => {
                reply.result(out, put_void);
                self.finish_trace(&reply, now, out);
                Ok(())
            }
            Some(Ok(RolePlan::Change(edits))) => {
                self.store_roles(edits, reply, out);
                Ok(())
            }
            Some(Ok(RolePlan::HashPassword(change))) => {
                if let Some(hash) = demand.salted_hash {
                    self.store_roles(change.edits(hash), reply, out);
                    return Ok(());
                }
                let work = Work::HashPassword {
                    password: change.password.clone(),
                    cost: self.config.password_cost,
                };
                let deadline = now.boot.plus_millis(self.config.truncate_timeout_ms);
                let then = AfterWork::StoreRole(Box::new(demand));
                let number = self.operations.insert(Operation::Work {
                    reply,
                    then,
                    deadline,
                });
                out.work.push(Order {
                    number,
                    deadline,
                    work,
                });
                Ok(())
            }
            Some(Ok(RolePlan::Rows(listing))) => {
                send_listing(&reply, &listing, out);
                self.finish_trace(&reply, now, out);
                Ok(())
            }
        }
    }

    fn store_roles(&mut self, edits: Vec<SchemaEdit>, reply: Reply, out: &mut Effects) {
        self.store_change(edits, SchemaAnswer::Void, reply, out);
    }

    /// Makes a change durable, after which it is put in force.
    pub(super) fn store_change(
        &mut self,
        edits: Vec<SchemaEdit>,
        answer: SchemaAnswer,
        reply: Reply,
        out: &mut Effects,
    ) {
        let change = Change {
            reply,
            edits,
            answer,
        };
        self.schema_changes.append(change, &mut out.io);
    }

    fn random_bytes(&mut self) -> [u8; 16] {
        let (high, low) = (self.random.next_u64(), self.random.next_u64());
        (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
    }

    fn datacenters(&self) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        for node in &self.topology.nodes {
            *counts.entry(node.datacenter.clone()).or_insert(0) += 1;
        }
        counts
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
            let line = match result {
                Ok(()) => (
                    LogLevel::Info,
                    "the metadata log is replaced by a snapshot".to_owned(),
                ),
                Err(error) => (
                    LogLevel::Warn,
                    format!("the metadata log could not be replaced by a snapshot: {error}"),
                ),
            };
            return out.log.push(line);
        }
        let progress = std::mem::replace(&mut self.schema_changes.progress, Progress::Installing);
        let Progress::Storing(change) = progress else {
            unreachable!("only a change under way is stored")
        };
        if let Err(error) = result {
            let error = RequestError::Server(format!(
                "The schema change could not be made durable: {error}"
            ));
            self.fail(&change.reply, &error, now, out);
            return self.next_schema_change(now, out);
        }
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
        let left = usize::from(self.config.shards) - 1;
        let deadline = now.boot.plus_millis(self.config.truncate_timeout_ms);
        let gather = GatherOperation {
            reply: change.reply,
            left,
            then: AfterGather::Schema(change.answer),
            failed: None,
            deadline,
        };
        if left == 0 {
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
        self.schema_changes.progress = Progress::Idle;
        while !self.schema_changes.is_busy() {
            let Some(number) = self.schema_changes.waiting.pop_front() else {
                return;
            };
            // Those that were given up are gone.
            let Some(Operation::Schema(waiting)) = self.operations.remove(number) else {
                continue;
            };
            if let Err((reply, error)) =
                self.administer_now(waiting.demand, waiting.reply, now, out)
            {
                self.fail(&reply, &error, now, out);
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

    /// Another shard did what it was asked.
    pub(crate) fn on_acknowledged(
        &mut self,
        request: u64,
        result: Result<(), ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        if let Some(Operation::Admin(_)) = self.operations.get_mut(request) {
            return self.admin_acknowledged(request, result, out);
        }
        let Some(Operation::Gather(gather)) = self.operations.get_mut(request) else {
            return;
        };
        gather.left -= 1;
        if let Err(error) = result {
            gather.failed.get_or_insert(error);
        }
        if gather.left > 0 {
            return;
        }
        let Some(Operation::Gather(gather)) = self.operations.remove(request) else {
            unreachable!("just found")
        };
        self.gathered(gather, now, out);
    }

    fn gathered(&mut self, gather: GatherOperation, now: Now, out: &mut Effects) {
        if let AfterGather::Linked(_) | AfterGather::Kept(_) = gather.then {
            return self.left(gather, now, out);
        }
        let GatherOperation {
            reply,
            then,
            failed,
            ..
        } = gather;
        if let Some(error) = failed {
            let (ReplicaError::Overloaded(text)
            | ReplicaError::Failed(_, text)
            | ReplicaError::Invalid(text)) = error;
            let error = match then {
                AfterGather::Truncated => {
                    RequestError::Truncate(format!("Error during truncate: {text}"))
                }
                _ => RequestError::Server(text),
            };
            self.fail(&reply, &error, now, out);
        } else {
            match &then {
                AfterGather::Prepared(statement) => send_prepared(&reply, statement, out),
                AfterGather::Schema(SchemaAnswer::Change(event)) => {
                    reply.result(out, |buffer| {
                        put_schema_change(buffer, reply.version, event.change, &event.target)
                    });
                }
                AfterGather::Schema(SchemaAnswer::Void) | AfterGather::Truncated => {
                    reply.result(out, put_void)
                }
                AfterGather::Linked(_) | AfterGather::Kept(_) => unreachable!("dealt with above"),
            }
            self.finish_trace(&reply, now, out);
        }
        if matches!(then, AfterGather::Schema(_)) {
            self.next_schema_change(now, out);
        }
    }

    /// Slow work is done.
    pub(crate) fn on_work_done(
        &mut self,
        number: u64,
        done: WorkDone,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Work { reply, then, .. }) = self.operations.remove(number) else {
            return;
        };
        match (then, done) {
            (then, WorkDone::Refused) => {
                let error = "Too many passwords wait to be checked or hashed";
                if let AfterWork::LogIn { client, .. } = then {
                    self.login_failed(client);
                }
                self.fail(&reply, &RequestError::Overloaded(error.into()), now, out);
            }
            (AfterWork::LogIn { client, user }, done) => {
                self.logged_in(client, &user, done == WorkDone::Verified(true), &reply, out);
            }
            (AfterWork::StoreRole(demand), WorkDone::Hashed(Ok(hash))) => {
                let demand = Demand {
                    salted_hash: Some(hash),
                    ..*demand
                };
                if let Err((reply, error)) = self.demand(demand, reply, now, out) {
                    self.fail(&reply, &error, now, out);
                }
            }
            (AfterWork::StoreRole(_), done) => {
                let reason = match done {
                    WorkDone::Hashed(Err(reason)) => reason,
                    _ => "no hash".to_owned(),
                };
                let error =
                    RequestError::Server(format!("The password could not be hashed: {reason}"));
                self.fail(&reply, &error, now, out);
            }
        }
    }
}

/// Answers with the rows of a LIST.
fn send_listing(reply: &Reply, listing: &Listing, out: &mut Effects) {
    let specs = listing.columns.iter().map(|(name, ctype)| ColumnSpec {
        keyspace: "system_auth".into(),
        table: listing.table.into(),
        name: (*name).into(),
        cql_type: ctype.clone(),
    });
    let metadata = ResultMetadata::new(specs.collect());
    reply.result(out, |buffer| {
        let mut writer = RowsWriter::begin(buffer, &metadata, reply.version, MetadataForm::Full);
        for value in listing.rows.iter().flatten() {
            writer.cell(Some(value));
        }
        writer.finish(None);
    });
}
