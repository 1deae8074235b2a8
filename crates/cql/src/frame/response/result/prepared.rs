//! Prepared: the id of a statement, what can be bound to it and what it will return.
//!
//! ```text
//! [int] 4  [short bytes] id  ([short bytes] result metadata id, v5)
//! [int] flags  [int] markers  ([int] n, n × [short] marker of partition key column; v4)  (specifications)
//! result metadata as in Rows
//! ```

use super::kind;
use super::rows::{MetadataForm, put_metadata};
use crate::frame::metadata::ResultMetadata;
use crate::frame::put::Put;
use crate::frame::version::ProtocolVersion;
use md5::{Digest, Md5};

/// What PREPARE answers.
#[derive(Debug, Clone, Copy)]
pub struct PreparedResult<'a> {
    /// [`prepared_id`].
    pub id: [u8; 16],
    /// The bind markers, named as their columns where they have no name.
    pub markers: &'a ResultMetadata,
    /// For each partition key column the marker bound to it; empty unless each has one.
    pub partition_key: &'a [u16],
    /// The columns EXECUTE will return; none for anything but a SELECT.
    pub result: &'a ResultMetadata,
}

/// Cassandra's id of a statement: MD5 of the keyspace it was prepared in, if any, and its text.
pub fn prepared_id(keyspace: Option<&str>, text: &str) -> [u8; 16] {
    let mut hasher = Md5::new();
    hasher.update(keyspace.unwrap_or_default());
    hasher.update(text);
    hasher.finalize().into()
}

/// Appends the body of a PREPARE's answer.
pub fn put_prepared(out: &mut Vec<u8>, version: ProtocolVersion, prepared: &PreparedResult<'_>) {
    out.put_int(kind::PREPARED);
    out.put_short_bytes(&prepared.id);
    if version >= ProtocolVersion::V5 {
        out.put_short_bytes(&prepared.result.id());
    }
    let markers = prepared.markers;
    out.put_int(i32::from(markers.is_global()));
    out.put_int(markers.columns().len() as i32);
    if version >= ProtocolVersion::V4 {
        out.put_int(prepared.partition_key.len() as i32);
        for marker in prepared.partition_key {
            out.put_short(*marker);
        }
    }
    out.extend_from_slice(markers.specifications(version));
    put_metadata(out, prepared.result, version, MetadataForm::Full);
}
