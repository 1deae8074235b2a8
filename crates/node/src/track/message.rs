//! What nodes say to each other of tracked mutations, and its bytes (docs/protocols/internode.md, "Messages").

use crate::peers::message::Terms;
use cluster::internode::Class;
use cluster::topology::NodeId;
use cluster::track::Summary;
use model::track::{IdSet, Intervals, LogId, MutationId};
use model::varint;
use std::sync::Arc;
use storage::held::{MAX_MEMBERS, Members};

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrackMessage {
    /// Apply a mutation that its origin has appended with this id, and tell the coordinator.
    Append {
        /// By which terms; the request is the coordinator's.
        terms: Terms,
        /// Who waits.
        coordinator: NodeId,
        /// The mutation's id.
        id: MutationId,
        /// Whom it is for.
        members: Members,
        /// The encoded mutation.
        mutation: Vec<u8>,
    },
    /// Be the origin of a mutation whose coordinator, the sender, is no replica of it.
    Via {
        /// By which terms.
        terms: Terms,
        /// Whom it is for.
        members: Members,
        /// Those of them that it is sent to beside the receiver.
        targets: Vec<NodeId>,
        /// The encoded mutation.
        mutation: Vec<u8>,
    },
    /// What the sender holds.
    Summary {
        /// The members of the group.
        members: Members,
        /// What it holds.
        summary: Summary,
    },
    /// Send these mutations.
    Pull {
        /// The members of the group.
        members: Members,
        /// Of which log.
        log: LogId,
        /// Which.
        sequences: Intervals,
    },
    /// Mutations that the receiver lacks.
    Records {
        /// The epoch of the metadata that the sender has.
        epoch: u64,
        /// The members of the group.
        members: Members,
        /// The encoded mutations.
        mutations: Vec<(MutationId, Vec<u8>)>,
        /// What was asked for and is not to be had there.
        gone: IdSet,
        /// Whether the rest has to be asked for anew.
        cut: bool,
    },
}

const APPEND: u8 = 1;
const VIA: u8 = 2;
const SUMMARY: u8 = 3;
const PULL: u8 = 4;
const RECORDS: u8 = 5;

impl TrackMessage {
    /// As what it travels.
    pub fn class(&self) -> Class {
        match self {
            Self::Summary { .. } => Class::Urgent,
            Self::Append { .. } | Self::Via { .. } | Self::Pull { .. } => Class::Small,
            Self::Records { .. } => Class::Bulk,
        }
    }

    /// Appends its bytes: kind, fields.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Append {
                terms,
                coordinator,
                id,
                members,
                mutation,
            } => put_append(out, terms, *coordinator, (*id, members), mutation),
            Self::Via {
                terms,
                members,
                targets,
                mutation,
            } => put_via(out, terms, members, targets, mutation),
            Self::Summary { members, summary } => {
                out.push(SUMMARY);
                put_members(out, members);
                summary.encode(out);
            }
            Self::Pull {
                members,
                log,
                sequences,
            } => {
                out.push(PULL);
                put_members(out, members);
                varint::put(out, log.0);
                sequences.encode(out);
            }
            Self::Records {
                epoch,
                members,
                mutations,
                gone,
                cut,
            } => {
                out.push(RECORDS);
                varint::put(out, *epoch);
                put_members(out, members);
                out.push(u8::from(*cut));
                gone.encode(out);
                varint::put(out, mutations.len() as u64);
                for (id, mutation) in mutations {
                    put_id(out, *id);
                    varint::put_bytes(out, mutation);
                }
            }
        }
    }

    /// Reads what [`Self::encode`] wrote, all of it.
    pub fn decode(input: &mut &[u8]) -> Option<Self> {
        let kind = *varint::take(input, 1)?.first()?;
        Some(match kind {
            APPEND => Self::Append {
                terms: Terms::decode(input)?,
                coordinator: NodeId(number(input)?),
                id: id(input)?,
                members: members(input)?,
                mutation: std::mem::take(input).to_vec(),
            },
            VIA => Self::Via {
                terms: Terms::decode(input)?,
                members: members(input)?,
                targets: members(input)?.iter().map(|node| NodeId(*node)).collect(),
                mutation: std::mem::take(input).to_vec(),
            },
            SUMMARY => Self::Summary {
                members: members(input)?,
                summary: Summary::decode(std::mem::take(input))?,
            },
            PULL => Self::Pull {
                members: members(input)?,
                log: LogId(varint::get(input)?),
                sequences: Intervals::decode(input)?,
            },
            RECORDS => Self::Records {
                epoch: varint::get(input)?,
                members: members(input)?,
                cut: match varint::take(input, 1)? {
                    [0] => false,
                    [1] => true,
                    _ => return None,
                },
                gone: IdSet::decode(input)?,
                mutations: {
                    let count = varint::get(input)?;
                    let mutations = (0..count).map(|_| {
                        let id = id(input)?;
                        Some((id, varint::get_bytes(input)?.to_vec()))
                    });
                    mutations.collect::<Option<_>>()?
                },
            },
            _ => return None,
        })
    }
}

/// Appends a [`TrackMessage::Append`] whose mutation is not owned.
pub fn put_append(
    out: &mut Vec<u8>,
    terms: &Terms,
    coordinator: NodeId,
    (id, members): (MutationId, &Members),
    mutation: &[u8],
) {
    out.push(APPEND);
    terms.encode(out);
    varint::put(out, u64::from(coordinator.0));
    put_id(out, id);
    put_members(out, members);
    out.extend_from_slice(mutation);
}

/// Appends a [`TrackMessage::Via`] whose mutation is not owned.
pub fn put_via(
    out: &mut Vec<u8>,
    terms: &Terms,
    members: &Members,
    targets: &[NodeId],
    mutation: &[u8],
) {
    out.push(VIA);
    terms.encode(out);
    put_members(out, members);
    let targets: Vec<u32> = targets.iter().map(|node| node.0).collect();
    put_members(out, &targets);
    out.extend_from_slice(mutation);
}

pub(super) fn put_id(out: &mut Vec<u8>, id: MutationId) {
    varint::put(out, id.log.0);
    varint::put(out, id.sequence);
}

pub(super) fn id(input: &mut &[u8]) -> Option<MutationId> {
    Some(MutationId {
        log: LogId(varint::get(input)?),
        sequence: varint::get(input)?,
    })
}

pub(super) fn put_members(out: &mut Vec<u8>, members: &[u32]) {
    varint::put(out, members.len() as u64);
    let nodes = members.iter();
    nodes.for_each(|node| varint::put(out, u64::from(*node)));
}

pub(super) fn members(input: &mut &[u8]) -> Option<Members> {
    let count = varint::get(input)?;
    if count > MAX_MEMBERS as u64 {
        return None;
    }
    let members: Option<Vec<u32>> = (0..count).map(|_| number(input)).collect();
    members.map(Arc::from)
}

pub(super) fn number(input: &mut &[u8]) -> Option<u32> {
    u32::try_from(varint::get(input)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::message::{PeerMessage, PeerRequest};
    use cluster::track::{Freshness, GroupId, LogSummary};

    fn tracked() -> Vec<PeerMessage> {
        let id = MutationId {
            log: LogId::new(3, 400, 5).expect("small numbers"),
            sequence: 70,
        };
        let members: Members = Arc::new([1, 2, 3]);
        let mut gone = IdSet::default();
        gone.insert(id);
        let terms = Terms {
            request: PeerRequest {
                shard: 3,
                id: 7.into(),
            },
            epoch: 300,
            wait_ms: 2_000,
        };
        let summary = Summary {
            group: GroupId(9),
            incarnation: 8,
            boot: 2,
            version: 5,
            since: 4,
            seen: (1, 3),
            nonce: 7,
            echo: 6,
            boots: vec![(NodeId(2), 1)],
            retired: Vec::new(),
            fresh: Freshness::default(),
            logs: vec![LogSummary {
                log: id.log,
                boot: id.log.boot(),
                end: 9,
                held: Intervals::run(1, 9),
            }],
        };
        vec![
            PeerMessage::Tracked(TrackMessage::Summary {
                members: members.clone(),
                summary,
            }),
            PeerMessage::Tracked(TrackMessage::Append {
                terms,
                coordinator: NodeId(2),
                id,
                members: members.clone(),
                mutation: vec![4, 5],
            }),
            PeerMessage::Tracked(TrackMessage::Via {
                terms,
                members: members.clone(),
                targets: vec![NodeId(3)],
                mutation: vec![4, 5],
            }),
            PeerMessage::Tracked(TrackMessage::Pull {
                members: members.clone(),
                log: id.log,
                sequences: Intervals::run(2, 9),
            }),
            PeerMessage::Tracked(TrackMessage::Records {
                epoch: 7,
                members,
                mutations: vec![(id, vec![1, 2]), (id, vec![3])],
                gone,
                cut: true,
            }),
        ]
    }

    #[test]
    fn messages_survive_their_bytes_and_no_part_of_them_does() {
        for message in tracked() {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            assert_eq!(PeerMessage::decode(&bytes).as_ref(), Some(&message));
            for length in 0..bytes.len() {
                // Whatever comes of a part, nothing panics.
                let _ = PeerMessage::decode(&bytes[..length]);
            }
        }
    }
}
