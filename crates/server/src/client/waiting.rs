//! Bytes of answers that a shard's clients have not taken yet, against a budget.
//!
//! A client that does not read keeps its answers in memory. One that is alone may wait for an answer of any size; when
//! many do, large answers that no longer fit are replaced by Overloaded, and clients that have taken nothing for a
//! while are disconnected.

use std::cell::Cell;

/// Answers up to this size are never replaced: a connection has a bounded number of requests in flight.
pub const SMALL_BYTES: usize = 4 << 10;

/// The counter of one shard.
#[derive(Debug)]
pub struct Waiting {
    bytes: Cell<usize>,
    budget: usize,
}

impl Waiting {
    /// Nothing waits.
    pub fn new(budget: usize) -> Self {
        Self {
            bytes: Cell::new(0),
            budget,
        }
    }

    /// Whether an answer of so many bytes may wait too.
    pub fn has_room(&self, bytes: usize) -> bool {
        let waiting = self.bytes.get();
        bytes <= SMALL_BYTES || waiting == 0 || waiting + bytes <= self.budget
    }

    /// Whether clients that take nothing cost others their room.
    pub fn is_tight(&self) -> bool {
        self.bytes.get() > self.budget / 2
    }

    /// A connection's part changes.
    pub fn change(&self, before: usize, after: usize) {
        self.bytes.set(self.bytes.get() + after - before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_alone_has_room_many_have_the_budget() {
        let waiting = Waiting::new(100_000);
        assert!(waiting.has_room(1 << 20));
        waiting.change(0, 60_000);
        assert!(waiting.is_tight() && waiting.has_room(40_000) && !waiting.has_room(40_001));
        waiting.change(60_000, 200_000);
        assert!(waiting.has_room(SMALL_BYTES) && !waiting.has_room(SMALL_BYTES + 1));
        waiting.change(200_000, 0);
        assert!(!waiting.is_tight());
    }
}
