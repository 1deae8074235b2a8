//! The simulator's command line: `cargo run -p sim -- storage --seeds N`, `cargo run -p sim -- fuzz --seconds S`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "usage:
  sim storage [--seeds N] [--first SEED] [--operations N]   crash and check the storage engine
  sim node [--seeds N] [--first SEED] [--operations N]      crash a whole node and check what clients were told
  sim rot [--seeds N] [--first SEED]                        flip a byte of a file and see that it is found
  sim fuzz [--seconds S] [--first SEED] [--only NAME]       run every fuzzer
";

struct Arguments(Vec<String>);

impl Arguments {
    fn text(&self, name: &str) -> Option<&str> {
        let at = self.0.iter().position(|argument| argument == name)?;
        self.0.get(at + 1).map(String::as_str)
    }

    fn number(&self, name: &str, default: u64) -> u64 {
        self.text(name)
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments(std::env::args().skip(1).collect());
    let first = arguments.number("--first", 0);
    let seeds = first..first + arguments.number("--seeds", 50);
    match arguments.0.first().map(String::as_str) {
        Some("storage") => storage(seeds, arguments.number("--operations", 500)),
        Some("node") => node(seeds, arguments.number("--operations", 300)),
        Some("rot") => rot(seeds),
        Some("fuzz") => fuzz(
            arguments.number("--seconds", 60),
            first,
            arguments.text("--only"),
        ),
        _ => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn storage(seeds: std::ops::Range<u64>, operations: u64) -> ExitCode {
    let (mut runs, mut restarts, mut reads, mut writes) = (0u64, 0, 0, 0);
    for seed in seeds {
        match sim::storage::run(seed, operations) {
            Ok(summary) => {
                runs += 1;
                restarts += summary.restarts;
                reads += summary.reads;
                writes += summary.writes;
            }
            Err(failure) => {
                eprintln!("{failure}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!(
        "storage: {runs} seeds, {writes} writes, {reads} reads compared, {restarts} restarts: all promises held"
    );
    ExitCode::SUCCESS
}

fn node(seeds: std::ops::Range<u64>, operations: u64) -> ExitCode {
    let (mut runs, mut restarts, mut acknowledged) = (0u64, 0, 0);
    for seed in seeds {
        match sim::node::run(seed, operations) {
            Ok(summary) => {
                runs += 1;
                restarts += summary.restarts;
                acknowledged += summary.acknowledged;
            }
            Err(failure) => {
                eprintln!("{failure}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!(
        "node: {runs} seeds, {acknowledged} requests acknowledged, {restarts} restarts: all promises held"
    );
    ExitCode::SUCCESS
}

fn rot(seeds: std::ops::Range<u64>) -> ExitCode {
    let mut counts = [0u64; 3];
    for seed in seeds {
        match sim::storage::rot(seed) {
            Ok(found) => counts[found as usize] += 1,
            Err(failure) => {
                eprintln!("{failure}");
                return ExitCode::FAILURE;
            }
        }
    }
    let [start, later, harmless] = counts;
    println!(
        "rot: {start} found at the start, {later} later, {harmless} in bytes that say nothing"
    );
    ExitCode::SUCCESS
}

fn fuzz(seconds: u64, first: u64, only: Option<&str>) -> ExitCode {
    if let Err(what) = sim::fuzz::check_canary() {
        eprintln!("{what}");
        return ExitCode::FAILURE;
    }
    let chosen: Vec<_> = sim::fuzz::REGISTRY
        .iter()
        .filter(|fuzzer| only.is_none_or(|only| fuzzer.name.contains(only)))
        .collect();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut seed = first;
    while !chosen.is_empty() && (Instant::now() < end || seed == first) {
        for fuzzer in &chosen {
            if let Err(what) = sim::fuzz::run(fuzzer, seed) {
                eprintln!("{} fails with seed {seed}: {what}", fuzzer.name);
                return ExitCode::FAILURE;
            }
        }
        seed += 1;
    }
    println!(
        "fuzz: {} fuzzers, {} seeds each: none failed",
        chosen.len(),
        seed - first
    );
    ExitCode::SUCCESS
}
