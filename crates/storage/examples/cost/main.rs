//! What the engine costs, without a disk: nanoseconds per write and read, bytes per second of flush, compaction, replay.
//!
//! `cargo run --release -p storage --example cost [-- ROWS]`. The disk is memory that answers at once, so the figures
//! are those of the processor; a build without `--release` says nothing.

use model::clustering::{self, Slice};
use model::env::{Entry, FileId, IoDone, IoError, IoOutcome, IoQueue, IoRequest, OpenMode};
use model::filter::RowFilter;
use model::key::DecoratedKey;
use model::mutation::Mutation;
use model::read::{Columns, Dead, Direction, KeyRange, Limits, Partitions, ReadCommand};
use model::row::{Cell, CellKind, Liveness, NEVER, RowWriter};
use model::schema::{
    ClusteringOrder, Column, ColumnKind, Keyspace, Replication, Schema, Table, TableId, TableKind,
    TableOptions,
};
use model::time::{BootNanos, Now, WallMicros};
use model::types::CqlType;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use storage::{Generation, ReadProgress, Store, StoreConfig};

/// Files in memory.
#[derive(Default)]
struct Memory {
    files: Vec<Vec<u8>>,
    paths: BTreeMap<String, usize>,
    open: BTreeMap<FileId, usize>,
}

impl Memory {
    fn answer(&mut self, request: IoRequest) -> IoOutcome {
        match request {
            IoRequest::Chain(requests) => {
                let mut last = IoDone::Done;
                for request in requests {
                    last = self.answer(request)?;
                }
                return Ok(last);
            }
            IoRequest::Open { file, path, mode } => {
                if mode == OpenMode::Create {
                    self.files.push(Vec::new());
                    self.paths.insert(path.clone(), self.files.len() - 1);
                }
                let Some(&index) = self.paths.get(&path) else {
                    return Err(IoError::NotFound(path));
                };
                self.open.insert(file, index);
                return Ok(IoDone::Opened {
                    length: self.files[index].len() as u64,
                });
            }
            IoRequest::Close { file } => {
                self.open.remove(&file);
            }
            IoRequest::Read {
                file,
                offset,
                length,
            } => {
                let content = &self.files[self.open[&file]];
                let end = (offset as usize + length).min(content.len());
                return Ok(IoDone::Read(content[offset as usize..end].to_vec()));
            }
            IoRequest::Write { file, offset, data } => {
                let content = &mut self.files[self.open[&file]];
                let end = offset as usize + data.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[offset as usize..end].copy_from_slice(&data);
            }
            IoRequest::SetLength { file, length } => {
                self.files[self.open[&file]].resize(length as usize, 0);
            }
            IoRequest::Rename { from, to } => {
                if let Some(index) = self.paths.remove(&from) {
                    self.paths.insert(to, index);
                }
            }
            IoRequest::Remove { path } => {
                if let Some(index) = self.paths.remove(&path) {
                    self.files[index] = Vec::new();
                }
            }
            IoRequest::List { path } => {
                let below = format!("{path}/");
                let entries = self.paths.iter().filter_map(|(path, index)| {
                    let name = path
                        .strip_prefix(&below)
                        .filter(|name| !name.contains('/'))?;
                    let length = self.files[*index].len() as u64;
                    Some(Entry {
                        name: name.to_owned(),
                        length,
                        directory: false,
                    })
                });
                return Ok(IoDone::Listed(entries.collect()));
            }
            _ => {}
        }
        Ok(IoDone::Done)
    }
}

struct Bench {
    store: Store,
    disk: Memory,
    io: IoQueue,
    schema: Arc<Schema>,
    orders: Arc<Table>,
    wide: Arc<Table>,
}

const NOW: Now = Now {
    wall: WallMicros(1_700_000_000_000_000),
    boot: BootNanos(1),
};

fn column(name: &str, ctype: CqlType, kind: ColumnKind) -> Column {
    let (id, order) = (model::row::ColumnId(0), ClusteringOrder::Ascending);
    Column {
        id,
        name: name.to_owned(),
        ctype,
        kind,
        position: 0,
        order,
    }
}

fn schema() -> (Arc<Schema>, Arc<Table>, Arc<Table>) {
    let regular = |name: &str| column(name, CqlType::Text, ColumnKind::Regular);
    let columns: Vec<Column> =
        std::iter::once(column("id", CqlType::Uuid, ColumnKind::PartitionKey))
            .chain((0..8).map(|index| regular(&format!("c{index}"))))
            .collect();
    let table = |number: u128, name: &str, columns| {
        let id = TableId(uuid::Uuid::from_u128(number));
        let options = TableOptions::default();
        Arc::new(Table::new(
            id,
            "bench",
            name,
            TableKind::Stored,
            columns,
            options,
        ))
    };
    let orders = table(1, "orders", columns);
    let wide = table(
        2,
        "wide",
        vec![
            column("k", CqlType::Int, ColumnKind::PartitionKey),
            column("c", CqlType::Bigint, ColumnKind::Clustering),
            regular("v"),
        ],
    );
    let keyspace = Keyspace {
        name: "bench".into(),
        replication: Replication {
            class: "SimpleStrategy".into(),
            options: BTreeMap::new(),
        },
        durable_writes: true,
        tables: [&orders, &wide]
            .map(|table| (table.name.clone(), table.clone()))
            .into(),
        types: BTreeMap::new(),
    };
    let keyspaces = BTreeMap::from([("bench".to_owned(), Arc::new(keyspace))]);
    (
        Arc::new(Schema {
            epoch: 1,
            keyspaces,
            roles: BTreeMap::new(),
        }),
        orders,
        wide,
    )
}

fn key(number: u64) -> DecoratedKey {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    DecoratedKey::new([mixed.to_be_bytes(), number.to_be_bytes()].concat())
}

fn row(table: &Table, timestamp: i64, value: &[u8], out: &mut Vec<u8>) {
    let mut writer = RowWriter::new(out);
    writer.liveness(Liveness {
        timestamp,
        ttl: 0,
        expires: NEVER,
    });
    for column in table.regulars() {
        writer.cell(&Cell {
            column: column.id,
            timestamp,
            kind: CellKind::Live,
            path: None,
            original_path: None,
            value,
        });
    }
}

impl Bench {
    fn open(disk: Memory, config: StoreConfig) -> Self {
        let (schema, orders, wide) = schema();
        let mut io = IoQueue::default();
        let store = Store::open(config, &schema, NOW, &mut io);
        let mut bench = Self {
            store,
            disk,
            io,
            schema,
            orders,
            wide,
        };
        while !bench.store.is_ready() {
            bench.turn();
            assert!(
                bench.store.recovery_error().is_none(),
                "{:?}",
                bench.store.recovery_error()
            );
        }
        bench
    }

    fn answer(&mut self) {
        while !self.io.is_empty() {
            let requests: Vec<_> = self.io.drain().collect();
            for (tag, request) in requests {
                let outcome = self.disk.answer(request);
                self.store.on_io(tag, outcome, NOW, &mut self.io);
            }
        }
    }

    fn turn(&mut self) {
        self.answer();
        self.store.background(NOW, 256 << 10, &mut self.io);
        self.store.end_of_turn(NOW, &mut self.io);
        self.answer();
        self.store.durable_tickets();
    }

    fn task(&mut self) {
        while self.store.take_finished_tasks().is_empty() {
            self.turn();
        }
    }

    fn read(&mut self, command: &ReadCommand) -> u64 {
        match self.store.read(command, 1, NOW, &mut self.io) {
            ReadProgress::Done(response) => response.rows,
            ReadProgress::Failed(error) => panic!("{error}"),
            ReadProgress::Waiting => loop {
                self.turn();
                if let Some((_, result)) = self.store.take_finished_reads().pop() {
                    break result.expect("a read of a sound disk").rows;
                }
            },
        }
    }

    fn command(table: &Table, partitions: Partitions, slice: Slice) -> ReadCommand {
        ReadCommand {
            table: table.id,
            partitions,
            slices: vec![slice],
            direction: Direction::Forward,
            columns: Columns::All,
            static_counts: false,
            filter: RowFilter::default(),
            limits: Limits::NONE,
            resume: None,
            now_seconds: NOW.wall.seconds(),
            purge_before: i64::MIN,
            dead: Dead::Dropped,
        }
    }

    fn point_reads(&mut self, rows: u64, what: &str) {
        let table = self.orders.clone();
        let count = 300_000;
        let slice = Slice::prefix(&[]);
        let mut command = Self::command(&table, Partitions::Key(key(0)), slice);
        let start = Instant::now();
        for index in 0..count {
            command.partitions = Partitions::Key(key(index * 7919 % rows));
            assert_eq!(black_box(self.read(&command)), 1);
        }
        report(what, start, count);
    }
}

/// Time this thread spent on a processor, where the system tells: other work on the machine is left out.
#[derive(Clone, Copy)]
struct Instant(Duration);

impl Instant {
    fn now() -> Self {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
        Self(nanos.map_or_else(
            || std::time::UNIX_EPOCH.elapsed().unwrap_or_default(),
            Duration::from_nanos,
        ))
    }

    fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

fn report(what: &str, start: Instant, count: u64) {
    let nanos = start.elapsed().as_nanos() as f64 / count as f64;
    println!("{what:<44} {nanos:>9.0} ns");
}

fn throughput(what: &str, start: Instant, bytes: u64) {
    let rate = bytes as f64 / start.elapsed().as_secs_f64() / (1 << 20) as f64;
    println!("{what:<44} {rate:>9.0} MiB/s");
}

fn main() {
    let rows: u64 = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(400_000);
    let mut config = StoreConfig::new(
        0,
        1,
        Generation {
            number: 1,
            previous: None,
        },
    );
    config.memtable_bytes = 4 << 30;
    config.cache_bytes = 1 << 30;
    config.log_bytes = 64 << 30;
    config.compaction = false;
    let mut bench = Bench::open(Memory::default(), config.clone());
    let (orders, wide) = (bench.orders.clone(), bench.wide.clone());

    let mutations: Vec<Vec<u8>> = (0..rows)
        .map(|number| {
            let mut bytes = Vec::new();
            row(
                &orders,
                number as i64,
                b"twenty-six bytes of a value",
                &mut bytes,
            );
            let mut mutation = Mutation::new(key(number));
            mutation.update(orders.id).add_row(Vec::new(), bytes);
            mutation.encode()
        })
        .collect();
    let bytes: u64 = mutations.iter().map(|mutation| mutation.len() as u64).sum();
    println!("{rows} rows, {} bytes a mutation", bytes / rows);
    for (name, batch) in [("write, alone in its batch", 1), ("write, 64 a batch", 64)] {
        bench = Bench::open(Memory::default(), config.clone());
        let start = Instant::now();
        for (ticket, mutation) in mutations.iter().enumerate() {
            bench
                .store
                .apply(mutation, None, ticket as u64, NOW)
                .expect("room");
            if ticket % batch == 0 {
                bench.store.end_of_turn(NOW, &mut bench.io);
                bench.answer();
                bench.store.durable_tickets();
            }
        }
        report(name, start, rows);
    }
    println!(
        "{:<44} {:>9.2}",
        "memtable bytes per byte of row",
        bench.store.stats().memtable_bytes as f64 / bytes as f64
    );
    let start = Instant::now();
    for (ticket, mutation) in mutations.iter().enumerate() {
        bench
            .store
            .apply(mutation, None, ticket as u64, NOW)
            .expect("room");
        if ticket % 64 == 0 {
            bench.store.end_of_turn(NOW, &mut bench.io);
            bench.answer();
            bench.store.durable_tickets();
        }
    }
    report("overwrite, 64 a batch", start, rows);
    bench.point_reads(rows, "read of one row from a memtable");

    let disk = std::mem::take(&mut bench.disk);
    let disk = Memory {
        open: BTreeMap::new(),
        ..disk
    };
    let start = Instant::now();
    bench = Bench::open(disk, config.clone());
    throughput("replay of the log (twice the rows)", start, 2 * bytes);

    let start = Instant::now();
    bench.store.flush(None, 1).expect("ready");
    bench.task();
    throughput("flush", start, bytes);
    bench.point_reads(rows, "read of one row from an SSTable, first time");
    bench.point_reads(rows, "read of one row from an SSTable, cached");
    let everything = Bench::command(&orders, Partitions::Range(KeyRange::all()), Slice::all());
    let start = Instant::now();
    let found = bench.read(&everything);
    report("scan, per row", start, found);

    for mutation in mutations.iter().step_by(3) {
        bench.store.apply(mutation, None, 1, NOW).expect("room");
    }
    bench.store.flush(None, 2).expect("ready");
    bench.task();
    bench.point_reads(rows, "read of one row from two SSTables");
    let start = Instant::now();
    bench.store.compact(orders.id, 3).expect("ready");
    bench.task();
    throughput("compaction", start, bytes * 4 / 3);

    let appends = 400_000u64;
    let appended: Vec<Vec<u8>> = (0..appends)
        .map(|number| {
            let mut bytes = Vec::new();
            row(
                &wide,
                number as i64,
                b"a value of thirty bytes or so.",
                &mut bytes,
            );
            let mut mutation = Mutation::new(DecoratedKey::new(5i32.to_be_bytes()));
            let clustering = clustering::encode(&wide, &[&number.to_be_bytes()]);
            mutation.update(wide.id).add_row(clustering, bytes);
            mutation.encode()
        })
        .collect();
    let start = Instant::now();
    for mutation in &appended {
        bench.store.apply(mutation, None, 1, NOW).expect("room");
    }
    report("append to one partition", start, appends);
    let slice_reads = |what: &str, bench: &mut Bench| {
        let partition = Partitions::Key(DecoratedKey::new(5i32.to_be_bytes()));
        let count = 20_000;
        let start = Instant::now();
        for index in 0..count {
            let from = clustering::encode(&wide, &[&(index * 19 % appends).to_be_bytes()]);
            let slice = Slice {
                start: from,
                end: Slice::all().end,
            };
            let mut command = Bench::command(&wide, partition.clone(), slice);
            command.limits.rows = 20;
            black_box(bench.read(&command));
        }
        report(what, start, count);
    };
    slice_reads("slice of 20 of 400,000 rows, memtable", &mut bench);
    bench.store.flush(None, 4).expect("ready");
    bench.task();
    slice_reads("slice of 20 of 400,000 rows, SSTable", &mut bench);
    black_box(&bench.schema);
}
