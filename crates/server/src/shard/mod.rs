//! One thread, one shard: the run loop around the state machine that serves data.
//!
//! The state machine ([`node::machine::Machine`]) does no I/O; the loop feeds it what arrived and carries out what it asks for. A turn is
//! one wake-up: every connection that is readable is read and decoded, every message and disk completion handed over,
//! then the turn is ended and all that it produced goes out: one write a connection, one batch a shard, one submission
//! to the disk. What a turn costs is the wake-up, so everything that is ready shares one.
//!
//! What must stay true:
//! - The loop never blocks: sockets are non-blocking, files belong to the disk's threads, queues are pushed, not waited for.
//! - Nothing a turn acknowledged is written to a socket before the disk said so: the state machine answers only then.

mod mailbox;
mod peers;
mod run_loop;
mod serving;

pub use mailbox::{Command, Mailbox, NewConnection};
pub use run_loop::{Core, Environment, run};
