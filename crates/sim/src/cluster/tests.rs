//! Nodes that are started together are one cluster; whatever happens to it, its promises hold.

mod behind;
mod contended;
mod datacenters;
mod recovery;
mod repair;
mod ring;
mod statements;

use super::stories::{self, STORIES};
use super::{Cluster, KINDS, Options, run};
use crate::node::machine::Answer;
use crate::planted::Planted;
use model::error::Consistency;

/// Longest time a start may take, in milliseconds.
const START_MS: u64 = 60_000;

/// Whether every node knows so many members.
fn know_each_other(cluster: &mut Cluster, members: usize) -> bool {
    let mut nodes = cluster.nodes.iter_mut();
    nodes.all(|node| node.members() == Some(members))
}

#[test]
fn nodes_that_start_at_once_make_one_cluster() {
    for seed in 1..=8 {
        let mut cluster = Cluster::new(seed, 4);
        // In any order, and some so late that the others have heard of nobody else meanwhile.
        for node in [3, 1, 0, 2] {
            cluster.start(node, 1 + seed as u16 % 2);
            cluster.pass(seed * 300 % 700);
        }
        if let Err(failure) = cluster.wait_until_served(START_MS) {
            panic!("seed {seed}: {failure}");
        }
        let are_one = know_each_other(&mut cluster, 4);
        assert!(are_one, "seed {seed}\n{}", cluster.describe());
    }
}

/// Three nodes that have a keyspace with three replicas, and a table.
fn founded(seed: u64) -> Cluster {
    let mut cluster = Cluster::founded(seed, 3, 4, 1).unwrap();
    for node in 0..3 {
        cluster.start(node, 1 + node as u16 % 2);
    }
    ready(&mut cluster);
    cluster
}

/// Waits for nodes that were started, and makes the table.
fn ready(cluster: &mut Cluster) {
    cluster.wait_until_served(START_MS).unwrap();
    cluster.pass(3_000);
    for text in [
        "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}",
        "CREATE TABLE ks.t (k bigint PRIMARY KEY, v bigint)",
    ] {
        cluster.must(0, Consistency::Quorum, text).unwrap();
    }
    cluster.pass(1_000);
}

#[test]
fn a_quorum_goes_on_without_one_of_three() {
    let mut cluster = founded(2);
    cluster.crash(2);
    cluster.pass(5_000);
    for key in 0..20 {
        let text = format!("INSERT INTO ks.t (k, v) VALUES ({key}, {key})");
        cluster.must(key % 2, Consistency::Quorum, &text).unwrap();
    }
    let refused = cluster.ask(0, Consistency::All, "SELECT v FROM ks.t WHERE k = 1");
    assert!(
        matches!(refused, Ok(Answer::Error(0x1000, _))),
        "a node that is known to be away is not waited for: {refused:?}"
    );
    cluster.start(2, 2);
    cluster.wait_until_served(START_MS).unwrap();
    cluster.pass(5_000);
    for key in 0..20u64 {
        let text = format!("SELECT v FROM ks.t WHERE k = {key}");
        let row = vec![Some(key.to_be_bytes().to_vec())];
        for node in 0..3 {
            let read = cluster.must(node, Consistency::Quorum, &text);
            assert_eq!(read, Ok(Answer::Rows(vec![row.clone()])));
        }
    }
}

#[test]
fn promises_hold() {
    for (seed, kind) in KINDS.into_iter().enumerate() {
        if let Err(failure) = run(seed as u64, Options::short(kind)) {
            panic!("{failure}");
        }
    }
}

#[test]
fn stories_end_well() {
    let ended = STORIES.map(|(name, _)| (name, stories::tell(name, 31, Planted::Nothing)));
    let wrong = ended.iter().filter(|(_, told)| told.is_err());
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_seed_has_one_history() {
    let options = Options {
        seconds: 5,
        ..Options::short("registers")
    };
    let summaries = [(); 2].map(|()| run(7, options).unwrap_or_else(|failure| panic!("{failure}")));
    assert_eq!(summaries[0], summaries[1]);
}
