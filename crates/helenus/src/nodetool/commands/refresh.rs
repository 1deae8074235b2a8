//! `refresh`, `import`: SSTables of a snapshot are taken over by a running node.

use crate::nodetool::parse::Invocation;
use crate::nodetool::report::{Failure, Outcome, Report};
use crate::nodetool::spec::{ANY, Command, Run};
use server::admin::answer::Verified;
use server::admin::client::Client;

#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    Command { name: "refresh", about: "Load newly placed SSTables, in the directory refresh of the table's, to the system without restart", options: &[], arguments: "<keyspace> <table>", at_least: 2, at_most: 2, run: Run::Do(refresh) },
    Command { name: "import", about: "Import new SSTables to the system: place them in the directory refresh of the table's, and use nodetool refresh", options: &[], arguments: "<keyspace> <table> <directory> ...", at_least: 3, at_most: ANY, run: Run::Do(import) },
];

fn refresh(invocation: &Invocation, client: &Client) -> Outcome {
    let names = ["keyspace", "table"];
    let given = invocation.arguments.iter().map(String::as_str);
    let query: Vec<(&str, &str)> = names.into_iter().zip(given).collect();
    let taken: Verified = client.ask("POST", "/api/v1/refresh", &query)?;
    let text = match taken.files {
        0 => "There are no SSTables in the directory refresh of the table's\n".to_owned(),
        files => format!(
            "{files} SSTables with {} partitions are taken over at this node: other replicas have them after a repair\n",
            taken.partitions
        ),
    };
    Report::new(&taken, text)
}

fn import(_: &Invocation, _: &Client) -> Outcome {
    Err(Failure::usage(
        "the node reads no directory but its own: place the files in the directory refresh of the table's, and use nodetool refresh",
    ))
}
