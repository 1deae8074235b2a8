//! Conditional writes: the values of a register are one chain, each made of the one before by one request, in the order of real time.

use super::{Check, Ended, Question, Rows, Workload, number_in};
use crate::node::machine::Asking;
use crate::random::Rng;
use model::error::Consistency;
use std::collections::BTreeMap;

const KEYS: u64 = 3;

/// A request and what is known of it. Moments are counted in events of this workload.
#[derive(Debug, Clone, Copy)]
struct Event {
    key: u64,
    invoked: u64,
    finished: Option<u64>,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// One value into another, as far as is known.
    Swap { from: u64, to: u64 },
    /// A read that is under way.
    Read,
    /// The register had this value.
    Saw(u64),
    /// It ended in a way that tells nothing.
    Nothing,
}

/// What was asked and told.
#[derive(Debug, Default)]
pub(super) struct Conditional {
    events: BTreeMap<u64, Event>,
    /// What each register was last seen to be.
    seen: BTreeMap<u64, u64>,
    moment: u64,
}

impl Conditional {
    fn now(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    /// What the answer to a request says.
    fn told(number: u64, event: &Event, rows: &Rows) -> Result<What, String> {
        let row = rows
            .first()
            .ok_or_else(|| format!("register {} is gone", event.key))?;
        let What::Swap { from, .. } = event.what else {
            return Ok(What::Saw(number_in(row.get(1))?));
        };
        if row.first() == Some(&Some(vec![1])) {
            return Ok(event.what);
        }
        let value = number_in(row.get(1))?;
        if value == from {
            return Err(format!(
                "swap {number} of register {} was not applied, and the value is the one it asked for: {from}",
                event.key
            ));
        }
        Ok(What::Saw(value))
    }

    /// Where each value stands in the chain that ends with the last one.
    fn places(&self, key: u64, last: u64) -> Result<BTreeMap<u64, u64>, String> {
        let of_key = self.events.values().filter(|event| event.key == key);
        let made: BTreeMap<u64, u64> = of_key
            .filter_map(|event| match event.what {
                What::Swap { from, to } => Some((to, from)),
                _ => None,
            })
            .collect();
        let mut chain = vec![last];
        let mut value = last;
        while value != 0 {
            value = *made
                .get(&value)
                .ok_or_else(|| format!("register {key} was {value}, which nobody made it"))?;
            chain.push(value);
        }
        let places = chain.into_iter().rev().zip(0..);
        Ok(places.collect())
    }

    /// Whether the requests about a register took effect one after the other, in the order of real time.
    fn check(&self, key: u64, last: u64) -> Check {
        let places = self.places(key, last)?;
        let mut placed = Vec::new();
        for (number, event) in self.events.iter().filter(|(_, event)| event.key == key) {
            let (value, must) = match event.what {
                What::Swap { to, .. } => (to, event.finished.is_some()),
                What::Saw(value) => (value, true),
                What::Read | What::Nothing => continue,
            };
            match places.get(&value) {
                Some(place) => placed.push((*number, *event, *place)),
                None if must => {
                    return Err(format!(
                        "request {number} told of {value} in register {key}, which is not among what led to {last}"
                    ));
                }
                None => {}
            }
        }
        for (number, event, place) in &placed {
            let writes = matches!(event.what, What::Swap { .. });
            let before = |other: &Event| other.finished.is_some_and(|at| at < event.invoked);
            let late = placed.iter().find(|(_, other, there)| {
                before(other) && (there > place || writes && there == place)
            });
            if let Some((other, ..)) = late {
                return Err(format!(
                    "register {key}: request {number} came after {other} and took effect before it"
                ));
            }
        }
        Ok(())
    }
}

fn select(key: u64) -> String {
    format!("SELECT k, v FROM ks.cas WHERE k = {key}")
}

impl Workload for Conditional {
    fn prepare(&self) -> Vec<String> {
        let table = "CREATE TABLE ks.cas (k bigint PRIMARY KEY, v bigint)".to_owned();
        let row = |key| format!("INSERT INTO ks.cas (k, v) VALUES ({key}, 0) IF NOT EXISTS");
        [table].into_iter().chain((0..KEYS).map(row)).collect()
    }

    fn next(&mut self, number: u64, rng: &mut Rng) -> Asking {
        let key = rng.below(KEYS);
        let swaps = rng.chance(65);
        let from = self.seen.get(&key).copied().unwrap_or(0);
        let what = if swaps {
            What::Swap { from, to: number }
        } else {
            What::Read
        };
        let event = Event {
            key,
            invoked: self.now(),
            finished: None,
            what,
        };
        self.events.insert(number, event);
        if !swaps {
            return Asking::new(Consistency::Serial, select(key));
        }
        let text = format!("UPDATE ks.cas SET v = {number} WHERE k = {key} IF v = {from}");
        Asking {
            serial: Some(*rng.pick(&[Consistency::Serial, Consistency::LocalSerial])),
            ..Asking::new(Consistency::Quorum, text)
        }
    }

    fn ended(&mut self, number: u64, ended: Ended) -> Result<Option<Asking>, String> {
        let now = self.now();
        let Some(event) = self.events.get_mut(&number) else {
            return Ok(None);
        };
        match ended {
            Ended::Rows(rows, _) => {
                event.what = Self::told(number, event, &rows)?;
                event.finished = Some(now);
            }
            // A swap may still take effect, whenever.
            Ended::Done | Ended::Open => {
                if event.what == What::Read {
                    event.what = What::Nothing;
                }
            }
        }
        if let (What::Saw(value) | What::Swap { to: value, .. }, Some(_)) =
            (event.what, event.finished)
        {
            self.seen.insert(event.key, value);
        }
        Ok(None)
    }

    fn questions(&self) -> Vec<Question> {
        let question = |key| Question {
            asking: Asking::new(Consistency::Serial, select(key)),
            everywhere: false,
        };
        (0..KEYS).map(question).collect()
    }

    fn answered(&mut self, question: usize, rows: &Rows) -> Check {
        let row = rows.first().ok_or("a register is gone")?;
        self.check(question as u64, number_in(row.get(1))?)
    }

    fn compared(&self) -> Vec<String> {
        (0..KEYS).map(select).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A register after these swaps: number, from, and when they were invoked and finished.
    fn after(swaps: &[(u64, u64, u64, Option<u64>)]) -> Conditional {
        let event = |(number, from, invoked, finished)| {
            let what = What::Swap { from, to: number };
            let event = Event {
                key: 0,
                invoked,
                finished,
                what,
            };
            (number, event)
        };
        Conditional {
            events: swaps.iter().copied().map(event).collect(),
            ..Conditional::default()
        }
    }

    #[test]
    fn a_chain_is_one_that_real_time_allows() {
        let chain = after(&[(1, 0, 1, Some(2)), (2, 1, 3, None), (3, 2, 5, Some(6))]);
        assert_eq!(chain.check(0, 3), Ok(()));
        // The second of two that were applied to the same value is lost.
        let forked = after(&[(1, 0, 1, Some(2)), (2, 0, 1, Some(3))]);
        assert!(forked.check(0, 2).is_err());
        // What was acknowledged first stands behind what began later.
        let late = after(&[(2, 1, 1, Some(2)), (1, 0, 3, Some(4))]);
        assert!(late.check(0, 2).is_err());
        // The last value is one that nobody wrote.
        assert!(chain.check(0, 9).is_err());
    }
}
