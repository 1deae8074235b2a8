//! Real nodes in trouble (`blackbox::chaos`), in namespaces of their own: this command starts itself again within, where it is root of a
//! network and of mounts that nothing else sees, by root's rights or by those that the system gives to everybody.

use super::report::Report;
use super::{python, start_in};
use crate::TaskResult;
use crate::command;
use crate::paths::{self, Profile};
use blackbox::chaos::{self, Trial};
use blackbox::process::Scratch;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The option of the command within.
pub const WITHIN: &str = "--chaos-within";
/// Longest time the short round may take.
const LIMIT: Duration = Duration::from_mins(10);
/// How the command gets there: as root, and as anybody where the system lets everybody have a user namespace.
const WAYS: [&[&str]; 2] = [
    &["--net", "--mount"],
    &["--user", "--map-root-user", "--net", "--mount"],
];
/// What is tried within before anything depends on it.
const PROBE: &str = "ip link add switch type bridge && ip link add plug type veth peer name socket && mount -t tmpfs tmpfs /mnt";

/// The short round: what the test command has time for.
pub fn short(report: &mut Report) {
    report.section("real nodes in trouble");
    if let Some(mut within) = prepare(1, 1, report) {
        let ended = command::run(&mut within, LIMIT);
        println!("{}", ended.output);
        report.part("chaos", &ended);
    }
}

/// `--chaos [--rounds N] [--seed N]`: as many rounds as wanted, whose lines are shown as they come.
pub fn by_hand(arguments: &[&str]) -> TaskResult {
    let number = |name: &str, default: u64| {
        let at = arguments.iter().position(|argument| *argument == name);
        let value = at.and_then(|at| arguments.get(at + 1)?.parse().ok());
        value.unwrap_or(default)
    };
    let (rounds, seed) = (number("--rounds", 1), number("--seed", 1));
    let mut report = Report::default();
    let Some(mut within) = prepare(rounds, seed, &mut report) else {
        return report.close();
    };
    match within.stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(String::new()),
        Err(error) => Err(format!("unshare: {error}")),
    }
}

/// The command that runs so many rounds, if the system has what it takes.
fn prepare(rounds: u64, seed: u64, report: &mut Report) -> Option<Command> {
    let python = match python::environment() {
        Ok(Some(python)) => python,
        Ok(None) => {
            report.missing("Python 3");
            return None;
        }
        Err(error) => {
            report.step("Python packages", Err(error));
            return None;
        }
    };
    let may = |way: &&&[&str]| {
        let mut probe = Command::new("unshare");
        probe.args(**way).args(["sh", "-c", PROBE]);
        command::run(&mut probe, LIMIT).success
    };
    let Some(way) = WAYS.iter().find(may) else {
        report.impossible("chaos", "no network of its own can be made here");
        return None;
    };
    let prepared = paths::helenus(Profile::Debug).and_then(|binary| {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        Ok((binary, own))
    });
    match prepared {
        Ok((binary, own)) => {
            let mut within = Command::new("unshare");
            within.args(*way).arg(own).args(["test", WITHIN]);
            within.arg(binary).arg(python);
            within.args([rounds.to_string(), seed.to_string()]);
            Some(within)
        }
        Err(error) => {
            report.step("chaos", Err(error));
            None
        }
    }
}

/// The command within.
pub fn within(arguments: &[&str]) -> TaskResult {
    let [binary, python, rounds, seed] = arguments else {
        return Err(format!("{WITHIN} BINARY PYTHON ROUNDS SEED"));
    };
    let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
    let scratch = Scratch::new("chaos").map_err(|error| error.to_string())?;
    let trial = Trial {
        start: start_in(Path::new(binary), scratch.path(), "node"),
        python: python.into(),
        script: paths::root().join("tests/chaos/load.py"),
        rounds: number(rounds)?,
        seed: number(seed)?,
    };
    let mut report = Report::default();
    report.section("chaos");
    report.checks(chaos::checks(&trial));
    report.close()
}
