//! A range of tokens, piece by piece: each piece has the same replicas throughout.
//!
//! Pieces come in the order of the ring's line, so that what is read of them one after the other is in token order. Neighbours
//! whose replicas are the same are one piece: three nodes with three replicas are read at once.

use crate::ring::Placement;
use model::key::Token;
use model::read::{KeyBound, KeyRange};

/// A part of a range with the same replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The part.
    pub range: KeyRange,
    /// A token in it: its replicas are the piece's.
    pub token: Token,
}

/// Where a bound stands on the line of partitions.
fn position(bound: &KeyBound) -> (Token, u8, &[u8], u8) {
    match bound {
        KeyBound::Before(token) => (*token, 0, &[], 0),
        KeyBound::BeforeKey(key) => (key.token, 1, &key.key, 0),
        KeyBound::AfterKey(key) => (key.token, 1, &key.key, 1),
        KeyBound::After(token) => (*token, 2, &[], 0),
    }
}

/// The later of two bounds.
pub fn later(one: KeyBound, other: KeyBound) -> KeyBound {
    if position(&other) > position(&one) {
        other
    } else {
        one
    }
}

/// The first piece of a range; `None` if nothing is in it. Without a placement, every node having its own, it is all of it.
pub fn first_piece(placement: Option<&Placement>, range: &KeyRange) -> Option<Piece> {
    if position(&range.start) >= position(&range.end) {
        return None;
    }
    let token = match &range.start {
        KeyBound::After(token) => Token(token.0.checked_add(1)?),
        bound => bound.token(),
    };
    let stretch = placement.and_then(|placement| placement.stretch(token));
    let through = KeyBound::After(stretch.map_or(Token::MAX, |(_, through)| through));
    let end = if position(&through) < position(&range.end) {
        through
    } else {
        range.end.clone()
    };
    let range = KeyRange {
        start: range.start.clone(),
        end,
    };
    Some(Piece { range, token })
}

/// What of a range comes after a piece of it.
pub fn after(range: &KeyRange, piece: &KeyRange) -> KeyRange {
    KeyRange {
        start: piece.end.clone(),
        end: range.end.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinate::fixtures::{cluster, placed, simple};
    use model::key::DecoratedKey;

    fn pieces(nodes: usize, factor: u32, mut range: KeyRange) -> Vec<(KeyRange, Token)> {
        let topology = cluster(&vec![("dc1", "a"); nodes]);
        let keyspace = placed(&topology, &simple(factor));
        let placement = keyspace.placement.as_deref();
        let mut all = Vec::new();
        while let Some(piece) = first_piece(placement, &range) {
            range = after(&range, &piece.range);
            all.push((piece.range, piece.token));
        }
        all
    }

    #[test]
    fn the_ring_is_one_piece_where_all_have_everything() {
        let all = pieces(3, 3, KeyRange::all());
        assert_eq!(all, [(KeyRange::all(), Token::MIN)]);
    }

    #[test]
    fn pieces_follow_each_other_from_end_to_end() {
        let all = pieces(3, 1, KeyRange::all());
        let tokens: Vec<i64> = all.iter().map(|(_, token)| token.0).collect();
        assert_eq!(tokens, [i64::MIN, 101, 201, 301]);
        assert_eq!(all[0].0.start, KeyRange::all().start);
        assert_eq!(all[3].0.end, KeyRange::all().end);
        for pair in all.windows(2) {
            assert_eq!(pair[0].0.end, pair[1].0.start);
        }
    }

    #[test]
    fn a_range_begins_and_ends_where_it_says() {
        let key = DecoratedKey {
            token: Token(150),
            key: (*b"k").into(),
        };
        let range = KeyRange {
            start: KeyBound::BeforeKey(key.clone()),
            end: KeyBound::After(Token(200)),
        };
        assert_eq!(pieces(3, 1, range.clone()), [(range, Token(150))]);
        let empty = KeyRange {
            start: KeyBound::AfterKey(key.clone()),
            end: KeyBound::BeforeKey(key.clone()),
        };
        assert_eq!(pieces(3, 1, empty), []);
        let last = KeyRange {
            start: KeyBound::After(Token::MAX),
            end: KeyBound::After(Token::MAX),
        };
        assert_eq!(pieces(3, 1, last), []);
        let one = later(
            KeyBound::Before(Token(150)),
            KeyBound::BeforeKey(key.clone()),
        );
        assert_eq!(one, KeyBound::BeforeKey(key));
    }
}
