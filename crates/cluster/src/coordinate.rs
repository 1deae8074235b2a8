//! One request through its replicas.
//!
//! A coordinator asks [`admit`] whether enough replicas are alive, and who they are; then one of the machines counts
//! answers until the level is reached, or can no longer be.

pub mod read;
pub mod write;

use crate::replication;
use crate::topology::{NodeId, Topology};
use model::error::{Consistency, RequestError};
use model::schema::Replication;

/// Who takes part in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaPlan {
    /// The level asked for.
    pub consistency: Consistency,
    /// Answers that are waited for.
    pub block_for: u32,
    /// The live replicas.
    pub replicas: Vec<NodeId>,
}

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

/// Whether there is such an access at this level.
pub fn check_level(
    access: Access,
    consistency: Consistency,
    keyspace: &Replication,
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
    let is_simple = keyspace.class != "NetworkTopologyStrategy";
    if access == Access::Conditional && consistency == Consistency::EachQuorum && is_simple {
        return Err(RequestError::invalid(format!(
            "consistency level EACH_QUORUM not compatible with replication strategy (org.apache.cassandra.locator.{})",
            keyspace.class
        )));
    }
    Ok(())
}

/// Checks the level and finds the replicas; `Unavailable` at once if too few are alive.
pub fn admit(
    access: Access,
    consistency: Consistency,
    keyspace: &Replication,
    topology: &Topology,
) -> Result<ReplicaPlan, RequestError> {
    check_level(access, consistency, keyspace)?;
    // A serial read or promise is one of a quorum, and is told of as such.
    let consistency = match (access, consistency) {
        (Access::Read, Consistency::Serial) => Consistency::Quorum,
        (Access::Read, Consistency::LocalSerial) => Consistency::LocalQuorum,
        (_, level) => level,
    };
    let replicas: Vec<NodeId> = topology
        .nodes
        .iter()
        .filter(|node| node.alive)
        .map(|node| node.id)
        .collect();
    let block_for = replication::required(consistency, keyspace, topology);
    let factor = replication::factor(keyspace).max(1) as usize;
    let alive = replicas.len().min(factor) as u32;
    if block_for > alive {
        return Err(RequestError::Unavailable {
            consistency,
            required: block_for,
            alive,
        });
    }
    Ok(ReplicaPlan {
        consistency,
        block_for,
        replicas,
    })
}
