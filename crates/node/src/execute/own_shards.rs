//! A read of a range by this node as one of its replicas: every shard has a part of it.
//!
//! Answers carry tombstones, to be merged with those of other nodes; of the shards of one node each partition has one owner, so
//! theirs are put side by side in token order. A shard that stopped at its limit has said nothing of what comes after its last partition:
//! the node's answer ends there, too.

use super::operation::Operation;
use super::serial::Queueing;
use crate::budget::{Held, SMALL_ANSWER_BYTES, TOO_MANY_ANSWERS};
use crate::effects::Effects;
use crate::message::{ReplicaError, ShardMessage};
use crate::replica::{Caller, Finished};
use crate::shard::Shard;
use model::clustering::Slice;
use model::key::Token;
use model::read::{Partitions, ReadCommand, ReadEntry, ReadResponse};
use model::row::Row;
use model::time::{BootNanos, Now};
use std::collections::VecDeque;

/// A range being read by all shards.
#[derive(Debug)]
pub struct ShardsRead {
    /// Who is told.
    caller: Caller,
    command: ReadCommand,
    /// By shard.
    answers: Vec<Option<ReadResponse>>,
    /// What they hold of the budget.
    held: Held,
    awaited: usize,
    /// Nobody waits for it after this.
    pub deadline: BootNanos,
}

impl Shard {
    /// Has this node read, as one of the replicas, for an operation of this shard. What is not known at once comes as any read of its.
    pub(crate) fn read_own(
        &mut self,
        number: u64,
        command: ReadCommand,
        deadline: BootNanos,
        now: Now,
        out: &mut Effects,
    ) -> Option<Result<ReadResponse, ReplicaError>> {
        let token = match &command.partitions {
            Partitions::Key(key) => key.token,
            Partitions::Range(_) => {
                let caller = Caller::Local(number.into());
                self.read_own_shards(command, caller, deadline, now, out);
                return None;
            }
        };
        self.read_at_owner(number, token, command, deadline, now, out)
    }

    /// Has the shard that owns a token read for an operation of this one. What is not known at once comes as any read of its.
    pub(super) fn read_at_owner(
        &mut self,
        number: u64,
        token: Token,
        command: ReadCommand,
        deadline: BootNanos,
        now: Now,
        out: &mut Effects,
    ) -> Option<Result<ReadResponse, ReplicaError>> {
        let owner = self.owner(token);
        if owner != self.number {
            let message = ShardMessage::Read {
                request: number,
                command: Box::new(command),
                deadline,
                turn: Queueing::AtOnce,
            };
            self.tell(owner, message, out);
            return None;
        }
        self.metrics.replica_reads += 1;
        let caller = Caller::Local(number.into());
        self.replica.read(&command, caller, now, &mut out.io)
    }

    /// Reads a range of this node; the caller hears.
    pub(crate) fn read_own_shards(
        &mut self,
        command: ReadCommand,
        caller: Caller,
        deadline: BootNanos,
        now: Now,
        out: &mut Effects,
    ) {
        self.metrics.replica_reads += 1;
        let shards = usize::from(self.config.shards);
        if shards == 1 {
            if let Some(result) = self.replica.read(&command, caller, now, &mut out.io) {
                self.deliver(Finished::Read(caller, result), now, out);
            }
            return;
        }
        let operation = ShardsRead {
            caller,
            command: command.clone(),
            answers: vec![None; shards],
            held: Held::default(),
            awaited: shards,
            deadline,
        };
        let number = self
            .operations
            .insert(Operation::Shards(Box::new(operation)));
        for shard in self.other_shards() {
            let message = ShardMessage::Read {
                request: number,
                command: Box::new(command.clone()),
                deadline,
                turn: Queueing::AtOnce,
            };
            self.tell(shard, message, out);
        }
        let own = Caller::Local(number.into());
        if let Some(result) = self.replica.read(&command, own, now, &mut out.io) {
            self.own_shard_read(number, self.number, result, now, out);
        }
    }

    /// A shard has read its part, or could not.
    pub(super) fn own_shard_read(
        &mut self,
        number: u64,
        from: u16,
        result: Result<ReadResponse, ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Shards(operation)) = self.operations.get_mut(number) else {
            return;
        };
        let result = result.and_then(|response| {
            let bytes = response.bytes.len();
            if bytes > SMALL_ANSWER_BYTES && !self.answers.hold(&mut operation.held, bytes) {
                return Err(ReplicaError::Overloaded(TOO_MANY_ANSWERS.to_owned()));
            }
            operation.answers[usize::from(from)] = Some(response);
            operation.awaited -= 1;
            Ok(())
        });
        if result.is_ok() && operation.awaited > 0 {
            return;
        }
        let Some(Operation::Shards(mut operation)) = self.operations.remove(number) else {
            unreachable!("just found")
        };
        let whole = match result {
            Ok(()) => {
                let answers: Vec<ReadResponse> = operation.answers.drain(..).flatten().collect();
                Ok(side_by_side(&answers, &operation.command))
            }
            Err(error) => {
                self.cancel_own_shards(number, &operation, out);
                Err(error)
            }
        };
        self.deliver(Finished::Read(operation.caller, whole), now, out);
    }

    /// Nobody waits any more.
    pub(super) fn cancel_own_shards(
        &mut self,
        number: u64,
        operation: &ShardsRead,
        out: &mut Effects,
    ) {
        for (shard, answer) in (0..self.config.shards).zip(&operation.answers) {
            if answer.is_none() {
                self.cancel_read(number, shard, out);
            }
        }
    }
}

/// A partition of an answer.
struct Block<'a> {
    place: (Token, &'a [u8]),
    entries: Vec<ReadEntry<'a>>,
    /// Rows of it that were counted.
    rows: u64,
}

/// The partitions of a shard's answer.
fn blocks<'a>(answer: &'a ReadResponse, command: &ReadCommand) -> VecDeque<Block<'a>> {
    let live = |row: &[u8]| Row::parse(row).is_some_and(|row| row.is_live(command.now_seconds));
    let mut blocks: VecDeque<Block<'a>> = VecDeque::new();
    for entry in answer.entries() {
        if let ReadEntry::Partition { token, key, .. } = entry {
            let place = (token, key);
            blocks.push_back(Block {
                place,
                entries: Vec::new(),
                rows: 0,
            });
        }
        if let Some(block) = blocks.back_mut() {
            if let ReadEntry::Row { row, .. } = entry {
                block.rows += u64::from(live(row));
            }
            block.entries.push(entry);
        }
    }
    // What the shard counted beside rows are partitions that have a static row alone.
    let mut rest = answer.rows
        - blocks
            .iter()
            .map(|block| block.rows)
            .sum::<u64>()
            .min(answer.rows);
    for block in blocks.iter_mut().filter(|block| block.rows == 0) {
        let counts = block
            .entries
            .iter()
            .any(|entry| matches!(entry, ReadEntry::Static(row) if live(row)));
        let counted = u64::from(counts && rest > 0);
        block.rows += counted;
        rest -= counted;
    }
    blocks
}

/// Shards' answers as one.
fn side_by_side(answers: &[ReadResponse], command: &ReadCommand) -> ReadResponse {
    let mut whole = ReadResponse {
        tombstones: answers.iter().map(|answer| answer.tombstones).sum(),
        ..ReadResponse::default()
    };
    let mut sources: Vec<(VecDeque<Block<'_>>, bool)> = answers
        .iter()
        .map(|answer| (blocks(answer, command), answer.more))
        .collect();
    loop {
        if sources
            .iter()
            .any(|(blocks, more)| blocks.is_empty() && *more)
        {
            whole.more = true;
            return whole;
        }
        let next = sources
            .iter_mut()
            .filter(|(blocks, _)| !blocks.is_empty())
            .min_by_key(|(blocks, _)| blocks[0].place);
        let Some(block) = next.and_then(|(blocks, _)| blocks.pop_front()) else {
            return whole;
        };
        put_block(&mut whole, &block);
    }
}

fn put_block(whole: &mut ReadResponse, block: &Block<'_>) {
    whole.rows += block.rows;
    for entry in &block.entries {
        match entry {
            ReadEntry::Partition {
                token,
                key,
                deletion,
            } => whole.put_partition(*token, key, *deletion),
            ReadEntry::Static(row) => whole.put_static(row),
            ReadEntry::Row { clustering, row } => whole.put_row(clustering, row),
            ReadEntry::Range {
                start,
                end,
                deletion,
            } => {
                let slice = Slice {
                    start: start.to_vec(),
                    end: end.to_vec(),
                };
                whole.put_range(&slice, *deletion);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use model::read::{Dead, KeyRange, Partitions};
    use model::row::{Deletion, Liveness, NEVER, RowWriter};
    use model::schema::TableId;

    fn command() -> ReadCommand {
        let all = Partitions::Range(KeyRange::all());
        ReadCommand {
            dead: Dead::Kept,
            ..ReadCommand::all(TableId(uuid::Uuid::nil()), all, 100)
        }
    }

    fn live() -> Vec<u8> {
        let mut row = Vec::new();
        RowWriter::new(&mut row).liveness(Liveness {
            timestamp: 1,
            ttl: 0,
            expires: NEVER,
        });
        row
    }

    /// Partitions with a deletion, a deleted range and one live row each.
    fn answer(tokens: &[i64], more: bool) -> ReadResponse {
        let mut answer = ReadResponse {
            more,
            ..ReadResponse::default()
        };
        let deletion = Deletion {
            timestamp: 0,
            local_seconds: 0,
        };
        for token in tokens {
            answer.put_partition(Token(*token), &token.to_be_bytes(), deletion);
            let slice = Slice {
                start: b"a".to_vec(),
                end: b"b".to_vec(),
            };
            answer.put_range(&slice, deletion);
            answer.put_row(b"c", &live());
            answer.rows += 1;
        }
        answer
    }

    #[test]
    fn partitions_stand_in_token_order_with_all_they_have() {
        let answers = [answer(&[1, 4], false), answer(&[2], false)];
        assert_eq!(
            side_by_side(&answers, &command()),
            answer(&[1, 2, 4], false)
        );
    }

    #[test]
    fn nothing_is_taken_beyond_where_a_shard_stopped() {
        let answers = [answer(&[1, 3], true), answer(&[2, 4], false)];
        assert_eq!(side_by_side(&answers, &command()), answer(&[1, 2, 3], true));
    }

    #[test]
    fn a_static_row_alone_is_counted_where_the_shard_counted_it() {
        let mut counted = ReadResponse::default();
        counted.put_partition(Token(1), b"k", Deletion::NONE);
        counted.put_static(&live());
        counted.rows = 1;
        let whole = side_by_side(&[counted.clone(), answer(&[2], false)], &command());
        assert_eq!(whole.rows, 2);
        counted.rows = 0;
        let whole = side_by_side(&[counted, answer(&[2], false)], &command());
        assert_eq!(whole.rows, 1);
    }
}
