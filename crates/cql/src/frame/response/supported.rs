//! SUPPORTED: what STARTUP may ask for.
//!
//! Cassandra's three options come first and in its order; what is added (shard awareness) drivers that do not know it
//! ignore.

use super::{Prologue, begin};
use crate::frame::compression::Compression;
use crate::frame::header::Opcode;
use crate::frame::put::Put;
use crate::frame::version::ProtocolVersion;

/// Appends a whole SUPPORTED answer; `more` are options beside Cassandra's.
pub fn put_supported(
    out: &mut Vec<u8>,
    version: ProtocolVersion,
    stream: i16,
    cql_version: &str,
    more: &[(&str, String)],
) {
    let envelope = begin(out, version, stream, Opcode::Supported);
    out.put_short(3 + more.len() as u16);
    out.put_string("PROTOCOL_VERSIONS");
    out.put_string_list(&ProtocolVersion::ALL.map(ProtocolVersion::name));
    out.put_string("COMPRESSION");
    out.put_string_list(&Compression::NAMES);
    out.put_string("CQL_VERSION");
    out.put_string_list(&[cql_version]);
    for (name, value) in more {
        out.put_string(name);
        out.put_string_list(&[value]);
    }
    envelope.finish(out, &Prologue::default());
}
