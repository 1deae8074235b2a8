//! Reading segments back: records until the end, and what an end means.

use super::Position;
use super::record::{ALIGNMENT, Checkpoint, Kind, Record, SegmentHead};
use crate::error::StoreError;
use crate::format::HEAD_BYTES;
use std::sync::Arc;

/// A segment's file name, `<generation>-<shard>-<number>.log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentName {
    /// Generation of the directory.
    pub generation: u32,
    /// The shard that wrote it.
    pub shard: u16,
    /// Its number.
    pub number: u64,
}

impl SegmentName {
    /// The name in a path.
    pub(crate) fn path(&self, directory: &str) -> String {
        format!(
            "{directory}/{}-{}-{:012}.log",
            self.generation, self.shard, self.number
        )
    }

    /// Takes a file name apart; `None` if it names no segment.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".log")?.split('-');
        let parsed = Self {
            generation: parts.next()?.parse().ok()?,
            shard: parts.next()?.parse().ok()?,
            number: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(parsed)
    }
}

/// What stands where no record can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing that was ever acknowledged: the segment ends here.
    End,
    /// Something that was synced and is no longer what it was; the next whole record, if any, is at this offset.
    Rot {
        /// Where reading can go on.
        next: Option<u32>,
    },
}

/// Most of a segment that was not filled is zeros: so much of it is passed over at once.
const ZEROS: [u8; 4096] = [0; 4096];

/// A segment, or a part of it, read into memory.
#[derive(Debug)]
pub(crate) struct SegmentImage {
    path: String,
    head: SegmentHead,
    /// Where in the segment the bytes begin.
    base: u32,
    /// Shared with who writes them back, as long as that takes.
    bytes: Arc<Vec<u8>>,
    /// From the first record to here all are whole: nobody computes their checksums again.
    checked: u32,
}

impl SegmentImage {
    /// From the segment's beginning on. Checks the head.
    pub(crate) fn new(path: String, name: SegmentName, bytes: Vec<u8>) -> Result<Self, StoreError> {
        let head = SegmentHead::decode(&path, &bytes)?;
        if (head.generation, head.shard, head.number) != (name.generation, name.shard, name.number)
        {
            return Err(StoreError::corrupt(
                &path,
                16,
                "the segment's head does not match its name",
            ));
        }
        Ok(Self {
            path,
            head,
            base: 0,
            bytes: Arc::new(bytes),
            checked: Self::START,
        })
    }

    /// Goes on to the part of the segment that begins with the record at an offset; returns the memory of the last part.
    pub(crate) fn go_on(&mut self, base: u32, bytes: Vec<u8>) -> Vec<u8> {
        (self.base, self.checked) = (base, base);
        let last = std::mem::replace(&mut self.bytes, Arc::new(bytes));
        Arc::try_unwrap(last).unwrap_or_default()
    }

    /// Where in the segment the bytes begin that are here.
    pub(crate) fn base(&self) -> u32 {
        self.base
    }

    fn from(&self, offset: u32) -> Option<&[u8]> {
        self.bytes.get(offset.checked_sub(self.base)? as usize..)
    }

    /// Path of its file.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Its memory, for the next one; none if it is still being written back.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        Arc::try_unwrap(self.bytes).unwrap_or_default()
    }

    /// Its number.
    pub(crate) fn number(&self) -> u64 {
        self.head.number
    }

    /// What its checksums begin with.
    pub(crate) fn salt(&self) -> u32 {
        self.head.salt
    }

    /// Offset of the first record.
    pub(crate) const START: u32 = HEAD_BYTES as u32;

    /// What its first record says; `None` if it was never written.
    pub(crate) fn checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        match self.read(Self::START) {
            Some((_, record)) if record.kind == Kind::Checkpoint => {
                Checkpoint::decode(record.body).map(Some).ok_or_else(|| {
                    StoreError::corrupt(&self.path, u64::from(Self::START), "unreadable checkpoint")
                })
            }
            _ => Ok(None),
        }
    }

    /// The record at an offset and the offset after it.
    pub(crate) fn read(&self, offset: u32) -> Option<(u32, Record<'_>)> {
        if offset < self.checked {
            return self.read_again(offset);
        }
        let record = Record::read(self.from(offset)?, self.head.salt)?;
        Some((offset + record.bytes as u32, record))
    }

    /// The record at an offset where [`Self::read`] found one before, and the offset after it.
    pub(crate) fn read_again(&self, offset: u32) -> Option<(u32, Record<'_>)> {
        let record = Record::read_again(self.from(offset)?)?;
        Some((offset + record.bytes as u32, record))
    }

    /// The head and all whole records from the first on. It must be there from the segment's beginning on.
    pub(crate) fn readable(&mut self) -> Arc<Vec<u8>> {
        assert_eq!(self.base, 0, "a segment is written back whole");
        while let Some((next, _)) = self.read(self.checked) {
            self.checked = next;
        }
        let end = (self.checked as usize).min(self.bytes.len());
        let is_zero = |bytes: &[u8]| ZEROS.starts_with(bytes);
        if !self.bytes[end..].chunks(ZEROS.len()).all(is_zero) {
            // A torn tail, or rot: it is yet to be judged.
            return Arc::new(self.bytes[..end].to_vec());
        }
        if let Some(bytes) = Arc::get_mut(&mut self.bytes) {
            bytes.truncate(end);
        }
        self.bytes.clone()
    }

    /// Judges an offset where no record could be read, of a segment that is here to its end. `known_end` is what a later segment says this one's end is,
    /// `synced` what manifests say of how far it was synced at least.
    pub(crate) fn judge(&self, offset: u32, known_end: Option<u32>, synced: u32) -> Verdict {
        if known_end.is_some_and(|end| offset >= end) {
            return Verdict::End;
        }
        let mut next = None;
        let mut synced = known_end.unwrap_or(synced);
        let mut at = (offset - self.base) as usize + ALIGNMENT;
        while at < self.bytes.len() {
            // No record begins here, but one may in the last few bytes.
            if at.is_multiple_of(ZEROS.len()) && self.bytes[at..].starts_with(&ZEROS) {
                at += ZEROS.len() - ALIGNMENT;
                continue;
            }
            match Record::read(&self.bytes[at..], self.head.salt) {
                Some(record) => {
                    next = next.or(Some(self.base + at as u32));
                    synced = synced.max(record.synced);
                    at += record.bytes;
                }
                None => at += ALIGNMENT,
            }
        }
        if synced > offset {
            Verdict::Rot { next }
        } else {
            Verdict::End
        }
    }

    /// A position in this segment.
    pub(crate) fn position(&self, offset: u32) -> Position {
        Position {
            segment: self.head.number,
            offset,
        }
    }
}
