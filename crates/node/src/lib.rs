//! Joins cql, storage and cluster into one shard of a node, without I/O: events in, effects out.

pub mod admission;
pub mod auth;
pub mod budget;
pub mod client;
mod compaction_history;
pub mod config;
pub mod effects;
pub mod execute;
pub mod latency;
pub mod machine;
pub mod members;
pub mod membership;
pub mod message;
pub mod metadata_log;
pub mod metrics;
pub mod peers;
pub mod random;
pub mod replica;
pub mod reply;
pub mod shard;
pub mod slab;
pub mod snapshots;
pub mod startup;
pub mod statement;
pub mod stream;
pub mod system;
pub mod trace;
