//! `toppartitions`: partitions that take the most requests.

use crate::nodetool::parse::Invocation;
use crate::nodetool::report::{Failure, Outcome, Report};
use crate::nodetool::spec::{Command, Run, value};
use crate::nodetool::table::Table;
use crate::nodetool::units::shortest;
use server::admin::answer::HotPartition;
use server::admin::client::Client;
use std::fmt::Write;

#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    Command {
        name: "toppartitions",
        about: "Print the most active partitions of the last minutes",
        options: &[
            value(&["-k"], "<topCount>", "Number of the top samples to list (default 10)"),
            value(&["-a"], "<samplers>", "READS, WRITES, or both with a comma"),
            value(&["-s"], "<size>", "Capacity of the sampler").but("the node counts all the time, with a capacity of its own"),
        ],
        arguments: "[<keyspace> <table>]", at_least: 0, at_most: 3, run: Run::Do(top),
    },
];

const SAMPLERS: [(&str, &str); 2] = [("READS", "read"), ("WRITES", "write")];

fn top(invocation: &Invocation, client: &Client) -> Outcome {
    let most = invocation.option("-k").unwrap_or("10");
    let most: usize = most
        .parse()
        .map_err(|_| Failure::usage("-k takes a number"))?;
    let wanted = invocation
        .option("-a")
        .unwrap_or("READS,WRITES")
        .to_uppercase();
    let wanted: Vec<&str> = wanted.split(',').collect();
    if let Some(unknown) = wanted
        .iter()
        .find(|name| !SAMPLERS.iter().any(|(known, _)| known == *name))
    {
        let text = format!("{unknown} is not a sampler: only READS and WRITES are");
        return Err(Failure::usage(&text));
    }
    let (keyspace, table) = (invocation.argument(0), invocation.argument(1));
    let last = invocation.arguments.last();
    let is_number = |text: &String| text.bytes().all(|byte| byte.is_ascii_digit());
    if invocation.arguments.len() == 3 || last.is_some_and(is_number) {
        let text = "the node counts all the time: leave out the duration";
        return Err(Failure::usage(text));
    }
    let mut hot: Vec<HotPartition> = client.ask("GET", "/api/v1/hot-partitions", &[])?;
    hot.retain(|one| {
        keyspace.is_none_or(|name| one.keyspace == name)
            && table.is_none_or(|name| one.table == name)
    });
    let mut text = String::new();
    for (name, operation) in SAMPLERS.iter().filter(|(name, _)| wanted.contains(name)) {
        let _ = writeln!(text, "Frequency of {} by partition:", name.to_lowercase());
        let of_kind = hot.iter().filter(|one| one.operation == *operation);
        let listed: Vec<&HotPartition> = of_kind.take(most).collect();
        if listed.is_empty() {
            text.push_str("   Nothing recorded in the last minutes...\n\n");
            continue;
        }
        let _ = writeln!(text, "{}", rows(&listed));
    }
    Report::new(&hot, text)
}

fn rows(listed: &[&HotPartition]) -> String {
    let mut rows = Table::new(" ");
    rows.row(["   Table", "Partition", "Count", "+/-", "Share"]);
    for one in listed {
        rows.row([
            format!("   {}.{}", one.keyspace, one.table),
            one.partition_key.clone(),
            one.requests.to_string(),
            one.requests_too_high.to_string(),
            format!("{}%", shortest(one.share * 100.0, 1)),
        ]);
    }
    rows.text()
}
