//! What reads a partition before it writes it: conditional statements, list elements by index or value. (Counters read
//! too, but at each replica: see `counter`.)
//!
//! Runs on the shard that owns the partition, one at a time per partition (`partition_queue`): read,
//! decide, write, answer. A conditional batch is one such operation with several parts. Changes of lists in several
//! partitions or tables at once are `scattered`. Where other nodes have the partition, too, conditions are decided on by the majority of its
//! replicas (`decide`); lists are read and written at the statement's level, and like in Cassandra what other coordinators write
//! between the two is not seen.

mod others;

use super::batch::{KeptValues, batch_plan, modify_plan};
use super::call::{Call, Execution, Terms};
use super::conditional::{Asked, Shape};
use super::modify::WriteOperation;
use super::operation::Operation;
use super::partition_queue::Partition;
use crate::budget::Held;
use crate::effects::Effects;
use crate::message::ReplicaError;
use crate::replica::Caller;
use crate::reply::Reply;
use crate::shard::Shard;
use crate::statement::Statement;
use cluster::coordinate::Access;
use cluster::coordinate::read::Read;
use cluster::coordinate::write::{Progress, WriteSet};
use cql::frame::response::put_void;
use cql::plan::modify::{CurrentRows, ModifyPlan, Ties, WriteContext};
use cql::plan::values::BoundValues;
use model::clustering::Slice;
use model::error::{RequestError, WriteType};
use model::key::DecoratedKey;
use model::limits::{MAX_PAGE_BYTES, MAX_READ_PARTITIONS};
use model::mutation::Mutation;
use model::read::{Limits, Partitions, ReadCommand, ReadResponse};
use model::schema::Table;
use model::time::{BootNanos, Now};
use others::Others;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One modification of the operation.
#[derive(Debug, Clone)]
pub struct Part {
    /// The statement.
    pub statement: Arc<Statement>,
    /// Which of its modifications, if it is a BATCH.
    pub member: Option<usize>,
    /// The values bound to it.
    pub values: KeptValues,
}

impl Part {
    pub(super) fn plan(&self) -> &ModifyPlan {
        match self.member {
            None => modify_plan(&self.statement),
            Some(member) => &batch_plan(&self.statement).statements[member],
        }
    }
}

/// An operation that reads, decides and writes.
#[derive(Debug)]
pub struct RmwOperation {
    reply: Option<Reply>,
    pub(super) parts: Vec<Part>,
    pub(super) shape: Shape,
    pub(super) terms: Terms,
    context: WriteContext<'static>,
    /// The read of its partition, and the write that may follow.
    read: Read,
    write: WriteSet,
    others: Others,
    /// The epoch of the metadata that these were planned with.
    epoch: u64,
    partition: Partition,
    pub(super) current: CurrentRows,
    /// What `current` holds of the shard's budget.
    held: Held,
    /// Whether something of it may be written already.
    written: bool,
    /// Whether its conditions do not hold.
    refused: bool,
    /// When the client is told to give up, unless that is left to what the operation waits for.
    pub deadline: BootNanos,
    /// When that gives up.
    ends_by: BootNanos,
}

impl RmwOperation {
    fn is_conditional(&self) -> bool {
        self.parts.iter().any(|part| part.plan().is_conditional())
    }

    /// The table of all parts.
    pub(super) fn table(&self) -> Arc<Table> {
        self.parts[0].plan().table.clone()
    }

    /// The partition's key.
    pub(super) fn key(&self) -> &DecoratedKey {
        &self.partition.1
    }
}

/// Modifications that are to be read for before they are written.
pub(super) struct Reading {
    pub(super) parts: Vec<Part>,
    pub(super) shape: Shape,
    /// What is written if there are no conditions.
    pub(super) write_type: WriteType,
    pub(super) terms: Terms,
}

impl Shard {
    pub(super) fn modify_reading(
        &mut self,
        call: &mut Call<'_>,
        execution: Execution<'_>,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), RequestError> {
        let part = Part {
            statement: execution.statement.clone(),
            member: None,
            values: execution.values.to_owned_values(),
        };
        let reading = Reading {
            parts: vec![part],
            shape: Shape::Statement,
            write_type: WriteType::Simple,
            terms: execution.terms,
        };
        self.parts_reading(call, reading, now, out)
    }

    /// Starts the operation here, or has the owner of its partition do it.
    pub(super) fn parts_reading(
        &mut self,
        call: &mut Call<'_>,
        reading: Reading,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), RequestError> {
        let (parts, terms) = (&reading.parts, &reading.terms);
        let conditional = parts.iter().any(|part| part.plan().is_conditional());
        let mut partitions = partitions_of(parts)?;
        if conditional {
            self.check_conditional(parts, &partitions, terms)?;
        } else {
            let keyspace = &parts[0].plan().table.keyspace;
            self.check_level(Access::Write, terms.consistency, keyspace)?;
            if partitions.len() > 1 {
                return self.scatter(call, reading, partitions, now, out);
            }
        }
        let Some(Touched { partition, .. }) = partitions.pop() else {
            return Err(RequestError::invalid("the statement names no partition"));
        };
        let planned = self.plan_reading(parts, conditional, terms, partition.1.token)?;
        let owner = self.owner(partition.1.token);
        if owner != self.number {
            self.forward(owner, call, now, out);
            return Ok(());
        }
        let timeout_ms = if conditional {
            self.config.cas_timeout_ms
        } else {
            self.config.write_timeout_ms
        };
        let operation = RmwOperation {
            reply: Some(call.take_reply()),
            context: self.write_context(terms, parts.len(), now),
            parts: reading.parts,
            shape: reading.shape,
            terms: reading.terms,
            read: planned.read,
            write: planned.write,
            others: planned.others,
            epoch: self.topology.epoch,
            partition: partition.clone(),
            current: CurrentRows::default(),
            held: Held::default(),
            written: false,
            refused: false,
            deadline: now.boot.plus_millis(timeout_ms),
            ends_by: now.boot.plus_millis(timeout_ms),
        };
        let number = self.operations.insert(Operation::Rmw(Box::new(operation)));
        if self.partitions.acquire(partition, number).is_some() {
            self.rmw_start(number, now, out);
        }
        Ok(())
    }

    /// The rules on conditional requests.
    fn check_conditional(
        &mut self,
        parts: &[Part],
        partitions: &[Touched],
        terms: &Terms,
    ) -> Result<(), RequestError> {
        let differ = |pair: &[Touched]| pair[0].partition.1 != pair[1].partition.1;
        if partitions.windows(2).any(differ) {
            return Err(RequestError::invalid(
                "Batch with conditions cannot span multiple partitions",
            ));
        }
        self.metrics.conditional_writes += 1;
        if !terms.serial_consistency.is_serial() {
            return Err(RequestError::invalid(
                "Invalid consistency level for conditional update. Must be one of SERIAL or LOCAL_SERIAL",
            ));
        }
        Asked::of(parts)?;
        let keyspace = &parts[0].plan().table.keyspace;
        self.check_level(Access::Conditional, terms.consistency, keyspace)
    }

    /// The partition is held: read it.
    fn rmw_start(&mut self, number: u64, now: Now, out: &mut Effects) {
        if let Err(error) = self.rmw_plan_again(number) {
            return self.rmw_end(number, Err(error), now, out);
        }
        let Some(Operation::Rmw(operation)) = self.operations.get_mut(number) else {
            return;
        };
        match operation.read_command() {
            Err(error) => self.rmw_end(number, Err(error), now, out),
            Ok(command) => {
                if let Some(reply) = &mut operation.reply {
                    reply.note(|| "Reading existing values".into());
                }
                if !matches!(operation.others, Others::None) {
                    return self.rmw_start_with_others(number, command, now, out);
                }
                if let Some(result) =
                    self.replica
                        .read(&command, Caller::Local(number.into()), now, &mut out.io)
                {
                    self.rmw_read(number, result, now, out);
                }
            }
        }
    }

    /// The rows are here: decide and write.
    pub(crate) fn rmw_read(
        &mut self,
        number: u64,
        result: Result<ReadResponse, ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let replica = self.endpoint();
        let Some(Operation::Rmw(operation)) = self.operations.get_mut(number) else {
            return;
        };
        if operation.reply.is_none() {
            // The client was told that it failed: nothing is written any more.
            return self.rmw_end(number, Ok(false), now, out);
        }
        if matches!(operation.others, Others::None) && operation.epoch != self.topology.epoch {
            let keyspace = operation.table().keyspace.clone();
            if !self.has_all_of(&keyspace) {
                // Others have the partition by now, and may be deciding about it.
                return self.rmw_start(number, now, out);
            }
        }
        let Some(Operation::Rmw(operation)) = self.operations.get_mut(number) else {
            return;
        };
        let read = replica.read(&mut operation.read, result);
        let held = &mut operation.held;
        let response = match read.and_then(|response| self.answers.hold_rows(held, response)) {
            Ok(response) => response,
            Err(error) => return self.rmw_end(number, Err(error), now, out),
        };
        operation.current = CurrentRows {
            responses: vec![(operation.partition.0, response)],
        };
        if operation.is_conditional() {
            // Like a ballot, taken in the partition's turn: what was read is older, whatever clients' clocks say.
            operation.context.timestamp_micros = self.clock.next(now);
        }
        match operation.decide() {
            Err(error) => self.rmw_end(number, Err(error), now, out),
            // The answer tells of a write that may have failed and been read all the same.
            Ok(Decision::Refused) => {
                operation.refused = true;
                self.replica.confirm(Caller::Local(number.into()));
            }
            Ok(Decision::Apply(None)) => self.replica.confirm(Caller::Local(number.into())),
            Ok(Decision::Apply(Some(mutation))) => {
                operation.written = true;
                if let Others::Replicas { write, .. } = &operation.others {
                    let write = WriteSet::new(WriteType::Simple, [Ok(write.clone())]);
                    let write = write.expect("a plan there is");
                    let caller = Caller::Local(number.into());
                    let write = WriteOperation::of(caller, write, operation.ends_by);
                    let token = operation.partition.1.token;
                    let parts = vec![(self.owner(token), mutation)];
                    return self.send_write(parts, write, now, out);
                }
                self.metrics.replica_writes += 1;
                self.replica
                    .apply(&mutation, Caller::Local(number.into()), now);
            }
        }
    }

    /// The partition's mutation, or what the answer tells of, is durable; or not.
    pub(crate) fn rmw_applied(
        &mut self,
        number: u64,
        result: Result<(), ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let replica = self.endpoint();
        let Some(Operation::Rmw(operation)) = self.operations.get_mut(number) else {
            return;
        };
        let applied = !operation.refused;
        if let Err(ReplicaError::Told(error)) = result {
            return self.rmw_end(number, Err(*error), now, out);
        }
        if let Progress::Done(ended) = replica.wrote(&mut operation.write, 0, result) {
            self.rmw_end(number, ended.map(|()| applied), now, out);
        }
    }

    /// Answers and gives the partition to whoever is next.
    fn rmw_end(
        &mut self,
        number: u64,
        result: Result<bool, RequestError>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Rmw(mut operation)) = self.operations.remove(number) else {
            return;
        };
        if let Some(reply) = operation.reply.take() {
            let answer = match result {
                Ok(applied) if operation.is_conditional() => operation.answer(applied, &reply, out),
                Ok(_) => {
                    reply.result(out, put_void);
                    Ok(())
                }
                Err(error) => Err(error),
            };
            match answer {
                Ok(()) => self.finish_trace(&reply, now, out),
                Err(error) => self.fail(&reply, &error, now, out),
            }
        }
        self.release_partition(&operation.partition);
    }

    /// Gives a partition to the next operation, which goes on when the present one has returned: thousands may wait.
    pub(super) fn release_partition(&mut self, partition: &Partition) {
        if let Some(next) = self.partitions.release(partition) {
            self.partitions_given.push_back((partition.clone(), next));
        }
    }

    /// An operation holds its partition now. Those that were given up while they waited pass it on.
    pub(crate) fn partition_held(
        &mut self,
        partition: &Partition,
        number: u64,
        now: Now,
        out: &mut Effects,
    ) {
        match self.operations.get_mut(number) {
            Some(Operation::Count(_)) => self.count_start(number, now, out),
            Some(Operation::Serial(_)) => self.serial_start(number, now, out),
            Some(Operation::Accept(_)) => self.accept_start(number, now, out),
            Some(Operation::Rmw(operation)) if operation.reply.is_none() && !operation.written => {
                self.operations.remove(number);
                self.release_partition(partition);
            }
            Some(_) => self.rmw_start(number, now, out),
            None => self.release_partition(partition),
        }
    }

    /// The deadline passed: the client is told, but a write under way keeps its partition until it ends.
    pub(super) fn rmw_time_out(&mut self, number: u64, now: Now, out: &mut Effects) {
        let Some(Operation::Rmw(operation)) = self.operations.get_mut(number) else {
            return;
        };
        operation.deadline = BootNanos(u64::MAX);
        let error = operation.write.on_timeout();
        // What only reads is ended at once, and gives the partition up when it hears so.
        let reading = !operation.written && !operation.refused;
        if let Some(reply) = operation.reply.take() {
            self.fail(&reply, &error, now, out);
        }
        if reading {
            self.cancel_read(number, self.number, out);
        }
    }
}

enum Decision {
    Refused,
    /// The encoded mutation; none if nothing changes.
    Apply(Option<Vec<u8>>),
}

impl RmwOperation {
    fn decide(&self) -> Result<Decision, RequestError> {
        let (table, key) = (self.table(), self.key());
        let asked = Asked::of(&self.parts)?;
        if !asked.holds(&table, key, &self.current, self.terms.now_seconds)? {
            return Ok(Decision::Refused);
        }
        let mut merged: Option<Mutation> = None;
        let ties = if self.is_conditional() {
            Ties::Written
        } else {
            Ties::Deleted
        };
        for (index, part) in self.parts.iter().enumerate() {
            let context = WriteContext {
                current: Some(&self.current),
                list_position: self.context.list_position + index as i64,
                ties,
                ..self.context
            };
            let values = BoundValues::from_owned(&part.values);
            for mutation in part.plan().mutations(&values, &context)? {
                match &mut merged {
                    None => merged = Some(mutation),
                    Some(all) => all.merge(mutation),
                }
            }
        }
        let Some(mutation) = merged else {
            return Ok(Decision::Apply(None));
        };
        Ok(Decision::Apply(Some(mutation.encode())))
    }

    /// One read that covers what all parts look at. Conditions on static columns alone show the partition's first row.
    fn read_command(&self) -> Result<ReadCommand, RequestError> {
        let reads = self
            .parts
            .iter()
            .any(|part| !part.plan().reads_before().is_empty());
        let mut slices = if self.is_conditional() {
            Asked::of(&self.parts)?.slices()
        } else {
            Vec::new()
        };
        let first_row = slices.is_empty() && self.is_conditional();
        if first_row {
            slices.push(Slice::all());
        } else {
            slices.extend(slices_of(&self.parts)?);
        }
        let mut command = read_rows(&self.partition, slices, self.terms.now_seconds);
        if first_row && !reads {
            command.limits.rows = 1;
        }
        Ok(command)
    }
}

/// A partition that parts of a statement or batch are about.
#[derive(Debug)]
pub(super) struct Touched {
    pub(super) partition: Partition,
    /// Which parts, by number.
    pub(super) parts: Vec<usize>,
}

/// The partitions that parts are about, none twice, in the order in which they are first named.
fn partitions_of(parts: &[Part]) -> Result<Vec<Touched>, RequestError> {
    let mut touched: Vec<Touched> = Vec::new();
    let mut places: BTreeMap<Partition, usize> = BTreeMap::new();
    for (number, part) in parts.iter().enumerate() {
        let plan = part.plan();
        let keys = plan.keys(&BoundValues::from_owned(&part.values))?;
        if plan.is_conditional() && keys.len() > 1 {
            return Err(RequestError::invalid(
                "IN on the partition key is not supported with conditional updates",
            ));
        }
        for key in keys {
            let partition = (plan.table.id, key);
            let place = *places.entry(partition.clone()).or_insert(touched.len());
            if place == touched.len() {
                touched.push(Touched {
                    partition,
                    parts: Vec::new(),
                });
            }
            touched[place].parts.push(number);
        }
    }
    if touched.len() > MAX_READ_PARTITIONS {
        return Err(RequestError::invalid(format!(
            "A statement or batch that reads before it writes may change at most {MAX_READ_PARTITIONS} partitions, not {}",
            touched.len()
        )));
    }
    Ok(touched)
}

/// The rows that parts change.
pub(super) fn slices_of<'p>(
    parts: impl IntoIterator<Item = &'p Part>,
) -> Result<Vec<Slice>, RequestError> {
    let mut slices = Vec::new();
    for part in parts {
        if !part.plan().is_static_only() {
            slices.extend(part.plan().slices(&BoundValues::from_owned(&part.values))?);
        }
    }
    Ok(slices)
}

/// A read of rows of a partition, in any order and overlapping as they may be, with its static row.
pub(super) fn read_rows(
    (table, key): &Partition,
    mut slices: Vec<Slice>,
    now_seconds: i64,
) -> ReadCommand {
    slices.sort();
    slices.dedup();
    let mut disjoint: Vec<Slice> = Vec::with_capacity(slices.len());
    for slice in slices {
        match disjoint.last_mut() {
            Some(last) if slice.start <= last.end => last.end = last.end.clone().max(slice.end),
            _ => disjoint.push(slice),
        }
    }
    ReadCommand {
        slices: disjoint,
        limits: Limits {
            bytes: MAX_PAGE_BYTES,
            ..Limits::NONE
        },
        ..ReadCommand::all(*table, Partitions::Key(key.clone()), now_seconds)
    }
}
