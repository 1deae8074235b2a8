//! `cargo xtask sim`: the simulator's command line, see `crates/sim/src/main.rs`.

use crate::{TaskResult, paths};
use std::process::Command;

/// Runs it with these arguments.
pub fn run(arguments: &[&str]) -> TaskResult {
    let mut simulator = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    simulator
        .args(["run", "--quiet", "--package", "sim", "--"])
        .args(arguments)
        .current_dir(paths::root());
    match simulator.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(String::new()),
        Err(error) => Err(format!("cargo: {error}")),
    }
}
