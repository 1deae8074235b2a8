//! This node among the others: who lives, what the metadata log says to them, and who asks to be let in. Shard 0's.
//!
//! Gossip finds the members and carries what each says of itself; the detector alone judges who answers, from pings and from the
//! heartbeats that gossip brings. Its judgement goes to all shards, whose plans leave out who is away.

mod letting_in;

use crate::admission::admission;
use crate::effects::{Effects, LogLevel};
use crate::message::ShardMessage;
use crate::metadata_log::MetadataLog;
use crate::peers::message::PeerMessage;
use crate::shard::Shard;
use cluster::detector::{self, Detector, DetectorConfig};
use cluster::gossip::config::GossipConfig;
use cluster::gossip::state::{State, StateKey, Status};
use cluster::gossip::{self, Generation, Gossip, Identity};
use cluster::internode::PeerIdentity;
use cluster::metadata::{Change, Metadata};
use cluster::topology::NodeId;
use cql::frame::response::Event;
use model::time::{BootNanos, Now};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use uuid::Uuid;

/// How often what this node says of itself is looked at, in milliseconds.
const SELF_MS: u64 = 1_000;
/// How often it says how much data it has, in milliseconds: that changes all the time, and every change travels to all.
const LOAD_MS: u64 = 60_000;
/// Proposals for nodes that ask to be let in have tickets from here on.
const JOIN_TICKETS: u64 = 1 << 62;

/// What is known of the other members at the moment, beside what all agree on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outlook {
    /// Those that answer.
    pub alive: BTreeSet<NodeId>,
    /// What each has in force, as it said last.
    pub in_force: BTreeMap<NodeId, InForce>,
}

/// What a member has in force on all its shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InForce {
    /// The epoch of the metadata.
    pub epoch: u64,
    /// The version of the schema, as tools show it.
    pub schema: Uuid,
}

/// Gossip, the detector, and who asks to be let in.
pub struct Membership {
    gossip: Gossip,
    detector: Detector,
    /// What the shards were told of the others.
    outlook: Arc<Outlook>,
    /// What is known of what the others have in force.
    in_force: BTreeMap<NodeId, InForce>,
    next_self: BootNanos,
    next_load: BootNanos,
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
            replaces: replaced_here(metadata, own.internode_address),
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
            outlook: Arc::default(),
            in_force: BTreeMap::new(),
            next_self: now,
            next_load: now,
            joining: BTreeMap::new(),
            next_join: JOIN_TICKETS,
            heard: Vec::new(),
            judged: Vec::new(),
        };
        let location = &own.location;
        for state in [
            State::NodeNumber(log.id()),
            State::DataCenter(location.datacenter.clone()),
            State::Rack(location.rack.clone()),
            State::ReleaseVersion(own.version.clone()),
            State::ShardCount(own.shards),
            State::NativeAddress(own.client_address),
        ] {
            membership.gossip.set_local(state);
        }
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
        self.in_force.retain(|id, _| neighbours.contains(id));
        let own_host = self.gossip.local().identity().host_id;
        let known = self
            .gossip
            .endpoints()
            .map(|known| known.identity().host_id);
        let gone = known.filter(|id| *id != own_host && metadata.gone.contains_key(id));
        let gone: Vec<Uuid> = gone.collect();
        for host_id in gone {
            self.gossip.remove(host_id, now, &mut self.heard);
        }
        self.detector.set_neighbours(&neighbours, now);
        let status = status(metadata, own);
        self.gossip.set_local(State::Status(status));
        let serves = matches!(status, Status::Normal | Status::Leaving | Status::Moving);
        self.gossip.set_local(State::NativeReady(serves));
    }

    /// A member has said what it has in force; what came late tells nothing new.
    fn learn_in_force(&mut self, node: NodeId, said: InForce) {
        let known = self.in_force.entry(node).or_insert(said);
        if said.epoch >= known.epoch {
            *known = said;
        }
    }

    /// Whether a member is known not to answer.
    pub fn is_away(&self, node: NodeId) -> bool {
        let mut peers = self.detector.peers();
        peers.any(|(id, opinion)| id == node && !opinion.state.is_up())
    }

    /// What this node says of where it stands in its life.
    pub fn set_status(&mut self, status: Status) {
        self.gossip.set_local(State::Status(status));
    }

    /// The members that answer, this one aside.
    pub fn alive(&self) -> &BTreeSet<NodeId> {
        &self.outlook.alive
    }

    /// What this node thinks of the others, and what each says of those it cannot reach.
    pub fn detector(&self) -> &Detector {
        &self.detector
    }

    /// What the members say of themselves.
    pub fn gossip(&self) -> &Gossip {
        &self.gossip
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
            (PeerMessage::Join(request), _) => self.let_in(from.address, *request, now),
            (PeerMessage::InForce(said), Some(node)) => {
                membership.learn_in_force(node, said);
                if said.epoch > self.topology.epoch
                    && let Some(log) = self.schema_changes.log_mut()
                {
                    log.catch_up(node);
                }
            }
            _ => {}
        }
        self.carry_out_membership(now, out);
    }

    fn own_in_force(&self) -> InForce {
        InForce {
            epoch: self.topology.epoch,
            schema: self.schema.version(),
        }
    }

    /// All shards have the metadata in force: the others are told.
    pub(crate) fn tell_in_force(&mut self, out: &mut Effects) {
        let said = self.own_in_force();
        let Some(membership) = &mut self.membership else {
            return;
        };
        membership.gossip.set_local(State::Schema {
            epoch: said.epoch,
            version: said.schema,
        });
        let local = self.topology.local;
        let others = self.topology.nodes.iter().map(|node| node.id);
        for node in others.filter(|id| *id != local) {
            self.say(node, &PeerMessage::InForce(said), out);
        }
    }

    /// Says how much data this node has.
    fn tell_load(&mut self, now: Now) {
        let is_due = |membership: &Membership| now.boot >= membership.next_load;
        if !self.membership.as_ref().is_some_and(is_due) {
            return;
        }
        let load = State::Load(self.load_bytes());
        if let Some(membership) = &mut self.membership {
            membership.next_load = now.boot.plus_millis(LOAD_MS);
            membership.gossip.set_local(load);
        }
    }

    /// Gives gossip and the detector their turn, and sends what the metadata log has to say.
    pub(crate) fn tend_membership(&mut self, now: Now, out: &mut Effects) {
        self.tell_load(now);
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
            // Whoever was asked for what this node lacks may have gone before it answered.
            let ahead = membership.in_force.iter();
            let mut ahead = ahead.filter(|(_, said)| said.epoch > self.topology.epoch);
            let ahead = ahead.next_back().map(|(node, _)| *node);
            if let (Some(node), Some(log)) = (ahead, self.schema_changes.log_mut()) {
                log.catch_up(node);
            }
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
        self.tell_outlook(now, out);
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
                    (StateKey::Schema, Some(State::Schema { epoch, version }), Some(node)) => {
                        let said = InForce {
                            epoch: *epoch,
                            schema: *version,
                        };
                        membership.learn_in_force(node, said);
                        if said.epoch > self.topology.epoch
                            && let Some(log) = self.schema_changes.log_mut()
                        {
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

    /// Tells all shards what is known of the others, if that has changed.
    fn tell_outlook(&mut self, now: Now, out: &mut Effects) {
        let Some(membership) = &mut self.membership else {
            return;
        };
        let detector = &membership.detector;
        let up = || {
            let peers = detector.peers();
            peers.filter_map(|(id, opinion)| opinion.state.is_up().then_some(id))
        };
        // Looked at in every turn: nothing is made of what has not changed.
        if up().eq(membership.outlook.alive.iter().copied())
            && membership.in_force == membership.outlook.in_force
        {
            return;
        }
        let outlook = Arc::new(Outlook {
            alive: up().collect(),
            in_force: membership.in_force.clone(),
        });
        let others_answer = outlook.alive != membership.outlook.alive;
        let appeared = outlook.alive.difference(&membership.outlook.alive);
        let appeared: Vec<NodeId> = appeared.copied().collect();
        membership.outlook = outlook.clone();
        if others_answer {
            self.renew_admission(out);
        }
        // What was said before it answered may not have come.
        let said = self.own_in_force();
        for node in appeared
            .into_iter()
            .filter(|_| self.schema_changes.is_settled())
        {
            self.say(node, &PeerMessage::InForce(said), out);
        }
        for shard in self.other_shards() {
            let message = ShardMessage::Outlook(outlook.clone());
            out.messages.push((shard, message));
        }
        self.take_outlook(outlook, now, out);
    }

    /// Connections are judged by the members there are now.
    pub(crate) fn renew_admission(&self, out: &mut Effects) {
        let (Some(membership), Some(log)) = (&self.membership, self.schema_changes.log()) else {
            return;
        };
        let away = |id: NodeId| id != log.id() && !membership.alive().contains(&id);
        let metadata = Some(&**log.metadata());
        let admission = admission(&self.config, log.identity(), log.boot(), metadata, away);
        out.peers.admission = Some(Arc::new(admission));
    }

    /// So much is known of the others: plans leave out who is away, and clients are told who came and went.
    pub(crate) fn take_outlook(&mut self, outlook: Arc<Outlook>, now: Now, out: &mut Effects) {
        let before = std::mem::replace(&mut self.outlook, outlook);
        self.resume_agreements(now, out);
        let alive = &self.outlook.alive;
        if before.alive == *alive {
            return;
        }
        let events: Vec<Event> = self
            .topology
            .nodes
            .iter()
            .filter(|node| node.id != self.topology.local && !node.tokens.is_empty())
            .filter_map(|node| {
                let address = node.client_address;
                match (before.alive.contains(&node.id), alive.contains(&node.id)) {
                    (false, true) => Some(Event::NodeUp(address)),
                    (true, false) => Some(Event::NodeDown(address)),
                    _ => None,
                }
            })
            .collect();
        let topology = (*self.topology).clone();
        self.topology = Arc::new(topology.with_alive(|id| alive.contains(&id)));
        events.iter().for_each(|event| self.publish(event, out));
        self.tell_of_lost(&before.alive, now, out);
    }
}

/// The dead member that had this address before the node that is to replace it.
fn replaced_here(metadata: &Metadata, address: SocketAddr) -> Option<Uuid> {
    let mut displaced = metadata.displaced.iter();
    let (dead, _) = displaced.find(|(_, had)| **had == address)?;
    Some(metadata.members.get(dead)?.host_id)
}

/// Where a node stands in its life, by the metadata.
fn status(metadata: &Metadata, node: NodeId) -> Status {
    let transition = metadata.transitions.get(&node);
    match (
        metadata.members.get(&node),
        transition.map(|under_way| &under_way.change),
    ) {
        (None, _) => Status::Left,
        (Some(_), Some(Change::Leave | Change::Remove)) => Status::Leaving,
        (Some(_), Some(Change::Move(_))) => Status::Moving,
        (Some(member), _) if member.tokens.is_empty() => Status::Joining,
        (Some(_), _) => Status::Normal,
    }
}

/// What clients are told when the members change: who has tokens now that had none, and the other way round.
pub fn member_events(
    before: &Metadata,
    after: &Metadata,
    own: NodeId,
    alive: &BTreeSet<NodeId>,
) -> Vec<Event> {
    let owners = |metadata: &Metadata| -> BTreeMap<NodeId, SocketAddr> {
        let members = metadata.members.iter();
        let owners = members.filter(|(id, member)| **id != own && !member.tokens.is_empty());
        owners
            .map(|(id, member)| (*id, member.client_address))
            .collect()
    };
    let (then, now) = (owners(before), owners(after));
    let gone = then
        .iter()
        .filter(|(id, address)| now.get(id) != Some(address));
    let mut events: Vec<Event> = gone
        .map(|(_, address)| Event::NodeRemoved(*address))
        .collect();
    for (id, address) in now
        .iter()
        .filter(|(id, address)| then.get(id) != Some(address))
    {
        events.push(Event::NodeAdded(*address));
        if alive.contains(id) {
            events.push(Event::NodeUp(*address));
        }
    }
    events
}
