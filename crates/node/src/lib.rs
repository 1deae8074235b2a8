//! Joins cql, storage and cluster into one shard of a node, without I/O: events in, effects out.

pub mod auth;
pub mod system;
