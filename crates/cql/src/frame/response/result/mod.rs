//! RESULT: one file a kind.

mod prepared;
mod rows;

pub use prepared::{PreparedResult, prepared_id, put_prepared};
pub use rows::{MetadataForm, RowsWriter};

use super::event::{SchemaChange, SchemaTarget, put_change};
use crate::frame::put::Put;
use crate::frame::version::ProtocolVersion;

mod kind {
    pub const VOID: i32 = 1;
    pub const ROWS: i32 = 2;
    pub const SET_KEYSPACE: i32 = 3;
    pub const PREPARED: i32 = 4;
    pub const SCHEMA_CHANGE: i32 = 5;
}

/// Appends the body of a statement that returns nothing.
pub fn put_void(out: &mut Vec<u8>) {
    out.put_int(kind::VOID);
}

/// Appends the body of a USE.
pub fn put_set_keyspace(out: &mut Vec<u8>, keyspace: &str) {
    out.put_int(kind::SET_KEYSPACE);
    out.put_string(keyspace);
}

/// Appends the body of a statement that changed the schema.
pub fn put_schema_change(
    out: &mut Vec<u8>,
    version: ProtocolVersion,
    change: SchemaChange,
    target: &SchemaTarget,
) {
    out.put_int(kind::SCHEMA_CHANGE);
    put_change(out, version, change, target);
}
