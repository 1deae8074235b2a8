//! What is known of groups, for coordinators, operators and metrics.

use cluster::topology::NodeId;
use cluster::track::Freshness;
use model::time::BootNanos;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::held::Members;

/// A member that was fresh so long ago is not known to be, in milliseconds: two looks of its home, and the way from there.
pub(super) const FRESH_MS: u64 = 250;

/// What is known of a group at its home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupFact {
    /// The nodes that it is made of.
    pub members: Members,
    /// Everything acknowledged before this moment is held by all of them; `None` if that was never proved since the start.
    pub proved: Option<BootNanos>,
    /// What is known of each that is a member of the cluster.
    pub of: Vec<MemberFact>,
    /// Mutations that this node lacks and no journal has.
    pub gone: u64,
}

impl GroupFact {
    /// How long ago everything acknowledged before was held by all, in milliseconds.
    pub fn proved_age_ms(&self, now: BootNanos) -> Option<u64> {
        self.proved.map(|at| now.since(at) / 1_000_000)
    }

    /// As it is told to other nodes and operators.
    pub fn report(&self, now: BootNanos) -> GroupReport {
        let of = self.of.iter().map(|member| MemberReport {
            node: member.node.0,
            lacks: member.lacks,
            fresh: member.fresh,
        });
        GroupReport {
            members: self.members.to_vec(),
            proved_age_ms: self.proved_age_ms(now),
            gone: self.gone,
            of: of.collect(),
        }
    }
}

/// What a home knows of a group, as other nodes and operators are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupReport {
    /// Numbers of the nodes it is made of.
    pub members: Vec<u32>,
    /// How long ago everything acknowledged before was held by all of them, in milliseconds.
    pub proved_age_ms: Option<u64>,
    /// Mutations that the node lacks and no journal has.
    pub gone: u64,
    /// What is known of each member.
    pub of: Vec<MemberReport>,
}

/// What is known of a member of a group, as it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberReport {
    /// Its number.
    pub node: u32,
    /// How many mutations of the group it lacks.
    pub lacks: u64,
    /// Whether it may be trusted by reads of one replica.
    pub fresh: bool,
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

/// What a home says of its group to all shards, at each of its looks.
#[derive(Debug, Clone)]
pub struct Standing {
    /// What its members are good for.
    pub fresh: Vec<(NodeId, Freshness)>,
    /// Members that may lack what they replicate now as well, for it was written when this group replicated it.
    pub doubted: Vec<NodeId>,
    /// Everything that came before this moment is held by all; `None` if that was never proved since the start.
    pub proved: Option<BootNanos>,
    /// Whether all members hold everything, as far as is known.
    pub is_settled: bool,
    /// This node holds everything that any member who lives held at this moment; known while the ring changes.
    pub caught_up: Option<BootNanos>,
    /// Everybody who lives holds what this node held at this moment; known while the ring changes.
    pub given: Option<BootNanos>,
    /// Whether this node lacks something that no pull can bring.
    pub is_gone: bool,
    /// When that was so.
    pub at: BootNanos,
}

/// What groups are good for, as their homes last said.
#[derive(Debug, Default)]
pub struct FreshnessTable {
    groups: BTreeMap<Members, Arc<Standing>>,
    /// In how many groups a node is doubted.
    doubted: BTreeMap<NodeId, usize>,
    /// By the nodes that are read, the groups that they are written in, where a change of the ring makes these others.
    written: BTreeMap<Vec<u32>, Vec<Members>>,
}

impl FreshnessTable {
    pub(super) fn note(&mut self, members: Members, standing: Arc<Standing>) {
        for node in &standing.doubted {
            *self.doubted.entry(*node).or_default() += 1;
        }
        let before = self.groups.insert(members, standing);
        self.forget(before.as_deref());
    }

    /// A group has no home any more.
    pub(super) fn drop(&mut self, members: &Members) {
        let before = self.groups.remove(members);
        self.forget(before.as_deref());
    }

    fn forget(&mut self, before: Option<&Standing>) {
        for node in before.into_iter().flat_map(|before| &before.doubted) {
            if let Some(count) = self.doubted.get_mut(node) {
                *count -= 1;
            }
        }
        self.doubted.retain(|_, count| *count > 0);
    }

    /// What changes of the ring make of groups: those that are written in, by who is read.
    pub(super) fn set_written(&mut self, written: BTreeMap<Vec<u32>, Vec<Members>>) {
        self.written = written;
    }

    /// What a node is good for that is read as one of these; `None` if this node knows nothing of the group, being no member of it.
    pub fn of(&self, read: &[u32], node: NodeId, now: BootNanos) -> Option<Freshness> {
        if self.doubted.contains_key(&node) {
            return Some(Freshness::default());
        }
        let Some(written) = self.written.get(read) else {
            return self.of_group(read, node, now);
        };
        let groups = written.iter();
        let each = groups.filter_map(|members| self.of_group(members, node, now));
        each.reduce(|one, other| Freshness {
            all: one.all && other.all,
            local: one.local && other.local,
            behind: one.behind || other.behind,
        })
    }

    /// Whether this node lacks something that no pull can bring.
    pub(crate) fn lacks_for_good(&self) -> bool {
        self.groups.values().any(|standing| standing.is_gone)
    }

    /// Up to which moment everything is held by all who are read as these; `None` if that was never proved, or this node is none of
    /// them.
    pub(super) fn proved_of(&self, read: &[u32]) -> Option<BootNanos> {
        let proved = match self.written.get(read) {
            Some(written) => self.proved(written),
            None => self.proved(&[read.into()]),
        };
        // The machine's start is no moment of which anything is known.
        (proved > BootNanos(0)).then_some(proved)
    }

    fn of_group(&self, members: &[u32], node: NodeId, now: BootNanos) -> Option<Freshness> {
        let standing = self.groups.get(members)?;
        if now.since(standing.at) > FRESH_MS * 1_000_000 {
            return Some(Freshness::default());
        }
        let found = standing.fresh.iter().find(|(id, _)| *id == node);
        Some(found.map(|(_, fresh)| *fresh).unwrap_or_default())
    }

    /// Whether this node holds everything that any replica who lives held at a moment, of all that it ever replicated.
    pub(super) fn has_caught_up(&self, at: BootNanos) -> bool {
        let mut all = self.groups.values();
        all.all(|standing| standing.caught_up.is_some_and(|moment| moment >= at))
    }

    /// Whether every replica who lives holds what this node held at a moment, of all that it ever replicated.
    pub(super) fn has_given(&self, at: BootNanos) -> bool {
        let mut all = self.groups.values();
        all.all(|standing| standing.given.is_some_and(|moment| moment >= at))
    }

    /// Up to which moment everything is held by all members of these groups, and of all that have something to settle: it may be of
    /// what these replicate now.
    pub(super) fn proved(&self, groups: &[Members]) -> BootNanos {
        let counts = |members: &Members, standing: &Standing| {
            groups.contains(members) || !standing.is_settled
        };
        let known = self.groups.iter();
        let known = known.filter(|(members, standing)| counts(members, standing));
        let all_known = groups
            .iter()
            .all(|members| self.groups.contains_key(members));
        let proved = known.map(|(_, standing)| standing.proved.unwrap_or(BootNanos(0)));
        let least = proved.min().filter(|_| all_known);
        least.unwrap_or(BootNanos(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: Freshness = Freshness {
        all: true,
        local: true,
        behind: false,
    };

    fn standing(fresh: &[u32], doubted: &[u32], proved: u64) -> Arc<Standing> {
        Arc::new(Standing {
            fresh: fresh.iter().map(|node| (NodeId(*node), FRESH)).collect(),
            doubted: doubted.iter().map(|node| NodeId(*node)).collect(),
            proved: Some(BootNanos(proved)),
            is_settled: false,
            caught_up: None,
            given: None,
            is_gone: false,
            at: BootNanos(100),
        })
    }

    #[test]
    fn who_is_behind_in_what_it_replicated_before_is_not_fresh_now() {
        let mut table = FreshnessTable::default();
        let (now, before): (Members, Members) = (Arc::new([1, 2, 4]), Arc::new([1, 2, 3]));
        let is_fresh = |table: &FreshnessTable, node| {
            table.of(&[1, 2, 4], NodeId(node), BootNanos(200)) == Some(FRESH)
        };
        table.note(now.clone(), standing(&[1, 2, 4], &[], 90));
        assert!(is_fresh(&table, 1));
        table.note(before.clone(), standing(&[2, 3], &[1], 50));
        table.note(before.clone(), standing(&[2, 3], &[1], 60));
        assert!(!is_fresh(&table, 1) && is_fresh(&table, 2));
        assert_eq!(table.proved(std::slice::from_ref(&now)), BootNanos(60));
        table.drop(&before);
        assert!(is_fresh(&table, 1), "settled");
        assert_eq!(table.proved(&[now]), BootNanos(90));
        assert_eq!(table.proved(&[before]), BootNanos(0), "not known");
        assert_eq!(table.proved_of(&[1, 2, 4]), Some(BootNanos(90)));
        assert_eq!(table.proved_of(&[7, 8]), None);
    }

    #[test]
    fn while_the_ring_changes_those_count_who_are_written_to() {
        let mut table = FreshnessTable::default();
        let (read, written): (Members, Members) = (Arc::new([1, 2, 3]), Arc::new([1, 2, 3, 4]));
        table.note(read.clone(), standing(&[1, 2, 3], &[], 90));
        table.note(written.clone(), standing(&[1, 2], &[], 90));
        table.set_written(BTreeMap::from([(read.to_vec(), vec![written])]));
        let at = BootNanos(200);
        assert_eq!(table.of(&read, NodeId(2), at), Some(FRESH));
        assert_eq!(table.of(&read, NodeId(3), at), Some(Freshness::default()));
    }
}
