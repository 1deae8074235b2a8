//! What the file of the metadata log holds (docs/formats/metalog.md), and how a start reads it.

use cluster::metadata::Metadata;
use cluster::raft::{Record, Snapshot};
use cluster::topology::NodeId;
use model::env::Random;
use model::key::Token;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use uuid::Uuid;

/// What a data directory is, from its first start on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeIdentity {
    /// As tools show it.
    pub host_id: Uuid,
    /// Random: a directory that was lost is not this one, whatever else it says.
    pub incarnation: u64,
    /// The number that the cluster gave it, once it did.
    pub node: Option<NodeId>,
}

impl NodeIdentity {
    /// Of a new data directory.
    pub fn new(random: &mut dyn Random) -> Self {
        let high = u128::from(random.next_u64()) << 64;
        let bytes = (high | u128::from(random.next_u64())).to_be_bytes();
        Self {
            host_id: uuid::Builder::from_random_bytes(bytes).into_uuid(),
            incarnation: random.next_u64(),
            node: None,
        }
    }
}

/// Tokens of the first node of a cluster: so many, evenly spread from a random start, for there is nothing else to balance
/// against.
pub fn spread_tokens(count: u32, random: &mut dyn Random) -> Vec<Token> {
    let step = u64::MAX / u64::from(count.max(1));
    let offset = random.next_u64() % step.max(1);
    let tokens = (0..u64::from(count.max(1))).map(|index| {
        let place = offset + index * step;
        Token(place.wrapping_add(1 << 63) as i64)
    });
    let mut tokens: Vec<Token> = tokens.collect();
    tokens.sort_unstable();
    tokens
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskRecord {
    /// What the node is, over what was said before.
    Identity(NodeIdentity),
    /// Starts of the data directory, counted. Durable before anything else of a start.
    Boot(u32),
    /// Of the consensus.
    Raft(Record),
}

const IDENTITY: u8 = 1;
const BOOT: u8 = 2;
const RAFT: u8 = 3;

impl DiskRecord {
    /// Its bytes: kind, body.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Identity(identity) => {
                bytes.push(IDENTITY);
                let text = serde_json::to_vec(identity).expect("a plain record");
                bytes.extend_from_slice(&text);
            }
            Self::Boot(boot) => {
                bytes.push(BOOT);
                bytes.extend_from_slice(&boot.to_le_bytes());
            }
            Self::Raft(record) => {
                bytes.push(RAFT);
                record.encode(&mut bytes);
            }
        }
        bytes
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, body) = bytes.split_first()?;
        match *kind {
            IDENTITY => serde_json::from_slice(body).ok().map(Self::Identity),
            BOOT => Some(Self::Boot(u32::from_le_bytes(body.try_into().ok()?))),
            RAFT => Record::decode(body).map(Self::Raft),
            _ => None,
        }
    }
}

/// The metadata of a snapshot. The error says why it cannot be: what follows it would not follow its metadata.
pub(super) fn metadata_of(snapshot: &Snapshot) -> Result<Metadata, String> {
    let metadata = Metadata::decode(&snapshot.state).map_err(|error| error.to_string())?;
    if metadata.epoch > snapshot.index {
        let (epoch, index) = (metadata.epoch, snapshot.index);
        return Err(format!(
            "a snapshot up to entry {index} has metadata of entry {epoch}"
        ));
    }
    Ok(metadata)
}

/// The payloads of a whole file: what the node is, its starts, the consensus in order.
pub(super) fn payloads(
    identity: &NodeIdentity,
    boot: u32,
    records: impl IntoIterator<Item = Record>,
) -> Vec<Vec<u8>> {
    let head = [
        DiskRecord::Identity(identity.clone()),
        DiskRecord::Boot(boot),
    ];
    let records = records.into_iter().map(DiskRecord::Raft);
    let all = head.into_iter().chain(records);
    all.map(|record| record.encode()).collect()
}

/// What a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// What the node is.
    pub identity: NodeIdentity,
    /// The last start.
    pub boot: u32,
    /// The consensus, in order.
    pub records: Vec<Record>,
}

impl Stored {
    /// The first start of the first node of a cluster: it votes alone, and has its tokens.
    pub fn founded(identity: NodeIdentity, metadata: &Metadata) -> Self {
        let id = NodeId(1);
        let snapshot = Snapshot {
            index: metadata.epoch,
            term: 1,
            voters: BTreeSet::from([id]),
            state: metadata.encode(),
        };
        Self::joined(identity, id, snapshot)
    }

    /// The first start of a node that a cluster has numbered, with what was in force there.
    pub fn joined(identity: NodeIdentity, node: NodeId, snapshot: Snapshot) -> Self {
        Self {
            identity: NodeIdentity {
                node: Some(node),
                ..identity
            },
            boot: 1,
            records: vec![Record::Snapshot(snapshot)],
        }
    }

    /// What a file must hold to say the same.
    pub fn payloads(&self) -> Vec<Vec<u8>> {
        payloads(&self.identity, self.boot, self.records.iter().cloned())
    }

    /// Reads a file's payloads; `None` if there are none. The error names the one that cannot be read.
    pub fn read<'a>(payloads: impl Iterator<Item = &'a [u8]>) -> Result<Option<Self>, String> {
        let (mut identity, mut boot, mut records) = (None, 0, Vec::new());
        for (index, payload) in payloads.enumerate() {
            match DiskRecord::decode(payload) {
                Some(DiskRecord::Identity(said)) => identity = Some(said),
                Some(DiskRecord::Boot(said)) => boot = said,
                Some(DiskRecord::Raft(record)) => records.push(record),
                None => {
                    return Err(format!(
                        "record {index} of the metadata log is unreadable, or of a newer version"
                    ));
                }
            }
        }
        if boot == u32::MAX {
            return Err("the metadata log has counted more starts than there are".to_owned());
        }
        let Some(identity) = identity else {
            return if boot == 0 && records.is_empty() {
                Ok(None)
            } else {
                Err("the metadata log does not say whose it is".to_owned())
            };
        };
        Ok(Some(Self {
            identity,
            boot,
            records,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix;

    #[test]
    fn a_start_that_cannot_be_counted_is_refused() {
        let identity = NodeIdentity::new(&mut SplitMix::new(1));
        let mut stored = Stored {
            identity,
            boot: u32::MAX - 1,
            records: Vec::new(),
        };
        let read = |stored: &Stored| {
            let payloads = stored.payloads();
            Stored::read(payloads.iter().map(Vec::as_slice))
        };
        assert_eq!(read(&stored), Ok(Some(stored.clone())));
        stored.boot = u32::MAX;
        assert!(read(&stored).is_err());
    }
}
