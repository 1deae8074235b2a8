//! Whether this member may be trusted, and up to when the group is proved equal (docs/tracking.md, sections 8 and 9).

use super::{Effect, Group};
use crate::topology::NodeId;
use crate::track::gate::{Freshness, Proof};
use model::time::BootNanos;
use std::collections::BTreeMap;

impl Group {
    /// Whether a majority of the members, with this one, has been heard of late.
    pub fn hears_majority(&self) -> bool {
        self.gate.hearing.all
    }

    /// Looks whether this member hears the others, and holds what it should.
    pub(super) fn look_at_gate(&mut self, now: BootNanos, out: &mut Vec<Effect>) {
        let limit = self.config.hearing_nanos();
        let hears = |member: &NodeId| {
            let peer = self.peers.get(member);
            peer.is_none_or(|peer| peer.was_heard(now, limit))
        };
        let majority = |members: &[NodeId]| {
            2 * members.iter().filter(|member| hears(member)).count() > members.len()
        };
        let local: Vec<NodeId> = self.config.local_members.iter().copied().collect();
        let hearing = Freshness {
            all: majority(&self.config.members),
            local: majority(&local),
            behind: false,
        };
        // What is learned of when a silence ends may have been acknowledged at any time during it.
        let before = self.gate.hearing;
        let at_once = hearing.all && !before.all || hearing.local && !before.local;
        let me = self.config.me;
        for log in self.logs.values_mut() {
            log.age(me, now, limit, at_once);
        }
        let behind = self.logs.values().any(|log| !log.overdue(me).is_empty());
        let fresh = Freshness {
            all: hearing.all && !behind,
            local: hearing.local && !behind,
            behind,
        };
        self.gate.hearing = hearing;
        if self.gate.fresh != fresh {
            self.gate.fresh = fresh;
            self.version += 1;
            out.push(Effect::Fresh(fresh));
        }
    }

    /// Goes on with the proof, or begins the next.
    pub(super) fn look_at_proof(&mut self, now: BootNanos, out: &mut Vec<Effect>) {
        let members = &self.config.members;
        if let Some(proof) = &mut self.proof {
            let heard = |member: &NodeId| {
                let heard = match self.peers.get(member) {
                    Some(peer) => peer.asked.heard,
                    None => self.asked,
                };
                heard.is_some_and(|heard| heard >= proof.at)
            };
            let answered: Vec<NodeId> = proof.waiting.iter().copied().filter(heard).collect();
            if !answered.is_empty() {
                // Logs of members that answered end, as of the moment in question, where they are known to end now at the latest;
                // and so do logs of origins that are gone, once all members have said what they hold of them.
                proof.waiting.retain(|member| !answered.contains(member));
                let ends = self.logs.iter().map(|(id, log)| (*id, log.end));
                proof.ends = ends.collect();
            }
            let equal = proof.waiting.is_empty()
                && proof.ends.iter().all(|(id, end)| {
                    let log = self.logs.get(id);
                    log.is_none_or(|log| {
                        members.iter().all(|member| log.is_complete(*member, *end))
                    })
                });
            if !equal {
                return;
            }
            self.proved = Some(proof.at);
            out.push(Effect::Proved(proof.at));
        }
        self.proof = Some(Proof {
            at: now,
            ends: BTreeMap::new(),
            waiting: members.iter().copied().collect(),
        });
    }
}
