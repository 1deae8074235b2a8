//! READY: the connection is open, or the events are registered.

use super::{Prologue, begin};
use crate::frame::header::Opcode;
use crate::frame::version::ProtocolVersion;

/// Appends a whole READY answer.
pub fn put_ready(out: &mut Vec<u8>, version: ProtocolVersion, stream: i16) {
    begin(out, version, stream, Opcode::Ready).finish(out, &Prologue::default());
}
