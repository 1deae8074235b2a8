//! What a modification does to one column, as cells.

use super::super::invalid;
use super::super::term::Term;
use super::super::values::{Bound, BoundValues};
use super::{Stamp, WriteContext};
use model::comparable;
use model::error::RequestError;
use model::key::DecoratedKey;
use model::merge;
use model::read::{ReadEntry, ReadResponse};
use model::row::{Cell, CellKind, ColumnId, Row, RowWriter, list_path};
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
    /// `DELETE c`.
    Delete,
    /// `DELETE c[key]` of a map or set.
    DeleteEntry(Term),
    /// `DELETE c[index]` of a list.
    DeleteIndex(Term),
    /// `DELETE c.field`.
    DeleteField(usize),
}

/// Cells being gathered for one row, in any order.
#[derive(Debug, Default)]
pub(super) struct CellBuffer<'a> {
    cells: Vec<BufferedCell<'a>>,
}

#[derive(Debug)]
struct BufferedCell<'a> {
    column: ColumnId,
    timestamp: i64,
    kind: CellKind,
    path: Option<Vec<u8>>,
    original_path: Option<Vec<u8>>,
    value: Cow<'a, [u8]>,
}

impl BufferedCell<'_> {
    fn cell(&self) -> Cell<'_> {
        Cell {
            column: self.column,
            timestamp: self.timestamp,
            kind: self.kind,
            path: self.path.as_deref(),
            original_path: self.original_path.as_deref(),
            value: &self.value,
        }
    }
}

impl<'a> CellBuffer<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// About how many bytes the row will take.
    pub(super) fn size_hint(&self) -> usize {
        24 + self
            .cells
            .iter()
            .map(|cell| cell.value.len() + cell.path.as_ref().map_or(0, Vec::len) + 16)
            .sum::<usize>()
    }

    /// The cells that no earlier part of the statement deletes.
    fn undeleted<'r>(&self, mut present: Vec<Cell<'r>>) -> Vec<Cell<'r>> {
        let deleted = |cell: &Cell<'_>| {
            let same = |own: &BufferedCell<'_>| {
                own.path.as_deref() == cell.path && own.column == cell.column
            };
            self.cells
                .iter()
                .any(|own| matches!(own.kind, CellKind::Tombstone { .. }) && same(own))
        };
        present.retain(|cell| !deleted(cell));
        present
    }

    fn push(
        &mut self,
        column: ColumnId,
        timestamp: i64,
        kind: CellKind,
        path: Option<(Vec<u8>, Option<Vec<u8>>)>,
        value: Cow<'a, [u8]>,
    ) {
        let (path, original_path) =
            path.map_or((None, None), |(path, original)| (Some(path), original));
        self.cells.push(BufferedCell {
            column,
            timestamp,
            kind,
            path,
            original_path,
            value,
        });
    }

    /// Several increments of one counter are one of their sum.
    fn add_increments(&mut self) {
        let delta = |cell: &BufferedCell<'_>| {
            let bytes = cell.value.as_ref().try_into().map(i64::from_be_bytes);
            bytes.expect("an increment has eight bytes")
        };
        self.cells.dedup_by(|next, kept| {
            let same = next.kind == CellKind::Counter && next.column == kept.column;
            if same {
                let sum = delta(kept).wrapping_add(delta(next));
                kept.value = Cow::Owned(sum.to_be_bytes().to_vec());
            }
            same
        });
    }

    /// Writes the cells in order of place; of several at one place the strongest.
    pub(super) fn write(mut self, writer: &mut RowWriter<'_>) {
        self.cells
            .sort_by(|one, other| one.cell().compare_place(&other.cell()));
        self.add_increments();
        let mut cells = self.cells.iter().peekable();
        while let Some(mut strongest) = cells.next() {
            while let Some(next) =
                cells.next_if(|next| next.cell().compare_place(&strongest.cell()).is_eq())
            {
                if merge::stronger_cell(&next.cell(), &strongest.cell()) {
                    strongest = next;
                }
            }
            writer.cell(&strongest.cell());
        }
    }
}

/// The rows a statement reads before it writes.
#[derive(Debug, Default)]
pub struct CurrentRows {
    /// Answers, each of any number of partitions.
    pub responses: Vec<ReadResponse>,
}

impl CurrentRows {
    /// The clustering key of the first row of a partition.
    pub fn first_row(&self, key: &DecoratedKey) -> Option<&[u8]> {
        self.find_entry(key, |entry| match entry {
            ReadEntry::Row { clustering, .. } => Some(clustering),
            _ => None,
        })
    }

    /// The static row of a partition.
    pub fn static_row(&self, key: &DecoratedKey) -> Option<Row<'_>> {
        self.find(key, |entry| match entry {
            ReadEntry::Static(row) => Some(row),
            _ => None,
        })
    }

    /// A row.
    pub fn row(&self, key: &DecoratedKey, clustering: &[u8]) -> Option<Row<'_>> {
        self.find(key, |entry| match entry {
            ReadEntry::Row {
                clustering: found,
                row,
            } if found == clustering => Some(row),
            _ => None,
        })
    }

    fn find<'a>(
        &'a self,
        wanted: &DecoratedKey,
        pick: impl Fn(ReadEntry<'a>) -> Option<&'a [u8]>,
    ) -> Option<Row<'a>> {
        self.find_entry(wanted, pick).and_then(Row::parse)
    }

    fn find_entry<'a>(
        &'a self,
        wanted: &DecoratedKey,
        pick: impl Fn(ReadEntry<'a>) -> Option<&'a [u8]>,
    ) -> Option<&'a [u8]> {
        let mut inside = false;
        for entry in self.responses.iter().flat_map(ReadResponse::entries) {
            if let ReadEntry::Partition { key, .. } = entry {
                inside = key == &*wanted.key;
            } else if inside && let Some(found) = pick(entry) {
                return Some(found);
            }
        }
        None
    }
}

impl Operation {
    pub(super) fn is_static(&self) -> bool {
        self.column.kind == ColumnKind::Static
    }

    /// The column, if its present value must be read.
    pub(super) fn reads(&self) -> Option<ColumnId> {
        matches!(
            self.change,
            Change::SetIndex(..) | Change::DeleteIndex(_) | Change::DiscardValues(_)
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
        let id = self.column.id;
        let live = if stamp.ttl == 0 {
            CellKind::Live
        } else {
            CellKind::Expiring {
                ttl: stamp.ttl,
                expires: stamp.expires,
            }
        };
        let tombstone = CellKind::Tombstone {
            deleted_at: stamp.deletion.local_seconds,
        };
        let delete_at = |out: &mut CellBuffer<'a>, path| {
            out.push(id, stamp.timestamp, tombstone, path, Cow::Borrowed(&[]))
        };
        match &self.change {
            Change::Set(term) if self.column.ctype.is_multi_cell() => {
                self.replace(out, term.evaluate(values)?, context, stamp, live)
            }
            Change::Set(term) => {
                match term.evaluate(values)? {
                    Bound::Unset => {}
                    Bound::Null => delete_at(out, None),
                    Bound::Value(bytes) => out.push(id, stamp.timestamp, live, None, bytes),
                }
                Ok(())
            }
            Change::SetEntry(key, item) => {
                let path = self.entry_path(key, values)?;
                match item.evaluate(values)? {
                    Bound::Unset => {}
                    Bound::Null => delete_at(out, Some(path)),
                    Bound::Value(bytes) => out.push(id, stamp.timestamp, live, Some(path), bytes),
                }
                Ok(())
            }
            Change::SetField(index, item) => {
                let path = (field_path(*index), None);
                match item.evaluate(values)? {
                    Bound::Unset => {}
                    Bound::Null => delete_at(out, Some(path)),
                    Bound::Value(bytes) => out.push(id, stamp.timestamp, live, Some(path), bytes),
                }
                Ok(())
            }
            Change::Append(term) => self.elements(
                out,
                term.evaluate(values)?,
                context.list_position,
                context,
                stamp,
                live,
            ),
            Change::Prepend(term) => self.elements(
                out,
                term.evaluate(values)?,
                -context.list_position,
                context,
                stamp,
                live,
            ),
            Change::Discard(term) => {
                if let Bound::Value(bytes) = term.evaluate(values)? {
                    for item in value::elements(&bytes).flatten() {
                        delete_at(out, Some(self.path(item)));
                    }
                }
                Ok(())
            }
            Change::SetIndex(index, item) => {
                let present = out.undeleted(self.present(current, context));
                let path = index_path(index, values, &present, "set")?;
                match item.evaluate(values)? {
                    Bound::Unset => {}
                    Bound::Null => delete_at(out, Some((path, None))),
                    Bound::Value(bytes) => {
                        out.push(id, stamp.timestamp, live, Some((path, None)), bytes)
                    }
                }
                Ok(())
            }
            Change::DeleteIndex(index) => {
                let present = out.undeleted(self.present(current, context));
                let path = index_path(index, values, &present, "delete")?;
                delete_at(out, Some((path, None)));
                Ok(())
            }
            Change::DiscardValues(term) => {
                if let Bound::Value(bytes) = term.evaluate(values)? {
                    let unwanted: Vec<&[u8]> = value::elements(&bytes).flatten().collect();
                    for cell in self.present(current, context) {
                        if unwanted.contains(&cell.value) {
                            delete_at(out, cell.path.map(|path| (path.to_vec(), None)));
                        }
                    }
                }
                Ok(())
            }
            Change::Count(term, subtract) => {
                let Bound::Value(bytes) = term.evaluate(values)? else {
                    return match term.evaluate(values)? {
                        Bound::Unset => Ok(()),
                        _ => Err(invalid("Invalid null value for counter increment")),
                    };
                };
                let delta = i64::from_be_bytes(
                    bytes
                        .as_ref()
                        .try_into()
                        .map_err(|_| invalid("Invalid value for counter increment"))?,
                );
                if *subtract && delta == i64::MIN {
                    return Err(invalid(format!(
                        "The negation of {delta} overflows supported counter precision (signed 8 bytes integer)"
                    )));
                }
                let delta = if *subtract { -delta } else { delta };
                out.push(
                    id,
                    stamp.timestamp,
                    CellKind::Counter,
                    None,
                    Cow::Owned(delta.to_be_bytes().to_vec()),
                );
                Ok(())
            }
            Change::Delete if self.column.ctype.is_multi_cell() => {
                let kind = CellKind::CollectionDeletion {
                    deleted_at: stamp.deletion.local_seconds,
                };
                out.push(id, stamp.timestamp, kind, None, Cow::Borrowed(&[]));
                Ok(())
            }
            Change::Delete => {
                delete_at(out, None);
                Ok(())
            }
            Change::DeleteEntry(key) => {
                let path = self.entry_path(key, values)?;
                delete_at(out, Some(path));
                Ok(())
            }
            Change::DeleteField(index) => {
                delete_at(out, Some((field_path(*index), None)));
                Ok(())
            }
        }
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
            other => self.elements(out, other, context.list_position, context, stamp, live),
        }
    }

    /// Adds the elements of a collection.
    fn elements<'a>(
        &'a self,
        out: &mut CellBuffer<'a>,
        bound: Bound<'a>,
        position: i64,
        context: &WriteContext<'_>,
        stamp: &Stamp,
        live: CellKind,
    ) -> Result<(), RequestError> {
        let Bound::Value(bytes) = bound else {
            return Ok(());
        };
        let id = self.column.id;
        match &self.column.ctype {
            CqlType::List(..) => {
                for (index, item) in value::elements(&bytes).flatten().enumerate() {
                    let path = list_path(position, index as u32, context.origin);
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
