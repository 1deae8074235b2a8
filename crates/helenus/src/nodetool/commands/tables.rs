//! `tablestats`, and by its old name `cfstats`: figures of tables.

use crate::nodetool::parse::Invocation;
use crate::nodetool::report::{Failure, Outcome, Report};
use crate::nodetool::spec::{ANY, Command, Opt, Run, flag, refused, value};
use crate::nodetool::units::{bytes, java};
use server::admin::answer::TableReport;
use server::admin::client::Client;
use std::collections::BTreeMap;
use std::fmt::Write;

#[rustfmt::skip]
const OPTIONS: &[Opt] = &[
    flag(&["--human-readable", "-H"], "Display bytes in human readable form, i.e. KiB, MiB, GiB, TiB"),
    flag(&["-i"], "Ignore the list of tables and display the remaining tables"),
    value(&["--format", "-F"], "<format>", "Output format (json, yaml)").but("--json shows the node's answer as JSON"),
    value(&["--sort", "-s"], "<sort_key>", "Sort tables by specified sort key").but("tables stand by their names"),
    value(&["--top", "-t"], "<top>", "Show only the top K tables").but("tables stand by their names"),
    refused(&["--sstable-location-check", "-l"], "an SSTable belongs to tokens, and may lie in any directory"),
];

#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    Command { name: "tablestats", about: "Print statistics on tables", options: OPTIONS, arguments: "[<keyspace.table>...]", at_least: 0, at_most: ANY, run: Run::Do(stats) },
    Command { name: "cfstats", about: "Print statistics on tables", options: OPTIONS, arguments: "[<keyspace.table>...]", at_least: 0, at_most: ANY, run: Run::Do(stats) },
];

fn stats(invocation: &Invocation, client: &Client) -> Outcome {
    let mut reports: Vec<TableReport> = client.ask("GET", "/api/v1/tables", &[])?;
    let is_named = |report: &TableReport, name: &String| match name.split_once('.') {
        Some((keyspace, table)) => report.keyspace == keyspace && report.table == table,
        None => report.keyspace == *name,
    };
    let names = &invocation.arguments;
    for name in names {
        if reports.iter().any(|report| is_named(report, name)) {
            continue;
        }
        return Err(Failure::usage(&match name.split_once('.') {
            Some((keyspace, table)) => {
                format!("Unknown tables: [{table}] in keyspace: {keyspace}")
            }
            None => format!("Unknown keyspace: {name}"),
        }));
    }
    if !names.is_empty() {
        let without = invocation.has("-i");
        reports.retain(|report| names.iter().any(|name| is_named(report, name)) != without);
    }
    let (human, total) = (invocation.has("--human-readable"), reports.len());
    let mut text = format!("Total number of tables: {total}\n----------------\n");
    let mut keyspaces: BTreeMap<&str, Vec<&TableReport>> = BTreeMap::new();
    for report in &reports {
        keyspaces.entry(&report.keyspace).or_default().push(report);
    }
    for (keyspace, tables) in keyspaces {
        put_keyspace(&mut text, keyspace, &tables, human);
    }
    Report::new(&reports, text)
}

/// A mean time in milliseconds.
fn millis(count: u64, mean_micros: f64) -> String {
    match count {
        0 => "NaN ms".to_owned(),
        _ => format!("{:.3} ms", mean_micros / 1000.0),
    }
}

fn put_keyspace(text: &mut String, keyspace: &str, tables: &[&TableReport], human: bool) {
    let sum = |of: fn(&TableReport) -> u64| tables.iter().map(|table| of(table)).sum::<u64>();
    let (reads, writes) = (sum(|table| table.reads), sum(|table| table.writes));
    let mean = |count: u64, of: fn(&TableReport) -> f64| {
        let sum: f64 = tables.iter().map(|table| of(table)).sum();
        sum / count.max(1) as f64
    };
    let read = mean(reads, |table| table.read_latency.mean * table.reads as f64);
    let write = mean(writes, |table| {
        table.write_latency.mean * table.writes as f64
    });
    let _ = writeln!(text, "Keyspace: {keyspace}");
    let _ = writeln!(text, "\tRead Count: {reads}");
    let _ = writeln!(text, "\tRead Latency: {}", millis(reads, read));
    let _ = writeln!(text, "\tWrite Count: {writes}");
    let _ = writeln!(text, "\tWrite Latency: {}", millis(writes, write));
    let _ = writeln!(text, "\tPending Flushes: 0");
    for table in tables {
        put_table(text, table, human);
    }
    text.push_str("----------------\n");
}

fn put_table(text: &mut String, table: &TableReport, human: bool) {
    let figures = stored(table, human).into_iter().chain(asked(table, human));
    for (name, value) in figures {
        let _ = writeln!(text, "\t\t{name}: {value}");
    }
    text.push('\n');
}

type Figures = Vec<(&'static str, String)>;

/// What there is.
fn stored(table: &TableReport, human: bool) -> Figures {
    let bytes = |number: u64| bytes(number, human);
    let ratio = match table.raw_bytes {
        0 => 0.0,
        raw => table.disk_bytes as f64 / raw as f64,
    };
    vec![
        ("Table", table.table.clone()),
        ("SSTable count", table.sstables.to_string()),
        ("Old SSTable count", "0".to_owned()),
        ("Space used (live)", bytes(table.disk_bytes)),
        ("Space used (total)", bytes(table.disk_bytes)),
        (
            "Space used by snapshots (total)",
            bytes(table.snapshot_bytes),
        ),
        (
            "Off heap memory used (total)",
            bytes(table.memtable_bytes + table.index_bytes),
        ),
        ("SSTable Compression Ratio", format!("{ratio:.5}")),
        (
            "Number of partitions (estimate)",
            (table.partitions + table.memtable_partitions).to_string(),
        ),
        ("Memtable cell count", table.memtable_rows.to_string()),
        ("Memtable data size", bytes(table.memtable_bytes)),
        ("Memtable switch count", table.flushes.to_string()),
    ]
}

/// What was asked of it.
fn asked(table: &TableReport, human: bool) -> Figures {
    let mean = table.raw_bytes.checked_div(table.partitions).unwrap_or(0);
    let per_slice = |count: u64, mean: f64| match count {
        0 => "NaN".to_owned(),
        _ => java(mean),
    };
    let ended = table.tombstones as f64 / (table.tombstones + table.rows).max(1) as f64;
    let (rows, tombstones) = (&table.rows_per_read, &table.tombstones_per_read);
    vec![
        ("Local read count", table.reads.to_string()),
        (
            "Local read latency",
            millis(table.reads, table.read_latency.mean),
        ),
        ("Local write count", table.writes.to_string()),
        (
            "Local write latency",
            millis(table.writes, table.write_latency.mean),
        ),
        (
            "Local read/write ratio",
            format!("{:.5}", table.reads as f64 / table.writes.max(1) as f64),
        ),
        ("Pending compactions", table.pending_compactions.to_string()),
        (
            "Bloom filter and index memory used",
            bytes(table.index_bytes, human),
        ),
        ("Compacted partition mean bytes", mean.to_string()),
        (
            "Average live cells per slice (last five minutes)",
            per_slice(rows.count, rows.mean),
        ),
        (
            "Maximum live cells per slice (last five minutes)",
            format!("{:.0}", rows.max),
        ),
        (
            "Average tombstones per slice (last five minutes)",
            per_slice(tombstones.count, tombstones.mean),
        ),
        (
            "Maximum tombstones per slice (last five minutes)",
            format!("{:.0}", tombstones.max),
        ),
        ("Tombstone ratio", format!("{ended:.5}")),
    ]
}
