//! What compaction forgets, and what it must not.

use super::super::model::Change;
use super::super::tables::Name;
use super::Scene;
use crate::random::Rng;
use ::model::read::Dead;
use ::model::row::ColumnId;
use ::model::time::BootNanos;
use ::model::track::{IdSet, LogId, MutationId};
use storage::held::Members;

#[test]
fn tombstones_go_when_nothing_older_is_anywhere_else() {
    let mut scene = Scene::new(0);
    scene.put(1, b"old");
    scene.put(2, b"kept");
    scene.flush();
    scene.apply(Name::Wide, Change::DeleteRow { row: 1 }, None);
    scene.node.second_offset += 10;
    scene.flush();
    assert_eq!((scene.rows(), scene.tombstones()), (2, 1));
    scene.compact();
    assert_eq!((scene.rows(), scene.tombstones()), (1, 0));

    // A tombstone over a row that is in a memtable, written late with an older timestamp, stays.
    scene.apply(Name::Wide, Change::DeleteRow { row: 3 }, None);
    scene.node.second_offset += 10;
    scene.flush();
    scene.next -= 2;
    scene.put(3, b"late");
    scene.compact();
    assert_eq!(scene.tombstones(), 1);
    let command = scene.command(Name::Wide, Dead::Dropped);
    assert_eq!(
        scene.node.read(0, &command).expect("a sound disk").rows,
        1,
        "row 2 alone"
    );
}

#[test]
fn tombstones_of_tracked_tables_wait_for_proof() {
    let id = |sequence| MutationId {
        log: LogId(7),
        sequence,
    };
    let mut scene = Scene::new(0);
    let cells = || vec![(ColumnId(3), None, Some(b"v".to_vec()))];
    let row = |row| Change::Row {
        row,
        marker: true,
        ttl: 0,
        cells: cells(),
    };
    scene.apply(Name::Wide, row(1), Some(id(1)));
    scene.apply(Name::Wide, row(2), Some(id(2)));
    scene.apply(Name::Wide, Change::DeleteRow { row: 1 }, Some(id(3)));
    scene.node.second_offset += 10;
    scene.flush();
    let mut covered = IdSet::default();
    covered.insert_interval(LogId(7), 1, 3);
    let stats = scene.node.stores[0].sstable_stats(Name::Wide.id());
    assert_eq!(
        stats
            .iter()
            .map(|(_, _, stats)| &stats.coverage)
            .collect::<Vec<_>>(),
        [&covered]
    );
    let mut proven = IdSet::default();
    proven.insert_interval(LogId(7), 1, 2);
    let prove = |scene: &mut Scene, proven: &IdSet| {
        scene
            .node
            .with_store(0, |store, _, io| store.prove(proven, io));
    };
    prove(&mut scene, &proven);
    scene.compact();
    assert_eq!(scene.tombstones(), 1, "somebody may lack the delete");
    proven.insert(id(3));
    prove(&mut scene, &proven);
    scene.compact();
    assert_eq!(scene.tombstones(), 0);

    // Ids survive a crash in the log, and come back into the memtable's coverage.
    scene.apply(Name::Wide, row(4), Some(id(9)));
    scene.node.crash();
    scene
        .node
        .start(1, &scene.tables.schema.clone())
        .expect("a sound disk");
    scene.flush();
    let stats = scene.node.stores[0].sstable_stats(Name::Wide.id());
    assert!(
        stats
            .iter()
            .any(|(_, _, stats)| stats.coverage.contains(id(9)))
    );
}

#[test]
fn what_is_settled_for_good_is_forgotten_and_counts_as_proven() {
    let log = LogId::new(3, 5, 0).expect("small numbers");
    let id = |sequence| MutationId { log, sequence };
    let group: Members = [1, 2, 3].into();
    let mut scene = Scene::new(0);
    let opened = scene
        .node
        .with_store(0, |store, _, _| store.open_log(log, &group));
    assert_eq!(opened, Ok(()));
    let row = Change::Row {
        row: 1,
        marker: true,
        ttl: 0,
        cells: Vec::new(),
    };
    scene.apply(Name::Wide, row, Some(id(1)));
    scene.apply(Name::Wide, Change::DeleteRow { row: 1 }, Some(id(2)));
    scene.node.second_offset += 10;
    scene.flush();
    let retire = |scene: &mut Scene, boot| {
        scene.node.with_store(0, |store, _, io| {
            store
                .retire(&group, &[(3, boot)], io)
                .expect("there is room");
        });
    };
    retire(&mut scene, 4);
    scene.compact();
    assert_eq!(scene.tombstones(), 1, "of an earlier boot");
    retire(&mut scene, 5);
    let is_forgotten = |scene: &Scene| scene.node.stores[0].held().is_forgotten(log);
    assert!(is_forgotten(&scene));
    scene.compact();
    assert_eq!(scene.tombstones(), 0);
    scene.node.pass(1_000);
    scene.node.crash();
    scene
        .node
        .start(1, &scene.tables.schema.clone())
        .expect("a sound disk");
    assert!(is_forgotten(&scene));
    assert_eq!(scene.node.stores[0].held().retired[&group][&3], 5);
}

#[test]
fn tombstones_that_came_without_ids_wait_for_proof_if_others_have_the_table() {
    let mut scene = Scene::new(0);
    scene.put(1, b"old");
    scene.apply(Name::Wide, Change::DeleteRow { row: 1 }, None);
    scene.node.second_offset += 10;
    scene.flush();
    let prove = |scene: &mut Scene, proved: Option<BootNanos>| {
        scene
            .node
            .with_store(0, |store, _, _| store.prove_upto(Name::Wide.id(), proved));
    };
    prove(&mut scene, Some(BootNanos(0)));
    scene.compact();
    assert_eq!(scene.tombstones(), 1, "somebody may lack the delete");
    scene.compact();
    assert_eq!(scene.tombstones(), 1, "the output is no better");
    let mut now = BootNanos(0);
    scene.node.with_store(0, |_, at, _| now = at.boot);
    prove(&mut scene, Some(now));
    scene.compact();
    assert_eq!(scene.tombstones(), 0);
}

#[test]
fn a_partition_deletion_hides_and_then_goes() {
    let mut scene = Scene::new(0);
    (0..20).for_each(|row| scene.put(row, b"value"));
    scene.flush();
    scene.apply(Name::Wide, Change::DeletePartition, None);
    scene.node.second_offset += 10;
    scene.flush();
    let command = scene.command(Name::Wide, Dead::Dropped);
    assert_eq!(scene.node.read(0, &command).expect("a sound disk").rows, 0);
    scene.compact();
    scene.node.pass(50);
    assert!(
        scene
            .files(".sst")
            .iter()
            .all(|path| !path.contains("/wide-")),
        "nothing is left"
    );
}

#[test]
fn a_partition_of_many_steps_is_compacted_like_any_other() {
    let value = vec![b'v'; 4000];
    let mut scene = Scene::new(0);
    // What goes is several steps' worth, and stands before anything that stays.
    (0..100).for_each(|row| scene.put(row, &value));
    scene.flush();
    (0..100).for_each(|row| scene.apply(Name::Wide, Change::DeleteRow { row }, None));
    (100..200).for_each(|row| scene.put(row, &value));
    scene.apply(Name::Wide, Change::DeleteRow { row: 200 }, None);
    scene.flush();
    scene.node.second_offset += 10;
    // A late write with a timestamp older than the last of the deletions.
    scene.next -= 2;
    scene.put(200, b"late");
    scene.next += 1;
    scene.compact();
    let command = scene.command(Name::Wide, Dead::Dropped);
    let live = scene.node.read(0, &command).expect("a sound disk").rows;
    assert_eq!((live, scene.tombstones()), (100, 1));
}

#[test]
fn a_partition_of_many_steps_can_vanish_whole() {
    let mut scene = Scene::new(0);
    // More than is read ahead at once, however it is compressed.
    let mut rng = Rng::new(7);
    (0..200).for_each(|row| scene.put(row, &rng.bytes(8000)));
    scene.flush();
    (0..200).for_each(|row| scene.apply(Name::Wide, Change::DeleteRow { row }, None));
    for key in [0, 2, 3, 4, 5] {
        scene.key = key;
        scene.put(1, b"stays");
    }
    scene.flush();
    scene.node.second_offset += 10;
    scene.compact();
    assert_eq!((scene.rows(), scene.tombstones()), (5, 0));
    let stats = scene.node.stores[0].table_stats(Name::Wide.id());
    assert_eq!(stats.expect("a table").partitions, 5);
}
