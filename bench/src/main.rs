//! The benchmark: Apache Cassandra, Helenus and a server that does nothing, one after the other under the same load.
//!
//! `cargo xtask bench` builds and runs it; `docs/performance.md` says how to read what it finds.
//!
//! - [`options`] is the command line; [`session`] is what is measured on one target, in order.
//! - [`target`] starts and stops the servers; [`null`] is the one that does nothing.
//! - [`latte`] compares our client with another.
//! - [`away`] is what happens when a node dies and comes back, [`tracking`] what tracking costs, [`join`] how a node gets its data.
//! - [`load`] is the client, [`workload`] and [`orders`] what it asks, [`check`] whether the answers are right.
//! - [`measure`] and [`process`] turn load into figures, [`results`] keeps them, [`report`] shows them.
//!
//! Cassandra is first, because latencies of all are compared at half of its peak.

mod away;
mod check;
mod failure;
mod join;
mod latte;
mod load;
mod measure;
mod null;
mod options;
mod orders;
mod process;
mod report;
mod requests;
mod results;
mod session;
mod target;
mod tracking;
mod workload;

use failure::{Failure, Outcome};
use latte::Latte;
use options::Options;
use orders::Pool;
use results::{Run, TargetRun};
use session::{RateRule, Rates, Session, cold_cache_bytes};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Command, ExitCode};
use target::{Cassandra, Cluster, Helenus, Null, Running, Target};
use workload::Scenario;

const NULL_PORT: u16 = 9042;
/// Half of what Cassandra reached when this was written, for runs before any with it.
const USUAL_RATES: [(Scenario, f64); 7] = [
    (Scenario::Write, 5_200.0),
    (Scenario::Read, 18_000.0),
    (Scenario::Range, 8_700.0),
    (Scenario::Mixed, 9_000.0),
    (Scenario::Wide, 5_200.0),
    (Scenario::ColdRead, 12_000.0),
    (Scenario::ColdRange, 6_000.0),
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    let outcome = if arguments.next_if(|first| first == "null-server").is_some() {
        serve_nothing(arguments.next())
    } else {
        Options::parse(arguments).and_then(|options| run(&options))
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn serve_nothing(address: Option<String>) -> Outcome {
    let address = address.and_then(|address| address.parse().ok());
    null::serve(address.ok_or_else(|| Failure::new("null-server IP:PORT"))?)
}

fn run(options: &Options) -> Outcome {
    let output = &options.output;
    fs::create_dir_all(output).map_err(|error| Failure::at(output, error))?;
    if let Some(path) = &options.results {
        return show(options, &Run::read(path)?);
    }
    let pool = Pool::default();
    let suffix = if options.nodes > 1 { "-cluster" } else { "" };
    let kept = output.join(format!("results{suffix}.json"));
    let oracle_kept = output.join(format!("oracle{suffix}.json"));
    let mut targets = targets(options);
    let mut run = begin(options);
    for (name, target) in &mut targets {
        if !options.targets.iter().any(|wanted| wanted == name) {
            continue;
        }
        let rates = known_rates(&run, &oracle_kept);
        let rule = if *name == "oracle" {
            RateRule::OwnHalf
        } else {
            RateRule::Given(&rates)
        };
        let session = Session::new(target.as_mut(), options, &pool, rule);
        if let Some(latte) = &options.latte {
            let table = session.compare(&Latte::new(latte, &options.root, output));
            target.stop()?;
            target.wipe()?;
            println!("{}", table?);
            return Ok(());
        }
        let found = session.measure();
        // Data of one target is of no use to the next, and the disk may be small.
        target.stop()?;
        target.wipe()?;
        run.targets.push(found?);
        run.write(&kept)?;
        if *name == "oracle" {
            run.write(&oracle_kept)?;
        }
    }
    drop(targets);
    if options.nodes > 1 && options.targets.iter().any(|name| name == "helenus") {
        measure_cluster(options, &pool, &mut run)?;
        run.write(&kept)?;
    }
    show(options, &run)
}

/// What is measured of Helenus alone, on nodes of its own.
fn measure_cluster(options: &Options, pool: &Pool, run: &mut Run) -> Outcome {
    let first = options.helenus_ip;
    let others = (1..options.nodes as u8).map(|number| further(first, number));
    let ips: Vec<IpAddr> = std::iter::once(first).chain(others).collect();
    let node = |binary: &Path, (index, ip): (usize, IpAddr), name: &str| {
        let data = options.output.join(format!("data-{name}-{index}"));
        let seed = (index > 0).then_some(ips[0]);
        Helenus::new(binary, ip, &data, &options.settings).joining(seed)
    };
    if let Some(binary) = &options.measured_node {
        // Both clusters run at once, on addresses side by side.
        let places = || ips.iter().copied().enumerate();
        let of = |all: Vec<Box<dyn Target>>| Cluster::new(all, options.version);
        let tracked = places().map(|place| Box::new(node(binary, place, "tracked")) as _);
        let mut tracked = of(tracked.collect());
        let untracked = places().map(|(index, ip)| {
            let place = (index, beside(ip));
            let seed = (index > 0).then_some(beside(ips[0]));
            Box::new(node(binary, place, "untracked").joining(seed).untracked()) as _
        });
        let mut untracked = of(untracked.collect());
        let costs = tracking::compare([&mut tracked, &mut untracked], options, pool);
        for cluster in [&mut tracked, &mut untracked] {
            cluster.stop()?;
            cluster.wipe()?;
        }
        run.tracking = costs?;
    }
    let mut first = node(&options.helenus, (0, ips[0]), "source");
    let mut second = node(&options.helenus, (1, ips[1]), "joining");
    let join = join::join(&mut first, &mut second, options, pool);
    for node in [&mut second, &mut first] {
        node.stop()?;
        node.wipe()?;
    }
    run.join = Some(join?);
    Ok(())
}

/// The address for a second node where a target has one already.
fn beside(ip: IpAddr) -> IpAddr {
    const APART: u8 = 2;
    plus(ip, APART)
}

/// All targets, by their short names.
fn targets(options: &Options) -> Vec<(&'static str, Box<dyn Target>)> {
    let oracle = |ip, seed: Option<IpAddr>| -> Box<dyn Target> {
        let node = Cassandra::new(&options.launcher, &options.cassandra_home, ip);
        Box::new(node.joining(seed))
    };
    let helenus = |ip: IpAddr, seed: Option<IpAddr>| -> Box<dyn Target> {
        let data = options.output.join(match seed {
            Some(_) => format!("data-{}", ip.to_string().replace(['.', ':'], "-")),
            None => "data".to_owned(),
        });
        let node = Helenus::new(&options.helenus, ip, &data, &options.settings);
        Box::new(node.joining(seed))
    };
    let null = Null::new(SocketAddr::new(options.null_ip, NULL_PORT));
    let mut targets: Vec<(&str, Box<dyn Target>)> = vec![
        ("oracle", nodes(options, options.oracle_ip, &oracle)),
        ("helenus", nodes(options, options.helenus_ip, &helenus)),
        ("null", Box::new(null)),
    ];
    if let Some((address, process)) = options.running {
        targets.push(("running", Box::new(Running::new(address, process))));
    }
    targets
}

/// The node on an address, or as many as are asked for on that and further ones.
fn nodes(
    options: &Options,
    first: IpAddr,
    node: &dyn Fn(IpAddr, Option<IpAddr>) -> Box<dyn Target>,
) -> Box<dyn Target> {
    if options.nodes == 1 {
        return node(first, None);
    }
    let others = (1..options.nodes as u8).map(|number| node(further(first, number), Some(first)));
    let all = std::iter::once(node(first, None)).chain(others);
    Box::new(Cluster::new(all.collect(), options.version))
}

/// The address of a target's further node: far enough from the first ones of other targets.
fn further(first: IpAddr, number: u8) -> IpAddr {
    const APART: u8 = 10;
    plus(first, APART * number)
}

/// An address whose last byte is so much more.
fn plus(ip: IpAddr, more: u8) -> IpAddr {
    match ip {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            IpAddr::from([a, b, c, d.wrapping_add(more)])
        }
        IpAddr::V6(address) => {
            let mut octets = address.octets();
            octets[15] = octets[15].wrapping_add(more);
            IpAddr::from(octets)
        }
    }
}

fn show(options: &Options, run: &Run) -> Outcome {
    let table = report::table::markdown(run);
    let write = |name: &str, text: &str| {
        let path = options.output.join(name);
        fs::write(&path, text).map_err(|error| Failure::at(&path, error))
    };
    let suffix = if run.nodes > 1 { "-cluster" } else { "" };
    write(&format!("table{suffix}.md"), &table)?;
    if run.nodes == 1 {
        write("plot.svg", &report::plot::svg(run))?;
    }
    println!("{table}");
    if options.record {
        report::document::record(&options.root, run)?;
    }
    Ok(())
}

fn begin(options: &Options) -> Run {
    Run {
        date: first_line(Command::new("date").args(["-u", "+%F"])),
        commit: commit(&options.root),
        nodes: options.nodes,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        restrictions: options.restrictions(),
        orders: options.orders,
        protocol: options.version as u8,
        connections: options.connections,
        in_flight: options.in_flight,
        cold_cache_bytes: cold_cache_bytes(options.orders),
        targets: Vec::new(),
        tracking: Vec::new(),
        join: None,
    }
}

/// Half of Cassandra's peak in this run, else in the last run with it, else what is usual.
fn known_rates(run: &Run, oracle_kept: &Path) -> Rates {
    let mut rates = Rates::from(USUAL_RATES);
    let earlier = Run::read(oracle_kept).ok();
    let known = [earlier.as_ref(), Some(run)].into_iter().flatten();
    for oracle in known.filter_map(|run| run.target(report::ORACLE)) {
        rates.extend(half_peaks(oracle));
    }
    rates
}

fn half_peaks(oracle: &TargetRun) -> impl Iterator<Item = (Scenario, f64)> {
    let scenarios = oracle.scenarios.iter();
    scenarios.map(|(scenario, figures)| (*scenario, figures.saturation.throughput / 2.0))
}

fn commit(root: &Path) -> String {
    let git =
        |arguments: &[&str]| first_line(Command::new("git").current_dir(root).args(arguments));
    let commit = git(&["rev-parse", "--short", "HEAD"]);
    let changed = !git(&["status", "--porcelain", "--untracked-files=no"]).is_empty();
    commit + if changed { "+" } else { "" }
}

/// What a command prints first; nothing where it cannot be run.
fn first_line(command: &mut Command) -> String {
    let output = command
        .output()
        .map(|output| output.stdout)
        .unwrap_or_default();
    String::from_utf8_lossy(&output)
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}
