//! Whether this node may be stopped now: whether every range of every keyspace that clients made keeps a quorum of live replicas without
//! it, and no change of the ring needs it.

use super::ring::is_system;
use crate::shard::Shard;
use cluster::replication::quorum;
use cluster::topology::{NodeId, Topology};

impl Shard {
    /// Why this node should not be stopped now; nothing if it may be.
    pub(super) fn reasons_to_stay(&mut self) -> Vec<String> {
        let keyspaces = self.schema.keyspaces.keys();
        let of_clients = keyspaces.filter(|name| !is_system(name));
        let mut reasons: Vec<String> = of_clients
            .filter_map(|name| quorum_lost(&self.topology, name))
            .collect();
        if let Some(log) = self.schema_changes.log_mut() {
            for (NodeId(number), transition) in &log.metadata().transitions {
                let change = format!("{:?}", transition.change);
                let change = change
                    .split(['(', ' '])
                    .next()
                    .unwrap_or_default()
                    .to_lowercase();
                reasons.push(format!(
                    "a change of the ring is under way: {change} of node {number}"
                ));
            }
            let status = log.status();
            let alive = |id: &&NodeId| {
                let mut nodes = self.topology.nodes.iter();
                **id != self.topology.local && nodes.any(|node| node.id == **id && node.alive)
            };
            let left = status.voters.iter().filter(alive).count();
            let needed = status.voters.len() / 2 + 1;
            if status.voters.contains(&self.topology.local) && left < needed {
                reasons.push(format!(
                    "the metadata log would be left with {left} of {} voters: schema, roles and ring could not change",
                    status.voters.len()
                ));
            }
        }
        reasons
    }
}

/// What a keyspace would lose, if it would lose anything.
fn quorum_lost(topology: &Topology, keyspace: &str) -> Option<String> {
    let replicas = topology.keyspace(keyspace)?;
    let placement = replicas.placement.as_ref()?;
    let needed = quorum(replicas.factor) as usize;
    let is_live = |id: &NodeId| {
        let mut nodes = topology.nodes.iter();
        *id != topology.local && nodes.any(|node| node.id == *id && node.alive)
    };
    let (mut lost, mut all) = (0, 0);
    for arc in placement.arcs() {
        all += 1;
        let natural = &arc.replicas.natural;
        let live = natural.iter().filter(|id| is_live(id)).count();
        lost += usize::from(natural.contains(&topology.local) && live < needed);
    }
    (lost > 0).then(|| {
        format!(
            "keyspace {keyspace}: {lost} of {all} ranges would be left without a quorum of replicas"
        )
    })
}
