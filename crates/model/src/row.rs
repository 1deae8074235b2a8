//! A row as bytes: the one encoding shared by mutations, the commit log, memtables, SSTables and the wire between nodes.
//!
//! ```text
//! row   := flags:u8 [liveness] [deletion] [original clustering] cell*            (docs/formats/row.md)
//! cell  := column:varint flags:u8 [timestamp] [expiry | deletion time] [path] [original path] [value]
//! ```
//! A row does not know its length or its clustering key: its container does. Cells stand in ascending order of
//! (column id, path), a collection deletion before the cells of its column, and no two cells share a place; a timestamp equal to the one
//! before it in the row is not written again. Readers walk the bytes and decode nothing they are not asked for.

use crate::read::Columns;
use crate::varint;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// The timestamp of a row or deletion that was never written.
pub const NO_TIMESTAMP: i64 = i64::MIN;
/// The expiry of what never expires, in seconds.
pub const NEVER: i64 = i64::MAX;

/// A column's number within its table: never used again, so that a dropped and re-added name cannot mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ColumnId(pub u32);

/// The row marker an INSERT leaves: the row exists even when all its columns are null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Liveness {
    /// Write time in microseconds.
    pub timestamp: i64,
    /// Seconds to live, 0 for ever.
    pub ttl: u32,
    /// Second at which it expires, [`NEVER`] without a TTL.
    pub expires: i64,
}

impl Liveness {
    /// Whether the marker still counts at `now`, in seconds.
    pub fn is_live(&self, now_seconds: i64) -> bool {
        self.expires > now_seconds
    }
}

/// A deletion: everything it covers with a timestamp up to its own is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Deletion {
    /// Time of the delete, in microseconds; what is as old or older is deleted.
    pub timestamp: i64,
    /// Second at which it was made by the clock of the node that made it: only for purging.
    pub local_seconds: i64,
}

impl Deletion {
    /// Covers nothing.
    pub const NONE: Self = Self {
        timestamp: NO_TIMESTAMP,
        local_seconds: i64::MIN,
    };

    /// Whether it covers anything.
    pub fn is_none(&self) -> bool {
        self.timestamp == NO_TIMESTAMP
    }

    /// Whether something written at `timestamp` is deleted by it.
    pub fn covers(&self, timestamp: i64) -> bool {
        timestamp <= self.timestamp
    }

    /// The stronger of the two: the later timestamp, then the later local time.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        if (self.timestamp, self.local_seconds) >= (other.timestamp, other.local_seconds) {
            self
        } else {
            other
        }
    }
}

/// What a cell is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellKind {
    /// A value.
    Live,
    /// A value for `ttl` seconds, until the second `expires`.
    Expiring {
        /// Seconds to live, as written.
        ttl: u32,
        /// Second at which it becomes a tombstone.
        expires: i64,
    },
    /// A deleted value.
    Tombstone {
        /// Second of the delete on the clock of its node.
        deleted_at: i64,
    },
    /// The deletion of all elements of a collection or fields of a user type up to the timestamp; has no path.
    CollectionDeletion {
        /// Second of the delete on the clock of its node.
        deleted_at: i64,
    },
    /// A counter: the value is a counter context ([`crate::merge::counter`]).
    Counter,
}

/// The path of a list element: position (sign bit flipped, so that prepended elements, which have negative positions,
/// come first), index within the statement, origin. Distinct for any two elements ever added.
pub fn list_path(position: i64, index: u32, origin: u32) -> Vec<u8> {
    let mut path = Vec::with_capacity(16);
    path.extend_from_slice(&(position ^ i64::MIN).to_be_bytes());
    path.extend_from_slice(&index.to_be_bytes());
    path.extend_from_slice(&origin.to_be_bytes());
    path
}

/// One cell, borrowed from a row's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell<'a> {
    /// The column.
    pub column: ColumnId,
    /// Write time in microseconds.
    pub timestamp: i64,
    /// What it is.
    pub kind: CellKind,
    /// Place within a collection or user type: byte-comparable element (set), key (map), time UUID (list) or
    /// big-endian field index (user type).
    pub path: Option<&'a [u8]>,
    /// The path's original value, where `path` cannot be decoded to it.
    pub original_path: Option<&'a [u8]>,
    /// The value as the protocol carries it; empty for tombstones and set elements.
    pub value: &'a [u8],
}

impl Cell<'_> {
    /// Whether it is a value at `now`, in seconds.
    pub fn is_live(&self, now_seconds: i64) -> bool {
        match self.kind {
            CellKind::Live | CellKind::Counter => true,
            CellKind::Expiring { expires, .. } => expires > now_seconds,
            CellKind::Tombstone { .. } | CellKind::CollectionDeletion { .. } => false,
        }
    }

    /// Place in the row: column, then collection deletion, then path.
    pub fn place(&self) -> (ColumnId, bool, Option<&[u8]>) {
        (
            self.column,
            !matches!(self.kind, CellKind::CollectionDeletion { .. }),
            self.path,
        )
    }

    /// Orders two cells by place.
    pub fn compare_place(&self, other: &Cell<'_>) -> Ordering {
        self.place().cmp(&other.place())
    }
}

mod row_flag {
    pub const LIVENESS: u8 = 1;
    pub const EXPIRING: u8 = 1 << 1;
    pub const DELETION: u8 = 1 << 2;
    pub const ORIGINAL_CLUSTERING: u8 = 1 << 3;
    pub const KNOWN: u8 = LIVENESS | EXPIRING | DELETION | ORIGINAL_CLUSTERING;
}

mod cell_flag {
    pub const SAME_TIMESTAMP: u8 = 1;
    pub const PATH: u8 = 1 << 1;
    pub const ORIGINAL_PATH: u8 = 1 << 2;
    pub const VALUE: u8 = 1 << 3;
    pub const KIND_SHIFT: u32 = 4;
    pub const KIND: u8 = 0b111 << KIND_SHIFT;
    pub const LIVE: u8 = 0;
    pub const EXPIRING: u8 = 1;
    pub const TOMBSTONE: u8 = 2;
    pub const COLLECTION_DELETION: u8 = 3;
    pub const COUNTER: u8 = 4;
}

/// Writes a row, cell by cell, into a buffer of the caller's.
#[derive(Debug)]
pub struct RowWriter<'a> {
    out: &'a mut Vec<u8>,
    flags_at: usize,
    last_timestamp: i64,
    cells: bool,
}

impl<'a> RowWriter<'a> {
    /// Begins a row at the end of `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        let flags_at = out.len();
        out.push(0);
        Self {
            out,
            flags_at,
            last_timestamp: NO_TIMESTAMP,
            cells: false,
        }
    }

    /// Sets the row marker. First of all, at most once.
    pub fn liveness(&mut self, liveness: Liveness) {
        assert_eq!(self.out[self.flags_at], 0, "liveness comes first");
        self.out[self.flags_at] |= row_flag::LIVENESS;
        varint::put_signed(self.out, liveness.timestamp);
        if liveness.ttl != 0 {
            self.out[self.flags_at] |= row_flag::EXPIRING;
            varint::put(self.out, u64::from(liveness.ttl));
            varint::put_signed(self.out, liveness.expires);
        }
        self.last_timestamp = liveness.timestamp;
    }

    /// Sets the row's deletion. After the liveness, before anything else.
    pub fn deletion(&mut self, deletion: Deletion) {
        assert!(
            self.out[self.flags_at] < row_flag::DELETION && !self.cells,
            "deletion comes second"
        );
        self.out[self.flags_at] |= row_flag::DELETION;
        varint::put_signed(self.out, deletion.timestamp);
        varint::put_signed(self.out, deletion.local_seconds);
    }

    /// Keeps the original bytes of the clustering values (as [`crate::key::join`] writes several). Before any cell.
    pub fn original_clustering(&mut self, bytes: &[u8]) {
        assert!(
            self.out[self.flags_at] < row_flag::ORIGINAL_CLUSTERING && !self.cells,
            "original clustering comes third"
        );
        self.out[self.flags_at] |= row_flag::ORIGINAL_CLUSTERING;
        varint::put_bytes(self.out, bytes);
    }

    /// Appends a cell. Cells come in ascending order of place.
    pub fn cell(&mut self, cell: &Cell<'_>) {
        self.cells = true;
        varint::put(self.out, u64::from(cell.column.0));
        let flags_at = self.out.len();
        let kind = match cell.kind {
            CellKind::Live => cell_flag::LIVE,
            CellKind::Expiring { .. } => cell_flag::EXPIRING,
            CellKind::Tombstone { .. } => cell_flag::TOMBSTONE,
            CellKind::CollectionDeletion { .. } => cell_flag::COLLECTION_DELETION,
            CellKind::Counter => cell_flag::COUNTER,
        };
        let mut flags = kind << cell_flag::KIND_SHIFT;
        self.out.push(0);
        if cell.timestamp == self.last_timestamp {
            flags |= cell_flag::SAME_TIMESTAMP;
        } else {
            varint::put_signed(self.out, cell.timestamp);
            self.last_timestamp = cell.timestamp;
        }
        match cell.kind {
            CellKind::Expiring { ttl, expires } => {
                varint::put(self.out, u64::from(ttl));
                varint::put_signed(self.out, expires);
            }
            CellKind::Tombstone { deleted_at } | CellKind::CollectionDeletion { deleted_at } => {
                varint::put_signed(self.out, deleted_at)
            }
            CellKind::Live | CellKind::Counter => {}
        }
        if let Some(path) = cell.path {
            flags |= cell_flag::PATH;
            varint::put_bytes(self.out, path);
        }
        if let Some(path) = cell.original_path {
            flags |= cell_flag::ORIGINAL_PATH;
            varint::put_bytes(self.out, path);
        }
        if !cell.value.is_empty() {
            flags |= cell_flag::VALUE;
            varint::put_bytes(self.out, cell.value);
        }
        self.out[flags_at] = flags;
    }

    /// Whether anything at all was written.
    pub fn is_empty(&self) -> bool {
        !self.cells && self.out[self.flags_at] & (row_flag::LIVENESS | row_flag::DELETION) == 0
    }
}

/// A row's bytes with its head decoded.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// The row marker.
    pub liveness: Option<Liveness>,
    /// The row's own deletion, [`Deletion::NONE`] without one.
    pub deletion: Deletion,
    /// Clustering values that their encoding cannot give back.
    pub original_clustering: Option<&'a [u8]>,
    cells: &'a [u8],
    base_timestamp: i64,
}

impl<'a> Row<'a> {
    /// Reads the head; `None` if the bytes are no row.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (&flags, mut rest) = bytes.split_first()?;
        if flags & !row_flag::KNOWN != 0 {
            return None;
        }
        let mut liveness = None;
        let mut base_timestamp = NO_TIMESTAMP;
        if flags & row_flag::LIVENESS != 0 {
            let timestamp = varint::get_signed(&mut rest)?;
            base_timestamp = timestamp;
            let (mut ttl, mut expires) = (0, NEVER);
            if flags & row_flag::EXPIRING != 0 {
                ttl = u32::try_from(varint::get(&mut rest)?).ok()?;
                expires = varint::get_signed(&mut rest)?;
            }
            liveness = Some(Liveness {
                timestamp,
                ttl,
                expires,
            });
        }
        let mut deletion = Deletion::NONE;
        if flags & row_flag::DELETION != 0 {
            deletion = Deletion {
                timestamp: varint::get_signed(&mut rest)?,
                local_seconds: varint::get_signed(&mut rest)?,
            };
        }
        let mut original_clustering = None;
        if flags & row_flag::ORIGINAL_CLUSTERING != 0 {
            original_clustering = Some(varint::get_bytes(&mut rest)?);
        }
        Some(Self {
            liveness,
            deletion,
            original_clustering,
            cells: rest,
            base_timestamp,
        })
    }

    /// The cells in order. A cell that cannot be read ends the walk: bytes from outside are checked by [`Self::verify`] first.
    pub fn cells(&self) -> Cells<'a> {
        Cells {
            rest: self.cells,
            last_timestamp: self.base_timestamp,
            broken: false,
        }
    }

    /// Whether every byte of the row decodes and its cells are in order: for rows that came from outside.
    pub fn verify(bytes: &[u8]) -> bool {
        let Some(row) = Row::parse(bytes) else {
            return false;
        };
        let mut cells = row.cells();
        let mut previous: Option<Cell<'_>> = None;
        for cell in cells.by_ref() {
            if previous.is_some_and(|before| before.compare_place(&cell) != Ordering::Less) {
                return false;
            }
            previous = Some(cell);
        }
        !cells.broken
    }

    /// The cell of a column that has one only.
    pub fn cell(&self, column: ColumnId) -> Option<Cell<'a>> {
        self.cells()
            .find(|cell| cell.column >= column)
            .filter(|cell| cell.column == column)
    }

    /// Whether a reader at `now` (seconds) sees the row: a live marker or any live cell.
    pub fn is_live(&self, now_seconds: i64) -> bool {
        self.liveness
            .is_some_and(|liveness| liveness.is_live(now_seconds))
            || self.cells().any(|cell| cell.is_live(now_seconds))
    }
}

impl Row<'_> {
    /// Appends what is live of a row that is: cells of the columns that there are and that are wanted, and one cell of another,
    /// without its value, if nothing else shows that the row is alive.
    pub fn put_live(
        &self,
        now_seconds: i64,
        exists: impl Fn(ColumnId) -> bool,
        wanted: &Columns,
        out: &mut Vec<u8>,
    ) {
        let mut writer = RowWriter::new(out);
        let marker = self.liveness;
        if let Some(liveness) = marker.filter(|liveness| liveness.is_live(now_seconds)) {
            writer.liveness(liveness);
        }
        let mut shown = !writer.is_empty();
        if let Some(original) = self.original_clustering {
            writer.original_clustering(original);
        }
        let seen = |cell: &Cell<'_>| cell.is_live(now_seconds) && exists(cell.column);
        shown |= self
            .cells()
            .any(|cell| seen(&cell) && wanted.contains(cell.column));
        for cell in self.cells().filter(seen) {
            if wanted.contains(cell.column) {
                writer.cell(&cell);
            } else if !shown {
                writer.cell(&Cell { value: &[], ..cell });
                shown = true;
            }
        }
    }
}

/// Walks the cells of a row.
#[derive(Debug, Clone)]
pub struct Cells<'a> {
    rest: &'a [u8],
    last_timestamp: i64,
    broken: bool,
}

/// Flags of a cell with a value, written with the row: nearly all cells are such.
const COMMON: u8 = cell_flag::SAME_TIMESTAMP | cell_flag::VALUE;

impl<'a> Cells<'a> {
    /// The next cell, if it is a value written with the row, by its column and bytes; otherwise the walk stays where it
    /// is. Such a cell is live whatever the time is, and nearly all are such: a caller that asks for them first and for
    /// [`Iterator::next`] where there is none walks a row without making a [`Cell`] of each.
    #[inline]
    pub fn next_plain(&mut self) -> Option<(ColumnId, &'a [u8])> {
        let (&column, rest) = self.rest.split_first()?;
        let (&flags, mut rest) = rest.split_first()?;
        // A column of a larger id takes more bytes.
        if column & 0x80 != 0 || flags != COMMON {
            return None;
        }
        let value = varint::get_bytes(&mut rest)?;
        self.rest = rest;
        Some((ColumnId(u32::from(column)), value))
    }

    #[inline]
    fn read(&mut self) -> Option<Cell<'a>> {
        let rest = &mut self.rest;
        let column = ColumnId(u32::try_from(varint::get(rest)?).ok()?);
        let flags = *varint::take(rest, 1)?.first()?;
        if flags != COMMON {
            return self.read_uncommon(column, flags);
        }
        Some(Cell {
            column,
            timestamp: self.last_timestamp,
            kind: CellKind::Live,
            path: None,
            original_path: None,
            value: varint::get_bytes(rest)?,
        })
    }

    #[cold]
    fn read_uncommon(&mut self, column: ColumnId, flags: u8) -> Option<Cell<'a>> {
        let rest = &mut self.rest;
        if flags & cell_flag::SAME_TIMESTAMP == 0 {
            self.last_timestamp = varint::get_signed(rest)?;
        }
        let kind = match (flags & cell_flag::KIND) >> cell_flag::KIND_SHIFT {
            cell_flag::LIVE => CellKind::Live,
            cell_flag::EXPIRING => CellKind::Expiring {
                ttl: u32::try_from(varint::get(rest)?).ok()?,
                expires: varint::get_signed(rest)?,
            },
            cell_flag::TOMBSTONE => CellKind::Tombstone {
                deleted_at: varint::get_signed(rest)?,
            },
            cell_flag::COLLECTION_DELETION => CellKind::CollectionDeletion {
                deleted_at: varint::get_signed(rest)?,
            },
            cell_flag::COUNTER => CellKind::Counter,
            _ => return None,
        };
        let mut part = |flag: u8| {
            if flags & flag == 0 {
                Some(None)
            } else {
                varint::get_bytes(rest).map(Some)
            }
        };
        let path = part(cell_flag::PATH)?;
        let original_path = part(cell_flag::ORIGINAL_PATH)?;
        let value = part(cell_flag::VALUE)?.unwrap_or_default();
        Some(Cell {
            column,
            timestamp: self.last_timestamp,
            kind,
            path,
            original_path,
            value,
        })
    }
}

impl<'a> Iterator for Cells<'a> {
    type Item = Cell<'a>;

    #[inline]
    fn next(&mut self) -> Option<Cell<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let cell = self.read();
        if cell.is_none() {
            self.broken = true;
            self.rest = &[];
        }
        cell
    }
}
