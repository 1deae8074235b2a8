//! When a member is fresh (section 8), and up to when its group is proved equal (section 9).

use crate::topology::NodeId;
use model::time::BootNanos;
use model::track::LogId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What was asked of another member, and when.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    /// Nonces that were not answered yet, with the moment at which each was sent.
    sent: VecDeque<(u64, BootNanos)>,
    /// The latest moment that a state of the member is known to be as of.
    pub heard: Option<BootNanos>,
}

impl Asked {
    /// Bound of nonces that are remembered: of a member that is away the newest are of no more use than the oldest.
    const MOST: usize = 64;

    /// A nonce is sent.
    pub fn ask(&mut self, nonce: u64, now: BootNanos) {
        if self.sent.len() == Self::MOST {
            self.sent.remove(Self::MOST / 2);
        }
        self.sent.push_back((nonce, now));
    }

    /// The member answers up to a nonce.
    pub fn answered(&mut self, nonce: u64) {
        while let Some((sent, at)) = self.sent.front()
            && *sent <= nonce
        {
            self.heard = Some(self.heard.map_or(*at, |heard| heard.max(*at)));
            self.sent.pop_front();
        }
    }
}

/// For which reads a member may be trusted, or what it hears a majority of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Freshness {
    /// Any: of all members.
    pub all: bool,
    /// Those of its data centre, which speak of what was acknowledged there.
    pub local: bool,
    /// Whether it lacks what it should hold by now: then it is fresh for none.
    pub behind: bool,
}

/// What was so at the last look.
#[derive(Debug, Clone, Default)]
pub(super) struct Gate {
    /// Of whom a majority was heard of late.
    pub hearing: Freshness,
    /// For what this member is fresh.
    pub fresh: Freshness,
}

/// An attempt to prove that all members hold everything up to a moment.
#[derive(Debug, Clone)]
pub(super) struct Proof {
    /// The moment.
    pub at: BootNanos,
    /// Ends of the logs as of that moment or later.
    pub ends: BTreeMap<LogId, u64>,
    /// Members that were not heard since.
    pub waiting: BTreeSet<NodeId>,
}
