//! One decision after the other for a partition, by majorities of its replicas: conditional statements and SERIAL reads.
//!
//! Paxos (Lamport, "Paxos Made Simple", 2001) as Cassandra uses it: each instance decides the partition's next update, and a
//! commit makes it data and begins the next instance. A coordinator ([`Proposer`])
//! 1. *prepares* a ballot with a majority, which promises to accept nothing older and tells what it accepted and committed last;
//! 2. finishes what somebody else left unfinished, and brings the last commit to a majority that lacks it;
//! 3. reads the partition from replicas that have the last commit, and lets the statement decide;
//! 4. *proposes* the update to a majority, and *commits* it.
//!
//! What must stay true:
//! - what an acceptor promises or accepts is durable before it answers, whatever the sync mode;
//! - once a majority has accepted an update no other is ever accepted by a majority in its place;
//! - a coordinator says *applied* only of an update that a majority accepted, and *not applied* only of one that none ever will;
//!   otherwise it says that it does not know;
//! - ballots are unique, and an update's timestamp is its ballot's: of two updates the later ballot's is the newer one.
//!
//! Who takes part is decided by the placement at the epoch that every message carries (docs/tracking.md): while a change of
//! the ring is under way a majority of the natural replicas and all pending ones.

mod acceptor;
mod proposer;
#[cfg(test)]
mod tests;
mod wire;

pub use acceptor::Instance;
pub use proposer::{Effect, Outcome, Participants, Proposer};

use crate::topology::NodeId;

/// Orders proposals. Later ones win.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot {
    /// Microseconds: the timestamp of what it proposes.
    pub micros: i64,
    /// Who proposes.
    pub node: NodeId,
    /// Which of its shards, whose clock gives no moment twice.
    pub shard: u16,
}

/// Origins of earlier decisions that a proposal names.
const HISTORY: usize = 16;

/// An update under a ballot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The ballot it is proposed under.
    pub ballot: Ballot,
    /// The ballot it was first proposed under: which statement it is of, and its timestamp. Whoever finishes it for a coordinator
    /// that went away keeps it.
    pub origin: Ballot,
    /// The epoch of the metadata that it was first proposed by: what was decided before the table was emptied is not to be data
    /// after that. Whoever finishes it keeps it.
    pub epoch: u64,
    /// How many decisions this partition has had with it.
    pub instance: u64,
    /// Origins of the decisions before it, the last one last, so that a coordinator that lost its way can tell whether its own is
    /// among them.
    pub history: Vec<Ballot>,
    /// The encoded mutation; empty if nothing is to be, in the place of something that must not be any more.
    pub update: Vec<u8>,
}

impl Proposal {
    /// The origin of what was decided in an instance; `Err` if that is too long ago to be known, `Ok(None)` if it is not decided.
    fn decided(&self, instance: u64) -> Result<Option<Ballot>, Forgotten> {
        let Some(back) = self.instance.checked_sub(instance) else {
            return Ok(None);
        };
        if back == 0 {
            return Ok(Some(self.origin));
        }
        let place = usize::try_from(back).ok();
        let place = place.and_then(|back| self.history.len().checked_sub(back));
        place
            .map(|place| Some(self.history[place]))
            .ok_or(Forgotten)
    }

    /// The origins up to this decision, for the next.
    fn continued(&self) -> Vec<Ballot> {
        let from = (self.history.len() + 1).saturating_sub(HISTORY);
        let mut history = self.history[from..].to_vec();
        history.push(self.origin);
        history
    }
}

/// A decision is no longer in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Forgotten;

/// What a proposer asks of acceptors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Promise to accept nothing older.
    Prepare(Ballot),
    /// Accept this.
    Propose(Proposal),
    /// This was accepted by a majority: it is data.
    Commit(Proposal),
}

/// What an acceptor answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It promises, and tells what it accepted since its last commit, and what that was.
    Promised {
        /// The ballot promised to.
        ballot: Ballot,
        /// Accepted and not committed here.
        accepted: Option<Proposal>,
        /// The last commit.
        committed: Option<Proposal>,
    },
    /// It accepted.
    Accepted(Ballot),
    /// It has promised this later ballot to somebody else.
    Rejected {
        /// What it was asked about.
        ballot: Ballot,
        /// What it has promised.
        promised: Ballot,
    },
    /// It has it as data.
    Committed(Ballot),
}
