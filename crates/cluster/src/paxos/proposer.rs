//! A coordinator's way to one decision.

use super::{Answer, Ballot, Proposal, Request};
use crate::topology::NodeId;
use model::policy::{Defect, Policy};
use std::collections::{BTreeMap, BTreeSet};

/// Who takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Participants {
    /// Replicas that count; a majority of them is needed.
    pub natural: Vec<NodeId>,
    /// Replicas that are to be; all of them are needed.
    pub pending: Vec<NodeId>,
}

impl Participants {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.natural.iter().chain(&self.pending).copied()
    }

    /// How many are needed.
    pub fn required(&self) -> usize {
        self.natural.len() / 2 + 1 + self.pending.len()
    }

    /// Whether these are enough for a decision.
    pub fn suffice(&self, members: &BTreeSet<NodeId>) -> bool {
        let natural = self.natural.iter().filter(|id| members.contains(id));
        2 * natural.count() > self.natural.len()
            && self.pending.iter().all(|id| members.contains(id))
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send a request to a participant.
    Send(NodeId, Request),
    /// Read the partition from these replicas, a majority of the natural ones that has the last commit, and say by
    /// [`Proposer::decide`], with this ballot, what is to be.
    Read(Ballot, Vec<NodeId>),
    /// Somebody else is at it: wait a while, then call [`Proposer::prepare`] with a ballot after this one.
    Contended(Ballot),
    /// It is over.
    Done(Outcome),
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The update is decided, with this time, and a majority has it as data.
    Applied(Ballot),
    /// There was nothing to propose.
    Unchanged,
    /// The update was proposed, and so many others were decided since that it cannot be told whether it was among them.
    Unknown,
}

#[derive(Debug)]
enum Phase {
    Idle,
    Preparing {
        accepted: Option<Proposal>,
        committed: Option<Proposal>,
        /// What each who promised has committed last.
        promises: BTreeMap<NodeId, Option<Ballot>>,
    },
    /// Bringing the last commit to those who lack it.
    Refreshing {
        commit: Ballot,
        have: BTreeSet<NodeId>,
        /// How this statement ended, if it did with that commit or one before it.
        ended: Option<Outcome>,
    },
    Deciding,
    Proposing {
        proposal: Proposal,
        accepted: BTreeSet<NodeId>,
        /// Whether it is this coordinator's statement, or what somebody left unfinished.
        own: bool,
    },
    Committing {
        proposal: Proposal,
        have: BTreeSet<NodeId>,
        own: bool,
    },
    Over,
}

/// One statement's coordinator.
#[derive(Debug)]
pub struct Proposer {
    participants: Participants,
    /// The epoch of the metadata that they were found with.
    epoch: u64,
    ballot: Option<Ballot>,
    phase: Phase,
    /// What was proposed as this statement's update, by origin: it may have been decided as any of them.
    proposed: BTreeMap<Ballot, Proposal>,
    /// The last commit that a majority was known to have.
    last: Option<Proposal>,
    policy: Policy,
}

impl Proposer {
    /// A coordinator that has not begun.
    pub fn new(participants: Participants, epoch: u64) -> Self {
        Self {
            participants,
            epoch,
            ballot: None,
            phase: Phase::Idle,
            proposed: BTreeMap::new(),
            last: None,
            policy: Policy::default(),
        }
    }

    /// As it is, but for how promises are kept.
    pub fn of_policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// Whether the statement's update was proposed: then whoever gives up does not know how it ended.
    pub fn is_proposed(&self) -> bool {
        !self.proposed.is_empty()
    }

    /// What was proposed under a ballot as this statement's update.
    pub fn proposed(&self, origin: Ballot) -> Option<&Proposal> {
        self.proposed.get(&origin)
    }

    /// Others take part from the next ballot on. Whoever calls sees to it that no decision of these can miss one of the former.
    pub fn ask_instead(&mut self, participants: Participants, epoch: u64) {
        self.participants = participants;
        self.epoch = epoch;
        self.phase = Phase::Idle;
    }

    fn send(&self, request: &Request, out: &mut Vec<Effect>) {
        let all = self.participants.all();
        out.extend(all.map(|to| Effect::Send(to, request.clone())));
    }

    /// Begins, or begins again, with a ballot later than any that was seen.
    pub fn prepare(&mut self, ballot: Ballot, out: &mut Vec<Effect>) {
        assert!(self.ballot < Some(ballot), "ballots only grow");
        self.ballot = Some(ballot);
        self.phase = Phase::Preparing {
            accepted: None,
            committed: None,
            promises: BTreeMap::new(),
        };
        self.send(&Request::Prepare(ballot), out);
    }

    /// A participant's answer.
    pub fn on_answer(&mut self, from: NodeId, answer: Answer, out: &mut Vec<Effect>) {
        match answer {
            Answer::Promised {
                ballot,
                accepted,
                committed,
            } if self.ballot == Some(ballot) => self.on_promise(from, accepted, committed, out),
            Answer::Accepted(ballot) if self.ballot == Some(ballot) => self.on_accepted(from, out),
            Answer::Rejected { ballot, promised } if self.ballot == Some(ballot) => {
                self.on_rejected(promised, out);
            }
            Answer::Committed(ballot) => self.on_committed(from, ballot, out),
            // Of an earlier try.
            Answer::Promised { .. } | Answer::Accepted(_) | Answer::Rejected { .. } => {}
        }
    }

    fn on_promise(
        &mut self,
        from: NodeId,
        told_accepted: Option<Proposal>,
        told_committed: Option<Proposal>,
        out: &mut Vec<Effect>,
    ) {
        let Phase::Preparing {
            accepted,
            committed,
            promises,
        } = &mut self.phase
        else {
            return;
        };
        promises.insert(from, ballot_of(told_committed.as_ref()));
        if ballot_of(told_accepted.as_ref()) > ballot_of(accepted.as_ref()) {
            *accepted = told_accepted;
        }
        if ballot_of(told_committed.as_ref()) > ballot_of(committed.as_ref()) {
            *committed = told_committed;
        }
        let promised: BTreeSet<NodeId> = promises.keys().copied().collect();
        if !self.participants.suffice(&promised) {
            return;
        }
        let (accepted, committed) = (accepted.take(), committed.take());
        let promises = std::mem::take(promises);
        if let Some(unfinished) = accepted
            && !self.policy.has(Defect::UnfinishedIgnored)
            && Some(unfinished.ballot) > ballot_of(committed.as_ref())
        {
            return self.finish(unfinished, out);
        }
        self.refresh(committed, &promises, out);
    }

    /// Proposes again, under this ballot, what somebody proposed and may have had accepted.
    fn finish(&mut self, unfinished: Proposal, out: &mut Vec<Effect>) {
        let own = self.proposed.contains_key(&unfinished.origin);
        let ballot = self.ballot.expect("a ballot was prepared");
        let proposal = Proposal {
            ballot,
            ..unfinished
        };
        self.propose(proposal, own, out);
    }

    /// What became of what this statement proposed before, now that the last commit is known: it was decided, or it never will
    /// be, or nobody can tell.
    fn look_back(&self, last: Option<&Proposal>) -> Option<Outcome> {
        let last = last?;
        for (origin, proposal) in &self.proposed {
            match last.decided(proposal.instance) {
                Ok(Some(decided)) if decided == *origin => {
                    return Some(Outcome::Applied(*origin));
                }
                Ok(_) => {}
                Err(_) => return Some(Outcome::Unknown),
            }
        }
        None
    }

    /// Brings the last commit to a majority, so that the read that follows sees it.
    fn refresh(
        &mut self,
        committed: Option<Proposal>,
        promises: &BTreeMap<NodeId, Option<Ballot>>,
        out: &mut Vec<Effect>,
    ) {
        let ended = self.look_back(committed.as_ref());
        if let Some(last) = &committed {
            // In whose place another was decided, it never will be. The rest is not forgotten before this statement has ended: it may
            // begin again before a majority has the commit.
            self.proposed
                .retain(|origin, proposal| match last.decided(proposal.instance) {
                    Ok(Some(decided)) => decided == *origin,
                    Ok(None) | Err(_) => true,
                });
        }
        self.last.clone_from(&committed);
        let last = ballot_of(committed.as_ref());
        let have = promises.iter().filter(|(_, committed)| **committed >= last);
        let have: BTreeSet<NodeId> = have.map(|(id, _)| *id).collect();
        let Some(commit) = committed else {
            return self.read(&have, out);
        };
        if self.participants.suffice(&have) {
            return self.refreshed(ended, &have, out);
        }
        for id in promises.keys().filter(|id| !have.contains(id)) {
            out.push(Effect::Send(*id, Request::Commit(commit.clone())));
        }
        self.phase = Phase::Refreshing {
            commit: commit.ballot,
            have,
            ended,
        };
    }

    /// A majority has the last commit.
    fn refreshed(
        &mut self,
        ended: Option<Outcome>,
        have: &BTreeSet<NodeId>,
        out: &mut Vec<Effect>,
    ) {
        match ended {
            Some(outcome) => self.end(outcome, out),
            None => self.read(have, out),
        }
    }

    fn read(&mut self, have: &BTreeSet<NodeId>, out: &mut Vec<Effect>) {
        self.phase = Phase::Deciding;
        let natural = self.participants.natural.iter().copied();
        let readable = natural.filter(|id| have.contains(id));
        let ballot = self.ballot.expect("a ballot was prepared");
        out.push(Effect::Read(ballot, readable.collect()));
    }

    /// What the statement makes of what was read under a ballot: an update, encoded with that ballot's time, or nothing. Of no
    /// effect if the coordinator has begun again since.
    pub fn decide(&mut self, ballot: Ballot, update: Option<Vec<u8>>, out: &mut Vec<Effect>) {
        if self.ballot != Some(ballot) || !matches!(self.phase, Phase::Deciding) {
            return;
        }
        match update {
            Some(update) => {
                let proposal = self.next(ballot, update);
                self.proposed.insert(ballot, proposal.clone());
                self.propose(proposal, true, out);
            }
            None if self.proposed.is_empty() => self.end(Outcome::Unchanged, out),
            // An acceptor that was not asked this time may have accepted what this statement proposed before, and whoever asks it
            // next would finish that: nothing is decided in its place (Cassandra's CASSANDRA-12126 has the same).
            None => {
                let nothing = self.next(ballot, Vec::new());
                self.propose(nothing, false, out);
            }
        }
    }

    /// What comes after the last decision.
    fn next(&self, ballot: Ballot, update: Vec<u8>) -> Proposal {
        let last = self.last.as_ref();
        Proposal {
            ballot,
            origin: ballot,
            epoch: self.epoch,
            instance: last.map_or(1, |last| last.instance + 1),
            history: last.map(Proposal::continued).unwrap_or_default(),
            update,
        }
    }

    /// Whether what is proposed or committed is this statement's update.
    pub fn is_own(&self, proposal: &Proposal) -> bool {
        self.proposed.contains_key(&proposal.origin)
    }

    /// The epoch of the metadata that the participants were found with.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The ballot of this try.
    pub fn ballot(&self) -> Option<Ballot> {
        self.ballot
    }

    fn propose(&mut self, proposal: Proposal, own: bool, out: &mut Vec<Effect>) {
        self.send(&Request::Propose(proposal.clone()), out);
        self.phase = Phase::Proposing {
            proposal,
            accepted: BTreeSet::new(),
            own,
        };
    }

    fn on_accepted(&mut self, from: NodeId, out: &mut Vec<Effect>) {
        let Phase::Proposing {
            proposal,
            accepted,
            own,
        } = &mut self.phase
        else {
            return;
        };
        accepted.insert(from);
        if self.participants.suffice(accepted) {
            let (proposal, own) = (proposal.clone(), *own);
            self.send(&Request::Commit(proposal.clone()), out);
            self.phase = Phase::Committing {
                proposal,
                have: BTreeSet::new(),
                own,
            };
        }
    }

    fn on_rejected(&mut self, promised: Ballot, out: &mut Vec<Effect>) {
        if matches!(
            self.phase,
            Phase::Preparing { .. } | Phase::Proposing { .. }
        ) {
            self.phase = Phase::Idle;
            out.push(Effect::Contended(promised));
        }
    }

    fn on_committed(&mut self, from: NodeId, ballot: Ballot, out: &mut Vec<Effect>) {
        match &mut self.phase {
            Phase::Refreshing {
                commit,
                have,
                ended,
            } if *commit == ballot => {
                have.insert(from);
                if self.participants.suffice(have) {
                    let (have, ended) = (std::mem::take(have), *ended);
                    self.refreshed(ended, &have, out);
                }
            }
            Phase::Committing {
                proposal,
                have,
                own,
            } if proposal.ballot == ballot => {
                have.insert(from);
                if self.participants.suffice(have) {
                    let (own, origin) = (*own, proposal.origin);
                    if own {
                        return self.end(Outcome::Applied(origin), out);
                    }
                    // What was unfinished is done; now this statement, with another ballot.
                    self.phase = Phase::Idle;
                    out.push(Effect::Contended(ballot));
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, outcome: Outcome, out: &mut Vec<Effect>) {
        self.phase = Phase::Over;
        out.push(Effect::Done(outcome));
    }
}

fn ballot_of(proposal: Option<&Proposal>) -> Option<Ballot> {
    proposal.map(|proposal| proposal.ballot)
}
