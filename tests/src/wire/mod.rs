//! A blocking CQL client of its own, for tests: one connection, one request in flight.
//!
//! It favours exactness over comfort: every byte of a response must be consumed, every type is kept as the server named
//! it, and a value is sent with exactly the bytes the test asked for, also when they are wrong for the type.

pub mod bytes;
pub mod connection;
pub mod encode;
pub mod literal;
pub mod number;
pub mod render;
pub mod request;
pub mod response;
pub mod segment;
pub mod types;

use std::fmt;

/// Why a request got no usable answer. An error that answers a request on an open connection is not here but in
/// [`response::Answer::Error`].
#[derive(Debug)]
pub enum WireError {
    /// The connection failed, or nothing came within the time limit.
    Io(std::io::Error),
    /// The server answered the opening of the connection with an error.
    Refused(response::ServerError),
    /// The bytes do not follow the protocol.
    Malformed(String),
    /// The test asks for something that cannot be written down for this protocol version or type.
    Request(String),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::Io(error) => write!(f, "connection: {error}"),
            WireError::Refused(error) => write!(f, "refused: {} {}", error.class(), error.message),
            WireError::Malformed(what) => write!(f, "malformed answer: {what}"),
            WireError::Request(what) => write!(f, "cannot send: {what}"),
        }
    }
}

impl std::error::Error for WireError {}

impl From<std::io::Error> for WireError {
    fn from(error: std::io::Error) -> Self {
        WireError::Io(error)
    }
}

/// What a step of the client gives.
pub type WireResult<T> = Result<T, WireError>;
