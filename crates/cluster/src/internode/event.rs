//! What the wire and the node tell each other: the same in the shell and in the simulator.

use super::admission::Admission;
use super::{Class, PeerIdentity, Refusal};
use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

/// Which side opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// The peer did, and sends on it.
    Incoming,
    /// This node did, and sends on it.
    Outgoing,
}

/// What happened to a connection with a peer. Messages are no event: there are too many of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerEvent {
    /// A connection is open.
    Connected {
        /// Who is at the other end; its address is the one it announces.
        identity: PeerIdentity,
        /// Where it was reached, if this node opened the connection, else the address it announces.
        address: SocketAddr,
        /// What travels on it.
        class: Class,
        /// Who opened it.
        direction: Direction,
    },
    /// A connection has ended, or could not be opened. One that this node opened is opened again, without being asked.
    Lost {
        /// As in `Connected`.
        address: SocketAddr,
        /// What travelled on it.
        class: Class,
        /// Who opened it.
        direction: Direction,
        /// Why.
        why: Loss,
        /// Messages that waited to be sent on it and never will be. Some sent before may not have arrived either.
        unsent: u64,
    },
    /// One side does not talk to the other.
    Refused {
        /// As in `Connected`.
        address: SocketAddr,
        /// `Incoming`: this node refused the peer. `Outgoing`: the peer refused this node, or this node its answer.
        direction: Direction,
        /// Why.
        refusal: Refusal,
        /// As in `Lost`.
        unsent: u64,
    },
    /// Messages were not taken.
    Dropped {
        /// Who they were for.
        address: SocketAddr,
        /// What they were.
        class: Class,
        /// Why.
        why: DropReason,
        /// How many.
        messages: u64,
        /// Their bytes.
        bytes: u64,
    },
}

/// Why a connection ended or was not to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loss {
    /// It could not be opened.
    Unreachable(String),
    /// The peer ended it, or its process did.
    Closed,
    /// The network lost it.
    Broken(String),
    /// What came on it is no frame.
    Garbage(String),
    /// The peer has opened another in its place.
    Replaced,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "cannot be reached: {why}"),
            Self::Closed => f.write_str("the peer closed it"),
            Self::Broken(why) => write!(f, "broken: {why}"),
            Self::Garbage(why) => write!(f, "what came is wrong: {why}"),
            Self::Replaced => f.write_str("the peer opened another"),
        }
    }
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// As much waits for this peer as may.
    Full,
    /// There is no connection, and the last attempt at one has just failed.
    Unreachable,
    /// It is longer than any message may be.
    TooLarge,
}

/// What a node wants done on the wire. Emptied once per wake-up; its buffer is used again.
#[derive(Debug, Default)]
pub struct PeerEffects {
    buffer: Vec<u8>,
    sends: Vec<PeerSend>,
    /// Peers that there is nothing more to say to: connections with them end, once what was sent so far has been written.
    pub closes: Vec<SocketAddr>,
    /// What decides about connections from here on.
    pub admission: Option<Arc<Admission>>,
}

/// A message to a peer: where it lies in the buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PeerSend {
    to: SocketAddr,
    class: Class,
    range: Range<usize>,
}

impl PeerEffects {
    /// Sends what `write` appends, which is one message and not empty.
    pub fn send(&mut self, to: SocketAddr, class: Class, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.buffer.len();
        write(&mut self.buffer);
        let range = start..self.buffer.len();
        assert!(!range.is_empty(), "a message says something");
        self.sends.push(PeerSend { to, class, range });
    }

    /// Sends the message that was appended last to one more peer.
    pub fn send_again(&mut self, to: SocketAddr, class: Class) {
        let last = self.sends.last().expect("something was sent before");
        let range = last.range.clone();
        self.sends.push(PeerSend { to, class, range });
    }

    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.sends.is_empty() && self.closes.is_empty() && self.admission.is_none()
    }

    /// Bytes that wait to be taken.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Hands every message to `take`, in order, and keeps at most so much of the buffer's memory.
    pub fn drain(&mut self, kept_bytes: usize, mut take: impl FnMut(SocketAddr, Class, &[u8])) {
        for send in self.sends.drain(..) {
            take(send.to, send.class, &self.buffer[send.range]);
        }
        self.buffer.clear();
        self.buffer.shrink_to(kept_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_leave_in_the_order_they_came() {
        let mut effects = PeerEffects::default();
        let [a, b] = ["10.0.0.1:7000", "10.0.0.2:7000"].map(|text| text.parse().unwrap());
        effects.send(a, Class::Small, |out| out.extend_from_slice(b"one"));
        effects.send_again(b, Class::Small);
        effects.send(a, Class::Urgent, |out| out.extend_from_slice(b"two"));
        assert_eq!(effects.buffered_bytes(), 6);
        let mut taken = Vec::new();
        effects.drain(0, |to, class, message| {
            taken.push((to, class, message.to_vec()))
        });
        assert_eq!(
            taken,
            [
                (a, Class::Small, b"one".to_vec()),
                (b, Class::Small, b"one".to_vec()),
                (a, Class::Urgent, b"two".to_vec())
            ]
        );
        effects.drain(0, |_, _, _| panic!("nothing is left"));
    }
}
