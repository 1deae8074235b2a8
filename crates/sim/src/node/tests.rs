//! A node keeps its promises for a few seeds; `cargo run -p sim -- node` tries more.

use super::fixture;
use super::machine::{Answer, Machine, OVERLOADED};
use super::run;
use crate::disk::Faults;
use crate::random::Rng;
use ::model::env::{IoRequest, IoTag};
use storage::{Generation, StoreConfig, SyncMode};

#[test]
fn promises_hold() {
    for seed in 0..6 {
        if let Err(failure) = run(seed, 300) {
            panic!("{failure}");
        }
    }
}

/// Seeds that once broke a promise, with what they showed.
#[test]
fn seeds_of_old_failures() {
    for seed in [
        // After the clock was set back, conditional writes were older than what they replaced,
        4, 6, 11, 22, // and the row of a batch was younger than what removed it.
        14, // A conditional write that failed on a full disk was told of, then lost.
        40_011,
    ] {
        if let Err(failure) = run(seed, 300) {
            panic!("{failure}");
        }
    }
}

/// A machine that was not started.
fn idle() -> Machine {
    let generation = Generation {
        number: 0,
        previous: None,
    };
    Machine::new(Rng::new(1), StoreConfig::new(0, 1, generation))
}

/// A machine with a node that serves.
pub(super) fn serving() -> Machine {
    let mut machine = idle();
    start(&mut machine);
    machine
}

pub(super) fn start(machine: &mut Machine) {
    start_with(2, machine);
}

fn start_with(shards: u16, machine: &mut Machine) {
    machine.start(shards);
    while !machine.is_ready().expect("it starts") {
        machine.turn();
    }
    machine.connect().expect("the superuser logs in");
}

/// With periodic syncs, too, an ordered end waits for the disk alone, not for the period.
#[test]
fn a_drain_does_not_wait_for_the_next_periodic_sync() {
    const PERIOD_MS: u64 = 10_000;
    let generation = Generation {
        number: 0,
        previous: None,
    };
    let mut config = StoreConfig::new(0, 1, generation);
    config.sync = SyncMode::Periodic { ms: PERIOD_MS };
    let mut machine = Machine::new(Rng::new(1), config);
    start(&mut machine);
    create(&mut machine, "k int PRIMARY KEY, v int");
    done(&mut machine, "INSERT INTO ks.t (k, v) VALUES (1, 1)");
    let begun = machine.millis();
    machine.drain();
    while !machine.is_drained() {
        machine.turn();
    }
    let took = machine.millis() - begun;
    assert!(took < PERIOD_MS / 10, "the drain took {took} ms");
}

#[test]
fn the_metadata_log_is_replaced_by_what_it_came_to() {
    const TABLES: usize = 40;
    let mut machine = serving();
    let replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}";
    let keyspace = format!("CREATE KEYSPACE ks WITH replication = {replication}");
    assert!(!matches!(machine.ask(0, &keyspace), Ok(Answer::Error(..))));
    for number in 0..TABLES {
        let table = format!("CREATE TABLE ks.t{number} (k int PRIMARY KEY)");
        assert!(!matches!(machine.ask(1, &table), Ok(Answer::Error(..))));
    }
    let replaced = |line: &&String| line.contains("replaced by a snapshot");
    assert!(machine.log.iter().filter(replaced).count() > 1);
    machine.crash();
    start(&mut machine);
    let tables = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'ks'";
    let Ok(Answer::Rows(rows)) = machine.ask(1, tables) else {
        panic!("the tables are listed");
    };
    assert_eq!(rows.len(), TABLES);
}

/// A conditional write that fails on a full disk can be read, and a crash undoes it. Nobody is told of it for certain.
#[test]
fn what_a_full_disk_may_lose_is_not_told() {
    let mut machine = serving();
    let replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}";
    for statement in [
        format!("CREATE KEYSPACE ks WITH replication = {replication}"),
        "CREATE TABLE ks.t (k int PRIMARY KEY, v text)".to_owned(),
        format!("INSERT INTO ks.t (k, v) VALUES (1, '{:03000}')", 0),
    ] {
        assert!(!matches!(machine.ask(0, &statement), Ok(Answer::Error(..))));
    }
    let is_error = |answer: &Result<Answer, String>| matches!(answer, Ok(Answer::Error(..)));
    let swap =
        |from, to| format!("UPDATE ks.t SET v = '{to:03000}' WHERE k = 1 IF v = '{from:03000}'");
    machine.disk.faults.capacity = machine.disk.used() + 20_000;
    let mut value = 0;
    while !is_error(&machine.ask(0, &swap(value, value + 1))) {
        value += 1;
    }
    let serial = machine.select_serially("SELECT v FROM ks.t WHERE k = 1");
    assert!(is_error(&serial), "{serial:?}");
    let refused = machine.ask(0, &swap(value, value + 2));
    assert!(is_error(&refused), "{refused:?}");
    machine.disk.faults = Faults::NONE;
    machine.pass(1_000);
    let there = Some(format!("{:03000}", value + 1).into_bytes());
    let told = Answer::Rows(vec![vec![Some(vec![0]), there]]);
    assert_eq!(machine.ask(0, &swap(value, value + 2)), Ok(told));
}

/// A keyspace, and a table of blobs with one row of so many bytes in each of some partitions.
fn with_blobs(machine: &mut Machine, partitions: u32, bytes: usize) {
    let replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}";
    let blob = "ab".repeat(bytes);
    let keyspace = format!("CREATE KEYSPACE ks WITH replication = {replication}");
    let table = "CREATE TABLE ks.t (k int PRIMARY KEY, v blob)".to_owned();
    let rows = (0..partitions).map(|k| format!("INSERT INTO ks.t (k, v) VALUES ({k}, 0x{blob})"));
    for statement in [keyspace, table].into_iter().chain(rows) {
        assert!(!matches!(machine.ask(0, &statement), Ok(Answer::Error(..))));
    }
}

#[test]
fn rows_that_are_counted_are_held_one_read_at_a_time() {
    let mut machine = idle();
    machine.config.answer_bytes_per_shard = 64 << 10;
    start(&mut machine);
    with_blobs(&mut machine, 8, 50_000);
    let count = "SELECT count(v) FROM ks.t WHERE k IN (0, 1, 2, 3, 4, 5, 6, 7)";
    let counted = Answer::Rows(vec![vec![Some(8u64.to_be_bytes().to_vec())]]);
    assert_eq!(machine.ask(0, count), Ok(counted));
    let rows = "SELECT v FROM ks.t WHERE k IN (0, 1, 2, 3, 4, 5, 6, 7)";
    let refused = machine.ask(0, rows);
    assert!(matches!(refused, Ok(Answer::Error(OVERLOADED, _))));
}

/// The disk takes what it is told to write and never says that it did.
#[test]
fn a_schema_change_on_a_disk_that_hangs_is_answered() {
    let mut machine = idle();
    machine.config.truncate_timeout_ms = 1_000;
    start(&mut machine);
    machine.disk.faults.max_delay = u64::MAX / 4;
    let replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}";
    let says = "may still take effect";
    for name in ["one", "two"] {
        let keyspace = format!("CREATE KEYSPACE {name} WITH replication = {replication}");
        match machine.ask(0, &keyspace) {
            Ok(Answer::Error(_, text)) => assert!(text.contains(says), "{text}"),
            other => panic!("{says}: {other:?}"),
        }
    }
    machine.crash();
    machine.disk.faults = Faults::NONE;
    start(&mut machine);
}

/// With the metadata gone, the commit log would be of tables that nobody knows: it is not thrown away by a start.
#[test]
fn a_commit_log_without_metadata_is_kept() {
    let mut machine = serving();
    machine.kill();
    let path = "metadata.log".to_owned();
    let remove = IoRequest::Remove { path };
    machine.disk.submit(0, IoTag(1), remove, 0);
    while machine.disk.step().is_some() {}
    let segments = |machine: &Machine| {
        let files = machine.disk.files();
        files
            .iter()
            .filter(|(path, _)| path.starts_with("commitlog/"))
            .count()
    };
    let before = segments(&machine);
    assert!(before > 0);
    machine.start(2);
    let failure = loop {
        match machine.is_ready() {
            Ok(true) => panic!("it starts without its metadata"),
            Ok(false) => machine.turn(),
            Err(failure) => break failure,
        }
    };
    assert!(
        failure.contains("metadata.log is missing or empty"),
        "{failure}"
    );
    assert_eq!(segments(&machine), before);
}

#[test]
fn what_one_statement_makes_of_its_values_is_bounded() {
    let mut machine = serving();
    with_blobs(&mut machine, 1, 300_000);
    let keys: Vec<String> = (0..1_000).map(|k| k.to_string()).collect();
    let (keys, blob) = (keys.join(", "), "ab".repeat(100_000));
    let columns = vec!["v"; 1_000].join(", ");
    for (statement, says) in [
        (
            format!("UPDATE ks.t SET v = 0x{blob} WHERE k IN ({keys})"),
            "1000 partitions",
        ),
        (
            format!("SELECT {columns} FROM ks.t WHERE k = 0"),
            "larger than a frame",
        ),
    ] {
        match machine.ask(0, &statement) {
            Ok(Answer::Error(_, text)) => assert!(text.contains(says), "{text}"),
            other => panic!("{says}: {:?}", other.map(|_| "no error")),
        }
    }
}

/// Whoever changes a format without its version is told here.
#[test]
fn a_directory_of_the_first_formats_is_read() {
    for shards in [2, 3, 1] {
        let compared = fixture::check(include_str!("../../fixtures/formats-1.txt"), shards);
        assert_eq!(compared, Ok(5), "by {shards} shards");
    }
}

#[test]
fn a_login_costs_one_check_at_a_time() {
    let mut machine = serving();
    let role = "CREATE ROLE r WITH PASSWORD = 'p' AND LOGIN = true";
    while let Ok(Answer::Error(..)) = machine.ask(1, role) {}
    // The machine has impatient clients try twice, and sees that they are told off.
    for _ in 0..20 {
        assert_eq!(machine.can_log_in("r", "p"), Ok(true));
        assert_eq!(machine.can_log_in("r", "q"), Ok(false));
        assert_eq!(machine.can_log_in("nobody", "cassandra"), Ok(false));
    }
}

#[test]
fn one_seed_is_one_history() {
    for seed in 200..202 {
        let (one, other) = (run(seed, 200).unwrap(), run(seed, 200).unwrap());
        assert_eq!(one, other);
        assert!(one.history != 0 && one.acknowledged > 50 && one.restarts > 0);
    }
}

fn done(machine: &mut Machine, statement: &str) {
    let answer = machine.ask(0, statement);
    assert!(
        matches!(answer, Ok(Answer::Done)),
        "{statement}: {answer:?}"
    );
}

/// Creates `ks` and a table in it, told the columns.
fn create(machine: &mut Machine, columns: &str) {
    let replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}";
    for statement in [
        format!("CREATE KEYSPACE ks WITH replication = {replication}"),
        format!("CREATE TABLE ks.t ({columns})"),
    ] {
        assert!(!matches!(machine.ask(0, &statement), Ok(Answer::Error(..))));
    }
}

#[test]
fn a_select_of_many_partitions_leaves_its_turn_to_others() {
    const KEYS: i32 = 700;
    let mut machine = serving();
    machine.crash();
    // So that it waits for no other shard.
    start_with(1, &mut machine);
    create(&mut machine, "k int PRIMARY KEY, v int");
    for key in 0..KEYS {
        done(
            &mut machine,
            &format!("INSERT INTO ks.t (k, v) VALUES ({key}, {key})"),
        );
    }
    let keys: Vec<String> = (0..KEYS).map(|key| key.to_string()).collect();
    let all = format!("SELECT v FROM ks.t WHERE k IN ({})", keys.join(", "));
    let request = machine.query(0, &all);
    let other = machine.query(0, "SELECT v FROM ks.t WHERE k IN (1, 2, 3)");
    assert!(machine.answers.contains_key(&other));
    assert!(!machine.answers.contains_key(&request));
    while !machine.answers.contains_key(&request) {
        machine.turn();
    }
    let Some(Answer::Rows(rows)) = machine.answers.remove(&request) else {
        panic!("rows were asked for");
    };
    assert_eq!(rows.len(), KEYS as usize);
}

/// Reads for a statement whose deadline passed end with it, and what it would have written is not written.
#[test]
fn reads_before_writes_end_at_the_deadline() {
    let mut machine = serving();
    create(&mut machine, "k int PRIMARY KEY, l list<int>, v int");
    for key in 0..4 {
        done(
            &mut machine,
            &format!("INSERT INTO ks.t (k, l, v) VALUES ({key}, [1, 2], 1)"),
        );
    }
    machine.drain();
    while !machine.is_drained() {
        machine.turn();
    }
    machine.crash();
    start(&mut machine);
    let reading = |line: &String| !line.contains("; 0 tickets");
    for statement in [
        "UPDATE ks.t SET v = 2 WHERE k = 0 IF v = 1",
        "UPDATE ks.t SET l[0] = 5 WHERE k = 1",
        "UPDATE ks.t SET l[0] = 5 WHERE k IN (2, 3)",
        "SELECT v FROM ks.t WHERE k IN (1, 2, 3)",
    ] {
        machine.disk.faults.max_delay = 10_000_000_000_000;
        let answer = machine.ask(0, statement);
        assert!(
            matches!(answer, Ok(Answer::Error(0x1100 | 0x1200, _))),
            "{statement}: {answer:?}"
        );
        machine.pass(10);
        assert!(
            !machine.describe().iter().any(reading),
            "{statement}: {:?}",
            machine.describe()
        );
    }
}

#[test]
fn reads_that_meet_too_many_tombstones_fail() {
    let mut machine = serving();
    create(&mut machine, "k int, c int, v int, PRIMARY KEY (k, c)");
    machine.crash();
    machine.config.tombstone_failure = 20;
    start(&mut machine);
    for key in 0..2 {
        for row in 0..15 {
            done(
                &mut machine,
                &format!("DELETE FROM ks.t WHERE k = {key} AND c = {row}"),
            );
        }
    }
    for range in 0..11 {
        let (from, to) = (range * 10, range * 10 + 5);
        done(
            &mut machine,
            &format!("DELETE FROM ks.t WHERE k = 2 AND c > {from} AND c < {to}"),
        );
    }
    let few = [
        "SELECT v FROM ks.t WHERE k = 0",
        "SELECT v FROM ks.t WHERE k IN (0, 1)",
        "SELECT v FROM ks.t WHERE k = 2 AND c < 40",
    ];
    let many = [
        "SELECT v FROM ks.t",
        "SELECT count(*) FROM ks.t",
        "SELECT v FROM ks.t WHERE k = 2",
    ];
    for statement in few {
        assert!(
            matches!(machine.ask(0, statement), Ok(Answer::Rows(_))),
            "{statement}"
        );
    }
    for statement in many {
        let Ok(Answer::Error(code, message)) = machine.ask(0, statement) else {
            panic!("{statement} is refused");
        };
        assert_eq!(code, 0x1300);
        assert!(message.contains("READ_TOO_MANY_TOMBSTONES"), "{message}");
    }
}
