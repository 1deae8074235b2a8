//! Verification finds what is damaged, wherever it is, and nothing in what is whole.

use super::super::tables::{Name, key};
use super::Scene;
use ::model::read::{KeyBound, KeyRange};
use std::sync::Arc;
use storage::{Closeness, KeptTokens, Verified};

impl Scene {
    fn verify(&mut self, how: Closeness) -> Verified {
        let ticket = self.node.ticket();
        let begun = self.node.with_store(0, |store, _, io| {
            store.verify(Name::Wide.id(), how, ticket, io)
        });
        begun.expect("it is ready");
        self.node.wait(ticket).expect("damage is no failure");
        let verified = self.node.stores[0].take_verified(Name::Wide.id());
        verified.expect("it is done")
    }

    /// Several partitions, one of them wider than a block, in one file.
    pub(super) fn filled() -> (Self, String) {
        let mut scene = Self::new(0);
        for partition in 0..40 {
            scene.key = partition;
            scene.put(1, b"value");
        }
        scene.key = 7;
        (0..20).for_each(|row| scene.put(row, &vec![row; 5_000]));
        scene.flush();
        let files = scene.files(".sst");
        let wide = Name::Wide.id().0.simple().to_string();
        let path = files.into_iter().find(|path| path.contains(&wide));
        (scene, path.expect("it was flushed"))
    }
}

#[test]
fn nothing_is_wrong_with_what_is_whole() {
    let (mut scene, path) = Scene::filled();
    let length = scene.node.disk.content(&path).expect("listed").len() as u64;
    let verified = scene.verify(Closeness::default());
    let expected = Verified {
        files: 1,
        bytes: length + 64,
        partitions: 40,
        ..Verified::default()
    };
    assert_eq!(verified, expected, "every byte, and the footer twice");
    let quick = scene.verify(Closeness {
        quick: true,
        tokens: None,
    });
    assert!(quick.wrong == 0 && quick.bytes < length / 2, "{quick:?}");
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let length = {
        let (scene, path) = Scene::filled();
        scene.node.disk.content(&path).expect("listed").len()
    };
    // About two of each block, and of the parts at the end.
    for at in (0..length).step_by(997).chain(length - 300..length) {
        let (mut scene, path) = Scene::filled();
        scene.node.disk.rot(&path, at, 1);
        let verified = scene.verify(Closeness::default());
        assert!(
            verified.wrong > 0 && verified.found[0].contains(&path),
            "byte {at} of {length}: {verified:?}"
        );
    }
}

#[test]
fn tokens_of_other_nodes_are_told() {
    let (mut scene, _) = Scene::filled();
    let token = key(7).token;
    let range = KeyRange {
        start: KeyBound::Before(token),
        end: KeyBound::After(token),
    };
    let tokens = Some(Arc::new(KeptTokens::new([range])));
    let verified = scene.verify(Closeness {
        quick: false,
        tokens,
    });
    assert_eq!(verified.wrong, 1);
    assert!(verified.found[0].contains("39 partitions"), "{verified:?}");
}

#[test]
fn a_table_that_is_emptied_meanwhile_does_no_harm() {
    let (mut scene, _) = Scene::filled();
    let ticket = scene.node.ticket();
    let emptied = scene.node.ticket();
    scene.node.with_store(0, |store, now, io| {
        let begun = store.verify(Name::Wide.id(), Closeness::default(), ticket, io);
        begun.expect("it is ready");
        let truncated = store.truncate(Name::Wide.id(), (1, 0), emptied, now, io);
        truncated.expect("it is ready");
    });
    scene.node.wait(emptied).expect("a sound disk");
    scene.node.wait(ticket).expect("a sound disk");
    let verified = scene.node.stores[0].take_verified(Name::Wide.id());
    assert_eq!(verified.expect("it is done").wrong, 0);
}
