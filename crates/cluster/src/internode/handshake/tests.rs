//! Handshakes there and back, cut anywhere, with flipped bits, and what was never one.

use super::*;
use crate::topology::NodeId;
use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};

fn identity() -> impl Strategy<Value = PeerIdentity> {
    let address = (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port));
    let numbers = (any::<u32>(), any::<u128>(), any::<u64>(), any::<u32>());
    (numbers, address, any::<u16>(), 1..=u16::MAX).prop_map(
        |((node, host, incarnation, boot), address, shard, shards)| PeerIdentity {
            node: (node > 0).then_some(NodeId(node)),
            host_id: Uuid::from_u128(host),
            incarnation,
            boot,
            address,
            shard: shard % shards,
            shards,
        },
    )
}

prop_compose! {
    fn hello()(
        lowest in any::<u16>(),
        more in any::<u16>(),
        features in any::<u64>(),
        cluster_name in ".{0,40}",
        cluster_id in any::<u128>(),
        identity in identity(),
        class in prop::sample::select(&Class::ALL),
        lz4 in any::<bool>(),
    ) -> Hello {
        Hello {
            lowest_version: lowest,
            highest_version: lowest.saturating_add(more),
            features,
            cluster_name,
            cluster_id: Uuid::from_u128(cluster_id),
            identity,
            class,
            compression: if lz4 { FrameCompression::Lz4 } else { FrameCompression::None },
        }
    }
}

fn answer() -> impl Strategy<Value = Answer> {
    let refused = (1..=u8::MAX, ".{0,400}").prop_map(|(code, text)| {
        let text = shortened(&text, MAX_TEXT_BYTES);
        Answer::Refused(Refusal::new(RefusalReason::from_code(code), text))
    });
    let accepted = (hello(), any::<u16>()).prop_map(|(hello, version)| {
        Answer::Accepted(Accepted {
            version,
            features: hello.features,
            cluster_name: hello.cluster_name,
            cluster_id: hello.cluster_id,
            identity: hello.identity,
        })
    });
    prop_oneof![refused, accepted]
}

proptest! {
    #[test]
    fn what_is_said_is_heard(hello in hello(), answer in answer(), behind in any::<[u8; 3]>()) {
        let mut bytes = Vec::new();
        hello.encode(&mut bytes);
        let length = bytes.len();
        for cut in 0..length {
            prop_assert_eq!(Hello::decode(&bytes[..cut]), Ok(None));
        }
        bytes.extend_from_slice(&behind);
        prop_assert_eq!(Hello::decode(&bytes), Ok(Some((hello, length))));
        prop_assert_eq!(Answer::decode(&bytes), Err(HandshakeError::Kind(HELLO)));

        let mut bytes = Vec::new();
        answer.encode(&mut bytes);
        let length = bytes.len();
        bytes.extend_from_slice(&behind);
        prop_assert_eq!(Answer::decode(&bytes), Ok(Some((answer, length))));
    }

    #[test]
    fn a_changed_bit_is_noticed(hello in hello(), at in any::<prop::sample::Index>(), bit in 0..8) {
        let mut bytes = Vec::new();
        hello.encode(&mut bytes);
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        // A length that grew waits for bytes that do not come: the shell's timeout ends that.
        prop_assert!(!matches!(Hello::decode(&bytes), Ok(Some(_))));
    }

    #[test]
    fn arbitrary_bytes_are_judged(bytes in any::<Vec<u8>>(), sealed in any::<bool>()) {
        let mut packet = bytes;
        if sealed {
            let body = std::mem::take(&mut packet);
            put_packet(HELLO, &mut packet, |out| out.extend_from_slice(&body));
            prop_assert!(!matches!(Hello::decode(&packet), Ok(None)));
            packet.clear();
            put_packet(ANSWER, &mut packet, |out| out.extend_from_slice(&body));
            prop_assert!(!matches!(Answer::decode(&packet), Ok(None)));
        } else {
            let _ = (Hello::decode(&packet), Answer::decode(&packet));
        }
    }
}

fn plain_hello() -> Hello {
    Hello {
        lowest_version: 1,
        highest_version: 1,
        features: 5,
        cluster_name: "C".into(),
        cluster_id: Uuid::from_u128(7),
        identity: PeerIdentity {
            node: Some(NodeId(2)),
            host_id: Uuid::from_u128(9),
            incarnation: 3,
            boot: 4,
            address: "127.0.0.1:7000".parse().unwrap(),
            shard: 1,
            shards: 2,
        },
        class: Class::Small,
        compression: FrameCompression::Lz4,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of version 1, for ever.
#[test]
fn the_bytes_are_those_of_the_page() {
    let hello = plain_hello();
    let mut bytes = Vec::new();
    hello.encode(&mut bytes);
    let body = concat!(
        "0100",
        "0100",
        "0500000000000000",
        "02",
        "01", // versions, features, class, wishes
        "00000000000000000000000000000007",
        "0100",
        "43", // cluster
        "02000000",
        "00000000000000000000000000000009", // node, host id
        "0300000000000000",
        "04000000",
        "0100",
        "0200", // incarnation, boot, shard of
        "581b",
        "04",
        "7f000001", // address
    );
    assert_eq!(
        hex(&bytes[..12]),
        "48454c4e574952450100".to_owned() + "4c00"
    );
    assert_eq!(hex(&bytes[HEAD_BYTES..]), body);
    assert_eq!(bytes.len(), HEAD_BYTES + 0x4c);

    let mut bytes = Vec::new();
    let refusal = Refusal::new(RefusalReason::Removed, "gone");
    Answer::Refused(refusal).encode(&mut bytes);
    assert_eq!(hex(&bytes[HEAD_BYTES..]), "050400676f6e65");
}

#[test]
fn a_later_version_may_append() {
    let hello = plain_hello();
    let mut body = Vec::new();
    hello.encode(&mut body);
    let mut bytes = Vec::new();
    put_packet(HELLO, &mut bytes, |out| {
        out.extend_from_slice(&body[HEAD_BYTES..]);
        out.extend_from_slice(b"more");
    });
    let length = bytes.len();
    assert_eq!(Hello::decode(&bytes), Ok(Some((hello, length))));
}

#[test]
fn what_is_no_handshake_is_told_at_once() {
    assert_eq!(Hello::decode(b""), Ok(None));
    assert_eq!(Hello::decode(b"H"), Ok(None));
    assert_eq!(Hello::decode(b"GET / "), Err(HandshakeError::Magic));
    assert_eq!(Hello::decode(&[0x16, 3, 1]), Err(HandshakeError::Magic));
    assert_eq!(Hello::decode(b"HELNWIRE\x07"), Err(HandshakeError::Kind(7)));
}

#[test]
fn texts_are_cut_between_characters() {
    assert_eq!(shortened("abc", 3), "abc");
    assert_eq!(shortened("äöü", 3), "ä");
    let long = "ü".repeat(MAX_TEXT_BYTES);
    let mut bytes = Vec::new();
    Answer::Refused(Refusal::new(RefusalReason::NotReady, long)).encode(&mut bytes);
    let Ok(Some((Answer::Refused(refusal), _))) = Answer::decode(&bytes) else {
        panic!("it can be read");
    };
    assert_eq!(refusal.text.len(), MAX_TEXT_BYTES);
}
