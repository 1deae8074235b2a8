//! From what replicas sent to the cells of a RESULT.

use cql::frame::response::RowsWriter;
use cql::plan::select::SelectPlan;
use cql::plan::select::input::RowView;
use cql::plan::select::plain::{Place, PlainSelection};
use cql::plan::values::BoundValues;
use model::comparable;
use model::error::RequestError;
use model::filter::column_value;
use model::key::{self, DecoratedKey, Token};
use model::merge::counter;
use model::read::{ReadEntry, ReadResponse, Resume};
use model::row::{CellKind, ColumnId, Row};
use model::schema::{Column, Table};

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

impl<'a> ReadRow<'a> {
    /// A partition of which no row was seen yet.
    fn of_partition(token: Token, key: &'a [u8]) -> Self {
        Self {
            token,
            key,
            static_row: None,
            row: None,
        }
    }

    /// A read that goes on after this row. `in_partition` is how many more rows of the partition are wanted.
    pub fn resume(&self, in_partition: u64) -> Resume {
        Resume {
            key: DecoratedKey {
                token: self.token,
                key: self.key.into(),
            },
            clustering: self.row.map(|(clustering, _)| clustering.to_vec()),
            left_in_partition: in_partition,
            gave_rows: true,
        }
    }
}

/// Visits the rows of answers about a table without static columns, in order: the plain case of [`rows`], for which
/// nothing has to be looked ahead for. `visit` may end the walk with an error.
pub fn each_row<'a, E>(
    responses: impl Iterator<Item = &'a ReadResponse>,
    mut visit: impl FnMut(&ReadRow<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let mut current: Option<ReadRow<'a>> = None;
    for response in responses {
        for entry in response.entries() {
            match entry {
                ReadEntry::Partition { token, key, .. } => {
                    current = Some(ReadRow::of_partition(token, key));
                }
                ReadEntry::Row { clustering, row } => {
                    if let Some(read) = &mut current {
                        read.row = Some((clustering, row));
                        visit(read)?;
                    }
                }
                ReadEntry::Static(_) | ReadEntry::Range { .. } => {}
            }
        }
    }
    Ok(())
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
                    current = Some(ReadRow::of_partition(token, key));
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
    now_seconds: i64,
    /// The values of the row's clustering columns one after the other, and where each ends.
    clustering: Vec<u8>,
    clustering_ends: Vec<usize>,
}

/// The live value of a column of one cell, and whether it is a counter's context.
type Single<'a> = Option<(bool, &'a [u8])>;

impl<'p> Emitter<'p> {
    /// An emitter for a plan.
    pub fn new(plan: &'p SelectPlan, now_seconds: i64) -> Self {
        Self {
            plan,
            now_seconds,
            clustering: Vec::new(),
            clustering_ends: Vec::new(),
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
        &mut self,
        writer: &mut RowsWriter<'_>,
        read: &ReadRow<'_>,
        values: &BoundValues<'_>,
    ) -> Result<(), RequestError> {
        match &self.plan.plain {
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

    fn write_plain(
        &mut self,
        plain: &PlainSelection,
        writer: &mut RowsWriter<'_>,
        read: &ReadRow<'_>,
    ) {
        // A row's cells are found before they are written, in the order of the row.
        match plain.single.len() {
            0..=8 => self.write_found(plain, writer, read, &mut [None; 8]),
            9..=32 => self.write_found(plain, writer, read, &mut [None; 32]),
            many => self.write_found(plain, writer, read, &mut vec![None; many]),
        }
    }

    /// Appends the cells of plain columns; `single` has room for what is found of those of one cell.
    fn write_found<'a>(
        &mut self,
        plain: &PlainSelection,
        writer: &mut RowsWriter<'_>,
        read: &ReadRow<'a>,
        single: &mut [Single<'a>],
    ) {
        let row = read.row.and_then(|(_, row)| Row::parse(row));
        if plain.uses_clustering {
            self.decode_clustering(read, row.as_ref());
        }
        if let Some(row) = &row {
            find_single(row, &plain.single, self.now_seconds, single);
        }
        let key_columns = self.plan.table.partition_key().len();
        for place in &plain.places {
            match place {
                Place::PartitionKey(position) => {
                    writer.cell(key::component(read.key, key_columns, *position));
                }
                Place::Clustering(position) => writer.cell(self.clustering_value(*position)),
                Place::Static(column) => {
                    let row = read.static_row.and_then(Row::parse);
                    writer.cell(self.value(row.as_ref(), column).as_deref());
                }
                Place::Single(index) => match single[*index] {
                    Some((true, context)) => {
                        writer.cell(Some(&counter::total(context).to_be_bytes()));
                    }
                    Some((false, value)) => writer.cell(Some(value)),
                    None => writer.cell(None),
                },
                Place::Several(column) => {
                    writer.cell(self.value(row.as_ref(), column).as_deref());
                }
            }
        }
    }

    fn value(&self, row: Option<&Row<'_>>, column: &Column) -> Option<Vec<u8>> {
        row.and_then(|row| column_value(row, column.id, &column.ctype, self.now_seconds))
    }

    /// Decodes the clustering key, or takes its original values where the row keeps them; none of corrupt bytes.
    fn decode_clustering(&mut self, read: &ReadRow<'_>, row: Option<&Row<'_>>) {
        self.clustering.clear();
        self.clustering_ends.clear();
        let Some((mut rest, _)) = read.row else {
            return;
        };
        let table = &self.plan.table;
        if let Some(original) = row.and_then(|row| row.original_clustering) {
            let count = table.clustering_key().len();
            for part in key::split(original, count).unwrap_or_default() {
                self.clustering.extend_from_slice(part);
                self.clustering_ends.push(self.clustering.len());
            }
            return;
        }
        for column in table.clustering() {
            let (ctype, descending) = (&column.ctype, column.is_descending());
            if comparable::decode_into(ctype, &mut rest, descending, &mut self.clustering).is_none()
            {
                self.clustering_ends.clear();
                return;
            }
            self.clustering_ends.push(self.clustering.len());
        }
        if !rest.is_empty() {
            self.clustering_ends.clear();
        }
    }

    fn clustering_value(&self, position: usize) -> Option<&[u8]> {
        let end = *self.clustering_ends.get(position)?;
        let start = match position {
            0 => 0,
            _ => self.clustering_ends[position - 1],
        };
        Some(&self.clustering[start..end])
    }
}

/// Finds the live cells of columns, ascending, in one walk over the row.
fn find_single<'r>(
    row: &Row<'r>,
    columns: &[ColumnId],
    now_seconds: i64,
    found: &mut [Single<'r>],
) {
    let mut next = 0;
    let mut cells = row.cells();
    loop {
        if let Some((column, value)) = cells.next_plain() {
            while columns.get(next).is_some_and(|wanted| *wanted < column) {
                next += 1;
            }
            match columns.get(next) {
                None => return,
                Some(wanted) if *wanted == column => found[next] = Some((false, value)),
                Some(_) => {}
            }
            continue;
        }
        let Some(cell) = cells.next() else { return };
        while columns
            .get(next)
            .is_some_and(|wanted| *wanted < cell.column)
        {
            next += 1;
        }
        match columns.get(next) {
            None => return,
            Some(wanted) if *wanted == cell.column && cell.is_live(now_seconds) => {
                found[next] = Some((cell.kind == CellKind::Counter, cell.value));
            }
            Some(_) => {}
        }
    }
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
