//! `system_views` counts and times what clients and stores do with each table.

use super::machine::{Answer, Machine};
use super::tests::serving;

fn counts(machine: &mut Machine, view: &str) -> (i64, f64) {
    let (count, most) = match view {
        "rows_per_read" | "tombstones_per_read" => ("count", "max"),
        _ => ("count", "max_ms"),
    };
    let text = format!(
        "SELECT {count}, {most} FROM system_views.{view} WHERE keyspace_name = 'ks' AND table_name = 't'"
    );
    match machine.ask(0, &text).expect("it is answered") {
        Answer::Rows(rows) => {
            let cell = |at: usize| -> [u8; 8] {
                let bytes = rows[0][at].as_deref().expect("a number");
                bytes.try_into().expect("eight bytes")
            };
            (i64::from_be_bytes(cell(0)), f64::from_be_bytes(cell(1)))
        }
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn what_is_done_with_a_table_is_counted_and_timed() {
    let mut machine = serving();
    let mut done = |text: &str| {
        let answer = machine.ask(1, text).expect("it is answered");
        assert!(!matches!(answer, Answer::Error(..)), "{text}: {answer:?}");
    };
    done(
        "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
    );
    done("CREATE TABLE ks.t (k int PRIMARY KEY, v int)");
    for k in 0..30 {
        done(&format!("INSERT INTO ks.t (k, v) VALUES ({k}, 1)"));
    }
    done("DELETE v FROM ks.t WHERE k = 29");
    for k in 0..10 {
        done(&format!("SELECT * FROM ks.t WHERE k = {k}"));
    }
    for _ in 0..5 {
        done("SELECT * FROM ks.t");
    }
    // Shards tell one another about themselves once a second.
    machine.pass(2_500);
    let (written, slowest) = counts(&mut machine, "coordinator_write_latency");
    assert!(written == 31 && slowest > 0.0, "{written} {slowest}");
    let (written, slowest) = counts(&mut machine, "local_write_latency");
    assert!(written == 31 && slowest > 0.0, "{written} {slowest}");
    assert_eq!(counts(&mut machine, "coordinator_read_latency").0, 10);
    assert_eq!(counts(&mut machine, "local_read_latency").0, 10);
    assert_eq!(counts(&mut machine, "coordinator_scan_latency").0, 5);
    // Both shards are asked for a range.
    assert!(counts(&mut machine, "local_scan_latency").0 >= 10);
    let (reads, most) = counts(&mut machine, "rows_per_read");
    assert!(
        reads >= 20 && (10.0..=30.0).contains(&most),
        "{reads} {most}"
    );
    let (_, most) = counts(&mut machine, "tombstones_per_read");
    assert!(most >= 1.0, "{most}");
}
