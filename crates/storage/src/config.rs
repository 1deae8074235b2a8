//! What a store is told when it is opened.

use model::hybrid_clock::HybridClock;
use model::limits;
use model::policy::Policy;
use std::sync::Arc;

/// When a write counts as durable (`commitlog_sync`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// After a sync; what arrives while one is in flight shares the next.
    Group,
    /// After a sync, like [`Self::Group`]: kept apart because configuration shows which was asked for.
    Batch,
    /// At once; the log is synced every so many milliseconds, and a power failure may lose what came since.
    Periodic {
        /// Milliseconds between syncs.
        ms: u64,
    },
}

/// What recovery does with a commit-log record that was synced and is no longer what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnRot {
    /// Opening fails and names the file and the offset.
    Refuse,
    /// The record is skipped and counted; the operator repairs.
    Skip,
}

/// Which generation of the data directory a store opens: given by [`crate::layout::LayoutFile`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation {
    /// Number of the generation.
    pub number: u32,
    /// Set when the number of shards changed: the generation whose data this one takes over, and its shards.
    pub previous: Option<(u32, u16)>,
}

/// What a store is told when it is opened.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// This shard.
    pub shard: u16,
    /// Shards of the node.
    pub shards: u16,
    /// Generation of the data directory.
    pub generation: Generation,
    /// The node's clock for timestamps: the log records what it gave, a start makes it go on from there.
    pub clock: Arc<HybridClock>,
    /// Upper byte of the tags and file ids the store uses: one value per user of the shard's disk queue.
    pub io_space: u8,
    /// Directory of commit-log segments.
    pub commitlog_directory: String,
    /// Directory of tables.
    pub data_directory: String,
    /// When a write counts as durable.
    pub sync: SyncMode,
    /// What recovery does with rotten commit-log records.
    pub on_rot: OnRot,
    /// Bytes of a commit-log segment.
    pub segment_bytes: usize,
    /// Bytes of commit log after which the tables that hold the oldest segment back are flushed.
    pub log_bytes: usize,
    /// Bytes of records that may wait in memory for the log's disk; beyond it writes are refused. What is being written counts.
    pub queued_log_bytes: usize,
    /// Bytes all memtables may take; flushing begins at half.
    pub memtable_bytes: usize,
    /// Bytes the block cache may take.
    pub cache_bytes: usize,
    /// Bytes the bloom filters may take; tables opened beyond it do without.
    pub filter_bytes: usize,
    /// Bytes that the answers of reads under way may take; a read that would need more fails.
    pub answer_bytes: usize,
    /// Whether SSTables are compacted without being asked.
    pub compaction: bool,
    /// How promises are kept.
    pub policy: Policy,
}

impl StoreConfig {
    /// The defaults of one shard.
    pub fn new(shard: u16, shards: u16, generation: Generation) -> Self {
        Self {
            shard,
            shards,
            generation,
            clock: Arc::default(),
            io_space: 1,
            commitlog_directory: "commitlog".to_owned(),
            data_directory: "data".to_owned(),
            sync: SyncMode::Group,
            on_rot: OnRot::Refuse,
            segment_bytes: limits::COMMITLOG_SEGMENT_BYTES,
            log_bytes: 16 * limits::COMMITLOG_SEGMENT_BYTES,
            queued_log_bytes: 32 << 20,
            memtable_bytes: 256 << 20,
            cache_bytes: 128 << 20,
            filter_bytes: 64 << 20,
            answer_bytes: 64 << 20,
            compaction: true,
            policy: Policy::default(),
        }
    }
}
