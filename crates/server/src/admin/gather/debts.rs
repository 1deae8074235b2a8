//! What members lack, of what all shards' homes know.

use crate::admin::answer::Debt;
use ::node::execute::admin::{ClusterFacts, ShardFacts};
use std::collections::BTreeMap;

/// What each member lacks, as far as this node knows: of ranges that both have.
pub(in crate::admin) fn debts(shards: &[ShardFacts], cluster: &ClusterFacts) -> Vec<Debt> {
    let groups = || shards.iter().flat_map(|shard| &shard.shown.groups);
    let mut lacks: BTreeMap<u32, u64> = BTreeMap::new();
    for member in groups().flat_map(|group| &group.of) {
        *lacks.entry(member.node.0).or_default() += member.lacks;
    }
    let gone: u64 = groups().map(|group| group.gone).sum();
    let members = cluster.members.iter();
    members
        .map(|member| Debt {
            number: member.number,
            host_id: member.host_id,
            internode_address: member.internode_address,
            datacenter: member.datacenter.clone(),
            rack: member.rack.clone(),
            up: member.up,
            is_local: member.number == cluster.local,
            lacks: lacks.get(&member.number).copied().unwrap_or(0),
            owed: if member.number == cluster.local {
                gone
            } else {
                0
            },
        })
        .collect()
}
