//! A whole node under a random workload of CQL, ended in every way and started again with other numbers of shards.
//!
//! The [`machine`] runs the shards that ship, from their first event on, on a simulated disk, with messages between
//! shards that take their time; clients log in and speak frames of the native protocol. A [`run`] is a function of its
//! seed: power failures, kills and drains, a disk that gets full and has room again, a wall clock that is set back, a
//! metadata log that is replaced again and again. It checks what a client was promised: acknowledged writes, schema
//! changes, roles, truncations and counts are there after any end; a logged batch is there whole or not at all;
//! conditional writes succeed once for each state they ask for; of two client timestamps the larger wins; and a node
//! that is told to end answers what is in flight, none of it with a failure.

mod check;
pub mod fixture;
pub mod machine;
mod promises;
mod request;
mod run;

pub(crate) use run::run_planted;
pub use run::{Summary, run};

#[cfg(test)]
mod compaction_history;
#[cfg(test)]
mod latencies;
#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod tests;
