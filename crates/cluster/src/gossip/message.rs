//! The bytes of gossip: `docs/protocols/gossip.md` has them one by one.
//!
//! Decoding never panics and never reserves memory that the bytes do not pay for. What it returns is well-formed
//! (positions and versions ascend, windows exist), not true: that is for the exchange to judge.

use crate::gossip::config::MAX_MESSAGE_BYTES;
use crate::gossip::endpoint::{Generation, Identity, Versioned};
use crate::gossip::refusal::Refusal;
use crate::gossip::roster::Window;
use crate::gossip::state::{State, cut, get_address, get_byte, get_u64, get_uuid, put_address};
use model::{murmur, varint};
use std::net::SocketAddr;

/// The version of these bytes.
pub const VERSION: u8 = 1;

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They are of another version of the protocol.
    #[error("gossip of version {0}, this node speaks version {VERSION}")]
    Version(u8),
    /// They are cut, or not what their kind says.
    #[error("a malformed gossip message ({0})")]
    Malformed(&'static str),
}

/// A message with the hash of its sender's cluster name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Envelope {
    pub cluster: u64,
    pub message: Message,
}

/// What nodes tell each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// "This is what I know, by version."
    Syn(Syn),
    /// "You are behind here, I am there."
    Ack(Ack),
    /// "Here is what you asked for, and what I still lack."
    Ack2(Ack2),
    /// "I do not talk to you."
    Refuse(Refusal),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Syn {
    pub cluster_name: String,
    pub sender: Identity,
    pub window: Window,
    /// Of each bucket of the window: the hash of who is in it, and how many they are.
    pub buckets: Vec<(u64, u32)>,
    /// Of each member of these buckets: version and heartbeat.
    pub vector: Vec<(u64, u64)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Ack {
    /// The window of the SYN, and the hash of its roster: positions count only while the asker's is still the same.
    pub window: Window,
    pub hash: u64,
    /// Position, and a later heartbeat.
    pub heartbeats: Vec<(u32, u64)>,
    /// Position, and the version after which the answerer wants to know.
    pub requests: Vec<(u32, u64)>,
    pub full: Vec<FullBucket>,
    pub deltas: Vec<Delta>,
}

/// A bucket that the two sides see differently, member by member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FullBucket {
    pub bucket: u32,
    /// Whether all members that the answerer knows are listed.
    pub complete: bool,
    pub digests: Vec<Digest>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Ack2 {
    pub requests: Vec<Request>,
    pub deltas: Vec<Delta>,
}

/// What is known of an endpoint, without its states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digest {
    pub identity: Identity,
    pub version: u64,
    pub heartbeat: u64,
}

/// Asks for what an endpoint said after a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub address: SocketAddr,
    /// Of which identity the version is ([`Identity::digest`]).
    pub identity: u64,
    pub from: u64,
}

/// What an endpoint said after version `from`, up to version `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Delta {
    pub identity: Identity,
    pub heartbeat: u64,
    pub from: u64,
    pub to: u64,
    pub values: Vec<Versioned>,
}

/// What stands in each message for the cluster's name.
pub(super) fn cluster_hash(name: &str) -> u64 {
    murmur::hash(cut(name).as_bytes()) as u64
}

impl Envelope {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        let kind = match &self.message {
            Message::Syn(_) => 1,
            Message::Ack(_) => 2,
            Message::Ack2(_) => 3,
            Message::Refuse(_) => 4,
        };
        out.extend_from_slice(&[VERSION, kind]);
        out.extend_from_slice(&self.cluster.to_le_bytes());
        match &self.message {
            Message::Syn(syn) => syn.encode(&mut out),
            Message::Ack(ack) => ack.encode(&mut out),
            Message::Ack2(ack) => ack.encode(&mut out),
            Message::Refuse(refusal) => refusal.encode(&mut out),
        }
        out
    }

    pub fn decode(mut bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_MESSAGE_BYTES {
            return Err(DecodeError::Malformed("too long"));
        }
        let input = &mut bytes;
        let version = get_byte(input).ok_or(DecodeError::Malformed("empty"))?;
        if version != VERSION {
            return Err(DecodeError::Version(version));
        }
        let kind = get_byte(input).ok_or(DecodeError::Malformed("header"))?;
        let cluster = get_u64(input).ok_or(DecodeError::Malformed("header"))?;
        let (name, message) = match kind {
            1 => ("SYN", Syn::decode(input).map(Message::Syn)),
            2 => ("ACK", Ack::decode(input).map(Message::Ack)),
            3 => ("ACK2", Ack2::decode(input).map(Message::Ack2)),
            4 => ("REFUSE", Refusal::decode(input).map(Message::Refuse)),
            _ => ("kind", None),
        };
        match message {
            Some(message) if input.is_empty() => Ok(Self { cluster, message }),
            _ => Err(DecodeError::Malformed(name)),
        }
    }
}

impl Syn {
    fn encode(&self, out: &mut Vec<u8>) {
        varint::put_bytes(out, cut(&self.cluster_name).as_bytes());
        put_identity(out, &self.sender);
        put_window(out, self.window);
        let mut members = self.vector.iter();
        for &(hash, count) in &self.buckets {
            out.extend_from_slice(&hash.to_le_bytes());
            varint::put(out, u64::from(count));
            for &(version, heartbeat) in members.by_ref().take(count as usize) {
                varint::put(out, version);
                varint::put(out, heartbeat);
            }
        }
    }

    fn decode(input: &mut &[u8]) -> Option<Self> {
        let name = varint::get_bytes(input)?;
        let mut syn = Self {
            cluster_name: std::str::from_utf8(name).ok()?.to_owned(),
            sender: get_identity(input)?,
            window: get_window(input)?,
            buckets: Vec::new(),
            vector: Vec::new(),
        };
        for _ in 0..syn.window.count {
            let hash = get_u64(input)?;
            let count = get_u32(input)?;
            syn.buckets.push((hash, count));
            for _ in 0..count {
                syn.vector.push((varint::get(input)?, varint::get(input)?));
            }
        }
        Some(syn)
    }
}

impl Ack {
    fn encode(&self, out: &mut Vec<u8>) {
        put_window(out, self.window);
        out.extend_from_slice(&self.hash.to_le_bytes());
        put_positions(out, &self.heartbeats);
        put_positions(out, &self.requests);
        varint::put(out, self.full.len() as u64);
        for bucket in &self.full {
            varint::put(out, u64::from(bucket.bucket));
            out.push(u8::from(bucket.complete));
            varint::put(out, bucket.digests.len() as u64);
            for digest in &bucket.digests {
                digest.encode(out);
            }
        }
        put_deltas(out, &self.deltas);
    }

    fn decode(input: &mut &[u8]) -> Option<Self> {
        let mut ack = Self {
            window: get_window(input)?,
            hash: get_u64(input)?,
            heartbeats: get_positions(input)?,
            requests: get_positions(input)?,
            ..Self::default()
        };
        for _ in 0..varint::get(input)? {
            let mut full = FullBucket {
                bucket: get_u32(input)?,
                complete: get_flag(input)?,
                digests: Vec::new(),
            };
            if !ack.window.buckets().contains(&full.bucket) {
                return None;
            }
            for _ in 0..varint::get(input)? {
                full.digests.push(Digest::decode(input)?);
            }
            ack.full.push(full);
        }
        ack.deltas = get_deltas(input)?;
        Some(ack)
    }
}

impl Ack2 {
    fn encode(&self, out: &mut Vec<u8>) {
        varint::put(out, self.requests.len() as u64);
        for request in &self.requests {
            request.encode(out);
        }
        put_deltas(out, &self.deltas);
    }

    fn decode(input: &mut &[u8]) -> Option<Self> {
        let mut requests = Vec::new();
        for _ in 0..varint::get(input)? {
            requests.push(Request {
                address: get_address(input)?,
                identity: get_u64(input)?,
                from: varint::get(input)?,
            });
        }
        let deltas = get_deltas(input)?;
        Some(Self { requests, deltas })
    }
}

impl Request {
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_address(out, self.address);
        out.extend_from_slice(&self.identity.to_le_bytes());
        varint::put(out, self.from);
    }
}

impl Digest {
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_identity(out, &self.identity);
        varint::put(out, self.version);
        varint::put(out, self.heartbeat);
    }

    fn decode(input: &mut &[u8]) -> Option<Self> {
        Some(Self {
            identity: get_identity(input)?,
            version: varint::get(input)?,
            heartbeat: varint::get(input)?,
        })
    }
}

impl Delta {
    /// Appends all but the values and their number.
    pub fn encode_head(&self, out: &mut Vec<u8>) {
        put_identity(out, &self.identity);
        varint::put(out, self.heartbeat);
        varint::put(out, self.from);
        varint::put(out, self.to - self.from);
    }

    /// Appends one value; `previous` is the version before it.
    pub fn encode_value(value: &Versioned, previous: u64, out: &mut Vec<u8>) {
        out.push(value.state.key().code());
        varint::put(out, value.version - previous);
        let mut bytes = Vec::new();
        value.state.encode(&mut bytes);
        varint::put_bytes(out, &bytes);
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.encode_head(out);
        varint::put(out, self.values.len() as u64);
        let mut previous = self.from;
        for value in &self.values {
            Self::encode_value(value, previous, out);
            previous = value.version;
        }
    }

    fn decode(input: &mut &[u8]) -> Option<Self> {
        let identity = get_identity(input)?;
        let heartbeat = varint::get(input)?;
        let from = varint::get(input)?;
        let to = from.checked_add(varint::get(input)?)?;
        let mut values = Vec::new();
        let mut previous = from;
        for _ in 0..varint::get(input)? {
            let code = get_byte(input)?;
            let version = previous.checked_add(varint::get(input)?)?;
            if version == previous || version > to {
                return None;
            }
            let state = State::decode(code, varint::get_bytes(input)?)?;
            values.push(Versioned { version, state });
            previous = version;
        }
        Some(Self {
            identity,
            heartbeat,
            from,
            to,
            values,
        })
    }
}

fn put_deltas(out: &mut Vec<u8>, deltas: &[Delta]) {
    varint::put(out, deltas.len() as u64);
    for delta in deltas {
        delta.encode(out);
    }
}

fn get_deltas(input: &mut &[u8]) -> Option<Vec<Delta>> {
    let mut deltas = Vec::new();
    for _ in 0..varint::get(input)? {
        deltas.push(Delta::decode(input)?);
    }
    Some(deltas)
}

/// Ascending positions as distances, each with a number.
fn put_positions(out: &mut Vec<u8>, positions: &[(u32, u64)]) {
    varint::put(out, positions.len() as u64);
    let mut next = 0;
    for &(position, number) in positions {
        varint::put(out, u64::from(position - next));
        varint::put(out, number);
        next = position + 1;
    }
}

fn get_positions(input: &mut &[u8]) -> Option<Vec<(u32, u64)>> {
    let mut positions = Vec::new();
    let mut next = 0u32;
    for _ in 0..varint::get(input)? {
        let position = next.checked_add(get_u32(input)?)?;
        positions.push((position, varint::get(input)?));
        next = position.checked_add(1)?;
    }
    Some(positions)
}

/// Flag in the boot number's lowest bit: a host id that is replaced follows.
fn put_identity(out: &mut Vec<u8>, identity: &Identity) {
    put_address(out, identity.address);
    out.extend_from_slice(identity.host_id.as_bytes());
    let boot = u64::from(identity.generation.boot) << 1;
    varint::put(out, boot | u64::from(identity.replaces.is_some()));
    varint::put(out, identity.generation.started_seconds);
    if let Some(replaced) = identity.replaces {
        out.extend_from_slice(replaced.as_bytes());
    }
}

fn get_identity(input: &mut &[u8]) -> Option<Identity> {
    let address = get_address(input)?;
    let host_id = get_uuid(input)?;
    let boot = varint::get(input)?;
    let generation = Generation {
        boot: u32::try_from(boot >> 1).ok()?,
        started_seconds: varint::get(input)?,
    };
    let replaces = match boot & 1 {
        1 => Some(get_uuid(input)?),
        _ => None,
    };
    Some(Identity {
        address,
        host_id,
        generation,
        replaces,
    })
}

fn put_window(out: &mut Vec<u8>, window: Window) {
    out.push(window.bits);
    varint::put(out, u64::from(window.first));
    varint::put(out, u64::from(window.count));
}

fn get_window(input: &mut &[u8]) -> Option<Window> {
    let window = Window {
        bits: get_byte(input)?,
        first: get_u32(input)?,
        count: get_u32(input)?,
    };
    window.is_valid().then_some(window)
}

fn get_u32(input: &mut &[u8]) -> Option<u32> {
    u32::try_from(varint::get(input)?).ok()
}

fn get_flag(input: &mut &[u8]) -> Option<bool> {
    match get_byte(input)? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
