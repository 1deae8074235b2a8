//! The world outside, as everything below `server` sees it: clocks, randomness, a disk.
//!
//! The disk is submit-only. A request is handed over with a tag and finished later by an [`IoOutcome`] with the same
//! tag, so no shard ever waits for a disk, and the simulator can finish, fail, tear or forget any of them.
//!
//! What a disk promises, and no more: requests of one [`IoRequest::Chain`] run in order and stop at the first error;
//! separate requests run in any order. Written bytes may survive a crash in any subset of sectors until a `Sync` of
//! that file completes. A created, renamed or removed directory entry may or may not survive until the
//! `SyncDirectory` of its directory completes.

use crate::time::{BootNanos, Now, WallMicros};
use std::fmt::Debug;
use std::sync::Arc;

/// Reads the clocks.
pub trait Clock: Debug {
    /// Wall clock.
    fn wall(&self) -> WallMicros;
    /// Boot-time clock.
    fn boot(&self) -> BootNanos;
    /// Both at once.
    fn now(&self) -> Now {
        Now {
            wall: self.wall(),
            boot: self.boot(),
        }
    }
}

/// A source of random numbers; seeded in the simulator.
pub trait Random {
    /// The next 64 random bits.
    fn next_u64(&mut self) -> u64;
}

/// Names an open file in requests. The submitter chooses it, unique within its shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u64);

/// Ties an outcome to its request. The submitter chooses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IoTag(pub u64);

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// It must exist and is only read.
    Read,
    /// It must exist and is read and written.
    Write,
    /// It must not exist; it is created and written.
    Create,
}

/// One thing to do on the disk. Paths are relative to the data directory, `/`-separated.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum IoRequest {
    /// Opens a file under an id; answered by [`IoDone::Opened`].
    Open {
        file: FileId,
        path: String,
        mode: OpenMode,
    },
    /// Closes the id.
    Close { file: FileId },
    /// Reads up to `length` bytes at `offset`; shorter only at the end of the file. Answered by [`IoDone::Read`].
    Read {
        file: FileId,
        offset: u64,
        length: usize,
    },
    /// The same into a buffer that was used before, whatever it holds: memory that is there costs less than new memory.
    ReadInto {
        file: FileId,
        offset: u64,
        length: usize,
        buffer: Vec<u8>,
    },
    /// Writes all of `data` at `offset`.
    Write {
        file: FileId,
        offset: u64,
        data: Vec<u8>,
    },
    /// The same from bytes that the submitter keeps, for it may have to write them again.
    WriteShared {
        file: FileId,
        offset: u64,
        data: Arc<Vec<u8>>,
    },
    /// Makes the file's data and length durable (`fdatasync`).
    Sync { file: FileId },
    /// Cuts or zero-extends the file.
    SetLength { file: FileId, length: u64 },
    /// Renames over whatever is at `to`.
    Rename { from: String, to: String },
    /// Removes a file; one that is not there is no error.
    Remove { path: String },
    /// Removes a directory and all it holds; one that is not there is no error.
    RemoveTree { path: String },
    /// Makes a directory and its parents; one that exists is no error.
    CreateDirectory { path: String },
    /// Makes the entries of a directory durable.
    SyncDirectory { path: String },
    /// Hard-links a file (snapshots).
    Link { from: String, to: String },
    /// Names in a directory, with lengths; empty if it does not exist. Answered by [`IoDone::Listed`].
    List { path: String },
    /// The requests one after the other, stopping at the first error; answered once, by the last one's answer.
    Chain(Vec<IoRequest>),
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Name within the directory.
    pub name: String,
    /// Length in bytes; 0 for a directory.
    pub length: u64,
    /// Whether it is a directory.
    pub directory: bool,
}

/// What a request that succeeded answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum IoDone {
    /// The file is open and this long.
    Opened { length: u64 },
    /// The bytes read.
    Read(Vec<u8>),
    /// The directory's entries, by name.
    Listed(Vec<Entry>),
    /// Done, with nothing to say.
    Done,
}

/// Why a request failed, in the classes that are acted on differently.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IoError {
    /// No space (`ENOSPC`, `EDQUOT`): writes are refused until space is back, reads go on. Never from a [`IoRequest::Sync`]:
    /// what could not be synced is not there to be tried again, whatever the reason.
    #[error("no space left on the disk: {0}")]
    Full(String),
    /// The path does not exist.
    #[error("not found: {0}")]
    NotFound(String),
    /// The path exists already.
    #[error("exists already: {0}")]
    Exists(String),
    /// Anything else.
    #[error("disk error: {0}")]
    Other(String),
}

/// How a request ended.
pub type IoOutcome = Result<IoDone, IoError>;

/// Which queue of the disk a request stands in: nothing in one waits for anything in the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// A client waits for it: reads of blocks, the commit log.
    Awaited,
    /// Nobody waits for it: what writes SSTables, with syncs that may take seconds.
    Bulk,
}

/// Collects requests in the order they are to be submitted; emptied by the shell or the simulator once per wake-up.
#[derive(Debug, Default)]
pub struct IoQueue {
    requests: Vec<(IoTag, Lane, IoRequest)>,
}

impl IoQueue {
    /// Adds one request that somebody waits for.
    pub fn submit(&mut self, tag: IoTag, request: IoRequest) {
        self.submit_in(Lane::Awaited, tag, request);
    }

    /// Adds one request.
    pub fn submit_in(&mut self, lane: Lane, tag: IoTag, request: IoRequest) {
        self.requests.push((tag, lane, request));
    }

    /// Whether nothing waits to be submitted.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Takes all requests.
    pub fn drain(&mut self) -> impl Iterator<Item = (IoTag, IoRequest)> {
        self.drain_lanes().map(|(tag, _, request)| (tag, request))
    }

    /// Takes all requests, each with its lane.
    pub fn drain_lanes(&mut self) -> std::vec::Drain<'_, (IoTag, Lane, IoRequest)> {
        self.requests.drain(..)
    }
}
