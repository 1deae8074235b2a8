//! The bytes of proposals, requests and answers, between nodes and in `system.paxos` (docs/protocols/internode.md). Decoding never
//! panics.

use super::{Answer, Ballot, HISTORY, Proposal, Request};
use crate::topology::NodeId;
use model::varint;

const PREPARE: u8 = 0;
const PROPOSE: u8 = 1;
const COMMIT: u8 = 2;

const PROMISED: u8 = 0;
const ACCEPTED: u8 = 1;
const REJECTED: u8 = 2;
const COMMITTED: u8 = 3;

impl Ballot {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        varint::put_signed(out, self.micros);
        varint::put(out, u64::from(self.node.0));
        varint::put(out, u64::from(self.shard));
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(input: &mut &[u8]) -> Option<Self> {
        Some(Self {
            micros: varint::get_signed(input)?,
            node: NodeId(u32::try_from(varint::get(input)?).ok()?),
            shard: u16::try_from(varint::get(input)?).ok()?,
        })
    }
}

impl Proposal {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.ballot.encode(out);
        self.origin.encode(out);
        varint::put(out, self.epoch);
        varint::put(out, self.instance);
        varint::put(out, self.history.len() as u64);
        self.history.iter().for_each(|ballot| ballot.encode(out));
        varint::put_bytes(out, &self.update);
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(input: &mut &[u8]) -> Option<Self> {
        let (ballot, origin) = (Ballot::decode(input)?, Ballot::decode(input)?);
        let epoch = varint::get(input)?;
        let instance = varint::get(input)?;
        let count = varint::get(input)?;
        if count > HISTORY as u64 {
            return None;
        }
        let history = (0..count).map(|_| Ballot::decode(input));
        let history = history.collect::<Option<_>>()?;
        Some(Self {
            ballot,
            origin,
            epoch,
            instance,
            history,
            update: varint::get_bytes(input)?.to_vec(),
        })
    }
}

impl Request {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Prepare(ballot) => {
                out.push(PREPARE);
                ballot.encode(out);
            }
            Self::Propose(proposal) => {
                out.push(PROPOSE);
                proposal.encode(out);
            }
            Self::Commit(proposal) => {
                out.push(COMMIT);
                proposal.encode(out);
            }
        }
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(input: &mut &[u8]) -> Option<Self> {
        Some(match *varint::take(input, 1)?.first()? {
            PREPARE => Self::Prepare(Ballot::decode(input)?),
            PROPOSE => Self::Propose(Proposal::decode(input)?),
            COMMIT => Self::Commit(Proposal::decode(input)?),
            _ => return None,
        })
    }
}

impl Answer {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Promised {
                ballot,
                accepted,
                committed,
            } => {
                out.push(PROMISED);
                ballot.encode(out);
                put_optional(out, accepted.as_ref());
                put_optional(out, committed.as_ref());
            }
            Self::Accepted(ballot) => {
                out.push(ACCEPTED);
                ballot.encode(out);
            }
            Self::Rejected { ballot, promised } => {
                out.push(REJECTED);
                ballot.encode(out);
                promised.encode(out);
            }
            Self::Committed(ballot) => {
                out.push(COMMITTED);
                ballot.encode(out);
            }
        }
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(input: &mut &[u8]) -> Option<Self> {
        let kind = *varint::take(input, 1)?.first()?;
        let ballot = Ballot::decode(input)?;
        Some(match kind {
            PROMISED => Self::Promised {
                ballot,
                accepted: optional(input)?,
                committed: optional(input)?,
            },
            ACCEPTED => Self::Accepted(ballot),
            REJECTED => Self::Rejected {
                ballot,
                promised: Ballot::decode(input)?,
            },
            COMMITTED => Self::Committed(ballot),
            _ => return None,
        })
    }
}

fn put_optional(out: &mut Vec<u8>, proposal: Option<&Proposal>) {
    out.push(u8::from(proposal.is_some()));
    if let Some(proposal) = proposal {
        proposal.encode(out);
    }
}

fn optional(input: &mut &[u8]) -> Option<Option<Proposal>> {
    match varint::take(input, 1)? {
        [0] => Some(None),
        [1] => Proposal::decode(input).map(Some),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposal() -> Proposal {
        let ballot = |micros| Ballot {
            micros,
            node: NodeId(7),
            shard: 3,
        };
        Proposal {
            ballot: ballot(1 << 50),
            origin: ballot(-1),
            epoch: 70_000,
            instance: 300,
            history: vec![ballot(4), ballot(5)],
            update: vec![1, 2, 3],
        }
    }

    #[test]
    fn all_survive_their_bytes_and_no_part_of_them_panics() {
        let ballot = proposal().ballot;
        for request in [
            Request::Prepare(ballot),
            Request::Propose(proposal()),
            Request::Commit(proposal()),
        ] {
            let mut bytes = Vec::new();
            request.encode(&mut bytes);
            assert_eq!(Request::decode(&mut &bytes[..]), Some(request));
            for length in 0..bytes.len() {
                assert_eq!(Request::decode(&mut &bytes[..length]), None);
            }
        }
        for answer in [
            Answer::Promised {
                ballot,
                accepted: Some(proposal()),
                committed: None,
            },
            Answer::Accepted(ballot),
            Answer::Rejected {
                ballot,
                promised: proposal().origin,
            },
            Answer::Committed(ballot),
        ] {
            let mut bytes = Vec::new();
            answer.encode(&mut bytes);
            assert_eq!(Answer::decode(&mut &bytes[..]), Some(answer));
            for length in 0..bytes.len() {
                assert_eq!(Answer::decode(&mut &bytes[..length]), None);
            }
        }
    }
}
