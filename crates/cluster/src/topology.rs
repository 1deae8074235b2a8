//! Which nodes there are, what is known of them, and what they replicate.

use crate::replication::KeyspaceReplicas;
use crate::ring::{Placement, Replicas, Strategy};
use model::key::Token;
use model::schema::{Replication, TableId};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
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
    /// Where other nodes reach it.
    pub internode_address: SocketAddr,
    /// Data centre.
    pub datacenter: String,
    /// Rack.
    pub rack: String,
    /// Tokens it owns the ranges up to, ascending.
    pub tokens: Vec<Token>,
    /// Whether it answers.
    pub alive: bool,
}

/// All members, and the replicas of every keyspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// Name of the cluster.
    pub cluster_name: String,
    /// The members, by number.
    pub nodes: Vec<Node>,
    /// Which of them this process is.
    pub local: NodeId,
    /// The epoch of the metadata that says so.
    pub epoch: u64,
    /// Who planned before it may have missed two steps of a change of the ring.
    pub refused_before: u64,
    /// When tables were last emptied.
    truncations: Arc<BTreeMap<TableId, u64>>,
    /// The last of those.
    last_truncation: u64,
    /// Names of the data centres, ascending.
    datacenters: Vec<String>,
    /// The place of each node's data centre in `datacenters`.
    datacenter_of: Vec<u16>,
    keyspaces: BTreeMap<String, KeyspaceReplicas>,
}

impl Topology {
    /// The topology of a cluster; `local`, this process, is one of its nodes.
    pub fn new(cluster_name: String, nodes: Vec<Node>, local: NodeId) -> Self {
        assert!(
            nodes.iter().any(|node| node.id == local),
            "a node is a member of its own topology"
        );
        assert!(
            nodes.is_sorted_by_key(|node| node.id),
            "nodes stand by their numbers"
        );
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
            epoch: 0,
            refused_before: 0,
            truncations: Arc::default(),
            last_truncation: 0,
            datacenters,
            datacenter_of,
            keyspaces: BTreeMap::new(),
        }
    }

    /// The same at an epoch of the metadata, and with the one before which requests are refused.
    #[must_use]
    pub fn at(self, epoch: u64, refused_before: u64) -> Self {
        Self {
            epoch,
            refused_before,
            ..self
        }
    }

    /// The same with the epochs at which tables were last emptied.
    #[must_use]
    pub fn with_truncations(mut self, truncations: &BTreeMap<TableId, u64>) -> Self {
        if *self.truncations != *truncations {
            self.truncations = Arc::new(truncations.clone());
            self.last_truncation = truncations.values().copied().max().unwrap_or(0);
        }
        self
    }

    /// Whether a table may have been emptied after this epoch.
    pub fn has_truncations_since(&self, epoch: u64) -> bool {
        self.last_truncation > epoch
    }

    /// Whether a table was emptied after this epoch.
    pub fn is_truncated_since(&self, table: TableId, epoch: u64) -> bool {
        self.truncations.get(&table).is_some_and(|at| *at > epoch)
    }

    /// The same with these members alone known to answer, beside this node.
    #[must_use]
    pub fn with_alive(mut self, alive: impl Fn(NodeId) -> bool) -> Self {
        for node in &mut self.nodes {
            node.alive = node.id == self.local || alive(node.id);
        }
        self
    }

    /// Where a member is reached by the others.
    pub fn internode_address(&self, id: NodeId) -> Option<SocketAddr> {
        let place = self.place(id)?;
        let address = self.nodes[place].internode_address;
        // A dead member whose address another has taken is reached nowhere.
        (address.port() != 0).then_some(address)
    }

    /// Which member is reached there by the others.
    pub fn node_at(&self, address: SocketAddr) -> Option<NodeId> {
        let mut nodes = self.nodes.iter();
        let node = nodes.find(|node| node.internode_address == address)?;
        Some(node.id)
    }

    /// The same with the replicas of these keyspaces; `place` says where a strategy puts them.
    #[must_use]
    pub fn with_keyspaces<'a>(
        mut self,
        keyspaces: impl IntoIterator<Item = (&'a str, &'a Replication)>,
        place: impl Fn(&Strategy) -> Placement,
    ) -> Self {
        let mut placements: BTreeMap<Strategy, Arc<Placement>> = BTreeMap::new();
        let mut all = BTreeMap::new();
        for (name, replication) in keyspaces {
            let strategy = Strategy::of(replication);
            let placement = placements
                .entry(strategy)
                .or_insert_with_key(|strategy| Arc::new(place(strategy)));
            let replicas = KeyspaceReplicas::new(replication, placement.clone(), &self);
            all.insert(name.to_owned(), replicas);
        }
        self.keyspaces = all;
        self
    }

    /// The same with one keyspace that is replicated so at present, whatever its definition says.
    #[must_use]
    pub fn with_keyspace(
        mut self,
        name: &str,
        replication: &Replication,
        placement: Placement,
    ) -> Self {
        let replicas = KeyspaceReplicas::new(replication, Arc::new(placement), &self);
        self.keyspaces.insert(name.to_owned(), replicas);
        self
    }

    /// Who replicates a keyspace; `None` for those that are this node's own.
    pub fn keyspace(&self, name: &str) -> Option<&KeyspaceReplicas> {
        self.keyspaces.get(name)
    }

    /// The sets of replicas that there are: those of keyspaces that are replicated alike once.
    pub fn groups(&self) -> impl Iterator<Item = &Arc<Replicas>> {
        let mut seen: Vec<*const Placement> = Vec::new();
        let placements = self.keyspaces.values().filter_map(move |keyspace| {
            let placement = keyspace.placement.as_ref()?;
            let known = seen.contains(&Arc::as_ptr(placement));
            seen.push(Arc::as_ptr(placement));
            (!known).then_some(placement)
        });
        placements.flat_map(|placement| placement.groups())
    }

    /// The members of a data centre.
    pub fn of_datacenter<'a>(&'a self, name: &'a str) -> impl Iterator<Item = NodeId> + 'a {
        let nodes = self.nodes.iter();
        let there = nodes.filter(move |node| node.datacenter == name);
        there.map(|node| node.id)
    }

    /// Where a node stands in `nodes`.
    pub(crate) fn place(&self, id: NodeId) -> Option<usize> {
        self.nodes.binary_search_by_key(&id, |node| node.id).ok()
    }

    /// This process' own entry.
    pub fn local(&self) -> &Node {
        &self.nodes[self.local_place()]
    }

    /// Where this process stands in `nodes`.
    pub(crate) fn local_place(&self) -> usize {
        self.place(self.local)
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
}
