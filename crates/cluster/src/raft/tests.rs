//! Members on a seeded network and seeded disks. Whatever is lost, doubled, late, cut off or crashed: the members never disagree,
//! and once the faults end they decide again.

use super::*;
use crate::seeded::Seeded;

const MILLISECOND: u64 = 1_000_000;

/// A member, its disk, and what it handed out.
struct Member {
    raft: Option<Raft>,
    durable: Vec<Record>,
    /// What the disk was given, and when it will be durable.
    syncing: VecDeque<(u64, Position, Vec<Record>, bool)>,
    /// Commands by place, as carried out; what a snapshot stands for too.
    applied: BTreeMap<Index, Vec<u8>>,
    through: Index,
    /// What it had applied when it crashed.
    reached: Index,
}

struct World {
    members: BTreeMap<NodeId, Member>,
    network: BTreeMap<(u64, u64), (NodeId, NodeId, Vec<u8>)>,
    sent: u64,
    now: u64,
    random: Seeded,
    lossy: bool,
    cut: BTreeSet<(NodeId, NodeId)>,
    /// What was ever committed, by place.
    truth: BTreeMap<Index, (Term, Payload)>,
    leaders: BTreeMap<Term, NodeId>,
    proposed: u64,
}

fn node(number: u32) -> NodeId {
    NodeId(number)
}

impl World {
    fn new(seed: u64, members: u32) -> Self {
        let mut world = Self {
            members: BTreeMap::new(),
            network: BTreeMap::new(),
            sent: 0,
            now: MILLISECOND,
            random: Seeded(seed),
            lossy: false,
            cut: BTreeSet::new(),
            truth: BTreeMap::new(),
            leaders: BTreeMap::new(),
            proposed: 0,
        };
        let first = Snapshot {
            index: 1,
            term: 1,
            voters: BTreeSet::from([node(1)]),
            state: encode_state(&BTreeMap::new()),
        };
        for number in 1..=members {
            let founder = (number == 1).then(|| Record::Snapshot(first.clone()));
            world.members.insert(
                node(number),
                Member {
                    raft: None,
                    durable: founder.into_iter().collect(),
                    syncing: VecDeque::new(),
                    applied: BTreeMap::new(),
                    through: 0,
                    reached: 0,
                },
            );
            world.start(node(number));
        }
        world
    }

    fn start(&mut self, id: NodeId) {
        let member = self.members.get_mut(&id).expect("a member");
        let records = member.durable.clone();
        let now = BootNanos(self.now);
        let raft = Raft::new(id, records, Timing::default(), now, &mut self.random);
        let raft = raft.expect("records that members wrote");
        member.through = raft.snapshot().index;
        member.applied = decode_state(&raft.snapshot().state);
        member.raft = Some(raft);
        // What was applied before is applied again without anybody's help.
        let before = std::mem::take(&mut member.reached);
        self.step(id, |raft, _, _, out| raft.begin(out));
        let through = self.members[&id].through;
        assert!(
            through >= before,
            "{id:?} begins at {through}, and had reached {before}"
        );
    }

    /// The process dies. Of what was not synced any number of the first records may be there.
    fn crash(&mut self, id: NodeId) {
        let member = self.members.get_mut(&id).expect("a member");
        if member.raft.take().is_some() {
            member.reached = member.through;
        }
        for (_, _, records, replaces) in std::mem::take(&mut member.syncing) {
            if replaces {
                if self.random.chance(50) {
                    member.durable = records;
                    continue;
                }
                break;
            }
            let kept = self.random.below(records.len() as u64 + 1) as usize;
            let whole = kept == records.len();
            member.durable.extend(records.into_iter().take(kept));
            if !whole {
                break;
            }
        }
    }

    fn step(
        &mut self,
        id: NodeId,
        act: impl FnOnce(&mut Raft, BootNanos, &mut Seeded, &mut Output),
    ) {
        let now = BootNanos(self.now);
        let mut out = Output::default();
        let member = self.members.get_mut(&id).expect("a member");
        let Some(raft) = &mut member.raft else { return };
        act(raft, now, &mut self.random, &mut out);
        if raft.is_leader() {
            let leader = *self.leaders.entry(raft.term).or_insert(id);
            assert_eq!(leader, id, "a term has one leader");
        }
        let due = self.now + (1 + self.random.below(20)) * MILLISECOND;
        let due = member
            .syncing
            .back()
            .map_or(due, |(last, ..)| due.max(*last));
        if let Some((position, records)) = out.replacement {
            member.syncing.push_back((due, position, records, true));
        }
        if let Some((position, _)) = out.records.last() {
            let position = *position;
            let records = out.records.into_iter().map(|(_, record)| record).collect();
            member.syncing.push_back((due, position, records, false));
        }
        if let Some(snapshot) = out.installed {
            member.applied = decode_state(&snapshot.state);
            member.through = snapshot.index;
        }
        for entry in out.committed {
            assert_eq!(entry.index, member.through + 1, "in order, once each");
            member.through = entry.index;
            if let Payload::Command(command) = &entry.payload {
                member.applied.insert(entry.index, command.clone());
            }
            let truth = self
                .truth
                .entry(entry.index)
                .or_insert_with(|| (entry.term, entry.payload.clone()));
            assert_eq!(
                *truth,
                (entry.term, entry.payload),
                "committed entries never change"
            );
        }
        for (to, message) in out.messages {
            let copies = if self.lossy {
                self.random.below(12).min(2)
            } else {
                1
            };
            for _ in 0..copies {
                let delay = if self.lossy {
                    self.random.below(300)
                } else {
                    self.random.below(5)
                };
                self.sent += 1;
                let mut bytes = Vec::new();
                message.encode(&mut bytes);
                let at = self.now + (1 + delay) * MILLISECOND;
                self.network.insert((at, self.sent), (id, to, bytes));
            }
        }
    }

    /// Lets time pass to the next event, at most to `until`.
    fn advance(&mut self, until: u64) -> bool {
        let deliveries = self.network.keys().next().map(|(at, _)| *at);
        let syncs = self
            .members
            .values()
            .filter_map(|member| member.syncing.front().map(|sync| sync.0));
        let ticks = self
            .members
            .values()
            .filter_map(|member| member.raft.as_ref().map(|raft| raft.next_deadline().0));
        let next = deliveries.into_iter().chain(syncs).chain(ticks).min();
        let Some(next) = next.filter(|next| *next <= until) else {
            self.now = until;
            return false;
        };
        self.now = self.now.max(next);
        while let Some(entry) = self.network.first_entry()
            && entry.key().0 <= self.now
        {
            let (from, to, bytes) = entry.remove();
            if self.cut.contains(&(from, to)) || !self.members.contains_key(&to) {
                continue;
            }
            let message = Message::decode(&bytes).expect("what was encoded");
            self.step(to, |raft, now, random, out| {
                raft.on_message(from, message, now, random, out)
            });
        }
        for id in self.members.keys().copied().collect::<Vec<_>>() {
            while let Some(member) = self.members.get_mut(&id)
                && let Some((due, ..)) = member.syncing.front()
                && *due <= self.now
                && let Some((_, position, records, replaces)) = member.syncing.pop_front()
            {
                if replaces {
                    member.durable.clear();
                }
                member.durable.extend(records);
                self.step(id, |raft, now, _, out| {
                    raft.on_persisted(position, now, out)
                });
            }
            let due = self.members[&id]
                .raft
                .as_ref()
                .map(|raft| raft.next_deadline().0);
            if due.is_some_and(|due| due <= self.now) {
                self.step(id, |raft, now, random, out| raft.tick(now, random, out));
            }
        }
        true
    }

    fn run(&mut self, millis: u64) {
        let until = self.now + millis * MILLISECOND;
        while self.advance(until) {}
    }

    fn leader(&self) -> Option<NodeId> {
        let leaders = self
            .members
            .iter()
            .filter(|(_, member)| member.raft.as_ref().is_some_and(Raft::is_leader));
        // One that was cut off may not know yet that it leads no more.
        leaders
            .max_by_key(|(_, member)| member.raft.as_ref().map(|raft| raft.term))
            .map(|(id, _)| *id)
    }

    fn propose(&mut self) {
        self.proposed += 1;
        let command = self.proposed.to_le_bytes().to_vec();
        if let Some(leader) = self.leader() {
            self.step(leader, |raft, now, _, out| {
                let _ = raft.propose(command, now, out);
            });
        }
    }

    /// Has the leader send its log to all members, and one more or one less of them vote.
    fn change_voters(&mut self) {
        let Some(leader) = self.leader() else { return };
        let all: BTreeSet<NodeId> = self.members.keys().copied().collect();
        let chosen = node(1 + self.random.below(all.len() as u64) as u32);
        self.step(leader, |raft, now, _, out| {
            raft.set_learners(all, now, out);
            let mut voters = raft.voters().clone();
            if !voters.remove(&chosen) {
                voters.insert(chosen);
            }
            let _ = raft.propose_voters(voters, now, out);
        });
    }

    fn compact(&mut self) {
        let count = self.members.len() as u64;
        let id = node(1 + self.random.below(count) as u32);
        let member = &self.members[&id];
        let (through, state) = (member.through, encode_state(&member.applied));
        self.step(id, |raft, _, _, out| raft.compact(through, state, out));
    }

    /// Whoever is behind asks anybody, not the leader alone.
    fn gossip(&mut self) {
        let count = self.members.len() as u64;
        let (from, to) = (
            node(1 + self.random.below(count) as u32),
            node(1 + self.random.below(count) as u32),
        );
        let (Some(ahead), Some(behind)) = (&self.members[&from].raft, &self.members[&to].raft)
        else {
            return;
        };
        let (snapshot, entries) = ahead.committed_since(behind.applied, 100);
        self.step(to, |raft, _, _, out| raft.learn(snapshot, entries, out));
    }

    fn fault(&mut self) {
        let count = self.members.len() as u64;
        let id = node(1 + self.random.below(count) as u32);
        let other = node(1 + self.random.below(count) as u32);
        match self.random.below(6) {
            0 => self.crash(id),
            1 => {
                if self.members[&id].raft.is_none() {
                    self.start(id);
                }
            }
            2 => {
                self.cut.insert((id, other));
            }
            3 => {
                // Cut off in both directions from all.
                for peer in self.members.keys() {
                    self.cut.insert((id, *peer));
                    self.cut.insert((*peer, id));
                }
            }
            _ => self.cut.clear(),
        }
    }

    /// All faults end, and something new is decided by all.
    fn heal(&mut self) {
        self.lossy = false;
        self.cut.clear();
        for id in self.members.keys().copied().collect::<Vec<_>>() {
            if self.members[&id].raft.is_none() {
                self.start(id);
            }
        }
        let all: BTreeSet<NodeId> = self.members.keys().copied().collect();
        for _ in 0..100 {
            self.run(500);
            let Some(leader) = self.leader() else {
                continue;
            };
            let learners = all.clone();
            self.step(leader, |raft, now, _, out| {
                raft.set_learners(learners, now, out)
            });
            self.propose();
            let last = self.members[&leader]
                .raft
                .as_ref()
                .map_or(0, |raft| raft.log.last());
            self.run(500);
            if self.members.values().all(|member| member.through >= last) {
                let state = &self.members[&leader].applied;
                assert!(
                    self.members.values().all(|member| member.applied == *state),
                    "all are equal"
                );
                return;
            }
        }
        for (id, member) in &self.members {
            eprintln!("{id:?} through {} {:#?}", member.through, member.raft);
        }
        panic!("the members decide again once the faults are over");
    }
}

fn encode_state(applied: &BTreeMap<Index, Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, command) in applied {
        model::varint::put(&mut bytes, *index);
        model::varint::put_bytes(&mut bytes, command);
    }
    bytes
}

fn decode_state(mut bytes: &[u8]) -> BTreeMap<Index, Vec<u8>> {
    let mut applied = BTreeMap::new();
    while let Some(index) = model::varint::get(&mut bytes) {
        let command = model::varint::get_bytes(&mut bytes).expect("what was encoded");
        applied.insert(index, command.to_vec());
    }
    applied
}

fn voters(world: &World, id: u32) -> usize {
    world.members[&node(id)]
        .raft
        .as_ref()
        .expect("it runs")
        .voters()
        .len()
}

/// Members that all vote.
fn voting(seed: u64, members: u32) -> World {
    let mut world = World::new(seed, members);
    world.run(100);
    let all: BTreeSet<NodeId> = world.members.keys().copied().collect();
    for count in 2..=members {
        let leader = world.leader().expect("a leader");
        let (learners, chosen) = (
            all.clone(),
            all.iter().take(count as usize).copied().collect(),
        );
        world.step(leader, |raft, now, _, out| {
            raft.set_learners(learners, now, out);
            raft.propose_voters(chosen, now, out)
                .expect("one more voter");
        });
        world.run(500);
    }
    assert_eq!(voters(&world, members), members as usize);
    world
}

#[test]
fn a_voter_alone_decides_at_once() {
    let mut world = World::new(1, 1);
    world.run(100);
    assert_eq!(world.leader(), Some(node(1)));
    world.propose();
    world.run(100);
    assert_eq!(world.members[&node(1)].applied.len(), 1);
}

#[test]
fn a_dead_leader_is_replaced_and_a_minority_decides_nothing() {
    let mut world = voting(2, 3);
    let first = world.leader().expect("a leader");
    world.crash(first);
    world.run(4_000);
    let second = world.leader().expect("another leader");
    assert_ne!(first, second);
    world.propose();
    world.run(500);
    let decided = world.members[&second].applied.len();
    assert_eq!(decided, 1);
    let third = world
        .members
        .keys()
        .copied()
        .find(|id| *id != first && *id != second)
        .expect("a third");
    world.crash(third);
    world.run(4_000);
    assert_eq!(world.leader(), None, "who hears no majority does not lead");
    assert!(
        world.members[&second]
            .raft
            .as_ref()
            .is_some_and(|raft| raft.leader().is_none())
    );
    world.heal();
}

#[test]
fn who_was_cut_off_does_not_unseat_the_leader_when_it_returns() {
    let mut world = voting(3, 3);
    let leader = world.leader().expect("a leader");
    let term = world.members[&leader].raft.as_ref().map(|raft| raft.term);
    let lonely = world
        .members
        .keys()
        .copied()
        .find(|id| *id != leader)
        .expect("another");
    for peer in world.members.keys().copied().collect::<Vec<_>>() {
        world.cut.insert((lonely, peer));
        world.cut.insert((peer, lonely));
    }
    world.run(20_000);
    world.cut.clear();
    world.run(5_000);
    assert_eq!(world.leader(), Some(leader));
    assert_eq!(
        world.members[&leader].raft.as_ref().map(|raft| raft.term),
        term
    );
}

#[test]
fn leadership_is_handed_over_within_a_round_trip() {
    let mut world = voting(4, 3);
    let leader = world.leader().expect("a leader");
    world.step(leader, |raft, _, _, out| raft.hand_over(out));
    world.run(150);
    assert_ne!(world.leader(), Some(leader));
    assert!(world.leader().is_some());
}

#[test]
fn a_removed_leader_leaves_office() {
    let mut world = voting(5, 3);
    let leader = world.leader().expect("a leader");
    world.step(leader, |raft, now, _, out| {
        let mut voters = raft.voters().clone();
        voters.remove(&raft.id());
        raft.propose_voters(voters, now, out).expect("one less");
    });
    world.run(4_000);
    assert_ne!(world.leader(), Some(leader));
    assert!(world.leader().is_some());
}

#[test]
fn who_lacks_what_was_forgotten_gets_a_snapshot() {
    let mut world = voting(6, 3);
    world.crash(node(3));
    for _ in 0..50 {
        world.propose();
        world.run(50);
    }
    for id in [1, 2] {
        let member = &world.members[&node(id)];
        let (through, state) = (member.through, encode_state(&member.applied));
        world.step(node(id), |raft, _, _, out| {
            raft.compact(through, state, out)
        });
    }
    world.heal();
    assert!(world.members[&node(3)].applied.len() > 50);
}

/// One history by its seed.
fn storm(seed: u64) -> (u64, BTreeMap<Index, (Term, Payload)>) {
    let members = 3 + (seed % 3) as u32;
    let mut world = World::new(seed, members);
    world.lossy = !seed.is_multiple_of(4);
    for _ in 0..200 {
        let pause = world.random.below(400);
        world.run(pause);
        match world.random.below(10) {
            0..=3 => world.propose(),
            4 => world.change_voters(),
            5 => world.compact(),
            6 => world.gossip(),
            7 if world.random.chance(30) => {
                if let Some(leader) = world.leader() {
                    world.step(leader, |raft, _, _, out| raft.hand_over(out));
                }
            }
            8 if world.random.chance(10) => {
                let id = node(1 + world.random.below(u64::from(members)) as u32);
                world.step(id, |raft, _, _, out| raft.persist_again(out));
            }
            _ => world.fault(),
        }
    }
    world.heal();
    (world.now, world.truth)
}

#[test]
fn members_never_disagree_and_decide_again_after_every_storm() {
    let mut decided = 0;
    for seed in 0..150 {
        decided += storm(seed).1.len();
    }
    assert!(
        decided > 150 * 20,
        "the storms leave room to decide: {decided}"
    );
}

#[test]
fn one_seed_is_one_history() {
    assert_eq!(storm(17), storm(17));
}

#[test]
fn a_heartbeat_does_not_take_a_snapshots_answer() {
    let (now, random, mut out) = (BootNanos(0), &mut Seeded(1), Output::default());
    let raft = Raft::new(node(2), Vec::new(), Timing::default(), now, random);
    let mut raft = raft.expect("nothing yet");
    let snapshot = Snapshot {
        index: 9,
        term: 1,
        voters: BTreeSet::from([node(1)]),
        state: Vec::new(),
    };
    let (term, entries) = (1, Vec::new());
    let heartbeat = Message::Append {
        term,
        previous: (0, 0),
        entries,
        commit: 0,
    };
    for message in [Message::Install { term, snapshot }, heartbeat] {
        raft.on_message(node(1), message, now, random, &mut out);
    }
    raft.on_persisted(raft.written, now, &mut out);
    let answer = Message::Matched { term, index: 9 };
    assert_eq!(out.messages, [(node(1), answer)]);
}
