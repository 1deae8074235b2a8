//! Tags and file ids of one store, and what each outstanding request was for.

use crate::commitlog::LogStep;
use model::env::{FileId, IoQueue, IoRequest, IoTag, Lane};
use model::schema::TableId;
use std::collections::BTreeMap;

/// What a request was submitted for: who gets its outcome.
#[derive(Debug, Clone)]
pub(crate) enum Purpose {
    /// The commit log.
    Log(LogStep),
    /// A step of recovery; the number is recovery's own.
    Recovery(u64),
    /// A read of SSTable blocks, for clients or for a job; the number names the load.
    Blocks(u64, Lane),
    /// A step of a job that writes SSTables; the number names the job.
    Job(u64),
    /// A write of a table's manifest.
    Manifest(TableId),
    /// A listing of a directory in which an earlier generation left files.
    Leftovers(String),
    /// Removal of a dropped table's manifest.
    Drop(u64),
    /// A task that only waits for its one request.
    Task(u64),
    /// A read of the log for other replicas; the number names it.
    Fetch(u64),
    /// A read of a file that is verified; the number names the verification.
    Verify(u64),
    /// A step of looking at files that are placed, or of taking them; the number names it.
    Placed(u64),
    /// Nobody: closing and removing, whose failure changes nothing.
    Nobody,
}

impl Purpose {
    /// Where a request for it queues. A job's sync may take as long as the disk likes: no read and no log waits behind it.
    fn lane(&self) -> Lane {
        match self {
            Self::Log(_) | Self::Recovery(_) => Lane::Awaited,
            Self::Blocks(_, lane) => *lane,
            Self::Job(_)
            | Self::Manifest(_)
            | Self::Leftovers(_)
            | Self::Drop(_)
            | Self::Task(_)
            | Self::Fetch(_)
            | Self::Verify(_)
            | Self::Placed(_)
            | Self::Nobody => Lane::Bulk,
        }
    }
}

/// Hands out tags and file ids, both with the store's own upper byte so that a shard can have several users of one
/// disk, and remembers purposes.
#[derive(Debug)]
pub(crate) struct Requests {
    space: u64,
    next_tag: u64,
    next_file: u64,
    waiting: BTreeMap<u64, Purpose>,
}

impl Requests {
    /// Nothing outstanding yet.
    pub(crate) fn new(space: u8) -> Self {
        Self {
            space: u64::from(space) << 56,
            next_tag: 0,
            next_file: 0,
            waiting: BTreeMap::new(),
        }
    }

    /// A file id never used before.
    pub(crate) fn file(&mut self) -> FileId {
        self.next_file += 1;
        FileId(self.space | self.next_file)
    }

    /// Submits a request.
    pub(crate) fn submit(&mut self, io: &mut IoQueue, purpose: Purpose, request: IoRequest) {
        self.next_tag += 1;
        let tag = self.space | self.next_tag;
        io.submit_in(purpose.lane(), IoTag(tag), request);
        self.waiting.insert(tag, purpose);
    }

    /// Whether an outcome with this tag is awaited here.
    pub(crate) fn contains(&self, tag: IoTag) -> bool {
        self.waiting.contains_key(&tag.0)
    }

    /// Whose outcome this is; `None` if the tag is not of this store.
    pub(crate) fn finish(&mut self, tag: IoTag) -> Option<Purpose> {
        self.waiting.remove(&tag.0)
    }
}
