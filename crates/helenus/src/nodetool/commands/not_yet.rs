//! Commands of Cassandra that the node cannot carry out yet, each with what is missing.

use crate::nodetool::spec::{ANY, Command, Run};

const ENGINE: &str = "the storage engine cannot do that yet";

#[rustfmt::skip]
const fn not_yet(name: &'static str, about: &'static str, why: &'static str) -> Command {
    Command { name, about, options: &[], arguments: "[<args>]", at_least: 0, at_most: ANY, run: Run::NotYet(why) }
}

#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    not_yet("refresh", "Load newly placed SSTables to the system without restart", ENGINE),
    not_yet("verify", "Verify (check data checksum for) one or more tables", ENGINE),
];
