//! Time has types, so that a wall clock cannot be compared with a boot clock by mistake.

use serde::{Deserialize, Serialize};

/// Wall clock, microseconds since 1970-01-01 UTC: write timestamps, TTLs. May jump; never used for waiting.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct WallMicros(pub i64);

impl WallMicros {
    /// Whole seconds, the unit of TTLs and local deletion times.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Whole milliseconds, the unit of the CQL type `timestamp`.
    pub fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }
}

/// Nanoseconds since the machine started, pauses included (`CLOCK_BOOTTIME`): timeouts and the detection of pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BootNanos(pub u64);

impl BootNanos {
    /// This moment plus a number of milliseconds.
    pub fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis.saturating_mul(1_000_000)))
    }

    /// Nanoseconds from `earlier` to this moment; zero if it is later.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Both clocks, read once per wake-up and handed down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Wall clock.
    pub wall: WallMicros,
    /// Boot-time clock.
    pub boot: BootNanos,
}
