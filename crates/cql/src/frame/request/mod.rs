//! What a client asks: one file an opcode.
//!
//! A [`RequestFrame`] owns its body; [`RequestFrame::message`] reads it without copying: texts and values borrow from
//! the body. Whoever must keep a value longer keeps the frame's [`Bytes`] and slices it (`Bytes::slice_ref`).

mod auth_response;
mod batch;
mod execute;
mod parameters;
mod prepare;
mod query;
mod register;
mod startup;
mod values;

pub use auth_response::AuthResponse;
pub use batch::{Batch, BatchKind, BatchQuery, BatchStatement, BatchStatements};
pub use execute::Execute;
pub use parameters::QueryParameters;
pub use prepare::Prepare;
pub use query::Query;
pub use register::{EventType, Register};
pub use startup::Startup;
pub use values::{ValueIter, Values};

use super::decode_error::DecodeError;
use super::header::{Header, Opcode, flags};
use super::reader::Reader;
use super::version::ProtocolVersion;
use bytes::Bytes;

/// One request as it came, decompressed and out of its segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestFrame {
    /// Its header.
    pub header: Header,
    /// Everything after the header.
    pub body: Bytes,
}

/// A request read from its frame.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    /// Whether the client wants the request traced.
    pub tracing: bool,
    /// The custom payload, empty where there is none.
    pub payload: Vec<(&'a str, Option<&'a [u8]>)>,
    /// What is asked.
    pub request: Request<'a>,
}

/// What is asked.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub enum Request<'a> {
    Startup(Startup<'a>),
    Options,
    Register(Register),
    AuthResponse(AuthResponse<'a>),
    Query(Query<'a>),
    Prepare(Prepare<'a>),
    Execute(Execute<'a>),
    Batch(Batch<'a>),
}

impl RequestFrame {
    /// Reads the body. Bytes after the message are ignored, as the specification asks.
    pub fn message(&self) -> Result<Message<'_>, DecodeError> {
        let Header {
            version, opcode, ..
        } = self.header;
        let mut body = Reader::new(&self.body);
        let payload = if self.header.has(flags::CUSTOM_PAYLOAD) {
            if version < ProtocolVersion::V4 {
                return Err(DecodeError::PayloadVersion);
            }
            body.bytes_map()?
        } else {
            Vec::new()
        };
        let request = match opcode {
            Opcode::Startup => Request::Startup(Startup::decode(&mut body)?),
            Opcode::Options => Request::Options,
            Opcode::Register => Request::Register(Register::decode(&mut body)?),
            Opcode::AuthResponse => Request::AuthResponse(AuthResponse::decode(&mut body)?),
            Opcode::Query => Request::Query(Query::decode(&mut body, version)?),
            Opcode::Prepare => Request::Prepare(Prepare::decode(&mut body, version)?),
            Opcode::Execute => Request::Execute(Execute::decode(&mut body, version)?),
            Opcode::Batch => Request::Batch(Batch::decode(&mut body, version)?),
            Opcode::Credentials => return Err(DecodeError::Credentials),
            other => return Err(DecodeError::NotARequest(other.name())),
        };
        Ok(Message {
            tracing: self.header.has(flags::TRACING),
            payload,
            request,
        })
    }
}
