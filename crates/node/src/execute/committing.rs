//! What was decided goes to the replicas: one of them is handed the commit, gives it its id and sends it to the others
//! (docs/tracking.md, section 3). This node is the first choice if it is a replica. If that one fails, or nothing is heard of it
//! in a third of the time there is, another is; both may do it, for an update has its own timestamp and may have several ids.

use super::acceptor::DecisionRequest;
use super::decide::{Decision, Purpose};
use super::operation::Operation;
use crate::effects::Effects;
use crate::shard::Shard;
use crate::track::commit::Tracked;
use cluster::coordinate::members;
use cluster::coordinate::write::Progress;
use cluster::paxos::{Ballot, Proposal, Request};
use cluster::topology::NodeId;
use model::time::{BootNanos, Now};
use storage::held::Members;

/// A commit that another node was handed.
#[derive(Debug)]
pub(super) struct Handing {
    proposal: Proposal,
    members: Members,
    /// Who was handed it last.
    origin: NodeId,
    /// Whom it is for, the next choice first.
    targets: Vec<NodeId>,
    /// How many were not tried.
    left: usize,
}

impl Shard {
    /// Sends what was decided to replicas that are sent it.
    pub(super) fn send_commit(
        &mut self,
        number: u64,
        proposal: Proposal,
        mut targets: Vec<NodeId>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(members) = self.members_of_commit(number, &proposal) else {
            for to in targets {
                self.ask_acceptor(number, to, Request::Commit(proposal.clone()), now, out);
            }
            return;
        };
        let topology = &self.topology;
        let is_alive = |id: NodeId| {
            let mut nodes = topology.nodes.iter();
            nodes.any(|node| node.id == id && node.alive)
        };
        targets.retain(|id| is_alive(*id));
        targets.sort_by_key(|id| *id != topology.local);
        let Some(Operation::Decision(decision)) = self.operations.get_mut(number) else {
            return;
        };
        let Some(first) = targets.first().copied() else {
            return;
        };
        decision.handing = Some(Handing {
            proposal,
            members,
            origin: first,
            left: targets.len(),
            targets,
        });
        self.hand_over(number, now, out);
    }

    /// Somebody else finished the statement's update: it is brought to all replicas, for nobody knows which have it.
    pub(super) fn commit_again(
        &mut self,
        number: u64,
        origin: Ballot,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Decision(decision)) = self.operations.get_mut(number) else {
            return;
        };
        let (Purpose::Statement(plan), Some(own)) =
            (&decision.purpose, decision.proposer.proposed(origin))
        else {
            return self.end_decision(number, Ok(true), now, out);
        };
        let live = plan.live().map(|replica| replica.node).collect();
        let own = own.clone();
        decision.answered.clear();
        decision.await_commit(own.ballot);
        self.send_commit(number, own, live, now, out);
    }

    /// A node is no member any more: the commit may be where it is to be.
    pub(super) fn commit_released(
        &mut self,
        number: u64,
        node: NodeId,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Decision(decision)) = self.operations.get_mut(number) else {
            return;
        };
        let commit = decision.commit.as_mut();
        let progress = commit.map(|(_, commit)| commit.on_released(node));
        if let Some(Progress::Done(result)) = progress {
            self.end_decision(number, result.map(|()| true), now, out);
        }
    }

    /// The group that a commit is for; `None` if it gets no id.
    fn members_of_commit(&self, number: u64, proposal: &Proposal) -> Option<Members> {
        let Some(Operation::Decision(decision)) = self.operations.get(number) else {
            return None;
        };
        let (table, token) = decision.place();
        let keyspace = self.topology.keyspace(&table.keyspace)?;
        let replicas = members(keyspace, &self.topology, token);
        self.members_for(replicas, &proposal.update)
    }

    /// Hands the commit to the next choice, if there is one left.
    pub(super) fn hand_over(&mut self, number: u64, now: Now, out: &mut Effects) {
        let local = self.topology.local;
        let Some(Operation::Decision(decision)) = self.operations.get_mut(number) else {
            return;
        };
        let deadline = decision.deadline();
        let (table, key) = decision.partition();
        let Some(handing) = decision.handing.as_mut().filter(|handing| handing.left > 0) else {
            return;
        };
        handing.left -= 1;
        handing.origin = handing.targets[0];
        let origin = handing.origin;
        let others = handing.targets[1..].to_vec();
        handing.targets.rotate_left(1);
        let (members, proposal) = (handing.members.clone(), handing.proposal.clone());
        let epoch = decision.epoch();
        let wait_nanos = deadline.since(now.boot);
        let request = decision.request(number);
        let terms = self.terms(request, epoch, wait_nanos / 1_000_000);
        let asked = DecisionRequest {
            table,
            key,
            request: Request::Commit(proposal),
            tracked: Some(Tracked::Begin(terms, members, others)),
        };
        self.ask_by_terms(origin, &terms, asked, now, out);
        if origin == local {
            return;
        }
        self.wake_decision(number, BootNanos(now.boot.0 + wait_nanos / 3 + 1));
    }

    /// The acceptor that was handed the commit failed or went away: the next is.
    pub(super) fn hand_over_after(
        &mut self,
        number: u64,
        lost: NodeId,
        now: Now,
        out: &mut Effects,
    ) {
        if let Some(Operation::Decision(decision)) = self.operations.get_mut(number)
            && let Some(handing) = &decision.handing
            && handing.origin == lost
        {
            self.hand_over(number, now, out);
        }
    }

    /// Its moment has come: nothing was heard of a commit that was handed over, or another ballot is tried.
    pub(super) fn decision_goes_on(&mut self, number: u64, now: Now, out: &mut Effects) {
        let Some(Operation::Decision(decision)) = self.operations.get_mut(number) else {
            return;
        };
        if decision.rings() {
            self.prepare_ballot(number, now, out);
        } else {
            self.hand_over(number, now, out);
        }
    }
}

impl Decision {
    /// An acceptor has the commit: if it is the one that was handed it, it has been passed on.
    pub(super) fn committed_by(&mut self, from: NodeId) {
        self.handing.take_if(|handing| handing.origin == from);
    }
}
