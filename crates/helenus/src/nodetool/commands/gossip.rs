//! `gossipinfo`, `statusgossip`: what nodes say of themselves.

use crate::nodetool::parse::Invocation;
use crate::nodetool::report::{Outcome, Report};
use crate::nodetool::spec::{Command, Run, flag};
use serde_json::json;
use server::admin::answer::{Cluster, Info};
use server::admin::client::Client;
use std::fmt::Write;

#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    Command { name: "gossipinfo", about: "Shows the gossip information for the cluster", options: &[flag(&["--resolve-ip", "-r"], "Show node domain names instead of IPs")], arguments: "", at_least: 0, at_most: 0, run: Run::Do(gossip_info) },
    Command { name: "statusgossip", about: "Status of gossip", options: &[], arguments: "", at_least: 0, at_most: 0, run: Run::Do(status_gossip) },
];

fn gossip_info(invocation: &Invocation, client: &Client) -> Outcome {
    let cluster: Cluster = client.ask("GET", "/api/v1/cluster", &[])?;
    let mut text = String::new();
    for member in &cluster.facts.members {
        let _ = writeln!(text, "/{}", invocation.shown(member.internode_address));
        let _ = writeln!(text, "  generation:{}", member.generation);
        let _ = writeln!(text, "  heartbeat:{}", member.heartbeat);
        for fact in &member.gossip {
            let _ = writeln!(text, "  {}:{}:{}", fact.name, fact.version, fact.value);
        }
    }
    text.push('\n');
    Report::new(&cluster.facts.members, text)
}

fn status_gossip(_: &Invocation, client: &Client) -> Outcome {
    let info: Info = client.ask("GET", "/api/v1/info", &[])?;
    let running = info.gossip_running;
    let text = if running {
        "running\n"
    } else {
        "not running\n"
    };
    Report::new(&json!({ "running": running }), text.to_owned())
}
