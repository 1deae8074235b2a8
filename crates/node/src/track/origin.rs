//! Where a tracked write begins: a replica that takes it first gives it its id, appends it and sends it to the others
//! (docs/tracking.md, section 3).
//!
//! A coordinator that is a replica is the origin itself: the shard of it that owns the token. One that is none has a replica be
//! it, and if nothing has come of that after a third of the time there is, another. Acknowledgements come to the coordinator from every replica.

use super::message::{TrackMessage, put_append, put_via};
use super::{OwnLog, TrackNote, Tracking, group_of};
use crate::effects::Effects;
use crate::message::{ReplicaError, RequestId, ShardMessage};
use crate::peers::message::{PeerMessage, Terms};
use crate::peers::{PeerCaller, PeerWork, ReplicaRequest};
use crate::replica::Caller;
use crate::shard::Shard;
use cluster::coordinate::write::{Sends, WriteSet};
use cluster::internode::Class;
use cluster::topology::NodeId;
use model::mutation::MutationView;
use model::time::{BootNanos, Now};
use model::track::{Intervals, LogId, MutationId};
use smallvec::SmallVec;
use storage::held::{MAX_MEMBERS, Members, Statement};

/// By part of a write, whom it is for, and the epoch that was so at.
pub(crate) type Groups = SmallVec<[Option<(Members, u64)>; 1]>;

/// A mutation that its origin is about to append.
#[derive(Debug)]
pub struct Origination {
    /// By which terms; the request is the coordinator's.
    pub terms: Terms,
    /// Who waits.
    pub coordinator: NodeId,
    /// Whom it is for.
    pub members: Members,
    /// Those of them that are sent it, the origin aside.
    pub targets: Vec<NodeId>,
    /// The encoded mutation.
    pub mutation: Vec<u8>,
}

/// A mutation as a replica that is not its origin gets it.
#[derive(Debug)]
pub struct Replicated {
    /// Its id.
    pub id: MutationId,
    /// Whom it is for.
    pub members: Members,
    /// The encoded mutation.
    pub mutation: Vec<u8>,
}

/// Mutations of a coordinator that is no replica of them, while it may have to ask another replica to be their origin.
#[derive(Debug)]
pub(crate) struct Forwarded {
    parts: Vec<ForwardedPart>,
    /// When the next is asked.
    pub again_at: BootNanos,
    step_ms: u64,
}

#[derive(Debug)]
struct ForwardedPart {
    part: usize,
    members: Members,
    epoch: u64,
    /// The replicas that answer, the next to be asked first.
    targets: Vec<NodeId>,
    mutation: Vec<u8>,
}

impl Tracking {
    /// The log of this shard's for a group; `None` if there are no more numbers for one.
    fn own_log(&mut self, members: &Members, shards: u16) -> Option<LogId> {
        if let Some(own) = self.logs.get(members) {
            return Some(own.log);
        }
        let log = LogId::new(self.own.node.0, self.own.boot, self.next_number)?;
        self.next_number += u32::from(shards);
        self.logs.insert(members.clone(), OwnLog { log, end: 0 });
        Some(log)
    }
}

impl Shard {
    /// Whom each part of a write is for that gets an id: those that several replicas have, in keyspaces whose writes are logged. A row
    /// of the batch log is none: who keeps it was picked for this one batch, and looks for it because a peer's write says so.
    pub(crate) fn groups_of(&self, write: &WriteSet, parts: &[(u16, Vec<u8>)]) -> Groups {
        let parts = parts.iter().enumerate();
        let groups = parts.map(|(part, (_, mutation))| {
            let replicas = write.replicas(part).iter().map(|replica| replica.node);
            let members = self.members_for(replicas, mutation)?;
            let epoch = write.epoch(part);
            (!self.batchlog.has(mutation)).then_some((members, epoch))
        });
        groups.collect()
    }

    /// The group that a mutation for these replicas is for, if it gets an id.
    pub(crate) fn members_for(
        &self,
        replicas: impl Iterator<Item = NodeId>,
        mutation: &[u8],
    ) -> Option<Members> {
        let mut members: SmallVec<[u32; 8]> = replicas.map(|node| node.0).collect();
        let several = (2..=MAX_MEMBERS).contains(&members.len()) && self.config.policy.tracks();
        if !several || !self.replica.store.is_journaled(mutation) {
            return None;
        }
        members.sort_unstable();
        let known = self.tracking.logs.get_key_value(members.as_slice());
        let known = known.map(|(members, _)| members.clone());
        Some(known.unwrap_or_else(|| Members::from(members.as_slice())))
    }

    /// Begins those of a write's parts that get an id; returns what is to be sent otherwise, and what may have to be sent again.
    pub(crate) fn begin_tracked(
        &mut self,
        (groups, mut sends): (Groups, Sends),
        parts: &mut [(u16, Vec<u8>)],
        (number, wait_ms): (u64, u64),
        now: Now,
        out: &mut Effects,
    ) -> (Sends, Option<Box<Forwarded>>) {
        let local = self.topology.local;
        let mut forwarded = Vec::new();
        for (part, members) in groups.into_iter().enumerate() {
            let Some((members, epoch)) = members else {
                continue;
            };
            let own = sends.iter().filter(|send| send.part == part);
            let targets: Vec<NodeId> = own.map(|send| send.replica).collect();
            sends.retain(|send| send.part != part);
            let id = RequestId {
                operation: number,
                part: part as u32,
            };
            let (owner, bytes) = &mut parts[part];
            let owner = *owner;
            let mut origination = Origination {
                terms: self.terms(id, epoch, wait_ms),
                coordinator: local,
                members,
                targets,
                mutation: std::mem::take(bytes),
            };
            if origination.targets.contains(&local) {
                origination.targets.retain(|target| *target != local);
                self.originate_at(owner, origination, now, out);
            } else {
                forwarded.push(ForwardedPart {
                    part,
                    members: origination.members,
                    epoch,
                    targets: origination.targets,
                    mutation: origination.mutation,
                });
            }
        }
        if forwarded.is_empty() {
            return (sends, None);
        }
        let step_ms = wait_ms / 3;
        let mut forwarded = Box::new(Forwarded {
            parts: forwarded,
            again_at: now.boot.plus_millis(step_ms),
            step_ms,
        });
        self.have_begun(&mut forwarded, number, wait_ms, out);
        (sends, Some(forwarded))
    }

    /// Has the next replica be the origin of each part that has one left.
    fn have_begun(&self, forwarded: &mut Forwarded, number: u64, wait_ms: u64, out: &mut Effects) {
        for part in &mut forwarded.parts {
            let Some(origin) = part.targets.first().copied() else {
                continue;
            };
            let id = RequestId {
                operation: number,
                part: part.part as u32,
            };
            let terms = self.terms(id, part.epoch, wait_ms);
            self.say_via(
                origin,
                &terms,
                &part.members,
                &part.targets[1..],
                &part.mutation,
                out,
            );
            // Whoever was asked comes last, should there be time to ask again.
            part.targets.rotate_left(1);
        }
    }

    /// Nothing has come of a write in time: other replicas are asked to begin it.
    pub(crate) fn forward_again(
        &self,
        forwarded: &mut Forwarded,
        (number, deadline): (u64, BootNanos),
        now: Now,
        out: &mut Effects,
    ) {
        let wait_ms = deadline.since(now.boot) / 1_000_000;
        self.have_begun(forwarded, number, wait_ms, out);
        forwarded.again_at = now.boot.plus_millis(forwarded.step_ms.max(1));
    }

    fn say_via(
        &self,
        origin: NodeId,
        terms: &Terms,
        members: &Members,
        targets: &[NodeId],
        mutation: &[u8],
        out: &mut Effects,
    ) {
        if let Some(address) = self.topology.internode_address(origin) {
            out.peers.send(address, Class::Small, |buffer| {
                PeerMessage::put_tracked(buffer);
                put_via(buffer, terms, members, targets, mutation);
            });
        }
    }

    /// Has the shard that owns a mutation's token begin it.
    fn originate_at(&mut self, owner: u16, origination: Origination, now: Now, out: &mut Effects) {
        if owner == self.number {
            return self.originate(origination, now, out);
        }
        // The answer comes as that to any write of another shard's.
        let message = ShardMessage::Originate(Box::new(origination));
        self.tell(owner, message, out);
    }

    /// Begins a mutation whose token this shard owns: appends it, and sends it to the others.
    pub(crate) fn originate(&mut self, origination: Origination, now: Now, out: &mut Effects) {
        let Origination {
            terms,
            coordinator,
            members,
            targets,
            mutation,
        } = origination;
        self.metrics.replica_writes += 1;
        let caller = self.caller_of(coordinator, &terms);
        let applied = if self.is_outdated(terms.epoch) {
            self.replica.refuse(caller, ReplicaError::Outdated);
            None
        } else {
            self.apply_as_origin(&mutation, (&members, terms.epoch), caller, now)
        };
        let Some(id) = applied else {
            // This replica cannot take it: another one begins it, and this one fetches it later.
            if let [next, others @ ..] = targets.as_slice() {
                self.pass_on_origination(
                    *next,
                    (&terms, coordinator),
                    &members,
                    others,
                    &mutation,
                    out,
                );
            }
            return;
        };
        for target in targets {
            if let Some(address) = self.topology.internode_address(target) {
                out.peers.send(address, Class::Small, |buffer| {
                    PeerMessage::put_tracked(buffer);
                    put_append(buffer, &terms, coordinator, (id, &members), &mutation);
                });
            }
        }
    }

    /// Gives a mutation that was planned at an epoch, and whose token this shard owns, its id, and applies it; the caller hears when it
    /// is durable. `None` if it was refused: then it has no id.
    pub(crate) fn apply_as_origin(
        &mut self,
        mutation: &[u8],
        (members, epoch): (&Members, u64),
        caller: Caller,
        now: Now,
    ) -> Option<MutationId> {
        let id = match self.next_id(members) {
            Ok(id) => id,
            Err(error) => {
                self.replica.refuse(caller, error);
                return None;
            }
        };
        let applied = self.apply_tracked(mutation, (id, epoch), caller, now);
        if applied && let Some(own) = self.tracking.logs.get_mut(members) {
            own.end = id.sequence;
        }
        applied.then_some(id)
    }

    /// Sends another member what this node began, for a request of its own.
    pub(crate) fn send_append(
        &self,
        to: NodeId,
        terms: &Terms,
        (id, members, mutation): (MutationId, &Members, &[u8]),
        out: &mut Effects,
    ) {
        let local = self.topology.local;
        if let Some(address) = self.topology.internode_address(to) {
            out.peers.send(address, Class::Small, |buffer| {
                PeerMessage::put_tracked(buffer);
                put_append(buffer, terms, local, (id, members), mutation);
            });
        }
    }

    fn pass_on_origination(
        &self,
        next: NodeId,
        (terms, coordinator): (&Terms, NodeId),
        members: &Members,
        others: &[NodeId],
        mutation: &[u8],
        out: &mut Effects,
    ) {
        // Answers go to whoever says so: another node's request is asked again by that node itself.
        if coordinator == self.topology.local {
            self.say_via(next, terms, members, others, mutation, out);
        }
    }

    /// The id of the next mutation of this shard's for a group.
    fn next_id(&mut self, members: &Members) -> Result<MutationId, ReplicaError> {
        let log = self.tracking.own_log(members, self.config.shards);
        let log = log.ok_or_else(|| {
            ReplicaError::Overloaded("this node has no numbers left for logs of ids".into())
        })?;
        let opened = self.replica.store.open_log(log, members);
        opened.map_err(|error| crate::replica::classed(&error))?;
        let end = self.tracking.logs.get(members).map_or(0, |own| own.end);
        Ok(MutationId {
            log,
            sequence: end + 1,
        })
    }

    /// Who is told how a mutation ended.
    fn caller_of(&self, coordinator: NodeId, terms: &Terms) -> Caller {
        let request = terms.request;
        if coordinator != self.topology.local {
            return Caller::Peer(PeerCaller::of_write(coordinator, request));
        }
        if request.shard == self.number {
            Caller::Local(request.id)
        } else {
            Caller::Shard(request.shard, request.id)
        }
    }

    /// Appends a mutation of another origin, whose token this shard owns. Returns whether it was taken.
    pub(crate) fn append_replicated(
        &mut self,
        replicated: &Replicated,
        epoch: u64,
        caller: Caller,
        now: Now,
    ) -> bool {
        self.metrics.replica_writes += 1;
        let Replicated {
            id,
            members,
            mutation,
        } = replicated;
        let error = if !self.is_member(members) {
            Some(ReplicaError::Failed(
                0,
                "this node is no replica of it".into(),
            ))
        } else if !self.replica.store.held().admits(id.log) {
            let text = "its origin has started anew since";
            Some(ReplicaError::Failed(0, text.into()))
        } else {
            let opened = self.replica.store.open_log(id.log, members);
            opened.err().map(|error| crate::replica::classed(&error))
        };
        match error {
            Some(error) => {
                self.replica.refuse(caller, error);
                false
            }
            None => self.apply_tracked(mutation, (*id, epoch), caller, now),
        }
    }

    /// Applies what is left of a mutation that was planned at an epoch: what was meant for a table that was emptied since was written
    /// before that, and is held without its payload. Returns whether it was taken.
    fn apply_tracked(
        &mut self,
        mutation: &[u8],
        (id, epoch): (MutationId, u64),
        caller: Caller,
        now: Now,
    ) -> bool {
        if !self.topology.has_truncations_since(epoch) {
            return self.replica.apply_with_id(mutation, id, caller, now);
        }
        let topology = self.topology.clone();
        let kept = |table| !topology.is_truncated_since(table, epoch);
        if let Some(rest) = MutationView::retain(mutation, kept) {
            return self.replica.apply_with_id(&rest, id, caller, now);
        }
        self.metrics.truncated_writes += 1;
        let run = Intervals::run(id.sequence, id.sequence);
        match self.replica.state(&[Statement::Empty(id.log, run)], caller) {
            Ok(()) => true,
            Err(error) => {
                self.replica.refuse(caller, crate::replica::classed(&error));
                false
            }
        }
    }

    /// Another node says something of tracked mutations.
    pub(crate) fn on_tracked(
        &mut self,
        node: NodeId,
        message: TrackMessage,
        now: Now,
        out: &mut Effects,
    ) {
        match message {
            TrackMessage::Append {
                terms,
                coordinator,
                id,
                members,
                mutation,
            } => {
                let replicated = Replicated {
                    id,
                    members,
                    mutation,
                };
                let request = ReplicaRequest::Append(Box::new(replicated));
                self.take_peer_work(PeerWork::write(coordinator, &terms, request, now), now, out);
            }
            TrackMessage::Via {
                terms,
                members,
                targets,
                mutation,
            } => {
                let origination = Origination {
                    terms,
                    coordinator: node,
                    members,
                    targets,
                    mutation,
                };
                let request = ReplicaRequest::Originate(Box::new(origination));
                self.take_peer_work(PeerWork::write(node, &terms, request, now), now, out);
            }
            TrackMessage::Summary { members, summary } => {
                if self.is_member(&members) && members.contains(&node.0) {
                    let home = self.home_of(group_of(&members));
                    let note = TrackNote::Summary {
                        from: node,
                        members,
                        summary: Box::new(summary),
                    };
                    self.note_to(home, note, now, out);
                }
            }
            TrackMessage::Pull {
                members,
                log,
                sequences,
            } => self.on_pull(node, &members, (log, &sequences), now, out),
            TrackMessage::Records {
                epoch,
                members,
                mutations,
                gone,
                cut,
            } => {
                if self.is_member(&members) {
                    self.on_records(node, (epoch, members), mutations, (gone, cut), now, out);
                }
            }
        }
    }
}
