//! A virtual environment in the cache with the Python driver and cqlsh, and the checks of cqlsh.

use super::report::Report;
use crate::{TaskResult, command, paths};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const INSTALL_LIMIT: Duration = Duration::from_mins(5);
const CHECK_LIMIT: Duration = Duration::from_mins(10);
/// cqlsh 6.2 runs on these; the driver's wheels end there too.
const INTERPRETERS: [&str; 5] = [
    "python3.11",
    "python3.10",
    "python3.9",
    "python3.8",
    "python3",
];

/// The interpreter of the virtual environment, which is made when the requirements have changed; nothing if there is no
/// Python.
pub fn environment() -> TaskResult<Option<PathBuf>> {
    let Some(interpreter) = INTERPRETERS
        .iter()
        .find(|name| command::exists(name, "--version"))
    else {
        return Ok(None);
    };
    let requirements = paths::root().join("tests/cqlsh/requirements.txt");
    let wanted = fs::read_to_string(&requirements)
        .map_err(|error| format!("{}: {error}", requirements.display()))?;
    let home = paths::cache().join("python");
    let python = home.join("bin/python");
    let stamp = home.join("requirements.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(Some(python));
    }
    let mut make = Command::new(interpreter);
    make.args(["-m", "venv", "--clear"]).arg(&home);
    let mut install = Command::new(&python);
    install
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--requirement",
        ])
        .arg(&requirements);
    for step in [&mut make, &mut install] {
        let ended = command::run(step, INSTALL_LIMIT);
        if !ended.success {
            return Err(ended.tail(20));
        }
    }
    fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))?;
    Ok(Some(python))
}

/// Runs `tests/cqlsh/check.py`, whose lines begin with PASS or FAIL.
pub fn cqlsh(address: SocketAddr, report: &mut Report) {
    let python = match environment() {
        Ok(Some(python)) => python,
        Ok(None) => return report.missing("Python 3"),
        Err(error) => return report.step("Python packages", Err(error)),
    };
    let mut check = Command::new(&python);
    check
        .arg(paths::root().join("tests/cqlsh/check.py"))
        .arg(python.with_file_name("cqlsh"));
    check
        .arg(address.ip().to_string())
        .arg(address.port().to_string());
    let ended = command::run(&mut check, CHECK_LIMIT);
    let starts_with = |what: &str| {
        ended
            .output
            .lines()
            .filter(|line| line.starts_with(what))
            .count()
    };
    let (passed, failed) = (starts_with("PASS "), starts_with("FAIL "));
    println!("{passed} passed, {failed} failed");
    if !ended.success {
        println!("{}", ended.output);
    }
    report.add(passed, if ended.success { failed } else { failed.max(1) });
}
