//! Who has what of whom while the ring changes (docs/tracking.md, section 11): whoever gives data away is to have all of it first, and
//! whoever leaves stays until the others have what it has. Members that are away are not waited for.

use super::{Group, Peer};
use crate::topology::NodeId;
use model::time::BootNanos;
use model::track::{Intervals, LogId};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of that.
#[derive(Debug, Clone, Default)]
pub(super) struct Handover {
    /// Members that live.
    living: BTreeSet<NodeId>,
    catching: Option<Catching>,
    /// This member holds what any of those held at this moment.
    caught_up: Option<BootNanos>,
    giving: Option<Giving>,
    /// All of those hold what this member held at this moment.
    given: Option<BootNanos>,
}

/// An attempt of this member to hold everything that those who live held at a moment.
#[derive(Debug, Clone)]
struct Catching {
    at: BootNanos,
    /// What it lacks of that; `None` as long as not all have said what they hold.
    lacks: Option<BTreeMap<LogId, Intervals>>,
}

/// An attempt to see that everybody who lives holds what this member held at a moment.
#[derive(Debug, Clone)]
struct Giving {
    at: BootNanos,
    /// What of it somebody may lack.
    left: BTreeMap<LogId, Intervals>,
}

impl Group {
    /// Who lives, where it matters who has what; `None` where it does not.
    pub fn set_living(&mut self, living: Option<BTreeSet<NodeId>>) {
        match living {
            Some(living) => self.handover.get_or_insert_default().living = living,
            None => self.handover = None,
        }
    }

    /// This member holds everything that any member who lives held at this moment; `None` if that is not known, or does not matter.
    pub fn caught_up(&self) -> Option<BootNanos> {
        self.handover.as_ref()?.caught_up
    }

    /// Everybody who lives holds what this member held at this moment; `None` if that is not known, or does not matter.
    pub fn given(&self) -> Option<BootNanos> {
        self.handover.as_ref()?.given
    }

    /// Looks who has what, if that matters.
    pub(super) fn look_at_handover(&mut self, now: BootNanos) {
        if let Some(mut handover) = self.handover.take() {
            self.look_at_own(&mut handover, now);
            self.look_at_others(&mut handover, now);
            self.handover = Some(handover);
        }
    }

    /// Looks whether this member has all that those who live have.
    fn look_at_own(&self, handover: &mut Handover, now: BootNanos) {
        let Handover {
            living, catching, ..
        } = handover;
        let me = self.config.me;
        let catching = catching.get_or_insert(Catching {
            at: now,
            lacks: None,
        });
        let at = catching.at;
        let heard = |peer: &Peer| peer.asked.heard.is_some_and(|heard| heard >= at);
        let mut peers = self.peers.iter();
        if catching.lacks.is_none() && !peers.all(|(id, peer)| !living.contains(id) || heard(peer))
        {
            return;
        }
        let lacks = catching.lacks.get_or_insert_with(|| {
            let known = self.logs.iter().map(|(id, log)| (*id, log.known()));
            known.collect()
        });
        // What nobody holds that lives, and what is settled for good, is nothing to wait for.
        lacks.retain(|id, lacked| {
            let Some(log) = self.logs.get(id) else {
                return false;
            };
            *lacked = lacked.minus(&log.held(me)).minus(&log.void);
            !lacked.is_empty()
        });
        if lacks.is_empty() {
            handover.caught_up = Some(at);
            handover.catching = None;
        }
    }

    /// Looks whether those who live have all that this member has.
    fn look_at_others(&self, handover: &mut Handover, now: BootNanos) {
        let me = self.config.me;
        let giving = handover.giving.get_or_insert_with(|| {
            let held = self.logs.iter().map(|(id, log)| (*id, log.held(me)));
            Giving {
                at: now,
                left: held.collect(),
            }
        });
        let living = &handover.living;
        let others = self.config.members.iter();
        let others = others.filter(|id| **id != me && living.contains(id));
        let others: Vec<NodeId> = others.copied().collect();
        giving.left.retain(|id, held| {
            let log = self.logs.get(id);
            // What is settled for good all have.
            let lacks = |other: &NodeId| log.is_some_and(|log| !log.held(*other).covers(held));
            others.iter().any(lacks)
        });
        if giving.left.is_empty() {
            handover.given = Some(giving.at);
            handover.giving = None;
        }
    }
}
