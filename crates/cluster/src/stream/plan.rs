//! What a node gains by a change of the ring, and from whom it may take it.

use crate::metadata::{Change, Metadata, Moved};
use crate::ring::{Placement, Strategy};
use crate::topology::NodeId;
use model::key::Token;
use model::read::{KeyBound, KeyRange};
use model::schema::{TableId, TableKind};
use std::collections::{BTreeMap, BTreeSet};

/// Who has what a node lacks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sources {
    /// The first of these that lives is enough.
    pub one_of: Vec<NodeId>,
    /// Without one of those: every one of these that lives.
    pub all_of: Vec<NodeId>,
    /// How many of `all_of` have to live: whatever a quorum acknowledged, one of so many has.
    pub enough: usize,
}

/// Whether it is still waited for replicas that are away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// It is.
    Waits,
    /// Those that live have to do.
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

    /// The nodes to take the data from, of those that live; none if it cannot be had now. When it has been waited for enough of
    /// them for too long, whoever there is has to do.
    pub fn choose(&self, is_alive: impl Fn(NodeId) -> bool, patience: Patience) -> Vec<NodeId> {
        if let Some(one) = self.one_of.iter().find(|id| is_alive(**id)) {
            return vec![*one];
        }
        let living = self.all_of.iter().copied();
        let living: Vec<NodeId> = living.filter(|id| is_alive(*id)).collect();
        if living.len() < self.enough && patience == Patience::Waits {
            return Vec::new();
        }
        living
    }
}

/// The members that a change under way gives something to.
pub fn gainers(metadata: &Metadata, node: NodeId) -> BTreeSet<NodeId> {
    let strategies = strategies(metadata);
    let moved = strategies
        .keys()
        .flat_map(|strategy| metadata.moved(node, strategy));
    moved
        .flat_map(|moved| {
            let gained = moved.new.into_iter();
            gained.filter(move |id| !moved.old.contains(id))
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
        Change::Join(_) | Change::Leave | Change::Move(_) => None,
    };
    let mut units = Vec::new();
    for (strategy, mut tables) in strategies(metadata) {
        tables.push(acceptors);
        let stretches = metadata.moved(node, &strategy).into_iter();
        let stretches = stretches
            .filter_map(|moved| Some((moved.after, moved.through, sources(&moved, own, gone)?)));
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
                enough: 0,
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

/// The strategies that place replicas, with the tables they place.
fn strategies(metadata: &Metadata) -> BTreeMap<Strategy, Vec<TableId>> {
    let mut strategies: BTreeMap<Strategy, Vec<TableId>> = BTreeMap::new();
    for keyspace in metadata.schema.keyspaces.values() {
        let strategy = Strategy::of(&keyspace.replication);
        if strategy == Strategy::Local {
            continue;
        }
        let tables = keyspace.tables.values();
        let stored = tables.filter(|table| table.kind == TableKind::Stored);
        strategies
            .entry(strategy)
            .or_default()
            .extend(stored.map(|table| table.id));
    }
    strategies
}

/// Whom `own` takes a stretch from; `None` if it does not gain it.
fn sources(moved: &Moved, own: NodeId, gone: Option<NodeId>) -> Option<Sources> {
    if moved.old.contains(&own) {
        return None;
    }
    let gained = moved.new.iter().filter(|id| !moved.old.contains(id));
    let place = gained.copied().position(|id| id == own)?;
    let mut lost = moved.old.iter().filter(|id| !moved.new.contains(id));
    let loser = lost.nth(place).copied().filter(|id| Some(*id) != gone);
    let others = moved.old.iter().copied();
    let others = others.filter(|id| Some(*id) != gone && Some(*id) != loser);
    Some(Sources {
        one_of: loser.into_iter().collect(),
        all_of: others.collect(),
        enough: moved.old.len().div_ceil(2),
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
