//! `convergence`, `statshints`, `listpendinghints`, `replayhintlog`: what replicas lack, and whether they are proved equal.

use crate::nodetool::parse::Invocation;
use crate::nodetool::report::{Failure, Outcome, Report};
use crate::nodetool::spec::{Command, Run, flag, value};
use crate::nodetool::table::Table;
use server::admin::answer::{Cluster, Convergence, Debt, MemberFact, RangeFact};
use server::admin::client::Client;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// How often `replayhintlog` looks how much is left.
const LOOK: Duration = Duration::from_secs(1);
/// Without progress for so long it gives up.
const PATIENCE: Duration = Duration::from_mins(1);

#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    Command { name: "convergence", about: "Proves that all replicas hold everything acknowledged before this command; else exit code 1 and what is owed by whom", options: &[value(&["--timeout", "-t"], "<seconds>", "How long to wait for the proof (default 10)")], arguments: "[<keyspace>]", at_least: 0, at_most: 1, run: Run::Do(convergence) },
    Command { name: "statshints", about: "Print how many writes each replica lacks, as far as this node knows", options: &[], arguments: "", at_least: 0, at_most: 0, run: Run::Do(stats) },
    Command { name: "listpendinghints", about: "Print all pending hints that this node has", options: &[flag(&["--resolve-ip", "-r"], "Show node domain names instead of IPs").but("nodes are shown by their addresses")], arguments: "", at_least: 0, at_most: 0, run: Run::Do(pending) },
    Command { name: "replayhintlog", about: "Wait until replicas that answer have what they lack, and show progress", options: &[], arguments: "", at_least: 0, at_most: 0, run: Run::Do(replay) },
];

fn convergence(invocation: &Invocation, client: &Client) -> Outcome {
    let cluster: Cluster = client.ask("GET", "/api/v1/cluster", &[])?;
    let mut query = Vec::new();
    query.extend(invocation.argument(0).map(|name| ("keyspace", name)));
    let timeout = invocation.option("--timeout");
    query.extend(timeout.map(|seconds| ("timeout_seconds", seconds)));
    let answer: Convergence = client.ask("GET", "/api/v1/convergence", &query)?;
    let members = &cluster.facts.members;
    let mut table = Table::new("  ");
    table.row(["Replicas", "Ranges", "Equal up to", "Keyspaces"]);
    for range in &answer.ranges {
        let equal = match range.proved_age_ms {
            Some(age) => format!("{:.1} s ago", age as f64 / 1_000.0),
            None => "not proved".to_owned(),
        };
        table.row([
            replicas(range, members, invocation),
            range.ranges.to_string(),
            equal,
            range.keyspaces.join(", "),
        ]);
    }
    let mut text = table.text();
    text.push('\n');
    for range in &answer.ranges {
        for of in range.of.iter().filter(|of| of.lacks > 0) {
            let name = address(of.node, members, invocation);
            let all = replicas(range, members, invocation);
            let _ = write!(text, "{name} lacks {} mutations of {all}", of.lacks);
            if of.owed > 0 {
                let _ = write!(text, ", {} of which come by repair", of.owed);
            }
            text.push('\n');
        }
    }
    let verdict = if answer.is_equal {
        "All replicas are equal up to the start of this command.\n"
    } else {
        "Not all replicas are proved equal.\n"
    };
    text.push_str(verdict);
    Report::yes_or_no(answer.is_equal, &answer, text)
}

fn replicas(range: &RangeFact, members: &[MemberFact], invocation: &Invocation) -> String {
    let replicas = range.replicas.iter();
    let names = replicas.map(|node| address(*node, members, invocation));
    names.collect::<Vec<_>>().join(" ")
}

fn address(number: u32, members: &[MemberFact], invocation: &Invocation) -> String {
    let known = members.iter().find(|member| member.number == number);
    known.map_or_else(
        || format!("removed {number}"),
        |member| invocation.shown(member.internode_address),
    )
}

fn debts(client: &Client) -> Result<Vec<Debt>, Failure> {
    Ok(client.ask("GET", "/api/v1/debts", &[])?)
}

fn stats(invocation: &Invocation, client: &Client) -> Outcome {
    let debts = debts(client)?;
    let mut text = String::new();
    for debt in &debts {
        let name = invocation.shown(debt.internode_address);
        let _ = write!(text, "{name}: {} hints", debt.lacks);
        if debt.owed > 0 {
            let _ = write!(text, " ({} owed, which come by repair)", debt.owed);
        }
        text.push('\n');
    }
    Report::new(&debts, text)
}

fn pending(invocation: &Invocation, client: &Client) -> Outcome {
    let debts = debts(client)?.into_iter();
    let others: Vec<Debt> = debts
        .filter(|debt| !debt.is_local && debt.lacks > 0)
        .collect();
    if others.is_empty() {
        let text = "This node does not have any pending hints\n".to_owned();
        return Report::new(&others, text);
    }
    let mut table = Table::new(" ");
    table.row(["Host ID", "Address", "Rack", "DC", "Status", "Total hints"]);
    for debt in &others {
        let status = if debt.up { "UP" } else { "DOWN" };
        table.row([
            debt.host_id.to_string(),
            invocation.shown(debt.internode_address),
            debt.rack.clone(),
            debt.datacenter.clone(),
            status.to_owned(),
            debt.lacks.to_string(),
        ]);
    }
    Report::new(&others, table.text())
}

/// What members that answer lack still.
fn left(debts: &[Debt]) -> u64 {
    let up = debts.iter().filter(|debt| debt.up);
    up.map(|debt| debt.lacks).sum()
}

fn replay(_: &Invocation, client: &Client) -> Outcome {
    let mut all = debts(client)?;
    let (mut least, mut since) = (left(&all), Instant::now());
    let first = least;
    while least > 0 && since.elapsed() < PATIENCE {
        eprintln!("{least} of {first} mutations to be delivered");
        std::thread::sleep(LOOK);
        all = debts(client)?;
        if left(&all) < least {
            (least, since) = (left(&all), Instant::now());
        }
    }
    let text = match least {
        0 => "Replicas that answer lack nothing\n".to_owned(),
        left => format!("{left} mutations are not delivered, and nothing moves\n"),
    };
    Report::yes_or_no(least == 0, &all, text)
}
