//! One peer: from answers, misses and silence to a state.
//!
//! ```text
//!               slow, or a ping missed
//!   HEALTHY ──────────────────────────────▶ SUSPECTED ──── 3 misses in a row, or phi ────▶ CONFIRMED
//!      ▲  ◀── good answers in a row (3…24) ───┘  ▲                                         │      ▲
//!      │                                         └── (a new peer begins here)     answers (1…8)   │ 3 misses
//!      └────────────── caught up, and 3 good answers ────── RECOVERING ◀──────────────────┘───────┘
//! ```
//!
//! Why it does not flap:
//! - A conviction needs three pings in a row, 400 ms apart, without any answer, not even a late one; after a first and
//!   a second miss an extra ping is sent at once, so that chance losses have five chances to be told from an absence.
//! - Whoever answers late is slow, not away: a late answer ends the row of misses and clears no suspicion.
//! - Clearing a suspicion takes more than one good answer, and twice as many for each suspicion that came within a
//!   minute of the last; the same goes for the answers that end a conviction (one at first). A peer at the edge stays on
//!   the wrong side of it.
//! - What the detector's own process missed counts against nobody: all times here are of its own running
//!   ([`super::Detector`] stops that clock while it is paused), and after a long pause what was under way is void.

use crate::detector::arrivals::Arrivals;
use crate::detector::config::{
    CLEARING_ANSWERS, DetectorConfig, MAX_DOUBLINGS, MEDIAN_SAMPLES, RELAPSE_MS, REMEMBERED_PINGS,
    SLOW_MEDIANS, TALKED_MS,
};
use crate::detector::state::{Opinion, PeerState, Why};
use model::time::BootNanos;
use std::collections::VecDeque;

const NANOS_PER_MS: u64 = 1_000_000;

/// What became of a ping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It may still be answered in time.
    Waiting,
    /// It was not.
    Missed,
    /// An extra ping, or one sent before a long pause of this node: only its answer counts.
    Void,
    /// It was answered.
    Answered,
}

#[derive(Debug, Clone, Copy)]
struct Ping {
    nonce: u64,
    sent_at: BootNanos,
    fate: Fate,
}

/// How many relapses came one soon after the other.
#[derive(Debug, Clone, Copy, Default)]
struct Relapses {
    count: u32,
    last: Option<BootNanos>,
}

impl Relapses {
    fn record(&mut self, now: BootNanos) {
        let soon = self
            .last
            .is_some_and(|last| now.since(last) < RELAPSE_MS * NANOS_PER_MS);
        self.count = if soon { self.count + 1 } else { 0 };
        self.last = Some(now);
    }

    /// `answers`, doubled for each relapse.
    fn needed(&self, answers: u32) -> u32 {
        answers << self.count.min(MAX_DOUBLINGS)
    }
}

/// What is known of a peer.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    opinion: Opinion,
    pub arrivals: Arrivals,
    /// Whether this node shares ranges with it.
    pub neighbour: bool,
    talked_at: Option<BootNanos>,
    /// When its own ping arrived last, by the clock that others read: it reaches this node.
    pub pinged_by_at: Option<BootNanos>,
    /// When the next ping is due, while it is pinged.
    pub next_ping: Option<BootNanos>,
    pings: VecDeque<Ping>,
    round_trips_us: VecDeque<u32>,
    misses: u32,
    /// Good answers in a row.
    good: u32,
    /// Answers in a row, good or slow, since it was convicted.
    answers: u32,
    caught_up: bool,
    /// Whether it said that it stops: until it is started again its answers mean nothing.
    stopped: bool,
    /// Whether the present conviction came from pings, so that only answers end it.
    convicted_by_pings: bool,
    suspicions: Relapses,
    convictions: Relapses,
}

impl Peer {
    pub fn new(now: BootNanos) -> Self {
        Self {
            opinion: Opinion {
                state: PeerState::Suspected,
                since: now,
                why: Why::Unheard,
            },
            arrivals: Arrivals::new(now),
            neighbour: false,
            talked_at: None,
            pinged_by_at: None,
            next_ping: None,
            pings: VecDeque::new(),
            round_trips_us: VecDeque::new(),
            misses: 0,
            good: 0,
            answers: 0,
            caught_up: false,
            stopped: false,
            convicted_by_pings: false,
            suspicions: Relapses::default(),
            convictions: Relapses::default(),
        }
    }

    pub fn opinion(&self) -> Opinion {
        self.opinion
    }

    /// When the present state began, by the clock that others read.
    pub fn set_since(&mut self, since: BootNanos) {
        self.opinion.since = since;
    }

    /// Whether it is to be pinged: ranges are shared with it, it was talked to lately, or pings found it wanting.
    pub fn is_pinged(&self, now: BootNanos) -> bool {
        let talked = self
            .talked_at
            .is_some_and(|at| now.since(at) < TALKED_MS * NANOS_PER_MS);
        let state = self.opinion.state;
        self.neighbour
            || talked
            || self.convicted_by_pings
                && matches!(state, PeerState::Confirmed | PeerState::Recovering)
    }

    pub fn talked_to(&mut self, now: BootNanos) {
        self.talked_at = Some(now);
    }

    /// A ping leaves.
    pub fn ping(&mut self, nonce: u64, extra: Extra, now: BootNanos) {
        if self.pings.len() == REMEMBERED_PINGS {
            self.pings.pop_front();
        }
        self.pings.push_back(Ping {
            nonce,
            sent_at: now,
            fate: match extra {
                Extra::Yes => Fate::Void,
                Extra::No => Fate::Waiting,
            },
        });
    }

    /// The limit for answers at this time, in nanoseconds. Only asked for when an answer took longer than the least
    /// limit, so that the median is sorted out for few.
    fn slow_limit(&self, config: &DetectorConfig) -> u64 {
        let median_nanos = self.median_round_trip_us().unwrap_or(0) * 1_000;
        (config.slow_ms * NANOS_PER_MS).max(SLOW_MEDIANS * median_nanos)
    }

    /// Median of the last answers, in microseconds.
    pub fn median_round_trip_us(&self) -> Option<u64> {
        let mut sorted: Vec<u32> = self.round_trips_us.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).map(|us| u64::from(*us))
    }

    /// An answer arrived.
    pub fn on_answer(&mut self, nonce: u64, config: &DetectorConfig, now: BootNanos) {
        let Some(ping) = self.pings.iter_mut().find(|ping| ping.nonce == nonce) else {
            return;
        };
        let (fate, took) = (ping.fate, now.since(ping.sent_at));
        if fate == Fate::Answered {
            return;
        }
        ping.fate = Fate::Answered;
        self.arrivals.record(now);
        if self.stopped {
            return;
        }
        self.misses = 0;
        self.answers += 1;
        let slow_at_least = config.slow_ms * NANOS_PER_MS;
        // Of a ping that a pause of this node made void nobody knows how long the answer took.
        let limit = match fate {
            Fate::Void if took > slow_at_least => None,
            _ if took <= slow_at_least => Some(slow_at_least),
            _ => Some(self.slow_limit(config)),
        };
        if let Some(limit) = limit {
            let slow = took > limit || fate == Fate::Missed;
            self.good = if slow { 0 } else { self.good + 1 };
            self.record_round_trip(took);
            if slow && self.opinion.state == PeerState::Healthy {
                let why = Why::Slow {
                    took_ms: took / NANOS_PER_MS,
                    limit_ms: limit / NANOS_PER_MS,
                };
                self.suspect(why, now);
            }
        }
        self.reconsider(now);
    }

    fn record_round_trip(&mut self, took: u64) {
        if self.round_trips_us.len() == MEDIAN_SAMPLES {
            self.round_trips_us.pop_front();
        }
        let us = u32::try_from(took / 1_000).unwrap_or(u32::MAX);
        self.round_trips_us.push_back(us);
    }

    /// Whether what was good lately changes the state.
    fn reconsider(&mut self, now: BootNanos) {
        let clearing = self.suspicions.needed(CLEARING_ANSWERS);
        match self.opinion.state {
            PeerState::Suspected if self.opinion.why == Why::Unheard && self.good > 0 => {
                self.change(PeerState::Healthy, Why::Answered, now);
            }
            PeerState::Suspected if self.good >= clearing => {
                self.change(PeerState::Healthy, Why::Steady, now);
            }
            PeerState::Confirmed if self.answers >= self.convictions.needed(1) => {
                self.caught_up = false;
                self.change(PeerState::Recovering, Why::Answered, now);
            }
            PeerState::Recovering if self.caught_up && self.good >= CLEARING_ANSWERS => {
                self.convicted_by_pings = false;
                self.change(PeerState::Healthy, Why::CaughtUp, now);
            }
            _ => {}
        }
    }

    /// The time of a ping is over. Whether it was missed, and an extra one is due.
    pub fn on_limit(&mut self, nonce: u64, config: &DetectorConfig, now: BootNanos) -> Extra {
        let Some(ping) = self.pings.iter_mut().find(|ping| ping.nonce == nonce) else {
            return Extra::No;
        };
        if ping.fate != Fate::Waiting {
            return Extra::No;
        }
        ping.fate = Fate::Missed;
        self.good = 0;
        self.misses += 1;
        self.answers = 0;
        if self.opinion.state == PeerState::Healthy {
            self.suspect(Why::Missed, now);
        }
        if self.misses >= config.misses {
            let misses = self.misses;
            // Also what phi convicted is from now on a matter of pings.
            self.convicted_by_pings = true;
            self.convict(Why::MissedInARow { misses }, now);
        }
        match self.opinion.state {
            PeerState::Confirmed => Extra::No,
            _ => Extra::Yes,
        }
    }

    /// Its heart was seen to beat, by whomever: enough for a peer that is not pinged, and no more than that.
    pub fn on_heartbeat(&mut self, now: BootNanos) {
        self.arrivals.record(now);
        if self.stopped || self.is_pinged(now) {
            return;
        }
        self.good += 1;
        self.answers += 1;
        self.reconsider(now);
    }

    /// Silence, for all peers: the only judge of those that are not pinged, and a bound for the others.
    pub fn on_silence(&mut self, config: &DetectorConfig, now: BootNanos) {
        let phi = self.arrivals.phi(now);
        let why = Why::Silent {
            silent_ms: now.since(self.arrivals.last()) / NANOS_PER_MS,
            phi_milli: (phi * 1_000.0) as u64,
        };
        if phi >= config.phi_convict_threshold {
            if self.opinion.state != PeerState::Confirmed {
                self.convicted_by_pings = self.is_pinged(now);
                self.convict(why, now);
            }
        } else if phi >= config.phi_convict_threshold / 2.0
            && self.opinion.state == PeerState::Healthy
        {
            self.suspect(why, now);
        }
    }

    fn suspect(&mut self, why: Why, now: BootNanos) {
        self.suspicions.record(now);
        self.good = 0;
        self.change(PeerState::Suspected, why, now);
    }

    fn convict(&mut self, why: Why, now: BootNanos) {
        if self.opinion.state == PeerState::Confirmed {
            return;
        }
        self.convictions.record(now);
        self.answers = 0;
        self.good = 0;
        self.change(PeerState::Confirmed, why, now);
    }

    /// It said that it stops: nobody needs to wait for three misses.
    pub fn on_stop(&mut self, now: BootNanos) {
        self.stopped = true;
        self.convicted_by_pings = self.is_pinged(now);
        self.convict(Why::Stopped, now);
    }

    /// It was started again: what it missed is not known, so it has to catch up.
    pub fn on_restart(&mut self, now: BootNanos) {
        self.stopped = false;
        self.caught_up = false;
        self.good = 0;
        if self.opinion.state.is_up() && self.opinion.state != PeerState::Recovering {
            self.change(PeerState::Recovering, Why::Restarted, now);
        }
    }

    /// Everything it missed has been handed to it.
    pub fn on_caught_up(&mut self, now: BootNanos) {
        if self.opinion.state == PeerState::Recovering {
            self.caught_up = true;
            self.reconsider(now);
        }
    }

    /// This node was paused for so long that its connections may be gone: what waited is void, and the row of misses
    /// ends.
    pub fn on_long_pause(&mut self) {
        self.misses = 0;
        let waiting = |ping: &&mut Ping| ping.fate == Fate::Waiting;
        for ping in self.pings.iter_mut().filter(waiting) {
            ping.fate = Fate::Void;
        }
    }

    fn change(&mut self, state: PeerState, why: Why, now: BootNanos) {
        let since = now;
        self.opinion = Opinion { state, since, why };
    }
}

/// Whether a ping is one beside the regular ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extra {
    Yes,
    No,
}
