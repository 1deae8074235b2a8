//! What is known of groups, for coordinators, operators and metrics.

use cluster::topology::NodeId;
use cluster::track::Freshness;
use model::time::BootNanos;
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::held::Members;

/// A member that was fresh so long ago is not known to be, in milliseconds: two looks of its home, and the way from there.
const FRESH_MS: u64 = 250;

/// What is known of a group at its home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupFact {
    /// The nodes that it is made of.
    pub members: Members,
    /// How long ago everything acknowledged before was held by all of them, in milliseconds; `None` if that was never proved since
    /// the start.
    pub proved_age_ms: Option<u64>,
    /// What is known of each that is a member of the cluster.
    pub of: Vec<MemberFact>,
    /// Mutations that this node lacks and no journal has.
    pub gone: u64,
}

/// What is known of a member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberFact {
    /// Which.
    pub node: NodeId,
    /// How many mutations of the group it lacks.
    pub lacks: u64,
    /// Whether it may be trusted by reads of one replica.
    pub fresh: bool,
}

/// Which members of which groups are fresh, as homes last said.
#[derive(Debug, Default)]
pub struct FreshnessTable {
    groups: BTreeMap<Members, (Arc<[(NodeId, Freshness)]>, BootNanos)>,
}

impl FreshnessTable {
    pub(super) fn note(
        &mut self,
        members: Members,
        fresh: Arc<[(NodeId, Freshness)]>,
        at: BootNanos,
    ) {
        self.groups.insert(members, (fresh, at));
    }

    /// What a member of a group is good for; `None` if this node knows nothing of the group, being no member of it.
    pub fn of(&self, members: &[u32], node: NodeId, now: BootNanos) -> Option<Freshness> {
        let (fresh, at) = self.groups.get(members)?;
        if now.since(*at) > FRESH_MS * 1_000_000 {
            return Some(Freshness::default());
        }
        let found = fresh.iter().find(|(id, _)| *id == node);
        Some(found.map(|(_, fresh)| *fresh).unwrap_or_default())
    }
}
