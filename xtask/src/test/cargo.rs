//! What cargo itself can test.

use super::report::Report;
use crate::{command, paths};
use std::process::Command;
use std::time::Duration;

/// A cold build of the workspace and its tests on two cores.
const LIMIT: Duration = Duration::from_mins(20);
const SHOWN_LINES: usize = 60;

fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments).current_dir(paths::root());
    cargo
}

fn step(name: &str, arguments: &[&str], report: &mut Report) {
    let ended = command::run(&mut cargo(arguments), LIMIT);
    report.step(
        name,
        if ended.success {
            Ok(())
        } else {
            Err(ended.tail(SHOWN_LINES))
        },
    );
}

/// `cargo fmt --check`.
pub fn formats(report: &mut Report) {
    step("cargo fmt", &["fmt", "--all", "--check"], report);
}

/// `cargo clippy` with warnings as errors.
pub fn lints(report: &mut Report) {
    step(
        "cargo clippy",
        &[
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "--deny",
            "warnings",
        ],
        report,
    );
}

/// Everything that runs in tests: who runs beside others waits for no compiler.
pub fn build(report: &mut Report) {
    let all = ["build", "--quiet", "--workspace", "--all-targets"];
    step("cargo build", &all, report);
}

/// Stories of simulated clusters: minutes of processor time.
const STORIES: [&str; 4] = ["--skip", "cluster::tests", "--skip", "cluster::tracking"];

/// `cargo test`, counted test by test; without the stories of simulated clusters if that is to be quick.
pub fn tests(stories: bool, report: &mut Report) {
    let mut command = cargo(&["test", "--workspace", "--no-fail-fast"]);
    if !stories {
        command.arg("--").args(STORIES);
    }
    let ended = command::run(&mut command, LIMIT);
    let (passed, failed) = count(&ended.output);
    println!("{passed} passed, {failed} failed in the crates");
    if !ended.success {
        println!("{}", failures(&ended.output));
    }
    // A crate that does not compile has no test to count.
    let failed = if ended.success { failed } else { failed.max(1) };
    report.add(passed, failed);
}

/// The simulated storage engine, nodes and clusters with so many seeds, beside those unit tests run, and the fuzzers for so many seconds,
/// which also bound the simulator: a slow machine runs fewer seeds.
pub fn simulator(seeds: u64, seconds: u64, report: &mut Report) {
    let (count, seconds) = (seeds.to_string(), seconds.to_string());
    let sim = |arguments: &[&str], report: &mut Report| {
        let name = format!("sim {}", arguments[0]);
        let run = ["run", "--quiet", "--package", "sim", "--"];
        let arguments = [&run, arguments, &["--seconds", &seconds]].concat();
        step(&name, &arguments, report);
    };
    let seeds = ["--first", "1000", "--seeds", &count];
    for what in ["storage", "node", "rot", "cluster"] {
        sim(&[&[what], &seeds[..]].concat(), report);
    }
    sim(&["fuzz"], report);
}

/// Sums the lines `test result: ok. 3 passed; 1 failed; …`.
fn count(output: &str) -> (usize, usize) {
    let results = output
        .lines()
        .filter_map(|line| line.strip_prefix("test result: "));
    let number = |line: &str, what: &str| -> usize {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words
            .iter()
            .position(|word| word.trim_end_matches(';') == what);
        at.and_then(|at| words.get(at.checked_sub(1)?)?.parse().ok())
            .unwrap_or(0)
    };
    results.fold((0, 0), |(passed, failed), line| {
        (
            passed + number(line, "passed"),
            failed + number(line, "failed"),
        )
    })
}

/// The parts of the output about failed tests, or its end.
fn failures(output: &str) -> String {
    let blocks: Vec<&str> = output.split("\nfailures:\n").skip(1).step_by(2).collect();
    if blocks.is_empty() {
        let lines: Vec<&str> = output.lines().collect();
        return lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
    }
    blocks.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_crates_are_summed() {
        let output = "test result: ok. 3 passed; 0 failed; 0 ignored\nx\ntest result: FAILED. 4 passed; 2 failed; 1 ignored\n";
        assert_eq!(count(output), (7, 2));
    }
}
