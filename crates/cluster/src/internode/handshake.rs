//! How a connection begins: who opens it says [`Hello`], the other side [`Answer`]s, and frames follow or the end.
//!
//! Both are one length-prefixed, checksummed packet that begins with the same bytes in every version of the protocol,
//! so that versions that have nothing else in common can still tell each other so. Fields that later versions append are
//! passed over by earlier ones.

use super::identity::decode_uuid;
use super::{Class, PeerIdentity, Refusal, RefusalReason};
use bytes::{Buf, BufMut};
use model::limits::MAX_CLUSTER_NAME_BYTES;
use uuid::Uuid;

/// What every packet begins with. No TLS handshake and no other database's begins so.
pub const MAGIC: [u8; 8] = *b"HELNWIRE";
/// Bytes before a packet's body.
pub const HEAD_BYTES: usize = 16;
/// The most bytes a packet has.
pub const MAX_HANDSHAKE_BYTES: usize = HEAD_BYTES + u16::MAX as usize;
/// Longest text of a refusal.
const MAX_TEXT_BYTES: usize = 1024;

const HELLO: u8 = 1;
const ANSWER: u8 = 2;
/// The outcome of an answer that accepts; every other is the code of a refusal.
const ACCEPTED: u8 = 0;
const WANTS_LZ4: u8 = 1;

/// Whether frames may be compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameCompression {
    /// They are not.
    None,
    /// Those that get smaller by it are, with LZ4.
    Lz4,
}

/// What who opens a connection says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Oldest version it speaks.
    pub lowest_version: u16,
    /// Newest version it speaks.
    pub highest_version: u16,
    /// Bits of what it can do beyond the version.
    pub features: u64,
    /// Name of its cluster.
    pub cluster_name: String,
    /// Its cluster, or the nil id if it is in none yet.
    pub cluster_id: Uuid,
    /// Who it is.
    pub identity: PeerIdentity,
    /// What will travel on this connection.
    pub class: Class,
    /// Whether it will compress.
    pub compression: FrameCompression,
}

/// What the other side says to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Frames may come.
    Accepted(Accepted),
    /// The connection ends.
    Refused(Refusal),
}

/// What was agreed, and with whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The version both speak from here on.
    pub version: u16,
    /// The features that both have.
    pub features: u64,
    /// Name of the answering node's cluster.
    pub cluster_name: String,
    /// Its cluster, or the nil id if it is in none yet.
    pub cluster_id: Uuid,
    /// Who it is, and which of its shards serves this connection.
    pub identity: PeerIdentity,
}

/// Bytes that are no handshake. The connection ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum HandshakeError {
    #[error("it does not begin as a node of Helenus does")]
    Magic,
    #[error("a packet of kind {0} came instead of the one expected")]
    Kind(u8),
    #[error("the checksum of a handshake is wrong")]
    Checksum,
    #[error("a handshake cannot be read: {0}")]
    Content(&'static str),
}

impl Hello {
    /// Appends it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_packet(HELLO, out, |out| {
            out.put_u16_le(self.lowest_version);
            out.put_u16_le(self.highest_version);
            out.put_u64_le(self.features);
            out.put_u8(self.class.code());
            out.put_u8(match self.compression {
                FrameCompression::None => 0,
                FrameCompression::Lz4 => WANTS_LZ4,
            });
            put_cluster(&self.cluster_name, self.cluster_id, out);
            self.identity.encode(out);
        });
    }

    /// Reads it from the front of `input`, with the number of bytes it has; nothing if more bytes are needed.
    pub fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, HandshakeError> {
        let Some((mut body, length)) = packet(HELLO, input)? else {
            return Ok(None);
        };
        let hello = Self::decode_body(&mut body)?;
        Ok(Some((hello, length)))
    }

    fn decode_body(body: &mut &[u8]) -> Result<Self, HandshakeError> {
        let short = |_| HandshakeError::Content("it is too short");
        let lowest_version = body.try_get_u16_le().map_err(short)?;
        let highest_version = body.try_get_u16_le().map_err(short)?;
        if lowest_version > highest_version {
            return Err(HandshakeError::Content("its versions are turned round"));
        }
        let features = body.try_get_u64_le().map_err(short)?;
        let class = Class::from_code(body.try_get_u8().map_err(short)?)
            .ok_or(HandshakeError::Content("no such class of messages"))?;
        let wants = body.try_get_u8().map_err(short)?;
        let (cluster_name, cluster_id) = decode_cluster(body)?;
        Ok(Self {
            lowest_version,
            highest_version,
            features,
            cluster_name,
            cluster_id,
            identity: decode_identity(body)?,
            class,
            compression: if wants & WANTS_LZ4 == 0 {
                FrameCompression::None
            } else {
                FrameCompression::Lz4
            },
        })
    }
}

impl Answer {
    /// Appends it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_packet(ANSWER, out, |out| match self {
            Self::Accepted(accepted) => {
                out.put_u8(ACCEPTED);
                out.put_u16_le(accepted.version);
                out.put_u64_le(accepted.features);
                put_cluster(&accepted.cluster_name, accepted.cluster_id, out);
                accepted.identity.encode(out);
            }
            Self::Refused(refusal) => {
                assert_ne!(refusal.reason.code(), ACCEPTED, "a refusal has a reason");
                out.put_u8(refusal.reason.code());
                put_text(shortened(&refusal.text, MAX_TEXT_BYTES), out);
            }
        });
    }

    /// Reads it from the front of `input`, with the number of bytes it has; nothing if more bytes are needed.
    pub fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, HandshakeError> {
        let Some((mut body, length)) = packet(ANSWER, input)? else {
            return Ok(None);
        };
        let answer = Self::decode_body(&mut body)?;
        Ok(Some((answer, length)))
    }

    fn decode_body(body: &mut &[u8]) -> Result<Self, HandshakeError> {
        let short = |_| HandshakeError::Content("it is too short");
        let outcome = body.try_get_u8().map_err(short)?;
        if outcome != ACCEPTED {
            let text = decode_text(body, MAX_TEXT_BYTES)?;
            let reason = RefusalReason::from_code(outcome);
            return Ok(Self::Refused(Refusal { reason, text }));
        }
        let version = body.try_get_u16_le().map_err(short)?;
        let features = body.try_get_u64_le().map_err(short)?;
        let (cluster_name, cluster_id) = decode_cluster(body)?;
        Ok(Self::Accepted(Accepted {
            version,
            features,
            cluster_name,
            cluster_id,
            identity: decode_identity(body)?,
        }))
    }
}

/// Appends a packet: magic, kind, a zero byte, the body's length, the checksum of all but the magic, the body.
fn put_packet(kind: u8, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.put_slice(&MAGIC);
    out.put_u8(kind);
    out.put_u8(0);
    out.put_bytes(0, HEAD_BYTES - MAGIC.len() - 2);
    body(out);
    let length = out.len() - start - HEAD_BYTES;
    let length = u16::try_from(length).expect("names and texts are bounded");
    out[start + 10..start + 12].copy_from_slice(&length.to_le_bytes());
    let sum = packet_sum(&out[start..]);
    out[start + 12..start + 16].copy_from_slice(&sum.to_le_bytes());
}

/// The checksum of a whole packet: of all of it but the magic and the checksum itself.
fn packet_sum(packet: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&packet[MAGIC.len()..12]);
    hasher.update(&packet[HEAD_BYTES..]);
    hasher.finalize()
}

/// The body of a packet at the front of `input`, and how long the packet is; nothing if more bytes are needed. What can be
/// no such packet is told from its first bytes, so that nobody waits for the rest.
fn packet(kind: u8, input: &[u8]) -> Result<Option<(&[u8], usize)>, HandshakeError> {
    let seen = input.len().min(MAGIC.len());
    if input[..seen] != MAGIC[..seen] {
        return Err(HandshakeError::Magic);
    }
    if let Some(&found) = input.get(MAGIC.len())
        && found != kind
    {
        return Err(HandshakeError::Kind(found));
    }
    let Some((head, _)) = input.split_first_chunk::<HEAD_BYTES>() else {
        return Ok(None);
    };
    let length = HEAD_BYTES + usize::from(u16::from_le_bytes([head[10], head[11]]));
    let Some(packet) = input.get(..length) else {
        return Ok(None);
    };
    if packet_sum(packet) != u32::from_le_bytes([head[12], head[13], head[14], head[15]]) {
        return Err(HandshakeError::Checksum);
    }
    Ok(Some((&packet[HEAD_BYTES..], length)))
}

fn put_cluster(name: &str, id: Uuid, out: &mut Vec<u8>) {
    assert!(
        name.len() <= MAX_CLUSTER_NAME_BYTES,
        "the configuration bounds it"
    );
    out.put_slice(id.as_bytes());
    put_text(name, out);
}

fn decode_cluster(body: &mut &[u8]) -> Result<(String, Uuid), HandshakeError> {
    let id = decode_uuid(body).ok_or(HandshakeError::Content("it is too short"))?;
    Ok((decode_text(body, MAX_CLUSTER_NAME_BYTES)?, id))
}

fn decode_identity(body: &mut &[u8]) -> Result<PeerIdentity, HandshakeError> {
    PeerIdentity::decode(body).ok_or(HandshakeError::Content("it does not say who sends it"))
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    out.put_u16_le(text.len() as u16);
    out.put_slice(text.as_bytes());
}

fn decode_text(body: &mut &[u8], limit: usize) -> Result<String, HandshakeError> {
    let short = HandshakeError::Content("a text in it is cut short");
    let length = body.try_get_u16_le().map_err(|_| short.clone())?;
    let length = usize::from(length);
    if length > limit {
        return Err(HandshakeError::Content("a text in it is too long"));
    }
    let (bytes, rest) = body.split_at_checked(length).ok_or(short)?;
    *body = rest;
    let text = std::str::from_utf8(bytes);
    Ok(text
        .map_err(|_| HandshakeError::Content("a text in it is not UTF-8"))?
        .to_owned())
}

/// As much of a text as fits, in whole characters.
fn shortened(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests;
