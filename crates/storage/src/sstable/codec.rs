//! Compressed, checksummed blocks: the unit of everything in an SSTable that is read from disk.
//!
//! The checksum covers the head, the stored bytes, the file's identity and the block's offset, so that neither a
//! flipped byte nor a block that was written or read at the wrong place passes. Layout in `docs/formats/sstable.md`.

use crate::format::{u16_at, u32_at};
use std::collections::BTreeMap;

/// Bytes before a block's stored bytes.
pub(crate) const BLOCK_HEAD_BYTES: usize = 16;
/// Largest block that is believed when its length is read from disk.
pub(crate) const MAX_BLOCK_BYTES: usize = 1 << 30;

/// Blocks into which a `chunk_length_in_kb` is cut. Cassandra's chunks are pieces of a file that partitions cross as they
/// fall; a block here is whole partitions, or a stretch of one, so that a read needs less of it: half as many bytes are read,
/// checked and unpacked for a row, and hardly more are stored.
const BLOCKS_A_CHUNK: usize = 2;

/// What compresses a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    /// Nothing.
    None,
    /// `LZ4Compressor`.
    Lz4,
    /// `SnappyCompressor`.
    Snappy,
    /// `DeflateCompressor`.
    Deflate,
    /// `ZstdCompressor` at a level.
    Zstd(i32),
}

const NONE: u8 = 0;
const LZ4: u8 = 1;
const SNAPPY: u8 = 2;
const DEFLATE: u8 = 3;
const ZSTD: u8 = 4;

/// A table's `compression` option, as far as it decides bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Compression {
    /// The codec.
    pub codec: Codec,
    /// Uncompressed bytes of a data block, about.
    pub block_bytes: usize,
    /// Blocks that shrink by less than this factor are stored as they are.
    pub min_ratio: f64,
}

impl Compression {
    /// Reads the options of a table.
    pub(crate) fn new(options: &BTreeMap<String, String>) -> Self {
        let class = options.get("class").map_or("", String::as_str);
        let class = class.rsplit('.').next().unwrap_or(class);
        let level = options
            .get("compression_level")
            .and_then(|level| level.parse().ok());
        let enabled = options
            .get("enabled")
            .is_none_or(|enabled| enabled != "false");
        let codec = match class {
            _ if !enabled => Codec::None,
            "LZ4Compressor" => Codec::Lz4,
            "SnappyCompressor" => Codec::Snappy,
            "DeflateCompressor" => Codec::Deflate,
            "ZstdCompressor" | "ZstdDictionaryCompressor" => Codec::Zstd(level.unwrap_or(3)),
            _ => Codec::None,
        };
        let chunk = options
            .get("chunk_length_in_kb")
            .and_then(|text| text.parse::<usize>().ok())
            .unwrap_or(16);
        Self {
            codec,
            block_bytes: (chunk << 10).clamp(8 << 10, 256 << 10) / BLOCKS_A_CHUNK,
            min_ratio: options
                .get("min_compress_ratio")
                .and_then(|text| text.parse().ok())
                .unwrap_or(1.0),
        }
    }

    /// Blocks of the given size that are not compressed: filters and statistics.
    pub(crate) const PLAIN: Self = Self {
        codec: Codec::None,
        block_bytes: 16 << 10,
        min_ratio: 1.0,
    };
}

/// Compresses and seals blocks, keeping its work space.
#[derive(Debug, Default)]
pub(crate) struct Sealer {
    packed: Vec<u8>,
}

impl Sealer {
    /// Appends the block holding `raw`, to stand at `offset` of the file with this identity; returns its length.
    pub(crate) fn seal(
        &mut self,
        compression: Compression,
        identity: u64,
        offset: u64,
        raw: &[u8],
        out: &mut Vec<u8>,
    ) -> usize {
        let mut codec = self.pack(compression.codec, raw);
        let gains = self.packed.len() as f64 * compression.min_ratio < raw.len() as f64;
        if codec != NONE && !gains {
            codec = NONE;
        }
        let stored = if codec == NONE { raw } else { &self.packed };
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&(stored.len() as u32).to_le_bytes());
        out.extend_from_slice(&(raw.len() as u32).to_le_bytes());
        // Codec, reserved, and the id of the key that encrypts the block: 0, not encrypted.
        out.extend_from_slice(&[codec, 0, 0, 0]);
        out.extend_from_slice(stored);
        let crc = checksum(identity, offset, &out[start + 4..]);
        out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
        out.len() - start
    }

    fn pack(&mut self, codec: Codec, raw: &[u8]) -> u8 {
        let packed = &mut self.packed;
        packed.clear();
        match codec {
            Codec::None => NONE,
            Codec::Lz4 => {
                packed.resize(lz4_flex::block::get_maximum_output_size(raw.len()), 0);
                match lz4_flex::block::compress_into(raw, packed) {
                    Ok(length) => {
                        packed.truncate(length);
                        LZ4
                    }
                    Err(_) => NONE,
                }
            }
            Codec::Snappy => {
                packed.resize(snap::raw::max_compress_len(raw.len()), 0);
                match snap::raw::Encoder::new().compress(raw, packed) {
                    Ok(length) => {
                        packed.truncate(length);
                        SNAPPY
                    }
                    Err(_) => NONE,
                }
            }
            Codec::Deflate => {
                let mut compress = flate2::Compress::new(flate2::Compression::default(), true);
                packed.reserve(raw.len() + 128);
                match compress.compress_vec(raw, packed, flate2::FlushCompress::Finish) {
                    Ok(flate2::Status::StreamEnd) => DEFLATE,
                    _ => NONE,
                }
            }
            Codec::Zstd(level) => {
                packed.resize(zstd::zstd_safe::compress_bound(raw.len()), 0);
                match zstd::bulk::compress_to_buffer(raw, packed, level) {
                    Ok(length) => {
                        packed.truncate(length);
                        ZSTD
                    }
                    Err(_) => NONE,
                }
            }
        }
    }
}

/// Checks and unpacks blocks, keeping its work space.
#[derive(Debug, Default)]
pub(crate) struct Opener {
    /// As long as the longest block that was unpacked here: what it holds is of no meaning.
    space: Vec<u8>,
}

/// Work space that is kept for the next block.
const KEPT_SPACE_BYTES: usize = 256 << 10;

impl Opener {
    /// Checks and unpacks a block read from `offset` of the file with this identity; the error says what is wrong.
    pub(crate) fn open<'a>(
        &'a mut self,
        identity: u64,
        offset: u64,
        bytes: &'a [u8],
    ) -> Result<&'a [u8], &'static str> {
        let Some(stored) = bytes.get(BLOCK_HEAD_BYTES..) else {
            return Err("the block is cut");
        };
        if u32_at(bytes, 4) as usize != stored.len() {
            return Err("the block's length is wrong");
        }
        if checksum(identity, offset, &bytes[4..]) != u32_at(bytes, 0) {
            return Err("the block's checksum is wrong");
        }
        let raw_bytes = u32_at(bytes, 8) as usize;
        if raw_bytes > MAX_BLOCK_BYTES {
            return Err("the block's length is beyond belief");
        }
        if u16_at(bytes, 14) != 0 {
            return Err("the block is encrypted");
        }
        let raw = match bytes[12] {
            NONE => stored,
            codec => {
                let raw = self.space(raw_bytes);
                if unpack(codec, stored, raw) != Some(raw_bytes) {
                    return Err("the block does not unpack");
                }
                raw
            }
        };
        if raw.len() != raw_bytes {
            return Err("the block does not unpack");
        }
        Ok(raw)
    }

    /// So many bytes of work space.
    fn space(&mut self, bytes: usize) -> &mut [u8] {
        if self.space.len() > KEPT_SPACE_BYTES {
            self.space = Vec::new();
        }
        if self.space.len() < bytes {
            self.space.resize(bytes, 0);
        }
        &mut self.space[..bytes]
    }
}

/// Unpacks `stored` into `raw`; returns how many bytes came of it.
fn unpack(codec: u8, stored: &[u8], raw: &mut [u8]) -> Option<usize> {
    match codec {
        LZ4 => lz4_flex::block::decompress_into(stored, raw).ok(),
        SNAPPY => snap::raw::Decoder::new().decompress(stored, raw).ok(),
        DEFLATE => {
            let mut unpacker = flate2::Decompress::new(true);
            unpacker
                .decompress(stored, raw, flate2::FlushDecompress::Finish)
                .ok()?;
            usize::try_from(unpacker.total_out()).ok()
        }
        ZSTD => zstd::bulk::decompress_to_buffer(stored, raw).ok(),
        _ => None,
    }
}

/// [`Opener::open`] for who opens one block and keeps it.
pub(crate) fn open(identity: u64, offset: u64, bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
    Opener::default()
        .open(identity, offset, bytes)
        .map(<[u8]>::to_vec)
}

fn checksum(identity: u64, offset: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&identity.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn codecs() -> impl Strategy<Value = Codec> {
        prop_oneof![
            Just(Codec::None),
            Just(Codec::Lz4),
            Just(Codec::Snappy),
            Just(Codec::Deflate),
            Just(Codec::Zstd(3)),
        ]
    }

    proptest! {
        #[test]
        fn opens_what_was_sealed_and_nothing_else(codec in codecs(), seed in proptest::collection::vec(0u8..8, 0..600), repeat in 1usize..20, flip: proptest::sample::Index, bit in 0u8..8) {
            let raw = seed.repeat(repeat);
            let compression = Compression { codec, ..Compression::PLAIN };
            let mut bytes = Vec::new();
            let length = Sealer::default().seal(compression, 7, 4096, &raw, &mut bytes);
            prop_assert_eq!(length, bytes.len());
            prop_assert_eq!(open(7, 4096, &bytes), Ok(raw));
            prop_assert!(open(7, 8192, &bytes).is_err());
            prop_assert!(open(8, 4096, &bytes).is_err());
            let at = flip.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(open(7, 4096, &bytes).is_err());
        }
    }
}
