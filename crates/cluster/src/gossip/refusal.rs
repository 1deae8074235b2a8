//! Why a node does not talk to another, told clearly and once.
//!
//! Who refuses says why to the other side too (REFUSE), so that both operators read the same reason. Each reason is
//! told again after an hour at the earliest, however often rounds repeat it.

use crate::gossip::config::{MAX_REFUSALS, REFUSAL_REPEAT_MS};
use crate::gossip::state::{cut, get_address, get_byte, get_uuid, put_address};
use model::time::BootNanos;
use model::varint;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use uuid::Uuid;

/// Why a node is not talked to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// It belongs to a cluster of another name.
    #[error("the clusters have different names: this one is {name:?}")]
    OtherCluster {
        /// The name of the refusing side's cluster.
        name: String,
    },
    /// Its address belongs to a node with another host id, which it was not declared to replace.
    #[error(
        "the address belongs to the node with host id {holder}: start with \
         replace_address_first_boot, or remove that node first"
    )]
    AddressTaken {
        /// The host id of the node that has the address.
        holder: Uuid,
    },
    /// Its host id is in use by a running node at another address: a copied data directory.
    #[error("the host id is in use by the node at {address}: was the data directory copied?")]
    HostIdTaken {
        /// Where the node with this host id runs.
        address: SocketAddr,
    },
    /// It was removed from the cluster.
    #[error("the node was removed from the cluster: clear its data directory to join as a new one")]
    Removed,
}

impl Refusal {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::OtherCluster { name } => {
                out.push(1);
                varint::put_bytes(out, cut(name).as_bytes());
            }
            Self::AddressTaken { holder } => {
                out.push(2);
                out.extend_from_slice(holder.as_bytes());
            }
            Self::HostIdTaken { address } => {
                out.push(3);
                put_address(out, *address);
            }
            Self::Removed => out.push(4),
        }
    }

    pub(super) fn decode(input: &mut &[u8]) -> Option<Self> {
        Some(match get_byte(input)? {
            1 => Self::OtherCluster {
                name: std::str::from_utf8(varint::get_bytes(input)?)
                    .ok()?
                    .to_owned(),
            },
            2 => Self::AddressTaken {
                holder: get_uuid(input)?,
            },
            3 => Self::HostIdTaken {
                address: get_address(input)?,
            },
            4 => Self::Removed,
            _ => return None,
        })
    }
}

/// Who is in the wrong, for the key of what was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    /// This node refuses the peer.
    Here,
    /// The peer refuses this node.
    There,
    /// The peer's bytes are no message.
    Bytes,
}

/// What was told already.
#[derive(Debug, Default)]
pub(super) struct Told {
    at: BTreeMap<(SocketAddr, Side, Option<Refusal>), BootNanos>,
}

impl Told {
    /// Whether this is to be told now: for the first time, or for the first time in an hour.
    pub fn is_news(
        &mut self,
        peer: SocketAddr,
        side: Side,
        refusal: Option<&Refusal>,
        now: BootNanos,
    ) -> bool {
        let key = (peer, side, refusal.cloned());
        if let Some(&at) = self.at.get(&key)
            && now.since(at) < REFUSAL_REPEAT_MS * 1_000_000
        {
            return false;
        }
        if self.at.len() >= MAX_REFUSALS {
            let oldest = self.at.iter().min_by_key(|(_, at)| **at);
            if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                self.at.remove(&key);
            }
        }
        self.at.insert(key, now);
        true
    }
}
