//! Logs that are settled for good are forgotten (docs/tracking.md, section 11): a group's home finds that all members hold everything of
//! an origin's logs up to a boot, and all shards write that down in the place of what they held of them.
//!
//! What must stay true: what was written down is told to the home again after a start, before it answers any question; else it
//! would take what another says of such a log for something that this node lacks.

use super::{Shard, group_of};
use crate::effects::Effects;
use crate::track::shards::TrackNote;
use cluster::topology::NodeId;
use cluster::track::{Boot, GroupId};
use model::time::Now;
use model::track::IdSet;
use std::sync::Arc;
use storage::held::Members;

/// By origin, the boot up to which its logs are retired.
pub type RetiredBoots = Arc<[(NodeId, Boot)]>;

impl Shard {
    /// Has all shards forget what a home found to be settled.
    pub(super) fn tell_retired(&mut self, id: GroupId, now: Now, out: &mut Effects) {
        let Some(home) = self.tracking.homes.get_mut(&id) else {
            return;
        };
        let boots = home.group.take_retired();
        if boots.is_empty() {
            return;
        }
        let members = home.members.clone();
        let retired = self.tracking.retired.entry(members.clone()).or_default();
        retired.extend(boots.iter().copied());
        let boots: RetiredBoots = boots.into();
        let note = || TrackNote::Retired(members.clone(), boots.clone());
        self.tell_all(note, now, out);
    }

    /// All members of a group hold everything of these logs: this shard forgets its part.
    pub(super) fn forget_retired(
        &mut self,
        members: &Members,
        boots: &[(NodeId, Boot)],
        out: &mut Effects,
    ) {
        let store = &mut self.replica.store;
        let known = store.held().retired.get(members);
        let is_new = |(node, boot): &&(NodeId, Boot)| {
            let known = known.and_then(|known| known.get(&node.0));
            known.is_none_or(|known| known < boot)
        };
        let new = boots.iter().filter(is_new);
        let of_nodes: Vec<(u32, u32)> = new.map(|(node, boot)| (node.0, *boot)).collect();
        if of_nodes.is_empty() {
            return;
        }
        if store.retire(members, &of_nodes, &mut out.io).is_ok() {
            return;
        }
        // The log does not take it: the next start finds it again. Until then nobody asks for these.
        let mut ids = IdSet::default();
        let logs = store.held().logs.iter();
        let logs = logs.filter(|(_, log)| log.members == *members);
        for (id, log) in logs {
            if boots
                .iter()
                .any(|(node, boot)| node.0 == id.node() && id.boot() <= *boot)
            {
                ids.insert_all(*id, &log.sequences);
            }
        }
        store.prove(&ids, &mut out.io);
    }

    /// Tells homes what the disk says to be retired.
    pub(super) fn tell_restored(&mut self, now: Now, out: &mut Effects) {
        let retired = self.replica.store.held().retired.iter();
        let retired = retired.map(|(members, boots)| {
            let boots = boots.iter().map(|(node, boot)| (NodeId(*node), *boot));
            (members.clone(), boots.collect::<RetiredBoots>())
        });
        for (members, boots) in retired.collect::<Vec<_>>() {
            if self.is_member(&members) {
                let home = self.home_of(group_of(&members));
                self.note_to(home, TrackNote::WasRetired(members, boots), now, out);
            }
        }
    }

    /// A shard's disk says what is retired. Another's may not: it is told, too.
    pub(super) fn on_restored(
        &mut self,
        members: &Members,
        boots: &RetiredBoots,
        now: Now,
        out: &mut Effects,
    ) {
        let note = || TrackNote::Retired(members.clone(), boots.clone());
        self.tell_all(note, now, out);
        let retired = self.tracking.retired.entry(members.clone()).or_default();
        for (node, boot) in boots.iter() {
            let known = retired.entry(*node).or_default();
            *known = (*known).max(*boot);
        }
        if let Some(home) = self.tracking.homes.get_mut(&group_of(members)) {
            for (node, boot) in boots.iter() {
                home.group.on_retired(*node, *boot);
            }
        }
    }
}
