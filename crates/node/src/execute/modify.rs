//! INSERT, UPDATE and DELETE that need no read: mutations to their owners, an answer when they are durable.

use super::batchlog::{BatchWrite, Ended};
use super::call::{Call, Execution, Terms};
use super::coordinate::Endpoint;
use super::operation::Operation;
use crate::effects::Effects;
use crate::latency::Measure;
use crate::message::{ReplicaError, RequestId, ShardMessage};
use crate::replica::{Caller, Finished};
use crate::reply::Reply;
use crate::shard::Shard;
use crate::track::{Forwarded, Groups};
use cluster::coordinate::Access;
use cluster::coordinate::write::{Progress, WriteSet};
use cluster::topology::NodeId;
use cql::frame::response::put_void;
use cql::plan::modify::{ModifyPlan, Ties, WriteContext, oversized};
use model::error::{Consistency, RequestError, WriteType};
use model::limits::MAX_MUTATION_BYTES;
use model::mutation::{Mutation, MutationView};
use model::schema::TableId;
use model::time::{BootNanos, Now};
use model::track::MutationId;
use smallvec::SmallVec;
use storage::held::Members;

/// Mutations that are being made durable.
#[derive(Debug)]
pub struct WriteOperation {
    /// The answer owed; none for what the node writes for itself.
    reply: Option<Reply>,
    /// Counts what replicas answer against the consistency level.
    write: WriteSet,
    /// The table, and when a client began to wait.
    timed: Option<(TableId, BootNanos)>,
    /// What they have to do with the batch log.
    batch: Option<BatchWrite>,
    /// Who else waits: the operation or node it is done for.
    caller: Option<Caller>,
    /// What another replica may have to begin.
    forwarded: Option<Box<Forwarded>>,
    /// When the client is told to give up.
    pub deadline: BootNanos,
}

impl WriteOperation {
    /// A write that something else waits for than a client.
    pub(super) fn of(caller: Caller, write: WriteSet, deadline: BootNanos) -> Self {
        Self {
            reply: None,
            write,
            timed: None,
            batch: None,
            caller: Some(caller),
            forwarded: None,
            deadline,
        }
    }

    /// Whether another replica is to begin it.
    pub(super) fn is_due_again(&self, now: BootNanos) -> bool {
        let forwarded = self.forwarded.as_ref();
        forwarded.is_some_and(|forwarded| forwarded.again_at <= now)
    }
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
        let keyspace = plan.table.keyspace.as_str();
        self.check_level(Access::Write, terms.consistency, keyspace)?;
        let context = self.write_context(&terms, 1, now);
        let mutations = plan.mutations(values, &context)?;
        let write_type = if plan.is_counter() {
            WriteType::Counter
        } else if mutations.len() > 1 {
            WriteType::UnloggedBatch
        } else {
            WriteType::Simple
        };
        let tokens = mutations.iter().map(|mutation| mutation.key.token);
        let plans = tokens.map(|token| {
            let plan = self.admit(Access::Write, terms.consistency, keyspace, token)?;
            Ok(match write_type {
                WriteType::Counter => self.led(plan, token),
                _ => plan,
            })
        });
        let write = WriteSet::new(write_type, plans)?;
        self.write(&mutations, write, Some(call.take_reply()), now, out);
        Ok(())
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

    /// Sends mutations, each a part of the write, to their replicas; the reply goes out when as many as the level asks for
    /// have them durable.
    pub(super) fn write(
        &mut self,
        mutations: &[Mutation],
        write: WriteSet,
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
            (None, reply) => self.send_parts(parts, write, reply, None, now, out),
        }
    }

    /// The shards of a replica that own mutations, and their bytes.
    pub(super) fn encode_parts(&self, mutations: &[Mutation]) -> Vec<(u16, Vec<u8>)> {
        mutations
            .iter()
            .map(|mutation| (self.owner(mutation.key.token), mutation.encode()))
            .collect()
    }

    /// Sends encoded mutations to their replicas. `batch` says what they have to do with the batch log.
    pub(super) fn send_parts(
        &mut self,
        parts: Vec<(u16, Vec<u8>)>,
        write: WriteSet,
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
        let counts = write.write_type() == WriteType::Counter;
        let operation = WriteOperation {
            reply,
            write,
            timed: timed.map(|(table, _)| (table, now.boot)),
            batch,
            caller: None,
            forwarded: None,
            deadline: now.boot.plus_millis(if counts {
                self.config.counter_write_timeout_ms
            } else {
                self.config.write_timeout_ms
            }),
        };
        self.send_write(parts, operation, now, out);
    }

    /// Sends what a write sends; increments to those who lead them.
    pub(super) fn send_write(
        &mut self,
        mut parts: Vec<(u16, Vec<u8>)>,
        operation: WriteOperation,
        now: Now,
        out: &mut Effects,
    ) {
        let sends = operation.write.sends();
        let counts = operation.write.counts();
        let groups = match counts {
            Some(_) => Groups::default(),
            None => self.groups_of(&operation.write, &parts),
        };
        let epochs: SmallVec<[u64; 1]> = (0..parts.len())
            .map(|part| operation.write.epoch(part))
            .collect();
        let wait_ms = operation.deadline.since(now.boot) / 1_000_000;
        let number = self.operations.insert(Operation::Write(operation));
        let tracked = (groups, sends);
        let (sends, forwarded) =
            self.begin_tracked(tracked, &mut parts, (number, wait_ms), now, out);
        if let Some(Operation::Write(operation)) = self.operations.get_mut(number) {
            operation.forwarded = forwarded;
        }
        let local = self.topology.local;
        for send in sends.iter().filter(|send| send.replica != local) {
            let id = RequestId {
                operation: number,
                part: send.part as u32,
            };
            let (_, mutation) = &parts[send.part];
            let terms = self.terms(id, epochs[send.part], wait_ms);
            self.send_mutation(send.replica, &terms, (mutation, counts), out);
        }
        for send in sends.into_iter().filter(|send| send.replica == local) {
            // This node is one replica of a part at most, and takes it over.
            let part = std::mem::take(&mut parts[send.part]);
            let planned = (epochs[send.part], counts);
            self.send(send, part, planned, number, now, out);
        }
    }

    /// Sends what this node counted to the other replicas, with its id if it has one; it has it already.
    pub(super) fn send_counted(
        &mut self,
        (tracked, counted): &(Option<(MutationId, Members)>, Vec<u8>),
        operation: WriteOperation,
        now: Now,
        out: &mut Effects,
    ) {
        let sends = operation.write.sends();
        let wait_ms = operation.deadline.since(now.boot) / 1_000_000;
        let epoch = operation.write.epoch(0);
        let number = self.operations.insert(Operation::Write(operation));
        let request = RequestId::from(number);
        let terms = self.terms(request, epoch, wait_ms);
        let local = self.topology.local;
        for send in sends.iter().filter(|send| send.replica != local) {
            match tracked {
                Some((id, members)) => {
                    let counted = (*id, members, counted.as_slice());
                    self.send_append(send.replica, &terms, counted, out);
                }
                None => self.send_mutation(send.replica, &terms, (counted, None), out),
            }
        }
        self.write_applied(request, Ok(()), now, out);
    }

    /// Nothing has come of a write that another replica was to begin.
    pub(crate) fn write_again(&mut self, number: u64, now: Now, out: &mut Effects) {
        let Some(Operation::Write(operation)) = self.operations.get_mut(number) else {
            return;
        };
        let deadline = operation.deadline;
        if let Some(mut forwarded) = operation.forwarded.take() {
            self.forward_again(&mut forwarded, (number, deadline), now, out);
            if let Some(Operation::Write(operation)) = self.operations.get_mut(number) {
                operation.forwarded = Some(forwarded);
            }
        }
    }

    /// Sends one mutation to its owner, which tells `request` when it is durable.
    pub(super) fn send_part(
        &mut self,
        owner: u16,
        mutation: Vec<u8>,
        (epoch, counts): (u64, Option<Consistency>),
        request: RequestId,
        now: Now,
        out: &mut Effects,
    ) {
        if owner == self.number {
            let planned = (epoch, counts);
            return self.apply_planned(mutation, planned, Caller::Local(request), now, out);
        }
        let message = ShardMessage::Apply {
            request,
            mutation,
            counts,
            epoch,
        };
        self.tell(owner, message, out);
    }

    /// Applies what is left of a mutation that was planned at this epoch: what was meant for a table that was emptied since
    /// was written before that.
    pub(crate) fn apply_planned(
        &mut self,
        mutation: Vec<u8>,
        (epoch, counts): (u64, Option<Consistency>),
        caller: Caller,
        now: Now,
        out: &mut Effects,
    ) {
        if self.is_outdated(epoch) {
            return self.replica.refuse(caller, ReplicaError::Outdated);
        }
        if !self.topology.has_truncations_since(epoch) {
            return self.apply_here(mutation, counts, caller, now, out);
        }
        let topology = self.topology.clone();
        let kept = |table| !topology.is_truncated_since(table, epoch);
        match MutationView::retain(&mutation, kept) {
            Some(rest) => self.apply_here(rest, counts, caller, now, out),
            None => {
                self.metrics.truncated_writes += 1;
                self.replica.skip(caller);
            }
        }
    }

    /// Applies a mutation this shard owns; increments are counted first, and this node sees to it that their level is reached.
    pub(crate) fn apply_here(
        &mut self,
        mutation: Vec<u8>,
        counts: Option<Consistency>,
        caller: Caller,
        now: Now,
        out: &mut Effects,
    ) {
        self.metrics.replica_writes += 1;
        if let Caller::Peer(_) = caller {
            let at = now.boot.plus_millis(self.batch_grace_ms());
            self.batchlog.expect(&mutation, at);
        }
        match counts {
            Some(level) => self.count(mutation, level, caller, now, out),
            None => {
                self.replica.apply(&mutation, caller, now);
            }
        }
    }

    /// A mutation nobody waits for.
    pub(crate) fn write_unattended(&mut self, mutation: &Mutation, now: Now, out: &mut Effects) {
        let write = self.local_write(Consistency::One, WriteType::Simple);
        self.write(std::slice::from_ref(mutation), write, None, now, out);
    }

    /// One of a write's mutations is durable at this node, or was refused.
    pub(super) fn write_applied(
        &mut self,
        request: RequestId,
        result: Result<(), ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let replica = self.endpoint();
        self.write_answered(replica, request, result, now, out);
    }

    /// Another replica has one of a write's mutations durable, or has refused it.
    pub(crate) fn on_peer_wrote(
        &mut self,
        node: NodeId,
        request: RequestId,
        result: Result<(), ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        if let Some(replica) = self.endpoint_of(node) {
            self.write_answered(replica, request, result, now, out);
        }
    }

    pub(super) fn write_answered(
        &mut self,
        replica: Endpoint,
        request: RequestId,
        result: Result<(), ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Write(operation)) = self.operations.get_mut(request.operation) else {
            return;
        };
        if let Err(ReplicaError::Told(error)) = result {
            // It coordinated increments itself, and this is how that ended.
            if let Some(Operation::Write(operation)) = self.operations.remove(request.operation) {
                self.write_ended(operation, Err(*error), now, out);
            }
            return;
        }
        let Progress::Done(ended) = replica.wrote(&mut operation.write, request.part, result)
        else {
            return;
        };
        if let Some(Operation::Write(operation)) = self.operations.remove(request.operation) {
            self.write_ended(operation, ended, now, out);
        }
    }

    /// A replica went away: who needs it is told.
    pub(super) fn write_lost(&mut self, number: u64, node: NodeId, now: Now, out: &mut Effects) {
        let Some(Operation::Write(operation)) = self.operations.get_mut(number) else {
            return;
        };
        if let Progress::Done(ended) = operation.write.on_unavailable(node)
            && let Some(Operation::Write(operation)) = self.operations.remove(number)
        {
            self.write_ended(operation, ended, now, out);
        }
    }

    /// A node is no member any more, and is not waited for.
    pub(super) fn write_released(
        &mut self,
        number: u64,
        node: NodeId,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Write(operation)) = self.operations.get_mut(number) else {
            return;
        };
        if let Progress::Done(ended) = operation.write.on_released(node)
            && let Some(Operation::Write(operation)) = self.operations.remove(number)
        {
            self.write_ended(operation, ended, now, out);
        }
    }

    /// The level is reached, or cannot be any more.
    fn write_ended(
        &mut self,
        operation: WriteOperation,
        ended: Result<(), RequestError>,
        now: Now,
        out: &mut Effects,
    ) {
        if let Some(batch) = operation.batch {
            let state = if ended.is_ok() {
                Ended::Durable
            } else {
                Ended::Open
            };
            self.batch_write_ended(batch, state, now, out);
        }
        if let Some(caller) = operation.caller {
            let result = ended.map_err(|error| ReplicaError::Told(Box::new(error)));
            return self.deliver(Finished::Applied(caller, result), now, out);
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

    /// The deadline passed.
    pub(super) fn write_time_out(
        &mut self,
        operation: WriteOperation,
        now: Now,
        out: &mut Effects,
    ) {
        let error = operation.write.on_timeout();
        self.write_ended(operation, Err(error), now, out);
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
