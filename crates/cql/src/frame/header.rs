//! The nine bytes before every body.
//!
//! ```text
//!   0         1         2                   4         5                            9
//!   +---------+---------+---------+---------+---------+---------+---------+--------+
//!   | version |  flags  |  stream (i16 BE)  | opcode  |       length (u32 BE)       |
//!   +---------+---------+---------+---------+---------+---------+---------+--------+
//! ```
//! The version's top bit is the direction: 0 request, 1 response.

use super::version::ProtocolVersion;

/// Length of an envelope's header.
pub const HEADER_BYTES: usize = 9;
/// Bit of the version byte that marks a response.
pub const RESPONSE_BIT: u8 = 0x80;
/// Stream of events, which no request asked for.
pub const EVENT_STREAM: i16 = -1;

/// Bits of the header's second byte.
pub mod flags {
    /// The body is compressed with what STARTUP agreed on (v3 and v4 only; ignored from v5 on).
    pub const COMPRESSED: u8 = 0x01;
    /// Request: trace it. Response: the body starts with the trace's id.
    pub const TRACING: u8 = 0x02;
    /// The body carries a map of names to bytes before the message.
    pub const CUSTOM_PAYLOAD: u8 = 0x04;
    /// The response carries a list of warnings before the message.
    pub const WARNING: u8 = 0x08;
    /// The client accepts a version marked beta.
    pub const USE_BETA: u8 = 0x10;
}

/// What an envelope carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Opcode {
    Error = 0x00,
    Startup = 0x01,
    Ready = 0x02,
    Authenticate = 0x03,
    /// Of version 1; known by name only, so that the refusal can name it.
    Credentials = 0x04,
    Options = 0x05,
    Supported = 0x06,
    Query = 0x07,
    Result = 0x08,
    Prepare = 0x09,
    Execute = 0x0A,
    Register = 0x0B,
    Event = 0x0C,
    Batch = 0x0D,
    AuthChallenge = 0x0E,
    AuthResponse = 0x0F,
    AuthSuccess = 0x10,
}

impl Opcode {
    const ALL: [Self; 17] = [
        Self::Error,
        Self::Startup,
        Self::Ready,
        Self::Authenticate,
        Self::Credentials,
        Self::Options,
        Self::Supported,
        Self::Query,
        Self::Result,
        Self::Prepare,
        Self::Execute,
        Self::Register,
        Self::Event,
        Self::Batch,
        Self::AuthChallenge,
        Self::AuthResponse,
        Self::AuthSuccess,
    ];

    /// The opcode with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Whether only clients send it.
    pub fn is_request(self) -> bool {
        use Opcode::*;
        matches!(
            self,
            Startup
                | Credentials
                | Options
                | Query
                | Prepare
                | Execute
                | Register
                | Batch
                | AuthResponse
        )
    }

    /// As error messages write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Startup => "STARTUP",
            Self::Ready => "READY",
            Self::Authenticate => "AUTHENTICATE",
            Self::Credentials => "CREDENTIALS",
            Self::Options => "OPTIONS",
            Self::Supported => "SUPPORTED",
            Self::Query => "QUERY",
            Self::Result => "RESULT",
            Self::Prepare => "PREPARE",
            Self::Execute => "EXECUTE",
            Self::Register => "REGISTER",
            Self::Event => "EVENT",
            Self::Batch => "BATCH",
            Self::AuthChallenge => "AUTH_CHALLENGE",
            Self::AuthResponse => "AUTH_RESPONSE",
            Self::AuthSuccess => "AUTH_SUCCESS",
        }
    }
}

/// A request's header, checked: the version is spoken here and the opcode is a request's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Version of this envelope.
    pub version: ProtocolVersion,
    /// Bits of [`flags`].
    pub flags: u8,
    /// Chosen by the client; its answer carries the same.
    pub stream: i16,
    /// What the body is.
    pub opcode: Opcode,
}

impl Header {
    /// Whether a bit of [`flags`] is set.
    pub fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}
