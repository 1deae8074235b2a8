//! A node keeps its promises for a few seeds; `cargo run -p sim -- node` tries more.

use super::machine::{Answer, Machine};
use super::run;
use crate::random::Rng;
use storage::{Generation, StoreConfig};

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
        14, // after the clock was set back, the row of a batch was younger than what removed it
        22,
    ] {
        if let Err(failure) = run(seed, 300) {
            panic!("{failure}");
        }
    }
}

/// A machine with a node that serves.
fn serving() -> Machine {
    let generation = Generation {
        number: 0,
        previous: None,
    };
    let mut machine = Machine::new(Rng::new(1), StoreConfig::new(0, 1, generation));
    start(&mut machine);
    machine
}

fn start(machine: &mut Machine) {
    machine.start(2);
    while !machine.is_ready().expect("it starts") {
        machine.turn();
    }
    machine.connect().expect("the superuser logs in");
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
