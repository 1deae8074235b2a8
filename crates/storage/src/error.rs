//! What an operation of the store can fail with.

use model::env::IoError;
use model::schema::TableId;

/// Why the store refused or could not finish something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Recovery is still going on.
    #[error("the store is still recovering")]
    NotReady,
    /// A write or sync of the commit log failed, so what is durable is no longer known: writes are refused until the
    /// process restarts, reads go on.
    #[error("writes are refused since the commit log failed: {0}")]
    Poisoned(String),
    /// No space on the disk: writes are refused until there is, reads go on.
    #[error("no space left on the disk: writes are refused until there is")]
    DiskFull,
    /// A start with another number of shards has to write, and there is no room.
    #[error(
        "no space left on the disk: a start with another number of shards needs some; with the number there was before, \
         reads would be served"
    )]
    NoRoomForShards,
    /// A start with another number of shards begins a new commit log, and it cannot be written, for another reason than a
    /// full disk.
    #[error(
        "the commit log of another number of shards cannot be begun ({0}); what there was before is untouched"
    )]
    NoLogForShards(String),
    /// The next segment of the commit log cannot be made, for another reason than a full disk (no descriptors left, …):
    /// writes are refused until it can, reads go on.
    #[error(
        "the next segment of the commit log cannot be made ({0}): writes are refused until it can"
    )]
    NoSegment(String),
    /// The memtables are at their budget and flushing does not keep up.
    #[error("the memtables hold {bytes} bytes, their budget is {budget}")]
    Overloaded {
        /// Bytes held.
        bytes: usize,
        /// Bytes allowed.
        budget: usize,
    },
    /// What waits to be written to the commit log is at its budget: the disk does not keep up.
    #[error("{bytes} bytes wait for the commit log's disk, their budget is {budget}")]
    LogBehind {
        /// Bytes that wait.
        bytes: usize,
        /// Bytes allowed.
        budget: usize,
    },
    /// The answers of reads under way are at their budget.
    #[error("the answers of reads under way hold {bytes} bytes, their budget is {budget}")]
    TooManyAnswers {
        /// Bytes held.
        bytes: usize,
        /// Bytes allowed.
        budget: usize,
    },
    /// A read met more tombstones than its command allows.
    #[error("the read met {0} tombstones and was ended")]
    TooManyTombstones(u64),
    /// A file that somebody placed beside a table's cannot be taken over.
    #[error("{0}")]
    Placed(String),
    /// The shard was drained: it is about to stop.
    #[error("the node is drained")]
    Drained,
    /// Bytes on the disk are not what was written.
    #[error("{file} is corrupt at byte {offset}: {what}")]
    Corrupt {
        /// Path within the data directory.
        file: String,
        /// Where.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// A file was written by a newer version, or uses a feature this one does not know.
    #[error(
        "{file} is of format {version} with features {features:#x}, newer than this version knows"
    )]
    Newer {
        /// Path within the data directory.
        file: String,
        /// Its format version.
        version: u16,
        /// Its feature bits.
        features: u32,
    },
    /// A record of the commit log is whole, but of a kind that this version does not know.
    #[error("{file}: the record at {offset} was written by a newer version than this one")]
    NewerRecord {
        /// Path within the data directory.
        file: String,
        /// Where.
        offset: u64,
    },
    /// No table of this id is in the schema.
    #[error("unknown table {}", .0.0)]
    UnknownTable(TableId),
    /// The bytes are no mutation.
    #[error("malformed mutation")]
    Malformed,
    /// The mutation is longer than a commit-log segment can take.
    #[error("a mutation of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The disk refused.
    #[error("{file}: {error}")]
    Io {
        /// Path within the data directory.
        file: String,
        /// Why.
        error: IoError,
    },
    /// The table was truncated or dropped while the operation ran.
    #[error("the table was truncated or dropped meanwhile")]
    Superseded,
}

impl StoreError {
    /// A failed request on `file`, classed.
    pub fn io(file: &str, error: IoError) -> Self {
        match error {
            IoError::Full(_) => Self::DiskFull,
            error => Self::Io {
                file: file.to_owned(),
                error,
            },
        }
    }

    /// Corruption of `file`.
    pub(crate) fn corrupt(file: &str, offset: u64, what: &'static str) -> Self {
        Self::Corrupt {
            file: file.to_owned(),
            offset,
            what,
        }
    }
}
