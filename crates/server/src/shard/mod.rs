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

mod mailbox;
mod run_loop;
mod serving;

pub use mailbox::{Command, Mailbox, NewConnection};
pub use run_loop::{Core, Environment, run};

use cql::frame::RequestFrame;
use model::env::{IoOutcome, IoTag};
use model::time::Now;
use node::client::ClientId;
use node::effects::{Effects, WorkDone};
use node::execute::admin::AdminWork;
use node::message::ShardMessage;
use node::shard::TurnEnd;
use std::net::SocketAddr;

/// The state machine that a shard's thread runs: events in, effects out. `node` has the one that ships; a test or a
/// benchmark may run another.
pub trait Shard: 'static {
    /// The first event: recovery begins.
    fn start(&mut self, now: Now, out: &mut Effects);
    /// Whether it has recovered and serves.
    fn is_ready(&self) -> bool;
    /// Why it cannot serve, if it cannot.
    fn failure(&self) -> Option<&str>;
    /// A client connected; it has sent nothing yet.
    fn on_client_connected(&mut self, client: ClientId, address: SocketAddr, tls: bool);
    /// A client sent a request. It is answered now or later, exactly once.
    fn on_client_frame(
        &mut self,
        client: ClientId,
        frame: RequestFrame,
        now: Now,
        out: &mut Effects,
    );
    /// A client is gone; what it still waits for is not sent.
    fn on_client_closed(&mut self, client: ClientId);
    /// Another shard's messages, in the order it sent them.
    fn on_shard_messages(
        &mut self,
        from: u16,
        batch: &mut Vec<ShardMessage>,
        now: Now,
        out: &mut Effects,
    );
    /// A disk request ended.
    fn on_io(&mut self, tag: IoTag, outcome: IoOutcome, now: Now, out: &mut Effects);
    /// Slow work ended.
    fn on_work(&mut self, number: u64, done: WorkDone, now: Now, out: &mut Effects);
    /// The wake-up's events are all handed over.
    fn end_of_turn(&mut self, now: Now, out: &mut Effects) -> TurnEnd;
    /// An operator asks for something; `Effects::admin` says under this number when it is done.
    fn on_admin(&mut self, id: u64, work: &AdminWork, now: Now, out: &mut Effects);
    /// Whether no request is under way.
    fn is_quiet(&self) -> bool;
    /// No more requests will come: everything is made durable.
    fn drain(&mut self, now: Now, out: &mut Effects);
    /// Whether everything is durable.
    fn is_drained(&self) -> bool;
    /// Names and values of what it counts.
    fn counters(&mut self) -> Vec<(&'static str, u64)>;
    /// The state in words, for the operator.
    fn describe(&self) -> String;
}
