//! A shard's connections with other nodes, as its turns see them.
//!
//! What comes is handed to the state machine in the tasks that read, as clients' requests are; what the state machine
//! sends is appended to the connections when its effects are carried out, and leaves with the turn.

use super::run_loop::{Core, Environment};
use crate::internode::{Arrival, Endpoint, PeerEvents};
use cluster::internode::frame::Messages;
use cluster::internode::{Class, PeerEffects, PeerEvent, PeerIdentity};
use node::machine::{Event, Machine};
use std::rc::{Rc, Weak};

/// What the messages' buffer may keep between turns.
const KEPT_BYTES: usize = 1 << 20;
/// Bytes of messages collected in a turn above which they are handed to their connections before the turn ends.
const COLLECTED_BYTES: usize = 256 << 10;

/// The endpoint of a shard that talks to other nodes.
pub(super) fn endpoint<S: Machine>(
    environment: &Environment,
    core: &Weak<Core<S>>,
) -> Option<Rc<Endpoint>> {
    let wire = environment.wire.clone()?;
    let events: Weak<dyn PeerEvents> = core.clone();
    let peers = environment.peers.clone();
    Some(Endpoint::new(environment.index, wire, peers, events))
}

impl<S: Machine> Core<S> {
    /// Takes what the acceptor has for this shard. Nothing is borrowed: it may be told at once.
    pub(super) fn meet(&self, arrivals: Vec<Arrival>) {
        for arrival in arrivals {
            let endpoint = self.endpoint.as_ref();
            endpoint.expect("who accepts has a wire").arrive(arrival);
        }
    }

    /// Has all connections judged, and opened, by what the state machine says from here on.
    pub(super) fn admit(&self, effects: &mut PeerEffects) {
        if let Some(admission) = effects.admission.take() {
            let wire = self.environment.wire.as_ref();
            let wire = wire.expect("a node without a wire lets nobody in");
            wire.replace_admission(admission);
        }
    }

    /// Carries out what the state machine wants of other nodes; messages leave with the turn.
    pub(super) fn talk(&self, effects: &mut PeerEffects) {
        if effects.is_empty() {
            return;
        }
        let endpoint = self.endpoint.as_ref();
        let endpoint = endpoint.expect("a node without a wire has nothing to say to others");
        effects.drain(KEPT_BYTES, |to, class, message| {
            endpoint.send(to, class, message);
        });
        for peer in effects.closes.drain(..) {
            endpoint.close(peer);
        }
    }
}

impl<S: Machine> PeerEvents for Core<S> {
    fn on_peer_messages(&self, from: &PeerIdentity, class: Class, messages: Messages) {
        self.read_clocks();
        for message in messages {
            self.event(Event::PeerMessage {
                from,
                class,
                message,
            });
        }
        self.mailbox().ring();
        let collected = {
            let effects = self.effects.borrow();
            effects.buffer.len() + effects.peers.buffered_bytes()
        };
        if collected > COLLECTED_BYTES {
            self.carry_out();
        }
    }

    fn on_peer_event(&self, event: &PeerEvent) {
        self.read_clocks();
        self.event(Event::Peer(event));
        self.mailbox().ring();
    }
}
