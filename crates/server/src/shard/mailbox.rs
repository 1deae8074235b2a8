//! What other threads bring to a shard: connections, messages, disk completions, commands.
//!
//! A sender appends a whole batch under a short lock and wakes the shard only if nobody has since it last looked, so a
//! busy shard costs its peers no system call. The queues are bounded by what is admitted: a message answers a request
//! that its sender has a place for, a completion answers a disk request, a connection was counted by the acceptor.

use model::env::{IoOutcome, IoTag};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, oneshot};

use crate::client::Admitted;
use crate::internode::Arrival;
use node::effects::WorkDone;
use node::execute::admin::{AdminResult, AdminWork};
use node::message::ShardMessage;
use std::net::SocketAddr;

/// A connection the acceptor hands over.
#[derive(Debug)]
pub struct NewConnection {
    /// The socket, non-blocking.
    pub stream: std::net::TcpStream,
    /// Where it comes from.
    pub address: SocketAddr,
    /// Its place among all connections, given back when it is dropped.
    pub admitted: Admitted,
}

/// What the process asks of a shard beside data.
#[derive(Debug)]
pub enum Command {
    /// Describe the state in words.
    Describe(oneshot::Sender<String>),
    /// Tell what is counted.
    Count(oneshot::Sender<Vec<(&'static str, u64)>>),
    /// Do what an operator asks, and tell what came of it.
    Admin(AdminWork, oneshot::Sender<AdminResult>),
    /// Send all clients away.
    SendAway(oneshot::Sender<()>),
    /// Take no more requests, and tell when those under way are answered.
    Quiet(oneshot::Sender<()>),
    /// Make everything durable, then end. Every shard is quiet: what it does for another is not refused meanwhile.
    Drain(oneshot::Sender<()>),
}

#[derive(Debug)]
struct Inbox {
    connections: Vec<NewConnection>,
    peers: Vec<Arrival>,
    messages: VecDeque<(u16, Vec<ShardMessage>)>,
    completions: Vec<(IoTag, IoOutcome)>,
    work: Vec<(u64, WorkDone)>,
    commands: Vec<Command>,
}

/// The receiving end of one shard, shared by all who send to it.
#[derive(Debug)]
pub struct Mailbox {
    inbox: Mutex<Inbox>,
    /// Whether something came since the shard last looked.
    pending: AtomicBool,
    wake: Arc<Notify>,
}

/// Everything that came since the last look.
#[derive(Debug)]
pub struct Arrived {
    pub connections: Vec<NewConnection>,
    pub peers: Vec<Arrival>,
    pub messages: VecDeque<(u16, Vec<ShardMessage>)>,
    pub completions: Vec<(IoTag, IoOutcome)>,
    pub work: Vec<(u64, WorkDone)>,
    pub commands: Vec<Command>,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self {
            inbox: Mutex::new(Inbox {
                connections: Vec::new(),
                peers: Vec::new(),
                messages: VecDeque::new(),
                completions: Vec::new(),
                work: Vec::new(),
                commands: Vec::new(),
            }),
            pending: AtomicBool::new(false),
            wake: Arc::new(Notify::new()),
        }
    }
}

impl Mailbox {
    /// A connection to serve.
    pub fn connect(&self, connection: NewConnection) {
        self.lock().connections.push(connection);
        self.ring();
    }

    /// Another node's connection, or one that was refused.
    pub fn arrive(&self, arrival: Arrival) {
        self.lock().peers.push(arrival);
        self.ring();
    }

    /// Another shard's batch.
    pub fn send(&self, from: u16, batch: Vec<ShardMessage>) {
        self.lock().messages.push_back((from, batch));
        self.ring();
    }

    /// A disk request ended.
    pub fn complete(&self, tag: IoTag, outcome: IoOutcome) {
        self.lock().completions.push((tag, outcome));
        self.ring();
    }

    /// Disk requests ended; empties `done`.
    pub fn complete_all(&self, done: &mut Vec<(IoTag, IoOutcome)>) {
        self.lock().completions.append(done);
        self.ring();
    }

    /// Slow work ended.
    pub fn done(&self, number: u64, done: WorkDone) {
        self.lock().work.push((number, done));
        self.ring();
    }

    /// Something asked of the shard.
    pub fn command(&self, command: Command) {
        self.lock().commands.push(command);
        self.ring();
    }

    /// Wakes the shard's turn, from its own thread or another.
    pub fn ring(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            self.wake.notify_one();
        }
    }

    /// Waits until someone rings.
    pub(super) async fn rung(&self) {
        self.wake.notified().await;
    }

    /// Takes what came. Whoever rings from here on wakes the next turn.
    pub(super) fn take(&self) -> Arrived {
        self.pending.store(false, Ordering::Release);
        let mut inbox = self.lock();
        Arrived {
            connections: std::mem::take(&mut inbox.connections),
            peers: std::mem::take(&mut inbox.peers),
            messages: std::mem::take(&mut inbox.messages),
            completions: std::mem::take(&mut inbox.completions),
            work: std::mem::take(&mut inbox.work),
            commands: std::mem::take(&mut inbox.commands),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        // Nothing panics while it holds the lock, and a lost push would be worse than a poisoned flag.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
