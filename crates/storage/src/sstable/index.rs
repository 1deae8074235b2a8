//! The index: where each data block begins, in blocks of its own under one root that stays in memory.
//!
//! ```text
//! index block := entry* token:i64le* entry_offset:u32le* entries:u32le
//! entry       := flags:u8 key:bytes [clustering:bytes] offset:varint length:varint
//! ```
//! An entry's place is that of the first thing in its block: a partition, or a clustering position within one. The
//! entry that holds a wanted place is therefore the last one not above it. The root has the same bytes, its entries
//! name index blocks.

use crate::format::{u32_at, u64_at};
use model::key::Token;
use model::varint;
use std::cmp::Ordering;

const CONTINUES: u8 = 1;

/// Where a block is in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Handle {
    /// Bytes from the file's start.
    pub offset: u64,
    /// Bytes of the block with its head.
    pub length: u32,
}

/// A place in the file's order: a partition's beginning, or a clustering position in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot<'a> {
    /// The partition's token.
    pub token: Token,
    /// Its key.
    pub key: &'a [u8],
    /// Position within it; `None` is before its first row and its static row.
    pub clustering: Option<&'a [u8]>,
}

impl Spot<'_> {
    fn compare(&self, other: &Spot<'_>) -> Ordering {
        // `None` sorts before every position, as it should.
        (self.token, self.key, self.clustering).cmp(&(other.token, other.key, other.clustering))
    }
}

/// An entry of an index.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    /// What its block begins with.
    pub spot: Spot<'a>,
    /// The block.
    pub handle: Handle,
}

/// Builds one index block.
#[derive(Debug, Default)]
pub(crate) struct IndexBuilder {
    bytes: Vec<u8>,
    tokens: Vec<i64>,
    entries: Vec<u32>,
}

impl IndexBuilder {
    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds an entry; they come in order.
    pub(crate) fn push(&mut self, entry: &Entry<'_>) {
        self.tokens.push(entry.spot.token.0);
        self.entries.push(self.bytes.len() as u32);
        let out = &mut self.bytes;
        out.push(u8::from(entry.spot.clustering.is_some()) * CONTINUES);
        varint::put_bytes(out, entry.spot.key);
        if let Some(clustering) = entry.spot.clustering {
            varint::put_bytes(out, clustering);
        }
        varint::put(out, entry.handle.offset);
        varint::put(out, u64::from(entry.handle.length));
    }

    /// The finished block; the builder is empty after [`Self::clear`].
    pub(crate) fn finish(&mut self) -> &[u8] {
        let tokens = self.tokens.iter().flat_map(|token| token.to_le_bytes());
        self.bytes.extend(tokens);
        let entries = self.entries.iter().flat_map(|offset| offset.to_le_bytes());
        self.bytes.extend(entries);
        self.bytes.extend((self.entries.len() as u32).to_le_bytes());
        &self.bytes
    }

    /// Begins the next block.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.tokens.clear();
        self.entries.clear();
    }
}

/// Reads an index block. `None` where the bytes are none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Index<'a>(pub(crate) &'a [u8]);

impl<'a> Index<'a> {
    /// Entries in it.
    pub(crate) fn len(self) -> usize {
        match self.0.len() {
            length if length >= 4 => u32_at(self.0, length - 4) as usize,
            _ => 0,
        }
    }

    /// Where tokens and offsets begin, and how many there are.
    fn table(self) -> Option<(usize, usize, usize)> {
        let count = self.len();
        let tokens = self.0.len().checked_sub(4 + count.checked_mul(12)?)?;
        Some((tokens, tokens + 8 * count, count))
    }

    /// An entry.
    pub(crate) fn get(self, index: usize) -> Option<Entry<'a>> {
        let (tokens, offsets, count) = self.table()?;
        if index >= count {
            return None;
        }
        let token = Token(u64_at(self.0, tokens + 8 * index) as i64);
        let start = u32_at(self.0, offsets + 4 * index) as usize;
        let mut rest = self.0.get(start..tokens)?;
        let rest = &mut rest;
        let flags = varint::take(rest, 1)?[0];
        let key = varint::get_bytes(rest)?;
        let clustering = if flags & CONTINUES == 0 {
            None
        } else {
            Some(varint::get_bytes(rest)?)
        };
        Some(Entry {
            spot: Spot {
                token,
                key,
                clustering,
            },
            handle: Handle {
                offset: varint::get(rest)?,
                length: u32::try_from(varint::get(rest)?).ok()?,
            },
        })
    }

    /// The last entry not above `spot`, or below it if `strictly`; `Some(None)` if there is none.
    pub(crate) fn find(self, spot: &Spot<'_>, strictly: bool) -> Option<Option<usize>> {
        let (tokens, _, count) = self.table()?;
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low.midpoint(high);
            let below = match (u64_at(self.0, tokens + 8 * middle) as i64).cmp(&spot.token.0) {
                Ordering::Less => true,
                Ordering::Greater => false,
                Ordering::Equal => match self.get(middle)?.spot.compare(spot) {
                    Ordering::Less => true,
                    Ordering::Equal => !strictly,
                    Ordering::Greater => false,
                },
            };
            if below {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Some(low.checked_sub(1))
    }

    /// Whether every entry decodes and they are in order.
    pub(crate) fn verify(self) -> bool {
        let mut previous: Option<Entry<'_>> = None;
        (0..self.len()).all(|index| {
            let Some(entry) = self.get(index) else {
                return false;
            };
            let ascending =
                previous.is_none_or(|before| before.spot.compare(&entry.spot) == Ordering::Less);
            previous = Some(entry);
            ascending
        }) && self.len() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_block_that_holds_a_place() {
        let mut builder = IndexBuilder::default();
        let spot = |token: i64, clustering| Spot {
            token: Token(token),
            key: b"k",
            clustering,
        };
        let spots = [
            spot(10, None),
            spot(20, None),
            spot(20, Some(&b"c"[..])),
            spot(20, Some(b"f")),
            spot(30, None),
        ];
        for (number, spot) in spots.iter().enumerate() {
            let handle = Handle {
                offset: number as u64,
                length: 1,
            };
            builder.push(&Entry {
                spot: *spot,
                handle,
            });
        }
        let bytes = builder.finish().to_vec();
        let index = Index(&bytes);
        assert!(index.verify());
        let find = |spot, strictly| index.find(&spot, strictly).unwrap();
        assert_eq!(find(spot(5, None), false), None);
        assert_eq!(find(spot(15, None), false), Some(0));
        assert_eq!(find(spot(20, None), false), Some(1));
        assert_eq!(find(spot(20, Some(b"b")), false), Some(1));
        assert_eq!(find(spot(20, Some(b"c")), false), Some(2));
        assert_eq!(find(spot(20, Some(b"c")), true), Some(1));
        assert_eq!(find(spot(20, Some(b"z")), false), Some(3));
        assert_eq!(find(spot(99, None), false), Some(4));
    }
}
