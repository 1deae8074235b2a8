//! `statushandoff`, `disablehandoff` and what else operators say of hints: for whom what they lack is kept, and how fast it is sent.

use crate::nodetool::parse::Invocation;
use crate::nodetool::report::{Outcome, Report};
use crate::nodetool::spec::{ANY, Command, Run};
use server::admin::answer::{Done, Handoff};
use server::admin::client::Client;
use std::fmt::Write;

#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    Command { name: "statushandoff", about: "Status of storing future hints on the current node", options: &[], arguments: "", at_least: 0, at_most: 0, run: Run::Do(status) },
    Command { name: "enablehandoff", about: "Reenable future hints storing on the current node", options: &[], arguments: "", at_least: 0, at_most: 0, run: Run::Do(|_, client| change(client, "enabled", "true")) },
    Command { name: "disablehandoff", about: "Disable storing hinted handoffs: what replicas lack is owed, and comes by repair", options: &[], arguments: "", at_least: 0, at_most: 0, run: Run::Do(|_, client| change(client, "enabled", "false")) },
    Command { name: "pausehandoff", about: "Pause hints delivery process", options: &[], arguments: "", at_least: 0, at_most: 0, run: Run::Do(|_, client| change(client, "paused", "true")) },
    Command { name: "resumehandoff", about: "Resume hints delivery process", options: &[], arguments: "", at_least: 0, at_most: 0, run: Run::Do(|_, client| change(client, "paused", "false")) },
    Command { name: "sethintedhandoffthrottlekb", about: "Set hinted handoff throttle in KiB per second, per shard; 0 for no limit", options: &[], arguments: "<value_in_kb_per_sec>", at_least: 1, at_most: 1, run: Run::Do(|invocation, client| change(client, "throttle_kib", argument(invocation))) },
    Command { name: "getmaxhintwindow", about: "Print the max hint window in ms", options: &[], arguments: "", at_least: 0, at_most: 0, run: Run::Do(window) },
    Command { name: "setmaxhintwindow", about: "Set the specified max hint window in ms", options: &[], arguments: "<value_in_ms>", at_least: 1, at_most: 1, run: Run::Do(|invocation, client| change(client, "window_ms", argument(invocation))) },
    Command { name: "disablehintsfordc", about: "Disable hints for a data center", options: &[], arguments: "<datacenter>", at_least: 1, at_most: 1, run: Run::Do(|invocation, client| change(client, "disable_dc", argument(invocation))) },
    Command { name: "enablehintsfordc", about: "Enable hints for a data center that was previously disabled", options: &[], arguments: "<datacenter>", at_least: 1, at_most: 1, run: Run::Do(|invocation, client| change(client, "enable_dc", argument(invocation))) },
    Command { name: "truncatehints", about: "Truncate all hints on the local node, or truncate hints for the endpoint(s) specified: what they lack is owed, and comes by repair", options: &[], arguments: "[<endpoint>...]", at_least: 0, at_most: ANY, run: Run::Do(truncate) },
];

const HANDOFF: &str = "/api/v1/handoff";

fn argument(invocation: &Invocation) -> &str {
    invocation.argument(0).unwrap_or_default()
}

fn status(_: &Invocation, client: &Client) -> Outcome {
    let handoff: Handoff = client.ask("GET", HANDOFF, &[])?;
    let state = if handoff.enabled {
        "running"
    } else {
        "not running"
    };
    let mut text = format!("Hinted handoff is {state}\n");
    for name in &handoff.disabled_datacenters {
        let _ = writeln!(text, "Data center {name} is disabled");
    }
    Report::new(&handoff, text)
}

fn window(_: &Invocation, client: &Client) -> Outcome {
    let handoff: Handoff = client.ask("GET", HANDOFF, &[])?;
    let text = format!("Current max hint window: {} ms\n", handoff.window_ms);
    Report::new(&handoff, text)
}

fn change(client: &Client, name: &str, value: &str) -> Outcome {
    let handoff: Handoff = client.ask("PUT", HANDOFF, &[(name, value)])?;
    Report::new(&handoff, String::new())
}

fn truncate(invocation: &Invocation, client: &Client) -> Outcome {
    let hosts = invocation.arguments.join(",");
    let mut query = Vec::new();
    if !hosts.is_empty() {
        query.push(("hosts", hosts.as_str()));
    }
    let done: Done = client.ask("POST", "/api/v1/handoff/truncate", &query)?;
    Report::done(&done)
}
