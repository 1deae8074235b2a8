//! A majority of the voters is lost for good: one that is left decides alone, and the others follow it.

use super::super::Cluster;
use super::START_MS;
use crate::node::machine::Answer;
use cluster::topology::NodeId;
use model::error::Consistency;

const TABLE: &str = "CREATE TABLE ks.u (k bigint PRIMARY KEY)";

/// A cluster of so many that has a keyspace.
fn with_keyspace(seed: u64, count: usize) -> Cluster {
    let mut cluster = Cluster::founded(seed, count, 4, 1).unwrap();
    for node in 0..count {
        cluster.start(node, 1);
    }
    cluster.wait_until_served(START_MS).unwrap();
    cluster.pass(10_000);
    for text in [
        "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 2}",
        "CREATE TABLE ks.t (k bigint PRIMARY KEY)",
    ] {
        cluster.must(0, Consistency::One, text).unwrap();
    }
    cluster.pass(2_000);
    cluster
}

/// Loses these nodes for good, and has another decide alone.
fn lose_and_recover(cluster: &mut Cluster, lost: &[usize], left: usize) {
    for node in lost {
        cluster.crash(*node);
        cluster.nodes[*node].lose_disk();
    }
    cluster.pass(5_000);
    let refused = cluster.must(left, Consistency::One, TABLE);
    assert!(refused.is_err(), "there is no majority: {refused:?}");
    cluster.kill(left);
    cluster.recover_metadata(left).unwrap();
    cluster.start(left, 1);
    cluster.wait_until_served(START_MS).unwrap();
    cluster.pass(5_000);
}

#[test]
fn one_of_three_voters_decides_alone_and_the_lost_are_replaced_by_new_ones() {
    let mut cluster = with_keyspace(1, 5);
    let voters = cluster.nodes[0].voters();
    assert_eq!(voters.len(), 5);
    let lost = [0, 1, 2];
    lose_and_recover(&mut cluster, &lost, 4);
    let made = cluster.must(3, Consistency::One, TABLE);
    assert!(made.is_ok(), "{made:?}\n{}", cluster.describe());
    cluster.pass(5_000);
    let voters = cluster.nodes[3].voters();
    assert!(
        voters.contains(&NodeId(4)) && voters.contains(&NodeId(5)),
        "who lives votes again: {voters:?}"
    );
    for node in [3, 4] {
        let text = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'ks' AND table_name = 'u'";
        let found = cluster.must(node, Consistency::One, text);
        assert!(matches!(found, Ok(Answer::Rows(rows)) if rows.len() == 1));
    }
}

#[test]
fn the_second_of_two_goes_on_without_the_first() {
    let mut cluster = with_keyspace(2, 2);
    let voters = cluster.nodes[0].voters();
    assert_eq!(voters.len(), 1, "{voters:?}");
    let founder = voters.first().unwrap().0 as usize - 1;
    let left = 1 - founder;
    lose_and_recover(&mut cluster, &[founder], left);
    cluster.must(left, Consistency::One, TABLE).unwrap();
}

/// What the lost majority decided without the one that was chosen is gone; a member that has it says so, and stops there.
#[test]
fn who_knows_more_than_the_one_that_was_recovered_does_not_go_on() {
    let mut cluster = with_keyspace(3, 4);
    cluster.kill(3);
    cluster.must(0, Consistency::One, TABLE).unwrap();
    cluster.pass(2_000);
    for node in [0, 1] {
        cluster.crash(node);
        cluster.nodes[node].lose_disk();
    }
    cluster.kill(2);
    let last = cluster.recover_metadata(3).unwrap();
    cluster.start(3, 1);
    cluster.pass(5_000);
    cluster.start(2, 1);
    cluster.pass(10_000);
    let said = cluster.nodes[2].log.iter();
    let mut said = said.filter(|line| line.contains("went on without it"));
    assert!(
        said.next().is_some(),
        "recovered after {last:?}\n{}",
        cluster.describe()
    );
}
