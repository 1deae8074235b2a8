//! Values by number, in chunks that stay where they are.
//!
//! A vector that outgrows its memory is copied whole, which holds up the write that made it grow, and takes half as much
//! memory again from the system each time.

use std::ops::{Index, IndexMut};

/// Values of a chunk.
const CHUNK: usize = 1024;

/// The values.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    /// All but the last are full.
    chunks: Vec<Vec<T>>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<T> Slots<T> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        let last = self.chunks.last().map_or(0, Vec::len);
        self.chunks.len().saturating_sub(1) * CHUNK + last
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Bytes of memory taken.
    pub(crate) fn bytes(&self) -> usize {
        let last = self.chunks.last().map_or(0, Vec::capacity);
        (self.chunks.len().saturating_sub(1) * CHUNK + last) * size_of::<T>()
    }

    /// Adds a value; its number.
    pub(crate) fn push(&mut self, value: T) -> u32 {
        let number = self.len() as u32;
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(value),
            // The first grows by and by: most tables hold little.
            None => self.chunks.push(vec![value]),
            Some(_) => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(value);
                self.chunks.push(chunk);
            }
        }
        number
    }

    /// Frees up to `most` chunks from the end; returns whether there are more.
    pub(crate) fn decay(&mut self, most: usize) -> bool {
        let left = self.chunks.len().saturating_sub(most);
        self.chunks.truncate(left);
        left > 0
    }
}

impl<T> Index<u32> for Slots<T> {
    type Output = T;

    fn index(&self, number: u32) -> &T {
        &self.chunks[number as usize / CHUNK][number as usize % CHUNK]
    }
}

impl<T> IndexMut<u32> for Slots<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        &mut self.chunks[number as usize / CHUNK][number as usize % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_numbers() {
        let mut slots = Slots::default();
        for value in 0..3 * CHUNK as u32 + 7 {
            assert_eq!(slots.len(), value as usize);
            assert_eq!(slots.push(value), value);
            assert!(slots.bytes() >= slots.len() * size_of::<u32>());
        }
        slots[CHUNK as u32] = 9;
        assert_eq!((slots[0], slots[CHUNK as u32]), (0, 9));
        assert_eq!(slots[3 * CHUNK as u32], 3 * CHUNK as u32);
        assert!(slots.decay(3));
        assert_eq!(slots.len(), CHUNK);
        assert!(!slots.decay(1) && slots.is_empty());
    }
}
