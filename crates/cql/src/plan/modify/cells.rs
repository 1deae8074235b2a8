//! Cells being gathered for one row.

use model::merge;
use model::row::{Cell, CellKind, ColumnId, RowWriter};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

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
    /// As [`Cell::compare_place`]. Most cells differ in their columns, and to compare those is nearly for nothing.
    fn compare_place(&self, other: &Self) -> Ordering {
        let by_column = self.column.cmp(&other.column);
        by_column.then_with(|| self.cell().compare_place(&other.cell()))
    }

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
    /// With room for so many cells.
    pub(super) fn with_capacity(cells: usize) -> Self {
        Self {
            cells: Vec::with_capacity(cells),
        }
    }

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

    /// The live cells of a column in order, as they will be: those present, and over them what earlier parts of the
    /// statement did.
    pub(super) fn merged<'r>(&'r self, column: ColumnId, present: Vec<Cell<'r>>) -> Vec<Cell<'r>> {
        let own = self.cells.iter().filter(|cell| cell.column == column);
        let mut strongest: BTreeMap<Option<&'r [u8]>, Cell<'r>> = BTreeMap::new();
        for cell in present.into_iter().chain(own.map(BufferedCell::cell)) {
            let known = strongest.entry(cell.path).or_insert(cell);
            if merge::stronger_cell(&cell, known) {
                *known = cell;
            }
        }
        let live = |cell: &Cell<'_>| !matches!(cell.kind, CellKind::Tombstone { .. });
        strongest.into_values().filter(live).collect()
    }

    /// How many cells were gathered for a column.
    pub(super) fn count(&self, column: ColumnId) -> usize {
        self.cells
            .iter()
            .filter(|cell| cell.column == column)
            .count()
    }

    /// The value gathered for a column that has one cell.
    pub(super) fn value(&self, column: ColumnId) -> Option<Vec<u8>> {
        let cell = self.cells.iter().rfind(|cell| cell.column == column)?;
        Some(cell.value.to_vec())
    }

    /// Takes back what was gathered for a column.
    pub(super) fn forget(&mut self, column: ColumnId) {
        self.cells.retain(|cell| cell.column != column);
    }

    pub(super) fn push(
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
        self.cells.sort_by(BufferedCell::compare_place);
        self.add_increments();
        let mut cells = self.cells.iter().peekable();
        while let Some(mut strongest) = cells.next() {
            while let Some(next) = cells.next_if(|next| next.compare_place(strongest).is_eq()) {
                if merge::stronger_cell(&next.cell(), &strongest.cell()) {
                    strongest = next;
                }
            }
            writer.cell(&strongest.cell());
        }
    }
}
