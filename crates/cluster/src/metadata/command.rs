//! What can be proposed to the metadata log, and its bytes.

use super::{Change, Epoch, Member, Step};
use crate::topology::NodeId;
use model::schema::{SchemaEdit, TableId};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Names a proposal: who made it, and that node's number for it, which grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProposalId {
    /// Who proposes.
    pub node: NodeId,
    /// The start of its process in the upper half, a count in the lower.
    pub number: u64,
}

/// Something to be done, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// Its name.
    pub id: ProposalId,
    /// What.
    pub command: Command,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Command {
    /// Takes a node in as a member without tokens, and numbers it.
    Register(Box<Member>),
    /// A member's process is another than it was.
    Update {
        /// Which.
        node: NodeId,
        /// What it is now; its tokens are not looked at.
        member: Box<Member>,
    },
    /// Changes the schema or the roles.
    Edit {
        /// Epoch of the schema it was planned on.
        planned_on: Epoch,
        /// The changes.
        edits: Vec<SchemaEdit>,
    },
    /// Empties a table of everything that was planned before.
    Truncate(TableId),
    /// Begins a change of the ring.
    Begin {
        /// Whose tokens change.
        node: NodeId,
        /// How.
        change: Change,
    },
    /// Takes a change of the ring one step on.
    Advance {
        /// Whose.
        node: NodeId,
        /// The step it is at; at another there is nothing to do.
        from: Step,
    },
    /// An operator's word that replicas which are away do not come back: a change of the ring goes on with those that live.
    TakeFewer {
        /// Whose.
        node: NodeId,
    },
    /// A dead member's address is taken by the node that is to replace it: it keeps its tokens, and is reached nowhere.
    Displace {
        /// Which.
        node: NodeId,
        /// The address it had.
        address: SocketAddr,
    },
}

/// Why a proposal was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refused {
    /// It was planned on a schema that is not the one in force: plan it again.
    #[error("the schema was changed meanwhile")]
    SchemaChanged,
    /// There is no such table any more.
    #[error("there is no such table")]
    NoSuchTable,
    /// The node is no member.
    #[error("there is no such node")]
    NoSuchNode,
    /// Another member has that address.
    #[error("node {} has that address", .0.0)]
    AddressTaken(NodeId),
    /// The node left or was removed; it can return with an empty data directory only.
    #[error("the node has left this cluster, or was removed from it")]
    Gone,
    /// The member is known with another data directory.
    #[error("the node is known with another data directory")]
    OtherDisk,
    /// Data centre or rack of a member with data cannot change.
    #[error("the data centre or rack of a member cannot change")]
    Moved,
    /// Another member has one of the tokens.
    #[error("node {} has one of the tokens", .0.0)]
    TokenTaken(NodeId),
    /// The member's tokens do not allow that: it has some already, or none.
    #[error("the node's tokens do not allow that")]
    NotInThatState,
    /// A change of the ring that is under way touches some of the same ranges.
    #[error("a change of node {} is under way and touches the same ranges", .0.0)]
    Overlaps(NodeId),
    /// The replication of a keyspace is being changed.
    #[error(
        "the replication of a keyspace is being changed: it is over when its new replicas have the data, or altered back"
    )]
    Replicates,
    /// No step on the way to the other strategy gains one replica alone.
    #[error(
        "the keyspace would gain several replicas at once: change its strategy with as few replicas as it has first, in the data centre that has them, and their number after that"
    )]
    GainsSeveral,
    /// All numbers of nodes were given out.
    #[error("the cluster has no number left for another node")]
    NoNumber,
    /// No such change is under way, or it is too far on to be given up.
    #[error("no such change is under way")]
    NothingUnderWay,
}

/// Bytes that are no proposal or no metadata, or of a version that is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unreadable metadata: {0}")]
pub struct DecodeError(pub(super) String);

/// Version of the encoding.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u32,
    proposal: T,
}

impl Proposal {
    /// Its bytes: JSON with a version, so that a newer node reads what an older one proposed.
    pub fn encode(&self) -> Vec<u8> {
        let versioned = Versioned {
            version: VERSION,
            proposal: self,
        };
        serde_json::to_vec(&versioned).expect("keys of maps are numbers and names")
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let fail = |error: serde_json::Error| DecodeError(error.to_string());
        let Versioned { version, proposal } =
            serde_json::from_slice::<Versioned<serde_json::Value>>(bytes).map_err(fail)?;
        if version > VERSION {
            let newer = format!("a proposal of version {version}, newer than this one knows");
            return Err(DecodeError(newer));
        }
        serde_json::from_value(proposal).map_err(fail)
    }
}
