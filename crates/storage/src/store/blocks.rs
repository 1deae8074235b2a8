//! Reading blocks for whoever misses them: one request for neighbours, shared by all who want the same.
//!
//! A miss is read into memory that an earlier one used and unpacked in memory that every one uses: what it costs beside the
//! disk is a checksum, the unpacking, and one copy into the block that is kept.

use super::Store;
use crate::cache::BlockKey;
use crate::error::StoreError;
use crate::io::Purpose;
use crate::merge::Want;
use crate::sstable::SsTable;
use crate::sstable::codec::Opener;
use crate::sstable::index::Handle;
use model::env::{IoDone, IoOutcome, IoQueue, IoRequest, Lane};
use model::schema::TableId;
use model::time::Now;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Buffers kept for the next reads, and the size above which one is not worth keeping.
const MAX_BUFFERS: usize = 32;
const MAX_BUFFER_BYTES: usize = 64 << 10;

/// Who waits for blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiter {
    /// The read with this ticket.
    Read(u64),
    /// A job.
    Job(u64),
}

#[derive(Debug)]
struct Load {
    table: Arc<SsTable>,
    handles: Vec<Handle>,
    waiters: Vec<Waiter>,
    /// Whether the blocks are worth keeping for others.
    cached: bool,
}

/// Requests for blocks that are not answered yet.
#[derive(Debug, Default)]
pub(crate) struct Loads {
    loads: BTreeMap<u64, Load>,
    next: u64,
    /// By the first block of each: where another who wants it can wait too.
    by_first: BTreeMap<BlockKey, u64>,
    /// Memory that reads were read into.
    buffers: Vec<Vec<u8>>,
    opener: Opener,
}

impl Store {
    /// Submits what a walk over a table wants and returns for how many loads it has to wait. An SSTable that is gone
    /// counts for none: the walk looks its sources up again.
    pub(super) fn load(
        &mut self,
        table: TableId,
        wanted: &[Want],
        waiter: Waiter,
        inputs: &[Arc<SsTable>],
        io: &mut IoQueue,
    ) -> usize {
        let mut waits = 0;
        for want in wanted {
            let key = (want.table, want.handles[0].offset);
            if let Some(load) = self.loads.by_first.get(&key) {
                let load = self
                    .loads
                    .loads
                    .get_mut(load)
                    .expect("listed by its first block");
                load.waiters.push(waiter);
                load.cached |= matches!(waiter, Waiter::Read(_));
                waits += 1;
                continue;
            }
            let known = self
                .tables
                .get(&table)
                .into_iter()
                .flat_map(|state| &state.sstables);
            let Some(table) = known.chain(inputs).find(|table| table.id == want.table) else {
                continue;
            };
            let table = table.clone();
            waits += 1;
            table.in_flight.fetch_add(1, Ordering::Relaxed);
            let first = want.handles[0];
            let length = want
                .handles
                .iter()
                .map(|handle| handle.length as usize)
                .sum();
            let request = IoRequest::ReadInto {
                file: table.file,
                offset: first.offset,
                length,
                buffer: self.loads.buffers.pop().unwrap_or_default(),
            };
            self.loads.next += 1;
            let id = self.loads.next;
            self.loads.by_first.insert(key, id);
            let load = Load {
                table,
                handles: want.handles.clone(),
                waiters: vec![waiter],
                cached: matches!(waiter, Waiter::Read(_)),
            };
            self.loads.loads.insert(id, load);
            let lane = match waiter {
                Waiter::Read(_) => Lane::Awaited,
                Waiter::Job(_) => Lane::Bulk,
            };
            self.requests.submit(io, Purpose::Blocks(id, lane), request);
        }
        waits
    }

    pub(super) fn blocks_on_io(&mut self, id: u64, outcome: IoOutcome, now: Now, io: &mut IoQueue) {
        let load = self
            .loads
            .loads
            .remove(&id)
            .expect("a load is answered once");
        self.loads
            .by_first
            .remove(&(load.table.id, load.handles[0].offset));
        load.table.in_flight.fetch_sub(1, Ordering::Relaxed);
        let opened = match outcome {
            Ok(IoDone::Read(bytes)) => {
                let opened = open_blocks(&load, &bytes, &mut self.loads.opener);
                self.loads.keep_buffer(bytes);
                opened
            }
            Ok(_) => Err(load
                .table
                .corrupt(load.handles[0].offset, "nothing was read")),
            Err(error) => Err(StoreError::io(&load.table.path, error)),
        };
        if let Ok(blocks) = &opened
            && load.cached
        {
            for (key, block) in blocks {
                self.cache.insert(*key, block.clone());
            }
        }
        for waiter in load.waiters {
            match waiter {
                Waiter::Read(ticket) => self.read_loaded(ticket, &opened, io),
                Waiter::Job(job) => self.job_loaded(job, &opened, now, io),
            }
        }
        self.remove_retired(io);
    }
}

impl Loads {
    fn keep_buffer(&mut self, buffer: Vec<u8>) {
        if self.buffers.len() < MAX_BUFFERS && buffer.capacity() <= MAX_BUFFER_BYTES {
            self.buffers.push(buffer);
        }
    }
}

/// Unpacks what was read. Only the first block was asked for; the others are welcome if they are whole.
fn open_blocks(
    load: &Load,
    bytes: &[u8],
    opener: &mut Opener,
) -> Result<Vec<(BlockKey, Arc<[u8]>)>, StoreError> {
    let mut blocks = Vec::with_capacity(load.handles.len());
    let mut at = 0;
    for handle in &load.handles {
        let end = at + handle.length as usize;
        let opened = match bytes.get(at..end) {
            Some(block) => opener.open(load.table.identity(), handle.offset, block),
            None => Err("the file ends within the block"),
        };
        match opened {
            Ok(raw) => blocks.push(((load.table.id, handle.offset), raw.into())),
            Err(what) if at == 0 => return Err(load.table.corrupt(handle.offset, what)),
            Err(_) => break,
        }
        at = end;
    }
    Ok(blocks)
}
