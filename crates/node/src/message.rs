//! Messages between the shards of a node.

use crate::budget::Held;
use crate::execute::serial::Queueing;
use crate::membership::Outlook;
use crate::peers::PeerWork;
use crate::peers::message::Answer;
use crate::repair::RepairMail;
use crate::statement::Statement;
use crate::stream::{Kept, StreamMail};
use crate::system::NodeFacts;
use crate::track::{Origination, TrackNote};
use bytes::Bytes;
pub use cluster::coordinate::ReplicaError;
use cluster::topology::{NodeId, Topology};
use cql::frame::response::Event;
use cql::frame::{ProtocolVersion, RequestFrame};
use cql::functions::CallContext;
use model::error::Consistency;
use model::read::{ReadCommand, ReadResponse};
use model::schema::{Schema, TableId};
use model::time::BootNanos;
use std::sync::Arc;

/// Which operation of the shard that asks, and which part of it; the answer carries the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId {
    /// The number of the operation.
    pub operation: u64,
    /// Which part of a write; nought for all else.
    pub part: u32,
}

impl From<u64> for RequestId {
    fn from(operation: u64) -> Self {
        Self { operation, part: 0 }
    }
}

/// The protocol's reason code of a read that met more tombstones than it may.
pub const READ_TOO_MANY_TOMBSTONES: u16 = 1;

/// Who a forwarded request is executed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnBehalf {
    /// Version the client speaks.
    pub version: ProtocolVersion,
    /// Keyspace in use.
    pub keyspace: Option<Arc<str>>,
    /// Who is logged in.
    pub user: Option<Arc<str>>,
    /// The client's address.
    pub address: std::net::SocketAddr,
    /// Time and seed of the statement's functions: evaluated again, they give the same key.
    pub moment: Moment,
}

/// What the functions of a request's statements are evaluated with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Wall clock, microseconds.
    pub now_micros: i64,
    /// Seed of random values.
    pub seed: u64,
}

impl Moment {
    /// Time and entropy for one statement of the request.
    pub fn context(&self, statement: usize) -> CallContext {
        CallContext::new(self.now_micros, self.seed.wrapping_add(statement as u64))
    }
}

impl ShardMessage {
    /// Whether it answers a message of its receiver.
    pub fn is_answer(&self) -> bool {
        matches!(
            self,
            Self::Applied { .. }
                | Self::ReadDone { .. }
                | Self::Forwarded { .. }
                | Self::Acknowledged { .. }
        )
    }
}

/// A table that is emptied of everything written up to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emptied {
    /// Which.
    pub table: TableId,
    /// Now, in microseconds.
    pub at: i64,
    /// The epoch of the metadata that says so; 0 if it is this node's own table.
    pub epoch: u64,
}

/// One message. Those of clients' work are answered, each by one message.
#[derive(Debug)]
pub enum ShardMessage {
    /// Apply a mutation; answered by `Applied`.
    Apply {
        /// Answer under this number.
        request: RequestId,
        /// Encoded mutation.
        mutation: Vec<u8>,
        /// The level that its increments are to reach, if they are to be counted here.
        counts: Option<Consistency>,
        /// The epoch of the metadata it was planned with.
        epoch: u64,
    },
    /// What is known of the other members.
    Outlook(Arc<Outlook>),
    /// Begin a mutation whose token the receiver owns; answered by `Applied`.
    Originate(Box<Origination>),
    /// Of tracked mutations.
    Track(TrackNote),
    /// Another node's request, for the shard that owns what it is about; that shard answers the node.
    PeerWork(Box<PeerWork>),
    /// Another node's answer to a write of the receiver's.
    PeerWrote {
        /// Which node.
        node: NodeId,
        /// Which of the receiver's requests.
        id: RequestId,
        /// How it ended.
        result: Result<(), ReplicaError>,
    },
    /// What another node's acceptor says to a decision of the receiver's.
    PeerDecided {
        /// Which node.
        node: NodeId,
        /// Which of the receiver's requests.
        id: RequestId,
        /// How it ended.
        result: Result<cluster::paxos::Answer, ReplicaError>,
    },
    /// Another node's answer to a read of the receiver's.
    PeerAnswered {
        /// Which node.
        node: NodeId,
        /// Which of the receiver's requests.
        id: RequestId,
        /// How it ended.
        result: Result<Answer, ReplicaError>,
    },
    /// The mutation is durable, or was refused.
    Applied {
        /// Number of the request.
        request: RequestId,
        /// How it ended.
        result: Result<(), ReplicaError>,
    },
    /// Nobody wants the answer of that read any more; it comes all the same, and may be an error.
    Cancel {
        /// Number of the read.
        request: u64,
    },
    /// Read; answered by `ReadDone`.
    Read {
        /// Answer under this number.
        request: u64,
        /// What.
        command: Box<ReadCommand>,
        /// Drop it after this.
        deadline: BootNanos,
        /// When it may look.
        turn: Queueing,
    },
    /// What was read.
    ReadDone {
        /// Number of the request.
        request: u64,
        /// The rows.
        result: Result<ReadResponse, ReplicaError>,
        /// What they hold of their sender's budget, until they are taken over.
        held: Held,
    },
    /// Execute a client's whole request here: conditional statements at the owner of their partition, schema on shard 0.
    Forward {
        /// Answer under this number.
        request: u64,
        /// For whom.
        client: OnBehalf,
        /// The request.
        frame: RequestFrame,
    },
    /// The answer, a plain envelope for the client.
    Forwarded {
        /// Number of the request.
        request: u64,
        /// The envelope.
        envelope: Bytes,
        /// The keyspace the client uses from now on, after USE.
        keyspace: Option<Arc<str>>,
    },
    /// A new schema; answered by `Acknowledged` once it is in force here.
    Schema {
        /// Answer under this number.
        request: u64,
        /// The schema.
        schema: Arc<Schema>,
        /// The members, and who of them replicates what by it.
        topology: Arc<Topology>,
        /// What registered clients are told.
        events: Arc<[Event]>,
    },
    /// A statement was prepared; answered by `Acknowledged` once it can be executed here.
    Prepared {
        /// Answer under this number.
        request: u64,
        /// The statement.
        statement: Arc<Statement>,
    },
    /// Empty a table; answered by `Acknowledged`.
    Truncate {
        /// Answer under this number.
        request: u64,
        /// Which.
        emptied: Emptied,
    },
    /// Another node says something of data that moves, to this shard.
    Stream(Box<StreamMail>),
    /// Another node says something of a repair, to shard 0.
    Repair(Box<RepairMail>),
    /// What the receiver owns of what others sent; answered by `Acknowledged` once it is applied.
    Take {
        /// Answer under this number.
        request: u64,
        /// Encoded mutations.
        mutations: Vec<Vec<u8>>,
        /// What makes them durable.
        kept: Kept,
    },
    /// Make durable what is in a table's memory; answered by `Acknowledged` once it is.
    Flush {
        /// Answer under this number.
        request: u64,
        /// Which.
        table: TableId,
    },
    /// The node is no member of its cluster any more.
    Left,
    /// A table's data is about to go; answered by `Acknowledged` once what is to be kept is.
    Farewell {
        /// Answer under this number.
        request: u64,
        /// What is to be kept of which.
        farewell: storage::Farewell,
    },
    /// Done.
    Acknowledged {
        /// Number of the request.
        request: u64,
        /// How it ended.
        result: Result<(), ReplicaError>,
    },
    /// Shard 0 knows the schema and the data to open: recover.
    Start(Box<crate::startup::StartOrder>),
    /// The sender has recovered.
    Started,
    /// All have: serve.
    Go,
    /// What the sender's system tables show of itself.
    Facts(Arc<NodeFacts>),
}
