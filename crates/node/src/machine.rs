//! What the shell and the simulator drive: events in, effects out. [`NodeShard`](crate::startup::NodeShard) is the one that
//! ships; a test of the shell may run another.

use crate::client::ClientId;
use crate::effects::{Effects, WorkDone};
use crate::execute::admin::AdminWork;
use crate::message::ShardMessage;
use bytes::Bytes;
use cluster::internode::{Class, PeerEvent, PeerIdentity};
use cql::frame::RequestFrame;
use model::env::{IoOutcome, IoTag};
use model::time::{BootNanos, Now};
use std::net::SocketAddr;

/// Something that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// The first: recovery begins.
    Start,
    /// A client connected; it has sent nothing yet.
    ClientConnected {
        /// Its number from now on.
        client: ClientId,
        /// Its address.
        address: SocketAddr,
        /// Whether the connection is encrypted.
        tls: bool,
    },
    /// A client sent a request. It is answered now or later, exactly once.
    ClientFrame {
        /// Which.
        client: ClientId,
        /// The request.
        frame: RequestFrame,
    },
    /// A client is gone; what it still waits for is not sent.
    ClientClosed(ClientId),
    /// Another shard's messages, in the order it sent them; they are taken out.
    Messages {
        /// Which shard.
        from: u16,
        /// What it says.
        batch: &'a mut Vec<ShardMessage>,
    },
    /// A message of another node.
    PeerMessage {
        /// Who sent it.
        from: &'a PeerIdentity,
        /// As what it was sent.
        class: Class,
        /// What it says.
        message: Bytes,
    },
    /// Something happened to a connection with another node.
    Peer(&'a PeerEvent),
    /// A disk request ended.
    Io {
        /// Which.
        tag: IoTag,
        /// How.
        outcome: IoOutcome,
    },
    /// Slow work ended.
    Work {
        /// Which.
        number: u64,
        /// How.
        done: WorkDone,
    },
    /// An operator asks for something; [`Effects::admin`] says under this number what came of it.
    Admin {
        /// The number.
        id: u64,
        /// What is asked for.
        work: &'a AdminWork,
    },
    /// No more requests will come: everything is made durable.
    Drain,
}

/// What a shard wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnEnd {
    /// Background work is left: run another turn soon.
    pub more: bool,
    /// Wake the shard at this moment at the latest.
    pub wake: Option<BootNanos>,
}

/// The state machine of one shard.
pub trait Machine: 'static {
    /// Something happened.
    fn on(&mut self, event: Event<'_>, now: Now, out: &mut Effects);
    /// The wake-up's events are all handed over.
    fn end_of_turn(&mut self, now: Now, out: &mut Effects) -> TurnEnd;
    /// Whether it has recovered and serves.
    fn is_ready(&self) -> bool;
    /// Why it cannot serve, if it cannot.
    fn failure(&self) -> Option<&str>;
    /// Whether no request is under way.
    fn is_quiet(&self) -> bool;
    /// Whether everything is durable.
    fn is_drained(&self) -> bool;
    /// Names and values of what it counts.
    fn counters(&self) -> Vec<(&'static str, u64)>;
    /// The state in words, for the operator.
    fn describe(&self) -> String;
}
