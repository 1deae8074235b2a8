//! The seeded run.

use super::model::{Change, Model, SeenPartition, SeenRow, Write};
use super::node::Node;
use super::tables::{KEYS, Name, ROWS, Tables, key};
use crate::random::Rng;
use ::model::clustering::Slice;
use ::model::filter::RowFilter;
use ::model::key::{DecoratedKey, Token};
use ::model::limits::SHARDING_IGNORE_MSB;
use ::model::read::{
    Columns, Dead, Direction, KeyBound, KeyRange, Limits, Partitions, ReadCommand, ReadEntry,
    ReadResponse, Resume,
};
use ::model::row::Row;
use ::model::schema::TableOptions;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
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

type Check = Result<(), String>;

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

struct Run {
    rng: Rng,
    tables: Tables,
    node: Node,
    model: Model,
    /// Writes whose tickets are out, by ticket.
    waiting: BTreeMap<u64, u64>,
    /// Writes that were acknowledged.
    acknowledged: BTreeSet<u64>,
    /// Every write that was ever attempted.
    attempted: BTreeMap<u64, Write>,
    /// Truncations not acknowledged yet: by task ticket the shard, the table and the next write's number.
    truncating: BTreeMap<u64, (usize, Name, u64)>,
    /// Truncations begun since the last start.
    truncations: Vec<(Name, u64)>,
    /// Truncations that are durable, by table and key.
    sure_floors: BTreeMap<(Name, u8), u64>,
    next: u64,
    shards: u16,
    periodic: bool,
    /// Whether what happens is told.
    trace: bool,
    summary: Summary,
}

/// Runs one seed: so many operations, with crashes between.
pub fn run(seed: u64, operations: u64) -> Result<Summary, Failure> {
    let mut rng = Rng::new(seed);
    let options = table_options(&mut rng);
    let shards = 1 + rng.below(3) as u16;
    let node = Node::new(seed, rng.fork(), configure);
    let mut run = Run {
        tables: Tables::new(&options),
        node,
        model: Model::default(),
        waiting: BTreeMap::new(),
        acknowledged: BTreeSet::new(),
        attempted: BTreeMap::new(),
        truncating: BTreeMap::new(),
        truncations: Vec::new(),
        sure_floors: BTreeMap::new(),
        next: 1,
        shards,
        periodic: matches!(
            configure(seed, StoreConfig::new(0, 1, FIRST)).sync,
            SyncMode::Periodic { .. }
        ),
        trace: std::env::var_os("SIM_TRACE").is_some(),
        summary: Summary::default(),
        rng,
    };
    run.go(operations).map_err(|what| Failure { seed, what })
}

const FIRST: storage::Generation = storage::Generation {
    number: 1,
    previous: None,
};

impl Run {
    fn go(&mut self, operations: u64) -> Result<Summary, String> {
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

    fn start(&mut self) -> Check {
        self.node
            .start(self.shards, &self.tables.schema)
            .map_err(|error| format!("start: {error}"))
    }

    fn write(&mut self) {
        let number = self.next;
        self.next += 1;
        let second = self.node.now().wall.seconds();
        let key_number = self.rng.below(u64::from(KEYS)) as u8;
        let changes = self.changes();
        let write = Write {
            number,
            key: key_number,
            second,
            changes,
        };
        let bytes = write.encode(&self.tables);
        self.summary.writes += 1;
        let applied = self.node.apply(key(key_number).token, &bytes);
        self.tell(|| format!("{write:?} {applied:?}"));
        if let Ok(ticket) = applied {
            self.waiting.insert(ticket, number);
            self.attempted.insert(number, write.clone());
            self.model.writes.insert(number, write);
        }
        let shard = self.node.shard(key(key_number).token);
        if self.rng.chance(50) {
            self.node
                .with_store(shard, |store, now, io| store.end_of_turn(now, io));
        }
    }

    fn changes(&mut self) -> Vec<(Name, Change)> {
        let mut changes = Vec::new();
        let mut rows = BTreeSet::new();
        let mut fixed = false;
        for _ in 0..=self.rng.below(3) {
            if self.rng.chance(25) {
                if rows.insert((Name::Plain, 0)) {
                    let change = match self.rng.below(10) {
                        0 => Change::DeletePartition,
                        1 => Change::DeleteRow { row: 0 },
                        _ => self.row(0, self.tables.plain, None),
                    };
                    changes.push((Name::Plain, change));
                }
                continue;
            }
            let row = self.rng.below(u64::from(ROWS)) as u8;
            let change = match self.rng.below(40) {
                0 => Change::DeletePartition,
                1..=3 => Change::DeleteRow { row },
                4..=6 => {
                    let to = row + self.rng.below(u64::from(ROWS)) as u8 / 2;
                    Change::DeleteRange {
                        from: row,
                        to: to.max(row + 1),
                    }
                }
                7..=9 => {
                    if std::mem::replace(&mut fixed, true) {
                        continue;
                    }
                    let value = self.rng.chance(80).then(|| self.value());
                    Change::Static { value }
                }
                10 | 11 => Change::DeleteMap { row },
                _ => {
                    if !rows.insert((Name::Wide, row)) {
                        continue;
                    }
                    let map = self.tables.wide.map;
                    self.row(row, self.tables.wide.plain, Some(map))
                }
            };
            changes.push((Name::Wide, change));
        }
        changes
    }

    fn value(&mut self) -> Vec<u8> {
        let length = if self.rng.chance(5) { 1500 } else { 40 };
        let length = 1 + self.rng.index(length);
        self.rng.bytes(length)
    }

    fn row(
        &mut self,
        row: u8,
        plain: [::model::row::ColumnId; 2],
        map: Option<::model::row::ColumnId>,
    ) -> Change {
        let mut cells = Vec::new();
        for column in plain {
            if self.rng.chance(60) {
                let value = self.rng.chance(85).then(|| self.value());
                cells.push((column, None, value));
            }
        }
        if let Some(map) = map {
            let mut paths = BTreeSet::new();
            for _ in 0..self.rng.below(3) {
                let path = self.rng.below(5) as u8;
                if paths.insert(path) {
                    let value = self.rng.chance(80).then(|| self.value());
                    cells.push((map, Some(path), value));
                }
            }
        }
        let ttl = *self.rng.pick(&[0, 0, 0, 0, 3, 60]);
        Change::Row {
            row,
            marker: self.rng.chance(60),
            ttl,
            cells,
        }
    }

    fn turns(&mut self) {
        for _ in 0..=self.rng.below(20) {
            self.node.turn();
        }
    }

    /// Lets everything outstanding finish.
    fn settle(&mut self) {
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

    fn flush(&mut self) {
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

    fn compact(&mut self) {
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

    fn truncate(&mut self) {
        let name = *self.rng.pick(&[Name::Plain, Name::Wide]);
        for shard in 0..self.node.stores.len() {
            let ticket = self.node.ticket();
            let at = self.node.now().wall.0;
            let begun = self.node.with_store(shard, |store, now, io| {
                store.truncate(name.id(), at, ticket, now, io)
            });
            if begun.is_ok() {
                self.truncating.insert(ticket, (shard, name, self.next));
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
    fn take_reports(&mut self) -> Check {
        for shard in 0..self.node.stores.len() {
            self.node.collect(shard);
        }
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
            if !matches!(error, StoreError::DiskFull | StoreError::Poisoned(_)) {
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

    /// Fills the disk up: writes are refused after a while, reads go on, and writes too when there is space again.
    fn full_disk(&mut self) -> Check {
        self.summary.full += 1;
        self.tell(|| "full disk".into());
        self.node.disk.faults.capacity = self.node.disk.used() + self.rng.below(20_000);
        let mut refused = false;
        for _ in 0..400 {
            self.write();
            self.node.turn();
            self.take_reports()?;
            if self
                .node
                .stores
                .iter()
                .any(|store| store.write_error() == Some(StoreError::DiskFull))
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
    fn failing_sync(&mut self) {
        self.tell(|| "a sync will fail".into());
        self.node.disk.faults.failing_sync = 1 + self.rng.below(10);
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{:?} write {} {}", self.node.now().boot, self.next, what());
        }
    }

    fn restart(&mut self) -> Check {
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
        if self.rng.chance(40) {
            self.shards = 1 + self.rng.below(3) as u16;
        }
        self.waiting.clear();
        self.start_through_crashes()?;
        self.check_recovery(lossless)
    }

    /// Starts, with the power failing a few times before the start is done.
    fn start_through_crashes(&mut self) -> Check {
        while self.rng.chance(25) {
            let steps = 1 + self.rng.below(60);
            let ready = self
                .node
                .start_and_crash(self.shards, &self.tables.schema, steps);
            self.tell(|| {
                format!(
                    "start of {} shards crashed after {steps}, ready {ready}",
                    self.shards
                )
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
    fn drain(&mut self) -> Result<bool, String> {
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
        for ticket in tickets {
            clean &= self.node.wait(ticket).is_ok();
        }
        self.take_reports()?;
        self.node.crash();
        Ok(clean)
    }

    /// After a start: what is there is everything acknowledged and nothing invented, and reads as the model says.
    fn check_recovery(&mut self, lossless: bool) -> Check {
        let mut present = BTreeSet::new();
        let now = self.node.now().wall.seconds();
        for (number, seen) in self.scan(Name::Witness, Dead::Dropped, now)? {
            for row in seen.rows.keys() {
                match self.attempted.get(row) {
                    Some(write) if write.key == number => present.insert(*row),
                    _ => return Err(format!("mutation {row} of key {number} was never made")),
                };
            }
        }
        let lost = self.acknowledged.difference(&present).next();
        if let Some(lost) = lost.filter(|_| !self.periodic) {
            return Err(format!("mutation {lost} was acknowledged and is lost"));
        }
        if let Some(lost) = self
            .model
            .numbers()
            .difference(&present)
            .next()
            .filter(|_| lossless)
        {
            return Err(format!("mutation {lost} is lost in a clean stop"));
        }
        self.acknowledged.retain(|number| present.contains(number));
        self.model
            .writes
            .retain(|number, _| present.contains(number));
        for number in &present {
            let write = self.attempted[number].clone();
            self.model.writes.insert(*number, write);
        }
        self.settle_truncations()?;
        self.compare_all()
    }

    /// A truncation that was not acknowledged may have happened or not, shard by shard.
    fn settle_truncations(&mut self) -> Check {
        let now = self.node.now().wall.seconds();
        self.truncating.clear();
        let attempts = std::mem::take(&mut self.truncations);
        let names: BTreeSet<Name> = attempts.iter().map(|(name, _)| *name).collect();
        for name in names {
            let seen = self.scan(name, Dead::Dropped, now)?;
            for key in 0..KEYS {
                let found = seen.get(&key).cloned().unwrap_or_default();
                let sure = self.sure_floors.get(&(name, key)).copied().unwrap_or(0);
                let unsure = attempts
                    .iter()
                    .filter(|(other, floor)| *other == name && *floor > sure);
                let floors = std::iter::once(sure).chain(unsure.map(|(_, floor)| *floor));
                let fits = floors.into_iter().find(|floor| {
                    self.model.floors.insert((name, key), *floor);
                    self.model.partition(&self.tables, name, key, now) == found
                });
                match fits {
                    Some(floor) => self.sure_floors.insert((name, key), floor),
                    None => {
                        return Err(format!(
                            "{name:?} {key} is neither truncated nor whole: {found:?}"
                        ));
                    }
                };
            }
        }
        Ok(())
    }

    /// Everything of a table, from all shards, each asked for everything.
    fn scan(
        &mut self,
        name: Name,
        dead: Dead,
        now: i64,
    ) -> Result<BTreeMap<u8, SeenPartition>, String> {
        let mut all = BTreeMap::new();
        for shard in 0..self.node.stores.len() {
            let everything = Partitions::Range(KeyRange::all());
            let command = ReadCommand {
                now_seconds: now,
                ..self.command(name, everything, dead)
            };
            let response = self.ask(shard, &command)?;
            for partition in self.parse(name, &command, &response)? {
                let number = partition.key.key[0];
                if self.node.shard(partition.key.token) != shard {
                    return Err(format!("shard {shard} answers for key {number} of another"));
                }
                let seen = SeenPartition {
                    fixed: partition.fixed,
                    rows: partition.rows.into_iter().collect(),
                };
                if seen != SeenPartition::default() {
                    all.insert(number, seen);
                }
            }
        }
        Ok(all)
    }

    /// A read of everything in these partitions.
    fn command(&self, name: Name, partitions: Partitions, dead: Dead) -> ReadCommand {
        ReadCommand {
            table: name.id(),
            partitions,
            slices: vec![Slice::all()],
            direction: Direction::Forward,
            columns: Columns::All,
            static_counts: true,
            filter: RowFilter::default(),
            limits: Limits::NONE,
            resume: None,
            now_seconds: self.node.now().wall.seconds(),
            purge_before: i64::MIN,
            dead,
        }
    }

    fn ask(&mut self, shard: usize, command: &ReadCommand) -> Result<ReadResponse, String> {
        self.node
            .read(shard, command)
            .map_err(|error| format!("a read failed: {error}"))
    }

    /// Takes an answer apart and checks its order.
    fn parse(
        &self,
        name: Name,
        command: &ReadCommand,
        response: &ReadResponse,
    ) -> Result<Vec<Answered>, String> {
        let mut partitions: Vec<Answered> = Vec::new();
        let seen = |bytes: &[u8]| -> Option<SeenRow> {
            let row = Row::parse(bytes)?;
            let live = row.cells().filter(|cell| cell.is_live(command.now_seconds));
            let asked = live.filter(|cell| command.columns.contains(cell.column));
            let cells = asked.map(|cell| {
                (
                    (cell.column, cell.path.map(<[u8]>::to_vec)),
                    cell.value.to_vec(),
                )
            });
            row.is_live(command.now_seconds).then(|| cells.collect())
        };
        let mut used = 0;
        let mut last_range: Option<(Vec<u8>, Vec<u8>)> = None;
        for entry in response.entries() {
            used += 1;
            match entry {
                ReadEntry::Partition { token, key, .. } => {
                    let key = DecoratedKey {
                        token,
                        key: key.into(),
                    };
                    if partitions.last().is_some_and(|last| last.key >= key) {
                        return Err("partitions are out of order".into());
                    }
                    last_range = None;
                    partitions.push(Answered {
                        key,
                        fixed: SeenRow::new(),
                        rows: Vec::new(),
                        last: None,
                    });
                }
                ReadEntry::Static(row) => {
                    let last = partitions
                        .last_mut()
                        .ok_or("a static row without a partition")?;
                    last.fixed = seen(row).unwrap_or_default();
                }
                ReadEntry::Row { clustering, row } => {
                    let last = partitions.last_mut().ok_or("a row without a partition")?;
                    last.last = Some(clustering.to_vec());
                    if let Some(cells) = seen(row) {
                        last.rows.push((self.tables.row(name, clustering), cells));
                    }
                }
                ReadEntry::Range { start, end, .. } => {
                    if start >= end {
                        return Err("an empty range".into());
                    }
                    let apart =
                        last_range
                            .as_ref()
                            .is_none_or(|(low, high)| match command.direction {
                                Direction::Forward => high.as_slice() <= start,
                                Direction::Backward => end <= low.as_slice(),
                            });
                    if !apart {
                        return Err("ranges overlap or are out of order".into());
                    }
                    last_range = Some((start.to_vec(), end.to_vec()));
                }
            }
        }
        if used == 0 && !response.bytes.is_empty() {
            return Err("an answer that cannot be read".into());
        }
        Ok(partitions)
    }

    /// A random read, compared with the model; in pages, sometimes.
    fn read(&mut self) -> Check {
        self.summary.reads += 1;
        let name = *self
            .rng
            .pick(&[Name::Plain, Name::Wide, Name::Wide, Name::Wide]);
        let shard = self.rng.index(self.node.stores.len());
        let (partitions, keys) = self.partitions(shard);
        let dead = *self.rng.pick(&[Dead::Dropped, Dead::Dropped, Dead::Kept]);
        let mut command = self.command(name, partitions, dead);
        let allowed = self.slices(name, &mut command);
        command.static_counts = allowed.len() == usize::from(ROWS) && self.rng.chance(70);
        if self.rng.chance(30) {
            command.direction = Direction::Backward;
        }
        if self.rng.chance(30) {
            let all = self.columns(name);
            let mut some: Vec<_> = all.into_iter().filter(|_| self.rng.chance(50)).collect();
            some.sort_unstable();
            command.columns = Columns::Only(some);
        }
        if self.rng.chance(30) {
            command.limits.per_partition = 1 + self.rng.below(5);
        }
        let wanted = self.expected(name, &command, &keys, &allowed);
        let page = if self.rng.chance(60) {
            u64::MAX
        } else {
            1 + self.rng.below(8)
        };
        let bytes = if self.rng.chance(80) {
            Limits::NONE.bytes
        } else {
            1 + self.rng.index(600)
        };
        let found = self.pages(name, shard, command.clone(), page, bytes)?;
        if found != wanted {
            return Err(format!(
                "{command:?} in pages of {page}:\n found {found:?}\nwanted {wanted:?}"
            ));
        }
        Ok(())
    }

    fn columns(&self, name: Name) -> Vec<::model::row::ColumnId> {
        match name {
            Name::Plain => self.tables.plain.to_vec(),
            Name::Witness => vec![self.tables.witness],
            Name::Wide => {
                let wide = self.tables.wide;
                vec![wide.fixed, wide.plain[0], wide.plain[1], wide.map]
            }
        }
    }

    /// Random partitions of a shard, and their keys in order.
    fn partitions(&mut self, shard: usize) -> (Partitions, Vec<u8>) {
        let shards = self.node.stores.len() as u32;
        let mut own: Vec<DecoratedKey> = (0..KEYS).map(key).collect();
        own.retain(|key| usize::from(key.token.shard(shards, SHARDING_IGNORE_MSB)) == shard);
        own.sort_unstable();
        if own.is_empty() || self.rng.chance(30) {
            let range = KeyRange {
                start: self.bound(),
                end: self.bound(),
            };
            own.retain(|key| range.contains(key.token, &key.key));
            let keys = own.iter().map(|key| key.key[0]).collect();
            return (Partitions::Range(range), keys);
        }
        let key = self.rng.pick(&own).clone();
        let number = key.key[0];
        (Partitions::Key(key), vec![number])
    }

    fn bound(&mut self) -> KeyBound {
        let number = self.rng.below(u64::from(KEYS)) as u8;
        match self.rng.below(6) {
            0 => KeyBound::Before(Token::MIN),
            1 => KeyBound::After(Token::MAX),
            2 => KeyBound::Before(key(number).token),
            3 => KeyBound::After(key(number).token),
            4 => KeyBound::BeforeKey(key(number)),
            _ => KeyBound::AfterKey(key(number)),
        }
    }

    /// Random slices; the rows in them.
    fn slices(&mut self, name: Name, command: &mut ReadCommand) -> BTreeSet<u64> {
        let all = (0..u64::from(ROWS)).collect();
        if name == Name::Plain || self.rng.chance(30) {
            return all;
        }
        let point = |row: u64| self.tables.clustering(name, row);
        if self.rng.chance(40) {
            let row = self.rng.below(u64::from(ROWS));
            command.slices = vec![Slice::prefix(&point(row))];
            return BTreeSet::from([row]);
        }
        let mut cuts: Vec<u64> = (0..2 * (1 + self.rng.below(3)))
            .map(|_| self.rng.below(u64::from(ROWS) + 1))
            .collect();
        cuts.sort_unstable();
        cuts.dedup();
        command.slices.clear();
        let mut rows = BTreeSet::new();
        for pair in cuts.chunks_exact(2) {
            command.slices.push(Slice {
                start: point(pair[0]),
                end: point(pair[1]),
            });
            rows.extend(pair[0]..pair[1]);
        }
        rows
    }

    /// What the model answers to a command, all pages of it.
    fn expected(
        &self,
        name: Name,
        command: &ReadCommand,
        keys: &[u8],
        allowed: &BTreeSet<u64>,
    ) -> Vec<(u8, SeenRow, Vec<(u64, SeenRow)>)> {
        let project = |row: &SeenRow| -> SeenRow {
            let asked = row
                .iter()
                .filter(|((column, _), _)| command.columns.contains(*column));
            asked
                .map(|(place, value)| (place.clone(), value.clone()))
                .collect()
        };
        let mut answer = Vec::new();
        for number in keys {
            let seen = self
                .model
                .partition(&self.tables, name, *number, command.now_seconds);
            let rows = seen.rows.iter().filter(|(row, _)| allowed.contains(row));
            let mut rows: Vec<(u64, SeenRow)> =
                rows.map(|(row, cells)| (*row, project(cells))).collect();
            if command.direction == Direction::Backward {
                rows.reverse();
            }
            rows.truncate(usize::try_from(command.limits.per_partition).unwrap_or(usize::MAX));
            let counts = !rows.is_empty() || !seen.fixed.is_empty() && command.static_counts;
            let fixed = project(&seen.fixed);
            // What has nothing that was asked for is not seen in the answer taken apart.
            if counts && !(rows.is_empty() && fixed.is_empty()) {
                answer.push((*number, fixed, rows));
            }
        }
        answer
    }

    /// Carries a command out page by page.
    fn pages(
        &mut self,
        name: Name,
        shard: usize,
        mut command: ReadCommand,
        page: u64,
        bytes: usize,
    ) -> Result<Vec<(u8, SeenRow, Vec<(u64, SeenRow)>)>, String> {
        let per_partition = command.limits.per_partition;
        command.limits.rows = page;
        command.limits.bytes = bytes;
        let mut all: Vec<(u8, SeenRow, Vec<(u64, SeenRow)>)> = Vec::new();
        loop {
            let response = self.ask(shard, &command)?;
            if response.rows > page {
                return Err(format!("{} rows in a page of {page}", response.rows));
            }
            let parts = self.parse(name, &command, &response)?;
            let last = parts
                .last()
                .map(|part| (part.key.clone(), part.last.clone()));
            for part in parts {
                let number = part.key.key[0];
                match all.last_mut() {
                    Some((known, _, rows)) if *known == number => rows.extend(part.rows),
                    _ => all.push((number, part.fixed, part.rows)),
                }
            }
            if !response.more {
                break;
            }
            let Some((key, clustering)) = last else {
                return Err("an empty page says that there is more".into());
            };
            let given = all.last().map_or(0, |(_, _, rows)| rows.len() as u64);
            let left_in_partition = per_partition.saturating_sub(given);
            // The answer of a page that ended by bytes may end with a row that is dead.
            command.resume = Some(Resume {
                key,
                clustering,
                left_in_partition,
            });
        }
        // Merged answers carry partitions in which nothing lives; those are not rows.
        all.retain(|(_, fixed, rows)| {
            !rows.is_empty() || !fixed.is_empty() && command.static_counts
        });
        Ok(all)
    }

    /// Compares everything with the model, before and after the tables are rewritten.
    fn compare_all(&mut self) -> Check {
        for name in [Name::Plain, Name::Wide, Name::Witness] {
            let now = self.node.now().wall.seconds();
            let wanted = self.model.table(&self.tables, name, now);
            for dead in [Dead::Dropped, Dead::Kept] {
                let found = self.scan(name, dead, now)?;
                if found != wanted {
                    return Err(differences(name, &found, &wanted));
                }
            }
        }
        Ok(())
    }
}

/// A partition of an answer.
struct Answered {
    key: DecoratedKey,
    fixed: SeenRow,
    rows: Vec<(u64, SeenRow)>,
    /// Clustering key of the last row, alive or not.
    last: Option<Vec<u8>>,
}

fn differences(
    name: Name,
    found: &BTreeMap<u8, SeenPartition>,
    wanted: &BTreeMap<u8, SeenPartition>,
) -> String {
    let keys: BTreeSet<&u8> = found.keys().chain(wanted.keys()).collect();
    let mut text = format!("{name:?} differs:");
    for key in keys {
        let (one, other) = (found.get(key), wanted.get(key));
        if one != other {
            let _ = write!(text, "\n key {key}: found {one:?}\n wanted {other:?}");
        }
    }
    text
}
