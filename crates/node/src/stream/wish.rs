//! What this node wants of the ring: tokens, when it has none; and what an operator asks of it.
//!
//! A wish becomes a proposal to the metadata log. One that is refused because another change is under way is made again later if it is
//! the node's own; an operator is told, and may ask again. An operator's is fulfilled when the change is over.

use super::Taking;
use super::steps::RING_TICKETS;
use crate::effects::{Effects, LogLevel};
use crate::execute::admin::{AdminAnswer, AdminError, RingWork};
use crate::metadata_log::{Decision, spread_tokens};
use crate::shard::Shard;
use cluster::metadata::{Change, Command, Member, Metadata};
use cluster::ring::{Strategy, allocate};
use cluster::stream::plan;
use cluster::topology::NodeId;
use model::env::Random;
use model::key::Token;
use model::time::{BootNanos, Now};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use uuid::Uuid;

/// A wish for tokens that was refused is made again after so long, in milliseconds, and up to twice that.
const AGAIN_MS: u64 = 500;

/// What an operator waits for.
#[derive(Debug)]
struct Waiting {
    /// The number of the admin work.
    id: u64,
    /// Whose tokens change; `None` for a rebuild.
    node: Option<NodeId>,
    /// The proposal, until it is decided.
    ticket: Option<u64>,
}

/// Wishes under way.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    next_ticket: u64,
    /// Whose change proposals are about.
    proposals: BTreeMap<u64, NodeId>,
    /// This node's own proposal to get tokens.
    join: Option<u64>,
    next_join: BootNanos,
    /// Why the last was refused, as the operator was told.
    refusal: String,
    waiting: Vec<Waiting>,
}

impl Wishes {
    /// The ticket of a new proposal about a node's tokens.
    pub(super) fn ticket(&mut self, node: NodeId) -> u64 {
        self.next_ticket += 1;
        let ticket = RING_TICKETS + self.next_ticket;
        self.proposals.insert(ticket, node);
        ticket
    }

    /// Whose change a proposal that has ended was about.
    pub(super) fn proposed(&mut self, ticket: u64) -> Option<NodeId> {
        self.proposals.remove(&ticket)
    }

    /// Whether an operator waits.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}

impl Shard {
    /// Does what an operator asks of the ring; he is told when it is over.
    pub(crate) fn begin_ring_work(
        &mut self,
        id: u64,
        work: &RingWork,
        now: Now,
        out: &mut Effects,
    ) {
        let own = self.topology.local;
        let Some(metadata) = self.metadata().filter(|_| self.membership.is_some()) else {
            let reason = "this node is alone: it has no connection to others".to_owned();
            return out.admin.push((id, Err(reason.into())));
        };
        let change = match work {
            RingWork::Decommission { force } => {
                check_enough(&metadata, own, *force).map(|()| (own, Change::Leave))
            }
            RingWork::Remove(host_id) => match metadata.member_of(*host_id) {
                None => Err("Host ID not found.".to_owned()),
                Some((node, _)) if node == own => Err("Cannot remove self".to_owned()),
                Some((node, _)) if !self.is_away(node) => Err(format!(
                    "Node {host_id} is alive and owns this ID. Use decommission command to remove it from the ring"
                )),
                Some((node, _)) => Ok((node, Change::Remove)),
            },
            RingWork::Move(tokens) => {
                let mut tokens = tokens.clone();
                tokens.sort_unstable();
                tokens.dedup();
                Ok((own, Change::Move(tokens)))
            }
            RingWork::Rebuild(datacenter) => {
                return self.begin_rebuild(id, &metadata, datacenter.as_deref(), now, out);
            }
            RingWork::Force(host_id) => {
                return self.begin_forcing(id, &metadata, *host_id, now, out);
            }
            RingWork::Assassinate(address) => {
                return self.begin_assassination(id, &metadata, *address, now, out);
            }
        };
        let (node, change) = match change {
            Ok(change) => change,
            Err(reason) => return out.admin.push((id, Err(reason.into()))),
        };
        self.wish(id, Command::Begin { node, change }, node, now);
    }

    /// Proposes what an operator wants of a change of a node's tokens; he is told when the change is over.
    fn wish(&mut self, id: u64, command: Command, node: NodeId, now: Now) {
        self.propose_ring(command, node, now);
        let ticket = Some(RING_TICKETS + self.streams.wishes.next_ticket);
        let node = Some(node);
        self.streams
            .wishes
            .waiting
            .push(Waiting { id, node, ticket });
        self.streams.next_tick = now.boot;
    }

    /// A change goes on with the replicas that live: that of a member, or every removal and every keyspace that gains replicas, which
    /// no member stands for.
    fn begin_forcing(
        &mut self,
        id: u64,
        metadata: &Metadata,
        host_id: Option<Uuid>,
        now: Now,
        out: &mut Effects,
    ) {
        let forced = metadata.transitions.iter().filter(|(node, transition)| {
            let member = metadata.members.get(node);
            match host_id {
                Some(wanted) => member.is_some_and(|member| member.host_id == wanted),
                None => matches!(transition.change, Change::Remove | Change::Replicate { .. }),
            }
        });
        let nodes: Vec<NodeId> = forced.map(|(node, _)| *node).collect();
        let Some((last, others)) = nodes.split_last() else {
            let reason = "No token removals in process, and no other change of that node.";
            return out.admin.push((id, Err(reason.to_owned().into())));
        };
        for node in others {
            self.propose_ring(Command::TakeFewer { node: *node }, *node, now);
        }
        self.wish(id, Command::TakeFewer { node: *last }, *last, now);
    }

    /// A member that is dead is removed without waiting for anybody else who is away.
    fn begin_assassination(
        &mut self,
        id: u64,
        metadata: &Metadata,
        address: IpAddr,
        now: Now,
        out: &mut Effects,
    ) {
        let mut members = metadata.members.iter();
        let found = members.find(|(node, member)| {
            let had = metadata.displaced.get(node);
            had.unwrap_or(&member.internode_address).ip() == address
        });
        let node = match found {
            None => Err(format!("no member has the address {address}")),
            Some((node, _)) if *node == self.topology.local => Err("Cannot remove self".to_owned()),
            Some((node, _)) if !self.is_away(*node) => Err(format!(
                "the node at {address} answers: use decommission there"
            )),
            Some((node, _)) => Ok(*node),
        };
        let node = match node {
            Ok(node) => node,
            Err(reason) => return out.admin.push((id, Err(reason.into()))),
        };
        let has_tokens = !metadata.members[&node].tokens.is_empty();
        let removal = Command::Begin {
            node,
            change: Change::Remove,
        };
        if !has_tokens {
            return self.wish(id, removal, node, now);
        }
        // If it is under way already there is nothing to begin.
        self.propose_ring(removal, node, now);
        self.wish(id, Command::TakeFewer { node }, node, now);
    }

    fn begin_rebuild(
        &mut self,
        id: u64,
        metadata: &Metadata,
        datacenter: Option<&str>,
        now: Now,
        out: &mut Effects,
    ) {
        let mut members = metadata.members.values();
        if let Some(wanted) = datacenter
            && !members.any(|member| member.location.datacenter == wanted)
        {
            let known: BTreeSet<&str> = metadata
                .members
                .values()
                .map(|member| member.location.datacenter.as_str())
                .collect();
            let known: Vec<&str> = known.into_iter().collect();
            let reason = format!(
                "Provided datacenter '{wanted}' is not a valid datacenter, available datacenters are: {}",
                known.join(",")
            );
            return out.admin.push((id, Err(reason.into())));
        }
        if self.streams.rebuild.is_some() {
            let reason = "Node is still rebuilding. Check nodetool netstats.".to_owned();
            return out.admin.push((id, Err(reason.into())));
        }
        let units = plan::rebuilt(
            metadata,
            self.topology.local,
            datacenter,
            self.acceptors_table(),
        );
        self.streams.rebuild = Some(Taking::new(units, 0, &mut self.random, now.boot));
        self.streams.wishes.waiting.push(Waiting {
            id,
            node: None,
            ticket: None,
        });
        self.streams.next_tick = now.boot;
    }

    /// Goes on with wishes: asks for tokens, and tells operators what is over.
    pub(super) fn pursue_wishes(&mut self, metadata: &Metadata, now: Now, out: &mut Effects) {
        let own = self.topology.local;
        if let Some(member) = metadata.members.get(&own)
            && member.tokens.is_empty()
            && !metadata.transitions.contains_key(&own)
            && self.streams.wishes.join.is_none()
            && now.boot >= self.streams.wishes.next_join
        {
            self.wish_for_tokens(metadata, member, now, out);
        }
        let is_rebuilt = match &self.streams.rebuild {
            Some(rebuild) => rebuild.is_done(),
            None => true,
        };
        if is_rebuilt {
            self.streams.rebuild = None;
        }
        let is_over = |waiting: &Waiting| match waiting.node {
            Some(node) => waiting.ticket.is_none() && !metadata.transitions.contains_key(&node),
            None => is_rebuilt,
        };
        let waiting = std::mem::take(&mut self.streams.wishes.waiting);
        let (over, waiting): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_over);
        self.streams.wishes.waiting = waiting;
        out.admin.extend(
            over.into_iter()
                .map(|waiting| (waiting.id, Ok(AdminAnswer::Done))),
        );
    }

    fn wish_for_tokens(&mut self, metadata: &Metadata, own: &Member, now: Now, out: &mut Effects) {
        let change = match self.config.replaces {
            Some(address) => {
                let mut members = metadata.members.iter();
                let dead = members.find(|(id, member)| {
                    let had = metadata.displaced.get(id);
                    let had = had.unwrap_or(&member.internode_address);
                    **id != self.topology.local && had.ip() == address
                });
                match dead {
                    Some((id, _)) if self.is_away(*id) => Ok(Change::Replace(*id)),
                    Some(_) => Err(format!(
                        "Cannot replace a live node: the one at {address} answers"
                    )),
                    None => Err(format!(
                        "Cannot replace_address {address} because it doesn't exist in the cluster"
                    )),
                }
            }
            None => Ok(Change::Join(self.new_tokens(metadata, own))),
        };
        match change {
            Ok(change) => {
                let node = self.topology.local;
                self.propose_ring(Command::Begin { node, change }, node, now);
                let ticket = RING_TICKETS + self.streams.wishes.next_ticket;
                self.streams.wishes.join = Some(ticket);
            }
            Err(refusal) => self.wish_refused(refusal, now, out),
        }
    }

    /// The tokens that this node wants: those it was told, or those that give everybody as much as the others.
    fn new_tokens(&mut self, metadata: &Metadata, own: &Member) -> Vec<Token> {
        if !self.config.initial_tokens.is_empty() {
            return self.config.initial_tokens.clone();
        }
        let count = self.config.num_tokens;
        let tokens = allocate(&metadata.ring(), &own.location, count);
        if tokens.is_empty() {
            return spread_tokens(count, &mut self.random);
        }
        tokens
    }

    fn wish_refused(&mut self, refusal: String, now: Now, out: &mut Effects) {
        let pause = AGAIN_MS + self.random.next_u64() % AGAIN_MS;
        let wishes = &mut self.streams.wishes;
        wishes.next_join = now.boot.plus_millis(pause);
        if wishes.refusal != refusal {
            let text = format!("this node has no tokens yet: {refusal}");
            out.log.push((LogLevel::Warn, text));
            wishes.refusal = refusal;
        }
    }

    /// A proposal was decided, or was not in time.
    pub(super) fn wish_decided(
        &mut self,
        ticket: u64,
        decision: &Decision,
        now: Now,
        out: &mut Effects,
    ) {
        let refusal = match decision {
            Decision::Done => None,
            Decision::Refused(refused) => Some(refused.to_string()),
            Decision::NoMajority => {
                Some("no majority of the voters of the metadata log can be reached".to_owned())
            }
            Decision::Undecided => Some("it was not decided in time".to_owned()),
            Decision::Failed(reason) => Some(reason.clone()),
        };
        let wishes = &mut self.streams.wishes;
        if wishes.join.take_if(|join| *join == ticket).is_some()
            && let Some(refusal) = &refusal
        {
            return self.wish_refused(refusal.clone(), now, out);
        }
        let mut waiting = wishes.waiting.iter();
        let Some(place) = waiting.position(|waiting| waiting.ticket == Some(ticket)) else {
            return;
        };
        // How a proposal ended that a snapshot replaced is not told, but what came of it can be seen.
        let node = wishes.waiting[place].node;
        let has_begun = *decision == Decision::Undecided
            && node.is_some_and(|node| {
                let log = self.schema_changes.log();
                log.is_some_and(|log| log.metadata().transitions.contains_key(&node))
            });
        let wishes = &mut self.streams.wishes;
        match refusal.filter(|_| !has_begun) {
            None => wishes.waiting[place].ticket = None,
            Some(refusal) => {
                let waiting = wishes.waiting.remove(place);
                out.admin.push((waiting.id, Err(refusal.into())));
            }
        }
    }

    /// Nothing more will come of what operators asked for.
    pub(super) fn end_wishes(&mut self, result: Result<(), String>, out: &mut Effects) {
        let waiting = std::mem::take(&mut self.streams.wishes.waiting).into_iter();
        let result = result.map(|()| AdminAnswer::Done);
        let result = result.map_err(AdminError::from);
        out.admin
            .extend(waiting.map(|waiting| (waiting.id, result.clone())));
    }
}

/// Whether those that stay are enough for what keyspaces ask for.
fn check_enough(metadata: &Metadata, own: NodeId, force: bool) -> Result<(), String> {
    if force {
        return Ok(());
    }
    let owners = metadata
        .members
        .iter()
        .filter(|(id, member)| **id != own && !member.tokens.is_empty());
    let mut left: BTreeMap<&str, u32> = BTreeMap::new();
    for (_, member) in owners {
        *left.entry(&member.location.datacenter).or_default() += 1;
    }
    let here = metadata.members.get(&own);
    let here = here.map_or("", |member| member.location.datacenter.as_str());
    for (name, keyspace) in &metadata.schema.keyspaces {
        let (factor, nodes) = match Strategy::of(&keyspace.replication) {
            Strategy::Local => continue,
            Strategy::Simple(factor) => (factor, left.values().sum()),
            Strategy::NetworkTopology(factors) => (
                factors.get(here).copied().unwrap_or(0),
                left.get(here).copied().unwrap_or(0),
            ),
        };
        if nodes < factor {
            return Err(format!(
                "Not enough live nodes to maintain replication factor in keyspace {name} (RF = {factor}, N = {}). \
                 Perform a forceful decommission to ignore.",
                nodes + 1
            ));
        }
    }
    Ok(())
}
