//! What selectors look at: values of columns, and what is known of their cells.

use super::super::term::Term;
use super::super::values::{Bound, BoundValues};
use super::selection::expression::{element, end_value, slice};
use crate::ast::CellAttribute;
use model::comparable;
use model::error::RequestError;
use model::filter;
use model::key;
use model::row::{Cell, CellKind, ColumnId, Row};
use model::schema::{Column, ColumnKind, Table};
use model::types::{CqlType, Frozen, UserType};
use model::value;
use std::borrow::Cow;
use std::sync::Arc;

/// One thing selectors look at.
#[derive(Debug, Clone)]
pub enum Input {
    /// The value of a column.
    Value(Column),
    /// `writetime`, `maxwritetime` or `ttl` of a column, or of an element or field of it.
    Attribute {
        /// Which.
        attribute: CellAttribute,
        /// Of which column.
        column: Column,
        /// Of which part.
        part: AttributePart,
    },
}

/// The part of a column whose attribute is asked for.
#[derive(Debug, Clone)]
pub enum AttributePart {
    /// All of it.
    Whole,
    /// The element at a key.
    Element(Term),
    /// The elements between two keys.
    Slice(Option<Term>, Option<Term>),
    /// A field.
    Field(usize),
}

/// A row of a partition, as selectors see it. `row` is `None` for a partition of which only the static row exists.
#[derive(Debug)]
pub struct RowView<'a> {
    /// The table.
    pub table: &'a Arc<Table>,
    /// The partition key.
    pub key: &'a [u8],
    /// The clustering key.
    pub clustering: &'a [u8],
    /// The partition's static row.
    pub static_row: Option<Row<'a>>,
    /// The row.
    pub row: Option<Row<'a>>,
    /// Now, in seconds.
    pub now_seconds: i64,
}

impl<'a> RowView<'a> {
    /// The values of inputs, in their order.
    pub fn evaluate(
        &self,
        inputs: &[Input],
        values: &BoundValues<'_>,
    ) -> Result<Vec<Option<Cow<'a, [u8]>>>, RequestError> {
        let keys = key::split(self.key, self.table.partition_key().len()).unwrap_or_default();
        let needs_clustering =
            self.row.is_some() && inputs.iter().any(|input| matches!(input, Input::Value(column) if column.kind == ColumnKind::Clustering));
        let mut clustering = if needs_clustering {
            self.clustering_values()
        } else {
            Vec::new()
        };
        let mut out = Vec::with_capacity(inputs.len());
        for input in inputs {
            out.push(match input {
                Input::Value(column) => match column.kind {
                    ColumnKind::PartitionKey => {
                        keys.get(column.position).map(|part| Cow::Borrowed(*part))
                    }
                    ColumnKind::Clustering => clustering
                        .get_mut(column.position)
                        .map(|value| Cow::Owned(std::mem::take(value))),
                    ColumnKind::Static => self.column_value(self.static_row.as_ref(), column),
                    ColumnKind::Regular => self.column_value(self.row.as_ref(), column),
                },
                Input::Attribute {
                    attribute,
                    column,
                    part,
                } => self
                    .attribute(*attribute, column, part, values)?
                    .map(Cow::Owned),
            });
        }
        Ok(out)
    }

    /// The row's clustering values: the original bytes where they were kept.
    pub fn clustering_values(&self) -> Vec<Vec<u8>> {
        clustering_values(self.table, self.clustering, self.row.as_ref())
    }

    fn column_value(&self, row: Option<&Row<'a>>, column: &Column) -> Option<Cow<'a, [u8]>> {
        let row = row?;
        if !column.ctype.is_multi_cell() && column.ctype != CqlType::Counter {
            return row
                .cell(column.id)
                .filter(|cell| cell.is_live(self.now_seconds))
                .map(|cell| Cow::Borrowed(cell.value));
        }
        filter::column_value(row, column.id, &column.ctype, self.now_seconds).map(Cow::Owned)
    }

    /// `writetime` of a multi-cell column is a list with one entry an element; of a single cell a bigint.
    fn attribute(
        &self,
        attribute: CellAttribute,
        column: &Column,
        part: &AttributePart,
        values: &BoundValues<'_>,
    ) -> Result<Option<Vec<u8>>, RequestError> {
        let row = if column.kind == ColumnKind::Static {
            self.static_row.as_ref()
        } else {
            self.row.as_ref()
        };
        let Some(row) = row else { return Ok(None) };
        let cells: Vec<Cell<'_>> = live_cells(row, column.id, self.now_seconds).collect();
        if cells.is_empty() {
            return Ok(None);
        }
        let path_of = |term: &Term| -> Result<Option<Vec<u8>>, RequestError> {
            let (CqlType::Map(key, _, _) | CqlType::Set(key, _)) = &column.ctype else {
                return Ok(None);
            };
            let Bound::Value(bytes) = term.evaluate(values)? else {
                return Ok(None);
            };
            let mut path = Vec::new();
            comparable::encode(key, &bytes, false, &mut path);
            Ok(Some(path))
        };
        let one = |cell: Option<&Cell<'_>>| {
            cell.and_then(|cell| attribute_of(attribute, cell, self.now_seconds))
        };
        Ok(match part {
            AttributePart::Element(key) if column.ctype.is_multi_cell() => {
                let path = path_of(key)?;
                one(cells.iter().find(|cell| cell.path == path.as_deref()))
            }
            AttributePart::Field(index) if column.ctype.is_multi_cell() => {
                let path = (*index as u16).to_be_bytes();
                one(cells.iter().find(|cell| cell.path == Some(&path)))
            }
            AttributePart::Slice(from, to) if column.ctype.is_multi_cell() => {
                let from = from.as_ref().map(path_of).transpose()?.flatten();
                let to = to.as_ref().map(path_of).transpose()?.flatten();
                let inside = |cell: &&Cell<'_>| {
                    from.as_deref().is_none_or(|from| cell.path >= Some(from))
                        && to.as_deref().is_none_or(|to| cell.path <= Some(to))
                };
                many(attribute, cells.iter().filter(inside), self.now_seconds)
            }
            AttributePart::Whole if matches!(&column.ctype, CqlType::Udt(_, Frozen::No)) => {
                let CqlType::Udt(definition, _) = &column.ctype else {
                    unreachable!("just matched")
                };
                self.field_attributes(attribute, definition, &cells)
            }
            AttributePart::Whole if column.ctype.is_multi_cell() => {
                many(attribute, cells.iter(), self.now_seconds)
            }
            part if has_part(&column.ctype, part, cells[0].value, values)? => one(cells.first()),
            _ => None,
        })
    }
}

impl RowView<'_> {
    /// An attribute of every field of a user type, null for those that are not set.
    fn field_attributes(
        &self,
        attribute: CellAttribute,
        definition: &UserType,
        cells: &[Cell<'_>],
    ) -> Option<Vec<u8>> {
        if attribute == CellAttribute::MaxWritetime {
            return many(attribute, cells.iter(), self.now_seconds);
        }
        let count = definition.fields.len();
        let mut out = (count as i32).to_be_bytes().to_vec();
        for index in 0..count as u16 {
            let path = index.to_be_bytes();
            let cell = cells.iter().find(|cell| cell.path == Some(&path));
            let found = cell.and_then(|cell| attribute_of(attribute, cell, self.now_seconds));
            value::put_field(&mut out, found.as_deref());
        }
        Some(out)
    }
}

/// The clustering values of a row: decoded from its key, or as written where the key cannot tell.
pub fn clustering_values(table: &Table, clustering: &[u8], row: Option<&Row<'_>>) -> Vec<Vec<u8>> {
    if let Some(original) = row.and_then(|row| row.original_clustering) {
        let parts = key::split(original, table.clustering_key().len());
        return parts
            .unwrap_or_default()
            .into_iter()
            .map(<[u8]>::to_vec)
            .collect();
    }
    model::clustering::decode(table, clustering).unwrap_or_default()
}

/// Whether a value of one cell has an element, a field or any element of a slice.
fn has_part(
    ctype: &CqlType,
    part: &AttributePart,
    bytes: &[u8],
    values: &BoundValues<'_>,
) -> Result<bool, RequestError> {
    let end = |term: &Option<Term>| {
        let value = term.as_ref().map(|term| end_value(term, values));
        value.transpose().map(Option::flatten)
    };
    Ok(match part {
        AttributePart::Whole => true,
        AttributePart::Element(key) => {
            end_value(key, values)?.is_some_and(|key| element(ctype, bytes, &key).is_some())
        }
        AttributePart::Field(index) => value::fields(bytes).nth(*index).flatten().is_some(),
        AttributePart::Slice(from, to) => {
            let kept = slice(ctype, bytes, end(from)?.as_deref(), end(to)?.as_deref());
            value::element_count(&kept) > 0
        }
    })
}

fn live_cells<'r>(
    row: &Row<'r>,
    column: ColumnId,
    now_seconds: i64,
) -> impl Iterator<Item = Cell<'r>> {
    row.cells()
        .filter(move |cell| cell.column == column && cell.is_live(now_seconds))
}

fn attribute_of(attribute: CellAttribute, cell: &Cell<'_>, now_seconds: i64) -> Option<Vec<u8>> {
    match (attribute, cell.kind) {
        (CellAttribute::Writetime | CellAttribute::MaxWritetime, _) => {
            Some(cell.timestamp.to_be_bytes().to_vec())
        }
        (CellAttribute::Ttl, CellKind::Expiring { expires, .. }) => {
            Some(((expires - now_seconds) as i32).to_be_bytes().to_vec())
        }
        (CellAttribute::Ttl, _) => None,
    }
}

fn many<'c>(
    attribute: CellAttribute,
    cells: impl Iterator<Item = &'c Cell<'c>>,
    now_seconds: i64,
) -> Option<Vec<u8>> {
    if attribute == CellAttribute::MaxWritetime {
        return cells
            .map(|cell| cell.timestamp)
            .max()
            .map(|timestamp| timestamp.to_be_bytes().to_vec());
    }
    let found: Vec<Option<Vec<u8>>> = cells
        .map(|cell| attribute_of(attribute, cell, now_seconds))
        .collect();
    if found.is_empty() {
        return None;
    }
    let mut out = (found.len() as i32).to_be_bytes().to_vec();
    found
        .iter()
        .for_each(|item| value::put_field(&mut out, item.as_deref()));
    Some(out)
}

/// The type of an attribute of a part of a column.
pub fn attribute_type(attribute: CellAttribute, column: &Column, part: &AttributePart) -> CqlType {
    let single = if attribute == CellAttribute::Ttl {
        CqlType::Int
    } else {
        CqlType::Bigint
    };
    let several = matches!(part, AttributePart::Whole | AttributePart::Slice(..))
        && column.ctype.is_multi_cell();
    if several && attribute != CellAttribute::MaxWritetime {
        CqlType::List(Arc::new(single), model::types::Frozen::Yes)
    } else {
        single
    }
}
