//! One thread, one shard: the run loop around the state machine that serves data.
//!
//! The state machine ([`Shard`]) does no I/O; the loop feeds it what arrived and carries out what it asks for. A turn is
//! one wake-up: every connection that is readable is read and decoded, every message and disk completion handed over,
//! then the turn is ended and all that it produced goes out: one write a connection, one batch a shard, one submission
//! to the disk. What a turn costs is the wake-up, so everything that is ready shares one.
//!
//! What must stay true:
//! - The loop never blocks: sockets are non-blocking, files belong to the disk's threads, queues are pushed, not waited for.
//! - Nothing a turn acknowledged is written to a socket before the disk said so: the state machine answers only then.

mod effects;
mod mailbox;
mod run_loop;

pub use effects::Effects;
pub use mailbox::{Command, Mailbox, NewConnection};
pub use run_loop::{Core, Environment, run};

use cql::frame::RequestFrame;
use model::env::{IoOutcome, IoTag};
use model::time::BootNanos;
use std::net::SocketAddr;

/// Names a connection of one shard; never used again after it closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// What is known of a client when it connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientInfo {
    /// Where it connects from.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

/// The state machine that a shard's thread runs: events in, effects out.
pub trait Shard: 'static {
    /// What shards tell each other.
    type Message: Send + 'static;

    /// The first event: recovery begins.
    fn start(&mut self, out: &mut Effects<Self::Message>);
    /// Whether it has recovered and serves.
    fn is_ready(&self) -> bool;
    /// No more requests will come: everything is made durable.
    fn drain(&mut self, out: &mut Effects<Self::Message>);
    /// Whether everything is durable.
    fn is_drained(&self) -> bool;
    /// A client connected; it has sent nothing yet.
    fn on_client_connected(&mut self, client: ClientId, info: &ClientInfo);
    /// A client sent a request. It is answered now or later, exactly once.
    fn on_client_frame(
        &mut self,
        client: ClientId,
        frame: RequestFrame,
        out: &mut Effects<Self::Message>,
    );
    /// A client is gone; what it still waits for is not sent.
    fn on_client_closed(&mut self, client: ClientId, out: &mut Effects<Self::Message>);
    /// Another shard's messages, in the order it sent them.
    fn on_shard_messages(
        &mut self,
        from: u16,
        batch: &mut Vec<Self::Message>,
        out: &mut Effects<Self::Message>,
    );
    /// A disk request ended.
    fn on_io(&mut self, tag: IoTag, outcome: IoOutcome, out: &mut Effects<Self::Message>);
    /// The wake-up's events are all handed over. Says when to be woken if nothing happens before.
    fn end_of_turn(&mut self, out: &mut Effects<Self::Message>) -> Option<BootNanos>;
    /// The state in words, for the operator.
    fn describe(&self) -> String;
}
