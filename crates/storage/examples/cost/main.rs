//! What the engine costs, without a disk: nanoseconds per write and read, bytes per second of flush, compaction, replay.
//!
//! `cargo run --release -p storage --example cost [-- ROWS]`. The disk is memory that answers at once, so the figures
//! are those of the processor; a build without `--release` says nothing.

mod memory;

use memory::Memory;
use model::clustering::{self, Slice};
use model::env::IoQueue;
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

struct Bench {
    store: Store,
    disk: Memory,
    io: IoQueue,
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

    fn slice_reads(&mut self, rows: u64, what: &str) {
        let wide = self.wide.clone();
        let partition = Partitions::Key(DecoratedKey::new(5i32.to_be_bytes()));
        let count = 20_000;
        let start = Instant::now();
        for index in 0..count {
            let from = clustering::encode(&wide, &[&(index * 19 % rows).to_be_bytes()]);
            let slice = Slice {
                start: from,
                end: Slice::all().end,
            };
            let mut command = Self::command(&wide, partition.clone(), slice);
            command.limits.rows = 20;
            black_box(self.read(&command));
        }
        report(what, start, count);
    }

    fn write(&mut self, what: &str, mutations: &[Vec<u8>], batch: usize) {
        let start = Instant::now();
        for (ticket, mutation) in mutations.iter().enumerate() {
            self.store
                .apply(mutation, None, ticket as u64, NOW)
                .expect("room");
            if ticket % batch == 0 {
                self.store.end_of_turn(NOW, &mut self.io);
                self.answer();
                self.store.durable_tickets();
            }
        }
        report(what, start, mutations.len() as u64);
    }

    fn flush(&mut self) {
        self.store.flush(None, 1).expect("ready");
        self.task();
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

/// Everything large enough that nothing happens unasked.
fn config() -> StoreConfig {
    let generation = Generation {
        number: 1,
        previous: None,
    };
    StoreConfig {
        memtable_bytes: 4 << 30,
        cache_bytes: 1 << 30,
        log_bytes: 64 << 30,
        compaction: false,
        ..StoreConfig::new(0, 1, generation)
    }
}

/// One mutation of each of so many partitions.
fn mutations(orders: &Table, rows: u64) -> Vec<Vec<u8>> {
    let encode = |number| {
        let mut bytes = Vec::new();
        row(
            orders,
            number as i64,
            b"twenty-six bytes of a value",
            &mut bytes,
        );
        let mut mutation = Mutation::new(key(number));
        mutation.update(orders.id).add_row(Vec::new(), bytes);
        mutation.encode()
    };
    (0..rows).map(encode).collect()
}

/// So many mutations of one partition.
fn appends(wide: &Table, rows: u64) -> Vec<Vec<u8>> {
    let encode = |number: u64| {
        let mut bytes = Vec::new();
        row(
            wide,
            number as i64,
            b"a value of thirty bytes or so.",
            &mut bytes,
        );
        let mut mutation = Mutation::new(DecoratedKey::new(5i32.to_be_bytes()));
        let clustering = clustering::encode(wide, &[&number.to_be_bytes()]);
        mutation.update(wide.id).add_row(clustering, bytes);
        mutation.encode()
    };
    (0..rows).map(encode).collect()
}

/// Writes, into memtables that hold nothing and then into ones that hold everything.
fn writes(mutations: &[Vec<u8>]) -> Bench {
    let bytes: usize = mutations.iter().map(Vec::len).sum();
    println!(
        "{} rows, {} bytes a mutation",
        mutations.len(),
        bytes / mutations.len()
    );
    Bench::open(Memory::default(), config()).write("write, alone in its batch", mutations, 1);
    let mut bench = Bench::open(Memory::default(), config());
    bench.write("write, 64 a batch", mutations, 64);
    println!(
        "{:<44} {:>9.2}",
        "memtable bytes per byte of row",
        bench.store.stats().memtable_bytes as f64 / bytes as f64
    );
    bench.write("overwrite, 64 a batch", mutations, 64);
    bench
}

/// Replay of the log, flush, compaction, and reads from what they leave.
fn tables(mut bench: Bench, mutations: &[Vec<u8>]) -> Bench {
    let rows = mutations.len() as u64;
    let bytes: u64 = mutations.iter().map(|mutation| mutation.len() as u64).sum();
    let orders = bench.orders.clone();
    bench.point_reads(rows, "read of one row from a memtable");
    let disk = std::mem::take(&mut bench.disk).closed();
    let start = Instant::now();
    bench = Bench::open(disk, config());
    throughput("replay of the log (twice the rows)", start, 2 * bytes);
    let disk = std::mem::take(&mut bench.disk).closed();
    let start = Instant::now();
    let scarce = StoreConfig {
        memtable_bytes: 10 << 20,
        ..config()
    };
    bench = Bench::open(disk, scarce);
    throughput("the same with 10 MiB of memtables", start, 2 * bytes);

    let start = Instant::now();
    bench.flush();
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
    bench.flush();
    bench.point_reads(rows, "read of one row from two SSTables");
    let start = Instant::now();
    bench.store.compact(orders.id, 3).expect("ready");
    bench.task();
    throughput("compaction", start, bytes * 4 / 3);
    bench
}

/// A partition that grows, and slices of it.
fn wide_partition(mut bench: Bench) {
    let rows = 400_000u64;
    let appended = appends(&bench.wide, rows);
    let start = Instant::now();
    for mutation in &appended {
        bench.store.apply(mutation, None, 1, NOW).expect("room");
    }
    report("append to one partition", start, rows);
    bench.slice_reads(rows, "slice of 20 of 400,000 rows, memtable");
    bench.flush();
    bench.slice_reads(rows, "slice of 20 of 400,000 rows, SSTable");
}

fn main() {
    let rows: u64 = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(400_000);
    let (_, orders, _) = schema();
    let mutations = mutations(&orders, rows);
    let bench = writes(&mutations);
    wide_partition(tables(bench, &mutations));
}
