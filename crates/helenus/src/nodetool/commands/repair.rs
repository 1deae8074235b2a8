//! `repair`, `repair_admin`: replicas are compared and their differences ended, by this node.

use crate::nodetool::parse::Invocation;
use crate::nodetool::report::{Failure, Outcome, Report};
use crate::nodetool::spec::{ANY, Command, Run, flag, refused, value};
use crate::nodetool::table::Table;
use crate::nodetool::units::{moment, size};
use server::admin::answer::{Cluster, Done, KeyspaceFact, RepairFact, RepairReason, RepairState};
use server::admin::client::{AskError, Client};
use std::fmt::Write;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// What the node says of a repair that would compare nobody.
const NOTHING: &str = "Nothing to repair";
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
            value(&["--session", "-s"], "<session>", "The session to cancel, by its id or number. What this node is owed is repaired again when it is asked for, or at the next start"),
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
    let local = local_datacenter(invocation, client)?;
    let (mut facts, mut failed) = (Vec::new(), None);
    for keyspace in &keyspaces {
        let asked = ask_repair(keyspace, local.as_deref(), invocation, client);
        match asked.map_err(Failure::unknown_table) {
            Ok(fact) => {
                // Hours may pass until the next one is over.
                show(&told(&fact, keyspace, invocation), invocation);
                failed = failed.or_else(|| reason(&fact));
                facts.push(fact);
            }
            Err(failure) if failure.code == 1 => return Err(failure),
            Err(failure) => {
                show(&not_begun(keyspace, &failure), invocation);
                let skipped = invocation.has("--ignore-unreplicated-keyspaces")
                    && failure.text.contains(NOTHING);
                if !skipped {
                    failed = failed.or(Some(failure.text));
                }
            }
        }
    }
    let mut report = Report::new(&facts, String::new())?;
    if let Some(reason) = failed {
        let reason = reason.trim_start_matches("error: ");
        eprintln!("error: Repair job has failed with the error message: {reason}");
        report.code = 2;
    }
    Ok(report)
}

/// Has a keyspace repaired, and waits until that is over.
fn ask_repair(
    keyspace: &str,
    local: Option<&str>,
    invocation: &Invocation,
    client: &Client,
) -> Result<RepairFact, AskError> {
    let tables = tables(invocation).join(",");
    let mut query = vec![("keyspace", keyspace)];
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
    let values = values.map(|(option, name)| (name, invocation.options(option)));
    for (name, value) in &values {
        query.extend(value.as_deref().map(|value| (*name, value)));
    }
    query.extend(local.map(|name| ("datacenters", name)));
    client.ask("POST", REPAIRS, &query)
}

/// The tables that were named.
fn tables(invocation: &Invocation) -> Vec<String> {
    invocation.arguments.iter().skip(1).cloned().collect()
}

/// Shows lines as they come.
fn show(text: &str, invocation: &Invocation) {
    if !invocation.json {
        // Whoever reads may have closed the pipe: then nobody wants it.
        let _ = std::io::stdout().write_all(text.as_bytes());
    }
}

/// Why a repair did not do what it was to do, if it did not.
fn reason(fact: &RepairFact) -> Option<String> {
    let number = fact.command;
    match fact.state {
        RepairState::Completed => None,
        RepairState::Cancelled => Some(format!("Repair command #{number} was cancelled")),
        _ => Some(format!(
            "Repair command #{number} failed with error {} of {} ranges failed: {}",
            fact.progress.units_failed,
            fact.progress.units,
            fact.failure.as_deref().unwrap_or("no reason is known")
        )),
    }
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
fn told(fact: &RepairFact, keyspace: &str, invocation: &Invocation) -> String {
    let (began, ended) = (stamp(fact.started_millis), stamp(fact.updated_millis));
    if fact.tables.is_empty() {
        return format!("{ended} Empty keyspace, skipping repair: {keyspace}\n");
    }
    if fact.progress.units == 0 && fact.state == RepairState::Completed {
        return format!(
            "{ended} Replication factor is 1. No repair is needed for keyspace '{keyspace}'\n"
        );
    }
    let number = fact.command;
    let listed = |option: &str| {
        invocation
            .options(option)
            .unwrap_or_default()
            .replace(',', ", ")
    };
    let mut text = format!(
        "{began} Starting repair command #{number} ({}), repairing keyspace {keyspace} with repair options (parallelism: sequential, primary range: {}, incremental: false, job threads: 1, ColumnFamilies: [{}], dataCenters: [{}], hosts: [{}], previewKind: {}, # of ranges: {}, pull repair: false, force repair: false, optimise streams: false, ignore unreplicated keyspaces: {}, repairPaxos: true, paxosOnly: false)\n",
        fact.id,
        fact.primary,
        tables(invocation).join(", "),
        listed("--in-dc"),
        listed("--in-hosts"),
        if fact.preview { "ALL" } else { "NONE" },
        fact.progress.units,
        invocation.has("--ignore-unreplicated-keyspaces"),
    );
    let progress = &fact.progress;
    let verb = if fact.preview {
        "would be sent"
    } else {
        "sent"
    };
    let _ = writeln!(
        text,
        "{ended} {} compared in {} parts, {} of them different; {} mutations of {} {verb}",
        size(progress.bytes_compared),
        progress.parts,
        progress.parts_different,
        progress.mutations,
        size(progress.mutation_bytes)
    );
    if let Some(reason) = reason(fact) {
        let _ = writeln!(text, "{ended} {reason}");
        let _ = writeln!(text, "{ended} Repair command #{number} finished with error");
        return text;
    }
    let outcome = match (fact.preview, progress.parts_different) {
        (false, _) => "Repair completed successfully",
        (true, 0) => "Repair preview completed successfully; Previewed data was in sync",
        (true, _) => "Repair preview completed successfully; Previewed data was not in sync",
    };
    let seconds = (fact.updated_millis - fact.started_millis) / 1_000;
    let unit = if seconds == 1 { "second" } else { "seconds" };
    let _ = writeln!(text, "{ended} {outcome}");
    let _ = writeln!(
        text,
        "{ended} Repair command #{number} finished in {seconds} {unit}"
    );
    text
}

/// What is told of a repair that was not begun.
fn not_begun(keyspace: &str, failure: &Failure) -> String {
    let at = stamp(now_millis());
    let reason = failure.text.trim_start_matches("error: ");
    format!("{at} Repair of keyspace {keyspace} failed with error {reason}\n")
}

fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

/// A moment as Cassandra's tool writes it before a line, in UTC.
fn stamp(millis: i64) -> String {
    let text = moment(millis);
    let text = text
        .trim_end_matches('Z')
        .replace('T', " ")
        .replace('.', ",");
    format!("[{text}]")
}

fn admin(invocation: &Invocation, client: &Client) -> Outcome {
    match invocation.argument(0) {
        None | Some("list") => list(invocation, client),
        Some("cancel") => {
            let session = invocation.option("--session");
            let session =
                session.ok_or_else(|| Failure::usage("Required option '-s' is missing"))?;
            let done: Done = client.ask("DELETE", REPAIRS, &[("id", session)])?;
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
    let cluster: Cluster = client.ask("GET", "/api/v1/cluster", &[])?;
    Report::new(&shown, sessions(&shown, &cluster))
}

/// Cassandra's columns, and what of ours stands beside.
fn sessions(shown: &[RepairFact], cluster: &Cluster) -> String {
    let members = &cluster.facts.members;
    let address = |number: u32| {
        let member = members.iter().find(|member| member.number == number);
        member.map(|member| member.internode_address)
    };
    let coordinator = address(cluster.facts.local);
    let coordinator = coordinator.map_or_else(String::new, |address| format!("/{address}"));
    let mut table = Table::new(" | ");
    table.row([
        "id",
        "state",
        "last activity",
        "coordinator",
        "participants",
        "participants_wp",
        "number",
        "reason",
        "keyspace",
        "ranges",
        "different",
        "sent",
        "failure",
    ]);
    for fact in shown {
        let reason = match fact.reason {
            RepairReason::Command => "command",
            RepairReason::Owed => "owed",
            RepairReason::Round => "round",
        };
        let addresses = fact
            .participants
            .iter()
            .filter_map(|number| address(*number));
        let (plain, ported): (Vec<String>, Vec<String>) = addresses
            .map(|address| (address.ip().to_string(), address.to_string()))
            .unzip();
        let idle = (now_millis() - fact.updated_millis).max(0) / 1_000;
        table.row([
            fact.id.to_string(),
            format!("{:?}", fact.state).to_uppercase(),
            format!("{idle} (s)"),
            coordinator.clone(),
            plain.join(","),
            ported.join(","),
            fact.command.to_string(),
            reason.to_owned(),
            fact.keyspace.clone().unwrap_or_else(|| "all".to_owned()),
            format!("{}/{}", fact.progress.units_done, fact.progress.units),
            format!("{}/{}", fact.progress.parts_different, fact.progress.parts),
            size(fact.progress.mutation_bytes),
            fact.failure.clone().unwrap_or_default(),
        ]);
    }
    table.text()
}
