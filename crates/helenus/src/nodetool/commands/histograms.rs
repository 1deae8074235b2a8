//! `proxyhistograms`, `tablehistograms`: how long requests took.

use crate::nodetool::parse::Invocation;
use crate::nodetool::report::{Failure, Outcome, Report};
use crate::nodetool::spec::{Command, Run};
use server::admin::answer::{Percentiles, Proxy, TableReport};
use server::admin::client::Client;
use std::fmt::Write;

#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    Command { name: "proxyhistograms", about: "Print statistic histograms for network operations", options: &[], arguments: "", at_least: 0, at_most: 0, run: Run::Do(proxy) },
    Command { name: "tablehistograms", about: "Print statistic histograms for a given table", options: &[], arguments: "[<keyspace> <table> | <keyspace.table>]", at_least: 0, at_most: 2, run: Run::Do(tables) },
    Command { name: "cfhistograms", about: "Print statistic histograms for a given column family", options: &[], arguments: "[<keyspace> <table> | <keyspace.table>]", at_least: 0, at_most: 2, run: Run::Do(tables) },
];

type Read = fn(&Percentiles) -> f64;

const LINES: [(&str, Read); 7] = [
    ("50%", |of| of.p50),
    ("75%", |of| of.p75),
    ("95%", |of| of.p95),
    ("98%", |of| of.p98),
    ("99%", |of| of.p99),
    ("Min", |of| of.min),
    ("Max", |of| of.max),
];

fn proxy(_: &Invocation, client: &Client) -> Outcome {
    let proxy: Proxy = client.ask("GET", "/api/v1/latencies", &[])?;
    let mut text = String::from("proxy histograms\n");
    let _ = writeln!(
        text,
        "{:<10}{:>19}{:>19}{:>19}",
        "Percentile", "Read Latency", "Write Latency", "Range Latency"
    );
    let unit = "(micros)";
    let _ = writeln!(text, "{:<10}{unit:>19}{unit:>19}{unit:>19}", "");
    for (name, of) in LINES {
        let columns = [&proxy.read, &proxy.write, &proxy.range].map(of);
        let [read, write, range] = columns;
        let _ = writeln!(text, "{name:<10}{read:>19.2}{write:>19.2}{range:>19.2}");
    }
    text.push('\n');
    Report::new(&proxy, text)
}

fn tables(invocation: &Invocation, client: &Client) -> Outcome {
    let (keyspace, table) = match invocation.arguments.as_slice() {
        [] => (None, None),
        [both] => match both.split_once('.') {
            Some((keyspace, table)) => (Some(keyspace), Some(table)),
            None => {
                let text = "tablehistograms requires keyspace and table name arguments";
                return Err(Failure::usage(text));
            }
        },
        [keyspace, table, ..] => (Some(keyspace.as_str()), Some(table.as_str())),
    };
    let mut query = Vec::new();
    query.extend(keyspace.map(|name| ("keyspace", name)));
    query.extend(table.map(|name| ("table", name)));
    let reports: Vec<TableReport> = client.ask("GET", "/api/v1/tables", &query)?;
    Report::new(&reports, reports.iter().map(text).collect())
}

fn text(report: &TableReport) -> String {
    let mut text = format!("{}/{} histograms\n", report.keyspace, report.table);
    let _ = writeln!(
        text,
        "{:<10}{:>18}{:>18}{:>18}{:>18}",
        "Percentile", "Read Latency", "Write Latency", "Rows", "Tombstones"
    );
    let _ = writeln!(
        text,
        "{:<10}{:>18}{:>18}{:>18}{:>18}",
        "", "(micros)", "(micros)", "(per read)", "(per read)"
    );
    for (name, of) in LINES {
        let _ = writeln!(
            text,
            "{name:<10}{:>18.2}{:>18.2}{:>18.0}{:>18.0}",
            of(&report.read_latency),
            of(&report.write_latency),
            of(&report.rows_per_read),
            of(&report.tombstones_per_read)
        );
    }
    text.push('\n');
    text
}
