//! Whether a node talks to another: a pure function of what both say and what the node knows at that moment.
//!
//! The node replaces the whole [`Admission`] whenever something in it changes; connections that were admitted by an
//! earlier one stay until the node closes them.

use super::handshake::{Accepted, Answer, FrameCompression, Hello};
use super::{Class, HIGHEST_VERSION, LOWEST_VERSION, PeerIdentity, Refusal, RefusalReason};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use uuid::Uuid;

/// What decides about connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// Name of the own cluster; at most `MAX_CLUSTER_NAME_BYTES` long.
    pub cluster_name: String,
    /// The own cluster, or the nil id while the node is in none.
    pub cluster_id: Uuid,
    /// The node itself. The shard in it does not count.
    pub own: PeerIdentity,
    /// Where the node is.
    pub own_place: Place,
    /// What the node can do beyond the version.
    pub features: u64,
    /// Whether others may connect.
    pub ready: bool,
    /// Nodes that were members and must not come back.
    pub removed: BTreeSet<Uuid>,
    /// The members that are not known to be dead, by their addresses: a dead one's may be taken by the node that
    /// replaces it.
    pub members: BTreeMap<SocketAddr, Member>,
}

/// A data centre and a rack in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Data centre.
    pub datacenter: String,
    /// Rack.
    pub rack: String,
}

/// A member, as far as connections go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who has the address.
    pub host_id: Uuid,
    /// Where it is.
    pub place: Place,
}

/// How far away a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Distance {
    /// In the same rack.
    Rack,
    /// In another rack of the same data centre.
    Datacenter,
    /// In another data centre, or somewhere unknown.
    Elsewhere,
}

impl Admission {
    /// That of a node that does not know yet who it is: nobody is let in.
    pub fn starting(cluster_name: String, place: Place, address: SocketAddr, shards: u16) -> Self {
        Self {
            cluster_name,
            cluster_id: Uuid::nil(),
            own: PeerIdentity {
                node: None,
                host_id: Uuid::nil(),
                incarnation: 0,
                boot: 0,
                address,
                shard: 0,
                shards,
            },
            own_place: place,
            features: 0,
            ready: false,
            removed: BTreeSet::new(),
            members: BTreeMap::new(),
        }
    }

    /// What a shard of this node says when it opens a connection.
    pub fn hello(&self, shard: u16, class: Class, compression: FrameCompression) -> Hello {
        Hello {
            lowest_version: LOWEST_VERSION,
            highest_version: HIGHEST_VERSION,
            features: self.features,
            cluster_name: self.cluster_name.clone(),
            cluster_id: self.cluster_id,
            identity: PeerIdentity { shard, ..self.own },
            class,
            compression,
        }
    }

    /// What this node answers to a hello. The shard that serves the connection is in the answer's identity.
    pub fn judge(&self, hello: &Hello) -> Answer {
        match self.agree(hello) {
            Ok(version) => Answer::Accepted(Accepted {
                version,
                features: self.features & hello.features,
                cluster_name: self.cluster_name.clone(),
                cluster_id: self.cluster_id,
                identity: PeerIdentity {
                    shard: hello.identity.serving_shard(self.own.shards),
                    ..self.own
                },
            }),
            Err(refusal) => Answer::Refused(refusal),
        }
    }

    fn agree(&self, hello: &Hello) -> Result<u16, Refusal> {
        if !self.ready {
            return Err(Refusal::new(
                RefusalReason::NotReady,
                format!("{} is starting", self.own.address),
            ));
        }
        self.check_peer(&hello.cluster_name, hello.cluster_id, &hello.identity)?;
        let version = hello.highest_version.min(HIGHEST_VERSION);
        if version < hello.lowest_version.max(LOWEST_VERSION) {
            return Err(Refusal::new(
                RefusalReason::NoCommonVersion,
                format!(
                    "{} speaks versions {LOWEST_VERSION} to {HIGHEST_VERSION} of the internode protocol, {} versions {} to {}",
                    self.own.address,
                    hello.identity.address,
                    hello.lowest_version,
                    hello.highest_version
                ),
            ));
        }
        Ok(version)
    }

    /// Whether this node, which opened the connection, takes the answer.
    pub fn judge_answer(&self, accepted: &Accepted) -> Result<(), Refusal> {
        self.check_peer(
            &accepted.cluster_name,
            accepted.cluster_id,
            &accepted.identity,
        )?;
        if (LOWEST_VERSION..=HIGHEST_VERSION).contains(&accepted.version) {
            return Ok(());
        }
        Err(Refusal::new(
            RefusalReason::NoCommonVersion,
            format!(
                "{} chose version {} of the internode protocol, {} speaks {LOWEST_VERSION} to {HIGHEST_VERSION}",
                accepted.identity.address, accepted.version, self.own.address
            ),
        ))
    }

    /// Whether this is a node to talk to, whoever opened the connection.
    fn check_peer(
        &self,
        cluster_name: &str,
        cluster_id: Uuid,
        peer: &PeerIdentity,
    ) -> Result<(), Refusal> {
        let (own, address) = (&self.own, peer.address);
        let refuse = |reason, text: String| Err(Refusal::new(reason, text));
        if cluster_name != self.cluster_name {
            return refuse(
                RefusalReason::OtherClusterName,
                format!(
                    "{} belongs to cluster `{}`, {address} to cluster `{cluster_name}`",
                    own.address, self.cluster_name
                ),
            );
        }
        if peer.host_id == own.host_id {
            return refuse(
                RefusalReason::Yourself,
                format!(
                    "{address} and {} are the same node, {}",
                    own.address, own.host_id
                ),
            );
        }
        if self.removed.contains(&peer.host_id) {
            return refuse(
                RefusalReason::Removed,
                format!(
                    "{address} ({}) was removed from the cluster; it can join again with an empty data directory",
                    peer.host_id
                ),
            );
        }
        let different = cluster_id != self.cluster_id;
        if different && !cluster_id.is_nil() && !self.cluster_id.is_nil() {
            return refuse(
                RefusalReason::OtherClusterId,
                format!(
                    "{} is in cluster {}, {address} in {cluster_id}, which has the same name, `{cluster_name}`",
                    own.address, self.cluster_id
                ),
            );
        }
        let holder = match self.members.get(&address) {
            _ if address == own.address => Some(own.host_id),
            member => member.map(|member| member.host_id),
        };
        match holder.filter(|holder| *holder != peer.host_id) {
            None => Ok(()),
            Some(holder) => refuse(
                RefusalReason::AddressTaken,
                format!(
                    "{address} is the address of {holder}, not of {}",
                    peer.host_id
                ),
            ),
        }
    }

    /// How far away the peer with this address is.
    pub fn distance(&self, address: SocketAddr) -> Distance {
        let Some(Member { place, .. }) = self.members.get(&address) else {
            return Distance::Elsewhere;
        };
        if place.datacenter != self.own_place.datacenter {
            Distance::Elsewhere
        } else if place.rack != self.own_place.rack {
            Distance::Datacenter
        } else {
            Distance::Rack
        }
    }
}

#[cfg(test)]
mod tests;
