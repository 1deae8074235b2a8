//! Single situations, each set up by hand: what the seeded runs meet too rarely or cannot look at.

mod cleanup;
mod damage;
mod full_start;
mod purging;
mod refresh;
mod resharding;
mod verify;

use super::model::{Change, Write};
use super::node::{Node, Stop};
use super::tables::{Name, Tables, key};
use crate::random::Rng;
use ::model::mutation::Mutation;
use ::model::read::{Columns, Dead, KeyRange, Partitions, ReadCommand, ReadEntry, Resume};
use ::model::row::Deletion;
use ::model::schema::{Keyspace, Schema, TableOptions};
use ::model::track::MutationId;
use std::sync::Arc;
use storage::{Farewell, OnRot, Removal, StoreConfig, StoreError};

fn configure(_seed: u64, mut config: StoreConfig) -> StoreConfig {
    config.segment_bytes = 64 << 10;
    config.memtable_bytes = 4 << 20;
    config.cache_bytes = 1 << 20;
    config.compaction = false;
    config
}

fn skipping(seed: u64, config: StoreConfig) -> StoreConfig {
    StoreConfig {
        on_rot: OnRot::Skip,
        ..configure(seed, config)
    }
}

struct Scene {
    node: Node,
    tables: Tables,
    /// The partition that is written to.
    key: u8,
    next: u64,
}

impl Scene {
    fn new(gc_grace_seconds: u32) -> Self {
        Self::seeded(gc_grace_seconds, 1)
    }

    fn seeded(gc_grace_seconds: u32, seed: u64) -> Self {
        let options = TableOptions {
            gc_grace_seconds,
            ..TableOptions::default()
        };
        let tables = Tables::new(&options);
        let mut node = Node::new(seed, Rng::new(seed), configure);
        node.start(1, &tables.schema).expect("an empty disk");
        Self {
            node,
            tables,
            key: 1,
            next: 1,
        }
    }

    fn apply(&mut self, name: Name, change: Change, id: Option<MutationId>) {
        let number = self.next;
        self.next += 1;
        let second = self.node.now().wall.seconds();
        let write = Write {
            number,
            key: self.key,
            second,
            changes: vec![(name, change)],
        };
        let bytes = write.encode(&self.tables);
        let ticket = self.node.ticket();
        self.node.with_store(0, |store, now, io| {
            store.apply(&bytes, id, ticket, now).expect("a sound disk");
            store.end_of_turn(now, io);
        });
        while !self.node.reports.durable.contains(&ticket) {
            self.node.turn();
        }
    }

    fn put(&mut self, row: u8, value: &[u8]) {
        let cells = vec![(self.tables.wide.plain[0], None, Some(value.to_vec()))];
        self.apply(
            Name::Wide,
            Change::Row {
                row,
                marker: true,
                ttl: 0,
                cells,
            },
            None,
        );
    }

    fn flush(&mut self) {
        let ticket = self.node.ticket();
        self.node
            .with_store(0, |store, _, _| store.flush(None, ticket))
            .expect("it is ready");
        self.node.wait(ticket).expect("a sound disk");
    }

    fn compact(&mut self) {
        let ticket = self.node.ticket();
        let begun = self
            .node
            .with_store(0, |store, _, _| store.compact(Name::Wide.id(), ticket));
        begun.expect("it is ready");
        self.node.wait(ticket).expect("a sound disk");
    }

    fn command(&self, name: Name, dead: Dead) -> ReadCommand {
        let partitions = Partitions::Range(KeyRange::all());
        let now_seconds = self.node.now().wall.seconds();
        ReadCommand {
            dead,
            ..ReadCommand::all(name.id(), partitions, now_seconds)
        }
    }

    /// Rows, live or not, of the wide table.
    fn rows(&mut self) -> usize {
        let command = self.command(Name::Wide, Dead::Kept);
        let response = self.node.read(0, &command).expect("a sound disk");
        response
            .entries()
            .filter(|entry| matches!(entry, ReadEntry::Row { .. }))
            .count()
    }

    fn files(&self, suffix: &str) -> Vec<String> {
        let files = self.node.disk.files().into_iter().map(|(path, _)| path);
        files.filter(|path| path.ends_with(suffix)).collect()
    }

    fn tombstones(&self) -> u64 {
        self.node.stores[0]
            .table_stats(Name::Wide.id())
            .expect("a table")
            .tombstones
    }
}

#[test]
fn a_snapshot_keeps_what_compaction_removes() {
    let mut scene = Scene::new(0);
    scene.put(1, b"one");
    scene.flush();
    scene.put(2, b"two");
    scene.flush();
    let before: Vec<(String, Vec<u8>)> = scene
        .files(".sst")
        .into_iter()
        .filter(|path| path.contains("/wide-"))
        .map(|path| {
            let bytes = scene.node.disk.content(&path).expect("listed").to_vec();
            (path, bytes)
        })
        .collect();
    let mut tickets = Vec::new();
    for table in [Name::Wide.id(), Name::Plain.id()] {
        let ticket = scene.node.ticket();
        let farewell = Farewell {
            table,
            removal: Removal::Truncate,
            snapshot: Some("monday".into()),
        };
        let begun = scene
            .node
            .with_store(0, |store, _, _| store.bid_farewell(&farewell, ticket));
        begun.expect("it is ready");
        tickets.push(ticket);
    }
    scene.compact();
    for ticket in tickets {
        scene.node.wait(ticket).expect("a sound disk");
    }
    scene.node.pass(100);
    scene.node.crash();
    assert_eq!(before.len(), 2);
    for (path, bytes) in before {
        let (directory, name) = path.rsplit_once('/').expect("in a directory");
        let link = format!("{directory}/snapshots/monday/{name}");
        assert_eq!(scene.node.disk.content(&link), Some(&bytes[..]), "{link}");
    }
    scene
        .node
        .start(1, &scene.tables.schema.clone())
        .expect("a sound disk");
    assert_eq!(scene.rows(), 2);
    let linked = |scene: &Scene, name: &str| {
        let files = scene.files(name).into_iter();
        files.filter(|path| path.contains("monday")).count()
    };
    assert_eq!(
        linked(&scene, "manifest-1-0"),
        1,
        "a table without data has none"
    );
}

#[test]
fn a_mark_is_there_before_a_table_is_dropped_and_goes_if_it_is_not() {
    let mut scene = Scene::new(0);
    scene.put(1, b"one");
    scene.flush();
    let ticket = scene.node.ticket();
    let farewell = Farewell {
        table: Name::Wide.id(),
        removal: Removal::Drop,
        snapshot: None,
    };
    let begun = scene
        .node
        .with_store(0, |store, _, _| store.bid_farewell(&farewell, ticket));
    begun.expect("it is ready");
    scene.node.wait(ticket).expect("a sound disk");
    scene.node.crash();
    assert_eq!(scene.files("/dropped-1-0").len(), 1);
    let schema = scene.tables.schema.clone();
    scene.node.start(1, &schema).expect("a sound disk");
    assert_eq!(scene.rows(), 1);
    assert_eq!(scene.files("/dropped-1-0").len(), 0);
}

/// The schema with only some tables.
fn without(schema: &Schema, name: &str) -> Arc<Schema> {
    let mut schema = schema.clone();
    let keyspace: &Keyspace = &schema.keyspaces["sim"];
    let mut keyspace = keyspace.clone();
    keyspace.tables.remove(name);
    schema.keyspaces.insert("sim".into(), Arc::new(keyspace));
    Arc::new(schema)
}

#[test]
fn a_dropped_table_is_gone_whatever_was_going_on() {
    for turns in 0..40 {
        let mut scene = Scene::new(0);
        scene.put(1, b"one");
        scene.flush();
        scene.put(2, b"two");
        let ticket = scene.node.ticket();
        scene
            .node
            .with_store(0, |store, _, _| store.flush(None, ticket))
            .expect("ready");
        let compaction = scene.node.ticket();
        let wide = Name::Wide.id();
        scene
            .node
            .with_store(0, |store, _, _| store.compact(wide, compaction))
            .expect("ready");
        (0..turns).for_each(|_| scene.node.turn());
        let less = without(&scene.tables.schema, "wide");
        scene
            .node
            .with_store(0, |store, _, io| store.set_schema(&less, io));
        let command = scene.command(Name::Wide, Dead::Dropped);
        assert_eq!(
            scene.node.read(0, &command),
            Err(StoreError::UnknownTable(wide))
        );
        let _ = (scene.node.wait(ticket), scene.node.wait(compaction));
        scene.node.pass(2_500);
        let left = scene
            .node
            .disk
            .files()
            .into_iter()
            .filter(|(path, _)| path.contains("/wide-"));
        assert_eq!(left.count(), 0, "after {turns} turns");
        scene.node.crash();
        scene.node.start(1, &less).expect("a sound disk");
        let plain = scene.command(Name::Witness, Dead::Dropped);
        assert_eq!(scene.node.read(0, &plain).expect("a sound disk").rows, 2);
    }
}

#[test]
fn cells_of_a_dropped_column_are_not_seen_and_go() {
    let mut scene = Scene::new(864_000);
    let [first, second] = scene.tables.wide.plain;
    let value = || Some(b"v".to_vec());
    let row = |cells| Change::Row {
        row: 1,
        marker: false,
        ttl: 0,
        cells,
    };
    scene.apply(
        Name::Wide,
        row(vec![(first, None, value()), (second, None, value())]),
        None,
    );
    scene.apply(
        Name::Wide,
        Change::Row {
            row: 2,
            marker: false,
            ttl: 0,
            cells: vec![(second, None, value())],
        },
        None,
    );
    scene.flush();
    let mut schema = Schema::clone(&scene.tables.schema);
    let mut keyspace = Keyspace::clone(&schema.keyspaces["sim"]);
    let mut table = ::model::schema::Table::clone(&keyspace.tables["wide"]);
    table.drop_column("b", i64::MAX);
    keyspace.tables.insert("wide".into(), Arc::new(table));
    schema.keyspaces.insert("sim".into(), Arc::new(keyspace));
    let schema = Arc::new(schema);
    scene
        .node
        .with_store(0, |store, _, io| store.set_schema(&schema, io));
    for dead in [Dead::Dropped, Dead::Kept] {
        let command = scene.command(Name::Wide, dead);
        let response = scene.node.read(0, &command).expect("a sound disk");
        assert_eq!(response.rows, 1, "row 2 lived by the dropped column alone");
        for entry in response.entries() {
            if let ReadEntry::Row { row, .. } = entry {
                let row = ::model::row::Row::parse(row).expect("a row");
                assert!(row.cells().all(|cell| cell.column == first));
            }
        }
    }
    scene.compact();
    assert_eq!(
        scene.node.stores[0]
            .table_stats(Name::Wide.id())
            .expect("a table")
            .rows,
        1
    );
}

#[test]
fn rot_in_the_log_is_skipped_when_the_operator_says_so() {
    let mut scene = Scene::new(0);
    (0..10).for_each(|row| scene.put(row, b"value"));
    scene.node.crash();
    let segments = scene.files(".log");
    let segment = segments.first().expect("a segment").clone();
    let content = scene.node.disk.content(&segment).expect("listed").to_vec();
    // The value of the fifth row.
    let needle: Vec<usize> = content
        .windows(5)
        .enumerate()
        .filter(|(_, part)| *part == b"value")
        .map(|(at, _)| at)
        .collect();
    scene.node.disk.rot(&segment, needle[4], 1);
    let schema = scene.tables.schema.clone();
    let error = scene
        .node
        .start(1, &schema)
        .expect_err("a record is rotten");
    assert!(
        matches!(&error, StoreError::Corrupt { file, .. } if *file == segment),
        "{error}"
    );
    scene.node.crash();
    scene.node.set_configure(skipping);
    scene.node.start(1, &schema).expect("told to skip");
    assert_eq!(
        (scene.rows(), scene.node.stores[0].stats().skipped_records),
        (9, 1)
    );
}

/// One table of a mutation is flushed, its record in the log is rotten: it is no torn end, though nothing later in the log
/// says so.
#[test]
fn rot_under_what_was_flushed_is_no_torn_end() {
    let mut scene = Scene::new(0);
    scene.put(1, b"value");
    let (witness, ticket) = (Name::Witness.id(), scene.node.ticket());
    let flushing = |store: &mut storage::Store| store.flush(Some(witness), ticket);
    scene
        .node
        .with_store(0, |store, _, _| flushing(store))
        .expect("it is ready");
    scene.node.wait(ticket).expect("a sound disk");
    scene.node.crash();
    let segment = scene.files(".log").first().expect("a segment").clone();
    let content = scene.node.disk.content(&segment).expect("listed");
    let at = content.windows(5).position(|part| part == b"value");
    scene.node.disk.rot(&segment, at.expect("it is logged"), 1);
    let started = scene.node.start(1, &scene.tables.schema.clone());
    let named = matches!(&started, Err(StoreError::Corrupt { file, .. }) if *file == segment);
    assert!(named, "{started:?}");
}

#[test]
fn unlogged_tables_survive_a_flush_and_nothing_else() {
    let mut scene = Scene::new(0);
    let mut schema = Schema::clone(&scene.tables.schema);
    let keyspace = Keyspace::clone(&schema.keyspaces["sim"]);
    schema.keyspaces.insert(
        "sim".into(),
        Arc::new(Keyspace {
            durable_writes: false,
            ..keyspace
        }),
    );
    let schema = Arc::new(schema);
    scene
        .node
        .with_store(0, |store, _, io| store.set_schema(&schema, io));
    let write = |scene: &mut Scene, deleted: i64| {
        let mut mutation = Mutation::new(key(1));
        let deletion = Deletion {
            timestamp: deleted,
            local_seconds: 1,
        };
        mutation.update(Name::Wide.id()).delete(deletion);
        let bytes = mutation.encode();
        let applied = scene
            .node
            .with_store(0, |store, now, _| store.apply(&bytes, None, 1, now));
        assert!(applied.expect("a sound disk").durable);
    };
    write(&mut scene, 5);
    scene.flush();
    write(&mut scene, 6);
    scene.node.crash();
    scene.node.start(1, &schema).expect("a sound disk");
    let command = scene.command(Name::Wide, Dead::Kept);
    let response = scene.node.read(0, &command).expect("a sound disk");
    let deletions: Vec<i64> = response
        .entries()
        .filter_map(|entry| match entry {
            ReadEntry::Partition { deletion, .. } => Some(deletion.timestamp),
            _ => None,
        })
        .collect();
    assert_eq!(deletions, [5]);
}

/// A killed process leaves renames that the system shows and the disk may not hold: what the next start removes because
/// of them must not be missing if the power fails then.
#[test]
fn a_start_makes_durable_what_it_builds_on() {
    for seed in 0..250 {
        let mut scene = Scene::seeded(0, seed);
        let mut rng = Rng::new(seed);
        for row in 0..3 {
            scene.put(row, b"value");
            scene.flush();
        }
        let ticket = scene.node.ticket();
        let wide = Name::Wide.id();
        scene
            .node
            .with_store(0, |store, _, _| store.compact(wide, ticket))
            .expect("it is ready");
        // The manifest of what was compacted is being written.
        while scene
            .files("wide-00000000000000000000000000001001/manifest-1-0.new")
            .is_empty()
        {
            scene.node.turn();
        }
        (0..rng.below(4)).for_each(|_| scene.node.turn());
        scene.node.kill();
        let schema = scene.tables.schema.clone();
        scene
            .node
            .start_and_stop(1, &schema, 8 + rng.below(12), Stop::PowerFails);
        let started = scene.node.start(1, &schema);
        assert_eq!(started, Ok(()), "seed {seed}");
        assert_eq!(scene.rows(), 3, "seed {seed}");
    }
}

/// What failed at different times is tried again, each in its time, also when nothing else happens.
#[test]
fn everything_a_full_disk_stopped_goes_on() {
    for sectors in 0..40 {
        let mut scene = Scene::seeded(0, sectors);
        for round in 0..4 {
            scene.put(round, b"value");
            let used = scene.node.disk.used();
            scene.node.disk.faults.capacity = used + sectors % 10 * 512;
            let ticket = scene.node.ticket();
            scene
                .node
                .with_store(0, |store, _, _| store.flush(None, ticket))
                .expect("it is ready");
            scene.node.pass(170);
            scene.node.disk.faults.capacity = u64::MAX;
        }
        scene.node.pass(5_000);
        let ticket = scene.node.ticket();
        let draining = scene.node.with_store(0, |store, _, _| store.drain(ticket));
        draining.expect("it is ready");
        scene.node.wait(ticket).expect("a sound disk");
    }
}

/// A page must not end at a row that is not in it: nobody could say where the next begins.
#[test]
fn a_page_does_not_end_at_a_row_with_nothing_in_it() {
    let mut scene = Scene::new(0);
    let row = |row: u8, marker: bool| Change::Row {
        row,
        marker,
        ttl: 0,
        cells: Vec::new(),
    };
    scene.apply(
        Name::Wide,
        Change::Static {
            value: Some(b"s".to_vec()),
        },
        None,
    );
    (1..4).for_each(|number| scene.apply(Name::Wide, row(number, number != 2), None));
    let mut command = scene.command(Name::Wide, Dead::Kept);
    command.columns = Columns::Only(vec![scene.tables.wide.fixed]);
    command.limits.bytes = 1;
    let mut rows = Vec::new();
    loop {
        let response = scene.node.read(0, &command).expect("a sound disk");
        let found = response.entries().filter_map(|entry| match entry {
            ReadEntry::Row { clustering, .. } => Some(clustering.to_vec()),
            _ => None,
        });
        let found: Vec<Vec<u8>> = found.collect();
        rows.extend(found.iter().cloned());
        if !response.more {
            break;
        }
        command.resume = Some(Resume {
            key: key(1),
            clustering: Some(found.last().expect("a page has a row").clone()),
            left_in_partition: u64::MAX,
            gave_rows: true,
        });
    }
    assert_eq!(rows.len(), 2);
}
