//! `verify`: SSTables are read again and held against their checksums.

use crate::nodetool::parse::Invocation;
use crate::nodetool::report::{Outcome, Report};
use crate::nodetool::spec::{ANY, Command, Run, flag};
use server::admin::answer::Verified;
use server::admin::client::Client;
use std::fmt::Write;

/// Exit code where something is damaged.
const DAMAGED: u8 = 2;

#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    Command {
        name: "verify",
        about: "Verify (check data checksum for) one or more tables",
        options: &[
            flag(&["--extended-verify", "-e"], "Verify each cell data, beyond simply checking sstable checksums: always done, unless --quick"),
            flag(&["--quick", "-q"], "Do a quick check - avoid reading all data to verify checksums"),
            flag(&["--check-tokens", "-t"], "Verify that all tokens in sstables are owned by this node"),
            flag(&["--force", "-f"], "Not needed here: nothing is changed by it"),
            flag(&["--check-version", "-c"], "Also check that all sstables are the latest version").but("there is one version"),
            flag(&["--dfp", "-d"], "Invoke the disk failure policy if a corrupt sstable is found").but("what is damaged is kept, and reads that need it fail"),
            flag(&["--rsc", "-r"], "Mutate the repair status on corrupt sstables").but("SSTables have no repair status"),
        ],
        arguments: "[<keyspace> <tables>...]", at_least: 0, at_most: ANY, run: Run::Do(verify),
    },
];

fn verify(invocation: &Invocation, client: &Client) -> Outcome {
    let tables = invocation.arguments.iter().skip(1).cloned();
    let tables = tables.collect::<Vec<_>>().join(",");
    let mut query = Vec::new();
    query.extend(invocation.argument(0).map(|name| ("keyspace", name)));
    if !tables.is_empty() {
        query.push(("table", tables.as_str()));
    }
    let flags = [("--quick", "quick"), ("--check-tokens", "tokens")];
    let given = flags.iter().filter(|(option, _)| invocation.has(option));
    query.extend(given.map(|(_, name)| (*name, "true")));
    let tables: Vec<Verified> = client.ask("POST", "/api/v1/verify", &query)?;
    let mut report = Report::new(&tables, told(&tables))?;
    if tables.iter().any(|table| table.wrong > 0) {
        report.code = DAMAGED;
    }
    Ok(report)
}

/// Nothing of tables that are whole.
fn told(tables: &[Verified]) -> String {
    let mut text = String::new();
    for table in tables.iter().filter(|table| table.wrong > 0) {
        let Verified {
            keyspace,
            table,
            wrong,
            files,
            found,
            ..
        } = table;
        let _ = writeln!(
            text,
            "{keyspace}.{table}: {wrong} wrong in {files} SSTables"
        );
        for finding in found {
            let _ = writeln!(text, "    {finding}");
        }
        let left_out = *wrong - found.len() as u64;
        if left_out > 0 {
            let _ = writeln!(text, "    and {left_out} more");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wrong_is_told() {
        let whole = Verified {
            files: 3,
            ..Verified::default()
        };
        assert_eq!(told(std::slice::from_ref(&whole)), "");
        let bad = Verified {
            keyspace: "ks".to_owned(),
            table: "t".to_owned(),
            files: 2,
            wrong: 3,
            found: vec!["a".to_owned(), "b".to_owned()],
            ..Verified::default()
        };
        assert_eq!(
            told(&[whole, bad]),
            "ks.t: 3 wrong in 2 SSTables\n    a\n    b\n    and 1 more\n"
        );
    }
}
