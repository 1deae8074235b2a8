//! Sessions against sources that lose questions, fail, go away and come back.

use super::{Ask, Session, WINDOW};
use crate::seeded::Seeded;
use crate::stream::plan::{Enough, Patience, Sources, Unit};
use crate::topology::NodeId;
use model::env::Random;
use model::key::{DecoratedKey, Token};
use model::read::{KeyBound, KeyRange, Resume};
use model::schema::TableId;
use model::time::BootNanos;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Chunks that each shard of a source has of a unit.
const CHUNKS: u8 = 3;

fn unit(number: u64, one_of: &[u32], all_of: &[u32]) -> Unit {
    let ids = |numbers: &[u32]| numbers.iter().map(|id| NodeId(*id)).collect();
    Unit {
        table: TableId(Uuid::from_u128(u128::from(number))),
        range: KeyRange {
            start: KeyBound::Before(Token::MIN),
            end: KeyBound::After(Token::MAX),
        },
        sources: Sources {
            one_of: ids(one_of),
            all_of: ids(all_of),
            enough: vec![Enough {
                of: ids(all_of),
                count: all_of.len().min(2),
            }],
        },
    }
}

/// The chunk that a question is about.
fn place(ask: &Ask) -> u8 {
    ask.resume.as_ref().map_or(0, |resume| resume.key.key[0])
}

fn resume(place: u8) -> Option<Resume> {
    (place < CHUNKS).then(|| Resume {
        key: DecoratedKey {
            token: Token(i64::from(place)),
            key: vec![place].into(),
        },
        clustering: None,
        left_in_partition: 0,
        gave_rows: false,
    })
}

#[test]
fn everything_is_taken_whatever_happens_on_the_way() {
    for seed in 0..200 {
        let mut random = Seeded(seed);
        let units = vec![
            unit(1, &[1], &[2, 3]),
            unit(2, &[2], &[1]),
            unit(3, &[], &[1, 2, 3]),
            unit(4, &[], &[]),
        ];
        let mut session = Session::new(units, random.next_u64());
        let mut shards: BTreeMap<NodeId, u16> = (1..=3).map(|id| (NodeId(id), 2)).collect();
        let mut taken: BTreeSet<(Uuid, NodeId, u16, u8)> = BTreeSet::new();
        let mut under_way: Vec<Ask> = Vec::new();
        let mut now = BootNanos(0);
        for step in 0..20_000 {
            if session.is_done() {
                break;
            }
            now = now.plus_millis(random.next_u64() % 300);
            let calm = step > 2_000;
            if !calm && random.chance(2) {
                let id = NodeId((random.next_u64() % 3) as u32 + 1);
                if shards.remove(&id).is_none() {
                    shards.insert(id, (random.next_u64() % 3) as u16 + 1);
                }
            }
            if calm {
                for id in 1..=3 {
                    shards.entry(NodeId(id)).or_insert(2);
                }
            }
            let mut asks = Vec::new();
            session.poll(|id| shards.get(&id).copied(), now, &mut asks);
            assert!(asks.len() <= WINDOW);
            under_way.extend(asks);
            let Some(ask) = under_way.pop() else { continue };
            let lost = !calm && random.chance(25);
            if lost || session.on_chunk(ask.number).is_none() {
                continue;
            }
            assert!(session.on_chunk(ask.number).is_none(), "it came already");
            if !calm && random.chance(25) {
                session.on_failure(ask.number, now);
                continue;
            }
            let at = place(&ask);
            taken.insert((ask.unit.table.0, ask.source, ask.shard, at));
            session.on_applied(ask.number, resume(at + 1), 10, now);
        }
        assert!(session.is_done(), "seed {seed}: {session:?}");
        assert_eq!(session.progress().units_done, 4);
        for table in 1..=3u128 {
            let table = Uuid::from_u128(table);
            // Whoever it was taken from, everything that one has was, up to its end.
            let last = taken
                .iter()
                .filter(|(of, _, _, at)| *of == table && *at == CHUNKS - 1);
            for (_, source, shard, _) in last.clone() {
                let all = (0..CHUNKS).all(|at| taken.contains(&(table, *source, *shard, at)));
                assert!(all, "seed {seed}");
            }
            assert!(last.count() > 0, "seed {seed}");
        }
    }
}

#[test]
fn who_loses_a_stretch_is_asked_first_and_all_others_if_it_is_away() {
    let living = |alive: &'static [u32]| move |id: NodeId| alive.contains(&id.0).then_some(1);
    let sources = |alive: &'static [u32]| {
        let mut session = Session::new(vec![unit(1, &[1], &[2, 3])], 0);
        let mut asks = Vec::new();
        session.poll(living(alive), BootNanos(0), &mut asks);
        asks.iter().map(|ask| ask.source.0).collect::<Vec<_>>()
    };
    assert_eq!(sources(&[1, 2, 3]), [1]);
    assert_eq!(sources(&[2, 3]), [2, 3]);
    let nobody: [u32; 0] = [];
    assert_eq!(
        sources(&[3]),
        nobody,
        "a quorum may have been the two others"
    );
    assert_eq!(sources(&[]), nobody);
}

#[test]
fn those_that_live_have_to_do_when_an_operator_says_so() {
    let living = |id: NodeId| (id.0 == 3).then_some(1);
    let units = vec![unit(1, &[1], &[2, 3]), unit(2, &[], &[1, 2])];
    let mut session = Session::new(units, 0);
    let mut asks = Vec::new();
    for hours in 0..48 {
        let now = BootNanos(1).plus_millis(hours * 3_600_000);
        session.poll(living, now, &mut asks);
        assert_eq!(asks, []);
    }
    let awaited = session.awaited(|id| id.0 == 3);
    assert_eq!(awaited, [1, 2].map(NodeId).into());
    session.set_patience(Patience::Over);
    session.poll(living, BootNanos(1), &mut asks);
    assert_eq!(asks.len(), 1);
    // Of what nobody has that lives nothing can be asked for.
    assert_eq!(session.progress().units_done, 1);
    assert_eq!(session.progress().units_doubtful, 2);
}

#[test]
fn of_tables_that_are_gone_nothing_is_waited_for() {
    let units = (1..=20).map(|number| unit(number, &[], &[1]));
    let mut session = Session::new(units.collect(), 7);
    let mut asks = Vec::new();
    session.poll(|_| Some(1), BootNanos(0), &mut asks);
    assert_eq!(asks.len(), WINDOW);
    // Some were begun, others not.
    let gone = (2..=20).map(|number| unit(number, &[], &[]).table);
    session.forget_tables(&gone.collect());
    assert_eq!(session.progress().units_done, 19);
    assert!(!session.is_done());
    let of = |number: u64| {
        let of_it = |ask: &&Ask| ask.unit.table == unit(number, &[], &[]).table;
        asks.iter().find(of_it).map(|ask| ask.number)
    };
    let (kept, lost) = (of(1).unwrap(), of(2).unwrap());
    assert!(session.on_chunk(lost).is_none());
    assert!(session.on_chunk(kept).is_some());
    session.on_applied(kept, None, 1, BootNanos(1));
    assert!(session.is_done());
}
