//! Who may connect to this node from others, from what is known at the moment.

use crate::config::NodeConfig;
use crate::metadata_log::NodeIdentity;
use cluster::internode::PeerIdentity;
use cluster::internode::admission::{Admission, Member, Place};
use cluster::metadata::Metadata;
use cluster::topology::NodeId;
use std::collections::BTreeSet;
use uuid::Uuid;

/// Who may connect. Without metadata the node is in no cluster yet; `away` are members that are known not to answer, whose addresses
/// others may have taken.
pub fn admission(
    node: &NodeConfig,
    identity: &NodeIdentity,
    boot: u32,
    metadata: Option<&Metadata>,
    away: impl Fn(NodeId) -> bool,
) -> Admission {
    let place = Place {
        datacenter: node.datacenter.clone(),
        rack: node.rack.clone(),
    };
    let own = PeerIdentity {
        node: identity.node,
        host_id: identity.host_id,
        incarnation: identity.incarnation,
        boot,
        address: node.internode_address,
        shard: 0,
        shards: node.shards,
    };
    let members = metadata.into_iter().flat_map(|metadata| &metadata.members);
    let members = members.filter(|(id, _)| !away(**id)).map(|(_, member)| {
        let known = Member {
            host_id: member.host_id,
            place: Place {
                datacenter: member.location.datacenter.clone(),
                rack: member.location.rack.clone(),
            },
        };
        (member.internode_address, known)
    });
    let gone = metadata.map(|metadata| metadata.gone.keys().copied());
    Admission {
        cluster_name: node.cluster_name.clone(),
        cluster_id: metadata.map_or(Uuid::nil(), |metadata| metadata.cluster.id),
        own,
        own_place: place,
        features: 0,
        ready: true,
        removed: gone.into_iter().flatten().collect::<BTreeSet<Uuid>>(),
        members: members.collect(),
    }
}
