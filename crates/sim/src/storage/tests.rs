//! The storage engine keeps its promises for a few seeds; `cargo run -p sim -- storage` tries more.

use super::run;

#[test]
fn promises_hold() {
    for seed in 0..25 {
        if let Err(failure) = run(seed, 400) {
            panic!("{failure}");
        }
    }
}

#[test]
fn seeds_of_old_failures() {
    let seeds = [
        // After a change of the number of shards a compaction read the same blocks by turns, for ever.
        1037,
        // Power failed after a change of the number of shards: what was held was in the old logs, and not yet in the new.
        2009, 5000003, 6000023,
    ];
    for seed in seeds {
        if let Err(failure) = run(seed, 500) {
            panic!("{failure}");
        }
    }
}

#[test]
fn one_seed_is_one_history() {
    for seed in 100..103 {
        let (one, other) = (run(seed, 300).unwrap(), run(seed, 300).unwrap());
        assert_eq!(one, other);
        assert!(one.history != 0 && one.writes > 100 && one.reads > 20);
    }
}
