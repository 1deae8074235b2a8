//! The native protocol, versions 3 to 5 (and 6, the beta that is the same on the wire), without I/O.
//!
//! Bytes of a connection go through its [`Decoder`] and come out as [`RequestFrame`]s; [`RequestFrame::message`] reads
//! one. Answers are written as plain envelopes ([`response`]) and go through the connection's [`Encoder`], which knows
//! how they travel. What a client did wrong is a [`Rejection`] (no frame) or a [`DecodeError`] (a frame, but no message);
//! neither costs more than that connection.
//!
//! Sources: `native_protocol_v3.spec`, `…_v4.spec`, `…_v5.spec` of Apache Cassandra, and what Cassandra 5.0 answers
//! where they are silent.

mod checksum;
pub mod compression;
pub mod decode_error;
pub mod decoder;
pub mod encoder;
pub mod error;
pub mod header;
pub mod metadata;
pub mod put;
pub mod reader;
pub mod rejection;
pub mod request;
pub mod response;
pub mod segment;
pub mod type_option;
pub mod version;

#[cfg(test)]
mod tests;

pub use decode_error::DecodeError;
pub use decoder::Decoder;
pub use encoder::Encoder;
pub use header::{Header, Opcode};
pub use metadata::{ColumnSpec, ResultMetadata};
pub use reader::Value;
pub use rejection::{Consequence, FrameError, Rejection};
pub use request::{Message, Request, RequestFrame};
pub use version::ProtocolVersion;
