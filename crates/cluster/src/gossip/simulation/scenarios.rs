//! What gossip and detector promise together: the goals at full size, the dead, the partitions.

use super::*;

/// How long calm is watched at full size, in seconds, and with how many seeds: `HELENUS_GOSSIP_SECONDS=60
/// HELENUS_GOSSIP_SEEDS=5` for a long look, on a build that is optimised.
fn longer(variable: &str, short: u64) -> u64 {
    let given = std::env::var(variable).ok();
    given
        .and_then(|number| number.parse().ok())
        .unwrap_or(short)
}

/// The goal: changes everywhere within 10 s, under 64 kB/s a node, and nobody is called away.
fn changes_spread(seed: u64, network: Network, nodes: usize, calm_ms: u64) {
    let mut cluster = Cluster::settled(seed, network, nodes);
    let mut random = Seeded(seed ^ 1);
    cluster.watch(4);
    cluster.run(1_000);
    cluster.rates(1_000);
    let started = cluster.now;
    let watched: Vec<usize> = (0..3)
        .map(|_| random.below(nodes as u64) as usize)
        .collect();
    for &index in &watched {
        cluster.gossip(index).set_local(State::Load(7));
    }
    let everywhere = |gossip: &Gossip| {
        watched
            .iter()
            .all(|index| knows_load(gossip, address(*index), 7))
    };
    let taken = cluster.run_until(10_000, everywhere);
    let taken = taken.expect("everybody knows within ten seconds");
    // Every node tells its load once a minute.
    for _ in 0..calm_ms / 1_000 {
        for _ in 0..nodes / 60 {
            let other = random.below(nodes as u64) as usize;
            let load = random.next_u64() >> 20;
            cluster.gossip(other).set_local(State::Load(load));
        }
        cluster.run(1_000);
    }
    let millis = cluster.now.since(started) / 1_000_000;
    let [sent, sent_mean, received, received_mean] = cluster.rates(millis);
    println!(
        "seed {seed}, {nodes} nodes, loss {} ‰, {millis} ms: three changes took {taken} ms; bytes/s sent \
         {sent_mean} (most {sent}), received {received_mean} (most {received})",
        network.loss_per_mille
    );
    assert!(sent < 64_000 && received < 64_000, "too much traffic");
    let away = cluster.opinions.iter().filter(|(.., state)| !state.is_up());
    assert_eq!(away.count(), 0, "a live peer was called away");
}

#[test]
fn changes_reach_500_nodes() {
    let seconds = longer("HELENUS_GOSSIP_SECONDS", 0);
    for seed in 0..longer("HELENUS_GOSSIP_SEEDS", 1) {
        changes_spread(2 * seed + 1, CALM, 500, seconds * 1_000);
        changes_spread(2 * seed + 2, LOSSY, 500, seconds * 1_000);
    }
}

#[test]
fn nobody_is_called_away_in_calm_and_with_loss() {
    changes_spread(3, CALM, 60, 40_000);
    changes_spread(4, LOSSY, 60, 40_000);
}

fn watched(nodes: usize) -> Cluster {
    let mut cluster = Cluster::settled(5, CALM, nodes);
    cluster.watch(nodes / 2);
    cluster.run(10_000);
    assert_eq!(
        cluster
            .opinions
            .iter()
            .filter(|(.., state)| !state.is_up())
            .count(),
        0
    );
    cluster
}

#[test]
fn the_dead_are_found_within_two_seconds_and_told_as_dead() {
    let mut cluster = watched(6);
    cluster.nodes[3] = None;
    let died = cluster.now;
    cluster.run(2_000);
    for index in [0, 1, 2, 4, 5] {
        let told = cluster.opinions.iter().find(|(who, whom, at, state)| {
            *who == index && *whom == 3 && *at >= died && *state == PeerState::Confirmed
        });
        assert!(told.is_some(), "node {index} has not noticed");
    }
    cluster.run(4_000);
    let by = [0, 1, 2, 4, 5].map(NodeId).to_vec();
    let node = NodeId(3);
    assert_eq!(cluster.verdicts(0), [Verdict::Dead { node, by }]);
    // It comes back, and is RECOVERING until somebody says that it has caught up.
    let again = node_again(&cluster, 3);
    cluster.start(3, again);
    cluster.run(4_000);
    assert!(cluster.verdicts(5).is_empty());
    let opinion = cluster.detectors[0].opinion(NodeId(3));
    assert_eq!(
        opinion.map(|opinion| opinion.state),
        Some(PeerState::Recovering)
    );
}

fn node_again(cluster: &Cluster, index: usize) -> Gossip {
    node(index, 2, 3, cluster.now)
}

/// The incident: zone {0, 1} loses zones {2, 3} and {4, 5}, which see each other; node 6 reaches all.
#[test]
fn a_zone_that_lost_the_others_is_told_as_a_partial_partition() {
    let mut cluster = watched(7);
    cluster.cut =
        |from, to| (from < 2 && (2..6).contains(&to)) || (to < 2 && (2..6).contains(&from));
    cluster.run(8_000);
    let partition = Verdict::PartialPartition {
        one: [0, 1].map(NodeId).to_vec(),
        other: [2, 3, 4, 5].map(NodeId).to_vec(),
        between: vec![NodeId(6)],
    };
    for index in 0..7 {
        assert_eq!(
            cluster.verdicts(index),
            std::slice::from_ref(&partition),
            "as node {index} sees it"
        );
    }
    cluster.cut = |_, _| false;
    cluster.run(5_000);
    assert!(cluster.verdicts(0).is_empty());
    for index in [2, 3, 4, 5] {
        let opinion = cluster.detectors[0].opinion(NodeId(index));
        assert_eq!(
            opinion.map(|opinion| opinion.state),
            Some(PeerState::Recovering)
        );
    }
}

/// The same without a bridge: the smaller side knows that it is the one.
#[test]
fn the_smaller_side_of_a_split_knows_that_it_is_cut_off() {
    let mut cluster = watched(6);
    cluster.cut = |from, to| (from < 2) != (to < 2);
    cluster.run(12_000);
    let here = [0, 1].map(NodeId).to_vec();
    let away = [2, 3, 4, 5].map(NodeId).to_vec();
    assert_eq!(
        cluster.verdicts(0),
        [Verdict::ThisSideCutOff { here, away }]
    );
    let zone = Verdict::PlaceAway {
        place: "zone 0".into(),
        nodes: [0, 1].map(NodeId).to_vec(),
    };
    assert_eq!(cluster.verdicts(4), [zone]);
}

/// What node 2 sends to node 3 is lost, and nothing else.
#[test]
fn a_one_way_loss_is_told_as_such() {
    let mut cluster = watched(6);
    cluster.cut = |from, to| from == 2 && to == 3;
    cluster.run(10_000);
    let (from, to) = (NodeId(2), NodeId(3));
    assert_eq!(cluster.verdicts(0), [Verdict::OneWay { from, to }]);
    assert_eq!(cluster.verdicts(3), [Verdict::OneWay { from, to }]);
}

/// Only nodes 1 and 4 lose each other.
#[test]
fn a_pair_that_lost_each_other_is_told_as_such() {
    let mut cluster = watched(6);
    cluster.cut = |from, to| (from == 1 && to == 4) || (from == 4 && to == 1);
    cluster.run(8_000);
    let between = [0, 2, 3, 5].map(NodeId).to_vec();
    let node = NodeId(4);
    assert_eq!(
        cluster.verdicts(1),
        [Verdict::CutOffFromHere { node, between }]
    );
}
