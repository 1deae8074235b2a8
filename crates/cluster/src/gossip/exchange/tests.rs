//! Messages that come late, in another order, or from a past that is over.

use super::*;
use crate::gossip::endpoint::{Identity, Versioned};
use crate::gossip::message::Delta;
use crate::gossip::simulation::{CALM, Cluster, address, identity, node};
use crate::gossip::state::{State, StateKey};
use crate::seeded::Seeded;

const NOW: BootNanos = BootNanos(5_000_000_000);

/// Node 0, which knows itself only.
fn alone() -> Gossip {
    node(0, 1, 1, NOW)
}

fn load(version: u64, load: u64) -> Versioned {
    let state = State::Load(load);
    Versioned { version, state }
}

fn delta(identity: Identity, from: u64, to: u64, values: Vec<Versioned>) -> Delta {
    Delta {
        identity,
        heartbeat: to,
        from,
        to,
        values,
    }
}

fn learn(gossip: &mut Gossip, delta: Delta) -> Vec<Effect> {
    let mut effects = Vec::new();
    gossip.learn(NOW, delta, &mut effects);
    effects
}

/// Version and load of node 2.
fn known(gossip: &Gossip) -> Option<(u64, Option<State>)> {
    let endpoint = gossip.endpoint(address(2))?;
    Some((endpoint.version(), endpoint.state(StateKey::Load).cloned()))
}

#[test]
fn a_delta_leaves_no_gap_and_brings_back_nothing_old() {
    let mut gossip = alone();
    // Of a node that is not known, only the beginning counts.
    assert_eq!(
        learn(&mut gossip, delta(identity(2, 1), 3, 5, vec![load(5, 50)])),
        []
    );
    assert_eq!(known(&gossip), None);
    learn(&mut gossip, delta(identity(2, 1), 0, 4, vec![load(4, 40)]));
    assert_eq!(known(&gossip), Some((4, Some(State::Load(40)))));
    learn(&mut gossip, delta(identity(2, 1), 6, 8, vec![load(8, 80)]));
    assert_eq!(known(&gossip), Some((4, Some(State::Load(40)))));
    // A longer delta that begins earlier may still hold what was said before.
    learn(&mut gossip, delta(identity(2, 1), 0, 5, vec![load(3, 30)]));
    assert_eq!(known(&gossip), Some((5, Some(State::Load(40)))));
}

#[test]
fn of_a_later_life_only_the_beginning_counts_and_of_an_earlier_one_nothing() {
    let mut gossip = alone();
    learn(&mut gossip, delta(identity(2, 1), 0, 4, vec![load(4, 40)]));
    assert_eq!(
        learn(&mut gossip, delta(identity(2, 2), 4, 5, vec![load(5, 50)])),
        []
    );
    assert_eq!(known(&gossip), Some((4, Some(State::Load(40)))));
    let restarted = learn(&mut gossip, delta(identity(2, 2), 0, 2, vec![]));
    assert!(matches!(restarted[..], [Effect::Restarted { .. }]));
    assert_eq!(known(&gossip), Some((2, None)));
    learn(&mut gossip, delta(identity(2, 1), 0, 9, vec![load(9, 90)]));
    assert_eq!(known(&gossip), Some((2, None)));
}

#[test]
fn hearsay_of_where_a_node_was_does_not_move_it_back() {
    let mut gossip = alone();
    let mut moved = identity(2, 2);
    moved.address = address(3);
    learn(&mut gossip, delta(identity(2, 1), 0, 1, vec![]));
    let effects = learn(&mut gossip, delta(moved, 0, 1, vec![]));
    assert!(matches!(effects[..], [Effect::Moved { .. }]));
    assert_eq!(learn(&mut gossip, delta(identity(2, 1), 0, 1, vec![])), []);
    assert!(gossip.endpoint(address(2)).is_none());
    assert!(gossip.endpoint(address(3)).is_some());
}

#[test]
fn positions_count_for_the_roster_that_was_asked_about_only() {
    let mut cluster = Cluster::settled(1, CALM, 12);
    let (now, mut random) = (cluster.now, Seeded(1));
    // Node 1 knows a later heartbeat of everybody.
    for index in 0..12 {
        let beats = 7_000_000 + index as u64;
        let endpoint = cluster.gossip(1).roster.get_mut(address(index));
        endpoint.expect("known").heartbeat = beats;
    }
    let message = |effects: &mut Vec<Effect>| match effects.pop() {
        Some(Effect::Send { bytes, .. }) => bytes,
        other => panic!("a message was expected, not {other:?}"),
    };
    let mut effects = Vec::new();
    cluster
        .gossip(0)
        .send_syn(address(1), &mut random, &mut effects);
    let syn = message(&mut effects);
    cluster
        .gossip(1)
        .on_message(now, address(0), &syn, &mut random, &mut effects);
    let ack = message(&mut effects);
    // Meanwhile node 0 hears of three more, which stand between the others.
    for index in 12..15 {
        let delta = delta(identity(index, 1), 0, 1, vec![]);
        cluster.gossip(0).learn(now, delta, &mut effects);
    }
    effects.clear();
    cluster
        .gossip(0)
        .on_message(now, address(1), &ack, &mut random, &mut effects);
    assert_eq!(effects, []);
    for index in 2..12 {
        let beats = cluster
            .gossip(0)
            .endpoint(address(index))
            .map(|e| e.heartbeat());
        assert!(beats < Some(7_000_000));
    }
    // With the roster it was about, the same answer counts.
    for index in 12..15 {
        cluster.gossip(0).roster.remove(address(index));
    }
    cluster
        .gossip(0)
        .on_message(now, address(1), &ack, &mut random, &mut effects);
    assert_eq!(effects.len(), 11);
    for index in 1..12 {
        let beats = cluster
            .gossip(0)
            .endpoint(address(index))
            .map(|e| e.heartbeat());
        assert_eq!(beats, Some(7_000_000 + index as u64));
    }
}

#[test]
fn a_request_about_another_life_is_answered_from_the_beginning() {
    let mut gossip = alone();
    learn(&mut gossip, delta(identity(2, 2), 0, 4, vec![load(4, 40)]));
    for (boot, from) in [(2, 3), (1, 0)] {
        let requests = vec![Request {
            address: address(2),
            identity: identity(2, boot).digest(),
            from: 3,
        }];
        let mut effects = Vec::new();
        let deltas = Vec::new();
        gossip.on_ack2(NOW, address(1), Ack2 { requests, deltas }, &mut effects);
        let [Effect::Send { bytes, .. }] = &effects[..] else {
            panic!("one answer was expected: {effects:?}");
        };
        let envelope = Envelope::decode(bytes).expect("a message");
        let Message::Ack2(answer) = envelope.message else {
            panic!("an ACK2 was expected");
        };
        assert_eq!(answer.deltas.len(), 1);
        assert_eq!(answer.deltas[0].from, from);
        assert!(answer.requests.is_empty());
    }
}

#[test]
fn nobody_makes_another_heart_beat_or_takes_the_last_life() {
    let mut cluster = Cluster::settled(1, CALM, 3);
    let (now, mut random, mut effects) = (cluster.now, Seeded(1), Vec::new());
    let beats = cluster.gossip(0).local().heartbeat();
    let copy = cluster.gossip(1).roster.get_mut(address(0));
    copy.expect("known").heartbeat = beats + 1_000;
    cluster
        .gossip(1)
        .send_syn(address(0), &mut random, &mut effects);
    let Some(Effect::Send { bytes, .. }) = effects.pop() else {
        panic!("a SYN was expected");
    };
    let gossip = cluster.gossip(0);
    gossip.on_message(now, address(1), &bytes, &mut random, &mut effects);
    assert_eq!(gossip.local().heartbeat(), beats);
    let own = Effect::Heard {
        address: address(0),
    };
    assert!(!effects.contains(&own));
    // There is no life after the last: what claims to be it is nonsense, and this node keeps its own.
    let mut last = identity(0, u32::MAX);
    assert_eq!(learn(gossip, delta(last, 0, 1, vec![])), []);
    assert_eq!(
        gossip.local().identity().generation,
        identity(0, 1).generation
    );
    last.generation.boot -= 1;
    let raised = learn(gossip, delta(last, 0, 1, vec![]));
    assert!(matches!(raised[..], [Effect::GenerationRaised { .. }]));
}

#[test]
fn after_a_pause_a_heart_beats_once() {
    let mut gossip = alone();
    let (mut effects, mut random) = (Vec::new(), Seeded(1));
    gossip.tick(NOW, &mut random, &mut effects);
    let later = NOW.plus_millis(3_600_000);
    gossip.tick(later, &mut random, &mut effects);
    gossip.tick(later, &mut random, &mut effects);
    assert_eq!(gossip.local().heartbeat(), 2);
    assert!(gossip.next_deadline() > later);
}

/// One exchange with a node that cannot name all it knows in one message is enough for it to be known.
#[test]
fn a_node_that_joins_400_is_soon_known_to_all() {
    let mut cluster = Cluster::settled(3, CALM, 400);
    let joiner = node(400, 1, 3, cluster.now);
    cluster.add(joiner);
    let taken = cluster.run_until(10_000, |gossip| {
        gossip.endpoint(address(400)).is_some() && gossip.endpoints().len() == 401
    });
    let taken = taken.expect("all know each other within ten seconds");
    let [sent, _, received, _] = cluster.rates(taken);
    println!("{taken} ms; most sent {sent}, most received {received} bytes/s");
}
