//! This node among the others: who lives, what the metadata log says to them, and who asks to be let in. Shard 0's.
//!
//! Gossip finds the members and carries what each says of itself; the detector alone judges who answers, from pings and from the
//! heartbeats that gossip brings. Its judgement goes to all shards, whose plans leave out who is away.

use crate::effects::{Effects, LogLevel};
use crate::message::ShardMessage;
use crate::metadata_log::{Decision, MetadataLog};
use crate::peers::message::PeerMessage;
use crate::shard::Shard;
use cluster::detector::{self, Detector, DetectorConfig};
use cluster::gossip::config::GossipConfig;
use cluster::gossip::state::{State, StateKey, Status};
use cluster::gossip::{self, Generation, Gossip, Identity};
use cluster::internode::PeerIdentity;
use cluster::metadata::{Command, Member, Metadata};
use cluster::topology::NodeId;
use model::time::{BootNanos, Now};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use uuid::Uuid;

/// How often what this node says of itself is looked at, in milliseconds.
const SELF_MS: u64 = 1_000;
/// How long a node that asks to be let in is waited for, in milliseconds.
const JOIN_MS: u64 = 10_000;
/// Proposals for nodes that ask to be let in have tickets from here on.
const JOIN_TICKETS: u64 = 1 << 62;

/// Gossip, the detector, and who asks to be let in.
pub struct Membership {
    gossip: Gossip,
    detector: Detector,
    /// The members that answer, this one aside, as the shards were told.
    alive: Arc<BTreeSet<NodeId>>,
    next_self: BootNanos,
    /// Who asked to be let in, by the ticket of its proposal: where it is, and its host id.
    joining: BTreeMap<u64, (SocketAddr, Uuid)>,
    next_join: u64,
    heard: Vec<gossip::Effect>,
    judged: Vec<detector::Effect>,
}

impl Membership {
    /// A node that has just started, with the members of its metadata, of which it has heard nothing yet.
    pub fn new(
        log: &MetadataLog,
        seeds: Vec<SocketAddr>,
        started_seconds: u64,
        now: BootNanos,
    ) -> Self {
        let metadata = log.metadata();
        let own = &metadata.members[&log.id()];
        let identity = Identity {
            address: own.internode_address,
            host_id: own.host_id,
            generation: Generation {
                boot: log.boot(),
                started_seconds,
            },
            replaces: None,
        };
        let gossip = Gossip::new(
            GossipConfig {
                cluster_name: metadata.cluster.name.clone(),
                seeds,
                identity,
            },
            now,
        );
        let mut membership = Self {
            gossip,
            detector: Detector::new(DetectorConfig::default(), now),
            alive: Arc::default(),
            next_self: now,
            joining: BTreeMap::new(),
            next_join: JOIN_TICKETS,
            heard: Vec::new(),
            judged: Vec::new(),
        };
        membership.gossip.set_local(State::Status(Status::Normal));
        membership.gossip.set_local(State::NodeNumber(log.id()));
        membership.watch(metadata, log.id(), now);
        membership
    }

    /// The members are these from now on.
    pub fn watch(&mut self, metadata: &Metadata, own: NodeId, now: BootNanos) {
        let others = metadata.members.keys().copied().filter(|id| *id != own);
        // Whoever has tokens shares ranges with somebody of this data centre sooner or later; few clusters are so large that
        // pings among all of them would weigh.
        let neighbours: BTreeSet<NodeId> = others.collect();
        let gone: Vec<NodeId> = self.detector.peers().map(|(id, _)| id).collect();
        for id in gone.into_iter().filter(|id| !neighbours.contains(id)) {
            self.detector.forget(id);
        }
        self.detector.set_neighbours(&neighbours, now);
    }

    /// The members that answer, this one aside.
    pub fn alive(&self) -> &BTreeSet<NodeId> {
        &self.alive
    }

    /// When [`Shard::tend_membership`] is due.
    pub fn next_deadline(&self) -> BootNanos {
        let machines = self
            .gossip
            .next_deadline()
            .min(self.detector.next_deadline());
        machines.min(self.next_self)
    }
}

impl Shard {
    /// Another node says something of the cluster itself.
    pub(crate) fn on_cluster_message(
        &mut self,
        from: &PeerIdentity,
        message: PeerMessage,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(membership) = &mut self.membership else {
            return;
        };
        match (message, from.node) {
            (PeerMessage::Gossip(bytes), _) => {
                let heard = &mut membership.heard;
                let random = &mut self.random;
                membership
                    .gossip
                    .on_message(now.boot, from.address, &bytes, random, heard);
            }
            (PeerMessage::Ping(nonce), Some(node)) => {
                membership.detector.on_ping(node, now.boot);
                self.say(node, &PeerMessage::Pong(nonce), out);
            }
            (PeerMessage::Pong(nonce), Some(node)) => {
                let judged = &mut membership.judged;
                membership.detector.on_pong(node, nonce, now.boot, judged);
            }
            (PeerMessage::Metadata(message), Some(node)) => {
                let (random, io) = (&mut self.random, &mut out.io);
                if let Some(log) = self.schema_changes.log_mut() {
                    log.on_message(node, message, now.boot, random, io);
                }
            }
            (PeerMessage::Join(member), _) => self.let_in(from.address, member, now),
            _ => {}
        }
        self.carry_out_membership(now, out);
    }

    /// A node with an empty data directory asks to be a member.
    fn let_in(&mut self, address: SocketAddr, member: Box<Member>, now: Now) {
        let (Some(membership), Some(log)) = (&mut self.membership, self.schema_changes.log_mut())
        else {
            return;
        };
        // It asks again until it is answered.
        if membership
            .joining
            .values()
            .any(|(known, _)| *known == address)
        {
            return;
        }
        membership.next_join += 1;
        let ticket = membership.next_join;
        membership.joining.insert(ticket, (address, member.host_id));
        let deadline = now.boot.plus_millis(JOIN_MS);
        log.propose(Command::Register(member), ticket, deadline, now.boot);
    }

    /// A proposal to let a node in ended; returns whether it was one.
    pub(crate) fn on_join_end(
        &mut self,
        ticket: u64,
        decision: &Decision,
        out: &mut Effects,
    ) -> bool {
        let Some(membership) = &mut self.membership else {
            return false;
        };
        let Some((address, host_id)) = membership.joining.remove(&ticket) else {
            return false;
        };
        let log = self.schema_changes.log_mut().expect("it has decided");
        let answer = match (decision, log.metadata().member_of(host_id)) {
            (Decision::Done, Some((node, _))) => PeerMessage::Joined {
                node,
                snapshot: log.snapshot(),
            },
            (Decision::Refused(refused), _) => PeerMessage::NotJoined(refused.to_string()),
            _ => PeerMessage::NotJoined("the metadata log has not decided".to_owned()),
        };
        let class = answer.class();
        out.peers
            .send(address, class, |buffer| answer.encode(buffer));
        true
    }

    /// Gives gossip and the detector their turn, and sends what the metadata log has to say.
    pub(crate) fn tend_membership(&mut self, now: Now, out: &mut Effects) {
        let Some(membership) = &mut self.membership else {
            return;
        };
        if now.boot >= membership.gossip.next_deadline() {
            let heard = &mut membership.heard;
            membership.gossip.tick(now.boot, &mut self.random, heard);
        }
        if now.boot >= membership.detector.next_deadline() {
            membership.detector.tick(now.boot, &mut membership.judged);
        }
        if now.boot >= membership.next_self {
            membership.next_self = now.boot.plus_millis(SELF_MS);
            let unreachable = membership.detector.unreachable(now.boot);
            membership.gossip.set_local(State::Unreachable(unreachable));
            let schema = State::Schema {
                epoch: self.topology.epoch,
                version: self.schema.version(),
            };
            membership.gossip.set_local(schema);
        }
        self.carry_out_membership(now, out);
    }

    fn carry_out_membership(&mut self, now: Now, out: &mut Effects) {
        while let Some(membership) = &mut self.membership
            && !(membership.heard.is_empty() && membership.judged.is_empty())
        {
            for effect in std::mem::take(&mut membership.heard) {
                self.on_gossip_effect(effect, now, out);
            }
            let Some(membership) = &mut self.membership else {
                return;
            };
            for effect in std::mem::take(&mut membership.judged) {
                self.on_detector_effect(effect, out);
            }
        }
        if let Some(log) = self.schema_changes.log_mut() {
            let messages = log.take_messages();
            for (to, message) in messages {
                self.say(to, &PeerMessage::Metadata(message), out);
            }
        }
        self.tell_alive(out);
    }

    fn on_gossip_effect(&mut self, effect: gossip::Effect, now: Now, out: &mut Effects) {
        let node = |address: &SocketAddr| self.topology.node_at(*address);
        let Some(membership) = &mut self.membership else {
            return;
        };
        let judged = &mut membership.judged;
        match effect {
            gossip::Effect::Send { to, bytes } => {
                let message = PeerMessage::Gossip(bytes);
                let class = message.class();
                out.peers.send(to, class, |buffer| message.encode(buffer));
            }
            gossip::Effect::Heard { address } => {
                if let Some(node) = node(&address) {
                    membership.detector.on_heartbeat(node, now.boot, judged);
                }
            }
            gossip::Effect::Restarted { address, .. } => {
                if let Some(node) = node(&address) {
                    membership.detector.on_restart(node, now.boot, judged);
                }
            }
            gossip::Effect::Changed { address, key } => {
                let state = membership.gossip.endpoint(address);
                let state = state.and_then(|endpoint| endpoint.state(key));
                match (key, state, node(&address)) {
                    (StateKey::Status, Some(State::Status(Status::Shutdown)), Some(node)) => {
                        membership.detector.on_stop(node, now.boot, judged);
                    }
                    (StateKey::Schema, Some(State::Schema { epoch, .. }), Some(node))
                        if *epoch > self.topology.epoch =>
                    {
                        if let Some(log) = self.schema_changes.log_mut() {
                            log.catch_up(node);
                        }
                    }
                    _ => {}
                }
            }
            gossip::Effect::Refused { peer, refusal, .. } => {
                let text = format!("node {peer} is not talked to: {refusal}");
                out.log.push((LogLevel::Warn, text));
            }
            gossip::Effect::RefusedBy { peer, refusal } => {
                let text = format!("node {peer} does not talk to this one: {refusal}");
                out.log.push((LogLevel::Error, text));
            }
            gossip::Effect::Malformed { peer, error } => {
                let text = format!("node {peer} sent what is no gossip: {error}");
                out.log.push((LogLevel::Warn, text));
            }
            gossip::Effect::GenerationRaised { to } => {
                let text = format!(
                    "others know a later start of this node, number {}: its data directory is a copy, or was restored",
                    to.boot
                );
                out.log.push((LogLevel::Error, text));
            }
            gossip::Effect::Appeared { .. }
            | gossip::Effect::Moved { .. }
            | gossip::Effect::Forgotten { .. } => {}
        }
    }

    fn on_detector_effect(&mut self, effect: detector::Effect, out: &mut Effects) {
        match effect {
            detector::Effect::Ping { peer, nonce } => {
                self.say(peer, &PeerMessage::Ping(nonce), out);
            }
            detector::Effect::Changed {
                peer,
                from,
                to,
                why,
                ..
            } => {
                let text = format!("node {}: {from} -> {to}: {why}", peer.0);
                out.log.push((LogLevel::Info, text));
                let address = self.topology.internode_address(peer);
                if let (Some(membership), Some(address)) = (&mut self.membership, address) {
                    membership.gossip.set_reachable(address, to.is_up());
                }
            }
            detector::Effect::OwnPause { millis } => {
                let text = format!("this process did not run for {millis} ms");
                out.log.push((LogLevel::Warn, text));
            }
        }
    }

    /// Tells all shards who answers, if that has changed.
    fn tell_alive(&mut self, out: &mut Effects) {
        let Some(membership) = &mut self.membership else {
            return;
        };
        let up = membership.detector.peers();
        let up = up.filter(|(_, opinion)| opinion.state.is_up());
        let alive: BTreeSet<NodeId> = up.map(|(id, _)| id).collect();
        if alive == *membership.alive {
            return;
        }
        let alive = Arc::new(alive);
        membership.alive = alive.clone();
        for shard in self.other_shards() {
            out.messages
                .push((shard, ShardMessage::Alive(alive.clone())));
        }
        self.take_alive(&alive);
    }

    /// These members answer, as far as is known.
    pub(crate) fn take_alive(&mut self, alive: &BTreeSet<NodeId>) {
        let topology = (*self.topology).clone();
        self.topology = Arc::new(topology.with_alive(|id| alive.contains(&id)));
    }
}
