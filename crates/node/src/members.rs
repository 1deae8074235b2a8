//! The cluster as statements see it, from what its members agree on.

use crate::config::NodeConfig;
use cluster::metadata::Metadata;
use cluster::topology::{Node, NodeId, Topology};

/// The members and who of them replicates what. Where this node itself is reached its own process knows first.
pub fn topology(metadata: &Metadata, local: NodeId, config: &NodeConfig) -> Topology {
    let nodes = metadata.members.iter().map(|(id, member)| Node {
        id: *id,
        host_id: member.host_id,
        client_address: if *id == local {
            config.client_address
        } else {
            member.client_address
        },
        internode_address: if *id == local {
            config.internode_address
        } else {
            member.internode_address
        },
        datacenter: member.location.datacenter.clone(),
        rack: member.location.rack.clone(),
        tokens: member.tokens.clone(),
        alive: *id == local,
    });
    let keyspaces = metadata.schema.keyspaces.iter();
    let keyspaces = keyspaces.map(|(name, keyspace)| (name.as_str(), &keyspace.replication));
    let topology = Topology::new(metadata.cluster.name.clone(), nodes.collect(), local)
        .at(metadata.epoch, metadata.refused_before)
        .with_truncations(&metadata.truncations)
        .with_keyspaces(keyspaces, |strategy| metadata.place(strategy));
    // Those whose new replicas have not got there are read where the data is.
    let changing = metadata.changing();
    changing.fold(topology, |topology, (name, replication, placement)| {
        topology.with_keyspace(name, replication, placement)
    })
}
