//! Reads against every level and outcome of their replicas.

use super::*;
use crate::coordinate::fixtures::{Scene, cluster, network, placed, scenes, simple};
use crate::coordinate::plan::{Access, admit};
use model::error::Consistency;
use model::key::Token;
use proptest::prelude::*;
use std::collections::BTreeSet;

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn read(level: Consistency) -> Read {
    let topology = cluster(&[("dc1", "a"), ("dc1", "b"), ("dc1", "c")]);
    let plan = admit(
        Access::Read,
        level,
        &placed(&topology, &simple(3)),
        &topology,
        Token(1),
    );
    Read::new(plan.expect("all are alive"))
}

fn asks(read: &Read) -> Vec<(u32, Wanted)> {
    read.asks().map(|ask| (ask.replica.0, ask.wanted)).collect()
}

fn failed() -> ReplicaError {
    ReplicaError::Failed(1, "broken".to_owned())
}

#[test]
fn one_replica_needs_no_digest() {
    let mut read = read(Consistency::One);
    assert_eq!(asks(&read), [(1, Wanted::Data)]);
    let done = read.on_data(NodeId(1), || panic!("nothing to compare with"));
    assert_eq!(done, Progress::Done);
}

#[test]
fn a_quorum_compares_digests() {
    let mut same = read(Consistency::Quorum);
    assert_eq!(asks(&same), [(1, Wanted::Data), (2, Wanted::Digest)]);
    assert_eq!(same.on_digest(NodeId(2), 5), Progress::Pending);
    assert_eq!(same.on_data(NodeId(1), || 5), Progress::Done);
    let mut other = read(Consistency::Quorum);
    assert_eq!(other.on_data(NodeId(1), || 5), Progress::Pending);
    let ask = Ask {
        replica: NodeId(2),
        wanted: Wanted::Data,
    };
    assert_eq!(other.on_digest(NodeId(2), 6), Progress::Compare(vec![ask]));
    let RequestError::ReadTimeout {
        received,
        data_present,
        ..
    } = other.on_timeout()
    else {
        panic!("a timeout")
    };
    assert_eq!((received, data_present), (1, true));
    assert_eq!(other.on_data(NodeId(2), || 6), Progress::Merge);
}

#[test]
fn a_replica_that_fails_or_is_slow_is_replaced() {
    let mut read = read(Consistency::One);
    let data_of = |node| Ask {
        replica: NodeId(node),
        wanted: Wanted::Data,
    };
    let next = read.on_failure(NodeId(1), PEER, failed());
    assert_eq!(next, Progress::Ask(data_of(2)));
    assert_eq!(read.on_slow(), Some(data_of(3)));
    assert_eq!(read.on_slow(), None);
    assert_eq!(read.on_unavailable(NodeId(2)), Progress::Pending);
    let Progress::Failed(RequestError::ReadFailure {
        received,
        block_for,
        failures,
        data_present,
        ..
    }) = read.on_failure(NodeId(3), PEER, failed())
    else {
        panic!("nobody is left")
    };
    assert_eq!((received, block_for, failures.len()), (0, 1, 2));
    assert!(!data_present);
}

#[test]
fn enough_answers_without_data_are_no_answer() {
    let mut read = read(Consistency::All);
    assert_eq!(read.on_digest(NodeId(2), 1), Progress::Pending);
    assert_eq!(read.on_digest(NodeId(3), 1), Progress::Pending);
    let RequestError::ReadTimeout {
        received,
        block_for,
        data_present,
        ..
    } = read.on_timeout()
    else {
        panic!("a timeout")
    };
    assert_eq!((received, block_for, data_present), (2, 3, false));
}

#[test]
fn a_refusal_of_all_is_a_refusal() {
    let topology = cluster(&[("dc1", "a")]);
    let level = Consistency::LocalOne;
    let keyspace = network(&[("dc1", 1)]);
    let plan = admit(
        Access::Read,
        level,
        &placed(&topology, &keyspace),
        &topology,
        Token(1),
    );
    let mut read = Read::new(plan.expect("it is alive"));
    let refused = ReplicaError::Overloaded("full".to_owned());
    let told = RequestError::Overloaded("full".to_owned());
    assert_eq!(
        read.on_failure(NodeId(1), PEER, refused),
        Progress::Failed(told)
    );
}

/// A read and what is known of it beside it.
struct Driven {
    read: Read,
    open: Vec<Ask>,
    /// What each node has, and what becomes of asking it.
    versions: Vec<Digest>,
    fates: Vec<u8>,
    answered: BTreeSet<NodeId>,
    data: BTreeSet<NodeId>,
    all_well: bool,
}

impl Driven {
    fn step(&mut self, ask: Ask) -> Progress {
        let place = ask.replica.0 as usize - 1;
        let version = self.versions[place];
        match (self.fates[place] % 6, ask.wanted) {
            (0, _) => {
                self.all_well = false;
                self.read.on_failure(ask.replica, PEER, failed())
            }
            (1, _) => {
                self.all_well = false;
                self.open.retain(|other| other.replica != ask.replica);
                self.read.on_unavailable(ask.replica)
            }
            (_, Wanted::Data) => {
                self.answered.insert(ask.replica);
                self.data.insert(ask.replica);
                self.read.on_data(ask.replica, || version)
            }
            (_, Wanted::Digest) => {
                self.answered.insert(ask.replica);
                self.read.on_digest(ask.replica, version)
            }
        }
    }

    /// Whether a read may end so.
    fn may_end(&self, scene: &Scene, end: Option<&Progress>) -> bool {
        let reached = |nodes: &BTreeSet<NodeId>| {
            let nodes: Vec<NodeId> = nodes.iter().copied().collect();
            scene.reached(&nodes)
        };
        let answered = self.answered.iter();
        let seen: BTreeSet<u128> = answered
            .map(|node| self.versions[node.0 as usize - 1])
            .collect();
        match end {
            Some(Progress::Done) => {
                reached(&self.answered) && !self.data.is_empty() && seen.len() == 1
            }
            Some(Progress::Merge) => reached(&self.data) && seen.len() > 1,
            Some(Progress::Failed(_)) => !self.all_well,
            // All answered, and nobody was told.
            None => !self.open.is_empty() || !self.all_well,
            Some(_) => false,
        }
    }
}

proptest! {
    #[test]
    fn answers_rest_on_what_the_level_wants(
        scene in scenes(),
        token in 0i64..900,
        versions in prop::collection::vec(0u128..2, 8),
        fates in prop::collection::vec(any::<u8>(), 8),
        events in prop::collection::vec(any::<prop::sample::Index>(), 60),
    ) {
        prop_assume!(scene.level != Consistency::Any);
        let plan = admit(Access::Range, scene.level, &placed(&scene.topology, &scene.keyspace), &scene.topology, Token(token));
        let Ok(plan) = plan else { return Ok(()) };
        let read = Read::new(plan);
        let open: Vec<Ask> = read.asks().collect();
        let first: Vec<NodeId> = open.iter().map(|ask| ask.replica).collect();
        prop_assert!(scene.reached(&first));
        prop_assert_eq!(open.iter().filter(|ask| ask.wanted == Wanted::Data).count(), 1);
        let mut driven = Driven {
            read,
            open,
            versions,
            fates,
            answered: BTreeSet::new(),
            data: BTreeSet::new(),
            all_well: true,
        };
        let mut end = None;
        for index in events {
            if index.index(8) == 0 {
                driven.open.extend(driven.read.on_slow());
            }
            if driven.open.is_empty() {
                break;
            }
            let ask = driven.open.swap_remove(index.index(driven.open.len()));
            match driven.step(ask) {
                Progress::Pending => {}
                Progress::Ask(ask) => driven.open.push(ask),
                Progress::Compare(asks) => driven.open.extend(asks),
                told => {
                    end = Some(told);
                    break;
                }
            }
        }
        prop_assert!(driven.may_end(&scene, end.as_ref()), "{:?}", end);
    }
}
