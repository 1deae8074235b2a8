//! `snapshot`, `listsnapshots`, `clearsnapshot`.

use crate::nodetool::parse::Invocation;
use crate::nodetool::report::{Failure, Outcome, Report};
use crate::nodetool::spec::{ANY, Command, Run, flag, value};
use crate::nodetool::table::Table;
use crate::nodetool::units::{moment, size};
use server::admin::answer::{Done, Snapshot};
use server::admin::client::Client;
use std::time::{SystemTime, UNIX_EPOCH};

#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    Command {
        name: "snapshot",
        about: "Take a snapshot of specified keyspaces or a snapshot of the specified table",
        options: &[
            value(&["--tag", "-t"], "<tag>", "The name of the snapshot"),
            value(&["--table", "--column-family", "-cf"], "<table>", "The table name (you must specify one and only one keyspace for using this option)"),
            value(&["--kt-list", "-kc", "-kt", "--kc.list"], "<ktlist>", "The list of Keyspace.table to take snapshot of"),
            value(&["--ttl"], "<ttl>", "Specify a TTL of created snapshot: a number with s, m, h or d"),
            flag(&["--skip-flush", "-sf"], "Do not flush memtables before snapshotting").but("what is in memory is part of a snapshot"),
        ],
        arguments: "[<keyspaces...>]", at_least: 0, at_most: ANY, run: Run::Do(take),
    },
    Command {
        name: "listsnapshots",
        about: "Lists all the snapshots along with the size on disk and true size",
        options: &[
            flag(&["--ephemeral", "-e"], "Include ephemeral snapshots").but("there are no ephemeral snapshots"),
            flag(&["--no-ttl", "-nt"], "Skip snapshots with TTL"),
        ],
        arguments: "", at_least: 0, at_most: 0, run: Run::Do(list),
    },
    Command {
        name: "clearsnapshot",
        about: "Remove the snapshot with the given name from the given keyspaces",
        options: &[
            value(&["--tag", "-t"], "<tag>", "Remove the snapshot with a given name"),
            flag(&["--all"], "Removes all snapshots"),
            value(&["--older-than"], "<older_than>", "Clear snapshots older than specified time period").but("name the snapshot with -t"),
            value(&["--older-than-timestamp"], "<timestamp>", "Clear snapshots older than specified timestamp").but("name the snapshot with -t"),
        ],
        arguments: "[<keyspaces>...]", at_least: 0, at_most: ANY, run: Run::Do(clear),
    },
];

const PATH: &str = "/api/v1/snapshots";

fn take(invocation: &Invocation, client: &Client) -> Outcome {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = millis.map_or(0, |since| since.as_millis()).to_string();
    let name = invocation.option("--tag").unwrap_or(&millis);
    let ttl = invocation.option("--ttl").map(seconds).transpose()?;
    if let Some(list) = invocation.option("--kt-list") {
        return take_listed(list, (name, ttl.as_deref()), invocation, client);
    }
    let keyspaces = invocation.arguments.join(",");
    let mut query = vec![("name", name)];
    if !keyspaces.is_empty() {
        query.push(("keyspaces", &keyspaces));
    }
    if let Some(table) = invocation.option("--table") {
        if invocation.arguments.len() != 1 {
            let text = "When specifying the table for a snapshot, you must specify one and only one keyspace";
            return Err(Failure::usage(text));
        }
        query.push(("table", table));
    }
    if let Some(ttl) = &ttl {
        query.push(("ttl_seconds", ttl));
    }
    let done: Done = client.ask("POST", PATH, &query)?;
    let of = match invocation.arguments.as_slice() {
        [] => "all keyspaces".to_owned(),
        some => some.join(", "),
    };
    Report::new(&done, taken(&of, name))
}

fn taken(of: &str, name: &str) -> String {
    format!(
        "Requested creating snapshot(s) for [{of}] with snapshot name [{name}] and options {{skipFlush=false}}\nSnapshot directory: {name}\n"
    )
}

/// Snapshots of tables that are named with their keyspaces.
fn take_listed(
    list: &str,
    (name, ttl): (&str, Option<&str>),
    invocation: &Invocation,
    client: &Client,
) -> Outcome {
    if !invocation.arguments.is_empty() || invocation.has("--table") {
        let text = "When specifying the Keyspace columfamily list for a snapshot, you should not specify columnfamily";
        return Err(Failure::usage(text));
    }
    let tables: Vec<(&str, &str)> = list
        .split(',')
        .map(|both| both.trim().split_once('.'))
        .collect::<Option<_>>()
        .ok_or_else(|| Failure::usage("--kt-list takes <keyspace>.<table>, with commas"))?;
    for (keyspace, table) in tables {
        let mut query = vec![("name", name), ("keyspaces", keyspace), ("table", table)];
        query.extend(ttl.map(|ttl| ("ttl_seconds", ttl)));
        let _: Done = client.ask("POST", PATH, &query)?;
    }
    Report::new(&Done::default(), taken(list, name))
}

/// Seconds of a duration such as `90s`, `5m`, `12h`, `7d`.
fn seconds(text: &str) -> Result<String, Failure> {
    let unit = text.chars().last().unwrap_or(' ');
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(Failure::usage("--ttl takes a number with s, m, h or d")),
    };
    let number = text[..text.len() - 1].parse::<u64>();
    let number = number.map_err(|_| Failure::usage("--ttl takes a number with s, m, h or d"))?;
    Ok(number.saturating_mul(factor).to_string())
}

fn list(invocation: &Invocation, client: &Client) -> Outcome {
    let mut snapshots: Vec<Snapshot> = client.ask("GET", PATH, &[])?;
    if invocation.has("--no-ttl") {
        snapshots.retain(|snapshot| snapshot.expires_millis.is_none());
    }
    if snapshots.is_empty() {
        let text = "Snapshot Details: \nThere are no snapshots\n";
        return Report::new(&snapshots, text.to_owned());
    }
    let mut table = Table::new(" ");
    table.row([
        "Snapshot name",
        "Keyspace name",
        "Column family name",
        "True size",
        "Size on disk",
        "Creation time",
        "Expiration time",
    ]);
    for snapshot in &snapshots {
        let expires = snapshot.expires_millis;
        table.row([
            snapshot.name.clone(),
            snapshot.keyspace.clone(),
            snapshot.table.clone(),
            size(snapshot.bytes),
            size(snapshot.bytes),
            moment(snapshot.created_millis),
            expires.map_or_else(String::new, moment),
        ]);
    }
    let total = size(snapshots.iter().map(|snapshot| snapshot.bytes).sum());
    let text = format!(
        "Snapshot Details: \n{}\nTotal TrueDiskSpaceUsed: {total}\n\n",
        table.text()
    );
    Report::new(&snapshots, text)
}

fn clear(invocation: &Invocation, client: &Client) -> Outcome {
    let tag = invocation.option("--tag");
    match (tag, invocation.has("--all")) {
        (Some(_), true) => {
            return Err(Failure::usage("Specify only one of snapshot name or --all"));
        }
        (None, false) => return Err(Failure::usage("Specify snapshot name or --all")),
        _ => {}
    }
    let keyspaces = invocation.arguments.join(",");
    let mut query = Vec::new();
    query.extend(tag.map(|name| ("name", name)));
    if !keyspaces.is_empty() {
        query.push(("keyspaces", keyspaces.as_str()));
    }
    let done: Done = client.ask("DELETE", PATH, &query)?;
    let of = match invocation.arguments.as_slice() {
        [] => "all keyspaces".to_owned(),
        some => some.join(", "),
    };
    let named = match tag {
        None => "[all snapshots]".to_owned(),
        Some(name) => format!("snapshot name [{name}]"),
    };
    let text = format!("Requested clearing snapshot(s) for [{of}] with {named}\n");
    Report::new(&done, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_durations_are_read_and_written() {
        assert_eq!(moment(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(moment(951_827_696_007), "2000-02-29T12:34:56.007Z");
        assert_eq!(moment(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(seconds("5m").ok().as_deref(), Some("300"));
        assert!(seconds("5").is_err() && seconds("").is_err() && seconds("é").is_err());
    }
}
