//! What becomes of files that several shards share, since the number of shards changed.

use super::super::tables::Name;
use super::Scene;
use crate::random::Rng;

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
