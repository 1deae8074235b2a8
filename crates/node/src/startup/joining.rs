//! A node with an empty data directory that has seeds: it asks them to be let in, until a member does. The seed that
//! comes first in the list founds the cluster when all the others say that they are in none either, or nobody has answered for long; every
//! other node waits for as long as it takes, and says so, so that nodes that are started at once make one cluster, not several.
//!
//! What must stay true:
//! - connections that it opened as a node without a number end when it has one: what comes on them is no member's;
//! - who it is, is on disk before anybody hears of it: a node that was let in and stops before it knows asks again as the same;
//! - a node that is to take another's place never founds, nor does one that a member has answered, whatever it said.

use super::{NodeShard, State};
use crate::admission::admission;
use crate::effects::{Effects, LogLevel};
use crate::metadata_log::{DiskRecord, NodeIdentity, Stored};
use crate::peers::message::{JoinRequest, PeerMessage};
use cluster::internode::{Class, PeerEvent, RefusalReason};
use cluster::raft::Snapshot;
use cluster::topology::NodeId;
use model::env::{IoOutcome, IoTag};
use model::time::{BootNanos, Now};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use storage::{Generation, LayoutFile, MetaLog};

/// How often seeds are asked, in milliseconds.
const ASK_MS: u64 = 1_000;
/// How long the seed that comes first looks for members, after it heard of one last, before it founds a cluster, in milliseconds.
const FOUND_MS: u64 = 30_000;
/// How often the operator is told that a node still waits, in milliseconds.
const TELL_MS: u64 = 10_000;
/// The ticket of the record that says who this node is.
const NAMED: u64 = 2;

/// A node that is not in its cluster yet.
pub(super) struct Joining {
    layout: LayoutFile,
    generation: Generation,
    log: MetaLog,
    identity: NodeIdentity,
    /// Whether that is on disk.
    is_named: bool,
    next_ask: BootNanos,
    /// When this node founds the cluster, if it is the one to.
    founds_at: Option<BootNanos>,
    /// Seeds that are in no cluster either.
    unfounded: BTreeSet<SocketAddr>,
    /// Others that ask, and were answered.
    askers: BTreeSet<SocketAddr>,
    next_tell: BootNanos,
    joined: Option<(NodeId, Snapshot)>,
}

impl Joining {
    /// When [`NodeShard::join`] is due, if time alone makes it so.
    pub(super) fn next_deadline(&self) -> Option<BootNanos> {
        let next = self.founds_at.into_iter().chain([self.next_ask]);
        next.min().filter(|_| self.is_named)
    }

    /// A disk request ended.
    pub(super) fn on_io(&mut self, tag: IoTag, outcome: IoOutcome, out: &mut Effects) {
        self.log.on_io(tag, outcome, &mut out.io);
    }
}

impl NodeShard {
    /// Begins to ask, as who this directory is already, if it was that far before.
    pub(super) fn begin_joining(
        &self,
        (layout, generation, mut log): (LayoutFile, Generation, MetaLog),
        named: Option<NodeIdentity>,
        now: Now,
        out: &mut Effects,
    ) -> Joining {
        let is_named = named.is_some();
        let identity = named.unwrap_or_else(|| self.new_identity());
        if !is_named {
            let record = DiskRecord::Identity(identity.clone()).encode();
            log.replace(vec![record], NAMED, &mut out.io);
        }
        let admission = admission(&self.config.node, &identity, 0, None, |_| false);
        out.peers.admission = Some(Arc::new(admission));
        let founds = self.config.node.founds && self.config.node.replaces.is_none();
        Joining {
            layout,
            generation,
            log,
            identity,
            is_named,
            next_ask: now.boot,
            founds_at: founds.then(|| now.boot.plus_millis(FOUND_MS)),
            unfounded: BTreeSet::new(),
            askers: BTreeSet::new(),
            next_tell: now.boot.plus_millis(TELL_MS),
            joined: None,
        }
    }

    /// Another node has said something before this one is a member.
    pub(super) fn on_answer_to_join(&mut self, from: SocketAddr, bytes: &[u8], out: &mut Effects) {
        let State::Joining(joining) = &mut self.state else {
            return;
        };
        match PeerMessage::decode(bytes) {
            Some(PeerMessage::Joined { node, snapshot }) => {
                joining.joined = Some((node, snapshot));
            }
            Some(PeerMessage::NotJoined(reason)) => {
                joining.founds_at = None;
                let text = format!("this node was not let in: {reason}");
                out.log.push((LogLevel::Warn, text));
            }
            Some(PeerMessage::Join(_)) => {
                joining.askers.insert(from);
                let answer = PeerMessage::NoMember;
                out.peers
                    .send(from, answer.class(), |buffer| answer.encode(buffer));
            }
            Some(PeerMessage::NoMember) => {
                joining.unfounded.insert(from);
            }
            _ => {}
        }
    }

    /// A seed does not talk to this node: if it is there all the same, it may be of a cluster that is starting.
    pub(super) fn on_refusal_to_join(&mut self, event: &PeerEvent, now: Now) {
        let PeerEvent::Refused { refusal, .. } = event else {
            return;
        };
        if let State::Joining(joining) = &mut self.state
            && refusal.reason != RefusalReason::Yourself
            && let Some(founds_at) = &mut joining.founds_at
        {
            *founds_at = now.boot.plus_millis(FOUND_MS);
        }
    }

    /// Goes on with joining: asks again, founds, or begins as a member.
    pub(super) fn join(
        &self,
        mut joining: Box<Joining>,
        now: Now,
        out: &mut Effects,
    ) -> (State, bool) {
        if !joining.is_named {
            if let Some((_, error)) = joining.log.failed_tickets().into_iter().next() {
                return (State::Failed(error.to_string()), false);
            }
            joining.is_named = joining.log.durable_tickets().contains(&NAMED);
            if !joining.is_named {
                return (State::Joining(joining), false);
            }
        }
        let seeds = &self.config.node.seeds;
        let all_unfounded = seeds.iter().all(|seed| joining.unfounded.contains(seed));
        let stored = match joining.joined.take() {
            Some((node, snapshot)) => Stored::joined(joining.identity.clone(), node, snapshot),
            None if joining
                .founds_at
                .is_some_and(|at| all_unfounded || now.boot >= at) =>
            {
                self.found(joining.identity.clone())
            }
            None => {
                if now.boot >= joining.next_ask {
                    joining.next_ask = now.boot.plus_millis(ASK_MS);
                    self.ask_to_join(&joining, out);
                }
                if now.boot >= joining.next_tell {
                    joining.next_tell = now.boot.plus_millis(TELL_MS);
                    let text = match joining.founds_at {
                        None => "waiting for a member of the cluster among the seeds",
                        Some(_) => {
                            "waiting for the other seeds: if none of them is in a cluster, or none answers, this node founds one"
                        }
                    };
                    out.log.push((LogLevel::Warn, text.to_owned()));
                }
                return (State::Joining(joining), false);
            }
        };
        let Joining {
            layout,
            generation,
            log,
            askers,
            ..
        } = *joining;
        out.peers.closes.extend(seeds);
        out.peers.closes.extend(askers);
        (Self::write_down(layout, generation, log, stored, out), true)
    }

    fn ask_to_join(&self, joining: &Joining, out: &mut Effects) {
        let node = &self.config.node;
        let message = PeerMessage::Join(Box::new(JoinRequest {
            member: self.member(&joining.identity, Vec::new()),
            replaces: node.replaces == Some(node.internode_address.ip()),
        }));
        for seed in &node.seeds {
            out.peers
                .send(*seed, Class::Small, |buffer| message.encode(buffer));
        }
    }
}
