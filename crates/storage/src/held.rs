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
    /// These are held, whatever brought what they did.
    Held(LogId, Intervals),
    /// Of boots of a node before this one nothing is taken in any more.
    Fence(u32, u32),
    /// A node lacks these, and their payload here is about to go.
    Owed(u32, LogId, Intervals),
    /// It does not any more.
    Settled(u32, LogId, Intervals),
    /// These are held and there is nothing to them: what they were for is gone.
    Empty(LogId, Intervals),
    /// Of a group's logs of a node up to this boot all members hold everything: they are forgotten.
    Retired(Members, u32, u32),
}

const LOG: u8 = 1;
const HELD: u8 = 2;
const FENCE: u8 = 3;
const OWED: u8 = 4;
const SETTLED: u8 = 5;
const EMPTY: u8 = 6;
const RETIRED: u8 = 7;

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
            Self::Empty(log, sequences) => {
                put(out, EMPTY, &[log.0]);
                sequences.encode(out);
            }
            Self::Retired(members, node, boot) => {
                put(out, RETIRED, &[members.len() as u64]);
                members
                    .iter()
                    .for_each(|node| varint::put(out, u64::from(*node)));
                varint::put(out, u64::from(*node));
                varint::put(out, u64::from(*boot));
            }
        }
    }

    /// Takes the first statement off; `None` if there is no whole one of a kind that is known.
    pub(crate) fn decode(input: &mut &[u8]) -> Option<Self> {
        let kind = *varint::take(input, 1)?.first()?;
        Some(match kind {
            LOG => {
                let log = LogId(varint::get(input)?);
                Self::Log(log, members(input)?)
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
            EMPTY => Self::Empty(LogId(varint::get(input)?), Intervals::decode(input)?),
            RETIRED => Self::Retired(members(input)?, number(input)?, number(input)?),
            _ => return None,
        })
    }
}

fn members(input: &mut &[u8]) -> Option<Members> {
    let count = varint::get(input)?;
    let members: Option<Vec<u32>> = (0..count).map(|_| number(input)).collect();
    members.map(Arc::from)
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
    /// What of that there is nothing to.
    pub empty: Intervals,
}

impl Default for HeldLog {
    fn default() -> Self {
        Self {
            members: Arc::new([]),
            sequences: Intervals::default(),
            empty: Intervals::default(),
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
    /// By group and origin, the boot up to which its logs are forgotten.
    pub retired: BTreeMap<Members, BTreeMap<u32, u32>>,
}

impl Held {
    /// Whether there is nothing to be known.
    pub fn is_empty(&self) -> bool {
        self.logs.is_empty()
            && self.fences.is_empty()
            && self.owed.is_empty()
            && self.retired.is_empty()
    }

    /// Whether a log of which ids were held is forgotten: then everybody whom it was for holds all of it.
    pub fn is_forgotten(&self, log: LogId) -> bool {
        !self.logs.contains_key(&log)
    }

    /// Whether everybody whom a log was for is known to hold all of it: what comes of it late is nothing new.
    pub fn is_retired(&self, log: LogId, members: &Members) -> bool {
        let retired = self.retired.get(members);
        let upto = retired.and_then(|retired| retired.get(&log.node()));
        upto.is_some_and(|boot| log.boot() <= *boot)
    }

    /// All that is held, but for what there is nothing to.
    pub(crate) fn ids(&self) -> IdSet {
        let mut ids = IdSet::default();
        for (id, log) in &self.logs {
            ids.insert_all(*id, &log.sequences.minus(&log.empty));
        }
        ids
    }

    /// Those of these ids that there is nothing to.
    pub fn empty_of(&self, ids: &IdSet) -> IdSet {
        let mut empty = IdSet::default();
        for (id, sequences) in ids.logs() {
            if let Some(log) = self.logs.get(&id) {
                empty.insert_all(id, &log.empty.both(sequences));
            }
        }
        empty
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
            Statement::Empty(log, sequences) => {
                let log = self.logs.entry(*log).or_default();
                log.sequences.union(sequences);
                log.empty.union(sequences);
            }
            Statement::Retired(members, node, boot) => self.retire(members, *node, *boot),
        }
    }

    fn retire(&mut self, members: &Members, node: u32, boot: u32) {
        let retired = self.retired.entry(members.clone()).or_default();
        let upto = retired.entry(node).or_default();
        *upto = (*upto).max(boot);
        let upto = *upto;
        let is_gone =
            |id: LogId, of: &Members| id.node() == node && id.boot() <= upto && of == members;
        let logs = self
            .logs
            .iter()
            .filter(|(id, log)| is_gone(**id, &log.members));
        let gone: Vec<LogId> = logs.map(|(id, _)| *id).collect();
        for log in gone {
            self.logs.remove(&log);
            // Whoever lacked some of it has it by now.
            self.owed.values_mut().for_each(|owed| owed.forget(log));
        }
        self.owed.retain(|_, owed| !owed.is_empty());
    }

    /// The statements that make it.
    fn statements(&self) -> impl Iterator<Item = Statement> + '_ {
        let logs = self.logs.iter().flat_map(|(id, log)| {
            let members = Statement::Log(*id, log.members.clone());
            let empty = Statement::Empty(*id, log.empty.clone());
            let empty = (!log.empty.is_empty()).then_some(empty);
            let held = Statement::Held(*id, log.sequences.clone());
            [members, held].into_iter().chain(empty)
        });
        let fences = self.fences.iter();
        let fences = fences.map(|(node, boot)| Statement::Fence(*node, *boot));
        let owed = self.owed.iter().flat_map(|(node, owed)| {
            let logs = owed.logs();
            logs.map(|(log, sequences)| Statement::Owed(*node, log, sequences.clone()))
        });
        let retired = self.retired.iter().flat_map(|(members, retired)| {
            let nodes = retired.iter();
            nodes.map(|(node, boot)| Statement::Retired(members.clone(), *node, *boot))
        });
        logs.chain(fences).chain(owed).chain(retired)
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

    #[test]
    fn what_is_retired_is_forgotten_and_stays_so() {
        let log = |boot, number| LogId::new(3, boot, number).expect("small numbers");
        let (group, other): (Members, Members) = (Arc::new([1, 2, 3]), Arc::new([1, 3]));
        let mut held = Held::default();
        for (log, members) in [
            (log(5, 0), &group),
            (log(6, 0), &group),
            (log(5, 1), &other),
        ] {
            held.take(&Statement::Log(log, members.clone()));
            held.take(&Statement::Held(log, Intervals::run(1, 9)));
            held.take(&Statement::Empty(log, Intervals::run(10, 11)));
            held.take(&Statement::Owed(2, log, Intervals::run(4, 4)));
        }
        let mut wanted = IdSet::default();
        wanted.insert_interval(log(6, 0), 9, 10);
        assert_eq!(held.empty_of(&wanted).count(), 1);
        held.take(&Statement::Retired(group.clone(), 3, 5));
        let mut bytes = Vec::new();
        held.encode(&mut bytes);
        let held = Held::decode(&bytes).expect("what was encoded");
        assert!(held.is_forgotten(log(5, 0)));
        assert!(!held.is_forgotten(log(6, 0)), "of a later boot");
        assert!(!held.is_forgotten(log(5, 1)), "of another group");
        assert_eq!(held.owed[&2].count(), 2);
        assert_eq!(held.retired[&group][&3], 5);
    }
}
