//! A node with an empty data directory that has seeds: it asks them to be let in, until a member does. The seed that
//! comes first in the list founds the cluster if nobody answers for a while; every other node waits for as long as it takes, and says so, so that
//! nodes that are started at once make one cluster, not several.

use super::{NodeShard, State};
use crate::admission::admission;
use crate::effects::{Effects, LogLevel};
use crate::metadata_log::{NodeIdentity, Stored};
use crate::peers::message::PeerMessage;
use cluster::internode::Class;
use cluster::raft::Snapshot;
use cluster::topology::NodeId;
use model::time::{BootNanos, Now};
use std::sync::Arc;
use storage::{Generation, LayoutFile, MetaLog};

/// How often seeds are asked, in milliseconds.
const ASK_MS: u64 = 1_000;
/// How long the seed that comes first looks for members before it founds a cluster, in milliseconds.
const FOUND_MS: u64 = 3_000;
/// How often the operator is told that a node still waits, in milliseconds.
const TELL_MS: u64 = 10_000;

/// A node that is not in its cluster yet.
pub(super) struct Joining {
    layout: LayoutFile,
    generation: Generation,
    log: MetaLog,
    identity: NodeIdentity,
    next_ask: BootNanos,
    /// When this node founds the cluster, if it is the one to.
    founds_at: Option<BootNanos>,
    next_tell: BootNanos,
    joined: Option<(NodeId, Snapshot)>,
}

impl Joining {
    /// When [`NodeShard::join`] is due.
    pub(super) fn next_deadline(&self) -> BootNanos {
        let founds = self.founds_at.unwrap_or(BootNanos(u64::MAX));
        self.next_ask.min(founds)
    }
}

impl NodeShard {
    /// Begins to ask.
    pub(super) fn begin_joining(
        &self,
        layout: LayoutFile,
        generation: Generation,
        log: MetaLog,
        now: Now,
        out: &mut Effects,
    ) -> Joining {
        let identity = self.new_identity();
        let admission = admission(&self.config.node, &identity, 0, None, |_| false);
        out.peers.admission = Some(Arc::new(admission));
        let founds = self.config.node.founds;
        Joining {
            layout,
            generation,
            log,
            identity,
            next_ask: now.boot,
            founds_at: founds.then(|| now.boot.plus_millis(FOUND_MS)),
            next_tell: now.boot.plus_millis(TELL_MS),
            joined: None,
        }
    }

    /// Another node has said something before this one is a member.
    pub(super) fn on_answer_to_join(&mut self, bytes: &[u8], out: &mut Effects) {
        let State::Joining(joining) = &mut self.state else {
            return;
        };
        match PeerMessage::decode(bytes) {
            Some(PeerMessage::Joined { node, snapshot }) => {
                joining.joined = Some((node, snapshot));
            }
            Some(PeerMessage::NotJoined(reason)) => {
                let text = format!("this node was not let in: {reason}");
                out.log.push((LogLevel::Warn, text));
            }
            _ => {}
        }
    }

    /// Goes on with joining: asks again, founds, or begins as a member.
    pub(super) fn join(
        &self,
        mut joining: Box<Joining>,
        now: Now,
        out: &mut Effects,
    ) -> (State, bool) {
        let stored = match joining.joined.take() {
            Some((node, snapshot)) => {
                // Those connections are of a node without a number: what comes on them would not be taken for a member's.
                out.peers.closes.extend(&self.config.node.seeds);
                Stored::joined(joining.identity.clone(), node, snapshot)
            }
            None if joining.founds_at.is_some_and(|at| now.boot >= at) => {
                self.found(joining.identity.clone())
            }
            None => {
                if now.boot >= joining.next_ask {
                    joining.next_ask = now.boot.plus_millis(ASK_MS);
                    self.ask_to_join(&joining, out);
                }
                if now.boot >= joining.next_tell {
                    joining.next_tell = now.boot.plus_millis(TELL_MS);
                    let text = "waiting for a member of the cluster among the seeds".to_owned();
                    out.log.push((LogLevel::Warn, text));
                }
                return (State::Joining(joining), false);
            }
        };
        let Joining {
            layout,
            generation,
            log,
            ..
        } = *joining;
        (Self::write_down(layout, generation, log, stored, out), true)
    }

    fn ask_to_join(&self, joining: &Joining, out: &mut Effects) {
        let member = self.member(&joining.identity, Vec::new());
        let message = PeerMessage::Join(Box::new(member));
        for seed in &self.config.node.seeds {
            out.peers
                .send(*seed, Class::Small, |buffer| message.encode(buffer));
        }
    }
}
