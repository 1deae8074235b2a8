//! A keyspace's replication becomes another: the replicas that it gains take what there is before they are read.
//!
//! The schema says what was asked for from the moment it is decided. Who is read and written is what [`Metadata::replication`] says: of a
//! change that is under way the step it is at. It goes through the steps of `transition.rs`, like a change of the ring, under a number of
//! its own, which no node gets.
//!
//! One more replica at a time: any majority of so many meets any of one more, so that coordinators may know either of two
//! neighbouring steps. With two more at once they would not meet. So a factor that grows by two is two changes, one after the other.
//!
//! What must stay true:
//! - nobody who lacks data is counted: a replica that is gained is pending until it has said that it has everything;
//! - a change that takes replicas away only is over at once, as it is in Cassandra: what the others missed before, repair brings;
//! - while one is under way the ring does not change, and the other way round.

use super::transition::{Moved, ends};
use super::{Change, Metadata, Refused, Step, Transition};
use crate::ring::{Placement, Replicas, Strategy};
use crate::topology::NodeId;
use model::schema::{Replication, Schema, TableKind};
use std::collections::BTreeMap;

/// The option of `SimpleStrategy` that has the factor.
const FACTOR: &str = "replication_factor";

impl Metadata {
    /// How a keyspace is replicated at this step: what its definition says, unless replicas that it gains have not got there.
    pub fn replication<'a>(&'a self, keyspace: &str, defined: &'a Replication) -> &'a Replication {
        match self.replicated(keyspace) {
            Some((_, Step::WriteBoth, from, _)) => from,
            Some((_, Step::ReadNew, _, to)) => to,
            None => defined,
        }
    }

    /// The change of a keyspace's replication that is under way: its number, how far it is, from what to what.
    fn replicated(&self, wanted: &str) -> Option<(NodeId, Step, &Replication, &Replication)> {
        let mut transitions = self.transitions.iter();
        transitions.find_map(|(number, transition)| match &transition.change {
            Change::Replicate { keyspace, from, to } if keyspace == wanted => {
                Some((*number, transition.step, from, to))
            }
            _ => None,
        })
    }

    /// Keyspaces whose replication is being changed, with how they are replicated at this step.
    pub fn changing(&self) -> impl Iterator<Item = (&str, &Replication, Placement)> {
        self.transitions.values().filter_map(|transition| {
            let Change::Replicate { keyspace, from, to } = &transition.change else {
                return None;
            };
            let (natural, others) = match transition.step {
                Step::WriteBoth => (from, to),
                Step::ReadNew => (to, from),
            };
            let placement = self.place_both(natural, others);
            Some((keyspace.as_str(), natural, placement))
        })
    }

    fn place_both(&self, natural: &Replication, others: &Replication) -> Placement {
        let ring = self.ring();
        let (natural, others) = (Strategy::of(natural), Strategy::of(others));
        Placement::new(ends([&ring]), |token| {
            let natural = ring.replicas(&natural, token);
            let others = ring.replicas(&others, token).into_iter();
            let pending = others.filter(|id| !natural.contains(id)).collect();
            Replicas { natural, pending }
        })
    }

    /// The stretches of the ring that have other replicas by one replication than by another.
    pub fn differing(&self, from: &Replication, to: &Replication) -> Vec<Moved> {
        let ring = self.ring();
        let (from, to) = (Strategy::of(from), Strategy::of(to));
        Moved::between(
            ends([&ring]),
            |token| ring.replicas(&from, token),
            |token| ring.replicas(&to, token),
        )
    }

    /// How many replicas a stretch of the ring gains by another replication, at most.
    fn gained(&self, from: &Replication, to: &Replication) -> usize {
        let gains = |moved: &Moved| {
            let new = moved.new.iter();
            new.filter(|id| !moved.old.contains(id)).count()
        };
        let differing = self.differing(from, to);
        differing.iter().map(gains).max().unwrap_or(0)
    }

    /// The schema has changed from this one: begins what follows for keyspaces whose replication did.
    pub(super) fn replicate(&mut self, before: &Schema) -> Result<(), Refused> {
        let schema = self.schema.clone();
        let dropped = |transition: &Transition| match &transition.change {
            Change::Replicate { keyspace, .. } => !schema.keyspaces.contains_key(keyspace),
            _ => false,
        };
        let (transitions, epoch) = (&mut self.transitions, self.epoch);
        let count = transitions.len();
        transitions.retain(|_, transition| !dropped(transition));
        if transitions.len() != count {
            self.placement_epoch = epoch;
        }
        for (name, keyspace) in &schema.keyspaces {
            let Some(old) = before.keyspaces.get(name) else {
                continue;
            };
            if old.replication == keyspace.replication {
                continue;
            }
            let from = match self.replicated(name) {
                Some((_, Step::ReadNew, ..)) => return Err(Refused::Replicates),
                // Those that were to be gained are not read yet: it is as if it had not begun.
                Some((number, Step::WriteBoth, from, _)) => {
                    let from = from.clone();
                    self.transitions.remove(&number);
                    from
                }
                None => old.replication.clone(),
            };
            self.go_to(name, from, None)?;
        }
        Ok(())
    }

    /// Begins the next change that takes a keyspace from this replication to what its definition says, if there is one to be made. It
    /// has the number of the one before it, or a new one.
    pub(super) fn go_to(
        &mut self,
        name: &str,
        mut from: Replication,
        number: Option<NodeId>,
    ) -> Result<(), Refused> {
        let schema = self.schema.clone();
        let Some(keyspace) = schema.keyspaces.get(name) else {
            return Ok(());
        };
        let mut tables = keyspace.tables.values();
        if !tables.any(|table| table.kind == TableKind::Stored) {
            return Ok(());
        }
        self.placement_epoch = self.epoch;
        while from != keyspace.replication {
            let to = self.next_replication(&from, &keyspace.replication);
            match self.gained(&from, &to) {
                0 => {
                    from = to;
                    continue;
                }
                1 => {}
                _ => return Err(Refused::GainsSeveral),
            }
            let mut others = self.transitions.iter();
            let of_ring = others.find(|(_, other)| !other.change.is_of_replication());
            if let Some((node, _)) = of_ring {
                return Err(Refused::Overlaps(*node));
            }
            let number = match number {
                Some(number) => number,
                None => self.next_number()?,
            };
            let change = Change::Replicate {
                keyspace: name.to_owned(),
                from,
                to,
            };
            let transition = Transition {
                change,
                step: Step::WriteBoth,
                since: self.epoch,
                takes_fewer: false,
            };
            self.transitions.insert(number, transition);
            return Ok(());
        }
        Ok(())
    }

    /// The replication after the next change on the way to another: one more replica, while there are members for it.
    fn next_replication(&self, from: &Replication, to: &Replication) -> Replication {
        let with = |option: &str, factor: u32| {
            let mut next = from.clone();
            next.options.insert(option.to_owned(), factor.to_string());
            next
        };
        let owners = self.members.values();
        let owners = owners.filter(|member| !member.tokens.is_empty());
        let mut members: BTreeMap<&str, u32> = BTreeMap::new();
        for member in owners {
            *members.entry(&member.location.datacenter).or_default() += 1;
        }
        match (Strategy::of(from), Strategy::of(to)) {
            (Strategy::Simple(now), Strategy::Simple(then)) => {
                let most = members.values().sum::<u32>().min(then);
                // The last step says it as the definition does.
                if now + 1 < most {
                    return with(FACTOR, now + 1);
                }
            }
            (Strategy::NetworkTopology(now), Strategy::NetworkTopology(then)) => {
                let grows = then.iter().find_map(|(datacenter, then)| {
                    let most = members.get(datacenter.as_str()).copied().unwrap_or(0);
                    let now = now.get(datacenter).copied().unwrap_or(0);
                    (now < most.min(*then)).then_some((datacenter, now + 1))
                });
                if let Some((datacenter, factor)) = grows {
                    return with(datacenter, factor);
                }
            }
            (Strategy::Simple(now), Strategy::NetworkTopology(then)) => {
                // The strategy first, with the replicas there are; those to come are gained by it.
                let sizes = then.iter().map(|(datacenter, then)| {
                    let most = members.get(datacenter.as_str()).copied().unwrap_or(0);
                    (datacenter, now.min(*then).min(most))
                });
                let same = sizes
                    .filter(|(_, size)| *size > 0)
                    .map(|(datacenter, size)| Replication {
                        class: to.class.clone(),
                        options: [(datacenter.clone(), size.to_string())].into(),
                    });
                return self.first_of(from, same, to);
            }
            (Strategy::NetworkTopology(now), Strategy::Simple(then)) => {
                let size = now.values().sum::<u32>().min(then).max(1);
                let same = Replication {
                    class: to.class.clone(),
                    options: [(FACTOR.to_owned(), size.to_string())].into(),
                };
                return self.first_of(from, std::iter::once(same), to);
            }
            _ => {}
        }
        to.clone()
    }

    /// The last replication if it gains one replica at most, else the first on the way to it that does.
    fn first_of(
        &self,
        from: &Replication,
        mut on_the_way: impl Iterator<Item = Replication>,
        last: &Replication,
    ) -> Replication {
        if self.gained(from, last) <= 1 {
            return last.clone();
        }
        let step = on_the_way.find(|step| step != last && self.gained(from, step) <= 1);
        step.unwrap_or_else(|| last.clone())
    }
}
