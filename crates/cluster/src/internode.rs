//! The wire between nodes, without the wire: what a connection begins with and how messages travel on it afterwards.
//!
//! A node opens one connection for each of its shards, each peer and each [`Class`] of messages, and sends on it; what
//! it receives comes on the connections that its peers opened. A connection begins with a [`handshake`]: who opens it
//! says [`Hello`](handshake::Hello), the other side judges that by its [`admission::Admission`] and answers. From then
//! on [`frame`]s travel, one way, each with the messages of one wake-up.
//!
//! Nothing here does I/O or knows a clock. `server` moves the bytes through sockets, the simulator through its own
//! network; both run the same encoders, decoders and judgements:
//!
//! 1. who opens: `admission.hello(…)` → bytes; the other side: `Hello::decode` → `admission.judge` → `Answer` → bytes;
//!    who opened: `Answer::decode` → `admission.judge_answer`. Both nodes are told [`PeerEvent::Connected`], or `Refused`;
//! 2. at the end of a turn, what [`PeerEffects`] holds is appended to one [`frame::Encoder`] for each connection, which is
//!    sealed once: those bytes are one write;
//! 3. the other side puts bytes as they come into the connection's [`frame::Decoder`], and hands over each message;
//! 4. a connection that ends is [`PeerEvent::Lost`] for both, and what was not written is gone.
//!
//! What must stay true:
//! - No byte that a peer may send makes a decoder panic, or hold more memory than it was sent, but for what a frame
//!   says it decompresses to, which is bounded by what was sent.
//! - A frame's messages are handed over all or not at all.
//! - What is not understood ends the connection; it is never skipped.
//!
//! The bytes are documented in `docs/protocols/internode.md`.

pub mod admission;
mod class;
mod event;
pub mod frame;
pub mod handshake;
mod identity;
mod refusal;

pub use class::Class;
pub use event::{Direction, DropReason, Loss, PeerEffects, PeerEvent};
pub use identity::PeerIdentity;
pub use refusal::{Refusal, RefusalReason};

/// The oldest version of the protocol that is spoken.
pub const LOWEST_VERSION: u16 = 1;
/// The newest version of the protocol that is spoken.
pub const HIGHEST_VERSION: u16 = 1;

const _: () = assert!(LOWEST_VERSION <= HIGHEST_VERSION);
