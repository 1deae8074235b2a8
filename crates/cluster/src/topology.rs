//! Which nodes there are and what is known of them.

use model::key::Token;
use std::net::SocketAddr;
use uuid::Uuid;

/// A node's number, given once by the metadata log and never used again.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct NodeId(pub u32);

/// A member of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its number.
    pub id: NodeId,
    /// Its identity as tools show it.
    pub host_id: Uuid,
    /// Where clients reach it.
    pub client_address: SocketAddr,
    /// Data centre.
    pub datacenter: String,
    /// Rack.
    pub rack: String,
    /// Tokens it owns the ranges up to, ascending.
    pub tokens: Vec<Token>,
    /// Whether it answers.
    pub alive: bool,
}

/// All members, and the ring their tokens make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// Name of the cluster.
    pub cluster_name: String,
    /// The members, by number.
    pub nodes: Vec<Node>,
    /// Which of them this process is.
    pub local: NodeId,
    /// Every token and the place of its node in `nodes`, ascending.
    ring: Vec<(Token, usize)>,
    /// Names of the data centres, ascending.
    datacenters: Vec<String>,
    /// The place of each node's data centre in `datacenters`.
    datacenter_of: Vec<u16>,
}

impl Topology {
    /// The topology of a cluster; `local`, this process, is one of its nodes.
    pub fn new(cluster_name: String, nodes: Vec<Node>, local: NodeId) -> Self {
        assert!(
            nodes.iter().any(|node| node.id == local),
            "a node is a member of its own topology"
        );
        let mut ring: Vec<(Token, usize)> = nodes
            .iter()
            .enumerate()
            .flat_map(|(place, node)| node.tokens.iter().map(move |token| (*token, place)))
            .collect();
        ring.sort_unstable();
        let mut datacenters: Vec<String> =
            nodes.iter().map(|node| node.datacenter.clone()).collect();
        datacenters.sort_unstable();
        datacenters.dedup();
        let place = |node: &Node| datacenters.binary_search(&node.datacenter).unwrap_or(0) as u16;
        let datacenter_of = nodes.iter().map(place).collect();
        Self {
            cluster_name,
            nodes,
            local,
            ring,
            datacenters,
            datacenter_of,
        }
    }

    /// This process' own entry.
    pub fn local(&self) -> &Node {
        &self.nodes[self.local_place()]
    }

    /// Where this process stands in `nodes`.
    pub(crate) fn local_place(&self) -> usize {
        self.nodes
            .iter()
            .position(|node| node.id == self.local)
            .expect("a node is a member of its own topology")
    }

    /// Names of the data centres, ascending.
    pub fn datacenters(&self) -> &[String] {
        &self.datacenters
    }

    /// The number of a node's data centre, by the node's place in `nodes`.
    pub(crate) fn datacenter_of(&self, place: usize) -> u16 {
        self.datacenter_of[place]
    }

    /// The places of nodes in `nodes`, one for each token of the ring, from the owner of a token on.
    pub(crate) fn walk(&self, token: Token) -> impl Iterator<Item = usize> {
        let start = self.ring.partition_point(|(end, _)| *end < token);
        let (before, after) = self.ring.split_at(start);
        after.iter().chain(before).map(|(_, place)| *place)
    }
}
