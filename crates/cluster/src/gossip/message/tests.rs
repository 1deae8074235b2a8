//! The bytes: back and forth, any bytes at all, and one message of each kind byte by byte.

use super::*;
use crate::gossip::simulation::{CALM, Cluster, address, identity};
use crate::gossip::state::{Status, Unreachable};
use crate::seeded::Seeded;
use crate::topology::NodeId;
use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;

fn any_identity() -> impl Strategy<Value = Identity> {
    let host = (
        any::<u128>(),
        any::<u32>(),
        any::<u32>(),
        any::<Option<u128>>(),
    );
    ((any::<bool>(), 0..9u8, any::<u16>()), host).prop_map(
        |((six, last, port), (host, boot, started, replaces))| Identity {
            address: if six {
                SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, u16::from(last)], port))
            } else {
                SocketAddr::from(([10, 0, 0, last], port))
            },
            host_id: Uuid::from_u128(host),
            generation: Generation {
                boot,
                started_seconds: u64::from(started),
            },
            replaces: replaces.map(Uuid::from_u128),
        },
    )
}

fn any_state() -> impl Strategy<Value = State> {
    let unreachable = vec((0..50u32, any::<bool>()), 0..20).prop_map(|gaps| {
        let mut node = 0;
        let list = gaps.into_iter().map(|(gap, heard)| {
            node += gap + 1;
            Unreachable {
                node: NodeId(node),
                heard,
            }
        });
        State::Unreachable(list.collect())
    });
    prop_oneof![
        Just(State::Status(Status::Leaving)),
        ".{0,40}".prop_map(State::DataCenter),
        ".{0,40}".prop_map(State::Rack),
        any::<u64>().prop_map(State::TokensDigest),
        ".{0,40}".prop_map(State::ReleaseVersion),
        (any::<u64>(), any::<u128>()).prop_map(|(epoch, version)| State::Schema {
            epoch,
            version: Uuid::from_u128(version),
        }),
        any::<u64>().prop_map(State::Load),
        any::<u16>().prop_map(State::Severity),
        any_identity().prop_map(|identity| State::NativeAddress(identity.address)),
        any::<bool>().prop_map(State::NativeReady),
        any::<(u16, u16)>().prop_map(|(lowest, highest)| State::Features { lowest, highest }),
        unreachable,
        any::<u16>().prop_map(State::ShardCount),
        any::<u32>().prop_map(|number| State::NodeNumber(NodeId(number))),
        (100..=255u8, vec(any::<u8>(), 0..50)).prop_map(|(code, bytes)| State::Unknown {
            code,
            bytes: bytes.into(),
        }),
    ]
}

fn any_delta() -> impl Strategy<Value = Delta> {
    let values = vec((any::<u16>(), any_state()), 0..5);
    (
        any_identity(),
        any::<u64>(),
        any::<u32>(),
        values,
        any::<u16>(),
    )
        .prop_map(|(identity, heartbeat, from, gaps, rest)| {
            let mut to = u64::from(from);
            let values = gaps.into_iter().map(|(gap, state)| {
                to += u64::from(gap) + 1;
                let version = to;
                Versioned { version, state }
            });
            let values = values.collect();
            Delta {
                identity,
                heartbeat,
                from: u64::from(from),
                to: to + u64::from(rest),
                values,
            }
        })
}

fn any_window() -> impl Strategy<Value = Window> {
    (0..8u8, any::<u32>(), any::<u32>()).prop_map(|(bits, first, count)| {
        let first = first % (1 << bits);
        let count = count % ((1 << bits) - first + 1);
        Window { bits, first, count }
    })
}

fn any_positions() -> impl Strategy<Value = Vec<(u32, u64)>> {
    vec((any::<u16>(), any::<u64>()), 0..20).prop_map(|gaps| {
        let mut next = 0;
        let positions = gaps.into_iter().map(|(gap, number)| {
            let position = next + u32::from(gap);
            next = position + 1;
            (position, number)
        });
        positions.collect()
    })
}

fn any_syn() -> impl Strategy<Value = Message> {
    let bucket = || (any::<u64>(), vec(any::<(u64, u64)>(), 0..4));
    (".{0,20}", any_identity(), any_window(), vec(bucket(), 128)).prop_map(
        |(cluster_name, sender, window, buckets)| {
            let mut syn = Syn {
                cluster_name,
                sender,
                window,
                buckets: Vec::new(),
                vector: Vec::new(),
            };
            for (hash, members) in buckets.into_iter().take(window.count as usize) {
                syn.buckets.push((hash, members.len() as u32));
                syn.vector.extend(members);
            }
            Message::Syn(syn)
        },
    )
}

fn any_ack() -> impl Strategy<Value = Message> {
    let digest =
        (any_identity(), any::<u64>(), any::<u64>()).prop_map(|(identity, version, heartbeat)| {
            Digest {
                identity,
                version,
                heartbeat,
            }
        });
    let full = vec((any::<u32>(), any::<bool>(), vec(digest, 0..3)), 0..3);
    let lists = (any_positions(), any_positions(), vec(any_delta(), 0..3));
    (any_window(), any::<u64>(), full, lists).prop_map(
        |(window, hash, full, (heartbeats, requests, deltas))| {
            let full = full.into_iter().filter(|_| window.count > 0);
            let full = full.map(|(bucket, complete, digests)| FullBucket {
                bucket: window.first + bucket % window.count,
                complete,
                digests,
            });
            Message::Ack(Ack {
                window,
                hash,
                heartbeats,
                requests,
                full: full.collect(),
                deltas,
            })
        },
    )
}

fn any_message() -> impl Strategy<Value = Message> {
    let request =
        (any_identity(), any::<u64>(), any::<u64>()).prop_map(|(of, identity, from)| Request {
            address: of.address,
            identity,
            from,
        });
    let ack2 = (vec(request, 0..4), vec(any_delta(), 0..4))
        .prop_map(|(requests, deltas)| Message::Ack2(Ack2 { requests, deltas }));
    let refusal = prop_oneof![
        ".{0,20}".prop_map(|name| Refusal::OtherCluster { name }),
        any::<u128>().prop_map(|holder| Refusal::AddressTaken {
            holder: Uuid::from_u128(holder)
        }),
        any_identity().prop_map(|identity| Refusal::HostIdTaken {
            address: identity.address
        }),
        Just(Refusal::Removed),
    ];
    prop_oneof![
        any_syn(),
        any_ack(),
        ack2,
        refusal.prop_map(Message::Refuse)
    ]
}

proptest! {
    #[test]
    fn messages_come_back_as_they_were(cluster: u64, message in any_message()) {
        let envelope = Envelope { cluster, message };
        let bytes = envelope.encode();
        prop_assert_eq!(Envelope::decode(&bytes), Ok(envelope));
        for end in 0..bytes.len() {
            prop_assert!(Envelope::decode(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(kind in 0..6u8, rest in vec(any::<u8>(), 0..300)) {
        let mut bytes = vec![VERSION, kind];
        bytes.extend(&rest);
        if let Ok(envelope) = Envelope::decode(&bytes) {
            prop_assert_eq!(Envelope::decode(&envelope.encode()), Ok(envelope));
        }
        let _ = Envelope::decode(&rest);
    }

    /// Whatever a peer says, if it is well-formed: the node goes on, and still knows itself.
    #[test]
    fn any_message_is_survived(messages in vec(any_message(), 1..8)) {
        let mut cluster = Cluster::settled(1, CALM, 40);
        let (now, mut random, mut effects) = (cluster.now, Seeded(1), Vec::new());
        let hash = cluster_hash("Test Cluster");
        for mut message in messages {
            if let Message::Syn(syn) = &mut message {
                syn.cluster_name = "Test Cluster".into();
            }
            let bytes = Envelope { cluster: hash, message }.encode();
            cluster.gossip(0).on_message(now, address(1), &bytes, &mut random, &mut effects);
        }
        cluster.gossip(0).tick(now.plus_millis(5_000), &mut random, &mut effects);
        prop_assert_eq!(cluster.gossip(0).local().states().len(), 7);
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// The example of `docs/protocols/gossip.md`.
#[test]
fn the_documented_bytes() {
    let cluster = cluster_hash("Test Cluster");
    let message = Message::Syn(Syn {
        cluster_name: "Test Cluster".into(),
        sender: identity(1, 2),
        window: Window {
            bits: 0,
            first: 0,
            count: 1,
        },
        buckets: vec![(0x1122_3344_5566_7788, 2)],
        vector: vec![(7, 300), (8, 5)],
    });
    let bytes = Envelope { cluster, message }.encode();
    assert_eq!(
        hex(&bytes),
        "01011db356988b1b6f330c5465737420436c7573746572040a000001581b0000000000000000000000000000100104\
         f9f7c4d50600000188776655443322110207ac020805"
    );
    let delta = Delta {
        identity: identity(1, 2),
        heartbeat: 300,
        from: 6,
        to: 8,
        values: vec![
            Versioned {
                version: 7,
                state: State::Status(Status::Normal),
            },
            Versioned {
                version: 8,
                state: State::Rack("r1".into()),
            },
        ],
    };
    let message = Message::Ack2(Ack2 {
        requests: Vec::new(),
        deltas: vec![delta],
    });
    let bytes = Envelope { cluster, message }.encode();
    assert_eq!(
        hex(&bytes),
        "01031db356988b1b6f330001040a000001581b0000000000000000000000000000100104f9f7c4d506ac0206020201\
         0101010301027231"
    );
}

#[test]
fn what_is_no_message_is_named() {
    let error = |bytes: &[u8]| Envelope::decode(bytes).expect_err("no message").to_string();
    assert_eq!(error(&[]), "a malformed gossip message (empty)");
    assert_eq!(
        error(&[9, 1]),
        "gossip of version 9, this node speaks version 1"
    );
    assert_eq!(error(&[1, 1, 0]), "a malformed gossip message (header)");
    assert_eq!(
        error(&[1, 9, 0, 0, 0, 0, 0, 0, 0, 0]),
        "a malformed gossip message (kind)"
    );
}
