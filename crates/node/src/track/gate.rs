//! The read gate (docs/tracking.md, section 8): a replica that is behind is not what a read of one replica rests on, while another
//! is to be had.
//!
//! A coordinator knows who is fresh if it is a member of the group itself. Of groups that it is no member of it knows nothing, and
//! trusts whoever lives.

use super::Shard;
use cluster::coordinate::ReplicaPlan;
use cluster::topology::NodeId;
use model::error::{Consistency, RequestError};
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
        match (trusted.is_empty(), self.config.read_gate) {
            (false, ReadGate::Warn) => Ok((plan, Trust::Fresh)),
            (false, ReadGate::Strict) => {
                plan.replicas
                    .retain(|replica| trusted.contains(&replica.node));
                Ok((plan, Trust::Fresh))
            }
            (true, ReadGate::Warn) => Ok((plan, Trust::Stale)),
            (true, ReadGate::Strict) => Err(RequestError::Unavailable {
                consistency: plan.consistency,
                required: 1,
                alive: 0,
            }),
        }
    }
}
