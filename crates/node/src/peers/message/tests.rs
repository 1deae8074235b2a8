//! Messages survive their bytes.

use super::*;
use cluster::ring::Location;
use model::error::{RequestError, WriteType};
use model::key::DecoratedKey;
use model::read::Partitions;
use model::schema::TableId;

fn of_the_cluster() -> Vec<PeerMessage> {
    let member = Member {
        host_id: Uuid::from_u128(1),
        incarnation: 2,
        internode_address: ([127, 0, 0, 1], 7000).into(),
        client_address: ([127, 0, 0, 1], 9042).into(),
        location: Location {
            datacenter: "dc".into(),
            rack: "r".into(),
        },
        tokens: Vec::new(),
        shards: 2,
        version: "1".into(),
    };
    vec![
        PeerMessage::Gossip(vec![1, 2]),
        PeerMessage::Ping(300),
        PeerMessage::Pong(300),
        PeerMessage::Metadata(MetadataMessage::Since(9)),
        PeerMessage::Join(Box::new(JoinRequest {
            member,
            replaces: true,
        })),
        PeerMessage::NoMember,
        PeerMessage::Joined {
            node: NodeId(4),
            snapshot: Snapshot::default(),
        },
        PeerMessage::NotJoined("no".into()),
        PeerMessage::InForce(InForce {
            epoch: 300,
            schema: Uuid::from_u128(7),
        }),
    ]
}

fn of_work() -> Vec<PeerMessage> {
    let request = PeerRequest {
        shard: 3,
        id: (1 << 40).into(),
    };
    let terms = Terms {
        request,
        epoch: 300,
        wait_ms: 2_000,
    };
    let ballot = paxos::Ballot {
        micros: 1 << 50,
        node: NodeId(3),
        shard: 1,
    };
    let rows = ReadResponse {
        bytes: vec![1, 2, 3],
        ..ReadResponse::default()
    };
    vec![
        PeerMessage::Write {
            terms,
            counts: Some(Consistency::Quorum),
            mutation: vec![4, 5],
        },
        PeerMessage::Decide {
            terms,
            asked: DecisionRequest {
                table: TableId(Uuid::from_u128(5)),
                key: DecoratedKey::new(*b"key"),
                request: paxos::Request::Prepare(ballot),
                tracked: None,
            },
        },
        PeerMessage::Decided {
            request,
            result: Ok(paxos::Answer::Accepted(ballot)),
        },
        PeerMessage::Wrote {
            request,
            result: Ok(()),
        },
        PeerMessage::Wrote {
            request,
            result: Err(ReplicaError::Failed(5, "late".into())),
        },
        PeerMessage::Answered {
            request,
            result: Ok(Answer::Rows(rows)),
        },
        PeerMessage::Answered {
            request,
            result: Ok(Answer::Digest(u128::MAX, 3)),
        },
        PeerMessage::Answered {
            request,
            result: Err(ReplicaError::Overloaded("full".into())),
        },
        PeerMessage::Wrote {
            request,
            result: Err(ReplicaError::Told(Box::new(RequestError::WriteTimeout {
                consistency: Consistency::Quorum,
                received: 1,
                block_for: 2,
                write_type: WriteType::Counter,
                contentions: None,
            }))),
        },
    ]
}

/// Reads of who is to know itself fresh.
fn of_reads() -> Vec<PeerMessage> {
    let terms = Terms {
        request: PeerRequest {
            shard: 1,
            id: 7.into(),
        },
        epoch: 9,
        wait_ms: 100,
    };
    let key = Partitions::Key(DecoratedKey::new(*b"key"));
    let command = ReadCommand::all(TableId(Uuid::from_u128(5)), key, 7);
    let wanted = [false, true].map(|local| Wanted::FreshRows { local });
    let reads = wanted.map(|wanted| PeerMessage::Read {
        terms,
        wanted,
        command: Box::new(command.clone()),
    });
    let refused = PeerMessage::Answered {
        request: terms.request,
        result: Err(ReplicaError::Behind),
    };
    reads.into_iter().chain([refused]).collect()
}

#[test]
fn messages_survive_their_bytes_and_no_part_of_them_does() {
    let all = [of_the_cluster(), of_work(), of_reads()];
    for message in all.into_iter().flatten() {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        assert_eq!(PeerMessage::decode(&bytes).as_ref(), Some(&message));
        for length in 0..bytes.len() {
            // Whatever comes of a part, nothing panics.
            let _ = PeerMessage::decode(&bytes[..length]);
        }
        bytes.push(0);
        let longer = PeerMessage::decode(&bytes);
        assert_ne!(
            longer.as_ref(),
            Some(&message),
            "what is behind a message is not passed over"
        );
    }
}
