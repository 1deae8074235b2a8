//! Bytes that requests under way hold, against a budget: what a request cannot hold it is refused, so that no number of
//! large answers outgrows the memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Answers up to this size are not counted: the number of requests in flight bounds them.
pub const SMALL_ANSWER_BYTES: usize = 4 << 10;
/// What a client is told whose answer does not fit.
pub const TOO_MANY_ANSWERS: &str =
    "Too many bytes of answers are in flight on this shard: ask for smaller pages or less at once";

/// A budget, shared by all who hold something of it. One shard takes from it; answers may be dropped on another.
#[derive(Debug, Clone)]
pub struct Budget {
    used: Arc<AtomicUsize>,
    limit: usize,
}

impl Budget {
    /// So many bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            used: Arc::default(),
            limit,
        }
    }

    /// Bytes held now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes` more for a holder, who gives all back when it is dropped. `false` if they are not there; who is
    /// the first to hold anything always gets them, so that one large answer is never impossible.
    #[must_use]
    pub fn hold(&self, held: &mut Held, bytes: usize) -> bool {
        let used = self.used();
        if used > 0 && bytes > self.limit.saturating_sub(used) {
            return false;
        }
        let of = held.of.get_or_insert_with(|| self.clone());
        of.used.fetch_add(bytes, Ordering::Relaxed);
        held.bytes += bytes;
        true
    }
}

/// What one request holds.
#[derive(Debug, Default)]
pub struct Held {
    of: Option<Budget>,
    bytes: usize,
}

impl Held {
    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(of) = &self.of {
            of.used.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_given_back() {
        let budget = Budget::new(100);
        let (mut one, mut other) = (Held::default(), Held::default());
        assert!(budget.hold(&mut one, 60));
        assert!(!budget.hold(&mut other, 50));
        assert!(budget.hold(&mut other, 40));
        assert_eq!((budget.used(), one.bytes(), other.bytes()), (100, 60, 40));
        drop(one);
        assert!(budget.hold(&mut other, 50));
        drop(other);
        assert_eq!(budget.used(), 0);
        assert!(budget.hold(&mut Held::default(), 1_000), "one alone");
    }
}
