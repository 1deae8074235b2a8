//! Blocks for whoever walks SSTables: from the cache, from what was just read for it, or noted as missing.

use crate::cache::{BlockCache, BlockKey};
use crate::error::StoreError;
use crate::sstable::SsTable;
use crate::sstable::index::Handle;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

/// Why a walk cannot go on.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Blocks are missing; they were noted.
    Missing,
    /// It cannot be finished.
    Failed(StoreError),
}

/// Blocks to be read from one file, next to each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Want {
    /// The SSTable's number in the process.
    pub table: u64,
    /// The blocks, ascending without gaps.
    pub handles: Vec<Handle>,
}

/// Blocks a walk holds on to, so that what it waited for is there when it goes on, whatever the cache does.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    blocks: BTreeMap<BlockKey, (Arc<[u8]>, u32)>,
    run: u32,
}

impl Pins {
    /// Adds a block that was read for the walk.
    pub(crate) fn add(&mut self, key: BlockKey, block: Arc<[u8]>) {
        self.blocks.insert(key, (block, self.run + 1));
    }

    /// Ends a run: what it did not touch is let go.
    pub(crate) fn end_run(&mut self) {
        let run = self.run;
        self.blocks.retain(|_, (_, touched)| *touched >= run);
        self.run += 1;
    }

    /// Lets go of an SSTable's blocks below an offset: data, and index blocks too, for each follows what it lists.
    pub(crate) fn release_below(&mut self, table: u64, offset: u64) {
        while let Some((&key, _)) = self.blocks.range((table, 0)..(table, offset)).next() {
            self.blocks.remove(&key);
        }
    }
}

/// A block during one run of a walk.
#[derive(Debug, Clone)]
pub(crate) enum BlockBytes<'a> {
    /// Lent by the cache, which nothing leaves during a run.
    Cached(&'a [u8]),
    /// Shared with the walk's own blocks, which it lets go of as it passes them.
    Pinned(Arc<[u8]>),
}

impl Deref for BlockBytes<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Cached(bytes) => bytes,
            Self::Pinned(bytes) => bytes,
        }
    }
}

/// Access to blocks during one run of a walk.
#[derive(Debug)]
pub(crate) struct Fetch<'a> {
    /// The cache; jobs that read everything once go without.
    pub cache: Option<&'a BlockCache>,
    /// The walk's own blocks.
    pub pins: &'a mut Pins,
    /// What is missing.
    pub wanted: &'a mut Vec<Want>,
    /// Bytes to read at once when blocks are read one after the other.
    pub ahead_bytes: usize,
}

impl<'a> Fetch<'a> {
    /// A block. If it is not there it is noted, and with it those of `ahead` that follow it without a gap.
    pub(crate) fn get(
        &mut self,
        table: &SsTable,
        handle: Handle,
        ahead: impl Iterator<Item = Handle>,
    ) -> Result<BlockBytes<'a>, Stop> {
        let key = (table.id, handle.offset);
        if let Some((block, touched)) = self.pins.blocks.get_mut(&key) {
            *touched = (*touched).max(self.pins.run);
            return Ok(BlockBytes::Pinned(block.clone()));
        }
        if let Some(block) = self.cache.and_then(|cache| cache.get(key)) {
            return Ok(BlockBytes::Cached(block));
        }
        let known = |want: &Want| want.table == table.id && want.handles.contains(&handle);
        if !self.wanted.iter().any(known) {
            let mut handles = vec![handle];
            let mut end = handle.offset + u64::from(handle.length);
            for next in ahead {
                let bytes = end - handle.offset + u64::from(next.length);
                if next.offset != end || bytes > self.ahead_bytes as u64 {
                    break;
                }
                end += u64::from(next.length);
                handles.push(next);
            }
            self.wanted.push(Want {
                table: table.id,
                handles,
            });
        }
        Err(Stop::Missing)
    }

    /// Says that a walk that reads everything once is beyond what an SSTable has below an offset: another run of it begins no
    /// earlier. Where a run got to by itself is not enough: it may have to stop for another SSTable's blocks, and then two
    /// of them would be missing by turns for ever.
    pub(crate) fn passed(&mut self, table: &SsTable, offset: u64) {
        if self.cache.is_none() {
            self.pins.release_below(table.id, offset);
        }
    }
}
