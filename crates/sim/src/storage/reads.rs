//! Random reads, in pages, compared with the model.

use super::model::SeenRow;
use super::run::{Check, Run};
use super::tables::{KEYS, Name, ROWS, key};
use ::model::clustering::Slice;
use ::model::key::DecoratedKey;
use ::model::key::Token;
use ::model::limits::SHARDING_IGNORE_MSB;
use ::model::read::{
    Columns, Dead, Direction, KeyBound, KeyRange, Limits, Partitions, ReadCommand, Resume,
};
use std::collections::BTreeSet;

impl Run {
    /// A random read, compared with the model; in pages, sometimes.
    pub(super) fn read(&mut self) -> Check {
        self.summary.reads += 1;
        let name = *self
            .rng
            .pick(&[Name::Plain, Name::Wide, Name::Wide, Name::Wide]);
        let shard = self.rng.index(self.node.stores.len());
        let (partitions, keys) = self.partitions(shard);
        let dead = *self.rng.pick(&[Dead::Dropped, Dead::Dropped, Dead::Kept]);
        let mut command = self.command(name, partitions, dead);
        let allowed = self.slices(name, &mut command);
        command.static_counts = allowed.len() == usize::from(ROWS) && self.rng.chance(70);
        if self.rng.chance(30) {
            command.direction = Direction::Backward;
        }
        if self.rng.chance(30) {
            let all = self.columns(name);
            let mut some: Vec<_> = all.into_iter().filter(|_| self.rng.chance(50)).collect();
            some.sort_unstable();
            command.columns = Columns::Only(some);
        }
        if self.rng.chance(30) {
            command.limits.per_partition = 1 + self.rng.below(5);
        }
        let wanted = self.expected(name, &command, &keys, &allowed);
        let page = if self.rng.chance(60) {
            u64::MAX
        } else {
            1 + self.rng.below(8)
        };
        let bytes = if self.rng.chance(80) {
            Limits::NONE.bytes
        } else {
            1 + self.rng.index(600)
        };
        let found = self.pages(name, shard, command.clone(), page, bytes)?;
        if found != wanted {
            return Err(format!(
                "{command:?} in pages of {page}:\n found {found:?}\nwanted {wanted:?}"
            ));
        }
        Ok(())
    }

    pub(super) fn columns(&self, name: Name) -> Vec<::model::row::ColumnId> {
        match name {
            Name::Plain => self.tables.plain.to_vec(),
            Name::Witness => vec![self.tables.witness],
            Name::Wide => {
                let wide = self.tables.wide;
                vec![wide.fixed, wide.plain[0], wide.plain[1], wide.map]
            }
        }
    }

    /// Random partitions of a shard, and their keys in order.
    pub(super) fn partitions(&mut self, shard: usize) -> (Partitions, Vec<u8>) {
        let shards = self.node.stores.len() as u32;
        let mut own: Vec<DecoratedKey> = (0..KEYS).map(key).collect();
        own.retain(|key| usize::from(key.token.shard(shards, SHARDING_IGNORE_MSB)) == shard);
        own.sort_unstable();
        if own.is_empty() || self.rng.chance(30) {
            let range = KeyRange {
                start: self.bound(),
                end: self.bound(),
            };
            own.retain(|key| range.contains(key.token, &key.key));
            let keys = own.iter().map(|key| key.key[0]).collect();
            return (Partitions::Range(range), keys);
        }
        let key = self.rng.pick(&own).clone();
        let number = key.key[0];
        (Partitions::Key(key), vec![number])
    }

    pub(super) fn bound(&mut self) -> KeyBound {
        let number = self.rng.below(u64::from(KEYS)) as u8;
        match self.rng.below(6) {
            0 => KeyBound::Before(Token::MIN),
            1 => KeyBound::After(Token::MAX),
            2 => KeyBound::Before(key(number).token),
            3 => KeyBound::After(key(number).token),
            4 => KeyBound::BeforeKey(key(number)),
            _ => KeyBound::AfterKey(key(number)),
        }
    }

    /// Random slices; the rows in them.
    pub(super) fn slices(&mut self, name: Name, command: &mut ReadCommand) -> BTreeSet<u64> {
        let all = (0..u64::from(ROWS)).collect();
        if name == Name::Plain || self.rng.chance(30) {
            return all;
        }
        let point = |row: u64| self.tables.clustering(name, row);
        if self.rng.chance(40) {
            let row = self.rng.below(u64::from(ROWS));
            command.slices = vec![Slice::prefix(&point(row))];
            return BTreeSet::from([row]);
        }
        let mut cuts: Vec<u64> = (0..2 * (1 + self.rng.below(3)))
            .map(|_| self.rng.below(u64::from(ROWS) + 1))
            .collect();
        cuts.sort_unstable();
        cuts.dedup();
        command.slices.clear();
        let mut rows = BTreeSet::new();
        for pair in cuts.chunks_exact(2) {
            command.slices.push(Slice {
                start: point(pair[0]),
                end: point(pair[1]),
            });
            rows.extend(pair[0]..pair[1]);
        }
        rows
    }

    /// What the model answers to a command, all pages of it.
    pub(super) fn expected(
        &self,
        name: Name,
        command: &ReadCommand,
        keys: &[u8],
        allowed: &BTreeSet<u64>,
    ) -> Vec<(u8, SeenRow, Vec<(u64, SeenRow)>)> {
        let project = |row: &SeenRow| -> SeenRow {
            let asked = row
                .iter()
                .filter(|((column, _), _)| command.columns.contains(*column));
            asked
                .map(|(place, value)| (place.clone(), value.clone()))
                .collect()
        };
        let mut answer = Vec::new();
        for number in keys {
            let seen = self
                .model
                .partition(&self.tables, name, *number, command.now_seconds);
            let rows = seen.rows.iter().filter(|(row, _)| allowed.contains(row));
            let mut rows: Vec<(u64, SeenRow)> =
                rows.map(|(row, cells)| (*row, project(cells))).collect();
            if command.direction == Direction::Backward {
                rows.reverse();
            }
            rows.truncate(usize::try_from(command.limits.per_partition).unwrap_or(usize::MAX));
            let counts = !rows.is_empty() || !seen.fixed.is_empty() && command.static_counts;
            let fixed = project(&seen.fixed);
            // What has nothing that was asked for is not seen in the answer taken apart.
            if counts && !(rows.is_empty() && fixed.is_empty()) {
                answer.push((*number, fixed, rows));
            }
        }
        answer
    }

    /// Carries a command out page by page.
    pub(super) fn pages(
        &mut self,
        name: Name,
        shard: usize,
        mut command: ReadCommand,
        page: u64,
        bytes: usize,
    ) -> Result<Vec<(u8, SeenRow, Vec<(u64, SeenRow)>)>, String> {
        let per_partition = command.limits.per_partition;
        command.limits.rows = page;
        command.limits.bytes = bytes;
        let mut all: Vec<(u8, SeenRow, Vec<(u64, SeenRow)>)> = Vec::new();
        loop {
            let response = self.ask(shard, &command)?;
            if response.rows > page {
                return Err(format!("{} rows in a page of {page}", response.rows));
            }
            let parts = self.parse(name, &command, &response)?;
            let last = parts
                .last()
                .map(|part| (part.key.clone(), part.last.clone()));
            for part in parts {
                let number = part.key.key[0];
                match all.last_mut() {
                    Some((known, _, rows)) if *known == number => rows.extend(part.rows),
                    _ => all.push((number, part.fixed, part.rows)),
                }
            }
            if !response.more {
                break;
            }
            let Some((key, clustering)) = last else {
                return Err("an empty page says that there is more".into());
            };
            let given = all.last().map_or(0, |(_, _, rows)| rows.len() as u64);
            let left_in_partition = per_partition.saturating_sub(given);
            // The answer of a page that ended by bytes may end with a row that is dead.
            command.resume = Some(Resume {
                key,
                clustering,
                left_in_partition,
                gave_rows: true,
            });
        }
        // Merged answers carry partitions in which nothing lives; those are not rows.
        all.retain(|(_, fixed, rows)| {
            !rows.is_empty() || !fixed.is_empty() && command.static_counts
        });
        Ok(all)
    }
}
