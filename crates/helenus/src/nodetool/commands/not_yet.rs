//! Commands of Cassandra that the node cannot carry out yet, each with what is missing.

use crate::nodetool::spec::{ANY, Command, Run};

const RING_CHANGES: &str = "use removenode, which streams what the node had among the others";
const REPAIR: &str = "replicas are not compared yet";
const TRACKING: &str = "writes that replicas miss are not tracked yet";
const ENGINE: &str = "the storage engine cannot do that yet";

#[rustfmt::skip]
const fn not_yet(name: &'static str, about: &'static str, why: &'static str) -> Command {
    Command { name, about, options: &[], arguments: "[<args>]", at_least: 0, at_most: ANY, run: Run::NotYet(why) }
}

#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    not_yet("assassinate", "Forcefully remove a dead node without re-replicating any data", RING_CHANGES),
    not_yet("convergence", "Proves that all replicas are equal, or says what is owed by whom", TRACKING),
    not_yet("disablehandoff", "Disable storing hinted handoffs", TRACKING),
    not_yet("enablehandoff", "Reenable future hints storing on the current node", TRACKING),
    not_yet("garbagecollect", "Remove deleted data from one or more tables", ENGINE),
    not_yet("listpendinghints", "Print all pending hints that this node has", TRACKING),
    not_yet("pausehandoff", "Pause hints delivery process", TRACKING),
    not_yet("refresh", "Load newly placed SSTables to the system without restart", ENGINE),
    not_yet("repair", "Repair one or more tables", REPAIR),
    not_yet("repair_admin", "List and fail incremental repair sessions", REPAIR),
    not_yet("replayhintlog", "Replay what replicas miss now, and show progress", TRACKING),
    not_yet("resumehandoff", "Resume hints delivery process", TRACKING),
    not_yet("scrub", "Scrub (rebuild sstables for) one or more tables", ENGINE),
    not_yet("statshints", "Print how many writes each replica misses", TRACKING),
    not_yet("truncatehints", "Truncate all hints on the local node, or truncate hints for the endpoint(s) specified", TRACKING),
    not_yet("verify", "Verify (check data checksum for) one or more tables", ENGINE),
];
