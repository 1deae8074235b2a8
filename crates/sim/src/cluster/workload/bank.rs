//! Transfers by conditional batches: whoever looks sees the same sum, and no account that nobody filled.

use super::{Check, Ended, Question, Rows, Workload, number_in};
use crate::node::machine::Asking;
use crate::random::Rng;
use model::error::Consistency;
use std::collections::BTreeMap;

const BANKS: u64 = 2;
const ACCOUNTS: u64 = 5;
const FILLED: u64 = 1_000;

/// The banks as they were last seen.
#[derive(Debug, Default)]
pub(super) struct Bank {
    /// Which bank a read is about.
    flying: BTreeMap<u64, u64>,
    seen: BTreeMap<u64, BTreeMap<u64, u64>>,
}

fn select(bank: u64) -> String {
    format!("SELECT a, balance FROM ks.bank WHERE b = {bank}")
}

impl Bank {
    fn look(&mut self, bank: u64, rows: &Rows) -> Check {
        let mut balances = BTreeMap::new();
        for row in rows {
            balances.insert(number_in(row.first())?, number_in(row.get(1))?);
        }
        let sum: u64 = balances.values().sum();
        if balances.len() as u64 != ACCOUNTS || sum != ACCOUNTS * FILLED {
            return Err(format!("bank {bank} has {sum} in {balances:?}"));
        }
        self.seen.insert(bank, balances);
        Ok(())
    }
}

impl Workload for Bank {
    fn prepare(&self) -> Vec<String> {
        let table = "CREATE TABLE ks.bank (b bigint, a bigint, balance bigint, PRIMARY KEY (b, a))";
        let accounts = (0..BANKS).flat_map(|b| (0..ACCOUNTS).map(move |a| (b, a)));
        let fill = |(b, a)| {
            format!("INSERT INTO ks.bank (b, a, balance) VALUES ({b}, {a}, {FILLED}) IF NOT EXISTS")
        };
        [table.to_owned()]
            .into_iter()
            .chain(accounts.map(fill))
            .collect()
    }

    fn next(&mut self, number: u64, rng: &mut Rng) -> Asking {
        let bank = rng.below(BANKS);
        let seen = self.seen.get(&bank).filter(|_| rng.chance(60));
        let Some(seen) = seen else {
            self.flying.insert(number, bank);
            return Asking::new(Consistency::Serial, select(bank));
        };
        let from = rng.below(ACCOUNTS);
        let to = (from + 1 + rng.below(ACCOUNTS - 1)) % ACCOUNTS;
        let (has, had) = (seen[&from], seen[&to]);
        let amount = rng.below(has + 1);
        let update = |account: u64, after: u64, before: u64| {
            format!(
                "UPDATE ks.bank SET balance = {after} WHERE b = {bank} AND a = {account} IF balance = {before};"
            )
        };
        let text = format!(
            "BEGIN BATCH {} {} APPLY BATCH",
            update(from, has - amount, has),
            update(to, had + amount, had)
        );
        Asking {
            serial: Some(Consistency::Serial),
            ..Asking::new(Consistency::Quorum, text)
        }
    }

    fn ended(&mut self, number: u64, ended: Ended) -> Result<Option<Asking>, String> {
        if let (Some(bank), Ended::Rows(rows, _)) = (self.flying.remove(&number), ended) {
            self.look(bank, &rows)?;
        }
        Ok(None)
    }

    fn questions(&self) -> Vec<Question> {
        let question = |bank| Question {
            asking: Asking::new(Consistency::Serial, select(bank)),
            everywhere: false,
        };
        (0..BANKS).map(question).collect()
    }

    fn answered(&mut self, question: usize, rows: &Rows) -> Check {
        self.look(question as u64, rows)
    }

    fn compared(&self) -> Vec<String> {
        (0..BANKS).map(select).collect()
    }
}
