//! From what replicas sent to the cells of a RESULT.

use cql::frame::response::RowsWriter;
use cql::plan::select::SelectPlan;
use cql::plan::select::input::{RowView, clustering_values};
use cql::plan::values::BoundValues;
use model::comparable;
use model::error::RequestError;
use model::filter::column_value;
use model::key::{DecoratedKey, Token};
use model::merge::counter;
use model::read::{ReadEntry, ReadResponse, Resume};
use model::row::{CellKind, ColumnId, Row};
use model::schema::{Column, ColumnKind, Table};

/// A row in the order it was read: its partition, and itself unless only the static row exists.
#[derive(Debug, Clone, Copy)]
pub struct ReadRow<'a> {
    /// Token of the partition.
    pub token: Token,
    /// Partition key.
    pub key: &'a [u8],
    /// The partition's static row.
    pub static_row: Option<&'a [u8]>,
    /// Clustering key and row.
    pub row: Option<(&'a [u8], &'a [u8])>,
}

impl ReadRow<'_> {
    /// A read that goes on after this row. `in_partition` is how many more rows of the partition are wanted.
    pub fn resume(&self, in_partition: u64) -> Resume {
        Resume {
            key: DecoratedKey {
                token: self.token,
                key: self.key.into(),
            },
            clustering: self.row.map(|(clustering, _)| clustering.to_vec()),
            left_in_partition: in_partition,
        }
    }
}

/// The rows of answers, in order; a partition that has only a static row is a row if `static_counts`.
pub fn rows<'a>(
    responses: impl Iterator<Item = &'a ReadResponse>,
    static_counts: bool,
) -> impl Iterator<Item = ReadRow<'a>> {
    let mut entries = responses.flat_map(ReadResponse::entries).peekable();
    let mut current: Option<ReadRow<'a>> = None;
    std::iter::from_fn(move || {
        loop {
            match entries.next()? {
                ReadEntry::Partition { token, key, .. } => {
                    current = Some(ReadRow {
                        token,
                        key,
                        static_row: None,
                        row: None,
                    });
                }
                ReadEntry::Static(row) => {
                    let partition = current.as_mut()?;
                    partition.static_row = Some(row);
                    if static_counts
                        && !matches!(
                            entries.peek(),
                            Some(ReadEntry::Row { .. } | ReadEntry::Range { .. })
                        )
                    {
                        return current;
                    }
                }
                ReadEntry::Row { clustering, row } => {
                    return current.map(|partition| ReadRow {
                        row: Some((clustering, row)),
                        ..partition
                    });
                }
                ReadEntry::Range { .. } => {}
            }
        }
    })
}

/// Writes rows of a selection, the fastest way it allows.
pub struct Emitter<'p> {
    plan: &'p SelectPlan,
    plain: Option<Plain<'p>>,
    now_seconds: i64,
}

/// A selection of plain columns: where each stands.
struct Plain<'p> {
    columns: Vec<&'p Column>,
    key_columns: usize,
    uses_clustering: bool,
}

impl<'p> Emitter<'p> {
    /// An emitter for a plan.
    pub fn new(plan: &'p SelectPlan, now_seconds: i64) -> Self {
        let plain = plan.selection.plain_columns().map(|columns| Plain {
            key_columns: plan.table.partition_key().len(),
            uses_clustering: columns
                .iter()
                .any(|column| column.kind == ColumnKind::Clustering),
            columns,
        });
        Self {
            plan,
            plain,
            now_seconds,
        }
    }

    /// A row as selectors see it.
    pub fn view<'a>(&self, read: &ReadRow<'a>) -> RowView<'a>
    where
        'p: 'a,
    {
        RowView {
            table: &self.plan.table,
            key: read.key,
            clustering: read.row.map_or(&[], |(clustering, _)| clustering),
            static_row: read.static_row.and_then(Row::parse),
            row: read.row.and_then(|(_, row)| Row::parse(row)),
            now_seconds: self.now_seconds,
        }
    }

    /// Appends a row's cells.
    pub fn write(
        &self,
        writer: &mut RowsWriter<'_>,
        read: &ReadRow<'_>,
        values: &BoundValues<'_>,
    ) -> Result<(), RequestError> {
        match &self.plain {
            Some(plain) => {
                self.write_plain(plain, writer, read);
                Ok(())
            }
            None => {
                for cell in self.plan.selection.row(&self.view(read), values)? {
                    writer.cell(cell.as_deref());
                }
                Ok(())
            }
        }
    }

    fn write_plain(&self, plain: &Plain<'_>, writer: &mut RowsWriter<'_>, read: &ReadRow<'_>) {
        let static_row = read.static_row.and_then(Row::parse);
        let row = read.row.and_then(|(_, row)| Row::parse(row));
        let clustering = match read.row {
            Some((key, _)) if plain.uses_clustering => {
                clustering_values(&self.plan.table, key, row.as_ref())
            }
            _ => Vec::new(),
        };
        let parts = if plain.key_columns > 1 {
            model::key::split(read.key, plain.key_columns)
        } else {
            None
        };
        for column in &plain.columns {
            match column.kind {
                ColumnKind::PartitionKey => match &parts {
                    Some(parts) => writer.cell(parts.get(column.position).copied()),
                    None => writer.cell(Some(read.key)),
                },
                ColumnKind::Clustering => {
                    writer.cell(clustering.get(column.position).map(Vec::as_slice))
                }
                ColumnKind::Static => self.write_column(writer, static_row.as_ref(), column),
                ColumnKind::Regular => self.write_column(writer, row.as_ref(), column),
            }
        }
    }

    fn write_column(&self, writer: &mut RowsWriter<'_>, row: Option<&Row<'_>>, column: &Column) {
        if column.ctype.is_multi_cell() {
            let value =
                row.and_then(|row| column_value(row, column.id, &column.ctype, self.now_seconds));
            return writer.cell(value.as_deref());
        }
        match row.and_then(|row| live_cell(row, column.id, self.now_seconds)) {
            Some((CellKind::Counter, context)) => {
                writer.cell(Some(&counter::total(context).to_be_bytes()))
            }
            Some((_, value)) => writer.cell(Some(value)),
            None => writer.cell(None),
        }
    }
}

fn live_cell<'r>(
    row: &Row<'r>,
    column: ColumnId,
    now_seconds: i64,
) -> Option<(CellKind, &'r [u8])> {
    row.cell(column)
        .filter(|cell| cell.is_live(now_seconds))
        .map(|cell| (cell.kind, cell.value))
}

/// The part of a clustering key that its first columns take.
pub fn key_prefix<'a>(table: &Table, clustering: &'a [u8], columns: usize) -> &'a [u8] {
    let mut rest = clustering;
    for column in table.clustering().take(columns) {
        if comparable::skip(&column.ctype, &mut rest, column.is_descending()).is_none() {
            break;
        }
    }
    &clustering[..clustering.len() - rest.len()]
}
