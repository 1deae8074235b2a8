//! Turns generated rows into the answer of a read, as if they had been stored.
//!
//! Rows are put together by column name, sorted as storage would have them (token, key, clustering), and everything a
//! [`ReadCommand`] asks for is applied: partitions, slices, direction, filter, limits, where to resume, columns. So a
//! SELECT of a computed table walks the same path as one of a stored table.

use model::clustering;
use model::comparable;
use model::key::{self, DecoratedKey};
use model::read::{Direction, Partitions, ReadCommand, ReadResponse};
use model::row::{Cell, CellKind, Deletion, Liveness, NEVER, Row, RowWriter};
use model::schema::Table;
use model::types::CqlType;
use model::value;

/// The rows of a table as they are generated.
pub(super) struct Rows<'t> {
    table: &'t Table,
    /// Write time of every cell, in microseconds.
    timestamp: i64,
    rows: Vec<Generated>,
}

struct Generated {
    key: DecoratedKey,
    clustering: Vec<u8>,
    row: Vec<u8>,
}

/// One row: a value, or none, for each column of the table.
pub(super) struct RowValues<'r, 't> {
    rows: &'r mut Rows<'t>,
    values: Vec<Option<Vec<u8>>>,
}

impl<'t> Rows<'t> {
    pub fn new(table: &'t Table, timestamp: i64) -> Self {
        Self {
            table,
            timestamp,
            rows: Vec::new(),
        }
    }

    /// Begins a row; it is added when its values are complete ([`RowValues::add`]).
    pub fn row(&mut self) -> RowValues<'_, 't> {
        let values = vec![None; self.table.columns().len()];
        RowValues { rows: self, values }
    }

    fn push(&mut self, values: &[Option<Vec<u8>>]) {
        let table = self.table;
        let keyed = table.partition_key().len() + table.clustering_key().len();
        let component = |value: &Option<Vec<u8>>| value.clone().unwrap_or_default();
        let keys: Vec<Vec<u8>> = values[..keyed].iter().map(component).collect();
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let (partition, clustering) = keys.split_at(table.partition_key().len());
        let mut row = Vec::new();
        let mut writer = RowWriter::new(&mut row);
        writer.liveness(Liveness {
            timestamp: self.timestamp,
            ttl: 0,
            expires: NEVER,
        });
        if !clustering::is_exact(table, clustering) {
            writer.original_clustering(&key::join(clustering));
        }
        // Cells stand by column id, which need not be the order of the columns.
        let mut columns: Vec<_> = table.columns()[keyed..]
            .iter()
            .zip(&values[keyed..])
            .collect();
        columns.sort_by_key(|(column, _)| column.id);
        for (column, value) in columns {
            if let Some(value) = value {
                put_cells(&mut writer, column.id, &column.ctype, value, self.timestamp);
            }
        }
        self.rows.push(Generated {
            key: DecoratedKey::new(key::join(partition)),
            clustering: clustering::encode(table, clustering),
            row,
        });
    }

    /// Answers a read.
    pub fn answer(mut self, command: &ReadCommand) -> ReadResponse {
        self.rows.sort_by(|one, other| {
            (&one.key, &one.clustering).cmp(&(&other.key, &other.clustering))
        });
        // What is generated twice is one row, as it would be if it had been written twice.
        self.rows.dedup_by(|later, first| {
            later.key == first.key && later.clustering == first.clustering
        });
        let mut reader = Reader {
            table: self.table,
            command,
            response: ReadResponse::default(),
        };
        for partition in self.rows.chunk_by(|one, other| one.key == other.key) {
            if !reader.partition(partition) {
                break;
            }
        }
        reader.response
    }
}

impl RowValues<'_, '_> {
    /// Sets a column; one that the table lacks is a mistake of the generator.
    pub fn set(mut self, column: &str, value: impl Into<Option<Vec<u8>>>) -> Self {
        let index = self
            .rows
            .table
            .columns()
            .iter()
            .position(|other| other.name == column);
        self.values[index.expect("generators know their tables")] = value.into();
        self
    }

    /// Adds the row.
    pub fn add(self) {
        let Self { rows, values } = self;
        rows.push(&values);
    }
}

/// The cells of a value: one, or one for each element of a collection that is not frozen.
fn put_cells(
    writer: &mut RowWriter<'_>,
    column: model::row::ColumnId,
    ctype: &CqlType,
    value: &[u8],
    timestamp: i64,
) {
    let cell = Cell {
        column,
        timestamp,
        kind: CellKind::Live,
        path: None,
        original_path: None,
        value,
    };
    if !ctype.is_multi_cell() {
        return writer.cell(&cell);
    }
    let mut elements: Vec<(Vec<u8>, &[u8])> = match ctype {
        CqlType::Set(element, _) => value::elements(value)
            .flatten()
            .map(|item| (path(element, item), &[][..]))
            .collect(),
        CqlType::Map(key, ..) => {
            let parts: Vec<&[u8]> = value::elements_of(value, 2).flatten().collect();
            parts
                .chunks_exact(2)
                .map(|pair| (path(key, pair[0]), pair[1]))
                .collect()
        }
        _ => unreachable!("no generated column is a list or user type of several cells"),
    };
    elements.sort();
    elements.dedup_by(|later, first| later.0 == first.0);
    for (path, value) in &elements {
        writer.cell(&Cell {
            path: Some(path),
            value,
            ..cell
        });
    }
}

fn path(ctype: &CqlType, element: &[u8]) -> Vec<u8> {
    assert!(
        comparable::is_exact(ctype, element),
        "generated elements are plain"
    );
    let mut path = Vec::new();
    comparable::encode(ctype, element, false, &mut path);
    path
}

/// Applies a command to partitions in order.
struct Reader<'a> {
    table: &'a Table,
    command: &'a ReadCommand,
    response: ReadResponse,
}

impl Reader<'_> {
    /// Reads one partition; `false` when a limit ended the read.
    fn partition(&mut self, rows: &[Generated]) -> bool {
        let command = self.command;
        let Some(first) = rows.first() else {
            return true;
        };
        let key = &first.key;
        let wanted = match &command.partitions {
            Partitions::Key(wanted) => wanted == key,
            Partitions::Range(range) => range.contains(key.token, &key.key),
        };
        let (mut allowed, mut after) = (command.limits.per_partition, None);
        match &command.resume {
            Some(resume) if *key < resume.key => return true,
            Some(resume) if *key == resume.key => match &resume.clustering {
                None => return true,
                Some(clustering) => {
                    allowed = resume.left_in_partition;
                    after = Some(clustering.as_slice());
                }
            },
            _ => {}
        }
        let components = key::split(&key.key, self.table.partition_key().len()).unwrap_or_default();
        if !wanted
            || !command
                .filter
                .accepts_partition(&components, None, command.now_seconds)
        {
            return true;
        }
        let mut in_order: Vec<&Generated> = rows.iter().collect();
        if command.direction == Direction::Backward {
            in_order.reverse();
        }
        let mut begun = false;
        for generated in in_order {
            if !self.is_wanted(generated, after) {
                continue;
            }
            if allowed == 0 {
                break;
            }
            if self.response.rows >= command.limits.rows
                || self.response.bytes.len() >= command.limits.bytes
            {
                self.response.more = true;
                return false;
            }
            if !begun {
                self.response
                    .put_partition(key.token, &key.key, Deletion::NONE);
                begun = true;
            }
            let row = self.chosen_columns(&generated.row);
            self.response.put_row(&generated.clustering, &row);
            self.response.rows += 1;
            allowed -= 1;
        }
        true
    }

    fn is_wanted(&self, generated: &Generated, after: Option<&[u8]>) -> bool {
        let command = self.command;
        let clustering = generated.clustering.as_slice();
        let beyond = after.is_none_or(|after| match command.direction {
            Direction::Forward => clustering > after,
            Direction::Backward => clustering < after,
        });
        if !beyond
            || !command
                .slices
                .iter()
                .any(|slice| slice.contains(clustering))
        {
            return false;
        }
        if command.filter.is_empty() {
            return true;
        }
        let values = clustering::decode(self.table, clustering).unwrap_or_default();
        Row::parse(&generated.row).is_some_and(|row| {
            command
                .filter
                .accepts_row(&values, &row, command.now_seconds)
        })
    }

    fn chosen_columns(&self, bytes: &[u8]) -> Vec<u8> {
        let Some(row) = Row::parse(bytes) else {
            return bytes.to_vec();
        };
        let mut out = Vec::with_capacity(bytes.len());
        let mut writer = RowWriter::new(&mut out);
        if let Some(liveness) = row.liveness {
            writer.liveness(liveness);
        }
        if let Some(original) = row.original_clustering {
            writer.original_clustering(original);
        }
        row.cells()
            .filter(|cell| self.command.columns.contains(cell.column))
            .for_each(|cell| writer.cell(&cell));
        out
    }
}
