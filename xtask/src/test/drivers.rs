//! The load programs of `examples/orders` against a server: each driver in its own runtime, at the rate of the flash sale.

use super::python;
use super::report::Report;
use crate::{TaskResult, command, paths};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Six seconds of the flash sale for each driver.
const ORDERS: &str = "5000";
const BUILD_LIMIT: Duration = Duration::from_mins(12);
const RUN_LIMIT: Duration = Duration::from_mins(3);

/// Runs all five.
pub fn run(address: SocketAddr, report: &mut Report) {
    let drivers: [(&str, fn() -> TaskResult<Option<Command>>); 5] = [
        ("Python", python),
        ("Java", java),
        ("Node.js", node),
        ("Go", go),
        ("Rust", rust),
    ];
    for (seed, (name, prepare)) in (1..).zip(drivers) {
        let mut load = match prepare() {
            Ok(Some(command)) => command,
            Ok(None) => {
                report.missing(name);
                continue;
            }
            Err(error) => {
                report.step(name, Err(error));
                continue;
            }
        };
        let options = format!(
            "--host {} --port {} --count {ORDERS} --seed {seed}",
            address.ip(),
            address.port()
        );
        if name == "Java" {
            load.arg(format!("-Dexec.args={options}"));
        } else {
            load.args(options.split(' '));
        }
        let ended = command::run(&mut load, RUN_LIMIT);
        // Maven colours the end of its output; the summary is the line that counts mismatches.
        println!(
            "{}",
            ended
                .output
                .lines()
                .rfind(|line| line.ends_with(" mismatches"))
                .unwrap_or_default()
        );
        report.step(
            name,
            if ended.success {
                Ok(())
            } else {
                Err(ended.tail(30))
            },
        );
    }
}

fn folder(language: &str) -> PathBuf {
    paths::root().join("examples/orders").join(language)
}

/// Runs a preparing command in a language's folder.
fn build(language: &str, program: &str, arguments: &[&str]) -> TaskResult {
    let ended = command::run(
        Command::new(program)
            .args(arguments)
            .current_dir(folder(language)),
        BUILD_LIMIT,
    );
    if ended.success {
        Ok(())
    } else {
        Err(ended.tail(30))
    }
}

fn python() -> TaskResult<Option<Command>> {
    Ok(python::environment()?.map(|interpreter| python_load(&interpreter)))
}

/// The load program in Python, with no options yet.
pub fn python_load(interpreter: &Path) -> Command {
    let mut load = Command::new(interpreter);
    load.arg(folder("python").join("load.py"));
    load
}

fn java() -> TaskResult<Option<Command>> {
    if !command::exists("mvn", "--version") {
        return Ok(None);
    }
    build("java", "mvn", &["-q", "-B", "compile"])?;
    let mut load = Command::new("mvn");
    load.args(["-q", "-B", "exec:java"])
        .current_dir(folder("java"));
    Ok(Some(load))
}

fn node() -> TaskResult<Option<Command>> {
    if !command::exists("npm", "--version") {
        return Ok(None);
    }
    build(
        "node",
        "npm",
        &["ci", "--silent", "--no-audit", "--no-fund"],
    )?;
    let mut load = Command::new("node");
    load.arg("load.js").current_dir(folder("node"));
    Ok(Some(load))
}

fn go() -> TaskResult<Option<Command>> {
    if !command::exists("go", "version") {
        return Ok(None);
    }
    let binary = paths::root().join("target/examples/orders-go");
    build(
        "go",
        "go",
        &["build", "-o", &binary.display().to_string(), "."],
    )?;
    let mut load = Command::new(binary);
    load.current_dir(folder("go"));
    Ok(Some(load))
}

/// A package of its own, with a target directory beside the product's.
fn rust() -> TaskResult<Option<Command>> {
    let target = paths::root().join("target/examples");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    build(
        "rust",
        &cargo,
        &[
            "build",
            "--quiet",
            "--locked",
            "--target-dir",
            &target.display().to_string(),
        ],
    )?;
    Ok(Some(Command::new(target.join("debug/orders-example"))))
}
