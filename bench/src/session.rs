//! Everything that is measured on one target, in order.
//!
//! Start on an empty directory; memory when idle; every order written into both tables and flushed; a sample compared
//! value by value; bytes on disk; the warm scenarios; memory when loaded; `kill -9` with the log unflushed and the time
//! until CQL answers again, with the memory it had; flushed, and started with a small block cache; the cold scenarios.

use crate::check;
use crate::failure::{Failure, Outcome};
use crate::load::{Connection, Load, Pace, Shape};
use crate::measure::{Lengths, measure};
use crate::options::Options;
use crate::orders::{Pool, ROW_BYTES, TABLES, keyspace};
use crate::process::{disk_bytes, resident_bytes, wait_until_quiet, written_bytes};
use crate::report::HELENUS;
use crate::results::{Restart, TargetRun};
use crate::target::{self, Cache, Target};
use crate::workload::{Asking, Fill, Scenario, Statements};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::thread::sleep;
use std::time::Duration;

const IDLE_BEFORE_LOOK: Duration = Duration::from_secs(3);
const QUIET_LIMIT: Duration = Duration::from_secs(90);
/// How many times the data of one table exceeds the small block cache.
const COLD_FACTOR: u64 = 4;

/// The rate at which a scenario's latencies are compared.
pub type Rates = BTreeMap<Scenario, f64>;

/// Size of the small block cache.
pub fn cold_cache_bytes(orders: u64) -> u64 {
    ((orders * ROW_BYTES / COLD_FACTOR) >> 20).max(1) << 20
}

/// Where latencies are measured.
#[derive(Debug, Clone, Copy)]
pub enum RateRule<'a> {
    /// At half of the target's own throughput at saturation.
    OwnHalf,
    /// At these rates.
    Given(&'a Rates),
}

/// One target while it is measured.
pub struct Session<'a> {
    pub(crate) target: &'a mut dyn Target,
    pub(crate) options: &'a Options,
    pub(crate) pool: &'a Pool,
    rates: RateRule<'a>,
    /// Requests asked so far.
    pub(crate) asked: u64,
    run: TargetRun,
}

impl<'a> Session<'a> {
    /// Not begun.
    pub fn new(
        target: &'a mut dyn Target,
        options: &'a Options,
        pool: &'a Pool,
        rates: RateRule<'a>,
    ) -> Self {
        let run = TargetRun {
            title: target.title().to_owned(),
            ..TargetRun::default()
        };
        Self {
            target,
            options,
            pool,
            rates,
            asked: 0,
            run,
        }
    }

    /// Measures everything that the options ask for.
    pub fn measure(mut self) -> Outcome<TargetRun> {
        self.begin()?;
        self.flush()?;
        if let Some(directories) = self.target.directories() {
            let statements = self.prepare()?;
            check::compare(
                &mut self.connect()?,
                &statements,
                self.pool,
                self.options.orders,
            )?;
            self.run.data_bytes = Some(disk_bytes(&directories.data));
        }
        self.scenarios(false)?;
        self.run.loaded_resident_bytes = resident_bytes(&self.target.processes()?)?;
        if self.target.directories().is_some() && self.options.restarts() {
            self.restart()?;
        }
        let writes = self.run.scenarios.get(&Scenario::Write);
        let writes = writes.map(|figures| figures.saturation.throughput);
        if let Some(writes) = writes
            && self.options.nodes > 1
            && self.run.title == HELENUS
        {
            let away = self.away(writes)?;
            self.say(&format!(
                "away for {:.0} s, caught up after {:?} s",
                away.away_s, away.caught_up_s
            ));
            self.run.away = Some(away);
        }
        if self.chosen(true).next().is_some() {
            self.scenarios(true)?;
        }
        self.target.stop()?;
        Ok(self.run)
    }

    /// Starts the target on an empty directory and fills it.
    pub(crate) fn begin(&mut self) -> Outcome {
        self.target.wipe()?;
        self.run.start_s = self.start(Cache::Ample)?;
        sleep(IDLE_BEFORE_LOOK);
        self.run.idle_resident_bytes = resident_bytes(&self.target.processes()?)?;
        self.say(&format!(
            "CQL after {:.2} s, {} MiB",
            self.run.start_s,
            self.run.idle_resident_bytes >> 20
        ));
        let mut connection = self.connect()?;
        connection.query(&keyspace(self.options.replicas))?;
        for statement in TABLES {
            connection.query(statement)?;
        }
        self.fill()
    }

    fn start(&mut self, cache: Cache) -> Outcome<f64> {
        let took = target::start(self.target, cache, self.options.version)?;
        Ok(took.as_secs_f64())
    }

    pub(crate) fn connect(&self) -> Outcome<Connection> {
        Connection::open(self.target.addresses()[0], self.options.version)
    }

    /// Prepares the statements on every node.
    pub(crate) fn prepare(&self) -> Outcome<Statements> {
        let (version, level) = (self.options.version, self.options.level());
        let mut prepared = None;
        for address in self.target.addresses() {
            let mut connection = Connection::open(address, version)?;
            prepared = Some(Statements::prepare(&mut connection, level)?);
        }
        prepared.ok_or_else(|| Failure::new("a target without an address"))
    }

    pub(crate) fn load(&self) -> Outcome<Load> {
        Load::open(&Shape {
            addresses: self.target.addresses(),
            version: self.options.version,
            connections: self.options.connections,
            in_flight: self.options.in_flight,
        })
    }

    /// Writes every order into both tables.
    fn fill(&mut self) -> Outcome {
        let statements = self.prepare()?;
        let mut fill = Fill::new(self.pool, &statements, self.options.orders);
        let mut load = self.load()?;
        let length = self.options.lengths().window;
        load.run(&mut fill, Pace::Saturation, length, &mut |window| {
            self.say(&format!("filling, {:.0} a second", window.throughput()));
            Ok(ControlFlow::Continue(()))
        })
    }

    pub(crate) fn flush(&mut self) -> Outcome {
        self.target.flush()?;
        wait_until_quiet(&self.target.processes()?, QUIET_LIMIT)
    }

    /// The chosen scenarios, cold or not.
    fn chosen(&self, cold: bool) -> impl Iterator<Item = Scenario> + use<> {
        let only = self.options.only.clone();
        Scenario::ALL
            .into_iter()
            .filter(move |scenario| scenario.is_cold() == cold && only.contains(scenario))
    }

    fn scenarios(&mut self, cold: bool) -> Outcome {
        let statements = self.prepare()?;
        let mut load = self.load()?;
        let lengths: Lengths = self.options.lengths();
        for scenario in self.chosen(cold) {
            let rates = self.rates;
            let rate = |throughput: f64| match rates {
                RateRule::OwnHalf => Some(throughput / 2.0),
                RateRule::Given(rates) => rates.get(&scenario).copied(),
            };
            let mut source = Asking::new(
                self.pool,
                &statements,
                scenario,
                self.options.orders,
                &mut self.asked,
            );
            let servers = self.target.processes()?;
            let figures =
                measure(&mut load, &servers, &mut source, lengths, rate).map_err(|failure| {
                    failure.during(format!("{}, {}", self.target.title(), scenario.name()))
                })?;
            let at = &figures.saturation;
            self.say(&format!(
                "{}: {:.0} a second, {:.2} µs of processor each (client {:.2}){}",
                scenario.name(),
                at.throughput,
                at.cpu_us,
                at.client_cpu_us,
                if figures.settled { "" } else { ", not settled" }
            ));
            if let Some(at) = &figures.at_rate {
                self.say(&format!(
                    "{}: at {:.0} a second p50 {:.2} p99 {:.2} p99.9 {:.2} ms, {:.2} µs of processor each",
                    scenario.name(),
                    at.throughput,
                    at.p50_ms,
                    at.p99_ms,
                    at.p999_ms,
                    at.cpu_us
                ));
            }
            self.run.scenarios.insert(scenario, figures);
        }
        Ok(())
    }

    /// Kills the server with its log full and starts it as it was; then it is flushed, and started with a small block cache.
    fn restart(&mut self) -> Outcome {
        self.target.kill()?;
        let directories = self.target.directories();
        let log_bytes = directories.map_or(0, |directories| written_bytes(&directories.log));
        let start_s = self.start(Cache::Ample)?;
        self.run.restart = Some(Restart { log_bytes, start_s });
        self.say(&format!(
            "killed with {} MiB of log: CQL after {start_s:.2} s",
            log_bytes >> 20
        ));
        self.flush()?;
        self.target.stop()?;
        let bytes = cold_cache_bytes(self.options.orders);
        self.start(Cache::Scarce { bytes })?;
        Ok(())
    }

    fn say(&self, sentence: &str) {
        eprintln!("{}: {sentence}", self.target.title());
    }
}
