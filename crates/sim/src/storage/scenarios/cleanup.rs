//! Cleanup while the ring changes.

use super::{Name, Scene};
use crate::storage::tables::key;
use ::model::key::Token;
use ::model::read::{KeyBound, KeyRange};
use std::sync::Arc;
use storage::{KeptTokens, Rewritten};

/// The tokens up to and with this one, or those after it.
fn tokens(through: Token, before: bool) -> Arc<KeptTokens> {
    let range = if before {
        KeyRange {
            start: KeyBound::Before(Token::MIN),
            end: KeyBound::After(through),
        }
    } else {
        KeyRange {
            start: KeyBound::After(through),
            end: KeyBound::After(Token::MAX),
        }
    };
    Arc::new(KeptTokens::new([range]))
}

#[test]
fn what_comes_with_new_tokens_while_a_cleanup_waits_stays() {
    let mut scene = Scene::new(0);
    let own = key(scene.key).token;
    scene.put(1, b"of before");
    scene.flush();
    let table = Name::Wide.id();
    // Nothing of the partition is this node's any more, but before the cleanup has its turn it is again, and its rows come.
    let (gone, back) = (tokens(own, false), tokens(own, true));
    let ticket = scene.node.ticket();
    scene.node.with_store(0, |store, _, _| {
        let which = Rewritten::Cut(gone);
        store.clean_up(table, which, ticket).expect("a table");
        assert_eq!(store.cleaned_up().collect::<Vec<_>>(), [table]);
        store.keep_tokens(table, back);
    });
    scene.put(2, b"streamed");
    scene.flush();
    scene.node.wait(ticket).expect("a sound disk");
    assert_eq!(scene.rows(), 2);
    let ticket = scene.node.ticket();
    let gone = tokens(own, false);
    scene
        .node
        .with_store(0, |store, _, _| {
            store.clean_up(table, Rewritten::Cut(gone), ticket)
        })
        .expect("a table");
    scene.node.wait(ticket).expect("a sound disk");
    assert_eq!(scene.rows(), 0);
}
