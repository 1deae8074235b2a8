//! When a round is due and whom it goes to.
//!
//! The time between rounds grows with the cluster ([`round_ms`]), so the cost of gossip does not. A round goes to one
//! random live peer. On top, at most once a second: a node that is away, with the chance `away / (live + 1)`, and a
//! seed, with the chance `seeds / (live + away)` or if fewer nodes are live than there are seeds; these are Cassandra's
//! chances, and what lets islands merge and a node that knows nobody begin.

use crate::gossip::config::{ANNOUNCE_PEERS, HEARTBEAT_MS, SIDE_ROUND_MS, SILENT_MS, round_ms};
use crate::gossip::state::Status;
use crate::gossip::{Effect, Endpoint, Gossip};
use model::env::Random;
use model::time::BootNanos;
use std::net::SocketAddr;

/// Draws before all endpoints are looked at.
const DRAWS: usize = 8;

/// A kind of endpoints.
type Which = fn(&Gossip, &Endpoint, BootNanos) -> bool;

/// When what is due.
#[derive(Debug)]
pub(super) struct Rounds {
    beat_at: BootNanos,
    round_at: BootNanos,
    side_at: BootNanos,
}

impl Rounds {
    pub fn new(now: BootNanos) -> Self {
        Self {
            beat_at: now,
            round_at: now,
            side_at: now,
        }
    }

    pub fn next_deadline(&self) -> BootNanos {
        self.beat_at.min(self.round_at).min(self.side_at)
    }

    /// Whether the heart beats now. After a pause it beats once: nobody was there to beat.
    pub fn beat_is_due(&mut self, now: BootNanos) -> bool {
        let due = now >= self.beat_at;
        if due {
            self.beat_at = now.plus_millis(HEARTBEAT_MS);
        }
        due
    }
}

/// A number below `bound`, which is not zero.
pub(super) fn below(random: &mut dyn Random, bound: usize) -> usize {
    assert!(bound > 0, "nothing is below zero");
    ((u128::from(random.next_u64()) * bound as u128) >> 64) as usize
}

impl Gossip {
    /// Begins the rounds that are due.
    pub(super) fn begin_rounds(
        &mut self,
        now: BootNanos,
        random: &mut dyn Random,
        effects: &mut Vec<Effect>,
    ) {
        if now >= self.rounds.round_at {
            // A tenth of chance keeps nodes that were started together from asking together for ever.
            let period = round_ms(self.roster.len());
            let spread = below(random, period as usize / 5) as u64;
            self.rounds.round_at = now.plus_millis(period - period / 10 + spread);
            if let Some(peer) = self.pick(now, Self::is_live, random) {
                self.send_syn(peer, random, effects);
            }
        }
        if now >= self.rounds.side_at {
            self.rounds.side_at = now.plus_millis(SIDE_ROUND_MS);
            self.side_round(now, random, effects);
        }
    }

    fn side_round(&mut self, now: BootNanos, random: &mut dyn Random, effects: &mut Vec<Effect>) {
        let live = self.count(now, Self::is_live);
        let away = self.count(now, Self::is_away);
        if away > 0
            && below(random, live + 1) < away
            && let Some(peer) = self.pick(now, Self::is_away, random)
        {
            self.send_syn(peer, random, effects);
        }
        let own = self.address;
        let seeds: Vec<SocketAddr> = self
            .seeds
            .iter()
            .copied()
            .filter(|seed| *seed != own)
            .collect();
        if !seeds.is_empty() && (live < seeds.len() || below(random, live + away) < seeds.len()) {
            let seed = seeds[below(random, seeds.len())];
            self.send_syn(seed, random, effects);
        }
    }

    /// Tells several peers at once: for what cannot wait for rounds, such as [`Status::Shutdown`]. They ask back for
    /// what is new, so the node must still answer for a moment.
    pub fn announce(&mut self, now: BootNanos, random: &mut dyn Random, effects: &mut Vec<Effect>) {
        let live = self.count(now, Self::is_live);
        let start = if live == 0 { 0 } else { below(random, live) };
        for step in 0..live.min(ANNOUNCE_PEERS) {
            if let Some(peer) = self.nth(now, Self::is_live, (start + step) % live) {
                self.send_syn(peer, random, effects);
            }
        }
    }

    fn is_live(&self, endpoint: &Endpoint, now: BootNanos) -> bool {
        endpoint.reachable
            && now.since(endpoint.heard_at) < SILENT_MS * 1_000_000
            && endpoint.address() != self.address
            && !has_gone(endpoint)
    }

    /// Away, but expected back.
    fn is_away(&self, endpoint: &Endpoint, now: BootNanos) -> bool {
        endpoint.address() != self.address && !has_gone(endpoint) && !self.is_live(endpoint, now)
    }

    fn count(&self, now: BootNanos, which: Which) -> usize {
        self.roster
            .iter()
            .filter(|endpoint| which(self, endpoint, now))
            .count()
    }

    fn nth(&self, now: BootNanos, which: Which, n: usize) -> Option<SocketAddr> {
        let mut those = self
            .roster
            .iter()
            .filter(|endpoint| which(self, endpoint, now));
        those.nth(n).map(Endpoint::address)
    }

    /// A random one of those, each as likely as another.
    fn pick(&self, now: BootNanos, which: Which, random: &mut dyn Random) -> Option<SocketAddr> {
        // Nearly all are live nearly always: a few draws find one without a look at all.
        for _ in 0..DRAWS {
            let endpoint = self.roster.at(below(random, self.roster.len()));
            if which(self, endpoint, now) {
                return Some(endpoint.address());
            }
        }
        match self.count(now, which) {
            0 => None,
            those => self.nth(now, which, below(random, those)),
        }
    }
}

/// Whether a node does not come back in this life, by its own word.
fn has_gone(endpoint: &Endpoint) -> bool {
    matches!(Gossip::status(endpoint), Status::Left | Status::Removed)
}
