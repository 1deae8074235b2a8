//! Checking bytes against the formats of this crate, without a store: for fuzzers and for tools that look at files.

use crate::commitlog::{SegmentImage, SegmentName, Verdict};
use crate::manifest::Manifest;
use crate::ownership::Places;
use crate::sstable::block::Block;
use crate::sstable::bloom::Bloom;
use crate::sstable::index::Index;
use crate::sstable::{Footer, Stats, codec};

/// A check: whether bytes are well-formed. None may panic, whatever the bytes.
pub type Check = fn(&[u8]) -> bool;

/// Every format, by name.
pub const ALL: &[(&str, Check)] = &[
    ("commitlog segment", segment),
    ("manifest", manifest),
    ("sstable block envelope", envelope),
    ("sstable data block", |bytes| Block(bytes).verify()),
    ("sstable index block", |bytes| Index(bytes).verify()),
    ("sstable statistics", |bytes| Stats::decode(bytes).is_some()),
    ("sstable bloom filter", |bytes| {
        Bloom::decode(bytes).is_some()
    }),
    ("sstable footer", footer),
    ("places", |mut bytes| Places::decode(&mut bytes).is_some()),
];

/// A commit-log segment: its head, and records up to an end that is no rot.
pub fn segment(bytes: &[u8]) -> bool {
    let name = SegmentName {
        generation: 1,
        shard: 0,
        number: 1,
    };
    let Ok(image) = SegmentImage::new("segment".to_owned(), name, bytes.to_vec()) else {
        return false;
    };
    if image.checkpoint().is_err() {
        return false;
    }
    let mut offset = SegmentImage::START;
    while let Some((next, _)) = image.read(offset) {
        offset = next;
    }
    image.judge(offset, None, 0) == Verdict::End
}

fn manifest(bytes: &[u8]) -> bool {
    Manifest::decode("manifest", bytes).is_ok()
}

fn envelope(bytes: &[u8]) -> bool {
    codec::open(0, 0, bytes).is_ok()
}

fn footer(bytes: &[u8]) -> bool {
    Footer::decode("footer", 1 << 20, bytes).is_ok()
}
