//! What gossip promises, case by case, on clusters of a few nodes.

use crate::gossip::config::GossipConfig;
use crate::gossip::simulation::*;
use crate::gossip::state::{State, StateKey, Status};
use crate::gossip::{Effect, Generation, Gossip, Identity, Refusal};
use crate::seeded::Seeded;
use model::time::BootNanos;
use proptest::prelude::*;
use std::collections::BTreeMap;
use uuid::Uuid;

/// `nodes` that know only their seeds.
fn cold(seed: u64, nodes: usize, seeds: usize) -> Cluster {
    let mut cluster = Cluster::new(seed, CALM);
    for index in 0..nodes {
        cluster.add(node(index, 1, seeds, cluster.now));
    }
    cluster
}

fn formed(seed: u64, nodes: usize) -> Cluster {
    let mut cluster = cold(seed, nodes, 1);
    let taken = cluster.run_until(10_000, |gossip| gossip.endpoints().len() == nodes);
    assert!(taken.is_some(), "the cluster does not form");
    cluster.run(3_000);
    for told in &mut cluster.told {
        told.clear();
    }
    cluster
}

fn raw(index: usize, identity: Identity, now: BootNanos) -> Gossip {
    let config = GossipConfig {
        cluster_name: "Test Cluster".into(),
        seeds: vec![address(0)],
        identity,
    };
    assert_eq!(config.identity.address, address(index));
    Gossip::new(config, now)
}

#[test]
fn sixty_nodes_form_a_cluster_through_two_seeds() {
    let mut cluster = cold(7, 60, 2);
    let everybody = |gossip: &Gossip| {
        gossip.endpoints().len() == 60
            && gossip
                .endpoints()
                .all(|endpoint| endpoint.states().len() == 7)
    };
    let taken = cluster.run_until(10_000, everybody);
    assert!(taken.is_some_and(|millis| millis <= 5_000), "{taken:?}");
    let appeared = |told: &Vec<Effect>| {
        told.iter()
            .filter(|effect| matches!(effect, Effect::Appeared { .. }))
            .count()
    };
    assert!(cluster.told.iter().all(|told| appeared(told) == 59));
}

#[test]
fn one_seed_gives_one_history() {
    let history = |seed| {
        let mut cluster = cold(seed, 12, 2);
        cluster.run(5_000);
        let rates = cluster.rates(5_000);
        (cluster.told, rates)
    };
    assert_eq!(history(3), history(3));
    assert_ne!(history(3), history(4));
}

#[test]
fn a_node_of_another_cluster_is_refused_once_on_both_sides() {
    let mut cluster = formed(1, 3);
    let mut stranger = GossipConfig {
        cluster_name: "Other".into(),
        seeds: vec![address(0)],
        identity: identity(3, 1),
    };
    let now = cluster.now;
    cluster.add(Gossip::new(stranger.clone(), now));
    cluster.run(10_000);
    let refused = Effect::Refused {
        peer: address(3),
        host_id: identity(3, 1).host_id,
        cluster_name: "Other".into(),
        refusal: Refusal::OtherCluster {
            name: "Test Cluster".into(),
        },
    };
    assert_eq!(cluster.told[0], [refused]);
    let name = "Test Cluster".into();
    let refusal = Refusal::OtherCluster { name };
    assert_eq!(
        refusal.to_string(),
        "the clusters have different names: this one is \"Test Cluster\""
    );
    let peer = address(0);
    assert_eq!(cluster.told[3], [Effect::RefusedBy { peer, refusal }]);
    assert!(
        cluster
            .nodes
            .iter()
            .take(3)
            .flatten()
            .all(|node| node.endpoints().len() == 3)
    );

    // The same process with the right name is welcome.
    stranger.cluster_name = "Test Cluster".into();
    cluster.nodes[3] = None;
    cluster.run(1_500);
    let gossip = Gossip::new(stranger, cluster.now);
    cluster.start(3, gossip);
    let taken = cluster.run_until(5_000, |gossip| gossip.endpoints().len() == 4);
    assert!(taken.is_some());
}

#[test]
fn another_node_at_a_known_address_is_refused_unless_it_was_declared() {
    let mut cluster = formed(2, 3);
    cluster.nodes[2] = None;
    let mut newcomer = identity(2, 1);
    let holder = newcomer.host_id;
    newcomer.host_id = Uuid::from_u128(0xbeef);
    cluster.run(1_500);
    cluster.start(2, raw(2, newcomer, cluster.now));
    cluster.run(5_000);
    let refusal = Refusal::AddressTaken { holder };
    let refused = |effect: &&Effect| matches!(effect, Effect::Refused { refusal: why, .. } if *why == refusal);
    assert_eq!(cluster.told[0].iter().filter(refused).count(), 1);
    let peer = address(0);
    let refusal = refusal.clone();
    assert!(cluster.told[2].contains(&Effect::RefusedBy { peer, refusal }));
    let known = cluster.gossip(0).endpoint(address(2));
    assert_eq!(
        known.map(|endpoint| endpoint.identity().host_id),
        Some(holder)
    );

    cluster.nodes[2] = None;
    newcomer.replaces = Some(holder);
    cluster.run(1_500);
    cluster.start(2, raw(2, newcomer, cluster.now));
    let taken = cluster.run_until(5_000, |gossip| {
        gossip
            .endpoint(address(2))
            .is_some_and(|endpoint| endpoint.identity().host_id == newcomer.host_id)
            && gossip.endpoints().len() == 3
    });
    assert!(taken.is_some());
    // What others still say of the old node changes nothing.
    cluster.run(5_000);
    assert_eq!(
        cluster
            .gossip(1)
            .endpoint(address(2))
            .map(|e| *e.identity()),
        Some(newcomer)
    );
}

#[test]
fn a_restarted_node_replaces_its_earlier_life() {
    let mut cluster = formed(3, 5);
    cluster.nodes[4] = None;
    cluster.run(1_500);
    let mut again = node(4, 2, 1, cluster.now);
    again.set_local(State::ShardCount(9));
    cluster.start(4, again);
    let taken = cluster.run_until(5_000, |gossip| {
        gossip.endpoint(address(4)).is_some_and(|endpoint| {
            endpoint.identity().generation.boot == 2 && endpoint.states().len() == 8
        })
    });
    assert!(taken.is_some());
    let restarted = Effect::Restarted {
        address: address(4),
        host_id: identity(4, 2).host_id,
        generation: identity(4, 2).generation,
    };
    for told in &cluster.told[..4] {
        assert_eq!(
            told.iter().filter(|effect| **effect == restarted).count(),
            1
        );
    }
}

#[test]
fn a_node_whose_boot_number_went_back_takes_the_next_one() {
    let mut cluster = formed(4, 4);
    cluster.nodes[3] = None;
    cluster.run(1_500);
    cluster.start(3, node(3, 9, 1, cluster.now));
    cluster.run(3_000);
    cluster.nodes[3] = None;
    cluster.run(1_500);
    // Its directory was restored from a snapshot of its second life.
    cluster.start(3, node(3, 2, 1, cluster.now));
    cluster.told[3].clear();
    let taken = cluster.run_until(5_000, |gossip| {
        gossip
            .endpoint(address(3))
            .is_some_and(|endpoint| endpoint.identity().generation.boot == 10)
    });
    assert!(taken.is_some());
    let to = Generation {
        boot: 10,
        ..identity(3, 9).generation
    };
    assert!(cluster.told[3].contains(&Effect::GenerationRaised { to }));
}

#[test]
fn a_removed_node_does_not_come_back_by_hearsay_and_is_refused() {
    let mut cluster = formed(5, 4);
    let removed = identity(3, 1).host_id;
    let now = cluster.now;
    let mut effects = Vec::new();
    // Two know of the removal; the third, and the node itself, have not heard yet.
    for index in 0..2 {
        cluster.gossip(index).remove(removed, now, &mut effects);
    }
    let (address, host_id) = (address(3), removed);
    assert_eq!(effects[0], Effect::Forgotten { address, host_id });
    cluster.run(10_000);
    for index in 0..2 {
        assert!(cluster.gossip(index).endpoint(address).is_none());
    }
    let told = &cluster.told[3];
    let by_whom = told.iter().filter(
        |effect| matches!(effect, Effect::RefusedBy { refusal, .. } if *refusal == Refusal::Removed),
    );
    assert!(by_whom.count() <= 2 && !told.is_empty());
}

#[test]
fn silent_nodes_that_are_no_members_are_forgotten_and_return_only_with_news() {
    const HOUR_MS: u64 = 3_600 * 1_000;
    let mut cluster = formed(6, 4);
    cluster.nodes[3] = None;
    cluster.run(1_000);
    // Nobody gossips for an hour: the others are silent too, but members.
    let now = cluster.now.plus_millis(HOUR_MS);
    let mut effects = Vec::new();
    let mut is_member = |endpoint: &crate::gossip::Endpoint| endpoint.address() != address(3);
    for index in 0..2 {
        cluster
            .gossip(index)
            .retain(now, &mut is_member, &mut effects);
    }
    assert_eq!(effects.len(), 2);
    cluster.run(5_000);
    assert!(cluster.gossip(2).endpoint(address(3)).is_some());
    for index in 0..2 {
        assert!(cluster.gossip(index).endpoint(address(3)).is_none());
    }
    cluster.start(3, node(3, 2, 1, cluster.now));
    let taken = cluster.run_until(5_000, |gossip| gossip.endpoints().len() == 4);
    assert!(taken.is_some());
}

#[test]
fn a_node_may_move_to_another_address_but_not_run_twice() {
    let mut cluster = formed(8, 3);
    cluster.nodes[2] = None;
    let mut moved = identity(2, 2);
    moved.address = address(3);
    // While its old self was heard of a moment ago, it could be a copy.
    let now = cluster.now;
    cluster.add(raw(3, moved, now));
    cluster.run(2_000);
    let refusal = Refusal::HostIdTaken {
        address: address(2),
    };
    let peer = address(0);
    assert!(cluster.told[3].contains(&Effect::RefusedBy { peer, refusal }));
    let taken = cluster.run_until(20_000, |gossip| {
        gossip.endpoint(address(3)).is_some() && gossip.endpoint(address(2)).is_none()
    });
    assert!(taken.is_some());
    cluster.run(3_000);
    let host_id = moved.host_id;
    let (from, to) = (address(2), address(3));
    assert!(cluster.told[0].contains(&Effect::Moved { host_id, from, to }));
    assert_eq!(cluster.gossip(1).endpoints().len(), 3);
}

#[test]
fn islands_find_each_other_again() {
    let mut cluster = formed(9, 8);
    cluster.cut = |from, to| (from < 4) != (to < 4);
    for index in 0..8 {
        for other in 0..8 {
            let together = (index < 4) == (other < 4);
            cluster
                .gossip(index)
                .set_reachable(address(other), together);
        }
    }
    cluster.gossip(0).set_local(State::Load(77));
    cluster.run(60_000);
    assert!(!knows_load(cluster.gossip(7), address(0), 77));
    cluster.cut = |_, _| false;
    let taken = cluster.run_until(10_000, |gossip| knows_load(gossip, address(0), 77));
    assert!(taken.is_some());
}

#[test]
fn what_is_said_again_costs_no_version_and_an_announcement_is_quick() {
    let mut cluster = formed(10, 5);
    let version = cluster.gossip(1).local().version();
    assert!(!cluster.gossip(1).set_local(State::Load(1 << 30)));
    assert_eq!(cluster.gossip(1).local().version(), version);
    assert!(cluster.gossip(1).set_local(State::Status(Status::Shutdown)));
    let now = cluster.now;
    let mut effects = Vec::new();
    let gossip = cluster.gossip(1);
    gossip.announce(now, &mut Seeded(1), &mut effects);
    let to: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Send { to, .. } => Some(*to),
            _ => None,
        })
        .collect();
    assert_eq!(to.len(), 4);
}

#[test]
fn states_of_a_later_version_are_passed_on() {
    let mut cluster = formed(11, 4);
    let state = State::Unknown {
        code: 200,
        bytes: [1, 2, 3].into(),
    };
    cluster.gossip(2).set_local(state.clone());
    let taken = cluster.run_until(5_000, |gossip| {
        let known = gossip.endpoint(address(2));
        known.and_then(|known| known.state(StateKey::Unknown(200))) == Some(&state)
    });
    assert!(taken.is_some());
}

#[test]
fn what_does_not_fit_one_message_comes_in_several() {
    let mut cluster = formed(12, 2);
    // Together four times a message.
    for code in 100..132 {
        let bytes = vec![code; 4_096].into();
        cluster.gossip(1).set_local(State::Unknown { code, bytes });
    }
    let taken = cluster.run_until(10_000, |gossip| {
        gossip
            .endpoint(address(1))
            .is_some_and(|endpoint| endpoint.states().len() == 7 + 32)
    });
    assert!(taken.is_some());
}

/// More nodes than one digest has room for, all with something new, some unknown to the other side: digests go round in
/// windows, and no message outgrows its limit (which sending asserts).
#[test]
fn three_thousand_nodes_come_in_windows() {
    let mut cluster = Cluster::new(13, CALM);
    let now = cluster.now;
    for index in 0..2 {
        cluster.add(node(index, 1, 1, now));
    }
    for index in 2..3_000 {
        let mut other = node(index, 1, 1, now);
        other.local_mut().heartbeat = 5_000_000;
        for side in 0..2 {
            // A tenth is known to one side alone, and each side is behind on some.
            if index % 10 != side {
                let known = other.local().clone();
                cluster.gossip(side).roster.insert(known);
            }
            if index % 3 == side {
                other.set_local(State::Load(index as u64));
            }
        }
    }
    let digest = |gossip: &Gossip| -> Vec<(Identity, u64)> {
        gossip
            .endpoints()
            .map(|e| (*e.identity(), e.version()))
            .collect()
    };
    for _ in 0..300 {
        cluster.run(1_000);
        // The two are the only ones that run.
        for side in 0..2 {
            for index in 2..3_000 {
                cluster.gossip(side).set_reachable(address(index), false);
            }
        }
        if digest(cluster.nodes[0].as_ref().expect("runs"))
            == digest(cluster.nodes[1].as_ref().expect("runs"))
        {
            return;
        }
    }
    panic!("the two do not agree");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Through loss, doubling, reordering and restarts: nobody knows more of a node than it said, and an endpoint at
    /// version `v` holds exactly what its owner said up to `v`. In the end all agree.
    #[test]
    fn an_endpoint_holds_what_its_owner_said(seed: u64) {
        let mut random = Seeded(seed);
        let network = Network { loss_per_mille: 100, delay_us: 30_000, doubled_per_mille: 50 };
        let mut cluster = Cluster::new(seed, network);
        let nodes = 6;
        for index in 0..nodes {
            cluster.add(node(index, 1, 2, cluster.now));
        }
        // What each life of each node said, by key, with its version.
        let mut said: BTreeMap<(usize, u32), Vec<(u64, State)>> = BTreeMap::new();
        let mut boots = vec![1; nodes];
        for step in 0..60 {
            let index = random.below(nodes as u64) as usize;
            if step % 20 == 19 {
                cluster.nodes[index] = None;
                cluster.run(1_500);
                boots[index] += 1;
                let again = node(index, boots[index], 2, cluster.now);
                cluster.start(index, again);
            }
            cluster.gossip(index).set_local(State::Load(random.below(1_000)));
            cluster.gossip(index).set_local(State::Severity(random.below(10) as u16));
            for (index, node) in cluster.nodes.iter().enumerate() {
                let local = node.as_ref().expect("all run").local();
                let life = said.entry((index, boots[index])).or_default();
                for value in local.states().values() {
                    if life.iter().all(|(version, _)| *version != value.version) {
                        life.push((value.version, value.state.clone()));
                    }
                }
            }
            cluster.run(random.below(400));
            for gossip in cluster.nodes.iter().flatten() {
                for endpoint in gossip.endpoints() {
                    let index = (0..nodes).find(|i| address(*i) == endpoint.address()).expect("known");
                    let boot = endpoint.identity().generation.boot;
                    let life = &said[&(index, boot)];
                    let mut expected: BTreeMap<StateKey, (u64, &State)> = BTreeMap::new();
                    for (version, state) in life {
                        let newer = expected.get(&state.key()).is_none_or(|(known, _)| known < version);
                        if *version <= endpoint.version() && newer {
                            expected.insert(state.key(), (*version, state));
                        }
                    }
                    let held: BTreeMap<_, _> = endpoint
                        .states()
                        .iter()
                        .map(|(key, value)| (*key, (value.version, &value.state)))
                        .collect();
                    prop_assert_eq!(held, expected);
                    if boot == boots[index] {
                        let owner = cluster.nodes[index].as_ref().expect("all run").local();
                        prop_assert!(endpoint.heartbeat() <= owner.heartbeat());
                        prop_assert!(endpoint.version() <= owner.version());
                    }
                }
            }
        }
        cluster.run(10_000);
        for gossip in cluster.nodes.iter().flatten() {
            for endpoint in gossip.endpoints() {
                let index = (0..nodes).find(|i| address(*i) == endpoint.address()).expect("known");
                let owner = cluster.nodes[index].as_ref().expect("all run").local();
                prop_assert_eq!(endpoint.states(), owner.states());
            }
            prop_assert_eq!(gossip.endpoints().len(), nodes);
        }
    }

    /// Bytes that were sent, with some of them changed, neither panic nor make a message that cannot be sent.
    #[test]
    fn damaged_messages_do_no_harm(seed: u64, changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6)) {
        let mut cluster = Cluster::settled(seed, CALM, 20);
        let (mut random, mut effects, mut messages) = (Seeded(seed), Vec::new(), Vec::new());
        let now = cluster.now.plus_millis(2_000);
        cluster.gossip(1).set_local(State::Load(5));
        cluster.gossip(1).send_syn(address(0), &mut random, &mut effects);
        cluster.gossip(0).set_local(State::Load(6));
        let mut stranger = node(21, 1, 1, now);
        stranger.send_syn(address(0), &mut random, &mut effects);
        // One exchange from SYN to ACK2, each message as it is and damaged.
        while let Some(effect) = effects.pop() {
            if let Effect::Send { bytes, .. } = effect && messages.len() < 12 {
                let turn = messages.len() % 2;
                cluster.gossip(turn).on_message(now, address(1 - turn), &bytes, &mut random, &mut effects);
                messages.push(bytes);
            }
        }
        for mut bytes in messages {
            for &(at, byte) in &changes {
                let at = usize::from(at) % bytes.len();
                bytes[at] ^= byte;
            }
            cluster.gossip(0).on_message(now, address(1), &bytes, &mut random, &mut effects);
        }
    }
}
