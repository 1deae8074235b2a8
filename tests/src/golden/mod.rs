//! Golden CQL scripts: statements with the answer Apache Cassandra gave, in files that read like a session.
//!
//! - [`script`] reads and writes the files; the format is described there.
//! - [`session`] runs one file in keyspaces of its own and puts answers into words.
//! - [`compare`] tells what differs, and knows the differences that are meant.
//! - [`shape`] counts how many statements differ by more than their constants, and [`extent`] says how many must.
//!
//! A file depends on no other file, on no earlier run and not on the time of day, so that any of them can be recorded or
//! compared alone.

pub mod compare;
pub mod extent;
pub mod script;
pub mod session;
pub mod shape;
