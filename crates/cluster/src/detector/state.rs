//! What is thought of a peer, and why.

use model::time::BootNanos;
use std::fmt;

/// What is thought of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerState {
    /// It answers, and holds what it should.
    Healthy,
    /// It is slow, missed a ping, or was never heard of: others are preferred.
    Suspected,
    /// It is away: requests do not wait for it.
    Confirmed,
    /// It answers again, but has not caught up: it takes writes, its reads are not trusted.
    Recovering,
}

impl PeerState {
    /// Whether requests may be sent to it: what drivers are told as UP.
    pub fn is_up(self) -> bool {
        self != Self::Confirmed
    }
}

impl fmt::Display for PeerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "HEALTHY",
            Self::Suspected => "SUSPECTED",
            Self::Confirmed => "CONFIRMED",
            Self::Recovering => "RECOVERING",
        })
    }
}

/// Why a peer's state is what it is. Durations in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Nothing was heard of it yet.
    Unheard,
    /// An answer took longer than it may.
    Slow {
        /// How long it took.
        took_ms: u64,
        /// The limit at that time.
        limit_ms: u64,
    },
    /// A ping was not answered in time.
    Missed,
    /// So many pings in a row were not answered in time.
    MissedInARow {
        /// How many.
        misses: u32,
    },
    /// No news came for so long that phi reached its threshold (the part of it in thousandths).
    Silent {
        /// How long nothing came.
        silent_ms: u64,
        /// Phi, in thousandths.
        phi_milli: u64,
    },
    /// It said that it stops.
    Stopped,
    /// It answered, or its heart was seen to beat.
    Answered,
    /// It answered well for long enough.
    Steady,
    /// It was started again: what it missed is not known yet.
    Restarted,
    /// It answers and has caught up.
    CaughtUp,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unheard => write!(f, "not heard of yet"),
            Self::Slow { took_ms, limit_ms } => {
                write!(f, "an answer took {took_ms} ms, more than {limit_ms} ms")
            }
            Self::Missed => write!(f, "a ping was not answered in time"),
            Self::MissedInARow { misses } => {
                write!(f, "{misses} pings in a row were not answered in time")
            }
            Self::Silent {
                silent_ms,
                phi_milli,
            } => write!(
                f,
                "no news for {silent_ms} ms, phi {}.{:03}",
                phi_milli / 1_000,
                phi_milli % 1_000
            ),
            Self::Stopped => write!(f, "it said that it stops"),
            Self::Answered => write!(f, "it answers again"),
            Self::Steady => write!(f, "it answers well"),
            Self::Restarted => write!(f, "it was started again"),
            Self::CaughtUp => write!(f, "it has caught up"),
        }
    }
}

/// A state with its reason and its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opinion {
    /// What is thought.
    pub state: PeerState,
    /// Since when.
    pub since: BootNanos,
    /// Why.
    pub why: Why,
}
