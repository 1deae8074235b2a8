//! A node keeps its promises for a few seeds; `cargo run -p sim -- node` tries more.

use super::run;

#[test]
fn promises_hold() {
    for seed in 0..12 {
        if let Err(failure) = run(seed, 300) {
            panic!("{failure}");
        }
    }
}

/// Seeds that once broke a promise, with what they showed.
#[test]
fn seeds_of_old_failures() {
    for seed in [
        28,  // the removal of a batch's row was refused and forgotten
        272, // a manifest renamed by a killed process, trusted, and undone by the power failure after that
    ] {
        if let Err(failure) = run(seed, 300) {
            panic!("{failure}");
        }
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
