//! Framing: what travels in every version and compression, what Cassandra 5.0 answers to what does not, and what must
//! not break the decoder.

use super::super::compression::{Compression, compress_body};
use super::super::segment::{Content, SegmentFormat, read_segment, write_segment};
use super::*;
use bytes::BytesMut;

/// Everything the decoder makes of `bytes` when they arrive in chunks of this size.
fn decode_all(
    decoder: &mut Decoder,
    bytes: &[u8],
    chunk: usize,
) -> (Vec<RequestFrame>, Vec<Rejection>) {
    let (mut input, mut frames, mut rejections) = (BytesMut::new(), Vec::new(), Vec::new());
    for piece in bytes.chunks(chunk.max(1)) {
        input.extend_from_slice(piece);
        loop {
            match decoder.next(&mut input) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(rejection) => {
                    let closes = rejection.error.consequence() == Consequence::Close;
                    rejections.push(rejection);
                    if closes {
                        return (frames, rejections);
                    }
                }
            }
        }
    }
    (frames, rejections)
}

fn started(version: ProtocolVersion, compression: Option<Compression>) -> Decoder {
    let mut decoder = Decoder::new(LIMIT);
    decoder.start(version, compression);
    decoder
}

fn rejected(bytes: &[u8]) -> (Vec<u8>, Consequence) {
    let (frames, rejections) = decode_all(&mut Decoder::new(LIMIT), bytes, usize::MAX);
    assert!(frames.is_empty());
    let mut out = Vec::new();
    rejections[0].encode(&mut out);
    (out, rejections[0].error.consequence())
}

#[test]
fn unsupported_versions_are_turned_down_as_cassandra_does() {
    let answer = |number: u8, head: &[u8]| {
        let message = format!(
            "Invalid or unsupported protocol version ({number}); supported versions are (3/v3, 4/v4, 5/v5, 6/v6-beta)"
        );
        let mut out = head.to_vec();
        out.put_int(message.len() as i32 + 6);
        out.put_int(10);
        out.put_string(&message);
        out
    };
    for number in [66, 65, 7, 127, 0, b'G'] {
        let expected = answer(number, &[0x85, 0, 0, 0, 0]);
        assert_eq!(
            rejected(&envelope(number, 0, 1, 5, b"")),
            (expected.clone(), Consequence::Continue)
        );
        assert_eq!(rejected(&[number]).0, expected, "the first byte is enough");
    }
    assert_eq!(
        rejected(&[1, 0, 1, 5, 0, 0, 0, 0]).0,
        answer(1, &[0x81, 0, 0, 0])
    );
    assert_eq!(
        rejected(&[2, 0, 1, 5, 0, 0, 0, 0]).0,
        answer(2, &[0x82, 0, 0, 0])
    );

    let (beta, consequence) = rejected(&envelope(6, 0, 1, 5, b""));
    assert_eq!(
        beta,
        b"\x86\x10\x00\x00\x00\x00\x00\x00O\x00\x00\x00\n\x00IBeta version of the protocol used (6/v6-beta), but USE_BETA flag is unset"
    );
    assert_eq!(consequence, Consequence::Continue);
}

#[test]
fn a_connection_outlives_a_version_that_is_not_spoken() {
    let mut decoder = Decoder::new(LIMIT);
    let (frames, rejections) =
        decode_all(&mut decoder, &envelope(66, 0, 0, 5, b"garbage"), usize::MAX);
    assert_eq!((frames.len(), rejections.len()), (0, 1));
    let (frames, rejections) = decode_all(&mut decoder, &envelope(4, 0, 0, 5, b""), usize::MAX);
    assert_eq!((frames.len(), rejections.len()), (1, 0));
}

#[test]
fn frames_that_are_none_close_the_connection() {
    let (out, consequence) = rejected(&envelope(4, 0, 1, 0x20, b""));
    assert_eq!(
        &out[..],
        b"\x84\x00\x00\x01\x00\x00\x00\x00\x17\x00\x00\x00\n\x00\x11Unknown opcode 32"
    );
    assert_eq!(consequence, Consequence::Close);
    let (out, consequence) = rejected(&envelope(0x85, 0, 1, 5, b""));
    assert_eq!(
        &out[..],
        b"\x85\x00\x00\x01\x00\x00\x00\x00V\x00\x00\x00\n\x00PWrong protocol direction (expected REQUEST, got RESPONSE) for opcode 5 (OPTIONS)"
    );
    assert_eq!(consequence, Consequence::Close);
    let (out, consequence) = rejected(&envelope(4, 0, 1, 2, b""));
    assert!(out.ends_with(
        b"Wrong protocol direction (expected RESPONSE, got REQUEST) for opcode 2 (READY)"
    ));
    assert_eq!(consequence, Consequence::Close);
    let mut header = envelope(4, 0, 9, 7, b"");
    header[5..9].copy_from_slice(&0x9000_0000_u32.to_be_bytes());
    let (out, consequence) = rejected(&header);
    assert_eq!(consequence, Consequence::Close);
    assert_eq!(out[2..4], [0, 9]);
}

#[test]
fn the_version_may_not_change_after_startup() {
    let mut decoder = started(ProtocolVersion::V4, None);
    let bytes = [envelope(3, 0, 1, 5, b"xx"), envelope(4, 0, 2, 5, b"")].concat();
    let (frames, rejections) = decode_all(&mut decoder, &bytes, 3);
    assert_eq!(frames.len(), 1);
    let mut out = Vec::new();
    rejections[0].encode(&mut out);
    assert_eq!(
        &out[..],
        b"\x84\x00\x00\x01\x00\x00\x00\x00a\x00\x00\x00\n\x00[Invalid message version. Got 3/v3 but previous messages on this connection had version 4/v4"
    );
}

/// The frames of a whole connection in one framing: some small, some longer than a segment.
fn conversation(version: ProtocolVersion) -> Vec<Vec<u8>> {
    let long = "x".repeat(300_000);
    [
        "select 1",
        "",
        &"select 'y'".repeat(100),
        &long,
        "after",
        &long,
    ]
    .iter()
    .enumerate()
    .map(|(stream, text)| {
        envelope(
            version as u8,
            0,
            stream as i16,
            7,
            &query_body(version, text),
        )
    })
    .collect()
}

/// `envelopes` as a client sends them: the encoder does not care which direction they go.
fn travel(
    version: ProtocolVersion,
    compression: Option<Compression>,
    envelopes: &[Vec<u8>],
) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::default(), Vec::new());
    encoder.start(version, compression);
    for (index, envelope) in envelopes.iter().enumerate() {
        encoder.append(envelope, &mut out);
        if index % 3 == 2 {
            encoder.seal(&mut out);
        }
    }
    encoder.seal(&mut out);
    out
}

const FRAMINGS: [(ProtocolVersion, Option<Compression>); 8] = [
    (ProtocolVersion::V3, None),
    (ProtocolVersion::V3, Some(Compression::Snappy)),
    (ProtocolVersion::V4, None),
    (ProtocolVersion::V4, Some(Compression::Lz4)),
    (ProtocolVersion::V4, Some(Compression::Snappy)),
    (ProtocolVersion::V5, None),
    (ProtocolVersion::V5, Some(Compression::Lz4)),
    (ProtocolVersion::V6, Some(Compression::Lz4)),
];

#[test]
fn every_framing_carries_every_envelope_in_pieces_of_any_size() {
    for (version, compression) in FRAMINGS {
        let envelopes = conversation(version);
        let bytes = travel(version, compression, &envelopes);
        for chunk in [1009, 65_536, usize::MAX] {
            let (frames, rejections) =
                decode_all(&mut started(version, compression), &bytes, chunk);
            assert_eq!(rejections, [], "{version} {compression:?}");
            assert_eq!(frames.len(), envelopes.len());
            for (frame, envelope) in frames.iter().zip(&envelopes) {
                assert_eq!(
                    frame.body,
                    envelope[HEADER_BYTES..],
                    "{version} {compression:?}"
                );
                assert_eq!(frame.header.stream.to_be_bytes(), envelope[2..4]);
            }
        }
    }
    let small: Vec<_> = (0..40)
        .map(|stream| envelope(5, 0, stream, 5, b""))
        .collect();
    let bytes = travel(ProtocolVersion::V5, None, &small);
    assert_eq!(
        decode_all(&mut started(ProtocolVersion::V5, None), &bytes, 1)
            .0
            .len(),
        40
    );
}

#[test]
fn envelopes_of_one_wake_up_share_a_segment() {
    let (mut encoder, mut out) = (Encoder::default(), Vec::new());
    encoder.start(ProtocolVersion::V5, None);
    for stream in 0..3 {
        encoder.append(&envelope(0x85, 0, stream, 2, b""), &mut out);
    }
    encoder.seal(&mut out);
    assert_eq!(out.len(), 6 + 3 * HEADER_BYTES + 4);
    encoder.seal(&mut out);
    assert_eq!(
        out.len(),
        6 + 3 * HEADER_BYTES + 4,
        "sealing twice adds nothing"
    );
}

#[test]
fn segments_that_lie_close_the_connection() {
    let whole = envelope(5, 0, 1, 5, b"abc");
    let mut cases = Vec::new();
    for cut in 1..whole.len() {
        let mut out = Vec::new();
        write_segment(
            SegmentFormat::Plain,
            &whole[..cut],
            Content::SelfContained,
            &mut out,
        );
        cases.push(out);
    }
    let mut out = Vec::new();
    write_segment(SegmentFormat::Plain, &whole[..10], Content::Piece, &mut out);
    write_segment(
        SegmentFormat::Plain,
        &whole,
        Content::SelfContained,
        &mut out,
    );
    cases.push(out);
    let mut out = Vec::new();
    write_segment(
        SegmentFormat::Plain,
        &[&whole[..], b"more"].concat(),
        Content::Piece,
        &mut out,
    );
    cases.push(out);
    let mut out = Vec::new();
    write_segment(
        SegmentFormat::Plain,
        &whole,
        Content::SelfContained,
        &mut out,
    );
    *out.last_mut().unwrap() ^= 1;
    cases.push(out);
    for case in cases {
        let (frames, rejections) =
            decode_all(&mut started(ProtocolVersion::V5, None), &case, usize::MAX);
        assert_eq!((frames.len(), rejections.len()), (0, 1));
        assert_eq!(
            rejections[0].error.consequence(),
            Consequence::Close,
            "{:?}",
            rejections[0]
        );
    }
}

#[test]
fn nothing_is_decoded_between_startup_and_its_answer() {
    let mut decoder = Decoder::new(LIMIT);
    let mut input =
        BytesMut::from(&envelope(5, 0, 0, 1, &startup_body(&[("CQL_VERSION", "3.0.0")]))[..]);
    assert_eq!(
        decoder.next(&mut input).unwrap().unwrap().header.opcode,
        Opcode::Startup
    );
    decoder.pause();
    write_pipelined(&mut input);
    assert_eq!(decoder.next(&mut input), Ok(None));
    decoder.start(ProtocolVersion::V5, None);
    assert_eq!(
        decoder.next(&mut input).unwrap().unwrap().header.opcode,
        Opcode::Options
    );
}

fn write_pipelined(input: &mut BytesMut) {
    let mut out = Vec::new();
    write_segment(
        SegmentFormat::Plain,
        &envelope(5, 0, 3, 5, b""),
        Content::SelfContained,
        &mut out,
    );
    input.extend_from_slice(&out);
}

#[test]
fn no_stream_cut_or_changed_anywhere_can_panic_or_stall() {
    let mut random = Xorshift(0xD1B5_4A32_D192_ED03);
    for (version, compression) in FRAMINGS {
        let envelopes: Vec<_> = conversation(version)
            .into_iter()
            .filter(|envelope| envelope.len() < 2000)
            .collect();
        let bytes = travel(version, compression, &envelopes);
        for round in 0..400 {
            let mut bytes = bytes.clone();
            for _ in 0..=random.next() % 3 {
                let at = random.next() % bytes.len();
                bytes[at] = random.next() as u8;
            }
            bytes.truncate(random.next() % (bytes.len() + 1));
            let mut decoder = if round % 2 == 0 {
                started(version, compression)
            } else {
                Decoder::new(LIMIT)
            };
            let (frames, rejections) = decode_all(&mut decoder, &bytes, 1 + random.next() % 4096);
            assert!(frames.len() + rejections.len() <= bytes.len());
            for frame in frames {
                let _ = frame.message();
            }
        }
    }
}

#[test]
fn a_compressed_body_may_not_outgrow_the_limit() {
    let mut body = Vec::new();
    compress_body(Compression::Lz4, &vec![0; LIMIT + 1], &mut body);
    let bytes = envelope(4, flags::COMPRESSED, 3, 7, &body);
    let (frames, rejections) = decode_all(
        &mut started(ProtocolVersion::V4, Some(Compression::Lz4)),
        &bytes,
        usize::MAX,
    );
    assert!(frames.is_empty());
    assert_eq!(rejections[0].stream, 3);
}

#[test]
fn answers_are_compressed_where_it_pays() {
    let big = envelope(0x84, 0, 1, 8, &[7; 4000]);
    let small = envelope(0x84, 0, 1, 8, &[7; 100]);
    for compression in [Compression::Lz4, Compression::Snappy] {
        let (mut encoder, mut out) = (Encoder::default(), Vec::new());
        encoder.start(ProtocolVersion::V4, Some(compression));
        encoder.append(&big, &mut out);
        assert!(out.len() < 400 && out[1] == flags::COMPRESSED);
        let body =
            super::compression::decompress_body(compression, &out[HEADER_BYTES..], LIMIT).unwrap();
        assert_eq!(body, big[HEADER_BYTES..]);
        out.clear();
        encoder.append(&small, &mut out);
        assert_eq!(out, small);
    }
    let (mut encoder, mut out) = (Encoder::default(), Vec::new());
    encoder.start(ProtocolVersion::V5, Some(Compression::Lz4));
    encoder.append(&big, &mut out);
    encoder.append(&small, &mut out);
    assert!(out.is_empty(), "compressed as a whole when it is sealed");
    encoder.seal(&mut out);
    let mut input = BytesMut::from(&out[..]);
    let segment = read_segment(SegmentFormat::Lz4, &mut input)
        .unwrap()
        .unwrap();
    assert_eq!(segment.payload, [big, small].concat());
    assert!(input.is_empty());
}
