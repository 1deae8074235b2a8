//! What a node says of itself: an ordered map of typed keys to versioned values.
//!
//! A key's bytes never change their meaning: what needs another form takes another key. So a node keeps and passes on
//! keys it does not know ([`State::Unknown`]), and versions mix during an upgrade. The bytes are in
//! `docs/protocols/gossip.md`.

use crate::gossip::config::{MAX_NAME_BYTES, MAX_UNKNOWN_BYTES, MAX_UNREACHABLE};
use crate::topology::NodeId;
use model::varint;
use std::net::{IpAddr, SocketAddr};
use uuid::Uuid;

/// Names a state. The order is that of the codes on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum StateKey {
    Status,
    DataCenter,
    Rack,
    TokensDigest,
    ReleaseVersion,
    Schema,
    Load,
    Severity,
    NativeAddress,
    NativeReady,
    Features,
    Unreachable,
    ShardCount,
    NodeNumber,
    /// A code that this version does not know.
    Unknown(u8),
}

/// Where a node stands in its life. The metadata log decides who is a member; this is what is said meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Takes over its ranges.
    Joining,
    /// Serves.
    Normal,
    /// Hands its ranges over.
    Leaving,
    /// Changes its tokens.
    Moving,
    /// Has left of its own will.
    Left,
    /// Was removed by others.
    Removed,
    /// Runs without taking part (`join_ring=false`, or replacing at the same address).
    Hibernate,
    /// Stops on purpose: no need to wait for the detector.
    Shutdown,
}

const STATUSES: [Status; 8] = [
    Status::Joining,
    Status::Normal,
    Status::Leaving,
    Status::Moving,
    Status::Left,
    Status::Removed,
    Status::Hibernate,
    Status::Shutdown,
];

/// A member that a node cannot reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unreachable {
    /// Which.
    pub node: NodeId,
    /// Whether its own pings still arrive: then only the way there is cut.
    pub heard: bool,
}

/// A state of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Where it stands in its life.
    Status(Status),
    /// Its data centre.
    DataCenter(String),
    /// Its rack.
    Rack(String),
    /// A digest of its tokens: they themselves are in the metadata log.
    TokensDigest(u64),
    /// The release it runs.
    ReleaseVersion(String),
    /// Up to which entry it has applied the metadata log, and the schema's version as tools show it.
    Schema {
        /// The log's epoch.
        epoch: u64,
        /// The schema's version.
        version: Uuid,
    },
    /// Bytes of live data.
    Load(u64),
    /// How much it suffers, in thousandths: 0 is well, 1,000 takes no more work.
    Severity(u16),
    /// Where clients reach it.
    NativeAddress(SocketAddr),
    /// Whether it takes clients.
    NativeReady(bool),
    /// Lowest and highest version of the protocol between nodes that it speaks.
    Features {
        /// Lowest.
        lowest: u16,
        /// Highest.
        highest: u16,
    },
    /// The members it cannot reach, ascending; at most [`MAX_UNREACHABLE`].
    Unreachable(Vec<Unreachable>),
    /// Its shards.
    ShardCount(u16),
    /// Its number by the metadata log.
    NodeNumber(NodeId),
    /// A state of a later version, kept as it came.
    Unknown {
        /// Its code.
        code: u8,
        /// Its bytes.
        bytes: Box<[u8]>,
    },
}

impl StateKey {
    /// The code on the wire.
    pub fn code(self) -> u8 {
        match self {
            Self::Status => 1,
            Self::DataCenter => 2,
            Self::Rack => 3,
            Self::TokensDigest => 4,
            Self::ReleaseVersion => 5,
            Self::Schema => 6,
            Self::Load => 7,
            Self::Severity => 8,
            Self::NativeAddress => 9,
            Self::NativeReady => 10,
            Self::Features => 11,
            Self::Unreachable => 12,
            Self::ShardCount => 13,
            Self::NodeNumber => 14,
            Self::Unknown(code) => code,
        }
    }
}

impl State {
    /// The key it stands under.
    pub fn key(&self) -> StateKey {
        match self {
            Self::Status(_) => StateKey::Status,
            Self::DataCenter(_) => StateKey::DataCenter,
            Self::Rack(_) => StateKey::Rack,
            Self::TokensDigest(_) => StateKey::TokensDigest,
            Self::ReleaseVersion(_) => StateKey::ReleaseVersion,
            Self::Schema { .. } => StateKey::Schema,
            Self::Load(_) => StateKey::Load,
            Self::Severity(_) => StateKey::Severity,
            Self::NativeAddress(_) => StateKey::NativeAddress,
            Self::NativeReady(_) => StateKey::NativeReady,
            Self::Features { .. } => StateKey::Features,
            Self::Unreachable(_) => StateKey::Unreachable,
            Self::ShardCount(_) => StateKey::ShardCount,
            Self::NodeNumber(_) => StateKey::NodeNumber,
            Self::Unknown { code, .. } => StateKey::Unknown(*code),
        }
    }

    /// Appends the value, without key and length.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Status(status) => {
                let code = STATUSES.iter().position(|known| known == status);
                out.push(code.expect("every status is listed") as u8);
            }
            Self::DataCenter(name) | Self::Rack(name) | Self::ReleaseVersion(name) => {
                out.extend_from_slice(cut(name).as_bytes());
            }
            Self::TokensDigest(digest) => out.extend_from_slice(&digest.to_le_bytes()),
            Self::Schema { epoch, version } => {
                varint::put(out, *epoch);
                out.extend_from_slice(version.as_bytes());
            }
            Self::Load(bytes) => varint::put(out, *bytes),
            Self::Severity(number) | Self::ShardCount(number) => {
                varint::put(out, u64::from(*number));
            }
            Self::NativeAddress(address) => put_address(out, *address),
            Self::NativeReady(ready) => out.push(u8::from(*ready)),
            Self::Features { lowest, highest } => {
                varint::put(out, u64::from(*lowest));
                varint::put(out, u64::from(*highest));
            }
            Self::Unreachable(list) => put_unreachable(out, list),
            Self::NodeNumber(node) => varint::put(out, u64::from(node.0)),
            Self::Unknown { bytes, .. } => out.extend_from_slice(bytes),
        }
    }

    /// Reads a value of the key with this code; `None` if its bytes are not what the key says.
    pub(super) fn decode(code: u8, bytes: &[u8]) -> Option<Self> {
        let input = &mut &*bytes;
        let state = match code {
            1 => Self::Status(*STATUSES.get(usize::from(get_byte(input)?))?),
            2 => Self::DataCenter(get_rest(input)?),
            3 => Self::Rack(get_rest(input)?),
            4 => Self::TokensDigest(get_u64(input)?),
            5 => Self::ReleaseVersion(get_rest(input)?),
            6 => Self::Schema {
                epoch: varint::get(input)?,
                version: get_uuid(input)?,
            },
            7 => Self::Load(varint::get(input)?),
            8 => Self::Severity(get_u16(input)?),
            9 => Self::NativeAddress(get_address(input)?),
            10 => Self::NativeReady(match get_byte(input)? {
                0 => false,
                1 => true,
                _ => return None,
            }),
            11 => Self::Features {
                lowest: get_u16(input)?,
                highest: get_u16(input)?,
            },
            12 => Self::Unreachable(get_unreachable(input)?),
            13 => Self::ShardCount(get_u16(input)?),
            14 => Self::NodeNumber(NodeId(u32::try_from(varint::get(input)?).ok()?)),
            _ if bytes.len() > MAX_UNKNOWN_BYTES => return None,
            _ => {
                return Some(Self::Unknown {
                    code,
                    bytes: bytes.into(),
                });
            }
        };
        input.is_empty().then_some(state)
    }
}

/// The front of a name that fits, at a character's border.
pub(super) fn cut(name: &str) -> &str {
    let mut end = name.len().min(MAX_NAME_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

/// Node numbers ascend, so each is coded as its distance from the one before, with the bit `heard` below it.
fn put_unreachable(out: &mut Vec<u8>, list: &[Unreachable]) {
    let mut next = 0;
    for entry in list.iter().take(MAX_UNREACHABLE) {
        let gap = u64::from(entry.node.0)
            .checked_sub(next)
            .expect("a list of unreachable members ascends");
        varint::put(out, gap << 1 | u64::from(entry.heard));
        next = u64::from(entry.node.0) + 1;
    }
}

fn get_unreachable(input: &mut &[u8]) -> Option<Vec<Unreachable>> {
    let mut list = Vec::new();
    let mut next = 0u64;
    while !input.is_empty() {
        let coded = varint::get(input)?;
        let node = u32::try_from(next.checked_add(coded >> 1)?).ok()?;
        if list.len() == MAX_UNREACHABLE {
            return None;
        }
        list.push(Unreachable {
            node: NodeId(node),
            heard: coded & 1 == 1,
        });
        next = u64::from(node) + 1;
    }
    Some(list)
}

/// Appends an address: its family (4 or 6), its octets, its port.
pub(super) fn put_address(out: &mut Vec<u8>, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend_from_slice(&ip.octets());
        }
    }
    out.extend_from_slice(&address.port().to_le_bytes());
}

pub(super) fn get_address(input: &mut &[u8]) -> Option<SocketAddr> {
    let ip = match get_byte(input)? {
        4 => IpAddr::from(get_array::<4>(input)?),
        6 => IpAddr::from(get_array::<16>(input)?),
        _ => return None,
    };
    Some(SocketAddr::new(
        ip,
        u16::from_le_bytes(get_array::<2>(input)?),
    ))
}

pub(super) fn get_byte(input: &mut &[u8]) -> Option<u8> {
    get_array::<1>(input).map(|[byte]| byte)
}

pub(super) fn get_u64(input: &mut &[u8]) -> Option<u64> {
    get_array::<8>(input).map(u64::from_le_bytes)
}

pub(super) fn get_uuid(input: &mut &[u8]) -> Option<Uuid> {
    get_array::<16>(input).map(Uuid::from_bytes)
}

fn get_u16(input: &mut &[u8]) -> Option<u16> {
    u16::try_from(varint::get(input)?).ok()
}

fn get_array<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (front, rest) = input.split_first_chunk::<N>()?;
    *input = rest;
    Some(*front)
}

fn get_rest(input: &mut &[u8]) -> Option<String> {
    let bytes = std::mem::take(input);
    if bytes.len() > MAX_NAME_BYTES {
        return None;
    }
    Some(std::str::from_utf8(bytes).ok()?.to_owned())
}
