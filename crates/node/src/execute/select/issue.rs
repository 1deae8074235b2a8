//! The reads of a SELECT on their way: to the shard of this node that owns a partition, to all shards for a range, or to the replicas,
//! where other nodes have what is read; and what comes back.

use super::ranges::merge_ranges;
use super::{Others, SelectOperation};
use crate::budget::{Held, SMALL_ANSWER_BYTES, TOO_MANY_ANSWERS};
use crate::effects::Effects;
use crate::execute::operation::Operation;
use crate::execute::replicas::ReadTerms;
use crate::execute::serial::Queueing;
use crate::message::{ReplicaError, ShardMessage};
use crate::replica::Caller;
use crate::shard::Shard;
use model::error::RequestError;
use model::key::Token;
use model::read::{Partitions, ReadCommand, ReadResponse};
use model::schema::TableKind;
use model::time::Now;

impl Shard {
    /// Sends a read to whoever owns the data. Gives the operation back with the answer if it is there at once.
    pub(super) fn issue(
        &mut self,
        mut operation: Box<SelectOperation>,
        command: Box<ReadCommand>,
        now: Now,
        out: &mut Effects,
    ) -> Option<(Box<SelectOperation>, ReadResponse)> {
        operation.asked_rows = command.limits.rows;
        let token = match &command.partitions {
            Partitions::Key(key) => Some(key.token),
            Partitions::Range(_) => None,
        };
        if operation.read.is_over() {
            let (plan, level) = (operation.plan(), operation.terms.consistency);
            let first = token.unwrap_or(Token::MIN);
            match self.plan_read(plan, &operation.bound, level, first) {
                Ok((read, replicas)) => (operation.read, operation.replicas) = (read, replicas),
                Err(error) => {
                    self.fail(&operation.reply, &error, now, out);
                    return None;
                }
            }
        }
        if operation.plan().table.kind == TableKind::Virtual {
            let table = operation.plan().table.clone();
            let response = self.read_virtual(&table, &command, now);
            return Some((operation, response));
        }
        let in_turn = operation.terms.consistency.is_serial();
        if let Some(others) = operation.replicas.clone()
            && !(in_turn && token.is_some())
        {
            self.issue_to_replicas(operation, others, *command, now, out);
            return None;
        }
        match token {
            Some(token) => self.issue_to(self.owner(token), operation, command, now, out),
            None => self.issue_to_all(operation, &command, now, out),
        }
    }

    /// A read of one partition. The operation gets its place only if it has to wait.
    fn issue_to(
        &mut self,
        owner: u16,
        mut operation: Box<SelectOperation>,
        command: Box<ReadCommand>,
        now: Now,
        out: &mut Effects,
    ) -> Option<(Box<SelectOperation>, ReadResponse)> {
        operation
            .reply
            .note(|| format!("Reading from shard {owner}"));
        operation.awaited = 1;
        operation.asked_shard = Some(owner);
        let level = operation.terms.consistency;
        let turn = match operation.replicas {
            _ if !level.is_serial() => Queueing::AtOnce,
            Some(_) => Queueing::Decided(level),
            None => Queueing::InTurn,
        };
        let number = self.operations.insert(Operation::Reserved);
        if owner != self.number {
            let deadline = operation.deadline;
            let message = ShardMessage::Read {
                request: number,
                command,
                deadline,
                turn,
            };
            self.tell(owner, message, out);
            self.operations
                .replace(number, Operation::Select(operation));
            return None;
        }
        self.metrics.replica_reads += 1;
        if turn != Queueing::AtOnce {
            let terms = (operation.deadline, turn);
            self.operations
                .replace(number, Operation::Select(operation));
            self.read_in_turn(&command, Caller::Local(number.into()), terms, now, out);
            return None;
        }
        match self
            .replica
            .read(&command, Caller::Local(number.into()), now, &mut out.io)
        {
            Some(Ok(response)) => {
                self.operations.remove(number);
                Some((operation, response))
            }
            Some(Err(error)) => {
                self.operations.remove(number);
                self.fail_read(operation, error, now, out);
                None
            }
            None => {
                self.operations
                    .replace(number, Operation::Select(operation));
                None
            }
        }
    }

    /// A read of what other nodes have, too.
    fn issue_to_replicas(
        &mut self,
        mut operation: Box<SelectOperation>,
        others: Others,
        command: ReadCommand,
        now: Now,
        out: &mut Effects,
    ) {
        operation.reply.note(|| "Reading from replicas".to_owned());
        operation.awaited = 1;
        operation.asked_shard = Some(self.number);
        let terms = ReadTerms {
            ballot: None,
            table: operation.plan().table.clone(),
            level: operation.terms.consistency,
            max_staleness_ms: operation.terms.max_staleness_ms,
            deadline: operation.deadline,
        };
        let number = self.operations.insert(Operation::Select(operation));
        match others {
            Others::Partition(plan) => {
                self.read_replicas(number, (plan, terms), command, now, out);
            }
            Others::Range => self.read_range(number, terms, command, now, out),
        }
    }

    /// A read of a range: every shard has a part of it.
    fn issue_to_all(
        &mut self,
        mut operation: Box<SelectOperation>,
        command: &ReadCommand,
        now: Now,
        out: &mut Effects,
    ) -> Option<(Box<SelectOperation>, ReadResponse)> {
        let shards = self.config.shards;
        operation
            .reply
            .note(|| format!("Reading from {shards} shard(s)"));
        operation.awaited = usize::from(shards);
        operation.asked_shard = None;
        operation.answers = (0..shards).map(|_| None).collect();
        let deadline = operation.deadline;
        let number = self.operations.insert(Operation::Select(operation));
        for shard in self.other_shards() {
            let command = Box::new(command.clone());
            let message = ShardMessage::Read {
                request: number,
                command,
                deadline,
                turn: Queueing::AtOnce,
            };
            self.tell(shard, message, out);
        }
        self.metrics.replica_reads += 1;
        let result = self
            .replica
            .read(command, Caller::Local(number.into()), now, &mut out.io)?;
        self.collect(number, self.number, result, now, out)
    }

    /// One shard answered.
    pub(crate) fn select_read(
        &mut self,
        number: u64,
        from: u16,
        result: Result<ReadResponse, ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        if let Some((operation, response)) = self.collect(number, from, result, now, out) {
            self.drive_select(operation, Some(response), now, out);
        }
    }

    /// Keeps one shard's answer; when it was the last, takes the operation out with what they answered together.
    fn collect(
        &mut self,
        number: u64,
        from: u16,
        result: Result<ReadResponse, ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) -> Option<(Box<SelectOperation>, ReadResponse)> {
        let Some(Operation::Select(operation)) = self.operations.get_mut(number) else {
            return None;
        };
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                if let Some(Operation::Select(operation)) = self.operations.remove(number) {
                    self.cancel_reads(number, &operation, out);
                    self.fail_read(operation, error, now, out);
                }
                return None;
            }
        };
        let bytes = response.bytes.len();
        if operation.awaited > 1
            && bytes > SMALL_ANSWER_BYTES
            && !self.answers.hold(&mut operation.answers_held, bytes)
        {
            if let Some(Operation::Select(operation)) = self.operations.remove(number) {
                self.cancel_reads(number, &operation, out);
                self.fail(
                    &operation.reply,
                    &RequestError::Overloaded(TOO_MANY_ANSWERS.to_owned()),
                    now,
                    out,
                );
            }
            return None;
        }
        operation.awaited -= 1;
        let whole = if operation.answers.is_empty() {
            response
        } else {
            operation.answers[usize::from(from)] = Some(response);
            if operation.awaited > 0 {
                return None;
            }
            operation.answers_held = Held::default();
            let mut answers: Vec<ReadResponse> = operation.answers.drain(..).flatten().collect();
            if answers.len() == 1 {
                answers.remove(0)
            } else {
                merge_ranges(answers, operation.asked_rows)
            }
        };
        match self.operations.remove(number) {
            Some(Operation::Select(operation)) => Some((operation, whole)),
            _ => unreachable!("just found"),
        }
    }
}
