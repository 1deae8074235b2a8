//! Files that are damaged or gone: what keeps a node from starting, and what does not.

use super::super::tables::{Name, key};
use super::{Scene, skipping};
use ::model::key::Token;
use ::model::read::{Dead, KeyBound, KeyRange, Partitions};
use storage::StoreError;

/// Offset and length of a part whose handle stands in an SSTable's footer: the index root, the filter, the statistics.
fn part(content: &[u8], index: usize) -> (usize, usize) {
    // The footer is laid out as other files' heads: sixteen bytes, then the handles.
    let at = content.len() - 64 + 16 + index * 12;
    let offset = u64::from_le_bytes(content[at..at + 8].try_into().expect("eight bytes"));
    let length = u32::from_le_bytes(content[at + 8..at + 12].try_into().expect("four bytes"));
    (offset as usize, length as usize)
}

/// A node of which one SSTable of the wide table was damaged in its `index`th part while it was down.
fn damaged(index: usize) -> (Scene, String) {
    let mut scene = Scene::new(0);
    scene.put(1, b"value");
    scene.flush();
    scene.node.crash();
    let files = scene.files(".sst");
    let wide = Name::Wide.id().0.simple().to_string();
    let path = files.into_iter().find(|path| path.contains(&wide));
    let path = path.expect("it was flushed");
    let content = scene.node.disk.content(&path).expect("listed").to_vec();
    let (offset, length) = part(&content, index);
    assert!(length > 20, "the part is there");
    scene.node.disk.rot(&path, offset + 18, 1);
    (scene, path)
}

#[test]
fn a_bad_filter_is_none() {
    let (mut scene, path) = damaged(1);
    let schema = scene.tables.schema.clone();
    scene.node.start(1, &schema).expect("only a filter is bad");
    let notices = scene.node.stores[0].take_notices();
    assert!(
        notices.len() == 1 && notices[0].contains(&path),
        "{notices:?}"
    );
    assert_eq!(scene.rows(), 1);
    scene.compact();
    assert_eq!(scene.rows(), 1);
}

#[test]
fn an_sstable_that_cannot_be_opened_is_kept_and_its_tokens_not_answered_without_it() {
    for index in [0, 2] {
        let (mut scene, path) = damaged(index);
        let schema = scene.tables.schema.clone();
        for _ in 0..2 {
            scene.node.start(1, &schema).expect("the others are whole");
            let notices = scene.node.stores[0].take_notices();
            assert!(
                notices.len() == 1 && notices[0].contains(&path),
                "{notices:?}"
            );
            let command = scene.command(Name::Wide, Dead::Dropped);
            let read = scene.node.read(0, &command);
            assert!(
                matches!(&read, Err(StoreError::Corrupt { file, .. }) if *file == path),
                "{read:?}"
            );
            let bad = key(1).token;
            let (least, most) = (KeyBound::Before(Token::MIN), KeyBound::After(Token::MAX));
            let mut readable = |start: KeyBound, end: KeyBound| {
                let mut command = scene.command(Name::Wide, Dead::Dropped);
                command.partitions = Partitions::Range(KeyRange { start, end });
                scene.node.read(0, &command).is_ok()
            };
            assert!(readable(least.clone(), KeyBound::Before(bad)), "below it");
            assert!(readable(KeyBound::After(bad), most.clone()), "above it");
            assert!(!readable(least, KeyBound::After(bad)), "it is the last");
            assert!(!readable(KeyBound::Before(bad), most), "it is the first");
            let mut readable = |number: u8| {
                let mut command = scene.command(Name::Wide, Dead::Dropped);
                command.partitions = Partitions::Key(key(number));
                scene.node.read(0, &command).is_ok()
            };
            assert!(!readable(1) && readable(2), "other partitions are whole");
            let witness = scene.command(Name::Witness, Dead::Dropped);
            assert!(scene.node.read(0, &witness).is_ok());
            scene.put(2, b"more");
            scene.flush();
            scene.put(3, b"and more");
            scene.flush();
            scene.compact();
            assert!(scene.files(".sst").contains(&path), "it is never removed");
            scene.node.crash();
        }
    }
}

#[test]
fn a_segment_that_is_gone_is_missed() {
    let mut scene = Scene::new(0);
    let value = vec![7; 10_000];
    (0..30).for_each(|row| scene.put(row, &value));
    scene.node.crash();
    let segments = scene.files(".log");
    assert!(segments.len() > 3, "several segments");
    let lost = segments[segments.len() - 3].clone();
    scene.node.disk.lose(&lost);
    let schema = scene.tables.schema.clone();
    let error = scene.node.start(1, &schema).expect_err("a segment is gone");
    assert!(
        matches!(&error, StoreError::Corrupt { file, .. } if *file == lost),
        "{error}"
    );
    scene.node.crash();
    scene.node.set_configure(skipping);
    scene.node.start(1, &schema).expect("told to skip");
    let notices = scene.node.stores[0].take_notices();
    assert!(notices.iter().any(|notice| notice.contains(&lost)));
    assert!((20..30).contains(&scene.rows()));
}

#[test]
fn segments_that_were_freed_are_not_missed() {
    let mut scene = Scene::new(0);
    let value = vec![7; 10_000];
    (0..30).for_each(|row| scene.put(row, &value));
    scene.flush();
    scene.node.pass(1000);
    scene.put(30, &value);
    scene.node.crash();
    let schema = scene.tables.schema.clone();
    scene.node.start(1, &schema).expect("nothing is lost");
    assert_eq!(scene.rows(), 31);
}
