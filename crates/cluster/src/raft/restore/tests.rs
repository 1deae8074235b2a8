//! Files and messages that no member has written.

use super::*;
use crate::raft::{Output, Timing};
use crate::seeded::Seeded;
use crate::topology::NodeId;
use model::time::BootNanos;
use std::collections::BTreeSet;

fn member(records: Vec<Record>) -> Result<Raft, Damage> {
    let now = BootNanos(0);
    Raft::new(NodeId(1), records, Timing::default(), now, &mut Seeded(1))
}

fn snapshot(index: u64, term: u64) -> Snapshot {
    Snapshot {
        index,
        term,
        voters: BTreeSet::from([NodeId(1), NodeId(2)]),
        state: Vec::new(),
    }
}

fn entry(index: u64, term: u64) -> Entry {
    Entry {
        index,
        term,
        payload: Payload::Noop,
    }
}

fn nobody(index: u64, term: u64) -> Entry {
    Entry {
        payload: Payload::Voters(BTreeSet::new()),
        ..entry(index, term)
    }
}

#[test]
fn a_damaged_sequence_is_refused_with_the_record_named() {
    let whole = [
        Record::Snapshot(snapshot(5, 2)),
        Record::Entry(entry(6, 2)),
        Record::Committed(6),
    ];
    assert!(member(whole.to_vec()).is_ok());
    for last in [
        Record::Entry(entry(8, 2)),
        Record::Entry(entry(7, 1)),
        Record::Entry(entry(6, 3)),
        Record::Entry(entry(7, u64::MAX)),
        Record::Entry(nobody(7, 2)),
        Record::Snapshot(snapshot(3, 1)),
        Record::Snapshot(snapshot(u64::MAX, 3)),
        Record::Committed(7),
        Record::Ballot {
            term: u64::MAX,
            vote: None,
        },
    ] {
        let mut records = whole.to_vec();
        records.push(last.clone());
        let damage = member(records).map(|_| ()).expect_err("a damaged sequence");
        assert_eq!(damage.number, 3, "{last:?}");
    }
}

#[test]
fn messages_that_no_member_sends_change_nothing() {
    let mut raft = member(vec![Record::Snapshot(snapshot(5, 2))]).expect("a whole log");
    let append = |previous, entries| Message::Append {
        term: 3,
        previous,
        entries,
        commit: 0,
    };
    for message in [
        append((5, 2), vec![entry(6, 1)]),
        append((5, 2), vec![entry(6, 4)]),
        append((5, 2), vec![nobody(6, 3)]),
        append((5, 2), vec![entry(7, 3)]),
        append((u64::MAX, 2), Vec::new()),
        Message::TakeOver { term: u64::MAX },
        Message::Install {
            term: 3,
            snapshot: snapshot(u64::MAX, 3),
        },
        Message::Install {
            term: 3,
            snapshot: Snapshot {
                voters: BTreeSet::new(),
                ..snapshot(9, 3)
            },
        },
    ] {
        let (now, mut out) = (BootNanos(0), Output::default());
        raft.on_message(NodeId(2), message, now, &mut Seeded(1), &mut out);
        assert_eq!((raft.log.last(), raft.commit), (5, 5));
    }
    let mut out = Output::default();
    raft.learn(Some(snapshot(u64::MAX, 9)), vec![entry(6, 1)], &mut out);
    assert_eq!((raft.log.last(), raft.commit), (5, 5));
    let (missing, entries) = raft.committed_since(u64::MAX, 100);
    assert!(missing.is_none() && entries.is_empty());
}
