//! `system.compaction_history` has what compactions did, on whichever shard, also after a restart.

use super::machine::{Answer, Machine};
use super::tests::start;
use crate::random::Rng;
use storage::{Generation, StoreConfig};

fn rows(machine: &mut Machine, text: &str) -> Vec<Vec<Option<Vec<u8>>>> {
    match machine.ask(0, text).expect("it is answered") {
        Answer::Rows(rows) => rows,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn what_compactions_did_is_kept() {
    let generation = Generation {
        number: 0,
        previous: None,
    };
    let store = StoreConfig {
        memtable_bytes: 64 << 10,
        ..StoreConfig::new(0, 1, generation)
    };
    let mut machine = Machine::new(Rng::new(1), store);
    start(&mut machine);
    for text in [
        "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        "CREATE TABLE ks.t (k int PRIMARY KEY, v text)",
    ] {
        assert!(!matches!(machine.ask(0, text), Ok(Answer::Error(..))));
    }
    let history = "SELECT id, keyspace_name, columnfamily_name, bytes_in, bytes_out, rows_merged, ttl(bytes_in) \
                   FROM system.compaction_history";
    let value = "v".repeat(2_000);
    let mut found = Vec::new();
    for row in 0..2_000 {
        let insert = format!("INSERT INTO ks.t (k, v) VALUES ({}, '{value}')", row % 100);
        // The memtables are small: some are refused.
        let _ = machine.ask(0, &insert);
        if row % 100 == 99 {
            found = rows(&mut machine, history);
        }
        if found.len() > 3 {
            break;
        }
    }
    assert!(found.len() > 3, "{found:?}");
    for row in &found {
        let number = |at: usize| {
            let bytes: &[u8] = row[at].as_deref().expect("a number");
            i64::from_be_bytes(bytes.try_into().expect("eight bytes"))
        };
        let name = |at: usize| row[at].as_deref().map(String::from_utf8_lossy);
        assert_eq!(
            (name(1).as_deref(), name(2).as_deref()),
            (Some("ks"), Some("t"))
        );
        assert!(
            0 < number(4) && number(4) < number(3),
            "rows were written over"
        );
        assert!(row[5].is_some());
        let ttl: [u8; 4] = row[6]
            .as_deref()
            .expect("a number")
            .try_into()
            .expect("four");
        assert!(i32::from_be_bytes(ttl) > 604_000, "a week");
    }
    let id = found[0][0].as_deref().expect("a key");
    let id = uuid::Uuid::from_slice(id).expect("a UUID");
    let one = format!("SELECT * FROM system.compaction_history WHERE id = {id}");
    assert_eq!(rows(&mut machine, &one).len(), 1, "its owner has it");
    machine.pass(1_000);
    machine.kill();
    start(&mut machine);
    assert!(rows(&mut machine, history).len() >= found.len());
}
