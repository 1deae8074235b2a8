//! The segments that carry envelopes from protocol 5 on, once STARTUP is answered.
//!
//! ```text
//!  plain                                        LZ4
//!  0      17 bits: payload length               0      17 bits: length of the payload as sent
//!  17      1 bit:  self-contained               17     17 bits: length before compression, 0 if not compressed
//!  18      6 bits: zero                         34      1 bit:  self-contained
//!  24     24 bits: CRC24 of the 3 bytes before  35      5 bits: zero
//!  48     payload                               40     24 bits: CRC24 of the 5 bytes before
//!  …      32 bits: CRC32 of the payload         64     payload, CRC32 of it as sent
//! ```
//! All of it little-endian. A self-contained segment holds whole envelopes; an envelope that does not fit travels in
//! several segments of its own, none of them self-contained. A checksum that does not match ends the connection,
//! because where the next segment starts is no longer known.

use super::checksum::{crc24, crc32};
use super::compression::{DecompressError, compress_lz4, decompress_lz4};
use bytes::{Buf, Bytes, BytesMut};

/// Longest payload of one segment, before compression.
pub const MAX_PAYLOAD_BYTES: usize = (1 << 17) - 1;

const LENGTH_MASK: u64 = MAX_PAYLOAD_BYTES as u64;
const CHECKSUM_BYTES: usize = 3;
const TRAILER_BYTES: usize = 4;

/// Whether segments of a connection are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SegmentFormat {
    Plain,
    Lz4,
}

impl SegmentFormat {
    fn length_bytes(self) -> usize {
        match self {
            Self::Plain => 3,
            Self::Lz4 => 5,
        }
    }

    /// Bytes before the payload.
    pub fn header_bytes(self) -> usize {
        self.length_bytes() + CHECKSUM_BYTES
    }

    fn self_contained_bit(self) -> u32 {
        match self {
            Self::Plain => 17,
            Self::Lz4 => 34,
        }
    }
}

/// Whether a segment holds whole envelopes or a piece of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// One or more whole envelopes.
    SelfContained,
    /// The next piece of an envelope that is longer than a segment.
    Piece,
}

/// A segment whose checksums were right, its payload decompressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Envelopes or a piece of one.
    pub payload: Bytes,
    /// Which of the two.
    pub content: Content,
}

/// Why the bytes are no segment. All of them end the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// The header's CRC24 does not match.
    #[error(
        "invalid, unrecoverable CRC mismatch detected in frame header. Read {read}, Computed {computed}"
    )]
    Header {
        /// As sent.
        read: u32,
        /// Of the bytes received.
        computed: u32,
    },
    /// The payload's CRC32 does not match.
    #[error(
        "invalid, unrecoverable CRC mismatch detected in frame body. Read {read}, Computed {computed}"
    )]
    Payload {
        /// As sent.
        read: u32,
        /// Of the bytes received.
        computed: u32,
    },
    /// The payload does not decompress to the length its header states.
    #[error(transparent)]
    Compression(#[from] DecompressError),
}

/// Takes one segment off the front of `input`; `None` if it is not all there yet.
pub fn read_segment(
    format: SegmentFormat,
    input: &mut BytesMut,
) -> Result<Option<Segment>, SegmentError> {
    let header_bytes = format.header_bytes();
    if input.len() < header_bytes {
        return Ok(None);
    }
    let (lengths, checksum) = input[..header_bytes].split_at(format.length_bytes());
    let read = little_endian(checksum) as u32;
    let computed = crc24(lengths);
    if read != computed {
        return Err(SegmentError::Header { read, computed });
    }
    let bits = little_endian(lengths);
    let length = (bits & LENGTH_MASK) as usize;
    if input.len() < header_bytes + length + TRAILER_BYTES {
        return Ok(None);
    }
    input.advance(header_bytes);
    let sent = input.split_to(length).freeze();
    let (computed, read) = (crc32(&sent), input.get_u32_le());
    if read != computed {
        return Err(SegmentError::Payload { read, computed });
    }
    let payload = match (format, (bits >> 17 & LENGTH_MASK) as usize) {
        (SegmentFormat::Plain, _) | (SegmentFormat::Lz4, 0) => sent,
        (SegmentFormat::Lz4, uncompressed) => decompress_lz4(&sent, uncompressed)?,
    };
    let content = if bits >> format.self_contained_bit() & 1 == 1 {
        Content::SelfContained
    } else {
        Content::Piece
    };
    Ok(Some(Segment { payload, content }))
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Appends a segment with this payload to `out`.
pub fn write_segment(format: SegmentFormat, payload: &[u8], content: Content, out: &mut Vec<u8>) {
    let start = begin_segment(format, out);
    match format {
        SegmentFormat::Plain => {
            out.extend_from_slice(payload);
            end_segment(format, start, 0, content, out);
        }
        SegmentFormat::Lz4 => {
            compress_lz4(payload, out);
            if out.len() - start - format.header_bytes() < payload.len() {
                end_segment(format, start, payload.len(), content, out);
            } else {
                out.truncate(start + format.header_bytes());
                out.extend_from_slice(payload);
                end_segment(format, start, 0, content, out);
            }
        }
    }
}

/// Reserves a header at the end of `out` and returns where it starts; the payload may then be appended in place.
pub(super) fn begin_segment(format: SegmentFormat, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.resize(start + format.header_bytes(), 0);
    start
}

/// Fills in the header reserved at `start` and appends the trailer; the payload is everything since.
/// `uncompressed` is 0 where the payload is as it was.
pub(super) fn end_segment(
    format: SegmentFormat,
    start: usize,
    uncompressed: usize,
    content: Content,
    out: &mut Vec<u8>,
) {
    let payload_start = start + format.header_bytes();
    let length = out.len() - payload_start;
    assert!(
        length <= MAX_PAYLOAD_BYTES && uncompressed <= MAX_PAYLOAD_BYTES,
        "a segment's payload is bounded"
    );
    let mut bits = length as u64;
    if format == SegmentFormat::Lz4 {
        bits |= (uncompressed as u64) << 17;
    }
    if content == Content::SelfContained {
        bits |= 1 << format.self_contained_bit();
    }
    let checksum = crc32(&out[payload_start..]);
    let header = &mut out[start..payload_start];
    header[..format.length_bytes()].copy_from_slice(&bits.to_le_bytes()[..format.length_bytes()]);
    let header_checksum = crc24(&header[..format.length_bytes()]);
    header[format.length_bytes()..]
        .copy_from_slice(&header_checksum.to_le_bytes()[..CHECKSUM_BYTES]);
    out.extend_from_slice(&checksum.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roundtrip(format: SegmentFormat, payload: &[u8], content: Content) -> Vec<u8> {
        let mut out = Vec::new();
        write_segment(format, payload, content, &mut out);
        let mut input = BytesMut::from(&out[..]);
        let segment = read_segment(format, &mut input).unwrap().unwrap();
        assert_eq!(segment.payload, payload);
        assert_eq!(segment.content, content);
        assert!(input.is_empty());
        out
    }

    #[test]
    fn segments_survive_in_both_formats() {
        let noise: Vec<u8> = (0..MAX_PAYLOAD_BYTES as u64)
            .map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as u8)
            .collect();
        for format in [SegmentFormat::Plain, SegmentFormat::Lz4] {
            for content in [Content::SelfContained, Content::Piece] {
                for payload in [
                    &b""[..],
                    b"x",
                    &[5; 1000],
                    &vec![9; MAX_PAYLOAD_BYTES],
                    &noise,
                ] {
                    roundtrip(format, payload, content);
                }
            }
        }
    }

    #[test]
    fn compression_that_gains_nothing_is_left_out() {
        let out = roundtrip(SegmentFormat::Lz4, b"abc", Content::SelfContained);
        assert_eq!(out.len(), 8 + 3 + 4);
        assert_eq!(little_endian(&out[..5]) >> 17 & LENGTH_MASK, 0);
    }

    #[test]
    fn every_flipped_bit_is_found_and_every_prefix_waits() {
        for format in [SegmentFormat::Plain, SegmentFormat::Lz4] {
            let mut whole = Vec::new();
            write_segment(
                format,
                b"some payload that is worth its checksum checksum checksum",
                Content::SelfContained,
                &mut whole,
            );
            for cut in 0..whole.len() {
                assert_eq!(
                    read_segment(format, &mut BytesMut::from(&whole[..cut])),
                    Ok(None)
                );
            }
            for bit in 0..whole.len() * 8 {
                let mut broken = whole.clone();
                broken[bit / 8] ^= 1 << (bit % 8);
                assert!(
                    read_segment(format, &mut BytesMut::from(&broken[..])).is_err(),
                    "bit {bit}"
                );
            }
        }
    }
}
