//! How long to wait before a connection is tried again.

use std::time::Duration;

const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// The wait after `failures` attempts in a row that failed, at least one: twice as long each time, and somewhere between
/// half of that and all of it, as `random` decides, so that those who lost a peer together do not come back together.
pub fn backoff(failures: u32, random: u64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let longest = SHORTEST.saturating_mul(1 << doublings).min(LONGEST);
    let half = longest / 2;
    half + half.mul_f64(random as f64 / u64::MAX as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound() {
        let millis = |failures, random| backoff(failures, random).as_millis();
        assert_eq!((millis(1, 0), millis(1, u64::MAX)), (25, 50));
        assert_eq!((millis(3, 0), millis(3, u64::MAX)), (100, 200));
        for failures in [7, 100, u32::MAX] {
            assert_eq!(
                (millis(failures, 0), millis(failures, u64::MAX)),
                (1000, 2000)
            );
        }
    }
}
