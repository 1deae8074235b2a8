//! Encrypted connections between nodes, with certificates made here.

use super::{Node, Options, run};
use crate::config::{ClientAuth, EncryptionScope, ServerEncryption};
use cluster::internode::admission::{Member, Place};
use cluster::internode::{Class, Direction, Loss, PeerEvent, RefusalReason};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::net::SocketAddr;
use std::path::PathBuf;
use uuid::Uuid;

/// A certificate and its key in one file, which is also what trusts it.
struct Certificate(PathBuf);

impl Certificate {
    fn new(file: &str, name: &str) -> Self {
        let CertifiedKey { cert, key_pair } =
            generate_simple_self_signed([name.to_owned()]).unwrap();
        let path =
            std::env::temp_dir().join(format!("helenus-wire-{}-{file}.pem", std::process::id()));
        std::fs::write(&path, format!("{}{}", key_pair.serialize_pem(), cert.pem())).unwrap();
        Self(path)
    }

    /// Shown by a node that trusts the same.
    fn shown(&self) -> ServerEncryption {
        ServerEncryption {
            scope: EncryptionScope::All,
            optional: false,
            keystore: self.0.clone(),
            outbound_keystore: self.0.clone(),
            truststore: self.0.clone(),
            client_auth: ClientAuth::Required,
            verifies_endpoint: false,
            protocols: Vec::new(),
            has_ssl_port: false,
        }
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn node(number: u32, encryption: Option<ServerEncryption>) -> Node {
    Node::start(Options {
        encryption,
        ..Options::of(number)
    })
}

fn unreachable(event: &PeerEvent) -> Option<String> {
    match event {
        PeerEvent::Lost {
            why: Loss::Unreachable(why),
            direction: Direction::Outgoing,
            ..
        } => Some(why.clone()),
        _ => None,
    }
}

fn refused(event: &PeerEvent) -> Option<(Direction, RefusalReason)> {
    match event {
        PeerEvent::Refused {
            direction, refusal, ..
        } => Some((*direction, refusal.reason)),
        _ => None,
    }
}

#[test]
fn nodes_that_trust_each_other_talk() {
    let certificate = Certificate::new("mutual", "anything");
    run(async {
        let one = node(1, Some(certificate.shown()));
        let two = node(2, Some(certificate.shown()));
        for class in Class::ALL {
            one.send(0, two.address, class, b"there");
            assert_eq!(two.message(0).await, b"there");
            two.send(0, one.address, class, b"back");
            assert_eq!(one.message(0).await, b"back");
        }
        let large = vec![3; 3 << 20];
        for _ in 0..5 {
            one.send(0, two.address, Class::Bulk, &large);
            assert!(two.message(0).await == large);
        }
        let metrics = one.metrics(two.address);
        assert_eq!(
            (metrics.sent_messages.get(), metrics.dropped_messages.get()),
            (8, 0)
        );
    });
}

#[test]
fn strangers_and_the_unencrypted_are_not_let_in() {
    let (known, unknown) = (
        Certificate::new("known", "n"),
        Certificate::new("unknown", "n"),
    );
    run(async {
        let one = node(1, Some(known.shown()));
        let stranger = node(
            2,
            Some(ServerEncryption {
                outbound_keystore: unknown.0.clone(),
                ..known.shown()
            }),
        );
        stranger.send(0, one.address, Class::Small, b"let me in");
        let why = stranger.event(0, unreachable).await;
        assert!(why.contains("alert"), "{why}");

        // The other way round: who is connected to shows something that is not trusted.
        let suspicious = node(
            3,
            Some(ServerEncryption {
                truststore: unknown.0.clone(),
                ..known.shown()
            }),
        );
        suspicious.send(0, one.address, Class::Small, b"who are you");
        let why = suspicious.event(0, unreachable).await;
        assert!(why.contains("certificate"), "{why}");

        let plain = node(4, None);
        plain.send(0, one.address, Class::Small, b"in the clear");
        let reason = RefusalReason::EncryptionRequired;
        assert_eq!(plain.event(0, refused).await, (Direction::Outgoing, reason));
        assert_eq!(one.event(0, refused).await, (Direction::Incoming, reason));
        one.send(0, plain.address, Class::Small, b"encrypted");
        one.event(0, unreachable).await;
    });
}

#[test]
fn the_address_in_a_certificate_counts_if_it_is_asked_for() {
    let (right, wrong) = (
        Certificate::new("right", "127.0.0.1"),
        Certificate::new("wrong", "127.0.0.9"),
    );
    run(async {
        let strict = |certificate: &Certificate| ServerEncryption {
            verifies_endpoint: true,
            ..certificate.shown()
        };
        let (one, two) = (node(1, Some(strict(&right))), node(2, Some(strict(&right))));
        one.send(0, two.address, Class::Small, b"there");
        assert_eq!(two.message(0).await, b"there");
        let (three, four) = (node(3, Some(strict(&wrong))), node(4, Some(strict(&wrong))));
        three.send(0, four.address, Class::Small, b"there");
        let why = three.event(0, unreachable).await;
        assert!(why.contains("certificate"), "{why}");
    });
}

#[test]
fn what_is_near_may_be_in_the_clear() {
    let certificate = Certificate::new("near", "n");
    run(async {
        let between = |scope| ServerEncryption {
            scope,
            ..certificate.shown()
        };
        let one = node(1, Some(between(EncryptionScope::Datacenters)));
        let two = node(2, Some(between(EncryptionScope::Datacenters)));
        let plain = node(3, None);
        let place = |node: &Node, address: SocketAddr, number: u128, datacenter: &str| {
            let member = Member {
                host_id: Uuid::from_u128(number),
                place: Place {
                    datacenter: datacenter.into(),
                    rack: "r9".into(),
                },
            };
            node.change_admission(|admission| {
                admission.members.insert(address, member);
            });
        };
        // Unknown to each other: encrypted.
        one.send(0, two.address, Class::Urgent, b"encrypted");
        assert_eq!(two.message(0).await, b"encrypted");
        // In one data centre: in the clear, even to a node that knows nothing else.
        place(&one, plain.address, 3, "dc1");
        one.send(0, plain.address, Class::Small, b"in the clear");
        assert_eq!(plain.message(0).await, b"in the clear");
        plain.send(0, one.address, Class::Small, b"the same way");
        assert_eq!(one.message(0).await, b"the same way");
        // In another one it is refused.
        place(&two, plain.address, 3, "dc2");
        plain.send(0, two.address, Class::Small, b"not here");
        assert_eq!(
            plain.event(0, refused).await.1,
            RefusalReason::EncryptionRequired
        );
    });
}

#[test]
fn a_cluster_is_switched_over_by_optional_encryption() {
    let certificate = Certificate::new("optional", "n");
    run(async {
        let on_the_way = |scope| ServerEncryption {
            scope,
            optional: true,
            ..certificate.shown()
        };
        let (plain, first) = (
            node(1, None),
            node(2, Some(on_the_way(EncryptionScope::None))),
        );
        let second = node(3, Some(on_the_way(EncryptionScope::All)));
        for (from, to) in [
            (&plain, &first),
            (&first, &plain),
            (&plain, &second),
            (&second, &first),
            (&first, &second),
        ] {
            from.send(0, to.address, Class::Small, b"there");
            assert_eq!(to.message(0).await, b"there");
        }
    });
}

#[test]
fn the_port_for_encrypted_connections_serves_no_other() {
    let certificate = Certificate::new("port", "n");
    run(async {
        let optional = || ServerEncryption {
            optional: true,
            ..certificate.shown()
        };
        let (one, two) = (node(1, Some(optional())), node(2, Some(optional())));
        let plain = node(3, None);
        one.send(0, two.ssl_address, Class::Small, b"encrypted");
        assert_eq!(two.message(0).await, b"encrypted");
        plain.send(0, two.ssl_address, Class::Small, b"in the clear");
        plain.event(0, unreachable).await;
        plain.send(0, two.address, Class::Small, b"in the clear");
        assert_eq!(two.message(0).await, b"in the clear");
    });
}
