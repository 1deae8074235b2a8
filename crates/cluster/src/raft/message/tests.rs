//! Bytes there and back, and bytes that nobody wrote.

use super::{Entry, Message, Payload, Record, Snapshot};
use crate::topology::NodeId;
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        Just(Payload::Noop),
        proptest::collection::btree_set(1u32..9, 0..5)
            .prop_map(|nodes| Payload::Voters(nodes.into_iter().map(NodeId).collect())),
        proptest::collection::vec(any::<u8>(), 0..9).prop_map(Payload::Command),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    (any::<u64>(), any::<u64>(), payload()).prop_map(|(index, term, payload)| Entry {
        index,
        term,
        payload,
    })
}

fn snapshot() -> impl Strategy<Value = Snapshot> {
    let nodes = proptest::collection::btree_set(1u32..9, 0..5);
    (
        any::<u64>(),
        any::<u64>(),
        nodes,
        proptest::collection::vec(any::<u8>(), 0..9),
    )
        .prop_map(|(index, term, nodes, state)| Snapshot {
            index,
            term,
            voters: nodes.into_iter().map(NodeId).collect(),
            state,
        })
}

fn message() -> impl Strategy<Value = Message> {
    let number = any::<u64>;
    prop_oneof![
        (number(), number(), number()).prop_map(|(term, last_index, last_term)| Message::PreVote {
            term,
            last_index,
            last_term
        }),
        (number(), any::<bool>())
            .prop_map(|(term, granted)| Message::PreVoteAnswer { term, granted }),
        (number(), number(), number(), any::<bool>()).prop_map(
            |(term, last_index, last_term, handed_over)| Message::Vote {
                term,
                last_index,
                last_term,
                handed_over
            }
        ),
        (number(), any::<bool>()).prop_map(|(term, granted)| Message::VoteAnswer { term, granted }),
        (
            number(),
            (number(), number()),
            proptest::collection::vec(entry(), 0..4),
            number()
        )
            .prop_map(|(term, previous, entries, commit)| Message::Append {
                term,
                previous,
                entries,
                commit
            }),
        (number(), snapshot()).prop_map(|(term, snapshot)| Message::Install { term, snapshot }),
        (number(), number()).prop_map(|(term, index)| Message::Matched { term, index }),
        (number(), number()).prop_map(|(term, hint)| Message::Mismatched { term, hint }),
        number().prop_map(|term| Message::TakeOver { term }),
    ]
}

proptest! {
    #[test]
    fn messages_and_records_survive_their_bytes(message in message(), entry in entry(), snapshot in snapshot(), vote in 0u32..9) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        prop_assert_eq!(Message::decode(&bytes), Some(message));
        let ballot = Record::Ballot { term: entry.term, vote: (vote > 0).then_some(NodeId(vote)) };
        for record in [ballot, Record::Entry(entry), Record::Snapshot(snapshot)] {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            prop_assert_eq!(Record::decode(&bytes), Some(record));
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = (Message::decode(&bytes), Record::decode(&bytes));
    }
}
