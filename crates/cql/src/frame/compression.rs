//! Compression of bodies (v3, v4) and of segments (v5).
//!
//! LZ4 blocks of v3/v4 start with the uncompressed length, big-endian; segments keep both lengths in their header.
//! Snappy's own format carries the length. The length claimed is compared with the limit before anything is reserved.

use bytes::Bytes;

/// A compression that STARTUP can agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Compression {
    Lz4,
    Snappy,
}

impl Compression {
    /// The names SUPPORTED lists, in Cassandra's order.
    pub const NAMES: [&'static str; 2] = ["snappy", "lz4"];

    /// The compression of this name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("lz4") {
            Some(Self::Lz4)
        } else if name.eq_ignore_ascii_case("snappy") {
            Some(Self::Snappy)
        } else {
            None
        }
    }
}

/// Why compressed bytes cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecompressError {
    /// Not what the compressor writes.
    #[error("Cannot decompress the frame's body")]
    Corrupt,
    /// The body would be longer than allowed.
    #[error(
        "Request is too big: decompressed length {length} exceeds the maximum of {limit} bytes"
    )]
    TooLarge {
        /// Length claimed.
        length: usize,
        /// Longest allowed.
        limit: usize,
    },
}

/// Appends the compressed body of a v3/v4 envelope to `out`.
pub fn compress_body(compression: Compression, body: &[u8], out: &mut Vec<u8>) {
    match compression {
        Compression::Lz4 => {
            out.extend_from_slice(&(body.len() as u32).to_be_bytes());
            compress_lz4(body, out);
        }
        Compression::Snappy => {
            let start = out.len();
            out.resize(start + snap::raw::max_compress_len(body.len()), 0);
            let written = snap::raw::Encoder::new()
                .compress(body, &mut out[start..])
                .expect("the buffer has the size that the compressor asked for");
            out.truncate(start + written);
        }
    }
}

/// Appends a bare LZ4 block to `out`.
pub(super) fn compress_lz4(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(
        start + lz4_flex::block::get_maximum_output_size(bytes.len()),
        0,
    );
    let written = lz4_flex::block::compress_into(bytes, &mut out[start..])
        .expect("the buffer has the size that the compressor asked for");
    out.truncate(start + written);
}

/// The body of a compressed v3/v4 envelope.
pub fn decompress_body(
    compression: Compression,
    body: &[u8],
    limit: usize,
) -> Result<Bytes, DecompressError> {
    match compression {
        Compression::Lz4 => {
            let (length, block) = body
                .split_first_chunk::<4>()
                .ok_or(DecompressError::Corrupt)?;
            let length = u32::from_be_bytes(*length) as usize;
            if length > limit {
                return Err(DecompressError::TooLarge { length, limit });
            }
            decompress_lz4(block, length)
        }
        Compression::Snappy => {
            let length = snap::raw::decompress_len(body).map_err(|_| DecompressError::Corrupt)?;
            if length > limit {
                return Err(DecompressError::TooLarge { length, limit });
            }
            // Snappy's densest element is three bytes for sixty-four.
            if length / 64 > body.len() {
                return Err(DecompressError::Corrupt);
            }
            let bytes = snap::raw::Decoder::new()
                .decompress_vec(body)
                .map_err(|_| DecompressError::Corrupt)?;
            Ok(bytes.into())
        }
    }
}

/// The `length` bytes a bare LZ4 block holds.
pub(super) fn decompress_lz4(block: &[u8], length: usize) -> Result<Bytes, DecompressError> {
    // LZ4's densest sequence is a byte for 255, so a longer claim is a lie and is not worth the memory.
    if length / 255 > block.len() {
        return Err(DecompressError::Corrupt);
    }
    if length == 0 {
        return Ok(Bytes::new());
    }
    let mut bytes = vec![0; length];
    match lz4_flex::block::decompress_into(block, &mut bytes) {
        Ok(written) if written == length => Ok(bytes.into()),
        _ => Err(DecompressError::Corrupt),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_survive_both_compressions() {
        for compression in [Compression::Lz4, Compression::Snappy] {
            for body in [
                &b""[..],
                b"a",
                &[7; 10_000],
                b"the quick brown fox jumps over the lazy dog",
            ] {
                let mut out = vec![1, 2, 3];
                compress_body(compression, body, &mut out);
                assert_eq!(out[..3], [1, 2, 3]);
                assert_eq!(
                    decompress_body(compression, &out[3..], 1 << 20).unwrap(),
                    body
                );
                for cut in 0..(out.len() - 3).min(200) {
                    let _ = decompress_body(compression, &out[3..3 + cut], 1 << 20);
                }
            }
        }
    }

    #[test]
    fn an_empty_body_as_cassandra_compresses_it() {
        assert_eq!(
            decompress_body(Compression::Lz4, &[0, 0, 0, 0, 0], 100).unwrap(),
            &b""[..]
        );
        assert_eq!(
            decompress_body(Compression::Snappy, &[0], 100).unwrap(),
            &b""[..]
        );
    }

    #[test]
    fn a_claimed_length_reserves_nothing() {
        let lie = [0x0f, 0xff, 0xff, 0xff, 0x00];
        assert_eq!(
            decompress_body(Compression::Lz4, &lie, 1 << 28),
            Err(DecompressError::Corrupt)
        );
        assert_eq!(
            decompress_body(Compression::Lz4, &lie, 100),
            Err(DecompressError::TooLarge {
                length: 0x0fff_ffff,
                limit: 100
            })
        );
        let lie = [0xff, 0xff, 0xff, 0x7f, 0x00];
        assert_eq!(
            decompress_body(Compression::Snappy, &lie, 1 << 28),
            Err(DecompressError::Corrupt)
        );
    }
}
