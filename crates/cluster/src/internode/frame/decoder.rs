//! Bytes, as they come → messages.

use super::header::{HEADER_BYTES, Header};
use bytes::{Bytes, BytesMut};
use model::varint;

/// Bytes that are no frame. Nothing behind them can be read: the connection ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum FrameError {
    #[error("the checksum of a frame's header is wrong")]
    HeaderChecksum,
    #[error("the checksum of a frame's payload is wrong")]
    PayloadChecksum,
    #[error("a frame of kind {0}, which is not known")]
    Kind(u8),
    #[error("a frame of {0} bytes")]
    TooLarge(usize),
    #[error("a frame that does not decompress to what it says")]
    Compression,
    #[error("a frame whose messages do not fill it")]
    Messages,
}

/// Takes frames off the front of what was received.
#[derive(Debug, Default)]
pub struct Decoder {
    header: Option<Header>,
    failed: Option<FrameError>,
}

impl Decoder {
    /// The messages of the next frame; nothing if more bytes are needed. After an error there is only that error.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Messages>, FrameError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.try_next(input);
        if let Err(error) = &result {
            self.failed = Some(error.clone());
        }
        result
    }

    fn try_next(&mut self, input: &mut BytesMut) -> Result<Option<Messages>, FrameError> {
        let header = match self.header {
            Some(header) => header,
            None => {
                let Some(bytes) = input.first_chunk::<HEADER_BYTES>() else {
                    return Ok(None);
                };
                let header = Header::decode(bytes)?;
                let _ = input.split_to(HEADER_BYTES);
                *self.header.insert(header)
            }
        };
        if input.len() < header.sent {
            return Ok(None);
        }
        self.header = None;
        let sent = input.split_to(header.sent).freeze();
        if crc32fast::hash(&sent) != header.payload_sum {
            return Err(FrameError::PayloadChecksum);
        }
        let payload = match header.decompressed {
            None => sent,
            Some(length) => decompress(&sent, length)?,
        };
        Messages::new(payload).map(Some)
    }

    /// How many more bytes the frame needs that has begun to come; 0 if none has.
    pub fn missing_bytes(&self, input: &BytesMut) -> usize {
        self.header
            .map_or(0, |header| header.sent.saturating_sub(input.len()))
    }
}

fn decompress(sent: &[u8], length: usize) -> Result<Bytes, FrameError> {
    let mut payload = vec![0; length];
    match lz4_flex::block::decompress_into(sent, &mut payload) {
        Ok(written) if written == length => Ok(payload.into()),
        _ => Err(FrameError::Compression),
    }
}

/// The messages of one frame, in the order they were appended. Each shares the frame's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Messages {
    payload: Bytes,
    at: usize,
    left: usize,
}

impl Messages {
    /// Looks through the whole payload, so that nothing of a frame is handed over that is not right to its end.
    fn new(payload: Bytes) -> Result<Self, FrameError> {
        let mut rest: &[u8] = &payload;
        let mut left = 0;
        while !rest.is_empty() {
            let length = varint::get(&mut rest).ok_or(FrameError::Messages)?;
            if length == 0 || length > rest.len() as u64 {
                return Err(FrameError::Messages);
            }
            rest = &rest[length as usize..];
            left += 1;
        }
        if left == 0 {
            return Err(FrameError::Messages);
        }
        let at = 0;
        Ok(Self { payload, at, left })
    }

    /// Bytes of the payload, decompressed.
    pub fn payload_bytes(&self) -> usize {
        self.payload.len()
    }
}

impl Iterator for Messages {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut rest = &self.payload[self.at..];
        let before = rest.len();
        let length = varint::get(&mut rest)? as usize;
        let start = self.at + before - rest.len();
        self.at = start + length;
        self.left -= 1;
        Some(self.payload.slice(start..self.at))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Messages {}
