//! Reads at SERIAL and LOCAL_SERIAL: in the partition's turn, so that a conditional write under way is waited for, and
//! answered when what they show is durable: a write that failed on a full disk can be read, but a crash may undo it. Where other nodes
//! have the partition, too, the majority of its replicas says what is decided (`decide`).

use super::decide::{Purpose, Question};
use super::operation::Operation;
use super::partition_queue::Partition;
use crate::effects::Effects;
use crate::message::ReplicaError;
use crate::replica::Caller;
use crate::shard::Shard;
use model::error::{Consistency, RequestError};
use model::read::{Partitions, ReadCommand, ReadResponse};
use model::time::{BootNanos, Now};

/// When a read may look at its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queueing {
    /// At once.
    AtOnce,
    /// When no conditional write is under way.
    InTurn,
    /// The same, at the majority of the partition's replicas by this serial level.
    Decided(Consistency),
}

/// A read that waits for its turn, or has it.
#[derive(Debug)]
pub struct SerialOperation {
    command: ReadCommand,
    partition: Partition,
    caller: Caller,
    turn: Queueing,
    /// Nobody waits for it after this.
    deadline: BootNanos,
    /// What was read, while it is made sure that it is durable.
    response: Option<ReadResponse>,
}

impl Shard {
    /// Reads a partition of this shard when it is the read's turn; the caller always hears.
    pub(crate) fn read_in_turn(
        &mut self,
        command: &ReadCommand,
        caller: Caller,
        (deadline, turn): (BootNanos, Queueing),
        now: Now,
        out: &mut Effects,
    ) {
        let Partitions::Key(key) = &command.partitions else {
            unreachable!("only reads of one partition take turns")
        };
        let partition = (command.table, key.clone());
        let operation = SerialOperation {
            command: command.clone(),
            partition: partition.clone(),
            caller,
            turn,
            deadline,
            response: None,
        };
        let operation = Operation::Serial(Box::new(operation));
        let number = self.operations.insert(operation);
        if self.partitions.acquire(partition, number).is_some() {
            self.serial_start(number, now, out);
        }
    }

    /// The partition is held: read it.
    pub(super) fn serial_start(&mut self, number: u64, now: Now, out: &mut Effects) {
        let Some(Operation::Serial(operation)) = self.operations.get_mut(number) else {
            return;
        };
        if let Queueing::Decided(level) = operation.turn {
            let begun = self.serial_decide(number, level, now, out);
            if let Err(error) = begun {
                let error = ReplicaError::Told(Box::new(error));
                self.serial_end(number, Err(error), now, out);
            }
            return;
        }
        let result = self.replica.read(
            &operation.command,
            Caller::Local(number.into()),
            now,
            &mut out.io,
        );
        if let Some(result) = result {
            self.serial_read(number, result, now, out);
        }
    }

    /// Has the replicas decide what is shown.
    fn serial_decide(
        &mut self,
        number: u64,
        level: Consistency,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), RequestError> {
        let Some(Operation::Serial(operation)) = self.operations.get_mut(number) else {
            return Ok(());
        };
        let (table, key) = operation.partition.clone();
        let table = self.schema.tables().find(|known| known.id == table);
        let table = table.cloned();
        let question = Question {
            table: table.ok_or_else(|| RequestError::invalid("the table is gone"))?,
            key,
            level,
            command: operation.command.clone(),
            deadline: operation.deadline,
        };
        self.begin_decision(number, Purpose::Read, question, now, out)
    }

    /// The rows are here.
    pub(crate) fn serial_read(
        &mut self,
        number: u64,
        result: Result<ReadResponse, ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Serial(operation)) = self.operations.get_mut(number) else {
            return;
        };
        match result {
            Err(error) => self.serial_end(number, Err(error), now, out),
            Ok(response) => {
                operation.response = Some(response);
                if let Queueing::Decided(_) = operation.turn {
                    return self.serial_end(number, Ok(()), now, out);
                }
                self.replica.confirm(Caller::Local(number.into()));
            }
        }
    }

    /// What was read is durable, or may not be: the next may have the partition.
    pub(crate) fn serial_end(
        &mut self,
        number: u64,
        confirmed: Result<(), ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Serial(operation)) = self.operations.remove(number) else {
            return;
        };
        let response = operation.response;
        let result = confirmed.map(|()| response.expect("read before it is confirmed"));
        self.release_partition(&operation.partition);
        match operation.caller {
            Caller::Local(request) => {
                self.on_read(request.operation, self.number, result, now, out)
            }
            Caller::Shard(shard, request) => self.send_rows(shard, request.operation, result, out),
            Caller::Peer(peer) => self.tell_peer_read(peer, result, out),
            Caller::Fence(_) | Caller::Owing(_) | Caller::Nobody => {
                unreachable!("they read nothing")
            }
        }
    }
}
