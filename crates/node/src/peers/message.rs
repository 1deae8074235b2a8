//! What nodes say to each other, and its bytes (docs/protocols/internode.md, "Messages"). Decoding never panics.
//!
//! Requests of clients' work carry the epoch of the metadata they were planned with, and how long their coordinator waits. An answer
//! carries the request's id, in which the asking shard is named: it may come to another.

use crate::execute::acceptor::DecisionRequest;
use crate::membership::InForce;
use crate::message::{ReplicaError, RequestId};
use crate::metadata_log::MetadataMessage;
use crate::repair::message::RepairMessage;
use crate::stream::message::StreamMessage;
use crate::track::message::TrackMessage;
use cluster::internode::Class;
use cluster::metadata::Member;
use cluster::paxos;
use cluster::raft::Snapshot;
use cluster::topology::NodeId;
use model::error::Consistency;
use model::read::{ReadCommand, ReadResponse};
use model::varint;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[cfg(test)]
mod tests;

/// Which request of which shard of the node that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerRequest {
    /// The shard that asks.
    pub shard: u16,
    /// Its number for it.
    pub id: RequestId,
}

/// What a request of clients' work needs to be judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Who asks.
    pub request: PeerRequest,
    /// The epoch of the metadata it was planned with.
    pub epoch: u64,
    /// How long its coordinator waits, in milliseconds from when it was sent.
    pub wait_ms: u32,
}

/// What is wanted of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The rows.
    Rows,
    /// What stands for them.
    Digest,
    /// The rows, if the replica knows itself to be fresh: among all, or where `local` among those of its data centre.
    FreshRows {
        /// For LOCAL_ONE.
        local: bool,
    },
}

/// Who wants to be a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// The node, without tokens.
    pub member: Member,
    /// Whether it is to take the place of a dead member at its own address.
    pub replaces: bool,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The rows.
    Rows(ReadResponse),
    /// Their digest, and the tombstones that were met.
    Digest(u128, u64),
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerMessage {
    /// Of gossip.
    Gossip(Vec<u8>),
    /// Are you there?
    Ping(u64),
    /// I am.
    Pong(u64),
    /// Of the metadata log.
    Metadata(MetadataMessage),
    /// A node with an empty data directory wants to be a member.
    Join(Box<JoinRequest>),
    /// It is, by this number, and this was in force by then.
    Joined {
        /// Its number.
        node: NodeId,
        /// The metadata.
        snapshot: Snapshot,
    },
    /// It is not, for this reason; it may ask again.
    NotJoined(String),
    /// The sender, which was asked, is no member of any cluster itself.
    NoMember,
    /// All shards of the sender have this in force.
    InForce(InForce),
    /// Of data that moves because the ring changes.
    Stream(StreamMessage),
    /// Of repairs.
    Repair(RepairMessage),
    /// Apply a mutation.
    Write {
        /// By which terms.
        terms: Terms,
        /// The level that its increments are to reach, if they are to be counted there.
        counts: Option<Consistency>,
        /// The encoded mutation.
        mutation: Vec<u8>,
    },
    /// It is durable, or was refused.
    Wrote {
        /// Which.
        request: PeerRequest,
        /// How it ended.
        result: Result<(), ReplicaError>,
    },
    /// Of tracked mutations.
    Tracked(TrackMessage),
    /// Read.
    Read {
        /// By which terms.
        terms: Terms,
        /// What is wanted.
        wanted: Wanted,
        /// What.
        command: Box<ReadCommand>,
    },
    /// Take part in a decision about a partition.
    Decide {
        /// By which terms.
        terms: Terms,
        /// What is asked of the acceptor.
        asked: DecisionRequest,
    },
    /// What the acceptor says.
    Decided {
        /// Which.
        request: PeerRequest,
        /// How it ended.
        result: Result<paxos::Answer, ReplicaError>,
    },
    /// What was read.
    Answered {
        /// Which.
        request: PeerRequest,
        /// How it ended.
        result: Result<Answer, ReplicaError>,
    },
}

const GOSSIP: u8 = 1;
const PING: u8 = 2;
const PONG: u8 = 3;
const METADATA: u8 = 4;
const JOIN: u8 = 5;
const JOINED: u8 = 6;
const NOT_JOINED: u8 = 7;
const IN_FORCE: u8 = 8;
const STREAM: u8 = 9;
const REPAIR: u8 = 10;
const NO_MEMBER: u8 = 11;
const WRITE: u8 = 16;
const WROTE: u8 = 17;
const READ: u8 = 18;
const ANSWERED: u8 = 19;
const DECIDE: u8 = 20;
const DECIDED: u8 = 21;
const TRACKED: u8 = 22;

/// An error of a request that the answering node coordinated.
const TOLD: u8 = 4;
const OUTDATED: u8 = 5;
const BEHIND: u8 = 6;

impl PeerMessage {
    /// As what it travels.
    pub fn class(&self) -> Class {
        match self {
            Self::Tracked(message) => message.class(),
            Self::Gossip(_)
            | Self::Ping(_)
            | Self::Pong(_)
            | Self::Metadata(_)
            | Self::InForce(_)
            | Self::Wrote { .. } => Class::Urgent,
            Self::Stream(message) => message.class(),
            Self::Repair(message) => message.class(),
            Self::Join(_)
            | Self::Joined { .. }
            | Self::NotJoined(_)
            | Self::NoMember
            | Self::Write { .. }
            | Self::Read { .. }
            | Self::Decide { .. }
            | Self::Decided { .. }
            | Self::Answered { .. } => Class::Small,
        }
    }

    /// Appends its bytes: kind, fields.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Gossip(bytes) => {
                out.push(GOSSIP);
                out.extend_from_slice(bytes);
            }
            Self::Ping(nonce) => put_number(out, PING, *nonce),
            Self::Pong(nonce) => put_number(out, PONG, *nonce),
            Self::Metadata(message) => {
                out.push(METADATA);
                message.encode(out);
            }
            Self::Join(request) => {
                out.push(JOIN);
                let text = serde_json::to_vec(request).expect("a plain record");
                out.extend_from_slice(&text);
            }
            Self::Joined { node, snapshot } => {
                put_number(out, JOINED, u64::from(node.0));
                snapshot.encode(out);
            }
            Self::NotJoined(reason) => {
                out.push(NOT_JOINED);
                out.extend_from_slice(reason.as_bytes());
            }
            Self::NoMember => out.push(NO_MEMBER),
            Self::InForce(said) => {
                put_number(out, IN_FORCE, said.epoch);
                out.extend_from_slice(said.schema.as_bytes());
            }
            Self::Stream(message) => {
                out.push(STREAM);
                message.encode(out);
            }
            Self::Repair(message) => {
                out.push(REPAIR);
                message.encode(out);
            }
            Self::Write {
                terms,
                counts,
                mutation,
            } => put_write(out, terms, *counts, mutation),
            Self::Wrote { request, result } => {
                out.push(WROTE);
                request.encode(out);
                put_result(out, result, |(), _| {});
            }
            Self::Tracked(message) => {
                Self::put_tracked(out);
                message.encode(out);
            }
            Self::Read {
                terms,
                wanted,
                command,
            } => put_read(out, terms, *wanted, command),
            Self::Decide { terms, asked } => put_decide(out, terms, asked),
            Self::Decided { request, result } => {
                out.push(DECIDED);
                request.encode(out);
                put_result(out, result, paxos::Answer::encode);
            }
            Self::Answered { request, result } => {
                out.push(ANSWERED);
                request.encode(out);
                put_result(out, result, Answer::encode);
            }
        }
    }

    /// Appends what a [`Self::Tracked`] begins with, for one whose mutation is not owned.
    pub fn put_tracked(out: &mut Vec<u8>) {
        out.push(TRACKED);
    }

    /// Reads what [`Self::encode`] wrote, all of it.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, mut body) = bytes.split_first()?;
        let input = &mut body;
        let message = match *kind {
            GOSSIP => return Some(Self::Gossip(input.to_vec())),
            PING => Self::Ping(varint::get(input)?),
            PONG => Self::Pong(varint::get(input)?),
            METADATA => return MetadataMessage::decode(input).map(Self::Metadata),
            JOIN => return serde_json::from_slice(input).ok().map(Self::Join),
            JOINED => Self::Joined {
                node: NodeId(u32::try_from(varint::get(input)?).ok()?),
                snapshot: Snapshot::decode(input)?,
            },
            NOT_JOINED => {
                let reason = String::from_utf8(input.to_vec()).ok();
                return reason.map(Self::NotJoined);
            }
            NO_MEMBER => Self::NoMember,
            IN_FORCE => Self::InForce(InForce {
                epoch: varint::get(input)?,
                schema: Uuid::from_bytes(varint::take(input, 16)?.try_into().ok()?),
            }),
            STREAM => Self::Stream(StreamMessage::decode(input)?),
            REPAIR => Self::Repair(RepairMessage::decode(input)?),
            WRITE => Self::Write {
                terms: Terms::decode(input)?,
                counts: counts(input)?,
                mutation: std::mem::take(input).to_vec(),
            },
            WROTE => Self::Wrote {
                request: PeerRequest::decode(input)?,
                result: result(input, |_| Some(()))?,
            },
            TRACKED => Self::Tracked(TrackMessage::decode(input)?),
            READ => Self::Read {
                terms: Terms::decode(input)?,
                wanted: match varint::take(input, 1)? {
                    [0] => Wanted::Rows,
                    [1] => Wanted::Digest,
                    [2] => Wanted::FreshRows { local: false },
                    [3] => Wanted::FreshRows { local: true },
                    _ => return None,
                },
                command: Box::new(ReadCommand::decode(input)?),
            },
            DECIDE => {
                let terms = Terms::decode(input)?;
                Self::Decide {
                    terms,
                    asked: DecisionRequest::decode(input, terms)?,
                }
            }
            DECIDED => Self::Decided {
                request: PeerRequest::decode(input)?,
                result: result(input, paxos::Answer::decode)?,
            },
            ANSWERED => Self::Answered {
                request: PeerRequest::decode(input)?,
                result: result(input, Answer::decode)?,
            },
            _ => return None,
        };
        input.is_empty().then_some(message)
    }
}

/// Appends a [`PeerMessage::Write`] whose mutation is not owned.
pub fn put_write(out: &mut Vec<u8>, terms: &Terms, counts: Option<Consistency>, mutation: &[u8]) {
    out.push(WRITE);
    terms.encode(out);
    out.push(counts.map_or(0, |level| level as u8 + 1));
    out.extend_from_slice(mutation);
}

/// Appends a [`PeerMessage::Decide`] whose request is not owned.
pub fn put_decide(out: &mut Vec<u8>, terms: &Terms, asked: &DecisionRequest) {
    out.push(DECIDE);
    terms.encode(out);
    asked.encode(out);
}

/// Appends a [`PeerMessage::Read`] whose command is not owned.
pub fn put_read(out: &mut Vec<u8>, terms: &Terms, wanted: Wanted, command: &ReadCommand) {
    out.push(READ);
    terms.encode(out);
    out.push(match wanted {
        Wanted::Rows => 0,
        Wanted::Digest => 1,
        Wanted::FreshRows { local } => 2 + u8::from(local),
    });
    command.encode(out);
}

impl PeerRequest {
    fn encode(self, out: &mut Vec<u8>) {
        varint::put(out, u64::from(self.shard));
        varint::put(out, self.id.operation);
        varint::put(out, u64::from(self.id.part));
    }

    fn decode(input: &mut &[u8]) -> Option<Self> {
        Some(Self {
            shard: u16::try_from(varint::get(input)?).ok()?,
            id: RequestId {
                operation: varint::get(input)?,
                part: u32::try_from(varint::get(input)?).ok()?,
            },
        })
    }
}

impl Terms {
    /// Appends its bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        self.request.encode(out);
        varint::put(out, self.epoch);
        varint::put(out, u64::from(self.wait_ms));
    }

    /// Reads what [`Self::encode`] wrote.
    pub(crate) fn decode(input: &mut &[u8]) -> Option<Self> {
        Some(Self {
            request: PeerRequest::decode(input)?,
            epoch: varint::get(input)?,
            wait_ms: u32::try_from(varint::get(input)?).ok()?,
        })
    }
}

impl Answer {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Rows(response) => {
                out.push(0);
                response.encode(out);
            }
            Self::Digest(digest, tombstones) => {
                out.push(1);
                out.extend_from_slice(&digest.to_le_bytes());
                varint::put(out, *tombstones);
            }
        }
    }

    fn decode(input: &mut &[u8]) -> Option<Self> {
        Some(if flag(input)? {
            let digest = varint::take(input, 16)?.try_into().ok()?;
            Self::Digest(u128::from_le_bytes(digest), varint::get(input)?)
        } else {
            Self::Rows(ReadResponse::decode(input)?)
        })
    }
}

fn put_number(out: &mut Vec<u8>, kind: u8, number: u64) {
    out.push(kind);
    varint::put(out, number);
}

fn flag(input: &mut &[u8]) -> Option<bool> {
    match varint::take(input, 1)? {
        [0] => Some(false),
        [1] => Some(true),
        _ => None,
    }
}

/// The level of increments, one above its number of the native protocol; nought of other writes.
fn counts(input: &mut &[u8]) -> Option<Option<Consistency>> {
    match *varint::take(input, 1)?.first()? {
        0 => Some(None),
        above => Consistency::from_code(u16::from(above) - 1).map(Some),
    }
}

fn put_result<T>(
    out: &mut Vec<u8>,
    result: &Result<T, ReplicaError>,
    put: impl FnOnce(&T, &mut Vec<u8>),
) {
    let (kind, reason, text) = match result {
        Ok(value) => {
            out.push(0);
            return put(value, out);
        }
        Err(ReplicaError::Overloaded(text)) => (1, 0, text.as_str()),
        Err(ReplicaError::Failed(reason, text)) => (2, *reason, text.as_str()),
        Err(ReplicaError::Invalid(text)) => (3, 0, text.as_str()),
        Err(ReplicaError::Outdated) => (OUTDATED, 0, ""),
        Err(ReplicaError::Behind) => (BEHIND, 0, ""),
        Err(ReplicaError::Told(error)) => {
            out.push(TOLD);
            let text = serde_json::to_vec(error).expect("a plain record");
            return varint::put_bytes(out, &text);
        }
    };
    out.push(kind);
    varint::put(out, u64::from(reason));
    varint::put_bytes(out, text.as_bytes());
}

fn result<T>(
    input: &mut &[u8],
    value: impl FnOnce(&mut &[u8]) -> Option<T>,
) -> Option<Result<T, ReplicaError>> {
    let kind = *varint::take(input, 1)?.first()?;
    if kind == 0 {
        return value(input).map(Ok);
    }
    if kind == TOLD {
        let error = serde_json::from_slice(varint::get_bytes(input)?).ok()?;
        return Some(Err(ReplicaError::Told(error)));
    }
    let reason = u16::try_from(varint::get(input)?).ok()?;
    let text = String::from_utf8(varint::get_bytes(input)?.to_vec()).ok()?;
    Some(Err(match kind {
        1 => ReplicaError::Overloaded(text),
        2 => ReplicaError::Failed(reason, text),
        3 => ReplicaError::Invalid(text),
        OUTDATED => ReplicaError::Outdated,
        BEHIND => ReplicaError::Behind,
        _ => return None,
    }))
}
