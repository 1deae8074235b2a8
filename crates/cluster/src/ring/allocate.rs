//! Which tokens a member takes that joins: those that make everybody's share of the ring as equal as they can.
//!
//! The members of its data centre are looked at alone, for each data centre replicates by its own. The new member is to own one part
//! in so many as there will be members, in as many stretches as it takes tokens. Each stretch is cut from the beginning of the
//! longest arc of whoever owns most by then: what is left of that arc stays its owner's. An arc that is too short for that gives half.
//!
//! Shares of replicas are not looked at: they follow the shares of owners where every member has many tokens.

use super::{Location, Ring};
use crate::topology::NodeId;
use model::key::Token;
use std::collections::{BTreeMap, BTreeSet};

/// All tokens there are.
const WHOLE: u128 = 1 << 64;

/// An arc of the data centre: the token before it and how long it is.
type Arcs = BTreeMap<Token, (NodeId, Token, u128)>;

fn length(after: Token, through: Token) -> u128 {
    match through.0.wrapping_sub(after.0) as u64 {
        // One token alone bounds the whole ring.
        0 => WHOLE,
        length => u128::from(length),
    }
}

/// `count` tokens for a member that joins at a location, none of which is taken; none if nobody there has any.
pub fn allocate(ring: &Ring, location: &Location, count: u32) -> Vec<Token> {
    let here = |id: &NodeId| {
        let there = ring.location(*id);
        there.is_some_and(|there| there.datacenter == location.datacenter)
    };
    let owned: Vec<(Token, NodeId)> = ring
        .tokens()
        .iter()
        .filter(|(_, id)| here(id))
        .copied()
        .collect();
    let Some((last, _)) = owned.last().copied() else {
        return Vec::new();
    };
    let mut arcs = Arcs::new();
    let mut shares: BTreeMap<NodeId, u128> = BTreeMap::new();
    let mut after = last;
    for (through, owner) in owned {
        let length = length(after, through);
        arcs.insert(through, (owner, after, length));
        *shares.entry(owner).or_default() += length;
        after = through;
    }
    let stretch = WHOLE / (shares.len() as u128 + 1) / u128::from(count.max(1));
    let mut taken: BTreeSet<Token> = ring.tokens().iter().map(|(token, _)| *token).collect();
    let mut tokens = Vec::new();
    for _ in 0..count.max(1) {
        let Some(token) = cut(&mut arcs, &mut shares, stretch, &taken) else {
            break;
        };
        taken.insert(token);
        tokens.push(token);
    }
    tokens.sort_unstable();
    tokens
}

/// Cuts the next stretch; `None` if no arc is long enough to be cut.
fn cut(
    arcs: &mut Arcs,
    shares: &mut BTreeMap<NodeId, u128>,
    stretch: u128,
    taken: &BTreeSet<Token>,
) -> Option<Token> {
    let richest = shares.iter().max_by_key(|(_, share)| **share)?;
    let richest = *richest.0;
    let of_richest = arcs.iter().filter(|(_, (owner, ..))| *owner == richest);
    let longest = of_richest.max_by_key(|(_, (_, _, length))| *length);
    let (through, (_, after, length)) = longest.map(|(through, arc)| (*through, *arc))?;
    if length < 2 {
        return None;
    }
    let wanted = if length > stretch {
        stretch.max(1)
    } else {
        length / 2
    };
    // What another data centre has is passed over, if there is room.
    let mut token = Token(after.0.wrapping_add(wanted as u64 as i64));
    while taken.contains(&token) || token == Token::MIN {
        token = Token(token.0.wrapping_add(1));
        if token == through {
            return None;
        }
    }
    let given = self::length(after, token);
    arcs.insert(through, (richest, token, length - given));
    *shares.entry(richest).or_default() -= given;
    Some(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn location(datacenter: &str) -> Location {
        Location {
            datacenter: datacenter.into(),
            rack: "r".into(),
        }
    }

    fn share(ring: &Ring, id: NodeId) -> f64 {
        let tokens = ring.tokens();
        let before = tokens.last().into_iter().chain(tokens);
        let arcs = before
            .zip(tokens)
            .filter(|(_, (_, owner))| *owner == id)
            .map(|((after, _), (through, _))| length(*after, *through) as f64);
        arcs.sum::<f64>() / WHOLE as f64
    }

    #[test]
    fn who_joins_one_after_the_other_owns_as_much_as_the_others() {
        let mut ring = Ring::default().with(NodeId(1), &location("dc"), &[Token(7)]);
        for number in 2..=9u32 {
            let tokens = allocate(&ring, &location("dc"), 16);
            assert_eq!(tokens.len(), 16);
            ring = ring.with(NodeId(number), &location("dc"), &tokens);
            let fair = 1.0 / f64::from(number);
            for id in 1..=number {
                let share = share(&ring, NodeId(id));
                assert!(
                    (share - fair).abs() < 0.25 * fair,
                    "{id} of {number}: {share}"
                );
            }
        }
    }

    #[test]
    fn the_first_of_a_data_centre_is_told_nothing() {
        let ring = Ring::default().with(NodeId(1), &location("one"), &[Token(7)]);
        assert_eq!(allocate(&ring, &location("two"), 16), []);
    }

    proptest! {
        #[test]
        fn no_token_is_given_twice(
            one in proptest::collection::btree_set(-20i64..20, 1..20),
            other in proptest::collection::btree_set(-20i64..20, 1..20),
            count in 1u32..40,
        ) {
            let tokens = |set: &BTreeSet<i64>| -> Vec<Token> { set.iter().map(|token| Token(*token)).collect() };
            let ring = Ring::default()
                .with(NodeId(1), &location("one"), &tokens(&one))
                .with(NodeId(2), &location("two"), &tokens(&other));
            let given: Vec<Token> = allocate(&ring, &location("one"), count);
            let distinct: BTreeSet<Token> = given.iter().copied().collect();
            prop_assert_eq!(distinct.len(), given.len());
            prop_assert!(given.iter().all(|token| !ring.tokens().iter().any(|(taken, _)| taken == token)));
        }
    }
}
