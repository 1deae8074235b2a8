//! The machine's clocks.

use model::env::Clock;
use model::time::{BootNanos, WallMicros};
use rustix::time::{ClockId, Timespec, clock_gettime};
use std::time::Duration;

/// `CLOCK_REALTIME` and `CLOCK_BOOTTIME`.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall(&self) -> WallMicros {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Realtime);
        WallMicros(tv_sec * 1_000_000 + tv_nsec / 1_000)
    }

    fn boot(&self) -> BootNanos {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Boottime);
        BootNanos(tv_sec as u64 * 1_000_000_000 + tv_nsec as u64)
    }
}

impl SystemClock {
    /// How long until a moment; zero if it is past.
    pub fn until(self, moment: BootNanos) -> Duration {
        Duration::from_nanos(moment.since(self.boot()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_advance_and_agree_on_the_century() {
        let clock = SystemClock;
        let (first, second) = (clock.boot(), clock.boot());
        assert!(second >= first);
        assert!(clock.wall().seconds() > 1_700_000_000);
        assert_eq!(clock.until(first), Duration::ZERO);
        assert!(clock.until(clock.boot().plus_millis(1000)) > Duration::from_millis(900));
    }
}
