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

impl Shard {
    /// Puts replicas that are fresh before those that may be behind, for a read that rests on one.
    pub(crate) fn gate(&self, mut plan: ReplicaPlan) -> Result<(ReplicaPlan, Trust), RequestError> {
        let local = match plan.consistency {
            Consistency::One => false,
            Consistency::LocalOne => true,
            _ => return Ok((plan, Trust::Fresh)),
        };
        let mut members: SmallVec<[u32; 8]> =
            plan.replicas.iter().map(|replica| replica.node.0).collect();
        members.sort_unstable();
        let now = self.stopwatch.boot();
        let is_fresh = |node: NodeId| {
            let known = self.tracking.freshness.of(&members, node, now);
            known.is_none_or(|fresh| if local { fresh.local } else { fresh.all })
        };
        // The first is of this data centre, if any is.
        let here = plan.replicas.first().map(|replica| replica.datacenter);
        let is_far = |datacenter| local && Some(datacenter) != here;
        plan.replicas.sort_by_key(|replica| {
            let trusted = replica.alive && is_fresh(replica.node);
            (is_far(replica.datacenter), !trusted)
        });
        let is_trusted = plan
            .live()
            .any(|replica| !is_far(replica.datacenter) && is_fresh(replica.node));
        if is_trusted {
            return Ok((plan, Trust::Fresh));
        }
        match self.config.read_gate {
            ReadGate::Warn => Ok((plan, Trust::Stale)),
            ReadGate::Strict => Err(RequestError::Unavailable {
                consistency: plan.consistency,
                required: 1,
                alive: 0,
            }),
        }
    }
}
