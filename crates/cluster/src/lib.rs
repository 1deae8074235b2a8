//! The protocols between replicas as state machines: events in, effects out, time as an argument.
//!
//! [`topology`] says which nodes there are, [`replication`] how many replicas a keyspace has, [`placement`] where they are,
//! and [`coordinate`] drives one request through them. A cluster of one node walks the same path as any other.

pub mod coordinate;
pub mod metadata;
pub mod paxos;
pub mod placement;
pub mod raft;
pub mod replication;
pub mod ring;
pub mod topology;
pub mod track;
