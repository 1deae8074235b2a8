//! Nodes of nothing but a wire, in one thread, over loopback sockets.

mod encrypted;
mod exchange;
mod failures;
mod node;

pub(crate) use node::{Node, Options, Seen, run};
