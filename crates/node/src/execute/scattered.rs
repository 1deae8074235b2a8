//! Changes of list elements by index or value in several partitions or tables at once.
//!
//! The rows are read from their owners one after the other, then the changes go the way of every batch. No turn is taken
//! at the partitions: like in Cassandra, what others write between the read and the write is not seen. Elements keep
//! the place they were found by, so that nothing else is changed by that.

use super::call::{Call, Terms};
use super::operation::Operation;
use super::replicas::ReadTerms;
use super::rmw::{Part, Reading, Touched, read_rows, slices_of};
use crate::budget::Held;
use crate::effects::Effects;
use crate::message::ReplicaError;
use crate::reply::Reply;
use crate::shard::Shard;
use cluster::coordinate::ReplicaPlan;
use cluster::coordinate::read::Read;
use cql::plan::modify::{CurrentRows, WriteContext};
use cql::plan::values::BoundValues;
use model::error::{RequestError, WriteType};
use model::mutation::Mutation;
use model::read::{ReadCommand, ReadResponse};
use model::time::{BootNanos, Now};
use std::collections::BTreeMap;

/// A batch that is reading what it changes.
#[derive(Debug)]
pub struct ScatteredOperation {
    reply: Reply,
    parts: Vec<Part>,
    terms: Terms,
    write_type: WriteType,
    /// Partitions still to be read, each with its read and who else has it; the last is at hand.
    partitions: Vec<(Touched, Read, Option<ReplicaPlan>)>,
    current: CurrentRows,
    /// What `current` holds of the shard's budget.
    held: Held,
    /// When the client is told to give up.
    deadline: BootNanos,
}

impl ScatteredOperation {
    /// When the client is told to give up; by the read over replicas that it waits for, if there is one.
    pub fn deadline(&self) -> BootNanos {
        match self.partitions.last() {
            Some((_, _, Some(_))) => BootNanos(u64::MAX),
            _ => self.deadline,
        }
    }

    /// The read of the partition at hand: the rows changed in it.
    fn read_command(&self) -> Result<Option<ReadCommand>, RequestError> {
        let Some((touched, ..)) = self.partitions.last() else {
            return Ok(None);
        };
        let slices = slices_of(touched.parts.iter().map(|number| &self.parts[*number]))?;
        let read = read_rows(&touched.partition, slices, self.terms.now_seconds);
        Ok(Some(read))
    }

    /// What is written, one mutation a partition key and keyspace, and the keyspace of each.
    fn mutations(
        &self,
        context: &WriteContext<'_>,
    ) -> Result<(Vec<&str>, Vec<Mutation>), RequestError> {
        let mut merged: BTreeMap<(&str, model::key::DecoratedKey), Mutation> = BTreeMap::new();
        for (index, part) in self.parts.iter().enumerate() {
            let plan = part.plan();
            let context = WriteContext {
                current: Some(&self.current),
                list_position: context.list_position + index as i64,
                ..*context
            };
            let values = BoundValues::from_owned(&part.values);
            for mutation in plan.mutations(&values, &context)? {
                let place = (plan.table.keyspace.as_str(), mutation.key.clone());
                match merged.get_mut(&place) {
                    Some(all) => all.merge(mutation),
                    None => drop(merged.insert(place, mutation)),
                }
            }
        }
        let merged = merged.into_iter();
        Ok(merged
            .map(|((keyspace, _), mutation)| (keyspace, mutation))
            .unzip())
    }
}

impl Shard {
    /// Reads the partitions, then writes them.
    pub(super) fn scatter(
        &mut self,
        call: &mut Call<'_>,
        reading: Reading,
        mut partitions: Vec<Touched>,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), RequestError> {
        partitions.reverse();
        let planned: Result<Vec<_>, RequestError> = partitions
            .into_iter()
            .map(|touched| {
                let keyspace = &reading.parts[touched.parts[0]].plan().table.keyspace;
                let token = touched.partition.1.token;
                let level = reading.terms.consistency;
                let (read, replicas) = self.plan_reading_of(keyspace, level, token)?;
                Ok((touched, read, replicas))
            })
            .collect();
        let partitions = planned?;
        let operation = ScatteredOperation {
            reply: call.take_reply(),
            parts: reading.parts,
            terms: reading.terms,
            write_type: reading.write_type,
            partitions,
            current: CurrentRows::default(),
            held: Held::default(),
            deadline: now.boot.plus_millis(self.config.write_timeout_ms),
        };
        let number = self
            .operations
            .insert(Operation::Scattered(Box::new(operation)));
        self.scattered_next(number, now, out);
        Ok(())
    }

    /// Reads the next partition, or writes when all are read.
    fn scattered_next(&mut self, number: u64, now: Now, out: &mut Effects) {
        loop {
            let Some(Operation::Scattered(operation)) = self.operations.get_mut(number) else {
                return;
            };
            let command = match operation.read_command() {
                Ok(Some(command)) => command,
                Ok(None) => return self.scattered_write(number, now, out),
                Err(error) => return self.scattered_fail(number, &error, now, out),
            };
            let deadline = operation.deadline;
            let (touched, _, replicas) = operation.partitions.last().expect("one is at hand");
            let token = touched.partition.1.token;
            if let Some(plan) = replicas.clone() {
                let terms = ReadTerms {
                    ballot: None,
                    table: operation.parts[touched.parts[0]].plan().table.clone(),
                    level: operation.terms.consistency,
                    max_staleness_ms: None,
                    deadline,
                };
                return self.read_replicas(number, (plan, terms), command, now, out);
            }
            match self.read_at_owner(number, token, command, deadline, now, out) {
                None => return,
                Some(result) => {
                    if !self.scattered_take(number, result, now, out) {
                        return;
                    }
                }
            }
        }
    }

    /// A partition was read.
    pub(crate) fn scattered_read(
        &mut self,
        number: u64,
        result: Result<ReadResponse, ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        if self.scattered_take(number, result, now, out) {
            self.scattered_next(number, now, out);
        }
    }

    /// Keeps what was read; whether the operation goes on.
    fn scattered_take(
        &mut self,
        number: u64,
        result: Result<ReadResponse, ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) -> bool {
        let replica = self.endpoint();
        let Some(Operation::Scattered(operation)) = self.operations.get_mut(number) else {
            return false;
        };
        let (touched, mut read, _) = operation.partitions.pop().expect("one was read");
        let response = replica.read(&mut read, result);
        match response.and_then(|response| self.answers.hold_rows(&mut operation.held, response)) {
            Ok(response) => {
                let (table, _) = touched.partition;
                operation.current.responses.push((table, response));
                true
            }
            Err(error) => {
                self.scattered_fail(number, &error, now, out);
                false
            }
        }
    }

    fn scattered_write(&mut self, number: u64, now: Now, out: &mut Effects) {
        let Some(Operation::Scattered(operation)) = self.operations.remove(number) else {
            return;
        };
        let context = self.write_context(&operation.terms, operation.parts.len(), now);
        let (write_type, level) = (operation.write_type, operation.terms.consistency);
        let planned = operation
            .mutations(&context)
            .and_then(|(keyspaces, mutations)| {
                let write = self.plan_batch(write_type, level, &keyspaces, &mutations)?;
                Ok((mutations, write))
            });
        let reply = operation.reply;
        match planned {
            Err(error) => self.fail(&reply, &error, now, out),
            Ok((mutations, write)) if write_type == WriteType::Batch => {
                self.write_logged(&mutations, write, level, reply, now, out);
            }
            Ok((mutations, write)) => self.write(&mutations, write, Some(reply), now, out),
        }
    }

    fn scattered_fail(&mut self, number: u64, error: &RequestError, now: Now, out: &mut Effects) {
        if let Some(Operation::Scattered(operation)) = self.operations.remove(number) {
            self.fail(&operation.reply, error, now, out);
        }
    }

    /// The deadline passed before everything was read: nothing is written.
    pub(super) fn scattered_time_out(
        &mut self,
        number: u64,
        operation: &ScatteredOperation,
        now: Now,
        out: &mut Effects,
    ) {
        // Whoever waits reads.
        let Some((touched, read, _)) = operation.partitions.last() else {
            return;
        };
        self.cancel_read(number, self.owner(touched.partition.1.token), out);
        self.fail(&operation.reply, &read.on_timeout(), now, out);
    }
}
