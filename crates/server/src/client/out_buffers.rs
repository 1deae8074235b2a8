//! Buffers that a shard's connections write their answers into.

use std::cell::RefCell;

/// Out-buffers a shard keeps for the connections that will have answers next, and the largest that is worth it.
const KEPT_BUFFERS: usize = 8;
const KEPT_BYTES: usize = 512 << 10;

/// Buffers for answers, lent to connections while they have any to send: a silent connection holds none, and a busy one
/// gets one that has grown already.
#[derive(Debug, Default)]
pub struct OutBuffers(RefCell<Vec<Vec<u8>>>);

impl OutBuffers {
    /// An empty buffer.
    pub fn lend(&self) -> Vec<u8> {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps a buffer for the next connection, if it is worth it.
    pub fn take_back(&self, mut buffer: Vec<u8>) {
        let mut kept = self.0.borrow_mut();
        if kept.len() < KEPT_BUFFERS && (1..=KEPT_BYTES).contains(&buffer.capacity()) {
            buffer.clear();
            kept.push(buffer);
        }
    }
}
