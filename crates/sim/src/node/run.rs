//! The seeded run: what clients ask, what they may expect after that.

use super::machine::{Answer, Machine};
use crate::random::Rng;
use crate::storage::Failure;
use std::collections::{BTreeMap, BTreeSet};
use storage::{Generation, StoreConfig};

/// Registers and counters.
const KEYS: u64 = 4;
/// Requests in flight at most.
const IN_FLIGHT: usize = 24;
/// Longest virtual time a start, or the replay of batches, may take, in milliseconds.
const PATIENCE_MS: u64 = 60_000;
/// Error codes of answers that leave open what happened: the protocol's `Write_timeout`, `Write_failure`, `Overloaded`.
const OPEN: [i32; 3] = [0x1100, 0x1500, 0x1001];

/// What a run came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Digest of everything that happened.
    pub history: u64,
    /// Requests that were acknowledged.
    pub acknowledged: u64,
    /// Requests of which nobody knows what came of them.
    pub unknown: u64,
    /// Crashes and kills.
    pub restarts: u64,
    /// Answers compared with what had to be there.
    pub reads: u64,
}

type Check = Result<(), String>;

/// A request in flight.
#[derive(Debug, Clone)]
enum Request {
    /// A row of its own.
    Insert(u64),
    /// A logged batch of so many rows of its own, each a partition.
    Batch { number: u64, parts: u64 },
    /// A register from one value to another, if it still has the first.
    Swap { key: u64, from: u64, to: u64 },
    /// One more.
    Count(u64),
    /// A table of its own.
    CreateTable(u64),
    /// A row that was acknowledged.
    Read(u64),
}

/// What is known of something that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It may be there or not.
    Unknown,
    /// It must be there.
    Acknowledged,
}

/// What clients were told.
#[derive(Debug, Default)]
struct Promises {
    rows: BTreeMap<u64, Fate>,
    /// Batches: parts and fate.
    batches: BTreeMap<u64, (u64, Fate)>,
    /// What each register held when it was last told.
    registers: [u64; KEYS as usize],
    /// Swaps that were acknowledged, by key and the value they replaced.
    swapped: BTreeSet<(u64, u64)>,
    /// Swaps that were asked for: key, from, to.
    asked: BTreeSet<(u64, u64, u64)>,
    /// Acknowledged and attempted increments.
    counters: [(u64, u64); KEYS as usize],
    tables: BTreeMap<u64, Fate>,
}

struct Run {
    rng: Rng,
    machine: Machine,
    promises: Promises,
    flying: BTreeMap<u64, Request>,
    next: u64,
    summary: Summary,
}

/// Runs one seed.
pub fn run(seed: u64, operations: u64) -> Result<Summary, Failure> {
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
        rng,
        promises: Promises::default(),
        flying: BTreeMap::new(),
        next: 0,
        summary: Summary::default(),
    };
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
        while !self.flying.is_empty() {
            self.machine.turn();
            self.collect()?;
        }
        self.restart()
    }

    fn start(&mut self) -> Check {
        let shards = 1 + self.rng.below(4) as u16;
        self.machine.start(shards);
        // Sometimes the power fails while it starts.
        if self.summary.restarts > 0 && self.rng.chance(20) {
            for _ in 0..self.rng.below(400) {
                self.machine.turn();
            }
            self.machine.crash();
            self.machine.start(shards);
        }
        let limit = self.machine.millis() + PATIENCE_MS;
        while !self.machine.is_ready()? {
            if self.machine.millis() > limit {
                return Err("the node does not get ready".to_owned());
            }
            self.machine.turn();
        }
        self.machine.connect();
        Ok(())
    }

    fn create(&mut self) -> Check {
        let replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}";
        self.must(&format!(
            "CREATE KEYSPACE ks WITH replication = {replication}"
        ))?;
        self.must("CREATE TABLE ks.rows (k bigint PRIMARY KEY, v bigint)")?;
        self.must("CREATE TABLE ks.parts (number bigint, part bigint, filler text, PRIMARY KEY ((number, part)))")?;
        self.must("CREATE TABLE ks.registers (k bigint PRIMARY KEY, v bigint)")?;
        self.must("CREATE TABLE ks.counters (k bigint PRIMARY KEY, c counter)")?;
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
        match self.rng.below(100) {
            0 => return self.restart(),
            1 => self.machine.pass(self.rng.clone().below(200)),
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
        let number = self.next;
        let key = self.rng.below(KEYS);
        let request = match self.rng.below(100) {
            0..25 => Request::Insert(number),
            25..55 => Request::Batch {
                number,
                parts: 2 + self.rng.below(5),
            },
            55..70 => Request::Swap {
                key,
                from: self.promises.registers[key as usize],
                to: number,
            },
            70..85 => Request::Count(key),
            85..88 => Request::CreateTable(number),
            _ => {
                let known = self.promises.rows.iter();
                let known: Vec<u64> = known
                    .filter(|(_, fate)| **fate == Fate::Acknowledged)
                    .map(|(number, _)| *number)
                    .collect();
                if known.is_empty() {
                    return;
                }
                Request::Read(*self.rng.pick(&known))
            }
        };
        let text = self.statement(&request);
        let shard = self.rng.below(u64::from(self.machine.shard_count())) as u16;
        let id = self.machine.query(shard, &text);
        self.flying.insert(id, request);
    }

    /// The statement of a request; from now on it may have happened.
    fn statement(&mut self, request: &Request) -> String {
        match request {
            Request::Insert(number) => {
                self.promises.rows.insert(*number, Fate::Unknown);
                format!("INSERT INTO ks.rows (k, v) VALUES ({number}, {number})")
            }
            Request::Batch { number, parts } => {
                self.promises
                    .batches
                    .insert(*number, (*parts, Fate::Unknown));
                let filler = "x".repeat(self.rng.index(900));
                let inserts = (0..*parts).map(|part| {
                    format!("INSERT INTO ks.parts (number, part, filler) VALUES ({number}, {part}, '{filler}');")
                });
                format!("BEGIN BATCH {} APPLY BATCH", inserts.collect::<String>())
            }
            Request::Swap { key, from, to } => {
                self.promises.asked.insert((*key, *from, *to));
                format!("UPDATE ks.registers SET v = {to} WHERE k = {key} IF v = {from}")
            }
            Request::Count(key) => {
                self.promises.counters[*key as usize].1 += 1;
                format!("UPDATE ks.counters SET c = c + 1 WHERE k = {key}")
            }
            Request::CreateTable(number) => {
                self.promises.tables.insert(*number, Fate::Unknown);
                format!("CREATE TABLE ks.t{number} (k int PRIMARY KEY)")
            }
            Request::Read(number) => format!("SELECT v FROM ks.rows WHERE k = {number}"),
        }
    }

    /// Takes the answers that came.
    fn collect(&mut self) -> Check {
        for (id, answer) in std::mem::take(&mut self.machine.answers) {
            let Some(request) = self.flying.remove(&id) else {
                continue;
            };
            match &answer {
                Answer::Error(code, _) if OPEN.contains(code) => self.summary.unknown += 1,
                Answer::Error(code, message) => {
                    return Err(format!("{request:?} was refused: {code:#x} {message}"));
                }
                _ => {
                    self.summary.acknowledged += 1;
                    self.acknowledged(&request, &answer)?;
                }
            }
        }
        Ok(())
    }

    fn acknowledged(&mut self, request: &Request, answer: &Answer) -> Check {
        let promises = &mut self.promises;
        match request {
            Request::Insert(number) => {
                promises.rows.insert(*number, Fate::Acknowledged);
            }
            Request::Batch { number, parts } => {
                promises
                    .batches
                    .insert(*number, (*parts, Fate::Acknowledged));
            }
            Request::Swap { key, from, to } => {
                let Answer::Rows(rows) = answer else {
                    return Err(format!("{request:?}: {answer:?}"));
                };
                let applied = rows[0][0].as_deref() == Some(&[1]);
                if applied && !promises.swapped.insert((*key, *from)) {
                    return Err(format!("register {key} was swapped from {from} twice"));
                }
                let swapped = rows[0].get(1).map_or(Ok(*to), number_in)?;
                // Answers may be taken in another order than they were given; values only grow.
                let told = &mut promises.registers[*key as usize];
                *told = (*told).max(swapped);
            }
            Request::Count(key) => promises.counters[*key as usize].0 += 1,
            Request::CreateTable(number) => {
                promises.tables.insert(*number, Fate::Acknowledged);
            }
            Request::Read(number) => {
                self.summary.reads += 1;
                let Answer::Rows(rows) = answer else {
                    return Err(format!("{request:?}: {answer:?}"));
                };
                if rows.len() != 1 || number_in(&rows[0][0])? != *number {
                    return Err(format!("row {number} was acknowledged, and reads {rows:?}"));
                }
            }
        }
        Ok(())
    }

    fn restart(&mut self) -> Check {
        self.summary.restarts += 1;
        self.summary.unknown += self.flying.len() as u64;
        self.flying.clear();
        if self.rng.chance(50) {
            self.machine.crash();
        } else {
            self.machine.kill();
        }
        self.start()?;
        self.check()
    }

    /// Everything promised, read back.
    fn check(&mut self) -> Check {
        self.check_rows()?;
        self.check_batches()?;
        self.check_registers()?;
        self.check_counters()?;
        self.check_tables()
    }

    fn select(&mut self, text: &str) -> Result<Vec<Vec<Option<Vec<u8>>>>, String> {
        self.summary.reads += 1;
        let shard = self.rng.below(u64::from(self.machine.shard_count())) as u16;
        match self.machine.ask(shard, text)? {
            Answer::Rows(rows) => Ok(rows),
            other => Err(format!("{text}: {other:?}")),
        }
    }

    fn check_rows(&mut self) -> Check {
        let rows = self.select("SELECT k FROM ks.rows")?;
        let found: BTreeSet<u64> = rows
            .iter()
            .map(|row| number_in(&row[0]))
            .collect::<Result<_, _>>()?;
        for (number, fate) in &self.promises.rows {
            if *fate == Fate::Acknowledged && !found.contains(number) {
                return Err(format!("row {number} was acknowledged and is gone"));
            }
        }
        match found
            .iter()
            .find(|number| !self.promises.rows.contains_key(number))
        {
            Some(number) => Err(format!("row {number} was never written")),
            None => Ok(()),
        }
    }

    /// After the batch log is worked off, every batch is there whole or not at all.
    fn check_batches(&mut self) -> Check {
        let limit = self.machine.millis() + PATIENCE_MS;
        while !self.select("SELECT id FROM system.batches")?.is_empty() {
            if self.machine.millis() > limit {
                return Err("the batch log is not worked off".to_owned());
            }
            self.machine.pass(5);
        }
        let rows = self.select("SELECT number FROM ks.parts")?;
        let mut found: BTreeMap<u64, u64> = BTreeMap::new();
        for row in &rows {
            *found.entry(number_in(&row[0])?).or_default() += 1;
        }
        for (number, (parts, fate)) in &self.promises.batches {
            let there = found.get(number).copied().unwrap_or(0);
            if there != *parts && (there != 0 || *fate == Fate::Acknowledged) {
                return Err(format!(
                    "batch {number}, {fate:?}: {there} of its {parts} parts are there"
                ));
            }
        }
        Ok(())
    }

    /// A register holds what the last acknowledged swap gave it, or what swaps of open fate made of that.
    fn check_registers(&mut self) -> Check {
        for row in self.select("SELECT k, v FROM ks.registers")? {
            let (key, value) = (number_in(&row[0])?, number_in(&row[1])?);
            let told = self.promises.registers[key as usize];
            let mut reachable = BTreeSet::from([told]);
            for (_, from, to) in self.promises.asked.range((key, 0, 0)..(key + 1, 0, 0)) {
                // In the order of `from`, and a swap sets a larger value than it replaces.
                if reachable.contains(from) && !self.promises.swapped.contains(&(key, *from)) {
                    reachable.insert(*to);
                }
            }
            if !reachable.contains(&value) {
                return Err(format!(
                    "register {key} was last told to be {told}, and is {value}"
                ));
            }
            self.promises.registers[key as usize] = value;
        }
        Ok(())
    }

    fn check_counters(&mut self) -> Check {
        let mut found = [0; KEYS as usize];
        for row in self.select("SELECT k, c FROM ks.counters")? {
            found[number_in(&row[0])? as usize] = number_in(&row[1])?;
        }
        for (key, (count, (acknowledged, attempted))) in
            found.iter().zip(self.promises.counters).enumerate()
        {
            if !(acknowledged..=attempted).contains(count) {
                return Err(format!(
                    "counter {key} is {count}; {acknowledged} of {attempted} increments were acknowledged"
                ));
            }
        }
        Ok(())
    }

    fn check_tables(&mut self) -> Check {
        let text = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'ks'";
        let rows = self.select(text)?;
        let found: BTreeSet<&[u8]> = rows.iter().filter_map(|row| row[0].as_deref()).collect();
        for (number, fate) in &self.promises.tables {
            let name = format!("t{number}");
            if *fate == Fate::Acknowledged && !found.contains(name.as_bytes()) {
                return Err(format!("table {name} was acknowledged and is gone"));
            }
        }
        Ok(())
    }
}

fn number_in(cell: &Option<Vec<u8>>) -> Result<u64, String> {
    let bytes = cell.as_deref().and_then(|bytes| bytes.try_into().ok());
    bytes
        .map(u64::from_be_bytes)
        .ok_or_else(|| format!("{cell:?} is no bigint"))
}
