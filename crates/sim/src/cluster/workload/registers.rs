//! Registers: what a quorum acknowledged, a quorum reads; of two writes the later stands.

use super::{Check, Ended, Question, Rows, Workload, number_in, of_all, stamped};
use crate::node::machine::Asking;
use crate::random::Rng;
use model::error::Consistency;
use std::collections::{BTreeMap, BTreeSet};

const KEYS: u64 = 8;

#[derive(Debug, Clone, Copy)]
enum Request {
    /// Whether its acknowledgement promises that quorums see it.
    Write { key: u64, strong: bool },
    /// What it must see at least, if it is a quorum's.
    Read { key: u64, floor: Option<u64> },
}

/// What was asked and told.
#[derive(Debug, Default)]
pub(super) struct Registers {
    flying: BTreeMap<u64, Request>,
    /// Values that may be there, by key.
    asked: BTreeMap<u64, BTreeSet<u64>>,
    /// The latest value that every quorum has a replica of, by key.
    floor: BTreeMap<u64, u64>,
}

impl Registers {
    fn floor(&self, key: u64) -> u64 {
        self.floor.get(&key).copied().unwrap_or(0)
    }

    fn raise(&mut self, key: u64, value: u64) {
        let floor = self.floor.entry(key).or_default();
        *floor = (*floor).max(value);
    }

    /// The value that was read, if it is one that may be there.
    fn value(&self, key: u64, rows: &Rows) -> Result<u64, String> {
        let Some(row) = rows.first() else {
            return Ok(0);
        };
        let value = number_in(row.get(1))?;
        let known = self
            .asked
            .get(&key)
            .is_some_and(|asked| asked.contains(&value));
        known
            .then_some(value)
            .ok_or_else(|| format!("register {key} is {value}, which nobody wrote"))
    }
}

fn select(key: u64) -> String {
    format!("SELECT k, v FROM ks.registers WHERE k = {key}")
}

impl Workload for Registers {
    fn prepare(&self) -> Vec<String> {
        vec!["CREATE TABLE ks.registers (k bigint PRIMARY KEY, v bigint)".to_owned()]
    }

    fn next(&mut self, number: u64, rng: &mut Rng) -> Asking {
        use Consistency::{All, LocalOne, LocalQuorum, One, Quorum, Two};
        let key = rng.below(KEYS);
        let level = *rng.pick(&[Quorum, Quorum, Quorum, LocalQuorum, Two, All, One, LocalOne]);
        // All nodes of this cluster are in one data centre.
        let strong = !matches!(level, One | LocalOne);
        if rng.chance(50) {
            self.flying.insert(number, Request::Write { key, strong });
            self.asked.entry(key).or_default().insert(number);
            let text = format!("UPDATE ks.registers SET v = {number} WHERE k = {key}");
            return stamped(number, level, text);
        }
        let floor = strong.then(|| self.floor(key));
        self.flying.insert(number, Request::Read { key, floor });
        Asking::new(level, select(key))
    }

    fn ended(&mut self, number: u64, ended: Ended) -> Result<Option<Asking>, String> {
        let request = self.flying.remove(&number);
        match (request, ended) {
            (Some(Request::Write { key, strong: true }), Ended::Done) => self.raise(key, number),
            (Some(Request::Read { key, floor }), Ended::Rows(rows, _)) => {
                let value = self.value(key, &rows)?;
                if floor.is_some_and(|floor| value < floor) {
                    let floor = floor.unwrap_or_default();
                    return Err(format!(
                        "a stale read: request {number} read {value} in register {key}, after {floor} was acknowledged"
                    ));
                }
            }
            _ => {}
        }
        Ok(None)
    }

    fn questions(&self) -> Vec<Question> {
        (0..KEYS).map(|key| of_all(select(key))).collect()
    }

    fn answered(&mut self, question: usize, rows: &Rows) -> Check {
        let key = question as u64;
        let (value, floor) = (self.value(key, rows)?, self.floor(key));
        if value < floor {
            return Err(format!(
                "a lost write: register {key} is {value} after all, and {floor} was acknowledged"
            ));
        }
        Ok(())
    }

    fn compared(&self) -> Vec<String> {
        let text = |key| format!("SELECT k, v, writetime(v) FROM ks.registers WHERE k = {key}");
        (0..KEYS).map(text).collect()
    }
}
