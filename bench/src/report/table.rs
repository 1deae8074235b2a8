//! The tables, in markdown.

use super::{HELENUS, ORACLE, readable};
use crate::away::{Away, LIMIT};
use crate::results::{Figures, Run, TargetRun};
use crate::workload::Scenario;
use std::fmt::Write;

/// The first goals, before any tuning.
mod goal {
    /// Processor time per operation, as a part of Cassandra's.
    pub const CPU_RATIO: f64 = 8.0;
    pub const THROUGHPUT_RATIO: f64 = 3.5;
    /// The same of three nodes.
    pub const CLUSTER_CPU_RATIO: f64 = 6.0;
    pub const CLUSTER_THROUGHPUT_RATIO: f64 = 4.0;
    pub const START_S: f64 = 0.5;
    pub const IDLE_BYTES: u64 = 80 << 20;
    pub const RESTART_S_PER_GIB: f64 = 2.0;
    /// More processor time than without tracking.
    pub const TRACKING: f64 = 0.05;
    /// For each second of a processor.
    pub const JOIN_BYTES: f64 = 200e6;
}

const GIB: f64 = (1u64 << 30) as f64;

/// All of it.
pub fn markdown(run: &Run) -> String {
    let mut out = heading(run);
    out.push_str(&operations(run));
    out.push_str(&processes(run));
    out.push_str(&absences(run));
    out.push_str(&cluster(run));
    out.push_str(&goals(run));
    out.push_str(&doubts(run));
    out
}

fn heading(run: &Run) -> String {
    let mut out = format!(
        "Measured {} at commit {} on {} cores shared by server and client: {} orders of about 250 bytes, protocol v{}, \
         {} connections, {} requests in flight, commit log synced before each acknowledgement (group).",
        run.date,
        run.commit,
        run.cores,
        readable(run.orders as f64),
        run.protocol,
        run.connections,
        run.in_flight
    );
    if run.nodes > 1 {
        let _ = write!(
            out,
            " {} nodes, all data on each, QUORUM; processor time is that of all nodes together, memory that of one.",
            run.nodes
        );
    }
    if !run.restrictions.is_empty() {
        let _ = write!(
            out,
            " **Not a whole run: {}.**",
            run.restrictions.join(", ")
        );
    }
    out.push_str("\n\n");
    out
}

fn operations(run: &Run) -> String {
    let mut out = String::from(
        "| scenario | server | operations/s | of Cassandra's | server CPU µs each | Cassandra's is | at rate /s | p50 / p99 / p99.9 ms | CPU µs each there |\n\
         |---|---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for scenario in Scenario::ALL {
        let reference = run
            .target(ORACLE)
            .and_then(|target| target.scenarios.get(&scenario));
        for target in &run.targets {
            if let Some(figures) = target.scenarios.get(&scenario) {
                out.push_str(&row(scenario, &target.title, figures, reference));
            }
        }
    }
    out.push('\n');
    out
}

fn row(scenario: Scenario, title: &str, figures: &Figures, reference: Option<&Figures>) -> String {
    let at = &figures.saturation;
    let ratio = |value: f64| format!("{} ×", readable(value));
    let (throughput, cpu) = match reference {
        Some(reference) if title != ORACLE => (
            ratio(at.throughput / reference.saturation.throughput),
            ratio(reference.saturation.cpu_us / at.cpu_us),
        ),
        _ => (String::new(), String::new()),
    };
    let (rate, latencies, cpu_there) = match &figures.at_rate {
        Some(at) => (
            readable(at.throughput),
            format!(
                "{} / {} / {}",
                readable(at.p50_ms),
                readable(at.p99_ms),
                readable(at.p999_ms)
            ),
            readable(at.cpu_us),
        ),
        None => Default::default(),
    };
    format!(
        "| {} | {title} | {} | {throughput} | {} | {cpu} | {rate} | {latencies} | {cpu_there} |\n",
        scenario.title(),
        readable(at.throughput),
        readable(at.cpu_us)
    )
}

fn processes(run: &Run) -> String {
    let mut out = String::from(
        "| server | start to first CQL answer | memory, idle | memory, after the load | SSTable bytes an order and table | start after `kill -9` | with a log of | for each GiB of log |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for target in &run.targets {
        let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
        let data = target
            .data_bytes
            .map(|bytes| readable(bytes as f64 / (run.orders * 2) as f64));
        let (after, log, each) = match &target.restart {
            Some(restart) => (
                format!("{} s", readable(restart.start_s)),
                mib(restart.log_bytes),
                restart_per_gib(target).map_or_else(String::new, |s| format!("{} s", readable(s))),
            ),
            None => Default::default(),
        };
        let _ = writeln!(
            out,
            "| {} | {} s | {} | {} | {} | {after} | {log} | {each} |",
            target.title,
            readable(target.start_s),
            mib(target.idle_resident_bytes),
            mib(target.loaded_resident_bytes),
            data.unwrap_or_default()
        );
    }
    out.push('\n');
    out
}

/// What happened when a node was away.
fn absences(run: &Run) -> String {
    let mut out = String::new();
    for target in &run.targets {
        let Some(away) = &target.away else { continue };
        let [calm, dead, returning] = away.p99_ms.map(readable);
        let caught_up = match away.caught_up_s {
            Some(took_s) => format!(
                "caught up {} s after its start, {} × as fast as was written",
                readable(took_s),
                readable(away.away_s / took_s)
            ),
            None => format!("it had not caught up {LIMIT:?} after its start"),
        };
        let _ = write!(
            out,
            "{}: one of {} nodes killed for {} s, with {} writes a second going on: {caught_up}. p99 in calm {calm} ms, with the node dead {dead} ms, while it caught up {returning} ms; {} errors.\n\n",
            target.title,
            run.nodes,
            readable(away.away_s),
            readable(away.rate),
            away.faults
        );
    }
    out
}

/// What tracking costs, and how a node joined.
fn cluster(run: &Run) -> String {
    let mut out = String::new();
    if !run.tracking.is_empty() {
        out.push_str(
            "| what tracking costs, one build | µs each with | µs each without | more |\n|---|--:|--:|--:|\n",
        );
        for cost in &run.tracking {
            let _ = writeln!(
                out,
                "| {} | {} | {} | {:+.1} % |",
                cost.scenario.title(),
                readable(cost.tracked_us),
                readable(cost.untracked_us),
                cost.more() * 100.0
            );
        }
        out.push('\n');
    }
    if let Some(join) = &run.join {
        let mb = |bytes: f64| readable(bytes / 1e6);
        let _ = write!(
            out,
            "A node joined another and took all of its data, {} MB of rows, which are {} MB of SSTables: {} s from its launch until it served \
             clients, {} MB a second, {} s of processor of both nodes together.\n\n",
            mb(join.bytes as f64),
            mb(join.disk_bytes as f64),
            readable(join.took_s),
            mb(join.bytes as f64 / join.took_s),
            readable(join.cpu_s)
        );
    }
    out
}

/// What a start takes longer for each GiB of log than on an empty directory.
fn restart_per_gib(target: &TargetRun) -> Option<f64> {
    let restart = target.restart.filter(|restart| restart.log_bytes > 0)?;
    let longer = (restart.start_s - target.start_s).max(0.0);
    Some(longer / (restart.log_bytes as f64 / GIB))
}

fn goals(run: &Run) -> String {
    let Some(helenus) = run.target(HELENUS) else {
        return String::new();
    };
    let mut out = String::from("| goal | found | |\n|---|---|---|\n");
    let mut line = |what: String, found: String, met: bool| {
        let _ = writeln!(
            out,
            "| {what} | {found} | {} |",
            if met { "met" } else { "**not met**" }
        );
    };
    let (cpu_goal, throughput_goal) = if run.nodes > 1 {
        (goal::CLUSTER_CPU_RATIO, goal::CLUSTER_THROUGHPUT_RATIO)
    } else {
        (goal::CPU_RATIO, goal::THROUGHPUT_RATIO)
    };
    if let Some(oracle) = run.target(ORACLE) {
        let cpu =
            |ours: &Figures, theirs: &Figures| theirs.saturation.cpu_us / ours.saturation.cpu_us;
        if let Some((least, scenario)) = worst(helenus, oracle, cpu) {
            let what = format!("at most 1/{cpu_goal} of Cassandra's CPU per operation");
            let found = format!("1/{} at worst ({})", readable(least), scenario.title());
            line(what, found, least >= cpu_goal);
        }
        let throughput = |ours: &Figures, theirs: &Figures| {
            ours.saturation.throughput / theirs.saturation.throughput
        };
        if let Some((least, scenario)) = worst(helenus, oracle, throughput) {
            let what = format!("at least {throughput_goal} × its throughput");
            let found = format!("{} × at worst ({})", readable(least), scenario.title());
            line(what, found, least >= throughput_goal);
        }
    }
    if let Some(away) = &helenus.away {
        absence_goals(away, &mut line);
    }
    if run.nodes > 1 {
        cluster_goals(run, &mut line);
        out.push('\n');
        return out;
    }
    line(
        format!("CQL within {} s of the start", goal::START_S),
        format!("{} s", readable(helenus.start_s)),
        helenus.start_s <= goal::START_S,
    );
    line(
        format!("idle memory under {} MiB", goal::IDLE_BYTES >> 20),
        format!("{} MiB", helenus.idle_resident_bytes >> 20),
        helenus.idle_resident_bytes < goal::IDLE_BYTES,
    );
    if let Some(found) = restart_per_gib(helenus) {
        line(
            format!(
                "restart within {} s for each GiB of log",
                goal::RESTART_S_PER_GIB
            ),
            format!("{} s", readable(found)),
            found <= goal::RESTART_S_PER_GIB,
        );
    }
    out.push('\n');
    out
}

/// What tracking and a join are to cost.
fn cluster_goals(run: &Run, line: &mut dyn FnMut(String, String, bool)) {
    for cost in &run.tracking {
        line(
            format!(
                "tracking costs at most {:.0} % ({})",
                goal::TRACKING * 100.0,
                cost.scenario.title()
            ),
            format!("{:+.1} %", cost.more() * 100.0),
            cost.more() <= goal::TRACKING,
        );
    }
    if let Some(join) = &run.join {
        let found = join.bytes_per_core_s();
        line(
            format!("a join streams {} MB/s a core", goal::JOIN_BYTES / 1e6),
            format!("{} MB/s", readable(found / 1e6)),
            found >= goal::JOIN_BYTES,
        );
    }
}

/// What is to be so when a node is away.
fn absence_goals(away: &Away, line: &mut dyn FnMut(String, String, bool)) {
    let [calm, dead, returning] = away.p99_ms;
    let speed = away.caught_up_s.map_or(0.0, |took_s| away.away_s / took_s);
    let times = |factor: f64| format!("{} ×", readable(factor));
    line(
        "a replica catches up at 3 × the rate of writes".into(),
        times(speed),
        speed >= 3.0,
    );
    line(
        "p99 while it does within 2 × of calm".into(),
        times(returning / calm),
        returning <= 2.0 * calm,
    );
    line(
        "p99 with one node dead within 3 × of calm".into(),
        times(dead / calm),
        dead <= 3.0 * calm,
    );
}

/// The scenario in which `ratio` of ours to theirs is least.
fn worst(
    ours: &TargetRun,
    theirs: &TargetRun,
    ratio: impl Fn(&Figures, &Figures) -> f64,
) -> Option<(f64, Scenario)> {
    let pairs = ours.scenarios.iter().filter_map(|(scenario, ours)| {
        let theirs = theirs.scenarios.get(scenario)?;
        Some((ratio(ours, theirs), *scenario))
    });
    pairs.min_by(|a, b| a.0.total_cmp(&b.0))
}

/// What should make a reader doubt a figure.
fn doubts(run: &Run) -> String {
    /// A part of the machine that others may use without changing the picture.
    const FOREIGN: f64 = 0.10;
    let mut out = String::new();
    for target in &run.targets {
        for (scenario, figures) in &target.scenarios {
            let at = &figures.saturation;
            let mut doubt = |why: String| {
                let _ = writeln!(out, "- {}, {}: {why}", target.title, scenario.title());
            };
            if !figures.settled {
                doubt("the figures had not settled when they were measured".into());
            }
            let stretches = [Some(at), figures.at_rate.as_ref()].into_iter().flatten();
            let foreign = stretches.clone().map(|at| at.foreign).fold(0.0, f64::max);
            if foreign > FOREIGN {
                doubt(format!(
                    "{:.0} % of the machine was used by others",
                    foreign * 100.0
                ));
            }
            if let Some((at, fault)) = stretches
                .clone()
                .find_map(|at| Some((at, at.first_fault.as_ref()?)))
            {
                doubt(format!(
                    "{} answers were wrong, the first: {fault}",
                    at.faults
                ));
            }
        }
    }
    if out.is_empty() {
        out
    } else {
        format!("To doubt:\n\n{out}\n")
    }
}
