//! Changes of the ring, in steps between which any two quorums meet.
//!
//! ```text
//!              natural replicas (read, counted)   pending (written too, one more acknowledgement each)
//! before       old                                –
//! WriteBoth    old                                new − old
//! ReadNew      new                                old − new
//! after        new                                –
//! ```
//! A change goes a step on only when every replica of the ranges it touches, those that are down aside, knows the step it
//! is at, and from `WriteBoth` only when the new replicas have streamed what they lack. Coordinators then know one of two
//! neighbouring steps, and in each such pair writes reach a quorum of what the other reads. Who missed a step altogether, because
//! nobody could reach it, is refused ([`Metadata::refused_before`]), so that it learns of it before it does harm.
//!
//! The member whose tokens change drives the steps; if it dies where the new replicas are read already, another one takes the change to
//! its end. If it dies before that, it can be removed, which ends the change.
//!
//! A member without tokens has nothing to give up: it leaves, or is removed, at once.
//!
//! A change of a keyspace's replication goes through the same steps (`replicate.rs`), driven by the living member with the least number.
//!
//! Several changes may be under way as long as no arc of any keyspace is touched by two.

use super::{Metadata, Refused};
use crate::ring::{Location, Placement, Replicas, Ring, Strategy};
use crate::topology::NodeId;
use model::key::Token;
use model::schema::Replication;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What happens to the tokens of a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Change {
    /// It takes its first tokens.
    Join(Vec<Token>),
    /// It gives up its tokens and streams what it has.
    Leave,
    /// It is dead: its tokens are taken from it, and the others stream among themselves.
    Remove,
    /// It takes over the tokens of a member that is dead.
    Replace(NodeId),
    /// It gives up its tokens for others.
    Move(Vec<Token>),
    /// Nobody's tokens change: a keyspace's replicas do (`replicate.rs`).
    Replicate {
        /// Which keyspace.
        keyspace: String,
        /// How it was replicated.
        from: Replication,
        /// How it will be.
        to: Replication,
    },
}

impl Change {
    /// Whether it is of a keyspace's replication, and of nobody's tokens.
    pub fn is_of_replication(&self) -> bool {
        matches!(self, Self::Replicate { .. })
    }
}

/// How far a change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Step {
    /// The new replicas are written to, and stream.
    WriteBoth,
    /// The new replicas are read, and the old ones still written to.
    ReadNew,
}

/// A change that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transition {
    /// What changes.
    pub change: Change,
    /// How far it is.
    pub step: Step,
    /// When it came to that.
    pub since: super::Epoch,
    /// Whether an operator has said that replicas which are away do not come back.
    #[serde(default)]
    pub takes_fewer: bool,
}

/// A stretch of the ring that a change gives to others: tokens after `after`, up to `through`; over the end of the ring if
/// `after` is not the smaller one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The token before it.
    pub after: Token,
    /// Its last token.
    pub through: Token,
    /// Who replicates it before the change.
    pub old: Vec<NodeId>,
    /// Who does after it.
    pub new: Vec<NodeId>,
}

impl Moved {
    /// The stretches between these ends whose replicas differ.
    pub(super) fn between(
        ends: BTreeSet<Token>,
        old: impl Fn(Token) -> Vec<NodeId>,
        new: impl Fn(Token) -> Vec<NodeId>,
    ) -> Vec<Self> {
        let mut before = ends.last().copied();
        let mut moved = Vec::new();
        for through in ends {
            let (old, new) = (old(through), new(through));
            let after = before.replace(through).expect("an end there is");
            if old != new {
                moved.push(Self {
                    after,
                    through,
                    old,
                    new,
                });
            }
        }
        moved
    }
}

/// All tokens that bound arcs of any of these rings.
pub(super) fn ends<'a>(rings: impl IntoIterator<Item = &'a Ring>) -> BTreeSet<Token> {
    let rings = rings.into_iter();
    rings
        .flat_map(|ring| ring.tokens().iter().map(|(token, _)| *token))
        .collect()
}

impl Metadata {
    fn location(&self, node: NodeId) -> Result<Location, Refused> {
        let member = self.members.get(&node).ok_or(Refused::NoSuchNode)?;
        Ok(member.location.clone())
    }

    /// The ring when that change alone is done.
    fn ring_after(&self, ring: &Ring, node: NodeId, change: &Change) -> Result<Ring, Refused> {
        if change.is_of_replication() {
            return Ok(ring.clone());
        }
        let location = self.location(node)?;
        Ok(match change {
            Change::Replicate { .. } => unreachable!("it was looked at above"),
            Change::Join(tokens) | Change::Move(tokens) => ring.with(node, &location, tokens),
            Change::Leave | Change::Remove => ring.with(node, &location, &[]),
            Change::Replace(dead) => {
                let tokens = &self.members.get(dead).ok_or(Refused::NoSuchNode)?.tokens;
                let without = ring.with(*dead, &location, &[]);
                without.with(node, &location, tokens)
            }
        })
    }

    /// The strategies that keyspaces have, none twice.
    pub(super) fn strategies(&self) -> BTreeSet<Strategy> {
        let keyspaces = self.schema.keyspaces.values();
        keyspaces
            .map(|keyspace| Strategy::of(&keyspace.replication))
            .collect()
    }

    /// Whether a change is allowed by whose tokens they are.
    fn check_tokens(&self, node: NodeId, change: &Change) -> Result<(), Refused> {
        let member = self.members.get(&node).ok_or(Refused::NoSuchNode)?;
        let has_tokens = !member.tokens.is_empty();
        match change {
            Change::Join(_) | Change::Replace(_) if has_tokens => Err(Refused::NotInThatState),
            Change::Leave | Change::Remove | Change::Move(_) if !has_tokens => {
                Err(Refused::NotInThatState)
            }
            Change::Replace(dead) => {
                let dead = self.members.get(dead).ok_or(Refused::NoSuchNode)?;
                if dead.tokens.is_empty() {
                    return Err(Refused::NotInThatState);
                }
                Ok(())
            }
            Change::Join(tokens) | Change::Move(tokens) => {
                if tokens.is_empty() {
                    return Err(Refused::NotInThatState);
                }
                let others = self.members.iter().filter(|(id, _)| **id != node);
                for (id, other) in others {
                    if other.tokens.iter().any(|token| tokens.contains(token)) {
                        return Err(Refused::TokenTaken(*id));
                    }
                }
                Ok(())
            }
            Change::Leave | Change::Remove => Ok(()),
            // It follows from the schema, and is no member's.
            Change::Replicate { .. } => Err(Refused::NotInThatState),
        }
    }

    pub(super) fn begin(&mut self, node: NodeId, change: &Change) -> Result<(), Refused> {
        if let (Change::Leave | Change::Remove, Some(member)) = (change, self.members.get(&node))
            && member.tokens.is_empty()
        {
            return self.forget(node);
        }
        self.check_tokens(node, change)?;
        if let Some(begun) = self.transitions.get(&node) {
            // Who dies before its change was read by is removed instead: until then the old replicas have everything.
            let is_given_up = begun.step == Step::WriteBoth && begun.change != Change::Remove;
            if *change != Change::Remove || !is_given_up {
                return Err(Refused::Overlaps(node));
            }
        }
        let base = self.ring();
        let after = self.ring_after(&base, node, change)?;
        if after.tokens().is_empty() {
            // The last member with tokens cannot leave: its data would have nowhere to go.
            return Err(Refused::NotInThatState);
        }
        let mut all = self.transitions.values();
        if all.any(|transition| transition.change.is_of_replication()) {
            return Err(Refused::Replicates);
        }
        let others = self.transitions.iter().filter(|(id, _)| **id != node);
        for (other, transition) in others {
            let others = self.ring_after(&base, *other, &transition.change)?;
            let shares_node = match (&transition.change, change) {
                (Change::Replace(dead), _) if *dead == node => true,
                (_, Change::Replace(dead)) => dead == other,
                _ => false,
            };
            if shares_node || self.overlap(&base, &after, &others) {
                return Err(Refused::Overlaps(*other));
            }
        }
        let transition = Transition {
            change: change.clone(),
            step: Step::WriteBoth,
            since: self.epoch,
            takes_fewer: false,
        };
        self.transitions.insert(node, transition);
        self.placement_epoch = self.epoch;
        Ok(())
    }

    /// Takes off a member that has no tokens, with the change that would have given it some.
    pub(super) fn forget(&mut self, node: NodeId) -> Result<(), Refused> {
        match self.transitions.get(&node) {
            Some(transition) if transition.step != Step::WriteBoth => {
                return Err(Refused::Overlaps(node));
            }
            Some(_) => {
                self.transitions.remove(&node);
                self.placement_epoch = self.epoch;
            }
            None => {}
        }
        self.remove(node);
        Ok(())
    }

    /// Whether two changes of a ring touch the replicas of one token, in any keyspace.
    fn overlap(&self, base: &Ring, one: &Ring, other: &Ring) -> bool {
        let ends = ends([base, one, other]);
        self.strategies().iter().any(|strategy| {
            ends.iter().any(|token| {
                let before = base.replicas(strategy, *token);
                before != one.replicas(strategy, *token)
                    && before != other.replicas(strategy, *token)
            })
        })
    }

    pub(super) fn advance(&mut self, node: NodeId, from: Step) -> Result<(), Refused> {
        let epoch = self.epoch;
        let transition = self.transitions.get_mut(&node);
        let transition = transition.ok_or(Refused::NothingUnderWay)?;
        if transition.step != from {
            return Err(Refused::NothingUnderWay);
        }
        self.placement_epoch = epoch;
        // Everybody who could be reached has heard of the step that ends here.
        self.refused_before = self.refused_before.max(transition.since);
        match transition.step {
            Step::WriteBoth => (transition.step, transition.since) = (Step::ReadNew, epoch),
            Step::ReadNew => self.finish(node),
        }
        Ok(())
    }

    /// An operator has said that whoever is away does not come back.
    pub(super) fn take_fewer(&mut self, node: NodeId) -> Result<(), Refused> {
        let transition = self.transitions.get_mut(&node);
        transition.ok_or(Refused::NothingUnderWay)?.takes_fewer = true;
        Ok(())
    }

    fn finish(&mut self, node: NodeId) {
        let transition = self.transitions.remove(&node).expect("it is under way");
        match transition.change {
            Change::Join(mut tokens) | Change::Move(mut tokens) => {
                tokens.sort_unstable();
                if let Some(member) = self.members.get_mut(&node) {
                    member.tokens = tokens;
                }
            }
            Change::Leave | Change::Remove => self.remove(node),
            // Nothing else of this is under way that it could be refused for.
            Change::Replicate { keyspace, to, .. } => {
                let _ = self.go_to(&keyspace, to, Some(node));
            }
            Change::Replace(dead) => {
                let tokens = self.members.get(&dead).map(|dead| dead.tokens.clone());
                self.remove(dead);
                if let (Some(member), Some(tokens)) = (self.members.get_mut(&node), tokens) {
                    member.tokens = tokens;
                }
            }
        }
    }

    fn remove(&mut self, node: NodeId) {
        if let Some(member) = self.members.remove(&node) {
            self.gone.insert(member.host_id, node);
            self.decided.remove(&node);
            self.displaced.remove(&node);
        }
    }

    /// What a change under way gives to others, of what a strategy places.
    pub fn moved(&self, node: NodeId, strategy: &Strategy) -> Vec<Moved> {
        let base = self.ring();
        let Some(transition) = self.transitions.get(&node) else {
            return Vec::new();
        };
        let Ok(after) = self.ring_after(&base, node, &transition.change) else {
            return Vec::new();
        };
        Moved::between(
            ends([&base, &after]),
            |token| base.replicas(strategy, token),
            |token| after.replicas(strategy, token),
        )
    }

    /// Who replicates what by a strategy, changes under way included.
    pub fn place(&self, strategy: &Strategy) -> Placement {
        let base = self.ring();
        if self.transitions.is_empty() {
            return base.place(strategy);
        }
        let changes: Vec<(Step, Ring)> = self
            .transitions
            .iter()
            .filter_map(|(node, transition)| {
                let after = self.ring_after(&base, *node, &transition.change).ok()?;
                Some((transition.step, after))
            })
            .collect();
        let rings = changes.iter().map(|(_, ring)| ring).chain([&base]);
        let ends = ends(rings);
        Placement::new(ends, |token| {
            let old = base.replicas(strategy, token);
            let changed = changes.iter().find_map(|(step, ring)| {
                let new = ring.replicas(strategy, token);
                (new != old).then_some((*step, new))
            });
            let (natural, others) = match changed {
                None => (old, Vec::new()),
                Some((Step::WriteBoth, new)) => (old, new),
                Some((Step::ReadNew, new)) => (new, old),
            };
            let pending = others.into_iter().filter(|id| !natural.contains(id));
            let pending = pending.collect();
            Replicas { natural, pending }
        })
    }
}
