//! The seeded run.

use super::ids::Ids;
use super::model::{Model, Write};
use super::node::{Node, Stop};
use super::tables::{KEYS, Name, Tables, key};
use crate::planted::Planted;
use crate::random::Rng;
use ::model::schema::TableOptions;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use storage::{StoreConfig, StoreError, SyncMode};

/// A promise was broken.
#[derive(Debug)]
pub struct Failure {
    /// The seed that shows it.
    pub seed: u64,
    /// What happened.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {}", self.seed, self.what)
    }
}

impl std::error::Error for Failure {}

/// What a run came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Digest of everything that happened.
    pub history: u64,
    /// Writes attempted.
    pub writes: u64,
    /// Reads compared.
    pub reads: u64,
    /// Crashes, kills and clean stops.
    pub restarts: u64,
    /// Times the disk was full.
    pub full: u64,
    /// Flushes and compactions.
    pub jobs: u64,
}

pub(super) type Check = Result<(), String>;

/// Small everything, so that every boundary is met often.
fn configure(seed: u64, mut config: StoreConfig) -> StoreConfig {
    let mut rng = Rng::new(seed ^ 0x5eed);
    config.segment_bytes = *rng.pick(&[16 << 10, 32 << 10, 128 << 10]);
    config.log_bytes = config.segment_bytes * *rng.pick(&[3usize, 6, 20]);
    config.memtable_bytes = *rng.pick(&[96 << 10, 256 << 10, 4 << 20]);
    config.cache_bytes = *rng.pick(&[0, 32 << 10, 1 << 20]);
    config.filter_bytes = *rng.pick(&[0, 1 << 20]);
    config.sync = *rng.pick(&[
        SyncMode::Group,
        SyncMode::Group,
        SyncMode::Batch,
        SyncMode::Periodic { ms: 20 },
    ]);
    config
}

fn table_options(rng: &mut Rng) -> TableOptions {
    let mut options = TableOptions::default();
    let map = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    let codec = *rng.pick(&[
        "LZ4Compressor",
        "SnappyCompressor",
        "DeflateCompressor",
        "ZstdCompressor",
        "NoopCompressor",
    ]);
    options.compression = map(&[("class", codec), ("chunk_length_in_kb", "4")]);
    options.compaction = match rng.below(5) {
        0 => map(&[
            ("class", "LeveledCompactionStrategy"),
            ("sstable_size_in_mb", "1"),
        ]),
        1 => map(&[
            ("class", "UnifiedCompactionStrategy"),
            ("scaling_parameters", "L4,T4"),
        ]),
        2 => map(&[("class", "TimeWindowCompactionStrategy")]),
        _ => map(&[
            ("class", "SizeTieredCompactionStrategy"),
            ("min_threshold", "3"),
        ]),
    };
    options.gc_grace_seconds = *rng.pick(&[0, 5, 864_000]);
    options.memtable_flush_period_in_ms = *rng.pick(&[0, 0, 100]);
    options.bloom_filter_fp_chance = *rng.pick(&[0.01, 0.1, 1.0]);
    options
}

pub(super) struct Run {
    pub(super) rng: Rng,
    pub(super) tables: Tables,
    pub(super) node: Node,
    pub(super) model: Model,
    /// Writes whose tickets are out, by ticket.
    pub(super) waiting: BTreeMap<u64, u64>,
    /// Writes that were acknowledged.
    pub(super) acknowledged: BTreeSet<u64>,
    /// Every write that was ever attempted.
    pub(super) attempted: BTreeMap<u64, Write>,
    /// Truncations not acknowledged yet: by task ticket the shard, the table and the next write's number.
    pub(super) truncating: BTreeMap<u64, (usize, Name, u64)>,
    /// Truncations begun since the last start.
    pub(super) truncations: Vec<(Name, u64)>,
    /// Truncations that are durable, by table and key.
    pub(super) sure_floors: BTreeMap<(Name, u8), u64>,
    pub(super) next: u64,
    pub(super) shards: u16,
    pub(super) periodic: bool,
    /// `gc_grace_seconds` of the tables.
    pub(super) grace: u32,
    /// The first write whose batch nothing later in the log vouches for.
    pub(super) last_write: Option<u64>,
    /// Why a read was refused.
    pub(super) refused: Option<StoreError>,
    /// Mutations with ids.
    pub(super) ids: Ids,
    /// What is wrong on purpose.
    pub(super) planted: Planted,
    /// Whether what happens is told.
    pub(super) trace: bool,
    pub(super) summary: Summary,
}

/// Runs one seed: so many operations, with crashes between.
pub fn run(seed: u64, operations: u64) -> Result<Summary, Failure> {
    run_planted(seed, operations, Planted::Nothing)
}

/// As [`run`], with a defect that has to be seen.
pub(crate) fn run_planted(
    seed: u64,
    operations: u64,
    planted: Planted,
) -> Result<Summary, Failure> {
    let mut run = Run::new(seed);
    run.planted = planted;
    run.node.disk.planted = planted;
    run.go(operations).map_err(|what| Failure { seed, what })
}

const FIRST: storage::Generation = storage::Generation {
    number: 1,
    previous: None,
};

impl Run {
    /// A machine that is not started, and all that a seed decides about it.
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let options = table_options(&mut rng);
        let shards = 1 + rng.below(3) as u16;
        let sync = configure(seed, StoreConfig::new(0, 1, FIRST)).sync;
        Self {
            tables: Tables::new(&options),
            node: Node::new(seed, rng.fork(), configure),
            model: Model::default(),
            waiting: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            attempted: BTreeMap::new(),
            truncating: BTreeMap::new(),
            truncations: Vec::new(),
            sure_floors: BTreeMap::new(),
            next: 1,
            shards,
            periodic: matches!(sync, SyncMode::Periodic { .. }),
            grace: options.gc_grace_seconds,
            last_write: None,
            refused: None,
            ids: Ids::default(),
            planted: Planted::Nothing,
            trace: std::env::var_os("SIM_TRACE").is_some(),
            summary: Summary::default(),
            rng,
        }
    }

    pub(super) fn go(&mut self, operations: u64) -> Result<Summary, String> {
        self.start()?;
        for _ in 0..operations {
            match self.rng.below(1000) {
                0..600 => self.write(),
                600..760 => self.read()?,
                760..900 => self.turns(),
                900..920 => self.flush(),
                920..930 => self.compact(),
                930..935 => self.truncate(),
                935..950 => self.node.second_offset += self.rng.below(4) as i64,
                950..958 => self.full_disk()?,
                958..961 => self.failing_sync(),
                961..975 => self.restart()?,
                975..980 => self.settle(),
                980..984 => self.release(),
                984..986 => self.check_journal()?,
                986..991 if self.grace > 1_000 => self.canonical()?,
                _ => {
                    let millis = self.rng.below(30);
                    self.node.pass(millis);
                }
            }
            self.take_reports()?;
        }
        self.settle();
        self.take_reports()?;
        self.compare_all()?;
        self.restart()?;
        self.summary.history = self.node.history;
        Ok(self.summary)
    }

    pub(super) fn start(&mut self) -> Check {
        self.node
            .start(self.shards, &self.tables.schema)
            .map_err(|error| format!("start: {error}"))
    }

    pub(super) fn turns(&mut self) {
        for _ in 0..=self.rng.below(20) {
            self.node.turn();
        }
    }

    /// Lets everything outstanding finish.
    pub(super) fn settle(&mut self) {
        for _ in 0..200_000 {
            self.node.turn();
            let idle = self.node.disk.in_flight() == 0
                && self
                    .node
                    .stores
                    .iter()
                    .all(|store| store.stats().jobs.is_empty());
            if idle {
                return;
            }
        }
        panic!("the node never settles");
    }

    pub(super) fn flush(&mut self) {
        let shard = self.rng.index(self.node.stores.len());
        let name = *self.rng.pick(&[
            None,
            Some(Name::Plain),
            Some(Name::Wide),
            Some(Name::Witness),
        ]);
        let ticket = self.node.ticket();
        let flushed = self
            .node
            .with_store(shard, |store, _, _| store.flush(name.map(Name::id), ticket));
        if flushed.is_ok() && self.rng.chance(30) {
            // It may fail on a full disk only, and none is here.
            let _ = self.node.wait(ticket);
            self.summary.jobs += 1;
        }
    }

    pub(super) fn compact(&mut self) {
        let shard = self.rng.index(self.node.stores.len());
        let name = *self.rng.pick(&[Name::Plain, Name::Wide, Name::Witness]);
        let ticket = self.node.ticket();
        let begun = self
            .node
            .with_store(shard, |store, _, _| store.compact(name.id(), ticket));
        if begun.is_ok() && self.rng.chance(50) {
            let _ = self.node.wait(ticket);
            self.summary.jobs += 1;
        }
    }

    pub(super) fn truncate(&mut self) {
        let name = *self.rng.pick(&[Name::Plain, Name::Wide]);
        for shard in 0..self.node.stores.len() {
            let ticket = self.node.ticket();
            let at = self.node.now().wall.0;
            let begun = self.node.with_store(shard, |store, now, io| {
                store.truncate(name.id(), (at, 0), ticket, now, io)
            });
            if begun.is_ok() {
                self.truncating.insert(ticket, (shard, name, self.next));
                self.note_emptied(name.id(), self.next);
            }
        }
        // From here on nobody sees the old rows, though a crash may bring them back.
        for key in 0..KEYS {
            self.model.floors.insert((name, key), self.next);
        }
        self.tell(|| format!("truncate {name:?}"));
        self.truncations.push((name, self.next));
    }

    /// Acts on what the stores reported.
    pub(super) fn take_reports(&mut self) -> Check {
        for shard in 0..self.node.stores.len() {
            self.node.collect(shard);
        }
        self.take_held()?;
        for ticket in std::mem::take(&mut self.node.reports.durable) {
            match self.waiting.remove(&ticket) {
                Some(number) => {
                    self.acknowledged.insert(number);
                }
                None => {
                    return Err(format!(
                        "ticket {ticket} is acknowledged twice or was never given"
                    ));
                }
            }
        }
        for (ticket, error) in std::mem::take(&mut self.node.reports.failed) {
            if !is_passing(&error) && !matches!(error, StoreError::Poisoned(_)) {
                return Err(format!("a write failed: {error}"));
            }
            self.waiting.remove(&ticket);
        }
        for (ticket, result) in std::mem::take(&mut self.node.reports.tasks) {
            let Some((shard, name, floor)) = self.truncating.remove(&ticket) else {
                continue;
            };
            let own = (0..KEYS).filter(|number| self.node.shard(key(*number).token) == shard);
            for number in own.filter(|_| result.is_ok()) {
                self.sure_floors.insert((name, number), floor);
            }
        }
        Ok(())
    }

    /// Fills the disk up, or lets nothing be opened: writes are refused after a while, reads go on, and writes too when
    /// it is over.
    pub(super) fn full_disk(&mut self) -> Check {
        self.summary.full += 1;
        self.tell(|| "full disk".into());
        let room = self.rng.below(20_000);
        if self.summary.full.is_multiple_of(3) {
            self.node.disk.faults.can_open = false;
        } else {
            self.node.disk.faults.capacity = self.node.disk.used() + room;
        }
        let mut refused = false;
        for _ in 0..400 {
            self.write();
            self.node.turn();
            self.take_reports()?;
            if self
                .node
                .stores
                .iter()
                .any(|store| store.write_error().as_ref().is_some_and(is_passing))
            {
                refused = true;
                break;
            }
        }
        for _ in 0..5 {
            self.read()?;
        }
        if self.rng.chance(30) {
            self.restart()?;
        }
        self.node.disk.faults.capacity = u64::MAX;
        self.node.disk.faults.can_open = true;
        self.node.pass(3000);
        self.take_reports()?;
        if refused {
            for store in &self.node.stores {
                match store.write_error() {
                    None | Some(StoreError::Poisoned(_)) => {}
                    Some(error) => return Err(format!("space is back, but: {error}")),
                }
            }
        }
        Ok(())
    }

    /// A sync fails somewhere soon; the next restart heals it.
    pub(super) fn failing_sync(&mut self) {
        self.tell(|| "a sync will fail".into());
        self.node.disk.faults.failing_sync = 1 + self.rng.below(10);
    }

    pub(super) fn tell(&self, what: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{:?} write {} {}", self.node.now().boot, self.next, what());
        }
    }

    pub(super) fn restart(&mut self) -> Check {
        self.summary.restarts += 1;
        self.take_reports()?;
        let lossless = match self.rng.below(4) {
            0 | 1 => {
                self.tell(|| "crash".into());
                self.node.crash();
                false
            }
            2 => {
                self.tell(|| "kill".into());
                self.node.kill();
                false
            }
            _ => {
                self.tell(|| "drain".into());
                self.drain()?
            }
        };
        self.node.disk.faults.failing_sync = u64::MAX;
        self.node.disk.faults.capacity = u64::MAX;
        self.node.disk.faults.can_open = true;
        let shards = self.shards;
        if self.rng.chance(40) {
            self.shards = 1 + self.rng.below(3) as u16;
        }
        self.waiting.clear();
        self.start_through_crashes()?;
        self.check_recovery(lossless, self.shards == shards)
    }

    /// Starts, stopped a few times before the start is done.
    pub(super) fn start_through_crashes(&mut self) -> Check {
        while self.rng.chance(25) {
            let turns = 1 + self.rng.below(60);
            let stop = *self.rng.pick(&[Stop::PowerFails, Stop::ProcessDies]);
            let schema = &self.tables.schema;
            let ready = self.node.start_and_stop(self.shards, schema, turns, stop);
            let shards = self.shards;
            self.tell(|| {
                format!("start of {shards} shards, {stop:?} after {turns} turns, ready {ready}")
            });
            if ready {
                break;
            }
        }
        self.tell(|| format!("files {:?}", self.node.disk.files()));
        self.start()?;
        self.tell(|| format!("started with {} shards", self.shards));
        Ok(())
    }

    /// Stops cleanly; whether everything that was applied is on disk.
    pub(super) fn drain(&mut self) -> Result<bool, String> {
        let mut clean = true;
        let mut tickets = Vec::new();
        for shard in 0..self.node.stores.len() {
            let ticket = self.node.ticket();
            if self
                .node
                .with_store(shard, |store, _, _| store.drain(ticket))
                .is_ok()
            {
                tickets.push(ticket);
            } else {
                clean = false;
            }
        }
        self.node.disk.faults.capacity = u64::MAX;
        self.node.disk.faults.can_open = true;
        for ticket in tickets {
            clean &= self.node.wait(ticket).is_ok();
        }
        self.take_reports()?;
        self.node.crash();
        Ok(clean)
    }
}

/// Whether writes are taken again by themselves.
fn is_passing(error: &StoreError) -> bool {
    matches!(error, StoreError::DiskFull | StoreError::NoSegment(_))
}
