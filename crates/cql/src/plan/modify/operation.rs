//! What a modification does to one column, as cells.

use super::super::invalid;
use super::super::term::Term;
use super::super::values::{Bound, BoundValues};
use super::cells::CellBuffer;
use super::{Stamp, WriteContext};
use crate::functions::Scalar;
use model::comparable;
use model::error::RequestError;
use model::row::{Cell, CellKind, ColumnId, Row, list_path};
use model::schema::{Column, ColumnKind};
use model::types::CqlType;
use model::value;
use std::borrow::Cow;

/// A change of a column.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The column.
    pub column: Column,
    /// What is done to it.
    pub change: Change,
}

/// What is done to a column.
#[derive(Debug, Clone)]
pub enum Change {
    /// `c = value`: replaces all of it.
    Set(Term),
    /// `c[key] = value` of a map.
    SetEntry(Term, Term),
    /// `c[index] = value` of a list.
    SetIndex(Term, Term),
    /// `c.field = value`.
    SetField(usize, Term),
    /// `c = c + value` of a collection.
    Append(Term),
    /// `c = value + c` of a list.
    Prepend(Term),
    /// `c = c - value` of a set or map: these elements or keys.
    Discard(Term),
    /// `c = c - value` of a list: every element equal to one of these.
    DiscardValues(Term),
    /// `c = c ± value` of a counter; `true` subtracts.
    Count(Term, bool),
    /// `c = c + value` of a number or text: only beside a condition, which has the row read.
    Add(Scalar, Term),
    /// `DELETE c`.
    Delete,
    /// `DELETE c[key]` of a map or set.
    DeleteEntry(Term),
    /// `DELETE c[index]` of a list.
    DeleteIndex(Term),
    /// `DELETE c.field`.
    DeleteField(usize),
}

/// The place of an element, and its original bytes where decoding would not give them back.
type Path = (Vec<u8>, Option<Vec<u8>>);

impl Operation {
    pub(super) fn is_static(&self) -> bool {
        self.column.kind == ColumnKind::Static
    }

    /// The column, if its present value must be read.
    pub(super) fn reads(&self) -> Option<ColumnId> {
        matches!(
            self.change,
            Change::SetIndex(..)
                | Change::DeleteIndex(_)
                | Change::DiscardValues(_)
                | Change::Add(..)
        )
        .then_some(self.column.id)
    }

    /// Adds the cells of this change.
    pub(super) fn cells<'a>(
        &'a self,
        out: &mut CellBuffer<'a>,
        values: &BoundValues<'a>,
        context: &WriteContext<'_>,
        stamp: &Stamp,
        current: Option<Row<'_>>,
    ) -> Result<(), RequestError> {
        let at = (stamp, context);
        match &self.change {
            Change::Set(term) if self.column.ctype.is_multi_cell() => {
                return self.replace(out, term.evaluate(values)?, context, stamp, stamp.live());
            }
            Change::Append(term) => {
                let bound = term.evaluate(values)?;
                return self.elements(out, bound, context.list_position, at);
            }
            Change::Prepend(term) => {
                let bound = term.evaluate(values)?;
                return self.elements(out, bound, -context.list_position, at);
            }
            Change::SetIndex(..) | Change::DeleteIndex(_) | Change::DiscardValues(_) => {
                let present = self.present(current, context);
                return self.change_present(out, values, stamp, present);
            }
            Change::Count(term, subtract) => {
                return self.count(out, values, stamp, term, *subtract);
            }
            Change::Add(scalar, term) => {
                return self.add(out, values, context, stamp, (scalar, term), current);
            }
            Change::Set(term) => self.put(out, stamp, None, term.evaluate(values)?),
            Change::SetEntry(key, item) => {
                let path = self.entry_path(key, values)?;
                self.put(out, stamp, Some(path), item.evaluate(values)?);
            }
            Change::SetField(index, item) => {
                let path = (field_path(*index), None);
                self.put(out, stamp, Some(path), item.evaluate(values)?);
            }
            Change::Discard(term) => {
                if let Bound::Value(bytes) = term.evaluate(values)? {
                    for item in value::elements(&bytes).flatten() {
                        self.delete_at(out, stamp, Some(self.path(item)));
                    }
                }
            }
            Change::Delete => self.delete(out, stamp),
            Change::DeleteEntry(key) => {
                let path = self.entry_path(key, values)?;
                self.delete_at(out, stamp, Some(path));
            }
            Change::DeleteField(index) => {
                self.delete_at(out, stamp, Some((field_path(*index), None)));
            }
        }
        Ok(())
    }

    /// Deletes the whole column.
    fn delete(&self, out: &mut CellBuffer<'_>, stamp: &Stamp) {
        if !self.column.ctype.is_multi_cell() {
            return self.delete_at(out, stamp, None);
        }
        let kind = CellKind::CollectionDeletion {
            deleted_at: stamp.deletion.local_seconds,
        };
        out.push(
            self.column.id,
            stamp.timestamp,
            kind,
            None,
            Cow::Borrowed(&[]),
        );
    }

    /// Writes a value to a place, or deletes what is there if it is null.
    fn put<'a>(
        &self,
        out: &mut CellBuffer<'a>,
        stamp: &Stamp,
        path: Option<Path>,
        bound: Bound<'a>,
    ) {
        match bound {
            Bound::Unset => {}
            Bound::Null => self.delete_at(out, stamp, path),
            Bound::Value(bytes) => {
                out.push(self.column.id, stamp.timestamp, stamp.live(), path, bytes);
            }
        }
    }

    fn delete_at(&self, out: &mut CellBuffer<'_>, stamp: &Stamp, path: Option<Path>) {
        let tombstone = CellKind::Tombstone {
            deleted_at: stamp.deletion.local_seconds,
        };
        out.push(
            self.column.id,
            stamp.timestamp,
            tombstone,
            path,
            Cow::Borrowed(&[]),
        );
    }

    /// Changes of list elements that are found by index or value among those present and those the statement made before.
    fn change_present<'a>(
        &'a self,
        out: &mut CellBuffer<'a>,
        values: &BoundValues<'a>,
        stamp: &Stamp,
        present: Vec<Cell<'_>>,
    ) -> Result<(), RequestError> {
        let id = self.column.id;
        match &self.change {
            Change::SetIndex(index, item) => {
                let path = index_path(index, values, &out.merged(id, present), "set")?;
                self.put(out, stamp, Some((path, None)), item.evaluate(values)?);
            }
            Change::DeleteIndex(index) => {
                let path = index_path(index, values, &out.merged(id, present), "delete")?;
                self.delete_at(out, stamp, Some((path, None)));
            }
            Change::DiscardValues(term) => {
                if let Bound::Value(bytes) = term.evaluate(values)? {
                    let unwanted: Vec<&[u8]> = value::elements(&bytes).flatten().collect();
                    let merged = out.merged(id, present);
                    let found = merged.iter().filter(|cell| unwanted.contains(&cell.value));
                    let paths: Vec<Option<Path>> = found
                        .map(|cell| cell.path.map(|path| (path.to_vec(), None)))
                        .collect();
                    for path in paths {
                        self.delete_at(out, stamp, path);
                    }
                }
            }
            other => unreachable!("{other:?} finds no elements"),
        }
        Ok(())
    }

    fn count<'a>(
        &self,
        out: &mut CellBuffer<'a>,
        values: &BoundValues<'a>,
        stamp: &Stamp,
        term: &'a Term,
        subtract: bool,
    ) -> Result<(), RequestError> {
        let bytes = match term.evaluate(values)? {
            Bound::Value(bytes) => bytes,
            Bound::Unset => return Ok(()),
            Bound::Null => return Err(invalid("Invalid null value for counter increment")),
        };
        let delta = i64::from_be_bytes(
            bytes
                .as_ref()
                .try_into()
                .map_err(|_| invalid("Invalid value for counter increment"))?,
        );
        if subtract && delta == i64::MIN {
            return Err(invalid(format!(
                "The negation of {delta} overflows supported counter precision (signed 8 bytes integer)"
            )));
        }
        let delta = if subtract { -delta } else { delta };
        out.push(
            self.column.id,
            stamp.timestamp,
            CellKind::Counter,
            None,
            Cow::Owned(delta.to_be_bytes().to_vec()),
        );
        Ok(())
    }

    /// Adds to the value as it is; nothing where there is none.
    fn add<'a>(
        &self,
        out: &mut CellBuffer<'a>,
        values: &BoundValues<'a>,
        context: &WriteContext<'_>,
        stamp: &Stamp,
        (scalar, term): (&Scalar, &'a Term),
        current: Option<Row<'_>>,
    ) -> Result<(), RequestError> {
        let operand = match term.evaluate(values)? {
            Bound::Value(bytes) if bytes.is_empty() && !self.column.ctype.is_text() => None,
            Bound::Value(bytes) => Some(bytes),
            Bound::Unset => return Ok(()),
            Bound::Null => None,
        };
        let Some(operand) = operand else {
            return Err(invalid(format!(
                "Invalid null value for {} + value",
                self.column.name
            )));
        };
        // What an earlier assignment of the statement came to is added to as well.
        let Some(present) = out.value(self.column.id).or_else(|| {
            let cell = self.present(current, context).pop()?;
            Some(cell.value.to_vec())
        }) else {
            return Ok(());
        };
        let sum = scalar.call(&[Some(&present), Some(&operand)], &values.context)?;
        out.forget(self.column.id);
        let bound = sum.map_or(Bound::Null, |bytes| Bound::Value(Cow::Owned(bytes)));
        self.put(out, stamp, None, bound);
        Ok(())
    }

    /// Sets a whole collection or user type: everything older goes, just below the new cells' timestamp.
    fn replace<'a>(
        &'a self,
        out: &mut CellBuffer<'a>,
        bound: Bound<'a>,
        context: &WriteContext<'_>,
        stamp: &Stamp,
        live: CellKind,
    ) -> Result<(), RequestError> {
        if bound == Bound::Unset {
            return Ok(());
        }
        let kind = CellKind::CollectionDeletion {
            deleted_at: stamp.deletion.local_seconds,
        };
        out.push(
            self.column.id,
            stamp.timestamp - 1,
            kind,
            None,
            Cow::Borrowed(&[]),
        );
        match bound {
            Bound::Value(bytes) if matches!(self.column.ctype, CqlType::Udt(..)) => {
                for (index, field) in value::fields(&bytes).enumerate() {
                    if let Some(field) = field {
                        out.push(
                            self.column.id,
                            stamp.timestamp,
                            live,
                            Some((field_path(index), None)),
                            Cow::Owned(field.to_vec()),
                        );
                    }
                }
                Ok(())
            }
            other => self.elements(out, other, context.list_position, (stamp, context)),
        }
    }

    /// Adds the elements of a collection.
    fn elements<'a>(
        &'a self,
        out: &mut CellBuffer<'a>,
        bound: Bound<'a>,
        position: i64,
        (stamp, context): (&Stamp, &WriteContext<'_>),
    ) -> Result<(), RequestError> {
        let Bound::Value(bytes) = bound else {
            return Ok(());
        };
        let live = stamp.live();
        let id = self.column.id;
        match &self.column.ctype {
            CqlType::List(..) => {
                let items: Vec<&[u8]> = value::elements(&bytes).flatten().collect();
                // A statement may add to a list several times: behind what it appended, or before what it prepended.
                let added = out.count(id);
                let first = if position < 0 {
                    u32::MAX as usize - added - items.len()
                } else {
                    added
                };
                for (index, item) in items.into_iter().enumerate() {
                    let path = list_path(position, (first + index) as u32, context.origin);
                    out.push(
                        id,
                        stamp.timestamp,
                        live,
                        Some((path, None)),
                        Cow::Owned(item.to_vec()),
                    );
                }
            }
            CqlType::Set(..) => {
                for item in value::elements(&bytes).flatten() {
                    out.push(
                        id,
                        stamp.timestamp,
                        live,
                        Some(self.path(item)),
                        Cow::Borrowed(&[]),
                    );
                }
            }
            CqlType::Map(..) => {
                let parts: Vec<&[u8]> = value::elements_of(&bytes, 2).flatten().collect();
                for pair in parts.chunks_exact(2) {
                    out.push(
                        id,
                        stamp.timestamp,
                        live,
                        Some(self.path(pair[0])),
                        Cow::Owned(pair[1].to_vec()),
                    );
                }
            }
            other => return Err(invalid(format!("{other} has no elements"))),
        }
        Ok(())
    }

    /// The path of a set element or map key, and its original bytes where decoding would not give them back.
    fn path(&self, item: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
        let ctype = match &self.column.ctype {
            CqlType::Set(element, _) => element,
            CqlType::Map(key, _, _) => key,
            other => unreachable!("{other} has no keys"),
        };
        let mut path = Vec::with_capacity(item.len() + 3);
        comparable::encode(ctype, item, false, &mut path);
        (
            path,
            (!comparable::is_exact(ctype, item)).then(|| item.to_vec()),
        )
    }

    fn entry_path(
        &self,
        key: &Term,
        values: &BoundValues<'_>,
    ) -> Result<(Vec<u8>, Option<Vec<u8>>), RequestError> {
        let noun = if matches!(self.column.ctype, CqlType::Set(..)) {
            "set element"
        } else {
            "map key"
        };
        match key.evaluate(values)? {
            Bound::Value(bytes) => Ok(self.path(&bytes)),
            Bound::Null => Err(invalid(format!("Invalid null {noun}"))),
            Bound::Unset => Err(invalid(format!("Invalid unset {noun}"))),
        }
    }

    fn present<'r>(&self, current: Option<Row<'r>>, context: &WriteContext<'_>) -> Vec<Cell<'r>> {
        let (id, now) = (self.column.id, context.now_seconds);
        current.map_or_else(Vec::new, |row| {
            row.cells()
                .filter(|cell| cell.column == id && cell.is_live(now))
                .collect()
        })
    }
}

/// The path of a list's element by its index.
fn index_path(
    index: &Term,
    values: &BoundValues<'_>,
    present: &[Cell<'_>],
    verb: &str,
) -> Result<Vec<u8>, RequestError> {
    let index = match index.evaluate(values)? {
        Bound::Value(bytes) => i32::from_be_bytes(
            bytes
                .as_ref()
                .try_into()
                .map_err(|_| invalid("Invalid list index"))?,
        ),
        Bound::Null => return Err(invalid("Invalid null value for list index")),
        Bound::Unset => return Err(invalid("Invalid unset value for list index")),
    };
    if present.is_empty() {
        return Err(invalid(match verb {
            "set" => "Attempted to set an element on a list which is null",
            _ => "Attempted to delete an element from a list which is null",
        }));
    }
    let cell = usize::try_from(index)
        .ok()
        .and_then(|index| present.get(index));
    match cell.and_then(|cell| cell.path) {
        Some(path) => Ok(path.to_vec()),
        None => Err(invalid(format!(
            "List index {index} out of bound, list has size {}",
            present.len()
        ))),
    }
}

/// The path of a field of a user type: its index, big-endian.
pub(super) fn field_path(index: usize) -> Vec<u8> {
    (index as u16).to_be_bytes().to_vec()
}
