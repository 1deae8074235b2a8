//! `cargo xtask test`: the one test command.
//!
//! `--quick` is what a developer runs before every commit: formats, lints, tidy, unit and property tests, simulator and
//! fuzzers for some seconds, golden scripts; without the stories of simulated clusters.
//! The whole adds a running server as others see it: connections of every version, cqlsh, five drivers, `kill -9`, other
//! numbers of shards, the order of sync and answer. What needs servers mostly waits: once all is built it runs in processes
//! of its own (`beside`) beside the tests that compute. It installs what it needs into the cache directory. A runtime that is
//! missing, or a system that does not allow a test, is skipped loudly at home and fails where `CI=true`. `--address` runs the tests that only need a socket against
//! any server, Apache Cassandra too: what fails there is a fault of the test. `--served` runs what clients and tools see alone, `--durability` the crash tests,
//! `--cluster` those of several nodes, `--chaos` real nodes in trouble for as many rounds as wanted, `--nodetool` those of the tool; with `HELENUS_RECORD=1` these write down what is expected.

mod beside;
mod cargo;
mod chaos;
mod drivers;
mod python;
mod report;

use crate::golden;
use crate::paths::{self, Profile};
use crate::{TaskResult, tidy};
use beside::Beside;
use blackbox::process::{Helenus, Scratch, Start};
use blackbox::{
    cluster, crash, datacenters, disk, handshake, memory, nodetool, preparing, refusals,
};
use report::Report;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

/// How much is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tier {
    Quick,
    Whole,
}

impl Tier {
    /// Seeds of the simulator and seconds of the fuzzers.
    fn bounds(self) -> (u64, u64) {
        match self {
            Self::Quick => (2, 6),
            Self::Whole => (60, 60),
        }
    }
}

/// Rounds of `kill -9` in the middle of the load.
const KILLS: u64 = 10;

/// The command.
pub fn run(arguments: &[&str]) -> TaskResult {
    match arguments {
        [] => whole(),
        ["--quick"] => quick(),
        ["--served"] => alone(|start, _, report| served(start, report)),
        ["--durability"] => alone(|start, scratch, report| durability(start, scratch, report)),
        ["--cluster"] => alone(|start, _, report| several_nodes(start, report)),
        ["--chaos", rest @ ..] => chaos::by_hand(rest),
        [chaos::WITHIN, rest @ ..] => chaos::within(rest),
        ["--nodetool"] => alone(|start, _, report| tool(start, report)),
        ["--address", address] => clients_only(address),
        _ => Err("cargo xtask test [--quick | --served | --durability | --cluster | --nodetool | --chaos [--rounds N] [--seed N] | --address IP:PORT]".into()),
    }
}

fn quick() -> TaskResult {
    let mut report = Report::default();
    looks(&mut report);
    computes(Tier::Quick, &mut report);
    scripts(&mut report);
    report.close()
}

fn whole() -> TaskResult {
    let mut report = Report::default();
    looks(&mut report);
    report.section("build");
    cargo::build(&mut report);
    let besides = ["--served", "--durability"].map(Beside::start);
    computes(Tier::Whole, &mut report);
    for beside in besides {
        beside.end(&mut report);
    }
    // Alone: what it tells of latencies, and what its load may expect of nodes, is not of a machine that does other things.
    chaos::short(&mut report);
    report.close()
}

/// What looks at the sources alone.
fn looks(report: &mut Report) {
    report.section("formats, lints, tidy");
    cargo::formats(report);
    cargo::lints(report);
    report.step("tidy", tidy::run());
}

/// What needs no server.
fn computes(tier: Tier, report: &mut Report) {
    report.section("unit and property tests");
    cargo::tests(tier == Tier::Whole, report);
    report.section("simulator and fuzzers");
    let (seeds, seconds) = tier.bounds();
    cargo::simulator(seeds, seconds, report);
}

fn scripts(report: &mut Report) {
    report.section("golden scripts");
    report.step("golden scripts ask enough", golden::enough());
    match golden::compare_with_own(Profile::Debug) {
        Ok(tally) => report.add(tally.passed, tally.failed),
        Err(error) => report.step("golden", Err(error)),
    }
}

/// What clients, tools and other nodes see of a server.
fn served(start: &dyn Fn(&str) -> Start, report: &mut Report) {
    scripts(report);
    match Helenus::start(&start("clients")) {
        Ok(helenus) => {
            println!(
                "CQL answered {:.2} s after the start",
                helenus.started_in.as_secs_f64()
            );
            clients(helenus.address, report);
            report.step(
                "the server lived through all of it",
                helenus.stop().map_err(|error| error.to_string()),
            );
        }
        Err(error) => report.step("start", Err(error.to_string())),
    }
    tool(start, report);
    several_nodes(start, report);
}

fn several_nodes(start: &dyn Fn(&str) -> Start, report: &mut Report) {
    report.section("several nodes");
    report.checks(cluster::checks(&start("cluster")));
    report.checks(datacenters::checks(&start("datacenters")));
}

/// What survives: crashes, other numbers of shards, a clean end; and that the disk comes before the answer.
fn durability(start: &dyn Fn(&str) -> Start, scratch: &Path, report: &mut Report) {
    report.section("durability");
    report.checks(crash::kill_checks(&start("killed"), KILLS));
    report.checks(crash::shard_checks(&start("shards")));
    match python::environment() {
        Ok(Some(interpreter)) => report.checks(vec![crash::program_kill_check(
            &start("program"),
            "Python",
            &|| drivers::python_load(&interpreter),
        )]),
        Ok(None) => report.missing("Python 3"),
        Err(error) => report.step("Python packages", Err(error)),
    }
    report.checks(crash::drain_checks(&start("drained")));
    report.checks(vec![crash::describe_check(&start("described"))]);
    report.checks(vec![refusals::overload_check(&start("overloaded"))]);
    report.checks(vec![memory::flood_check(&start("flooded"))]);
    report.checks(vec![disk::rot_check(&start("rotten"))]);
    match disk::SmallDisk::mount(&scratch.join("full"), disk::DISK_BYTES) {
        Ok(small) => report.checks(vec![disk::full_disk_check(&start("full"), &small)]),
        Err(error) => report.impossible("the full disk", &error.to_string()),
    }
    if crash::can_trace() || install_strace() {
        report.checks(vec![crash::sync_check(
            &start("traced"),
            &scratch.join("trace.txt"),
        )]);
    } else {
        report.missing("strace");
    }
}

/// What clients of every kind see of a server.
fn clients(address: SocketAddr, report: &mut Report) {
    report.section("connections");
    report.checks(handshake::checks(address));
    report.checks(refusals::unprepared_checks(address));
    report.checks(preparing::checks(address));
    report.section("cqlsh");
    python::cqlsh(address, report);
    report.section("drivers");
    drivers::run(address, report);
}

/// Installs strace where the system's package manager can.
fn install_strace() -> bool {
    let run = |arguments: &[&str]| {
        let status = Command::new("apt-get")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    };
    (run(&["install", "-y", "strace"]) || run(&["update"]) && run(&["install", "-y", "strace"]))
        && crash::can_trace()
}

/// What nodetool and the metrics show.
fn tool(start: &dyn Fn(&str) -> Start, report: &mut Report) {
    report.section("nodetool");
    report.checks(vec![
        nodetool::check(&start("tool")),
        nodetool::alerts_check(&start("alerts")),
    ]);
}

/// Some checks of servers of their own, and nothing else.
fn alone(checks: impl FnOnce(&dyn Fn(&str) -> Start, &Path, &mut Report)) -> TaskResult {
    let mut report = Report::default();
    let binary = paths::helenus(Profile::Debug)?;
    let scratch = Scratch::new("test").map_err(|error| error.to_string())?;
    let start = |name: &str| start_in(&binary, scratch.path(), name);
    checks(&start, scratch.path(), &mut report);
    report.close()
}

fn start_in(binary: &Path, scratch: &Path, name: &str) -> Start {
    Start {
        binary: binary.to_path_buf(),
        data: scratch.join(name),
        settings: Vec::new(),
        wrapper: Vec::new(),
        host: std::net::Ipv4Addr::LOCALHOST,
        port: None,
    }
}

fn clients_only(address: &str) -> TaskResult {
    let mut report = Report::default();
    clients(
        address.parse().map_err(|_| "--address IP:PORT")?,
        &mut report,
    );
    report.close()
}
