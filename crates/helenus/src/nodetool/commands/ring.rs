//! `ring`, `getendpoints`: the tokens, and who has a key.

use crate::nodetool::parse::Invocation;
use crate::nodetool::report::{Failure, Outcome, Report};
use crate::nodetool::spec::{Command, Run, flag};
use crate::nodetool::units::size;
use serde_json::json;
use server::admin::answer::{Cluster, Life, MemberFact, RingFacts};
use server::admin::client::Client;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::SocketAddr;

#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    Command { name: "ring", about: "Print information about the token ring", options: &[flag(&["--resolve-ip", "-r"], "Show node domain names instead of IPs")], arguments: "[<keyspace>]", at_least: 0, at_most: 1, run: Run::Do(ring) },
    Command { name: "getendpoints", about: "Print the end points that owns the key", options: &[], arguments: "<keyspace> <table> <key>", at_least: 3, at_most: 3, run: Run::Do(endpoints) },
];

fn ring(invocation: &Invocation, client: &Client) -> Outcome {
    let cluster: Cluster = client.ask("GET", "/api/v1/cluster", &[])?;
    let keyspace = invocation.argument(0).map(|name| ("keyspace", name));
    let query: Vec<(&str, &str)> = keyspace.into_iter().collect();
    let ring: RingFacts = client
        .ask("GET", "/api/v1/ring", &query)
        .map_err(|error| Failure::unknown_keyspace(error, invocation.argument(0)))?;
    let text = text(&cluster.facts.members, &ring, invocation);
    Report::new(
        &json!({ "members": cluster.facts.members, "ring": ring }),
        text,
    )
}

fn text(members: &[MemberFact], ring: &RingFacts, invocation: &Invocation) -> String {
    let mut text = String::from("\n");
    let addresses = members
        .iter()
        .map(|member| member.internode_address.to_string());
    let width = addresses.map(|address| address.len()).max().unwrap_or(0);
    let datacenters: BTreeSet<&str> = members
        .iter()
        .map(|member| member.datacenter.as_str())
        .collect();
    for datacenter in datacenters {
        let _ = writeln!(text, "Datacenter: {datacenter}\n==========");
        let here = members
            .iter()
            .filter(|member| member.datacenter == datacenter);
        let mut tokens: Vec<(i64, &MemberFact)> = here
            .flat_map(|member| member.tokens.iter().map(move |token| (*token, member)))
            .collect();
        tokens.sort_unstable_by_key(|(token, _)| *token);
        let mut line = |cells: [&str; 7]| {
            let [address, rack, status, state, load, owns, token] = cells;
            let _ = writeln!(
                text,
                "{address:<width$}  {rack:<12}{status:<7}{state:<8}{load:<16}{owns:<20}{token:<44}"
            );
        };
        line([
            "Address", "Rack", "Status", "State", "Load", "Owns", "Token",
        ]);
        if let [_, .., (last, _)] = tokens.as_slice() {
            line(["", "", "", "", "", "", &last.to_string()]);
        }
        for (token, member) in tokens {
            let owns = ring
                .owns
                .get(&member.number)
                .filter(|_| ring.note.is_none());
            line([
                &invocation.shown(member.internode_address),
                &member.rack,
                if member.up { "Up" } else { "Down" },
                state(member),
                &member.load_bytes.map_or_else(|| "?".to_owned(), size),
                &owns.map_or_else(|| "?".to_owned(), |owns| format!("{:.2}%", owns * 100.0)),
                &token.to_string(),
            ]);
        }
        text.push('\n');
    }
    if members.iter().any(|member| member.tokens.len() > 1) {
        text.push_str("  Warning: \"nodetool ring\" is used to output all the tokens of a node.\n");
        text.push_str(
            "  To view status related info of a node use \"nodetool status\" instead.\n\n\n",
        );
    }
    match &ring.note {
        Some(note) => {
            let _ = writeln!(text, "  Note: {note}");
        }
        None => text.push_str("  \n"),
    }
    text
}

fn state(member: &MemberFact) -> &'static str {
    match member.life {
        Life::Joining => "Joining",
        Life::Normal => "Normal",
        Life::Leaving => "Leaving",
        Life::Moving => "Moving",
    }
}

fn endpoints(invocation: &Invocation, client: &Client) -> Outcome {
    let [keyspace, table, key] = invocation.arguments.as_slice() else {
        unreachable!("it takes three arguments");
    };
    let query = [
        ("keyspace", keyspace.as_str()),
        ("table", table),
        ("key", key),
    ];
    let endpoints: Vec<SocketAddr> = client.ask("GET", "/api/v1/endpoints", &query)?;
    let lines = endpoints
        .iter()
        .map(|address| invocation.shown(*address) + "\n");
    Report::new(&endpoints, lines.collect())
}
