//! Data that moves because the ring changes: what this node gives to others, what it takes, and the changes it takes through their
//! steps (`cluster/src/metadata/transition.rs` says what the steps are and why quorums stay sound).
//!
//! ```text
//! wish       what this node wants of the ring: tokens when it has none, what an operator asks for
//! replicate  whether a keyspace's replication can be changed now
//! steps      a change goes a step on once everybody who answers knows the one it is at, and has what it gains
//! take       chunks of a session (cluster/src/stream) come in and are applied by the shards that own them
//! serve      a shard reads a chunk for another node
//! left       a node that gave up its tokens serves nobody any more
//! ```
//!
//! Each change has one driver: the node whose tokens change, or, when that is removed, the member with the least number that answers.
//! Nothing of this is durable but the step itself, which the metadata log has: a driver that restarts asks everybody again, a node
//! that takes data begins its session over. Whoever is asked answers from what is so now, so any answer may be lost.
//!
//! What must stay true:
//! - nothing is taken before everybody who answers writes to the new replicas too, and a source that has given a chunk refuses
//!   writes that were planned before;
//! - what is taken is not logged but flushed in the end, table by table: until then all of it can be had again, and is, after a
//!   restart. Done is what is flushed;
//! - a change goes from `WriteBoth` on only when every member that gains something has said that it has it durably, whether
//!   that member answers now or not.

mod left;
pub mod message;
mod replicate;
mod serve;
mod steps;
mod take;
mod wish;

use crate::message::ReplicaError;
use cluster::stream::session::{Progress, Session};
use cluster::topology::NodeId;
use message::StreamMessage;
use model::read::Resume;
use model::schema::TableId;
use model::time::BootNanos;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// A message of another node, on its way to the shard that it is for.
#[derive(Debug)]
pub struct StreamMail {
    /// Who sent it.
    pub node: NodeId,
    /// Where it is reached, even if it is no member any more.
    pub address: SocketAddr,
    /// What it says.
    pub message: StreamMessage,
}

/// A chunk under way.
#[derive(Debug)]
pub enum StreamOperation {
    /// It is being read for another node.
    Serve {
        /// Which.
        node: NodeId,
        /// Its number for it.
        number: u64,
        /// The epoch it asked with.
        epoch: u64,
    },
    /// What acceptors knew is being made durable, which is not taken like rows.
    Apply {
        /// The shard that took it in.
        from: u16,
        /// Its number for it.
        request: u64,
        /// Mutations that are not durable yet.
        left: usize,
        /// The first failure.
        failed: Option<ReplicaError>,
    },
    /// One that this node asked for is being applied by the shards that own it.
    Take {
        /// The question it answered.
        number: u64,
        /// Shards that have not said that they have their part.
        left: usize,
        /// The last failure.
        failed: Option<ReplicaError>,
        /// Where the next one begins.
        resume: Option<Resume>,
        /// Its bytes.
        bytes: u64,
    },
    /// All of a taking is here, and is being made durable.
    Flush {
        /// Which.
        reason: take::Reason,
        /// When the change that it is by came to its step: another taking may have its place by the end.
        since: u64,
        /// Tables of shards that are not flushed yet.
        left: usize,
        /// The last failure.
        failed: Option<ReplicaError>,
    },
}

/// What makes durable what other nodes sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// The commit log, synced before it is acknowledged.
    ByLog,
    /// The flush that follows when all of it is here.
    ByFlush,
}

/// How durable is what was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Durable {
    /// It is not, as far as is known.
    No,
    /// It is being made so.
    UnderWay,
    /// It is.
    Yes,
}

/// Data that this node takes.
#[derive(Debug)]
struct Taking {
    /// When the change that it gains it by came to its step.
    since: u64,
    session: Session,
    /// The tables that are taken.
    tables: BTreeSet<TableId>,
    durable: Durable,
    /// It is not flushed before.
    flush_from: BootNanos,
    /// When the operator is told next how far it is.
    next_tell: BootNanos,
    /// Whether the operator was told that it is done.
    told: bool,
}

/// What a shard has to do with data that moves.
#[derive(Debug, Default)]
pub struct Streams {
    /// Chunks being read for others.
    serving: usize,
    /// Writes of other nodes that were planned before this epoch come too late: their data may have been given away.
    refused_before: u64,
    /// The latest step of a change by which somebody asked for what this shard has, by its epoch, and when that began.
    asked_since: (u64, BootNanos),
    /// Whether this node has left its cluster.
    has_left: bool,
    /// By whose tokens change; shard 0's, as is all that follows.
    takings: BTreeMap<NodeId, Taking>,
    rebuild: Option<Taking>,
    drives: BTreeMap<NodeId, steps::Drive>,
    wishes: wish::Wishes,
    /// The last epoch known to be in force on all shards.
    everywhere: u64,
    next_tick: BootNanos,
}

/// One taking of data as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamFacts {
    /// Whose tokens change; `None` for a rebuild.
    pub node: Option<NodeId>,
    /// How far it is.
    pub progress: Progress,
    /// Whether all of it is here.
    pub is_done: bool,
}

impl Streams {
    /// Of a shard that has just started, and may have given data away before to replicas that everybody writes to since that epoch.
    pub fn refusing_before(epoch: Option<u64>) -> Self {
        Self {
            refused_before: epoch.unwrap_or(0),
            ..Self::default()
        }
    }

    /// What is being taken, and was since the start.
    pub fn facts(&self) -> Vec<StreamFacts> {
        let of_changes = self.takings.iter();
        let of_changes = of_changes.map(|(node, taking)| (Some(*node), taking));
        let all = of_changes.chain(self.rebuild.iter().map(|taking| (None, taking)));
        all.map(|(node, taking)| StreamFacts {
            node,
            progress: taking.session.progress(),
            is_done: taking.is_done(),
        })
        .collect()
    }

    /// Whether this node has left its cluster.
    pub fn has_left(&self) -> bool {
        self.has_left
    }
}
