//! `tpstats`: stages of work.

use crate::nodetool::parse::Invocation;
use crate::nodetool::report::{Outcome, Report};
use crate::nodetool::spec::{Command, Run, value};
use crate::nodetool::table::Table;
use server::admin::answer::Pools;
use server::admin::client::Client;

#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    Command { name: "tpstats", about: "Print usage statistics of thread pools", options: &[value(&["--format", "-F"], "<format>", "Output format (json, yaml)").but("--json shows the node's answer as JSON")], arguments: "", at_least: 0, at_most: 0, run: Run::Do(stats) },
];

fn stats(_: &Invocation, client: &Client) -> Outcome {
    let pools: Pools = client.ask("GET", "/api/v1/pools", &[])?;
    let mut stages = Table::new(" ");
    stages.row([
        "Pool Name",
        "Active",
        "Pending",
        "Completed",
        "Blocked",
        "All time blocked",
    ]);
    for pool in &pools.pools {
        let numbers = [
            pool.active,
            pool.pending,
            pool.completed,
            pool.blocked,
            pool.blocked_all_time,
        ];
        let numbers = numbers.iter().map(u64::to_string);
        stages.row([pool.name.clone()].into_iter().chain(numbers));
    }
    let mut dropped = Table::new(" ");
    dropped.row(["Message type", "Dropped"]);
    for (name, count) in &pools.dropped {
        dropped.row([name.clone(), count.to_string()]);
    }
    Report::new(&pools, format!("{}\n{}", stages.text(), dropped.text()))
}
