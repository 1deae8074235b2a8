//! This shard and other nodes: what it does for them as a replica, and what they answer to its own requests.
//!
//! A request is carried out by the shard that owns its token, whichever shard it came to, and that shard answers. An answer goes to
//! whichever shard serves the connection, which hands it on to the one that asked. What must stay true:
//! - what comes from outside is verified before it is applied;
//! - a request that was planned with metadata this node does not have yet waits for it, for as long as its coordinator does, and
//!   among a bounded number of such; one whose coordinator may have missed two steps of a change of the ring is refused, for it
//!   may not know all replicas.

pub mod message;

use crate::effects::{Effects, LogLevel};
use crate::execute::acceptor::{Asker, DecisionRequest};
use crate::message::{ReplicaError, RequestId, ShardMessage};
use crate::repair::RepairMail;
use crate::replica::Caller;
use crate::shard::Shard;
use crate::stream::StreamMail;
use crate::track::commit::Tracked;
use crate::track::{Origination, Replicated};
use cluster::internode::{Class, PeerIdentity};
use cluster::paxos;
use cluster::topology::NodeId;
use message::{Answer, PeerMessage, PeerRequest, Terms, Wanted};
use model::error::Consistency;
use model::mutation::MutationView;
use model::read::{Partitions, ReadCommand, ReadResponse};
use model::time::{BootNanos, Now};
use std::collections::VecDeque;

/// Requests of other nodes that wait for metadata, at most.
const MAX_WAITING: usize = 1_024;

/// A request's place with the node that asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerCaller {
    /// Which node.
    pub node: NodeId,
    /// Which of its shards.
    pub shard: u16,
    /// Its number there.
    pub request: RequestId,
    /// Whether a digest is enough.
    pub digest: bool,
}

impl PeerCaller {
    fn new(node: NodeId, request: PeerRequest, wanted: Wanted) -> Self {
        Self {
            node,
            shard: request.shard,
            request: request.id,
            digest: wanted == Wanted::Digest,
        }
    }

    /// Of a write.
    pub(crate) fn of_write(node: NodeId, request: PeerRequest) -> Self {
        Self::new(node, request, Wanted::Rows)
    }

    pub(crate) fn request(self) -> PeerRequest {
        PeerRequest {
            shard: self.shard,
            id: self.request,
        }
    }
}

/// What another node asks of a replica.
#[derive(Debug)]
pub enum ReplicaRequest {
    /// Apply a mutation; the level that its increments are to reach, if they are to be counted here.
    Write(Vec<u8>, Option<Consistency>),
    /// Give a mutation its id, apply it and send it on.
    Originate(Box<Origination>),
    /// Apply a mutation with the id it has.
    Append(Box<Replicated>),
    /// Read, and what is wanted of it.
    Read(Box<ReadCommand>, Wanted),
    /// Take part in a decision.
    Decide(Box<DecisionRequest>),
}

/// A request that is carried out when it can be.
#[derive(Debug)]
pub struct PeerWork {
    /// Who asks.
    pub caller: PeerCaller,
    /// The epoch it was planned with.
    pub epoch: u64,
    /// Nobody waits for it after this.
    pub deadline: BootNanos,
    /// What is asked.
    pub request: ReplicaRequest,
}

impl PeerWork {
    /// A write that a node waits for.
    pub(crate) fn write(node: NodeId, terms: &Terms, request: ReplicaRequest, now: Now) -> Self {
        work(node, terms, Wanted::Rows, request, now)
    }
}

/// Requests of other nodes that wait for metadata.
#[derive(Debug, Default)]
pub struct Waiting {
    work: VecDeque<PeerWork>,
}

impl Shard {
    /// Another node says something about clients' work.
    pub(crate) fn on_peer_message(
        &mut self,
        from: &PeerIdentity,
        bytes: &[u8],
        now: Now,
        out: &mut Effects,
    ) {
        let Some(message) = PeerMessage::decode(bytes) else {
            let text = format!("a message of {} cannot be read", from.address);
            return out.log.push((LogLevel::Warn, text));
        };
        let Some(node) = from.node else {
            return self.on_cluster_message(from, message, now, out);
        };
        match message {
            PeerMessage::Write {
                terms,
                counts,
                mutation,
            } => {
                let request = ReplicaRequest::Write(mutation, counts);
                self.take_peer_work(work(node, &terms, Wanted::Rows, request, now), now, out);
            }
            PeerMessage::Read {
                terms,
                wanted,
                command,
            } => {
                let request = ReplicaRequest::Read(command, wanted);
                self.take_peer_work(work(node, &terms, wanted, request, now), now, out);
            }
            PeerMessage::Stream(message) => {
                let address = from.address;
                let mail = StreamMail {
                    node,
                    address,
                    message,
                };
                self.on_stream_mail(mail, now, out);
            }
            PeerMessage::Decide { terms, asked } => {
                let asker = asked.tracked.as_ref().and_then(Tracked::coordinator);
                let request = ReplicaRequest::Decide(Box::new(asked));
                let asker = asker.unwrap_or(node);
                self.take_peer_work(work(asker, &terms, Wanted::Rows, request, now), now, out);
            }
            PeerMessage::Repair(message) => {
                self.on_repair_mail(RepairMail { node, message }, now, out);
            }
            answer @ (PeerMessage::Wrote { .. }
            | PeerMessage::Decided { .. }
            | PeerMessage::Answered { .. }) => self.on_peer_answer(node, answer, now, out),
            PeerMessage::Tracked(message) => self.on_tracked(node, message, now, out),
            of_the_cluster => self.on_cluster_message(from, of_the_cluster, now, out),
        }
    }

    /// What another node answers goes to the shard that asked.
    fn on_peer_answer(&mut self, node: NodeId, answer: PeerMessage, now: Now, out: &mut Effects) {
        let (request, message) = match answer {
            PeerMessage::Wrote { request, result } => {
                let id = request.id;
                (request, ShardMessage::PeerWrote { node, id, result })
            }
            PeerMessage::Decided { request, result } => {
                let id = request.id;
                (request, ShardMessage::PeerDecided { node, id, result })
            }
            PeerMessage::Answered { request, result } => {
                let id = request.id;
                (request, ShardMessage::PeerAnswered { node, id, result })
            }
            _ => unreachable!("the caller looked"),
        };
        if request.shard == self.number {
            self.on_passed_on(message, now, out);
        } else {
            self.pass_on(request.shard, message, out);
        }
    }

    /// Something of another node, which another shard passed on.
    pub(crate) fn on_passed_on(&mut self, message: ShardMessage, now: Now, out: &mut Effects) {
        match message {
            // This shard may hear of a change of the metadata later than the one that was asked.
            ShardMessage::PeerWork(work) => self.take_peer_work(*work, now, out),
            ShardMessage::PeerWrote { node, id, result } => {
                self.on_peer_wrote(node, id, result, now, out);
            }
            ShardMessage::PeerDecided { node, id, result } => {
                self.on_decision_answer(node, id, result, now, out);
            }
            ShardMessage::PeerAnswered { node, id, result } => {
                self.on_peer_answered(node, id, result, now, out);
            }
            _ => unreachable!("the caller looked"),
        }
    }

    fn pass_on(&self, shard: u16, message: ShardMessage, out: &mut Effects) {
        // A peer that names a shard there is not has been told of another number of them.
        if shard < self.config.shards {
            out.messages.push((shard, message));
        }
    }

    /// Carries a request out, here or on the shard that owns it, once the metadata is there.
    pub(crate) fn take_peer_work(&mut self, work: PeerWork, now: Now, out: &mut Effects) {
        if now.boot > work.deadline {
            self.metrics.dropped_reads += 1;
            return;
        }
        if work.epoch > self.topology.epoch {
            if self.peer_work.work.len() < MAX_WAITING {
                self.peer_work.work.push_back(work);
            } else {
                let error = ReplicaError::Overloaded("too many requests wait for metadata".into());
                self.refuse_peer_work(&work, error, out);
            }
            return;
        }
        if work.epoch < self.topology.refused_before {
            return self.refuse_peer_work(&work, ReplicaError::Outdated, out);
        }
        let Some(owner) = self.owner_of(&work.request) else {
            let error = ReplicaError::Invalid("what was sent is no mutation".into());
            return self.refuse_peer_work(&work, error, out);
        };
        if owner == self.number {
            self.do_peer_work(work, now, out);
        } else {
            out.messages
                .push((owner, ShardMessage::PeerWork(Box::new(work))));
        }
    }

    /// The shard that has what a request is about; `None` if it is malformed. For a range the shard it came to asks all.
    fn owner_of(&self, request: &ReplicaRequest) -> Option<u16> {
        let of_mutation = |mutation: &[u8]| {
            let view = MutationView::parse(mutation)?;
            MutationView::verify(mutation).then(|| self.owner(view.token))
        };
        match request {
            ReplicaRequest::Write(mutation, _) => of_mutation(mutation),
            ReplicaRequest::Originate(origination) => of_mutation(&origination.mutation),
            ReplicaRequest::Append(replicated) => of_mutation(&replicated.mutation),
            ReplicaRequest::Decide(asked) => Some(self.owner(asked.key.token)),
            ReplicaRequest::Read(command, _) => Some(match &command.partitions {
                Partitions::Key(key) => self.owner(key.token),
                Partitions::Range(_) => self.number,
            }),
        }
    }

    fn refuse_peer_work(&mut self, work: &PeerWork, error: ReplicaError, out: &mut Effects) {
        match work.request {
            ReplicaRequest::Write(..)
            | ReplicaRequest::Originate(_)
            | ReplicaRequest::Append(_) => self.tell_peer_written(work.caller, Err(error), out),
            ReplicaRequest::Read(..) => self.tell_peer_read(work.caller, Err(error), out),
            ReplicaRequest::Decide(_) => self.tell_peer_decided(work.caller, Err(error), out),
        }
    }

    /// Carries out what this shard owns.
    pub(crate) fn do_peer_work(&mut self, work: PeerWork, now: Now, out: &mut Effects) {
        let caller = Caller::Peer(work.caller);
        match work.request {
            ReplicaRequest::Write(..)
            | ReplicaRequest::Originate(_)
            | ReplicaRequest::Append(_)
                if self.comes_too_late(work.epoch) =>
            {
                self.tell_peer_written(work.caller, Err(ReplicaError::Outdated), out);
            }
            ReplicaRequest::Write(mutation, counts) => {
                self.apply_planned(mutation, (work.epoch, counts), caller, now, out);
            }
            ReplicaRequest::Decide(asked) => {
                let asker = Asker::Peer(work.caller);
                self.accept(*asked, work.epoch, asker, now, out);
            }
            ReplicaRequest::Originate(origination) => {
                if self.is_member(&origination.members) {
                    return self.originate(*origination, now, out);
                }
                let text = "this node is no replica of it".to_owned();
                let error = ReplicaError::Failed(0, text);
                self.tell_peer_written(work.caller, Err(error), out);
            }
            ReplicaRequest::Append(replicated) => {
                self.append_replicated(&replicated, work.epoch, caller, now);
            }
            ReplicaRequest::Read(command, Wanted::FreshRows { local })
                if !self.is_fresh_for(&command, local) =>
            {
                self.tell_peer_read(work.caller, Err(ReplicaError::Behind), out);
            }
            ReplicaRequest::Read(command, _) => {
                if let Partitions::Range(_) = command.partitions {
                    return self.read_own_shards(*command, caller, work.deadline, now, out);
                }
                self.metrics.replica_reads += 1;
                let read = self.replica.read(&command, caller, now, &mut out.io);
                if let Some(result) = read {
                    self.tell_peer_read(work.caller, result, out);
                }
            }
        }
    }

    /// Requests that waited for metadata are looked at again.
    pub(crate) fn resume_peer_work(&mut self, now: Now, out: &mut Effects) {
        for work in std::mem::take(&mut self.peer_work.work) {
            self.take_peer_work(work, now, out);
        }
    }

    /// Tells another node how its mutation ended.
    pub(crate) fn tell_peer_written(
        &mut self,
        caller: PeerCaller,
        result: Result<(), ReplicaError>,
        out: &mut Effects,
    ) {
        let message = PeerMessage::Wrote {
            request: caller.request(),
            result,
        };
        self.say(caller.node, &message, out);
    }

    /// Tells another node what was read for it.
    pub(crate) fn tell_peer_read(
        &mut self,
        caller: PeerCaller,
        result: Result<ReadResponse, ReplicaError>,
        out: &mut Effects,
    ) {
        let answer = result.map(|response| {
            if caller.digest {
                Answer::Digest(response.digest(), response.tombstones)
            } else {
                Answer::Rows(response)
            }
        });
        let message = PeerMessage::Answered {
            request: caller.request(),
            result: answer,
        };
        self.say(caller.node, &message, out);
    }

    /// Tells another node what this acceptor says.
    pub(crate) fn tell_peer_decided(
        &mut self,
        caller: PeerCaller,
        result: Result<paxos::Answer, ReplicaError>,
        out: &mut Effects,
    ) {
        let message = PeerMessage::Decided {
            request: caller.request(),
            result,
        };
        self.say(caller.node, &message, out);
    }

    /// Sends a message to a member; to one that is gone there is nothing to say.
    pub(crate) fn say(&self, to: NodeId, message: &PeerMessage, out: &mut Effects) {
        if let Some(address) = self.topology.internode_address(to) {
            let class = message.class();
            out.peers
                .send(address, class, |buffer| message.encode(buffer));
        }
    }

    /// Sends a mutation to another replica.
    pub(crate) fn send_mutation(
        &self,
        to: NodeId,
        terms: &Terms,
        (mutation, counts): (&[u8], Option<Consistency>),
        out: &mut Effects,
    ) {
        if let Some(address) = self.topology.internode_address(to) {
            out.peers.send(address, Class::Small, |buffer| {
                message::put_write(buffer, terms, counts, mutation);
            });
        }
    }

    /// Asks another replica to read.
    pub(crate) fn send_read(
        &self,
        to: NodeId,
        terms: &Terms,
        (command, wanted): (&ReadCommand, Wanted),
        out: &mut Effects,
    ) {
        if let Some(address) = self.topology.internode_address(to) {
            out.peers.send(address, Class::Small, |buffer| {
                message::put_read(buffer, terms, wanted, command);
            });
        }
    }

    /// Asks another acceptor.
    pub(crate) fn send_decision(
        &self,
        to: NodeId,
        terms: &Terms,
        asked: &DecisionRequest,
        out: &mut Effects,
    ) {
        if let Some(address) = self.topology.internode_address(to) {
            out.peers.send(address, Class::Small, |buffer| {
                message::put_decide(buffer, terms, asked);
            });
        }
    }

    /// The terms of a request that was planned at an epoch.
    pub(crate) fn terms(&self, id: RequestId, epoch: u64, wait_ms: u64) -> Terms {
        Terms {
            request: PeerRequest {
                shard: self.number,
                id,
            },
            epoch,
            wait_ms: u32::try_from(wait_ms).unwrap_or(u32::MAX),
        }
    }
}

fn work(
    node: NodeId,
    terms: &Terms,
    wanted: Wanted,
    request: ReplicaRequest,
    now: Now,
) -> PeerWork {
    PeerWork {
        caller: PeerCaller::new(node, terms.request, wanted),
        epoch: terms.epoch,
        deadline: now.boot.plus_millis(u64::from(terms.wait_ms)),
        request,
    }
}
