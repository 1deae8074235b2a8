//! Fuzzers of the consensus and of the cluster's metadata: their bytes, and the machines behind them.

use super::damage;
use crate::random::Rng;
use cluster::metadata::Step;
use cluster::metadata::{Change, ClusterIdentity, Command, Member, Metadata, Proposal, ProposalId};
use cluster::raft::{Entry, Message, Output, Payload, Raft, Record, Snapshot, Timing};
use cluster::ring::Location;
use cluster::topology::NodeId;
use model::key::Token;
use model::schema::{Replication, SchemaEdit, TableId};
use model::time::BootNanos;
use node::metadata_log::{DiskRecord, MetadataMessage, NodeIdentity, Stored};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use uuid::Uuid;

fn node(rng: &mut Rng) -> NodeId {
    NodeId(1 + rng.below(4) as u32)
}

fn nodes(rng: &mut Rng) -> BTreeSet<NodeId> {
    (0..rng.below(4)).map(|_| node(rng)).collect()
}

fn entry(rng: &mut Rng) -> Entry {
    Entry {
        index: damage::number(rng),
        term: damage::number(rng),
        payload: match rng.below(3) {
            0 => Payload::Noop,
            1 => Payload::Voters(nodes(rng)),
            _ => Payload::Command(proposal(rng).encode()),
        },
    }
}

/// Entries that mostly follow each other.
fn entries(rng: &mut Rng, mut index: u64) -> Vec<Entry> {
    let count = rng.below(4);
    let entries = (0..count).map(|_| {
        let mut entry = entry(rng);
        if rng.chance(90) {
            index = index.saturating_add(1);
            entry.index = index;
        }
        entry
    });
    entries.collect()
}

fn snapshot(rng: &mut Rng) -> Snapshot {
    let index = damage::number(rng);
    let state = metadata().encode();
    Snapshot {
        index,
        term: damage::number(rng),
        voters: nodes(rng),
        state: match rng.below(3) {
            0 => damage::damaged_json(rng, &state),
            _ => state,
        },
    }
}

fn message(rng: &mut Rng) -> Message {
    let (term, index) = (damage::number(rng), damage::number(rng));
    let last_term = damage::number(rng);
    match rng.below(9) {
        0 => Message::PreVote {
            term,
            last_index: index,
            last_term,
        },
        1 => Message::PreVoteAnswer {
            term,
            granted: rng.chance(70),
        },
        2 => Message::Vote {
            term,
            last_index: index,
            last_term,
            handed_over: rng.chance(30),
        },
        3 => Message::VoteAnswer {
            term,
            granted: rng.chance(70),
        },
        4 => Message::Append {
            term,
            previous: (index, last_term),
            entries: entries(rng, index),
            commit: damage::number(rng),
        },
        5 => Message::Install {
            term,
            snapshot: snapshot(rng),
        },
        6 => Message::Matched { term, index },
        7 => Message::Mismatched { term, hint: index },
        _ => Message::TakeOver { term },
    }
}

fn record(rng: &mut Rng) -> Record {
    match rng.below(4) {
        0 => Record::Ballot {
            term: damage::number(rng),
            vote: rng.chance(50).then(|| node(rng)),
        },
        1 => Record::Entry(entry(rng)),
        2 => Record::Snapshot(snapshot(rng)),
        _ => Record::Committed(damage::number(rng)),
    }
}

/// A message as it is, or damaged, as far as that can be read.
fn received(rng: &mut Rng, message: &MetadataMessage) -> Result<Option<MetadataMessage>, String> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    if MetadataMessage::decode(&bytes).as_ref() != Some(message) {
        return Err(format!("{message:?} does not read back as written"));
    }
    if rng.chance(40) {
        bytes = damage::damaged(rng, &bytes);
    }
    Ok(MetadataMessage::decode(&bytes))
}

fn metadata_message(rng: &mut Rng) -> MetadataMessage {
    match rng.below(8) {
        0 => MetadataMessage::Propose(proposal(rng)),
        1 => MetadataMessage::Since(damage::number(rng)),
        2 => {
            let snapshot = rng.chance(40).then(|| snapshot(rng));
            let from = damage::number(rng);
            MetadataMessage::Learn {
                snapshot,
                entries: entries(rng, from),
            }
        }
        _ => MetadataMessage::Raft(message(rng)),
    }
}

/// A member takes any messages that can be read, and what it wrote by then is a log that it starts with.
pub fn members(rng: &mut Rng) -> Result<(), String> {
    let mut now = BootNanos(0);
    let first = Record::Snapshot(Snapshot {
        index: 1,
        term: 1,
        voters: [1, 2, 3].map(NodeId).into(),
        state: metadata().encode(),
    });
    let alone = Record::Snapshot(Snapshot {
        index: 1,
        term: 1,
        voters: [NodeId(1)].into(),
        state: metadata().encode(),
    });
    let mut durable = match rng.below(3) {
        0 => Vec::new(),
        1 => vec![alone],
        _ => vec![first],
    };
    let start = |durable: &[Record], now, rng: &mut Rng| {
        let records = durable.iter().cloned();
        Raft::new(NodeId(1), records, Timing::default(), now, rng)
            .map_err(|damage| format!("{damage}, and a member wrote it: {durable:?}"))
    };
    let mut raft = start(&durable, now, rng)?;
    for _ in 0..rng.below(30) {
        let mut out = Output::default();
        now = now.plus_millis(rng.below(900));
        match rng.below(10) {
            0..=2 => raft.tick(now, rng, &mut out),
            3 => raft.set_learners(nodes(rng), now, &mut out),
            4 => {
                let voters = nodes(rng);
                let _ = raft.propose_voters(voters, now, &mut out);
            }
            _ => {
                let message = metadata_message(rng);
                match received(rng, &message)? {
                    Some(MetadataMessage::Raft(message)) => {
                        let from = node(rng);
                        raft.on_message(from, message, now, rng, &mut out);
                    }
                    Some(MetadataMessage::Learn { snapshot, entries }) => {
                        raft.learn(snapshot, entries, &mut out);
                    }
                    Some(MetadataMessage::Since(epoch)) => {
                        raft.committed_since(epoch, 1_000);
                    }
                    Some(MetadataMessage::Propose(proposal)) => {
                        let _ = raft.propose(proposal.encode(), now, &mut out);
                    }
                    None => {}
                }
            }
        }
        persist(&mut raft, out, &mut durable, now);
    }
    start(&durable, now, rng).map(|_| ())
}

/// Makes durable what a member wants durable, and what it wants then.
fn persist(raft: &mut Raft, mut out: Output, durable: &mut Vec<Record>, now: BootNanos) {
    loop {
        let mut last = None;
        if let Some((position, records)) = out.replacement {
            *durable = records;
            last = Some(position);
        }
        for (position, record) in out.records {
            durable.push(record);
            last = Some(position);
        }
        let Some(position) = last else {
            return;
        };
        out = Output::default();
        raft.on_persisted(position, now, &mut out);
    }
}

/// A start reads any records, or says which it does not believe.
pub fn records(rng: &mut Rng) -> Result<(), String> {
    let identity = NodeIdentity::new(rng);
    let mut stored = Stored::founded(identity, &metadata());
    for _ in 0..rng.below(5) {
        stored.records.push(record(rng));
    }
    let mut payloads = stored.payloads();
    let read = Stored::read(payloads.iter().map(Vec::as_slice))?;
    if read.as_ref() != Some(&stored) {
        return Err(format!("{stored:?} does not read back as written"));
    }
    if rng.chance(60) {
        let at = rng.index(payloads.len());
        payloads[at] = match rng.below(3) {
            0 => DiskRecord::Boot(damage::number(rng) as u32).encode(),
            1 => damage::damaged_json(rng, &payloads[at]),
            _ => damage::damaged(rng, &payloads[at]),
        };
    }
    let Ok(Some(stored)) = Stored::read(payloads.iter().map(Vec::as_slice)) else {
        return Ok(());
    };
    if stored.boot.checked_add(1).is_none() {
        return Err("a start that cannot be counted is believed".to_owned());
    }
    let (id, now) = (NodeId(1), BootNanos(0));
    if let Ok(mut raft) = Raft::new(id, stored.records, Timing::default(), now, rng) {
        raft.begin(&mut Output::default());
    }
    Ok(())
}

fn member(number: u64, tokens: Vec<Token>) -> Member {
    let address = SocketAddr::from(([127, 0, 0, number as u8], 7_000));
    Member {
        host_id: Uuid::from_u64_pair(1, number),
        incarnation: number,
        internode_address: address,
        client_address: address,
        location: Location {
            datacenter: format!("dc{}", number % 2),
            rack: format!("rack{}", number % 3),
        },
        tokens,
        shards: 1,
        version: "1".to_owned(),
    }
}

fn metadata() -> Metadata {
    let cluster = ClusterIdentity {
        id: Uuid::from_u128(1),
        name: "cluster".to_owned(),
    };
    Metadata::founded(cluster, member(1, vec![Token(0), Token(1 << 60)]))
}

fn tokens(rng: &mut Rng) -> Vec<Token> {
    let count = rng.below(4);
    (0..count)
        .map(|_| Token(damage::number(rng) as i64))
        .collect()
}

fn proposal(rng: &mut Rng) -> Proposal {
    let node = node(rng);
    let number = 1 + rng.below(5);
    let command = match rng.below(11) {
        0 | 1 => {
            let tokens = tokens(rng);
            Command::Register(Box::new(member(number, tokens)))
        }
        2 => Command::Update {
            node,
            member: Box::new(member(number, Vec::new())),
        },
        3 => Command::Edit {
            planned_on: rng.below(4),
            edits: vec![edit(rng)],
        },
        4 => Command::Truncate(TableId(Uuid::from_u64_pair(2, number))),
        5 | 6 => Command::Begin {
            node,
            change: match rng.below(5) {
                0 | 1 => Change::Join(tokens(rng)),
                2 => Change::Leave,
                3 => Change::Replace(self::node(rng)),
                _ => Change::Move(tokens(rng)),
            },
        },
        7 => Command::Advance {
            node,
            from: *rng.pick(&[Step::WriteBoth, Step::ReadNew]),
        },
        8 => Command::TakeFewer { node },
        9 => Command::Displace {
            node,
            address: member(number, Vec::new()).internode_address,
        },
        _ => Command::Begin {
            node,
            change: Change::Remove,
        },
    };
    let id = ProposalId {
        node,
        number: damage::number(rng),
    };
    Proposal { id, command }
}

fn edit(rng: &mut Rng) -> SchemaEdit {
    let name = format!("ks{}", rng.below(3));
    match rng.below(4) {
        0 => SchemaEdit::DropKeyspace { name },
        1 => SchemaEdit::DropTable {
            keyspace: name,
            name: "t".to_owned(),
        },
        _ => {
            let factor = damage::number(rng).to_string();
            let class = *rng.pick(&["SimpleStrategy", "NetworkTopologyStrategy", "None"]);
            let option = *rng.pick(&["replication_factor", "dc0", "dc1"]);
            SchemaEdit::PutKeyspace {
                name,
                replication: Replication {
                    class: class.to_owned(),
                    options: [(option.to_owned(), factor)].into(),
                },
                durable_writes: true,
            }
        }
    }
}

/// Proposals that can be read are carried out or refused, in whatever order they come, on metadata that can be read.
pub fn proposals(rng: &mut Rng) -> Result<(), String> {
    let mut state = metadata();
    for _ in 0..rng.below(40) {
        let Some(next) = state.epoch.checked_add(1) else {
            return Ok(());
        };
        let mut bytes = proposal(rng).encode();
        if rng.chance(30) {
            bytes = damage::damaged_json(rng, &bytes);
        }
        if let Ok(proposal) = Proposal::decode(&bytes) {
            state = state.apply(next, &proposal).0;
        }
        for keyspace in state.schema.keyspaces.values() {
            state.place(&cluster::ring::Strategy::of(&keyspace.replication));
        }
        for node in state.transitions.keys() {
            cluster::stream::plan::gainers(&state, *node);
        }
        state.changing().for_each(drop);
        state.next_voters(&nodes(rng), &nodes(rng));
        let bytes = state.encode();
        let read = Metadata::decode(&bytes).map_err(|error| error.to_string())?;
        if read != state {
            return Err(format!("{state:?} does not read back as written"));
        }
        if rng.chance(10) {
            let bytes = damage::damaged_json(rng, &bytes);
            state = Metadata::decode(&bytes).unwrap_or(state);
        }
    }
    Ok(())
}
