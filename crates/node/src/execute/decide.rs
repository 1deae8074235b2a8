//! A decision about a partition that several nodes have: a conditional statement or a SERIAL read, by the majority of the replicas
//! ([`cluster::paxos`]). Runs on the shard that owns the partition's token here, in the partition's turn, so that statements that
//! came to one node do not contend; those of several do, and try again after a while that is drawn at random, until their time is over.
//!
//! The machine is the proposer's; this sends what it sends, reads what it wants read, and commits at the statement's level: also to
//! replicas that took no part in the decision, those of other data centres at LOCAL_SERIAL. What must stay true:
//! - a try is by the replicas of one epoch, which everything it sends names; the next is by those there are then;
//! - ballots of a shard only grow, and are later than any it has seen; whoever waits hears once.

mod told;

use super::acceptor::{Asker, DecisionRequest};
use super::committing::Handing;
use super::operation::Operation;
use super::partition_queue::Partition;
use super::replicas::ReadTerms;
use crate::effects::Effects;
use crate::message::{ReplicaError, RequestId};
use crate::peers::message::Terms;
use crate::shard::Shard;
use cluster::coordinate::write::{Progress, WriteSet};
use cluster::coordinate::{Access, ReplicaPlan, participants};
use cluster::paxos::{Answer, Ballot, Effect, Outcome, Participants, Proposal, Proposer, Request};
use cluster::topology::NodeId;
use model::env::Random;
use model::error::{Consistency, RequestError, WriteType};
use model::key::{DecoratedKey, Token};
use model::read::{ReadCommand, ReadResponse};
use model::schema::Table;
use model::time::{BootNanos, Now};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The longest wait before a statement that met another tries again: doubled each time up to the second, in milliseconds.
const FIRST_WAIT_MS: u64 = 4;
const LONGEST_WAIT_MS: u64 = 128;

/// Who waits for a decision.
#[derive(Debug)]
pub(super) enum Purpose {
    /// A conditional statement, which decides what is to be; its commit is for these replicas.
    Statement(ReplicaPlan),
    /// A read: what is decided is shown, and nothing changed.
    Read,
}

/// What a decision is about.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) table: Arc<Table>,
    pub(super) key: DecoratedKey,
    /// SERIAL or LOCAL_SERIAL.
    pub(super) level: Consistency,
    /// What is read before it is decided.
    pub(super) command: ReadCommand,
    /// When whoever waits is told to give up.
    pub(super) deadline: BootNanos,
}

/// A decision under way.
#[derive(Debug)]
pub struct Decision {
    /// The operation that waits for it.
    parent: u64,
    pub(super) purpose: Purpose,
    question: Question,
    participants: Participants,
    pub(super) proposer: Proposer,
    /// The ballot under which the partition is being read.
    reading: Option<Ballot>,
    /// What was read, for a read.
    response: Option<ReadResponse>,
    /// The commit of the statement's update: its ballot, and who has it.
    pub(super) commit: Option<(Ballot, WriteSet)>,
    /// Who answered what was sent last.
    pub(super) answered: BTreeSet<NodeId>,
    /// Who failed in this try, or went away.
    lost: BTreeSet<NodeId>,
    /// How often another was at it.
    contentions: u16,
    /// The commit that an acceptor was handed, to pass it on.
    pub(super) handing: Option<Handing>,
    /// How often a ballot was prepared: what failed of an earlier try says nothing of this one.
    attempt: u32,
    /// Whether it is to be tried again when its alarm rings.
    waits: bool,
    alarm: Option<BootNanos>,
}

impl Decision {
    /// When whoever waits is told to give up.
    pub fn deadline(&self) -> BootNanos {
        self.question.deadline
    }

    /// The table and the token that it is about.
    pub(super) fn place(&self) -> (&Table, Token) {
        (&self.question.table, self.question.key.token)
    }

    /// The epoch of the metadata that the participants were found with.
    pub(super) fn epoch(&self) -> u64 {
        self.proposer.epoch()
    }

    /// What its requests are named by.
    pub(super) fn request(&self, number: u64) -> RequestId {
        RequestId {
            operation: number,
            part: self.attempt,
        }
    }

    /// Its alarm rings: whether it is to be tried again.
    pub(super) fn rings(&mut self) -> bool {
        self.alarm = None;
        std::mem::take(&mut self.waits)
    }

    /// The partition that it is about.
    pub(super) fn partition(&self) -> Partition {
        (self.question.table.id, self.question.key.clone())
    }

    /// Whether those that are left cannot decide.
    fn is_hopeless(&self) -> bool {
        let left = self.participants.all().filter(|id| !self.lost.contains(id));
        !self.participants.suffice(&left.collect())
    }
}

impl Shard {
    /// Begins a decision for an operation of this shard; `Unavailable` at once if too few replicas are alive.
    pub(super) fn begin_decision(
        &mut self,
        parent: u64,
        purpose: Purpose,
        question: Question,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), RequestError> {
        let participants = self.participants_of(&question)?;
        let decision = Decision {
            parent,
            purpose,
            proposer: Proposer::new(participants.clone(), self.topology.epoch)
                .of_policy(self.config.policy),
            question,
            participants,
            reading: None,
            response: None,
            commit: None,
            answered: BTreeSet::new(),
            lost: BTreeSet::new(),
            contentions: 0,
            handing: None,
            attempt: 0,
            waits: false,
            alarm: None,
        };
        let number = self
            .operations
            .insert(Operation::Decision(Box::new(decision)));
        self.prepare_ballot(number, now, out);
        Ok(())
    }

    fn participants_of(&self, question: &Question) -> Result<Participants, RequestError> {
        let keyspace = self.topology.keyspace(&question.table.keyspace);
        let keyspace = keyspace.ok_or_else(|| RequestError::invalid("the keyspace is gone"))?;
        participants(question.level, keyspace, &self.topology, question.key.token)
    }

    /// A decision that is begun again is for the replicas there are now.
    fn decide_among_present(&mut self, number: u64) -> Result<(), RequestError> {
        let epoch = self.topology.epoch;
        let before = match self.operations.get(number) {
            Some(Operation::Decision(decision)) if decision.epoch() != epoch => decision,
            _ => return Ok(()),
        };
        let (question, mut purpose) = (&before.question, Purpose::Read);
        let participants = self.participants_of(question)?;
        if let Purpose::Statement(commit) = &before.purpose {
            let (keyspace, token) = (&question.table.keyspace, question.key.token);
            let commit = self.admit(Access::Conditional, commit.consistency, keyspace, token)?;
            purpose = Purpose::Statement(commit);
        }
        if let Some(Operation::Decision(decision)) = self.operations.get_mut(number) {
            decision.proposer.ask_instead(participants.clone(), epoch);
            decision.participants = participants;
            decision.purpose = purpose;
        }
        Ok(())
    }

    /// Tries a ballot that is later than all that were seen.
    pub(super) fn prepare_ballot(&mut self, number: u64, now: Now, out: &mut Effects) {
        if let Err(error) = self.decide_among_present(number) {
            return self.end_decision(number, Err(error), now, out);
        }
        let ballot = Ballot {
            micros: self.clock.next(now),
            node: self.topology.local,
            shard: self.number,
        };
        let Some(Operation::Decision(decision)) = self.operations.get_mut(number) else {
            return;
        };
        let alarm = decision.alarm.take();
        decision.waits = false;
        decision.attempt = decision.attempt.wrapping_add(1);
        decision.handing = None;
        decision.reading = None;
        decision.answered.clear();
        decision.lost.clear();
        let mut effects = Vec::new();
        decision.proposer.prepare(ballot, &mut effects);
        if let Some(at) = alarm {
            self.drop_alarm(at, number);
        }
        self.carry_out_decision(number, effects, now, out);
    }

    fn carry_out_decision(
        &mut self,
        number: u64,
        effects: Vec<Effect>,
        now: Now,
        out: &mut Effects,
    ) {
        let fresh = effects.iter().find_map(|effect| match effect {
            Effect::Send(_, request) => Some(request.clone()),
            _ => None,
        });
        if let Some(request) = fresh {
            let others = self.new_phase(number, &request);
            if let Request::Commit(proposal) = request
                && self.is_decided_now(number, &proposal)
            {
                let to = effects.iter().filter_map(|effect| match effect {
                    Effect::Send(to, _) => Some(*to),
                    _ => None,
                });
                let to = to.chain(others).collect();
                return self.send_commit(number, proposal, to, now, out);
            }
        }
        for effect in effects {
            match effect {
                Effect::Send(to, request) => self.ask_acceptor(number, to, request, now, out),
                Effect::Read(ballot, from) => self.read_to_decide(number, ballot, from, now, out),
                Effect::Contended(seen) => self.contended(number, seen, now, out),
                Effect::Done(outcome) => self.decided(number, outcome, now, out),
            }
        }
    }

    /// Whether a commit is of what was accepted just now; else it brings an acceptor what others committed before.
    fn is_decided_now(&self, number: u64, proposal: &Proposal) -> bool {
        match self.operations.get(number) {
            Some(Operation::Decision(decision)) => {
                decision.proposer.ballot() == Some(proposal.ballot)
            }
            _ => false,
        }
    }

    /// Something new is about to be sent. A commit of the statement's own update goes to all replicas, also to these.
    fn new_phase(&mut self, number: u64, request: &Request) -> Vec<NodeId> {
        let Some(Operation::Decision(decision)) = self.operations.get_mut(number) else {
            return Vec::new();
        };
        decision.answered.clear();
        let Request::Commit(proposal) = request else {
            return Vec::new();
        };
        let Purpose::Statement(plan) = &decision.purpose else {
            return Vec::new();
        };
        if !decision.proposer.is_own(proposal) {
            return Vec::new();
        }
        let takes_part = |id: NodeId| decision.participants.all().any(|known| known == id);
        let live = plan.live().map(|replica| replica.node);
        let others = live.filter(|id| !takes_part(*id)).collect();
        decision.await_commit(proposal.ballot);
        others
    }

    pub(super) fn ask_acceptor(
        &mut self,
        number: u64,
        to: NodeId,
        request: Request,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Decision(decision)) = self.operations.get_mut(number) else {
            return;
        };
        let asked = DecisionRequest {
            table: decision.question.table.id,
            key: decision.question.key.clone(),
            request,
            tracked: None,
        };
        let wait_ms = decision.question.deadline.since(now.boot) / 1_000_000;
        let (epoch, request) = (decision.epoch(), decision.request(number));
        let terms = self.terms(request, epoch, wait_ms);
        self.ask_by_terms(to, &terms, asked, now, out);
    }

    /// Asks an acceptor, which may be this shard.
    pub(super) fn ask_by_terms(
        &mut self,
        to: NodeId,
        terms: &Terms,
        asked: DecisionRequest,
        now: Now,
        out: &mut Effects,
    ) {
        if to == self.topology.local {
            let asker = Asker::Own(terms.request.id);
            return self.accept(asked, terms.epoch, asker, now, out);
        }
        self.send_decision(to, terms, &asked, out);
    }

    /// An acceptor's answer, or why there is none.
    pub(crate) fn on_decision_answer(
        &mut self,
        from: NodeId,
        request: RequestId,
        result: Result<Answer, ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let number = request.operation;
        let Some(Operation::Decision(decision)) = self.operations.get_mut(number) else {
            return;
        };
        let answer = match result {
            Ok(answer) => answer,
            Err(_) if request.part != decision.attempt => return,
            Err(ReplicaError::Outdated) => return self.decide_later(number, now),
            Err(_) => return self.acceptor_lost(number, from, now, out),
        };
        decision.answered.insert(from);
        if let Answer::Committed(_) = answer {
            decision.committed_by(from);
        }
        if let Answer::Committed(ballot) = answer
            && let Some((own, commit)) = &mut decision.commit
            && *own == ballot
            && commit.on_ack_of(from) == Progress::Done(Ok(()))
        {
            return self.end_decision(number, Ok(true), now, out);
        }
        let mut effects = Vec::new();
        decision.proposer.on_answer(from, answer, &mut effects);
        self.carry_out_decision(number, effects, now, out);
    }

    /// An acceptor failed or went away.
    pub(super) fn acceptor_lost(&mut self, number: u64, node: NodeId, now: Now, out: &mut Effects) {
        let Some(Operation::Decision(decision)) = self.operations.get_mut(number) else {
            return;
        };
        decision.lost.insert(node);
        let commit_failed = decision.commit.as_mut().is_some_and(|(_, commit)| {
            matches!(commit.on_unavailable(node), Progress::Done(Err(_)))
        });
        let is_hopeless = decision.commit.is_none() && decision.is_hopeless();
        // It may be none of the participants there are now, or soon.
        let is_outdated = decision.epoch() != self.topology.epoch;
        if is_hopeless && (is_outdated || decision.participants.pending.contains(&node)) {
            return self.decide_later(number, now);
        }
        if is_hopeless || commit_failed {
            let error = decision.on_timeout();
            return self.end_decision(number, Err(error), now, out);
        }
        self.hand_over_after(number, node, now, out);
    }

    /// The decision goes on at a moment although nothing came for it.
    pub(super) fn wake_decision(&mut self, number: u64, at: BootNanos) {
        let Some(Operation::Decision(decision)) = self.operations.get_mut(number) else {
            return;
        };
        if let Some(before) = decision.alarm.replace(at) {
            self.drop_alarm(before, number);
        }
        self.set_alarm(at, number);
    }

    /// Reads the partition from replicas that have all that was decided.
    fn read_to_decide(
        &mut self,
        number: u64,
        ballot: Ballot,
        from: Vec<NodeId>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Decision(decision)) = self.operations.get_mut(number) else {
            return;
        };
        decision.reading = Some(ballot);
        let question = &decision.question;
        let terms = ReadTerms {
            ballot: Some(ballot),
            table: question.table.clone(),
            level: question.level,
            max_staleness_ms: None,
            deadline: question.deadline,
        };
        let command = question.command.clone();
        let plan = ReplicaPlan::of_all(question.level, from, &self.topology);
        let plan = plan.of_epoch(decision.epoch());
        match plan.again(&self.topology) {
            Ok(plan) => self.read_replicas(number, (plan, terms), command, now, out),
            Err(error) => self.end_decision(number, Err(error), now, out),
        }
    }

    /// Whether a decision waits for what is read under this ballot, and not under a later one by now.
    pub(super) fn reads_under(&self, number: u64, ballot: Ballot) -> bool {
        match self.operations.get(number) {
            Some(Operation::Decision(decision)) => decision.reading == Some(ballot),
            _ => false,
        }
    }

    /// The partition as it was decided is here.
    pub(super) fn decision_read(
        &mut self,
        number: u64,
        result: Result<ReadResponse, ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Decision(decision)) = self.operations.get_mut(number) else {
            return;
        };
        let Some(ballot) = decision.reading.take() else {
            return;
        };
        let response = match result {
            Ok(response) => response,
            // Whoever was asked may know of a change of the ring that this node has heard of only now.
            Err(_) if decision.epoch() != self.topology.epoch => {
                return self.decide_later(number, now);
            }
            Err(ReplicaError::Told(error)) => {
                return self.end_decision(number, Err(*error), now, out);
            }
            Err(error) => {
                let error = RequestError::Server(error.into_text());
                return self.end_decision(number, Err(error), now, out);
            }
        };
        let update = match &decision.purpose {
            Purpose::Read => {
                decision.response = Some(response);
                Ok(None)
            }
            Purpose::Statement(_) => {
                let parent = decision.parent;
                self.rmw_decide(parent, response, ballot.micros)
            }
        };
        let update = match update {
            Ok(update) => update,
            Err(error) => return self.end_decision(number, Err(error), now, out),
        };
        let Some(Operation::Decision(decision)) = self.operations.get_mut(number) else {
            return;
        };
        let mut effects = Vec::new();
        decision.proposer.decide(ballot, update, &mut effects);
        self.carry_out_decision(number, effects, now, out);
    }

    /// Another coordinator is at it, or its work was finished for it.
    fn contended(&mut self, number: u64, seen: Ballot, now: Now, out: &mut Effects) {
        self.clock.observe(seen.micros);
        let Some(Operation::Decision(decision)) = self.operations.get_mut(number) else {
            return;
        };
        if decision.proposer.ballot() == Some(seen) {
            // What was left unfinished is done.
            return self.prepare_ballot(number, now, out);
        }
        self.decide_later(number, now);
    }

    /// Tries again after a while: others are at it, or know of a change of the ring that this node will hear of.
    fn decide_later(&mut self, number: u64, now: Now) {
        let random = self.random.next_u64();
        let Some(Operation::Decision(decision)) = self.operations.get_mut(number) else {
            return;
        };
        if std::mem::replace(&mut decision.waits, true) {
            return;
        }
        decision.contentions = decision.contentions.saturating_add(1);
        self.metrics.contentions += 1;
        let doublings = u32::from(decision.contentions.min(16));
        let longest = (FIRST_WAIT_MS << doublings).min(LONGEST_WAIT_MS) * 1_000_000;
        let at = BootNanos(now.boot.0 + 1 + random % longest);
        decision.handing = None;
        self.wake_decision(number, at);
    }

    /// The proposer says how it ended; an update that is to be committed at a higher level than a majority's is waited for.
    fn decided(&mut self, number: u64, outcome: Outcome, now: Now, out: &mut Effects) {
        let Some(Operation::Decision(decision)) = self.operations.get_mut(number) else {
            return;
        };
        match outcome {
            Outcome::Applied(_) if decision.commit.is_some() && decision.is_committing() => {}
            Outcome::Applied(origin) => self.commit_again(number, origin, now, out),
            Outcome::Unchanged => self.end_decision(number, Ok(false), now, out),
            Outcome::Unknown => {
                let required = decision.participants.required() as u32;
                let error = RequestError::CasWriteUnknown {
                    consistency: decision.question.level,
                    received: 0,
                    block_for: required,
                };
                self.end_decision(number, Err(error), now, out);
            }
        }
    }

    pub(super) fn end_decision(
        &mut self,
        number: u64,
        result: Result<bool, RequestError>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Decision(decision)) = self.operations.remove(number) else {
            return;
        };
        self.decision_ended(number, *decision, result, now, out);
    }

    fn decision_ended(
        &mut self,
        number: u64,
        decision: Decision,
        result: Result<bool, RequestError>,
        now: Now,
        out: &mut Effects,
    ) {
        if let Some(at) = decision.alarm {
            self.drop_alarm(at, number);
        }
        let result = result.map_err(|error| decision.as_far_as_known(error));
        match decision.purpose {
            Purpose::Statement(_) => self.rmw_decided(decision.parent, result, now, out),
            Purpose::Read => {
                let result = match result {
                    Ok(_) => Ok(decision.response.expect("read before it ended")),
                    Err(error) => Err(ReplicaError::Told(Box::new(error))),
                };
                self.on_read(decision.parent, self.number, result, now, out);
            }
        }
    }

    /// The deadline passed.
    pub(super) fn decision_time_out(
        &mut self,
        number: u64,
        decision: Decision,
        now: Now,
        out: &mut Effects,
    ) {
        let error = decision.on_timeout();
        self.decision_ended(number, decision, Err(error), now, out);
    }
}

impl Decision {
    /// From now on who has the statement's update of this ballot is counted.
    pub(super) fn await_commit(&mut self, ballot: Ballot) {
        if let Purpose::Statement(plan) = &self.purpose {
            let write = WriteSet::new(WriteType::Simple, [Ok(plan.clone())]);
            self.commit = Some((ballot, write.expect("a plan there is")));
        }
    }

    /// Whether the commit under way is that of the ballot at hand.
    fn is_committing(&self) -> bool {
        self.commit.as_ref().map(|(ballot, _)| *ballot) == self.proposer.ballot()
    }
}
