//! Two data centres: one is gone for a while, or new.

use super::super::Cluster;
use super::START_MS;
use crate::node::machine::Answer;
use model::error::Consistency;

/// Nodes, in turn in one data centre and in the other.
const NODES: usize = 6;
const HERE: [usize; 3] = [0, 2, 4];
const THERE: [usize; 3] = [1, 3, 5];
const TABLE: &str = "CREATE TABLE ks.t (k bigint PRIMARY KEY, v bigint)";

fn keyspace(verb: &str, here: u32, there: u32) -> String {
    format!(
        "{verb} KEYSPACE ks WITH replication = {{'class': 'NetworkTopologyStrategy', 'dc1': {here}, 'dc2': {there}}}"
    )
}

fn with_keyspace(seed: u64, replicas: (u32, u32)) -> Cluster {
    let mut cluster = Cluster::founded(seed, NODES, 4, 2).unwrap();
    for node in 0..NODES {
        cluster.start(node, 1);
    }
    cluster.wait_until_served(START_MS).unwrap();
    cluster.pass(3_000);
    let create = keyspace("CREATE", replicas.0, replicas.1);
    for text in [create.as_str(), TABLE] {
        cluster.must(0, Consistency::One, text).unwrap();
    }
    cluster.pass(1_000);
    cluster
}

fn write(cluster: &mut Cluster, nodes: &[usize], keys: std::ops::Range<u64>) {
    for key in keys {
        let text = format!("INSERT INTO ks.t (k, v) VALUES ({key}, {key})");
        let node = nodes[key as usize % nodes.len()];
        let written = cluster.must(node, Consistency::LocalQuorum, &text);
        written.unwrap_or_else(|error| panic!("{error}\n{}", cluster.describe()));
    }
}

fn read(cluster: &mut Cluster, nodes: &[usize], level: Consistency, keys: std::ops::Range<u64>) {
    for key in keys {
        let text = format!("SELECT v FROM ks.t WHERE k = {key}");
        let rows = Ok(Answer::Rows(vec![vec![Some(key.to_be_bytes().to_vec())]]));
        for node in nodes {
            let read = cluster.must(*node, level, &text);
            assert!(
                read == rows,
                "{text} at {level} of node {}: {read:?}\n{}",
                node + 1,
                cluster.describe()
            );
        }
    }
}

#[test]
fn one_goes_on_when_the_other_is_gone_which_catches_up_when_it_is_back() {
    let mut cluster = with_keyspace(61, (3, 3));
    write(&mut cluster, &[0, 1, 2], 0..30);
    for node in THERE {
        cluster.crash(node);
    }
    cluster.pass(5_000);
    write(&mut cluster, &HERE, 30..90);
    read(&mut cluster, &HERE, Consistency::LocalQuorum, 30..90);
    let text = "INSERT INTO ks.t (k, v) VALUES (0, 0)";
    for level in [Consistency::EachQuorum, Consistency::Quorum] {
        let refused = cluster.ask(0, level, text);
        assert!(
            matches!(refused, Ok(Answer::Error(0x1000, _))),
            "{level}: {refused:?}"
        );
    }
    for node in THERE {
        cluster.start(node, 1);
    }
    cluster.wait_until_served(START_MS).unwrap();
    cluster.pass(20_000);
    for level in [Consistency::LocalOne, Consistency::LocalQuorum] {
        read(&mut cluster, &THERE, level, 0..90);
    }
}

#[test]
fn both_go_on_when_they_do_not_reach_each_other() {
    let mut cluster = with_keyspace(62, (3, 3));
    let now = cluster.nanos();
    for here in HERE {
        for there in THERE {
            cluster.network.cut_link(here, there, now);
            cluster.network.cut_link(there, here, now);
        }
    }
    cluster.pass(5_000);
    write(&mut cluster, &HERE, 0..40);
    write(&mut cluster, &THERE, 40..80);
    let now = cluster.nanos();
    cluster.network.heal(now);
    cluster.pass(20_000);
    let all: Vec<usize> = (0..NODES).collect();
    read(&mut cluster, &all, Consistency::LocalOne, 0..80);
}

#[test]
fn a_data_centre_gets_replicas_and_reads_none_before_they_have_everything() {
    let mut cluster = with_keyspace(63, (3, 0));
    write(&mut cluster, &HERE, 0..60);
    let alter = keyspace("ALTER", 3, 3);
    cluster.must(0, Consistency::One, &alter).unwrap();
    write(&mut cluster, &HERE, 60..90);
    let mut is_served = false;
    for _ in 0..200 {
        let asked = cluster.ask(1, Consistency::LocalOne, "SELECT v FROM ks.t WHERE k = 7");
        match asked {
            // Nothing is replicated there yet.
            Ok(Answer::Error(0x1000, _)) => {}
            Ok(Answer::Rows(rows)) => {
                assert_eq!(rows.len(), 1, "a replica is read that does not have it");
                is_served = true;
            }
            other => panic!("{other:?}"),
        }
        cluster.pass(200);
    }
    assert!(is_served, "{}", cluster.describe());
    for node in HERE {
        cluster.crash(node);
    }
    cluster.pass(5_000);
    read(&mut cluster, &THERE, Consistency::LocalQuorum, 0..90);
}

#[test]
fn who_is_replaced_has_what_was_acknowledged_in_its_data_centre_alone() {
    let mut cluster = with_keyspace(64, (3, 3));
    // The first is away and misses what the two others acknowledge, of whom one is lost then; there nothing arrives.
    let now = cluster.nanos();
    for here in HERE {
        for there in THERE {
            cluster.network.cut_link(here, there, now);
            cluster.network.cut_link(there, here, now);
        }
    }
    cluster.crash(0);
    cluster.pass(5_000);
    write(&mut cluster, &[2, 4], 0..30);
    // The journal of the other is not there either when the third is replaced.
    cluster.crash(4);
    cluster.nodes[4].lose_disk();
    cluster.crash(2);
    cluster.start(0, 1);
    let now = cluster.nanos();
    cluster.network.heal(now);
    cluster.nodes[4].config.replaces = Some(super::super::address(4).ip());
    cluster.start(4, 1);
    cluster.pass(120_000);
    assert!(
        !cluster.serves(4).unwrap(),
        "what two acknowledged may be on the third alone\n{}",
        cluster.describe()
    );
    cluster.start(2, 1);
    cluster.wait_until_served(START_MS).unwrap();
    cluster.pass(20_000);
    read(&mut cluster, &[0, 4], Consistency::LocalQuorum, 0..30);
}
