//! Finding one's way in an SSTable: from a place to the block that holds it, and to the block's neighbours.

use super::fetch::{BlockBytes, Fetch, Stop};
use crate::sstable::SsTable;
use crate::sstable::block::{Block, Segment};
use crate::sstable::index::{Handle, Index, Spot};
use model::key::Token;

/// A data block of an SSTable, and where the index says it is.
#[derive(Debug, Clone)]
pub(crate) struct BlockCursor<'a> {
    table: &'a SsTable,
    root_entry: usize,
    index: BlockBytes<'a>,
    entry: usize,
    handle: Handle,
    block: BlockBytes<'a>,
}

impl<'a> BlockCursor<'a> {
    /// See [`crate::sstable::Stats::is_all_live`].
    pub(crate) fn is_all_live(&self) -> bool {
        self.table.stats.is_all_live()
    }

    /// The last block that begins at or before `spot`, or before it if `strictly`; `None` if all begin later.
    pub(crate) fn seek(
        table: &'a SsTable,
        spot: &Spot<'_>,
        strictly: bool,
        fetch: &mut Fetch<'a>,
    ) -> Result<Option<Self>, Stop> {
        whole(table)?;
        let bad = || Stop::Failed(table.corrupt(0, "the index root is malformed"));
        let Some(root_entry) = Index(&table.root).find(spot, strictly).ok_or_else(bad)? else {
            return Ok(None);
        };
        let (index_at, index) = index_block(table, root_entry, fetch)?;
        let malformed = || Stop::Failed(table.corrupt(index_at, "the index block is malformed"));
        let Some(entry) = Index(&index).find(spot, strictly).ok_or_else(malformed)? else {
            return Ok(None);
        };
        Self::load(table, root_entry, index, index_at, entry, fetch).map(Some)
    }

    /// The first block.
    pub(crate) fn first(table: &'a SsTable, fetch: &mut Fetch<'a>) -> Result<Self, Stop> {
        whole(table)?;
        let (index_at, index) = index_block(table, 0, fetch)?;
        Self::load(table, 0, index, index_at, 0, fetch)
    }

    fn load(
        table: &'a SsTable,
        root_entry: usize,
        index: BlockBytes<'a>,
        index_at: u64,
        entry: usize,
        fetch: &mut Fetch<'a>,
    ) -> Result<Self, Stop> {
        let handle_at = |entry| Index(&index).get(entry).map(|entry| entry.handle);
        let Some(handle) = handle_at(entry) else {
            return Err(Stop::Failed(
                table.corrupt(index_at, "the index block is malformed"),
            ));
        };
        let ahead = (entry + 1..Index(&index).len()).map_while(handle_at);
        let block = fetch.get(table, handle, ahead)?;
        Ok(Self {
            table,
            root_entry,
            index,
            entry,
            handle,
            block,
        })
    }

    /// The next block; `None` after the last.
    pub(crate) fn next(&self, fetch: &mut Fetch<'a>) -> Result<Option<Self>, Stop> {
        if self.entry + 1 < Index(&self.index).len() {
            let index = self.index.clone();
            return Self::load(self.table, self.root_entry, index, 0, self.entry + 1, fetch)
                .map(Some);
        }
        if self.root_entry + 1 >= Index(&self.table.root).len() {
            return Ok(None);
        }
        let (index_at, index) = index_block(self.table, self.root_entry + 1, fetch)?;
        Self::load(self.table, self.root_entry + 1, index, index_at, 0, fetch).map(Some)
    }

    /// The block before; `None` before the first.
    pub(crate) fn previous(&self, fetch: &mut Fetch<'a>) -> Result<Option<Self>, Stop> {
        let (root_entry, index_at, index, entry) = if self.entry > 0 {
            (self.root_entry, 0, self.index.clone(), self.entry - 1)
        } else if self.root_entry > 0 {
            let (index_at, index) = index_block(self.table, self.root_entry - 1, fetch)?;
            let last = Index(&index).len().saturating_sub(1);
            (self.root_entry - 1, index_at, index, last)
        } else {
            return Ok(None);
        };
        Self::load(self.table, root_entry, index, index_at, entry, fetch).map(Some)
    }

    /// Notes that the walk's place is in this block: another run of it begins here or later. Only for a block that was sought
    /// from the place the walk itself keeps.
    pub(crate) fn note_place(&self, fetch: &mut Fetch<'a>) {
        fetch.passed(self.table, self.handle.offset);
    }

    /// The SSTable.
    pub(crate) fn table(&self) -> &'a SsTable {
        self.table
    }

    /// The block's bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.block
    }

    /// The error for a block that a checksum let through and that is malformed all the same.
    pub(crate) fn malformed(&self) -> Stop {
        Stop::Failed(
            self.table
                .corrupt(self.handle.offset, "the data block is malformed"),
        )
    }

    /// The segment of a partition in this block.
    pub(crate) fn find(&self, token: Token, key: &[u8]) -> Result<Option<Segment>, Stop> {
        let block = Block(&self.block);
        let (index, found) = block.find(token, key).ok_or_else(|| self.malformed())?;
        if found {
            self.segment(index).map(Some)
        } else {
            Ok(None)
        }
    }

    /// The first segment whose partition is not below the given one, or is above it if `strictly`.
    pub(crate) fn first_from(
        &self,
        token: Token,
        key: &[u8],
        strictly: bool,
    ) -> Result<usize, Stop> {
        let (index, found) = Block(&self.block)
            .find(token, key)
            .ok_or_else(|| self.malformed())?;
        Ok(index + usize::from(found && strictly))
    }

    /// Segments in the block.
    pub(crate) fn segments(&self) -> usize {
        Block(&self.block).segments()
    }

    /// A segment by its index.
    pub(crate) fn segment(&self, index: usize) -> Result<Segment, Stop> {
        Block(&self.block)
            .segment(index)
            .ok_or_else(|| self.malformed())
    }
}

/// Fails where an SSTable could not be opened.
fn whole(table: &SsTable) -> Result<(), Stop> {
    match &table.broken {
        None => Ok(()),
        Some(error) => Err(Stop::Failed(error.clone())),
    }
}

fn index_block<'a>(
    table: &SsTable,
    root_entry: usize,
    fetch: &mut Fetch<'a>,
) -> Result<(u64, BlockBytes<'a>), Stop> {
    let Some(entry) = Index(&table.root).get(root_entry) else {
        return Err(Stop::Failed(
            table.corrupt(0, "the index root is malformed"),
        ));
    };
    let offset = entry.handle.offset;
    Ok((offset, fetch.get(table, entry.handle, std::iter::empty())?))
}
