//! Who takes part in a request about one partition, and how many of whom must answer.
//!
//! The arithmetic is Cassandra's: a quorum is of the factor that was configured, not of the nodes that happen to exist, so a
//! factor of 3 on one node makes QUORUM unavailable and says so. The `LOCAL_` levels count only the coordinator's data
//! centre, `EACH_QUORUM` wants a quorum of each. A write waits for one more of every replica that is to be one soon. ANY wants a replica, too: writes that no replica took are kept for them by
//! nobody yet.

use crate::paxos::Participants;
use crate::replication::{KeyspaceReplicas, quorum};
use crate::topology::{NodeId, Topology};
use model::error::{Consistency, RequestError};
use model::key::Token;
use smallvec::SmallVec;
use std::collections::BTreeSet;

/// Whether a request is a read or a write: some levels exist for one only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// SELECT of partitions that are named.
    Read,
    /// SELECT of a range of partitions, which a serial level makes no more than a read of a quorum.
    Range,
    /// INSERT, UPDATE or DELETE.
    Write,
    /// BATCH, of which Cassandra does not check that its level is not a serial one.
    Batch,
    /// The commit of a conditional statement.
    Conditional,
}

/// A replica of a partition, as it was when the plan was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replica {
    /// Its number.
    pub node: NodeId,
    /// The number of its data centre.
    pub datacenter: u16,
    /// Whether it answers.
    pub alive: bool,
    /// Whether it is to be one soon: it is written to, and has not all of the data yet.
    pub pending: bool,
}

/// Replicas in the order in which they are asked: this node, then its data centre, then the others.
pub type Replicas = SmallVec<[Replica; 3]>;

/// Whose answers a level counts, and how many it wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Quota {
    /// So many of all.
    All(u32),
    /// So many of a data centre.
    Datacenter(u16, u32),
    /// So many of each data centre.
    Each(Box<[(u16, u32)]>),
}

impl Quota {
    /// How many answers that is.
    pub(super) fn total(&self) -> u32 {
        match self {
            Self::All(wanted) | Self::Datacenter(_, wanted) => *wanted,
            Self::Each(wanted) => wanted.iter().map(|(_, wanted)| wanted).sum(),
        }
    }
}

impl Quota {
    /// A replica in this data centre is one no longer, and was waited for until everybody knew.
    pub(super) fn wait_for_one_less(&mut self, datacenter: u16) {
        match self {
            Self::All(wanted) => *wanted -= 1,
            Self::Datacenter(here, wanted) => *wanted -= u32::from(*here == datacenter),
            Self::Each(each) => {
                for (there, wanted) in each {
                    *wanted -= u32::from(*there == datacenter);
                }
            }
        }
    }

    /// A replica that is to be one soon is written to as well, in this data centre.
    fn wait_for_one_more(&mut self, datacenter: u16) {
        match self {
            Self::All(wanted) => *wanted += 1,
            Self::Datacenter(here, wanted) => *wanted += u32::from(*here == datacenter),
            Self::Each(each) => {
                for (there, wanted) in each {
                    *wanted += u32::from(*there == datacenter);
                }
            }
        }
    }
}

/// Who takes part in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaPlan {
    /// The level that errors tell of.
    pub consistency: Consistency,
    /// Answers that are waited for, of all data centres together.
    pub block_for: u32,
    /// All replicas.
    pub replicas: Replicas,
    /// The epoch of the metadata they were found with. Whoever is sent something by this plan is told so.
    pub epoch: u64,
    pub(super) quota: Quota,
}

impl ReplicaPlan {
    /// What is this node's own: virtual tables, and what a node writes for itself.
    pub fn local(consistency: Consistency, topology: &Topology) -> Self {
        let replica = replica(topology.local_place(), topology);
        Self {
            consistency,
            block_for: 1,
            replicas: SmallVec::from_iter([replica]),
            epoch: topology.epoch,
            quota: Quota::All(1),
        }
    }

    /// What these members are to do, every one of them; others than members are left out.
    pub fn of_all(
        consistency: Consistency,
        nodes: impl IntoIterator<Item = NodeId>,
        topology: &Topology,
    ) -> Self {
        let places = nodes.into_iter().filter_map(|node| topology.place(node));
        let replicas: Replicas = places.map(|place| replica(place, topology)).collect();
        Self {
            consistency,
            block_for: replicas.len() as u32,
            quota: Quota::All(replicas.len() as u32),
            replicas,
            epoch: topology.epoch,
        }
    }

    /// The same for one of its replicas, which sees to it that the level is reached. Errors tell of the level.
    #[must_use]
    pub fn led_by(mut self, leader: NodeId) -> Self {
        self.replicas.retain(|replica| replica.node == leader);
        self.quota = Quota::All(1);
        self
    }

    /// The replica that leads what must be done by one: this node if it is one, else one of the nearest that answer, the
    /// same for all that is done to a token.
    pub fn leader(&self, token: Token, topology: &Topology) -> Option<NodeId> {
        // What is counted must be there.
        let whole = || self.live().filter(|replica| !replica.pending);
        let first = whole().next()?;
        if first.node == topology.local {
            return Some(first.node);
        }
        let near = || whole().filter(|replica| replica.datacenter == first.datacenter);
        let place = token.0.unsigned_abs() % near().count() as u64;
        near().nth(place as usize).map(|replica| replica.node)
    }

    /// The same, known to have been found at an earlier epoch.
    #[must_use]
    pub fn of_epoch(mut self, epoch: u64) -> Self {
        self.epoch = epoch;
        self
    }

    /// Whether a node is one of its replicas.
    pub fn has(&self, node: NodeId) -> bool {
        self.replicas.iter().any(|replica| replica.node == node)
    }

    /// The same replicas as they are known now; `Unavailable` if too few are alive.
    pub fn again(&self, topology: &Topology) -> Result<Self, RequestError> {
        let mut plan = self.clone();
        for known in &mut plan.replicas {
            let place = topology.place(known.node);
            known.alive = place.is_some_and(|place| topology.nodes[place].alive);
        }
        plan.check_alive()
    }

    /// The same replicas, asked at another level; `Unavailable` if too few are alive.
    pub fn at_level(
        mut self,
        level: Consistency,
        keyspace: &KeyspaceReplicas,
        topology: &Topology,
    ) -> Result<Self, RequestError> {
        self.quota = quota(level, keyspace, topology);
        self.block_for = self.quota.total();
        self.consistency = level;
        self.check_alive()
    }

    /// The replicas that answer.
    pub fn live(&self) -> impl Iterator<Item = Replica> {
        self.replicas
            .iter()
            .copied()
            .filter(|replica| replica.alive)
    }

    /// `Unavailable` if too few replicas are alive.
    fn check_alive(self) -> Result<Self, RequestError> {
        let alive = |counted: &dyn Fn(&Replica) -> bool| {
            self.live().filter(|replica| counted(replica)).count() as u32
        };
        let lacking = match &self.quota {
            Quota::All(wanted) => Some((*wanted, alive(&|_| true))),
            Quota::Datacenter(here, wanted) => {
                Some((*wanted, alive(&|replica| replica.datacenter == *here)))
            }
            // The counts are those of the data centre that lacks them.
            Quota::Each(each) => each
                .iter()
                .map(|(there, wanted)| (*wanted, alive(&|replica| replica.datacenter == *there)))
                .find(|(wanted, alive)| alive < wanted),
        };
        match lacking {
            Some((required, alive)) if alive < required => Err(RequestError::Unavailable {
                consistency: self.consistency,
                required,
                alive,
            }),
            _ => Ok(self),
        }
    }
}

fn replica(place: usize, topology: &Topology) -> Replica {
    let node = &topology.nodes[place];
    Replica {
        node: node.id,
        datacenter: topology.datacenter_of(place),
        alive: node.alive,
        pending: false,
    }
}

/// Whether there is such an access at this level.
pub fn check_level(
    access: Access,
    consistency: Consistency,
    keyspace: &KeyspaceReplicas,
) -> Result<(), RequestError> {
    if matches!(access, Access::Read | Access::Range) && consistency == Consistency::Any {
        return Err(RequestError::invalid(
            "ANY ConsistencyLevel is only supported for writes",
        ));
    }
    if access == Access::Write && consistency.is_serial() {
        return Err(RequestError::invalid(
            "You must use conditional updates for serializable writes",
        ));
    }
    if access == Access::Conditional && consistency.is_serial() {
        return Err(RequestError::invalid(format!(
            "{consistency} is not supported as conditional update commit consistency. Use ANY if you mean \"make sure it is accepted but I don't care how many replicas commit it for non-SERIAL reads\""
        )));
    }
    if access == Access::Conditional
        && consistency == Consistency::EachQuorum
        && keyspace.by_datacenter.is_none()
    {
        return Err(RequestError::invalid(format!(
            "consistency level EACH_QUORUM not compatible with replication strategy (org.apache.cassandra.locator.{})",
            keyspace.class
        )));
    }
    Ok(())
}

/// Checks the level and finds the replicas of a token; `Unavailable` at once if too few are alive.
pub fn admit(
    access: Access,
    consistency: Consistency,
    keyspace: &KeyspaceReplicas,
    topology: &Topology,
    token: Token,
) -> Result<ReplicaPlan, RequestError> {
    check_level(access, consistency, keyspace)?;
    // A serial read or promise is one of a quorum, and is told of as such.
    let consistency = match (access, consistency) {
        (Access::Read, Consistency::Serial) => Consistency::Quorum,
        (Access::Read, Consistency::LocalSerial) => Consistency::LocalQuorum,
        (_, level) => level,
    };
    let Some(placement) = &keyspace.placement else {
        return Ok(ReplicaPlan::local(consistency, topology));
    };
    let writes = !matches!(access, Access::Read | Access::Range);
    let placed = placement.replicas(token);
    let natural = placed.iter().flat_map(|placed| &placed.natural);
    let natural = natural.filter_map(|id| topology.place(*id));
    let mut replicas: Replicas = natural.map(|place| replica(place, topology)).collect();
    let mut quota = quota(consistency, keyspace, topology);
    let pending = placed.iter().flat_map(|placed| &placed.pending);
    for place in pending
        .filter(|_| writes)
        .filter_map(|id| topology.place(*id))
    {
        let replica = Replica {
            pending: true,
            ..replica(place, topology)
        };
        quota.wait_for_one_more(replica.datacenter);
        replicas.push(replica);
    }
    if replicas.len() > 1 {
        let here = topology.datacenter_of(topology.local_place());
        replicas
            .sort_by_key(|replica| (replica.node != topology.local, replica.datacenter != here));
    }
    ReplicaPlan {
        consistency,
        block_for: quota.total(),
        replicas,
        epoch: topology.epoch,
        quota,
    }
    .check_alive()
}

/// All who replicate a token now or are about to, in this data centre or others.
pub fn members(
    keyspace: &KeyspaceReplicas,
    topology: &Topology,
    token: Token,
) -> impl Iterator<Item = NodeId> {
    let placement = keyspace.placement.as_ref();
    let placed = placement.and_then(|placement| placement.replicas(token));
    let all = placed.into_iter().flat_map(|placed| placed.all());
    all.filter(|id| topology.place(*id).is_some())
}

/// Who decides about a token's partitions at a serial level: all its replicas, or those of this data centre. `Unavailable` at once if
/// too few are alive.
pub fn participants(
    serial: Consistency,
    keyspace: &KeyspaceReplicas,
    topology: &Topology,
    token: Token,
) -> Result<Participants, RequestError> {
    let here = topology.datacenter_of(topology.local_place());
    let takes_part = |id: &NodeId| {
        let place = topology.place(*id);
        place.is_some_and(|place| {
            serial == Consistency::Serial || topology.datacenter_of(place) == here
        })
    };
    let placed = keyspace
        .placement
        .as_ref()
        .and_then(|placement| placement.replicas(token));
    let of = |members: &[NodeId]| members.iter().copied().filter(takes_part).collect();
    let participants = Participants {
        natural: placed.map_or_else(Vec::new, |placed| of(&placed.natural)),
        pending: placed.map_or_else(Vec::new, |placed| of(&placed.pending)),
    };
    let place_of = |id: NodeId| topology.place(id);
    let is_alive = |id: &NodeId| place_of(*id).is_some_and(|place| topology.nodes[place].alive);
    let alive: BTreeSet<NodeId> = participants.all().filter(is_alive).collect();
    if participants.suffice(&alive) {
        return Ok(participants);
    }
    Err(RequestError::Unavailable {
        consistency: serial,
        required: participants.required() as u32,
        alive: alive.len() as u32,
    })
}

/// What a level wants of a keyspace's replicas: at least one, even if none are configured.
fn quota(consistency: Consistency, keyspace: &KeyspaceReplicas, topology: &Topology) -> Quota {
    let here = |wanted| Quota::Datacenter(topology.datacenter_of(topology.local_place()), wanted);
    match consistency {
        Consistency::Any | Consistency::One => Quota::All(1),
        Consistency::Two => Quota::All(2),
        Consistency::Three => Quota::All(3),
        Consistency::Quorum | Consistency::Serial => Quota::All(quorum(keyspace.factor)),
        Consistency::All => Quota::All(keyspace.factor.max(1)),
        Consistency::LocalOne => here(1),
        Consistency::LocalQuorum | Consistency::LocalSerial => here(quorum(keyspace.factor_here)),
        Consistency::EachQuorum => match keyspace.by_datacenter.as_deref() {
            None => Quota::All(quorum(keyspace.factor)),
            Some([]) => Quota::All(1),
            Some(factors) => {
                let quorums = factors
                    .iter()
                    .map(|(there, factor)| (*there, quorum(*factor)));
                Quota::Each(quorums.collect())
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinate::fixtures::{cluster, network, placed, simple};
    use model::schema::Replication;

    fn block_for(level: Consistency, keyspace: &Replication, topology: &Topology) -> u32 {
        quota(level, &placed(topology, keyspace), topology).total()
    }

    #[test]
    fn levels_count_configured_replicas() {
        let topology = cluster(&[("dc1", "a")]);
        let keyspace = network(&[("dc1", 3), ("dc2", 2)]);
        for (level, wanted) in [
            (Consistency::Any, 1),
            (Consistency::LocalOne, 1),
            (Consistency::Three, 3),
            (Consistency::Quorum, 3),
            (Consistency::LocalQuorum, 2),
            (Consistency::EachQuorum, 4),
            (Consistency::All, 5),
        ] {
            assert_eq!(block_for(level, &keyspace, &topology), wanted, "{level}");
        }
        assert_eq!(block_for(Consistency::EachQuorum, &simple(3), &topology), 2);
        assert_eq!(
            block_for(Consistency::LocalSerial, &simple(5), &topology),
            3
        );
    }

    #[test]
    fn unavailable_tells_of_the_data_centre_that_lacks_replicas() {
        let nodes = [("dc1", "a"), ("dc1", "b"), ("dc1", "c"), ("dc2", "x")];
        let mut topology = cluster(&nodes);
        let keyspace = network(&[("dc1", 3), ("dc2", 1)]);
        let admit = |level, topology: &Topology| {
            let keyspace = placed(topology, &keyspace);
            admit(Access::Write, level, &keyspace, topology, Token(1))
                .map(|plan| plan.block_for)
                .map_err(|error| match error {
                    RequestError::Unavailable {
                        required, alive, ..
                    } => (required, alive),
                    other => panic!("{other}"),
                })
        };
        assert_eq!(admit(Consistency::EachQuorum, &topology), Ok(3));
        topology.nodes[3].alive = false;
        assert_eq!(admit(Consistency::EachQuorum, &topology), Err((1, 0)));
        assert_eq!(admit(Consistency::All, &topology), Err((4, 3)));
        assert_eq!(admit(Consistency::LocalQuorum, &topology), Ok(2));
        topology.nodes[1].alive = false;
        topology.nodes[2].alive = false;
        assert_eq!(admit(Consistency::LocalQuorum, &topology), Err((2, 1)));
        assert_eq!(admit(Consistency::One, &topology), Ok(1));
    }

    #[test]
    fn this_node_is_asked_first_and_far_ones_last() {
        let topology = cluster(&[("dc1", "a"), ("dc2", "x"), ("dc1", "b")]);
        let keyspace = network(&[("dc1", 2), ("dc2", 1)]);
        let plan = admit(
            Access::Read,
            Consistency::Quorum,
            &placed(&topology, &keyspace),
            &topology,
            Token(150),
        );
        let order: Vec<u32> = plan
            .expect("all are alive")
            .live()
            .map(|replica| replica.node.0)
            .collect();
        assert_eq!(order, [1, 3, 2]);
    }
}
