//! Rows that the node writes into stored system tables for itself: traces, batches.

use model::key::DecoratedKey;
use model::mutation::Mutation;
use model::row::{Cell, CellKind, ColumnId, Liveness, NEVER, RowWriter, list_path};
use model::schema::Table;
use model::time::Now;
use model::types::{CqlType, Frozen};
use model::{clustering, comparable, value};

struct SystemCell {
    column: ColumnId,
    path: Option<Vec<u8>>,
    value: Vec<u8>,
    kind: CellKind,
}

/// A row of a system table, set column by column; columns the table lacks are left out.
pub struct SystemRow<'a> {
    table: &'a Table,
    timestamp: i64,
    kind: CellKind,
    cells: Vec<SystemCell>,
}

impl<'a> SystemRow<'a> {
    /// A row written at a timestamp in microseconds.
    pub fn new(table: &'a Table, timestamp: i64) -> Self {
        Self {
            table,
            timestamp,
            kind: CellKind::Live,
            cells: Vec::new(),
        }
    }

    /// The row, and what is set of it from now on, is gone after `ttl` seconds.
    pub fn expiring(mut self, ttl: u32, now: Now) -> Self {
        let expires = now.wall.seconds() + i64::from(ttl);
        self.kind = CellKind::Expiring { ttl, expires };
        self
    }

    /// Sets a column to a value in wire format; lists and maps that are not frozen become a cell an element.
    pub fn set(mut self, name: &str, wire: &[u8]) -> Self {
        let Some(column) = self.table.column(name) else {
            return self;
        };
        let id = column.id;
        match &column.ctype {
            CqlType::Map(key_type, _, Frozen::No) => {
                let parts: Vec<&[u8]> = value::elements_of(wire, 2).flatten().collect();
                for pair in parts.chunks_exact(2) {
                    let mut path = Vec::new();
                    comparable::encode(key_type, pair[0], false, &mut path);
                    self.push(id, Some(path), pair[1]);
                }
            }
            CqlType::List(_, Frozen::No) => {
                for (index, item) in value::elements(wire).flatten().enumerate() {
                    let path = list_path(self.timestamp, index as u32, 0);
                    self.push(id, Some(path), item);
                }
            }
            _ => self.push(id, None, wire),
        }
        self
    }

    fn push(&mut self, column: ColumnId, path: Option<Vec<u8>>, value: &[u8]) {
        self.cells.push(SystemCell {
            column,
            path,
            value: value.to_vec(),
            kind: self.kind,
        });
    }

    /// The mutation that writes the row.
    pub fn finish(mut self, key: &DecoratedKey, clustering_values: &[&[u8]]) -> Mutation {
        let place = |cell: &SystemCell| (cell.column, cell.path.clone());
        self.cells.sort_by_key(place);
        self.cells.dedup_by_key(|cell| place(cell));
        let (ttl, expires) = match self.kind {
            CellKind::Expiring { ttl, expires } => (ttl, expires),
            _ => (0, NEVER),
        };
        let mut row = Vec::new();
        let mut writer = RowWriter::new(&mut row);
        writer.liveness(Liveness {
            timestamp: self.timestamp,
            ttl,
            expires,
        });
        for cell in &self.cells {
            writer.cell(&Cell {
                column: cell.column,
                timestamp: self.timestamp,
                kind: cell.kind,
                path: cell.path.as_deref(),
                original_path: None,
                value: &cell.value,
            });
        }
        let mut mutation = Mutation::new(key.clone());
        mutation
            .update(self.table.id)
            .add_row(clustering::encode(self.table, clustering_values), row);
        mutation
    }
}
