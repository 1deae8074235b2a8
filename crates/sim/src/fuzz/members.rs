//! Fuzzers of what members tell each other beside the log: gossip, and summaries of what they hold.

use super::damage;
use crate::random::Rng;
use cluster::gossip::config::GossipConfig;
use cluster::gossip::state::{State, Status};
use cluster::gossip::{Effect, Generation, Gossip, Identity};
use cluster::topology::NodeId;
use cluster::track::{self, Freshness, Group, GroupConfig, GroupId, LogBirth, LogSummary};
use cluster::track::{Restored, Summary};
use model::time::BootNanos;
use model::track::{Intervals, LogId};
use std::net::SocketAddr;
use uuid::Uuid;

fn address(number: u64) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1 + number as u8], 7_000))
}

fn gossip(number: u64, now: BootNanos) -> Gossip {
    let identity = Identity {
        address: address(number),
        host_id: Uuid::from_u64_pair(1, number),
        generation: Generation {
            boot: 1,
            started_seconds: 1,
        },
        replaces: None,
    };
    let config = GossipConfig {
        cluster_name: "cluster".to_owned(),
        seeds: vec![address(0), address(1)],
        identity,
    };
    let mut gossip = Gossip::new(config, now);
    gossip.set_local(State::Status(Status::Joining));
    gossip.set_local(State::DataCenter("dc".to_owned()));
    gossip.set_local(State::ShardCount(2));
    gossip
}

/// Nodes that hear messages of each other, some of them damaged, go on.
pub fn gossips(rng: &mut Rng) -> Result<(), String> {
    let mut now = BootNanos(1);
    let mut nodes: Vec<Gossip> = (0..3).map(|number| gossip(number, now)).collect();
    let harm = rng.below(60);
    for _ in 0..rng.below(20) {
        now = now.plus_millis(rng.below(1_500));
        let mut sent: Vec<(usize, SocketAddr, Vec<u8>)> = Vec::new();
        for (number, node) in nodes.iter_mut().enumerate() {
            let mut effects = Vec::new();
            node.tick(now, rng, &mut effects);
            if rng.chance(10) {
                node.set_local(State::Load(rng.below(1 << 40)));
            }
            sent.extend(sends(number, effects));
        }
        // Answers of answers end with the third step.
        let mut heard = 0;
        while let Some((from, to, bytes)) = sent.pop() {
            heard += 1;
            let Some(to) = (0..3).find(|number| address(*number as u64) == to) else {
                continue;
            };
            let bytes = if rng.chance(harm) {
                damage::damaged(rng, &bytes)
            } else {
                bytes
            };
            let mut effects = Vec::new();
            nodes[to].on_message(now, address(from as u64), &bytes, rng, &mut effects);
            sent.extend(sends(to, effects));
            if heard > 1_000 {
                return Err("nodes answer each other without end".to_owned());
            }
        }
    }
    Ok(())
}

fn sends(from: usize, effects: Vec<Effect>) -> impl Iterator<Item = (usize, SocketAddr, Vec<u8>)> {
    effects.into_iter().filter_map(move |effect| match effect {
        Effect::Send { to, bytes } => Some((from, to, bytes)),
        _ => None,
    })
}

fn boot(rng: &mut Rng) -> u32 {
    damage::number(rng).min(u64::from(u32::MAX)) as u32
}

fn boots(rng: &mut Rng) -> Vec<(NodeId, u32)> {
    let count = rng.below(4);
    (0..count)
        .map(|_| (NodeId(1 + rng.below(4) as u32), boot(rng)))
        .collect()
}

fn held(rng: &mut Rng) -> Intervals {
    let mut held = Intervals::default();
    for _ in 0..rng.below(4) {
        let (one, other) = (damage::number(rng), damage::number(rng));
        held.insert(one.min(other), one.max(other));
    }
    held
}

fn summary(rng: &mut Rng, group: GroupId) -> Summary {
    let logs = (0..rng.below(4)).map(|_| LogSummary {
        log: LogId::new(1 + rng.below(4) as u32, rng.below(2) as u32, 0).expect("small numbers"),
        boot: boot(rng),
        end: damage::number(rng),
        held: held(rng),
    });
    let logs = logs.collect();
    Summary {
        group,
        incarnation: 1 + rng.below(2),
        boot: boot(rng),
        version: damage::number(rng),
        since: damage::number(rng),
        seen: (boot(rng), damage::number(rng)),
        nonce: damage::number(rng),
        echo: damage::number(rng),
        boots: boots(rng),
        retired: boots(rng),
        fresh: Freshness {
            all: rng.chance(50),
            local: rng.chance(50),
            behind: rng.chance(50),
        },
        logs,
    }
}

/// A member of a group takes any summaries that can be read.
pub fn summaries(rng: &mut Rng) -> Result<(), String> {
    let mut now = BootNanos(1);
    let members: Vec<NodeId> = [1, 2, 3].map(NodeId).into();
    let id = GroupId::of(&members);
    let config = GroupConfig {
        id,
        me: NodeId(1),
        incarnation: 1,
        boot: 2,
        local_members: members.iter().copied().collect(),
        members,
        summary_ms: 100,
        gate_ms: 1_000,
    };
    let mut group = Group::new(config, Restored::default(), now);
    let mine = LogBirth {
        log: LogId::new(1, 2, 0).expect("small numbers"),
        boot: 2,
    };
    for step in 1..=rng.below(30) {
        now = now.plus_millis(rng.below(300));
        let mut out = Vec::new();
        match rng.below(8) {
            0 => group.on_assigned(mine, step),
            1 => group.on_durable(mine, &Intervals::run(step, step)),
            2 | 3 => group.tick(now, &mut out),
            _ => {
                let summary = summary(rng, id);
                let mut bytes = Vec::new();
                summary.encode(&mut bytes);
                if Summary::decode(&bytes).as_ref() != Some(&summary) {
                    return Err(format!("{summary:?} does not read back as written"));
                }
                if rng.chance(30) {
                    bytes = damage::damaged(rng, &bytes);
                }
                if let Some(summary) = Summary::decode(&bytes) {
                    let from = NodeId(1 + rng.below(4) as u32);
                    group.on_summary(from, summary, now, &mut out);
                }
            }
        }
        for effect in out {
            if let track::Effect::Ask { round, .. } = effect {
                group.on_asked(round);
            }
        }
        group.debts();
        group.reconciled().for_each(drop);
    }
    Ok(())
}
