//! The inside of a data block: segments of partitions, each with its rows.
//!
//! ```text
//! block   := segment* token:i64le* offset:u32le* segments:u32le
//! segment := flags:u8 key:bytes [deletion] [static row:bytes] [from:bytes] [upto:bytes]
//!            ranges:varint range* rows:varint restarts:varint restart:u32le* (clustering:bytes row:bytes)*
//! ```
//! A partition is one segment unless it is wider than a block; then each block holds a segment of it that covers the
//! clustering positions from `from` (absent in the first) below `upto` (absent in the last) and repeats the partition's
//! deletion and every deleted range that reaches into it. So a block is understood without its neighbours; only the
//! static row stands in the first alone. Every sixteenth row's offset (from the first row) is a restart. Tokens stand
//! together at the end, one a segment, so that looking for one touches few cache lines.

use crate::format::{u32_at, u64_at};
use model::clustering::Slice;
use model::key::Token;
use model::mutation::{get_deletion, get_range, put_deletion, put_range};
use model::row::{Deletion, Row};
use model::tombstone::RangeTombstone;
use model::touch::touch;
use model::varint;
use std::cmp::Ordering;

const FIRST: u8 = 1;
const LAST: u8 = 2;
const HAS_DELETION: u8 = 4;
const HAS_STATIC: u8 = 8;
/// Rows between two restarts.
const RESTART_ROWS: u32 = 16;
/// Most bytes of rows fetched before they are walked: more would push each other out of the nearest cache.
const MAX_TOUCHED_BYTES: usize = 8 << 10;
/// Segments whose tokens are worth fetching together: a search among more looks at a fraction of them.
const FEW_SEGMENTS: usize = 128;

/// Builds the segments of one block.
#[derive(Debug, Default)]
pub(crate) struct BlockBuilder {
    bytes: Vec<u8>,
    tokens: Vec<i64>,
    segments: Vec<u32>,
}

/// What a segment is made of, but for its rows.
#[derive(Debug)]
pub(crate) struct SegmentHead<'a> {
    pub token: Token,
    pub key: &'a [u8],
    pub deletion: Deletion,
    pub static_row: Option<&'a [u8]>,
    /// Lower end; `None` in a partition's first segment.
    pub from: Option<&'a [u8]>,
    /// Upper end; `None` in a partition's last segment.
    pub upto: Option<&'a [u8]>,
    pub ranges: &'a [RangeTombstone],
}

/// The rows of a segment being collected.
#[derive(Debug, Default)]
pub(crate) struct SegmentRows {
    bytes: Vec<u8>,
    restarts: Vec<u32>,
    count: u32,
}

impl SegmentRows {
    /// Adds the next row.
    pub(crate) fn push(&mut self, clustering: &[u8], row: &[u8]) {
        if self.count > 0 && self.count.is_multiple_of(RESTART_ROWS) {
            self.restarts.push(self.bytes.len() as u32);
        }
        self.count += 1;
        varint::put_bytes(&mut self.bytes, clustering);
        varint::put_bytes(&mut self.bytes, row);
    }

    /// Bytes of rows so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.restarts.clear();
        self.count = 0;
    }
}

impl BlockBuilder {
    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no segment.
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Adds a segment and empties `rows`.
    pub(crate) fn push(&mut self, head: &SegmentHead<'_>, rows: &mut SegmentRows) {
        self.tokens.push(head.token.0);
        self.segments.push(self.bytes.len() as u32);
        let out = &mut self.bytes;
        let flags = u8::from(head.from.is_none()) * FIRST
            | u8::from(head.upto.is_none()) * LAST
            | u8::from(!head.deletion.is_none()) * HAS_DELETION
            | u8::from(head.static_row.is_some()) * HAS_STATIC;
        out.push(flags);
        varint::put_bytes(out, head.key);
        if !head.deletion.is_none() {
            put_deletion(out, head.deletion);
        }
        for part in [head.static_row, head.from, head.upto]
            .into_iter()
            .flatten()
        {
            varint::put_bytes(out, part);
        }
        varint::put(out, head.ranges.len() as u64);
        for range in head.ranges {
            put_range(out, &range.slice, range.deletion);
        }
        varint::put(out, u64::from(rows.count));
        varint::put(out, rows.restarts.len() as u64);
        out.extend(
            rows.restarts
                .iter()
                .flat_map(|restart| restart.to_le_bytes()),
        );
        out.extend_from_slice(&rows.bytes);
        rows.clear();
    }

    /// The finished block; the builder is empty after [`Self::clear`].
    pub(crate) fn finish(&mut self) -> &[u8] {
        let tokens = self.tokens.iter().flat_map(|token| token.to_le_bytes());
        self.bytes.extend(tokens);
        let segments = self.segments.iter().flat_map(|offset| offset.to_le_bytes());
        self.bytes.extend(segments);
        self.bytes
            .extend((self.segments.len() as u32).to_le_bytes());
        &self.bytes
    }

    /// Begins the next block.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.tokens.clear();
        self.segments.clear();
    }
}

/// Offsets of parts of a block: what a cursor keeps while it holds the block by reference count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    at: u32,
    length: u32,
}

impl Span {
    /// The bytes in the block.
    #[inline]
    pub(crate) fn of(self, block: &[u8]) -> &[u8] {
        &block[self.at as usize..(self.at + self.length) as usize]
    }
}

/// A row of a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowSpan {
    /// Its clustering key.
    pub key: Span,
    /// Its bytes.
    pub row: Span,
}

/// A segment's head, decoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    pub token: Token,
    pub key: Span,
    pub deletion: Deletion,
    pub static_row: Option<Span>,
    /// Lower end of what it covers; `None` if it is its partition's first.
    pub from: Option<Span>,
    /// Upper end; `None` if it is its partition's last.
    pub upto: Option<Span>,
    ranges: u32,
    ranges_at: u32,
    rows: u32,
    restarts: u32,
    restarts_at: u32,
}

/// Reads a block's bytes. Everything is `None` where the bytes are no block: a defect that a checksum did not see.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block<'a>(pub(crate) &'a [u8]);

impl<'a> Block<'a> {
    /// Segments in the block.
    pub(crate) fn segments(self) -> usize {
        match self.0.len() {
            length if length >= 4 => u32_at(self.0, length - 4) as usize,
            _ => 0,
        }
    }

    /// Where tokens and offsets begin, and how many there are.
    fn table(self) -> Option<(usize, usize, usize)> {
        let count = self.segments();
        let tokens = self.0.len().checked_sub(4 + count.checked_mul(12)?)?;
        Some((tokens, tokens + 8 * count, count))
    }

    fn segment_at(self, index: usize) -> Option<(usize, usize)> {
        let (tokens, offsets, count) = self.table()?;
        if index >= count {
            return None;
        }
        let start = u32_at(self.0, offsets + 4 * index) as usize;
        let end = if index + 1 < count {
            u32_at(self.0, offsets + 4 * index + 4) as usize
        } else {
            tokens
        };
        (start < end && end <= tokens).then_some((start, end))
    }

    fn token_at(self, tokens: usize, index: usize) -> i64 {
        u64_at(self.0, tokens + 8 * index) as i64
    }

    /// Key of a segment.
    fn key_at(self, index: usize) -> Option<&'a [u8]> {
        let (start, end) = self.segment_at(index)?;
        varint::get_bytes(&mut &self.0[start + 1..end])
    }

    /// The first segment whose partition is not below the given one, whether it is that one, and its index.
    pub(crate) fn find(self, token: Token, key: &[u8]) -> Option<(usize, bool)> {
        let (tokens, offsets, count) = self.table()?;
        if count <= FEW_SEGMENTS {
            touch(&self.0[tokens..offsets]);
        }
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low.midpoint(high);
            if self.token_at(tokens, middle) < token.0 {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        // Several keys with one token are next to each other, and next to none.
        while low < count && self.token_at(tokens, low) == token.0 {
            match self.key_at(low)?.cmp(key) {
                Ordering::Less => low += 1,
                order => return Some((low, order == Ordering::Equal)),
            }
        }
        Some((low, false))
    }

    /// Decodes a segment's head.
    pub(crate) fn segment(self, index: usize) -> Option<Segment> {
        let (start, end) = self.segment_at(index)?;
        let mut rest = &self.0[start..end];
        let at = |rest: &[u8]| (end - rest.len()) as u32;
        let span = |rest: &mut &[u8]| {
            let length = varint::get_bytes(rest)?.len() as u32;
            Some(Span {
                at: at(rest) - length,
                length,
            })
        };
        let flags = varint::take(&mut rest, 1)?[0];
        let token = Token(self.token_at(self.table()?.0, index));
        let key = span(&mut rest)?;
        let deletion = if flags & HAS_DELETION == 0 {
            Deletion::NONE
        } else {
            get_deletion(&mut rest)?
        };
        let mut part = |present: bool| {
            if present {
                span(&mut rest).map(Some)
            } else {
                Some(None)
            }
        };
        let static_row = part(flags & HAS_STATIC != 0)?;
        let from = part(flags & FIRST == 0)?;
        let upto = part(flags & LAST == 0)?;
        let ranges = u32::try_from(varint::get(&mut rest)?).ok()?;
        let ranges_at = at(rest);
        for _ in 0..ranges {
            get_range(&mut rest)?;
        }
        let rows = u32::try_from(varint::get(&mut rest)?).ok()?;
        let restarts = u32::try_from(varint::get(&mut rest)?).ok()?;
        let restarts_at = at(rest);
        varint::take(&mut rest, (restarts as usize).checked_mul(4)?)?;
        Some(Segment {
            token,
            key,
            deletion,
            static_row,
            from,
            upto,
            ranges,
            ranges_at,
            rows,
            restarts,
            restarts_at,
        })
    }

    /// The deleted ranges of a segment.
    pub(crate) fn ranges(self, segment: &Segment) -> impl Iterator<Item = RangeTombstone> + 'a {
        let mut rest = &self.0[segment.ranges_at as usize..];
        (0..segment.ranges).map_while(move |_| {
            let (start, end, deletion) = get_range(&mut rest)?;
            Some(RangeTombstone {
                slice: Slice {
                    start: start.to_vec(),
                    end: end.to_vec(),
                },
                deletion,
            })
        })
    }

    /// Whether the segment has all there is of its partition in a slice.
    pub(crate) fn covers(self, segment: &Segment, slice: &Slice) -> bool {
        let (from, upto) = (segment.from, segment.upto);
        from.is_none_or(|from| from.of(self.0) <= slice.start.as_slice())
            && upto.is_none_or(|upto| upto.of(self.0) >= slice.end.as_slice())
    }

    /// Whether the segment has deleted ranges.
    pub(crate) fn has_ranges(segment: &Segment) -> bool {
        segment.ranges > 0
    }

    /// Puts up to `most` rows with keys in `from..to` into `out`, which is empty, ascending; returns the first key left out. The outer
    /// `None` means the bytes are no block.
    pub(crate) fn rows(
        self,
        segment: &Segment,
        from: &[u8],
        to: &[u8],
        most: usize,
        out: &mut Vec<RowSpan>,
    ) -> Option<Option<&'a [u8]>> {
        let (at, mut index) = self.restart(segment, from)?;
        let mut rest = self.0.get(at..)?;
        if most < segment.rows as usize {
            // As many bytes as rows that are skipped and rows that are wanted take on average.
            let row_bytes = rest.len().div_ceil(segment.rows as usize);
            let rows = most + RESTART_ROWS as usize / 2;
            let bytes = (rows * row_bytes).min(MAX_TOUCHED_BYTES);
            touch(&rest[..rest.len().min(bytes)]);
        }
        out.reserve(most.min((segment.rows.saturating_sub(index)) as usize));
        while index < segment.rows {
            let (key, key_span) = self.bytes(&mut rest)?;
            if key >= to {
                break;
            }
            let (_, row_span) = self.bytes(&mut rest)?;
            // What follows a row that is not below `from` is not either.
            if !out.is_empty() || key >= from {
                if out.len() == most {
                    return Some(Some(key));
                }
                out.push(RowSpan {
                    key: key_span,
                    row: row_span,
                });
            }
            index += 1;
        }
        Some(None)
    }

    /// The first row with a key in `from..to`. The outer `None` means the bytes are no block.
    pub(crate) fn first_row(
        self,
        segment: &Segment,
        from: &[u8],
        to: &[u8],
    ) -> Option<Option<RowSpan>> {
        let (at, index) = self.restart(segment, from)?;
        let mut rest = self.0.get(at..)?;
        for _ in index..segment.rows {
            let (found, key) = self.bytes(&mut rest)?;
            if found >= to {
                break;
            }
            let (_, row) = self.bytes(&mut rest)?;
            if found >= from {
                return Some(Some(RowSpan { key, row }));
            }
        }
        Some(None)
    }

    /// Where the last restart begins whose row is not above `from`, and how many rows are before it.
    fn restart(self, segment: &Segment, from: &[u8]) -> Option<(usize, u32)> {
        let rows_at = segment.restarts_at as usize + 4 * segment.restarts as usize;
        let (mut at, mut index) = (rows_at, 0);
        let (mut low, mut high) = (0, segment.restarts);
        while low < high {
            let middle = low.midpoint(high);
            let restart =
                rows_at + u32_at(self.0, (segment.restarts_at + 4 * middle) as usize) as usize;
            let key = varint::get_bytes(&mut self.0.get(restart..)?)?;
            if key <= from {
                (at, index) = (restart, (middle + 1) * RESTART_ROWS);
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Some((at, index))
    }

    /// Takes a length and that many bytes off `rest`, which ends where the block does; also says where they are.
    #[inline]
    fn bytes(self, rest: &mut &'a [u8]) -> Option<(&'a [u8], Span)> {
        let part = varint::get_bytes(rest)?;
        let length = part.len() as u32;
        let at = (self.0.len() - rest.len()) as u32 - length;
        Some((part, Span { at, length }))
    }

    /// Whether every byte is as a block's should be: for the fuzzers and for scrubbing.
    pub(crate) fn verify(self) -> bool {
        let mut rows = Vec::new();
        (0..self.segments()).all(|index| {
            let Some(segment) = self.segment(index) else {
                return false;
            };
            rows.clear();
            self.rows(&segment, &[], &[0xff; 8], usize::MAX, &mut rows)
                .is_some()
                && self.ranges(&segment).count() == segment.ranges as usize
                && rows.iter().all(|row| Row::verify(row.row.of(self.0)))
        }) && self.segments() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_every_row(counts in proptest::collection::vec(0u32..70, 1..6), from in 0u32..80, to in 0u32..80, most in 1usize..90) {
            let mut builder = BlockBuilder::default();
            let mut rows = SegmentRows::default();
            for (index, &count) in counts.iter().enumerate() {
                for row in 0..count {
                    rows.push(&row.to_be_bytes(), &[row as u8; 5]);
                }
                let head = SegmentHead {
                    token: Token(index as i64 * 10),
                    key: b"key",
                    deletion: Deletion::NONE,
                    static_row: (index == 1).then_some(&b"static"[..]),
                    from: None,
                    upto: None,
                    ranges: &[],
                };
                builder.push(&head, &mut rows);
            }
            let bytes = builder.finish().to_vec();
            let block = Block(&bytes);
            for (index, &count) in counts.iter().enumerate() {
                prop_assert_eq!(block.find(Token(index as i64 * 10), b"key"), Some((index, true)));
                prop_assert_eq!(block.find(Token(index as i64 * 10), b"kez"), Some((index + 1, false)));
                let segment = block.segment(index).unwrap();
                prop_assert_eq!(segment.static_row.map(|row| row.of(&bytes)), (index == 1).then_some(&b"static"[..]));
                let mut found = Vec::new();
                let left_out = block.rows(&segment, &from.to_be_bytes(), &to.to_be_bytes(), most, &mut found).unwrap();
                let keys: Vec<&[u8]> = found.iter().map(|row| row.key.of(&bytes)).collect();
                let first = block.first_row(&segment, &from.to_be_bytes(), &to.to_be_bytes()).unwrap();
                prop_assert_eq!(first.map(|row| row.key.of(&bytes)), keys.first().copied());
                let mut wanted: Vec<[u8; 4]> = (from..to.min(count)).map(u32::to_be_bytes).collect();
                prop_assert_eq!(left_out, wanted.get(most).map(|key| &key[..]));
                wanted.truncate(most);
                prop_assert_eq!(keys, wanted.iter().map(|key| &key[..]).collect::<Vec<_>>());
            }
        }

        #[test]
        fn bytes_of_any_kind_do_no_harm(bytes: Vec<u8>) {
            let block = Block(&bytes);
            block.verify();
            block.find(Token(0), b"key");
        }
    }
}
