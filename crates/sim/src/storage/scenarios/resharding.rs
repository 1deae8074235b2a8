//! A change of the number of shards: files that several shards share, and what is known of ids.

use super::super::model::Change;
use super::super::tables::Name;
use super::Scene;
use crate::random::Rng;
use ::model::track::{LogId, MutationId};
use storage::{StoreConfig, StoreError, SyncMode};

/// Most of such a file is other shards'. A compaction that had to wait for blocks of one once let go of those of another that
/// it needed to begin again, found them missing when the first were there, and so on by turns: seed 1037, since blocks
/// became smaller.
#[test]
fn shared_files_are_compacted_whatever_lies_between() {
    const SHARDS: u16 = 9;
    let mut scene = Scene::new(0);
    let mut rng = Rng::new(1037);
    for file in 0..2 {
        // Between two partitions of a shard is less than is read ahead at once, or more.
        for key in (0..120).filter(|key| key % 2 == file) {
            scene.key = key;
            (0..5).for_each(|row| scene.put(row, &rng.bytes(8000)));
        }
        scene.flush();
    }
    let rows = scene.rows();
    scene.node.crash();
    let schema = scene.tables.schema.clone();
    scene.node.start(SHARDS, &schema).expect("a sound disk");
    let tickets: Vec<u64> = (0..usize::from(SHARDS))
        .map(|shard| {
            let ticket = scene.node.ticket();
            let compact = |store: &mut storage::Store| store.compact(Name::Wide.id(), ticket);
            let begun = scene.node.with_store(shard, |store, _, _| compact(store));
            begun.expect("it is ready");
            ticket
        })
        .collect();
    for ticket in tickets {
        scene.node.wait(ticket).expect("a sound disk");
    }
    let stats = (0..usize::from(SHARDS)).map(|shard| {
        let stats = scene.node.stores[shard].table_stats(Name::Wide.id());
        stats.expect("a table")
    });
    let stats: Vec<_> = stats.collect();
    assert!(stats.iter().all(|table| table.sstables <= 1), "{stats:#?}");
    let left: u64 = stats.iter().map(|table| table.rows).sum();
    assert_eq!((rows, left), (600, 600));
}

/// A node that was killed and holds one id.
fn holding(seed: u64) -> (Scene, MutationId) {
    let mut scene = Scene::seeded(0, seed);
    let log = LogId::new(3, 5, 0).expect("small numbers");
    let opened = scene
        .node
        .with_store(0, |store, _, _| store.open_log(log, &[3, 4].into()));
    opened.expect("it is ready");
    let id = MutationId { log, sequence: 1 };
    let cells = vec![(scene.tables.wide.plain[0], None, Some(b"held".to_vec()))];
    let change = Change::Row {
        row: 1,
        marker: true,
        ttl: 0,
        cells,
    };
    scene.apply(Name::Wide, change, Some(id));
    scene.node.kill();
    (scene, id)
}

fn is_held(scene: &Scene, id: MutationId) -> bool {
    let mut stores = scene.node.stores.iter();
    stores.any(|store| {
        let log = store.held().logs.get(&id.log);
        log.is_some_and(|log| log.sequences.contains(id.sequence))
    })
}

fn rarely_synced(seed: u64, config: StoreConfig) -> StoreConfig {
    StoreConfig {
        sync: SyncMode::Periodic { ms: 10_000 },
        ..super::configure(seed, config)
    }
}

/// The old logs go as soon as the new layout is there: what they alone said was gone when power failed before the new
/// log's first record was synced.
#[test]
fn what_is_held_is_known_when_power_fails_after_the_start() {
    for seed in 0..10 {
        let (mut scene, id) = holding(seed);
        if seed % 2 == 0 {
            scene.node.set_configure(rarely_synced);
        }
        let schema = scene.tables.schema.clone();
        for shards in [2, 3, 1] {
            scene.node.start(shards, &schema).expect("a sound disk");
            scene.node.pass(seed);
            scene.node.crash();
        }
        scene.node.start(1, &schema).expect("a sound disk");
        assert!(is_held(&scene, id), "seed {seed}");
    }
}

/// Whichever sync fails, the start ends, and the next finds everything.
#[test]
fn a_new_log_that_cannot_be_written_ends_the_start() {
    let (mut scene, id) = holding(1);
    let schema = scene.tables.schema.clone();
    let mut logs_failed = 0;
    for sync in 1.. {
        scene.node.disk.faults.failing_sync = sync;
        let started = scene.node.start(2, &schema);
        scene.node.disk.faults.failing_sync = u64::MAX;
        scene.node.crash();
        match started {
            Ok(()) => break,
            Err(error) => {
                logs_failed += u32::from(matches!(error, StoreError::NoLogForShards(_)));
            }
        }
    }
    // The head of the segment and its first record, at least.
    assert!(logs_failed >= 2, "{logs_failed}");
    scene.node.start(2, &schema).expect("a sound disk");
    assert!(is_held(&scene, id));
}
