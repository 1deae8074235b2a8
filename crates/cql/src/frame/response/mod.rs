//! What a server answers: one file an opcode, each appending a body to an out-buffer.
//!
//! An answer is [`begin`], a body, [`Envelope::finish`]. Nothing is allocated for a cell or a row. What precedes the
//! body (trace id, warnings, payload) is often known only once the body is written, and rare: `finish` moves the body
//! to make room for it.

mod auth;
mod event;
mod ready;
mod result;
mod supported;

pub use auth::{put_auth_challenge, put_auth_success, put_authenticate};
pub use event::{Event, SchemaChange, SchemaTarget, put_event};
pub use ready::put_ready;
pub use result::{
    MetadataForm, PreparedResult, RowsWriter, prepared_id, put_prepared, put_schema_change,
    put_set_keyspace, put_void,
};
pub use supported::put_supported;

use super::error::put_error;
use super::header::{HEADER_BYTES, Opcode, RESPONSE_BIT, flags};
use super::put::Put;
use super::version::ProtocolVersion;
use model::error::RequestError;
use uuid::Uuid;

/// Longest body of an answer: the specification's limit for any frame, which drivers enforce.
pub const MAX_RESPONSE_BYTES: usize = 256 * 1024 * 1024;

/// What an answer says beside its message.
#[derive(Debug, Clone, Copy, Default)]
pub struct Prologue<'a> {
    /// Id of the trace, if the request was traced.
    pub trace: Option<Uuid>,
    /// For the user to read; left out for version 3, which has none.
    pub warnings: &'a [String],
    /// Custom payload; left out for version 3.
    pub payload: &'a [(String, Option<Vec<u8>>)],
}

/// An answer being written.
#[derive(Debug)]
#[must_use = "an envelope has no length before it is finished"]
pub struct Envelope {
    start: usize,
    version: ProtocolVersion,
    stream: i16,
}

/// Starts an answer at the end of `out`; its body is appended after.
pub fn begin(out: &mut Vec<u8>, version: ProtocolVersion, stream: i16, opcode: Opcode) -> Envelope {
    let start = out.len();
    let beta = if version.is_beta() {
        flags::USE_BETA
    } else {
        0
    };
    let [stream_high, stream_low] = stream.to_be_bytes();
    out.extend_from_slice(&[
        RESPONSE_BIT | version as u8,
        beta,
        stream_high,
        stream_low,
        opcode as u8,
        0,
        0,
        0,
        0,
    ]);
    Envelope {
        start,
        version,
        stream,
    }
}

/// Appends a whole ERROR answer.
pub fn put_error_response(
    out: &mut Vec<u8>,
    version: ProtocolVersion,
    stream: i16,
    error: &RequestError,
    prologue: &Prologue<'_>,
) {
    let envelope = begin(out, version, stream, Opcode::Error);
    put_error(out, version, error);
    envelope.finish(out, prologue);
}

impl Envelope {
    /// Fills in the length, and what precedes the message. A body above [`MAX_RESPONSE_BYTES`] is replaced by an error.
    pub fn finish(self, out: &mut Vec<u8>, prologue: &Prologue<'_>) {
        let body = self.start + HEADER_BYTES;
        if out.len() - body > MAX_RESPONSE_BYTES {
            out.truncate(self.start);
            let error = RequestError::invalid(
                "The result is larger than a frame can be; ask for smaller pages",
            );
            return put_error_response(
                out,
                self.version,
                self.stream,
                &error,
                &Prologue::default(),
            );
        }
        let known = self.version >= ProtocolVersion::V4;
        let warnings = if known { prologue.warnings } else { &[] };
        let payload = if known { prologue.payload } else { &[] };
        if prologue.trace.is_some() || !warnings.is_empty() || !payload.is_empty() {
            let end = out.len();
            if let Some(trace) = prologue.trace {
                out[self.start + 1] |= flags::TRACING;
                out.extend_from_slice(trace.as_bytes());
            }
            if !warnings.is_empty() {
                out[self.start + 1] |= flags::WARNING;
                out.put_string_list(warnings);
            }
            if !payload.is_empty() {
                out[self.start + 1] |= flags::CUSTOM_PAYLOAD;
                let payload = &payload[..payload.len().min(usize::from(u16::MAX))];
                out.put_short(payload.len() as u16);
                for (name, bytes) in payload {
                    out.put_string(name);
                    out.put_bytes(bytes.as_deref());
                }
            }
            let added = out.len() - end;
            out[body..].rotate_right(added);
        }
        let length = (out.len() - body) as u32;
        out[body - 4..body].copy_from_slice(&length.to_be_bytes());
    }

    /// Drops what was written and starts over with an error.
    pub fn fail(self, out: &mut Vec<u8>, error: &RequestError, prologue: &Prologue<'_>) {
        out.truncate(self.start);
        put_error_response(out, self.version, self.stream, error, prologue);
    }
}
