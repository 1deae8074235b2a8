//! What is dropped or truncated is kept in a snapshot first, on a full disk nothing goes, and a crash in between leaves no
//! files of tables there are no more.

use super::machine::{Answer, Machine};
use super::tests::{serving, start};

const KEYSPACE: &str =
    "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}";

fn ask(machine: &mut Machine, text: &str) -> Answer {
    machine.ask(0, text).expect("it is answered")
}

fn done(machine: &mut Machine, text: &str) {
    if let Answer::Error(code, message) = ask(machine, text) {
        panic!("{text}: {code:x} {message}");
    }
}

/// A node with `ks.t` of so many rows.
fn with_rows(rows: usize) -> Machine {
    let mut machine = serving();
    done(&mut machine, KEYSPACE);
    done(
        &mut machine,
        "CREATE TABLE ks.t (k int PRIMARY KEY, v text)",
    );
    for row in 0..rows {
        let insert = format!("INSERT INTO ks.t (k, v) VALUES ({row}, 'value')");
        done(&mut machine, &insert);
    }
    machine
}

fn rows(machine: &mut Machine, text: &str) -> usize {
    match ask(machine, text) {
        Answer::Rows(rows) => rows.len(),
        other => panic!("{text}: {other:?}"),
    }
}

/// Paths of `ks` below a snapshot of this kind, and those that are in none.
fn files(machine: &Machine, kind: &str) -> (Vec<String>, Vec<String>) {
    let files = machine.disk.files().into_iter().map(|(path, _)| path);
    let (kept, others): (Vec<_>, Vec<_>) = files
        .filter(|path| path.starts_with("data/ks/"))
        .partition(|path| path.contains("/snapshots/"));
    let of_kind = format!("/snapshots/{kind}-");
    let kept = kept.into_iter().filter(|path| path.contains(&of_kind));
    (kept.collect(), others)
}

/// Each of two shards has one SSTable and its list, and the node the statement and the manifest.
fn is_whole(kept: &[String]) -> bool {
    let ends = |suffix: &str| kept.iter().filter(|path| path.ends_with(suffix)).count();
    ends(".sst") == 2 && ends("/schema.cql") == 1 && ends("/manifest.json") == 1 && kept.len() == 6
}

#[test]
fn what_is_truncated_or_dropped_is_kept() {
    let mut machine = with_rows(20);
    done(&mut machine, "TRUNCATE ks.t");
    assert_eq!(rows(&mut machine, "SELECT * FROM ks.t"), 0);
    let (kept, _) = files(&machine, "truncated");
    assert!(is_whole(&kept), "{kept:#?}");
    let schema = kept.iter().find(|path| path.ends_with("schema.cql"));
    let schema = machine.disk.content(schema.expect("it is whole"));
    let schema = String::from_utf8_lossy(schema.expect("listed")).into_owned();
    assert!(
        schema.contains("CREATE TABLE ks.t (") && schema.contains("ID = "),
        "{schema}"
    );
    done(&mut machine, "TRUNCATE ks.t");
    assert_eq!(
        files(&machine, "truncated").0,
        kept,
        "nothing is no snapshot"
    );

    for row in 0..20 {
        done(
            &mut machine,
            &format!("INSERT INTO ks.t (k, v) VALUES ({row}, 'new')"),
        );
    }
    done(&mut machine, "DROP KEYSPACE ks");
    let (kept, _) = files(&machine, "dropped");
    assert!(is_whole(&kept), "{kept:#?}");
    let shown = "SELECT * FROM system_views.snapshots";
    assert_eq!(rows(&mut machine, shown), 2);
    machine.crash();
    start(&mut machine);
    machine.pass(1_000);
    assert_eq!(rows(&mut machine, shown), 2);
    let (still, others) = files(&machine, "dropped");
    assert_eq!(still, kept);
    assert!(others.is_empty(), "{others:#?}");
}

#[test]
fn a_table_may_be_kept_out_of_snapshots() {
    let mut machine = with_rows(20);
    done(
        &mut machine,
        "ALTER TABLE ks.t WITH allow_auto_snapshot = false",
    );
    done(&mut machine, "TRUNCATE ks.t");
    done(&mut machine, "DROP TABLE ks.t");
    for kind in ["truncated", "dropped"] {
        assert!(files(&machine, kind).0.is_empty());
    }
}

#[test]
fn on_a_full_disk_nothing_goes() {
    for statement in ["TRUNCATE ks.t", "DROP TABLE ks.t"] {
        let mut machine = with_rows(200);
        machine.disk.faults.capacity = machine.disk.used();
        let Answer::Error(_, message) = ask(&mut machine, statement) else {
            panic!("{statement} on a full disk");
        };
        assert!(message.contains("no space"), "{message}");
        assert_eq!(rows(&mut machine, "SELECT * FROM ks.t"), 200);
        machine.disk.faults.capacity = u64::MAX;
        machine.pass(5_000);
        done(&mut machine, statement);
        let (truncated, dropped) = (files(&machine, "truncated").0, files(&machine, "dropped").0);
        assert!(is_whole(&truncated) || is_whole(&dropped));
    }
}

#[test]
fn whenever_the_power_fails_a_dropped_table_leaves_nothing_else() {
    let (mut still_there, mut gone) = (0, 0);
    for turns in (0..400).step_by(10) {
        let mut machine = with_rows(10);
        machine.query(0, "DROP TABLE ks.t");
        for _ in 0..turns {
            machine.turn();
        }
        machine.crash();
        start(&mut machine);
        machine.pass(1_000);
        let (kept, others) = files(&machine, "dropped");
        match ask(&mut machine, "SELECT * FROM ks.t") {
            Answer::Rows(rows) => {
                assert_eq!(rows.len(), 10, "after {turns} turns");
                still_there += 1;
            }
            _ => {
                gone += 1;
                assert!(is_whole(&kept), "after {turns} turns: {kept:#?}");
                assert!(others.is_empty(), "after {turns} turns: {others:#?}");
            }
        }
    }
    assert!(still_there > 5 && gone > 5, "{still_there} and {gone}");
}
