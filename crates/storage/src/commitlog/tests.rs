//! What cannot be seen from the store: how many files are kept, and where a record is looked for.

use super::log::{Health, Log, LogConfig, LogStep};
use super::record::{ALIGNMENT, Checkpoint, Kind, Record, SegmentHead, put_record};
use super::replay::{SegmentImage, SegmentName, Verdict};
use super::segments::MAX_SPARES;
use crate::config::SyncMode;
use crate::held::Held;
use crate::io::{Purpose, Requests};
use model::env::{IoDone, IoError, IoQueue, IoRequest};
use model::policy::Policy;
use model::time::{BootNanos, Now, WallMicros};
use model::track::IdSet;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

const NOW: Now = Now {
    wall: WallMicros(1),
    boot: BootNanos(1),
};
const SEGMENT_BYTES: u32 = 4096;

fn config() -> LogConfig {
    LogConfig {
        directory: "commitlog".into(),
        generation: 1,
        shard: 0,
        segment_bytes: SEGMENT_BYTES,
        sync: SyncMode::Group,
        clock: Arc::default(),
        policy: Policy::default(),
    }
}

fn answer(log: &mut Log, requests: &mut Requests, io: &mut IoQueue) {
    while !io.is_empty() {
        let submitted: Vec<_> = io.drain().collect();
        for (tag, _) in submitted {
            if let Some(Purpose::Log(step)) = requests.finish(tag) {
                log.on_io(step, Ok(IoDone::Done), NOW, requests, io);
            }
        }
    }
}

/// Answers everything; what opens, makes or names a file with this error if there is one.
fn answer_opens(
    log: &mut Log,
    requests: &mut Requests,
    io: &mut IoQueue,
    now: Now,
    error: Option<&IoError>,
) {
    while !io.is_empty() {
        for (tag, _) in io.drain().collect::<Vec<_>>() {
            let Some(Purpose::Log(step)) = requests.finish(tag) else {
                continue;
            };
            let opens = matches!(step, LogStep::Open | LogStep::Fill | LogStep::Name);
            let outcome = match error.filter(|_| opens) {
                Some(error) => Err(error.clone()),
                None => Ok(IoDone::Done),
            };
            log.on_io(step, outcome, now, requests, io);
        }
    }
}

#[test]
fn a_segment_that_cannot_be_made_is_tried_again() {
    for error in [
        IoError::Other("too many open files".into()),
        IoError::Full("no space".into()),
    ] {
        let (mut requests, mut io) = (Requests::new(1), IoQueue::default());
        let mut log = Log::new(config(), 1, BTreeMap::new(), NOW);
        log.begin(Checkpoint::default());
        log.append(None, &[7; 300], 1);
        log.submit(NOW, &mut requests, &mut io);
        answer_opens(&mut log, &mut requests, &mut io, NOW, Some(&error));
        let Health::Stalled(reason, at) = log.health().clone() else {
            panic!("{:?}", log.health());
        };
        let told: Vec<_> = log.failed().drain(..).collect();
        assert_eq!(told, [(1, reason)], "the client is told why");
        assert_eq!(log.next_deadline(), Some(at));
        let later = Now { boot: at, ..NOW };
        log.submit(later, &mut requests, &mut io);
        answer_opens(&mut log, &mut requests, &mut io, later, None);
        assert_eq!(log.health(), &Health::Fine);
        log.append(None, &[7; 300], 2);
        log.submit(later, &mut requests, &mut io);
        answer_opens(&mut log, &mut requests, &mut io, later, None);
        assert_eq!(log.durable().as_slice(), [2]);
        // The next one cannot be made either: writes are refused where it is needed, no sooner.
        let mut ticket = 2;
        while log.fits(300, 0) {
            ticket += 1;
            log.append(None, &[7; 300], ticket);
            log.submit(later, &mut requests, &mut io);
            answer_opens(&mut log, &mut requests, &mut io, later, Some(&error));
        }
        assert_eq!(log.health(), &Health::Fine);
        assert!(log.failed().is_empty() && log.next_is_refused().is_some());
        let retry = log.next_deadline().expect("it tries again");
        let later = Now { boot: retry, ..NOW };
        log.submit(later, &mut requests, &mut io);
        answer_opens(&mut log, &mut requests, &mut io, later, None);
        assert!(log.next_is_refused().is_none() && log.next_is_ready());
    }
}

#[test]
fn what_others_rely_on_waits_for_a_sync_under_periodic_too() {
    let (mut requests, mut io) = (Requests::new(1), IoQueue::default());
    let sync = SyncMode::Periodic { ms: 10_000 };
    let mut log = Log::new(LogConfig { sync, ..config() }, 1, BTreeMap::new(), NOW);
    log.begin(Checkpoint::default());
    log.submit(NOW, &mut requests, &mut io);
    answer(&mut log, &mut requests, &mut io);
    log.append(None, &[7; 30], 1);
    assert_eq!(std::mem::take(log.durable()), [1], "acknowledged at once");
    assert_eq!(log.confirm_synced(2), Ok(false));
    log.state(&[], Some(3));
    assert!(log.durable().is_empty());
    log.submit(NOW, &mut requests, &mut io);
    let mut chains = Vec::new();
    while !io.is_empty() {
        assert!(log.durable().is_empty(), "reported before it is synced");
        for (tag, request) in io.drain().collect::<Vec<_>>() {
            let Some(Purpose::Log(step)) = requests.finish(tag) else {
                continue;
            };
            let IoRequest::Chain(chain) = request else {
                panic!("{request:?}");
            };
            chains.push(matches!(chain.last(), Some(IoRequest::Sync { .. })));
            log.on_io(step, Ok(IoDone::Done), NOW, &mut requests, &mut io);
        }
    }
    assert_eq!(chains, [true], "one write, with its sync");
    assert_eq!(std::mem::take(log.durable()), [2, 3]);
    assert_eq!(log.confirm_synced(4), Ok(true));
    log.append(None, &[7; 30], 5);
    assert_eq!(std::mem::take(log.durable()), [5]);
    log.submit(NOW, &mut requests, &mut io);
    let synced = io.drain().any(|(_, request)| match request {
        IoRequest::Chain(chain) => chain
            .iter()
            .any(|request| matches!(request, IoRequest::Sync { .. })),
        _ => false,
    });
    assert!(!synced, "nobody waits for it");
}

#[test]
fn one_call_keeps_no_more_spares_than_there_may_be() {
    let (mut requests, mut io) = (Requests::new(1), IoQueue::default());
    let mut log = Log::new(config(), 1, BTreeMap::new(), NOW);
    log.begin(Checkpoint::default());
    for ticket in 0..100 {
        if !log.fits(300, 0) {
            log.rotate(Checkpoint::default());
        }
        log.append(None, &[7; 300], ticket);
        log.submit(NOW, &mut requests, &mut io);
        answer(&mut log, &mut requests, &mut io);
    }
    assert!(log.segments() > 2 * MAX_SPARES);
    let sealed = log.segments() - 1;
    assert_eq!(
        log.free_below(
            log.end(),
            (&IdSet::default(), &Held::default()),
            &mut requests,
            &mut io
        ),
        sealed
    );
    let recycled = io
        .drain()
        .filter(|(_, request)| matches!(request, IoRequest::Chain(_)))
        .count();
    assert_eq!(recycled, MAX_SPARES);
    assert_eq!(log.bytes(), SEGMENT_BYTES as usize, "spares hold nothing");
}

#[test]
fn a_record_of_a_newer_version_is_no_end() {
    let name = SegmentName {
        generation: 1,
        shard: 0,
        number: 1,
    };
    let head = SegmentHead {
        generation: 1,
        shard: 0,
        number: 1,
        salt: 5,
        length: 1 << 20,
    };
    let mut bytes = head.encode().to_vec();
    put_record(&mut bytes, 5, 0, Kind::Newer, |out| out.push(1));
    let image = SegmentImage::new("segment".into(), name, bytes).expect("a head");
    let (_, record) = image.read(SegmentImage::START).expect("a whole record");
    assert_eq!(record.kind, Kind::Newer);
}

/// What stands in a segment behind its head.
#[derive(Debug, Clone)]
enum Part {
    Record {
        body: usize,
        synced: u32,
    },
    Zeros(usize),
    /// What a recycled file held before, or a client wrote: records, but not with this salt.
    Foreign(usize),
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        (1usize..600, 0u32..20_000).prop_map(|(body, synced)| Part::Record { body, synced }),
        (0usize..1200).prop_map(|words| Part::Zeros(words * ALIGNMENT)),
        (1usize..600).prop_map(Part::Foreign),
    ]
}

proptest! {
    #[test]
    fn the_next_record_is_found_wherever_it_stands(parts in proptest::collection::vec(part(), 1..12)) {
        const SALT: u32 = 99;
        let name = SegmentName { generation: 1, shard: 0, number: 1 };
        let head = SegmentHead { generation: 1, shard: 0, number: 1, salt: SALT, length: 1 << 20 };
        let mut bytes = head.encode().to_vec();
        // Here no record can be read, so that what follows is judged.
        bytes.extend([0; ALIGNMENT]);
        for part in parts {
            match part {
                Part::Zeros(length) => bytes.resize(bytes.len() + length, 0),
                Part::Record { body, synced } => put_record(&mut bytes, SALT, synced, Kind::Mutation, |out| {
                    out.resize(out.len() + body, 1);
                }),
                Part::Foreign(body) => put_record(&mut bytes, SALT + 1, u32::MAX, Kind::Mutation, |out| {
                    out.resize(out.len() + body, 1);
                }),
            }
        }
        let (mut next, mut synced, mut at) = (None, 0, SegmentImage::START as usize + ALIGNMENT);
        while at < bytes.len() {
            match Record::read(&bytes[at..], SALT) {
                Some(record) => {
                    next = next.or(Some(at as u32));
                    synced = synced.max(record.synced);
                    at += record.bytes;
                }
                None => at += ALIGNMENT,
            }
        }
        let wanted = if synced > SegmentImage::START { Verdict::Rot { next } } else { Verdict::End };
        let image = SegmentImage::new("segment".into(), name, bytes).expect("a head");
        prop_assert_eq!(image.judge(SegmentImage::START, None, 0), wanted);
    }
}
