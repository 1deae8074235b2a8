//! `repair`, `repair_admin`: replicas are compared and their differences ended, by this node.

use crate::nodetool::parse::Invocation;
use crate::nodetool::report::{Failure, Outcome, Report};
use crate::nodetool::spec::{ANY, Command, Run, flag, refused, value};
use crate::nodetool::table::Table;
use crate::nodetool::units::size;
use server::admin::answer::{Cluster, Done, KeyspaceFact, RepairFact, RepairReason, RepairState};
use server::admin::client::Client;
use std::fmt::Write;

const PACED: &str = "the node paces it by itself";
const NO_PAXOS: &str = "what was decided is repaired by the decisions themselves";

#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    Command {
        name: "repair",
        about: "Repair one or more tables",
        options: &[
            flag(&["--full", "-full"], "Use -full to issue a full repair. Every repair here is one"),
            flag(&["--partitioner-range", "-pr"], "Use -pr to repair only the first range returned by the partitioner"),
            flag(&["--preview", "-prv"], "Determine ranges and amount of data to be streamed, but don't actually perform repair"),
            flag(&["--in-local-dc", "-local"], "Use -local to only repair against nodes in the same datacenter"),
            value(&["--in-dc", "-dc"], "<specific_dc>", "Use -dc to repair specific datacenters"),
            value(&["--in-hosts", "-hosts"], "<specific_host>", "Use -hosts to repair specific hosts"),
            value(&["--start-token", "-st"], "<start_token>", "Use -st to specify a token at which the repair range starts (exclusive)"),
            value(&["--end-token", "-et"], "<end_token>", "Use -et to specify a token at which repair range ends (inclusive)"),
            flag(&["--ignore-unreplicated-keyspaces", "-iuk"], "Use --ignore-unreplicated-keyspaces to ignore keyspaces which are not replicated"),
            flag(&["--sequential", "-seq"], "Use -seq to carry out a sequential repair: one part of a range at a time, as always"),
            flag(&["--dc-parallel", "-dcpar"], "Use -dcpar to repair data centers in parallel").but(PACED),
            value(&["--job-threads", "-j"], "<job_threads>", "Number of threads to run repair jobs").but(PACED),
            flag(&["--optimise-streams", "-os"], "Use --optimise-streams to try to reduce the number of streams we do").but("each replica is sent what it lacks and no more"),
            flag(&["--pull", "-pl"], "Use --pull to perform a one way repair where data is only streamed from a remote node to this node").but("replicas are brought to the same rows, all of them"),
            flag(&["--force", "-force"], "Use -force to filter out down endpoints").but("name the hosts to be compared with --in-hosts"),
            flag(&["--trace", "-tr"], "Use -tr to trace the repair. Traces are logged to system_traces.events.").but("see system_views.repairs"),
            flag(&["--validate", "-vd"], "Checks that repaired data is in sync between nodes").but("convergence proves it; --preview compares all rows"),
            refused(&["--paxos-only", "-paxos-only"], NO_PAXOS),
            flag(&["--skip-paxos", "-skip-paxos"], "If the --skip-paxos flag is included, the paxos repair step is skipped").but(NO_PAXOS),
        ],
        arguments: "[<keyspace> <tables>...]", at_least: 0, at_most: ANY, run: Run::Do(repair),
    },
    Command {
        name: "repair_admin",
        about: "List and cancel repairs: list (the default), cancel",
        options: &[
            flag(&["--all", "-a"], "include completed and failed sessions"),
            value(&["--session", "-s"], "<session>", "The session to cancel, by its id or number; else all that were asked for"),
            flag(&["--force", "-f"], "Force a cancellation"),
        ],
        arguments: "[list|cancel]", at_least: 0, at_most: 1, run: Run::Do(admin),
    },
];

const REPAIRS: &str = "/api/v1/repairs";

fn repair(invocation: &Invocation, client: &Client) -> Outcome {
    let keyspaces = match invocation.argument(0) {
        Some(name) => vec![name.to_owned()],
        None => repairable(client)?,
    };
    let tables = invocation.arguments.iter().skip(1).cloned();
    let tables = tables.collect::<Vec<_>>().join(",");
    let local = local_datacenter(invocation, client)?;
    let (mut text, mut facts, mut failed) = (String::new(), Vec::new(), false);
    for keyspace in &keyspaces {
        let mut query = vec![("keyspace", keyspace.as_str())];
        if !tables.is_empty() {
            query.push(("tables", tables.as_str()));
        }
        let flags = [("--partitioner-range", "primary"), ("--preview", "preview")];
        let flags = flags.iter().filter(|(option, _)| invocation.has(option));
        query.extend(flags.map(|(_, name)| (*name, "true")));
        let values = [
            ("--start-token", "start_token"),
            ("--end-token", "end_token"),
            ("--in-dc", "datacenters"),
            ("--in-hosts", "hosts"),
        ];
        for (option, name) in values {
            query.extend(invocation.option(option).map(|value| (name, value)));
        }
        query.extend(local.as_deref().map(|name| ("datacenters", name)));
        let fact: RepairFact = client.ask("POST", REPAIRS, &query)?;
        tell(&fact, keyspace, &mut text);
        failed |= fact.state != RepairState::Completed;
        facts.push(fact);
    }
    if failed {
        let text = text.trim_end().to_owned();
        return Err(Failure { text, code: 2 });
    }
    Report::new(&facts, text)
}

/// The data centre that `--in-local-dc` means.
fn local_datacenter(invocation: &Invocation, client: &Client) -> Result<Option<String>, Failure> {
    if !invocation.has("--in-local-dc") {
        return Ok(None);
    }
    let cluster: Cluster = client.ask("GET", "/api/v1/cluster", &[])?;
    let local = cluster.facts.local;
    let mut members = cluster.facts.members.into_iter();
    let local = members.find(|member| member.number == local);
    Ok(local.map(|member| member.datacenter))
}

/// Keyspaces that are replicated.
fn repairable(client: &Client) -> Result<Vec<String>, Failure> {
    let cluster: Cluster = client.ask("GET", "/api/v1/cluster", &[])?;
    let is_replicated = |keyspace: &KeyspaceFact| keyspace.class != "LocalStrategy";
    let keyspaces = cluster.facts.keyspaces.into_iter();
    let replicated = keyspaces.filter(is_replicated);
    Ok(replicated.map(|keyspace| keyspace.name).collect())
}

/// What Cassandra's tool tells of a repair, and what was found.
fn tell(fact: &RepairFact, keyspace: &str, text: &mut String) {
    if fact.progress.units == 0 && fact.state == RepairState::Completed {
        let _ = writeln!(
            text,
            "Replication factor is 1. No repair is needed for keyspace '{keyspace}'"
        );
        return;
    }
    let number = fact.command;
    let _ = writeln!(
        text,
        "Starting repair command #{number} ({}), repairing keyspace {keyspace} with repair options (primary range: {}, ColumnFamilies: [{}], previewKind: {}, # of ranges: {})",
        fact.id,
        fact.primary,
        fact.tables.join(", "),
        if fact.preview { "ALL" } else { "NONE" },
        fact.progress.units
    );
    let verb = if fact.preview {
        "would be sent"
    } else {
        "sent"
    };
    let _ = writeln!(
        text,
        "{} compared in {} parts, {} of them different; {} mutations of {} {verb}",
        size(fact.progress.bytes_compared),
        fact.progress.parts,
        fact.progress.parts_different,
        fact.progress.mutations,
        size(fact.progress.mutation_bytes)
    );
    let seconds = (fact.updated_millis - fact.started_millis) / 1_000;
    let ended = match (fact.state, &fact.failure) {
        (RepairState::Completed, _) => "Repair completed successfully".to_owned(),
        (RepairState::Cancelled, _) => "Repair was cancelled".to_owned(),
        (_, failure) => format!(
            "{} of {} ranges failed: {}",
            fact.progress.units_failed,
            fact.progress.units,
            failure.as_deref().unwrap_or("no reason is known")
        ),
    };
    let _ = writeln!(text, "{ended}");
    let _ = writeln!(
        text,
        "Repair command #{number} finished in {seconds} seconds"
    );
}

fn admin(invocation: &Invocation, client: &Client) -> Outcome {
    match invocation.argument(0) {
        None | Some("list") => list(invocation, client),
        Some("cancel") => {
            let session = invocation.option("--session").map(|id| ("id", id));
            let query: Vec<(&str, &str)> = session.into_iter().collect();
            let done: Done = client.ask("DELETE", REPAIRS, &query)?;
            Report::done(&done)
        }
        Some(other) => Err(Failure::usage(&format!(
            "repair_admin {other} is not supported: there is list and cancel, as no repair is incremental"
        ))),
    }
}

fn list(invocation: &Invocation, client: &Client) -> Outcome {
    let facts: Vec<RepairFact> = client.ask("GET", REPAIRS, &[])?;
    let all = invocation.has("--all");
    let shown = facts
        .into_iter()
        .filter(|fact| all || fact.state == RepairState::Running);
    let shown: Vec<RepairFact> = shown.collect();
    if shown.is_empty() {
        return Report::new(&shown, "no sessions\n".to_owned());
    }
    let mut table = Table::new(" | ");
    table.row([
        "id",
        "number",
        "reason",
        "keyspace",
        "state",
        "ranges",
        "different",
        "sent",
        "failure",
    ]);
    for fact in &shown {
        let reason = match fact.reason {
            RepairReason::Command => "command",
            RepairReason::Owed => "owed",
            RepairReason::Round => "round",
        };
        table.row([
            fact.id.to_string(),
            fact.command.to_string(),
            reason.to_owned(),
            fact.keyspace.clone().unwrap_or_else(|| "all".to_owned()),
            format!("{:?}", fact.state).to_uppercase(),
            format!("{}/{}", fact.progress.units_done, fact.progress.units),
            format!("{}/{}", fact.progress.parts_different, fact.progress.parts),
            size(fact.progress.mutation_bytes),
            fact.failure.clone().unwrap_or_default(),
        ]);
    }
    Report::new(&shown, table.text())
}
