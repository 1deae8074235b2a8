//! What gossip wants done, or known.

use crate::gossip::endpoint::Generation;
use crate::gossip::message::DecodeError;
use crate::gossip::refusal::Refusal;
use crate::gossip::state::StateKey;
use std::net::SocketAddr;
use uuid::Uuid;

/// An effect. Collected in a vector that its owner empties and uses again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send these bytes, ahead of bulk. They may be lost: the next round makes up for it.
    Send {
        /// To whom.
        to: SocketAddr,
        /// The message.
        bytes: Vec<u8>,
    },
    /// A node is known that was not.
    Appeared {
        /// Where.
        address: SocketAddr,
    },
    /// A node was started again, or replaced by its declared replacement: its states begin anew.
    Restarted {
        /// Where.
        address: SocketAddr,
        /// Its host id: another than before if it was replaced.
        host_id: Uuid,
        /// Its new life.
        generation: Generation,
    },
    /// A node says something new of itself.
    Changed {
        /// Where.
        address: SocketAddr,
        /// What.
        key: StateKey,
    },
    /// A node's heart was seen to beat, here or by somebody else: an arrival for the detector.
    Heard {
        /// Where.
        address: SocketAddr,
    },
    /// A node was started again at another address.
    Moved {
        /// Which.
        host_id: Uuid,
        /// Where it was.
        from: SocketAddr,
        /// Where it is.
        to: SocketAddr,
    },
    /// A node is no longer known.
    Forgotten {
        /// Where it was.
        address: SocketAddr,
        /// Which.
        host_id: Uuid,
    },
    /// This node does not talk to a peer. Log it; told once an hour at most.
    Refused {
        /// The peer.
        peer: SocketAddr,
        /// Its host id.
        host_id: Uuid,
        /// The name of its cluster.
        cluster_name: String,
        /// Why.
        refusal: Refusal,
    },
    /// A peer does not talk to this node. Log it; while starting, stop. Told once an hour at most.
    RefusedBy {
        /// The peer.
        peer: SocketAddr,
        /// Why.
        refusal: Refusal,
    },
    /// A peer sent what is no message. Log it; told once an hour at most.
    Malformed {
        /// The peer.
        peer: SocketAddr,
        /// What is wrong.
        error: DecodeError,
    },
    /// Others know a later life of this node than its own number says (a restored directory): it goes on as this one.
    /// Make the boot number durable.
    GenerationRaised {
        /// The life it is in from now on.
        to: Generation,
    },
}
