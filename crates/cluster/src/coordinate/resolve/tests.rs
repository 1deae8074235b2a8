//! Replicas that each missed some writes, read page by page through [`resolve`]: the pages together are what one replica that missed
//! nothing holds.

use super::{Resolved, lacking, resolve};
use model::clustering::Slice;
use model::filter::RowFilter;
use model::key::{DecoratedKey, Token};
use model::merge;
use model::mutation::Mutation;
use model::read::{
    Columns, Dead, Direction, KeyRange, Limits, Partitions, ReadCommand, ReadEntry, ReadResponse,
    Resume,
};
use model::row::{Cell, CellKind, ColumnId, Deletion, Liveness, NEVER, Row, RowWriter};
use model::schema::{ClusteringOrder, Column, ColumnKind, Table, TableId, TableKind, TableOptions};
use model::tombstone::RangeTombstones;
use model::types::CqlType;
use proptest::prelude::*;
use std::collections::BTreeMap;
use uuid::Uuid;

fn table() -> Table {
    let column = |name: &str, kind, position| Column {
        id: ColumnId(0),
        name: name.to_owned(),
        ctype: CqlType::Int,
        kind,
        position,
        order: ClusteringOrder::Ascending,
    };
    let columns = vec![
        column("k", ColumnKind::PartitionKey, 0),
        column("c", ColumnKind::Clustering, 0),
        column("s", ColumnKind::Static, 0),
        column("v", ColumnKind::Regular, 0),
    ];
    let id = TableId(Uuid::from_u128(1));
    Table::new(
        id,
        "ks",
        "t",
        TableKind::Stored,
        columns,
        TableOptions::default(),
    )
}

const STATIC: ColumnId = ColumnId(2);
const VALUE: ColumnId = ColumnId(3);

/// One write.
#[derive(Debug, Clone)]
enum Write {
    Row(u8, u8, u8),
    Static(u8, u8),
    DeleteRow(u8, u8),
    DeleteRange(u8, u8, u8),
    DeletePartition(u8),
}

/// What a replica has of a partition.
#[derive(Default)]
struct Held {
    deletion: Option<Deletion>,
    static_row: Option<Vec<u8>>,
    ranges: RangeTombstones,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

type Store = BTreeMap<DecoratedKey, Held>;

fn row(timestamp: i64, column: ColumnId, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = RowWriter::new(&mut bytes);
    if column == VALUE {
        writer.liveness(Liveness {
            timestamp,
            ttl: 0,
            expires: NEVER,
        });
    }
    writer.cell(&Cell {
        column,
        timestamp,
        kind: CellKind::Live,
        path: None,
        original_path: None,
        value,
    });
    bytes
}

fn add(own: &mut Vec<u8>, version: &[u8]) {
    let mut both = Vec::new();
    merge::rows(own, version, &mut both);
    *own = both;
}

fn apply(store: &mut Store, write: &Write, timestamp: i64) {
    let deletion = Deletion {
        timestamp,
        local_seconds: 100,
    };
    let (Write::Row(k, ..)
    | Write::Static(k, _)
    | Write::DeleteRow(k, _)
    | Write::DeleteRange(k, ..)
    | Write::DeletePartition(k)) = *write;
    let held = store.entry(DecoratedKey::new(vec![k])).or_default();
    match write {
        Write::Row(_, c, v) => {
            let version = row(timestamp, VALUE, &[*v]);
            match held.rows.get_mut(&vec![*c]) {
                Some(own) => add(own, &version),
                None => drop(held.rows.insert(vec![*c], version)),
            }
        }
        Write::Static(_, v) => {
            let version = row(timestamp, STATIC, &[*v]);
            match &mut held.static_row {
                Some(own) => add(own, &version),
                None => held.static_row = Some(version),
            }
        }
        Write::DeleteRow(_, c) => {
            let mut version = Vec::new();
            RowWriter::new(&mut version).deletion(deletion);
            match held.rows.get_mut(&vec![*c]) {
                Some(own) => add(own, &version),
                None => drop(held.rows.insert(vec![*c], version)),
            }
        }
        Write::DeleteRange(_, from, to) => {
            let slice = Slice {
                start: vec![*from],
                end: vec![*to],
            };
            held.ranges.add(slice, deletion);
        }
        Write::DeletePartition(_) => {
            held.deletion = Some(held.deletion.unwrap_or(Deletion::NONE).max(deletion));
        }
    }
}

/// Whether a partition was answered whole before.
fn is_before(key: &DecoratedKey, resume: &Resume) -> bool {
    *key < resume.key || *key == resume.key && resume.clustering.is_none()
}

/// What a deletion leaves of a row, if anything.
fn uncovered(row: &[u8], deletion: Deletion) -> Option<Vec<u8>> {
    let mut kept = Vec::new();
    if deletion.is_none() {
        kept.extend_from_slice(row);
    } else if !merge::uncovered(row, deletion, &mut kept) {
        return None;
    }
    Some(kept)
}

/// A replica's answer, tombstones and all, as `storage` gives it.
fn answer(store: &Store, command: &ReadCommand) -> ReadResponse {
    let mut response = ReadResponse::default();
    let mut left = command.limits.rows;
    let live = |row: &[u8]| Row::parse(row).is_some_and(|row| row.is_live(command.now_seconds));
    for (key, held) in store {
        let resume = command.resume.as_ref();
        if resume.is_some_and(|resume| is_before(key, resume)) {
            continue;
        }
        let inside = resume.filter(|resume| resume.key == *key);
        let deletion = held.deletion.unwrap_or(Deletion::NONE);
        let mut part = ReadResponse::default();
        part.put_partition(key.token, &key.key, deletion);
        let mut static_is_live = false;
        let static_row = held.static_row.as_deref();
        if let Some(kept) = static_row.and_then(|row| uncovered(row, deletion)) {
            part.put_static(&kept);
            static_is_live = live(&kept);
        }
        for piece in held.ranges.pieces() {
            part.put_range(&piece.slice, piece.deletion);
        }
        let per_partition = command.limits.per_partition;
        let mut in_partition = inside.map_or(per_partition, |resume| resume.left_in_partition);
        let mut rows: Vec<_> = held.rows.iter().collect();
        if command.direction == Direction::Backward {
            rows.reverse();
        }
        let (mut count, mut ended) = (0, in_partition == 0);
        for (clustering, row) in rows {
            let passed = inside
                .and_then(|resume| resume.clustering.as_ref())
                .is_some_and(|last| match command.direction {
                    Direction::Forward => clustering <= last,
                    Direction::Backward => clustering >= last,
                });
            if passed || ended {
                continue;
            }
            let covering = deletion.max(held.ranges.covering(clustering));
            let Some(kept) = uncovered(row, covering) else {
                continue;
            };
            part.put_row(clustering, &kept);
            if live(&kept) {
                count += 1;
                response.rows += 1;
                in_partition -= 1;
                left -= 1;
                response.more |= left == 0;
                ended = left == 0 || in_partition == 0;
            }
        }
        if count == 0
            && static_is_live
            && !inside.is_some_and(|resume| resume.gave_rows)
            && command.static_counts
            && left > 0
        {
            left -= 1;
            response.rows += 1;
            response.more |= left == 0;
        }
        response.bytes.extend_from_slice(&part.bytes);
        if left == 0 {
            break;
        }
    }
    response
}

/// All rows, static ones by an empty key, page by page; each page's replicas answer anew.
fn read(replicas: &[Store], command: &ReadCommand) -> Vec<(Token, Vec<u8>, Vec<u8>, Vec<u8>)> {
    let (table, mut command) = (table(), command.clone());
    let mut all = Vec::new();
    for _ in 0..200 {
        let answers: Vec<ReadResponse> = replicas
            .iter()
            .map(|store| answer(store, &command))
            .collect();
        let Resolved { response, resume } = resolve(&command, &table, &answers);
        assert!(response.rows <= command.limits.rows);
        let mut at = (Token(0), Vec::new());
        for entry in response.entries() {
            match entry {
                ReadEntry::Partition { token, key, .. } => at = (token, key.to_vec()),
                ReadEntry::Static(row) => all.push((at.0, at.1.clone(), Vec::new(), row.to_vec())),
                ReadEntry::Row { clustering, row } => {
                    all.push((at.0, at.1.clone(), clustering.to_vec(), row.to_vec()))
                }
                ReadEntry::Range { .. } => panic!("what is dead is left out"),
            }
        }
        let Some(resume) = resume else {
            // A partition's head comes again with each page of it.
            all.dedup();
            let mut seen = std::collections::BTreeSet::new();
            all.retain(|entry| !entry.2.is_empty() || seen.insert(entry.1.clone()));
            return all;
        };
        assert_ne!(command.resume.as_ref(), Some(&resume), "pages go on");
        command.resume = Some(resume);
    }
    panic!("the pages end");
}

fn writes() -> impl Strategy<Value = Write> {
    let (k, c, v) = (0..3u8, 1..7u8, any::<u8>());
    prop_oneof![
        6 => (k.clone(), c.clone(), v).prop_map(|(k, c, v)| Write::Row(k, c, v)),
        1 => (k.clone(), v).prop_map(|(k, v)| Write::Static(k, v)),
        2 => (k.clone(), c.clone()).prop_map(|(k, c)| Write::DeleteRow(k, c)),
        1 => (k.clone(), c.clone(), c).prop_map(|(k, from, to)| Write::DeleteRange(k, from, to)),
        1 => k.prop_map(Write::DeletePartition),
    ]
}

proptest! {
    #[test]
    fn pages_of_replicas_that_missed_writes_are_those_of_one_that_missed_none(
        writes in prop::collection::vec((writes(), 1..8u8), 0..40),
        rows in 1..6u64,
        per_partition in prop_oneof![1..4u64, Just(u64::MAX)],
        forward in any::<bool>(),
    ) {
        let mut replicas = [Store::new(), Store::new(), Store::new()];
        let mut whole = Store::new();
        for (index, (write, holders)) in writes.iter().enumerate() {
            let timestamp = index as i64 + 1;
            apply(&mut whole, write, timestamp);
            for (place, replica) in replicas.iter_mut().enumerate() {
                if holders >> place & 1 == 1 {
                    apply(replica, write, timestamp);
                }
            }
        }
        let command = ReadCommand {
            table: TableId(Uuid::from_u128(1)),
            partitions: Partitions::Range(KeyRange::all()),
            slices: vec![Slice::all()],
            direction: if forward { Direction::Forward } else { Direction::Backward },
            columns: Columns::All,
            static_counts: true,
            filter: RowFilter::default(),
            limits: Limits { rows, per_partition, bytes: usize::MAX, tombstones: u64::MAX },
            resume: None,
            now_seconds: 1_000,
            purge_before: 0,
            dead: Dead::Kept,
        };
        let merged = read(&replicas, &command);
        let limits = Limits { rows: u64::MAX, ..command.limits };
        let expected = read(&[whole], &ReadCommand { limits, ..command });
        prop_assert_eq!(merged, expected);
    }
}

/// A repair arrives at a replica.
fn repair(store: &mut Store, mutation: &Mutation) {
    let held = store.entry(mutation.key.clone()).or_default();
    for (_, update) in mutation.updates() {
        if let Some(deletion) = update.deletion {
            held.deletion = Some(held.deletion.unwrap_or(Deletion::NONE).max(deletion));
        }
        if let Some(version) = &update.static_row {
            match &mut held.static_row {
                Some(own) => add(own, version),
                None => held.static_row = Some(version.clone()),
            }
        }
        for piece in update.ranges.pieces() {
            held.ranges.add(piece.slice.clone(), piece.deletion);
        }
        for (clustering, version) in update.rows() {
            match held.rows.get_mut(clustering) {
                Some(own) => add(own, version),
                None => drop(held.rows.insert(clustering.clone(), version.clone())),
            }
        }
    }
}

proptest! {
    #[test]
    fn replicas_that_were_sent_what_they_lack_lack_nothing(
        writes in prop::collection::vec((writes(), 1..8u8), 0..40),
        rows in prop_oneof![1..6u64, Just(u64::MAX)],
        forward in any::<bool>(),
    ) {
        let mut replicas = [Store::new(), Store::new(), Store::new()];
        let mut whole = Store::new();
        for (index, (write, holders)) in writes.iter().enumerate() {
            let timestamp = index as i64 + 1;
            apply(&mut whole, write, timestamp);
            for (place, replica) in replicas.iter_mut().enumerate() {
                if holders >> place & 1 == 1 {
                    apply(replica, write, timestamp);
                }
            }
        }
        let mut command = command();
        command.limits.rows = rows;
        command.direction = if forward { Direction::Forward } else { Direction::Backward };
        let answers = |replicas: &[Store]| {
            let each = replicas.iter().map(|store| answer(store, &command));
            each.collect::<Vec<ReadResponse>>()
        };
        let before = answers(&replicas);
        let lacked = lacking(&command, &table(), &before);
        for (replica, lacked) in replicas.iter_mut().zip(&lacked) {
            lacked.iter().for_each(|mutation| repair(replica, mutation));
        }
        if rows == u64::MAX {
            let again = lacking(&command, &table(), &answers(&replicas));
            prop_assert!(again.iter().all(Vec::is_empty), "{again:?}");
        }
        // Each replica alone answers what all of them together did.
        let Resolved { response, .. } = resolve(&command, &table(), &before);
        for replica in &replicas {
            let own = resolve(&command, &table(), &[answer(replica, &command)]);
            prop_assert!(own.response.bytes.starts_with(&response.bytes));
        }
    }
}

fn command() -> ReadCommand {
    let all = Partitions::Range(KeyRange::all());
    ReadCommand {
        limits: Limits {
            bytes: usize::MAX,
            ..Limits::NONE
        },
        purge_before: 0,
        dead: Dead::Kept,
        ..ReadCommand::all(TableId(Uuid::from_u128(1)), all, 1_000)
    }
}

#[test]
fn an_empty_answer_is_the_end() {
    let partitions = Partitions::Key(DecoratedKey::new(*b"k"));
    let command = ReadCommand {
        purge_before: 0,
        dead: Dead::Kept,
        ..ReadCommand::all(TableId(Uuid::from_u128(1)), partitions, 0)
    };
    let resolved = resolve(
        &command,
        &table(),
        &[ReadResponse::default(), ReadResponse::default()],
    );
    assert_eq!(resolved.response, ReadResponse::default());
    assert_eq!(resolved.resume, None);
}
