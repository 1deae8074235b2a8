//! What members say to each other about the metadata log, and its bytes.

use cluster::metadata::Proposal;
use cluster::raft::{Entry, Message, Snapshot};
use model::varint;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataMessage {
    /// Of the consensus.
    Raft(Message),
    /// To the leader: put this into the log.
    Propose(Proposal),
    /// What was committed after this entry?
    Since(u64),
    /// That.
    Learn {
        /// Instead of entries that are forgotten.
        snapshot: Option<Snapshot>,
        /// What follows.
        entries: Vec<Entry>,
    },
}

const RAFT: u8 = 1;
const PROPOSE: u8 = 2;
const SINCE: u8 = 3;
const LEARN: u8 = 4;

impl MetadataMessage {
    /// Appends its bytes: kind, body (docs/protocols/internode.md).
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Raft(message) => {
                out.push(RAFT);
                message.encode(out);
            }
            Self::Propose(proposal) => {
                out.push(PROPOSE);
                out.extend_from_slice(&proposal.encode());
            }
            Self::Since(epoch) => {
                out.push(SINCE);
                varint::put(out, *epoch);
            }
            Self::Learn { snapshot, entries } => {
                out.push(LEARN);
                out.push(u8::from(snapshot.is_some()));
                if let Some(snapshot) = snapshot {
                    snapshot.encode(out);
                }
                entries.iter().for_each(|entry| entry.encode(out));
            }
        }
    }

    /// Reads what [`Self::encode`] wrote, all of it.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, mut body) = bytes.split_first()?;
        match *kind {
            RAFT => Message::decode(body).map(Self::Raft),
            PROPOSE => Proposal::decode(body).ok().map(Self::Propose),
            SINCE => {
                let epoch = varint::get(&mut body)?;
                body.is_empty().then_some(Self::Since(epoch))
            }
            LEARN => {
                let (has_snapshot, rest) = body.split_first()?;
                let mut rest = rest;
                let snapshot = match has_snapshot {
                    0 => None,
                    1 => Some(Snapshot::decode(&mut rest)?),
                    _ => return None,
                };
                let mut entries = Vec::new();
                while !rest.is_empty() {
                    entries.push(Entry::decode(&mut rest)?);
                }
                Some(Self::Learn { snapshot, entries })
            }
            _ => None,
        }
    }
}
