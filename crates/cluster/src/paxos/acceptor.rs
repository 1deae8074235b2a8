//! What a replica remembers of a partition, and its answers.

use super::{Answer, Ballot, Proposal, Request};

/// A partition's state at one acceptor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instance {
    /// Nothing older is accepted.
    pub promised: Option<Ballot>,
    /// The last accepted proposal, if it is newer than the last commit.
    pub accepted: Option<Proposal>,
    /// The last commit, kept for those that missed it.
    pub committed: Option<Proposal>,
}

impl Instance {
    /// The state after a request, and the answer, which may leave when the state is durable, and the update of a commit is.
    pub fn after(&self, request: &Request) -> (Self, Answer) {
        match request {
            Request::Prepare(ballot) => self.prepare(*ballot),
            Request::Propose(proposal) => self.propose(proposal),
            Request::Commit(proposal) => self.commit(proposal),
        }
    }

    /// The state of an acceptor that knows what another knew, too.
    #[must_use]
    pub fn adopt(&self, other: &Self) -> Self {
        let later = |one: &Option<Proposal>, two: &Option<Proposal>| {
            let ballot = |proposal: &Option<Proposal>| proposal.as_ref().map(|known| known.ballot);
            if ballot(two) > ballot(one) {
                two.clone()
            } else {
                one.clone()
            }
        };
        let committed = later(&self.committed, &other.committed);
        let last = committed.as_ref().map(|commit| commit.ballot);
        let accepted = later(&self.accepted, &other.accepted);
        Self {
            promised: self.promised.max(other.promised),
            accepted: accepted.filter(|accepted| Some(accepted.ballot) > last),
            committed,
        }
    }

    fn refuses(&self, ballot: Ballot) -> Option<Answer> {
        let promised = self.promised.filter(|promised| *promised > ballot)?;
        Some(Answer::Rejected { ballot, promised })
    }

    fn prepare(&self, ballot: Ballot) -> (Self, Answer) {
        if let Some(rejected) = self.refuses(ballot) {
            return (self.clone(), rejected);
        }
        let mut after = self.clone();
        after.promised = Some(ballot);
        let answer = Answer::Promised {
            ballot,
            accepted: self.accepted.clone(),
            committed: self.committed.clone(),
        };
        (after, answer)
    }

    fn propose(&self, proposal: &Proposal) -> (Self, Answer) {
        if let Some(rejected) = self.refuses(proposal.ballot) {
            return (self.clone(), rejected);
        }
        let mut after = self.clone();
        after.promised = Some(proposal.ballot);
        after.accepted = Some(proposal.clone());
        (after, Answer::Accepted(proposal.ballot))
    }

    fn commit(&self, proposal: &Proposal) -> (Self, Answer) {
        let mut after = self.clone();
        let ballot = Some(proposal.ballot);
        let last = |proposal: &Option<Proposal>| proposal.as_ref().map(|proposal| proposal.ballot);
        if last(&after.committed) < ballot {
            after.committed = Some(proposal.clone());
        }
        if last(&after.accepted) <= ballot {
            after.accepted = None;
        }
        after.promised = after.promised.max(ballot);
        (after, Answer::Committed(proposal.ballot))
    }
}
