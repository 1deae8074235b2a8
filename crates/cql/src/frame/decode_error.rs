//! What is wrong with the body of a well-framed request.
//!
//! The connection survives all of these: where the next frame starts is known. The client is told with a protocol
//! error, in Cassandra's words where it has some.

use model::error::RequestError;

/// A body that does not follow the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The body ends inside a field.
    #[error("Not enough bytes to read {0}")]
    Truncated(&'static str),
    /// A string is not UTF-8.
    #[error("Cannot decode string as UTF8")]
    NotUtf8,
    /// A value's length is below −2, or −2 where a value must be set.
    #[error("Invalid ByteBuf length {0}")]
    Length(i32),
    /// No consistency level has this code.
    #[error("Unknown code {0} for a consistency level")]
    Consistency(u16),
    /// The one timestamp that is reserved.
    #[error(
        "Out of bound timestamp, must be in [-9223372036854775807, 9223372036854775807] (got {0})"
    )]
    Timestamp(i64),
    /// A batch is neither logged, unlogged nor of counters.
    #[error("Invalid BATCH message type {0}")]
    BatchKind(u8),
    /// A statement of a batch is neither text nor prepared.
    #[error("Invalid query kind in BATCH messages. Must be 0 or 1 but got {0}")]
    BatchStatementKind(u8),
    /// A custom payload in version 3, which has none.
    #[error("Must not send frame with CUSTOM_PAYLOAD flag for native protocol version < 4")]
    PayloadVersion,
    /// The authentication of version 1.
    #[error(
        "Legacy credentials authentication is not supported in protocol versions > 1. Please use SASL authentication via a SaslResponse message"
    )]
    Credentials,
    /// An opcode that is no request's; the decoder lets none through.
    #[error("Unexpected message {0}")]
    NotARequest(&'static str),
    /// REGISTER asks for an event that does not exist.
    #[error("Invalid value '{0}' for Type")]
    EventType(String),
    /// STARTUP lacks an option.
    #[error("Missing value {0} in STARTUP message")]
    StartupMissing(&'static str),
    /// STARTUP's CQL version is no version.
    #[error("Invalid version value: {0}")]
    CqlVersion(String),
    /// STARTUP asks for a CQL before 3.
    #[error(
        "CQL version {0} is not supported by the binary protocol (supported version are >= 3.0.0)"
    )]
    CqlVersionTooOld(String),
    /// STARTUP asks for a compression that does not exist.
    #[error("Unknown compression algorithm: {0}")]
    Compression(String),
    /// STARTUP asks for Snappy in a version whose segments know only LZ4.
    #[error("Snappy compression is not supported in protocol V5")]
    SnappyInSegments,
}

impl From<DecodeError> for RequestError {
    fn from(error: DecodeError) -> Self {
        Self::Protocol(error.to_string())
    }
}
