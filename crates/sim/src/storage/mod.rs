//! The storage engine under a random workload, crashed before, during and after every write.
//!
//! A run is a function of its seed: a machine ([`node`]) with one to three shards gets writes, reads, flushes,
//! compactions, truncations, full disks, failing syncs, crashes and restarts with another number of shards, and every
//! answer is compared with a [`model`] that knows nothing of the engine. Every mutation carries a witness row in a
//! table nothing deletes from, so that after a crash the mutations that are there can be told: all that were
//! acknowledged, none that was never made, each whole or not at all. Some have ids, which are held exactly if their mutation is there.

mod answer;
mod check;
mod ids;
pub mod model;
pub mod node;
mod reads;
mod rot;
mod run;
pub mod tables;
mod writes;

pub use rot::{Found, rot, sample_files};
pub(crate) use run::run_planted;
pub use run::{Failure, Summary, run};

#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod tests;
