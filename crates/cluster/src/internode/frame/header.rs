//! The header of a frame.

use super::FrameError;
use model::limits::MAX_INTERNODE_FRAME_BYTES;

/// Bytes of a header.
pub const HEADER_BYTES: usize = 20;
/// The kind of a frame that carries messages; there is no other so far.
const MESSAGES: u8 = 1;
/// LZ4 makes 255 bytes of one at most, so a longer claim is a lie and is not worth the memory.
const MAX_RATIO: usize = 255;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes of the payload as it travels.
    pub(super) sent: usize,
    /// Bytes of the payload decompressed; `None` if it is not compressed.
    pub(super) decompressed: Option<usize>,
    /// Checksum of the payload as it travels.
    pub(super) payload_sum: u32,
}

impl Header {
    /// Its bytes.
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&(self.sent as u32).to_le_bytes());
        let decompressed = self.decompressed.unwrap_or(0) as u32;
        bytes[4..8].copy_from_slice(&decompressed.to_le_bytes());
        bytes[8] = MESSAGES;
        bytes[12..16].copy_from_slice(&self.payload_sum.to_le_bytes());
        let sum = crc32fast::hash(&bytes[..16]);
        bytes[16..20].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads and judges it: what it claims is possible, and not too much.
    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, FrameError> {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        if crc32fast::hash(&bytes[..16]) != word(16) {
            return Err(FrameError::HeaderChecksum);
        }
        if bytes[8] != MESSAGES || bytes[9..12] != [0; 3] {
            return Err(FrameError::Kind(bytes[8]));
        }
        let header = Self {
            sent: word(0) as usize,
            decompressed: Some(word(4) as usize).filter(|length| *length > 0),
            payload_sum: word(12),
        };
        let length = header.decompressed.unwrap_or(header.sent).max(header.sent);
        if length > MAX_INTERNODE_FRAME_BYTES {
            return Err(FrameError::TooLarge(length));
        }
        if length / MAX_RATIO > header.sent {
            return Err(FrameError::Compression);
        }
        Ok(header)
    }
}
