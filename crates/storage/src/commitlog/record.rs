//! The bytes of segments: head, records, checkpoint, index of ids.

use super::Position;
use crate::error::StoreError;
use crate::format::{self, HEAD_BYTES, u16_at, u32_at, u64_at};
use crate::held::Held;
use model::schema::TableId;
use model::track::{LogId, MutationId};
use model::varint;
use std::collections::BTreeMap;

const MAGIC: [u8; 8] = *b"HELNCLOG";
/// Bytes before a record's body.
pub(super) const RECORD_HEAD_BYTES: usize = 16;
/// Records begin at multiples of this.
pub(super) const ALIGNMENT: usize = 8;
/// Where a record's kind stands in its head.
const KIND: usize = 12;
/// The kind of no record of any version.
const NO_KIND: u8 = 0;
/// Where the check of a record's head stands in it.
const CHECK: usize = 13;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A mutation without an id.
    Mutation = 1,
    /// An id and its mutation.
    Tracked = 2,
    /// Where replay begins and where earlier segments end; the first record of a segment.
    Checkpoint = 3,
    /// Index of ids; the last record of a sealed segment.
    Seal = 4,
    /// The largest timestamp the node had given to writes when the batch of records it stands in was written.
    Clock = 5,
    /// What is to be known of ids beside the mutations that carry them: [`crate::held`].
    Statement = 6,
    /// What a newer version wrote: whole, but nobody here knows what it means. Never written.
    Newer = 0xff,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [
            Self::Mutation,
            Self::Tracked,
            Self::Checkpoint,
            Self::Seal,
            Self::Clock,
            Self::Statement,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
    }
}

/// A segment's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHead {
    /// Generation of the directory it belongs to.
    pub generation: u32,
    /// The shard that wrote it.
    pub shard: u16,
    /// Number within (generation, shard).
    pub number: u64,
    /// Initial value of its records' checksums, so that what a recycled file held before does not pass for new.
    pub salt: u32,
    /// Length the file may grow to.
    pub length: u32,
}

impl SegmentHead {
    pub(super) fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut fields = Vec::with_capacity(24);
        fields.extend_from_slice(&self.generation.to_le_bytes());
        fields.extend_from_slice(&self.shard.to_le_bytes());
        fields.extend_from_slice(&[0, 0]);
        fields.extend_from_slice(&self.number.to_le_bytes());
        fields.extend_from_slice(&self.salt.to_le_bytes());
        fields.extend_from_slice(&self.length.to_le_bytes());
        format::head(MAGIC, &fields)
    }

    pub(super) fn decode(file: &str, bytes: &[u8]) -> Result<Self, StoreError> {
        let fields = format::check_head(file, MAGIC, bytes)?;
        Ok(Self {
            generation: u32_at(fields, 0),
            shard: u16_at(fields, 4),
            number: u64_at(fields, 8),
            salt: u32_at(fields, 16),
            length: u32_at(fields, 20),
        })
    }
}

/// Bytes a record of this body takes in a segment.
pub(super) fn record_bytes(body: usize) -> usize {
    (RECORD_HEAD_BYTES + body).next_multiple_of(ALIGNMENT)
}

/// Appends a record; `body` writes its body.
pub(super) fn put_record(
    out: &mut Vec<u8>,
    salt: u32,
    synced: u32,
    kind: Kind,
    body: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&synced.to_le_bytes());
    out.extend_from_slice(&[kind as u8, 0, 0, 0]);
    body(out);
    let length = (out.len() - start - RECORD_HEAD_BYTES) as u32;
    out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    let check = head_check(salt, &out[start..]);
    out[start + CHECK..start + RECORD_HEAD_BYTES].copy_from_slice(&check);
    let crc = checksum(salt, &out[start + 4..]);
    out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
    let end = start + record_bytes(length as usize);
    out.resize(end, 0);
}

/// The check of a record's head alone. Without it whoever chooses the bytes of values could fill a segment with heads
/// that promise long records, and looking for a record among them would read each of those.
fn head_check(salt: u32, head: &[u8]) -> [u8; 3] {
    let [low, middle, high, _] = checksum(salt, &head[4..CHECK]).to_le_bytes();
    [low, middle, high]
}

fn checksum(salt: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    hasher.update(bytes);
    hasher.finalize()
}

/// A record read from a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    /// What it is.
    pub kind: Kind,
    /// How far its segment was synced when it was made.
    pub synced: u32,
    /// Its body.
    pub body: &'a [u8],
    /// Bytes it takes in the segment.
    pub bytes: usize,
}

impl<'a> Record<'a> {
    /// The record at the start of `bytes`; `None` if there is no whole one.
    pub(super) fn read(bytes: &'a [u8], salt: u32) -> Option<Self> {
        let record = Self::read_again(bytes)?;
        let (head, end) = (
            &bytes[..RECORD_HEAD_BYTES],
            RECORD_HEAD_BYTES + record.body.len(),
        );
        let whole = head[CHECK..] == head_check(salt, head)
            && checksum(salt, &bytes[4..end]) == u32_at(head, 0);
        whole.then_some(record)
    }

    /// The record at the start of `bytes`, where [`Self::read`] found one before: its checksums are not computed again.
    pub(super) fn read_again(bytes: &'a [u8]) -> Option<Self> {
        let head = bytes.get(..RECORD_HEAD_BYTES)?;
        // Zeros are what most of a segment is that is judged.
        if head[KIND] == NO_KIND {
            return None;
        }
        let length = u32_at(head, 4) as usize;
        Some(Self {
            kind: Kind::from_byte(head[KIND]).unwrap_or(Kind::Newer),
            synced: u32_at(head, 8),
            body: bytes.get(RECORD_HEAD_BYTES..)?.get(..length)?,
            bytes: record_bytes(length),
        })
    }
}

/// Bytes of a [`Kind::Clock`] record.
pub(super) const CLOCK_RECORD_BYTES: usize = RECORD_HEAD_BYTES + 8;

/// The timestamp of a [`Kind::Clock`] record.
pub(crate) fn clock_body(body: &[u8]) -> Option<i64> {
    body.try_into().ok().map(i64::from_le_bytes)
}

/// Takes the id off the body of a [`Kind::Tracked`] record.
pub(crate) fn tracked_body(mut body: &[u8]) -> Option<(MutationId, &[u8])> {
    let log = LogId(varint::get(&mut body)?);
    let sequence = varint::get(&mut body)?;
    Some((MutationId { log, sequence }, body))
}

/// Where replay begins, how far each table was flushed, and where earlier segments end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// Nothing below it is needed.
    pub replay_from: Position,
    /// Ends of the earlier segments still there: all below is synced, all beyond is void.
    pub ends: BTreeMap<u64, u32>,
    /// Everything of a table below its position is in its SSTables.
    pub flushed: Vec<(TableId, Position)>,
    /// Which ids the shard held when the segment was begun.
    pub held: Held,
}

impl Checkpoint {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        varint::put(out, self.replay_from.segment);
        varint::put(out, u64::from(self.replay_from.offset));
        varint::put(out, self.ends.len() as u64);
        for (&number, &end) in &self.ends {
            varint::put(out, number);
            varint::put(out, u64::from(end));
        }
        varint::put(out, self.flushed.len() as u64);
        for (table, position) in &self.flushed {
            out.extend_from_slice(table.0.as_bytes());
            varint::put(out, position.segment);
            varint::put(out, u64::from(position.offset));
        }
        let mut held = Vec::new();
        self.held.encode(&mut held);
        varint::put_bytes(out, &held);
    }

    pub(super) fn decode(mut body: &[u8]) -> Option<Self> {
        let input = &mut body;
        let position = |input: &mut &[u8]| {
            Some(Position {
                segment: varint::get(input)?,
                offset: u32::try_from(varint::get(input)?).ok()?,
            })
        };
        let replay_from = position(input)?;
        let mut ends = BTreeMap::new();
        for _ in 0..varint::get(input)? {
            let end = position(input)?;
            ends.insert(end.segment, end.offset);
        }
        let mut flushed = Vec::new();
        for _ in 0..varint::get(input)? {
            let table = TableId(uuid::Uuid::from_slice(varint::take(input, 16)?).ok()?);
            flushed.push((table, position(input)?));
        }
        let held = varint::get_bytes(input)?;
        let held = Held::decode(held)?;
        input.is_empty().then_some(Self {
            replay_from,
            ends,
            flushed,
            held,
        })
    }
}

/// Upper bound of the bytes [`put_seal`] takes for so many ids.
pub(super) fn seal_bytes(ids: usize) -> usize {
    record_bytes(16 + ids * 3 * varint::MAX_BYTES / 2)
}

/// Appends the index of ids: per log, its sequences with the offsets of their records.
pub(super) fn put_seal(ids: &mut [(MutationId, u32)], out: &mut Vec<u8>) {
    ids.sort_unstable();
    let logs = ids.chunk_by(|one, other| one.0.log == other.0.log);
    varint::put(out, logs.clone().count() as u64);
    for log in logs {
        varint::put(out, log[0].0.log.0);
        varint::put(out, log.len() as u64);
        let mut previous = 0;
        for (id, offset) in log {
            varint::put(out, id.sequence - previous);
            varint::put(out, u64::from(*offset) / ALIGNMENT as u64);
            previous = id.sequence;
        }
    }
}
