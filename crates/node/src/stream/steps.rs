//! Changes of the ring from step to step.
//!
//! A driver asks everybody who answers, again and again, whether the step is known there and, once it is known everywhere, whether
//! what is gained by it is there. Who is away is not waited for to know a step, for it is refused when it comes back and plans by what it
//! knows (`Metadata::refused_before`); but who gains something has to say that it has it.

use super::message::StreamMessage;
use super::{StreamMail, Taking};
use crate::effects::{Effects, LogLevel};
use crate::message::ShardMessage;
use crate::metadata_log::Decision;
use crate::peers::message::PeerMessage;
use crate::shard::Shard;
use cluster::metadata::{Change, Command, Metadata, Step, Transition};
use cluster::stream::plan;
use cluster::topology::NodeId;
use model::time::{BootNanos, Now};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How often changes of the ring are looked at, in milliseconds.
const TICK_MS: u64 = 100;
/// How often a driver asks, in milliseconds.
const ASK_MS: u64 = 200;
/// How long a proposal may take, in milliseconds.
const PROPOSAL_MS: u64 = 10_000;
/// Proposals of changes of the ring have tickets from here on.
pub(super) const RING_TICKETS: u64 = 1 << 61;
/// And below this.
const RING_TICKETS_END: u64 = 1 << 62;

/// A change that this node takes through its steps.
#[derive(Debug)]
pub struct Drive {
    /// When it came to the step it is at.
    since: u64,
    /// Who gains something by it.
    gainers: BTreeSet<NodeId>,
    /// The epochs that others have in force.
    known: BTreeMap<NodeId, u64>,
    /// Who has what it gains.
    done: BTreeSet<NodeId>,
    next_ask: BootNanos,
    /// Since when everybody knows of the step.
    known_at: Option<BootNanos>,
    /// Whether the next step is proposed.
    is_proposed: bool,
}

impl Shard {
    /// Another node says something of data that moves.
    pub(crate) fn on_stream_mail(&mut self, mail: StreamMail, now: Now, out: &mut Effects) {
        let shard = match &mail.message {
            StreamMessage::Pull(pull) => pull.shard,
            _ => 0,
        };
        if shard != self.number && shard < self.config.shards {
            return out
                .messages
                .push((shard, ShardMessage::Stream(Box::new(mail))));
        }
        match mail.message {
            // A shard there is not is refused by whichever was asked.
            StreamMessage::Pull(pull) => self.serve_pull(mail.node, pull, now, out),
            StreamMessage::Chunk {
                number,
                epoch,
                result,
            } => self.on_chunk(number, epoch, result, now, out),
            StreamMessage::Step { node, since, known } => {
                let is_done = known && self.has_gained(node, since, now, out);
                let is_gone = self.is_gone(mail.node);
                let message = PeerMessage::Stream(StreamMessage::Stepped {
                    node,
                    since,
                    epoch: self.epoch_everywhere(),
                    is_done,
                    is_gone,
                });
                let class = message.class();
                out.peers
                    .send(mail.address, class, |buffer| message.encode(buffer));
            }
            StreamMessage::Stepped {
                node,
                since,
                epoch,
                is_done,
                is_gone,
            } => {
                if is_gone {
                    return self.leave_cluster(out);
                }
                let drive = self.streams.drives.get_mut(&node);
                if let Some(drive) = drive.filter(|drive| drive.since == since) {
                    drive.known.insert(mail.node, epoch);
                    if is_done {
                        drive.done.insert(mail.node);
                    }
                    self.streams.next_tick = now.boot;
                }
            }
        }
    }

    /// Whether a member is known not to answer. One that was not heard of yet is waited for.
    pub(super) fn is_away(&self, node: NodeId) -> bool {
        let membership = self.membership.as_ref();
        membership.is_some_and(|membership| membership.is_away(node))
    }

    /// Whether a node left, or was removed. One that is not known may have come just now.
    fn is_gone(&self, node: NodeId) -> bool {
        let log = self.schema_changes.log();
        log.is_some_and(|log| log.metadata().gone.values().any(|gone| *gone == node))
    }

    /// The epoch that all shards of this node have in force.
    fn epoch_everywhere(&mut self) -> u64 {
        if self.schema_changes.is_settled() {
            self.streams.everywhere = self.topology.epoch;
        }
        self.streams.everywhere
    }

    /// Whether this node has what it gains by a change that everybody knows by now. Begins to take it, if it has not.
    fn has_gained(&mut self, node: NodeId, since: u64, now: Now, out: &mut Effects) -> bool {
        let Some(metadata) = self.metadata() else {
            return false;
        };
        let Some(transition) = metadata.transitions.get(&node) else {
            return false;
        };
        if transition.since != since
            || transition.step != Step::WriteBoth
            || self.epoch_everywhere() < since
        {
            return false;
        }
        let own = self.topology.local;
        let taking = self.streams.takings.get(&node);
        if let Some(taking) = taking.filter(|taking| taking.since == since) {
            return taking.is_done();
        }
        let units = match &transition.change {
            Change::Join(_) if node == own && !self.config.auto_bootstrap => Vec::new(),
            _ => plan::gained(&metadata, node, own, self.acceptors_table()),
        };
        if !units.is_empty() {
            let why = match &transition.change {
                Change::Replicate { keyspace, .. } => format!("{keyspace} is replicated here"),
                _ => format!("the tokens of node {} change", node.0),
            };
            let count = units.len();
            let text = format!("taking {count} stretches of tables because {why}");
            out.log.push((LogLevel::Info, text));
        }
        let taking = Taking::new(units, since, &mut self.random, now.boot);
        let is_done = taking.is_done();
        self.streams.takings.insert(node, taking);
        self.streams.next_tick = now.boot;
        is_done
    }

    pub(crate) fn metadata(&self) -> Option<Arc<Metadata>> {
        self.schema_changes.log().map(|log| log.metadata().clone())
    }

    /// When [`Self::tend_ring`] is due.
    pub(crate) fn next_ring_deadline(&self) -> Option<BootNanos> {
        let is_busy = self.membership.is_some()
            && !self.streams.has_left
            && self.schema_changes.log().is_some_and(|log| {
                let metadata = log.metadata();
                !metadata.transitions.is_empty()
                    || self.streams.wishes.is_waiting()
                    || self.streams.rebuild.is_some()
                    || (metadata.members.get(&log.id()))
                        .is_some_and(|member| member.tokens.is_empty())
            });
        is_busy.then_some(self.streams.next_tick)
    }

    /// Takes changes of the ring on where they can go on, and asks for the data that this node gains.
    pub(crate) fn tend_ring(&mut self, now: Now, out: &mut Effects) {
        if self.next_ring_deadline().is_none_or(|due| now.boot < due) {
            return;
        }
        self.streams.next_tick = now.boot.plus_millis(TICK_MS);
        let Some(metadata) = self.metadata() else {
            return;
        };
        let gone = |node: &NodeId| !metadata.transitions.contains_key(node);
        self.streams.drives.retain(|node, _| !gone(node));
        self.streams
            .takings
            .retain(|node, taking| !gone(node) || taking.is_done());
        self.pursue_wishes(&metadata, now, out);
        for (node, transition) in &metadata.transitions {
            if self.is_driver(&metadata, *node, transition) {
                self.drive(&metadata, *node, transition, now, out);
            }
        }
        self.poll_takings(now, out);
    }

    /// Whether this node takes a change through its steps.
    fn is_driver(&self, metadata: &Metadata, node: NodeId, transition: &Transition) -> bool {
        let own = self.topology.local;
        // What is read by the new replicas already is taken to its end, whoever died of it.
        let is_orphan = transition.step == Step::ReadNew && node != own && self.is_away(node);
        let is_nobodys = matches!(transition.change, Change::Remove | Change::Replicate { .. });
        if !is_nobodys && !is_orphan {
            return node == own;
        }
        let members = metadata.members.iter();
        let mut able = members.filter(|(id, member)| {
            **id != node && !member.tokens.is_empty() && !self.is_away(**id)
        });
        able.next().is_some_and(|(id, _)| *id == own)
    }

    fn drive(
        &mut self,
        metadata: &Metadata,
        node: NodeId,
        transition: &Transition,
        now: Now,
        out: &mut Effects,
    ) {
        let (own, since) = (self.topology.local, transition.since);
        let begun = self.streams.drives.get(&node);
        if begun.is_none_or(|drive| drive.since != since) {
            let drive = Drive {
                since,
                gainers: plan::gainers(metadata, node),
                known: BTreeMap::new(),
                done: BTreeSet::new(),
                next_ask: now.boot,
                known_at: None,
                is_proposed: false,
            };
            self.streams.drives.insert(node, drive);
        }
        let members = metadata.members.keys().copied();
        let others: Vec<NodeId> = members
            .filter(|id| *id != own && !self.is_away(*id))
            .collect();
        let here = self.epoch_everywhere() >= since;
        let drive = &self.streams.drives[&node];
        let knows = |id: &NodeId| drive.known.get(id).is_some_and(|epoch| *epoch >= since);
        let known = here && others.iter().all(knows);
        let drive = self.streams.drives.get_mut(&node).expect("it was begun");
        if known {
            drive.known_at.get_or_insert(now.boot);
        }
        let (asks, is_proposed) = (now.boot >= drive.next_ask, drive.is_proposed);
        let known_at = drive.known_at;
        let has_gained = known && self.has_gained(node, since, now, out);
        let is_needed = self.is_needed(node, transition, known_at);
        // By an operator's word those that are away now do not come back, or begin anew.
        let excused = metadata.members.keys().copied();
        let excused = excused.filter(|id| transition.takes_fewer && self.is_away(*id));
        let excused: BTreeSet<NodeId> = excused.collect();
        let drive = self.streams.drives.get_mut(&node).expect("it was begun");
        if has_gained {
            drive.done.insert(own);
        }
        let missing = drive.gainers.difference(&drive.done);
        let missing = missing.filter(|id| !excused.contains(id));
        let missing: BTreeSet<NodeId> = missing.copied().collect();
        let goes_on = known
            && match transition.step {
                Step::WriteBoth => missing.is_empty(),
                Step::ReadNew => !is_needed,
            };
        if asks {
            drive.next_ask = now.boot.plus_millis(ASK_MS);
            let message = PeerMessage::Stream(StreamMessage::Step { node, since, known });
            for other in others {
                self.say(other, &message, out);
            }
        }
        if goes_on && !is_proposed {
            self.propose_step(node, transition.step, now);
        }
    }

    /// Whether a member that leaves cannot go yet: it has a vote, or may hold what nobody else has who is to have it.
    fn is_needed(
        &self,
        node: NodeId,
        transition: &Transition,
        known_at: Option<BootNanos>,
    ) -> bool {
        let has_given = || known_at.is_some_and(|at| self.has_given(at));
        let gives = transition.change == Change::Leave
            && node == self.topology.local
            && !transition.takes_fewer;
        self.has_to_vote(node, transition) || gives && !has_given()
    }

    /// Whether a member that leaves still has a vote on the metadata log: without it the others might never decide anything again.
    fn has_to_vote(&self, node: NodeId, transition: &Transition) -> bool {
        let log = self.schema_changes.log();
        transition.change == Change::Leave
            && !self.is_away(node)
            && log.is_some_and(|log| log.voters().contains(&node))
    }

    fn propose_step(&mut self, node: NodeId, from: Step, now: Now) {
        if let Some(drive) = self.streams.drives.get_mut(&node) {
            drive.is_proposed = true;
        }
        self.propose_ring(Command::Advance { node, from }, node, now);
    }

    /// Proposes something of a change of a node's tokens.
    pub(super) fn propose_ring(&mut self, command: Command, node: NodeId, now: Now) {
        let ticket = self.streams.wishes.ticket(node);
        if let Some(log) = self.schema_changes.log_mut() {
            let deadline = now.boot.plus_millis(PROPOSAL_MS);
            log.propose(command, ticket, deadline, now.boot);
        }
    }

    /// A proposal of a change of the ring ended; returns whether it was one.
    pub(crate) fn on_ring_end(
        &mut self,
        ticket: u64,
        decision: &Decision,
        now: Now,
        out: &mut Effects,
    ) -> bool {
        if !(RING_TICKETS..RING_TICKETS_END).contains(&ticket) {
            return false;
        }
        if let Some(node) = self.streams.wishes.proposed(ticket) {
            if let Some(drive) = self.streams.drives.get_mut(&node) {
                drive.is_proposed = false;
                // The others may have heard how it ended, if this node was not told any more.
                if *decision != Decision::NoMajority {
                    drive.next_ask = now.boot;
                }
            }
            self.wish_decided(ticket, decision, now, out);
        }
        // What is refused at once would be proposed again at once, for ever.
        self.streams.next_tick = match decision {
            Decision::Done => now.boot,
            _ => now.boot.plus_millis(TICK_MS),
        };
        true
    }
}
