//! Peers that are refused, die, come back, do not read, or talk nonsense.

use super::{Node, Options, run};
use bytes::BytesMut;
use cluster::internode::frame::Encoder;
use cluster::internode::handshake::{Answer, FrameCompression, Hello};
use cluster::internode::{Class, Direction, DropReason, Loss, PeerEvent, RefusalReason};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn refused(event: &PeerEvent) -> Option<(SocketAddr, Direction, RefusalReason)> {
    match event {
        PeerEvent::Refused {
            address,
            direction,
            refusal,
            ..
        } => Some((*address, *direction, refusal.reason)),
        _ => None,
    }
}

fn connected(direction: Direction) -> impl Fn(&PeerEvent) -> Option<()> {
    move |event| match event {
        PeerEvent::Connected {
            direction: found, ..
        } => (*found == direction).then_some(()),
        _ => None,
    }
}

fn lost(direction: Direction) -> impl Fn(&PeerEvent) -> Option<Loss> {
    move |event| match event {
        PeerEvent::Lost {
            direction: found,
            why,
            ..
        } => (*found == direction).then(|| why.clone()),
        _ => None,
    }
}

#[test]
fn a_refusal_is_seen_by_both_sides() {
    run(async {
        let one = Node::start(Options::of(1));
        let other = Node::start(Options {
            cluster_name: "D",
            ..Options::of(2)
        });
        one.send(0, other.address, Class::Small, b"never arrives");
        let reason = RefusalReason::OtherClusterName;
        assert_eq!(
            one.event(0, refused).await,
            (other.address, Direction::Outgoing, reason)
        );
        assert_eq!(
            other.event(0, refused).await,
            (one.address, Direction::Incoming, reason)
        );

        let twin = Node::start(Options::of(1));
        one.send(0, twin.address, Class::Small, b"to itself");
        let reason = RefusalReason::Yourself;
        assert_eq!(
            twin.event(0, refused).await,
            (one.address, Direction::Incoming, reason)
        );
        let to_twin =
            |event: &PeerEvent| refused(event).filter(|(address, ..)| *address == twin.address);
        assert_eq!(one.event(0, to_twin).await.2, reason);
    });
}

#[test]
fn a_node_that_is_not_ready_is_tried_again() {
    run(async {
        let (one, two) = (Node::start(Options::of(1)), Node::start(Options::of(2)));
        two.change_admission(|admission| admission.ready = false);
        one.send(0, two.address, Class::Small, b"too early");
        assert_eq!(one.event(0, refused).await.2, RefusalReason::NotReady);
        two.change_admission(|admission| admission.ready = true);
        one.event(0, connected(Direction::Outgoing)).await;
        one.send(0, two.address, Class::Small, b"now");
        assert_eq!(two.message(0).await, b"now");
    });
}

#[test]
fn a_peer_that_dies_and_returns_is_connected_to_again() {
    run(async {
        let (one, two) = (Node::start(Options::of(1)), Node::start(Options::of(2)));
        let address = two.address;
        one.send(0, address, Class::Small, b"first");
        assert_eq!(two.message(0).await, b"first");
        one.event(0, connected(Direction::Outgoing)).await;
        two.kill().await;
        assert_eq!(one.event(0, lost(Direction::Outgoing)).await, Loss::Closed);
        let unreachable = one.event(0, lost(Direction::Outgoing)).await;
        assert!(
            matches!(unreachable, Loss::Unreachable(_)),
            "{unreachable:?}"
        );

        let two = Node::start(Options {
            address,
            ..Options::of(2)
        });
        one.event(0, connected(Direction::Outgoing)).await;
        one.send(0, address, Class::Small, b"second");
        assert_eq!(two.message(0).await, b"second");
        assert_eq!(one.metrics(address).reconnects.get(), 1);
    });
}

#[test]
fn messages_to_a_peer_that_is_not_there_are_dropped_and_told() {
    run(async {
        let one = Node::start(Options::of(1));
        // An address where nobody listens: its listener is gone.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nobody = listener.local_addr().unwrap();
        drop(listener);
        one.send(0, nobody, Class::Small, b"waits for the first attempt");
        let unsent = |event: &PeerEvent| match event {
            PeerEvent::Lost {
                unsent,
                why: Loss::Unreachable(_),
                ..
            } => Some(*unsent),
            _ => None,
        };
        assert_eq!(one.event(0, unsent).await, 1);
        // The link rests now, and takes nothing.
        one.send(0, nobody, Class::Small, b"dropped at once");
        let dropped = |event: &PeerEvent| match event {
            PeerEvent::Dropped { why, messages, .. } => Some((*why, *messages)),
            _ => None,
        };
        assert_eq!(one.event(0, dropped).await, (DropReason::Unreachable, 1));
        assert_eq!(one.metrics(nobody).dropped_messages.get(), 2);
        one.endpoint(0).close(nobody);
        assert!(one.endpoint(0).describe().is_empty());
    });
}

/// Accepts one connection as a node of that number would; everything else is up to the test.
async fn accept_by_hand(listener: &TcpListener, like: &Node, number: u32) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut input = BytesMut::new();
    let hello = loop {
        stream.read_buf(&mut input).await.unwrap();
        if let Some((hello, _)) = Hello::decode(&input).unwrap() {
            break hello;
        }
    };
    let mut admission = (*like.wire.admission()).clone();
    admission.own.host_id = uuid::Uuid::from_u128(u128::from(number));
    admission.own.address = listener.local_addr().unwrap();
    let answer = admission.judge(&hello);
    assert!(matches!(answer, Answer::Accepted(_)));
    let mut bytes = Vec::new();
    answer.encode(&mut bytes);
    stream.write_all(&bytes).await.unwrap();
    stream
}

#[test]
fn a_peer_that_does_not_read_costs_what_its_queue_holds() {
    run(async {
        const QUEUE_BYTES: usize = 256 << 10;
        let one = Node::start(Options {
            queue_bytes: QUEUE_BYTES,
            ..Options::of(1)
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = listener.local_addr().unwrap();
        one.send(0, peer, Class::Small, b"opens it");
        let mut stream = accept_by_hand(&listener, &one, 2).await;
        one.event(0, connected(Direction::Outgoing)).await;

        // Sent until the sockets' buffers and the queue are full; they are far smaller than this bound.
        let metrics = one.metrics(peer);
        let message = vec![7; 10_000];
        let mut sent = 1;
        while metrics.dropped_messages.get() == 0 {
            assert!(sent < 100_000, "it is dropped at some time");
            one.send(0, peer, Class::Small, &message);
            sent += 1;
            tokio::task::yield_now().await;
        }
        let dropped = |event: &PeerEvent| match event {
            PeerEvent::Dropped { why, messages, .. } => Some((*why, *messages)),
            _ => None,
        };
        assert_eq!(one.event(0, dropped).await, (DropReason::Full, 1));
        let waiting = metrics.waiting_bytes.get() as usize;
        assert!((1..=QUEUE_BYTES + 1_000).contains(&waiting), "{waiting}");

        // It reads again: everything that was taken arrives.
        let expected = sent - 1;
        let mut decoder = cluster::internode::frame::Decoder::default();
        let (mut input, mut received) = (BytesMut::new(), 0);
        while received < expected {
            assert_ne!(stream.read_buf(&mut input).await.unwrap(), 0);
            while let Some(messages) = decoder.next(&mut input).unwrap() {
                received += messages.len();
            }
        }
        assert_eq!((received, metrics.waiting_bytes.get()), (expected, 0));
        assert_eq!(metrics.sent_messages.get(), expected as u64);
    });
}

/// A connection to a node, as another node of that number would open it.
async fn connect_by_hand(to: &Node, number: u32, class: Class) -> TcpStream {
    let mut stream = TcpStream::connect(to.address).await.unwrap();
    let mut admission = (*to.wire.admission()).clone();
    admission.own.host_id = uuid::Uuid::from_u128(u128::from(number));
    admission.own.node = Some(cluster::topology::NodeId(number));
    admission.own.address = SocketAddr::from(([127, 0, 0, 1], number as u16));
    let mut bytes = Vec::new();
    admission
        .hello(0, class, FrameCompression::None)
        .encode(&mut bytes);
    stream.write_all(&bytes).await.unwrap();
    let mut input = BytesMut::new();
    loop {
        assert_ne!(stream.read_buf(&mut input).await.unwrap(), 0);
        if let Some((answer, _)) = Answer::decode(&input).unwrap() {
            assert!(matches!(answer, Answer::Accepted(_)), "{answer:?}");
            return stream;
        }
    }
}

fn frame(message: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(FrameCompression::None, 1 << 20);
    let mut bytes = Vec::new();
    encoder.append(message, &mut bytes).unwrap();
    encoder.seal(&mut bytes);
    bytes
}

/// The end of a connection, however the operating system tells it.
async fn ends(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest).await {
        Ok(_) => rest.is_empty(),
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn wrong_bytes_cost_the_connection_they_came_on() {
    run(async {
        let node = Node::start(Options::of(1));
        let mut good = connect_by_hand(&node, 2, Class::Small).await;
        for garbage in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            &[0; 64],
            b"HELNWIRE\x01\x00\x01\x00aaaab",
        ] {
            let mut stream = TcpStream::connect(node.address).await.unwrap();
            stream.write_all(garbage).await.unwrap();
            assert!(ends(&mut stream).await);
        }
        let mut bad = connect_by_hand(&node, 3, Class::Small).await;
        let mut bytes = frame(b"right");
        bytes.extend_from_slice(&frame(b"wrong"));
        *bytes.last_mut().unwrap() ^= 1;
        bad.write_all(&bytes).await.unwrap();
        assert_eq!(node.message(0).await, b"right");
        let why = node.event(0, lost(Direction::Incoming)).await;
        assert!(matches!(why, Loss::Garbage(_)), "{why:?}");
        assert!(ends(&mut bad).await);

        let frame = frame(b"undisturbed");
        for byte in frame {
            good.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(node.message(0).await, b"undisturbed");
        let failed = &node.wire.failed_handshakes;
        assert_eq!(failed.load(std::sync::atomic::Ordering::Relaxed), 3);
    });
}

#[test]
fn who_does_not_say_who_it_is_is_not_waited_for() {
    run(async {
        let node = Node::start(Options {
            connect_timeout: Duration::from_millis(50),
            ..Options::of(1)
        });
        for said in [&b""[..], b"HELN"] {
            let mut stream = TcpStream::connect(node.address).await.unwrap();
            stream.write_all(said).await.unwrap();
            assert!(ends(&mut stream).await);
        }
        // Nor is one that accepts and does not answer.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        node.send(0, silent.local_addr().unwrap(), Class::Small, b"hello?");
        let why = node.event(0, lost(Direction::Outgoing)).await;
        assert_eq!(
            why,
            Loss::Unreachable("no connection within 50 ms".to_owned())
        );
    });
}

#[test]
fn a_new_connection_takes_the_place_of_one_that_is_lost() {
    run(async {
        let node = Node::start(Options::of(1));
        let mut old = connect_by_hand(&node, 2, Class::Small).await;
        node.event(0, connected(Direction::Incoming)).await;
        let other = connect_by_hand(&node, 2, Class::Bulk).await;
        let mut new = connect_by_hand(&node, 2, Class::Small).await;
        assert_eq!(
            node.event(0, lost(Direction::Incoming)).await,
            Loss::Replaced
        );
        assert!(ends(&mut old).await);
        new.write_all(&frame(b"new")).await.unwrap();
        assert_eq!(node.message(0).await, b"new");
        drop(other);
        assert_eq!(node.event(0, lost(Direction::Incoming)).await, Loss::Closed);
    });
}

#[test]
fn bytes_on_a_connection_that_only_sends_are_its_end() {
    run(async {
        let one = Node::start(Options::of(1));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        one.send(0, listener.local_addr().unwrap(), Class::Small, b"opens it");
        let mut stream = accept_by_hand(&listener, &one, 2).await;
        one.event(0, connected(Direction::Outgoing)).await;
        stream.write_all(b"back").await.unwrap();
        let why = one.event(0, lost(Direction::Outgoing)).await;
        assert!(matches!(why, Loss::Garbage(_)), "{why:?}");
        // It is opened again.
        accept_by_hand(&listener, &one, 2).await;
        one.event(0, connected(Direction::Outgoing)).await;
    });
}

#[test]
fn a_peer_that_is_closed_is_forgotten() {
    run(async {
        let (one, two) = (Node::start(Options::of(1)), Node::start(Options::of(2)));
        one.send(0, two.address, Class::Small, b"one");
        one.event(0, connected(Direction::Outgoing)).await;
        two.event(0, connected(Direction::Incoming)).await;
        one.endpoint(0)
            .send(two.address, Class::Small, b"last words");
        one.endpoint(0).close(two.address);
        assert_eq!(two.message(0).await, b"one");
        assert_eq!(two.message(0).await, b"last words");
        assert_eq!(two.event(0, lost(Direction::Incoming)).await, Loss::Closed);
        one.send(0, two.address, Class::Small, b"a new link");
        assert_eq!(two.message(0).await, b"a new link");
    });
}
