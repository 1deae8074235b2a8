//! Development tasks: `cargo xtask test | tidy | golden | sim | bench | server`.
//!
//! Compiled before everything else, so it depends on nothing but the standard library and `blackbox`, which does the same.

// Text tools: a few strings more or less cost nothing, and file names here are written by us.
#![allow(
    clippy::format_push_string,
    clippy::case_sensitive_file_extension_comparisons
)]

mod bench;
mod cassandra;
mod command;
mod golden;
mod paths;
mod sim;
mod test;
mod tidy;

use std::process::ExitCode;

/// What a task gives: an error is a sentence for the developer, empty if all is said.
pub type TaskResult<T = ()> = Result<T, String>;

const USAGE: &str = "\
cargo xtask test --chaos [--rounds N] [--seed N]
                                      real nodes in trouble under a driver's load
cargo xtask test [--quick]            every test; quick leaves out those that need drivers, cqlsh and kill -9
cargo xtask tidy                      what the compiler does not check: edges, banned calls, lengths, documents
cargo xtask golden [--file NAME] [--address IP:PORT] [--all] [--messages]
                                      compare with the recorded answers of Apache Cassandra
cargo xtask golden --record [--file NAME] [--address IP:PORT]
                                      record them anew
cargo xtask golden --count            statements, refusals and distinct shapes of the scripts
cargo xtask sim storage|node|cluster|rot|planted|fuzz [--seeds N] [--first SEED] [--seconds S]
                                      the simulator and the fuzzers, by seed
cargo xtask sim --minutes N           fresh seeds of everything, taking turns
cargo xtask bench [--quick] [--only write,read,…] [--skip-oracle] [--record] …
                                      Helenus, Apache Cassandra and an empty server under the same load
cargo xtask server cassandra start|stop|wipe|nodetool [--ip 127.0.0.9] [--sync group] [ARGUMENTS]
                                      Apache Cassandra 5.0.6 for recording and measuring";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.split_first() {
        Some((&"test", rest)) => test::run(rest),
        Some((&"tidy", _)) => tidy::run(),
        Some((&"golden", rest)) => golden::run(rest),
        Some((&"sim", rest)) => sim::run(rest),
        Some((&"bench", rest)) => bench::run(rest),
        Some((&"server", ["cassandra", rest @ ..])) => cassandra::run(rest),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            // A task whose closing line says it all ends with that line.
            if !sentence.is_empty() {
                eprintln!("{sentence}");
            }
            ExitCode::FAILURE
        }
    }
}
