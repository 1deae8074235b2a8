//! The simple model: a list of changes, evaluated anew for every question, with nothing of the engine in it.

use super::tables::{KEYS, Name, ROWS, Tables, key};
use model::clustering::Slice;
use model::mutation::Mutation;
use model::row::{Cell, CellKind, ColumnId, Deletion, Liveness, NEVER, RowWriter};
use std::collections::{BTreeMap, BTreeSet};

/// A change of one partition of one table.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub enum Change {
    /// Writes cells of a row: column, map key, value (`None` deletes).
    Row {
        row: u8,
        marker: bool,
        ttl: u32,
        cells: Vec<(ColumnId, Option<u8>, Option<Vec<u8>>)>,
    },
    /// Deletes a row.
    DeleteRow { row: u8 },
    /// Deletes the rows `from..to`.
    DeleteRange { from: u8, to: u8 },
    /// Deletes the partition.
    DeletePartition,
    /// Writes or deletes the static column.
    Static { value: Option<Vec<u8>> },
    /// Deletes a row's map.
    DeleteMap { row: u8 },
}

/// A mutation: changes of one partition key.
#[derive(Debug, Clone)]
pub struct Write {
    /// Its number: its timestamp, and its witness.
    pub number: u64,
    /// The partition key.
    pub key: u8,
    /// Second at which it was made.
    pub second: i64,
    /// What it changes.
    pub changes: Vec<(Name, Change)>,
}

impl Write {
    fn timestamp(&self) -> i64 {
        self.number as i64 * 10
    }

    /// The mutation's bytes, with its witness.
    pub fn encode(&self, tables: &Tables) -> Vec<u8> {
        let mut mutation = Mutation::new(key(self.key));
        let deletion = Deletion {
            timestamp: self.timestamp(),
            local_seconds: self.second,
        };
        for (name, change) in &self.changes {
            let update = mutation.update(name.id());
            let clustering = |row: u8| tables.clustering(*name, u64::from(row));
            match change {
                Change::Row {
                    row,
                    marker,
                    ttl,
                    cells,
                } => {
                    let bytes = self.row(*marker, *ttl, cells);
                    update.add_row(clustering(*row), bytes);
                }
                Change::DeleteRow { row } => {
                    let mut bytes = Vec::new();
                    RowWriter::new(&mut bytes).deletion(deletion);
                    update.add_row(clustering(*row), bytes);
                }
                Change::DeleteRange { from, to } => {
                    let slice = Slice {
                        start: clustering(*from),
                        end: clustering(*to),
                    };
                    update.ranges.add(slice, deletion);
                }
                Change::DeletePartition => update.delete(deletion),
                Change::Static { value } => {
                    let cells = [(tables.wide.fixed, None, value.clone())];
                    update.add_static(self.row(false, 0, &cells));
                }
                Change::DeleteMap { row } => {
                    let mut bytes = Vec::new();
                    RowWriter::new(&mut bytes).cell(&Cell {
                        column: tables.wide.map,
                        timestamp: self.timestamp(),
                        kind: CellKind::CollectionDeletion {
                            deleted_at: self.second,
                        },
                        path: None,
                        original_path: None,
                        value: &[],
                    });
                    update.add_row(clustering(*row), bytes);
                }
            }
        }
        let witness = [(tables.witness, None, Some(b"w".to_vec()))];
        let row = tables.clustering(Name::Witness, self.number);
        mutation
            .update(Name::Witness.id())
            .add_row(row, self.row(true, 0, &witness));
        mutation.encode()
    }

    fn row(
        &self,
        marker: bool,
        ttl: u32,
        cells: &[(ColumnId, Option<u8>, Option<Vec<u8>>)],
    ) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = RowWriter::new(&mut bytes);
        let expires = if ttl == 0 {
            NEVER
        } else {
            self.second + i64::from(ttl)
        };
        if marker {
            writer.liveness(Liveness {
                timestamp: self.timestamp(),
                ttl,
                expires,
            });
        }
        let sorted: BTreeMap<(ColumnId, Option<u8>), &Option<Vec<u8>>> = cells
            .iter()
            .map(|(column, path, value)| ((*column, *path), value))
            .collect();
        for ((column, path), value) in sorted {
            let path = path.map(path_bytes);
            writer.cell(&Cell {
                column,
                timestamp: self.timestamp(),
                kind: match value {
                    None => CellKind::Tombstone {
                        deleted_at: self.second,
                    },
                    Some(_) if ttl > 0 => CellKind::Expiring { ttl, expires },
                    Some(_) => CellKind::Live,
                },
                path: path.as_deref(),
                original_path: None,
                value: value.as_deref().unwrap_or_default(),
            });
        }
        bytes
    }
}

/// A row as a reader sees it: its live cells.
pub type SeenRow = BTreeMap<(ColumnId, Option<Vec<u8>>), Vec<u8>>;

/// A partition as a reader sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeenPartition {
    /// Cells of the static row.
    pub fixed: SeenRow,
    /// Rows in clustering order.
    pub rows: BTreeMap<u64, SeenRow>,
}

/// What was written.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// By number.
    pub writes: BTreeMap<u64, Write>,
    /// By table and key: what was written before this number was truncated.
    pub floors: BTreeMap<(Name, u8), u64>,
}

impl Model {
    fn changes(&self, name: Name, key: u8) -> Vec<(&Write, &Change)> {
        let floor = self.floors.get(&(name, key)).copied().unwrap_or(0);
        let writes = self.writes.range(floor..).map(|(_, write)| write);
        writes
            .filter(|write| write.key == key)
            .flat_map(|write| {
                write
                    .changes
                    .iter()
                    .map(move |(table, change)| (write, table, change))
            })
            .filter(|(_, table, _)| **table == name)
            .map(|(write, _, change)| (write, change))
            .collect()
    }

    /// What a reader sees of a partition at a second.
    pub fn partition(&self, tables: &Tables, name: Name, key: u8, now: i64) -> SeenPartition {
        if name == Name::Witness {
            let numbers = self.writes.values().filter(|write| write.key == key);
            let cell = || BTreeMap::from([((tables.witness, None), b"w".to_vec())]);
            let rows = numbers.map(|write| (write.number, cell())).collect();
            return SeenPartition {
                rows,
                ..SeenPartition::default()
            };
        }
        let changes = self.changes(name, key);
        let newest = |deletes: &dyn Fn(&Change) -> bool| {
            let deleting = changes.iter().filter(|(_, change)| deletes(change));
            deleting.map(|(write, _)| write.number).max().unwrap_or(0)
        };
        let gone = newest(&|change| matches!(change, Change::DeletePartition));
        let mut seen = SeenPartition::default();
        for number in 0..ROWS {
            let deleted = newest(&|change| match change {
                Change::DeleteRow { row } => *row == number,
                Change::DeleteRange { from, to } => (*from..*to).contains(&number),
                _ => false,
            })
            .max(gone);
            let unmapped =
                newest(&|change| matches!(change, Change::DeleteMap { row } if *row == number));
            let unmapped = if name == Name::Wide { unmapped } else { 0 };
            if let Some(row) = seen_row(tables, &changes, number, deleted, unmapped, now) {
                seen.rows.insert(u64::from(number), row);
            }
        }
        let fixed = changes
            .iter()
            .rev()
            .find_map(|(write, change)| match change {
                Change::Static { value } if write.number > gone => Some(value.clone()),
                _ => None,
            });
        if let Some(value) = fixed.flatten() {
            seen.fixed.insert((tables.wide.fixed, None), value);
        }
        seen
    }

    /// Every partition of a table that a reader sees anything of.
    pub fn table(&self, tables: &Tables, name: Name, now: i64) -> BTreeMap<u8, SeenPartition> {
        let all = (0..KEYS).map(|key| (key, self.partition(tables, name, key, now)));
        all.filter(|(_, seen)| *seen != SeenPartition::default())
            .collect()
    }

    /// Numbers of the writes it holds.
    pub fn numbers(&self) -> BTreeSet<u64> {
        self.writes.keys().copied().collect()
    }
}

/// What a reader sees of a row: of the changes numbered above `deleted`, and of its map above `unmapped`.
fn seen_row(
    tables: &Tables,
    changes: &[(&Write, &Change)],
    number: u8,
    deleted: u64,
    unmapped: u64,
    now: i64,
) -> Option<SeenRow> {
    let mut marker = None;
    let mut cells: BTreeMap<_, (u64, Option<Vec<u8>>)> = BTreeMap::new();
    for (write, change) in changes {
        let Change::Row {
            row,
            marker: marks,
            ttl,
            cells: written,
        } = change
        else {
            continue;
        };
        if *row != number || write.number <= deleted {
            continue;
        }
        let alive = *ttl == 0 || write.second + i64::from(*ttl) > now;
        if *marks && marker.is_none_or(|(known, _)| known < write.number) {
            marker = Some((write.number, alive));
        }
        for (column, path, value) in written {
            if *column == tables.wide.map && write.number <= unmapped {
                continue;
            }
            let value = value.clone().filter(|_| alive);
            let cell = cells
                .entry((*column, path.map(path_bytes)))
                .or_insert((0, None));
            if cell.0 <= write.number {
                *cell = (write.number, value);
            }
        }
    }
    let live: SeenRow = cells
        .into_iter()
        .filter_map(|(place, (_, value))| Some((place, value?)))
        .collect();
    (!live.is_empty() || marker.is_some_and(|(_, alive)| alive)).then_some(live)
}

/// A map's key as a cell's path.
fn path_bytes(path: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let ctype = model::types::CqlType::Tinyint;
    model::comparable::encode(&ctype, &[path], false, &mut bytes);
    bytes
}
