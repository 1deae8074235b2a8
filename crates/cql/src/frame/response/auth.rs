//! AUTHENTICATE, AUTH_CHALLENGE and AUTH_SUCCESS: the server's side of a SASL exchange.

use super::{Prologue, begin};
use crate::frame::header::Opcode;
use crate::frame::put::Put;
use crate::frame::version::ProtocolVersion;

/// Appends a whole AUTHENTICATE answer; drivers choose their mechanism by the authenticator's class name.
pub fn put_authenticate(
    out: &mut Vec<u8>,
    version: ProtocolVersion,
    stream: i16,
    authenticator: &str,
) {
    let envelope = begin(out, version, stream, Opcode::Authenticate);
    out.put_string(authenticator);
    envelope.finish(out, &Prologue::default());
}

/// Appends a whole AUTH_CHALLENGE answer.
pub fn put_auth_challenge(
    out: &mut Vec<u8>,
    version: ProtocolVersion,
    stream: i16,
    token: Option<&[u8]>,
) {
    let envelope = begin(out, version, stream, Opcode::AuthChallenge);
    out.put_bytes(token);
    envelope.finish(out, &Prologue::default());
}

/// Appends a whole AUTH_SUCCESS answer.
pub fn put_auth_success(
    out: &mut Vec<u8>,
    version: ProtocolVersion,
    stream: i16,
    token: Option<&[u8]>,
) {
    let envelope = begin(out, version, stream, Opcode::AuthSuccess);
    out.put_bytes(token);
    envelope.finish(out, &Prologue::default());
}
