//! The read gate (docs/tracking.md, section 8): a replica that is behind is not what a read of one replica rests on, while another
//! is to be had.
//!
//! A coordinator knows who is fresh if it is a member of the group itself. Of groups that it is no member of it knows nothing: it asks
//! for rows of a replica that knows itself to be fresh, one after the other.

use super::Shard;
use cluster::coordinate::ranges::first_piece;
use cluster::coordinate::{Access, ReplicaPlan};
use cluster::topology::NodeId;
use model::error::{Consistency, RequestError};
use model::read::{Partitions, ReadCommand};
use model::time::BootNanos;
use smallvec::SmallVec;

/// What becomes of a read of one replica if none that lives is known to be fresh (`read_gate`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReadGate {
    /// It is answered, with a warning, and counted.
    #[default]
    Warn,
    /// It is refused: Unavailable.
    Strict,
}

/// What the client is told of an answer that rests on a replica that may be behind.
pub(crate) const MAY_BE_STALE: &str =
    "No replica that could be asked is known to have caught up: the answer may miss recent writes";

/// Whether an answer may be trusted as far as its level goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// As far as is known.
    Fresh,
    /// If the replica itself says so: this node knows nothing of the group.
    Asked,
    /// The replica may be behind.
    Stale,
}

/// The group that is read by a plan, as nobody was left out of it yet.
pub(super) fn members_of(plan: &ReplicaPlan) -> SmallVec<[u32; 8]> {
    let replicas = plan.replicas.iter();
    let mut members: SmallVec<[u32; 8]> = replicas.map(|replica| replica.node.0).collect();
    members.sort_unstable();
    members
}

impl Shard {
    /// Whether a replica is known to be good for a read of one replica; `None` if this node knows nothing of the group.
    pub(super) fn is_fresh(&self, plan: &ReplicaPlan, node: NodeId) -> Option<bool> {
        let (members, now) = (members_of(plan), self.stopwatch.boot());
        let fresh = self.tracking.freshness.of(&members, node, now)?;
        Some(match plan.consistency {
            Consistency::LocalOne => fresh.local,
            _ => fresh.all,
        })
    }

    /// The living replicas that a read of one of them may rest on: those of which `is_good` says so, by whether they are known to be
    /// fresh; at LOCAL_ONE those of the first one's data centre.
    pub(super) fn near_and(
        &self,
        plan: &ReplicaPlan,
        is_good: impl Fn(Option<bool>) -> bool,
    ) -> SmallVec<[NodeId; 3]> {
        let here = plan.replicas.first().map(|replica| replica.datacenter);
        let local = plan.consistency == Consistency::LocalOne;
        let near = plan
            .live()
            .filter(|replica| !local || Some(replica.datacenter) == here);
        let nodes = near.map(|replica| replica.node);
        nodes
            .filter(|node| is_good(self.is_fresh(plan, *node)))
            .collect()
    }

    /// Whether this node may be rested on by a read of one replica, as far as it knows itself.
    pub(crate) fn is_fresh_for(&self, command: &ReadCommand, local: bool) -> bool {
        let token = match &command.partitions {
            Partitions::Key(key) => Some(key.token),
            Partitions::Range(range) => first_piece(None, range).map(|piece| piece.token),
        };
        let (Some(token), Some(table)) = (token, self.replica.store.table(command.table)) else {
            // There is nothing to miss.
            return true;
        };
        let level = if local {
            Consistency::LocalOne
        } else {
            Consistency::One
        };
        let own = self.topology.local;
        self.admit(Access::Read, level, &table.keyspace, token)
            .is_ok_and(|plan| {
                // Nobody else has what there is one replica of.
                plan.has(own)
                    && (plan.replicas.len() == 1 || self.is_fresh(&plan, own) == Some(true))
            })
    }

    /// Whether this node holds everything that any replica who lives held at a moment, of all that it ever replicated. Known while the
    /// ring changes.
    pub(crate) fn has_caught_up(&self, at: BootNanos) -> bool {
        self.tracking.freshness.has_caught_up(at)
    }

    /// Whether every replica who lives holds what this node held at a moment. Known while the ring changes.
    pub(crate) fn has_given(&self, at: BootNanos) -> bool {
        self.tracking.freshness.has_given(at)
    }

    /// Whether a read by this plan that rests on a replica may miss something.
    pub(crate) fn trust(&self, plan: &ReplicaPlan, node: NodeId) -> Trust {
        let is_gated = matches!(plan.consistency, Consistency::One | Consistency::LocalOne);
        if is_gated && self.is_fresh(plan, node) == Some(false) {
            Trust::Stale
        } else {
            Trust::Fresh
        }
    }

    /// Puts replicas that are fresh before those that may be behind, for a read that rests on one; those are left out if nobody may
    /// rest on them.
    pub(crate) fn gate(&self, mut plan: ReplicaPlan) -> Result<(ReplicaPlan, Trust), RequestError> {
        let local = match plan.consistency {
            Consistency::One => false,
            Consistency::LocalOne => true,
            _ => return Ok((plan, Trust::Fresh)),
        };
        let trusted = self.near_and(&plan, |fresh| fresh != Some(false));
        // The first is of this data centre, if any is.
        let here = plan.replicas.first().map(|replica| replica.datacenter);
        plan.replicas.sort_by_key(|replica| {
            let is_far = local && Some(replica.datacenter) != here;
            (is_far, !trusted.contains(&replica.node))
        });
        if trusted.is_empty() {
            return self.distrust(&plan).map(|trust| (plan, trust));
        }
        if self.config.read_gate == ReadGate::Strict {
            plan.replicas
                .retain(|replica| trusted.contains(&replica.node));
        }
        let nearest = plan.replicas.first().map(|replica| replica.node);
        let is_known = nearest.is_none_or(|node| self.is_fresh(&plan, node).is_some());
        let trust = if is_known || plan.replicas.len() == 1 {
            Trust::Fresh
        } else {
            Trust::Asked
        };
        Ok((plan, trust))
    }

    /// No replica that lives is known to be fresh: whether the read goes on all the same.
    pub(crate) fn distrust(&self, plan: &ReplicaPlan) -> Result<Trust, RequestError> {
        match self.config.read_gate {
            ReadGate::Warn => Ok(Trust::Stale),
            ReadGate::Strict => Err(RequestError::Unavailable {
                consistency: plan.consistency,
                required: 1,
                alive: 0,
            }),
        }
    }
}
