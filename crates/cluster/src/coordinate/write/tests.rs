//! Writes against every level and outcome of their replicas.

use super::*;
use crate::coordinate::fixtures::{Scene, cluster, network, placed, scenes, simple};
use crate::coordinate::plan::{Access, admit};
use model::error::{Consistency, ReplicaFailure};
use model::key::Token;
use proptest::prelude::*;

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn write(replicas: u32, level: Consistency, write_type: WriteType, parts: usize) -> WriteSet {
    let topology = cluster(&[("dc1", "a"), ("dc1", "b"), ("dc1", "c")]);
    let keyspace = simple(replicas);
    let plan = || {
        admit(
            Access::Write,
            level,
            &placed(&topology, &keyspace),
            &topology,
            Token(1),
        )
    };
    WriteSet::new(write_type, (0..parts).map(|_| plan())).expect("all are alive")
}

fn failed() -> ReplicaError {
    ReplicaError::Failed(7, "broken".to_owned())
}

#[test]
fn every_live_replica_gets_every_part() {
    let write = write(3, Consistency::One, WriteType::UnloggedBatch, 2);
    let sends: Vec<(u32, usize)> = write
        .sends()
        .into_iter()
        .map(|send| (send.replica.0, send.part))
        .collect();
    assert_eq!(sends, [(1, 0), (2, 0), (3, 0), (1, 1), (2, 1), (3, 1)]);
}

#[test]
fn a_quorum_answers_the_client_once() {
    let mut write = write(3, Consistency::Quorum, WriteType::Simple, 1);
    assert_eq!(write.on_ack(0, NodeId(1)), Progress::Pending);
    assert_eq!(write.on_ack(0, NodeId(1)), Progress::Pending, "the same");
    assert_eq!(write.on_ack(0, NodeId(2)), Progress::Done(Ok(())));
    assert_eq!(write.on_ack(0, NodeId(3)), Progress::Pending);
}

#[test]
fn failures_answer_as_soon_as_the_level_is_out_of_reach() {
    let mut write = write(3, Consistency::Quorum, WriteType::Simple, 1);
    assert_eq!(write.on_ack(0, NodeId(3)), Progress::Pending);
    let first = write.on_failure(0, NodeId(1), PEER, failed());
    assert_eq!(first, Progress::Pending);
    let told = write.on_failure(0, NodeId(2), PEER, failed());
    let failures = vec![
        ReplicaFailure {
            endpoint: PEER,
            reason: 7
        };
        2
    ];
    let wanted = RequestError::WriteFailure {
        consistency: Consistency::Quorum,
        received: 1,
        block_for: 2,
        failures,
        write_type: WriteType::Simple,
        detail: ": broken".to_owned(),
    };
    assert_eq!(told, Progress::Done(Err(wanted)));
}

#[test]
fn a_refusal_is_told_only_of_what_cannot_have_happened() {
    let full = || ReplicaError::Overloaded("full".to_owned());
    let refused = Progress::Done(Err(RequestError::Overloaded("full".to_owned())));
    let alone = |write_type, parts| {
        write(1, Consistency::One, write_type, parts).on_failure(0, NodeId(1), PEER, full())
    };
    assert_eq!(alone(WriteType::Simple, 1), refused);
    // Another part may be written, or will be by the batch log.
    assert_ne!(alone(WriteType::UnloggedBatch, 2), refused);
    assert_ne!(alone(WriteType::Batch, 1), refused);
    let mut three = write(3, Consistency::All, WriteType::Simple, 1);
    let told = three.on_failure(0, NodeId(1), PEER, full());
    assert!(matches!(
        told,
        Progress::Done(Err(RequestError::WriteFailure { .. }))
    ));
}

#[test]
fn what_needs_a_replica_that_is_away_times_out_at_once() {
    let mut write = write(3, Consistency::All, WriteType::Cas, 1);
    assert_eq!(write.on_ack(0, NodeId(1)), Progress::Pending);
    let wanted = RequestError::WriteTimeout {
        consistency: Consistency::All,
        received: 1,
        block_for: 3,
        write_type: WriteType::Cas,
        contentions: Some(0),
    };
    assert_eq!(write.on_unavailable(NodeId(2)), Progress::Done(Err(wanted)));
}

#[test]
fn far_answers_do_not_make_a_local_quorum() {
    let topology = cluster(&[("dc1", "a"), ("dc1", "b"), ("dc2", "x"), ("dc2", "y")]);
    let keyspace = network(&[("dc1", 2), ("dc2", 2)]);
    let level = Consistency::LocalQuorum;
    let plan = admit(
        Access::Write,
        level,
        &placed(&topology, &keyspace),
        &topology,
        Token(1),
    );
    let mut write = WriteSet::new(WriteType::Simple, [plan]).expect("all are alive");
    for far in [3, 4, 1] {
        assert_eq!(write.on_ack(0, NodeId(far)), Progress::Pending);
    }
    let RequestError::WriteTimeout {
        received,
        block_for,
        ..
    } = write.on_timeout()
    else {
        panic!("a timeout")
    };
    assert_eq!(
        (received, block_for),
        (1, 2),
        "never as many as are waited for"
    );
    assert_eq!(write.on_ack(0, NodeId(2)), Progress::Done(Ok(())));
}

/// What a replica does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Ack,
    Fail,
    Refuse,
    Away,
    Silent,
}

fn outcome(seed: u8) -> Outcome {
    match seed % 8 {
        0..4 => Outcome::Ack,
        4 => Outcome::Fail,
        5 => Outcome::Refuse,
        6 => Outcome::Away,
        _ => Outcome::Silent,
    }
}

/// One part's replicas: who may still answer, and who has.
#[derive(Default, Clone)]
struct Known {
    awaited: Vec<NodeId>,
    acked: Vec<NodeId>,
}

impl Known {
    fn all(&self) -> Vec<NodeId> {
        self.awaited.iter().chain(&self.acked).copied().collect()
    }
}

/// A write and what is known of it beside it.
struct Driven {
    write: WriteSet,
    known: Vec<Known>,
    open: Vec<Send>,
}

impl Driven {
    fn new(write: WriteSet, parts: usize) -> Self {
        let mut known = vec![Known::default(); parts];
        let open = write.sends().into_vec();
        for send in &open {
            known[send.part].awaited.push(send.replica);
        }
        Self { write, known, open }
    }

    /// Something becomes of what was sent.
    fn step(&mut self, Send { replica, part }: Send, outcome: Outcome) -> Progress {
        if outcome == Outcome::Away {
            self.open.retain(|send| send.replica != replica);
            for of in &mut self.known {
                of.awaited.retain(|node| *node != replica);
            }
            return self.write.on_unavailable(replica);
        }
        if outcome == Outcome::Silent {
            return Progress::Pending;
        }
        let of = &mut self.known[part];
        of.awaited.retain(|node| *node != replica);
        let error = match outcome {
            Outcome::Fail => failed(),
            Outcome::Refuse => ReplicaError::Overloaded(String::new()),
            _ => {
                of.acked.push(replica);
                return self.write.on_ack(part, replica);
            }
        };
        self.write.on_failure(part, replica, PEER, error)
    }

    /// Whether what the client was told is what the level means.
    fn is_right(&self, scene: &Scene, told: Option<&Result<(), RequestError>>) -> bool {
        let all = self.known.iter().all(|of| scene.reached(&of.acked));
        let lost = self.known.iter().any(|of| !scene.reached(&of.all()));
        match told {
            None => !all && !lost && is_timeout(&self.write.on_timeout()),
            Some(Ok(())) => all,
            Some(Err(error @ RequestError::WriteTimeout { .. })) => lost && is_timeout(error),
            Some(Err(error)) => lost && matches!(error, RequestError::WriteFailure { .. }),
        }
    }
}

/// A timeout never tells of as many answers as were waited for.
fn is_timeout(error: &RequestError) -> bool {
    matches!(error, RequestError::WriteTimeout { received, block_for, .. } if received < block_for)
}

proptest! {
    #[test]
    fn clients_are_told_what_the_level_means(
        scene in scenes(),
        tokens in prop::collection::vec(0i64..900, 1..4),
        events in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..40),
    ) {
        let keyspace = placed(&scene.topology, &scene.keyspace);
        let plans: Vec<_> = tokens
            .iter()
            .map(|token| {
                admit(Access::Batch, scene.level, &keyspace, &scene.topology, Token(*token))
            })
            .collect();
        for (token, plan) in tokens.iter().zip(&plans) {
            let placement = keyspace.placement.as_ref().expect("replicas of the ring");
            let replicas = &placement.replicas(Token(*token)).expect("a ring").natural;
            let nodes = scene.topology.nodes.iter().filter(|node| replicas.contains(&node.id));
            let alive: Vec<NodeId> = nodes.filter(|node| node.alive).map(|node| node.id).collect();
            prop_assert_eq!(plan.is_ok(), scene.reached(&alive), "{:?}", plan);
        }
        let Ok(write) = WriteSet::new(WriteType::Batch, plans) else {
            return Ok(());
        };
        let mut driven = Driven::new(write, tokens.len());
        let mut told = None;
        for (index, seed) in events {
            if driven.open.is_empty() {
                break;
            }
            let send = driven.open.swap_remove(index.index(driven.open.len()));
            if let Progress::Done(result) = driven.step(send, outcome(seed)) {
                prop_assert!(told.is_none(), "told twice");
                told = Some(result);
            }
            prop_assert!(driven.is_right(&scene, told.as_ref()), "{:?}", told);
        }
    }
}
