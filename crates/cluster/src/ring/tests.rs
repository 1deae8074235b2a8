//! Placements as worked out by hand, and against walks for arbitrary rings.

use super::{Location, Ring, Strategy};
use crate::topology::NodeId;
use model::key::Token;
use model::schema::Replication;
use proptest::prelude::{any, prop_assert_eq, proptest};
use std::collections::BTreeSet;

fn location(datacenter: &str, rack: &str) -> Location {
    Location {
        datacenter: datacenter.into(),
        rack: rack.into(),
    }
}

fn ring(members: &[(u32, &str, &str, &[i64])]) -> Ring {
    let tokens: Vec<Vec<Token>> = members
        .iter()
        .map(|(.., tokens)| tokens.iter().map(|token| Token(*token)).collect())
        .collect();
    let members = members.iter().zip(&tokens);
    Ring::new(members.map(|((id, datacenter, rack, _), tokens)| {
        (NodeId(*id), location(datacenter, rack), tokens.as_slice())
    }))
}

fn numbers(replicas: &[NodeId]) -> Vec<u32> {
    replicas.iter().map(|id| id.0).collect()
}

fn topology(factors: &[(&str, u32)]) -> Strategy {
    let factors = factors
        .iter()
        .map(|(name, factor)| ((*name).to_owned(), *factor));
    Strategy::NetworkTopology(factors.collect())
}

#[test]
fn an_arc_ends_with_its_token_and_the_last_runs_over_the_end() {
    let ring = ring(&[
        (1, "dc", "r", &[0]),
        (2, "dc", "r", &[100]),
        (3, "dc", "r", &[200]),
    ]);
    let placement = ring.place(&Strategy::Simple(2));
    for (token, expected) in [
        (0, [1, 2]),
        (1, [2, 3]),
        (100, [2, 3]),
        (150, [3, 1]),
        (201, [1, 2]),
        (-5, [1, 2]),
    ] {
        assert_eq!(
            numbers(&placement.replicas(Token(token)).expect("a member").natural),
            expected,
            "{token}"
        );
    }
    let arcs: Vec<_> = placement
        .arcs()
        .map(|arc| (arc.after.0, arc.through.0, numbers(&arc.replicas.natural)))
        .collect();
    assert_eq!(
        arcs,
        [
            (200, 0, vec![1, 2]),
            (0, 100, vec![2, 3]),
            (100, 200, vec![3, 1])
        ]
    );
}

#[test]
fn replicas_stand_on_different_racks_before_any_has_two() {
    let ring = ring(&[
        (1, "dc", "a", &[0]),
        (2, "dc", "a", &[10]),
        (3, "dc", "b", &[20]),
        (4, "dc", "b", &[30]),
        (5, "dc", "c", &[40]),
    ]);
    assert_eq!(
        numbers(&ring.replicas(&topology(&[("dc", 3)]), Token(0))),
        [1, 3, 5]
    );
    // Three racks for four replicas: one rack may have two, which is the first that comes.
    assert_eq!(
        numbers(&ring.replicas(&topology(&[("dc", 4)]), Token(0))),
        [1, 2, 3, 5]
    );
    assert_eq!(
        numbers(&ring.replicas(&topology(&[("dc", 9)]), Token(15))),
        [3, 4, 5, 1, 2]
    );
}

#[test]
fn data_centres_are_filled_each_by_its_own_factor() {
    let ring = ring(&[
        (1, "one", "a", &[0]),
        (2, "two", "a", &[10]),
        (3, "one", "b", &[20]),
        (4, "two", "b", &[30]),
    ]);
    let strategy = topology(&[("one", 1), ("two", 2), ("three", 3)]);
    assert_eq!(numbers(&ring.replicas(&strategy, Token(-1))), [1, 2, 4]);
    assert_eq!(numbers(&ring.replicas(&strategy, Token(25))), [4, 1, 2]);
    assert_eq!(ring.replicas(&Strategy::Local, Token(0)), []);
}

#[test]
fn options_of_a_keyspace_become_factors() {
    let replication = |class: &str, options: &[(&str, &str)]| Replication {
        class: class.into(),
        options: options
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect(),
    };
    assert_eq!(
        Strategy::of(&replication(
            "SimpleStrategy",
            &[("replication_factor", "3")]
        )),
        Strategy::Simple(3)
    );
    assert_eq!(
        Strategy::of(&replication(
            "NetworkTopologyStrategy",
            &[("a", "3/1"), ("b", "2")]
        )),
        topology(&[("a", 3), ("b", 2)])
    );
    assert_eq!(
        Strategy::of(&replication("LocalStrategy", &[])),
        Strategy::Local
    );
}

proptest! {
    #[test]
    fn a_placement_is_what_walking_gives(
        members in proptest::collection::vec((0u8..3, 0u8..3, proptest::collection::vec(any::<i64>(), 1..5)), 1..9),
        factors in proptest::collection::vec(0u32..5, 3),
        tokens in proptest::collection::vec(any::<i64>(), 1..20),
    ) {
        let tokens_of: Vec<Vec<Token>> = members.iter().map(|(.., tokens)| tokens.iter().map(|token| Token(*token)).collect()).collect();
        let ring = Ring::new(members.iter().zip(&tokens_of).enumerate().map(|(index, ((datacenter, rack, _), tokens))| {
            (NodeId(index as u32 + 1), location(&datacenter.to_string(), &rack.to_string()), tokens.as_slice())
        }));
        let owners: BTreeSet<NodeId> = ring.tokens().iter().map(|(_, id)| *id).collect();
        proptest::prop_assume!(owners.len() == members.len());
        let strategies = [
            Strategy::Simple(factors[0]),
            Strategy::NetworkTopology(factors.iter().enumerate().map(|(index, factor)| (index.to_string(), *factor)).collect()),
        ];
        for strategy in &strategies {
            let placement = ring.place(strategy);
            for token in &tokens {
                let replicas = ring.replicas(strategy, Token(*token));
                prop_assert_eq!(&placement.replicas(Token(*token)).expect("a member").natural, &replicas);
                let distinct: BTreeSet<_> = replicas.iter().collect();
                prop_assert_eq!(distinct.len(), replicas.len());
                for (index, factor) in factors.iter().enumerate() {
                    let Strategy::NetworkTopology(_) = strategy else { continue };
                    let standing = |id: &&NodeId| ring.location(**id).is_some_and(|location| location.datacenter == index.to_string());
                    let owners: BTreeSet<_> = ring.tokens().iter().map(|(_, id)| id).filter(standing).collect();
                    let picked = replicas.iter().filter(standing).count();
                    prop_assert_eq!(picked, owners.len().min(*factor as usize));
                }
            }
            let covered: usize = placement.arcs().count();
            prop_assert_eq!(covered, ring.tokens().len());
        }
    }
}
