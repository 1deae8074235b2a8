//! From response envelopes to the bytes of a connection.
//!
//! Shards write plain envelopes; how they travel is the connection's business: bare, with a compressed body (v3, v4),
//! or in segments (v5). All envelopes of one wake-up share segments, so that one write carries one checksum.
//!
//! The bytes before [`Encoder::seal`] may end in an open segment: nothing may be sent before it is called.

use super::compression::{Compression, compress_body};
use super::header::{HEADER_BYTES, flags};
use super::segment::{
    Content, MAX_PAYLOAD_BYTES, SegmentFormat, begin_segment, end_segment, write_segment,
};
use super::version::ProtocolVersion;

/// Bodies shorter than this are sent as they are: compressing them costs more than it saves.
const MIN_COMPRESSED_BYTES: usize = 512;

/// The state of one connection's outgoing side.
#[derive(Debug)]
pub struct Encoder {
    framing: Framing,
}

#[derive(Debug)]
enum Framing {
    Envelopes {
        compression: Option<Compression>,
    },
    /// `open` is where the current segment's header starts in the out-buffer.
    Plain {
        open: Option<usize>,
    },
    /// What the current segment will hold, not yet compressed.
    Lz4 {
        payload: Vec<u8>,
    },
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            framing: Framing::Envelopes { compression: None },
        }
    }
}

impl Encoder {
    /// STARTUP of this version was accepted with this compression, and the answer to it has been appended.
    pub fn start(&mut self, version: ProtocolVersion, compression: Option<Compression>) {
        self.framing = match (version.has_segments(), compression) {
            (false, compression) => Framing::Envelopes { compression },
            (true, None) => Framing::Plain { open: None },
            (true, Some(_)) => Framing::Lz4 {
                payload: Vec::new(),
            },
        };
    }

    /// Appends one whole envelope to `out`, or to what [`Encoder::seal`] will append.
    pub fn append(&mut self, envelope: &[u8], out: &mut Vec<u8>) {
        match &mut self.framing {
            Framing::Envelopes {
                compression: Some(compression),
            } if envelope.len() >= HEADER_BYTES + MIN_COMPRESSED_BYTES => {
                append_compressed(*compression, envelope, out);
            }
            Framing::Envelopes { .. } => out.extend_from_slice(envelope),
            Framing::Plain { open } => {
                let format = SegmentFormat::Plain;
                if let Some(start) = *open
                    && out.len() - start - format.header_bytes() + envelope.len()
                        > MAX_PAYLOAD_BYTES
                {
                    end_segment(format, start, 0, Content::SelfContained, out);
                    *open = None;
                }
                if envelope.len() > MAX_PAYLOAD_BYTES {
                    append_pieces(format, envelope, out);
                } else {
                    open.get_or_insert_with(|| begin_segment(format, out));
                    out.extend_from_slice(envelope);
                }
            }
            Framing::Lz4 { payload } => {
                if payload.len() + envelope.len() > MAX_PAYLOAD_BYTES {
                    seal_compressed(payload, out);
                }
                if envelope.len() > MAX_PAYLOAD_BYTES {
                    append_pieces(SegmentFormat::Lz4, envelope, out);
                } else {
                    payload.extend_from_slice(envelope);
                }
            }
        }
    }

    /// Completes what `out` holds, so that it can be sent.
    pub fn seal(&mut self, out: &mut Vec<u8>) {
        match &mut self.framing {
            Framing::Envelopes { .. } => {}
            Framing::Plain { open } => {
                if let Some(start) = open.take() {
                    end_segment(SegmentFormat::Plain, start, 0, Content::SelfContained, out);
                }
            }
            Framing::Lz4 { payload } => seal_compressed(payload, out),
        }
    }
}

fn seal_compressed(payload: &mut Vec<u8>, out: &mut Vec<u8>) {
    if !payload.is_empty() {
        write_segment(SegmentFormat::Lz4, payload, Content::SelfContained, out);
        payload.clear();
    }
}

fn append_pieces(format: SegmentFormat, envelope: &[u8], out: &mut Vec<u8>) {
    for piece in envelope.chunks(MAX_PAYLOAD_BYTES) {
        write_segment(format, piece, Content::Piece, out);
    }
}

fn append_compressed(compression: Compression, envelope: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let (header, body) = envelope.split_at(HEADER_BYTES);
    out.extend_from_slice(header);
    compress_body(compression, body, out);
    let length = out.len() - start - HEADER_BYTES;
    if length >= body.len() {
        out.truncate(start);
        out.extend_from_slice(envelope);
        return;
    }
    out[start + 1] |= flags::COMPRESSED;
    out[start + HEADER_BYTES - 4..start + HEADER_BYTES]
        .copy_from_slice(&(length as u32).to_be_bytes());
}
