//! What is in flight, and what each kind of operation does with what comes for it: this file says which function of
//! which file goes on.
//!
//! An operation lives in the shard's slab until it is answered or its deadline passes; what comes for it later finds
//! nothing under its number and is dropped.

use super::acceptor::AcceptOperation;
use super::admin::AdminOperation;
use super::batchlog::{LogOperation, ReplayOperation};
use super::counter::CountOperation;
use super::decide::Decision;
use super::gather::GatherOperation;
use super::modify::WriteOperation;
use super::own_shards::ShardsRead;
use super::replicas::ReplicaRead;
use super::rmw::RmwOperation;
use super::scattered::ScatteredOperation;
use super::schema::apply::AgreementOperation;
use super::schema::{ChangeOperation, WaitingDemand};
use super::select::SelectOperation;
use super::serial::SerialOperation;
use super::work::WorkOperation;
use crate::effects::Effects;
use crate::message::{ReplicaError, RequestId};
use crate::repair::RepairOperation;
use crate::reply::Reply;
use crate::shard::Shard;
use crate::stream::StreamOperation;
use model::error::RequestError;
use model::read::ReadResponse;
use model::time::{BootNanos, Now};

/// An operation that waits for something.
#[derive(Debug)]
pub enum Operation {
    /// A place kept for one that may be done before it needs it.
    Reserved,
    /// Mutations on their way to their replicas.
    Write(WriteOperation),
    /// A logged batch being written down.
    Log(Box<LogOperation>),
    /// Logged batches being applied again.
    Replay(Box<ReplayOperation>),
    /// A read of one partition from several replicas.
    Replicas(Box<ReplicaRead>),
    /// A range that all shards of this node read for one that asked.
    Shards(Box<ShardsRead>),
    /// A SELECT.
    Select(Box<SelectOperation>),
    /// A decision about a partition by the majority of its replicas.
    Decision(Box<Decision>),
    /// This shard's part in somebody's decision.
    Accept(Box<AcceptOperation>),
    /// Something that reads a partition before it writes it.
    Rmw(Box<RmwOperation>),
    /// A batch that reads several partitions before it writes them.
    Scattered(Box<ScatteredOperation>),
    /// Increments being counted.
    Count(Box<CountOperation>),
    /// A read that waits for its turn.
    Serial(Box<SerialOperation>),
    /// A request another shard executes.
    Forwarded {
        /// The answer owed.
        reply: Reply,
        /// When the client is told to give up.
        deadline: BootNanos,
    },
    /// Acknowledgements of other shards.
    Gather(GatherOperation),
    /// A change of the schema that waits for the one before it.
    Demand(WaitingDemand),
    /// A change of the schema being made durable.
    Change(ChangeOperation),
    /// A change that is in force here, and soon on the other members.
    Agreement(Box<AgreementOperation>),
    /// What an operator asked for.
    Admin(AdminOperation),
    /// Slow work.
    Work(WorkOperation),
    /// A chunk of data that moves to another replica.
    Stream(StreamOperation),
    /// Something of a repair.
    Repair(RepairOperation),
}

impl Operation {
    /// When the client is told to give up.
    pub fn deadline(&self) -> BootNanos {
        match self {
            Self::Write(operation) => operation.deadline,
            Self::Replicas(operation) => operation.deadline(),
            Self::Shards(operation) => operation.deadline,
            Self::Decision(operation) => operation.deadline(),
            Self::Select(operation) => operation.deadline(),
            Self::Rmw(operation) => operation.deadline,
            Self::Demand(operation) => operation.deadline,
            Self::Change(operation) => operation.deadline,
            Self::Agreement(operation) => operation.deadline,
            Self::Scattered(operation) => operation.deadline(),
            Self::Gather(operation) => operation.deadline,
            Self::Work(operation) => operation.deadline,
            Self::Repair(operation) => operation.deadline(),
            Self::Forwarded { deadline, .. } => *deadline,
            // Its coordinator has the deadline, or nobody; it always ends.
            Self::Log(_)
            | Self::Count(_)
            | Self::Accept(_)
            | Self::Serial(_)
            | Self::Replay(_)
            | Self::Reserved
            | Self::Stream(_)
            | Self::Admin(_) => BootNanos(u64::MAX),
        }
    }
}

impl Operation {
    /// Whether somebody else is to be asked for what has not come of it.
    pub fn is_due_again(&self, now: BootNanos) -> bool {
        matches!(self, Self::Write(operation) if operation.is_due_again(now))
    }
}

impl Shard {
    /// A mutation is durable, or was refused.
    pub(crate) fn on_applied(
        &mut self,
        request: RequestId,
        result: Result<(), ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let number = request.operation;
        match self.operations.get_mut(number) {
            Some(Operation::Write(_)) => self.write_applied(request, result, now, out),
            Some(Operation::Log(_)) => self.batch_logged(number, result, now, out),
            Some(Operation::Replay(_)) => self.replay_applied(number, result, now, out),
            Some(Operation::Replicas(_)) => self.replicas_repaired(number, result, now, out),
            Some(Operation::Rmw(_)) => self.rmw_applied(number, result, now, out),
            Some(Operation::Count(_)) => self.count_applied(number, result, now, out),
            Some(Operation::Accept(_)) => self.accept_applied(number, result, now, out),
            Some(Operation::Serial(_)) => self.serial_end(number, result, now, out),
            Some(Operation::Stream(_)) => self.chunk_applied(number, result, now, out),
            Some(_) | None => {}
        }
    }

    /// A shard has read, or could not.
    pub(crate) fn on_read(
        &mut self,
        number: u64,
        from: u16,
        result: Result<ReadResponse, ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        match self.operations.get_mut(number) {
            Some(Operation::Replicas(_)) => self.local_replica_read(number, result, now, out),
            Some(Operation::Shards(_)) => self.own_shard_read(number, from, result, now, out),
            Some(Operation::Select(_)) => self.select_read(number, from, result, now, out),
            Some(Operation::Replay(_)) => self.replay_read(number, result, now, out),
            Some(Operation::Rmw(_)) => self.rmw_read(number, result, now, out),
            Some(Operation::Scattered(_)) => self.scattered_read(number, result, now, out),
            Some(Operation::Count(_)) => self.count_read(number, result, now, out),
            Some(Operation::Accept(_)) => self.accept_read(number, result, now, out),
            Some(Operation::Decision(_)) => self.decision_read(number, result, now, out),
            Some(Operation::Serial(_)) => self.serial_read(number, result, now, out),
            Some(Operation::Stream(_)) => self.chunk_read(number, result, out),
            Some(Operation::Repair(_)) => self.repair_read(number, result, now, out),
            Some(_) | None => {}
        }
    }

    /// A shard did what it was asked.
    pub(crate) fn on_acknowledged(
        &mut self,
        number: u64,
        result: Result<(), ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        match self.operations.get_mut(number) {
            Some(Operation::Gather(_)) => self.gather_acknowledged(number, result, now, out),
            Some(Operation::Admin(_)) => self.admin_acknowledged(number, result, out),
            Some(Operation::Stream(_)) => self.chunk_acknowledged(number, result, now, out),
            Some(Operation::Repair(_)) => self.part_mended(number, result, now, out),
            Some(_) | None => {}
        }
    }

    /// An operation's deadline passed: the client is told, and what may still happen is left to end.
    pub(crate) fn time_out(&mut self, number: u64, now: Now, out: &mut Effects) {
        if let Some(Operation::Rmw(_)) = self.operations.get_mut(number) {
            return self.rmw_time_out(number, now, out);
        }
        let Some(operation) = self.operations.remove(number) else {
            return;
        };
        match operation {
            Operation::Write(operation) => self.write_time_out(operation, now, out),
            Operation::Replicas(operation) => self.replica_read_time_out(operation, number),
            Operation::Shards(operation) => self.cancel_own_shards(number, &operation, out),
            Operation::Decision(operation) => self.decision_time_out(number, *operation, now, out),
            Operation::Select(operation) => self.select_time_out(number, &operation, now, out),
            Operation::Scattered(operation) => {
                self.scattered_time_out(number, &operation, now, out);
            }
            Operation::Forwarded { reply, .. } => self.fail(&reply, &not_answered(), now, out),
            Operation::Work(operation) => self.work_time_out(&operation, now, out),
            Operation::Gather(gather) => self.gather_time_out(&gather, now, out),
            Operation::Demand(waiting) => self.demand_time_out(&waiting, now, out),
            Operation::Agreement(operation) => self.agreement_time_out(*operation, now, out),
            Operation::Change(operation) => self.change_time_out(&operation, now, out),
            Operation::Repair(operation) => self.repair_time_out(operation, now, out),
            Operation::Rmw(_)
            | Operation::Log(_)
            | Operation::Count(_)
            | Operation::Accept(_)
            | Operation::Serial(_)
            | Operation::Replay(_)
            | Operation::Reserved
            | Operation::Stream(_)
            | Operation::Admin(_) => unreachable!("has no deadline, or keeps its place"),
        }
    }
}

/// What a client is told whose request somebody else did not answer in time.
pub(super) fn not_answered() -> RequestError {
    RequestError::Server("The request was not answered in time".into())
}
