//! How a term gets its leader.

use super::progress::Progress;
use super::{Entry, Index, Leadership, Message, Output, Payload, Raft, Record, Role, Term};
use crate::topology::NodeId;
use model::env::Random;
use model::time::BootNanos;
use std::collections::{BTreeMap, BTreeSet};

impl Raft {
    /// Waits for a leader for a while, which differs from member to member so that not all stand at once.
    pub(super) fn put_off_election(&mut self, now: BootNanos, random: &mut dyn Random) {
        let base = self.timing.election_ms;
        self.election_due = now.plus_millis(base + random.next_u64() % base);
    }

    /// Whether a leader lives, as far as this member knows: then nobody is helped to another.
    fn is_led(&self, now: BootNanos) -> bool {
        self.is_leader()
            || self
                .leader_heard
                .is_some_and(|heard| now < heard.plus_millis(self.timing.election_ms))
    }

    /// Whether the voters among these are more than half of all.
    pub(super) fn is_majority(&self, members: &BTreeSet<NodeId>) -> bool {
        2 * self.voters().intersection(members).count() > self.voters().len()
    }

    /// Whether this member may lead. One whose removal is not committed may have to: nobody else may hold the entry that
    /// removes it.
    fn may_stand(&self) -> bool {
        let removed_last =
            self.log.voters_index() > self.commit && self.log.earlier_voters().contains(&self.id);
        self.voters().contains(&self.id) || removed_last
    }

    fn tell_voters(&mut self, message: &Message, out: &mut Output) {
        let voters = self.voters().iter().filter(|voter| **voter != self.id);
        out.messages
            .extend(voters.map(|voter| (*voter, message.clone())));
    }

    /// No leader was heard for too long.
    pub(super) fn stand(&mut self, now: BootNanos, random: &mut dyn Random, out: &mut Output) {
        self.put_off_election(now, random);
        self.leader = None;
        if !self.may_stand() {
            return;
        }
        let supporters = BTreeSet::from([self.id]);
        if self.is_majority(&supporters) {
            return self.campaign(false, now, random, out);
        }
        self.role = Role::PreCandidate(supporters);
        let message = Message::PreVote {
            term: self.term + 1,
            last_index: self.log.last(),
            last_term: self.log.last_term(),
        };
        self.tell_voters(&message, out);
    }

    pub(super) fn on_pre_vote(
        &mut self,
        from: NodeId,
        term: Term,
        last: (Term, Index),
        now: BootNanos,
        out: &mut Output,
    ) {
        let granted = term > self.term && !self.is_led(now) && last >= self.last_entry();
        let term = if granted { term } else { self.term };
        out.messages
            .push((from, Message::PreVoteAnswer { term, granted }));
    }

    pub(super) fn on_pre_vote_answer(
        &mut self,
        from: NodeId,
        term: Term,
        granted: bool,
        now: BootNanos,
        random: &mut dyn Random,
        out: &mut Output,
    ) {
        if !granted {
            return self.meet_term(term, now, random, out);
        }
        let Role::PreCandidate(supporters) = &mut self.role else {
            return;
        };
        if term != self.term + 1 {
            return;
        }
        supporters.insert(from);
        let supporters = supporters.clone();
        if self.is_majority(&supporters) {
            self.campaign(false, now, random, out);
        }
    }

    /// Stands for election in the next term.
    pub(super) fn campaign(
        &mut self,
        handed_over: bool,
        now: BootNanos,
        random: &mut dyn Random,
        out: &mut Output,
    ) {
        if !self.may_stand() {
            return;
        }
        self.put_off_election(now, random);
        self.leader = None;
        self.enter(self.term + 1, Some(self.id), out);
        self.own_vote = self.written;
        self.role = Role::Candidate(BTreeSet::new());
        let message = Message::Vote {
            term: self.term,
            last_index: self.log.last(),
            last_term: self.log.last_term(),
            handed_over,
        };
        self.tell_voters(&message, out);
        self.count_own_vote(now, out);
    }

    /// A candidate's own vote counts once it is durable.
    pub(super) fn count_own_vote(&mut self, now: BootNanos, out: &mut Output) {
        if let Role::Candidate(votes) = &mut self.role
            && self.own_vote <= self.persisted
            && votes.insert(self.id)
        {
            self.count_votes(now, out);
        }
    }

    pub(super) fn on_vote(
        &mut self,
        from: NodeId,
        term: Term,
        last: (Term, Index),
        handed_over: bool,
        now: BootNanos,
        random: &mut dyn Random,
        out: &mut Output,
    ) {
        // Whoever was cut off must not unseat a leader that the others hear.
        if term > self.term && !handed_over && self.is_led(now) {
            return;
        }
        self.meet_term(term, now, random, out);
        let free = self.vote.is_none_or(|vote| vote == from);
        let granted = term == self.term && free && last >= self.last_entry();
        if !granted {
            let term = self.term;
            let answer = Message::VoteAnswer { term, granted };
            return self.send_durable(from, answer, out);
        }
        self.put_off_election(now, random);
        if self.vote.is_none() {
            self.vote = Some(from);
            let vote = self.vote;
            self.record(Record::Ballot { term, vote }, out);
        }
        self.send_durable(from, Message::VoteAnswer { term, granted }, out);
    }

    pub(super) fn on_vote_answer(
        &mut self,
        from: NodeId,
        term: Term,
        granted: bool,
        now: BootNanos,
        random: &mut dyn Random,
        out: &mut Output,
    ) {
        if !granted || term != self.term {
            return self.meet_term(term, now, random, out);
        }
        if let Role::Candidate(votes) = &mut self.role {
            votes.insert(from);
            self.count_votes(now, out);
        }
    }

    fn count_votes(&mut self, now: BootNanos, out: &mut Output) {
        let Role::Candidate(votes) = &self.role else {
            return;
        };
        if self.is_majority(votes) {
            self.lead(now, out);
        }
    }

    fn lead(&mut self, now: BootNanos, out: &mut Output) {
        let last = self.log.last();
        self.leader = Some(self.id);
        self.role = Role::Leader(Leadership {
            followers: BTreeMap::new(),
            first: last + 1,
            heartbeat_due: now.plus_millis(self.timing.heartbeat_ms),
            quorum_due: now.plus_millis(self.timing.election_ms),
        });
        self.follow_members(now, out);
        let opened = self.append(Payload::Noop, now, out);
        assert!(opened.is_ok(), "a leader takes entries");
    }

    /// Sends the log to exactly the voters and learners.
    pub(super) fn follow_members(&mut self, now: BootNanos, out: &mut Output) {
        let members: BTreeSet<NodeId> = self
            .voters()
            .union(&self.learners)
            .copied()
            .filter(|member| *member != self.id)
            .collect();
        let last = self.log.last();
        let Role::Leader(leadership) = &mut self.role else {
            return;
        };
        leadership
            .followers
            .retain(|member, _| members.contains(member));
        let mut new = Vec::new();
        for member in members {
            leadership.followers.entry(member).or_insert_with(|| {
                new.push(member);
                Progress::new(last, now)
            });
        }
        for member in new {
            self.send_entries(member, now, out);
        }
    }

    /// A message that only a leader of `term` sends. Returns whether it is this member's leader.
    pub(super) fn follow(
        &mut self,
        from: NodeId,
        term: Term,
        now: BootNanos,
        random: &mut dyn Random,
        out: &mut Output,
    ) -> bool {
        if term < self.term {
            let term = self.term;
            let hint = self.log.last() + 1;
            self.send_durable(from, Message::Mismatched { term, hint }, out);
            return false;
        }
        self.meet_term(term, now, random, out);
        // A term has one leader; whoever else claims to be has forgotten a vote, with its disk.
        if self.is_leader() {
            return false;
        }
        self.role = Role::Follower;
        self.leader = Some(from);
        self.leader_heard = Some(now);
        self.put_off_election(now, random);
        true
    }

    /// A later term is this member's too, and whatever it was in the earlier one is over.
    pub(super) fn meet_term(
        &mut self,
        term: Term,
        now: BootNanos,
        random: &mut dyn Random,
        out: &mut Output,
    ) {
        if term > self.term {
            if self.is_leader() {
                self.put_off_election(now, random);
            }
            self.raise_term(term, out);
        }
    }

    /// The same, if it is later.
    pub(super) fn raise_term(&mut self, term: Term, out: &mut Output) {
        if term > self.term {
            self.role = Role::Follower;
            self.leader = None;
            self.enter(term, None, out);
        }
    }

    fn enter(&mut self, term: Term, vote: Option<NodeId>, out: &mut Output) {
        assert!(term > self.term, "terms only grow");
        (self.term, self.vote) = (term, vote);
        // What was promised to an earlier term is of no use to it any more.
        self.held.clear();
        self.record(Record::Ballot { term, vote }, out);
    }

    /// Appends an entry of this leader.
    pub(super) fn append(
        &mut self,
        payload: Payload,
        now: BootNanos,
        out: &mut Output,
    ) -> Result<(Term, Index), super::Refusal> {
        if !self.is_leader() {
            return Err(super::Refusal::NotLeader(self.leader));
        }
        let (index, term) = (self.log.last() + 1, self.term);
        let entry = Entry {
            index,
            term,
            payload,
        };
        self.store(entry, out);
        self.send_all(now, out);
        Ok((term, index))
    }
}
