//! A part of the test command in a process of its own, while this one goes on.
//!
//! What needs servers waits for them, for drivers and for the disk most of its time. Its output is kept and shown whole when it
//! ends, so that the lines of parts do not mix; what it came to is in its closing lines.

use super::report::Report;
use crate::command::{self, Ended};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::Duration;

/// Of the twenty-five minutes that the whole command may take.
const LIMIT: Duration = Duration::from_mins(20);

/// A part that runs.
pub struct Beside {
    option: &'static str,
    running: JoinHandle<Ended>,
}

impl Beside {
    /// Begins `cargo xtask test` with this option.
    pub fn start(option: &'static str) -> Self {
        println!("{option} begins beside what follows");
        let running = std::thread::spawn(move || match std::env::current_exe() {
            Ok(own) => command::run(Command::new(own).args(["test", option]), LIMIT),
            Err(error) => Ended {
                success: false,
                output: error.to_string(),
            },
        });
        Self { option, running }
    }

    /// Waits for it, shows what it said and adds what it came to.
    pub fn end(self, report: &mut Report) {
        let name = format!("cargo xtask test {}", self.option);
        report.section(&format!("what ran beside: {}", self.option));
        match self.running.join() {
            Ok(ended) => {
                println!("{}", ended.output);
                report.part(&name, &ended);
            }
            Err(_) => report.step(&name, Err("who waited for it panicked".to_owned())),
        }
    }
}
