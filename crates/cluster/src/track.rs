//! Mutation tracking: which writes of a group of replicas each of them holds, durably, and what follows from it.
//! `docs/tracking.md` is the protocol with its proof; section numbers below are its.
//!
//! A *group* is the set of nodes that replicate a token; a *log* is what one origin shard coordinates for one group in one boot;
//! an id is (log, sequence). [`Group`] is one member's view of one group: it is told what this node makes durable and what the
//! others say they hold ([`Summary`]), and from that it knows
//! - what this node misses, and from whom to pull it (section 5),
//! - whether this node may be trusted by reads (section 8),
//! - what all members hold, which frees the journal and lets tombstones go (sections 6 and 10),
//! - up to which moment everything acknowledged is held by all (section 9),
//! - which sequence numbers of an origin that died stand for nothing (section 11).
//!
//! What must stay true:
//! - a summary names synced ids only, and what it says stays true for as long as the sender has the same disk (R2, R6);
//! - nothing is void while a member may still come to hold it (R7);
//! - everything here is rebuilt after a crash from what the disk holds and what the others say.
//!
//! `log.rs` is one log, `gate.rs` freshness and proof, `summary.rs` what members send each other, `group.rs` joins them.

mod gate;
mod group;
mod log;
mod summary;
#[cfg(test)]
mod tests;

pub use gate::Freshness;
pub use group::{Effect, Group, GroupConfig, LogBirth, Restored};
pub use summary::{LogSummary, Summary};

use crate::topology::NodeId;

/// Starts of a node's process, counted; an incarnation of its data directory never has the same twice.
pub type Boot = u32;

/// Names a group: a hash of its members, equal at all of them. A set of nodes is one group for as long as it has anything to
/// settle, whichever tokens it replicates meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u64);

impl GroupId {
    /// The group of these members.
    pub fn of(members: &[NodeId]) -> Self {
        assert!(members.is_sorted(), "members are named in order");
        let mut bytes = Vec::new();
        for member in members {
            bytes.extend_from_slice(&member.0.to_le_bytes());
        }
        Self(model::murmur::hash(&bytes) as u64)
    }
}
