//! What is sent arrives, on the right shard, in order, in every class.

use super::{Node, Options, Seen, run};
use crate::config::CompressionScope;
use cluster::internode::admission::Admission;
use cluster::internode::{Class, Direction, PeerEvent};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn every_class_travels_both_ways_to_the_right_shard() {
    run(async {
        let one = Node::start(Options {
            shards: 3,
            ..Options::of(1)
        });
        let two = Node::start(Options {
            shards: 2,
            ..Options::of(2)
        });
        for class in Class::ALL {
            for shard in 0..3 {
                let text = format!("{class} from {shard}");
                one.send(shard, two.address, class, text.as_bytes());
            }
            for shard in 0..2 {
                let text = format!("{class} back from {shard}");
                two.send(shard, one.address, class, text.as_bytes());
            }
        }
        let exact = |from: u32, from_shard: u16, class: Class, text: String| {
            move |seen: &Seen| {
                let expected = Seen::Message {
                    from,
                    from_shard,
                    class,
                    bytes: text.clone().into_bytes(),
                };
                (*seen == expected).then_some(())
            }
        };
        for class in Class::ALL {
            for shard in 0..3_u16 {
                let text = format!("{class} from {shard}");
                let serving = usize::from(shard % 2);
                two.wait(serving, exact(1, shard, class, text)).await;
            }
            for shard in 0..2_u16 {
                let text = format!("{class} back from {shard}");
                one.wait(usize::from(shard), exact(2, shard, class, text))
                    .await;
            }
        }
    });
}

#[test]
fn what_another_shard_says_before_the_node_has_its_number_is_said_by_that_number() {
    run(async {
        let one = Node::start(Options {
            shards: 2,
            ..Options::of(1)
        });
        let two = Node::start(Options {
            shards: 2,
            ..Options::of(2)
        });
        let known = one.wire.admission();
        let mut unknown = Admission::clone(&known);
        unknown.own.node = None;
        one.wire.replace_admission(Arc::new(unknown));
        one.send(1, two.address, Class::Urgent, b"of a member");
        tokio::time::sleep(Duration::from_millis(50)).await;
        one.wire.replace_admission(known);
        let said = |seen: &Seen| match seen {
            Seen::Message { from, bytes, .. } => Some((*from, bytes.clone())),
            Seen::Event(_) => None,
        };
        let heard = two.wait(1, said).await;
        assert_eq!(heard, (1, b"of a member".to_vec()));
    });
}

#[test]
fn messages_arrive_whole_and_in_order() {
    for compression in [CompressionScope::None, CompressionScope::All] {
        run(async move {
            let one = Node::start(Options {
                compression,
                queue_bytes: 32 << 20,
                ..Options::of(1)
            });
            let two = Node::start(Options::of(2));
            let message = |number: u32| {
                let mut message = vec![number as u8; 1 + number as usize * 7 % 90_000];
                message.extend_from_slice(&number.to_le_bytes());
                message
            };
            for number in 0..2_000 {
                one.endpoint(0)
                    .send(two.address, Class::Bulk, &message(number));
                if number % 10 == 9 {
                    one.endpoint(0).flush();
                    tokio::task::yield_now().await;
                }
                if number % 100 == 99 {
                    // What was sent so far has arrived, so that the queue does not decide this test.
                    for earlier in number - 99..=number {
                        assert!(two.message(0).await == message(earlier), "{earlier}");
                    }
                }
            }
            let metrics = one.metrics(two.address);
            assert_eq!(metrics.sent_messages.get(), 2_000);
            assert_eq!(metrics.dropped_messages.get(), 0);
            assert_eq!(
                metrics.sent_bytes.get(),
                two.metrics(one.address).received_bytes.get()
            );
            assert_eq!(two.metrics(one.address).received_messages.get(), 2_000);
        });
    }
}

#[test]
fn both_sides_learn_who_the_other_is() {
    run(async {
        let (one, two) = (Node::start(Options::of(1)), Node::start(Options::of(2)));
        one.send(0, two.address, Class::Urgent, b"hello");
        let connected = |event: &PeerEvent| match event {
            PeerEvent::Connected {
                identity,
                address,
                class: Class::Urgent,
                direction,
            } => Some((identity.node.unwrap().0, *address, *direction)),
            _ => None,
        };
        assert_eq!(
            one.event(0, connected).await,
            (2, two.address, Direction::Outgoing)
        );
        assert_eq!(
            two.event(0, connected).await,
            (1, one.address, Direction::Incoming)
        );
        assert_eq!(two.message(0).await, b"hello");
        let described = one.endpoint(0).describe();
        assert_eq!(
            described,
            [format!("peer {} urgent open, waiting 0 bytes", two.address)]
        );
    });
}

#[test]
fn a_message_that_is_too_large_is_dropped_alone() {
    run(async {
        let (one, two) = (Node::start(Options::of(1)), Node::start(Options::of(2)));
        let endpoint = one.endpoint(0);
        endpoint.send(two.address, Class::Small, b"before");
        endpoint.send(two.address, Class::Small, &vec![0; (4 << 20) + 1]);
        endpoint.send(two.address, Class::Small, b"behind");
        assert!(endpoint.flush(), "the node is told at the end of the turn");
        let dropped = |event: &PeerEvent| match event {
            PeerEvent::Dropped {
                why,
                messages,
                bytes,
                ..
            } => Some((*why, *messages, *bytes)),
            _ => None,
        };
        let expected = (cluster::internode::DropReason::TooLarge, 1, (4 << 20) + 1);
        assert_eq!(one.event(0, dropped).await, expected);
        assert_eq!(two.message(0).await, b"before");
        assert_eq!(two.message(0).await, b"behind");
    });
}
