//! QUERY, PREPARE, EXECUTE and BATCH: from the frame to the plan to the machine that carries it out.

use super::operation::{AfterGather, GatherOperation, Operation};
use crate::client::ClientId;
use crate::effects::Effects;
use crate::message::{Moment, OnBehalf, ShardMessage};
use crate::reply::{Origin, Reply};
use crate::shard::Shard;
use crate::statement::{Statement, StatementId};
use crate::trace::Trace;
use bytes::Bytes;
use cql::ast;
use cql::frame::request::{Batch, Execute, Prepare, Query, QueryParameters, Request};
use cql::frame::response::{PreparedResult, put_prepared, put_set_keyspace};
use cql::frame::{Message, Opcode, RequestFrame};
use cql::plan::Plan;
use cql::plan::values::BoundValues;
use model::env::Random;
use model::error::{Consistency, RequestError};
use model::time::Now;
use std::net::SocketAddr;
use std::sync::Arc;

/// How a statement is to be executed, from its frame, with what the connection knows.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Level of the read or write.
    pub consistency: Consistency,
    /// Level of the conditional part.
    pub serial_consistency: Consistency,
    /// Rows per page.
    pub page_size: Option<u32>,
    /// Where the page before ended.
    pub paging_state: Option<Vec<u8>>,
    /// Timestamp the client gives, in microseconds.
    pub timestamp: Option<i64>,
    /// The request's idea of now, in seconds.
    pub now_seconds: i64,
    /// Leave out the result's columns.
    pub skip_metadata: bool,
    /// Id of the result columns the client knows (version 5).
    pub known_metadata: Option<[u8; 16]>,
}

impl Terms {
    /// Those of a BATCH message.
    pub(super) fn from_batch(batch: &Batch<'_>, now: Now) -> Result<Self, RequestError> {
        Self::new(&batch.parameters, now)
    }

    fn new(parameters: &QueryParameters<'_>, now: Now) -> Result<Self, RequestError> {
        Ok(Self {
            consistency: parameters.consistency,
            serial_consistency: parameters.serial_consistency.unwrap_or(Consistency::Serial),
            page_size: page_size(parameters.page_size)?,
            paging_state: parameters.paging_state.map(<[u8]>::to_vec),
            timestamp: parameters.timestamp,
            // Seconds are unsigned since Cassandra 5.0, so a negative number is a late one.
            now_seconds: parameters
                .now_in_seconds
                .map_or(now.wall.seconds(), |seconds| i64::from(seconds as u32)),
            skip_metadata: parameters.skip_metadata,
            known_metadata: None,
        })
    }
}

/// Rows per page; a negative number asks for no paging.
fn page_size(asked: Option<u32>) -> Result<Option<u32>, RequestError> {
    match asked {
        Some(0) => Err(RequestError::Protocol("The page size cannot be 0".into())),
        Some(size) if i32::try_from(size).is_err() => Ok(None),
        other => Ok(other),
    }
}

/// For whom a request is executed.
#[derive(Debug, Clone)]
pub(crate) struct Requester {
    pub keyspace: Option<Arc<str>>,
    pub user: Option<Arc<str>>,
    pub address: SocketAddr,
    /// What functions are evaluated with.
    pub moment: Moment,
}

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
        self.execute_message(&requester, frame, message, reply, now, out);
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
            Ok(message) => self.execute_message(&requester, frame, message, reply, now, out),
            Err(error) => reply.error(out, &RequestError::Protocol(error.to_string())),
        }
    }

    fn execute_message(
        &mut self,
        requester: &Requester,
        frame: &RequestFrame,
        message: Message<'_>,
        mut reply: Reply,
        now: Now,
        out: &mut Effects,
    ) {
        if message.tracing {
            let name = match message.request {
                Request::Prepare(_) => "Preparing CQL3 query",
                Request::Execute(_) => "Execute CQL3 prepared query",
                Request::Batch(_) => "Execute batch of CQL3 queries",
                _ => "Execute CQL3 query",
            };
            let id = self.random.time_uuid(now);
            let client = requester.address.ip();
            reply.trace = Some(Box::new(Trace::new(
                id,
                client,
                name,
                self.stopwatch.clone(),
            )));
        }
        let result = match message.request {
            Request::Query(query) => self.query(requester, frame, &query, reply, now, out),
            Request::Prepare(prepare) => self.prepare(requester, &prepare, reply, now, out),
            Request::Execute(execute) => self.execute(requester, frame, &execute, reply, now, out),
            Request::Batch(batch) => self.batch(requester, frame, &batch, reply, now, out),
            _ => Err((
                reply,
                RequestError::Server("only statements are executed".into()),
            )),
        };
        if let Err((reply, error)) = result {
            self.fail(&reply, &error, now, out);
        }
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
        requester: &Requester,
        frame: &RequestFrame,
        query: &Query<'_>,
        mut reply: Reply,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), (Reply, RequestError)> {
        self.metrics.regular_executed += 1;
        if let Some(trace) = &mut reply.trace {
            trace.asked(query.text, &query.parameters);
        }
        reply.note(|| format!("Parsing {}", query.text));
        let keyspace = query
            .parameters
            .keyspace
            .map(Into::into)
            .or_else(|| requester.keyspace.clone());
        let planned = Terms::new(&query.parameters, now).and_then(|terms| {
            self.check_keyspace(query.parameters.keyspace)?;
            Ok((
                terms,
                Statement::new(query.text, keyspace.as_deref(), self.catalog())?,
            ))
        });
        let (terms, statement) = match planned {
            Ok(planned) => planned,
            Err(error) => return Err((reply, error)),
        };
        reply.note(|| "Preparing statement".into());
        let context = requester.moment.context(0);
        let values = match BoundValues::new(
            query.parameters.values,
            &statement.prepared.marker_names,
            context,
        ) {
            Ok(values) => values,
            Err(error) => return Err((reply, error)),
        };
        self.run(
            requester,
            frame,
            &Arc::new(statement),
            &values,
            terms,
            reply,
            now,
            out,
        )
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
        requester: &Requester,
        prepare: &Prepare<'_>,
        mut reply: Reply,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), (Reply, RequestError)> {
        if let Some(trace) = &mut reply.trace {
            trace.parameters.push(("query".into(), prepare.text.into()));
        }
        let keyspace: Option<Arc<str>> = prepare
            .keyspace
            .map(Into::into)
            .or_else(|| requester.keyspace.clone());
        let statement = self
            .check_keyspace(prepare.keyspace)
            .and_then(|()| Statement::new(prepare.text, keyspace.as_deref(), self.catalog()));
        let statement = match statement {
            Ok(statement) => Arc::new(statement),
            Err(error) => return Err((reply, error)),
        };
        if let Err(error) = self.statements.check_size(&statement) {
            return Err((reply, error));
        }
        self.statements.put(statement.clone());
        let left = usize::from(self.config.shards) - 1;
        if left == 0 {
            send_prepared(&reply, &statement, out);
            self.finish_trace(&reply, now, out);
            return Ok(());
        }
        let deadline = now.boot.plus_millis(self.config.write_timeout_ms);
        let then = AfterGather::Prepared(statement.clone());
        let request = self.operations.insert(Operation::Gather(GatherOperation {
            reply,
            left,
            then,
            failed: None,
            deadline,
        }));
        for shard in self.other_shards() {
            let statement = statement.clone();
            self.tell(shard, ShardMessage::Prepared { request, statement }, out);
        }
        Ok(())
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
        requester: &Requester,
        frame: &RequestFrame,
        execute: &Execute<'_>,
        mut reply: Reply,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), (Reply, RequestError)> {
        self.metrics.prepared_executed += 1;
        let found = self.prepared_statement(execute.id);
        let statement = match found {
            Ok(statement) => statement,
            Err(error) => return Err((reply, error)),
        };
        if let Some(trace) = &mut reply.trace {
            trace.asked(&statement.text, &execute.parameters);
        }
        let context = requester.moment.context(0);
        let bound = Terms::new(&execute.parameters, now).and_then(|mut terms| {
            terms.known_metadata = execute.result_metadata_id.and_then(|id| id.try_into().ok());
            Ok((
                terms,
                BoundValues::new(
                    execute.parameters.values,
                    &statement.prepared.marker_names,
                    context,
                )?,
            ))
        });
        match bound {
            Ok((terms, values)) => {
                if let Some(trace) = &mut reply.trace {
                    trace.bound(&statement.prepared.variables, &values);
                }
                self.run(
                    requester, frame, &statement, &values, terms, reply, now, out,
                )
            }
            Err(error) => Err((reply, error)),
        }
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

    #[allow(clippy::too_many_arguments)]
    fn run(
        &mut self,
        requester: &Requester,
        frame: &RequestFrame,
        statement: &Arc<Statement>,
        values: &BoundValues<'_>,
        terms: Terms,
        reply: Reply,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), (Reply, RequestError)> {
        match &statement.prepared.plan {
            Plan::Select(_) => self.select(statement, values, terms, reply, now, out),
            Plan::Modify(_) => {
                self.modify(requester, frame, statement, values, terms, reply, now, out)
            }
            Plan::Batch(_) => {
                self.batch_statement(requester, frame, statement, values, terms, reply, now, out)
            }
            Plan::Other(other) => {
                // The request may have named a keyspace of its own, or the statement was prepared in another.
                let requester = &Requester {
                    keyspace: statement.keyspace.clone(),
                    ..requester.clone()
                };
                self.run_other(requester, frame, other, &terms, reply, now, out)
            }
        }
    }

    /// A statement that is neither a SELECT nor a modification.
    fn run_other(
        &mut self,
        requester: &Requester,
        frame: &RequestFrame,
        statement: &ast::Statement,
        terms: &Terms,
        mut reply: Reply,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), (Reply, RequestError)> {
        match statement {
            ast::Statement::Use(keyspace) => {
                if self.catalog().keyspace(keyspace).is_none() {
                    return Err((
                        reply,
                        RequestError::invalid(format!("Keyspace '{keyspace}' does not exist")),
                    ));
                }
                let keyspace: Arc<str> = keyspace.as_str().into();
                if let Origin::Client(id) = reply.origin
                    && let Some(client) = self.clients.get_mut(&id)
                {
                    client.keyspace = Some(keyspace.clone());
                }
                reply.keyspace = Some(keyspace.clone());
                reply.result(out, |buffer| put_set_keyspace(buffer, &keyspace));
                self.finish_trace(&reply, now, out);
                Ok(())
            }
            ast::Statement::Describe(describe) => {
                self.describe_statement(requester, describe, terms, reply, now, out)
            }
            other => self.administer(requester, frame, other, reply, now, out),
        }
    }

    /// Has another shard execute a whole request.
    pub(super) fn forward(
        &mut self,
        shard: u16,
        requester: &Requester,
        frame: &RequestFrame,
        reply: Reply,
        now: Now,
        out: &mut Effects,
    ) {
        self.metrics.forwarded += 1;
        let client = OnBehalf {
            version: reply.version,
            keyspace: requester.keyspace.clone(),
            user: requester.user.clone(),
            address: requester.address,
            moment: requester.moment,
        };
        let deadline = now.boot.plus_millis(self.config.truncate_timeout_ms);
        let request = self
            .operations
            .insert(Operation::Forwarded { reply, deadline });
        let message = ShardMessage::Forward {
            request,
            client,
            frame: frame.clone(),
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

/// Answers a PREPARE.
pub(super) fn send_prepared(reply: &Reply, statement: &Statement, out: &mut Effects) {
    let prepared = PreparedResult {
        id: statement.id,
        markers: &statement.markers,
        partition_key: &statement.prepared.partition_markers,
        result: &statement.result,
    };
    reply.send(Opcode::Result, out, |buffer| {
        put_prepared(buffer, reply.version, &prepared)
    });
}
