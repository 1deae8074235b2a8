//! Which members vote on the metadata log: a few, spread over data centres and racks, and alive.
//!
//! Three of up to four members, five of up to six, seven of more; one of up to two, because of two voters either alone could
//! stop everything. Who leaves gives its vote up before it is gone. The leader goes there one change at a time, adding before it removes.

use super::{Change, Metadata};
use crate::topology::NodeId;
use std::collections::BTreeSet;

/// How many members vote.
fn wanted(members: usize) -> usize {
    match members {
        0..=2 => 1,
        3..=4 => 3,
        5..=6 => 5,
        _ => 7,
    }
}

impl Metadata {
    /// The voters after the next change, if there is one to make. `alive` are the members that answer; a voter that does not
    /// is replaced when there is another to take its place, and kept otherwise.
    pub fn next_voters(
        &self,
        voters: &BTreeSet<NodeId>,
        alive: &BTreeSet<NodeId>,
    ) -> Option<BTreeSet<NodeId>> {
        let leaves = |id: &NodeId| {
            let transition = self.transitions.get(id);
            transition.is_some_and(|transition| transition.change == Change::Leave)
        };
        let joined = |id: &NodeId| {
            let member = self.members.get(id);
            member.is_some_and(|member| !member.tokens.is_empty()) && !leaves(id)
        };
        let eligible: BTreeSet<NodeId> = self.members.keys().copied().filter(joined).collect();
        let wanted = wanted(eligible.len());
        let good = voters
            .iter()
            .filter(|id| eligible.contains(id) && alive.contains(id));
        let mut next = voters.clone();
        if good.count() < wanted {
            let candidates = eligible
                .iter()
                .filter(|id| alive.contains(id) && !voters.contains(id));
            if let Some(id) = candidates.min_by_key(|id| (self.neighbours(**id, voters), **id)) {
                next.insert(*id);
                return Some(next);
            }
        }
        let gone = voters
            .iter()
            .find(|id| !self.members.contains_key(id) || !joined(id));
        let spare = || {
            let dead = voters.iter().find(|id| !alive.contains(id));
            // Of several the one that stands closest to others, the newest of those.
            dead.or_else(|| {
                voters
                    .iter()
                    .max_by_key(|id| (self.neighbours(**id, voters), **id))
            })
        };
        let surplus = voters.len() > wanted;
        let leaving = gone.or_else(|| surplus.then(spare).flatten())?;
        next.remove(leaving);
        (!next.is_empty()).then_some(next)
    }

    /// How many of the others stand in a member's data centre, and on its rack: the fewer the better it is as a voter.
    fn neighbours(&self, id: NodeId, others: &BTreeSet<NodeId>) -> (usize, usize) {
        let location = |id: &NodeId| self.members.get(id).map(|member| &member.location);
        let Some(here) = location(&id) else {
            return (usize::MAX, usize::MAX);
        };
        let others = others.iter().filter(|other| **other != id);
        let near: Vec<_> = others
            .filter_map(location)
            .filter(|there| there.datacenter == here.datacenter)
            .collect();
        let nearest = near.iter().filter(|there| there.rack == here.rack);
        (near.len(), nearest.count())
    }
}
