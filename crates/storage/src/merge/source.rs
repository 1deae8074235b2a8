//! One partition as one memtable or SSTable has it, handed over in chunks of rows.
//!
//! A chunk is what the source knows of a stretch of clustering positions: every row in it, and the deleted ranges that
//! reach into it. Reading forward a chunk begins where the last one ended; backward it ends where the last one began.

use super::View;
use super::disk::BlockCursor;
use super::fetch::{Fetch, Stop};
use crate::memtable::{PartitionView, RowRef};
use crate::sstable::block::{Block, RowSpan, Segment};
use crate::sstable::index::Spot;
use model::clustering::Slice;
use model::key::{DecoratedKey, Token};
use model::read::Direction;
use model::row::Deletion;
use model::tombstone::RangeTombstone;

/// Rows a memtable hands over at once.
const CHUNK_ROWS: usize = 128;

/// A partition in one source.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    place: Place<'a>,
    /// Index of the next row of the chunk.
    next: usize,
    /// Where the chunk ends: exclusive upper end reading forward, inclusive lower end reading backward. `None` before
    /// the first chunk.
    bound: Option<Vec<u8>>,
}

#[derive(Debug)]
enum Place<'a> {
    Memory {
        view: PartitionView<'a>,
        rows: Vec<RowRef>,
    },
    Disk {
        cursor: BlockCursor<'a>,
        segment: Segment,
        rows: Vec<RowSpan>,
        ranges: Vec<RangeTombstone>,
    },
}

impl<'a> Source<'a> {
    /// A memtable's partition.
    pub(crate) fn memory(view: PartitionView<'a>) -> Self {
        let rows = Vec::new();
        Self {
            place: Place::Memory { view, rows },
            next: 0,
            bound: None,
        }
    }

    /// An SSTable's partition, of which the cursor stands at a segment.
    pub(crate) fn disk(cursor: BlockCursor<'a>, segment: Segment) -> Self {
        let place = Place::Disk {
            cursor,
            segment,
            rows: Vec::new(),
            ranges: Vec::new(),
        };
        Self {
            place,
            next: 0,
            bound: None,
        }
    }

    /// Version of a memtable's partition.
    pub(crate) fn version(&self) -> Option<u32> {
        match &self.place {
            Place::Memory { view, .. } => Some(view.version()),
            Place::Disk { .. } => None,
        }
    }

    /// The partition's deletion.
    pub(crate) fn deletion(&self) -> Deletion {
        match &self.place {
            Place::Memory { view, .. } => view.deletion(),
            Place::Disk { segment, .. } => segment.deletion,
        }
    }

    /// Whether every row of it is alive, whatever the time is.
    pub(crate) fn is_all_live(&self) -> bool {
        match &self.place {
            Place::Memory { .. } => false,
            Place::Disk { cursor, .. } => cursor.is_all_live(),
        }
    }

    /// The partition's static row, if the cursor stands at its first segment.
    pub(crate) fn static_row(&self) -> Option<&[u8]> {
        match &self.place {
            Place::Memory { view, .. } => view.static_row(),
            Place::Disk {
                cursor, segment, ..
            } => segment.static_row.map(|row| row.of(cursor.bytes())),
        }
    }

    /// Whether the static row, if any, can be had from where the cursor stands.
    pub(crate) fn knows_static(&self) -> bool {
        match &self.place {
            Place::Memory { .. } => true,
            Place::Disk { segment, .. } => segment.from.is_none(),
        }
    }

    /// Whether another chunk is needed to go on from `at`.
    pub(crate) fn is_spent(&self, at: &[u8], direction: Direction) -> bool {
        match (&self.bound, direction) {
            (None, _) => true,
            (Some(bound), Direction::Forward) => at >= bound.as_slice(),
            (Some(bound), Direction::Backward) => at <= bound.as_slice(),
        }
    }

    /// Where the chunk ends.
    pub(crate) fn bound(&self) -> &[u8] {
        self.bound.as_deref().expect("a chunk is loaded")
    }

    /// Loads the chunk that goes on from `at` within the slice, of about `most` rows.
    pub(crate) fn load(
        &mut self,
        at: &[u8],
        slice: &Slice,
        direction: Direction,
        most: usize,
        fetch: &mut Fetch<'a>,
    ) -> Result<(), Stop> {
        let (from, to) = match direction {
            Direction::Forward => (at, slice.end.as_slice()),
            Direction::Backward => (slice.start.as_slice(), at),
        };
        let bound = match &mut self.place {
            Place::Memory { view, rows } => {
                rows.clear();
                let most = most.clamp(1, CHUNK_ROWS);
                match direction {
                    Direction::Forward => view.ascending(from, to, most, rows).unwrap_or(to),
                    Direction::Backward => view.descending(from, to, most, rows).unwrap_or(from),
                }
                .to_vec()
            }
            Place::Disk {
                cursor,
                segment,
                rows,
                ranges,
            } => {
                reach(cursor, segment, at, direction, fetch)?;
                rows.clear();
                let block = Block(cursor.bytes());
                let low = segment
                    .from
                    .map_or(&[][..], |span| span.of(block.0))
                    .max(from);
                let mut high = segment.upto.map_or(to, |span| span.of(block.0).min(to));
                // Backward the rows that are wanted are the last of what is there.
                let most = match direction {
                    Direction::Forward => most.max(1),
                    Direction::Backward => usize::MAX,
                };
                let left_out = block
                    .rows(segment, low, high, most, rows)
                    .ok_or_else(|| cursor.malformed())?;
                if let Some(key) = left_out {
                    high = key;
                }
                if direction == Direction::Backward {
                    rows.reverse();
                }
                ranges.clear();
                if Block::has_ranges(segment) {
                    ranges.extend(block.ranges(segment));
                }
                if direction == Direction::Forward {
                    high
                } else {
                    low
                }
                .to_vec()
            }
        };
        self.next = 0;
        self.bound = Some(bound);
        Ok(())
    }

    /// The next row of the chunk: its key and bytes.
    pub(crate) fn peek(&self) -> Option<(&[u8], &[u8])> {
        match &self.place {
            Place::Memory { view, rows } => rows.get(self.next).map(|row| view.row(*row)),
            Place::Disk { cursor, rows, .. } => {
                let row = rows.get(self.next)?;
                Some((row.key.of(cursor.bytes()), row.row.of(cursor.bytes())))
            }
        }
    }

    /// Steps past the row last peeked at.
    pub(crate) fn advance(&mut self) {
        self.next += 1;
    }

    /// The chunk's deleted ranges; those of a memtable are its whole partition's.
    pub(crate) fn ranges(&self) -> &[RangeTombstone] {
        match &self.place {
            Place::Memory { view, .. } => view.ranges().map_or(&[], |ranges| ranges.pieces()),
            Place::Disk { ranges, .. } => ranges,
        }
    }
}

/// Moves to the segment of the partition that covers what comes after (or before) `at`.
fn reach<'a>(
    cursor: &mut BlockCursor<'a>,
    segment: &mut Segment,
    at: &[u8],
    direction: Direction,
    fetch: &mut Fetch<'a>,
) -> Result<(), Stop> {
    let bytes = cursor.bytes();
    let beyond = match direction {
        Direction::Forward => segment
            .upto
            .map(|span| span.of(bytes))
            .filter(|upto| at >= *upto),
        Direction::Backward => segment
            .from
            .map(|span| span.of(bytes))
            .filter(|from| at <= *from),
    };
    let behind = match direction {
        Direction::Forward => segment.from.is_some_and(|span| at < span.of(bytes)),
        Direction::Backward => segment.upto.is_some_and(|span| at > span.of(bytes)),
    };
    if beyond.is_none() && !behind {
        return Ok(());
    }
    let neighbour = beyond == Some(at);
    let (token, key) = (segment.token, segment.key.of(bytes).to_vec());
    let found = match direction {
        Direction::Forward if neighbour => cursor.next(fetch)?,
        Direction::Backward if neighbour => cursor.previous(fetch)?,
        _ => {
            let spot = Spot {
                token,
                key: &key,
                clustering: Some(at),
            };
            let strictly = direction == Direction::Backward;
            BlockCursor::seek(cursor.table(), &spot, strictly, fetch)?
        }
    };
    // The index said that the partition goes on there.
    let found = found.ok_or_else(|| cursor.malformed())?;
    *segment = found.find(token, &key)?.ok_or_else(|| found.malformed())?;
    *cursor = found;
    Ok(())
}

/// The source of a partition in an SSTable, its cursor at the segment where a read from `at` begins; `None` if the
/// SSTable has no such partition.
pub(crate) fn open<'a>(
    table: &'a crate::sstable::SsTable,
    token: Token,
    key: &[u8],
    at: &[u8],
    direction: Direction,
    fetch: &mut Fetch<'a>,
) -> Result<Option<Source<'a>>, Stop> {
    let spot = Spot {
        token,
        key,
        clustering: Some(at),
    };
    let strictly = direction == Direction::Backward;
    let Some(cursor) = BlockCursor::seek(table, &spot, strictly, fetch)? else {
        return Ok(None);
    };
    if direction == Direction::Forward {
        cursor.note_place(fetch);
    }
    Ok(cursor
        .find(token, key)?
        .map(|segment| Source::disk(cursor, segment)))
}

/// Loads chunks where they are spent. All sources are asked, so that everything missing is read at once.
pub(super) fn load<'a>(
    sources: &mut [Source<'a>],
    at: &[u8],
    slice: &Slice,
    direction: Direction,
    most: usize,
    fetch: &mut Fetch<'a>,
) -> Result<(), Stop> {
    let mut missing = false;
    for source in sources {
        if source.is_spent(at, direction) {
            match source.load(at, slice, direction, most, fetch) {
                Ok(()) => {}
                Err(Stop::Missing) => missing = true,
                Err(failed) => return Err(failed),
            }
        }
    }
    if missing { Err(Stop::Missing) } else { Ok(()) }
}

/// The partition in every source that has it, for a read from `at` on.
pub(super) fn open_all<'a>(
    view: View<'a>,
    key: &DecoratedKey,
    at: &[u8],
    direction: Direction,
    fetch: &mut Fetch<'a>,
) -> Result<Vec<Source<'a>>, Stop> {
    let (token, key) = (key.token, &*key.key);
    let mut sources = Vec::with_capacity(view.memtables.len() + 2);
    let memtables = view.memtables.iter();
    sources.extend(
        memtables
            .filter_map(|memtable| memtable.get(token, key))
            .map(Source::memory),
    );
    let mut missing = false;
    for table in view
        .sstables
        .iter()
        .filter(|table| table.may_contain(token))
    {
        match open(table, token, key, at, direction, fetch) {
            Ok(source) => sources.extend(source),
            Err(Stop::Missing) => missing = true,
            Err(failed) => return Err(failed),
        }
    }
    if missing {
        Err(Stop::Missing)
    } else {
        Ok(sources)
    }
}

/// Changes whenever a memtable's part of the partition does, or moves to an SSTable.
pub(super) fn version(sources: &[Source<'_>]) -> u64 {
    let memory = sources.iter().filter_map(Source::version);
    memory.fold(0, |sum, version| sum + (1 << 32) + u64::from(version))
}
