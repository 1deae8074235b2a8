//! The seeded run: clients send what they like, and things happen to the machine.

use super::machine::{Answer, Machine};
use super::promises::{Check, Promises};
use super::request::{KEYS, Request};
use crate::disk::Faults;
use crate::planted::Planted;
use crate::random::Rng;
use crate::storage::Failure;
use std::collections::BTreeMap;
use storage::{Generation, StoreConfig};

/// Requests in flight at most.
const IN_FLIGHT: usize = 24;
/// Longest virtual time a start, a drain, or the replay of batches, may take, in milliseconds.
pub(super) const PATIENCE_MS: u64 = 60_000;
/// Runs in which the wall clock is set back, in percent.
const CLOCK_STEPS: u64 = 30;
/// How far the wall clock is set back at most, in microseconds.
const MAX_STEP_MICROS: u64 = 20_000_000;
/// Most bytes that are left on a disk that gets full.
const MAX_LEFT_BYTES: u64 = 200 << 10;
/// The protocol's `Write_failure`.
const WRITE_FAILURE: i32 = 0x1500;
/// Error codes of answers that leave open what happened: the protocol's `Write_timeout`, `Write_failure`, `Overloaded`.
const OPEN: [i32; 3] = [0x1100, WRITE_FAILURE, 0x1001];
/// What schema changes and truncations may be answered while the disk is full: `Server_error`, `Truncate_error`.
const OPEN_WHEN_FULL: [i32; 2] = [0x0000, 0x1003];

/// What a run came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Digest of everything that happened.
    pub history: u64,
    /// Requests that were acknowledged.
    pub acknowledged: u64,
    /// Requests of which nobody knows what came of them.
    pub unknown: u64,
    /// Crashes, kills and drains.
    pub restarts: u64,
    /// Answers compared with what had to be there.
    pub reads: u64,
    /// Times the disk got full.
    pub full: u64,
}

/// A run.
pub(super) struct Run {
    pub rng: Rng,
    pub machine: Machine,
    pub promises: Promises,
    flying: BTreeMap<u64, Request>,
    next: u64,
    /// The disk is full, or was a moment ago.
    full: bool,
    pub summary: Summary,
}

/// Runs one seed.
pub fn run(seed: u64, operations: u64) -> Result<Summary, Failure> {
    run_planted(seed, operations, Planted::Nothing)
}

/// As [`run`], with a defect that has to be seen.
pub(crate) fn run_planted(
    seed: u64,
    operations: u64,
    planted: Planted,
) -> Result<Summary, Failure> {
    let mut rng = Rng::new(seed);
    let mut store = StoreConfig::new(
        0,
        1,
        Generation {
            number: 0,
            previous: None,
        },
    );
    store.segment_bytes = *rng.pick(&[64 << 10, 256 << 10]);
    store.log_bytes = store.segment_bytes * *rng.pick(&[4usize, 16]);
    store.memtable_bytes = *rng.pick(&[128 << 10, 1 << 20]);
    let mut run = Run {
        machine: Machine::new(rng.fork(), store),
        promises: Promises {
            clock_steps: rng.chance(CLOCK_STEPS),
            ..Promises::default()
        },
        rng,
        flying: BTreeMap::new(),
        next: 0,
        full: false,
        summary: Summary::default(),
    };
    run.machine.disk.planted = planted;
    let done = run.all(operations);
    run.summary.history = run.machine.history;
    match done {
        Ok(()) => Ok(run.summary),
        Err(what) => {
            let what = format!("{what}\nlogged:\n{}", run.machine.log.join("\n"));
            Err(Failure { seed, what })
        }
    }
}

impl Run {
    fn all(&mut self, operations: u64) -> Check {
        self.start()?;
        self.create()?;
        for _ in 0..operations {
            self.step()?;
        }
        self.make_room()?;
        while !self.flying.is_empty() {
            self.machine.turn();
            self.collect()?;
        }
        self.restart()
    }

    fn start(&mut self) -> Check {
        let shards = 1 + self.rng.below(4) as u16;
        self.machine.start(shards);
        // Sometimes the power fails while it starts, or somebody kills it.
        while self.rng.chance(20) {
            for _ in 0..self.rng.below(400) {
                self.machine.turn();
            }
            if self.rng.chance(50) {
                self.machine.crash();
            } else {
                self.machine.kill();
            }
            self.machine.start(shards);
        }
        let limit = self.machine.millis() + PATIENCE_MS;
        while !self.machine.is_ready()? {
            if self.machine.millis() > limit {
                return Err("the node does not get ready".to_owned());
            }
            self.machine.turn();
        }
        self.machine.connect()
    }

    fn create(&mut self) -> Check {
        let replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}";
        self.must(&format!(
            "CREATE KEYSPACE ks WITH replication = {replication}"
        ))?;
        for table in [
            "rows (k bigint PRIMARY KEY, v bigint)",
            "parts (number bigint, part bigint, filler text, PRIMARY KEY ((number, part)))",
            "registers (k bigint PRIMARY KEY, v bigint)",
            "counters (k bigint PRIMARY KEY, c counter)",
            "once (id uuid PRIMARY KEY, n bigint)",
            "ticks (id timeuuid PRIMARY KEY, n bigint)",
            "stamped (k bigint PRIMARY KEY, v bigint)",
            "wiped (k bigint PRIMARY KEY)",
        ] {
            self.must(&format!("CREATE TABLE ks.{table}"))?;
        }
        for key in 0..KEYS {
            self.must(&format!(
                "INSERT INTO ks.registers (k, v) VALUES ({key}, 0)"
            ))?;
        }
        Ok(())
    }

    fn must(&mut self, text: &str) -> Check {
        match self.machine.ask(0, text)? {
            Answer::Error(code, message) => Err(format!("{text}: {code:#x} {message}")),
            _ => Ok(()),
        }
    }

    fn step(&mut self) -> Check {
        match self.rng.below(200) {
            0..2 => return self.restart(),
            2..4 => self.machine.pass(self.rng.clone().below(200)),
            4 => return self.drain(),
            5 if !self.full => self.fill(),
            5..9 if self.full => self.make_room()?,
            _ if self.flying.len() < IN_FLIGHT => self.send(),
            _ => {}
        }
        for _ in 0..self.rng.below(12) {
            self.machine.turn();
        }
        self.collect()
    }

    fn send(&mut self) {
        self.next += 1;
        let request = Request::pick(self.next, &self.promises, &mut self.rng);
        self.promises.asked(&request);
        let text = request.text(&mut self.rng);
        let shard = self.rng.below(u64::from(self.machine.shard_count())) as u16;
        let id = self.machine.query(shard, &text);
        self.flying.insert(id, request);
    }

    /// Takes the answers that came.
    fn collect(&mut self) -> Check {
        for (id, answer) in std::mem::take(&mut self.machine.answers) {
            let Some(request) = self.flying.remove(&id) else {
                continue;
            };
            match &answer {
                Answer::Error(code, message) => {
                    let open = OPEN.contains(code)
                        || self.full
                            && request.is_administrative()
                            && OPEN_WHEN_FULL.contains(code);
                    // A part of a batch may meet full memtables; the batch log has it all the same.
                    let may_fail = self.full || matches!(request, Request::Batch { .. });
                    if !open || *code == WRITE_FAILURE && !may_fail {
                        return Err(format!("{request:?} was refused: {code:#x} {message}"));
                    }
                    self.summary.unknown += 1;
                    if let Request::Truncate(_) = request {
                        self.promises.truncation_ended();
                    }
                }
                _ => {
                    self.summary.acknowledged += 1;
                    self.summary.reads += u64::from(matches!(request, Request::Read(_)));
                    self.promises.acknowledged(&request, &answer)?;
                }
            }
        }
        Ok(())
    }

    /// Somebody else takes the disk's space, but for a little.
    fn fill(&mut self) {
        self.summary.full += 1;
        self.full = true;
        let left = self.rng.below(MAX_LEFT_BYTES);
        self.machine.disk.faults.capacity = self.machine.disk.used() + left;
    }

    /// There is space again. What is asked from now on succeeds, once what was refused has been answered.
    fn make_room(&mut self) -> Check {
        if !self.full {
            return Ok(());
        }
        self.machine.disk.faults = Faults::NONE;
        let limit = self.machine.millis() + PATIENCE_MS;
        while !self.flying.is_empty() {
            if self.machine.millis() > limit {
                return Err(format!("never answered: {:?}", self.flying));
            }
            self.machine.turn();
            self.collect()?;
        }
        // The log tries again after a second.
        self.machine.pass(2_500);
        self.full = false;
        self.next += 1;
        let number = self.next;
        for request in [Request::Insert(number), Request::CreateTable(number)] {
            self.promises.asked(&request);
            let text = request.text(&mut self.rng);
            self.must(&text)?;
            self.promises.acknowledged(&request, &Answer::Done)?;
        }
        Ok(())
    }

    fn restart(&mut self) -> Check {
        self.summary.restarts += 1;
        self.summary.unknown += self.flying.len() as u64;
        self.flying.clear();
        self.promises.truncation_ended();
        if self.rng.chance(50) {
            self.machine.crash();
        } else {
            self.machine.kill();
        }
        self.start_again()
    }

    fn start_again(&mut self) -> Check {
        self.machine.disk.faults = Faults::NONE;
        self.full = false;
        if self.promises.clock_steps && self.rng.chance(40) {
            let micros = self.rng.below(MAX_STEP_MICROS) as i64;
            self.machine.step_wall_clock(-micros);
        }
        self.start()?;
        self.check()
    }

    /// The operator ends the process: what is in flight is answered, then everything is made durable.
    fn drain(&mut self) -> Check {
        if self.full {
            return Ok(());
        }
        self.summary.restarts += 1;
        let limit = self.machine.millis() + PATIENCE_MS;
        while !self.machine.is_quiet() {
            if self.machine.millis() > limit {
                return Err("the node does not get quiet".to_owned());
            }
            self.machine.turn();
        }
        self.collect()?;
        if let Some((_, request)) = self.flying.pop_first() {
            return Err(format!("a quiet node has not answered {request:?}"));
        }
        self.machine.drain();
        while !self.machine.is_drained() {
            if self.machine.millis() > limit {
                return Err("the node is never drained".to_owned());
            }
            self.machine.turn();
        }
        self.machine.crash();
        self.start_again()
    }
}
