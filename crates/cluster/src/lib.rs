//! The protocols between replicas as state machines: events in, effects out, time as an argument.
//!
//! [`topology`] says which nodes there are, [`replication`] how many replicas a keyspace has, [`ring`] where they are, and
//! [`coordinate`] drives one request through them. A cluster of one node walks the same path as any other.
//!
//! What members agree on is [`metadata`], ordered by [`raft`]; who of them lives is found out by [`gossip`] and [`detector`]. [`track`]
//! knows which writes each replica holds, [`paxos`] decides what conditional statements do, and [`internode`] is the wire. [`stream`] brings
//! data to who has to have it because the ring changed, [`repair`] compares replicas and ends their differences.
//!
//! Of a node alone [`coordinate`], [`metadata`] and [`raft`] are at work; the others are tested by simulations beside them and wait for
//! the wire between nodes to be connected.

pub mod coordinate;
pub mod detector;
pub mod gossip;
pub mod internode;
pub mod metadata;
pub mod paxos;
pub mod raft;
pub mod repair;
pub mod replication;
pub mod ring;
#[cfg(test)]
mod seeded;
pub mod stream;
pub mod topology;
pub mod track;
