//! The codec from both ends: bodies as clients send them, here; the tests by direction in the files beside.

mod framing;
mod requests;
mod responses;

use super::header::{HEADER_BYTES, flags};
use super::put::Put;
use super::*;
use model::error::Consistency;

const LIMIT: usize = 1 << 20;

fn envelope(version: u8, flag_bits: u8, stream: i16, opcode: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![version, flag_bits];
    out.put_short(stream as u16);
    out.put_byte(opcode);
    out.put_int(body.len() as i32);
    out.extend_from_slice(body);
    out
}

fn long_string(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_bytes(Some(text.as_bytes()));
    out
}

fn startup_body(options: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_short(options.len() as u16);
    for (name, value) in options {
        out.put_string(name);
        out.put_string(value);
    }
    out
}

fn query_body(version: ProtocolVersion, text: &str) -> Vec<u8> {
    let mut body = long_string(text);
    body.put_short(Consistency::LocalQuorum as u16);
    put_flags(&mut body, version, 0x01 | 0x02 | 0x04 | 0x08 | 0x10 | 0x20);
    body.put_short(3);
    body.put_bytes(Some(b"one"));
    body.put_bytes(None);
    body.put_int(-2);
    body.put_int(5000);
    body.put_bytes(Some(b"page"));
    body.put_short(Consistency::LocalSerial as u16);
    body.extend_from_slice(&1234_i64.to_be_bytes());
    body
}

fn put_flags(body: &mut Vec<u8>, version: ProtocolVersion, bits: u32) {
    if version >= ProtocolVersion::V5 {
        body.put_int(bits as i32)
    } else {
        body.put_byte(bits as u8)
    }
}

fn frame(version: ProtocolVersion, opcode: Opcode, flag_bits: u8, body: &[u8]) -> RequestFrame {
    RequestFrame {
        header: Header {
            version,
            flags: flag_bits,
            stream: 7,
            opcode,
        },
        body: body.to_vec().into(),
    }
}

fn batch_body(version: ProtocolVersion) -> Vec<u8> {
    let mut body = vec![1];
    body.put_short(2);
    body.put_byte(0);
    body.extend(long_string("insert"));
    body.put_short(1);
    body.put_bytes(Some(b"v"));
    body.put_byte(1);
    body.put_short_bytes(b"id");
    body.put_short(0);
    body.put_short(Consistency::Quorum as u16);
    put_flags(&mut body, version, 0x20);
    body.extend_from_slice(&77_i64.to_be_bytes());
    body
}

/// A small seeded generator: the tests that mutate must be repeatable.
struct Xorshift(u64);

impl Xorshift {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 as usize
    }
}
