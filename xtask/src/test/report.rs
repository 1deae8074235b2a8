//! Counts what passed and failed, and says so.

use crate::TaskResult;
use blackbox::checks::Check;
use std::time::Instant;

/// The outcome so far.
pub struct Report {
    passed: usize,
    failed: usize,
    skipped: Vec<String>,
    began: Instant,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            passed: 0,
            failed: 0,
            skipped: Vec::new(),
            began: Instant::now(),
        }
    }
}

impl Report {
    /// Announces a group of tests.
    pub fn section(&self, name: &str) {
        println!("\n== {name} ({:.0} s)", self.began.elapsed().as_secs_f64());
    }

    /// Adds tests that have spoken for themselves.
    pub fn add(&mut self, passed: usize, failed: usize) {
        self.passed += passed;
        self.failed += failed;
    }

    /// Adds one test.
    pub fn step(&mut self, name: &str, outcome: TaskResult) {
        match outcome {
            Ok(()) => {
                println!("ok      {name}");
                self.passed += 1;
            }
            Err(why) => {
                println!("FAILED  {name}: {why}");
                self.failed += 1;
            }
        }
    }

    /// Adds black-box checks.
    pub fn checks(&mut self, checks: Vec<Check>) {
        for check in checks {
            self.step(&check.name, check.outcome);
        }
    }

    /// A runtime that is not there: skipped loudly at home, a failure where tests must be complete.
    pub fn missing(&mut self, what: &str) {
        self.impossible(what, "is not installed");
    }

    /// A test that cannot run here: skipped loudly at home, a failure where tests must be complete.
    pub fn impossible(&mut self, what: &str, why: &str) {
        if std::env::var("CI").is_ok_and(|value| value == "true") {
            self.step(what, Err(why.to_owned()));
        } else {
            println!("SKIPPED {what}: {why}");
            self.skipped.push(what.to_owned());
        }
    }

    /// Prints the closing line.
    pub fn close(self) -> TaskResult {
        println!("\n{:.0} s", self.began.elapsed().as_secs_f64());
        if !self.skipped.is_empty() {
            println!("skipped for want of: {}", self.skipped.join(", "));
        }
        println!("{} passed, {} failed", self.passed, self.failed);
        if self.failed == 0 {
            Ok(())
        } else {
            Err(String::new())
        }
    }
}
