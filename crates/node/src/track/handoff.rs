//! What operators of hints say about catching up (docs/tracking.md, sections 5 and 6): for whom the journal is kept, whether what others
//! lack is sent and fetched, and how fast.
//!
//! What must stay true: for whom nothing is kept what it lacks is owed, and so comes by repair; it is never forgotten.

use super::Shard;
use super::serve::Serving;
use crate::effects::Effects;
use cluster::topology::NodeId;
use model::time::{BootNanos, Now};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// What is configured, and what operators have said since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandoffSettings {
    /// `hinted_handoff_enabled`: whether anything is kept for members that lack it.
    pub enabled: bool,
    /// Whether what others lack is neither sent nor fetched.
    pub paused: bool,
    /// `hinted_handoff_throttle`: bytes a second that one shard sends of its journal; 0 without limit.
    pub throttle_bytes: u64,
    /// `hinted_handoff_disabled_datacenters`: for members of these nothing is kept.
    pub disabled_datacenters: BTreeSet<String>,
    /// `max_hint_window`, in milliseconds: for a member that is away for longer nothing is kept.
    pub window_ms: u64,
}

impl Default for HandoffSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            paused: false,
            throttle_bytes: 0,
            disabled_datacenters: BTreeSet::new(),
            window_ms: 3 * 3_600_000,
        }
    }
}

/// A change of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandoffChange {
    /// `enablehandoff`, `disablehandoff`.
    Enable(bool),
    /// `pausehandoff`, `resumehandoff`.
    Pause(bool),
    /// `sethintedhandoffthrottlekb`, in bytes a second.
    Throttle(u64),
    /// `enablehintsfordc`, `disablehintsfordc`.
    Datacenter(String, bool),
    /// `setmaxhintwindow`, in milliseconds.
    Window(u64),
    /// `truncatehints`: what these members lack by now is owed; what all others do if none is named.
    Truncate(Vec<NodeId>),
}

/// A shard's part in it.
#[derive(Debug, Default)]
pub(super) struct Handoff {
    pub settings: HandoffSettings,
    /// Since when members are away.
    away: BTreeMap<NodeId, BootNanos>,
    /// Members of whose journal everything is given away up to this segment.
    truncating: BTreeMap<NodeId, u64>,
    /// Nothing more is sent before.
    next_serve: BootNanos,
    /// What is sent then.
    waiting: VecDeque<Serving>,
}

/// Questions that wait for their turn, at most: the oldest is asked again anyway.
const MAX_WAITING: usize = 64;

impl Handoff {
    pub(super) fn new(settings: HandoffSettings) -> Self {
        Self {
            settings,
            ..Self::default()
        }
    }

    /// When [`Shard::tend_handoff`] has something to do.
    pub(super) fn next_deadline(&self) -> Option<BootNanos> {
        (!self.waiting.is_empty() && !self.settings.paused).then_some(self.next_serve)
    }

    /// So many bytes of the journal were sent.
    pub(super) fn sent(&mut self, bytes: usize, now: BootNanos) {
        let throttle = u128::from(self.settings.throttle_bytes);
        let nanos = (bytes as u128 * NANOS_PER_SECOND).checked_div(throttle);
        if let Some(nanos) = nanos {
            let from = self.next_serve.max(now);
            self.next_serve = BootNanos(from.0.saturating_add(nanos as u64));
        }
    }

    /// Keeps what is to be sent until that may be; gives it back if it may now.
    pub(super) fn admit(&mut self, serving: Serving, now: BootNanos) -> Option<Serving> {
        let limited = self.settings.throttle_bytes > 0 && now < self.next_serve;
        if !limited && !self.settings.paused {
            return Some(serving);
        }
        // Whoever waits asks again: the last question has what it lacks still.
        self.waiting.retain(|other| !other.is_like(&serving));
        if self.waiting.len() >= MAX_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(serving);
        None
    }
}

impl Shard {
    /// An operator says something of hints.
    pub(crate) fn change_handoff(&mut self, change: &HandoffChange) {
        let handoff = &mut self.tracking.handoff;
        let settings = &mut handoff.settings;
        match change {
            HandoffChange::Enable(enabled) => settings.enabled = *enabled,
            HandoffChange::Pause(paused) => settings.paused = *paused,
            // What was served at the rate of before is not held against the new one.
            HandoffChange::Throttle(bytes) => {
                settings.throttle_bytes = *bytes;
                handoff.next_serve = BootNanos(0);
            }
            HandoffChange::Window(millis) => settings.window_ms = *millis,
            HandoffChange::Datacenter(name, true) => {
                settings.disabled_datacenters.remove(name);
            }
            HandoffChange::Datacenter(name, false) => {
                settings.disabled_datacenters.insert(name.clone());
            }
            HandoffChange::Truncate(nodes) => {
                let own = self.topology.local;
                let all = self.topology.nodes.iter().map(|node| node.id);
                let meant = all.filter(|id| *id != own && (nodes.is_empty() || nodes.contains(id)));
                let (_, last) = self.replica.store.log_span();
                let meant = meant.map(|id| (id, last));
                self.tracking.handoff.truncating.extend(meant);
            }
        }
    }

    /// What is in force of it.
    pub(crate) fn handoff_settings(&self) -> &HandoffSettings {
        &self.tracking.handoff.settings
    }

    /// Members for which nothing is kept.
    pub(super) fn not_kept_for(&mut self, now: BootNanos) -> BTreeSet<NodeId> {
        let (first, _) = self.replica.store.log_span();
        let (own, handoff) = (self.topology.local, &mut self.tracking.handoff);
        // What goes to later segments is kept.
        handoff.truncating.retain(|_, last| first <= *last);
        let settings = &handoff.settings;
        let mut none = BTreeSet::new();
        for node in self.topology.nodes.iter().filter(|node| node.id != own) {
            if node.alive {
                handoff.away.remove(&node.id);
            }
            let is_gone = !node.alive && {
                let since = *handoff.away.entry(node.id).or_insert(now);
                now.since(since) / 1_000_000 > settings.window_ms
            };
            let is_disabled = settings.disabled_datacenters.contains(&node.datacenter);
            let is_truncated = handoff.truncating.contains_key(&node.id);
            // Who lives fetches what it lacks at this moment, and has it soon.
            let is_refused = !node.alive && (!settings.enabled || is_disabled);
            if is_refused || is_gone || is_truncated {
                none.insert(node.id);
            }
        }
        none
    }

    /// Sends what waited for its turn.
    pub(super) fn tend_handoff(&mut self, now: Now, out: &mut Effects) {
        let due = self.tracking.handoff.next_deadline();
        if due.is_some_and(|due| now.boot >= due)
            && let Some(serving) = self.tracking.handoff.waiting.pop_front()
        {
            self.read_journal(serving, now, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_paid_for_before_more_is() {
        let mut handoff = Handoff::new(HandoffSettings {
            throttle_bytes: 1 << 20,
            ..HandoffSettings::default()
        });
        let second = |seconds: u64| BootNanos(seconds * 1_000_000_000);
        handoff.sent(2 << 20, second(1));
        assert_eq!(handoff.next_serve, second(3));
        handoff.sent(1 << 20, second(9));
        assert_eq!(handoff.next_serve, second(10));
        assert_eq!(handoff.next_deadline(), None, "nothing waits");
    }
}
