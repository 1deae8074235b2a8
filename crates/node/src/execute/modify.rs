//! INSERT, UPDATE and DELETE that need no read: mutations to their owners, an answer when they are durable.

use super::batchlog::{BatchWrite, Ended};
use super::operation::{Operation, WriteOperation};
use super::request::{Requester, Terms};
use crate::effects::Effects;
use crate::latency::Measure;
use crate::message::{ReplicaError, ShardMessage};
use crate::replica::Waiter;
use crate::reply::Reply;
use crate::shard::Shard;
use crate::statement::Statement;
use cluster::coordinate::write::{Progress, Write};
use cluster::coordinate::{self, Access, ReplicaPlan};
use cql::frame::RequestFrame;
use cql::frame::response::put_void;
use cql::plan::Plan;
use cql::plan::modify::{ModifyPlan, WriteContext, oversized};
use cql::plan::values::BoundValues;
use model::error::{Consistency, RequestError, WriteType};
use model::limits::MAX_MUTATION_BYTES;
use model::mutation::{Mutation, MutationView};
use model::time::Now;
use std::sync::Arc;

impl Shard {
    pub(super) fn modify(
        &mut self,
        requester: &Requester,
        frame: &RequestFrame,
        statement: &Arc<Statement>,
        values: &BoundValues<'_>,
        terms: Terms,
        mut reply: Reply,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), (Reply, RequestError)> {
        let Plan::Modify(plan) = &statement.prepared.plan else {
            unreachable!("dispatched by plan")
        };
        if let Err(error) = permit_write(plan) {
            return Err((reply, error));
        }
        if plan.is_conditional() || !plan.reads_before().is_empty() {
            return self
                .modify_reading(requester, frame, statement, values, terms, reply, now, out);
        }
        let write_type = if plan.is_counter() {
            WriteType::Counter
        } else {
            WriteType::Simple
        };
        if plan.is_counter() {
            self.metrics.counter_writes += 1;
        } else {
            self.metrics.writes += 1;
        }
        if plan.is_counter() && terms.consistency == Consistency::Any {
            let message = format!(
                "Consistency level ANY is not yet supported for counter table {}",
                plan.table.name
            );
            return Err((reply, RequestError::Invalid(message)));
        }
        if plan.is_counter() && terms.consistency.is_serial() {
            let message = "Counter operations are inherently non-serializable";
            return Err((reply, RequestError::invalid(message)));
        }
        reply.note(|| "Determining replicas for mutation".into());
        let replicas = match self.admit(Access::Write, terms.consistency, &plan.table.keyspace) {
            Ok(replicas) => replicas,
            Err(error) => return Err((reply, error)),
        };
        let context = self.write_context(&terms, 1, now);
        match plan.mutations(values, &context) {
            Ok(mutations) => {
                let write_type = match write_type {
                    WriteType::Simple if mutations.len() > 1 => WriteType::UnloggedBatch,
                    other => other,
                };
                self.write(&mutations, replicas, write_type, Some(reply), now, out);
                Ok(())
            }
            Err(error) => Err((reply, error)),
        }
    }

    /// Checks a level and finds who replicates a keyspace.
    pub(super) fn admit(
        &self,
        access: Access,
        consistency: Consistency,
        keyspace: &str,
    ) -> Result<ReplicaPlan, RequestError> {
        let Some(keyspace) = self.schema.keyspace(keyspace) else {
            // Virtual keyspaces are this node's own.
            return Ok(ReplicaPlan {
                consistency,
                block_for: 1,
                replicas: vec![self.topology.local],
            });
        };
        coordinate::admit(access, consistency, &keyspace.replication, &self.topology)
    }

    /// Whether a keyspace can be accessed so at a level.
    pub(super) fn check_level(
        &self,
        access: Access,
        consistency: Consistency,
        keyspace: &str,
    ) -> Result<(), RequestError> {
        self.schema.keyspace(keyspace).map_or(Ok(()), |keyspace| {
            coordinate::check_level(access, consistency, &keyspace.replication)
        })
    }

    /// What an execution of so many statements takes from this shard.
    pub(super) fn write_context(
        &mut self,
        terms: &Terms,
        statements: usize,
        now: Now,
    ) -> WriteContext<'static> {
        let list_position = self.list_position.max(now.wall.0);
        self.list_position = list_position + statements as i64;
        WriteContext {
            timestamp_micros: terms.timestamp.unwrap_or_else(|| self.clock.next(now)),
            now_seconds: terms.now_seconds,
            list_position,
            origin: self.list_origin,
            current: None,
        }
    }

    /// Sends mutations to the shards that own them; the reply goes out when as many as the plan asks for are durable.
    pub(super) fn write(
        &mut self,
        mutations: &[Mutation],
        plan: ReplicaPlan,
        write_type: WriteType,
        reply: Option<Reply>,
        now: Now,
        out: &mut Effects,
    ) {
        let parts = self.encode_parts(mutations);
        let too_large = parts
            .iter()
            .map(|(_, bytes)| bytes.len())
            .find(|length| *length > MAX_MUTATION_BYTES);
        match (too_large, reply) {
            (Some(length), Some(reply)) => self.fail(&reply, &oversized(length), now, out),
            (Some(_), None) => {}
            (None, Some(reply)) if parts.is_empty() => {
                reply.result(out, put_void);
                self.finish_trace(&reply, now, out);
            }
            (None, reply) => self.send_parts(parts, plan, write_type, reply, None, now, out),
        }
    }

    /// Owners and bytes of mutations.
    pub(super) fn encode_parts(&self, mutations: &[Mutation]) -> Vec<(u16, Vec<u8>)> {
        mutations
            .iter()
            .map(|mutation| (self.owner(mutation.key.token), mutation.encode()))
            .collect()
    }

    /// Sends encoded mutations to their owners. `batch` says what they have to do with the batch log.
    pub(super) fn send_parts(
        &mut self,
        parts: Vec<(u16, Vec<u8>)>,
        plan: ReplicaPlan,
        write_type: WriteType,
        mut reply: Option<Reply>,
        batch: Option<BatchWrite>,
        now: Now,
        out: &mut Effects,
    ) {
        if let Some(reply) = &mut reply {
            reply.note(|| format!("Appending {} mutation(s) to the commit log", parts.len()));
        }
        let view = parts.first().filter(|_| reply.is_some());
        let view = view.and_then(|(_, mutation)| MutationView::parse(mutation));
        let timed = view.and_then(|view| view.updates().next());
        let operation = WriteOperation {
            reply,
            write: Write::new(plan, write_type),
            parts: parts.len(),
            timed: timed.map(|(table, _)| (table, now.boot)),
            left: parts.len(),
            batch,
            deadline: now.boot.plus_millis(match write_type {
                WriteType::Counter => self.config.counter_write_timeout_ms,
                _ => self.config.write_timeout_ms,
            }),
        };
        let counts = write_type == WriteType::Counter;
        let request = self.operations.insert(Operation::Write(operation));
        for (owner, mutation) in parts {
            self.send_part(owner, mutation, counts, request, now, out);
        }
    }

    /// Sends one mutation to its owner, which tells `request` when it is durable.
    pub(super) fn send_part(
        &mut self,
        owner: u16,
        mutation: Vec<u8>,
        counts: bool,
        request: u64,
        now: Now,
        out: &mut Effects,
    ) {
        if owner == self.number {
            return self.apply_here(mutation, counts, Waiter::Local(request), now, out);
        }
        let message = ShardMessage::Apply {
            request,
            mutation,
            counts,
        };
        self.tell(owner, message, out);
    }

    /// Applies a mutation this shard owns; one of increments is counted first.
    pub(crate) fn apply_here(
        &mut self,
        mutation: Vec<u8>,
        counts: bool,
        waiter: Waiter,
        now: Now,
        out: &mut Effects,
    ) {
        self.metrics.replica_writes += 1;
        if counts {
            self.count(mutation, waiter, now, out);
        } else {
            self.replica.apply(&mutation, waiter, now);
        }
    }

    /// The plan of what a node writes for itself.
    pub(super) fn local_plan(&self) -> ReplicaPlan {
        ReplicaPlan {
            consistency: Consistency::One,
            block_for: 1,
            replicas: vec![self.topology.local],
        }
    }

    /// A mutation nobody waits for.
    pub(crate) fn write_unattended(&mut self, mutation: &Mutation, now: Now, out: &mut Effects) {
        let plan = self.local_plan();
        self.write(
            std::slice::from_ref(mutation),
            plan,
            WriteType::Simple,
            None,
            now,
            out,
        );
    }

    /// One of a write's mutations is durable or was refused.
    pub(crate) fn write_applied(
        &mut self,
        number: u64,
        result: Result<(), ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Write(operation)) = self.operations.get_mut(number) else {
            return;
        };
        let node = self.config.client_address.ip();
        // Refused as a whole; otherwise the rest of it is open, and drivers send again what they are told was refused.
        let whole = operation.parts == 1 && operation.batch.is_none();
        let ended = match result {
            Ok(()) => {
                operation.left -= 1;
                if operation.left > 0 {
                    return;
                }
                match operation.write.on_ack() {
                    Progress::Pending => return,
                    Progress::Done(result) => result,
                }
            }
            Err(ReplicaError::Overloaded(text)) if whole => Err(RequestError::Overloaded(text)),
            Err(ReplicaError::Invalid(text)) if whole => Err(RequestError::Invalid(text)),
            Err(error) => {
                let (reason, detail) = match error {
                    ReplicaError::Failed(reason, detail) => (reason, detail),
                    ReplicaError::Overloaded(detail) | ReplicaError::Invalid(detail) => (0, detail),
                };
                match operation
                    .write
                    .on_failure(node, reason, format!(": {detail}"))
                {
                    Progress::Pending => return,
                    Progress::Done(result) => result,
                }
            }
        };
        let Some(Operation::Write(operation)) = self.operations.remove(number) else {
            unreachable!("just found")
        };
        if let Some(batch) = operation.batch {
            let state = if ended.is_ok() {
                Ended::Durable
            } else {
                Ended::Open
            };
            self.batch_write_ended(batch, state, now, out);
        }
        let Some(mut reply) = operation.reply else {
            return;
        };
        reply.note(|| "Mutation is durable".into());
        match ended {
            Ok(()) => {
                if let Some((table, began)) = operation.timed {
                    let latencies = &mut self.replica.latencies;
                    latencies.took(table, Measure::CoordinatorWrite, began, now.boot);
                }
                reply.result(out, put_void);
                self.finish_trace(&reply, now, out);
            }
            Err(error) => self.fail(&reply, &error, now, out),
        }
    }
}

/// Schema and roles are changed by their own statements alone.
fn permit_write(plan: &ModifyPlan) -> Result<(), RequestError> {
    let keyspace = plan.table.keyspace.as_str();
    if matches!(keyspace, "system_schema" | "system_auth") {
        return Err(RequestError::Unauthorized(format!(
            "{keyspace} keyspace is not user-modifiable"
        )));
    }
    Ok(())
}
