//! What a call may take from outside: time and entropy.
//!
//! A statement's terms may be evaluated more than once and in any order: to find the owner of a partition, to read it,
//! to decide a condition, to write. So the random value of a call is a function of the request's seed, of the call's
//! place in the statement ([`CallSite`]) and of the row at work, and never of what was evaluated before. Calls in a
//! selection have no place: each row of the answer draws anew.

use std::cell::Cell;

/// Which call of a statement one is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallSite(u32);

impl CallSite {
    /// No place of its own: every call draws anew.
    pub const ANEW: Self = Self(0);

    /// The place after this one.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Time UUIDs of one statement, in intervals of 100 ns: rows of work are so many apart, their calls one.
const INTERVALS_A_ROW: i64 = 4;

/// Time and entropy of one execution. Two executions with equal contexts give equal results.
#[derive(Debug, Clone, Default)]
pub struct CallContext {
    /// Wall clock of the execution, µs since the epoch.
    pub now_micros: i64,
    seed: u64,
    row: Cell<u32>,
    drawn: Cell<u32>,
}

impl CallContext {
    /// A context of this moment, whose random values all follow from `seed`.
    pub fn new(now_micros: i64, seed: u64) -> Self {
        Self {
            now_micros,
            seed,
            ..Self::default()
        }
    }

    /// The seed it was made with.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Says which row is at work: calls of the same place give other values for each.
    pub fn enter_row(&self, row: u32) {
        self.row.set(row);
    }

    /// How many values were drawn by calls without a place.
    pub fn drawn(&self) -> u32 {
        self.drawn.get()
    }

    /// Goes on after so many values drawn: an execution taken up again.
    pub fn resume_after(&self, drawn: u32) {
        self.drawn.set(drawn);
    }

    /// The random number of a call, and where it stands among the calls of this execution, in intervals of time UUIDs.
    pub fn draw(&self, site: CallSite) -> (u128, i64) {
        if site == CallSite::ANEW {
            let drawn = self.drawn.get();
            self.drawn.set(drawn.wrapping_add(1));
            return (self.number(0, drawn), i64::from(drawn));
        }
        let row = self.row.get();
        let order = i64::from(row) * INTERVALS_A_ROW + i64::from(site.0 - 1);
        (self.number(site.0, row), order)
    }

    fn number(&self, stream: u32, index: u32) -> u128 {
        let place = mixed(u64::from(stream) << 32 | u64::from(index));
        let high = mixed(self.seed ^ place);
        let low = mixed(high ^ place.rotate_left(32));
        u128::from(high) << 64 | u128::from(low)
    }
}

/// One step of SplitMix64 (Steele, Lea and Flood, 2014): every bit of the result depends on every bit of the state.
fn mixed(state: u64) -> u64 {
    let mut mixed = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_call_gives_the_same_whenever_and_however_often_it_is_evaluated() {
        let (first, second) = (CallSite::ANEW.next(), CallSite::ANEW.next().next());
        let one = CallContext::new(7, 42);
        let values = (one.draw(first), one.draw(second));
        let other = CallContext::new(7, 42);
        other.draw(CallSite::ANEW);
        assert_eq!(
            (other.draw(second), other.draw(first)),
            (values.1, values.0)
        );
        assert_eq!(other.draw(first), values.0);
    }

    #[test]
    fn places_rows_draws_and_requests_differ() {
        let mut seen = BTreeSet::new();
        for seed in 0..4 {
            let context = CallContext::new(7, seed);
            for row in 0..4 {
                context.enter_row(row);
                let mut site = CallSite::ANEW;
                for _ in 0..4 {
                    assert!(seen.insert(context.draw(CallSite::ANEW).0));
                    site = site.next();
                    assert!(seen.insert(context.draw(site).0));
                }
            }
        }
    }

    #[test]
    fn an_execution_taken_up_again_draws_what_follows() {
        let whole = CallContext::new(7, 1);
        let all: Vec<_> = (0..4).map(|_| whole.draw(CallSite::ANEW)).collect();
        let later = CallContext::new(7, 1);
        later.resume_after(2);
        assert_eq!(later.draw(CallSite::ANEW), all[2]);
    }
}
