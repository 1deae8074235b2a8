//! What a call may take from outside: time and entropy.

use std::cell::Cell;

/// Time and entropy of one execution. Two executions with equal contexts give equal results.
#[derive(Debug, Clone, Default)]
pub struct CallContext {
    /// Wall clock of the execution, µs since the epoch.
    pub now_micros: i64,
    entropy: Cell<u64>,
    calls: Cell<u32>,
}

impl CallContext {
    /// A context of this moment, whose random values all follow from `seed`.
    pub fn new(now_micros: i64, seed: u64) -> Self {
        Self {
            now_micros,
            entropy: Cell::new(seed),
            calls: Cell::new(0),
        }
    }

    /// The next random number (SplitMix64, Steele and others 2014).
    pub fn random(&self) -> u64 {
        let state = self.entropy.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.entropy.set(state);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number that grows with every call, so that time UUIDs of one execution keep their order within a microsecond.
    pub fn next_call(&self) -> u32 {
        let call = self.calls.get();
        self.calls.set(call.wrapping_add(1));
        call
    }
}
