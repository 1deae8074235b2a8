//! Who replicates what: the tokens of all members, and the replicas that a keyspace's strategy picks for each arc between them.
//!
//! A token on the ring belongs to the member that took it, which replicates the arc that ends there: everything after the
//! token before it, that one excluded, up to it, included. The last arc runs over the end of the ring to its start.
//! Strategies walk on from there and pick further members (`strategy.rs`), in Cassandra's order: the first is the primary
//! replica. A [`Placement`] is that done once for all arcs, so that a request looks up and never walks.
//!
//! What must stay true: placement is a pure function of members and strategy, so that all who know the same epoch of the
//! metadata agree; no set of replicas names a member twice.

mod allocate;
mod strategy;
#[cfg(test)]
mod tests;

use crate::topology::NodeId;
pub use allocate::allocate;
use model::key::Token;
use std::collections::BTreeMap;
use std::sync::Arc;
pub use strategy::Strategy;

/// Where a member stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Location {
    /// Data centre.
    pub datacenter: String,
    /// Rack, of which data centres may have ones of the same name.
    pub rack: String,
}

/// The tokens of the members, and where those stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ring {
    /// Ascending; none twice.
    tokens: Vec<(Token, NodeId)>,
    locations: BTreeMap<NodeId, Location>,
}

impl Ring {
    /// The ring of these members. A token that two of them claim is the one's with the smaller number: the metadata log lets
    /// nobody take what another has.
    pub fn new<'a>(members: impl IntoIterator<Item = (NodeId, Location, &'a [Token])>) -> Self {
        let mut ring = Self::default();
        for (id, location, tokens) in members {
            ring.tokens.extend(tokens.iter().map(|token| (*token, id)));
            ring.locations.insert(id, location);
        }
        ring.tokens.sort_unstable();
        ring.tokens.dedup_by_key(|(token, _)| *token);
        ring
    }

    /// All tokens, ascending, with their owners.
    pub fn tokens(&self) -> &[(Token, NodeId)] {
        &self.tokens
    }

    /// Where a member stands.
    pub fn location(&self, id: NodeId) -> Option<&Location> {
        self.locations.get(&id)
    }

    /// The place in [`Self::tokens`] of the arc a token is in.
    fn arc(&self, token: Token) -> usize {
        let place = self.tokens.partition_point(|(end, _)| *end < token);
        if place == self.tokens.len() { 0 } else { place }
    }

    /// The members from a place on, once around, each as often as it has tokens.
    fn walk(&self, place: usize) -> impl Iterator<Item = NodeId> + '_ {
        let (before, from) = self.tokens.split_at(place);
        from.iter().chain(before).map(|(_, id)| *id)
    }

    /// The replicas of a token, the primary first.
    pub fn replicas(&self, strategy: &Strategy, token: Token) -> Vec<NodeId> {
        strategy.replicas(self, self.arc(token))
    }

    /// The ring with a member's tokens replaced by others; none takes it off.
    pub fn with(&self, id: NodeId, location: &Location, tokens: &[Token]) -> Self {
        let mut ring = self.clone();
        ring.tokens.retain(|(_, owner)| *owner != id);
        ring.locations.remove(&id);
        if !tokens.is_empty() {
            ring.tokens.extend(tokens.iter().map(|token| (*token, id)));
            ring.tokens.sort_unstable();
            ring.tokens.dedup_by_key(|(token, _)| *token);
            ring.locations.insert(id, location.clone());
        }
        ring
    }

    /// The replicas of all arcs.
    pub fn place(&self, strategy: &Strategy) -> Placement {
        let ends = self.tokens.iter().map(|(token, _)| *token);
        Placement::new(ends, |token| Replicas {
            natural: self.replicas(strategy, token),
            pending: Vec::new(),
        })
    }
}

/// The replicas of an arc.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Replicas {
    /// Those that are read and that consistency levels count, the primary first.
    pub natural: Vec<NodeId>,
    /// Those that are written to as well, because a change of the ring is under way. A write waits for as many more.
    pub pending: Vec<NodeId>,
}

impl Replicas {
    /// All that are written to.
    pub fn all(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.natural.iter().chain(&self.pending).copied()
    }

    /// Whether the members are the same, in whatever order.
    fn has_members_of(&self, other: &Self) -> bool {
        let same = |own: &[NodeId], others: &[NodeId]| {
            own.len() == others.len() && own.iter().all(|id| others.contains(id))
        };
        same(&self.natural, &other.natural) && same(&self.pending, &other.pending)
    }

    /// Whether a member is written to.
    pub fn contains(&self, id: NodeId) -> bool {
        self.all().any(|replica| replica == id)
    }
}

/// The replicas of every token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    /// Where arcs end, ascending.
    ends: Box<[Token]>,
    /// For each arc, which of `groups` has it.
    sets: Box<[u32]>,
    /// Sets of replicas in their order, none twice.
    groups: Vec<Arc<Replicas>>,
}

/// A stretch of the ring with the same replicas: tokens after `after`, up to `through`. When `after` is not the smaller
/// one it runs over the end of the ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedArc<'a> {
    /// The token before it.
    pub after: Token,
    /// Its last token.
    pub through: Token,
    /// Who has it.
    pub replicas: &'a Arc<Replicas>,
}

impl Placement {
    /// The replicas of the arcs that end at these tokens, which ascend.
    pub fn new(
        ends: impl IntoIterator<Item = Token>,
        mut replicas: impl FnMut(Token) -> Replicas,
    ) -> Self {
        let ends: Box<[Token]> = ends.into_iter().collect();
        assert!(ends.is_sorted(), "arcs ascend");
        let mut groups: Vec<Arc<Replicas>> = Vec::new();
        let mut known: BTreeMap<Replicas, u32> = BTreeMap::new();
        let sets = ends.iter().map(|end| {
            *known.entry(replicas(*end)).or_insert_with_key(|replicas| {
                groups.push(Arc::new(replicas.clone()));
                groups.len() as u32 - 1
            })
        });
        let sets = sets.collect();
        Self { ends, sets, groups }
    }

    /// The replicas of a token; `None` if there is no member.
    pub fn replicas(&self, token: Token) -> Option<&Arc<Replicas>> {
        let place = self.ends.partition_point(|end| *end < token);
        let place = if place == self.ends.len() { 0 } else { place };
        let set = self.sets.get(place)?;
        Some(&self.groups[*set as usize])
    }

    /// The replicas of a token, and the last token after it that has the same ones, in whatever order, without a step over the
    /// end of the ring; `None` if there is no member.
    pub fn stretch(&self, token: Token) -> Option<(&Arc<Replicas>, Token)> {
        let arcs = self.ends.len();
        let first = self.ends.partition_point(|end| *end < token);
        // The last arc of the line is the rest of the first.
        let of = |place: usize| &self.groups[self.sets[place % arcs] as usize];
        let replicas = self.replicas(token)?;
        let mut last = first;
        while last < arcs && of(last + 1).has_members_of(replicas) {
            last += 1;
        }
        Some((replicas, self.ends.get(last).copied().unwrap_or(Token::MAX)))
    }

    /// The arcs, ascending by their ends.
    pub fn arcs(&self) -> impl Iterator<Item = PlacedArc<'_>> {
        let before = self.ends.last().into_iter().chain(self.ends.iter());
        let arcs = before.zip(self.ends.iter()).zip(&self.sets);
        arcs.map(|((after, through), set)| PlacedArc {
            after: *after,
            through: *through,
            replicas: &self.groups[*set as usize],
        })
    }

    /// The sets of replicas there are.
    pub fn groups(&self) -> &[Arc<Replicas>] {
        &self.groups
    }
}
