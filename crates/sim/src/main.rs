//! The simulator's command line: `cargo run -p sim -- storage --seeds N`, `cargo run -p sim -- fuzz --seconds S`.

use std::process::ExitCode;

const USAGE: &str = "usage:
  sim storage [--seeds N] [--first SEED] [--operations N]   crash and check the storage engine
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str, default: u64| -> u64 {
        let at = arguments.iter().position(|argument| argument == name);
        let value = at.and_then(|at| arguments.get(at + 1));
        value.and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    match arguments.first().map(String::as_str) {
        Some("storage") => {
            let first = option("--first", 0);
            storage(
                first..first + option("--seeds", 50),
                option("--operations", 500),
            )
        }
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
