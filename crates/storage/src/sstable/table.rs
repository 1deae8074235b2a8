//! An SSTable that is open: its name, what of it is in memory, and how its end is read.

use super::bloom::Bloom;
use super::codec;
use super::index::{Handle, Index};
use super::stats::Stats;
use super::writer::Written;
use crate::error::StoreError;
use crate::format::{self, HEAD_BYTES, u16_at, u32_at, u64_at};
use crate::ownership::Places;
use model::env::FileId;
use model::key::Token;
use model::read::KeyBound;
use model::schema::TableId;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

const MAGIC: [u8; 8] = *b"HELNSSTB";
/// Bytes of the footer, at the very end.
pub(crate) const FOOTER_BYTES: usize = HEAD_BYTES;
/// Bytes read from the end of a file at first: for most files all that opening needs.
pub(crate) const TAIL_BYTES: usize = 64 << 10;

/// Name of an SSTable file, `<generation>-<shard>-<number>.sst`, and of its contents: a link keeps the identity of the
/// file it was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileName {
    /// Generation of the directory.
    pub generation: u32,
    /// The shard that wrote or linked it.
    pub shard: u16,
    /// Number within (generation, shard) and table.
    pub number: u64,
}

impl FileName {
    /// The file's name in its directory.
    pub(crate) fn file(&self) -> String {
        format!("{}-{}-{}.sst", self.generation, self.shard, self.number)
    }

    /// Takes a file name apart; `None` if it names no SSTable.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".sst")?.split('-');
        let parsed = Self {
            generation: parts.next()?.parse().ok()?,
            shard: parts.next()?.parse().ok()?,
            number: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(parsed)
    }

    /// What the checksums of its blocks begin with.
    pub(crate) fn identity(&self) -> u64 {
        u64::from(self.generation) << 48 ^ u64::from(self.shard) << 40 ^ self.number
    }

    /// Fourteen bytes, sixteen with reserved ones.
    pub(crate) fn encode(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&self.generation.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.shard.to_le_bytes());
        bytes[8..].copy_from_slice(&self.number.to_le_bytes());
        bytes
    }

    /// Reads what [`Self::encode`] wrote; `bytes` are sixteen.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        Self {
            generation: u32_at(bytes, 0),
            shard: u16_at(bytes, 4),
            number: u64_at(bytes, 8),
        }
    }
}

/// Where the parts read at opening are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footer {
    pub root: Handle,
    pub filter: Option<Handle>,
    pub stats: Handle,
}

impl Footer {
    /// The footer's bytes: what other files have as their head.
    pub(super) fn encode(&self) -> [u8; FOOTER_BYTES] {
        let none = Handle {
            offset: 0,
            length: 0,
        };
        let mut fields = Vec::with_capacity(36);
        for handle in [self.root, self.filter.unwrap_or(none), self.stats] {
            fields.extend_from_slice(&handle.offset.to_le_bytes());
            fields.extend_from_slice(&handle.length.to_le_bytes());
        }
        format::head(MAGIC, &fields)
    }

    /// Checks and reads a footer that ends at `length` of the file.
    pub(crate) fn decode(path: &str, length: u64, bytes: &[u8]) -> Result<Self, StoreError> {
        let at = length.saturating_sub(FOOTER_BYTES as u64);
        let fields = format::check_head(path, MAGIC, bytes).map_err(|error| match error {
            StoreError::Corrupt { what, .. } => StoreError::corrupt(path, at, what),
            error => error,
        })?;
        let handle = |index: usize| Handle {
            offset: u64_at(fields, index * 12),
            length: u32_at(fields, index * 12 + 8),
        };
        let footer = Self {
            root: handle(0),
            filter: Some(handle(1)).filter(|handle| handle.length > 0),
            stats: handle(2),
        };
        let fits = |handle: &Handle| {
            handle
                .offset
                .checked_add(u64::from(handle.length))
                .is_some_and(|end| end <= at)
        };
        if fits(&footer.root) && footer.filter.as_ref().is_none_or(fits) && fits(&footer.stats) {
            Ok(footer)
        } else {
            Err(StoreError::corrupt(
                path,
                at,
                "the footer points outside the file",
            ))
        }
    }

    /// Offset of the first byte that opening needs: the parts stand together at the end.
    pub(crate) fn start(&self) -> u64 {
        let filter = self.filter.map_or(u64::MAX, |handle| handle.offset);
        self.root.offset.min(self.stats.offset).min(filter)
    }
}

/// The parts of a file that opening reads.
#[derive(Debug)]
pub(crate) struct Tail {
    pub root: Vec<u8>,
    pub filter: Option<Bloom>,
    pub stats: Stats,
    /// What is wrong with the filter, if it has to be done without.
    pub bad_filter: Option<StoreError>,
}

impl Tail {
    /// Unpacks the parts from `bytes`, which begin at `start` of the file that must be this table's and of this name. A filter
    /// only saves reads: a bad one is none.
    pub(crate) fn open(
        path: &str,
        table: TableId,
        origin: FileName,
        footer: &Footer,
        start: u64,
        bytes: &[u8],
    ) -> Result<Self, StoreError> {
        let part = |handle: Handle| {
            let at = (handle.offset - start) as usize;
            codec::open(
                origin.identity(),
                handle.offset,
                &bytes[at..at + handle.length as usize],
            )
            .map_err(|what| StoreError::corrupt(path, handle.offset, what))
        };
        let root = part(footer.root)?;
        if !Index(&root).verify() {
            let at = footer.root.offset;
            return Err(StoreError::corrupt(path, at, "the index root is malformed"));
        }
        let filter = footer.filter.map(|handle| {
            let malformed =
                || StoreError::corrupt(path, handle.offset, "the bloom filter is malformed");
            part(handle).and_then(|bytes| Bloom::decode(&bytes).ok_or_else(malformed))
        });
        let (filter, bad_filter) = match filter.transpose() {
            Ok(filter) => (filter, None),
            Err(error) => (None, Some(error)),
        };
        let bytes = part(footer.stats)?;
        let at = footer.stats.offset;
        let Some((whose, bytes)) = bytes.split_at_checked(32) else {
            return Err(StoreError::corrupt(
                path,
                at,
                "the statistics are malformed",
            ));
        };
        if whose[..16] != *table.0.as_bytes() || FileName::decode(&whose[16..]) != origin {
            return Err(StoreError::corrupt(
                path,
                at,
                "the file is another table's or another file",
            ));
        }
        let stats = Stats::decode(bytes)
            .ok_or_else(|| StoreError::corrupt(path, at, "the statistics are malformed"))?;
        Ok(Self {
            root,
            filter,
            stats,
            bad_filter,
        })
    }
}

/// An open SSTable.
#[derive(Debug)]
pub(crate) struct SsTable {
    /// Number within the process, never used again: names its blocks in the cache.
    pub id: u64,
    /// The open file.
    pub file: FileId,
    /// Name of the link this shard holds.
    pub name: FileName,
    /// Name under which the contents were first written.
    pub origin: FileName,
    /// Path within the data directory.
    pub path: String,
    /// Bytes of the file.
    pub length: u64,
    /// For whom of its tokens it is valid here.
    pub places: Places,
    /// The index root.
    pub root: Vec<u8>,
    /// The bloom filter, unless the table has none or memory was short.
    pub filter: Option<Bloom>,
    /// Statistics.
    pub stats: Stats,
    /// Requests on the file that are not answered yet: it is closed only when there are none.
    pub in_flight: AtomicU32,
    /// Whether a block of it was found corrupt: it is not compacted any more.
    pub suspect: AtomicBool,
    /// Why it could not be opened. It is kept and listed all the same, and every read of its tokens, which the manifest
    /// knows, fails: what it holds of them is not known, so nothing else may be taken for the whole answer, and no tombstone
    /// that may cover part of it is forgotten. Its statistics are those of a file that may hold anything between its tokens.
    pub broken: Option<StoreError>,
}

impl SsTable {
    /// One that was just written.
    pub(crate) fn written(
        id: u64,
        file: FileId,
        name: FileName,
        path: String,
        written: Written,
    ) -> Self {
        Self {
            id,
            file,
            name,
            origin: name,
            path,
            length: written.length,
            places: Places::all(),
            root: written.root,
            filter: written.filter,
            stats: written.stats,
            in_flight: AtomicU32::new(0),
            suspect: AtomicBool::new(false),
            broken: None,
        }
    }

    /// What the checksums of its blocks begin with.
    pub(crate) fn identity(&self) -> u64 {
        self.origin.identity()
    }

    /// Whether it may hold partitions of this token.
    pub(crate) fn may_contain(&self, token: Token) -> bool {
        let Some((first, last)) = &self.stats.bounds else {
            return false;
        };
        first.token <= token
            && token <= last.token
            && self
                .filter
                .as_ref()
                .is_none_or(|filter| filter.contains(token))
            && self.holds(token)
    }

    /// Tokens of its first and last partition. A file without partitions is none that anybody writes.
    pub(crate) fn tokens(&self) -> (Token, Token) {
        let bounds = self.stats.bounds.as_ref();
        bounds.map_or((Token::MIN, Token::MAX), |(first, last)| {
            (first.token, last.token)
        })
    }

    /// Whether it may hold partitions above `start` and not above `end`.
    pub(crate) fn may_overlap(&self, start: &KeyBound, end: &KeyBound) -> bool {
        let (first, last) = self.tokens();
        let begins_above = end.is_below(first, &[]);
        let ends_below = match start {
            KeyBound::After(token) => last <= *token,
            bound => last < bound.token(),
        };
        let held = self.places.next(start.token().max(first));
        !begins_above && !ends_below && held.is_some_and(|held| held <= end.token().min(last))
    }

    /// Whether what it has of this token is valid here.
    pub(crate) fn holds(&self, token: Token) -> bool {
        self.places.is_all() || self.places.contains(token)
    }

    /// Bytes of memory of its index root and filter.
    pub(crate) fn memory(&self) -> usize {
        self.root.len() + self.filter.as_ref().map_or(0, Bloom::bytes)
    }

    /// The error for a bad block.
    pub(crate) fn corrupt(&self, offset: u64, what: &'static str) -> StoreError {
        self.suspect.store(true, Ordering::Relaxed);
        StoreError::corrupt(&self.path, offset, what)
    }
}
