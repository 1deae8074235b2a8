//! The block cache: uncompressed SSTable blocks within a budget, in a policy that a scan cannot flush.
//!
//! S3-FIFO (Yang et al., SOSP 2023): a new block enters a small queue of a tenth of the budget; only what is asked for
//! again before it leaves moves to the main queue, and a ghost list of keys lets a block that comes back soon enter
//! the main queue at once. So blocks read once pass through without pushing out what is used.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// An SSTable's number in the process and a block's offset in its file.
pub(crate) type BlockKey = (u64, u64);

/// Bytes an entry costs beyond its block.
const ENTRY_BYTES: usize = 96;
/// Uses beyond this are not counted.
const MAX_USES: u8 = 3;

/// A hasher for keys that are numbers of ours, not an adversary's: the same in every run.
#[derive(Debug, Default, Clone)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word ^ 0xf39c_c060_5ced_c835) * 0x9e37_79b9_7f4a_7c15;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }
}

/// Maps keyed by numbers.
pub(crate) type NumberMap<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;

#[derive(Debug)]
struct Entry {
    block: Arc<[u8]>,
    uses: Cell<u8>,
    main: bool,
}

/// The cache.
#[derive(Debug)]
pub(crate) struct BlockCache {
    budget: usize,
    entries: NumberMap<BlockKey, Entry>,
    small: VecDeque<BlockKey>,
    main: VecDeque<BlockKey>,
    ghosts: VecDeque<BlockKey>,
    ghost_set: HashSet<BlockKey, BuildHasherDefault<NumberHasher>>,
    small_bytes: usize,
    main_bytes: usize,
    hits: Cell<u64>,
    misses: Cell<u64>,
}

impl BlockCache {
    /// An empty cache of so many bytes.
    pub(crate) fn new(budget: usize) -> Self {
        Self {
            budget,
            entries: NumberMap::default(),
            small: VecDeque::new(),
            main: VecDeque::new(),
            ghosts: VecDeque::new(),
            ghost_set: HashSet::default(),
            small_bytes: 0,
            main_bytes: 0,
            hits: Cell::new(0),
            misses: Cell::new(0),
        }
    }

    /// The block, if it is held. It is lent: nothing leaves the cache while somebody reads, so a reader need not touch
    /// the reference count, which lies in memory that would have to be fetched for it alone.
    pub(crate) fn get(&self, key: BlockKey) -> Option<&[u8]> {
        if let Some(entry) = self.entries.get(&key) {
            entry.uses.set((entry.uses.get() + 1).min(MAX_USES));
            self.hits.set(self.hits.get() + 1);
            Some(&entry.block)
        } else {
            self.misses.set(self.misses.get() + 1);
            None
        }
    }

    /// Keeps a block, dropping others for it.
    pub(crate) fn insert(&mut self, key: BlockKey, block: Arc<[u8]>) {
        if self.entries.contains_key(&key) || block.len() > self.budget / 8 {
            return;
        }
        let bytes = block.len() + ENTRY_BYTES;
        let main = self.ghost_set.remove(&key);
        if main {
            self.main_bytes += bytes;
            self.main.push_back(key);
        } else {
            self.small_bytes += bytes;
            self.small.push_back(key);
        }
        self.entries.insert(
            key,
            Entry {
                block,
                uses: Cell::new(0),
                main,
            },
        );
        while self.small_bytes + self.main_bytes > self.budget {
            if self.small_bytes > self.budget / 10 || self.main.is_empty() {
                self.evict_small();
            } else {
                self.evict_main();
            }
        }
    }

    fn evict_small(&mut self) {
        let Some(key) = self.small.pop_front() else {
            return;
        };
        let Some(entry) = self.entries.get_mut(&key).filter(|entry| !entry.main) else {
            return;
        };
        let bytes = entry.block.len() + ENTRY_BYTES;
        self.small_bytes -= bytes;
        if entry.uses.take() > 0 {
            entry.main = true;
            self.main_bytes += bytes;
            self.main.push_back(key);
            return;
        }
        self.entries.remove(&key);
        if self.ghost_set.insert(key) {
            self.ghosts.push_back(key);
        }
        while self.ghosts.len() > self.main.len().max(64) {
            if let Some(oldest) = self.ghosts.pop_front() {
                self.ghost_set.remove(&oldest);
            }
        }
    }

    fn evict_main(&mut self) {
        let Some(key) = self.main.pop_front() else {
            return;
        };
        let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.main) else {
            return;
        };
        let uses = entry.uses.get_mut();
        if *uses > 0 {
            *uses -= 1;
            self.main.push_back(key);
            return;
        }
        self.main_bytes -= entry.block.len() + ENTRY_BYTES;
        self.entries.remove(&key);
    }

    /// Drops the blocks of SSTables that are gone.
    pub(crate) fn forget(&mut self, tables: &BTreeSet<u64>) {
        let (small_bytes, main_bytes) = (&mut self.small_bytes, &mut self.main_bytes);
        self.entries.retain(|key, entry| {
            let gone = tables.contains(&key.0);
            if gone {
                let bytes = entry.block.len() + ENTRY_BYTES;
                *if entry.main {
                    &mut *main_bytes
                } else {
                    &mut *small_bytes
                } -= bytes;
            }
            !gone
        });
        self.small.retain(|key| !tables.contains(&key.0));
        self.main.retain(|key| !tables.contains(&key.0));
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.small_bytes + self.main_bytes
    }

    /// Questions answered, and not.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.hits.get(), self.misses.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Arc<[u8]> {
        vec![0; 1000].into()
    }

    #[test]
    fn a_scan_does_not_flush_what_is_used() {
        let mut cache = BlockCache::new(100 * (1000 + ENTRY_BYTES));
        for _ in 0..3 {
            for offset in 0..50 {
                if cache.get((1, offset)).is_none() {
                    cache.insert((1, offset), block());
                }
            }
        }
        (0..10_000).for_each(|offset| cache.insert((2, offset), block()));
        assert!(cache.bytes() <= 100 * (1000 + ENTRY_BYTES));
        let kept = (0..50)
            .filter(|&offset| cache.get((1, offset)).is_some())
            .count();
        assert_eq!(kept, 50);
        cache.forget(&[1].into());
        assert_eq!(cache.get((1, 3)), None);
        cache.forget(&[2].into());
        assert_eq!((cache.bytes(), cache.entries.len()), (0, 0));
    }
}
