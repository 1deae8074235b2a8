//! Messages → frames, in a buffer that is used again.

use super::super::handshake::FrameCompression;
use super::header::{HEADER_BYTES, Header};
use model::limits::{INTERNODE_FRAME_BYTES, MAX_INTERNODE_MESSAGE_BYTES};
use model::varint;

/// Payloads smaller than this are not worth compressing.
const MIN_COMPRESSED_BYTES: usize = 512;

/// A message that no frame can carry. Whoever made it must make it smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message of {length} bytes between nodes; at most {limit} can be sent")]
pub struct MessageTooLarge {
    /// Its length.
    pub length: usize,
    /// The longest.
    pub limit: usize,
}

/// Appends messages to a buffer as frames. Between [`Encoder::append`] and [`Encoder::seal`] the last frame is open: its
/// bytes must stay where they are, and must not be sent.
#[derive(Debug)]
pub struct Encoder {
    compression: FrameCompression,
    max_message_bytes: usize,
    /// Where the open frame begins, and how many messages it has.
    open: Option<(usize, u32)>,
    scratch: Vec<u8>,
}

impl Encoder {
    /// An encoder that refuses messages longer than this.
    pub fn new(compression: FrameCompression, max_message_bytes: usize) -> Self {
        Self {
            compression,
            max_message_bytes: max_message_bytes.min(MAX_INTERNODE_MESSAGE_BYTES),
            open: None,
            scratch: Vec::new(),
        }
    }

    /// From the next frame that is sealed on, compress so.
    pub fn set_compression(&mut self, compression: FrameCompression) {
        self.compression = compression;
    }

    /// Appends a message to the open frame. `true` if that frame is full, and the next message needs it sealed.
    pub fn append(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<bool, MessageTooLarge> {
        assert!(!message.is_empty(), "a message says something");
        if message.len() > self.max_message_bytes {
            return Err(MessageTooLarge {
                length: message.len(),
                limit: self.max_message_bytes,
            });
        }
        let (start, messages) = match self.open {
            Some(open) => open,
            None => {
                let start = out.len();
                out.resize(start + HEADER_BYTES, 0);
                (start, 0)
            }
        };
        varint::put_bytes(out, message);
        self.open = Some((start, messages + 1));
        Ok(out.len() - start - HEADER_BYTES >= INTERNODE_FRAME_BYTES)
    }

    /// Ends the open frame, if there is one, and returns how many messages it has: from here on it may be sent.
    pub fn seal(&mut self, out: &mut Vec<u8>) -> u32 {
        let Some((start, messages)) = self.open.take() else {
            return 0;
        };
        let payload = start + HEADER_BYTES;
        let decompressed = self.compress(payload, out);
        let header = Header {
            sent: out.len() - payload,
            decompressed,
            payload_sum: crc32fast::hash(&out[payload..]),
        };
        out[start..payload].copy_from_slice(&header.encode());
        messages
    }

    /// Compresses what stands from `payload` on, if that makes it smaller; then its length before.
    fn compress(&mut self, payload: usize, out: &mut Vec<u8>) -> Option<usize> {
        let length = out.len() - payload;
        if self.compression == FrameCompression::None || length < MIN_COMPRESSED_BYTES {
            return None;
        }
        let room = lz4_flex::block::get_maximum_output_size(length);
        if self.scratch.len() < room {
            self.scratch.resize(room, 0);
        }
        let written = lz4_flex::block::compress_into(&out[payload..], &mut self.scratch)
            .expect("the buffer has the size that the compressor asked for");
        let smaller = written < length;
        if smaller {
            out.truncate(payload);
            out.extend_from_slice(&self.scratch[..written]);
        }
        if self.scratch.len() > 2 * INTERNODE_FRAME_BYTES {
            self.scratch = Vec::new();
        }
        smaller.then_some(length)
    }
}
