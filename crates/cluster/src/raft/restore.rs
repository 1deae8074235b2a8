//! What is believed of bytes that came from a disk or from another member: what a member writes and sends, and nothing else.
//!
//! The machine counts on its invariants with assertions. Whoever breaks them with a file or a message must not reach those: a
//! file is refused with the record named, a message is as if it had been lost. Numbers end at [`MOST`], which no log reaches, so
//! that one more never overflows.

#[cfg(test)]
mod tests;

use super::{Entry, Index, Message, Payload, Raft, Record, Snapshot};

/// No term and no place of a message is beyond this.
pub(super) const MOST: u64 = 1 << 62;
/// Nor is one of a record beyond this, which has room for as many terms again that a member counts up by itself.
const MOST_ON_DISK: u64 = 1 << 63;

/// Records that no member has written: the file is damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {number} of the consensus is not what was written: {what}")]
pub struct Damage {
    /// Which record, from zero.
    pub number: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// Whether members write such an entry: somebody always votes.
pub(super) fn is_sound_entry(entry: &Entry) -> bool {
    let voted_for = match &entry.payload {
        Payload::Voters(voters) => !voters.is_empty(),
        Payload::Noop | Payload::Command(_) => true,
    };
    voted_for && entry.index > 0 && entry.index.max(entry.term) <= MOST_ON_DISK
}

/// Whether a member makes such a snapshot: there is something in it, and somebody who votes.
pub(super) fn is_sound_snapshot(snapshot: &Snapshot) -> bool {
    snapshot.index > 0 && !snapshot.voters.is_empty() && snapshot.index.max(snapshot.term) <= MOST
}

/// Whether the numbers of a message are ones that a member counts with.
pub(super) fn is_sound_message(message: &Message) -> bool {
    let (term, other) = match message {
        Message::PreVote {
            term,
            last_index,
            last_term,
        }
        | Message::Vote {
            term,
            last_index,
            last_term,
            ..
        } => (*term, *last_index.max(last_term)),
        Message::PreVoteAnswer { term, .. }
        | Message::VoteAnswer { term, .. }
        | Message::TakeOver { term } => (*term, 0),
        Message::Append {
            term,
            previous: (index, previous),
            entries,
            commit,
        } => {
            let last = index.saturating_add(entries.len() as Index);
            (*term, last.max(*previous).max(*commit))
        }
        Message::Install { term, snapshot } => {
            return *term <= MOST && snapshot.term <= *term && is_sound_snapshot(snapshot);
        }
        Message::Matched { term, index } => (*term, *index),
        Message::Mismatched { term, hint } => (*term, *hint),
    };
    term.max(other) <= MOST
}

impl Raft {
    /// Takes in a record of the disk. The error says why no member has written it after those before it.
    pub(super) fn restore(&mut self, record: Record) -> Result<(), &'static str> {
        match record {
            Record::Ballot { term, .. } if term > MOST_ON_DISK => Err("a term beyond belief"),
            Record::Ballot { term, .. } if term < self.term => Err("an earlier term"),
            Record::Ballot { term, vote } => {
                (self.term, self.vote) = (term, vote);
                Ok(())
            }
            Record::Entry(entry) if entry.index <= self.commit.max(self.log.snapshot().index) => {
                Err("another entry at a place that is committed")
            }
            Record::Entry(entry) if !self.log.takes(&entry) => {
                Err("an entry that does not follow the one before it")
            }
            Record::Entry(entry) => {
                self.log.put(entry);
                Ok(())
            }
            Record::Snapshot(snapshot) if snapshot.index < self.commit.max(self.log.last()) => {
                Err("a snapshot of less than there is")
            }
            // A member that has nothing yet writes that down too.
            Record::Snapshot(snapshot)
                if snapshot != Snapshot::default() && !is_sound_snapshot(&snapshot) =>
            {
                Err("a snapshot of nothing, or that nobody votes after")
            }
            Record::Snapshot(snapshot) => {
                self.log.install(snapshot);
                Ok(())
            }
            Record::Committed(index) if index > self.log.last() => {
                Err("entries are committed that are not there")
            }
            Record::Committed(index) => {
                self.commit = self.commit.max(index);
                Ok(())
            }
        }
    }
}
