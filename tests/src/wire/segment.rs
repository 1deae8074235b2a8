//! The outer framing of protocol version 5: segments with a CRC-24 over the header and a CRC-32 over the payload.
//!
//! ```text
//! | 17 bits payload length | 1 bit self-contained | 6 bits 0 |  3 bytes, little endian
//! | CRC-24 of these 3 bytes |                                  3 bytes, little endian
//! | payload | CRC-32 of the payload |                          4 bytes, little endian
//! ```
//! Source: native protocol specification v5, section 2.2.

use super::{WireError, WireResult};
use std::io::Read;

/// The longest payload a segment can carry.
pub const PAYLOAD_MAX_BYTES: usize = (1 << 17) - 1;

fn crc24(bytes: &[u8]) -> u32 {
    let mut crc: u32 = 0x0087_5060;
    for byte in bytes {
        crc ^= u32::from(*byte) << 16;
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= 0x0197_4F0B;
            }
        }
    }
    crc & 0x00ff_ffff
}

/// The CRC-32 of zlib, started as if four fixed bytes came first.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in [0xFA, 0x2D, 0x55, 0xCA].iter().chain(bytes) {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0xEDB8_8320
            } else {
                crc >> 1
            };
        }
    }
    !crc
}

/// Wraps an envelope into as many segments as it takes.
pub fn wrap(envelope: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(envelope.len() + 16);
    let self_contained = u32::from(envelope.len() <= PAYLOAD_MAX_BYTES);
    for payload in envelope.chunks(PAYLOAD_MAX_BYTES) {
        let header = payload.len() as u32 | (self_contained << 17);
        let header = &header.to_le_bytes()[..3];
        out.extend(header);
        // CRC-24 is fed the header's bytes in the order they travel.
        out.extend(&crc24(header).to_le_bytes()[..3]);
        out.extend(payload);
        out.extend(crc32(payload).to_le_bytes());
    }
    out
}

/// Reads one segment and gives its payload.
pub fn read(from: &mut impl Read) -> WireResult<Vec<u8>> {
    let mut header = [0; 6];
    from.read_exact(&mut header)?;
    let stated = u32::from_le_bytes([header[3], header[4], header[5], 0]);
    if crc24(&header[..3]) != stated {
        return Err(WireError::Malformed("segment header checksum".into()));
    }
    let length =
        u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize & PAYLOAD_MAX_BYTES;
    let mut payload = vec![0; length];
    from.read_exact(&mut payload)?;
    let mut checksum = [0; 4];
    from.read_exact(&mut checksum)?;
    if crc32(&payload) != u32::from_le_bytes(checksum) {
        return Err(WireError::Malformed("segment payload checksum".into()));
    }
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_envelope_is_cut_into_segments_and_joined_again() {
        let envelope: Vec<u8> = (0..300_000u32).map(|i| i as u8).collect();
        let wrapped = wrap(&envelope);
        let mut from = wrapped.as_slice();
        let mut joined = Vec::new();
        while !from.is_empty() {
            joined.extend(read(&mut from).unwrap());
        }
        assert_eq!(joined, envelope);
    }

    #[test]
    fn a_flipped_bit_is_seen() {
        let mut wrapped = wrap(b"hello");
        wrapped[8] ^= 1;
        assert!(read(&mut wrapped.as_slice()).is_err());
    }
}
