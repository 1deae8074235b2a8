//! Who is at the other end of a connection.

use crate::topology::NodeId;
use bytes::{Buf, BufMut};
use std::net::{IpAddr, SocketAddr};
use uuid::Uuid;

/// A node, and the shard of it that has this end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PeerIdentity {
    /// Its number, once the metadata log has given it one.
    pub node: Option<NodeId>,
    /// Its identity for as long as it keeps its disk.
    pub host_id: Uuid,
    /// Random, made with its data directory: what another directory of the same host id said is void.
    pub incarnation: u64,
    /// How often this node has begun with this disk; ids of mutations are unique within it.
    pub boot: u32,
    /// Where other nodes reach it.
    pub address: SocketAddr,
    /// The shard at this end.
    pub shard: u16,
    /// How many shards it has; at least one.
    pub shards: u16,
}

impl PeerIdentity {
    /// The shard that serves a connection of this peer's shard, on a node of `own_shards`.
    pub fn serving_shard(&self, own_shards: u16) -> u16 {
        assert!(own_shards > 0, "a node has a shard");
        self.shard % own_shards
    }

    /// Appends it.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32_le(self.node.map_or(0, |node| node.0));
        out.put_slice(self.host_id.as_bytes());
        out.put_u64_le(self.incarnation);
        out.put_u32_le(self.boot);
        out.put_u16_le(self.shard);
        out.put_u16_le(self.shards);
        out.put_u16_le(self.address.port());
        match self.address.ip() {
            IpAddr::V4(ip) => {
                out.put_u8(4);
                out.put_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                out.put_u8(6);
                out.put_slice(&ip.octets());
            }
        }
    }

    /// Reads it from the front of `input`; nothing if what is there is none.
    pub(super) fn decode(input: &mut &[u8]) -> Option<Self> {
        let node = match input.try_get_u32_le().ok()? {
            0 => None,
            number => Some(NodeId(number)),
        };
        let host_id = decode_uuid(input)?;
        let incarnation = input.try_get_u64_le().ok()?;
        let boot = input.try_get_u32_le().ok()?;
        let shard = input.try_get_u16_le().ok()?;
        let shards = input.try_get_u16_le().ok()?;
        let port = input.try_get_u16_le().ok()?;
        let ip: IpAddr = match input.try_get_u8().ok()? {
            4 => decode_array::<4>(input)?.into(),
            6 => decode_array::<16>(input)?.into(),
            _ => return None,
        };
        (shard < shards).then_some(Self {
            node,
            host_id,
            incarnation,
            boot,
            address: SocketAddr::new(ip, port),
            shard,
            shards,
        })
    }
}

/// Reads an id; all zeros are the nil one.
pub(super) fn decode_uuid(input: &mut &[u8]) -> Option<Uuid> {
    decode_array(input).map(Uuid::from_bytes)
}

fn decode_array<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (array, rest) = input.split_first_chunk::<N>()?;
    *input = rest;
    Some(*array)
}
