//! `compactionstats`: what is due and under way.

use crate::nodetool::parse::Invocation;
use crate::nodetool::report::{Outcome, Report};
use crate::nodetool::spec::{Command, Run, flag};
use crate::nodetool::table::Table;
use crate::nodetool::units::bytes;
use server::admin::answer::Compactions;
use server::admin::client::Client;

#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    Command {
        name: "compactionstats",
        about: "Print statistics on compactions",
        options: &[
            flag(&["--human-readable", "-H"], "Display bytes in human readable form, i.e. KiB, MiB, GiB, TiB"),
            flag(&["--vtable", "-V"], "Display fields matching vtable output"),
        ],
        arguments: "", at_least: 0, at_most: 0, run: Run::Do(stats),
    },
];

fn stats(invocation: &Invocation, client: &Client) -> Outcome {
    let compactions: Compactions = client.ask("GET", "/api/v1/compactions", &[])?;
    let text = text(&compactions, invocation.has("--human-readable"));
    Report::new(&compactions, text)
}

fn text(compactions: &Compactions, human: bool) -> String {
    let tables = compactions.pending.values();
    let pending: u64 = tables.flat_map(|tables| tables.values()).sum();
    let running = compactions.tasks.iter();
    let running = running.filter(|task| task.kind == "compaction").count();
    let mut counts = Table::new(" ");
    counts.row(["compactions under way".to_owned(), running.to_string()]);
    counts.row(["pending tasks".to_owned(), pending.to_string()]);
    for (keyspace, tables) in &compactions.pending {
        for (table, count) in tables {
            counts.row([format!("- {keyspace}.{table}"), count.to_string()]);
        }
    }
    let completed = compactions.completed.to_string();
    counts.row(["compactions completed".to_owned(), completed]);
    let mut text = counts.text();
    if compactions.tasks.is_empty() {
        return text;
    }
    let mut table = Table::new(" ");
    table.row([
        "id",
        "compaction type",
        "keyspace",
        "table",
        "completed",
        "total",
        "unit",
        "progress",
    ]);
    for task in &compactions.tasks {
        let progress = match task.total {
            0 => "n/a".to_owned(),
            total => format!("{:.2}%", task.completed as f64 * 100.0 / total as f64),
        };
        table.row([
            task.id.to_string(),
            task.kind.clone(),
            task.keyspace.clone(),
            task.table.clone(),
            bytes(task.completed, human),
            bytes(task.total, human),
            task.unit.clone(),
            progress,
        ]);
    }
    text.push_str(&table.text());
    text
}
