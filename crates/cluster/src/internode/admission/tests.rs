//! Who is let in, who is not, and why.

use super::*;
use crate::topology::NodeId;

fn identity(number: u32, address: &str) -> PeerIdentity {
    PeerIdentity {
        node: Some(NodeId(number)),
        host_id: Uuid::from_u128(u128::from(number)),
        incarnation: 1,
        boot: 1,
        address: address.parse().unwrap(),
        shard: 0,
        shards: 4,
    }
}

fn place(datacenter: &str, rack: &str) -> Place {
    Place {
        datacenter: datacenter.into(),
        rack: rack.into(),
    }
}

fn admission(number: u32, address: &str) -> Admission {
    Admission {
        cluster_name: "C".into(),
        cluster_id: Uuid::from_u128(100),
        own: identity(number, address),
        own_place: place("dc1", "r1"),
        features: 0b11,
        ready: true,
        removed: BTreeSet::new(),
        members: BTreeMap::new(),
    }
}

/// What node 1 answers to node 2, once this was done to both.
fn answer(change: impl FnOnce(&mut Admission, &mut Admission)) -> Result<Accepted, RefusalReason> {
    let (mut own, mut peer) = (admission(1, "10.0.0.1:7000"), admission(2, "10.0.0.2:7000"));
    change(&mut own, &mut peer);
    match own.judge(&peer.hello(3, Class::Small, FrameCompression::None)) {
        Answer::Accepted(accepted) => Ok(accepted),
        Answer::Refused(refusal) => Err(refusal.reason),
    }
}

#[test]
fn members_of_one_cluster_agree() {
    let accepted = answer(|own, peer| {
        own.own.shards = 2;
        peer.features = 0b110;
    })
    .unwrap();
    assert_eq!((accepted.version, accepted.features), (1, 0b10));
    assert_eq!(
        accepted.identity.shard, 1,
        "shard 3 of 4 is served by 1 of 2"
    );
    assert_eq!(accepted.identity.node, Some(NodeId(1)));
    assert_eq!(
        admission(2, "10.0.0.2:7000").judge_answer(&accepted),
        Ok(())
    );
}

#[test]
fn a_node_without_a_cluster_yet_is_let_in() {
    assert!(answer(|_, peer| peer.cluster_id = Uuid::nil()).is_ok());
    assert!(answer(|own, _| own.cluster_id = Uuid::nil()).is_ok());
    let replaced = |own: &mut Admission, peer: &mut Admission| {
        // Its predecessor is dead, so the address is nobody's.
        own.members.clear();
        peer.own.host_id = Uuid::from_u128(22);
    };
    assert!(answer(replaced).is_ok());
}

#[test]
fn strangers_are_refused_with_their_reason() {
    use RefusalReason::*;
    let taken = |host_id: u128| {
        move |own: &mut Admission, _: &mut Admission| {
            let member = Member {
                host_id: Uuid::from_u128(host_id),
                place: place("dc1", "r1"),
            };
            own.members.insert("10.0.0.2:7000".parse().unwrap(), member);
        }
    };
    let refused = |change: &dyn Fn(&mut Admission, &mut Admission)| answer(change).unwrap_err();
    assert_eq!(
        refused(&|_, peer| peer.cluster_name = "D".into()),
        OtherClusterName
    );
    assert_eq!(
        refused(&|_, peer| peer.cluster_id = Uuid::max()),
        OtherClusterId
    );
    assert_eq!(refused(&|own, _| own.ready = false), NotReady);
    assert_eq!(
        refused(&|own, peer| peer.own.host_id = own.own.host_id),
        Yourself
    );
    assert_eq!(
        refused(&|own, peer| peer.own.address = own.own.address),
        AddressTaken
    );
    assert_eq!(refused(&taken(3)), AddressTaken);
    assert!(answer(taken(2)).is_ok());
    let removed = |own: &mut Admission, peer: &mut Admission| {
        own.removed.insert(peer.own.host_id);
    };
    assert_eq!(refused(&removed), Removed);
}

#[test]
fn versions_meet_or_do_not() {
    let own = admission(1, "10.0.0.1:7000");
    let mut hello = admission(2, "10.0.0.2:7000").hello(0, Class::Bulk, FrameCompression::Lz4);
    hello.highest_version = HIGHEST_VERSION + 7;
    let Answer::Accepted(mut accepted) = own.judge(&hello) else {
        panic!("a newer node speaks older versions");
    };
    assert_eq!(accepted.version, HIGHEST_VERSION);
    hello.lowest_version = HIGHEST_VERSION + 1;
    let Answer::Refused(refusal) = own.judge(&hello) else {
        panic!("there is no common version");
    };
    assert_eq!(refusal.reason, RefusalReason::NoCommonVersion);
    assert!(
        refusal.text.contains("10.0.0.2:7000 versions 2 to 8"),
        "{refusal}"
    );
    accepted.version = HIGHEST_VERSION + 1;
    let peer = admission(2, "10.0.0.2:7000");
    let refusal = peer.judge_answer(&accepted).unwrap_err();
    assert_eq!(refusal.reason, RefusalReason::NoCommonVersion);
}

#[test]
fn who_opened_a_connection_judges_too() {
    let Ok(accepted) = answer(|own, _| own.cluster_id = Uuid::nil()) else {
        panic!("the peer is in no cluster and takes anyone");
    };
    let peer = admission(2, "10.0.0.2:7000");
    assert_eq!(peer.judge_answer(&accepted), Ok(()));
    let other = Accepted {
        cluster_id: Uuid::max(),
        ..accepted
    };
    let refusal = peer.judge_answer(&other).unwrap_err();
    assert_eq!(refusal.reason, RefusalReason::OtherClusterId);
}

#[test]
fn distance_is_by_rack_and_data_centre() {
    let mut own = admission(1, "10.0.0.1:7000");
    let places = [
        ("10.0.0.2:7000", "dc1", "r1"),
        ("10.0.0.3:7000", "dc1", "r2"),
        ("10.0.0.4:7000", "dc2", "r1"),
    ];
    for (address, datacenter, rack) in places {
        let member = Member {
            host_id: Uuid::nil(),
            place: place(datacenter, rack),
        };
        own.members.insert(address.parse().unwrap(), member);
    }
    let distance = |address: &str| own.distance(address.parse().unwrap());
    assert_eq!(distance("10.0.0.2:7000"), Distance::Rack);
    assert_eq!(distance("10.0.0.3:7000"), Distance::Datacenter);
    assert_eq!(distance("10.0.0.4:7000"), Distance::Elsewhere);
    assert_eq!(distance("10.0.0.5:7000"), Distance::Elsewhere);
}
