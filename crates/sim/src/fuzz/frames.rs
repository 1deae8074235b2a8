//! Fuzzers of what arrives from clients: envelopes, segments, messages.

use crate::random::Rng;
use bytes::BytesMut;
use cql::frame::compression::{Compression, compress_body};
use cql::frame::decoder::Decoder;
use cql::frame::segment::{Content, SegmentFormat, write_segment};
use cql::frame::{ProtocolVersion, RequestFrame};

/// Longest body the decoder under test takes.
const LIMIT_BYTES: usize = 4096;
/// Of requests mostly.
const OPCODES: [u8; 10] = [0x01, 0x05, 0x07, 0x09, 0x0A, 0x0B, 0x0D, 0x0F, 0x08, 0x42];

/// A body that begins like one of a request and goes on as it likes.
fn body(rng: &mut Rng) -> Vec<u8> {
    let mut body = Vec::new();
    if rng.chance(60) {
        let text = b"SELECT * FROM k.t WHERE a = ?";
        body.extend((text.len() as i32).to_be_bytes());
        body.extend(text);
    }
    for _ in 0..rng.index(12) {
        // Lengths and counts are small, missing or absurd.
        match rng.below(6) {
            0 => body.extend((rng.below(9) as i16).to_be_bytes()),
            1 => body.extend((rng.below(20) as i32).to_be_bytes()),
            2 => body.extend((-(rng.below(3) as i32)).to_be_bytes()),
            3 => body.extend(i32::MAX.to_be_bytes()),
            4 => body.push(rng.below(256) as u8),
            _ => {
                let length = rng.index(20);
                body.extend(rng.bytes(length));
            }
        }
    }
    body
}

fn envelope(rng: &mut Rng, version: u8, compression: Option<Compression>) -> Vec<u8> {
    let mut body = body(rng);
    let mut flags = *rng.pick(&[0u8, 0, 0, 0x02, 0x04, 0x10, 0xFF]);
    if let Some(compression) = compression.filter(|_| rng.chance(70)) {
        let mut compressed = Vec::new();
        compress_body(compression, &body, &mut compressed);
        body = compressed;
        flags |= 0x01;
    }
    let version = if rng.chance(97) {
        version
    } else {
        rng.below(256) as u8
    };
    let mut bytes = vec![version, flags];
    bytes.extend((rng.below(1 << 16) as u16).to_be_bytes());
    bytes.push(*rng.pick(&OPCODES));
    let length = if rng.chance(97) {
        body.len()
    } else {
        rng.index(2 * LIMIT_BYTES)
    };
    bytes.extend((length as u32).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// What a decoder makes of bytes that come in these pieces: frames, and whether one was turned down in the end.
fn decode(mut decoder: Decoder, pieces: &[&[u8]]) -> (Vec<RequestFrame>, bool) {
    let mut input = BytesMut::new();
    let mut frames = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match decoder.next(&mut input) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => return (frames, true),
            }
        }
    }
    (frames, false)
}

/// A stream of requests, damaged or not: nothing panics, and how it is cut into reads changes nothing.
pub fn requests(rng: &mut Rng) -> Result<(), String> {
    let (number, version) = *rng.pick(&[
        (3, ProtocolVersion::V3),
        (4, ProtocolVersion::V4),
        (5, ProtocolVersion::V5),
    ]);
    let compression = *rng.pick(&[None, Some(Compression::Lz4), Some(Compression::Snappy)]);
    let compression = compression.filter(|one| number < 5 || *one == Compression::Lz4);
    let mut stream = Vec::new();
    let bare = compression.filter(|_| number < 5);
    for _ in 0..=rng.index(4) {
        let envelope = envelope(rng, number, bare);
        if number < 5 {
            stream.extend(envelope);
            continue;
        }
        let format = if compression.is_some() {
            SegmentFormat::Lz4
        } else {
            SegmentFormat::Plain
        };
        let cut = rng.index(envelope.len() + 1);
        if rng.chance(50) {
            write_segment(format, &envelope, Content::SelfContained, &mut stream);
        } else {
            write_segment(format, &envelope[..cut], Content::Piece, &mut stream);
            write_segment(format, &envelope[cut..], Content::Piece, &mut stream);
        }
    }
    for _ in 0..rng.index(3) {
        let at = rng.index(stream.len());
        stream[at] ^= 1 << rng.below(8);
    }
    let decoder = || {
        let mut decoder = Decoder::new(LIMIT_BYTES);
        decoder.start(version, compression);
        decoder
    };
    let whole = decode(decoder(), &[&stream]);
    let mut cuts: Vec<usize> = (0..rng.index(6))
        .map(|_| rng.index(stream.len() + 1))
        .collect();
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
    let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect();
    let pieced = decode(decoder(), &pieces);
    if whole != pieced {
        return Err(format!(
            "{stream:?} in pieces {cuts:?}: {whole:?}, not {pieced:?}"
        ));
    }
    for frame in whole.0 {
        // Whether a body is a message is the decoder's to say; that it says something is what is asked here.
        let _ = frame.message();
    }
    Ok(())
}
