//! What a shard asks of the world after an event: answers to write, messages to pass on, disk requests, work for a thread.
//!
//! The shell (or the simulator) empties it after every wake-up and hands it back; its buffers are reused.

use crate::client::ClientId;
use crate::execute::admin::AdminResult;
use crate::message::ShardMessage;
use cluster::internode::PeerEffects;
use cql::frame::compression::Compression;
use model::env::IoQueue;
use model::time::BootNanos;
use std::ops::Range;

/// Slow work that must not run on a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlowWork {
    /// Check a password against a bcrypt hash.
    VerifyPassword {
        /// The password given.
        password: String,
        /// The hash kept.
        hash: String,
    },
    /// Hash a password with bcrypt at this cost.
    HashPassword {
        /// The password.
        password: String,
        /// log2 of the rounds.
        cost: u32,
    },
}

/// A piece of slow work, for a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkOrder {
    /// The number its answer carries.
    pub number: u64,
    /// Nobody waits for it after this: it is not begun any more.
    pub deadline: BootNanos,
    /// What to do.
    pub work: SlowWork,
}

/// What slow work answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkDone {
    /// Too much waits before it: it was not taken.
    Refused,
    /// Whether the password is right.
    Verified(bool),
    /// The hash, or why there is none.
    Hashed(Result<String, String>),
}

/// Effects of one wake-up.
#[derive(Debug, Default)]
pub struct Effects {
    /// Plain envelopes, one after the other.
    pub buffer: Vec<u8>,
    /// Which client each stretch of the buffer goes to, in order.
    pub responses: Vec<(ClientId, Range<usize>)>,
    /// Clients whose STARTUP was answered: from the next frame on the connection compresses so (and, from version 5 on, speaks in segments).
    pub started: Vec<(ClientId, Option<Compression>)>,
    /// Connections to close after their answers are written.
    pub closes: Vec<ClientId>,
    /// Messages to other shards.
    pub messages: Vec<(u16, ShardMessage)>,
    /// Messages to other nodes.
    pub peers: PeerEffects,
    /// Disk requests.
    pub io: IoQueue,
    /// Slow work.
    pub work: Vec<WorkOrder>,
    /// What came of admin work, under the number it was asked for with.
    pub admin: Vec<(u64, AdminResult)>,
    /// Lines for the log: level and text.
    pub log: Vec<(LogLevel, String)>,
}

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum LogLevel {
    Info,
    Warn,
    Error,
}

impl Effects {
    /// Appends an answer to a client.
    pub fn respond(&mut self, client: ClientId, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.buffer.len();
        write(&mut self.buffer);
        self.responses.push((client, start..self.buffer.len()));
    }
}
