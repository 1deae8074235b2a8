//! Frames that cannot be handed on: why, what the client is told, and what becomes of the connection.
//!
//! Drivers find the version to speak by trying: what Cassandra answers to a version it does not speak, byte for byte
//! (the version of the answer, its stream 0, the words), is part of the protocol in practice.

use super::compression::DecompressError;
use super::header::{Opcode, RESPONSE_BIT, flags};
use super::put::Put;
use super::segment::SegmentError;
use super::version::ProtocolVersion;

const PROTOCOL_ERROR: i32 = 0x000A;

/// Why a frame was turned down.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A version that is not spoken: too old, too new, DSE's 65 and 66, or no CQL at all.
    #[error(
        "Invalid or unsupported protocol version ({0}); supported versions are (3/v3, 4/v4, 5/v5, 6/v6-beta)"
    )]
    UnsupportedVersion(u8),
    /// The beta version without the flag that asks for it.
    #[error("Beta version of the protocol used ({0}), but USE_BETA flag is unset")]
    BetaVersion(ProtocolVersion),
    /// Another version than STARTUP's.
    #[error(
        "Invalid message version. Got {got} but previous messages on this connection had version {before}"
    )]
    VersionChanged {
        /// Of this frame.
        got: ProtocolVersion,
        /// Of STARTUP.
        before: ProtocolVersion,
    },
    /// No message has this opcode.
    #[error("Unknown opcode {0}")]
    UnknownOpcode(u8),
    /// The direction bit says response.
    #[error("Wrong protocol direction (expected REQUEST, got RESPONSE) for opcode {} ({})", *.0 as u8, .0.name())]
    ResponseReceived(Opcode),
    /// The opcode is one that only servers send.
    #[error("Wrong protocol direction (expected RESPONSE, got REQUEST) for opcode {} ({})", *.0 as u8, .0.name())]
    ResponseOpcode(Opcode),
    /// The body is longer than `native_transport_max_frame_size`.
    #[error("Request is too big: length {length} exceeds maximum allowed length {limit}")]
    TooLarge {
        /// Of the body, as its header states.
        length: usize,
        /// Longest allowed.
        limit: usize,
    },
    /// The compressed body is broken.
    #[error(transparent)]
    Compression(#[from] DecompressError),
    /// The segment is broken.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// A segment that claims to be self-contained ends inside an envelope.
    #[error("A self-contained segment ends inside an envelope")]
    EnvelopeCut,
    /// A self-contained segment between the pieces of an envelope, or bytes after its last piece.
    #[error("The pieces of an envelope do not add up to its length")]
    EnvelopePieces,
}

/// What becomes of the connection once the client has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// The frame is skipped, or everything received so far where it was no frame at all; the next one counts.
    Continue,
    /// It is closed: where the next frame starts is not known.
    Close,
}

impl FrameError {
    /// What becomes of the connection.
    pub fn consequence(&self) -> Consequence {
        match self {
            Self::UnsupportedVersion(_)
            | Self::BetaVersion(_)
            | Self::VersionChanged { .. }
            | Self::Compression(_) => Consequence::Continue,
            _ => Consequence::Close,
        }
    }
}

/// A frame turned down, with what the answer needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Why.
    pub error: FrameError,
    /// Version that the answer is sent in.
    pub version: ProtocolVersion,
    /// Stream of the frame; 0 where it could not be read.
    pub stream: i16,
}

impl Rejection {
    /// Appends the ERROR envelope to `out`, for the connection's encoder like any other.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let message = self.error.to_string();
        match self.error {
            // Versions 1 and 2 had one byte for the stream; their clients are answered so that they can read it.
            FrameError::UnsupportedVersion(number @ 1..=2) => {
                out.extend_from_slice(&[RESPONSE_BIT | number, 0, 0, Opcode::Error as u8]);
            }
            _ => {
                let beta = if self.version.is_beta() {
                    flags::USE_BETA
                } else {
                    0
                };
                out.extend_from_slice(&[RESPONSE_BIT | self.version as u8, beta]);
                out.put_short(self.stream as u16);
                out.put_byte(Opcode::Error as u8);
            }
        }
        out.put_int((4 + 2 + message.len()) as i32);
        out.put_int(PROTOCOL_ERROR);
        out.put_string(&message);
    }
}
