//! Whether replicas are equal in the end: their merged logical rows, each read from its own store.
//!
//! All links are cut, then every node is asked at ONE. A coordinator asks itself first and can ask nobody else, so what is answered
//! is its own; a node that is no replica of a partition has no answer.

use super::Cluster;
use super::workload::{Check, Rows};
use crate::node::machine::{Answer, Asking};
use model::error::Consistency;
use std::collections::BTreeMap;

/// How long replicas may take to become equal by themselves, in milliseconds.
const CONVERGE_MS: u64 = 60_000;
/// How often they are compared meanwhile, in milliseconds.
const LOOK_MS: u64 = 10_000;
/// How long nodes that are cut off have to answer, in milliseconds.
const ANSWER_MS: u64 = 15_000;
/// Replicas of every partition.
const REPLICAS: usize = 3;

/// Whether nodes bring each other what they missed without being read. Until they do, the comparison is left out, and reads at ALL
/// stand for it.
const BY_THEMSELVES: bool = false;

/// Fails if replicas stay different. Statements are about one partition each.
pub(super) fn compare(cluster: &mut Cluster, statements: &[String]) -> Check {
    if !BY_THEMSELVES {
        return Ok(());
    }
    let end = cluster.nanos() + CONVERGE_MS * 1_000_000;
    loop {
        match differences(cluster, statements)? {
            None => return Ok(()),
            Some(difference) if cluster.nanos() >= end => return Err(difference),
            Some(_) => cluster.pass(LOOK_MS),
        }
    }
}

/// The first difference that is found, in words. The links are cut meanwhile.
fn differences(cluster: &mut Cluster, statements: &[String]) -> Result<Option<String>, String> {
    let nodes = cluster.nodes.len();
    let now = cluster.nanos();
    for (from, to) in (0..nodes).flat_map(|a| (0..nodes).map(move |b| (a, b))) {
        if from != to {
            cluster.network.cut_link(from, to, now);
        }
    }
    let mut tickets = Vec::new();
    for node in 0..nodes {
        if !cluster.serves(node)? {
            return Err(format!("node {} does not serve", node + 1));
        }
        for (statement, text) in statements.iter().enumerate() {
            let asking = Asking::new(Consistency::One, text.clone());
            tickets.push((statement, cluster.send_statement(node, 0, &asking)));
        }
    }
    cluster.pass(ANSWER_MS);
    let mut answers: BTreeMap<usize, BTreeMap<usize, Rows>> = BTreeMap::new();
    for (statement, ticket) in tickets {
        if let Some((Answer::Rows(rows), _)) = cluster.take_answer(ticket) {
            answers.entry(statement).or_default().insert(ticket.0, rows);
        }
    }
    cluster.network.heal(cluster.nanos());
    for (statement, text) in statements.iter().enumerate() {
        let answers = answers.remove(&statement).unwrap_or_default();
        if answers.len() < REPLICAS {
            let who = answers.keys().collect::<Vec<_>>();
            return Ok(Some(format!("only {who:?} know their own rows of {text}")));
        }
        let mut all = answers.values();
        let first = all.next();
        if all.any(|rows| Some(rows) != first) {
            return Ok(Some(format!("replicas differ in {text}: {answers:?}")));
        }
    }
    Ok(None)
}
