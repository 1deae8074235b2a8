//! Changes of the ring: `decommission`, `removenode`, `assassinate`, `move`, `rebuild`. They return when the change is over.

use crate::nodetool::parse::Invocation;
use crate::nodetool::report::{Failure, Outcome, Report};
use crate::nodetool::spec::{ANY, Command, Run, flag, value};
use server::admin::answer::{Cluster, Done, Life};
use server::admin::client::Client;
use std::net::IpAddr;
use uuid::Uuid;

const ALL_RANGES: &str = "a rebuild is of all ranges";

#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    Command { name: "decommission", about: "Decommission the *node I am connecting to*", options: &[flag(&["--force", "-f"], "Force decommission of this node even when it reduces the number of replicas to below configured RF")], arguments: "", at_least: 0, at_most: 0, run: Run::Do(decommission) },
    Command { name: "removenode", about: "Show status of current node removal, force completion of pending removal or remove provided ID", options: &[], arguments: "<status>|<force> [<ID>]|<ID>", at_least: 1, at_most: 2, run: Run::Do(remove) },
    Command { name: "assassinate", about: "Remove a dead node without waiting for other nodes that are away", options: &[], arguments: "<ip_address>", at_least: 1, at_most: 1, run: Run::Do(assassinate) },
    Command { name: "move", about: "Move node on the token ring to new tokens", options: &[], arguments: "<new token>...", at_least: 1, at_most: ANY, run: Run::Do(change_tokens) },
    Command {
        name: "rebuild",
        about: "Rebuild data by streaming from other nodes (similarly to bootstrap)",
        options: &[
            value(&["--keyspace", "-ks"], "<specific_keyspace>", "Use -ks to rebuild specific keyspace").but(ALL_RANGES),
            value(&["--tokens", "-ts"], "<specific_tokens>", "Use -ts to rebuild specific token ranges").but(ALL_RANGES),
            value(&["--sources", "-s"], "<specific_sources>", "Use -s to specify hosts that this node should stream from").but("give a data centre"),
            flag(&["--exclude-local-dc"], "Exclude nodes in local data center as source for streaming").but("give a data centre"),
        ],
        arguments: "[<src-dc-name>]", at_least: 0, at_most: 1, run: Run::Do(rebuild),
    },
];

fn decommission(invocation: &Invocation, client: &Client) -> Outcome {
    let force = invocation.has("--force").to_string();
    act(client, "/api/v1/decommission", &[("force", &force)])
}

fn remove(invocation: &Invocation, client: &Client) -> Outcome {
    match invocation.argument(0) {
        Some("status") => removal_status(invocation, client),
        Some("force") => {
            let host_id = invocation.argument(1).map(|id| ("host_id", id));
            let query: Vec<(&str, &str)> = host_id.into_iter().collect();
            match act(client, "/api/v1/force-change", &query) {
                // Cassandra's tool shows the status, and is content.
                Err(failure) if failure.text.contains("No token removals in process") => {
                    removal_status(invocation, client)
                }
                ended => ended,
            }
        }
        _ if invocation.argument(1).is_some() => Err(Failure::usage("removenode takes one ID")),
        host_id => {
            let host_id = host_id.unwrap_or_default();
            if Uuid::parse_str(host_id).is_err() {
                return Err(Failure::usage(&format!("Invalid UUID string: {host_id}")));
            }
            act(client, "/api/v1/remove-node", &[("host_id", host_id)])
        }
    }
}

fn removal_status(invocation: &Invocation, client: &Client) -> Outcome {
    let cluster: Cluster = client.ask("GET", "/api/v1/cluster", &[])?;
    let members = cluster.facts.members.iter();
    let leaving: Vec<String> = members
        .filter(|member| member.life == Life::Leaving && !member.up)
        .map(|member| invocation.shown(member.internode_address))
        .collect();
    let text = match leaving.as_slice() {
        [] => "RemovalStatus: No token removals in process.\n".to_owned(),
        some => format!("RemovalStatus: Removing {}\n", some.join(", ")),
    };
    Report::new(&leaving, text)
}

fn assassinate(invocation: &Invocation, client: &Client) -> Outcome {
    let address = invocation.argument(0).unwrap_or_default();
    if address.parse::<IpAddr>().is_err() {
        return Err(Failure {
            text: format!("error: {address} is not an IP address"),
            code: 2,
        });
    }
    act(client, "/api/v1/assassinate", &[("address", address)])
}

fn change_tokens(invocation: &Invocation, client: &Client) -> Outcome {
    let tokens = invocation.arguments.join(",");
    act(client, "/api/v1/move", &[("tokens", &tokens)])
}

fn rebuild(invocation: &Invocation, client: &Client) -> Outcome {
    let from = invocation.argument(0).map(|name| ("dc", name));
    let query: Vec<(&str, &str)> = from.into_iter().collect();
    act(client, "/api/v1/rebuild", &query)
}

fn act(client: &Client, path: &str, query: &[(&str, &str)]) -> Outcome {
    let done: Done = client.ask("POST", path, query)?;
    Report::done(&done)
}
