//! What the client sends: bodies of STARTUP, QUERY, PREPARE and EXECUTE, as drivers send them.
//!
//! Like a driver, an EXECUTE states a consistency level, a page size, the time of the write, and that the columns of
//! the result are known already.

use cql::frame::header::{HEADER_BYTES, Opcode};
use cql::frame::put::Put;
use cql::frame::version::ProtocolVersion;

const PAGE_ROWS: i32 = 5_000;

/// At which consistency is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Level {
    /// As drivers ask unless told otherwise.
    LocalOne = 0x000A,
    /// As those who have several replicas ask.
    Quorum = 0x0004,
}

mod bits {
    pub const VALUES: u32 = 0x01;
    pub const SKIP_METADATA: u32 = 0x02;
    pub const PAGE_SIZE: u32 = 0x04;
    pub const TIMESTAMP: u32 = 0x20;
}

/// A prepared statement, as its server named it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prepared {
    /// Its id.
    pub id: Vec<u8>,
    /// Id of its result's columns (version 5).
    pub result_metadata_id: Vec<u8>,
}

/// Appends an envelope with this body to `out`.
pub fn put_envelope(
    out: &mut Vec<u8>,
    version: ProtocolVersion,
    stream: i16,
    opcode: Opcode,
    body: impl FnOnce(&mut Vec<u8>),
) {
    out.extend_from_slice(&[version as u8, 0]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(&[opcode as u8, 0, 0, 0, 0]);
    let start = out.len();
    body(out);
    let length = (out.len() - start) as u32;
    out[start - 4..start].copy_from_slice(&length.to_be_bytes());
    debug_assert!(start >= HEADER_BYTES);
}

/// The body of a STARTUP.
pub fn put_startup(out: &mut Vec<u8>) {
    out.put_short(1);
    out.put_string("CQL_VERSION");
    out.put_string("3.0.0");
}

/// The body of a QUERY without values.
pub fn put_query(out: &mut Vec<u8>, version: ProtocolVersion, text: &str) {
    put_long_string(out, text);
    out.put_short(Level::LocalOne as u16);
    put_flags(out, version, 0);
}

/// The body of a PREPARE.
pub fn put_prepare(out: &mut Vec<u8>, version: ProtocolVersion, text: &str) {
    put_long_string(out, text);
    if version.has_segments() {
        out.put_int(0);
    }
}

/// The body of an EXECUTE up to its values, which the caller appends with [`Put::put_bytes`].
pub fn put_execute(
    out: &mut Vec<u8>,
    (version, level): (ProtocolVersion, Level),
    prepared: &Prepared,
    values: u16,
) {
    out.put_short_bytes(&prepared.id);
    if version.has_segments() {
        out.put_short_bytes(&prepared.result_metadata_id);
    }
    out.put_short(level as u16);
    put_flags(
        out,
        version,
        bits::VALUES | bits::SKIP_METADATA | bits::PAGE_SIZE | bits::TIMESTAMP,
    );
    out.put_short(values);
}

/// What follows the values of an EXECUTE: page size and time of the write, in microseconds since 1970.
pub fn put_execute_tail(out: &mut Vec<u8>, timestamp_us: i64) {
    out.put_int(PAGE_ROWS);
    out.extend_from_slice(&timestamp_us.to_be_bytes());
}

fn put_flags(out: &mut Vec<u8>, version: ProtocolVersion, flags: u32) {
    if version.has_segments() {
        out.extend_from_slice(&flags.to_be_bytes());
    } else {
        out.put_byte(flags as u8);
    }
}

fn put_long_string(out: &mut Vec<u8>, text: &str) {
    out.put_int(text.len() as i32);
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use cql::frame::{Decoder, Request};

    #[test]
    fn the_server_reads_what_the_client_wrote() {
        for version in [ProtocolVersion::V4, ProtocolVersion::V5] {
            let prepared = Prepared {
                id: vec![7; 16],
                result_metadata_id: vec![8; 16],
            };
            let mut out = Vec::new();
            put_envelope(&mut out, version, 5, Opcode::Execute, |out| {
                put_execute(out, (version, Level::Quorum), &prepared, 1);
                out.put_bytes(Some(b"key"));
                put_execute_tail(out, 99);
            });
            let mut input = BytesMut::from(&out[..]);
            let frame = Decoder::new(1 << 20).next(&mut input).unwrap().unwrap();
            assert_eq!(frame.header.stream, 5);
            let message = frame.message().unwrap();
            let Request::Execute(execute) = message.request else {
                panic!("{message:?}")
            };
            assert_eq!(execute.id, prepared.id);
            assert_eq!(execute.parameters.values.len(), 1);
            assert_eq!(execute.parameters.timestamp, Some(99));
        }
    }
}
