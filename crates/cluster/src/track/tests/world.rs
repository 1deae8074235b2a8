//! Members of a group on a seeded network, with disks that lose what was not synced.

use crate::seeded::Seeded;
use crate::topology::NodeId;
use crate::track::{
    Boot, Effect, Freshness, Group, GroupConfig, GroupId, LogBirth, Restored, Summary,
};
use model::time::BootNanos;
use model::track::{Intervals, LogId};
use std::collections::{BTreeMap, BTreeSet};

pub const MILLISECOND: u64 = 1_000_000;
const GATE_MS: u64 = 1_000;

type Id = (LogBirth, u64);

#[derive(Clone)]
enum Message {
    Append(Id),
    Appended(Id),
    Summary(Vec<u8>),
    Pull(LogBirth, Intervals),
    Record(Id),
}

pub struct Member {
    incarnation: u64,
    boot: Boot,
    pub group: Option<Group>,
    /// What is synced.
    disk: BTreeSet<Key>,
    /// Boots that nothing is taken in before; synced.
    fence: BTreeMap<NodeId, Boot>,
    retired: BTreeMap<NodeId, Boot>,
    /// What the home was not told of the disk yet, and when it is.
    untold: Option<(u64, Vec<(LogBirth, Intervals)>)>,
    /// What will be synced, and when.
    syncing: Vec<(u64, Id, NodeId)>,
    next_sequence: u64,
    /// It does nothing until then.
    paused: u64,
    /// Answers of its shards, and when.
    answers: Vec<(u64, u64)>,
}

impl Member {
    fn birth(&self, id: NodeId) -> LogBirth {
        LogBirth {
            log: LogId::new(id.0, self.boot, 0).expect("small numbers"),
            boot: self.boot,
        }
    }
}

pub struct World {
    pub members: BTreeMap<NodeId, Member>,
    network: BTreeMap<(u64, u64), (NodeId, NodeId, Message)>,
    sent: u64,
    pub now: u64,
    pub random: Seeded,
    pub lossy: bool,
    pub cut: BTreeSet<(NodeId, NodeId)>,
    /// Who is known to hold what, by those who coordinate.
    holders: BTreeMap<Key, BTreeSet<NodeId>>,
    /// When each was acknowledged by one member, and by a majority.
    pub acknowledged: BTreeMap<Key, (u64, Option<u64>)>,
    pub proofs: u64,
    pub fresh_looks: u64,
}

/// A write as disks keep it.
type Key = (LogId, Boot, u64);

fn key(id: Id) -> Key {
    (id.0.log, id.0.boot, id.1)
}

impl World {
    pub fn new(seed: u64, members: u32) -> Self {
        let mut world = Self {
            members: BTreeMap::new(),
            network: BTreeMap::new(),
            sent: 0,
            now: MILLISECOND,
            random: Seeded(seed),
            lossy: false,
            cut: BTreeSet::new(),
            holders: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            proofs: 0,
            fresh_looks: 0,
        };
        for number in 1..=members {
            world.members.insert(
                NodeId(number),
                Member {
                    incarnation: u64::from(number),
                    boot: 0,
                    group: None,
                    disk: BTreeSet::new(),
                    fence: BTreeMap::new(),
                    retired: BTreeMap::new(),
                    untold: None,
                    syncing: Vec::new(),
                    next_sequence: 0,
                    paused: 0,
                    answers: Vec::new(),
                },
            );
        }
        for id in world.ids() {
            world.start(id);
        }
        world
    }

    pub fn ids(&self) -> Vec<NodeId> {
        self.members.keys().copied().collect()
    }

    pub fn start(&mut self, id: NodeId) {
        let members = self.ids();
        let now = BootNanos(self.now);
        let member = self.members.get_mut(&id).expect("a member");
        member.boot += 1;
        member.next_sequence = 1;
        let mut held: BTreeMap<(LogId, Boot), Intervals> = BTreeMap::new();
        for (log, boot, sequence) in &member.disk {
            held.entry((*log, *boot))
                .or_default()
                .insert(*sequence, *sequence);
        }
        let held = held
            .into_iter()
            .map(|((log, boot), held)| (LogBirth { log, boot }, held));
        let held: Vec<(LogBirth, Intervals)> = held.collect();
        // Shards tell a home what they held when it has spoken already, but before they answer its first question.
        let late = self.random.below(2) == 0;
        let restored = Restored {
            held: if late { Vec::new() } else { held.clone() },
            boots: member.fence.clone(),
            retired: if late {
                BTreeMap::new()
            } else {
                member.retired.clone()
            },
        };
        member.untold = if late {
            Some((self.now + self.random.below(200) * MILLISECOND, held))
        } else {
            None
        };
        let config = GroupConfig {
            id: GroupId::of(&members),
            me: id,
            incarnation: member.incarnation,
            boot: member.boot,
            local_members: members.iter().copied().collect(),
            members,
            summary_ms: 100,
            gate_ms: GATE_MS,
        };
        member.group = Some(Group::new(config, restored, now));
    }

    /// A member's group is made anew within its boot, as when the members of the cluster change.
    pub fn renew(&mut self, id: NodeId) {
        let now = BootNanos(self.now);
        let member = self.members.get_mut(&id).expect("a member");
        if let Some(group) = member.group.take() {
            let config = group.config().clone();
            member.answers.clear();
            member.group = Some(Group::new(config, group.to_restore(), now));
        }
    }

    pub fn crash(&mut self, id: NodeId) {
        let survives = self.random.below(2) == 0;
        let member = self.members.get_mut(&id).expect("a member");
        member.group = None;
        member.answers.clear();
        member.paused = 0;
        for (_, (birth, sequence), _) in std::mem::take(&mut member.syncing) {
            if survives {
                member.disk.insert((birth.log, birth.boot, sequence));
            }
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, message: &Message) {
        let copies = if self.lossy {
            self.random.below(10).min(2)
        } else {
            1
        };
        for _ in 0..copies {
            let delay = if self.lossy {
                self.random.below(400)
            } else {
                self.random.below(5)
            };
            self.sent += 1;
            let at = self.now + (1 + delay) * MILLISECOND;
            self.network
                .insert((at, self.sent), (from, to, message.clone()));
        }
    }

    fn sync(&mut self, id: NodeId, write: Id, tell: NodeId) {
        let at = self.now + (1 + self.random.below(10)) * MILLISECOND;
        if let Some(member) = self.members.get_mut(&id) {
            member.syncing.push((at, write, tell));
        }
    }

    pub fn write(&mut self) {
        let ids = self.ids();
        let id = ids[self.random.below(ids.len() as u64) as usize];
        let now = self.now;
        let member = self.members.get_mut(&id).expect("a member");
        let birth = member.birth(id);
        let Some(group) = &mut member.group else {
            return;
        };
        if member.paused > now {
            return;
        }
        let write = (birth, member.next_sequence);
        member.next_sequence += 1;
        group.on_assigned(birth, write.1);
        self.sync(id, write, id);
        for peer in ids.iter().filter(|peer| **peer != id) {
            self.send(id, *peer, &Message::Append(write));
        }
    }

    fn held_by(&mut self, write: Id, holder: NodeId) {
        let majority = self.members.len() / 2 + 1;
        let now = self.now;
        let holders = self.holders.entry(key(write)).or_default();
        holders.insert(holder);
        let enough = holders.len() >= majority;
        let acknowledged = self.acknowledged.entry(key(write)).or_insert((now, None));
        if enough {
            acknowledged.1.get_or_insert(now);
        }
    }

    fn deliver(&mut self, from: NodeId, to: NodeId, message: Message) {
        let member = self.members.get_mut(&to).expect("a member");
        let Some(group) = &mut member.group else {
            return;
        };
        match message {
            Message::Append(write) => {
                let birth = write.0;
                let origin = NodeId(birth.log.node());
                let fenced = member
                    .fence
                    .get(&origin)
                    .is_some_and(|boot| birth.boot < *boot);
                if !fenced && group.admits(birth) {
                    self.sync(to, write, origin);
                }
            }
            Message::Record(write) => self.sync(to, write, to),
            // The coordinator counts, unless it has died since.
            Message::Appended(write) => {
                if write.0 == member.birth(to) {
                    self.held_by(write, from);
                }
            }
            Message::Summary(bytes) => {
                let summary = Summary::decode(&bytes).expect("what was encoded");
                let mut effects = Vec::new();
                group.on_summary(from, summary, BootNanos(self.now), &mut effects);
                for effect in effects {
                    self.carry_out(to, effect);
                }
            }
            Message::Pull(birth, sequences) => {
                let held: Vec<u64> = sequences
                    .iter()
                    .flat_map(|(first, last)| first..=last)
                    .filter(|sequence| member.disk.contains(&(birth.log, birth.boot, *sequence)))
                    .collect();
                for sequence in held {
                    self.send(to, from, &Message::Record((birth, sequence)));
                }
            }
        }
    }

    fn turn(&mut self, id: NodeId) {
        let now = self.now;
        let member = self.members.get_mut(&id).expect("a member");
        let Some(group) = &mut member.group else {
            return;
        };
        if member.paused > now {
            return;
        }
        let mut done = Vec::new();
        member.syncing.retain(|(at, write, tell)| {
            if *at <= now {
                done.push((*write, *tell));
            }
            *at > now
        });
        for ((birth, sequence), _) in &done {
            member.disk.insert((birth.log, birth.boot, *sequence));
            group.on_durable(*birth, &Intervals::run(*sequence, *sequence));
        }
        let told = member.untold.take_if(|(at, _)| *at <= now);
        if let Some((_, held)) = told {
            for (origin, boot) in &member.retired {
                group.on_retired(*origin, *boot);
            }
            for (birth, held) in held {
                group.on_durable(birth, &held);
            }
        }
        let is_due = |at: u64| at <= now && member.untold.is_none();
        let answered: Vec<u64> = member
            .answers
            .iter()
            .filter(|(at, _)| is_due(*at))
            .map(|(_, round)| *round)
            .collect();
        member.answers.retain(|(at, _)| !is_due(*at));
        answered.iter().for_each(|round| group.on_asked(*round));
        let mut effects = Vec::new();
        group.tick(BootNanos(now), &mut effects);
        for (origin, boot) in group.take_retired() {
            member.retired.insert(origin, boot);
        }
        for (write, tell) in done {
            if tell == id {
                self.held_by(write, id);
            } else {
                self.send(id, tell, &Message::Appended(write));
            }
        }
        for effect in effects {
            self.carry_out(id, effect);
        }
    }

    fn carry_out(&mut self, id: NodeId, effect: Effect) {
        match effect {
            Effect::Ask { round, boots } => {
                let at = self.now + self.random.below(20) * MILLISECOND;
                let member = self.members.get_mut(&id).expect("a member");
                member.fence = boots.into_iter().collect();
                member.answers.push((at, round));
            }
            Effect::Send { to, summary } => {
                let mut bytes = Vec::new();
                summary.encode(&mut bytes);
                self.send(id, to, &Message::Summary(bytes));
            }
            Effect::Pull {
                from,
                log,
                sequences,
            } => self.send(id, from, &Message::Pull(log, sequences)),
            Effect::Proved(at) => {
                self.proofs += 1;
                for (write, (acknowledged, _)) in &self.acknowledged {
                    if *acknowledged < at.0 {
                        for (peer, member) in &self.members {
                            assert!(
                                member.disk.contains(write),
                                "{id:?} proved up to {at:?} what {peer:?} lacks: {write:?}, acknowledged at {acknowledged}"
                            );
                        }
                    }
                }
            }
            Effect::Fresh(_) => {}
        }
    }

    /// Whoever says it is fresh holds all that a majority acknowledged longer ago than the gate's bound.
    fn look(&mut self, id: NodeId) {
        let member = &self.members[&id];
        let Some(group) = &member.group else { return };
        if member.paused > self.now || !group.freshness(id, BootNanos(self.now)).all {
            return;
        }
        self.fresh_looks += 1;
        let bound = (GATE_MS + 20) * MILLISECOND;
        for (write, (_, majority)) in &self.acknowledged {
            if majority.is_some_and(|at| at + bound < self.now) {
                assert!(
                    member.disk.contains(write),
                    "{id:?} is fresh at {} and lacks {write:?}, acknowledged at {majority:?}",
                    self.now
                );
            }
        }
    }

    pub fn run(&mut self, millis: u64) {
        let until = self.now + millis * MILLISECOND;
        while self.now < until {
            self.now += MILLISECOND;
            while let Some(entry) = self.network.first_entry()
                && entry.key().0 <= self.now
            {
                let (from, to, message) = entry.remove();
                if self.members[&to].paused > self.now {
                    let later = self.members[&to].paused;
                    self.sent += 1;
                    self.network.insert((later, self.sent), (from, to, message));
                } else if !self.cut.contains(&(from, to)) {
                    self.deliver(from, to, message);
                }
            }
            for id in self.ids() {
                self.turn(id);
                if self.now.is_multiple_of(20 * MILLISECOND) {
                    self.look(id);
                }
            }
        }
    }

    pub fn fault(&mut self) {
        let ids = self.ids();
        let id = ids[self.random.below(ids.len() as u64) as usize];
        let other = ids[self.random.below(ids.len() as u64) as usize];
        match self.random.below(8) {
            0 | 1 => self.crash(id),
            2 | 3 => {
                if self.members[&id].group.is_none() {
                    self.start(id);
                }
            }
            4 => {
                self.cut.insert((id, other));
            }
            5 => {
                for peer in ids {
                    self.cut.insert((id, peer));
                    self.cut.insert((peer, id));
                }
            }
            6 => {
                let until = self.now + self.random.below(4_000) * MILLISECOND;
                self.members.get_mut(&id).expect("a member").paused = until;
            }
            _ => self.cut.clear(),
        }
    }

    pub fn heal(&mut self) {
        self.lossy = false;
        self.cut.clear();
        for id in self.ids() {
            if self.members[&id].group.is_none() {
                self.start(id);
            }
        }
        let healed = self.now;
        for _ in 0..60 {
            self.run(500);
            let equal = self
                .members
                .values()
                .all(|member| member.disk == self.members[&NodeId(1)].disk);
            let proved = self.members.iter().all(|(id, member)| {
                let group = member.group.as_ref().expect("it runs");
                group.proved().is_some_and(|at| at.0 > healed)
                    && group.freshness(*id, BootNanos(self.now))
                        == Freshness {
                            all: true,
                            local: true,
                            behind: false,
                        }
                    && group.debts().iter().all(|(_, count)| *count == 0)
                    && group.logs() <= self.members.len()
            });
            if equal && proved {
                return;
            }
        }
        for (id, member) in &self.members {
            eprintln!(
                "{id:?} {:?} {} on disk, {:#?}",
                member.boot,
                member.disk.len(),
                member.group
            );
        }
        panic!("all hold all once the faults are over");
    }
}
