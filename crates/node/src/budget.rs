//! Bytes that requests under way hold, against a budget: what a request cannot hold it is refused, so that no number of
//! large answers outgrows the memory.

use model::error::RequestError;
use model::limits::MAX_PAGE_BYTES;
use model::read::ReadResponse;
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

impl Budget {
    /// Takes what a statement read before it writes for its holder, if it is all there: of rows that were cut off nothing
    /// can be decided.
    pub fn hold_rows(
        &self,
        held: &mut Held,
        response: ReadResponse,
    ) -> Result<ReadResponse, RequestError> {
        let bytes = response.bytes.len();
        if response.more && bytes >= MAX_PAGE_BYTES {
            return Err(RequestError::invalid(format!(
                "The rows of a partition that are read before they are written may be at most {MAX_PAGE_BYTES} bytes"
            )));
        }
        if bytes > SMALL_ANSWER_BYTES && !self.hold(held, bytes) {
            return Err(RequestError::Overloaded(TOO_MANY_ANSWERS.to_owned()));
        }
        Ok(response)
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
    fn rows_that_were_cut_off_or_find_no_room_are_refused() {
        let budget = Budget::new(2 * MAX_PAGE_BYTES);
        let rows = |bytes, more| ReadResponse {
            bytes: vec![0; bytes],
            more,
            ..ReadResponse::default()
        };
        let held = &mut Held::default();
        let cut = budget.hold_rows(held, rows(MAX_PAGE_BYTES, true));
        assert!(matches!(cut, Err(RequestError::Invalid(_))));
        assert!(
            budget.hold_rows(held, rows(10, true)).is_ok(),
            "one row was asked for"
        );
        assert!(budget.hold_rows(held, rows(MAX_PAGE_BYTES, false)).is_ok());
        assert_eq!(budget.used(), MAX_PAGE_BYTES);
        let many = budget.hold_rows(held, rows(2 * MAX_PAGE_BYTES, false));
        assert!(matches!(many, Err(RequestError::Overloaded(_))));
    }

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
