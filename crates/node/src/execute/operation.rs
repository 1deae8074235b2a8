//! What is in flight.

use super::batchlog::BatchWrite;
use super::rmw::RmwOperation;
use super::select::SelectOperation;
use crate::reply::Reply;
use cluster::coordinate::write::Write;
use model::schema::TableId;
use model::time::BootNanos;

/// An operation that waits for something.
#[derive(Debug)]
pub enum Operation {
    /// A place kept for one that may be done before it needs it.
    Reserved,
    /// Mutations on their way to their replicas.
    Write(WriteOperation),
    /// A logged batch being written down.
    Log(Box<super::batchlog::LogOperation>),
    /// Logged batches being applied again.
    Replay(Box<super::batchlog::ReplayOperation>),
    /// A SELECT.
    Select(Box<SelectOperation>),
    /// Something that reads a partition before it writes it.
    Rmw(Box<RmwOperation>),
    /// A batch that reads several partitions before it writes them.
    Scattered(Box<super::scattered::ScatteredOperation>),
    /// Increments being counted.
    Count(Box<super::counter::CountOperation>),
    /// A read that waits for its turn.
    Serial(Box<super::serial::SerialOperation>),
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
    Schema(Box<super::schema::WaitingDemand>),
    /// What an operator asked for.
    Admin(super::admin::AdminOperation),
    /// Slow work.
    Work {
        /// The answer owed.
        reply: Reply,
        /// What to do with the result.
        then: super::schema::AfterWork,
        /// When the client is told to give up.
        deadline: BootNanos,
    },
}

/// Mutations that are being made durable.
#[derive(Debug)]
pub struct WriteOperation {
    /// The answer owed; none for what the node writes for itself.
    pub reply: Option<Reply>,
    /// Counts answers against the consistency level.
    pub write: Write,
    /// Mutations that were sent.
    pub parts: usize,
    /// The table, and when a client began to wait.
    pub timed: Option<(TableId, BootNanos)>,
    /// Mutations still to be acknowledged.
    pub left: usize,
    /// What they have to do with the batch log.
    pub batch: Option<BatchWrite>,
    /// When the client is told to give up.
    pub deadline: BootNanos,
}

/// Waits for other shards to acknowledge.
#[derive(Debug)]
pub struct GatherOperation {
    /// The answer owed.
    pub reply: Reply,
    /// Shards that have not answered.
    pub left: usize,
    /// What is said when they all have.
    pub then: AfterGather,
    /// The first failure.
    pub failed: Option<crate::message::ReplicaError>,
    /// When the client is told to give up.
    pub deadline: BootNanos,
}

/// What is said when all shards have acknowledged.
#[derive(Debug)]
pub enum AfterGather {
    /// PREPARE: the statement can be executed everywhere.
    Prepared(std::sync::Arc<crate::statement::Statement>),
    /// The schema is in force everywhere.
    Schema(super::schema::SchemaAnswer),
    /// TRUNCATE is done.
    Truncated,
    /// What each shard has is in its snapshots.
    Linked(Box<super::farewell::Leaving>),
    /// The snapshots are whole.
    Kept(Box<super::farewell::Leaving>),
}

impl Operation {
    /// When the client is told to give up.
    pub fn deadline(&self) -> BootNanos {
        match self {
            Self::Write(operation) => operation.deadline,
            Self::Log(operation) => operation.deadline,
            Self::Select(operation) => operation.deadline,
            Self::Rmw(operation) => operation.deadline,
            Self::Schema(operation) => operation.deadline,
            Self::Scattered(operation) => operation.deadline,
            Self::Gather(operation) => operation.deadline,
            // Its coordinator has the deadline, or nobody; it always ends.
            Self::Count(_)
            | Self::Serial(_)
            | Self::Replay(_)
            | Self::Reserved
            | Self::Admin(_) => BootNanos(u64::MAX),
            Self::Forwarded { deadline, .. } | Self::Work { deadline, .. } => *deadline,
        }
    }
}
