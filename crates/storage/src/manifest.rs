//! A table's manifest for one shard: which SSTables there are, and how far the log is in them.
//!
//! Written whole to a new file, synced, renamed over the old one, and the directory synced: so it changes in one step
//! or not at all. What no manifest lists does not exist and is removed at the next start. `docs/formats/manifest.md`.

use crate::commitlog::Position;
use crate::error::StoreError;
use crate::format::{self, HEAD_BYTES, u32_at};
use crate::ownership::Places;
use crate::sstable::FileName;
use model::key::Token;
use model::schema::{Table, TableId};
use model::varint;

const MAGIC: [u8; 8] = *b"HELNMANI";

/// An SSTable in a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManifestEntry {
    /// The link this shard holds.
    pub name: FileName,
    /// Where its contents were first written.
    pub origin: FileName,
    /// Bytes of the file.
    pub length: u64,
    /// For which of its tokens it is valid here.
    pub places: Places,
    /// Tokens of its first and last partition, which its own statistics have too: where these are damaged, what of the table
    /// cannot be read is known all the same.
    pub tokens: (Token, Token),
}

/// A manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub table: TableId,
    /// Number of the next file.
    pub next_number: u64,
    /// Everything the log holds of the table below it is in the SSTables.
    pub flushed: Position,
    /// The log is synced up to here: below it nothing is a torn end.
    pub log_synced: Position,
    /// When the table was last truncated, in microseconds; `i64::MIN` if never.
    pub truncated_at: i64,
    /// The epoch of the metadata at which that was decided; 0 if never, or if this node alone emptied it.
    pub truncated_epoch: u64,
    /// What the log holds of the table below it was emptied.
    pub truncated_upto: Position,
    pub entries: Vec<ManifestEntry>,
}

/// What the name of a mark begins with: a file in a table's directory that says that the table is about to be dropped.
pub const DROP_MARK: &str = "dropped-";

/// A shard's mark.
pub(crate) fn drop_mark(generation: u32, shard: u16) -> String {
    format!("{DROP_MARK}{generation}-{shard}")
}

/// The directory of a table.
pub(crate) fn table_directory(data: &str, table: &Table) -> String {
    format!(
        "{data}/{}/{}-{}",
        table.keyspace,
        table.name,
        table.id.0.as_simple()
    )
}

/// The manifest's file name, `manifest-<generation>-<shard>`.
pub(crate) fn manifest_name(generation: u32, shard: u16) -> String {
    format!("manifest-{generation}-{shard}")
}

/// Generation and shard of a manifest's file name.
pub(crate) fn parse_manifest_name(name: &str) -> Option<(u32, u16)> {
    let (generation, shard) = name.strip_prefix("manifest-")?.split_once('-')?;
    Some((generation.parse().ok()?, shard.parse().ok()?))
}

impl Manifest {
    /// The file's bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(64 + 64 * self.entries.len());
        body.extend_from_slice(self.table.0.as_bytes());
        varint::put(&mut body, self.next_number);
        let put = |body: &mut Vec<u8>, position: Position| {
            varint::put(body, position.segment);
            varint::put(body, u64::from(position.offset));
        };
        put(&mut body, self.flushed);
        put(&mut body, self.log_synced);
        varint::put_signed(&mut body, self.truncated_at);
        varint::put(&mut body, self.truncated_epoch);
        put(&mut body, self.truncated_upto);
        varint::put(&mut body, self.entries.len() as u64);
        for entry in &self.entries {
            body.extend_from_slice(&entry.name.encode());
            body.extend_from_slice(&entry.origin.encode());
            varint::put(&mut body, entry.length);
            entry.places.encode(&mut body);
            body.extend_from_slice(&entry.tokens.0.0.to_le_bytes());
            body.extend_from_slice(&entry.tokens.1.0.to_le_bytes());
        }
        let mut fields = Vec::with_capacity(8);
        fields.extend_from_slice(&(body.len() as u32).to_le_bytes());
        fields.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        let mut bytes = format::head(MAGIC, &fields).to_vec();
        bytes.append(&mut body);
        bytes
    }

    /// Reads what [`Self::encode`] wrote.
    pub(crate) fn decode(path: &str, bytes: &[u8]) -> Result<Self, StoreError> {
        let fields = format::check_head(path, MAGIC, bytes)?;
        let at = HEAD_BYTES as u64;
        let body = &bytes[HEAD_BYTES..];
        if body.len() != u32_at(fields, 0) as usize || crc32fast::hash(body) != u32_at(fields, 4) {
            return Err(StoreError::corrupt(
                path,
                at,
                "the manifest's checksum is wrong",
            ));
        }
        Self::decode_body(body)
            .ok_or_else(|| StoreError::corrupt(path, at, "the manifest is malformed"))
    }

    fn decode_body(mut body: &[u8]) -> Option<Self> {
        let input = &mut body;
        let table = TableId(uuid::Uuid::from_slice(varint::take(input, 16)?).ok()?);
        let next_number = varint::get(input)?;
        let position = |input: &mut &[u8]| {
            Some(Position {
                segment: varint::get(input)?,
                offset: u32::try_from(varint::get(input)?).ok()?,
            })
        };
        let (flushed, log_synced) = (position(input)?, position(input)?);
        let truncated_at = varint::get_signed(input)?;
        let truncated_epoch = varint::get(input)?;
        let truncated_upto = position(input)?;
        let token = |input: &mut &[u8]| {
            let bytes = varint::take(input, 8)?.try_into().ok()?;
            Some(Token(i64::from_le_bytes(bytes)))
        };
        let mut entries = Vec::new();
        for _ in 0..varint::get(input)? {
            entries.push(ManifestEntry {
                name: FileName::decode(varint::take(input, 16)?),
                origin: FileName::decode(varint::take(input, 16)?),
                length: varint::get(input)?,
                places: Places::decode(input)?,
                tokens: (token(input)?, token(input)?),
            });
        }
        input.is_empty().then_some(Self {
            table,
            next_number,
            flushed,
            log_synced,
            truncated_at,
            truncated_epoch,
            truncated_upto,
            entries,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_and_notices_every_flipped_byte() {
        let name = FileName {
            generation: 2,
            shard: 1,
            number: 7,
        };
        let manifest = Manifest {
            table: TableId(uuid::Uuid::from_u128(9)),
            next_number: 8,
            flushed: Position {
                segment: 3,
                offset: 64,
            },
            log_synced: Position {
                segment: 7,
                offset: 900,
            },
            truncated_at: i64::MIN,
            truncated_epoch: 300,
            truncated_upto: Position {
                segment: 2,
                offset: 70,
            },
            entries: vec![ManifestEntry {
                name,
                origin: FileName {
                    generation: 1,
                    ..name
                },
                length: 1234,
                places: Places::of_shard(1, 3),
                tokens: (Token(-7), Token(i64::MAX)),
            }],
        };
        let bytes = manifest.encode();
        assert_eq!(Manifest::decode("m", &bytes), Ok(manifest));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(Manifest::decode("m", &bad).is_err(), "byte {at}");
        }
        assert_eq!(parse_manifest_name(&manifest_name(2, 1)), Some((2, 1)));
    }
}
