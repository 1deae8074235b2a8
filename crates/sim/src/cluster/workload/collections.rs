//! Sets and lists: an element that was added is there once, one that was taken out is not, whoever else adds at the time.

use super::{Check, Ended, Question, Rows, Workload, numbers_in, of_all, stamped};
use crate::node::machine::Asking;
use crate::random::Rng;
use model::error::Consistency;
use std::collections::{BTreeMap, BTreeSet};

const KEYS: u64 = 6;

#[derive(Debug, Clone)]
enum Request {
    Add {
        key: u64,
    },
    Remove {
        key: u64,
        element: u64,
    },
    Append {
        key: u64,
    },
    /// What must be there and what must not, as of when it was asked.
    Read {
        key: u64,
        known: Box<Contents>,
    },
}

/// What may be in one row.
#[derive(Debug, Clone, Default)]
struct Contents {
    asked: BTreeSet<u64>,
    /// Acknowledged elements of the set whose removal nobody has asked for.
    added: BTreeSet<u64>,
    /// Elements of the set whose removal was acknowledged.
    removed: BTreeSet<u64>,
    /// Acknowledged elements of the list.
    appended: BTreeSet<u64>,
}

/// What was asked and told, by key.
#[derive(Debug, Default)]
pub(super) struct Collections {
    flying: BTreeMap<u64, Request>,
    rows: BTreeMap<u64, Contents>,
}

impl Collections {
    fn row(&mut self, key: u64) -> &mut Contents {
        self.rows.entry(key).or_default()
    }

    /// Compares what was read with what was known when it was asked for, and with what is asked for by now.
    fn compare(&mut self, key: u64, known: &Contents, rows: &Rows) -> Check {
        let now = self.row(key);
        let row = rows.first().map(Vec::as_slice).unwrap_or_default();
        let (set, list) = (numbers_in(row.get(1))?, numbers_in(row.get(2))?);
        let elements: BTreeSet<u64> = set.iter().chain(&list).copied().collect();
        if let Some(element) = elements.iter().find(|element| !now.asked.contains(element)) {
            return Err(format!(
                "{element} is in row {key}, and nobody put it there"
            ));
        }
        if elements.len() != set.len() + list.len() {
            return Err(format!(
                "an element is in row {key} twice: {set:?}, {list:?}"
            ));
        }
        // What somebody has begun to remove meanwhile may be there or not.
        let gone = |element: &&u64| !elements.contains(element);
        let mut expected = known.added.intersection(&now.added);
        if let Some(element) = expected.find(gone) {
            return Err(format!("{element} was added to set {key}, and is gone"));
        }
        if let Some(element) = known.appended.iter().find(gone) {
            return Err(format!("{element} was appended to list {key}, and is gone"));
        }
        if let Some(element) = known.removed.intersection(&elements).next() {
            return Err(format!(
                "{element} was taken out of set {key}, and is there"
            ));
        }
        Ok(())
    }
}

fn select(key: u64) -> String {
    format!("SELECT k, s, l FROM ks.bags WHERE k = {key}")
}

impl Workload for Collections {
    fn prepare(&self) -> Vec<String> {
        vec![
            "CREATE TABLE ks.bags (k bigint PRIMARY KEY, s set<bigint>, l list<bigint>)".to_owned(),
        ]
    }

    fn next(&mut self, number: u64, rng: &mut Rng) -> Asking {
        let key = rng.below(KEYS);
        let level = *rng.pick(&[
            Consistency::Quorum,
            Consistency::Quorum,
            Consistency::LocalQuorum,
            Consistency::All,
        ]);
        let row = self.row(key);
        let known: Vec<u64> = row.added.iter().copied().collect();
        let (request, text) = match rng.below(100) {
            0..30 => {
                row.asked.insert(number);
                let text = format!("UPDATE ks.bags SET s = s + {{{number}}} WHERE k = {key}");
                (Request::Add { key }, text)
            }
            30..45 if !known.is_empty() => {
                let element = *rng.pick(&known);
                row.added.remove(&element);
                let text = format!("UPDATE ks.bags SET s = s - {{{element}}} WHERE k = {key}");
                (Request::Remove { key, element }, text)
            }
            45..60 => {
                row.asked.insert(number);
                let text = format!("UPDATE ks.bags SET l = l + [{number}] WHERE k = {key}");
                (Request::Append { key }, text)
            }
            _ => {
                let known = Box::new(row.clone());
                self.flying.insert(number, Request::Read { key, known });
                return Asking::new(level, select(key));
            }
        };
        self.flying.insert(number, request);
        stamped(number, level, text)
    }

    fn ended(&mut self, number: u64, ended: Ended) -> Result<Option<Asking>, String> {
        match (self.flying.remove(&number), ended) {
            (Some(Request::Add { key }), Ended::Done) => {
                self.row(key).added.insert(number);
            }
            (Some(Request::Remove { key, element }), Ended::Done) => {
                self.row(key).removed.insert(element);
            }
            (Some(Request::Append { key }), Ended::Done) => {
                self.row(key).appended.insert(number);
            }
            (Some(Request::Read { key, known }), Ended::Rows(rows, _)) => {
                self.compare(key, &known, &rows)?;
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
        let known = self.row(key).clone();
        self.compare(key, &known, rows)
    }

    fn compared(&self) -> Vec<String> {
        (0..KEYS).map(select).collect()
    }
}
