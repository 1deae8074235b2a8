//! How many requests a second the process takes: `native_transport_max_requests_per_second`, if
//! `native_transport_rate_limiting_enabled`.
//!
//! A client that asked for it (THROW_ON_OVERLOAD in its STARTUP) has what is too much refused. Any other has it served,
//! and is not read from until the process has caught up: its socket fills, and it waits. What was not used of a second
//! may be used in the next, as in Cassandra. Kept as the moment up to which all requests taken are paid for (a virtual
//! scheduling algorithm, ITU-T I.371), in one atomic for all shards.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How far requests may be ahead of their time.
const BURST: Duration = Duration::from_secs(1);

/// The limit, and how much of it is used.
#[derive(Debug)]
pub struct RateLimit {
    per_second: u64,
    began: Instant,
    /// Nanoseconds after `began` up to which requests are paid for.
    paid_until: AtomicU64,
}

impl RateLimit {
    /// So many requests a second, at least one.
    pub fn new(per_second: u64, now: Instant) -> Self {
        Self {
            per_second: per_second.max(1),
            began: now,
            paid_until: AtomicU64::new(0),
        }
    }

    /// Requests a second.
    pub fn per_second(&self) -> u64 {
        self.per_second
    }

    /// Takes one request if it is within the limit.
    pub fn try_take(&self, now: Instant) -> bool {
        let taken = self
            .paid_until
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |paid| {
                let paid = paid.max(self.nanos(now));
                let early = paid - self.nanos(now);
                (early + self.price() <= BURST.as_nanos() as u64).then(|| paid + self.price())
            });
        taken.is_ok()
    }

    /// Takes one request, within the limit or not; how long nothing more may be taken, if it was not.
    pub fn take(&self, now: Instant) -> Option<Duration> {
        let mut early = 0;
        let price = self.price();
        let _ = self
            .paid_until
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |paid| {
                let paid = paid.max(self.nanos(now)) + price;
                early = paid - self.nanos(now);
                Some(paid)
            });
        let late = Duration::from_nanos(early).saturating_sub(BURST);
        (!late.is_zero()).then_some(late)
    }

    fn price(&self) -> u64 {
        1_000_000_000 / self.per_second
    }

    fn nanos(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_used_or_saved_up_once() {
        let now = Instant::now();
        let limit = RateLimit::new(20, now);
        let taken = |at| (0..100).filter(|_| limit.try_take(at)).count();
        assert_eq!(taken(now), 20);
        assert_eq!(taken(now + Duration::from_millis(100)), 2);
        assert_eq!(taken(now + Duration::from_mins(1)), 20);
    }

    #[test]
    fn who_is_not_refused_waits() {
        let now = Instant::now();
        let limit = RateLimit::new(20, now);
        assert!((0..20).all(|_| limit.take(now).is_none()));
        assert_eq!(limit.take(now), Some(Duration::from_millis(50)));
        assert_eq!(limit.take(now), Some(Duration::from_millis(100)));
        assert_eq!(limit.take(now + Duration::from_secs(1)), None);
        assert!(!limit.try_take(now));
    }
}
