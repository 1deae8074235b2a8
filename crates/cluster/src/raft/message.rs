//! Entries, messages and records, and their bytes (docs/protocols/internode.md, docs/formats/metalog.md). Decoding never panics.

#[cfg(test)]
mod tests;

use super::{Index, Term};
use crate::topology::NodeId;
use model::varint;
use std::collections::BTreeSet;

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Nothing: a leader opens its term with it, because only entries of its own term tell it what is committed.
    Noop,
    /// Who votes from here on.
    Voters(BTreeSet<NodeId>),
    /// A command for whoever applies the log.
    Command(Vec<u8>),
}

impl Payload {
    /// About the bytes it takes on the wire.
    pub(super) fn bytes(&self) -> usize {
        16 + match self {
            Self::Noop => 0,
            Self::Voters(voters) => 4 * voters.len(),
            Self::Command(command) => command.len(),
        }
    }
}

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub index: Index,
    /// The term of the leader that put it there.
    pub term: Term,
    /// What it says.
    pub payload: Payload,
}

/// The state that a prefix of the log leads to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The last entry it covers.
    pub index: Index,
    /// That entry's term.
    pub term: Term,
    /// Who votes by then.
    pub voters: BTreeSet<NodeId>,
    /// The state, as whoever applies the log encodes it.
    pub state: Vec<u8>,
}

/// What members say to each other.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Message {
    /// Would you vote for me in this term?
    PreVote {
        term: Term,
        last_index: Index,
        last_term: Term,
    },
    /// An answer to it, of the term that was asked for if granted, else of the one who answers.
    PreVoteAnswer { term: Term, granted: bool },
    /// Vote for me. `handed_over`: the leader itself asked me to stand.
    Vote {
        term: Term,
        last_index: Index,
        last_term: Term,
        handed_over: bool,
    },
    /// An answer to it.
    VoteAnswer { term: Term, granted: bool },
    /// Entries that follow the one at `previous` (place and term), and how far is committed. Without entries a heartbeat.
    Append {
        term: Term,
        previous: (Index, Term),
        entries: Vec<Entry>,
        commit: Index,
    },
    /// A snapshot for a member that lacks what the leader has forgotten.
    Install { term: Term, snapshot: Snapshot },
    /// The sender's log is the leader's up to here, durably.
    Matched { term: Term, index: Index },
    /// It is not, at the place that was asked about; it may be before `hint`.
    Mismatched { term: Term, hint: Index },
    /// The leader asks the receiver to stand for election now.
    TakeOver { term: Term },
}

/// What a member keeps on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Record {
    /// The term, and whom the member voted for in it.
    Ballot { term: Term, vote: Option<NodeId> },
    /// An entry, over whatever was at its place and after.
    Entry(Entry),
    /// What the log begins with.
    Snapshot(Snapshot),
    /// Entries up to this are committed.
    Committed(Index),
}

const NOOP: u8 = 0;
const VOTERS: u8 = 1;
const COMMAND: u8 = 2;

impl Entry {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        varint::put(out, self.index);
        varint::put(out, self.term);
        match &self.payload {
            Payload::Noop => out.push(NOOP),
            Payload::Voters(voters) => {
                out.push(VOTERS);
                put_nodes(out, voters);
            }
            Payload::Command(command) => {
                out.push(COMMAND);
                varint::put_bytes(out, command);
            }
        }
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(input: &mut &[u8]) -> Option<Self> {
        let (index, term) = (varint::get(input)?, varint::get(input)?);
        let payload = match byte(input)? {
            NOOP => Payload::Noop,
            VOTERS => Payload::Voters(nodes(input)?),
            COMMAND => Payload::Command(varint::get_bytes(input)?.to_vec()),
            _ => return None,
        };
        Some(Self {
            index,
            term,
            payload,
        })
    }
}

impl Snapshot {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        varint::put(out, self.index);
        varint::put(out, self.term);
        put_nodes(out, &self.voters);
        varint::put_bytes(out, &self.state);
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(input: &mut &[u8]) -> Option<Self> {
        Some(Self {
            index: varint::get(input)?,
            term: varint::get(input)?,
            voters: nodes(input)?,
            state: varint::get_bytes(input)?.to_vec(),
        })
    }
}

impl Message {
    /// Appends its bytes: kind, term, fields.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::PreVote {
                term,
                last_index,
                last_term,
            } => put(out, 1, &[*term, *last_index, *last_term]),
            Self::PreVoteAnswer { term, granted } => put(out, 2, &[*term, u64::from(*granted)]),
            Self::Vote {
                term,
                last_index,
                last_term,
                handed_over,
            } => {
                let handed_over = u64::from(*handed_over);
                put(out, 3, &[*term, *last_index, *last_term, handed_over]);
            }
            Self::VoteAnswer { term, granted } => put(out, 4, &[*term, u64::from(*granted)]),
            Self::Append {
                term,
                previous: (index, previous),
                entries,
                commit,
            } => {
                let count = entries.len() as u64;
                put(out, 5, &[*term, *index, *previous, *commit, count]);
                entries.iter().for_each(|entry| entry.encode(out));
            }
            Self::Install { term, snapshot } => {
                put(out, 6, &[*term]);
                snapshot.encode(out);
            }
            Self::Matched { term, index } => put(out, 7, &[*term, *index]),
            Self::Mismatched { term, hint } => put(out, 8, &[*term, *hint]),
            Self::TakeOver { term } => put(out, 9, &[*term]),
        }
    }

    /// Reads what [`Self::encode`] wrote, all of it.
    pub fn decode(mut input: &[u8]) -> Option<Self> {
        let input = &mut input;
        let (kind, term) = (byte(input)?, varint::get(input)?);
        let message = match kind {
            1 => Self::PreVote {
                term,
                last_index: varint::get(input)?,
                last_term: varint::get(input)?,
            },
            2 => Self::PreVoteAnswer {
                term,
                granted: flag(input)?,
            },
            3 => Self::Vote {
                term,
                last_index: varint::get(input)?,
                last_term: varint::get(input)?,
                handed_over: flag(input)?,
            },
            4 => Self::VoteAnswer {
                term,
                granted: flag(input)?,
            },
            5 => {
                let previous = (varint::get(input)?, varint::get(input)?);
                let commit = varint::get(input)?;
                let count = varint::get(input)?;
                // Each takes three bytes at least, so a false count ends with the input.
                let entries = (0..count).map(|_| Entry::decode(input));
                Self::Append {
                    term,
                    previous,
                    entries: entries.collect::<Option<_>>()?,
                    commit,
                }
            }
            6 => Self::Install {
                term,
                snapshot: Snapshot::decode(input)?,
            },
            7 => Self::Matched {
                term,
                index: varint::get(input)?,
            },
            8 => Self::Mismatched {
                term,
                hint: varint::get(input)?,
            },
            9 => Self::TakeOver { term },
            _ => return None,
        };
        input.is_empty().then_some(message)
    }
}

impl Record {
    /// Appends its bytes: kind, fields.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ballot { term, vote } => {
                // Zero is nobody: nodes are numbered from one.
                let vote = vote.map_or(0, |node| u64::from(node.0));
                put(out, 1, &[*term, vote]);
            }
            Self::Entry(entry) => {
                out.push(2);
                entry.encode(out);
            }
            Self::Snapshot(snapshot) => {
                out.push(3);
                snapshot.encode(out);
            }
            Self::Committed(index) => put(out, 4, &[*index]),
        }
    }

    /// Reads what [`Self::encode`] wrote, all of it.
    pub fn decode(mut input: &[u8]) -> Option<Self> {
        let input = &mut input;
        let record = match byte(input)? {
            1 => {
                let term = varint::get(input)?;
                let vote = u32::try_from(varint::get(input)?).ok()?;
                Self::Ballot {
                    term,
                    vote: (vote != 0).then_some(NodeId(vote)),
                }
            }
            2 => Self::Entry(Entry::decode(input)?),
            3 => Self::Snapshot(Snapshot::decode(input)?),
            4 => Self::Committed(varint::get(input)?),
            _ => return None,
        };
        input.is_empty().then_some(record)
    }
}

fn put(out: &mut Vec<u8>, kind: u8, fields: &[u64]) {
    out.push(kind);
    fields.iter().for_each(|&field| varint::put(out, field));
}

fn byte(input: &mut &[u8]) -> Option<u8> {
    let (&first, rest) = input.split_first()?;
    *input = rest;
    Some(first)
}

fn flag(input: &mut &[u8]) -> Option<bool> {
    match byte(input)? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn put_nodes(out: &mut Vec<u8>, nodes: &BTreeSet<NodeId>) {
    varint::put(out, nodes.len() as u64);
    nodes
        .iter()
        .for_each(|node| varint::put(out, u64::from(node.0)));
}

fn nodes(input: &mut &[u8]) -> Option<BTreeSet<NodeId>> {
    let count = varint::get(input)?;
    (0..count)
        .map(|_| Some(NodeId(u32::try_from(varint::get(input)?).ok()?)))
        .collect()
}
