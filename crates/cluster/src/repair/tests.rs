//! Stores that each missed some of what there is, brought to the same rows by a session: partitions of many rows, rows of half a part,
//! answers that are lost, a member that goes away.

use super::plan::Unit;
use super::session::{Absence, Effect, Manner, Pace, Purpose, Session};
use crate::seeded::Seeded;
use crate::topology::NodeId;
use model::key::{DecoratedKey, Token};
use model::merge;
use model::mutation::MutationView;
use model::read::{KeyRange, Partitions, ReadCommand, ReadResponse};
use model::row::{ColumnId, Deletion, Liveness, NEVER, Row, RowWriter};
use model::schema::{ClusteringOrder, Column, ColumnKind, Table, TableId, TableKind, TableOptions};
use model::time::{BootNanos, Now, WallMicros};
use model::types::CqlType;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// Now, in seconds since 1970.
const NOW: i64 = 1_000_000_000;

fn table() -> Arc<Table> {
    let column = |name: &str, kind| Column {
        id: ColumnId(0),
        name: name.to_owned(),
        ctype: CqlType::Int,
        kind,
        position: 0,
        order: ClusteringOrder::Ascending,
    };
    let columns = vec![
        column("k", ColumnKind::PartitionKey),
        column("c", ColumnKind::Clustering),
    ];
    let id = TableId(Uuid::from_u128(1));
    let options = TableOptions::default();
    Arc::new(Table::new(
        id,
        "ks",
        "t",
        TableKind::Stored,
        columns,
        options,
    ))
}

/// A partition as a store has it.
#[derive(Debug, Clone, Default, PartialEq)]
struct Partition {
    deletion: Option<Deletion>,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// What a member has.
#[derive(Debug, Clone, Default, PartialEq)]
struct Store(BTreeMap<(Token, Vec<u8>), Partition>);

/// A row with one mark, or the tombstone of one; as long as is wanted.
fn row(timestamp: i64, deleted_at: Option<i64>, bytes: usize) -> Vec<u8> {
    let mut row = Vec::new();
    let mut writer = RowWriter::new(&mut row);
    match deleted_at {
        None => writer.liveness(Liveness {
            timestamp,
            ttl: 0,
            expires: NEVER,
        }),
        Some(local_seconds) => writer.deletion(Deletion {
            timestamp,
            local_seconds,
        }),
    }
    if bytes > 0 {
        writer.original_clustering(&vec![7; bytes]);
    }
    row
}

impl Store {
    fn put(&mut self, key: &DecoratedKey, clustering: &[u8], version: &[u8]) {
        let place = (key.token, key.key.to_vec());
        let partition = self.0.entry(place).or_default();
        let own = partition.rows.entry(clustering.to_vec()).or_default();
        if own.is_empty() {
            *own = version.to_vec();
            return;
        }
        let mut both = Vec::new();
        merge::rows(own, version, &mut both);
        *own = both;
    }

    fn delete(&mut self, key: &DecoratedKey, deletion: Deletion) {
        let place = (key.token, key.key.to_vec());
        let own = &mut self.0.entry(place).or_default().deletion;
        *own = Some(own.map_or(deletion, |own| own.max(deletion)));
    }

    fn apply(&mut self, mutation: &[u8]) {
        let view = MutationView::parse(mutation).expect("a mutation");
        let key = DecoratedKey::new(view.key);
        for (_, update) in view.updates() {
            if let Some(deletion) = update.deletion {
                self.delete(&key, deletion);
            }
            for (clustering, version) in update.rows() {
                self.put(&key, clustering, version);
            }
        }
    }

    /// What is left of a row under its partition's deletion.
    fn visible(partition: &Partition, version: &[u8]) -> Option<Vec<u8>> {
        let deletion = partition.deletion.unwrap_or(Deletion::NONE);
        let mut left = Vec::new();
        merge::uncovered(version, deletion, &mut left).then_some(left)
    }

    /// As a replica answers: with tombstones, but for those that may be purged by the command.
    fn read(&self, command: &ReadCommand) -> ReadResponse {
        let mut response = ReadResponse::default();
        let resume = command.resume.as_ref();
        for ((token, key), partition) in &self.0 {
            let wanted = match &command.partitions {
                Partitions::Key(named) => *named.key == **key,
                Partitions::Range(range) => range.contains(*token, key),
            };
            let behind = resume.is_some_and(|resume| {
                let at = (resume.key.token, &*resume.key.key);
                (*token, key.as_slice()) < at
                    || (*token, key.as_slice()) == at && resume.clustering.is_none()
            });
            if !wanted || behind {
                continue;
            }
            let after = resume.filter(|resume| *resume.key.key == **key);
            let after = after.and_then(|resume| resume.clustering.as_ref());
            let forgets = |deletion: &Deletion| deletion.local_seconds < command.purge_before;
            let deletion = partition.deletion.filter(|deletion| !forgets(deletion));
            let mut begun = false;
            let mut begin = |response: &mut ReadResponse| {
                if !std::mem::replace(&mut begun, true) {
                    response.put_partition(*token, key, deletion.unwrap_or(Deletion::NONE));
                }
            };
            if deletion.is_some() {
                begin(&mut response);
            }
            for (clustering, version) in &partition.rows {
                let sliced = command
                    .slices
                    .iter()
                    .any(|slice| *clustering >= slice.start && *clustering < slice.end);
                if !sliced || after.is_some_and(|after| clustering <= after) {
                    continue;
                }
                let Some(version) = Self::visible(partition, version) else {
                    continue;
                };
                let parsed = Row::parse(&version).expect("a row");
                let is_dead = !parsed.is_live(command.now_seconds);
                if is_dead && !parsed.deletion.is_none() && forgets(&parsed.deletion) {
                    continue;
                }
                begin(&mut response);
                response.put_row(clustering, &version);
                response.rows += u64::from(parsed.is_live(command.now_seconds));
                if response.bytes.len() >= command.limits.bytes {
                    response.more = true;
                    return response;
                }
            }
        }
        response
    }

    /// What readers see: keys and clustering keys of live rows.
    fn live(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let partitions = self.0.iter();
        let rows = partitions.flat_map(|((_, key), partition)| {
            let rows = partition.rows.iter();
            rows.filter_map(move |(clustering, version)| {
                let version = Self::visible(partition, version)?;
                let is_live = Row::parse(&version)?.is_live(NOW);
                is_live.then(|| (key.clone(), clustering.clone()))
            })
        });
        rows.collect()
    }
}

fn manner(purpose: Purpose, absence: Absence) -> Manner {
    Manner {
        purpose,
        pace: Pace::Full,
        absence,
    }
}

/// Three members and a session of the first of them.
struct World {
    stores: Vec<Store>,
    session: Session,
    now: Now,
    random: Seeded,
    /// Of a hundred answers, how many are lost.
    loss: u64,
    /// A member that does not answer.
    away: Option<NodeId>,
}

impl World {
    fn new(stores: Vec<Store>, purpose: Purpose, seed: u64) -> Self {
        let members = (1..=stores.len() as u32).map(NodeId).collect();
        let unit = Unit {
            table: table(),
            range: KeyRange::all(),
            members,
        };
        Self {
            stores,
            session: Session::new(
                (NodeId(1), 1),
                vec![unit],
                manner(purpose, Absence::Fails),
                seed,
            ),
            now: Now {
                wall: WallMicros(NOW * 1_000_000),
                boot: BootNanos(1),
            },
            random: Seeded(seed),
            loss: 0,
            away: None,
        }
    }

    /// Runs it to its end.
    fn run(&mut self) {
        let mut effects = Vec::new();
        for _ in 0..100_000 {
            if self.session.is_done() {
                return;
            }
            let away = self.away;
            self.session
                .poll(|id| Some(id) != away, self.now, &mut effects);
            while let Some(effect) = effects.pop() {
                self.carry_out(effect, &mut effects);
            }
            if let Some(due) = self.session.next_deadline(self.now.boot) {
                self.now.boot = self.now.boot.max(due);
            }
        }
        panic!("it never ends");
    }

    fn carry_out(&mut self, effect: Effect, out: &mut Vec<Effect>) {
        if self.random.chance(self.loss) {
            return;
        }
        let now = self.now;
        let store = |member: NodeId| member.0 as usize - 1;
        match effect {
            Effect::Digest(question, command) => {
                let digest = self.stores[store(question.member)].read(&command).digest();
                self.session.on_digest(question, Ok(digest), now, out);
            }
            Effect::Rows(question, command) => {
                let rows = self.stores[store(question.member)].read(&command);
                self.session.on_rows(question, Ok(rows), now, out);
            }
            Effect::Send(question, mutations) => {
                let own = &mut self.stores[store(question.member)];
                mutations.iter().for_each(|mutation| own.apply(mutation));
                self.session.on_sent(question, Ok(()), now, out);
            }
        }
    }
}

/// What there is, of which each of three members missed some; all of it together as the last.
fn stores(random: &mut Seeded) -> Vec<Store> {
    let mut stores = vec![Store::default(); 4];
    for timestamp in 0..60 {
        let key = DecoratedKey::new(vec![random.below(6) as u8]);
        let clustering = vec![random.below(12) as u8];
        let what = random.below(10);
        // Every version of a row is as long as the others.
        let bytes = if clustering[0] % 5 == 0 { 400 << 10 } else { 0 };
        let deletion = Deletion {
            timestamp,
            // Some may be purged by now.
            local_seconds: if random.chance(50) { NOW } else { 100 },
        };
        let keeper = random.below(3) as usize;
        for (place, store) in stores.iter_mut().enumerate() {
            if place < 3 && place != keeper && random.chance(25) {
                continue;
            }
            match what {
                0 => store.delete(&key, deletion),
                1 => {
                    let version = row(timestamp, Some(deletion.local_seconds), 0);
                    store.put(&key, &clustering, &version);
                }
                _ => store.put(&key, &clustering, &row(timestamp, None, bytes)),
            }
        }
    }
    stores
}

#[test]
fn members_are_equal_afterwards_and_have_all_there_is() {
    for seed in 0..15 {
        let mut random = Seeded(seed);
        let mut stores = stores(&mut random);
        let all = stores.pop().expect("four").live();
        let mut world = World::new(stores, Purpose::Repair, seed);
        world.run();
        let progress = world.session.progress();
        assert_eq!(progress.units_failed, 0, "seed {seed}");
        for store in &world.stores {
            assert_eq!(store.live(), all, "seed {seed}");
        }
        // What is equal is not sent again.
        let mut again = World::new(world.stores, Purpose::Repair, seed);
        again.run();
        assert_eq!(again.session.progress().mutations, 0, "seed {seed}");
    }
}

#[test]
fn a_preview_counts_and_changes_nothing() {
    let mut stores = stores(&mut Seeded(3));
    stores.pop();
    let mut world = World::new(stores.clone(), Purpose::Preview, 3);
    world.run();
    assert!(world.session.progress().mutations > 0);
    assert_eq!(world.stores, stores);
}

#[test]
fn answers_that_are_lost_are_asked_for_again() {
    for seed in 0..8 {
        let mut random = Seeded(seed);
        let mut stores = stores(&mut random);
        let all = stores.pop().expect("four").live();
        let mut world = World::new(stores, Purpose::Repair, seed);
        world.loss = 2;
        world.run();
        if world.session.progress().units_failed == 0 {
            for store in &world.stores {
                assert_eq!(store.live(), all, "seed {seed}");
            }
        }
    }
}

#[test]
fn a_stretch_fails_whose_member_is_away() {
    let mut world = World::new(vec![Store::default(); 3], Purpose::Repair, 1);
    world.away = Some(NodeId(3));
    world.run();
    assert_eq!(world.session.progress().units_failed, 1);
    assert_eq!(world.session.failure(), Some("node 3 does not answer"));
}

#[test]
fn a_stretch_waits_for_a_member_that_is_away_and_goes_on_where_it_was() {
    let mut random = Seeded(5);
    let mut stores = stores(&mut random);
    let all = stores.pop().expect("four").live();
    let mut world = World::new(stores, Purpose::Repair, 5);
    let unit = |members: &[u32]| Unit {
        table: table(),
        range: KeyRange::all(),
        members: members.iter().map(|id| NodeId(*id)).collect(),
    };
    let units = vec![unit(&[1, 2, 3]), unit(&[1, 2])];
    let waits = manner(Purpose::Repair, Absence::Waits);
    world.session = Session::new((NodeId(1), 1), units, waits, 5);
    let mut effects = Vec::new();
    // The third goes away in the midst of the first stretch: the second is made equal, and then it is waited.
    let mut parts = 0;
    for _ in 0..2_000 {
        let is_away = world.session.progress().parts >= 2;
        let poll = |id| !is_away || id != NodeId(3);
        world.session.poll(poll, world.now, &mut effects);
        while let Some(effect) = effects.pop() {
            world.carry_out(effect, &mut effects);
        }
        let due = world.session.next_deadline(world.now.boot);
        let due = due.expect("it is not over");
        world.now.boot = world.now.boot.max(due);
        parts = world.session.progress().parts;
    }
    let progress = world.session.progress();
    assert_eq!((progress.units_done, progress.units_failed), (1, 0));
    let told = world.session.failure();
    assert_eq!(told, Some("node 3 is away: it is waited for"));
    let due = world.session.next_deadline(world.now.boot);
    assert!(due.is_some_and(|due| due > world.now.boot), "it spins");
    world.run();
    let progress = world.session.progress();
    assert_eq!((progress.units_done, progress.units_failed), (2, 0));
    assert_eq!(world.session.failure(), None);
    for store in &world.stores {
        assert_eq!(store.live(), all);
    }
    // What was compared before is not compared again.
    let mut whole = World::new(world.stores, Purpose::Preview, 6);
    whole.run();
    let once = whole.session.progress().parts;
    assert!(progress.parts <= 2 * once + 1 && parts > 0, "{progress:?}");
}

#[test]
fn a_part_that_fails_in_its_midst_goes_on_from_there() {
    let key = DecoratedKey::new(vec![1]);
    let mut stores = vec![Store::default(); 2];
    // A partition of many answers, all of which the second lacks.
    (0..40).for_each(|at| stores[0].put(&key, &[at], &row(5, None, 400 << 10)));
    let mut world = World::new(stores, Purpose::Repair, 1);
    let (mut effects, mut sent) = (Vec::new(), 0);
    while !world.session.is_done() {
        world.session.poll(|_| true, world.now, &mut effects);
        while let Some(effect) = effects.pop() {
            if let Effect::Send(question, _) = &effect {
                sent += 1;
                // Every second one is not taken.
                if sent % 2 == 0 {
                    let refused = Err("full".to_owned());
                    let now = world.now;
                    world.session.on_sent(*question, refused, now, &mut effects);
                    continue;
                }
            }
            world.carry_out(effect, &mut effects);
        }
        if let Some(due) = world.session.next_deadline(world.now.boot) {
            world.now.boot = world.now.boot.max(due);
        }
        assert!(sent < 200, "it begins again and again");
    }
    assert_eq!(world.session.progress().units_failed, 0);
    assert_eq!(world.stores[1].live().len(), 40);
}

#[test]
fn what_may_be_purged_is_no_difference_but_is_told_to_who_needs_it() {
    let key = DecoratedKey::new(vec![1]);
    let tombstone = row(5, Some(100), 0);
    let mut stores = vec![Store::default(); 3];
    for (store, written) in stores.iter_mut().zip([false, false, true]) {
        // The last one has purged it already, the first never heard of the row.
        if !written {
            store.put(&key, &[1], &tombstone);
        }
    }
    let mut world = World::new(stores.clone(), Purpose::Repair, 1);
    world.run();
    assert_eq!(world.session.progress().parts_different, 0);
    // One that has the row and lacks the tombstone gets it, and nobody gets the row.
    stores[2].put(&key, &[1], &row(4, None, 0));
    let mut world = World::new(stores, Purpose::Repair, 1);
    world.run();
    assert_eq!(world.session.progress().parts_different, 1);
    assert!(world.stores.iter().all(|store| store.live().is_empty()));
}
