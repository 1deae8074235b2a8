//! What a node is told to do with its data: `flush`, `compact`, `cleanup`, `drain`.

use crate::nodetool::parse::Invocation;
use crate::nodetool::report::{Failure, Outcome, Report};
use crate::nodetool::spec::{ANY, Command, Run, flag, refused, value};
use server::admin::answer::Done;
use server::admin::client::{AskError, Client};

const PACED: &str = "the node paces it by itself";
const DAMAGED: &str = "what is damaged is kept, and its range is read elsewhere";
const WHOLE: &str = "a compaction here is of whole tables";

#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    Command { name: "flush", about: "Flush one or more tables", options: &[], arguments: "[<keyspace> <tables>...]", at_least: 0, at_most: ANY, run: Run::Do(flush) },
    Command {
        name: "compact",
        about: "Force a (major) compaction on one or more tables or user-defined compaction on given SSTables",
        options: &[
            refused(&["--split-output", "-s"], "what comes out of a major compaction is one SSTable a shard"),
            refused(&["--user-defined"], WHOLE),
            value(&["--start-token", "-st"], "<start_token>", "Use -st to specify a token at which the compaction range starts").but(WHOLE),
            value(&["--end-token", "-et"], "<end_token>", "Use -et to specify a token at which compaction range ends").but(WHOLE),
            value(&["--partition"], "<partition_key>", "String representation of the partition key").but(WHOLE),
        ],
        arguments: "[<keyspace> <tables>...]", at_least: 0, at_most: ANY, run: Run::Do(compact),
    },
    Command { name: "cleanup", about: "Triggers the immediate cleanup of keys no longer belonging to a node", options: &[value(&["--jobs", "-j"], "<jobs>", "Number of sstables to cleanup simultaneously").but(PACED)], arguments: "[<keyspace> <tables>...]", at_least: 0, at_most: ANY, run: Run::Do(cleanup) },
    Command {
        name: "garbagecollect",
        about: "Remove deleted data from one or more tables",
        options: &[
            value(&["--granularity", "-g"], "<granularity>", "Granularity of garbage removal. ROW (default) removes deleted partitions and rows, CELL also removes overwritten or deleted cells: here both do"),
            value(&["--jobs", "-j"], "<jobs>", "Number of sstables to cleanup simultanously").but(PACED),
        ],
        arguments: "[<keyspace> <tables>...]", at_least: 0, at_most: ANY, run: Run::Do(garbage_collect),
    },
    Command {
        name: "scrub",
        about: "Scrub (rebuild sstables for) one or more tables",
        options: &[
            flag(&["--no-snapshot", "-ns"], "Scrubbed CFs will be snapshotted first, if disableSnapshot is false").but("what is damaged is kept, and needs no snapshot"),
            flag(&["--skip-corrupted", "-s"], "Skip corrupted partitions even when scrubbing counter tables").but(DAMAGED),
            flag(&["--no-validate", "-n"], "Do not validate columns using column validator").but("checksums are looked at whenever a block is read"),
            flag(&["--reinsert-overflowed-ttl", "-r"], "Rewrites rows with overflowed expiration date").but("times have 64 bits"),
            value(&["--jobs", "-j"], "<jobs>", "Number of sstables to scrub simultanously").but(PACED),
        ],
        arguments: "[<keyspace> <tables>...]", at_least: 0, at_most: ANY, run: Run::Do(scrub),
    },
    Command { name: "drain", about: "Drain the node (stop accepting writes and flush all tables)", options: &[], arguments: "", at_least: 0, at_most: 0, run: Run::Do(drain) },
];

fn flush(invocation: &Invocation, client: &Client) -> Outcome {
    act("/api/v1/flush", invocation, client, Failure::unknown_table)
}

fn compact(invocation: &Invocation, client: &Client) -> Outcome {
    act(
        "/api/v1/compact",
        invocation,
        client,
        Failure::unknown_table,
    )
}

fn cleanup(invocation: &Invocation, client: &Client) -> Outcome {
    act(
        "/api/v1/cleanup",
        invocation,
        client,
        Failure::unknown_table,
    )
}

/// Both granularities are the same here: what may be forgotten is.
fn garbage_collect(invocation: &Invocation, client: &Client) -> Outcome {
    match invocation.option("--granularity") {
        None | Some("ROW" | "CELL") => {}
        Some(_) => return Err(Failure::usage("--granularity takes ROW or CELL")),
    }
    act(
        "/api/v1/rewrite",
        invocation,
        client,
        Failure::unknown_table,
    )
}

fn scrub(invocation: &Invocation, client: &Client) -> Outcome {
    act("/api/v1/rewrite", invocation, client, Failure::from)
}

fn act(
    path: &str,
    invocation: &Invocation,
    client: &Client,
    refused: fn(AskError) -> Failure,
) -> Outcome {
    let tables = invocation.arguments.iter().skip(1).cloned();
    let tables = tables.collect::<Vec<_>>().join(",");
    let mut query = Vec::new();
    if let Some(keyspace) = invocation.argument(0) {
        query.push(("keyspace", keyspace));
    }
    if !tables.is_empty() {
        query.push(("table", tables.as_str()));
    }
    let done: Done = client.ask("POST", path, &query).map_err(refused)?;
    Report::done(&done)
}

fn drain(_: &Invocation, client: &Client) -> Outcome {
    let done: Done = client.ask("POST", "/api/v1/drain", &[])?;
    Report::done(&done)
}
