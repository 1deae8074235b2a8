//! A start on a full disk: reads are served, writes are refused until there is room again.

use super::{Scene, configure};
use storage::{StoreConfig, StoreError};

/// Memory for a part of what the log holds.
fn scarce(seed: u64, config: StoreConfig) -> StoreConfig {
    StoreConfig {
        memtable_bytes: 64 << 10,
        ..configure(seed, config)
    }
}

/// A killed node with 200 rows in its log, more than its memtables may hold, and a disk without room.
fn killed() -> Scene {
    let mut scene = Scene::new(0);
    for row in 0..200 {
        scene.put(row, &[row; 1000]);
    }
    scene.node.kill();
    scene.node.set_configure(scarce);
    scene.node.disk.faults.capacity = scene.node.disk.used();
    scene
}

fn write_error(scene: &Scene) -> Option<StoreError> {
    scene.node.stores[0].write_error()
}

#[test]
fn reads_are_served_and_writes_refused_until_there_is_room() {
    let mut scene = killed();
    let schema = scene.tables.schema.clone();
    scene.node.start(1, &schema).expect("it serves reads");
    scene.node.pass(100);
    assert_eq!(scene.rows(), 200);
    assert_eq!(write_error(&scene), Some(StoreError::DiskFull));
    scene.node.pass(5_000);
    assert_eq!(scene.rows(), 200);
    assert_eq!(write_error(&scene), Some(StoreError::DiskFull));

    scene.node.disk.faults.capacity = u64::MAX;
    scene.node.pass(5_000);
    assert_eq!(write_error(&scene), None);
    scene.put(200, b"there is room");
    scene.flush();
    scene.node.crash();
    scene.node.start(1, &schema).expect("a sound disk");
    assert_eq!(scene.rows(), 201);
}

#[test]
fn it_may_lose_power_before_there_is_room() {
    let mut scene = killed();
    let schema = scene.tables.schema.clone();
    for _ in 0..3 {
        scene.node.start(1, &schema).expect("it serves reads");
        scene.node.pass(3_000);
        assert_eq!(scene.rows(), 200);
        scene.node.crash();
        scene.node.disk.faults.capacity = scene.node.disk.used();
    }
}

#[test]
fn another_number_of_shards_needs_room() {
    let mut scene = killed();
    let schema = scene.tables.schema.clone();
    let refused = scene.node.start(2, &schema);
    assert_eq!(refused, Err(StoreError::NoRoomForShards));
    scene.node.kill();
    scene.node.start(1, &schema).expect("it serves reads");
    assert_eq!(scene.rows(), 200);
}

/// Wherever room ends, the start ends too: nothing is waited for that cannot come.
#[test]
fn another_number_of_shards_needs_room_for_its_log_too() {
    let mut scene = killed();
    let schema = scene.tables.schema.clone();
    let used = scene.node.disk.used();
    let mut room = 0;
    loop {
        scene.node.disk.faults.capacity = used + room;
        let started = scene.node.start(2, &schema);
        scene.node.kill();
        match started {
            Ok(()) => break,
            Err(StoreError::NoRoomForShards) => {}
            // The layout file had none.
            Err(error) => assert_eq!(error, StoreError::DiskFull),
        }
        room += 256;
    }
    assert!(room > 0, "there was no room");
}
