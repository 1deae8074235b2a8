//! Which nodes there are and what is known of them.

use model::key::Token;
use std::net::SocketAddr;
use uuid::Uuid;

/// A node's number, given once by the metadata log and never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// All members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// Name of the cluster.
    pub cluster_name: String,
    /// The members, by number.
    pub nodes: Vec<Node>,
    /// Which of them this process is.
    pub local: NodeId,
}

impl Topology {
    /// This process' own entry.
    pub fn local(&self) -> &Node {
        self.nodes
            .iter()
            .find(|node| node.id == self.local)
            .expect("a node is a member of its own topology")
    }

    /// Names of the data centres, none twice.
    pub fn datacenters(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .nodes
            .iter()
            .map(|node| node.datacenter.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
