//! INSERT, UPDATE and DELETE that need no read: mutations to their owners, an answer when they are durable.

use super::batchlog::{BatchWrite, Ended};
use super::call::{Call, Execution, Terms};
use super::operation::Operation;
use crate::effects::Effects;
use crate::latency::Measure;
use crate::message::{ReplicaError, ShardMessage};
use crate::replica::Caller;
use crate::reply::Reply;
use crate::shard::Shard;
use cluster::coordinate::write::{Progress, Write};
use cluster::coordinate::{self, Access, ReplicaPlan};
use cql::frame::response::put_void;
use cql::plan::modify::{ModifyPlan, Ties, WriteContext, oversized};
use model::error::{Consistency, RequestError, WriteType};
use model::limits::MAX_MUTATION_BYTES;
use model::mutation::{Mutation, MutationView};
use model::schema::TableId;
use model::time::{BootNanos, Now};

/// Mutations that are being made durable.
#[derive(Debug)]
pub struct WriteOperation {
    /// The answer owed; none for what the node writes for itself.
    reply: Option<Reply>,
    /// Counts answers against the consistency level.
    write: Write,
    /// Mutations that were sent.
    parts: usize,
    /// The table, and when a client began to wait.
    timed: Option<(TableId, BootNanos)>,
    /// Mutations still to be acknowledged.
    left: usize,
    /// What they have to do with the batch log.
    batch: Option<BatchWrite>,
    /// When the client is told to give up.
    pub deadline: BootNanos,
}

impl Shard {
    pub(super) fn modify(
        &mut self,
        call: &mut Call<'_>,
        plan: &ModifyPlan,
        execution: Execution<'_>,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), RequestError> {
        if plan.is_conditional() || !plan.reads_before().is_empty() {
            return self.modify_reading(call, execution, now, out);
        }
        let Execution { values, terms, .. } = execution;
        if plan.is_counter() {
            self.metrics.counter_writes += 1;
            check_counter_level(plan, terms.consistency)?;
        } else {
            self.metrics.writes += 1;
        }
        call.reply()
            .note(|| "Determining replicas for mutation".into());
        let replicas = self.admit(Access::Write, terms.consistency, &plan.table.keyspace)?;
        let context = self.write_context(&terms, 1, now);
        let mutations = plan.mutations(values, &context)?;
        let write_type = if plan.is_counter() {
            WriteType::Counter
        } else if mutations.len() > 1 {
            WriteType::UnloggedBatch
        } else {
            WriteType::Simple
        };
        let reply = Some(call.take_reply());
        self.write(&mutations, replicas, write_type, reply, now, out);
        Ok(())
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
            ties: Ties::Deleted,
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
            (None, Some(reply)) if parts.is_empty() => self.succeed(&reply, now, out, put_void),
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
            return self.apply_here(mutation, counts, Caller::Local(request), now, out);
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
        caller: Caller,
        now: Now,
        out: &mut Effects,
    ) {
        self.metrics.replica_writes += 1;
        if counts {
            self.count(mutation, caller, now, out);
        } else {
            self.replica.apply(&mutation, caller, now);
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
                self.succeed(&reply, now, out, put_void);
            }
            Err(error) => self.fail(&reply, &error, now, out),
        }
    }
}

impl Shard {
    /// The deadline passed.
    pub(super) fn write_time_out(
        &mut self,
        operation: WriteOperation,
        now: Now,
        out: &mut Effects,
    ) {
        if let Some(batch) = operation.batch {
            self.batch_write_ended(batch, Ended::Open, now, out);
        }
        if let Some(reply) = operation.reply {
            self.fail(&reply, &operation.write.on_timeout(), now, out);
        }
    }
}

/// Counters know fewer levels than other writes.
fn check_counter_level(plan: &ModifyPlan, level: Consistency) -> Result<(), RequestError> {
    if level == Consistency::Any {
        return Err(RequestError::Invalid(format!(
            "Consistency level ANY is not yet supported for counter table {}",
            plan.table.name
        )));
    }
    if level.is_serial() {
        return Err(RequestError::invalid(
            "Counter operations are inherently non-serializable",
        ));
    }
    Ok(())
}
