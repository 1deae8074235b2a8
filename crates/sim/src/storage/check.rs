//! What must be true after a start, and at any time.

use super::model::SeenPartition;
use super::run::{Check, Run};
use super::tables::{KEYS, Name};
use ::model::read::{Dead, Direction, KeyRange, Partitions, ReadCommand};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

impl Run {
    /// After a start: what is there is everything acknowledged and nothing invented, and reads as the model says.
    pub(super) fn check_recovery(&mut self, lossless: bool, same_shards: bool) -> Check {
        let mut present = BTreeSet::new();
        let now = self.node.now().wall.seconds();
        for (number, seen) in self.scan(Name::Witness, Dead::Dropped, now)? {
            for row in seen.rows.keys() {
                match self.attempted.get(row) {
                    Some(write) if write.key == number => present.insert(*row),
                    _ => return Err(format!("mutation {row} of key {number} was never made")),
                };
            }
        }
        let lost = self.acknowledged.difference(&present).next();
        if let Some(lost) = lost.filter(|_| !self.periodic) {
            return Err(format!("mutation {lost} was acknowledged and is lost"));
        }
        if let Some(lost) = self
            .model
            .numbers()
            .difference(&present)
            .next()
            .filter(|_| lossless)
        {
            return Err(format!("mutation {lost} is lost in a clean stop"));
        }
        self.check_held(&present, same_shards)?;
        self.acknowledged.retain(|number| present.contains(number));
        self.model
            .writes
            .retain(|number, _| present.contains(number));
        for number in &present {
            let write = self.attempted[number].clone();
            self.model.writes.insert(*number, write);
        }
        self.settle_truncations()?;
        self.compare_all()
    }

    /// A truncation that was not acknowledged may have happened or not, shard by shard.
    pub(super) fn settle_truncations(&mut self) -> Check {
        let now = self.node.now().wall.seconds();
        self.truncating.clear();
        let attempts = std::mem::take(&mut self.truncations);
        let names: BTreeSet<Name> = attempts.iter().map(|(name, _)| *name).collect();
        for name in names {
            let seen = self.scan(name, Dead::Dropped, now)?;
            // What a TTL hides today is told apart by looking from a day on which it is over.
            let later = now + 1_000;
            let seen_later = self.scan(name, Dead::Dropped, later)?;
            for key in 0..KEYS {
                let found = seen.get(&key).cloned().unwrap_or_default();
                let found_later = seen_later.get(&key).cloned().unwrap_or_default();
                let sure = self.sure_floors.get(&(name, key)).copied().unwrap_or(0);
                let unsure = attempts
                    .iter()
                    .filter(|(other, floor)| *other == name && *floor > sure);
                let floors = std::iter::once(sure).chain(unsure.map(|(_, floor)| *floor));
                let fits = floors.into_iter().find(|floor| {
                    self.model.floors.insert((name, key), *floor);
                    self.model.partition(&self.tables, name, key, now) == found
                        && self.model.partition(&self.tables, name, key, later) == found_later
                });
                match fits {
                    Some(floor) => self.sure_floors.insert((name, key), floor),
                    None => {
                        return Err(format!(
                            "{name:?} {key} is neither truncated nor whole: {found:?}"
                        ));
                    }
                };
            }
        }
        Ok(())
    }

    /// An answer that other replicas' are merged with is the same bytes however the data lies in files.
    pub(super) fn canonical(&mut self) -> Check {
        let now = self.node.now().wall.seconds() + 1_000;
        let before = self.merged_answers(now)?;
        for shard in 0..self.node.stores.len() {
            let ticket = self.node.ticket();
            let begun = self
                .node
                .with_store(shard, |store, _, _| store.flush(None, ticket));
            let flushed = begun.and_then(|()| self.node.wait(ticket));
            for name in [Name::Plain, Name::Wide] {
                let ticket = self.node.ticket();
                let begun = self
                    .node
                    .with_store(shard, |store, _, _| store.compact(name.id(), ticket));
                let compacted = begun.and_then(|()| self.node.wait(ticket));
                if flushed.is_err() || compacted.is_err() {
                    // A sync was made to fail: there is nothing to compare.
                    return Ok(());
                }
            }
        }
        let after = self.merged_answers(now)?;
        if before == after {
            Ok(())
        } else {
            Err(format!(
                "flushed and compacted, an answer differs:\n{before:?}\n{after:?}"
            ))
        }
    }

    fn merged_answers(&mut self, now: i64) -> Result<Vec<Vec<u8>>, String> {
        let mut answers = Vec::new();
        for shard in 0..self.node.stores.len() {
            for name in [Name::Plain, Name::Wide] {
                for direction in [Direction::Forward, Direction::Backward] {
                    let everything = Partitions::Range(KeyRange::all());
                    let command = ReadCommand {
                        now_seconds: now,
                        direction,
                        ..self.command(name, everything, Dead::Kept)
                    };
                    answers.push(self.ask(shard, &command)?.bytes);
                }
            }
        }
        Ok(answers)
    }

    /// Compares everything with the model, before and after the tables are rewritten.
    pub(super) fn compare_all(&mut self) -> Check {
        for name in [Name::Plain, Name::Wide, Name::Witness] {
            let now = self.node.now().wall.seconds();
            let wanted = self.model.table(&self.tables, name, now);
            for dead in [Dead::Dropped, Dead::Kept] {
                let found = self.scan(name, dead, now)?;
                if found != wanted {
                    return Err(differences(name, &found, &wanted));
                }
            }
        }
        Ok(())
    }
}

pub(super) fn differences(
    name: Name,
    found: &BTreeMap<u8, SeenPartition>,
    wanted: &BTreeMap<u8, SeenPartition>,
) -> String {
    let keys: BTreeSet<&u8> = found.keys().chain(wanted.keys()).collect();
    let mut text = format!("{name:?} differs:");
    for key in keys {
        let (one, other) = (found.get(key), wanted.get(key));
        if one != other {
            let _ = write!(text, "\n key {key}: found {one:?}\n wanted {other:?}");
        }
    }
    text
}
