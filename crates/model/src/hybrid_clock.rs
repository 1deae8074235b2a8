//! The node's clock for write timestamps: the wall clock, but never the same or an earlier value twice, also after a
//! restart with a wall clock that was set back. For that every sync of the commit log records what was given so far, and
//! a start observes it before anybody serves. Clients' own timestamps are not observed: one from the far future would
//! take the node's with it.

use crate::time::Now;
use std::sync::atomic::{AtomicI64, Ordering};

/// One atomic a node, the sole state shards share.
#[derive(Debug, Default)]
pub struct HybridClock {
    last: AtomicI64,
}

impl HybridClock {
    /// An earlier process gave this timestamp: what is given from now on is larger, wherever the wall clock was set to.
    pub fn observe(&self, timestamp: i64) {
        self.last.fetch_max(timestamp, Ordering::Relaxed);
    }

    /// The largest timestamp given or observed.
    pub fn last(&self) -> i64 {
        self.last.load(Ordering::Relaxed)
    }

    /// The next timestamp in microseconds: the wall clock, or one more than the last given.
    pub fn next(&self, now: Now) -> i64 {
        let mut given = now.wall.0;
        let update = |last: i64| {
            given = now.wall.0.max(last + 1);
            Some(given)
        };
        // The closure always gives a value, so the update cannot fail.
        let _ = self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
        given
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{BootNanos, WallMicros};

    #[test]
    fn never_runs_backwards_or_stands_still() {
        let clock = HybridClock::default();
        let at = |micros| Now {
            wall: WallMicros(micros),
            boot: BootNanos(0),
        };
        assert_eq!(
            [
                clock.next(at(10)),
                clock.next(at(10)),
                clock.next(at(5)),
                clock.next(at(20))
            ],
            [10, 11, 12, 20]
        );
        clock.observe(30);
        clock.observe(25);
        assert_eq!(clock.last(), 30);
        assert_eq!([clock.next(at(21)), clock.next(at(40))], [31, 40]);
    }
}
