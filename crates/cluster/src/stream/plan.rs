//! What a node gains by a change of the ring, and from whom it may take it.

use crate::metadata::{Change, Metadata, Moved};
use crate::ring::{Placement, Strategy};
use crate::topology::NodeId;
use model::key::Token;
use model::read::{KeyBound, KeyRange};
use model::schema::{Keyspace, TableId, TableKind};
use std::collections::{BTreeMap, BTreeSet};

/// Who has what a node lacks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sources {
    /// The first of these that lives is enough.
    pub one_of: Vec<NodeId>,
    /// Without one of those: as many of these as suffice, the first ones, if they live.
    pub all_of: Vec<NodeId>,
    /// Who of `all_of` has to live.
    pub enough: Vec<Enough>,
}

/// So many of some replicas: whatever a quorum of them and of those that are lost acknowledged, one of so many has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Enough {
    /// Of these.
    pub of: Vec<NodeId>,
    /// How many.
    pub count: usize,
}

/// What an operator has said of replicas that are away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Nothing: it is waited for them, for as long as it takes.
    Waits,
    /// They do not come back: those that live have to do, and where nobody does the data is lost.
    Over,
}

/// A stretch of one table that a node lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// The table.
    pub table: TableId,
    /// The stretch.
    pub range: KeyRange,
    /// Who has it.
    pub sources: Sources,
}

impl Sources {
    /// Whether nobody else ever had it.
    pub fn is_nobody(&self) -> bool {
        self.one_of.is_empty() && self.all_of.is_empty()
    }

    /// The nodes to take the data from, of those that live; `None` if it is waited for others.
    pub fn choose(
        &self,
        is_alive: impl Fn(NodeId) -> bool,
        patience: Patience,
    ) -> Option<Vec<NodeId>> {
        if let Some(one) = self.one_of.iter().find(|id| is_alive(**id)) {
            return Some(vec![*one]);
        }
        let living = self.all_of.iter().copied();
        let living: Vec<NodeId> = living.filter(|id| is_alive(*id)).collect();
        if self.is_nobody() || !self.suffice(&living) {
            return (patience == Patience::Over || self.is_nobody()).then_some(living);
        }
        // Whoever is farthest is done without first.
        let mut chosen = living;
        for place in (0..chosen.len()).rev() {
            let without = chosen.remove(place);
            if !self.suffice(&chosen) {
                chosen.insert(place, without);
            }
        }
        Some(chosen)
    }

    /// Whether these have everything that a quorum acknowledged.
    pub fn suffice(&self, chosen: &[NodeId]) -> bool {
        let has = |enough: &Enough| {
            let these = enough.of.iter().filter(|id| chosen.contains(id));
            these.count() >= enough.count
        };
        let one = chosen.iter().any(|id| self.one_of.contains(id));
        one || !chosen.is_empty() && self.enough.iter().all(has)
    }
}

/// The members that a change under way gives something to.
pub fn gainers(metadata: &Metadata, node: NodeId) -> BTreeSet<NodeId> {
    let moved = moved(metadata, node).into_iter();
    moved
        .flat_map(|(_, _, moved)| moved)
        .flat_map(|moved| {
            let gained = moved.new.into_iter();
            gained.filter(move |id| !moved.old.contains(id))
        })
        .collect()
}

/// What a change that is under way moves, for each strategy with the tables that it places.
fn moved(metadata: &Metadata, node: NodeId) -> Vec<(Strategy, Vec<TableId>, Vec<Moved>)> {
    let change = metadata
        .transitions
        .get(&node)
        .map(|under_way| &under_way.change);
    if let Some(Change::Replicate { keyspace, from, to }) = change {
        let keyspace = metadata.schema.keyspaces.get(keyspace);
        let tables = keyspace
            .map(|keyspace| stored(keyspace))
            .unwrap_or_default();
        return vec![(Strategy::of(to), tables, metadata.differing(from, to))];
    }
    let strategies = strategies(metadata).into_iter();
    strategies
        .map(|(strategy, tables)| {
            let moved = metadata.moved(node, &strategy);
            (strategy, tables, moved)
        })
        .collect()
}

/// What a change of `node` gives to `own`; `acceptors` is the table that goes with the partitions of every other.
pub fn gained(metadata: &Metadata, node: NodeId, own: NodeId, acceptors: TableId) -> Vec<Unit> {
    let Some(transition) = metadata.transitions.get(&node) else {
        return Vec::new();
    };
    let gone = match &transition.change {
        Change::Remove => Some(node),
        Change::Replace(dead) => Some(*dead),
        Change::Join(_) | Change::Leave | Change::Move(_) | Change::Replicate { .. } => None,
    };
    let mut units = Vec::new();
    for (strategy, mut tables, moved) in moved(metadata, node) {
        tables.push(acceptors);
        let stretches = moved.into_iter().filter_map(|moved| {
            let sources = sources(metadata, &strategy, &moved, own, gone)?;
            Some((moved.after, moved.through, sources))
        });
        push_units(&mut units, stretches, &tables);
    }
    units
}

/// Everything that `own` replicates, to be taken from one replica each: of a data centre, or of any. `acceptors` is the table that goes
/// with the partitions of every other.
pub fn rebuilt(
    metadata: &Metadata,
    own: NodeId,
    datacenter: Option<&str>,
    acceptors: TableId,
) -> Vec<Unit> {
    let counts = |id: &NodeId| {
        let member = metadata.members.get(id);
        *id != own
            && member.is_some_and(|member| {
                datacenter.is_none_or(|wanted| member.location.datacenter == wanted)
            })
    };
    let mut units = Vec::new();
    for (strategy, mut tables) in strategies(metadata) {
        tables.push(acceptors);
        let placement = metadata.place(&strategy);
        let owned = placement.arcs().filter(|arc| arc.replicas.contains(own));
        let stretches = owned.map(|arc| {
            let natural = arc.replicas.natural.iter().copied();
            let sources = Sources {
                one_of: natural.filter(counts).collect(),
                all_of: Vec::new(),
                enough: Vec::new(),
            };
            (arc.after, arc.through, sources)
        });
        push_units(&mut units, stretches, &tables);
    }
    units.retain(|unit| !unit.sources.one_of.is_empty());
    units
}

/// What a member replicates, now or when a change that is under way is over.
pub fn owned(placement: &Placement, own: NodeId) -> Vec<KeyRange> {
    let arcs = placement.arcs().filter(|arc| arc.replicas.contains(own));
    arcs.flat_map(|arc| ranges(arc.after, arc.through))
        .collect()
}

/// The strategies that place replicas, with the tables they place. Keyspaces whose replication is being changed have none at present.
fn strategies(metadata: &Metadata) -> BTreeMap<Strategy, Vec<TableId>> {
    let mut strategies: BTreeMap<Strategy, Vec<TableId>> = BTreeMap::new();
    let changing: BTreeSet<&str> = metadata.changing().map(|(name, ..)| name).collect();
    for (name, keyspace) in &metadata.schema.keyspaces {
        let strategy = Strategy::of(&keyspace.replication);
        if strategy == Strategy::Local || changing.contains(name.as_str()) {
            continue;
        }
        let tables = strategies.entry(strategy).or_default();
        tables.extend(stored(keyspace));
    }
    strategies
}

/// The tables of a keyspace that have data of their own.
fn stored(keyspace: &Keyspace) -> Vec<TableId> {
    let tables = keyspace.tables.values();
    let stored = tables.filter(|table| table.kind == TableKind::Stored);
    stored.map(|table| table.id).collect()
}

/// Whom `own` takes a stretch from; `None` if it does not gain it.
fn sources(
    metadata: &Metadata,
    strategy: &Strategy,
    moved: &Moved,
    own: NodeId,
    gone: Option<NodeId>,
) -> Option<Sources> {
    if moved.old.contains(&own) {
        return None;
    }
    let gained = moved.new.iter().filter(|id| !moved.old.contains(id));
    let place = gained.copied().position(|id| id == own)?;
    let mut lost = moved.old.iter().filter(|id| !moved.new.contains(id));
    let loser = lost.nth(place).copied().filter(|id| Some(*id) != gone);
    let others = |of: &[NodeId]| -> Vec<NodeId> {
        let others = of.iter().copied();
        let others = others.filter(|id| Some(*id) != gone && Some(*id) != loser);
        others.collect()
    };
    let enough = |of: &[NodeId]| Enough {
        of: others(of),
        count: of.len().div_ceil(2),
    };
    let mut needed = vec![enough(&moved.old)];
    // Levels that count one data centre alone are met by its replicas alone.
    if matches!(strategy, Strategy::NetworkTopology(_)) {
        let datacenter = |id: &NodeId| {
            let member = metadata.members.get(id);
            member.map(|member| member.location.datacenter.as_str())
        };
        let here = moved.old.iter().copied();
        let here: Vec<NodeId> = here
            .filter(|id| datacenter(id) == datacenter(&own))
            .collect();
        if !here.is_empty() && here.len() < moved.old.len() {
            needed.push(enough(&here));
        }
    }
    let mut all_of = others(&moved.old);
    let place = |id: &NodeId| metadata.members.get(id).map(|member| &member.location);
    let here = place(&own);
    // The same rack, the same data centre, the rest.
    all_of.sort_by_key(|id| match (place(id), here) {
        (Some(there), Some(here)) if there == here => 0,
        (Some(there), Some(here)) if there.datacenter == here.datacenter => 1,
        _ => 2,
    });
    Some(Sources {
        one_of: loser.into_iter().collect(),
        all_of,
        enough: needed,
    })
}

/// Adds a unit for each table and stretch; stretches that follow each other and have the same sources are one.
fn push_units(
    units: &mut Vec<Unit>,
    stretches: impl Iterator<Item = (Token, Token, Sources)>,
    tables: &[TableId],
) {
    let mut joined: Vec<(Token, Token, Sources)> = Vec::new();
    for (after, through, sources) in stretches {
        match joined.last_mut() {
            Some(last) if last.1 == after && last.2 == sources && last.1 < through => {
                last.1 = through;
            }
            _ => joined.push((after, through, sources)),
        }
    }
    for (after, through, sources) in joined {
        for range in ranges(after, through) {
            units.extend(tables.iter().map(|table| Unit {
                table: *table,
                range: range.clone(),
                sources: sources.clone(),
            }));
        }
    }
}

/// A stretch of the ring as ranges that do not run over its end.
fn ranges(after: Token, through: Token) -> Vec<KeyRange> {
    let range = |start, end| KeyRange { start, end };
    if after < through {
        return vec![range(KeyBound::After(after), KeyBound::After(through))];
    }
    vec![
        range(KeyBound::Before(Token::MIN), KeyBound::After(through)),
        range(KeyBound::After(after), KeyBound::After(Token::MAX)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(numbers: &[u32]) -> Vec<NodeId> {
        numbers.iter().map(|id| NodeId(*id)).collect()
    }

    #[test]
    fn no_more_are_taken_from_than_have_to_be_and_the_first_ones() {
        // Three here, three there: two of all six and of the three that count for levels of this data centre.
        let sources = Sources {
            one_of: Vec::new(),
            all_of: ids(&[1, 2, 3, 4, 5, 6]),
            enough: vec![
                Enough {
                    of: ids(&[1, 2, 3, 4, 5, 6]),
                    count: 3,
                },
                Enough {
                    of: ids(&[1, 2, 3]),
                    count: 2,
                },
            ],
        };
        let choose = |away: &[u32], patience| {
            let away = ids(away);
            sources.choose(|id| !away.contains(&id), patience)
        };
        assert_eq!(choose(&[], Patience::Waits), Some(ids(&[1, 2, 3])));
        assert_eq!(choose(&[2], Patience::Waits), Some(ids(&[1, 3, 4])));
        assert_eq!(choose(&[1, 2], Patience::Waits), None);
        // Who is asked to do with those that live takes what they have, all of it.
        assert_eq!(choose(&[1, 2], Patience::Over), Some(ids(&[3, 4, 5, 6])));
        assert_eq!(choose(&[1, 2, 3, 4, 5, 6], Patience::Waits), None);
    }
}
