//! Counters: an acknowledged increment counts once, one of open fate once or not at all.

use super::{Check, Ended, Question, Rows, Workload, number_in, of_all};
use crate::node::machine::Asking;
use crate::random::Rng;
use model::error::Consistency;
use std::collections::BTreeMap;

const KEYS: u64 = 4;

#[derive(Debug, Clone, Copy)]
enum Request {
    Count {
        key: u64,
    },
    /// Increments that were acknowledged when it was asked.
    Read {
        key: u64,
        acknowledged: u64,
    },
}

/// Increments, by key.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    acknowledged: u64,
    attempted: u64,
}

/// What was asked and told.
#[derive(Debug, Default)]
pub(super) struct Counters {
    flying: BTreeMap<u64, Request>,
    counts: BTreeMap<u64, Count>,
}

impl Counters {
    fn count(&mut self, key: u64) -> &mut Count {
        self.counts.entry(key).or_default()
    }

    fn compare(&mut self, key: u64, acknowledged: u64, rows: &Rows) -> Check {
        let attempted = self.count(key).attempted;
        let value = match rows.first() {
            Some(row) => number_in(row.get(1))?,
            None => 0,
        };
        if (acknowledged..=attempted).contains(&value) {
            return Ok(());
        }
        Err(format!(
            "counter {key} is {value}; {acknowledged} increments of {attempted} were acknowledged"
        ))
    }
}

fn select(key: u64) -> String {
    format!("SELECT k, c FROM ks.counters WHERE k = {key}")
}

impl Workload for Counters {
    fn prepare(&self) -> Vec<String> {
        vec!["CREATE TABLE ks.counters (k bigint PRIMARY KEY, c counter)".to_owned()]
    }

    fn next(&mut self, number: u64, rng: &mut Rng) -> Asking {
        let key = rng.below(KEYS);
        if rng.chance(60) {
            self.count(key).attempted += 1;
            self.flying.insert(number, Request::Count { key });
            let text = format!("UPDATE ks.counters SET c = c + 1 WHERE k = {key}");
            return Asking::new(Consistency::Quorum, text);
        }
        let acknowledged = self.count(key).acknowledged;
        let request = Request::Read { key, acknowledged };
        self.flying.insert(number, request);
        Asking::new(Consistency::Quorum, select(key))
    }

    fn ended(&mut self, number: u64, ended: Ended) -> Result<Option<Asking>, String> {
        match (self.flying.remove(&number), ended) {
            (Some(Request::Count { key }), Ended::Done) => self.count(key).acknowledged += 1,
            (Some(Request::Read { key, acknowledged }), Ended::Rows(rows, _)) => {
                self.compare(key, acknowledged, &rows)?;
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
        let acknowledged = self.count(key).acknowledged;
        self.compare(key, acknowledged, rows)
    }

    fn compared(&self) -> Vec<String> {
        (0..KEYS).map(select).collect()
    }
}
