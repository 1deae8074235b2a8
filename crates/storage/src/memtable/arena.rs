//! Where a memtable's bytes live: appended to large chunks, freed all at once.
//!
//! A [`Ref`] is eight bytes: an address in units of eight bytes and a length. Nothing is freed singly; what is
//! overwritten in place keeps its room, what moves leaves it unused until the memtable is flushed.

/// Bytes of a full-sized chunk: what the low 16 bits of an address can reach.
const CHUNK_BYTES: usize = 1 << (16 + 3);
/// Bytes of the first chunk: most tables hold little.
const FIRST_CHUNK_BYTES: usize = 4096;

/// Where some bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ref {
    at: u32,
    length: u32,
}

impl Ref {
    /// No bytes.
    pub(crate) const EMPTY: Self = Self { at: 0, length: 0 };

    /// How many bytes.
    pub(crate) fn len(self) -> usize {
        self.length as usize
    }

    fn room(self) -> usize {
        self.len().next_multiple_of(8)
    }
}

/// Chunks of bytes.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    chunks: Vec<Vec<u8>>,
    current: usize,
    bytes: usize,
}

impl Arena {
    /// Bytes taken from the allocator.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Frees up to `most` chunks; returns whether there are more.
    pub(crate) fn decay(&mut self, most: usize) -> bool {
        let left = self.chunks.len().saturating_sub(most);
        self.chunks.truncate(left);
        left > 0
    }

    /// Keeps a copy of `data`.
    pub(crate) fn put(&mut self, data: &[u8]) -> Ref {
        if data.is_empty() {
            return Ref::EMPTY;
        }
        let room = data.len().next_multiple_of(8);
        let fits = self
            .chunks
            .get(self.current)
            .is_some_and(|chunk| chunk.len() + room <= chunk.capacity());
        if !fits {
            self.grow(room);
        }
        let index = if room > CHUNK_BYTES / 4 && !fits {
            self.chunks.len() - 1
        } else {
            self.current
        };
        let chunk = &mut self.chunks[index];
        let offset = chunk.len();
        chunk.extend_from_slice(data);
        chunk.resize(offset + room, 0);
        Ref {
            at: (index << 16 | offset >> 3) as u32,
            length: data.len() as u32,
        }
    }

    /// Adds a chunk with room for `room` bytes; a large one is for them alone, so that the current one goes on.
    fn grow(&mut self, room: usize) {
        assert!(self.chunks.len() < 1 << 16, "an arena holds 65,536 chunks");
        if room > CHUNK_BYTES / 4 {
            self.bytes += room;
            self.chunks.push(Vec::with_capacity(room));
            return;
        }
        let size = (FIRST_CHUNK_BYTES << (2 * self.chunks.len()).min(16))
            .clamp(room.next_power_of_two(), CHUNK_BYTES);
        self.bytes += size;
        self.current = self.chunks.len();
        self.chunks.push(Vec::with_capacity(size));
    }

    /// Replaces bytes, in place when the new ones fit where the old ones are.
    pub(crate) fn replace(&mut self, old: Ref, data: &[u8]) -> Ref {
        if data.is_empty() || data.len() > old.room() {
            return self.put(data);
        }
        let (chunk, offset) = place(old);
        self.chunks[chunk][offset..offset + data.len()].copy_from_slice(data);
        Ref {
            at: old.at,
            length: data.len() as u32,
        }
    }

    /// The bytes.
    #[inline]
    pub(crate) fn get(&self, reference: Ref) -> &[u8] {
        if reference.length == 0 {
            return &[];
        }
        let (chunk, offset) = place(reference);
        &self.chunks[chunk][offset..offset + reference.len()]
    }
}

#[inline]
fn place(reference: Ref) -> (usize, usize) {
    (
        (reference.at >> 16) as usize,
        ((reference.at & 0xffff) as usize) << 3,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keeps_what_was_put(lengths in proptest::collection::vec((0usize..3000, proptest::bool::ANY), 1..200), large in 0usize..1_500_000) {
            let mut arena = Arena::default();
            let mut model: Vec<(Ref, Vec<u8>)> = Vec::new();
            for (index, (length, replace)) in lengths.into_iter().enumerate() {
                let data = vec![index as u8; if index == 7 { large } else { length }];
                if replace && !model.is_empty() {
                    let victim = length % model.len();
                    let renewed = arena.replace(model[victim].0, &data);
                    model[victim] = (renewed, data);
                } else {
                    model.push((arena.put(&data), data));
                }
            }
            for (reference, data) in &model {
                prop_assert_eq!(arena.get(*reference), data.as_slice());
            }
        }
    }
}
