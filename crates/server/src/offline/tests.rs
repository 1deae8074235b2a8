//! A node that is left alone decides alone, and not while another voter is there.

use super::*;
use cluster::metadata::{ClusterIdentity, Command, Member, Metadata, Proposal, ProposalId};
use cluster::raft::Snapshot;
use cluster::ring::Location;
use cluster::topology::NodeId;
use node::metadata_log::{NodeIdentity, Stored};
use std::net::TcpListener;
use std::path::PathBuf;
use uuid::Uuid;

fn member(number: u32, address: SocketAddr) -> Member {
    Member {
        host_id: Uuid::from_u128(number.into()),
        incarnation: number.into(),
        internode_address: address,
        client_address: address,
        location: Location {
            datacenter: "dc1".to_owned(),
            rack: "r1".to_owned(),
        },
        tokens: Vec::new(),
        shards: 1,
        version: "1".to_owned(),
    }
}

/// A directory of the first of three voters, of which the others are at these addresses.
fn directory(others: [SocketAddr; 2]) -> PathBuf {
    let name = format!(
        "helenus-offline-{}-{}",
        std::process::id(),
        others[0].port()
    );
    let directory = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&directory).unwrap();
    let cluster = ClusterIdentity {
        id: Uuid::from_u128(9),
        name: "c".to_owned(),
    };
    let here = SocketAddr::from(([127, 0, 0, 1], 1));
    let mut metadata = Metadata::founded(cluster, member(1, here));
    for (number, address) in (2..).zip(others) {
        let proposal = Proposal {
            id: ProposalId {
                node: NodeId(1),
                number: number.into(),
            },
            command: Command::Register(Box::new(member(number, address))),
        };
        let (after, ended) = metadata.apply(metadata.epoch + 1, &proposal);
        assert_eq!(ended, Ok(()));
        metadata = after;
    }
    let snapshot = Snapshot {
        index: metadata.epoch,
        term: 4,
        voters: [1, 2, 3].map(NodeId).into(),
        state: metadata.encode(),
    };
    let identity = NodeIdentity {
        host_id: Uuid::from_u128(1),
        incarnation: 1,
        node: None,
    };
    let stored = Stored::joined(identity, NodeId(1), snapshot);
    let (disk, mut io) = (Disk::new(&directory), IoQueue::default());
    let mut log = MetaLog::open(METADATA_IO_SPACE, &mut io);
    settle(&disk, &mut log, &mut io);
    log.replace(stored.payloads(), TICKET, &mut io);
    settle(&disk, &mut log, &mut io);
    directory
}

#[test]
fn who_is_left_of_three_voters_decides_alone_once_the_others_are_gone() {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [second, third] = listeners.each_ref().map(|one| one.local_addr().unwrap());
    let directory = directory([second, third]);
    let [two, three] = listeners;
    drop(two);
    let open = || Offline::open(&directory).unwrap();
    let held_before = open().held().last;
    assert_eq!(held_before, (4, 3));
    assert!(matches!(
        open().recover(),
        Err(OfflineError::VoterAnswers { number: 3, .. })
    ));
    assert_eq!(open().held().last, held_before, "nothing was written");
    drop(three);
    open().recover().unwrap();
    let recovered = open();
    assert!(recovered.held().last > held_before);
    let voters: Vec<u32> = recovered.held().voters.keys().map(|id| id.0).collect();
    assert_eq!(voters, [1]);
    assert!(matches!(
        recovered.recover(),
        Err(OfflineError::Log(RecoverError::Nothing(_)))
    ));
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_directory_of_no_node_is_left_alone() {
    let directory = std::env::temp_dir().join(format!("helenus-offline-{}", std::process::id()));
    assert!(matches!(
        Offline::open(&directory),
        Err(OfflineError::NoLog(_))
    ));
    assert!(!directory.exists());
}
