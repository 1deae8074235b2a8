//! `detector`, `failuredetector`: who answers whom, and what that adds up to.

use crate::nodetool::parse::Invocation;
use crate::nodetool::report::{Outcome, Report};
use crate::nodetool::spec::{Command, Run};
use crate::nodetool::table::Table;
use crate::nodetool::units::shortest;
use serde_json::json;
use server::admin::answer::{Cluster, MemberFact};
use server::admin::client::Client;
use std::fmt::Write;

#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    Command { name: "detector", about: "Shows who answers whom, and what is wrong between nodes; exit code 1 if anything is", options: &[], arguments: "", at_least: 0, at_most: 0, run: Run::Do(detector) },
    Command { name: "failuredetector", about: "Shows the failure detector information for the cluster", options: &[], arguments: "", at_least: 0, at_most: 0, run: Run::Do(phi) },
];

fn detector(invocation: &Invocation, client: &Client) -> Outcome {
    let cluster: Cluster = client.ask("GET", "/api/v1/cluster", &[])?;
    let facts = &cluster.facts;
    let mut peers = Table::new("  ");
    peers.row([
        "Node",
        "Address",
        "State",
        "Since",
        "Round trip",
        "Phi",
        "Why",
    ]);
    for member in &facts.members {
        peers.row(peer(member, invocation));
    }
    let mut matrix = Table::new("  ");
    let numbers = facts.members.iter().map(|member| member.number.to_string());
    matrix.row(["From\\To".to_owned()].into_iter().chain(numbers));
    for from in &facts.members {
        let cells = facts.members.iter().map(|to| reach(from, to).to_owned());
        matrix.row([from.number.to_string()].into_iter().chain(cells));
    }
    let mut text = format!(
        "As node {} sees it:\n\n{}\nReachability (ok, no: by the word of the node in the row; ?: not heard of):\n\n{}\n",
        facts.local,
        peers.text(),
        matrix.text()
    );
    if facts.verdicts.is_empty() {
        text.push_str("All nodes reach each other, as far as is known here.\n");
    }
    for verdict in &facts.verdicts {
        text.push_str(verdict);
        text.push('\n');
    }
    let sound = facts.verdicts.is_empty() && facts.members.iter().all(|member| member.up);
    let shown =
        json!({ "local": facts.local, "members": facts.members, "verdicts": facts.verdicts });
    Report::yes_or_no(sound, &shown, text)
}

fn peer(member: &MemberFact, invocation: &Invocation) -> [String; 7] {
    let address = invocation.shown(member.internode_address);
    let number = member.number.to_string();
    let Some(detector) = &member.detector else {
        let here = "this node".to_owned();
        let nothing = || "-".to_owned();
        return [
            number,
            address,
            nothing(),
            nothing(),
            nothing(),
            nothing(),
            here,
        ];
    };
    let round_trip = detector.median_round_trip_us;
    [
        number,
        address,
        detector.state.clone(),
        format!("{} s", detector.since_ms / 1000),
        round_trip.map_or_else(
            || "-".to_owned(),
            |micros| format!("{} ms", shortest(micros as f64 / 1000.0, 2)),
        ),
        shortest(detector.phi, 2),
        detector.why.clone(),
    ]
}

fn reach(from: &MemberFact, to: &MemberFact) -> &'static str {
    if from.number == to.number {
        "-"
    } else if !from.up {
        "?"
    } else if from.unreachable.contains(&to.number) {
        "no"
    } else {
        "ok"
    }
}

fn phi(invocation: &Invocation, client: &Client) -> Outcome {
    let cluster: Cluster = client.ask("GET", "/api/v1/cluster", &[])?;
    let mut text = format!("{:>10},{:>16}\n", "Endpoint", "Phi");
    for member in &cluster.facts.members {
        if let Some(detector) = &member.detector {
            let address = invocation.shown(member.internode_address);
            let _ = writeln!(text, "{address:>10},{:>16.8}", detector.phi);
        }
    }
    Report::new(&cluster.facts.members, text)
}
