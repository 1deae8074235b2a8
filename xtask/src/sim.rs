//! `cargo xtask sim`: the simulator's command line, see `crates/sim/src/main.rs`.
//!
//! Who runs it by hand runs it for long: it is compiled optimised, every check left in (profile `sim`). The test command runs
//! few seeds and has compiled everything for its other tests already: it takes the ordinary profile.

use crate::{TaskResult, paths};
use std::process::Command;

/// Runs it with these arguments.
pub fn run(arguments: &[&str]) -> TaskResult {
    let mut simulator = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    simulator
        .args([
            "run",
            "--quiet",
            "--profile",
            "sim",
            "--package",
            "sim",
            "--",
        ])
        .args(arguments)
        .current_dir(paths::root());
    match simulator.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(String::new()),
        Err(error) => Err(format!("cargo: {error}")),
    }
}
