//! Repair at work (docs/tracking.md, section 7): shard 0 drives the machine of [`cluster::repair`], asks other members and its own
//! node's shards what they have, and sends everybody what they lack.
//!
//! ```text
//! drive    repairs under way: what they ask for is asked, what comes is handed to them
//! mend     mutations that a repair brings are made durable by the shards that own them
//! by_self  what this node is owed and no journal has is repaired at once, everything else now and then
//! facts    repairs as operators see them
//! message  the bytes
//! ```
//!
//! What must stay true:
//! - a repair takes no more room than one part of each member, and few run at once;
//! - what was read before a table was emptied is not applied after it;
//! - an id is held by repair only if its rows were on the others when they were read: it was noted before.

mod by_self;
pub(crate) mod drive;
pub mod facts;
mod mend;
pub mod message;

use crate::execute::admin::ConvergenceQuestion;
use by_self::BySelf;
use cluster::repair::session::{Question, Session};
use cluster::topology::NodeId;
use drive::Wanted;
use facts::RepairFact;
use message::RepairMessage;
use model::time::BootNanos;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Repairs that operators have under way at once.
const MAX_RUNNING: usize = 8;
/// Repairs that are over and still shown.
const MAX_SHOWN: usize = 64;

/// A message of another node, on its way to shard 0.
#[derive(Debug)]
pub struct RepairMail {
    /// Who sent it.
    pub node: NodeId,
    /// What it says.
    pub message: RepairMessage,
}

/// Something of a repair that is waited for.
#[derive(Debug)]
pub enum RepairOperation {
    /// What a member has.
    Asked {
        /// Which repair asks.
        repair: u64,
        /// What of whom.
        question: Question,
        /// Rows, or what stands for them.
        wanted: Wanted,
        /// Nobody waits after this.
        deadline: BootNanos,
    },
    /// That another member has made durable what it lacked.
    Sent {
        /// Which repair sent it.
        repair: u64,
        /// To whom.
        question: Question,
        /// Nobody waits after this.
        deadline: BootNanos,
    },
    /// That the shards of this node have made durable what it lacked.
    Mending {
        /// Who is told.
        whom: Whom,
        /// Shards that have not said so.
        left: usize,
        /// The first failure.
        failed: Option<String>,
    },
    /// What members know of their groups, for an operator.
    Convergence(Box<ConvergenceQuestion>),
}

impl RepairOperation {
    /// Nobody waits after this.
    pub fn deadline(&self) -> BootNanos {
        match self {
            Self::Asked { deadline, .. } | Self::Sent { deadline, .. } => *deadline,
            Self::Convergence(question) => question.deadline,
            // Shards always answer.
            Self::Mending { .. } => BootNanos(u64::MAX),
        }
    }
}

/// Who brings what this node lacked.
#[derive(Debug, Clone, Copy)]
pub enum Whom {
    /// A repair of this node.
    Own(u64, Question),
    /// Another member's, and its number for it.
    Peer(NodeId, u64),
}

/// A repair under way.
#[derive(Debug)]
struct Running {
    session: Session,
    fact: RepairFact,
    /// The epoch that was in force when rows were last asked for.
    epoch: u64,
    /// The admin work that waits for it.
    waits: Option<u64>,
}

/// A shard's part in repairs; shard 0's, as others have none.
#[derive(Debug, Default)]
pub struct Repairs {
    running: BTreeMap<u64, Running>,
    /// Number of the last.
    last: u64,
    /// Those that are over, the newest last.
    over: VecDeque<RepairFact>,
    next_poll: BootNanos,
    /// What is being made durable for others.
    mending: usize,
    by_self: BySelf,
    /// What system tables show.
    shown: Arc<Vec<RepairFact>>,
}

impl Repairs {
    /// Repairs under way, and those that were.
    pub fn shown(&self) -> Arc<Vec<RepairFact>> {
        self.shown.clone()
    }
}
