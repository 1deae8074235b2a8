//! Phi accrual: how unlikely the silence of a peer has become (Hayashibara et al., "The φ accrual failure detector",
//! 2004), as Cassandra computes it.
//!
//! With arrivals that follow an exponential distribution, phi = elapsed / mean / ln 10: at 8, Cassandra's threshold, a
//! peer whose news come every second has been silent for 18 s, and the chance of being wrong is 1 in 10⁸. The mean is
//! smoothed exponentially instead of kept in a window, and never below a second, the beat of a heart: pongs come more
//! often, but a peer that is no longer pinged has only heartbeats to be known by.

use model::time::BootNanos;
use std::f64::consts::LN_10;

/// What the mean begins with, before anything has arrived: twice a heartbeat.
const INITIAL_NANOS: u64 = 2_000_000_000;
/// Least mean.
const FLOOR_NANOS: u64 = 1_000_000_000;
/// An interval counts at most this much: an outage is no rhythm.
const CEILING_NANOS: u64 = 5_000_000_000;
/// Each interval has this part in the mean.
const SMOOTHING: u64 = 32;

/// The arrivals of news of one peer.
#[derive(Debug, Clone)]
pub(super) struct Arrivals {
    last: BootNanos,
    mean_nanos: u64,
}

impl Arrivals {
    /// Begins to listen.
    pub fn new(now: BootNanos) -> Self {
        Self {
            last: now,
            mean_nanos: INITIAL_NANOS,
        }
    }

    /// News arrived.
    pub fn record(&mut self, now: BootNanos) {
        let interval = now.since(self.last).min(CEILING_NANOS);
        self.mean_nanos = self.mean_nanos - self.mean_nanos / SMOOTHING + interval / SMOOTHING;
        self.last = now;
    }

    /// When news arrived last.
    pub fn last(&self) -> BootNanos {
        self.last
    }

    /// How unlikely the silence is: the chance that the peer is alive is 10^-phi.
    pub fn phi(&self, now: BootNanos) -> f64 {
        let mean = self.mean_nanos.max(FLOOR_NANOS);
        now.since(self.last) as f64 / mean as f64 / LN_10
    }
}
