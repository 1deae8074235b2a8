//! The commit log of one shard: what is acknowledged stands here before it stands in an SSTable.
//!
//! Segments of a fixed size are prepared ahead (zero-filled, or recycled from segments whose data was flushed), so
//! that a sync writes data only; the first after a start grows as it is written. Mutations are appended to a batch in memory; one chain of write and sync is in flight
//! at a time, and the next batch is what arrived meanwhile. Byte-exact in `docs/formats/commitlog.md`.
//!
//! What must stay true:
//! - A ticket is durable when the sync after its record's write is done, never before.
//! - A record carries how far its segment was synced when it was made, and a segment's first record says where the
//!   earlier segments end. So a bad record below such a mark is rot and an error; above it is a torn tail that was
//!   never acknowledged.
//! - A number of a segment is never used twice within a generation of the directory.
//! - Every batch with mutations, and the first of a segment, records the largest timestamp the node had given when it was
//!   submitted: none of those in it is larger but those of clients.
//! - A segment is kept until its mutations are in SSTables and all ids in it are released.
//! - After a failed sync of anything written nothing is written any more. A segment that cannot be made is another
//!   matter: nothing is in it yet, so it is tried again, and writes that need it are refused meanwhile.

mod batch;
mod index;
mod journal;
mod log;
mod record;
mod replay;
mod segments;
mod sync;
#[cfg(test)]
mod tests;

pub(crate) use index::SegmentIndex;
pub(crate) use journal::{Place, Retired, Sealed, statement_bytes};
pub(crate) use log::{Health, Log, LogConfig, LogStep};
pub(crate) use record::{Checkpoint, Kind, Record, clock_body, tracked_body};
pub(crate) use replay::{SegmentImage, SegmentName, Verdict};

/// A place in the log of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// The segment's number.
    pub segment: u64,
    /// Bytes from the segment's start.
    pub offset: u32,
}
