//! Counts what passed and failed, and says so.

use crate::TaskResult;
use crate::command::Ended;
use blackbox::checks::Check;
use std::time::Instant;

/// How the closing line begins that says what was skipped.
const SKIPPED: &str = "skipped for want of: ";

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

    /// Adds what a test command of its own came to, by its closing lines; one that did not come to them has failed.
    pub fn part(&mut self, name: &str, ended: &Ended) {
        let skipped = ended
            .output
            .lines()
            .filter_map(|line| line.strip_prefix(SKIPPED));
        self.skipped.extend(skipped.map(str::to_owned));
        match ended.output.lines().last().and_then(tally) {
            Some((passed, failed)) if ended.success == (failed == 0) => self.add(passed, failed),
            _ => self.step(name, Err("it did not come to its end".to_owned())),
        }
    }

    /// Prints the closing line.
    pub fn close(self) -> TaskResult {
        println!("\n{:.0} s", self.began.elapsed().as_secs_f64());
        if !self.skipped.is_empty() {
            println!("{SKIPPED}{}", self.skipped.join(", "));
        }
        println!("{} passed, {} failed", self.passed, self.failed);
        if self.failed == 0 {
            Ok(())
        } else {
            Err(String::new())
        }
    }
}

/// What passed and failed, if this is the closing line.
fn tally(line: &str) -> Option<(usize, usize)> {
    let (passed, failed) = line.split_once(" passed, ")?;
    let failed = failed.strip_suffix(" failed")?;
    Some((passed.parse().ok()?, failed.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_added_by_their_closing_lines() {
        let mut report = Report::default();
        let ended = |success, output: &str| Ended {
            success,
            output: output.to_owned(),
        };
        let output =
            "21 passed, 0 failed\n\n7 s\nskipped for want of: Go, strace\n30 passed, 1 failed\n";
        report.part("served", &ended(false, output));
        assert_eq!((report.passed, report.failed), (30, 1));
        assert_eq!(report.skipped, ["Go, strace"]);
        report.part(
            "durability",
            &ended(false, "21 passed, 0 failed\npanicked\n"),
        );
        report.part("durability", &ended(false, "21 passed, 0 failed\n"));
        assert_eq!((report.passed, report.failed), (30, 3));
    }
}
