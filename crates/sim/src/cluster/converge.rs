//! Whether replicas become equal by themselves: they prove it, and then their merged logical rows are, each read from its own store.
//!
//! The proof is what nodes say of themselves (`system_views.convergence`): everyone is fresh and lacks nothing, and all are equal up to a
//! moment after the faults. Then all links are cut and every node is asked at ONE. A coordinator asks itself first and can ask nobody
//! else, so what is answered is its own; a node that is no replica of a partition has no answer.

use super::Cluster;
use super::workload::{Check, Rows};
use crate::node::machine::{Answer, Asking};
use model::error::Consistency;
use std::collections::BTreeMap;

/// How long replicas may take to prove that they are equal, in milliseconds.
const PROVE_MS: u64 = 60_000;
/// How often they are asked meanwhile, in milliseconds.
const LOOK_MS: u64 = 1_000;
/// How long nodes that are cut off have to answer, in milliseconds.
const ANSWER_MS: u64 = 15_000;
/// Replicas of every partition.
const REPLICAS: usize = 3;

/// Whether clients write while replicas are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    /// What was written just now may be on its way.
    GoesOn,
    /// Nothing is.
    Ended,
}

/// Fails if replicas do not prove that they are equal since a moment, in nanoseconds, or are not. Statements are about one partition
/// each.
pub(super) fn check(cluster: &mut Cluster, statements: &[String], since: u64) -> Check {
    let end = cluster.nanos() + PROVE_MS * 1_000_000;
    while let Some(open) = unproved(cluster, since, Load::Ended)? {
        if cluster.nanos() >= end {
            return Err(format!("replicas are not proved equal: {open}"));
        }
        cluster.pass(LOOK_MS);
    }
    compare(cluster, statements)
}

/// What a node says that is not settled yet since a moment, in words.
pub(super) fn unproved(
    cluster: &mut Cluster,
    since: u64,
    load: Load,
) -> Result<Option<String>, String> {
    let text = "SELECT replicas, address, fresh, lacks, owed, age_ms FROM system_views.convergence";
    for node in cluster.members() {
        if !cluster.serves(node)? {
            return Ok(Some(format!("node {} does not serve", node + 1)));
        }
        let rows = match cluster.ask(node, Consistency::One, text)? {
            Answer::Rows(rows) => rows,
            other => return Ok(Some(format!("node {}: {other:?}", node + 1))),
        };
        let age_ms = cluster.nanos().saturating_sub(since) / 1_000_000;
        let settled = |row: &Vec<Option<Vec<u8>>>| {
            let is_zero = |cell: &Option<Vec<u8>>| cell.as_deref() == Some(&[0; 8]);
            let age = row[5].as_deref().and_then(|cell| cell.try_into().ok());
            let age = age.map(u64::from_be_bytes);
            let lacks = load == Load::Ended && !is_zero(&row[3]);
            row[2].as_deref() == Some(&[1])
                && !lacks
                && is_zero(&row[4])
                && age.is_some_and(|age| age < age_ms)
        };
        let mut open = rows.iter().filter(|row| !settled(row));
        if let Some(row) = open.next() {
            let replicas = String::from_utf8_lossy(row[0].as_deref().unwrap_or_default());
            return Ok(Some(format!(
                "node {} says of {:?} among {replicas}: fresh, lacks, owed, age are {:?}",
                node + 1,
                row[1],
                &row[2..]
            )));
        }
    }
    Ok(None)
}

/// Whether all replicas have answered all statements.
fn is_enough(answers: &BTreeMap<usize, BTreeMap<usize, Rows>>, statements: usize) -> bool {
    answers.len() == statements && answers.values().all(|of| of.len() >= REPLICAS)
}

/// Fails at the first difference between replicas. The links are cut meanwhile.
fn compare(cluster: &mut Cluster, statements: &[String]) -> Check {
    let nodes = cluster.nodes.len();
    let now = cluster.nanos();
    for (from, to) in (0..nodes).flat_map(|a| (0..nodes).map(move |b| (a, b))) {
        if from != to {
            cluster.network.cut_link(from, to, now);
        }
    }
    let mut tickets = Vec::new();
    for node in cluster.members() {
        if !cluster.serves(node)? {
            return Err(format!("node {} does not serve", node + 1));
        }
        for (statement, text) in statements.iter().enumerate() {
            let asking = Asking::new(Consistency::One, text.clone());
            tickets.push((statement, cluster.send_statement(node, 0, &asking)));
        }
    }
    let mut answers: BTreeMap<usize, BTreeMap<usize, Rows>> = BTreeMap::new();
    let end = cluster.nanos() + ANSWER_MS * 1_000_000;
    while cluster.nanos() < end && !is_enough(&answers, statements.len()) {
        cluster.pass(LOOK_MS / 10);
        tickets.retain(|(statement, ticket)| {
            let answer = cluster.take_answer(*ticket);
            if let Some((Answer::Rows(rows), _)) = &answer {
                let answers = answers.entry(*statement).or_default();
                answers.insert(ticket.0, rows.clone());
            }
            answer.is_none()
        });
    }
    cluster.network.heal(cluster.nanos());
    for (statement, text) in statements.iter().enumerate() {
        let answers = answers.remove(&statement).unwrap_or_default();
        if answers.len() < REPLICAS {
            let who = answers.keys().collect::<Vec<_>>();
            return Err(format!("only {who:?} know their own rows of {text}"));
        }
        let mut all = answers.values();
        let first = all.next();
        if all.any(|rows| Some(rows) != first) {
            return Err(format!("replicas differ in {text}: {answers:?}"));
        }
    }
    Ok(())
}
