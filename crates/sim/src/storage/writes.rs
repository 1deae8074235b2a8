//! Random mutations.

use super::model::{Change, Write};
use super::run::Run;
use super::tables::{KEYS, Name, ROWS, key};
use crate::planted::Planted;
use std::collections::BTreeSet;

impl Run {
    pub(super) fn write(&mut self) {
        let number = self.next;
        self.next += 1;
        let second = self.node.now().wall.seconds();
        let key_number = self.rng.below(u64::from(KEYS)) as u8;
        let changes = self.changes();
        let write = Write {
            number,
            key: key_number,
            second,
            changes,
        };
        let mut bytes = write.encode(&self.tables);
        if self.planted == Planted::ChangeForgotten && self.rng.chance(2) {
            let mut less = write.clone();
            less.changes.pop();
            bytes = less.encode(&self.tables);
        }
        self.summary.writes += 1;
        let shard = self.node.shard(key(key_number).token);
        let id = self.next_id(shard);
        let applied = self.node.apply(key(key_number).token, &bytes, id);
        self.tell(|| format!("{write:?} {applied:?}"));
        if let Ok(ticket) = applied {
            if let Some(id) = id {
                self.note_id(id, number);
            }
            self.waiting.insert(ticket, number);
            self.attempted.insert(number, write.clone());
            self.model.writes.insert(number, write);
        }
        if self.rng.chance(50) {
            self.node
                .with_store(shard, |store, now, io| store.end_of_turn(now, io));
        }
    }

    pub(super) fn changes(&mut self) -> Vec<(Name, Change)> {
        let mut changes = Vec::new();
        let mut rows = BTreeSet::new();
        let mut fixed = false;
        for _ in 0..=self.rng.below(3) {
            if self.rng.chance(25) {
                if rows.insert((Name::Plain, 0)) {
                    let change = match self.rng.below(10) {
                        0 => Change::DeletePartition,
                        1 => Change::DeleteRow { row: 0 },
                        _ => self.row(0, self.tables.plain, None),
                    };
                    changes.push((Name::Plain, change));
                }
                continue;
            }
            let row = self.rng.below(u64::from(ROWS)) as u8;
            let change = match self.rng.below(40) {
                0 => Change::DeletePartition,
                1..=3 => Change::DeleteRow { row },
                4..=6 => {
                    let to = row + self.rng.below(u64::from(ROWS)) as u8 / 2;
                    Change::DeleteRange {
                        from: row,
                        to: to.max(row + 1),
                    }
                }
                7..=9 => {
                    if std::mem::replace(&mut fixed, true) {
                        continue;
                    }
                    let value = self.rng.chance(80).then(|| self.value());
                    Change::Static { value }
                }
                10 | 11 => Change::DeleteMap { row },
                _ => {
                    if !rows.insert((Name::Wide, row)) {
                        continue;
                    }
                    let map = self.tables.wide.map;
                    self.row(row, self.tables.wide.plain, Some(map))
                }
            };
            changes.push((Name::Wide, change));
        }
        changes
    }

    pub(super) fn value(&mut self) -> Vec<u8> {
        let length = if self.rng.chance(5) { 1500 } else { 40 };
        let length = 1 + self.rng.index(length);
        self.rng.bytes(length)
    }

    pub(super) fn row(
        &mut self,
        row: u8,
        plain: [::model::row::ColumnId; 2],
        map: Option<::model::row::ColumnId>,
    ) -> Change {
        let mut cells = Vec::new();
        for column in plain {
            if self.rng.chance(60) {
                let value = self.rng.chance(85).then(|| self.value());
                cells.push((column, None, value));
            }
        }
        if let Some(map) = map {
            let mut paths = BTreeSet::new();
            for _ in 0..self.rng.below(3) {
                let path = self.rng.below(5) as u8;
                if paths.insert(path) {
                    let value = self.rng.chance(80).then(|| self.value());
                    cells.push((map, Some(path), value));
                }
            }
        }
        let ttl = *self.rng.pick(&[0, 0, 0, 0, 3, 60]);
        Change::Row {
            row,
            marker: self.rng.chance(60),
            ttl,
            cells,
        }
    }
}
