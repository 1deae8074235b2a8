//! Which mutations a shard holds, by their ids (docs/tracking.md, section 4): what its commit log has of them, and what the log says
//! of them beside.
//!
//! A set is rebuilt from the newest segment of the log that was begun: its checkpoint has all that was held before, its records
//! what came after. Only what is in the log is in it, so it never says more than the disk.
//!
//! What must stay true:
//! - sets of ids only grow, but for what is owed, which is settled one day;
//! - everything in here is derived from statements and mutations in the order of the log.

use model::track::{IdSet, Intervals, LogId, MutationId};
use model::varint;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The nodes that a log's mutations are for, by their numbers, ascending.
pub type Members = Arc<[u32]>;

/// Nodes that one log is for, at most: the largest replication factor there is sense in, over all data centres.
pub const MAX_MEMBERS: usize = 64;

/// Something that is to be known of ids beside the mutations that carry them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// Whom a log is for; before the first of its ids.
    Log(LogId, Members),
    /// These are held without their payload: repair brought what they did, or what they were for is gone.
    Held(LogId, Intervals),
    /// Of boots of a node before this one nothing is taken in any more.
    Fence(u32, u32),
    /// A node lacks these, and their payload here is about to go.
    Owed(u32, LogId, Intervals),
    /// It does not any more.
    Settled(u32, LogId, Intervals),
}

const LOG: u8 = 1;
const HELD: u8 = 2;
const FENCE: u8 = 3;
const OWED: u8 = 4;
const SETTLED: u8 = 5;

impl Statement {
    /// Appends its bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Log(log, members) => {
                put(out, LOG, &[log.0, members.len() as u64]);
                members
                    .iter()
                    .for_each(|node| varint::put(out, u64::from(*node)));
            }
            Self::Held(log, sequences) => {
                put(out, HELD, &[log.0]);
                sequences.encode(out);
            }
            Self::Fence(node, boot) => put(out, FENCE, &[u64::from(*node), u64::from(*boot)]),
            Self::Owed(node, log, sequences) => {
                put(out, OWED, &[u64::from(*node), log.0]);
                sequences.encode(out);
            }
            Self::Settled(node, log, sequences) => {
                put(out, SETTLED, &[u64::from(*node), log.0]);
                sequences.encode(out);
            }
        }
    }

    /// Takes the first statement off; `None` if there is no whole one of a kind that is known.
    pub(crate) fn decode(input: &mut &[u8]) -> Option<Self> {
        let kind = *varint::take(input, 1)?.first()?;
        Some(match kind {
            LOG => {
                let log = LogId(varint::get(input)?);
                let count = varint::get(input)?;
                let members: Option<Vec<u32>> = (0..count).map(|_| number(input)).collect();
                Self::Log(log, members?.into())
            }
            HELD => Self::Held(LogId(varint::get(input)?), Intervals::decode(input)?),
            FENCE => Self::Fence(number(input)?, number(input)?),
            OWED => Self::Owed(
                number(input)?,
                LogId(varint::get(input)?),
                Intervals::decode(input)?,
            ),
            SETTLED => Self::Settled(
                number(input)?,
                LogId(varint::get(input)?),
                Intervals::decode(input)?,
            ),
            _ => return None,
        })
    }
}

fn put(out: &mut Vec<u8>, kind: u8, numbers: &[u64]) {
    out.push(kind);
    numbers.iter().for_each(|number| varint::put(out, *number));
}

fn number(input: &mut &[u8]) -> Option<u32> {
    u32::try_from(varint::get(input)?).ok()
}

/// What a shard holds of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLog {
    /// Whom the log is for.
    pub members: Members,
    /// What is held of it.
    pub sequences: Intervals,
}

impl Default for HeldLog {
    fn default() -> Self {
        Self {
            members: Arc::new([]),
            sequences: Intervals::default(),
        }
    }
}

/// What a shard holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// By log.
    pub logs: BTreeMap<LogId, HeldLog>,
    /// By node, the boot before which nothing of it is taken in.
    pub fences: BTreeMap<u32, u32>,
    /// By node, what it lacks and no journal has any more.
    pub owed: BTreeMap<u32, IdSet>,
}

impl Held {
    /// Whether there is nothing to be known.
    pub fn is_empty(&self) -> bool {
        self.logs.is_empty() && self.fences.is_empty() && self.owed.is_empty()
    }

    /// Whom a log is for, if that is known.
    pub fn members(&self, log: LogId) -> Option<&Members> {
        let log = self.logs.get(&log)?;
        (!log.members.is_empty()).then_some(&log.members)
    }

    /// Whether an id is held.
    pub fn contains(&self, id: MutationId) -> bool {
        let log = self.logs.get(&id.log);
        log.is_some_and(|log| log.sequences.contains(id.sequence))
    }

    /// Whether mutations of a log are still taken in from its origin.
    pub fn admits(&self, log: LogId) -> bool {
        let fence = self.fences.get(&log.node());
        fence.is_none_or(|boot| log.boot() >= *boot)
    }

    /// A mutation is in the log.
    pub(crate) fn insert(&mut self, id: MutationId) {
        let log = self.logs.entry(id.log).or_default();
        log.sequences.insert(id.sequence, id.sequence);
    }

    /// A statement is in the log.
    pub(crate) fn take(&mut self, statement: &Statement) {
        match statement {
            Statement::Log(log, members) => {
                self.logs.entry(*log).or_default().members = members.clone();
            }
            Statement::Held(log, sequences) => {
                self.logs
                    .entry(*log)
                    .or_default()
                    .sequences
                    .union(sequences);
            }
            Statement::Fence(node, boot) => {
                let fence = self.fences.entry(*node).or_default();
                *fence = (*fence).max(*boot);
            }
            Statement::Owed(node, log, sequences) => {
                self.owed
                    .entry(*node)
                    .or_default()
                    .insert_all(*log, sequences);
            }
            Statement::Settled(node, log, sequences) => {
                let mut settled = IdSet::default();
                settled.insert_all(*log, sequences);
                if let Some(owed) = self.owed.get_mut(node) {
                    *owed = owed.minus(&settled);
                }
                self.owed.retain(|_, owed| !owed.is_empty());
            }
        }
    }

    /// The statements that make it.
    fn statements(&self) -> impl Iterator<Item = Statement> + '_ {
        let logs = self.logs.iter().flat_map(|(id, log)| {
            let members = Statement::Log(*id, log.members.clone());
            [members, Statement::Held(*id, log.sequences.clone())]
        });
        let fences = self.fences.iter();
        let fences = fences.map(|(node, boot)| Statement::Fence(*node, *boot));
        let owed = self.owed.iter().flat_map(|(node, owed)| {
            let logs = owed.logs();
            logs.map(|(log, sequences)| Statement::Owed(*node, log, sequences.clone()))
        });
        logs.chain(fences).chain(owed)
    }

    /// Appends its bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        self.statements()
            .for_each(|statement| statement.encode(out));
    }

    /// Reads what [`Self::encode`] wrote.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut held = Self::default();
        while !bytes.is_empty() {
            held.take(&Statement::decode(&mut bytes)?);
        }
        Some(held)
    }

    /// Adds what another shard held, of a directory that had other shards.
    pub(crate) fn union(&mut self, other: &Self) {
        other
            .statements()
            .filter(
                |statement| !matches!(statement, Statement::Log(_, members) if members.is_empty()),
            )
            .for_each(|statement| self.take(&statement));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(number: u32) -> LogId {
        LogId::new(3, 7, number).expect("small numbers")
    }

    #[test]
    fn a_set_survives_its_bytes_and_what_is_settled_is_gone() {
        let mut held = Held::default();
        let all = [
            Statement::Log(log(1), Arc::new([1, 2, 3])),
            Statement::Held(log(1), Intervals::run(4, 9)),
            Statement::Fence(2, 5),
            Statement::Fence(2, 4),
            Statement::Owed(2, log(1), Intervals::run(4, 8)),
            Statement::Owed(3, log(1), Intervals::run(5, 5)),
            Statement::Settled(2, log(1), Intervals::run(4, 6)),
            Statement::Settled(3, log(1), Intervals::run(5, 5)),
        ];
        for statement in &all {
            let mut bytes = Vec::new();
            statement.encode(&mut bytes);
            let mut input = bytes.as_slice();
            assert_eq!(Statement::decode(&mut input).as_ref(), Some(statement));
            assert!(input.is_empty());
            held.take(statement);
        }
        held.insert(MutationId {
            log: log(1),
            sequence: 1,
        });
        let mut bytes = Vec::new();
        held.encode(&mut bytes);
        assert_eq!(Held::decode(&bytes), Some(held.clone()));
        assert_eq!(held.fences[&2], 5, "a fence never goes back");
        assert_eq!(held.owed.len(), 1);
        assert_eq!(held.owed[&2].count(), 2);
        assert!(!held.admits(LogId::new(2, 4, 0).expect("small numbers")));
        assert!(held.admits(LogId::new(2, 5, 0).expect("small numbers")));
        let mut both = Held::default();
        both.union(&held);
        assert_eq!(both, held);
    }
}
