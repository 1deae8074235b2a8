//! Writes that replicas missed come to them by themselves.

use super::Cluster;
use crate::node::machine::{Answer, Asking};
use ::model::error::Consistency;
use storage::SyncMode;

/// Longest virtual time a statement may take, in steps of 10 ms.
const PATIENCE: usize = 2_000;

/// Writes that a node misses.
const WRITES: usize = 1_000;

fn started(seed: u64) -> Cluster {
    started_with(seed, 3)
}

/// So many nodes with a table of three replicas.
fn started_with(seed: u64, nodes: usize) -> Cluster {
    let mut cluster = Cluster::founded(seed, nodes, 4, 1).expect("a cluster");
    ready(&mut cluster);
    cluster
}

/// Starts all nodes, and makes the table.
fn ready(cluster: &mut Cluster) {
    let nodes = cluster.nodes.len();
    for node in 0..nodes {
        cluster.nodes[node].start(1);
    }
    cluster.pass(5_000);
    for node in 0..nodes {
        cluster.nodes[node].connect().expect("a superuser");
    }
    let keyspace = "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}";
    done(cluster, 0, Consistency::One, keyspace);
    done(
        cluster,
        0,
        Consistency::One,
        "CREATE TABLE ks.t (k int PRIMARY KEY, v int)",
    );
    cluster.pass(2_000);
}

fn start(cluster: &mut Cluster, node: usize) {
    start_with(cluster, node, 1);
}

fn start_with(cluster: &mut Cluster, node: usize, shards: u16) {
    cluster.nodes[node].start(shards);
    for _ in 0..300 {
        cluster.pass(100);
        if cluster.nodes[node].is_ready().expect("it starts") {
            return;
        }
    }
    panic!("node {node} never serves");
}

fn ask(cluster: &mut Cluster, node: usize, level: Consistency, text: &str) -> Answer {
    ask_for(cluster, node, &Asking::new(level, text))
}

fn ask_for(cluster: &mut Cluster, node: usize, asking: &Asking) -> Answer {
    let text = &asking.text;
    let request = cluster.nodes[node].send(0, asking);
    for _ in 0..PATIENCE {
        if let Some(answer) = cluster.nodes[node].answers.remove(&request) {
            return answer;
        }
        cluster.pass(10);
    }
    panic!("never answered: {text}");
}

fn done(cluster: &mut Cluster, node: usize, level: Consistency, text: &str) {
    if let Answer::Error(code, message) = ask(cluster, node, level, text) {
        panic!("{text}: {code:#x} {message}");
    }
}

/// A node that nobody hears any more, and that hears nobody.
fn alone(cluster: &mut Cluster, node: usize) {
    for other in 0..cluster.nodes.len() {
        cluster.network.cut.insert((node, other));
        cluster.network.cut.insert((other, node));
    }
    cluster.nodes[node].connect().expect("a superuser");
}

/// The rows a node alone has.
fn own_rows(cluster: &mut Cluster, node: usize) -> usize {
    alone(cluster, node);
    let mut rows = 0;
    for key in 0..WRITES {
        let text = format!("SELECT v FROM ks.t WHERE k = {key}");
        if let Answer::Rows(found) = ask(cluster, node, Consistency::One, &text) {
            rows += found.len();
        }
    }
    rows
}

#[test]
fn a_node_that_was_down_gets_all_it_missed() {
    let mut cluster = started(11);
    cluster.nodes[2].crash();
    for key in 0..WRITES {
        let text = format!("INSERT INTO ks.t (k, v) VALUES ({key}, {key})");
        done(&mut cluster, key % 2, Consistency::Quorum, &text);
    }
    start(&mut cluster, 2);
    cluster.pass(10_000);
    assert_eq!(own_rows(&mut cluster, 2), WRITES);
}

#[test]
fn what_no_journal_has_after_a_start_with_other_shards_comes_by_repair() {
    let mut cluster = started(22);
    cluster.nodes[2].crash();
    for key in 0..WRITES {
        let text = format!("INSERT INTO ks.t (k, v) VALUES ({key}, {key})");
        done(&mut cluster, key % 2, Consistency::Quorum, &text);
    }
    for node in 0..2 {
        cluster.nodes[node].crash();
        start_with(&mut cluster, node, 2);
    }
    start(&mut cluster, 2);
    cluster.pass(30_000);
    assert_eq!(own_rows(&mut cluster, 2), WRITES);
}

/// What a node has of a statement's rows, read from all.
fn rows(cluster: &mut Cluster, node: usize, text: &str) -> usize {
    match ask(cluster, node, Consistency::All, text) {
        Answer::Rows(found) => found.len(),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn what_was_emptied_meanwhile_does_not_come_back() {
    let mut cluster = started(12);
    cluster.nodes[2].crash();
    for key in 0..20 {
        let text = format!("INSERT INTO ks.t (k, v) VALUES ({key}, {key})");
        done(&mut cluster, key % 2, Consistency::Quorum, &text);
    }
    done(&mut cluster, 0, Consistency::One, "TRUNCATE ks.t");
    for key in 100..110 {
        let text = format!("INSERT INTO ks.t (k, v) VALUES ({key}, {key})");
        done(&mut cluster, key % 2, Consistency::Quorum, &text);
    }
    start(&mut cluster, 2);
    cluster.pass(10_000);
    assert_eq!(rows(&mut cluster, 0, "SELECT k FROM ks.t"), 10);
    assert_eq!(own_rows(&mut cluster, 2), 10);
}

#[test]
fn what_was_decided_of_a_table_before_it_was_emptied_does_not_come_back() {
    let mut cluster = started(17);
    cluster.nodes[2].crash();
    cluster.pass(5_000);
    for key in 0..10 {
        let text = format!("INSERT INTO ks.t (k, v) VALUES ({key}, {key}) IF NOT EXISTS");
        done(&mut cluster, key % 2, Consistency::Quorum, &text);
    }
    done(&mut cluster, 0, Consistency::One, "TRUNCATE ks.t");
    start(&mut cluster, 2);
    cluster.nodes[2].connect().expect("a superuser");
    // It has not caught up yet: whoever decides with it brings it the last commit.
    for key in 0..10 {
        let text = format!("SELECT v FROM ks.t WHERE k = {key}");
        for node in [2, 0] {
            let read = ask(&mut cluster, node, Consistency::Serial, &text);
            assert_eq!(read, Answer::Rows(Vec::new()), "{key}");
        }
    }
    cluster.pass(10_000);
    assert_eq!(rows(&mut cluster, 0, "SELECT k FROM ks.t"), 0);
    assert_eq!(own_rows(&mut cluster, 2), 0);
}

#[test]
fn a_dropped_table_takes_no_other_with_it() {
    let mut cluster = started(13);
    let table = "CREATE TABLE ks.u (k int PRIMARY KEY, v int)";
    done(&mut cluster, 0, Consistency::One, table);
    cluster.pass(2_000);
    cluster.nodes[2].crash();
    for key in 0..10 {
        let text = format!(
            "BEGIN BATCH INSERT INTO ks.t (k, v) VALUES ({key}, 1); INSERT INTO ks.u (k, v) VALUES ({key}, 1); APPLY BATCH"
        );
        done(&mut cluster, key % 2, Consistency::Quorum, &text);
    }
    done(&mut cluster, 0, Consistency::One, "DROP TABLE ks.u");
    start(&mut cluster, 2);
    cluster.pass(10_000);
    assert_eq!(own_rows(&mut cluster, 2), 10);
}

#[test]
fn what_conditional_statements_decided_is_caught_up_on() {
    let mut cluster = started(14);
    cluster.nodes[2].crash();
    cluster.pass(5_000);
    for key in 0..20 {
        let text = format!("INSERT INTO ks.t (k, v) VALUES ({key}, {key}) IF NOT EXISTS");
        done(&mut cluster, key % 2, Consistency::Quorum, &text);
    }
    start(&mut cluster, 2);
    cluster.pass(10_000);
    assert_eq!(own_rows(&mut cluster, 2), 20);
}

#[test]
fn a_coordinator_without_the_data_hands_its_commits_over() {
    let mut cluster = started_with(15, 4);
    cluster.nodes[2].crash();
    cluster.pass(5_000);
    for key in 0..20 {
        let text = format!("INSERT INTO ks.t (k, v) VALUES ({key}, {key}) IF NOT EXISTS");
        done(&mut cluster, [0, 1, 3][key % 3], Consistency::Quorum, &text);
    }
    start(&mut cluster, 2);
    cluster.pass(10_000);
    alone(&mut cluster, 2);
    cluster.pass(5_000);
    let mut without = 0;
    for key in 0..20 {
        let text = format!("SELECT v FROM ks.t WHERE k = {key}");
        match ask(&mut cluster, 2, Consistency::One, &text) {
            Answer::Rows(found) => assert_eq!(found.len(), 1, "{key}"),
            // Its replicas are the three others.
            Answer::Error(..) => without += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!((1..10).contains(&without), "{without} of 20 are elsewhere");
}

#[test]
fn a_coordinator_without_the_data_does_not_rest_on_who_is_behind() {
    let mut cluster = Cluster::founded(18, 4, 4, 1).expect("a cluster");
    for node in &mut cluster.nodes {
        // What the one that was down missed does not come.
        node.config.handoff.paused = true;
    }
    ready(&mut cluster);
    cluster.nodes[0].crash();
    cluster.pass(5_000);
    for key in 0..WRITES {
        let text = format!("INSERT INTO ks.t (k, v) VALUES ({key}, {key})");
        done(&mut cluster, 1 + key % 3, Consistency::Quorum, &text);
    }
    start(&mut cluster, 0);
    for coordinator in 1..4 {
        for key in (0..WRITES).step_by(5) {
            let text = format!("SELECT v FROM ks.t WHERE k = {key}");
            match ask(&mut cluster, coordinator, Consistency::One, &text) {
                Answer::Rows(found) => assert_eq!(found.len(), 1, "{key} by {coordinator}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }
    assert_eq!(
        own_rows(&mut cluster, 0),
        0,
        "it has caught up all the same"
    );
}

/// Increments whose leader's power fails before a periodic sync is due, and which it goes on counting from.
fn counted_by_one_who_dies(seed: u64) {
    let mut cluster = Cluster::founded(seed, 3, 4, 1).expect("a cluster");
    for node in &mut cluster.nodes {
        node.sync_by(SyncMode::Periodic { ms: 10_000 });
    }
    ready(&mut cluster);
    let table = "CREATE TABLE ks.c (k int PRIMARY KEY, n counter)";
    done(&mut cluster, 0, Consistency::One, table);
    cluster.pass(2_000);
    // The one who is asked leads; power fails at it before a sync is due.
    let count = "UPDATE ks.c SET n = n + 1 WHERE k = 1";
    for _ in 0..3 {
        done(&mut cluster, 2, Consistency::All, count);
    }
    cluster.nodes[2].crash();
    for other in 0..2 {
        cluster.network.cut.insert((2, other));
        cluster.network.cut.insert((other, 2));
    }
    start(&mut cluster, 2);
    // It counts on before it has heard of what it may have forgotten.
    alone(&mut cluster, 2);
    done(&mut cluster, 2, Consistency::One, count);
    cluster.network.cut.clear();
    cluster.pass(10_000);
    let four = Answer::Rows(vec![vec![Some(4_u64.to_be_bytes().to_vec())]]);
    let text = "SELECT n FROM ks.c WHERE k = 1";
    assert_eq!(ask(&mut cluster, 0, Consistency::All, text), four);
}

#[test]
fn increments_that_were_acknowledged_survive_their_leader_under_periodic_syncs() {
    (18..24).for_each(counted_by_one_who_dies);
}

#[test]
fn increments_are_caught_up_on() {
    let mut cluster = started(16);
    let table = "CREATE TABLE ks.c (k int PRIMARY KEY, n counter)";
    done(&mut cluster, 0, Consistency::One, table);
    cluster.pass(2_000);
    cluster.nodes[2].crash();
    cluster.pass(5_000);
    for turn in 0..20 {
        let text = format!("UPDATE ks.c SET n = n + 1 WHERE k = {}", turn % 4);
        done(&mut cluster, turn % 2, Consistency::Quorum, &text);
    }
    start(&mut cluster, 2);
    cluster.pass(10_000);
    alone(&mut cluster, 2);
    for key in 0..4 {
        let text = format!("SELECT n FROM ks.c WHERE k = {key}");
        let five = Answer::Rows(vec![vec![Some(5_u64.to_be_bytes().to_vec())]]);
        assert_eq!(ask(&mut cluster, 2, Consistency::One, &text), five);
    }
}

/// Whether a node says of itself, for the group of all, that it may be trusted.
fn is_fresh(cluster: &mut Cluster, node: usize) -> bool {
    let text = "SELECT replicas, address, fresh FROM system_views.convergence";
    let of_all = "127.0.0.1 127.0.0.2 127.0.0.3";
    let own = [127, 0, 0, node as u8 + 1];
    match ask(cluster, node, Consistency::One, text) {
        Answer::Rows(found) => found.iter().any(|row| {
            let cells = row.iter().map(|cell| cell.as_deref().unwrap_or_default());
            cells.eq([of_all.as_bytes(), &own, &[1]])
        }),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_held_without_payload_is_told_to_who_lacks_it() {
    let mut cluster = started(17);
    cluster.nodes[2].crash();
    cluster.pass(5_000);
    cluster.network.cut.insert((0, 1));
    let text = "INSERT INTO ks.t (k, v) VALUES (1, 1)";
    done(&mut cluster, 0, Consistency::One, text);
    cluster.network.cut.clear();
    // Before the other one knows of it and fetches it.
    done(&mut cluster, 1, Consistency::One, "TRUNCATE ks.t");
    cluster.pass(5_000);
    assert!(is_fresh(&mut cluster, 1));
    cluster.nodes[0].crash();
    start(&mut cluster, 2);
    cluster.pass(10_000);
    cluster.nodes[2].connect().expect("a superuser");
    assert!(is_fresh(&mut cluster, 2), "it waits for what nobody has");
}

/// Logs of ids that a node has not forgotten.
fn logs(cluster: &Cluster, node: usize) -> usize {
    let shards = cluster.nodes[node].describe();
    let texts = shards
        .iter()
        .filter_map(|text| text.split(" logs of ids").next()?.rsplit(' ').next());
    texts.filter_map(|count| count.parse::<usize>().ok()).sum()
}

#[test]
fn what_is_settled_is_forgotten_and_starts_leave_nothing_behind() {
    let mut cluster = started(18);
    let mut counts = Vec::new();
    for round in 0..4 {
        for node in 0..3 {
            for key in 0..6 {
                let text = format!("INSERT INTO ks.t (k, v) VALUES ({key}, {round})");
                done(&mut cluster, (node + key) % 3, Consistency::Quorum, &text);
            }
            cluster.nodes[node].crash();
            start(&mut cluster, node);
            cluster.nodes[node].connect().expect("a superuser");
            cluster.pass(3_000);
        }
        counts.push((0..3).map(|node| logs(&cluster, node)).max());
    }
    assert!(counts[0] >= Some(1), "{counts:?}");
    assert!(counts[3] <= counts[0], "they grow: {counts:?}");
    assert_eq!(own_rows(&mut cluster, 2), 6);
}

/// The protocol's `Unavailable`.
const UNAVAILABLE: i32 = 0x1000;

/// The value of a row, asked of a node at a level with a bound.
fn bounded(cluster: &mut Cluster, node: usize, level: Consistency, bound: &'static str) -> Answer {
    let asking = Asking {
        max_staleness: Some(bound),
        ..Asking::new(level, "SELECT v FROM ks.t WHERE k = 1")
    };
    ask_for(cluster, node, &asking)
}

#[test]
fn an_answer_is_no_older_than_was_asked_for() {
    let mut cluster = started(19);
    let one = |value: u32| Answer::Rows(vec![vec![Some(value.to_be_bytes().to_vec())]]);
    let first = "INSERT INTO ks.t (k, v) VALUES (1, 1)";
    done(&mut cluster, 0, Consistency::Quorum, first);
    cluster.pass(3_000);
    for node in 0..3 {
        for level in [Consistency::One, Consistency::LocalOne] {
            assert_eq!(bounded(&mut cluster, node, level, "2s"), one(1));
        }
    }
    match bounded(&mut cluster, 0, Consistency::One, "soon") {
        Answer::Error(0x2200, _) => {}
        other => panic!("{other:?}"),
    }
    // One that hears nobody misses a write, and does not know.
    alone(&mut cluster, 2);
    let second = "INSERT INTO ks.t (k, v) VALUES (1, 2)";
    done(&mut cluster, 0, Consistency::Quorum, second);
    cluster.pass(4_000);
    let text = "SELECT v FROM ks.t WHERE k = 1";
    assert_eq!(ask(&mut cluster, 2, Consistency::One, text), one(1));
    assert_eq!(bounded(&mut cluster, 2, Consistency::One, "1m"), one(1));
    for level in [Consistency::One, Consistency::LocalOne] {
        match bounded(&mut cluster, 2, level, "2s") {
            Answer::Error(UNAVAILABLE, _) => {}
            other => panic!("{other:?}"),
        }
    }
    // The others are heard again, and what was missed is not there yet.
    cluster.network.heal(cluster.nanos);
    for _ in 0..20 {
        cluster.pass(100);
        match bounded(&mut cluster, 2, Consistency::One, "2s") {
            Answer::Error(UNAVAILABLE, _) => {}
            answer => assert_eq!(answer, one(2)),
        }
    }
    assert_eq!(bounded(&mut cluster, 2, Consistency::One, "2s"), one(2));
}
