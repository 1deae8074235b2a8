//! The partition detector: what to think of each peer, in about two seconds and without false alarms.
//!
//! Peers that this node shares ranges with, or talked to in the last 10 s, are pinged every 400 ms, without waiting for
//! the answer to the ping before. [`peer`] says how answers and misses become HEALTHY, SUSPECTED, CONFIRMED and
//! RECOVERING, and why that does not flap. Peers that are not pinged are known by their heartbeats, which gossip brings
//! from whomever; silence is weighed by phi accrual ([`arrivals`]).
//!
//! The arithmetic, with the default limits: a peer that dies right after an answer gets its next ping within 400 ms; the
//! third that it does not answer leaves 800 ms later and is missed 500 ms after that: CONFIRMED after at most 1.7 s. Of
//! a peer that is paused for 1 s the pings of the first 0.5 s plus a round trip are missed: two of them, for round
//! trips up to 300 ms.
//!
//! The owner calls [`Detector::tick`] at [`Detector::next_deadline`], at least every 100 ms, after it has handed over
//! what arrived before. When calls are more than 200 ms apart, this process did not run between them. Inside, time is
//! *running time*: the boot clock less all such pauses. So a pause counts against nobody, whatever was under way, and a
//! detector that stumbles every second still finds the dead. [`Effect::OwnPause`] tells, because then this node itself
//! is not fresh.
//!
//! What must stay true:
//! - Every change of a peer's state is told exactly once ([`Effect::Changed`]); changes of one peer form a chain.
//! - A peer is CONFIRMED only after three pings in a row without answer, by phi, or by its own word.
//! - A peer that is CONFIRMED, or was started again, is HEALTHY again only after [`Detector::caught_up`].

mod arrivals;
pub mod config;
pub mod matrix;
mod peer;
pub mod state;

#[cfg(test)]
mod tests;

pub use config::DetectorConfig;
pub use state::{Opinion, PeerState, Why};

use crate::gossip::state::Unreachable;
use crate::topology::NodeId;
use config::{LONG_PAUSE_MS, OWN_PAUSE_MS, PHI_INTERVAL_MS, PINGED_BY_MS, WATCH_MS};
use model::time::BootNanos;
use peer::{Extra, Peer};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// What the detector wants done, or known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Send a ping, ahead of bulk; the peer sends the nonce back, answered by its shards in turn.
    Ping {
        /// To whom.
        peer: NodeId,
        /// To be returned.
        nonce: u64,
    },
    /// A peer's state changed.
    Changed {
        /// Whose.
        peer: NodeId,
        /// What it was.
        from: PeerState,
        /// What it is.
        to: PeerState,
        /// When.
        at: BootNanos,
        /// Why.
        why: Why,
    },
    /// This process did not run for so long: what it knows is as old.
    OwnPause {
        /// How long, in milliseconds.
        millis: u64,
    },
}

/// All that is known of a peer at a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What is thought of it.
    pub opinion: Opinion,
    /// Whether it is pinged; else it is known by hearsay.
    pub pinged: bool,
    /// Median of the last answers, in microseconds; none if it never answered.
    pub median_round_trip_us: Option<u64>,
    /// How unlikely its silence is.
    pub phi: f64,
    /// For how long no news of it came, its own or others', not counting pauses of this process.
    pub silent_ms: u64,
    /// When its own ping arrived last.
    pub pinged_by_at: Option<BootNanos>,
}

/// The machine: answers, heartbeats and time in, [`Effect`]s out.
#[derive(Debug)]
pub struct Detector {
    config: DetectorConfig,
    peers: BTreeMap<NodeId, Peer>,
    /// When which ping is due or over, in running time like all that is stored but not marked. Entries of peers that are gone or not pinged any more are skipped.
    timers: BinaryHeap<Reverse<(BootNanos, NodeId, Timer)>>,
    phi_at: BootNanos,
    /// By the boot clock.
    last_call: BootNanos,
    /// How long this process did not run, of all that the boot clock shows.
    paused_nanos: u64,
    next_nonce: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The time of the ping with this nonce is over.
    Limit(u64),
    /// The next ping is due.
    Ping,
}

impl Detector {
    /// A detector without peers.
    pub fn new(config: DetectorConfig, now: BootNanos) -> Self {
        Self {
            config,
            peers: BTreeMap::new(),
            timers: BinaryHeap::new(),
            phi_at: now.plus_millis(PHI_INTERVAL_MS),
            last_call: now,
            paused_nanos: 0,
            next_nonce: 1,
        }
    }

    /// A member to be judged. It is SUSPECTED until it is first heard of.
    pub fn watch(&mut self, peer: NodeId, now: BootNanos) {
        let running = self.running(now);
        self.peers.entry(peer).or_insert_with(|| {
            let mut fresh = Peer::new(running);
            fresh.set_since(now);
            fresh
        });
    }

    /// A member no more.
    pub fn forget(&mut self, peer: NodeId) {
        self.peers.remove(&peer);
    }

    /// The peers this node shares ranges with, all of them; those that are not watched yet are from now on.
    pub fn set_neighbours(&mut self, neighbours: &BTreeSet<NodeId>, now: BootNanos) {
        for &peer in neighbours {
            self.watch(peer, now);
        }
        for (id, peer) in &mut self.peers {
            peer.neighbour = neighbours.contains(id);
        }
        let running = self.running(now);
        for &peer in neighbours {
            self.begin_pings(peer, running);
        }
    }

    /// Running time.
    fn running(&self, now: BootNanos) -> BootNanos {
        BootNanos(now.0.saturating_sub(self.paused_nanos))
    }

    /// A request was sent to a peer. Cheap enough to be told of each.
    pub fn talked_to(&mut self, peer: NodeId, now: BootNanos) {
        let now = self.running(now);
        if let Some(known) = self.peers.get_mut(&peer) {
            known.talked_to(now);
            if known.next_ping.is_none() {
                self.begin_pings(peer, now);
            }
        }
    }

    /// Pings a peer from now on, if it is to be pinged and is not yet; the first ping at a moment of its own, so that
    /// not all leave together.
    fn begin_pings(&mut self, id: NodeId, now: BootNanos) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        if peer.next_ping.is_none() && peer.is_pinged(now) {
            let interval = self.config.ping_interval_ms.max(1);
            let offset = u64::from(id.0).wrapping_mul(0x9e37_79b9) % interval;
            let at = now.plus_millis(offset);
            peer.next_ping = Some(at);
            self.timers.push(Reverse((at, id, Timer::Ping)));
        }
    }

    /// When [`Self::tick`] is due next.
    pub fn next_deadline(&self) -> BootNanos {
        let timer = self.timers.peek().map(|Reverse((at, _, _))| *at);
        let running = timer.map_or(self.phi_at, |timer| timer.min(self.phi_at));
        BootNanos(running.0 + self.paused_nanos).min(self.last_call.plus_millis(WATCH_MS))
    }

    /// Time has passed.
    pub fn tick(&mut self, now: BootNanos, effects: &mut Vec<Effect>) {
        self.notice_own_pause(now, effects);
        let running = self.running(now);
        let config = self.config;
        while let Some(&Reverse((at, id, timer))) = self.timers.peek()
            && at <= running
        {
            self.timers.pop();
            match timer {
                Timer::Ping => self.on_ping_due(id, at, running, effects),
                Timer::Limit(nonce) => {
                    let extra = self.judge(id, now, effects, |peer, running| {
                        peer.on_limit(nonce, &config, running)
                    });
                    if extra == Some(Extra::Yes) {
                        self.send_ping(id, Extra::Yes, running, effects);
                    }
                }
            }
        }
        if running >= self.phi_at {
            self.phi_at = running.plus_millis(PHI_INTERVAL_MS);
            let ids: Vec<NodeId> = self.peers.keys().copied().collect();
            for id in ids {
                self.judge(id, now, effects, |peer, running| {
                    peer.on_silence(&config, running);
                });
                self.begin_pings(id, running);
            }
        }
    }

    fn on_ping_due(
        &mut self,
        id: NodeId,
        at: BootNanos,
        now: BootNanos,
        effects: &mut Vec<Effect>,
    ) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        // A timer of before a pause, or of before the peer was forgotten and watched again.
        if peer.next_ping != Some(at) {
            return;
        }
        if !peer.is_pinged(now) {
            peer.next_ping = None;
            return;
        }
        // Counted from when this one was due, so that being a little late each time does not add up.
        let interval = self.config.ping_interval_ms;
        let next = at.plus_millis(interval);
        let next = if next > now {
            next
        } else {
            now.plus_millis(interval)
        };
        peer.next_ping = Some(next);
        self.timers.push(Reverse((next, id, Timer::Ping)));
        self.send_ping(id, Extra::No, now, effects);
    }

    fn send_ping(&mut self, id: NodeId, extra: Extra, now: BootNanos, effects: &mut Vec<Effect>) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let nonce = self.next_nonce;
        self.next_nonce += 1;
        peer.ping(nonce, extra, now);
        if extra == Extra::No {
            let limit = now.plus_millis(self.config.ping_limit_ms);
            self.timers.push(Reverse((limit, id, Timer::Limit(nonce))));
        }
        effects.push(Effect::Ping { peer: id, nonce });
    }

    /// The answer to a ping.
    pub fn on_pong(&mut self, peer: NodeId, nonce: u64, now: BootNanos, effects: &mut Vec<Effect>) {
        self.notice_own_pause(now, effects);
        let config = self.config;
        self.judge(peer, now, effects, |peer, running| {
            peer.on_answer(nonce, &config, running);
        });
    }

    /// A peer's ping: proof that it reaches this node, which says nothing about the way back.
    pub fn on_ping(&mut self, peer: NodeId, now: BootNanos) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.pinged_by_at = Some(now);
        }
    }

    /// Gossip has seen a peer's heart beat ([`crate::gossip::Effect::Heard`]).
    pub fn on_heartbeat(&mut self, peer: NodeId, now: BootNanos, effects: &mut Vec<Effect>) {
        self.notice_own_pause(now, effects);
        self.judge(peer, now, effects, |peer, running| {
            peer.on_heartbeat(running)
        });
    }

    /// A peer said that it stops ([`crate::gossip::state::Status::Shutdown`]): it is CONFIRMED at once, and stays so until
    /// it is started again, though it may answer to the last.
    pub fn on_stop(&mut self, peer: NodeId, now: BootNanos, effects: &mut Vec<Effect>) {
        self.notice_own_pause(now, effects);
        self.judge(peer, now, effects, |peer, running| peer.on_stop(running));
    }

    /// Gossip knows a peer in a later life ([`crate::gossip::Effect::Restarted`]).
    pub fn on_restart(&mut self, peer: NodeId, now: BootNanos, effects: &mut Vec<Effect>) {
        self.notice_own_pause(now, effects);
        self.judge(peer, now, effects, |peer, running| peer.on_restart(running));
    }

    /// A RECOVERING peer has been handed everything it missed: nothing is hinted or owed to it.
    pub fn caught_up(&mut self, peer: NodeId, now: BootNanos, effects: &mut Vec<Effect>) {
        self.notice_own_pause(now, effects);
        self.judge(peer, now, effects, |peer, running| {
            peer.on_caught_up(running);
        });
    }

    /// Lets something happen to a peer, and tells if that changed its state.
    fn judge<T>(
        &mut self,
        id: NodeId,
        now: BootNanos,
        effects: &mut Vec<Effect>,
        happens: impl FnOnce(&mut Peer, BootNanos) -> T,
    ) -> Option<T> {
        let running = self.running(now);
        let peer = self.peers.get_mut(&id)?;
        let from = peer.opinion().state;
        let result = happens(peer, running);
        let Opinion { state: to, why, .. } = peer.opinion();
        if from != to {
            peer.set_since(now);
            effects.push(Effect::Changed {
                peer: id,
                from,
                to,
                at: now,
                why,
            });
        }
        Some(result)
    }

    /// Calls much further apart than this detector asked for: nobody ran here meanwhile.
    fn notice_own_pause(&mut self, now: BootNanos, effects: &mut Vec<Effect>) {
        let apart = now.since(self.last_call);
        self.last_call = self.last_call.max(now);
        if apart <= OWN_PAUSE_MS * 1_000_000 {
            return;
        }
        self.paused_nanos += apart;
        let millis = apart / 1_000_000;
        effects.push(Effect::OwnPause { millis });
        if millis >= LONG_PAUSE_MS {
            self.peers.values_mut().for_each(Peer::on_long_pause);
        }
    }

    /// What is thought of a peer; nothing of one that is not watched.
    pub fn opinion(&self, peer: NodeId) -> Option<Opinion> {
        self.peers.get(&peer).map(Peer::opinion)
    }

    /// All that is known of a peer.
    pub fn report(&self, peer: NodeId, now: BootNanos) -> Option<Report> {
        let peer = self.peers.get(&peer)?;
        let now = self.running(now);
        Some(Report {
            opinion: peer.opinion(),
            pinged: peer.is_pinged(now),
            median_round_trip_us: peer.median_round_trip_us(),
            phi: peer.arrivals.phi(now),
            silent_ms: now.since(peer.arrivals.last()) / 1_000_000,
            pinged_by_at: peer.pinged_by_at,
        })
    }

    /// The watched peers with what is thought of them.
    pub fn peers(&self) -> impl Iterator<Item = (NodeId, Opinion)> {
        self.peers.iter().map(|(id, peer)| (*id, peer.opinion()))
    }

    /// The peers this node cannot reach, ascending, each with whether its own pings still arrive: the row of the
    /// reachability matrix that gossip spreads. To be computed anew, and spread if it changed, once a second.
    pub fn unreachable(&self, now: BootNanos) -> Vec<Unreachable> {
        let recent = |at: BootNanos| now.since(at) < PINGED_BY_MS * 1_000_000;
        self.peers
            .iter()
            .filter(|(_, peer)| peer.opinion().state == PeerState::Confirmed)
            .map(|(id, peer)| Unreachable {
                node: *id,
                heard: peer.pinged_by_at.is_some_and(recent),
            })
            .collect()
    }
}
