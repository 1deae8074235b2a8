//! What clients may expect, from what they asked for and what they were told.

use super::machine::Answer;
use super::request::{KEYS, Request};
use std::collections::{BTreeMap, BTreeSet};

/// A check's result: what is wrong, in words.
pub(super) type Check = Result<(), String>;

/// What is known of something that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It may be there or not.
    Unknown,
    /// It must be there.
    Acknowledged,
    /// It must not be there: its removal was acknowledged.
    Gone,
}

/// What clients were told.
#[derive(Debug, Default)]
pub(super) struct Promises {
    /// Whether the wall clock is set back between one start and the next.
    pub clock_steps: bool,
    pub rows: BTreeMap<u64, Fate>,
    /// Batches: parts and fate.
    pub batches: BTreeMap<u64, (u64, Fate)>,
    /// What each register held when it was last told.
    pub registers: [u64; KEYS as usize],
    /// Swaps that were acknowledged, by key and the value they replaced.
    pub swapped: BTreeSet<(u64, u64)>,
    /// Swaps that were asked for: key, from, to.
    pub asked: BTreeSet<(u64, u64, u64)>,
    /// Acknowledged and attempted increments.
    pub counters: [(u64, u64); KEYS as usize],
    /// Rows with keys that the node made.
    pub once: BTreeMap<u64, Fate>,
    /// The largest timestamp of each key that was acknowledged, and the largest that was asked for.
    pub stamps: [(u64, u64); KEYS as usize],
    /// Rows of the table that is truncated.
    pub wiped: BTreeMap<u64, Fate>,
    /// Truncations that were begun.
    pub truncations: u64,
    /// Whether one is under way, or was when the node last ended.
    pub truncating: bool,
    pub tables: BTreeMap<u64, Fate>,
    /// Columns by table and number.
    pub columns: BTreeMap<(u64, u64), Fate>,
    pub roles: BTreeMap<u64, Fate>,
}

impl Promises {
    /// How many truncations there were; `None` during one.
    pub(super) fn epoch(&self) -> Option<u64> {
        (!self.truncating).then_some(self.truncations)
    }

    /// A request is sent: from now on it may have happened.
    pub(super) fn asked(&mut self, request: &Request) {
        match request {
            Request::Swap { key, from, to } => {
                self.asked.insert((*key, *from, *to));
            }
            Request::Count(key) => self.counters[*key as usize].1 += 1,
            Request::Stamp { key, stamp } => {
                let asked = &mut self.stamps[*key as usize].1;
                *asked = (*asked).max(*stamp);
            }
            Request::Truncate(_) => {
                self.truncations += 1;
                self.truncating = true;
                for fate in self.wiped.values_mut().filter(|fate| **fate != Fate::Gone) {
                    *fate = Fate::Unknown;
                }
            }
            plain => self.note(plain, Fate::Unknown),
        }
    }

    /// It was acknowledged.
    pub(super) fn acknowledged(&mut self, request: &Request, answer: &Answer) -> Check {
        match request {
            Request::Swap { key, from, to } => self.swapped(*key, *from, *to, answer)?,
            Request::Count(key) => self.counters[*key as usize].0 += 1,
            Request::Stamp { key, stamp } => {
                let told = &mut self.stamps[*key as usize].0;
                *told = (*told).max(*stamp);
            }
            Request::Truncate(victims) => {
                self.truncating = false;
                for number in victims {
                    self.wiped.insert(*number, Fate::Gone);
                }
            }
            Request::Once { .. } if !is_applied(answer) => {
                return Err(format!(
                    "{request:?}: a new key was there already: {answer:?}"
                ));
            }
            // A truncation that was under way may have taken it, whenever it was acknowledged.
            Request::Wiped { epoch, .. } if epoch.is_none() || *epoch != self.epoch() => {}
            Request::DropTable(_) => self.note(request, Fate::Gone),
            Request::Read(number) => {
                let Answer::Rows(rows) = answer else {
                    return Err(format!("{request:?}: {answer:?}"));
                };
                if rows.len() != 1 || number_in(&rows[0][0])? != *number {
                    return Err(format!("row {number} was acknowledged, and reads {rows:?}"));
                }
            }
            plain => self.note(plain, Fate::Acknowledged),
        }
        Ok(())
    }

    /// What is known from now on of what a request makes or removes.
    fn note(&mut self, request: &Request, fate: Fate) {
        match request {
            Request::Insert(number) => drop(self.rows.insert(*number, fate)),
            Request::Batch { number, parts } => {
                self.batches.insert(*number, (*parts, fate));
            }
            Request::Once { number, .. } => drop(self.once.insert(*number, fate)),
            Request::Wiped { number, .. } => drop(self.wiped.insert(*number, fate)),
            Request::CreateTable(number) | Request::DropTable(number) => {
                self.tables.insert(*number, fate);
            }
            Request::AddColumn { table, column } => {
                // Nobody drops the table meanwhile.
                self.tables.insert(*table, fate);
                self.columns.insert((*table, *column), fate);
            }
            Request::CreateRole(number) => drop(self.roles.insert(*number, fate)),
            Request::Swap { .. }
            | Request::Count(_)
            | Request::Stamp { .. }
            | Request::Truncate(_)
            | Request::Shared { .. }
            | Request::Read(_) => {}
        }
    }

    fn swapped(&mut self, key: u64, from: u64, to: u64, answer: &Answer) -> Check {
        let Answer::Rows(rows) = answer else {
            return Err(format!("a swap of register {key}: {answer:?}"));
        };
        let applied = is_applied(answer);
        if applied && !self.swapped.insert((key, from)) {
            return Err(format!("register {key} was swapped from {from} twice"));
        }
        let swapped = rows[0].get(1).map_or(Ok(to), number_in)?;
        // Answers may be taken in another order than they were given; values only grow.
        let told = &mut self.registers[key as usize];
        *told = (*told).max(swapped);
        Ok(())
    }

    /// A truncation ended without an acknowledgement: it has happened or not, and is not under way any more.
    pub(super) fn truncation_ended(&mut self) {
        self.truncating = false;
    }
}

/// Whether a conditional statement was applied.
fn is_applied(answer: &Answer) -> bool {
    matches!(answer, Answer::Rows(rows) if rows[0][0].as_deref() == Some(&[1]))
}

/// A bigint.
pub(super) fn number_in(cell: &Option<Vec<u8>>) -> Result<u64, String> {
    let bytes = cell.as_deref().and_then(|bytes| bytes.try_into().ok());
    bytes
        .map(u64::from_be_bytes)
        .ok_or_else(|| format!("{cell:?} is no bigint"))
}
