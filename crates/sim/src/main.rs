//! The simulator's command line: `cargo run -p sim -- storage --seeds N`, `cargo run -p sim -- fuzz --seconds S`.

use sim::storage::Found;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "usage:
  sim storage [--seeds N] [--first SEED] [--seconds S] [--operations N]   crash and check the storage engine
  sim node [--seeds N] [--first SEED] [--seconds S] [--operations N]      crash a whole node and check what clients were told
  sim rot [--seeds N] [--first SEED] [--seconds S]                        flip a byte of a file and see that it is found
  sim planted                                                             see that planted defects are seen
  sim fixture                                                             print a data directory to be kept in crates/sim/fixtures
  sim fuzz [--seconds S] [--first SEED] [--only NAME]                     run every fuzzer
";

/// Which seeds are run, and until when at most.
struct Seeds {
    range: Range<u64>,
    end: Option<Instant>,
}

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
    let seconds = arguments
        .text("--seconds")
        .and_then(|text| text.parse().ok());
    let seeds = Seeds {
        range: first..first + arguments.number("--seeds", 50),
        end: seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds)),
    };
    let ended = match arguments.0.first().map(String::as_str) {
        Some("storage") => storage(&seeds, arguments.number("--operations", 500)),
        Some("node") => node(&seeds, arguments.number("--operations", 300)),
        Some("rot") => rot(&seeds),
        Some("planted") => planted(),
        Some("fixture") => fixture(),
        Some("fuzz") => fuzz(seconds.unwrap_or(60), first, arguments.text("--only")),
        _ => {
            eprint!("{USAGE}");
            Err(ExitCode::from(2))
        }
    };
    ended.err().unwrap_or(ExitCode::SUCCESS)
}

/// Runs seeds one after the other, until the time is up or one fails; a panic is a failure of the seed it came from.
fn each<T>(seeds: &Seeds, run: impl Fn(u64) -> Result<T, String>) -> Result<Vec<T>, ExitCode> {
    let mut done = Vec::new();
    for seed in seeds.range.clone() {
        if seeds.end.is_some_and(|end| Instant::now() >= end) {
            break;
        }
        match catch_unwind(AssertUnwindSafe(|| run(seed))) {
            Ok(Ok(summary)) => done.push(summary),
            Ok(Err(failure)) => {
                eprintln!("{failure}");
                return Err(ExitCode::FAILURE);
            }
            Err(_) => {
                eprintln!("seed {seed} panicked");
                return Err(ExitCode::FAILURE);
            }
        }
    }
    // A machine so slow that it tried nothing has shown nothing.
    if done.is_empty() && !seeds.range.is_empty() {
        eprintln!("the time was up before the first seed ended");
        return Err(ExitCode::FAILURE);
    }
    Ok(done)
}

fn planted() -> Result<(), ExitCode> {
    match sim::planted::check() {
        Ok(seen) => {
            println!("{}", seen.join("\n"));
            Ok(())
        }
        Err(what) => {
            eprintln!("{what}");
            Err(ExitCode::FAILURE)
        }
    }
}

fn storage(seeds: &Seeds, operations: u64) -> Result<(), ExitCode> {
    let runs = each(seeds, |seed| {
        sim::storage::run(seed, operations).map_err(|failure| failure.to_string())
    })?;
    let sum = |figure: fn(&sim::storage::Summary) -> u64| runs.iter().map(figure).sum::<u64>();
    println!(
        "storage: {} seeds, {} writes, {} reads compared, {} restarts: all promises held",
        runs.len(),
        sum(|run| run.writes),
        sum(|run| run.reads),
        sum(|run| run.restarts)
    );
    Ok(())
}

fn node(seeds: &Seeds, operations: u64) -> Result<(), ExitCode> {
    let runs = each(seeds, |seed| {
        sim::node::run(seed, operations).map_err(|failure| failure.to_string())
    })?;
    println!(
        "node: {} seeds, {} requests acknowledged, {} restarts, {} times a full disk: all promises held",
        runs.len(),
        runs.iter().map(|run| run.acknowledged).sum::<u64>(),
        runs.iter().map(|run| run.restarts).sum::<u64>(),
        runs.iter().map(|run| run.full).sum::<u64>()
    );
    Ok(())
}

fn rot(seeds: &Seeds) -> Result<(), ExitCode> {
    let found = each(seeds, |seed| {
        sim::storage::rot(seed).map_err(|failure| failure.to_string())
    })?;
    let count = |what| found.iter().filter(|found| **found == what).count();
    println!(
        "rot: {} found at the start, {} later, {} in bytes that say nothing",
        count(Found::AtStart),
        count(Found::Later),
        count(Found::Harmless)
    );
    // About one byte in seven says nothing; of many seeds a blind checker would find that of all.
    if found.len() >= 20 && count(Found::Harmless) * 2 > found.len() {
        eprintln!("most flipped bytes were not found: the checks see nothing");
        return Err(ExitCode::FAILURE);
    }
    Ok(())
}

fn fixture() -> Result<(), ExitCode> {
    match sim::node::fixture::make() {
        Ok(text) => {
            print!("{text}");
            Ok(())
        }
        Err(what) => {
            eprintln!("{what}");
            Err(ExitCode::FAILURE)
        }
    }
}

fn fuzz(seconds: u64, first: u64, only: Option<&str>) -> Result<(), ExitCode> {
    if let Err(what) = sim::fuzz::check_canary() {
        eprintln!("{what}");
        return Err(ExitCode::FAILURE);
    }
    let chosen: Vec<_> = sim::fuzz::REGISTRY
        .iter()
        .filter(|fuzzer| only.is_none_or(|only| fuzzer.name.contains(only)))
        .collect();
    // Each gets its share of the time: one that is slow leaves the others theirs.
    let share = Duration::from_secs(seconds) / chosen.len().max(1) as u32;
    for fuzzer in &chosen {
        let end = Instant::now() + share;
        let mut seed = first;
        while Instant::now() < end || seed == first {
            if let Err(what) = sim::fuzz::run(fuzzer, seed) {
                eprintln!("{} fails with seed {seed}: {what}", fuzzer.name);
                return Err(ExitCode::FAILURE);
            }
            seed += 1;
        }
        println!("{:<52} {:>8} seeds", fuzzer.name, seed - first);
    }
    println!("fuzz: {} fuzzers: none failed", chosen.len());
    Ok(())
}
