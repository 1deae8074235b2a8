//! QUERY, PREPARE, EXECUTE and BATCH: from the frame to the plan to the machine that carries it out.

use super::call::{Call, Execution, Requester, Terms};
use super::gather::{AfterGather, GatherOperation};
use super::operation::Operation;
use crate::client::ClientId;
use crate::effects::Effects;
use crate::message::{Moment, OnBehalf, ShardMessage};
use crate::reply::{Origin, Reply};
use crate::shard::Shard;
use crate::statement::{Naming, Statement, StatementId};
use crate::trace::Trace;
use crate::track::staleness;
use bytes::Bytes;
use cql::ast;
use cql::frame::request::{Execute, Prepare, Query, Request};
use cql::frame::response::{PreparedResult, put_prepared, put_set_keyspace};
use cql::frame::{Message, RequestFrame};
use cql::plan::Plan;
use cql::plan::values::BoundValues;
use model::env::Random;
use model::error::RequestError;
use model::time::Now;
use std::sync::Arc;

impl Shard {
    /// Serves a request of a client whose connection is ready.
    pub(super) fn serve_request(
        &mut self,
        id: ClientId,
        frame: &RequestFrame,
        message: Message<'_>,
        reply: Reply,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(client) = self.clients.get(&id) else {
            return;
        };
        let requester = Requester {
            keyspace: client.keyspace.clone(),
            user: client.user.clone(),
            address: client.address,
            moment: Moment {
                now_micros: now.wall.0,
                seed: self.random.next_u64(),
            },
        };
        let call = Call::new(requester, frame, reply);
        self.execute_message(call, message, now, out);
    }

    /// Serves a request another shard forwarded.
    pub(crate) fn serve_forwarded(
        &mut self,
        from: u16,
        request: u64,
        client: &OnBehalf,
        frame: &RequestFrame,
        now: Now,
        out: &mut Effects,
    ) {
        let reply = Reply {
            origin: Origin::Shard {
                shard: from,
                request,
            },
            version: client.version,
            stream: frame.header.stream,
            trace: None,
            warnings: Vec::new(),
            keyspace: None,
        };
        let requester = Requester {
            keyspace: client.keyspace.clone(),
            user: client.user.clone(),
            address: client.address,
            moment: client.moment,
        };
        match frame.message() {
            Ok(message) => {
                let call = Call::new(requester, frame, reply);
                self.execute_message(call, message, now, out);
            }
            Err(error) => reply.error(out, &RequestError::Protocol(error.to_string())),
        }
    }

    /// Begins a request, and answers it if it cannot be.
    fn execute_message(
        &mut self,
        mut call: Call<'_>,
        message: Message<'_>,
        now: Now,
        out: &mut Effects,
    ) {
        if message.tracing || self.is_sampled() {
            let trace = self.new_trace(&call.requester, &message.request, now);
            call.reply().trace = Some(trace);
        }
        match staleness::asked(&message.payload) {
            Ok(asked) => call.max_staleness_ms = asked,
            Err(error) => return self.fail(call.reply(), &error, now, out),
        }
        let begun = match message.request {
            Request::Query(query) => self.query(&mut call, &query, now, out),
            Request::Prepare(prepare) => self.prepare(&mut call, &prepare, now, out),
            Request::Execute(execute) => self.execute(&mut call, &execute, now, out),
            Request::Batch(batch) => self.batch(&mut call, &batch, now, out),
            _ => Err(RequestError::Server("only statements are executed".into())),
        };
        if let Err(error) = begun {
            self.fail(call.reply(), &error, now, out);
        }
    }

    /// Whether a request is traced though nobody asked for it.
    fn is_sampled(&mut self) -> bool {
        let part = self.trace_probability;
        part > 0.0 && (self.random.next_u64() >> 11) as f64 / 2f64.powi(53) < part
    }

    fn new_trace(&mut self, requester: &Requester, request: &Request<'_>, now: Now) -> Box<Trace> {
        let name = match request {
            Request::Prepare(_) => "Preparing CQL3 query",
            Request::Execute(_) => "Execute CQL3 prepared query",
            Request::Batch(_) => "Execute batch of CQL3 queries",
            _ => "Execute CQL3 query",
        };
        let id = self.random.time_uuid(now);
        let client = requester.address.ip();
        Box::new(Trace::new(id, client, name, self.stopwatch.clone()))
    }

    /// Answers with a result whose body `write` appends.
    pub(crate) fn succeed(
        &mut self,
        reply: &Reply,
        now: Now,
        out: &mut Effects,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        reply.result(out, write);
        self.finish_trace(reply, now, out);
    }

    /// Answers with an error, counted by who must act.
    pub(crate) fn fail(
        &mut self,
        reply: &Reply,
        error: &RequestError,
        now: Now,
        out: &mut Effects,
    ) {
        match error {
            RequestError::Unavailable { .. } => self.metrics.unavailable += 1,
            RequestError::ReadFailure { .. }
            | RequestError::WriteFailure { .. }
            | RequestError::Server(_) => self.metrics.failures += 1,
            RequestError::Overloaded(_) => self.metrics.overloaded += 1,
            RequestError::Invalid(_) | RequestError::Syntax(_) => self.metrics.invalid += 1,
            _ => {}
        }
        reply.error(out, error);
        self.finish_trace(reply, now, out);
    }

    fn query(
        &mut self,
        call: &mut Call<'_>,
        query: &Query<'_>,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), RequestError> {
        self.metrics.regular_executed += 1;
        if let Some(trace) = call.trace() {
            trace.asked(query.text, &query.parameters);
        }
        call.reply().note(|| format!("Parsing {}", query.text));
        let keyspace = query
            .parameters
            .keyspace
            .map(Into::into)
            .or_else(|| call.requester.keyspace.clone());
        let terms = Terms::new(&query.parameters, now)?;
        self.check_keyspace(query.parameters.keyspace)?;
        let statement = Statement::new(query.text, keyspace.as_deref(), self.catalog())?;
        call.reply().note(|| "Preparing statement".into());
        let values = BoundValues::new(
            query.parameters.values,
            &statement.prepared.marker_names,
            call.requester.moment.context(0),
        )?;
        let execution = Execution {
            statement: &Arc::new(statement),
            values: &values,
            terms,
        };
        self.run(call, execution, now, out)
    }

    /// Whether there is the keyspace that a request names beside its statement: asked before that is looked at.
    pub(super) fn check_keyspace(&self, named: Option<&str>) -> Result<(), RequestError> {
        match named {
            Some(name) if self.catalog().keyspace(name).is_none() => Err(RequestError::Invalid(
                format!("Keyspace '{name}' does not exist"),
            )),
            _ => Ok(()),
        }
    }

    fn prepare(
        &mut self,
        call: &mut Call<'_>,
        prepare: &Prepare<'_>,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), RequestError> {
        if let Some(trace) = call.trace() {
            trace.parameters.push(("query".into(), prepare.text.into()));
        }
        let keyspace: Option<Arc<str>> = prepare
            .keyspace
            .map(Into::into)
            .or_else(|| call.requester.keyspace.clone());
        self.check_keyspace(prepare.keyspace)?;
        let statement = Statement::new(prepare.text, keyspace.as_deref(), self.catalog())?;
        let statement = Arc::new(statement);
        self.statements.check_size(&statement)?;
        self.warn_of_use(call, &statement, prepare);
        self.statements.put(statement.clone());
        let gather = GatherOperation {
            reply: Some(call.take_reply()),
            left: usize::from(self.config.shards) - 1,
            then: AfterGather::Prepared(statement.clone()),
            failed: None,
            deadline: now.boot.plus_millis(self.config.write_timeout_ms),
        };
        if gather.left == 0 {
            self.gathered(gather, now, out);
            return Ok(());
        }
        let request = self.operations.insert(Operation::Gather(gather));
        for shard in self.other_shards() {
            let statement = statement.clone();
            self.tell(shard, ShardMessage::Prepared { request, statement }, out);
        }
        Ok(())
    }

    /// Warns who prepares a statement that means something else where another keyspace is in use: once a connection, and not of
    /// statements that are prepared already, as Cassandra does. Who names the keyspace with the request is warned each time.
    fn warn_of_use(&mut self, call: &mut Call<'_>, statement: &Statement, prepare: &Prepare<'_>) {
        if statement.naming == Naming::Qualified || self.statements.contains(&statement.id) {
            return;
        }
        if prepare.keyspace.is_none()
            && let Origin::Client(id) = call.reply().origin
            && let Some(client) = self.clients.get_mut(&id)
            && std::mem::replace(&mut client.warned_of_use, true)
        {
            return;
        }
        let used = statement.keyspace.as_deref().unwrap_or("null");
        let of_statement = match statement.naming {
            Naming::Otherwise => "null",
            _ => used,
        };
        let id = u128::from_be_bytes(statement.id);
        call.reply().warnings.push(format!(
            "`USE <keyspace>` with prepared statements is considered to be an anti-pattern due to ambiguity in non-qualified table \
             names. Please consider removing instances of `Session#setKeyspace(<keyspace>)`, `Session#execute(\"USE <keyspace>\")` and \
             `cluster.newSession(<keyspace>)` from your code, and always use fully qualified table names (e.g. <keyspace>.<table>). \
             Keyspace used: {used}, statement keyspace: {of_statement}, statement id: {id:032x}"
        ));
    }

    /// Keeps a statement that another shard was told to prepare. It is planned anew: one reference count that all
    /// shards write to would cost every execution.
    pub(crate) fn keep_prepared(&mut self, statement: Arc<Statement>) {
        let (text, keyspace) = (&statement.text, statement.keyspace.as_deref());
        let own = Statement::new(text, keyspace, self.catalog());
        self.statements.put(own.map_or(statement, Arc::new));
    }

    fn execute(
        &mut self,
        call: &mut Call<'_>,
        execute: &Execute<'_>,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), RequestError> {
        self.metrics.prepared_executed += 1;
        let statement = self.prepared_statement(execute.id)?;
        if let Some(trace) = call.trace() {
            trace.asked(&statement.text, &execute.parameters);
        }
        let mut terms = Terms::new(&execute.parameters, now)?;
        // What is no id is that of no columns the client could know.
        let known = execute.result_metadata_id;
        terms.known_metadata = known.map(|id| id.try_into().unwrap_or_default());
        let values = BoundValues::new(
            execute.parameters.values,
            &statement.prepared.marker_names,
            call.requester.moment.context(0),
        )?;
        if let Some(trace) = call.trace() {
            trace.bound(&statement.prepared.variables, &values);
        }
        let execution = Execution {
            statement: &statement,
            values: &values,
            terms,
        };
        self.run(call, execution, now, out)
    }

    /// The statement with an id, planned again if the schema changed since.
    pub(super) fn prepared_statement(&mut self, id: &[u8]) -> Result<Arc<Statement>, RequestError> {
        let Some(statement) = self.statements.get(id) else {
            return Err(RequestError::Unprepared { id: id.to_vec() });
        };
        if statement.epoch == self.schema.epoch {
            return Ok(statement.clone());
        }
        let (text, keyspace) = (statement.text.clone(), statement.keyspace.clone());
        let renewed = Arc::new(Statement::new(&text, keyspace.as_deref(), self.catalog())?);
        debug_assert_eq!(StatementId::try_from(id).ok(), Some(renewed.id));
        self.statements.put(renewed.clone());
        Ok(renewed)
    }

    fn run(
        &mut self,
        call: &mut Call<'_>,
        execution: Execution<'_>,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), RequestError> {
        let statement = execution.statement;
        match &statement.prepared.plan {
            Plan::Select(plan) => self.select(call, plan, execution, now, out),
            Plan::Modify(plan) => self.modify(call, plan, execution, now, out),
            Plan::Batch(plan) => self.batch_statement(call, plan, execution, now, out),
            Plan::Other(other) => {
                // The request may have named a keyspace of its own, or the statement was prepared in another.
                call.requester.keyspace.clone_from(&statement.keyspace);
                self.run_other(call, other, &execution.terms, now, out)
            }
        }
    }

    /// A statement that is neither a SELECT nor a modification.
    fn run_other(
        &mut self,
        call: &mut Call<'_>,
        statement: &ast::Statement,
        terms: &Terms,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), RequestError> {
        match statement {
            ast::Statement::Use(keyspace) => {
                if self.catalog().keyspace(keyspace).is_none() {
                    let text = format!("Keyspace '{keyspace}' does not exist");
                    return Err(RequestError::Invalid(text));
                }
                let keyspace: Arc<str> = keyspace.as_str().into();
                let mut reply = call.take_reply();
                if let Origin::Client(id) = reply.origin
                    && let Some(client) = self.clients.get_mut(&id)
                {
                    client.keyspace = Some(keyspace.clone());
                }
                reply.keyspace = Some(keyspace.clone());
                self.succeed(&reply, now, out, |buffer| {
                    put_set_keyspace(buffer, &keyspace)
                });
                Ok(())
            }
            ast::Statement::Describe(describe) => {
                self.describe_statement(call, describe, terms, now, out)
            }
            other => self.administer(call, other, now, out),
        }
    }

    /// Has another shard execute a whole request.
    pub(super) fn forward(&mut self, shard: u16, call: &mut Call<'_>, now: Now, out: &mut Effects) {
        self.metrics.forwarded += 1;
        let reply = call.take_reply();
        let client = OnBehalf {
            version: reply.version,
            keyspace: call.requester.keyspace.clone(),
            user: call.requester.user.clone(),
            address: call.requester.address,
            moment: call.requester.moment,
        };
        let deadline = now.boot.plus_millis(self.config.truncate_timeout_ms);
        let request = self
            .operations
            .insert(Operation::Forwarded { reply, deadline });
        let message = ShardMessage::Forward {
            request,
            client,
            frame: call.frame.clone(),
        };
        self.tell(shard, message, out);
    }

    /// The answer of a forwarded request.
    pub(crate) fn on_forwarded(
        &mut self,
        request: u64,
        envelope: &[u8],
        keyspace: Option<Arc<str>>,
        out: &mut Effects,
    ) {
        let Some(Operation::Forwarded { reply, .. }) = self.operations.remove(request) else {
            return;
        };
        match reply.origin {
            Origin::Client(id) => {
                if let (Some(keyspace), Some(client)) = (keyspace, self.clients.get_mut(&id)) {
                    client.keyspace = Some(keyspace);
                }
                out.respond(id, |buffer| buffer.extend_from_slice(envelope));
            }
            Origin::Shard { shard, request } => {
                let message = ShardMessage::Forwarded {
                    request,
                    envelope: Bytes::copy_from_slice(envelope),
                    keyspace,
                };
                out.messages.push((shard, message));
            }
        }
    }

    /// The shards of the node but this one.
    pub(crate) fn other_shards(&self) -> impl Iterator<Item = u16> + use<> {
        let own = self.number;
        (0..self.config.shards).filter(move |shard| *shard != own)
    }

    /// Writes a finished trace to `system_traces`. The client is answered already.
    pub(crate) fn finish_trace(&mut self, reply: &Reply, now: Now, out: &mut Effects) {
        let Some(trace) = &reply.trace else { return };
        let node = self.config.client_address.ip();
        let thread = format!("shard-{}", self.number);
        let random = &mut self.random;
        let mutations = trace.mutations(&self.schema, node, &thread, |moment| {
            random.time_uuid(moment)
        });
        for mutation in mutations {
            self.write_unattended(&mutation, now, out);
        }
    }
}

/// Appends the answer of a PREPARE.
pub(super) fn put_statement(statement: &Statement, reply: &Reply, buffer: &mut Vec<u8>) {
    let prepared = PreparedResult {
        id: statement.id,
        markers: &statement.markers,
        partition_key: &statement.prepared.partition_markers,
        result: &statement.result,
    };
    put_prepared(buffer, reply.version, &prepared);
}
