//! The simulator's command line: `cargo run -p sim -- storage --seeds N`, `cargo run -p sim -- fuzz --seconds S`.

use sim::cluster::stories::{self, STORIES};
use sim::cluster::{KINDS, Options, QUIET_KINDS, Summary};
use sim::planted::Planted;
use sim::storage::Found;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const USAGE: &str = "usage:
  sim storage [--seeds N] [--first SEED] [--seconds S] [--operations N]   crash and check the storage engine
  sim node [--seeds N] [--first SEED] [--seconds S] [--operations N]      crash a whole node and check what clients were told
  sim cluster [--kind NAME] [--seeds N] [--first SEED] [--seconds S] [--standard | --ring]
                                                                          whole clusters in trouble, each seed twice
  sim --minutes N [--first SEED]                                          fresh seeds of everything, taking turns
  sim --standard [--minutes N] [--first SEED]                             the case that is measured, and its rates
  sim rot [--seeds N] [--first SEED] [--seconds S]                        flip a byte of a file and see that it is found
  sim planted                                                             see that planted defects are seen
  sim story [--only NAME] [--seeds N] [--first SEED] [--seconds S]        tell stories to nodes that keep their promises
  sim fixture                                                             print a data directory to be kept in crates/sim/fixtures
  sim fuzz [--seconds S] [--first SEED] [--only NAME]                     run every fuzzer
";

/// Operations of a seed, unless told otherwise.
const STORAGE_OPERATIONS: u64 = 500;
const NODE_OPERATIONS: u64 = 300;

/// Which seeds are run, and until when at most.
struct Seeds {
    range: Range<u64>,
    end: Option<Instant>,
}

struct Arguments(Vec<String>);

impl Arguments {
    fn text(&self, name: &str) -> Option<&str> {
        let at = self.0.iter().position(|argument| argument == name)?;
        self.0.get(at + 1).map(String::as_str)
    }

    fn number(&self, name: &str, default: u64) -> u64 {
        self.text(name)
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments(std::env::args().skip(1).collect());
    let first = arguments.number("--first", 0);
    let seconds = arguments
        .text("--seconds")
        .and_then(|text| text.parse().ok());
    let seeds = Seeds {
        range: first..first + arguments.number("--seeds", 50),
        end: seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds)),
    };
    let ended = match arguments.0.first().map(String::as_str) {
        Some("storage") => storage(&seeds, arguments.number("--operations", STORAGE_OPERATIONS)),
        Some("node") => node(&seeds, arguments.number("--operations", NODE_OPERATIONS)),
        Some("cluster") => cluster(&seeds, &arguments),
        Some("--minutes") => minutes(
            arguments.number("--first", fresh()),
            arguments.number("--minutes", 1),
        ),
        Some("--standard") => standard(first, arguments.number("--minutes", 5)),
        Some("rot") => rot(&seeds),
        Some("planted") => planted(),
        Some("story") => stories(&seeds, arguments.text("--only")),
        Some("fixture") => fixture(),
        Some("fuzz") => fuzz(seconds.unwrap_or(60), first, arguments.text("--only")),
        _ => {
            eprint!("{USAGE}");
            Err(ExitCode::from(2))
        }
    };
    ended.err().unwrap_or(ExitCode::SUCCESS)
}

/// Runs seeds one after the other, until the time is up or one fails; a panic is a failure of the seed it came from.
fn each<T>(seeds: &Seeds, run: impl Fn(u64) -> Result<T, String>) -> Result<Vec<T>, ExitCode> {
    let mut done = Vec::new();
    for seed in seeds.range.clone() {
        if seeds.end.is_some_and(|end| Instant::now() >= end) {
            break;
        }
        match catch_unwind(AssertUnwindSafe(|| run(seed))) {
            Ok(Ok(summary)) => done.push(summary),
            Ok(Err(failure)) => {
                eprintln!("{failure}");
                return Err(ExitCode::FAILURE);
            }
            Err(_) => {
                eprintln!("seed {seed} panicked");
                return Err(ExitCode::FAILURE);
            }
        }
    }
    // A machine so slow that it tried nothing has shown nothing.
    if done.is_empty() && !seeds.range.is_empty() {
        eprintln!("the time was up before the first seed ended");
        return Err(ExitCode::FAILURE);
    }
    Ok(done)
}

fn planted() -> Result<(), ExitCode> {
    match sim::planted::check() {
        Ok(seen) => {
            println!("{}", seen.join("\n"));
            Ok(())
        }
        Err(what) => {
            eprintln!("{what}");
            Err(ExitCode::FAILURE)
        }
    }
}

/// Stories that show a broken promise end well where none is broken.
fn stories(seeds: &Seeds, only: Option<&str>) -> Result<(), ExitCode> {
    let told = each(seeds, |seed| {
        let names = STORIES.iter().map(|(name, _)| *name);
        let mut names = names.filter(|name| only.is_none_or(|only| name.contains(only)));
        names.try_for_each(|name| {
            stories::tell(name, seed, Planted::Nothing)
                .map_err(|what| format!("{name}, seed {seed}: {what}"))
        })
    })?;
    println!("stories: {} seeds: all ended well", told.len());
    Ok(())
}

fn storage(seeds: &Seeds, operations: u64) -> Result<(), ExitCode> {
    let runs = each(seeds, |seed| {
        sim::storage::run(seed, operations).map_err(|failure| failure.to_string())
    })?;
    let sum = |figure: fn(&sim::storage::Summary) -> u64| runs.iter().map(figure).sum::<u64>();
    println!(
        "storage: {} seeds, {} writes, {} reads compared, {} restarts: all promises held",
        runs.len(),
        sum(|run| run.writes),
        sum(|run| run.reads),
        sum(|run| run.restarts)
    );
    Ok(())
}

fn node(seeds: &Seeds, operations: u64) -> Result<(), ExitCode> {
    let runs = each(seeds, |seed| {
        sim::node::run(seed, operations).map_err(|failure| failure.to_string())
    })?;
    println!(
        "node: {} seeds, {} requests acknowledged, {} restarts, {} times a full disk: all promises held",
        runs.len(),
        runs.iter().map(|run| run.acknowledged).sum::<u64>(),
        runs.iter().map(|run| run.restarts).sum::<u64>(),
        runs.iter().map(|run| run.full).sum::<u64>()
    );
    Ok(())
}

/// Whole clusters: every kind of workload with every seed.
fn cluster(seeds: &Seeds, arguments: &Arguments) -> Result<(), ExitCode> {
    let standard = arguments.0.iter().any(|argument| argument == "--standard");
    let rings = arguments.0.iter().any(|argument| argument == "--ring");
    let only = arguments.text("--kind");
    let all = KINDS.iter().copied();
    let kinds: Vec<&str> = match only {
        Some(only) => all.filter(|kind| *kind == only).collect(),
        None => KINDS.to_vec(),
    };
    if kinds.is_empty() {
        eprintln!("the kinds are {}", KINDS.join(", "));
        return Err(ExitCode::from(2));
    }
    let began = cpu_seconds();
    let runs = each(seeds, |seed| {
        let kind = kinds[seed as usize % kinds.len()];
        let options = if standard {
            Options::standard(kind)
        } else {
            Options::short(kind)
        };
        let ring_percent = if rings { 100 } else { options.ring_percent };
        run_twice(
            seed,
            Options {
                ring_percent,
                ..options
            },
            standard,
        )
    })?;
    tell(&runs, cpu_seconds() - began);
    Ok(())
}

/// What clusters came to, and how fast: each seed was run twice.
fn tell(runs: &[Summary], seconds: f64) {
    let hours = seconds.max(0.01) / 3_600.0;
    let sum = |figure: fn(&Summary) -> u64| runs.iter().map(figure).sum::<u64>();
    let simulated = 2.0 * sum(|run| run.millis) as f64 / 3_600_000.0;
    println!(
        "cluster: {} seeds, each twice: {} requests done, {} of open fate, {} faults: all promises held\n\
         cluster: {:.0} requests and {:.2} faults a simulated minute\n\
         cluster: {simulated:.2} simulated hours in {hours:.3} core-hours: {:.1} hours and {:.0} requests a core-hour",
        runs.len(),
        sum(|run| run.done),
        sum(|run| run.open),
        sum(|run| run.faults),
        2.0 * sum(|run| run.done + run.open) as f64 / simulated / 60.0,
        2.0 * sum(|run| run.faults) as f64 / simulated / 60.0,
        simulated / hours,
        2.0 * sum(|run| run.done + run.open) as f64 / hours,
    );
}

/// A seed must give the same history twice; the error has the command that shows what went wrong.
fn run_twice(seed: u64, options: Options, standard: bool) -> Result<Summary, String> {
    let replay = || {
        let standard = if standard { " --standard" } else { "" };
        let ring = if options.ring_percent == 100 {
            " --ring"
        } else {
            ""
        };
        format!(
            "cargo xtask sim cluster --kind {} --first {seed} --seeds 1{standard}{ring}",
            options.kind
        )
    };
    let run = || {
        let ended = catch_unwind(AssertUnwindSafe(|| sim::cluster::run(seed, options)));
        match ended {
            Ok(Ok(summary)) => Ok(summary),
            Ok(Err(failure)) => Err(format!("{failure}\n{}", replay())),
            Err(_) => Err(format!("seed {seed} panicked\n{}", replay())),
        }
    };
    let (first, second) = (run()?, run()?);
    if first == second {
        return Ok(first);
    }
    Err(format!(
        "seed {seed} has two histories: {first:?}, {second:?}\n{}",
        replay()
    ))
}

/// What fresh seeds came to.
#[derive(Default)]
struct Tally {
    storage: u64,
    nodes: u64,
    rot: u64,
    fuzzed: u64,
    clusters: Vec<Summary>,
    /// Processor time that clusters took, in seconds.
    seconds: f64,
}

impl Tally {
    /// One seed of everything: the kinds of clusters and the fuzzers take turns.
    fn turn(&mut self, seed: u64) -> Result<(), String> {
        let ran = |what: &str, run: &dyn Fn() -> Result<(), String>| {
            let replay = format!("cargo xtask sim {what} --first {seed} --seeds 1");
            match catch_unwind(AssertUnwindSafe(run)) {
                Ok(ended) => ended.map_err(|failure| format!("{failure}\n{replay}")),
                Err(_) => Err(format!("{what}: seed {seed} panicked\n{replay}")),
            }
        };
        ran("storage", &|| {
            let run = sim::storage::run(seed, STORAGE_OPERATIONS);
            run.map(drop).map_err(|failure| failure.to_string())
        })?;
        self.storage += 1;
        ran("node", &|| {
            let run = sim::node::run(seed, NODE_OPERATIONS);
            run.map(drop).map_err(|failure| failure.to_string())
        })?;
        self.nodes += 1;
        ran("rot", &|| {
            let run = sim::storage::rot(seed);
            run.map(drop).map_err(|failure| failure.to_string())
        })?;
        self.rot += 1;
        let fuzzer = &sim::fuzz::REGISTRY[seed as usize % sim::fuzz::REGISTRY.len()];
        let only = format!("fuzz --only {} --seconds 0", fuzzer.name);
        ran(&only, &|| sim::fuzz::run(fuzzer, seed))?;
        self.fuzzed += 1;
        let kind = KINDS[seed as usize % KINDS.len()];
        // Every fifth in the shape that is measured.
        let standard = seed.is_multiple_of(5) && !QUIET_KINDS.contains(&kind);
        let options = if standard {
            Options::standard(kind)
        } else {
            Options::short(kind)
        };
        let began = cpu_seconds();
        self.clusters.push(run_twice(seed, options, standard)?);
        self.seconds += cpu_seconds() - began;
        Ok(())
    }
}

/// A seed that nobody has tried.
fn fresh() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// Seeds of everything, for so many minutes.
fn minutes(first: u64, minutes: u64) -> Result<(), ExitCode> {
    println!("seeds from {first}");
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let mut tally = Tally::default();
    for seed in first.. {
        if Instant::now() >= end {
            break;
        }
        if let Err(failure) = tally.turn(seed) {
            eprintln!("{failure}");
            return Err(ExitCode::FAILURE);
        }
    }
    println!(
        "storage: {} seeds, node: {}, rot: {}, fuzzers: {}",
        tally.storage, tally.nodes, tally.rot, tally.fuzzed
    );
    tell(&tally.clusters, tally.seconds);
    Ok(())
}

/// The standard case, for so many minutes: every workload that is a load takes turns.
fn standard(first: u64, minutes: u64) -> Result<(), ExitCode> {
    let kinds = KINDS.iter().filter(|kind| !QUIET_KINDS.contains(kind));
    let kinds: Vec<&str> = kinds.copied().collect();
    let seeds = Seeds {
        range: first..u64::MAX,
        end: Some(Instant::now() + Duration::from_secs(60 * minutes)),
    };
    let began = cpu_seconds();
    let runs = each(&seeds, |seed| {
        let kind = kinds[seed as usize % kinds.len()];
        run_twice(seed, Options::standard(kind), true)
    })?;
    tell(&runs, cpu_seconds() - began);
    Ok(())
}

/// Processor time of this process, in seconds.
fn cpu_seconds() -> f64 {
    const TICKS_A_SECOND: f64 = 100.0;
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name in parentheses, which may hold anything: the state, and eleven fields later two times.
    let fields = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let ticks = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS_A_SECOND
}

fn rot(seeds: &Seeds) -> Result<(), ExitCode> {
    let found = each(seeds, |seed| {
        sim::storage::rot(seed).map_err(|failure| failure.to_string())
    })?;
    let count = |what| found.iter().filter(|found| **found == what).count();
    println!(
        "rot: {} found at the start, {} later, {} in bytes that say nothing",
        count(Found::AtStart),
        count(Found::Later),
        count(Found::Harmless)
    );
    // About one byte in seven says nothing; of many seeds a blind checker would find that of all.
    if found.len() >= 20 && count(Found::Harmless) * 2 > found.len() {
        eprintln!("most flipped bytes were not found: the checks see nothing");
        return Err(ExitCode::FAILURE);
    }
    Ok(())
}

fn fixture() -> Result<(), ExitCode> {
    match sim::node::fixture::make() {
        Ok(text) => {
            print!("{text}");
            Ok(())
        }
        Err(what) => {
            eprintln!("{what}");
            Err(ExitCode::FAILURE)
        }
    }
}

fn fuzz(seconds: u64, first: u64, only: Option<&str>) -> Result<(), ExitCode> {
    if let Err(what) = sim::fuzz::check_canary() {
        eprintln!("{what}");
        return Err(ExitCode::FAILURE);
    }
    let chosen: Vec<_> = sim::fuzz::REGISTRY
        .iter()
        .filter(|fuzzer| only.is_none_or(|only| fuzzer.name.contains(only)))
        .collect();
    // Each gets its share of the time: one that is slow leaves the others theirs.
    let share = Duration::from_secs(seconds) / chosen.len().max(1) as u32;
    for fuzzer in &chosen {
        let end = Instant::now() + share;
        let mut seed = first;
        while Instant::now() < end || seed == first {
            if let Err(what) = sim::fuzz::run(fuzzer, seed) {
                eprintln!("{} fails with seed {seed}: {what}", fuzzer.name);
                return Err(ExitCode::FAILURE);
            }
            seed += 1;
        }
        println!("{:<52} {:>8} seeds", fuzzer.name, seed - first);
    }
    println!("fuzz: {} fuzzers: none failed", chosen.len());
    Ok(())
}
