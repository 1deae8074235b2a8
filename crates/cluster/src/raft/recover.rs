//! How the log goes on when a majority of its voters is lost for good: one member that is left becomes the only voter, by an
//! operator's word.
//!
//! What a majority decided may be on lost disks alone, and no member that is left can tell: the operator chooses the one with the
//! last entry. Everything that it holds counts as decided, whether a majority had it or not.
//!
//! What must stay true:
//! - nobody who voted before may win an election that ends with more entries of the old voters: the term goes so far ahead
//!   that a voter that was only thought lost follows as soon as it hears of it;
//! - who has another entry at a place where the one that is left goes on stops there, and says so ([`super::Output::diverged`]).

use super::{Entry, Payload, Raft, Record, Term};
use std::collections::BTreeSet;

/// So many terms are left out: voters that were only thought lost do not hold as many elections.
const TERMS: Term = 1 << 20;

/// Why nothing is recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NothingToRecover {
    /// It decides alone already.
    #[error("this node is the only voter: start it")]
    Alone,
    /// The term cannot go on so far.
    #[error("no term is left")]
    NoTerm,
}

impl Raft {
    /// Records to be appended to those that this member was made of: then it votes alone, and leads once it is started.
    pub fn recover(&self) -> Result<Vec<Record>, NothingToRecover> {
        if self.is_alone() {
            return Err(NothingToRecover::Alone);
        }
        let (last_term, last) = self.last_entry();
        let term = self.term.max(last_term).saturating_add(TERMS);
        if term > super::restore::MOST {
            return Err(NothingToRecover::NoTerm);
        }
        let ballot = Record::Ballot {
            term,
            vote: Some(self.id),
        };
        let entry = Record::Entry(Entry {
            index: last + 1,
            term,
            payload: Payload::Voters(BTreeSet::from([self.id])),
        });
        Ok(vec![ballot, entry])
    }
}
