//! From the bytes of a connection to request frames.
//!
//! Until STARTUP is answered, and in versions 3 and 4 always, envelopes follow each other bare; from version 5 on they
//! then travel in segments ([`super::segment`]). The decoder takes from a buffer the shell reads into, and a body is a
//! slice of that buffer, never a copy, unless it was compressed or came in pieces.
//!
//! What must stay true:
//! - A length is compared with the limit before anything waits for that many bytes, and memory grows only by what has
//!   arrived.
//! - After an error with [`Consequence::Continue`](super::rejection::Consequence) the next call starts at the next frame.
//! - Nothing is decoded between STARTUP and its answer, because the answer decides the framing: the shell calls
//!   [`Decoder::pause`] before it hands STARTUP on, and [`Decoder::start`] or [`Decoder::resume`] with the answer.

use super::compression::{Compression, decompress_body};
use super::header::{HEADER_BYTES, Header, Opcode, RESPONSE_BIT, flags};
use super::rejection::{FrameError, Rejection};
use super::request::RequestFrame;
use super::segment::{Content, SegmentFormat, read_segment};
use super::version::ProtocolVersion;
use bytes::{Buf, Bytes, BytesMut};

/// The state of one connection's incoming side.
#[derive(Debug)]
pub struct Decoder {
    limit_bytes: usize,
    /// The version of STARTUP; every later frame must have it.
    version: Option<ProtocolVersion>,
    framing: Framing,
    paused: bool,
}

#[derive(Debug)]
enum Framing {
    Envelopes {
        compression: Option<Compression>,
    },
    Segments {
        format: SegmentFormat,
        payload: Bytes,
        pieces: BytesMut,
    },
}

/// A header, and what is wrong with its frame if it can be skipped.
struct Parsed {
    header: Header,
    length: usize,
    fault: Option<FrameError>,
}

impl Decoder {
    /// The decoder of a new connection; bodies may be `limit_bytes` long.
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            version: None,
            framing: Framing::Envelopes { compression: None },
            paused: false,
        }
    }

    /// Changes the longest body allowed: it is small until the client has authenticated.
    pub fn set_limit(&mut self, limit_bytes: usize) {
        self.limit_bytes = limit_bytes;
    }

    /// Decodes nothing until [`Decoder::start`] or [`Decoder::resume`].
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// STARTUP was refused: goes on as before it.
    pub fn resume(&mut self) {
        self.paused = false;
    }

    /// STARTUP of this version was accepted with this compression: from now on frames are as that says.
    pub fn start(&mut self, version: ProtocolVersion, compression: Option<Compression>) {
        self.paused = false;
        self.version = Some(version);
        self.framing = if version.has_segments() {
            let format = if compression.is_some() {
                SegmentFormat::Lz4
            } else {
                SegmentFormat::Plain
            };
            Framing::Segments {
                format,
                payload: Bytes::new(),
                pieces: BytesMut::new(),
            }
        } else {
            Framing::Envelopes { compression }
        };
    }

    /// Takes the next request off `input`; `None` if it is not all there yet.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<RequestFrame>, Rejection> {
        if self.paused {
            return Ok(None);
        }
        match &self.framing {
            Framing::Envelopes { compression } => {
                let compression = *compression;
                self.next_envelope(input, compression)
            }
            Framing::Segments { .. } => self.next_in_segments(input),
        }
    }

    fn next_envelope(
        &self,
        input: &mut BytesMut,
        compression: Option<Compression>,
    ) -> Result<Option<RequestFrame>, Rejection> {
        let parsed = match self.parse_header(input) {
            Ok(Some(parsed)) => parsed,
            Ok(None) => return Ok(None),
            Err(rejection) => {
                // What follows a header that means nothing here means nothing either.
                input.clear();
                return Err(rejection);
            }
        };
        if input.len() < HEADER_BYTES + parsed.length {
            return Ok(None);
        }
        input.advance(HEADER_BYTES);
        let mut body = input.split_to(parsed.length).freeze();
        let header = parsed.header;
        if let Some(error) = parsed.fault {
            return Err(self.reject(error, header));
        }
        // As in Cassandra, the flag means nothing where no compression was agreed on.
        if let (true, Some(compression)) = (header.has(flags::COMPRESSED), compression) {
            body = decompress_body(compression, &body, self.limit_bytes)
                .map_err(|error| self.reject(error.into(), header))?;
        }
        Ok(Some(RequestFrame { header, body }))
    }

    fn next_in_segments(
        &mut self,
        input: &mut BytesMut,
    ) -> Result<Option<RequestFrame>, Rejection> {
        loop {
            if let Some(frame) = self.next_in_payload()? {
                return Ok(Some(frame));
            }
            let Framing::Segments {
                format,
                payload,
                pieces,
            } = &mut self.framing
            else {
                unreachable!("called for segments only")
            };
            let segment = match read_segment(*format, input) {
                Ok(Some(segment)) => segment,
                Ok(None) => return Ok(None),
                Err(error) => return Err(self.reject_unread(error.into())),
            };
            match segment.content {
                Content::SelfContained if pieces.is_empty() => *payload = segment.payload,
                Content::SelfContained => {
                    return Err(self.reject_unread(FrameError::EnvelopePieces));
                }
                Content::Piece => pieces.extend_from_slice(&segment.payload),
            }
        }
    }

    /// Takes the next envelope out of the segments received, if one is complete.
    fn next_in_payload(&mut self) -> Result<Option<RequestFrame>, Rejection> {
        let Framing::Segments {
            payload, pieces, ..
        } = &self.framing
        else {
            return Ok(None);
        };
        let in_pieces = !pieces.is_empty();
        let bytes: &[u8] = if in_pieces { pieces } else { payload };
        if bytes.is_empty() {
            return Ok(None);
        }
        let available = bytes.len();
        let parsed = match self.parse_header(bytes) {
            Ok(Some(parsed)) => parsed,
            Ok(None) if in_pieces => return Ok(None),
            Ok(None) => return Err(self.reject_unread(FrameError::EnvelopeCut)),
            Err(rejection) => {
                self.drop_payload();
                return Err(rejection);
            }
        };
        let length = HEADER_BYTES + parsed.length;
        if in_pieces && available < length {
            return Ok(None);
        }
        if in_pieces && available > length {
            return Err(self.reject(FrameError::EnvelopePieces, parsed.header));
        }
        if available < length {
            return Err(self.reject(FrameError::EnvelopeCut, parsed.header));
        }
        let Framing::Segments {
            payload, pieces, ..
        } = &mut self.framing
        else {
            unreachable!("looked at above")
        };
        let mut body = if in_pieces {
            std::mem::take(pieces).freeze()
        } else {
            payload.split_to(length)
        };
        body.advance(HEADER_BYTES);
        match parsed.fault {
            Some(error) => Err(self.reject(error, parsed.header)),
            None => Ok(Some(RequestFrame {
                header: parsed.header,
                body,
            })),
        }
    }

    /// Bytes of a frame that is not whole yet, beside those in the buffer it reads from.
    pub fn held_bytes(&self) -> usize {
        match &self.framing {
            Framing::Envelopes { .. } => 0,
            Framing::Segments { pieces, .. } => pieces.len(),
        }
    }

    fn drop_payload(&mut self) {
        if let Framing::Segments {
            payload, pieces, ..
        } = &mut self.framing
        {
            payload.clear();
            pieces.clear();
        }
    }

    /// The header at the front of `bytes`; `None` if it is not all there yet. The version is judged by the first byte.
    fn parse_header(&self, bytes: &[u8]) -> Result<Option<Parsed>, Rejection> {
        let Some(first) = bytes.first() else {
            return Ok(None);
        };
        let number = first & !RESPONSE_BIT;
        let Some(version) = ProtocolVersion::from_number(number) else {
            return Err(self.reject_unread(FrameError::UnsupportedVersion(number)));
        };
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let [_, flag_bits, stream_high, stream_low, opcode, length @ ..] = *bytes;
        let stream = i16::from_be_bytes([stream_high, stream_low]);
        let length = u32::from_be_bytes(length) as usize;
        let reject = |error| Rejection {
            error,
            version: self.version.unwrap_or(version),
            stream,
        };

        if version.is_beta() && flag_bits & flags::USE_BETA == 0 && self.version.is_none() {
            return Err(Rejection {
                error: FrameError::BetaVersion(version),
                version,
                stream: 0,
            });
        }
        let Some(opcode) = Opcode::from_number(opcode) else {
            return Err(reject(FrameError::UnknownOpcode(opcode)));
        };
        if first & RESPONSE_BIT != 0 {
            return Err(reject(FrameError::ResponseReceived(opcode)));
        }
        if !opcode.is_request() {
            return Err(reject(FrameError::ResponseOpcode(opcode)));
        }
        if length > self.limit_bytes {
            return Err(reject(FrameError::TooLarge {
                length,
                limit: self.limit_bytes,
            }));
        }
        let fault = match self.version {
            Some(before) if before != version => Some(FrameError::VersionChanged {
                got: version,
                before,
            }),
            _ => None,
        };
        Ok(Some(Parsed {
            header: Header {
                version,
                flags: flag_bits,
                stream,
                opcode,
            },
            length,
            fault,
        }))
    }

    fn reject(&self, error: FrameError, header: Header) -> Rejection {
        Rejection {
            error,
            version: self.version.unwrap_or(header.version),
            stream: header.stream,
        }
    }

    fn reject_unread(&self, error: FrameError) -> Rejection {
        Rejection {
            error,
            version: self.version.unwrap_or(ProtocolVersion::CURRENT),
            stream: 0,
        }
    }
}
