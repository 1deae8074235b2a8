//! Frames there and back, cut anywhere, with flipped bits, and what was never a frame.

use super::super::handshake::FrameCompression;
use super::*;
use bytes::{Bytes, BytesMut};
use model::limits::{
    INTERNODE_FRAME_BYTES, MAX_INTERNODE_FRAME_BYTES, MAX_INTERNODE_MESSAGE_BYTES,
};
use proptest::prelude::*;

const NONE: FrameCompression = FrameCompression::None;
const LZ4: FrameCompression = FrameCompression::Lz4;

/// The bytes of the frames that carry these messages, sealed when full and after every `seal_every`-th message.
fn encode(compression: FrameCompression, messages: &[Vec<u8>], seal_every: usize) -> Vec<u8> {
    let mut encoder = Encoder::new(compression, MAX_INTERNODE_MESSAGE_BYTES);
    let (mut out, mut sealed) = (Vec::new(), 0);
    for (index, message) in messages.iter().enumerate() {
        let full = encoder.append(message, &mut out).unwrap();
        if full || (index + 1) % seal_every == 0 {
            sealed += encoder.seal(&mut out);
        }
    }
    sealed += encoder.seal(&mut out);
    assert_eq!(sealed as usize, messages.len());
    assert_eq!(encoder.seal(&mut out), 0, "nothing is left to seal");
    out
}

/// What comes of bytes that arrive so many at a time.
fn decode(bytes: &[u8], chunk: usize) -> Result<Vec<Bytes>, FrameError> {
    let (mut decoder, mut input, mut messages) = (Decoder::default(), BytesMut::new(), Vec::new());
    for part in bytes.chunks(chunk) {
        input.extend_from_slice(part);
        while let Some(frame) = decoder.next(&mut input)? {
            assert_eq!(frame.len(), frame.clone().count());
            messages.extend(frame);
        }
    }
    assert!(input.is_empty() && decoder.missing_bytes(&input) == 0);
    Ok(messages)
}

prop_compose! {
    /// Messages that compress and messages that do not.
    fn messages()(
        messages in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 1..300),
                (any::<u8>(), 1..20_000_usize).prop_map(|(byte, length)| vec![byte; length]),
            ],
            1..40,
        ),
    ) -> Vec<Vec<u8>> {
        messages
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn messages_come_as_they_went(
        messages in messages(),
        lz4 in any::<bool>(),
        seal_every in 1..10_usize,
        chunk in 1..5_000_usize,
    ) {
        let bytes = encode(if lz4 { LZ4 } else { NONE }, &messages, seal_every);
        let decoded = decode(&bytes, chunk).unwrap();
        prop_assert_eq!(decoded.len(), messages.len());
        prop_assert!(decoded.iter().zip(&messages).all(|(left, right)| left == right));
    }

    #[test]
    fn a_changed_bit_is_noticed(
        messages in messages(),
        lz4 in any::<bool>(),
        at in any::<prop::sample::Index>(),
        bit in 0..8,
    ) {
        let mut bytes = encode(if lz4 { LZ4 } else { NONE }, &messages, 7);
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        prop_assert!(decode(&bytes, 4096).is_err());
    }

    #[test]
    fn arbitrary_bytes_are_judged(bytes in any::<Vec<u8>>(), lies in any::<[u32; 2]>(), chunk in 1..64_usize) {
        let run = |bytes: &[u8]| {
            let (mut decoder, mut input) = (Decoder::default(), BytesMut::new());
            for part in bytes.chunks(chunk) {
                input.extend_from_slice(part);
                while let Ok(Some(frame)) = decoder.next(&mut input) {
                    frame.for_each(drop);
                }
            }
        };
        run(&bytes);
        // The same behind a header whose checksums are right, so that what is behind them is reached.
        let header = header::Header {
            sent: bytes.len(),
            decompressed: Some(lies[0] as usize % (2 * bytes.len() + 2)).filter(|_| lies[1] % 2 == 0),
            payload_sum: crc32fast::hash(&bytes),
        };
        run(&[&header.encode()[..], &bytes].concat());
    }
}

/// The bytes of version 1, for ever.
#[test]
fn the_bytes_are_those_of_the_page() {
    let bytes = encode(NONE, &[b"ab".to_vec(), b"c".to_vec()], 9);
    let payload = [2, b'a', b'b', 1, b'c'];
    assert_eq!(bytes[..12], [5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(bytes[12..16], crc32fast::hash(&payload).to_le_bytes());
    assert_eq!(bytes[16..20], crc32fast::hash(&bytes[..16]).to_le_bytes());
    assert_eq!(bytes[20..], payload);

    let bytes = encode(LZ4, &[vec![7; 1000]], 9);
    assert_eq!(bytes[4..8], 1002_u32.to_le_bytes());
    assert!(bytes.len() < 60);
}

#[test]
fn a_false_length_is_not_waited_for() {
    let mut bytes = encode(NONE, &[vec![1; 100]], 1);
    bytes[2] = 1;
    let mut input = BytesMut::from(&bytes[..HEADER_BYTES]);
    let mut decoder = Decoder::default();
    assert_eq!(decoder.next(&mut input), Err(FrameError::HeaderChecksum));
    // Nothing behind it is read, be it right.
    let mut input = BytesMut::from(&encode(NONE, &[vec![1; 100]], 1)[..]);
    assert_eq!(decoder.next(&mut input), Err(FrameError::HeaderChecksum));
}

#[test]
fn what_a_header_claims_is_possible() {
    let judge = |sent: usize, decompressed: Option<usize>| {
        let header = header::Header {
            sent,
            decompressed,
            payload_sum: 0,
        };
        Decoder::default().next(&mut BytesMut::from(&header.encode()[..]))
    };
    assert_eq!(judge(MAX_INTERNODE_FRAME_BYTES, None), Ok(None));
    let more = MAX_INTERNODE_FRAME_BYTES + 1;
    assert_eq!(judge(more, None), Err(FrameError::TooLarge(more)));
    assert_eq!(judge(more / 2, Some(more)), Err(FrameError::TooLarge(more)));
    assert_eq!(judge(10, Some(1 << 20)), Err(FrameError::Compression));
    assert_eq!(judge(0, None), Err(FrameError::Messages));
}

#[test]
fn a_frame_is_full_of_messages_or_wrong() {
    for payload in [&b""[..], &[0], &[3, 1, 1], &[1, 1, 0], &[0x80; 12]] {
        let header = header::Header {
            sent: payload.len(),
            decompressed: None,
            payload_sum: crc32fast::hash(payload),
        };
        let bytes = [&header.encode()[..], payload].concat();
        assert_eq!(decode(&bytes, 64), Err(FrameError::Messages), "{payload:?}");
    }
}

#[test]
fn frames_end_when_they_are_full() {
    let message = vec![0; INTERNODE_FRAME_BYTES / 4];
    let mut encoder = Encoder::new(NONE, MAX_INTERNODE_MESSAGE_BYTES);
    let mut out = Vec::new();
    let full: Vec<bool> = (0..4)
        .map(|_| encoder.append(&message, &mut out).unwrap())
        .collect();
    assert_eq!(full, [false, false, false, true]);
}

#[test]
fn a_message_that_is_too_large_stays_with_its_sender() {
    let mut encoder = Encoder::new(NONE, 100);
    let mut out = Vec::new();
    encoder.append(&[1; 100], &mut out).unwrap();
    let error = encoder.append(&[1; 101], &mut out).unwrap_err();
    assert_eq!((error.length, error.limit), (101, 100));
    encoder.seal(&mut out);
    assert_eq!(decode(&out, 7).unwrap(), [vec![1; 100]]);
}
