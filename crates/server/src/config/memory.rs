//! How `--memory` is shared out, in hundredths; the rest is for requests, connections and the allocator.

use super::Settings;

/// Memtables.
pub const MEMTABLES: u64 = 30;
/// Blocks of SSTables.
pub const CACHE: u64 = 30;
/// Bloom filters.
pub const FILTERS: u64 = 10;
/// Records of the commit log that wait for its disk.
pub const LOG: u64 = 3;
/// Answers being put together in reads, the same in SELECTs, and the same waiting for clients to take them.
pub const ANSWERS: u64 = 5;

/// Prepared statements, if nothing else is configured; at least [`PREPARED_BYTES`].
pub const PREPARED: u64 = 2;
/// The least that is set aside for prepared statements by default, as in Cassandra.
pub const PREPARED_BYTES: u64 = 10 << 20;

const _: () = assert!(MEMTABLES + CACHE + FILTERS + LOG + 3 * ANSWERS + PREPARED <= 90);

/// A shard's part of a share, in bytes.
pub fn of_shard(settings: &Settings, hundredths: u64) -> usize {
    (settings.memory_bytes / 100 * hundredths / u64::from(settings.shards)) as usize
}
