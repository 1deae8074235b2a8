//! What a shard wants done, collected during a turn and carried out at its end.

use super::ClientId;
use model::env::IoQueue;
use std::ops::Range;

/// The outcome of a turn. The buffers are kept and used again.
#[derive(Debug)]
pub struct Effects<M> {
    /// The envelopes of all answers, one after the other.
    bytes: Vec<u8>,
    /// Whose answer is where in `bytes`.
    responses: Vec<(ClientId, Range<usize>)>,
    /// Connections to close once what they were sent is out.
    pub closes: Vec<ClientId>,
    /// Messages for other shards, in order.
    pub messages: Vec<(u16, M)>,
    /// Requests to the disk, in order.
    pub io: IoQueue,
    /// There is background work left that should go on at once.
    pub more_background: bool,
}

impl<M> Default for Effects<M> {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            responses: Vec::new(),
            closes: Vec::new(),
            messages: Vec::new(),
            io: IoQueue::default(),
            more_background: false,
        }
    }
}

impl<M> Effects<M> {
    /// Answers a client (or pushes an event to it): `write` appends exactly one whole envelope.
    pub fn respond<R>(&mut self, client: ClientId, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let start = self.bytes.len();
        let result = write(&mut self.bytes);
        self.responses.push((client, start..self.bytes.len()));
        result
    }

    /// Bytes of answers not yet taken.
    pub fn response_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Hands every answer to `deliver`, in order, and forgets them.
    pub fn take_responses(&mut self, mut deliver: impl FnMut(ClientId, &[u8])) {
        for (client, range) in self.responses.drain(..) {
            deliver(client, &self.bytes[range]);
        }
        self.bytes.clear();
        if self.bytes.capacity() > KEPT_BYTES {
            self.bytes.shrink_to(KEPT_BYTES);
        }
    }
}

/// What the answers' buffer may keep between turns.
const KEPT_BYTES: usize = 1 << 20;
