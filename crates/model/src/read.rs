//! What a replica is asked to read and what it answers.
//!
//! A command names rows by partition key or by token range, and by clustering slices; the answer is one buffer of
//! partitions and rows in order, each row's bytes as stored and merged, ready to be merged again with other replicas'
//! answers. Counting (limits, page size) is of rows that are live at the command's own `now`, after its filter.

mod wire;

use crate::clustering::Slice;
use crate::filter::RowFilter;
use crate::key::{DecoratedKey, Token};
use crate::mutation::{get_deletion, get_range, put_deletion, put_range};
use crate::row::{ColumnId, Deletion};
use crate::schema::TableId;
use crate::varint;
use std::ops::Bound;

/// Which partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Partitions {
    /// One.
    Key(DecoratedKey),
    /// Those in a range of (token, key).
    Range(KeyRange),
}

/// An end of a range of partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyBound {
    /// Just below the first partition of the token.
    Before(Token),
    /// Just above the last partition of the token.
    After(Token),
    /// Just below one partition.
    BeforeKey(DecoratedKey),
    /// Just above one partition.
    AfterKey(DecoratedKey),
}

impl KeyBound {
    /// Whether a partition lies above the bound.
    pub fn is_below(&self, token: Token, key: &[u8]) -> bool {
        match self {
            Self::Before(bound) => token >= *bound,
            Self::After(bound) => token > *bound,
            Self::BeforeKey(bound) => (token, key) >= (bound.token, &bound.key),
            Self::AfterKey(bound) => (token, key) > (bound.token, &bound.key),
        }
    }

    /// The token the bound stands at.
    pub fn token(&self) -> Token {
        match self {
            Self::Before(token) | Self::After(token) => *token,
            Self::BeforeKey(key) | Self::AfterKey(key) => key.token,
        }
    }
}

/// The partitions above `start` and not above `end`. Never wraps: the ring's wrapping range is two of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// Lower end.
    pub start: KeyBound,
    /// Upper end.
    pub end: KeyBound,
}

impl KeyRange {
    /// Every partition.
    pub fn all() -> Self {
        Self {
            start: KeyBound::Before(Token::MIN),
            end: KeyBound::After(Token::MAX),
        }
    }

    /// Whether a partition is in the range.
    pub fn contains(&self, token: Token, key: &[u8]) -> bool {
        self.start.is_below(token, key) && !self.end.is_below(token, key)
    }
}

/// Which columns an answer carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Columns {
    /// All.
    All,
    /// These, ascending.
    Only(Vec<ColumnId>),
}

impl Columns {
    /// Whether `column` is carried.
    pub fn contains(&self, column: ColumnId) -> bool {
        match self {
            Self::All => true,
            Self::Only(ids) => ids.binary_search(&column).is_ok(),
        }
    }
}

/// In which order rows of a partition come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Clustering order.
    Forward,
    /// Against it.
    Backward,
}

/// How much a reader wants to know of what is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dead {
    /// Only live data: there is one replica, nobody else to compare with.
    Dropped,
    /// Tombstones too, for other replicas' answers to be merged with.
    Kept,
}

/// Limits of a read, in rows that a client would count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rows in all.
    pub rows: u64,
    /// Rows of any one partition.
    pub per_partition: u64,
    /// Encoded bytes of the answer: it ends with the row that reaches them.
    pub bytes: usize,
    /// Tombstones walked over: a read that meets more fails.
    pub tombstones: u64,
}

impl Limits {
    /// No limit but memory: the bytes of a page.
    pub const NONE: Self = Self {
        rows: u64::MAX,
        per_partition: u64::MAX,
        bytes: crate::limits::MAX_PAGE_BYTES,
        tombstones: u64::MAX,
    };
}

/// Where an earlier page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// The partition it ended in.
    pub key: DecoratedKey,
    /// The last row it held; `None` if the partition is done with.
    pub clustering: Option<Vec<u8>>,
    /// Rows that `per_partition` still allows in that partition.
    pub left_in_partition: u64,
    /// Whether that partition has given a row: if not, its static row alone may still count as one. So it is within a page alone.
    pub gave_rows: bool,
}

/// A read of one table, as a replica carries it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadCommand {
    /// The table.
    pub table: TableId,
    /// Which partitions.
    pub partitions: Partitions,
    /// Which rows: disjoint, ascending slices.
    pub slices: Vec<Slice>,
    /// In which order.
    pub direction: Direction,
    /// Which columns, static and regular.
    pub columns: Columns,
    /// Whether a partition whose static row is live but that has no row counts as one row. Not so when the statement
    /// restricts clustering columns or regular columns.
    pub static_counts: bool,
    /// What a row must satisfy.
    pub filter: RowFilter,
    /// How many rows at most.
    pub limits: Limits,
    /// Start after this.
    pub resume: Option<Resume>,
    /// The coordinator's wall clock in seconds: what expired by then is dead, on every replica.
    pub now_seconds: i64,
    /// Tombstones made before this second are not sent, on any replica.
    pub purge_before: i64,
    /// Whether tombstones are wanted.
    pub dead: Dead,
}

impl ReadCommand {
    /// All that lives in these partitions: every row and column, in the table's order, without limits; a partition that has a static
    /// row alone counts. The base of commands that want less, or more.
    pub fn all(table: TableId, partitions: Partitions, now_seconds: i64) -> Self {
        Self {
            table,
            partitions,
            slices: vec![Slice::all()],
            direction: Direction::Forward,
            columns: Columns::All,
            static_counts: true,
            filter: RowFilter::default(),
            limits: Limits::NONE,
            resume: None,
            now_seconds,
            purge_before: i64::MIN,
            dead: Dead::Dropped,
        }
    }

    /// The slice bounds as `std` ranges want them, for walking ordered maps.
    pub fn bounds(slice: &Slice) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (
            Bound::Included(slice.start.as_slice()),
            Bound::Excluded(slice.end.as_slice()),
        )
    }
}

const PARTITION: u8 = 1;
const STATIC: u8 = 2;
const ROW: u8 = 3;
const RANGE: u8 = 4;

/// The answer to a [`ReadCommand`]: entries in order, in one buffer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadResponse {
    /// Encoded entries.
    pub bytes: Vec<u8>,
    /// Whether a limit ended the read, so that there may be more.
    pub more: bool,
    /// Live rows in it, static-only partitions included.
    pub rows: u64,
    /// Tombstones walked over, for the warn and failure thresholds.
    pub tombstones: u64,
}

impl ReadResponse {
    /// Begins a partition.
    pub fn put_partition(&mut self, token: Token, key: &[u8], deletion: Deletion) {
        self.bytes.push(PARTITION);
        self.bytes.extend_from_slice(&token.0.to_be_bytes());
        varint::put_bytes(&mut self.bytes, key);
        put_deletion(&mut self.bytes, deletion);
    }

    /// The static row of the partition begun last.
    pub fn put_static(&mut self, row: &[u8]) {
        self.bytes.push(STATIC);
        varint::put_bytes(&mut self.bytes, row);
    }

    /// The next row of the partition begun last.
    pub fn put_row(&mut self, clustering: &[u8], row: &[u8]) {
        self.bytes.push(ROW);
        varint::put_bytes(&mut self.bytes, clustering);
        varint::put_bytes(&mut self.bytes, row);
    }

    /// A deleted range of the partition begun last; stands where its start stands in the read's direction.
    pub fn put_range(&mut self, slice: &Slice, deletion: Deletion) {
        self.bytes.push(RANGE);
        put_range(&mut self.bytes, slice, deletion);
    }

    /// Adds what was read on. It may go on in the partition that this ends with, whose head is there already.
    pub fn extend(&mut self, more: Self) {
        self.more = more.more;
        self.rows += more.rows;
        self.tombstones += more.tombstones;
        if self.bytes.is_empty() {
            self.bytes = more.bytes;
            return;
        }
        let partition = |entry: ReadEntry<'_>| match entry {
            ReadEntry::Partition { token, key, .. } => Some((token, key.to_vec())),
            _ => None,
        };
        let mut rest = more.bytes.as_slice();
        let first = ReadEntry::read(&mut rest).and_then(partition);
        let same = first.is_some() && self.entries().filter_map(partition).last() == first;
        if !same {
            return self.bytes.extend_from_slice(&more.bytes);
        }
        let mut behind = rest;
        if let Some(ReadEntry::Static(_)) = ReadEntry::read(&mut behind) {
            rest = behind;
        }
        self.bytes.extend_from_slice(rest);
    }

    /// The entries. Ends early on malformed bytes, which only another node could send and the frame checksum excludes.
    pub fn entries(&self) -> impl Iterator<Item = ReadEntry<'_>> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || ReadEntry::read(&mut rest))
    }
}

/// One entry of a [`ReadResponse`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadEntry<'a> {
    /// A partition begins.
    Partition {
        /// Its token.
        token: Token,
        /// Its key.
        key: &'a [u8],
        /// Its deletion.
        deletion: Deletion,
    },
    /// Its static row.
    Static(&'a [u8]),
    /// A row.
    Row {
        /// Clustering key.
        clustering: &'a [u8],
        /// Row bytes.
        row: &'a [u8],
    },
    /// A deleted range.
    Range {
        /// First key.
        start: &'a [u8],
        /// First bytes beyond.
        end: &'a [u8],
        /// Since when.
        deletion: Deletion,
    },
}

impl<'a> ReadEntry<'a> {
    fn read(rest: &mut &'a [u8]) -> Option<Self> {
        Some(match *varint::take(rest, 1)?.first()? {
            PARTITION => Self::Partition {
                token: Token(i64::from_be_bytes(varint::take(rest, 8)?.try_into().ok()?)),
                key: varint::get_bytes(rest)?,
                deletion: get_deletion(rest)?,
            },
            STATIC => Self::Static(varint::get_bytes(rest)?),
            ROW => Self::Row {
                clustering: varint::get_bytes(rest)?,
                row: varint::get_bytes(rest)?,
            },
            RANGE => {
                let (start, end, deletion) = get_range(rest)?;
                Self::Range {
                    start,
                    end,
                    deletion,
                }
            }
            _ => return None,
        })
    }
}
