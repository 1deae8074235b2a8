//! One log, as a member of its group sees it.

use super::Boot;
use crate::topology::NodeId;
use model::time::BootNanos;
use model::track::{Intervals, LogId};
use std::collections::{BTreeMap, VecDeque};

/// A log: who holds what of it.
#[derive(Debug, Clone)]
pub(super) struct Log {
    /// Whose shard coordinates it.
    pub origin: NodeId,
    /// In which boot.
    pub boot: Boot,
    /// The last sequence that this node has heard of.
    pub end: u64,
    /// What each member holds, this one included.
    pub held: BTreeMap<NodeId, Intervals>,
    /// What nobody holds and nobody will.
    pub void: Intervals,
    /// Whether the void is known: then `end` is final.
    pub closed: bool,
    /// What holders have no payload of any more, by holder.
    pub gone: BTreeMap<NodeId, Intervals>,
    /// What was known to exist, at moments of the last while.
    known: VecDeque<(BootNanos, Intervals)>,
    /// The last of those that is old enough for this node to be expected to hold it.
    due: Intervals,
    /// Version of this node's state in which its part of it last changed.
    pub version: u64,
}

impl Log {
    pub fn new(log: LogId, boot: Boot) -> Self {
        Self {
            origin: NodeId(log.node()),
            boot,
            end: 0,
            held: BTreeMap::new(),
            void: Intervals::default(),
            closed: false,
            gone: BTreeMap::new(),
            known: VecDeque::new(),
            due: Intervals::default(),
            version: 0,
        }
    }

    /// What a member holds.
    pub fn held(&self, member: NodeId) -> Intervals {
        self.held.get(&member).cloned().unwrap_or_default()
    }

    /// Adds to what a member holds; returns whether that is new.
    pub fn hold(&mut self, member: NodeId, more: &Intervals) -> bool {
        let held = self.held.entry(member).or_default();
        if held.covers(more) {
            return false;
        }
        held.union(more);
        self.end = self.end.max(more.last().unwrap_or(0));
        true
    }

    /// What anybody holds.
    pub fn known(&self) -> Intervals {
        let mut known = Intervals::default();
        self.held.values().for_each(|held| known.union(held));
        known
    }

    /// What all these members hold, or nobody ever will.
    pub fn reconciled(&self, members: &[NodeId]) -> Intervals {
        let mut all = Intervals::default();
        if self.end > 0 {
            all.insert(1, self.end);
        }
        for member in members {
            let mut accounted = self.held(*member);
            accounted.union(&self.void);
            all = all.both(&accounted);
        }
        all
    }

    /// Whether a member has everything there is up to `end`.
    pub fn is_complete(&self, member: NodeId, end: u64) -> bool {
        if end == 0 {
            return true;
        }
        let mut accounted = self.held(member);
        accounted.union(&self.void);
        accounted.covers(&Intervals::run(1, end))
    }

    /// Notes what is known now, of which this node is expected to hold in `grace` nanoseconds what it does not hold yet; at once if
    /// `at_once`.
    pub fn age(&mut self, me: NodeId, now: BootNanos, grace: u64, at_once: bool) {
        let known = self.known();
        if at_once {
            self.known.clear();
            self.due = known;
            return;
        }
        if self.held.get(&me).is_some_and(|held| held.covers(&known)) {
            self.known.clear();
            self.due = known;
            return;
        }
        if self.known.back().is_none_or(|(_, last)| *last != known) {
            self.known.push_back((now, known));
        }
        while let Some((at, _)) = self.known.front()
            && now.since(*at) >= grace
            && let Some((_, known)) = self.known.pop_front()
        {
            self.due = known;
        }
    }

    /// What a member lacks and no holder has a payload of: repair brings it.
    pub fn lost(&self, member: NodeId) -> Intervals {
        let mut lost = self.known().minus(&self.held(member));
        for (holder, held) in &self.held {
            let left = match self.gone.get(holder) {
                Some(gone) => held.minus(gone),
                None => held.clone(),
            };
            lost = lost.minus(&left);
        }
        lost
    }

    /// What this node should hold by now and does not.
    pub fn overdue(&self, me: NodeId) -> Intervals {
        let empty = Intervals::default();
        let held = self.held.get(&me).unwrap_or(&empty);
        self.due.minus(held)
    }
}
