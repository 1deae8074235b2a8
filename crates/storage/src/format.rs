//! What all of our files share: a head with magic, version and feature bits, little-endian fields, CRC-32 checksums.
//!
//! Byte-exact in `docs/formats/`. A reader refuses a version or a feature bit it does not know instead of guessing.

use crate::error::StoreError;

/// Bytes of every file's head.
pub(crate) const HEAD_BYTES: usize = 64;
/// The version of every format of this release.
pub(crate) const VERSION: u16 = 1;
/// Feature bits this release understands: none exist yet.
pub(crate) const KNOWN_FEATURES: u32 = 0;

/// Builds a head: magic, version, features, then the file's own fields, zeros, and a checksum in the last four bytes.
pub(crate) fn head(magic: [u8; 8], fields: &[u8]) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..8].copy_from_slice(&magic);
    head[8..10].copy_from_slice(&VERSION.to_le_bytes());
    head[12..16].copy_from_slice(&0u32.to_le_bytes());
    head[16..16 + fields.len()].copy_from_slice(fields);
    let crc = crc32fast::hash(&head[..HEAD_BYTES - 4]);
    head[HEAD_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
    head
}

/// Checks a head and returns the file's own fields.
pub(crate) fn check_head<'a>(
    file: &str,
    magic: [u8; 8],
    bytes: &'a [u8],
) -> Result<&'a [u8], StoreError> {
    let Some(head) = bytes.get(..HEAD_BYTES) else {
        return Err(StoreError::corrupt(file, 0, "the file has no head"));
    };
    if head[..8] != magic {
        return Err(StoreError::corrupt(file, 0, "not a file of this kind"));
    }
    if u32_at(head, HEAD_BYTES - 4) != crc32fast::hash(&head[..HEAD_BYTES - 4]) {
        return Err(StoreError::corrupt(file, 0, "the head's checksum is wrong"));
    }
    let (version, features) = (u16_at(head, 8), u32_at(head, 12));
    if version > VERSION || features & !KNOWN_FEATURES != 0 {
        return Err(StoreError::Newer {
            file: file.to_owned(),
            version,
            features,
        });
    }
    Ok(&head[16..HEAD_BYTES - 4])
}

/// The 16-bit number at `offset`, which the caller knows to be there.
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes(bytes[offset..offset + 2].try_into().expect("two bytes"))
}

/// The 32-bit number at `offset`, which the caller knows to be there.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().expect("four bytes"))
}

/// The 64-bit number at `offset`, which the caller knows to be there.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().expect("eight bytes"))
}
