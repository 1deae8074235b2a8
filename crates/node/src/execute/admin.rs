//! What an operator asks of a shard beside data. The admin API asks; each shard answers for itself, and who asked adds up.
//!
//! Work on tables and what a shard counts is every shard's; what is known of other members, the ring and snapshots is
//! shard 0's ([`AdminWork::whose`]). Nothing is read from a shard that it did not answer itself.
//!
//! What must stay true: each piece of work is answered exactly once, with what came of it or with why nothing did.

mod convergence;
mod facts;
mod login;
mod members;
mod repair;
mod ring;
mod snapshots;
mod stopping;
mod tables;

pub use crate::repair::facts::{RepairFact, RepairReason, RepairState};
pub use convergence::{ConvergenceQuestion, RangeFact, ReplicaFact};
pub use facts::{Measured, ProofFacts, ShardFacts};
pub use login::Password;
pub use members::{ClusterFacts, DetectorFact, GossipFact, KeyspaceFact, Life, MemberFact};
pub use repair::{RepairOptions, RepairWork};
pub use ring::{ArcFact, RingFacts, RingQuestion};
pub use snapshots::SnapshotWork;
pub use tables::{TableAction, TableWork, VerifiedTable};

use super::operation::Operation;
use crate::effects::Effects;
use crate::message::ReplicaError;
use crate::shard::Shard;
pub use crate::track::handoff::{HandoffChange, HandoffSettings};
use model::key::Token;
use model::schema::{Table, TableId};
use model::time::Now;
use snapshots::LinkedSnapshots;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use uuid::Uuid;

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum AdminWork {
    /// Do something with tables.
    Tables(TableWork),
    /// Let an operator in, who must be a superuser.
    LogIn {
        /// The role.
        user: String,
        /// Its password.
        password: Password,
    },
    /// Show what the shard does and counts.
    Facts,
    /// Show the members, and what is thought of them.
    Cluster,
    /// Change the ring, or take what it says that this node has; answered when that is over.
    ChangeRing(RingWork),
    /// Say for whom what they lack is kept, and whether and how fast it is sent.
    Handoff(HandoffChange),
    /// Show what replicas lack, and up to when they are proved equal: those of this keyspace, or of all.
    Convergence(Option<String>),
    /// Begin, end or show repairs.
    Repair(RepairWork),
    /// Show who replicates what.
    Ring(RingQuestion),
    /// Show who replicates a partition.
    Endpoints {
        /// Keyspace of the table.
        keyspace: String,
        /// The table.
        table: String,
        /// The partition key as text; its columns between colons.
        key: String,
    },
    /// Tell why this node should not be stopped now.
    StopCheck,
    /// Take or remove snapshots.
    Snapshots(SnapshotWork),
    /// Trace this part of all requests from now on.
    TraceProbability(f64),
}

/// Which shards a piece of work is asked of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Each does its part.
    EveryShards,
    /// Shard 0 does it, or has it done.
    Shard0s,
}

impl AdminWork {
    /// Which shards it is asked of.
    pub fn whose(&self) -> Whose {
        match self {
            Self::Tables(_) | Self::Facts | Self::TraceProbability(_) | Self::Handoff(_) => {
                Whose::EveryShards
            }
            Self::Cluster
            | Self::ChangeRing(_)
            | Self::Repair(_)
            | Self::Convergence(_)
            | Self::Ring(_)
            | Self::Endpoints { .. }
            | Self::StopCheck
            | Self::LogIn { .. }
            | Self::Snapshots(_) => Whose::Shard0s,
        }
    }
}

/// What is asked of the ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RingWork {
    /// This node gives up its tokens and leaves.
    Decommission {
        /// Even if those that stay are fewer than replicas are wanted.
        force: bool,
    },
    /// The member with this host id, which is dead, loses its tokens to the others.
    Remove(Uuid),
    /// This node gives up its tokens for these.
    Move(Vec<Token>),
    /// This node takes everything it replicates from replicas of that data centre, or of any.
    Rebuild(Option<String>),
    /// A change of the ring goes on without replicas that are away: that of the member with this host id, or every removal.
    Force(Option<Uuid>),
    /// The dead member at this address is removed, whoever else is away.
    Assassinate(IpAddr),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub enum AdminAnswer {
    /// It is done.
    Done,
    /// To [`AdminWork::Facts`].
    Facts(Box<ShardFacts>),
    /// To [`AdminWork::Cluster`].
    Cluster(Box<ClusterFacts>),
    /// To [`AdminWork::Repair`]: the one that is over, or all that are shown.
    Repairs(Vec<RepairFact>),
    /// To [`AdminWork::Convergence`].
    Convergence(Vec<RangeFact>),
    /// To [`AdminWork::Ring`].
    Ring(Box<RingFacts>),
    /// To [`AdminWork::Endpoints`]: where the replicas are reached by other nodes, the primary first.
    Endpoints(Vec<SocketAddr>),
    /// To [`TableAction::Verify`].
    Verified(Vec<VerifiedTable>),
    /// To [`AdminWork::StopCheck`]: nothing if it may be stopped.
    StopCheck(Vec<String>),
}

/// Why nothing came of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// What was asked for makes no sense: who asked must ask for something else.
    #[error("{0}")]
    Invalid(String),
    /// Who asked may not.
    #[error("{0}")]
    NotAllowed(String),
    /// It went wrong.
    #[error("{0}")]
    Failed(String),
}

/// Reasons in words are those for which who asked must ask for something else.
impl From<String> for AdminError {
    fn from(reason: String) -> Self {
        Self::Invalid(reason)
    }
}

/// What came of a piece of work.
pub type AdminResult = Result<AdminAnswer, AdminError>;

/// Admin work under way.
#[derive(Debug)]
pub struct AdminOperation {
    /// Number its answer carries.
    id: u64,
    /// Acknowledgements that are waited for.
    left: usize,
    /// The first failure.
    failed: Option<String>,
    then: AfterAdmin,
}

/// What is done when everything is acknowledged.
#[derive(Debug)]
enum AfterAdmin {
    /// Nothing more.
    Answer,
    /// These tables, which are flushed now, are cleaned up or rewritten.
    CleanUp(Vec<TableId>, TableAction),
    /// What was found in these tables is told.
    Verified(Vec<Arc<Table>>),
    /// The snapshots that all shards linked are made whole.
    Complete(LinkedSnapshots),
}

impl Shard {
    /// Does what an operator asks; [`Effects::admin`] says under this number what came of it.
    pub(crate) fn on_admin(&mut self, id: u64, work: &AdminWork, now: Now, out: &mut Effects) {
        let answered = match work {
            AdminWork::Tables(work) => self.begin_table_work(id, work, out),
            AdminWork::Snapshots(work) => self.begin_snapshot_work(id, work, now, out),
            AdminWork::ChangeRing(work) => {
                self.begin_ring_work(id, work, now, out);
                None
            }
            AdminWork::Repair(work) => self.begin_repair_work(id, work, now, out),
            AdminWork::Handoff(change) => {
                self.change_handoff(change);
                Some(Ok(AdminAnswer::Done))
            }
            AdminWork::Convergence(keyspace) => {
                let asked = self.ask_convergence(id, keyspace.as_deref(), now, out);
                asked.err().map(Err)
            }
            AdminWork::Facts => {
                let facts = self.shard_facts(now);
                Some(Ok(AdminAnswer::Facts(Box::new(facts))))
            }
            AdminWork::Cluster => {
                let facts = self.cluster_facts(now);
                Some(Ok(AdminAnswer::Cluster(Box::new(facts))))
            }
            AdminWork::Ring(question) => {
                let facts = self.ring_facts(question);
                Some(facts.map(|facts| AdminAnswer::Ring(Box::new(facts))))
            }
            AdminWork::Endpoints {
                keyspace,
                table,
                key,
            } => {
                let endpoints = self.endpoints_of(keyspace, table, key);
                Some(endpoints.map(AdminAnswer::Endpoints))
            }
            AdminWork::LogIn { user, password } => {
                self.check_operator(id, user, password, now, out);
                None
            }
            AdminWork::StopCheck => Some(Ok(AdminAnswer::StopCheck(self.reasons_to_stay()))),
            AdminWork::TraceProbability(part) => {
                self.trace_probability = *part;
                Some(Ok(AdminAnswer::Done))
            }
        };
        if let Some(result) = answered {
            out.admin.push((id, result));
        }
    }

    /// Waits for so many acknowledgements under the number it returns.
    fn wait_for(&mut self, id: u64, left: usize, then: AfterAdmin) -> u64 {
        let operation = AdminOperation {
            id,
            left,
            failed: None,
            then,
        };
        self.operations.insert(Operation::Admin(operation))
    }

    /// One thing that admin work waits for is done.
    pub(super) fn admin_acknowledged(
        &mut self,
        number: u64,
        result: Result<(), ReplicaError>,
        out: &mut Effects,
    ) {
        let Some(Operation::Admin(operation)) = self.operations.get_mut(number) else {
            return;
        };
        operation.left -= 1;
        if let Err(error) = result {
            operation.failed.get_or_insert(error.into_text());
        }
        if operation.left > 0 {
            return;
        }
        if let Some(Operation::Admin(operation)) = self.operations.remove(number) {
            self.admin_done(operation, out);
        }
    }

    fn admin_done(&mut self, operation: AdminOperation, out: &mut Effects) {
        let result = match (operation.failed, operation.then) {
            (None, AfterAdmin::Answer) => Ok(AdminAnswer::Done),
            (None, AfterAdmin::CleanUp(tables, action)) => {
                return self.clean_up_all(operation.id, &tables, action);
            }
            (None, AfterAdmin::Verified(tables)) => Ok(self.verified(&tables)),
            (
                Some(reason),
                AfterAdmin::Answer | AfterAdmin::CleanUp(..) | AfterAdmin::Verified(_),
            ) => Err(AdminError::Failed(reason)),
            (failed, AfterAdmin::Complete(linked)) => {
                return self.snapshots_linked(operation.id, linked, failed, out);
            }
        };
        out.admin.push((operation.id, result));
    }
}
