//! Which stretches of which tables a node compares, and with whom.

use crate::ring::Placement;
use crate::topology::{NodeId, Topology};
use model::key::Token;
use model::read::{KeyBound, KeyRange};
use model::schema::Table;
use std::sync::Arc;

/// A stretch of one table that the same members have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// The table.
    pub table: Arc<Table>,
    /// The stretch.
    pub range: KeyRange,
    /// Who is compared, ascending; this node is among them, and somebody else.
    pub members: Vec<NodeId>,
}

/// Which of the stretches that a node has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Those alone of which it is the first replica, so that each is compared once if all nodes do it.
    pub primary: bool,
    /// Tokens after the first, up to the second; over the end of the ring if that is not the larger one.
    pub tokens: Option<(Token, Token)>,
    /// Replicas of these data centres alone; all if none is named.
    pub datacenters: Vec<String>,
    /// These replicas alone; all if none is named.
    pub nodes: Vec<NodeId>,
}

impl Scope {
    /// Whether a replica is to be compared.
    fn counts(&self, topology: &Topology, id: NodeId) -> bool {
        let in_datacenter = |name: &String| topology.of_datacenter(name).any(|node| node == id);
        let datacenter = self.datacenters.is_empty() || self.datacenters.iter().any(in_datacenter);
        datacenter && (self.nodes.is_empty() || self.nodes.contains(&id))
    }
}

/// What of a keyspace's tables this node compares.
pub fn units(topology: &Topology, tables: &[Arc<Table>], scope: &Scope) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut known: Option<(&str, Vec<(KeyRange, Vec<NodeId>)>)> = None;
    for table in tables {
        let same = known
            .as_ref()
            .is_some_and(|(name, _)| *name == table.keyspace);
        if !same {
            let keyspace = topology.keyspace(&table.keyspace);
            let placement = keyspace.and_then(|keyspace| keyspace.placement.as_deref());
            let stretches = placement.map(|placement| stretches(topology, placement, scope));
            known = Some((table.keyspace.as_str(), stretches.unwrap_or_default()));
        }
        let stretches = known.iter().flat_map(|(_, stretches)| stretches);
        units.extend(stretches.map(|(range, members)| Unit {
            table: table.clone(),
            range: range.clone(),
            members: members.clone(),
        }));
    }
    units
}

/// The stretches that are compared of what is placed so, each with its members.
fn stretches(
    topology: &Topology,
    placement: &Placement,
    scope: &Scope,
) -> Vec<(KeyRange, Vec<NodeId>)> {
    let own = topology.local;
    let mut all: Vec<(Token, Token, Vec<NodeId>)> = Vec::new();
    for arc in placement.arcs() {
        let natural = &arc.replicas.natural;
        let first = natural.iter().find(|id| scope.counts(topology, **id));
        if !natural.contains(&own) || scope.primary && first != Some(&own) {
            continue;
        }
        let counted = natural.iter().copied();
        let mut members: Vec<NodeId> = counted.filter(|id| scope.counts(topology, *id)).collect();
        members.sort_unstable();
        if members.len() < 2 || !members.contains(&own) {
            continue;
        }
        for (after, through) in line(arc.after, arc.through) {
            all.push((after, through, members.clone()));
        }
    }
    let wanted = match scope.tokens {
        Some((after, through)) => line(after, through),
        None => vec![(Token::MIN, Token::MAX)],
    };
    all.sort_unstable_by_key(|(after, ..)| *after);
    let mut joined: Vec<(Token, Token, Vec<NodeId>)> = Vec::new();
    for (after, through, members) in all {
        match joined.last_mut() {
            Some(last) if last.1 == after && last.2 == members => last.1 = through,
            _ => joined.push((after, through, members)),
        }
    }
    let mut stretches = Vec::new();
    for (after, through, members) in joined {
        for (first, last) in &wanted {
            let (after, through) = (after.max(*first), through.min(*last));
            if after < through {
                stretches.push((range(after, through), members.clone()));
            }
        }
    }
    stretches
}

/// A stretch of the ring as ones that do not run over its end. The smallest token of all is nobody's key's.
fn line(after: Token, through: Token) -> Vec<(Token, Token)> {
    if after < through {
        return vec![(after, through)];
    }
    vec![(Token::MIN, through), (after, Token::MAX)]
}

fn range(after: Token, through: Token) -> KeyRange {
    KeyRange {
        start: match after {
            Token::MIN => KeyBound::Before(Token::MIN),
            after => KeyBound::After(after),
        },
        end: KeyBound::After(through),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinate::fixtures::{cluster, network, placed, simple};
    use model::schema::Replication;

    fn nodes(ids: &[u32]) -> Vec<NodeId> {
        ids.iter().map(|id| NodeId(*id)).collect()
    }

    /// What a node of so many, each in its data centre, compares.
    fn compared(
        datacenters: &[&str],
        own: u32,
        replication: &Replication,
        scope: &Scope,
    ) -> Vec<(KeyRange, Vec<NodeId>)> {
        let places: Vec<(&str, &str)> = datacenters.iter().map(|name| (*name, "a")).collect();
        let mut topology = cluster(&places);
        topology.local = NodeId(own);
        let keyspace = placed(&topology, replication);
        let placement = keyspace.placement.expect("it is placed");
        stretches(&topology, &placement, scope)
    }

    fn all(after: i64, through: i64, ids: &[u32]) -> (KeyRange, Vec<NodeId>) {
        (range(Token(after), Token(through)), nodes(ids))
    }

    const PRIMARY: fn() -> Scope = || Scope {
        primary: true,
        ..Scope::default()
    };

    #[test]
    fn three_of_three_have_the_whole_ring_in_one() {
        let whole = vec![all(i64::MIN, i64::MAX, &[1, 2, 3])];
        assert_eq!(
            compared(&["dc1"; 3], 2, &simple(3), &Scope::default()),
            whole
        );
        assert_eq!(whole[0].0, KeyRange::all());
    }

    #[test]
    fn first_replicas_of_all_nodes_are_the_ring_once() {
        let mut ranges: Vec<KeyRange> = (1..=3)
            .flat_map(|own| compared(&["dc1"; 3], own, &simple(2), &PRIMARY()))
            .map(|(range, _)| range)
            .collect();
        ranges.sort_by_key(|range| range.end.token());
        assert_eq!(ranges[0].start, KeyRange::all().start);
        assert_eq!(ranges[ranges.len() - 1].end, KeyRange::all().end);
        assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
    }

    #[test]
    fn tokens_and_data_centres_narrow_it() {
        let scope = Scope {
            tokens: Some((Token(150), Token(120))),
            ..Scope::default()
        };
        assert_eq!(
            compared(&["dc1"; 3], 1, &simple(3), &scope),
            [
                all(i64::MIN, 120, &[1, 2, 3]),
                all(150, i64::MAX, &[1, 2, 3])
            ]
        );
        let both = network(&[("dc1", 2), ("dc2", 2)]);
        let places = ["dc1", "dc2", "dc1", "dc2"];
        let scope = Scope {
            datacenters: vec!["dc1".to_owned()],
            ..Scope::default()
        };
        let whole = [all(i64::MIN, i64::MAX, &[1, 3])];
        assert_eq!(compared(&places, 1, &both, &scope), whole);
        assert_eq!(compared(&places, 2, &both, &scope), []);
        let scope = Scope {
            nodes: nodes(&[1, 2]),
            ..Scope::default()
        };
        let whole = [all(i64::MIN, i64::MAX, &[1, 2])];
        assert_eq!(compared(&places, 1, &both, &scope), whole);
    }

    #[test]
    fn nobody_is_compared_with_itself() {
        assert_eq!(compared(&["dc1"; 3], 1, &simple(1), &Scope::default()), []);
    }
}
