//! Fetching what this member should hold by now and does not (docs/tracking.md, section 5).

use super::{Effect, Group, LogBirth};
use crate::topology::NodeId;
use model::time::BootNanos;
use model::track::Intervals;

/// Ids that one pull asks for at most.
const PULL_IDS: u64 = 4_096;
/// A pull that brought nothing for so long goes to another holder.
const PULL_MS: u64 = 2_000;

impl Group {
    /// What this node lacks and no pull can bring.
    pub fn gone(&self) -> impl Iterator<Item = (LogBirth, Intervals)> + '_ {
        let told = self.logs.iter().filter(|(_, log)| !log.gone.is_empty());
        let lost = told.map(|(id, log)| {
            let birth = LogBirth {
                log: *id,
                boot: log.boot,
            };
            (birth, log.lost(self.config.me))
        });
        lost.filter(|(_, lost)| !lost.is_empty())
    }

    /// Fetches what is overdue, the oldest first, with one pull a peer.
    pub(super) fn pull(&mut self, now: BootNanos, out: &mut Vec<Effect>) {
        let me = self.config.me;
        for peer in self.peers.values_mut() {
            let Some((id, sequences, since)) = &mut peer.pull else {
                continue;
            };
            let held = self.logs.get(id).map(|log| log.held(me));
            let left = sequences.minus(&held.unwrap_or_default());
            if left != *sequences {
                // It comes.
                (*sequences, *since) = (left, now);
            }
            if sequences.is_empty() || now.since(*since) > PULL_MS * 1_000_000 {
                peer.pull = None;
            }
        }
        for (id, log) in &self.logs {
            let mut wanted = log.overdue(me);
            let pulled = self.peers.values().filter_map(|peer| peer.pull.as_ref());
            for (_, sequences, _) in pulled.filter(|(other, ..)| other == id) {
                wanted = wanted.minus(sequences);
            }
            // The origin first: it has the newest, and what it is asked for it need not hear of from others.
            let mut holders: Vec<NodeId> = self.peers.keys().copied().collect();
            holders.sort_by_key(|holder| *holder != log.origin);
            for holder in holders {
                let mut has = wanted.both(&log.held(holder));
                if let Some(gone) = log.gone.get(&holder) {
                    has = has.minus(gone);
                }
                let has = has.first(PULL_IDS);
                let Some(peer) = self.peers.get_mut(&holder) else {
                    continue;
                };
                let limit = self.config.gate_ms * 2_000_000;
                let heard = peer.asked.heard;
                let reachable = heard.is_some_and(|heard| now.since(heard) <= limit);
                if has.is_empty() || peer.pull.is_some() || !reachable {
                    continue;
                }
                wanted = wanted.minus(&has);
                peer.pull = Some((*id, has.clone(), now));
                out.push(Effect::Pull {
                    from: holder,
                    log: LogBirth {
                        log: *id,
                        boot: log.boot,
                    },
                    sequences: has,
                });
            }
        }
    }
}
