//! Black-box checks: everything here sees a server only through its socket, its process and its files.
//!
//! - [`wire`] is a small blocking CQL client for protocol versions 3 to 5, written from the protocol specification and
//!   sharing no code with `crates/cql`: two readings of the specification must agree.
//! - [`golden`] runs the scripts in `tests/cql/` against a server, records what it answers or compares it with what
//!   Apache Cassandra was recorded to answer.
//!
//! - [`handshake`] opens connections in every version, and with bytes that are no protocol.
//! - [`preparing`] prepares statements on connections that use keyspaces.
//! - [`orders`] and [`crash`] kill the server under load and look for every acknowledged order.
//! - [`memory`] floods a server with reads nobody takes the answers of.
//! - [`refusals`] asks for what a client is refused, and goes on using its connection.
//! - [`nodetool`] gives every command of the tool and compares what it prints.
//! - [`disk`] fills its disk up and damages its files.
//! - [`cluster`] and [`datacenters`] run several processes as one cluster, and take some of them away.
//! - [`chaos`] has real nodes in network namespaces killed, paused, cut off and replaced under a driver's load.
//! - [`process`] starts and stops the Helenus under test.
//!
//! `cargo xtask` is the command line in front of it.

// Text tools: a few strings more or less cost nothing.
#![allow(clippy::format_push_string)]

pub mod chaos;
pub mod checks;
pub mod cluster;
pub mod crash;
pub mod datacenters;
pub mod disk;
pub mod golden;
pub mod handshake;
pub mod memory;
pub mod nodetool;
pub mod orders;
pub mod preparing;
pub mod process;
pub mod refusals;
pub mod wire;
