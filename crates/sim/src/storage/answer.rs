//! Asking a store and taking its answers apart.

use super::model::{SeenPartition, SeenRow};
use super::run::Run;
use super::tables::Name;
use ::model::key::DecoratedKey;
use ::model::read::{Dead, Direction, KeyRange, Partitions, ReadCommand, ReadEntry, ReadResponse};
use ::model::row::Row;
use std::collections::BTreeMap;

/// A partition of an answer.
pub(super) struct Answered {
    pub key: DecoratedKey,
    pub fixed: SeenRow,
    pub rows: Vec<(u64, SeenRow)>,
    /// Clustering key of the last row, alive or not.
    pub last: Option<Vec<u8>>,
}

impl Run {
    /// Everything of a table, from all shards, each asked for everything.
    pub(super) fn scan(
        &mut self,
        name: Name,
        dead: Dead,
        now: i64,
    ) -> Result<BTreeMap<u8, SeenPartition>, String> {
        let mut all = BTreeMap::new();
        for shard in 0..self.node.stores.len() {
            let everything = Partitions::Range(KeyRange::all());
            let command = ReadCommand {
                now_seconds: now,
                ..self.command(name, everything, dead)
            };
            let response = self.ask(shard, &command)?;
            for partition in self.parse(name, &command, &response)? {
                let number = partition.key.key[0];
                if self.node.shard(partition.key.token) != shard {
                    return Err(format!("shard {shard} answers for key {number} of another"));
                }
                let seen = SeenPartition {
                    fixed: partition.fixed,
                    rows: partition.rows.into_iter().collect(),
                };
                if seen != SeenPartition::default() {
                    all.insert(number, seen);
                }
            }
        }
        Ok(all)
    }

    /// A read of everything in these partitions.
    pub(super) fn command(&self, name: Name, partitions: Partitions, dead: Dead) -> ReadCommand {
        let now_seconds = self.node.now().wall.seconds();
        ReadCommand {
            dead,
            ..ReadCommand::all(name.id(), partitions, now_seconds)
        }
    }

    pub(super) fn ask(
        &mut self,
        shard: usize,
        command: &ReadCommand,
    ) -> Result<ReadResponse, String> {
        self.node.read(shard, command).map_err(|error| {
            let what = format!("a read failed: {error}");
            self.refused = Some(error);
            what
        })
    }

    /// Takes an answer apart and checks its order.
    pub(super) fn parse(
        &self,
        name: Name,
        command: &ReadCommand,
        response: &ReadResponse,
    ) -> Result<Vec<Answered>, String> {
        let mut partitions: Vec<Answered> = Vec::new();
        let mut used = 0;
        let mut last_range: Option<(Vec<u8>, Vec<u8>)> = None;
        for entry in response.entries() {
            used += 1;
            match entry {
                ReadEntry::Partition { token, key, .. } => {
                    let key = DecoratedKey {
                        token,
                        key: key.into(),
                    };
                    if partitions.last().is_some_and(|last| last.key >= key) {
                        return Err("partitions are out of order".into());
                    }
                    last_range = None;
                    partitions.push(Answered {
                        key,
                        fixed: SeenRow::new(),
                        rows: Vec::new(),
                        last: None,
                    });
                }
                ReadEntry::Static(row) => {
                    let last = partitions
                        .last_mut()
                        .ok_or("a static row without a partition")?;
                    last.fixed = seen(command, row).unwrap_or_default();
                }
                ReadEntry::Row { clustering, row } => {
                    let last = partitions.last_mut().ok_or("a row without a partition")?;
                    last.last = Some(clustering.to_vec());
                    if let Some(cells) = seen(command, row) {
                        last.rows.push((self.tables.row(name, clustering), cells));
                    }
                }
                ReadEntry::Range { start, end, .. } => {
                    if start >= end {
                        return Err("an empty range".into());
                    }
                    let apart = |(low, high): &(Vec<u8>, Vec<u8>)| match command.direction {
                        Direction::Forward => high.as_slice() <= start,
                        Direction::Backward => end <= low.as_slice(),
                    };
                    if !last_range.as_ref().is_none_or(apart) {
                        return Err("ranges overlap or are out of order".into());
                    }
                    last_range = Some((start.to_vec(), end.to_vec()));
                }
            }
        }
        if used == 0 && !response.bytes.is_empty() {
            return Err("an answer that cannot be read".into());
        }
        Ok(partitions)
    }
}

/// The live cells of a row that were asked for; `None` if the row is not alive.
fn seen(command: &ReadCommand, bytes: &[u8]) -> Option<SeenRow> {
    let row = Row::parse(bytes)?;
    let live = row.cells().filter(|cell| cell.is_live(command.now_seconds));
    let asked = live.filter(|cell| command.columns.contains(cell.column));
    let cells = asked.map(|cell| {
        let path = cell.path.map(<[u8]>::to_vec);
        ((cell.column, path), cell.value.to_vec())
    });
    row.is_live(command.now_seconds).then(|| cells.collect())
}
