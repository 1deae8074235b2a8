//! The detector's limits: those of the incident that Helenus was built after, and what they must satisfy together.

/// What an operator may set. The defaults find a dead peer within 2 s and spare one that was paused for 1 s.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DetectorConfig {
    /// From one ping to the next; the next does not wait for an answer.
    pub ping_interval_ms: u64,
    /// A ping without an answer after this time is missed.
    pub ping_limit_ms: u64,
    /// Misses in a row that mean the peer is away.
    pub misses: u32,
    /// An answer later than this, or than three times the peer's median if that is more, is slow.
    pub slow_ms: u64,
    /// Phi from which a peer that is not pinged is away: Cassandra's `phi_convict_threshold`.
    pub phi_convict_threshold: f64,
}

impl Default for DetectorConfig {
    fn default() -> Self {
        Self {
            ping_interval_ms: 400,
            ping_limit_ms: 500,
            misses: 3,
            slow_ms: 300,
            phi_convict_threshold: 8.0,
        }
    }
}

/// A peer that was talked to within this time is pinged.
pub const TALKED_MS: u64 = 10_000;
/// How many times its median a peer's answer may take before it is slow.
pub const SLOW_MEDIANS: u64 = 3;
/// Good answers in a row that clear a suspicion, at first.
pub const CLEARING_ANSWERS: u32 = 3;
/// Each suspicion, and each conviction, within this time of the one before doubles the answers that clear it.
pub const RELAPSE_MS: u64 = 60_000;
/// At most this many doublings.
pub const MAX_DOUBLINGS: u32 = 3;
/// The detector asks to be called at least this often, so that it notices when it was not.
pub const WATCH_MS: u64 = 100;
/// Calls further apart than this mean that this process did not run between them. Less than this on top of a peer's
/// usual answer does not make it slow.
pub const OWN_PAUSE_MS: u64 = 200;
/// After a pause of so long connections may be gone: what was under way is void.
pub const LONG_PAUSE_MS: u64 = 5_000;
/// How often phi is looked at.
pub const PHI_INTERVAL_MS: u64 = 500;
/// Pings of which the fate is remembered for each peer, so that late answers are recognised.
pub const REMEMBERED_PINGS: usize = 32;
/// Answers the median is taken of.
pub const MEDIAN_SAMPLES: usize = 63;
/// A peer whose ping arrived within this time reaches this node. Less than a conviction takes, or the last pings before
/// a cut would pass for ones after it.
pub const PINGED_BY_MS: u64 = 1_000;

const _: () = assert!(WATCH_MS < OWN_PAUSE_MS);
