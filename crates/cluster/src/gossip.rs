//! Membership by anti-entropy: every node soon knows what every node says of itself, and that its heart still beats.
//!
//! Each node owns an [`Endpoint`]: who it is, a version that grows with everything it says, a heartbeat that grows with
//! time. A few times a second a node asks a random live peer (SYN: everything it knows, as version numbers), is told
//! where it is behind and what the peer lacks (ACK), and hands that over (ACK2): the three steps of scuttlebutt. Once a
//! second it may also try a node that is away, and a seed, so that islands find each other again.
//!
//! A digest of n nodes would cost n identities in every message, and the heartbeats make all of it change all the time.
//! So identities do not travel: both sides cut their [rosters](roster) into the same buckets and compare hashes of who
//! is in them; in buckets that agree (all, when nobody comes or goes) a member is a position, worth a version and a
//! heartbeat in a few bytes. Members of other buckets are named in full. `docs/protocols/gossip.md` has the bytes, the
//! costs and the argument why it converges.
//!
//! What must stay true:
//! - Only the owner gives its states versions; a delta never leaves a gap below the version it ends at.
//! - Heartbeats travel as they are, never as differences: nobody but the owner can make a heart beat.
//! - A later life replaces everything of the earlier one; an earlier one replaces nothing.
//! - Nothing here judges who is alive for requests: that is [`crate::detector`], which is fed [`Effect::Heard`].

pub mod config;
mod deltas;
mod effect;
pub mod endpoint;
mod exchange;
mod learn;
mod message;
mod quarantine;
mod refusal;
mod roster;
mod rounds;
pub mod state;

#[cfg(test)]
pub(crate) mod simulation;
#[cfg(test)]
mod tests;

pub use effect::Effect;
pub use endpoint::{Endpoint, Generation, Identity};
pub use message::DecodeError;
pub use refusal::Refusal;

use config::{FRESH_MS, GossipConfig, RETENTION_MS};
use message::{Envelope, Message, cluster_hash};
use model::env::Random;
use model::time::BootNanos;
use quarantine::{Quarantine, Reason};
use refusal::{Side, Told};
use roster::Roster;
use rounds::Rounds;
use state::{State, StateKey};
use std::net::SocketAddr;
use uuid::Uuid;

/// The machine: messages and time in, [`Effect`]s out.
#[derive(Debug)]
pub struct Gossip {
    cluster_name: String,
    cluster: u64,
    seeds: Vec<SocketAddr>,
    address: SocketAddr,
    roster: Roster,
    quarantine: Quarantine,
    told: Told,
    rounds: Rounds,
}

impl Gossip {
    /// A node that knows itself and its seeds. Its first round is due at once.
    pub fn new(config: GossipConfig, now: BootNanos) -> Self {
        let mut roster = Roster::default();
        roster.insert(Endpoint::new(config.identity, now));
        Self {
            cluster: cluster_hash(&config.cluster_name),
            cluster_name: state::cut(&config.cluster_name).to_owned(),
            seeds: config.seeds,
            address: config.identity.address,
            roster,
            quarantine: Quarantine::default(),
            told: Told::default(),
            rounds: Rounds::new(now),
        }
    }

    /// Says something of this node to all others. Whether it was news; what is said again costs nothing.
    pub fn set_local(&mut self, state: State) -> bool {
        self.local_mut().set(state)
    }

    /// Other seeds, from a configuration that was read again.
    pub fn set_seeds(&mut self, seeds: Vec<SocketAddr>) {
        self.seeds = seeds;
    }

    /// What the detector says of an endpoint: rounds go to reachable ones, others are tried now and then.
    pub fn set_reachable(&mut self, address: SocketAddr, reachable: bool) {
        if let Some(endpoint) = self.roster.get_mut(address) {
            endpoint.reachable = reachable;
        }
    }

    /// This node's own endpoint.
    pub fn local(&self) -> &Endpoint {
        self.roster
            .get(self.address)
            .expect("a node is in its own roster")
    }

    fn local_mut(&mut self) -> &mut Endpoint {
        self.roster
            .get_mut(self.address)
            .expect("a node is in its own roster")
    }

    /// What is known of the node at an address.
    pub fn endpoint(&self, address: SocketAddr) -> Option<&Endpoint> {
        self.roster.get(address)
    }

    /// All nodes that are known, this one among them, in an order that is the same on every node.
    pub fn endpoints(&self) -> impl ExactSizeIterator<Item = &Endpoint> {
        self.roster.iter()
    }

    /// When [`Self::tick`] is due next.
    pub fn next_deadline(&self) -> BootNanos {
        self.rounds.next_deadline()
    }

    /// Time has passed: the heart beats and rounds begin, as far as they are due.
    pub fn tick(&mut self, now: BootNanos, random: &mut dyn Random, effects: &mut Vec<Effect>) {
        if self.rounds.beat_is_due(now) {
            let local = self.local_mut();
            local.beat(local.heartbeat + 1, now);
            self.quarantine.expire(now);
        }
        self.begin_rounds(now, random, effects);
    }

    /// A message has come from the node at `from`.
    pub fn on_message(
        &mut self,
        now: BootNanos,
        from: SocketAddr,
        bytes: &[u8],
        random: &mut dyn Random,
        effects: &mut Vec<Effect>,
    ) {
        let envelope = match Envelope::decode(bytes) {
            Ok(envelope) => envelope,
            Err(error) => {
                if self.told.is_news(from, Side::Bytes, None, now) {
                    effects.push(Effect::Malformed { peer: from, error });
                }
                return;
            }
        };
        let same_cluster = envelope.cluster == self.cluster;
        match envelope.message {
            // Refused with a reason, if it is of another cluster.
            Message::Syn(syn) => self.on_syn(now, from, &syn, random, effects),
            Message::Refuse(refusal) => {
                if self.told.is_news(from, Side::There, Some(&refusal), now) {
                    effects.push(Effect::RefusedBy {
                        peer: from,
                        refusal,
                    });
                }
            }
            // Whoever answered was asked, so it changed clusters since; its own SYN will be refused with a reason.
            Message::Ack(_) | Message::Ack2(_) if !same_cluster => {}
            Message::Ack(ack) => self.on_ack(now, from, ack, effects),
            Message::Ack2(ack) => self.on_ack2(now, from, ack, effects),
        }
    }

    /// The node with this host id was removed from the cluster: its states go, and neither it nor hearsay of it comes
    /// back while it is in quarantine.
    pub fn remove(&mut self, host_id: Uuid, now: BootNanos, effects: &mut Vec<Effect>) {
        assert!(
            host_id != self.local().identity().host_id,
            "a node that was removed stops; it does not forget itself"
        );
        self.quarantine.insert(host_id, Reason::Removed, now);
        if let Some(address) = self.address_of(host_id) {
            self.roster.remove(address);
            effects.push(Effect::Forgotten { address, host_id });
        }
    }

    /// Forgets nodes that nobody has heard of for an hour and that `is_member` denies: attempts to join that came to
    /// nothing. To be called now and then, with what the metadata log says.
    pub fn retain(
        &mut self,
        now: BootNanos,
        is_member: &mut dyn FnMut(&Endpoint) -> bool,
        effects: &mut Vec<Effect>,
    ) {
        let silent = |endpoint: &&Endpoint| {
            endpoint.address() != self.address
                && now.since(endpoint.heard_at) >= RETENTION_MS * 1_000_000
        };
        let gone: Vec<_> = self
            .roster
            .iter()
            .filter(silent)
            .filter(|endpoint| !is_member(endpoint))
            .map(|endpoint| (*endpoint.identity(), endpoint.heartbeat))
            .collect();
        for (identity, heartbeat) in gone {
            let reason = Reason::Forgotten {
                generation: identity.generation,
                heartbeat,
            };
            self.quarantine.insert(identity.host_id, reason, now);
            self.roster.remove(identity.address);
            effects.push(Effect::Forgotten {
                address: identity.address,
                host_id: identity.host_id,
            });
        }
    }

    /// Where the node with this host id is.
    pub fn address_of(&self, host_id: Uuid) -> Option<SocketAddr> {
        self.roster
            .iter()
            .find(|endpoint| endpoint.identity().host_id == host_id)
            .map(Endpoint::address)
    }

    /// Whether news of an endpoint came within the last seconds, from whomever: somebody reaches it.
    pub fn is_fresh(&self, address: SocketAddr, now: BootNanos) -> bool {
        self.roster
            .get(address)
            .is_some_and(|endpoint| now.since(endpoint.heard_at) < FRESH_MS * 1_000_000)
    }

    fn send(&self, to: SocketAddr, message: Message, effects: &mut Vec<Effect>) {
        let envelope = Envelope {
            cluster: self.cluster,
            message,
        };
        let bytes = envelope.encode();
        assert!(
            bytes.len() <= config::MAX_MESSAGE_BYTES,
            "a message of {} bytes",
            bytes.len()
        );
        effects.push(Effect::Send { to, bytes });
    }

    /// The status an endpoint gives itself; one that has not said is joining.
    fn status(endpoint: &Endpoint) -> state::Status {
        match endpoint.state(StateKey::Status) {
            Some(State::Status(status)) => *status,
            _ => state::Status::Joining,
        }
    }
}
