//! The end of logs: what of a boot that ended nobody holds, and which logs are settled for good (docs/tracking.md, section 11); and of
//! groups.

use super::Group;
use crate::topology::NodeId;
use crate::track::Boot;
use crate::track::log::Log;
use model::time::BootNanos;
use model::track::{Intervals, LogId};
use std::collections::BTreeMap;

/// A group that is quiet looks so many times more rarely.
const QUIET_LOOKS: u64 = 50;

impl Group {
    /// A node was removed from the cluster: nothing of it is taken in any more, and its logs end.
    pub fn on_removed(&mut self, node: NodeId) {
        self.boots.insert(node, Boot::MAX);
    }

    /// Finds out what of the logs of boots that ended nobody holds: once every member has said that it takes in nothing of that
    /// boot any more, and what it holds.
    pub(super) fn close_logs(&mut self) {
        let (me, fenced, peers) = (self.config.me, &self.fenced, &self.peers);
        let asked = self.asked.is_some();
        for log in self.logs.values_mut().filter(|log| !log.closed) {
            let over = |boots: &BTreeMap<NodeId, Boot>| {
                boots.get(&log.origin).is_some_and(|boot| *boot > log.boot)
            };
            // The origin itself never writes to a log of an earlier boot; but what it holds of it counts once its shards were asked.
            let mine = over(fenced) || log.origin == me && log.boot < self.config.boot;
            let ended = mine
                && asked
                && peers.iter().all(|(id, peer)| {
                    let started_anew = *id == log.origin && peer.boot > log.boot;
                    (over(&peer.boots) || started_anew) && peer.answered
                });
            if ended {
                let known = log.known();
                log.end = known.last().unwrap_or(0);
                if log.end > 0 {
                    log.void = Intervals::run(1, log.end).minus(&known);
                }
                log.closed = true;
            }
        }
    }

    /// Forgets logs that are closed and held by all, when all before them of the same origin are.
    pub(super) fn retire_logs(&mut self) {
        let mut unsettled: BTreeMap<NodeId, Boot> = self.boots.clone();
        for log in self.logs.values() {
            if !(log.closed && self.is_settled(log)) {
                let boot = unsettled.entry(log.origin).or_insert(log.boot);
                *boot = (*boot).min(log.boot);
            }
        }
        for (origin, boot) in unsettled {
            let settled = boot.saturating_sub(1);
            let gone = self
                .logs
                .iter()
                .filter(|(_, log)| log.origin == origin && log.boot <= settled);
            let gone: Vec<LogId> = gone.map(|(id, _)| *id).collect();
            if gone.is_empty() {
                continue;
            }
            // Of a boot after the last of them nothing is known: it may have logs that this member has not heard of.
            let settled = gone.iter().map(|id| id.boot()).max().unwrap_or(settled);
            for id in gone {
                self.logs.remove(&id);
            }
            self.retired.insert(origin, settled);
            self.newly_retired.push((origin, settled));
            self.version += 1;
        }
    }

    /// Takes the boots up to which logs of an origin were retired since the last call: of those this node holds everything, and so
    /// does every member.
    pub fn take_retired(&mut self) -> Vec<(NodeId, Boot)> {
        std::mem::take(&mut self.newly_retired)
    }

    /// The disk says that logs of an origin were retired up to this boot.
    pub fn on_retired(&mut self, origin: NodeId, boot: Boot) {
        let retired = self.retired.entry(origin).or_default();
        *retired = (*retired).max(boot);
        let is_gone = |log: &Log| log.origin == origin && log.boot <= boot;
        self.logs.retain(|_, log| !is_gone(log));
        self.version += 1;
    }

    /// A group that replicates nothing any more and has nothing to settle looks and speaks rarely; nobody is to be trusted in it.
    pub fn set_quiet(&mut self, is_quiet: bool, now: BootNanos) {
        if self.is_quiet && !is_quiet {
            self.next_look = now;
        }
        self.is_quiet = is_quiet;
    }

    /// A member that does not have what a quiet group says is told soon: it may have started anew, and trusts nobody before.
    pub(super) fn listen(&mut self, from: NodeId, now: BootNanos) {
        let peer = self.peers.get(&from);
        if self.is_quiet && peer.is_some_and(|peer| peer.acknowledged < self.version) {
            let soon = now.plus_millis(self.config.summary_ms);
            self.next_look = self.next_look.min(soon);
        }
    }

    pub(super) fn look_again(&mut self, now: BootNanos) {
        let looks = if self.is_quiet { QUIET_LOOKS } else { 1 };
        self.next_look = now.plus_millis(looks * self.config.summary_ms);
    }
}
