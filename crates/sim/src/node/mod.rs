//! A whole node under a random workload of CQL, crashed and started again with other numbers of shards.
//!
//! The [`machine`] runs the shards that ship, from their first event on, on a simulated disk, with messages between
//! shards that take their time; clients speak frames of the native protocol. A [`run`] is a function of its seed. It
//! checks what a client was promised: acknowledged writes, schema changes and counts are there after any crash; a
//! logged batch is there whole or not at all; conditional writes succeed once for each state they ask for.

pub mod machine;
mod run;

pub use run::{Summary, run};

#[cfg(test)]
mod tests;
