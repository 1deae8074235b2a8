//! Entries that follow each other, and what quorums of neighbouring steps have in common.

mod replicate;

use super::{
    Change, ClusterIdentity, Command, Member, Metadata, Proposal, ProposalId, Refused, Step,
    Transition,
};
use crate::ring::{Location, Strategy};
use crate::topology::NodeId;
use model::key::Token;
use model::schema::{Replication, SchemaEdit};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

fn member(number: u32, tokens: &[i64]) -> Member {
    let address = |port: u16| ([127, 0, 0, number as u8], port).into();
    Member {
        host_id: Uuid::from_u128(u128::from(number)),
        incarnation: u64::from(number),
        internode_address: address(7000),
        client_address: address(9042),
        location: Location {
            datacenter: "dc".into(),
            rack: format!("r{}", number % 3),
        },
        tokens: tokens.iter().map(|token| Token(*token)).collect(),
        shards: 1,
        version: "1.0.0".into(),
    }
}

/// Metadata and a count of what was proposed.
struct Cluster {
    metadata: Metadata,
    number: u64,
}

impl Cluster {
    fn new() -> Self {
        let identity = ClusterIdentity {
            id: Uuid::from_u128(7),
            name: "Test Cluster".into(),
        };
        let mut cluster = Self {
            metadata: Metadata::founded(identity, member(1, &[0])),
            number: 0,
        };
        let replication = Replication {
            class: "NetworkTopologyStrategy".into(),
            options: BTreeMap::from([("dc".into(), "3".into())]),
        };
        cluster
            .propose(Command::Edit {
                planned_on: 0,
                edits: vec![SchemaEdit::PutKeyspace {
                    name: "ks".into(),
                    replication,
                    durable_writes: true,
                }],
            })
            .expect("a keyspace");
        cluster
    }

    fn propose(&mut self, command: Command) -> Result<(), Refused> {
        self.number += 1;
        let id = ProposalId {
            node: NodeId(1),
            number: self.number,
        };
        let bytes = Proposal { id, command }.encode();
        let proposal = Proposal::decode(&bytes).expect("what was encoded");
        let (after, result) = self.metadata.apply(self.metadata.epoch + 1, &proposal);
        let (again, _) = self.metadata.apply(self.metadata.epoch + 1, &proposal);
        assert_eq!(after, again, "applying is a function");
        self.metadata = Metadata::decode(&after.encode()).expect("what was encoded");
        assert_eq!(self.metadata, after);
        result
    }

    fn change(&mut self, node: u32, change: Change) -> Result<(), Refused> {
        self.propose(Command::Begin {
            node: NodeId(node),
            change,
        })
    }

    fn advance(&mut self, node: u32, from: Step) -> Result<(), Refused> {
        self.propose(Command::Advance {
            node: NodeId(node),
            from,
        })
    }

    fn join(&mut self, number: u32, tokens: &[i64]) -> u32 {
        let node = self.metadata.next_node;
        self.propose(Command::Register(Box::new(member(number, &[]))))
            .expect("a free address");
        let tokens = tokens.iter().map(|token| Token(*token)).collect();
        self.change(node, Change::Join(tokens))
            .expect("free tokens");
        node
    }

    fn finish(&mut self, node: u32) {
        self.advance(node, Step::WriteBoth)
            .expect("it is under way");
        self.advance(node, Step::ReadNew).expect("it is under way");
    }
}

#[test]
fn a_schema_is_changed_by_one_of_two_who_planned_on_it() {
    let mut cluster = Cluster::new();
    let planned_on = cluster.metadata.schema.epoch;
    let put = |name: &str| Command::Edit {
        planned_on,
        edits: vec![SchemaEdit::DropKeyspace { name: name.into() }],
    };
    assert_eq!(cluster.propose(put("one")), Ok(()));
    assert_eq!(cluster.propose(put("other")), Err(Refused::SchemaChanged));
}

#[test]
fn a_proposal_that_comes_twice_is_carried_out_once() {
    let cluster = Cluster::new();
    let id = ProposalId {
        node: NodeId(1),
        number: 9,
    };
    let command = Command::Edit {
        planned_on: cluster.metadata.schema.epoch,
        edits: vec![SchemaEdit::DropKeyspace { name: "ks".into() }],
    };
    let proposal = Proposal { id, command };
    let (once, first) = cluster.metadata.apply(10, &proposal);
    let (twice, second) = once.apply(11, &proposal);
    assert_eq!((first, second), (Ok(()), Ok(())));
    assert_eq!(once.schema, twice.schema);
}

/// A proposer that was told of a refusal may send it again before it hears so.
#[test]
fn what_was_refused_is_not_carried_out_later() {
    let cluster = Cluster::new();
    let id = ProposalId {
        node: NodeId(1),
        number: 9,
    };
    let command = Command::Begin {
        node: NodeId(2),
        change: Change::Join(vec![Token(5)]),
    };
    let proposal = Proposal { id, command };
    let (refused, result) = cluster.metadata.apply(10, &proposal);
    assert_eq!(result, Err(Refused::NoSuchNode));
    let register = Proposal {
        id: ProposalId {
            node: NodeId(7),
            number: 1,
        },
        command: Command::Register(Box::new(member(2, &[]))),
    };
    let (registered, _) = refused.apply(11, &register);
    let (again, _) = registered.apply(12, &proposal);
    assert!(again.transitions.is_empty());
}

#[test]
fn a_new_strategy_waits_for_changes_of_the_ring() {
    let mut cluster = Cluster::new();
    let second = cluster.join(2, &[100]);
    let put = |cluster: &Cluster, factor: &str| Command::Edit {
        planned_on: cluster.metadata.schema.epoch,
        edits: vec![SchemaEdit::PutKeyspace {
            name: "other".into(),
            replication: Replication {
                class: "NetworkTopologyStrategy".into(),
                options: BTreeMap::from([("dc".into(), factor.into())]),
            },
            durable_writes: true,
        }],
    };
    let command = put(&cluster, "2");
    assert_eq!(
        cluster.propose(command),
        Err(Refused::Overlaps(NodeId(second)))
    );
    let command = put(&cluster, "3");
    assert_eq!(cluster.propose(command), Ok(()));
}

#[test]
fn a_node_is_registered_once_and_an_address_has_one_node() {
    let mut cluster = Cluster::new();
    assert_eq!(
        cluster.propose(Command::Register(Box::new(member(2, &[])))),
        Ok(())
    );
    assert_eq!(
        cluster.propose(Command::Register(Box::new(member(2, &[])))),
        Ok(())
    );
    assert_eq!(cluster.metadata.members.len(), 2);
    let mut thief = member(3, &[]);
    thief.internode_address = member(1, &[]).internode_address;
    assert_eq!(
        cluster.propose(Command::Register(Box::new(thief))),
        Err(Refused::AddressTaken(NodeId(1)))
    );
    let mut other_disk = member(2, &[]);
    other_disk.incarnation += 1;
    let update = Command::Update {
        node: NodeId(2),
        member: Box::new(other_disk),
    };
    assert_eq!(cluster.propose(update), Err(Refused::OtherDisk));
}

/// Its host id was lost with its disk, before it had anything to lose.
#[test]
fn who_begins_anew_before_it_has_joined_takes_its_own_place() {
    let mut cluster = Cluster::new();
    let first = cluster.join(2, &[100]);
    let mut again = member(2, &[]);
    again.host_id = Uuid::from_u128(20);
    let register = Command::Register(Box::new(again.clone()));
    assert_eq!(cluster.propose(register.clone()), Ok(()));
    assert!(!cluster.metadata.members.contains_key(&NodeId(first)));
    assert!(cluster.metadata.transitions.is_empty());
    let (second, _) = cluster.metadata.member_of(again.host_id).expect("a member");
    let tokens = vec![Token(100)];
    cluster
        .change(second.0, Change::Join(tokens))
        .expect("free tokens");
    cluster
        .advance(second.0, Step::WriteBoth)
        .expect("it is under way");
    let mut third = again;
    third.host_id = Uuid::from_u128(30);
    let register = Command::Register(Box::new(third));
    assert_eq!(
        cluster.propose(register),
        Err(Refused::AddressTaken(second)),
        "it is read already"
    );
}

#[test]
fn the_address_of_the_dead_is_free_for_who_replaces_it() {
    let mut cluster = Cluster::new();
    let second = NodeId(cluster.join(2, &[100]));
    cluster.finish(second.0);
    let mut again = member(2, &[]);
    again.host_id = Uuid::from_u128(20);
    let register = Command::Register(Box::new(again.clone()));
    assert_eq!(
        cluster.propose(register.clone()),
        Err(Refused::AddressTaken(second))
    );
    let address = again.internode_address;
    let displace = Command::Displace {
        node: second,
        address,
    };
    assert_eq!(cluster.propose(displace.clone()), Ok(()));
    assert_eq!(cluster.metadata.displaced[&second], address);
    assert_eq!(cluster.propose(register), Ok(()));
    assert_eq!(cluster.propose(displace), Ok(()), "it is nowhere already");
    let back = Command::Update {
        node: second,
        member: Box::new(member(2, &[])),
    };
    assert_eq!(
        cluster.propose(back),
        Err(Refused::AddressTaken(NodeId(3))),
        "the dead does not come back to it"
    );
    cluster
        .change(3, Change::Replace(second))
        .expect("it is dead");
    cluster.finish(3);
    assert_eq!(cluster.metadata.members[&NodeId(3)].tokens, [Token(100)]);
    assert!(cluster.metadata.displaced.is_empty());
}

#[test]
fn who_was_removed_does_not_return() {
    let mut cluster = Cluster::new();
    let node = cluster.join(2, &[100]);
    cluster.finish(node);
    cluster.change(node, Change::Remove).expect("a member");
    cluster.finish(node);
    assert_eq!(
        cluster.propose(Command::Register(Box::new(member(2, &[])))),
        Err(Refused::Gone)
    );
    let mut again = member(2, &[]);
    again.host_id = Uuid::from_u128(99);
    assert_eq!(cluster.propose(Command::Register(Box::new(again))), Ok(()));
    assert!(
        cluster.metadata.members.contains_key(&NodeId(node + 1)),
        "its number is not given again"
    );
    assert_eq!(
        cluster.change(1, Change::Leave),
        Err(Refused::NotInThatState),
        "nobody would have the data"
    );
}

#[test]
fn changes_that_touch_the_same_ranges_wait_for_each_other() {
    let mut cluster = Cluster::new();
    let second = cluster.join(2, &[100]);
    cluster
        .propose(Command::Register(Box::new(member(3, &[]))))
        .expect("a free address");
    assert_eq!(
        cluster.change(3, Change::Join(vec![Token(50)])),
        Err(Refused::Overlaps(NodeId(second)))
    );
    assert_eq!(
        cluster.change(3, Change::Join(vec![Token(0)])),
        Err(Refused::TokenTaken(NodeId(1)))
    );
    cluster.finish(second);
    assert_eq!(cluster.change(3, Change::Join(vec![Token(50)])), Ok(()));
    cluster
        .advance(3, Step::WriteBoth)
        .expect("it is under way");
    assert_eq!(
        cluster.change(3, Change::Remove),
        Err(Refused::Overlaps(NodeId(3))),
        "it is nearly there"
    );
}

#[test]
fn who_dies_in_the_middle_of_a_change_is_removed() {
    let mut cluster = Cluster::new();
    for (number, token) in [(2, 100), (3, 200)] {
        let node = cluster.join(number, &[token]);
        cluster.finish(node);
    }
    assert_eq!(cluster.change(3, Change::Leave), Ok(()));
    assert_eq!(
        cluster.change(3, Change::Move(vec![Token(7)])),
        Err(Refused::Overlaps(NodeId(3)))
    );
    let begun = cluster.metadata.placement_epoch;
    assert_eq!(cluster.change(3, Change::Remove), Ok(()));
    let transition = &cluster.metadata.transitions[&NodeId(3)];
    assert_eq!(transition.change, Change::Remove);
    assert!(transition.since > begun, "everybody streams anew");
    assert_eq!(
        cluster.change(3, Change::Remove),
        Err(Refused::Overlaps(NodeId(3)))
    );
    cluster.finish(3);
    assert!(!cluster.metadata.members.contains_key(&NodeId(3)));
}

#[test]
fn a_replacement_takes_the_tokens_of_the_dead() {
    let mut cluster = Cluster::new();
    let second = cluster.join(2, &[100, 300]);
    cluster.finish(second);
    cluster
        .propose(Command::Register(Box::new(member(4, &[]))))
        .expect("a free address");
    cluster
        .change(3, Change::Replace(NodeId(second)))
        .expect("a dead member");
    cluster.finish(3);
    assert_eq!(
        cluster.metadata.members[&NodeId(3)].tokens,
        [Token(100), Token(300)]
    );
    assert!(!cluster.metadata.members.contains_key(&NodeId(second)));
}

/// The voters that one change after the other leads to.
fn voters_of(metadata: &Metadata, begin: &[u32], alive: &[u32]) -> Vec<u32> {
    let alive = alive.iter().map(|id| NodeId(*id)).collect();
    let mut voters: BTreeSet<NodeId> = begin.iter().map(|id| NodeId(*id)).collect();
    for _ in 0..20 {
        let Some(next) = metadata.next_voters(&voters, &alive) else {
            return voters.iter().map(|id| id.0).collect();
        };
        assert_eq!(
            next.symmetric_difference(&voters).count(),
            1,
            "one at a time"
        );
        voters = next;
    }
    panic!("the changes come to an end");
}

#[test]
fn voters_are_few_alive_and_spread_over_racks() {
    let mut cluster = Cluster::new();
    assert_eq!(voters_of(&cluster.metadata, &[1], &[1]), [1]);
    for (number, token) in [(2, 10), (3, 20), (4, 30), (5, 40), (6, 50)] {
        let node = cluster.join(number, &[token]);
        cluster.finish(node);
        if number == 2 {
            assert_eq!(voters_of(&cluster.metadata, &[1], &[1, 2]), [1]);
        }
    }
    let all = [1, 2, 3, 4, 5, 6];
    assert_eq!(voters_of(&cluster.metadata, &[1], &all).len(), 5);
    let mut four = cluster.metadata.clone();
    four.members.remove(&NodeId(5));
    four.members.remove(&NodeId(6));
    // Racks are the numbers modulo three: 1 and 4 share one.
    assert_eq!(voters_of(&four, &[1], &all), [1, 2, 3]);
    assert_eq!(
        voters_of(&four, &[1, 2, 3], &[1, 3, 4]),
        [1, 3, 4],
        "who is dead is replaced"
    );
    assert_eq!(
        voters_of(&four, &[1, 2, 3], &[1, 3]),
        [1, 2, 3],
        "if there is anybody"
    );
    assert_eq!(voters_of(&four, &[1, 2, 3, 4], &all), [1, 2, 3]);
    let mut two = four.clone();
    two.members.remove(&NodeId(3));
    two.members.remove(&NodeId(4));
    let leave = Transition {
        change: Change::Leave,
        step: Step::WriteBoth,
        since: two.epoch,
        takes_fewer: false,
    };
    two.transitions.insert(NodeId(1), leave);
    assert_eq!(
        voters_of(&two, &[1], &[1, 2]),
        [2],
        "who stays has the vote before the other is gone"
    );
    assert_eq!(voters_of(&two, &[1], &[1]), [1], "if it answers");
}

fn quorum(replicas: &[NodeId]) -> usize {
    replicas.len() / 2 + 1
}

proptest! {
    /// Whoever writes by one of two neighbouring steps and whoever reads by the other meet in at least one replica.
    #[test]
    fn quorums_of_neighbouring_steps_meet(
        tokens in proptest::collection::btree_set(1i64..1_000, 12),
        what in 0u8..3,
        probe in any::<i64>(),
        factor in 1u32..5,
    ) {
        let tokens: Vec<i64> = tokens.into_iter().collect();
        let mut cluster = Cluster::new();
        for (index, pair) in tokens[..8].chunks(2).enumerate() {
            let node = cluster.join(index as u32 + 2, pair);
            cluster.finish(node);
        }
        let changed = match what {
            0 => cluster.join(9, &tokens[8..]),
            1 => { cluster.change(3, Change::Leave).expect("a member"); 3 }
            _ => { cluster.change(3, Change::Move(tokens[8..].iter().map(|token| Token(*token)).collect())).expect("free tokens"); 3 }
        };
        let strategy = Strategy::Simple(factor);
        let mut before = cluster.metadata.clone();
        before.transitions.clear();
        let mut steps = vec![before];
        for step in [Step::WriteBoth, Step::ReadNew] {
            steps.push(cluster.metadata.clone());
            cluster.advance(changed, step).expect("it is under way");
        }
        steps.push(cluster.metadata.clone());
        for token in tokens.iter().map(|token| Token(*token)).chain([Token(probe)]) {
            for pair in steps.windows(2) {
                for (writer, reader) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
                    let (written, read) = (writer.place(&strategy), reader.place(&strategy));
                    let (written, read) = (written.replicas(token).expect("members"), read.replicas(token).expect("members"));
                    let needed = quorum(&written.natural) + written.pending.len();
                    // The most of what is read that can miss a write that was acknowledged.
                    let elsewhere = written.all().filter(|id| !read.natural.contains(id)).count();
                    let reached = needed.saturating_sub(elsewhere);
                    prop_assert!(reached + quorum(&read.natural) > read.natural.len(), "{written:?} {read:?}");
                }
            }
        }
        let owners: BTreeSet<NodeId> = cluster.metadata.ring().tokens().iter().map(|(_, id)| *id).collect();
        prop_assert_eq!(owners.contains(&NodeId(changed)), what != 1);
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = (Proposal::decode(&bytes), Metadata::decode(&bytes));
    }
}

#[test]
fn numbers_of_nodes_end_and_none_is_given_twice() {
    let mut cluster = Cluster::new();
    let mut json: serde_json::Value =
        serde_json::from_slice(&cluster.metadata.encode()).expect("metadata are JSON");
    json["next_node"] = 1.into();
    assert!(Metadata::decode(json.to_string().as_bytes()).is_err());
    json["next_node"] = u32::MAX.into();
    cluster.metadata = Metadata::decode(json.to_string().as_bytes()).expect("metadata");
    let register = Command::Register(Box::new(member(2, &[])));
    assert_eq!(cluster.propose(register), Err(Refused::NoNumber));
    assert_eq!(cluster.metadata.members.len(), 1);
}
