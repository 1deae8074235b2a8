//! A batch: the records that one write and one sync make durable.

use super::record::{self, CLOCK_RECORD_BYTES, Kind};
use model::track::IdSet;
use std::sync::Arc;

/// Records of one segment, in the order they were appended.
#[derive(Debug)]
pub(super) struct Batch {
    /// The segment's number.
    pub(super) segment: u64,
    /// Where the batch stands in it.
    pub(super) offset: u32,
    /// The records' bytes; shared with the disk while they are being written, and kept until they are durable.
    pub(super) data: Arc<Vec<u8>>,
    /// Who hears when they are durable.
    pub(super) tickets: Vec<u64>,
    /// Ids that are held once they are durable.
    pub(super) ids: IdSet,
    /// Its record of the clock, filled when it is submitted.
    pub(super) clock: Option<ClockRecord>,
    /// Whether it was submitted with a sync.
    pub(super) synced: bool,
}

/// Where a batch records the clock, and how that record is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClockRecord {
    pub(super) at: usize,
    pub(super) salt: u32,
    pub(super) synced: u32,
}

impl Batch {
    /// An empty batch that begins at an offset of a segment.
    pub(super) fn new(segment: u64, offset: u32) -> Self {
        Self {
            segment,
            offset,
            data: Arc::default(),
            tickets: Vec::new(),
            ids: IdSet::default(),
            clock: None,
            synced: false,
        }
    }

    /// Records what the clock has given: nothing in the batch was given later.
    pub(super) fn fill_clock(&mut self, last: i64) {
        let Some(ClockRecord { at, salt, synced }) = self.clock else {
            return;
        };
        let mut record = Vec::with_capacity(CLOCK_RECORD_BYTES);
        record::put_record(&mut record, salt, synced, Kind::Clock, |out| {
            out.extend_from_slice(&last.to_le_bytes());
        });
        Arc::make_mut(&mut self.data)[at..at + CLOCK_RECORD_BYTES].copy_from_slice(&record);
    }
}
