//! Several nodes' logs over a network that loses nothing and disks that keep everything, but for those a test breaks. What the
//! consensus withstands is tested beside it (`cluster::raft`); here, that proposals end as they are told to.

use super::{Decision, MetadataLog, MetadataMessage, NodeIdentity, Stored};
use crate::config::MetadataLogBound;
use crate::random::SplitMix;
use cluster::metadata::{ClusterIdentity, Command, Member, Metadata, Refused};
use cluster::ring::Location;
use cluster::topology::NodeId;
use model::env::{IoDone, IoError, IoOutcome, IoQueue, IoRequest, IoTag};
use model::key::Token;
use model::schema::{Replication, SchemaEdit};
use model::time::BootNanos;
use std::collections::{BTreeMap, BTreeSet};
use storage::MetaLog;
use uuid::Uuid;

const MILLISECOND: u64 = 1_000_000;

/// A disk that does everything at once.
#[derive(Default)]
struct Disk {
    files: BTreeMap<String, Vec<u8>>,
    open: BTreeMap<u64, String>,
    full: bool,
}

impl Disk {
    fn run(&mut self, request: IoRequest) -> IoOutcome {
        match request {
            IoRequest::Open { file, path, mode } => {
                if mode == model::env::OpenMode::Create {
                    self.files.insert(path.clone(), Vec::new());
                }
                let length = self.files.get(&path).map(Vec::len);
                let length = length.ok_or_else(|| IoError::NotFound(path.clone()))? as u64;
                self.open.insert(file.0, path);
                return Ok(IoDone::Opened { length });
            }
            IoRequest::Read {
                file,
                offset,
                length,
            } => {
                let bytes = &self.files[&self.open[&file.0]];
                let end = bytes.len().min(offset as usize + length);
                return Ok(IoDone::Read(bytes[offset as usize..end].to_vec()));
            }
            IoRequest::Write { file, offset, data } => {
                if self.full {
                    return Err(IoError::Full("no room".to_owned()));
                }
                let path = self.open[&file.0].clone();
                let bytes = self.files.get_mut(&path).expect("an open file");
                bytes.truncate(offset as usize);
                bytes.extend_from_slice(&data);
            }
            IoRequest::SetLength { file, length } => {
                let path = self.open[&file.0].clone();
                let bytes = self.files.get_mut(&path).expect("an open file");
                bytes.resize(length as usize, 0);
            }
            IoRequest::Rename { from, to } => {
                let bytes = self.files.remove(&from).expect("a file");
                for path in self.open.values_mut().filter(|path| **path == from) {
                    path.clone_from(&to);
                }
                self.files.insert(to, bytes);
            }
            IoRequest::Remove { path } => {
                self.files.remove(&path);
            }
            IoRequest::Chain(requests) => {
                let mut last = Ok(IoDone::Done);
                for request in requests {
                    last = self.run(request);
                    if last.is_err() {
                        break;
                    }
                }
                return last;
            }
            _ => {}
        }
        Ok(IoDone::Done)
    }
}

struct Node {
    log: MetadataLog,
    disk: Disk,
    ended: Vec<(u64, Decision)>,
}

struct World {
    nodes: BTreeMap<NodeId, Node>,
    network: Vec<(NodeId, NodeId, Vec<u8>)>,
    down: BTreeSet<NodeId>,
    now: u64,
    random: SplitMix,
    bound: MetadataLogBound,
}

fn member(number: u32) -> Member {
    let address = |port: u16| ([127, 0, 0, number as u8], port).into();
    Member {
        host_id: Uuid::from_u128(u128::from(number)),
        incarnation: 1,
        internode_address: address(7000),
        client_address: address(9042),
        location: Location {
            datacenter: "dc".into(),
            rack: "r".into(),
        },
        tokens: vec![Token(i64::from(number))],
        shards: 1,
        version: "1.0.0".into(),
    }
}

fn identity(number: u32) -> NodeIdentity {
    NodeIdentity {
        host_id: member(number).host_id,
        incarnation: 1,
        node: None,
    }
}

fn keyspace(name: &str) -> Vec<SchemaEdit> {
    vec![SchemaEdit::PutKeyspace {
        name: name.into(),
        replication: Replication {
            class: "SimpleStrategy".into(),
            options: BTreeMap::from([("replication_factor".into(), "1".into())]),
        },
        durable_writes: true,
    }]
}

impl World {
    /// A cluster of so many, all of them with tokens.
    fn new(count: u32) -> Self {
        let mut world = Self {
            nodes: BTreeMap::new(),
            network: Vec::new(),
            down: BTreeSet::new(),
            now: MILLISECOND,
            random: SplitMix::new(7),
            bound: MetadataLogBound {
                bytes: 8 << 10,
                snapshots: 4,
            },
        };
        let cluster = ClusterIdentity {
            id: Uuid::from_u128(1),
            name: "Test Cluster".into(),
        };
        let stored = Stored::founded(identity(1), &Metadata::founded(cluster, member(1)));
        world.start(NodeId(1), Some(&stored));
        world.run(500);
        for number in 2..=count {
            let id = NodeId(number);
            world.propose(NodeId(1), Command::Register(Box::new(member(number))));
            world.run(300);
            let (snapshot, entries) = world.nodes[&NodeId(1)].log.raft.committed_since(0, 1 << 20);
            let snapshot = snapshot.expect("the first entry is in a snapshot");
            let stored = Stored::joined(identity(number), id, snapshot);
            world.start(id, Some(&stored));
            assert!(!entries.is_empty());
            let tokens = member(number).tokens;
            let change = cluster::metadata::Change::Join(tokens);
            world.propose(NodeId(1), Command::Begin { node: id, change });
            for from in [
                cluster::metadata::Step::WriteBoth,
                cluster::metadata::Step::ReadNew,
            ] {
                world.run(100);
                world.propose(NodeId(1), Command::Advance { node: id, from });
            }
            world.run(2_000);
        }
        world
    }

    /// Starts a node over its disk, which holds `stored` if it is a new one.
    fn start(&mut self, id: NodeId, stored: Option<&Stored>) {
        let mut disk = self
            .nodes
            .remove(&id)
            .map(|node| node.disk)
            .unwrap_or_default();
        let mut io = IoQueue::default();
        let mut file = MetaLog::open(5, &mut io);
        let settle = |file: &mut MetaLog, disk: &mut Disk, io: &mut IoQueue| {
            while !io.is_empty() {
                let requests: Vec<_> = io.drain().collect();
                for (tag, request) in requests {
                    let outcome = disk.run(request);
                    file.on_io(tag, outcome, io);
                }
            }
        };
        settle(&mut file, &mut disk, &mut io);
        for payload in stored.map(Stored::payloads).unwrap_or_default() {
            file.append(&payload, 0, &mut io);
        }
        settle(&mut file, &mut disk, &mut io);
        file.durable_tickets();
        let read = file.take_entries();
        let read = Stored::read(read.iter().map(Vec::as_slice)).expect("readable");
        let mut stored = stored
            .cloned()
            .or(read)
            .expect("a node that was started before");
        stored.boot += 1;
        let now = BootNanos(self.now);
        let log = MetadataLog::new(
            file,
            stored,
            member(id.0),
            self.bound,
            now,
            &mut self.random,
        )
        .expect("a member");
        let ended = Vec::new();
        self.nodes.insert(id, Node { log, disk, ended });
        self.down.remove(&id);
    }

    fn propose(&mut self, id: NodeId, command: Command) {
        let now = BootNanos(self.now);
        let log = &mut self.nodes.get_mut(&id).expect("a node").log;
        log.propose(command, self.now, now.plus_millis(10_000), now);
    }

    fn edit(&mut self, id: NodeId, name: &str) {
        let planned_on = self.nodes[&id].log.metadata().schema.epoch;
        let edits = keyspace(name);
        self.propose(id, Command::Edit { planned_on, edits });
    }

    fn turn(&mut self, id: NodeId, inbox: Vec<(NodeId, Vec<u8>)>) {
        let now = BootNanos(self.now);
        let alive: BTreeSet<NodeId> = self
            .nodes
            .keys()
            .copied()
            .filter(|id| !self.down.contains(id))
            .collect();
        let node = self.nodes.get_mut(&id).expect("a node");
        let mut io = IoQueue::default();
        for (from, bytes) in inbox {
            let message = MetadataMessage::decode(&bytes).expect("what was encoded");
            node.log
                .on_message(from, message, now, &mut self.random, &mut io);
        }
        node.log.tick(&alive, now, &mut self.random, &mut io);
        while !io.is_empty() {
            let requests: Vec<(IoTag, IoRequest)> = io.drain().collect();
            for (tag, request) in requests {
                let outcome = node.disk.run(request);
                node.log.on_io(tag, outcome, now, &mut io);
            }
        }
        node.ended.extend(node.log.take_finished());
        for (to, message) in node.log.take_messages() {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            self.network.push((id, to, bytes));
        }
    }

    fn run(&mut self, millis: u64) {
        for _ in 0..millis / 5 {
            self.now += 5 * MILLISECOND;
            let mut inboxes: BTreeMap<NodeId, Vec<(NodeId, Vec<u8>)>> = BTreeMap::new();
            for (from, to, bytes) in std::mem::take(&mut self.network) {
                inboxes.entry(to).or_default().push((from, bytes));
            }
            let ids: Vec<NodeId> = self
                .nodes
                .keys()
                .copied()
                .filter(|id| !self.down.contains(id))
                .collect();
            for id in ids {
                self.turn(id, inboxes.remove(&id).unwrap_or_default());
            }
        }
    }

    fn ended(&mut self, id: u32) -> Vec<Decision> {
        let ended = std::mem::take(&mut self.nodes.get_mut(&NodeId(id)).expect("a node").ended);
        ended.into_iter().map(|(_, decision)| decision).collect()
    }

    fn leader(&self) -> NodeId {
        let up = self.nodes.iter().filter(|(id, _)| !self.down.contains(id));
        let mut leaders = up.filter(|(_, node)| node.log.raft.is_leader());
        *leaders.next().expect("a leader").0
    }
}

#[test]
fn a_node_alone_decides_in_one_turn_and_remembers() {
    let mut world = World::new(1);
    world.edit(NodeId(1), "one");
    world.run(5);
    assert_eq!(world.ended(1), [Decision::Done]);
    let before = world.nodes[&NodeId(1)].log.metadata().clone();
    world.start(NodeId(1), None);
    world.run(100);
    assert_eq!(world.nodes[&NodeId(1)].log.metadata().schema, before.schema);
    world.edit(NodeId(1), "two");
    world.run(100);
    assert_eq!(world.ended(1), [Decision::Done]);
}

#[test]
fn of_changes_planned_at_once_on_every_node_one_is_carried_out_and_all_agree() {
    let mut world = World::new(3);
    for round in 0..5 {
        for id in 1..=3 {
            world.edit(NodeId(id), &format!("round{round}"));
        }
        world.run(1_500);
        let ended: Vec<Decision> = (1..=3)
            .flat_map(|id| world.ended(id))
            .filter(|ended| *ended != Decision::Done)
            .collect();
        assert_eq!(
            ended
                .iter()
                .filter(|ended| **ended == Decision::Refused(Refused::SchemaChanged))
                .count(),
            2,
            "{ended:?}"
        );
    }
    let first = world.nodes[&NodeId(1)].log.metadata().clone();
    assert_eq!(first.schema.keyspaces.len(), 5);
    assert!(
        world
            .nodes
            .values()
            .all(|node| *node.log.metadata() == first)
    );
    assert_eq!(world.nodes[&NodeId(1)].log.status().voters.len(), 3);
}

#[test]
fn a_dead_leader_delays_and_a_minority_refuses() {
    let mut world = World::new(3);
    let leader = world.leader();
    world.down.insert(leader);
    let others: Vec<NodeId> = world
        .nodes
        .keys()
        .copied()
        .filter(|id| *id != leader)
        .collect();
    world.edit(others[0], "after");
    world.run(4_000);
    assert!(world.ended(others[0].0).contains(&Decision::Done));
    world.down.insert(others[1]);
    world.run(4_000);
    world.edit(others[0], "never");
    world.run(5);
    assert_eq!(world.ended(others[0].0), [Decision::NoMajority]);
    for id in world.down.clone() {
        world.start(id, None);
    }
    world.run(4_000);
    world.edit(others[0], "again");
    world.run(1_000);
    assert_eq!(world.ended(others[0].0), [Decision::Done]);
    let first = world.nodes[&NodeId(1)].log.metadata().schema.clone();
    assert!(
        world
            .nodes
            .values()
            .all(|node| node.log.metadata().schema == first)
    );
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_it_has_room() {
    let mut world = World::new(1);
    world.nodes.get_mut(&NodeId(1)).expect("a node").disk.full = true;
    world.edit(NodeId(1), "one");
    world.run(50);
    assert!(matches!(world.ended(1)[..], [Decision::Failed(_)]));
    world.nodes.get_mut(&NodeId(1)).expect("a node").disk.full = false;
    world.run(3_000);
    world.edit(NodeId(1), "two");
    world.run(50);
    assert_eq!(world.ended(1), [Decision::Done]);
    let before = world.nodes[&NodeId(1)].log.metadata().clone();
    world.start(NodeId(1), None);
    world.run(100);
    assert_eq!(world.nodes[&NodeId(1)].log.metadata().schema, before.schema);
}

#[test]
fn the_file_is_kept_short_and_who_missed_it_gets_a_snapshot() {
    let mut world = World::new(3);
    world.down.insert(NodeId(3));
    for round in 0..60 {
        world.edit(NodeId(1), &format!("keyspace{}", round % 3));
        world.run(700);
    }
    assert!(world.nodes[&NodeId(1)].log.raft.snapshot().index > 20);
    assert!(world.nodes[&NodeId(1)].log.disk.bytes() < 64 << 10);
    world.start(NodeId(3), None);
    world.run(4_000);
    assert_eq!(
        world.nodes[&NodeId(3)].log.metadata().schema,
        world.nodes[&NodeId(1)].log.metadata().schema
    );
    // Whoever has it gives it, leader or not.
    world
        .nodes
        .get_mut(&NodeId(3))
        .expect("a node")
        .log
        .catch_up(NodeId(2));
    world.run(100);
}

#[test]
fn a_new_directory_has_tokens_evenly_spread() {
    let tokens = super::spread_tokens(16, &mut SplitMix::new(7));
    assert_eq!(tokens.len(), 16);
    let gaps = tokens
        .windows(2)
        .map(|pair| pair[1].0.wrapping_sub(pair[0].0) as u64);
    assert!(gaps.into_iter().all(|gap| gap.abs_diff(u64::MAX / 16) < 16));
}

/// A change that is asked for while the node makes itself the leader is due when it is, not at its deadline.
#[test]
fn what_is_proposed_before_there_is_a_leader_is_sent_when_there_is() {
    let mut world = World::new(1);
    world.start(NodeId(1), None);
    world.edit(NodeId(1), "early");
    let (mut io, now) = (IoQueue::default(), BootNanos(world.now));
    let alive = BTreeSet::from([NodeId(1)]);
    let node = world.nodes.get_mut(&NodeId(1)).expect("a node");
    node.log.tick(&alive, now, &mut world.random, &mut io);
    assert!(node.log.take_finished().is_empty());
    while !io.is_empty() {
        let requests: Vec<_> = io.drain().collect();
        for (tag, request) in requests {
            let outcome = node.disk.run(request);
            node.log.on_io(tag, outcome, now, &mut io);
        }
    }
    assert!(node.log.next_deadline() <= now, "it is its turn");
    world.run(5);
    assert_eq!(world.ended(1), [Decision::Done]);
}

/// What was sent to a leader that is gone is not due again before there is another.
#[test]
fn a_node_without_a_leader_has_nothing_to_do_at_once() {
    let mut world = World::new(3);
    world.run(2_000);
    let leader = world.leader();
    let all: Vec<NodeId> = world.nodes.keys().copied().collect();
    let asker = *all.iter().find(|id| **id != leader).expect("a follower");
    world.down.extend(all.iter().filter(|id| **id != asker));
    world.edit(asker, "late");
    let mut leaderless = 0;
    for _ in 0..800 {
        world.run(5);
        let log = &world.nodes[&asker].log;
        if log.raft.leader().is_none() && !log.proposals.is_empty() {
            leaderless += 1;
            let due = log.next_deadline();
            assert!(
                due > BootNanos(world.now),
                "due at {due:?} of {}",
                world.now
            );
        }
    }
    assert!(leaderless > 100, "it waited {leaderless} times");
}
