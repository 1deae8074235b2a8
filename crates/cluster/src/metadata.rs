//! What all members agree on: who they are, which tokens they have, the schema, the roles.
//!
//! The metadata log (`raft.rs`) orders [`Proposal`]s; [`Metadata::apply`] carries one out. The number of the entry is the *epoch* of
//! what it leads to. Nothing else changes the metadata, so members at one epoch have the same.
//!
//! What must stay true:
//! - applying is a pure function of metadata and proposal; a proposal that does not fit is refused the same way everywhere,
//!   and changes nothing but the epoch;
//! - a proposal that comes twice is decided on once: proposers number theirs, and send the next when the one before has ended;
//! - a change of the schema names the schema it was planned on, and is refused on any other, so that two who say
//!   `CREATE TABLE IF NOT EXISTS` at once are told one truth: the second plans again;
//! - a node's number and its host id are never given to another;
//! - at each step of a change of the ring (`transition.rs`) any two quorums of a token's replicas meet, whichever of two
//!   neighbouring steps their coordinators know.

mod command;
mod replicate;
#[cfg(test)]
mod tests;
mod transition;
mod voters;

use crate::ring::{Location, Ring};
use crate::topology::NodeId;
pub use command::{Command, DecodeError, Proposal, ProposalId, Refused};
use model::key::Token;
use model::schema::{Schema, TableId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
pub use transition::{Change, Moved, Step, Transition};
use uuid::Uuid;

/// Number of the entry of the metadata log that something became so with.
pub type Epoch = u64;

/// A member's data directory and process, as the others must know them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its identity as tools show it.
    pub host_id: Uuid,
    /// Random, made with its data directory: what is known of the disk before is not believed of another.
    pub incarnation: u64,
    /// Where other nodes reach it.
    pub internode_address: SocketAddr,
    /// Where clients reach it.
    pub client_address: SocketAddr,
    /// Data centre and rack.
    pub location: Location,
    /// Tokens it owns the ranges up to, ascending; none before it has joined.
    pub tokens: Vec<Token>,
    /// Shards of its process.
    pub shards: u16,
    /// Its version of Helenus.
    pub version: String,
}

/// Name and identity of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterIdentity {
    /// Made with the cluster.
    pub id: Uuid,
    /// As configured.
    pub name: String,
}

/// What all members agree on, at an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// The last entry that was applied.
    pub epoch: Epoch,
    /// The last one that changed who replicates what.
    pub placement_epoch: Epoch,
    /// Who planned before it may have missed two steps of a change of the ring, and is refused.
    #[serde(default)]
    pub refused_before: Epoch,
    /// Of which cluster.
    pub cluster: ClusterIdentity,
    /// The members.
    pub members: BTreeMap<NodeId, Member>,
    /// Host ids of those that left or were removed, with their numbers: neither comes back.
    pub gone: BTreeMap<Uuid, NodeId>,
    /// The number of the next member.
    next_node: u32,
    /// Keyspaces, tables, types and roles.
    pub schema: Arc<Schema>,
    /// When each table was last truncated. Mutations that were planned before are dropped.
    pub truncations: BTreeMap<TableId, Epoch>,
    /// Changes of the ring that are under way, by whose tokens change; one of a keyspace's replication has a number of its own.
    pub transitions: BTreeMap<NodeId, Transition>,
    /// Dead members whose addresses others have taken, with the addresses they had.
    #[serde(default)]
    pub displaced: BTreeMap<NodeId, SocketAddr>,
    /// The last proposal of each member that was carried out or refused.
    decided: BTreeMap<NodeId, u64>,
}

impl Metadata {
    /// A cluster that is founded by its first member, which has its tokens from the beginning.
    pub fn founded(cluster: ClusterIdentity, founder: Member) -> Self {
        let first = NodeId(1);
        Self {
            epoch: 1,
            placement_epoch: 1,
            refused_before: 0,
            cluster,
            members: BTreeMap::from([(first, founder)]),
            gone: BTreeMap::new(),
            next_node: 2,
            schema: Arc::default(),
            truncations: BTreeMap::new(),
            transitions: BTreeMap::new(),
            displaced: BTreeMap::new(),
            decided: BTreeMap::new(),
        }
    }

    /// The member with this host id.
    pub fn member_of(&self, host_id: Uuid) -> Option<(NodeId, &Member)> {
        let mut members = self.members.iter();
        let (id, member) = members.find(|(_, member)| member.host_id == host_id)?;
        Some((*id, member))
    }

    /// The ring of the members that have tokens, without the changes under way.
    pub fn ring(&self) -> Ring {
        let owners = self
            .members
            .iter()
            .filter(|(_, member)| !member.tokens.is_empty());
        Ring::new(
            owners.map(|(id, member)| (*id, member.location.clone(), member.tokens.as_slice())),
        )
    }

    /// The bytes of a snapshot: JSON, whose shape `docs/formats/metalog.md` gives.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("keys of maps are numbers and names")
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let metadata: Self =
            serde_json::from_slice(bytes).map_err(|error| DecodeError(error.to_string()))?;
        let members = metadata.members.keys().chain(metadata.gone.values());
        let mut numbers = members.chain(metadata.transitions.keys());
        if numbers.any(|id| id.0 >= metadata.next_node) {
            let what = "a node has a number that was not given out yet";
            return Err(DecodeError(what.to_owned()));
        }
        Ok(metadata)
    }

    /// Whether the proposal was carried out or refused already.
    pub fn has_decided(&self, id: ProposalId) -> bool {
        self.decided
            .get(&id.node)
            .is_some_and(|last| *last >= id.number)
    }

    /// Whether all that was decided in other metadata was decided in these too, as far as can be told: not if their voters were lost and
    /// the members went on without what those had decided last.
    pub fn follows(&self, earlier: &Self) -> bool {
        let known = |(node, number): (&NodeId, &u64)| {
            let id = ProposalId {
                node: *node,
                number: *number,
            };
            self.has_decided(id) || !self.members.contains_key(node)
        };
        self.schema.epoch >= earlier.schema.epoch && earlier.decided.iter().all(known)
    }

    /// The metadata after the entry at `epoch`, and how its proposal ended.
    pub fn apply(&self, epoch: Epoch, proposal: &Proposal) -> (Self, Result<(), Refused>) {
        assert!(epoch > self.epoch, "entries are applied in order");
        let mut after = self.clone();
        after.epoch = epoch;
        if self.has_decided(proposal.id) {
            return (after, Ok(()));
        }
        match after.carry_out(&proposal.command) {
            Ok(()) => (after.decided_on(proposal.id), Ok(())),
            Err(refused) => {
                let mut unchanged = self.clone();
                unchanged.epoch = epoch;
                (unchanged.decided_on(proposal.id), Err(refused))
            }
        }
    }

    fn decided_on(mut self, id: ProposalId) -> Self {
        self.decided.insert(id.node, id.number);
        self
    }

    fn carry_out(&mut self, command: &Command) -> Result<(), Refused> {
        match command {
            Command::Register(member) => self.register(member),
            Command::Update { node, member } => self.update(*node, member),
            Command::Edit { planned_on, edits } => {
                if self.schema.epoch != *planned_on {
                    return Err(Refused::SchemaChanged);
                }
                let (before, strategies) = (self.schema.clone(), self.strategies());
                let replications = self.replications();
                self.schema = Arc::new(self.schema.apply_all(edits));
                // A change of the ring was compared with the others under way for the strategies there were.
                let mut transitions = self.transitions.iter();
                let of_ring = transitions.find(|(_, other)| !other.change.is_of_replication());
                if !self.strategies().is_subset(&strategies)
                    && let Some((node, _)) = of_ring
                {
                    return Err(Refused::Overlaps(*node));
                }
                if self.replications() != replications {
                    self.placement_epoch = self.epoch;
                    self.replicate(&before)?;
                }
                let kept: Vec<TableId> = self.schema.tables().map(|table| table.id).collect();
                self.truncations.retain(|table, _| kept.contains(table));
                Ok(())
            }
            Command::Truncate(table) => {
                if !self.schema.tables().any(|known| known.id == *table) {
                    return Err(Refused::NoSuchTable);
                }
                self.truncations.insert(*table, self.epoch);
                Ok(())
            }
            Command::Begin { node, change } => self.begin(*node, change),
            Command::Advance { node, from } => self.advance(*node, *from),
            Command::TakeFewer { node } => self.take_fewer(*node),
            Command::Displace { node, address } => self.displace(*node, *address),
        }
    }

    /// Takes a node in. It has no tokens yet, and replicates nothing; asked again, it is the member it was. Who has its address and no
    /// tokens is one that began anew with an empty disk before it had joined: a member that lives lets nobody take its address.
    fn register(&mut self, member: &Member) -> Result<(), Refused> {
        if self.gone.contains_key(&member.host_id) {
            return Err(Refused::Gone);
        }
        if self.member_of(member.host_id).is_some() {
            return Ok(());
        }
        let address = member.internode_address;
        let taken = |other: &Member| other.internode_address == address;
        if let Some((id, other)) = self.members.iter().find(|(_, other)| taken(other)) {
            let (id, has_tokens) = (*id, !other.tokens.is_empty());
            if has_tokens || self.forget(id).is_err() {
                return Err(Refused::AddressTaken(id));
            }
        }
        let number = self.next_number()?;
        let mut member = member.clone();
        member.tokens.clear();
        self.members.insert(number, member);
        Ok(())
    }

    /// A number that nobody had.
    fn next_number(&mut self) -> Result<NodeId, Refused> {
        let next = self.next_node.checked_add(1).ok_or(Refused::NoNumber)?;
        Ok(NodeId(std::mem::replace(&mut self.next_node, next)))
    }

    /// What a member's process is now: addresses, shards, version. Where it stands and which disk it has cannot change.
    fn update(&mut self, node: NodeId, update: &Member) -> Result<(), Refused> {
        let address = update.internode_address;
        let mut others = self.members.iter().filter(|(id, _)| **id != node);
        if let Some((id, _)) = others.find(|(_, other)| other.internode_address == address) {
            return Err(Refused::AddressTaken(*id));
        }
        let member = self.members.get_mut(&node).ok_or(Refused::NoSuchNode)?;
        if member.host_id != update.host_id || member.incarnation != update.incarnation {
            return Err(Refused::OtherDisk);
        }
        if member.location != update.location {
            return Err(Refused::Moved);
        }
        let tokens = std::mem::take(&mut member.tokens);
        *member = Member {
            tokens,
            ..update.clone()
        };
        // It was not dead after all.
        self.displaced.remove(&node);
        Ok(())
    }

    /// Frees the address of a dead member for the node that is to replace it.
    fn displace(&mut self, node: NodeId, address: SocketAddr) -> Result<(), Refused> {
        let member = self.members.get_mut(&node).ok_or(Refused::NoSuchNode)?;
        if member.internode_address == address {
            let nowhere = match address.ip() {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            };
            member.internode_address = SocketAddr::new(nowhere, 0);
            self.displaced.insert(node, address);
        }
        Ok(())
    }

    fn replications(&self) -> Vec<(String, model::schema::Replication)> {
        let keyspaces = self.schema.keyspaces.iter();
        keyspaces
            .map(|(name, keyspace)| (name.clone(), keyspace.replication.clone()))
            .collect()
    }
}
