//! Commits of conditional statements as tracked mutations (docs/tracking.md, section 3): one acceptor gives the update its id and
//! sends the commit on to the others under it, so that who misses the commit fetches the update.
//!
//! What a coordinator commits anew is tracked. A commit that only brings an acceptor what another is known to have is not: that one
//! has it under its id, and by this the acceptor lacks it still.

use super::message::{id, members, number, put_id, put_members};
use super::origin::Replicated;
use crate::effects::Effects;
use crate::execute::acceptor::{Asker, DecisionRequest};
use crate::message::ReplicaError;
use crate::peers::message::{PeerMessage, Terms};
use crate::replica::Caller;
use crate::shard::Shard;
use cluster::paxos::Request;
use cluster::topology::NodeId;
use model::time::Now;
use model::track::MutationId;
use model::varint;
use storage::held::Members;

/// How a commit is tracked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tracked {
    /// The receiver gives it its id, and sends it to these by the same terms.
    Begin(Terms, Members, Vec<NodeId>),
    /// It has its id.
    Begun {
        /// Who waits for the answer.
        coordinator: NodeId,
        /// The id.
        id: MutationId,
        /// Whom it is for.
        members: Members,
    },
}

const UNTRACKED: u8 = 0;
const BEGIN: u8 = 1;
const BEGUN: u8 = 2;

impl Tracked {
    /// Who waits for the answer, if not the sender.
    pub(crate) fn coordinator(&self) -> Option<NodeId> {
        match self {
            Self::Begin(..) => None,
            Self::Begun { coordinator, .. } => Some(*coordinator),
        }
    }

    /// Appends its bytes; the terms are those of the message that it is in.
    pub(crate) fn encode(tracked: Option<&Self>, out: &mut Vec<u8>) {
        match tracked {
            None => out.push(UNTRACKED),
            Some(Self::Begin(_, members, targets)) => {
                out.push(BEGIN);
                put_members(out, members);
                let targets: Vec<u32> = targets.iter().map(|node| node.0).collect();
                put_members(out, &targets);
            }
            Some(Self::Begun {
                coordinator,
                id,
                members,
            }) => {
                out.push(BEGUN);
                varint::put(out, u64::from(coordinator.0));
                put_id(out, *id);
                put_members(out, members);
            }
        }
    }

    /// Reads what [`Self::encode`] wrote in a message of these terms.
    #[expect(
        clippy::option_option,
        reason = "whether it can be read, and whether there is any"
    )]
    pub(crate) fn decode(input: &mut &[u8], terms: Terms) -> Option<Option<Self>> {
        Some(match *varint::take(input, 1)?.first()? {
            UNTRACKED => None,
            BEGIN => {
                let of = members(input)?;
                let targets = members(input)?;
                let targets = targets.iter().map(|node| NodeId(*node)).collect();
                Some(Self::Begin(terms, of, targets))
            }
            BEGUN => Some(Self::Begun {
                coordinator: NodeId(number(input)?),
                id: id(input)?,
                members: members(input)?,
            }),
            _ => return None,
        })
    }
}

impl Shard {
    /// Applies the update of a commit whose partition this shard owns, and sends the commit on if this is where it begins. The caller
    /// hears when the update is durable. Returns whether it was taken.
    pub(crate) fn apply_commit(
        &mut self,
        asked: DecisionRequest,
        asker: Asker,
        caller: Caller,
        now: Now,
        out: &mut Effects,
    ) -> bool {
        let Request::Commit(proposal) = &asked.request else {
            unreachable!("the caller looked");
        };
        // What was decided before the table was emptied counts as written before that, whoever commits it, and when.
        let epoch = proposal.epoch;
        match asked.tracked {
            None if self.topology.is_truncated_since(asked.table, epoch) => {
                self.metrics.truncated_writes += 1;
                self.replica.skip(caller);
                true
            }
            None => self.replica.apply(&proposal.update, caller, now),
            Some(Tracked::Begun { id, members, .. }) => {
                let replicated = Replicated {
                    id,
                    members,
                    mutation: proposal.update.clone(),
                };
                self.append_replicated(&replicated, epoch, caller, now)
            }
            Some(Tracked::Begin(terms, members, targets)) => {
                if !self.is_member(&members) {
                    let error = ReplicaError::Failed(0, "this node is no replica of it".into());
                    self.replica.refuse(caller, error);
                    return false;
                }
                let of = (&members, epoch);
                let Some(id) = self.apply_as_origin(&proposal.update, of, caller, now) else {
                    return false;
                };
                let coordinator = match asker {
                    Asker::Own(_) => self.topology.local,
                    Asker::Peer(caller) => caller.node,
                    Asker::Stream(_) => unreachable!("it commits nothing"),
                };
                let tracked = Tracked::Begun {
                    coordinator,
                    id,
                    members,
                };
                let asked = DecisionRequest {
                    tracked: Some(tracked),
                    ..asked
                };
                let message = PeerMessage::Decide { terms, asked };
                for target in targets {
                    self.say(target, &message, out);
                }
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::message::PeerRequest;
    use cluster::paxos::{Ballot, Proposal};
    use model::key::DecoratedKey;
    use model::schema::TableId;
    use model::track::LogId;
    use std::sync::Arc;

    #[test]
    fn tracked_commits_survive_their_bytes_and_no_part_of_them_does() {
        let terms = Terms {
            request: PeerRequest {
                shard: 3,
                id: 7.into(),
            },
            epoch: 300,
            wait_ms: 2_000,
        };
        let ballot = Ballot {
            micros: 5,
            node: NodeId(1),
            shard: 0,
        };
        let proposal = Proposal {
            ballot,
            origin: ballot,
            instance: 1,
            history: Vec::new(),
            update: vec![4, 5],
            epoch: 9,
        };
        let members: Members = Arc::new([1, 2, 3]);
        let begun = Tracked::Begun {
            coordinator: NodeId(3),
            id: MutationId {
                log: LogId(7),
                sequence: 8,
            },
            members: members.clone(),
        };
        let begin = Tracked::Begin(terms, members, vec![NodeId(2), NodeId(3)]);
        for tracked in [begin, begun] {
            let asked = DecisionRequest {
                table: TableId(uuid::Uuid::from_u128(5)),
                key: DecoratedKey::new(*b"key"),
                request: Request::Commit(proposal.clone()),
                tracked: Some(tracked),
            };
            let message = PeerMessage::Decide { terms, asked };
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            assert_eq!(PeerMessage::decode(&bytes).as_ref(), Some(&message));
            for length in 0..bytes.len() {
                assert_eq!(PeerMessage::decode(&bytes[..length]), None);
            }
        }
    }
}
