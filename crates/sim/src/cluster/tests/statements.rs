//! Statements of every kind, from every node, at every level that can be had: three nodes, three replicas, one of them away for a while.

use super::know_each_other;
use crate::cluster::Cluster;
use crate::node::machine::Answer;
use model::error::Consistency;

/// The protocol's `Unavailable`.
const UNAVAILABLE: i32 = 0x1000;

/// Three nodes of so many shards that serve, with a client each.
fn cluster(seed: u64, shards: u16) -> Cluster {
    let mut cluster = Cluster::new(seed, 3);
    for node in &mut cluster.nodes {
        node.start(shards);
    }
    ready(&mut cluster);
    cluster.pass(10_000);
    for node in &mut cluster.nodes {
        node.connect().expect("a client logs in");
    }
    cluster
}

fn ready(cluster: &mut Cluster) {
    for _ in 0..200 {
        cluster.pass(100);
        let mut nodes = cluster.nodes.iter();
        if nodes.all(|node| node.is_ready() == Ok(true)) && know_each_other(cluster, 3) {
            return;
        }
    }
    panic!("three nodes are one cluster");
}

/// Sends a statement to a node, and runs all of them until it is answered.
fn ask(cluster: &mut Cluster, node: usize, level: Consistency, text: &str) -> Answer {
    let request = cluster.nodes[node].query_at(level, 0, text);
    for _ in 0..30_000 {
        if let Some(answer) = cluster.nodes[node].answers.remove(&request) {
            return answer;
        }
        cluster.pass(1);
    }
    panic!("never answered: {text}");
}

/// The answer is no error.
fn run(cluster: &mut Cluster, node: usize, level: Consistency, text: &str) {
    match ask(cluster, node, level, text) {
        Answer::Error(code, message) => panic!("{text} at node {node}: {code:#x} {message}"),
        Answer::Done | Answer::Rows(_) | Answer::Prepared(_) => {}
    }
}

/// The rows of an answer: numbers as they are, of whatever width.
fn rows(cluster: &mut Cluster, node: usize, level: Consistency, text: &str) -> Vec<Vec<i64>> {
    let number = |cell: &Option<Vec<u8>>| {
        let bytes = cell.as_deref().unwrap_or_default();
        let negative = bytes
            .first()
            .is_some_and(|first| first & 0x80 != 0 && bytes.len() > 1);
        let start = if negative { -1 } else { 0 };
        bytes
            .iter()
            .fold(start, |sum: i64, byte| sum << 8 | i64::from(*byte))
    };
    match ask(cluster, node, level, text) {
        Answer::Rows(rows) => rows
            .iter()
            .map(|row| row.iter().map(number).collect())
            .collect(),
        other => panic!("{text} at node {node}: {other:?}"),
    }
}

/// Tables with as many replicas as there are nodes that have tokens.
fn create(cluster: &mut Cluster) {
    let factor = replicas(cluster);
    let keyspace = format!(
        "CREATE KEYSPACE k WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': {factor}}}"
    );
    for text in [
        keyspace.as_str(),
        "CREATE TABLE k.t (k int, c int, s int static, v int, PRIMARY KEY (k, c))",
        "CREATE TABLE k.n (k int PRIMARY KEY, n counter)",
        "CREATE TABLE k.l (k int PRIMARY KEY, l list<int>)",
    ] {
        run(cluster, 0, Consistency::One, text);
    }
    cluster.pass(2_000);
}

const QUORUM: Consistency = Consistency::Quorum;

fn fill(cluster: &mut Cluster) {
    for k in 0..40 {
        for c in 0..3 {
            let text = format!(
                "INSERT INTO k.t (k, c, v) VALUES ({k}, {c}, {})",
                k * 10 + c
            );
            run(cluster, (k % 3) as usize, QUORUM, &text);
        }
    }
}

#[test]
fn ranges_are_read_from_every_node() {
    let mut cluster = cluster(2, 2);
    create(&mut cluster);
    fill(&mut cluster);
    for node in 0..3 {
        let cluster = &mut cluster;
        assert_eq!(
            rows(cluster, node, QUORUM, "SELECT count(*) FROM k.t"),
            [[120]]
        );
        let text = "SELECT k, c, v FROM k.t WHERE k IN (1, 2, 39, 77)";
        assert_eq!(rows(cluster, node, QUORUM, text).len(), 9);
        let text = "SELECT DISTINCT k FROM k.t";
        assert_eq!(rows(cluster, node, QUORUM, text).len(), 40);
        let text = "SELECT k, max(v) FROM k.t GROUP BY k";
        assert_eq!(rows(cluster, node, QUORUM, text).len(), 40);
        let text = "SELECT v FROM k.t WHERE v = 211 ALLOW FILTERING";
        assert_eq!(rows(cluster, node, QUORUM, text), [[211]]);
        let text = "SELECT v FROM k.t WHERE v > 300 LIMIT 7 ALLOW FILTERING";
        assert_eq!(rows(cluster, node, QUORUM, text).len(), 7);
        let below = "SELECT count(*) FROM k.t WHERE token(k) < 0";
        let above = "SELECT count(*) FROM k.t WHERE token(k) >= 0";
        let [below, above] = [below, above].map(|text| rows(cluster, node, QUORUM, text)[0][0]);
        assert_eq!(below + above, 120);
        let text = "SELECT k FROM k.t PER PARTITION LIMIT 1 LIMIT 30";
        assert_eq!(rows(cluster, node, QUORUM, text).len(), 30);
    }
}

#[test]
fn increments_count_once_and_batches_happen_whole() {
    let mut cluster = cluster(3, 2);
    create(&mut cluster);
    for round in 0..30 {
        let text = format!("UPDATE k.n SET n = n + {round} WHERE k = {}", round % 2);
        run(&mut cluster, round % 3, QUORUM, &text);
    }
    let batch = "BEGIN BATCH INSERT INTO k.t (k, c, v) VALUES (1, 1, 1); INSERT INTO k.t (k, c, v) VALUES (2, 2, 2); INSERT INTO k.l (k, l) VALUES (1, [1, 2, 3]); APPLY BATCH";
    run(&mut cluster, 1, QUORUM, batch);
    run(
        &mut cluster,
        2,
        QUORUM,
        "UPDATE k.l SET l[1] = 7 WHERE k = 1",
    );
    run(&mut cluster, 0, QUORUM, "DELETE l[0] FROM k.l WHERE k = 1");
    for node in 0..3 {
        let cluster = &mut cluster;
        assert_eq!(
            rows(cluster, node, QUORUM, "SELECT n FROM k.n WHERE k = 0"),
            [[210]]
        );
        assert_eq!(
            rows(cluster, node, QUORUM, "SELECT n FROM k.n WHERE k = 1"),
            [[225]]
        );
        assert_eq!(rows(cluster, node, QUORUM, "SELECT v FROM k.t").len(), 2);
        let text = "SELECT k FROM k.l WHERE l CONTAINS 7 ALLOW FILTERING";
        assert_eq!(rows(cluster, node, QUORUM, text), [[1]]);
    }
    cluster.pass(30_000);
    for node in 0..3 {
        let text = "SELECT count(*) FROM system.batches";
        assert_eq!(rows(&mut cluster, node, Consistency::One, text), [[0]]);
    }
}

#[test]
fn conditions_are_decided_once() {
    let mut cluster = cluster(4, 2);
    create(&mut cluster);
    let inserts: Vec<_> = (0..3)
        .map(|node| {
            let text = format!("INSERT INTO k.t (k, c, v) VALUES (1, 1, {node}) IF NOT EXISTS");
            cluster.nodes[node].query_at(QUORUM, 0, &text)
        })
        .collect();
    let mut answers = vec![None; 3];
    for _ in 0..10_000 {
        cluster.pass(1);
        for (node, request) in inserts.iter().enumerate() {
            let answer = cluster.nodes[node].answers.remove(request);
            answers[node] = answers[node].take().or(answer);
        }
        if answers.iter().all(Option::is_some) {
            break;
        }
    }
    let applied: Vec<usize> = (0..3)
        .filter(|node| match &answers[*node] {
            Some(Answer::Rows(rows)) => rows[0][0].as_deref() == Some(&[1]),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(applied.len(), 1, "{answers:?}");
    let winner = applied[0] as i64;
    for node in 0..3 {
        let text = "SELECT v FROM k.t WHERE k = 1";
        for level in [Consistency::Serial, Consistency::LocalSerial, QUORUM] {
            assert_eq!(rows(&mut cluster, node, level, text), [[winner]], "{level}");
        }
    }
    for round in 0..12 {
        let text = format!(
            "UPDATE k.t SET v = {} WHERE k = 1 AND c = 1 IF v = {}",
            101 + round,
            100 + round
        );
        let expected = i64::from(round > 0);
        if round == 0 {
            run(
                &mut cluster,
                0,
                QUORUM,
                "UPDATE k.t SET v = 100 WHERE k = 1 AND c = 1 IF EXISTS",
            );
        }
        let answer = rows(&mut cluster, round % 3, QUORUM, &text);
        assert_eq!(answer[0][0], 1, "round {round}, {expected}");
    }
    let text = "UPDATE k.t SET v = 5 WHERE k = 1 AND c = 1 IF v = 3";
    assert_eq!(rows(&mut cluster, 2, QUORUM, text), [[0, 112]]);
}

/// The replicas of the test's keyspace: those that have tokens.
fn replicas(cluster: &mut Cluster) -> usize {
    let has_tokens = |node| {
        let text = "SELECT tokens FROM system.local";
        match ask(cluster, node, Consistency::One, text) {
            Answer::Rows(rows) => rows[0][0].as_ref().is_some_and(|tokens| tokens.len() > 4),
            other => panic!("{other:?}"),
        }
    };
    (0..3).map(has_tokens).filter(|has| *has).count()
}

#[test]
fn one_node_away_and_back() {
    let mut cluster = cluster(5, 2);
    create(&mut cluster);
    assert_eq!(replicas(&mut cluster), 3);
    fill(&mut cluster);
    run(
        &mut cluster,
        0,
        QUORUM,
        "UPDATE k.n SET n = n + 1 WHERE k = 0",
    );
    cluster.nodes[2].kill();
    cluster.pass(4_000);
    for node in 0..2 {
        let cluster = &mut cluster;
        run(
            cluster,
            node,
            QUORUM,
            "UPDATE k.n SET n = n + 1 WHERE k = 0",
        );
        let text = format!("UPDATE k.t SET v = {node} WHERE k = 3 AND c = 0");
        run(cluster, node, QUORUM, &text);
        run(
            cluster,
            node,
            QUORUM,
            "DELETE FROM k.t WHERE k = 4 AND c = 1",
        );
        assert_eq!(
            rows(cluster, node, QUORUM, "SELECT count(*) FROM k.t"),
            [[119]]
        );
        let text = format!("INSERT INTO k.t (k, c, v) VALUES (100, {node}, 1) IF NOT EXISTS");
        assert_eq!(rows(cluster, node, QUORUM, &text), [[1]]);
        run(cluster, node, QUORUM, "DELETE FROM k.t WHERE k = 100");
        match ask(
            cluster,
            node,
            Consistency::All,
            "SELECT v FROM k.t WHERE k = 3",
        ) {
            Answer::Error(UNAVAILABLE, _) => {}
            other => panic!("{other:?}"),
        }
    }
    cluster.nodes[2].start(1);
    ready(&mut cluster);
    cluster.pass(4_000);
    cluster.nodes[2].connect().expect("a client logs in");
    let all = Consistency::All;
    let text = "SELECT v FROM k.t WHERE k = 3 AND c = 0";
    assert_eq!(rows(&mut cluster, 2, all, text), [[1]]);
    assert_eq!(
        rows(&mut cluster, 2, all, "SELECT count(*) FROM k.t"),
        [[119]]
    );
    assert_eq!(
        rows(&mut cluster, 2, all, "SELECT n FROM k.n WHERE k = 0"),
        [[3]]
    );
    // The read has repaired what it met.
    assert_eq!(rows(&mut cluster, 2, Consistency::One, text), [[1]]);
}

/// Starts a node again, with a client.
fn back(cluster: &mut Cluster, node: usize) {
    cluster.nodes[node].start(2);
    ready(cluster);
    cluster.pass(3_000);
    cluster.nodes[node].connect().expect("a client logs in");
}

#[test]
fn batches_of_a_coordinator_that_died_happen_whole_or_not_at_all() {
    let mut cluster = cluster(6, 2);
    create(&mut cluster);
    for (round, delay) in [1, 3, 5, 7, 9, 12].into_iter().enumerate() {
        let inserts: String = (0..5)
            .map(|k| format!("INSERT INTO k.t (k, c, v) VALUES ({k}, {round}, 1); "))
            .collect();
        let batch = format!("BEGIN BATCH {inserts} APPLY BATCH");
        cluster.nodes[1].query_at(QUORUM, 0, &batch);
        cluster.pass(delay);
        cluster.nodes[1].kill();
        cluster.pass(3_000);
        back(&mut cluster, 1);
    }
    cluster.pass(30_000);
    for round in 0..6 {
        let text = format!("SELECT k FROM k.t WHERE c = {round} ALLOW FILTERING");
        let found = rows(&mut cluster, 0, QUORUM, &text).len();
        assert!(found == 0 || found == 5, "{found} of round {round}");
    }
}

#[test]
fn increments_whose_leader_died_count_once_or_not_at_all() {
    let mut cluster = cluster(7, 2);
    create(&mut cluster);
    let increment = "UPDATE k.n SET n = n + 1 WHERE k = 0";
    let mut sent = Vec::new();
    for round in 0..40 {
        if round == 20 {
            cluster.nodes[2].kill();
        }
        let node = round % 2;
        sent.push((node, cluster.nodes[node].query_at(QUORUM, 0, increment)));
        cluster.pass(3);
    }
    cluster.pass(10_000);
    let done = |(node, request): &(usize, u64)| {
        matches!(
            cluster.nodes[*node].answers.get(request),
            Some(Answer::Done)
        )
    };
    let acknowledged = sent.iter().filter(|sent| done(sent)).count() as i64;
    assert!(acknowledged >= 30, "{acknowledged}");
    back(&mut cluster, 2);
    let text = "SELECT n FROM k.n WHERE k = 0";
    let counted = rows(&mut cluster, 2, Consistency::All, text)[0][0];
    assert!(
        (acknowledged..=40).contains(&counted),
        "{acknowledged} {counted}"
    );
    assert_eq!(rows(&mut cluster, 0, Consistency::All, text), [[counted]]);
}

#[test]
fn what_waits_for_a_node_that_went_away_is_told_early() {
    const READ_TIMEOUT: i32 = 0x1200;
    let mut cluster = cluster(8, 1);
    create(&mut cluster);
    run(
        &mut cluster,
        0,
        QUORUM,
        "INSERT INTO k.t (k, c, v) VALUES (1, 1, 1)",
    );
    for other in 0..2 {
        cluster.network.cut.extend([(2, other), (other, 2)]);
    }
    let text = "SELECT v FROM k.t WHERE k = 1";
    let request = cluster.nodes[0].query_at(Consistency::All, 0, text);
    let mut waited = 0;
    let answer = loop {
        cluster.pass(10);
        waited += 10;
        if let Some(answer) = cluster.nodes[0].answers.remove(&request) {
            break answer;
        }
    };
    assert!(
        matches!(answer, Answer::Error(READ_TIMEOUT, _)),
        "{answer:?}"
    );
    assert!(waited < 3_000, "{waited} ms");
    assert_eq!(rows(&mut cluster, 0, QUORUM, text), [[1]]);
}

/// The only value of the register of the next test.
fn register(cluster: &mut Cluster, node: usize) -> i64 {
    rows(
        cluster,
        node,
        Consistency::Serial,
        "SELECT v FROM k.t WHERE k = 9",
    )[0][0]
}

#[test]
fn a_register_moves_once_for_each_swap_that_was_applied() {
    let mut cluster = cluster(9, 2);
    create(&mut cluster);
    run(
        &mut cluster,
        0,
        QUORUM,
        "INSERT INTO k.t (k, c, v) VALUES (9, 1, 0)",
    );
    let mut value = 0;
    for round in 0..24 {
        match round {
            8 => cluster.nodes[2].kill(),
            16 => back(&mut cluster, 2),
            _ => {}
        }
        let alive = if (8..16).contains(&round) { 2 } else { 3 };
        let requests: Vec<(usize, u64)> = (0..2 * alive)
            .map(|client| {
                let text = format!(
                    "UPDATE k.t SET v = {} WHERE k = 9 AND c = 1 IF v = {value}",
                    value + 1
                );
                let node = client % alive;
                (
                    node,
                    cluster.nodes[node].query_at(QUORUM, (client % 2) as u16, &text),
                )
            })
            .collect();
        cluster.pass(4_000);
        let (mut applied, mut unknown) = (0, 0);
        for (node, request) in requests {
            match cluster.nodes[node].answers.remove(&request) {
                Some(Answer::Rows(rows)) if rows[0][0].as_deref() == Some(&[1]) => applied += 1,
                Some(Answer::Rows(_)) => {}
                Some(Answer::Error(..)) => unknown += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(applied <= 1, "{applied} in round {round}");
        let seen = register(&mut cluster, round % alive);
        assert!(
            seen == value + 1 || seen == value && applied == 0,
            "{seen} after {value}"
        );
        assert!(
            applied == 1 || unknown > 0,
            "somebody is first in round {round}"
        );
        for node in 0..alive {
            assert_eq!(register(&mut cluster, node), seen);
        }
        value = seen;
    }
    assert!(value > 12, "{value}");
}

#[test]
fn a_replica_that_is_slow_is_not_waited_for() {
    let mut cluster = cluster(10, 2);
    create(&mut cluster);
    let text = "ALTER TABLE k.t WITH speculative_retry = '50ms'";
    run(&mut cluster, 0, Consistency::One, text);
    for k in 0..8 {
        let text = format!("INSERT INTO k.t (k, c, v) VALUES ({k}, 1, 1)");
        run(&mut cluster, 0, Consistency::All, &text);
    }
    cluster.network.cut.extend([(1, 0), (0, 1)]);
    let requests: Vec<u64> = (0..8)
        .map(|k| {
            let text = format!("SELECT v FROM k.t WHERE k = {k}");
            cluster.nodes[0].query_at(QUORUM, 0, &text)
        })
        .collect();
    cluster.pass(200);
    for request in requests {
        let answer = cluster.nodes[0].answers.remove(&request);
        assert!(matches!(answer, Some(Answer::Rows(_))), "{answer:?}");
    }
}
