//! Files of a snapshot that somebody places beside a table's own are taken over by all shards, or by none.

use super::super::tables::{Name, key};
use super::Scene;
use ::model::read::{KeyBound, KeyRange};
use std::sync::Arc;
use storage::{KeptTokens, PLACED, Verified};

const SHARDS: u16 = 3;

fn everything() -> Arc<KeptTokens> {
    Arc::new(KeptTokens::new([KeyRange::all()]))
}

impl Scene {
    /// A table that was emptied after its one file was copied to where files are placed, on a node that has more shards since; the
    /// copy's path.
    fn emptied() -> (Self, String) {
        let (mut scene, path) = Self::filled();
        let bytes = scene.node.disk.content(&path).expect("listed").to_vec();
        let ticket = scene.node.ticket();
        scene.node.with_store(0, |store, now, io| {
            let truncated = store.truncate(Name::Wide.id(), (1, 0), ticket, now, io);
            truncated.expect("it is ready");
        });
        scene.node.wait(ticket).expect("a sound disk");
        let (directory, name) = path.rsplit_once('/').expect("in a directory");
        let copy = format!("{directory}/{PLACED}/{name}");
        scene.node.disk.place(&copy, bytes);
        scene.restart();
        (scene, copy)
    }

    fn restart(&mut self) {
        self.node.crash();
        let schema = self.tables.schema.clone();
        self.node.start(SHARDS, &schema).expect("a sound disk");
    }

    /// Has every shard do something, and waits until all have.
    fn all_shards(&mut self, each: impl Fn(&mut storage::Store, u64, &mut ::model::env::IoQueue)) {
        let tickets: Vec<u64> = (0..usize::from(SHARDS))
            .map(|shard| {
                let ticket = self.node.ticket();
                self.node
                    .with_store(shard, |store, _, io| each(store, ticket, io));
                ticket
            })
            .collect();
        for ticket in tickets {
            self.node.wait(ticket).expect("a sound disk");
        }
    }

    fn look(&mut self, tokens: &Arc<KeptTokens>) -> Vec<Verified> {
        self.all_shards(|store, ticket, io| {
            let begun = store.look_at_placed(Name::Wide.id(), tokens.clone(), ticket, io);
            begun.expect("it is ready");
        });
        let stores = self.node.stores.iter_mut();
        let found = stores.map(|store| store.take_verified(Name::Wide.id()));
        found.map(|found| found.expect("it is done")).collect()
    }

    fn take(&mut self) {
        self.all_shards(|store, ticket, io| {
            let begun = store.take_placed(Name::Wide.id(), everything(), ticket, io);
            begun.expect("it is ready");
        });
    }

    /// Rows and partitions of the wide table that all shards have.
    fn stored(&self) -> (u64, u64) {
        let stats = self.node.stores.iter().map(|store| {
            let stats = store.table_stats(Name::Wide.id());
            stats.expect("a table")
        });
        let all: Vec<_> = stats.collect();
        let sum = |of: fn(&storage::TableStats) -> u64| all.iter().map(of).sum();
        (sum(|table| table.rows), sum(|table| table.partitions))
    }
}

#[test]
fn each_shard_takes_what_is_its_own() {
    let (mut scene, copy) = Scene::emptied();
    assert_eq!(scene.stored(), (0, 0));
    let looked = scene.look(&everything());
    assert_eq!(looked.iter().map(|found| found.wrong).sum::<u64>(), 0);
    assert_eq!(looked.iter().map(|found| found.files).sum::<u64>(), 1);
    assert_eq!(scene.stored(), (0, 0), "looking takes nothing");
    scene.take();
    assert_eq!(scene.stored(), (59, 40));
    let shards = scene.node.stores.iter();
    let with_some = shards.filter(|store| {
        let stats = store.table_stats(Name::Wide.id());
        stats.expect("a table").partitions > 0
    });
    assert!(with_some.count() > 1, "several have some of it");
    assert!(
        scene.node.disk.content(&copy).is_some(),
        "it stays until all are done"
    );
    // A crash before it is removed, and it is taken a second time: the same rows.
    scene.restart();
    assert_eq!(scene.stored(), (59, 40), "what was taken is durable");
    scene.take();
    let stores = 0..usize::from(SHARDS);
    stores.for_each(|shard| {
        scene.node.with_store(shard, |store, _, io| {
            store.remove_placed(Name::Wide.id(), io)
        });
    });
    scene.node.pass(100);
    assert!(scene.node.disk.content(&copy).is_none());
    scene.all_shards(|store, ticket, _| {
        store.compact(Name::Wide.id(), ticket).expect("it is ready");
    });
    assert_eq!(scene.stored(), (59, 40));
}

#[test]
fn what_is_damaged_or_of_another_name_is_told_and_never_taken() {
    let (mut scene, copy) = Scene::emptied();
    let sound = scene.node.disk.content(&copy).expect("placed").to_vec();
    let wrong = |scene: &mut Scene| -> Vec<String> {
        let looked = scene.look(&everything()).into_iter();
        looked.flat_map(|found| found.found).collect()
    };
    scene.node.disk.rot(&copy, 40, 1);
    let found = wrong(&mut scene);
    assert_eq!(found.len(), 1, "{found:?}");
    scene.node.disk.lose(&copy);
    let (directory, _) = copy.rsplit_once('/').expect("in a directory");
    let other = format!("{directory}/1-0-77.sst");
    scene.node.disk.place(&other, sound.clone());
    let found = wrong(&mut scene);
    assert!(found.len() == 1 && found[0].contains("1-0-77"), "{found:?}");
    scene.node.disk.lose(&other);
    scene
        .node
        .disk
        .place(&copy, sound[..sound.len() / 2].to_vec());
    assert_eq!(wrong(&mut scene).len(), 1, "cut");
    scene.node.disk.lose(&copy);
    scene.node.disk.place(&copy, sound);
    let token = key(7).token;
    let range = KeyRange {
        start: KeyBound::Before(token),
        end: KeyBound::After(token),
    };
    let looked = scene.look(&Arc::new(KeptTokens::new([range])));
    let found: Vec<String> = looked.into_iter().flat_map(|found| found.found).collect();
    assert!(
        found.len() == 1 && found[0].contains("39 partitions"),
        "{found:?}"
    );
    assert_eq!(scene.stored(), (0, 0));
}
