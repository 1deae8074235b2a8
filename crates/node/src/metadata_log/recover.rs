//! The metadata log of a node that is not running, for an operator who has lost a majority of the voters: what it holds, and how this
//! node goes on alone (docs/clusters.md, "A majority of the voters is lost").
//!
//! Nothing here is done by a node that runs: a start never takes more upon itself than its log says.

use super::record::{DiskRecord, Stored, metadata_of, payloads};
use crate::random::SplitMix;
use cluster::metadata::{Member, Metadata, Proposal};
use cluster::raft::{Index, Output, Payload, Raft, Term, Timing};
use cluster::topology::NodeId;
use model::time::BootNanos;
use std::collections::BTreeMap;

/// Why a log is not recovered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecoverError {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// There is none: the directory is new, or was never let into a cluster.
    #[error("this data directory is of no member of a cluster")]
    NoMember,
    /// There is nothing to recover.
    #[error(transparent)]
    Nothing(#[from] cluster::raft::NothingToRecover),
}

/// What the log of a node that is not running holds.
#[derive(Debug)]
pub struct Held {
    /// The node.
    pub id: NodeId,
    /// Term and place of the last entry: of several nodes, the one with the greatest pair knows most.
    pub last: (Term, Index),
    /// Entries up to this are known to be decided.
    pub decided: Index,
    /// Who votes, with the members' addresses and places where they are known.
    pub voters: BTreeMap<NodeId, Option<Member>>,
    /// The metadata up to the last entry that is known to be decided.
    pub metadata: Metadata,
    stored: Stored,
    raft: Raft,
}

impl Held {
    /// Reads the payloads of a `metadata.log`.
    pub fn read(entries: &[Vec<u8>]) -> Result<Self, RecoverError> {
        let unreadable = RecoverError::Unreadable;
        let stored = Stored::read(entries.iter().map(Vec::as_slice)).map_err(unreadable)?;
        let stored = stored.ok_or(RecoverError::NoMember)?;
        let id = stored.identity.node.ok_or(RecoverError::NoMember)?;
        let records = stored.records.iter().cloned();
        let mut random = SplitMix::new(stored.identity.incarnation);
        let raft = Raft::new(id, records, Timing::default(), BootNanos(0), &mut random);
        let mut raft = raft.map_err(|damage| unreadable(damage.to_string()))?;
        let mut metadata = metadata_of(raft.snapshot()).map_err(unreadable)?;
        let mut out = Output::default();
        raft.begin(&mut out);
        for entry in out.committed {
            if let Payload::Command(bytes) = &entry.payload {
                let proposal = Proposal::decode(bytes);
                let proposal = proposal.map_err(|error| unreadable(error.to_string()))?;
                metadata = metadata.apply(entry.index, &proposal).0;
            }
        }
        let voters = raft.voters().iter();
        Ok(Self {
            id,
            last: raft.last_entry(),
            decided: raft.status().commit,
            voters: voters
                .map(|voter| (*voter, metadata.members.get(voter).cloned()))
                .collect(),
            metadata,
            stored,
            raft,
        })
    }

    /// The payloads of the log with which this node, when it is started, decides alone.
    pub fn recovered(&self) -> Result<Vec<Vec<u8>>, RecoverError> {
        let recovered = self.raft.recover()?.into_iter().map(DiskRecord::Raft);
        let Stored {
            identity,
            boot,
            records,
        } = &self.stored;
        let mut all = payloads(identity, *boot, records.iter().cloned());
        all.extend(recovered.map(|record| record.encode()));
        Ok(all)
    }
}
