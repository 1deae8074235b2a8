//! Deletions: what was deleted stays so, what was written later is there, for rows, ranges of rows and whole partitions.

use super::{Check, Ended, Question, Rows, Workload, number_in, of_all, stamped};
use crate::node::machine::Asking;
use crate::random::Rng;
use model::error::Consistency;
use std::collections::BTreeMap;
use std::ops::Range;

const PARTITIONS: u64 = 4;
const ROWS: u64 = 12;

#[derive(Debug, Clone)]
enum Request {
    Insert {
        partition: u64,
        row: u64,
    },
    Delete {
        partition: u64,
        rows: Range<u64>,
    },
    /// What was acknowledged when it was asked.
    Read {
        partition: u64,
        known: Box<Partition>,
    },
}

/// Numbers of the latest requests about a row; 0 for none.
#[derive(Debug, Clone, Copy, Default)]
struct Row {
    inserted: u64,
    deleted: u64,
    /// Of all that were asked for.
    latest_deletion: u64,
}

type Partition = [Row; ROWS as usize];

/// What was asked and told.
#[derive(Debug, Default)]
pub(super) struct Tombstones {
    flying: BTreeMap<u64, Request>,
    partitions: BTreeMap<u64, Partition>,
    /// Inserts that were asked for: the row of each.
    asked: BTreeMap<u64, (u64, u64)>,
}

impl Tombstones {
    fn rows(&mut self, partition: u64, rows: Range<u64>) -> &mut [Row] {
        let all = self.partitions.entry(partition).or_default();
        &mut all[rows.start as usize..rows.end as usize]
    }

    fn compare(&mut self, partition: u64, known: &Partition, rows: &Rows) -> Check {
        let mut found: BTreeMap<u64, u64> = BTreeMap::new();
        for row in rows {
            let (row, value) = (number_in(row.first())?, number_in(row.get(1))?);
            if self.asked.get(&value) != Some(&(partition, row)) {
                return Err(format!(
                    "row {partition}/{row} is {value}, which nobody wrote"
                ));
            }
            if found.insert(row, value).is_some() {
                return Err(format!("row {partition}/{row} was read twice"));
            }
        }
        let now = *self.partitions.entry(partition).or_default();
        for (row, (known, now)) in known.iter().zip(&now).enumerate() {
            let value = found.get(&(row as u64)).copied().unwrap_or(0);
            if value > 0 && value < known.deleted {
                return Err(format!(
                    "row {partition}/{row} of {value} is back: deletion {} was acknowledged",
                    known.deleted
                ));
            }
            if value < known.inserted && now.latest_deletion < known.inserted {
                return Err(format!(
                    "row {partition}/{row} is {value}: insert {} was acknowledged, and nobody deleted it",
                    known.inserted
                ));
            }
        }
        Ok(())
    }
}

fn select(partition: u64) -> String {
    format!("SELECT c, v FROM ks.rows WHERE p = {partition}")
}

impl Workload for Tombstones {
    fn prepare(&self) -> Vec<String> {
        vec!["CREATE TABLE ks.rows (p bigint, c bigint, v bigint, PRIMARY KEY (p, c))".to_owned()]
    }

    fn next(&mut self, number: u64, rng: &mut Rng) -> Asking {
        use Consistency::{All, LocalQuorum, Quorum};
        let level = *rng.pick(&[Quorum, Quorum, LocalQuorum, All]);
        let (partition, row) = (rng.below(PARTITIONS), rng.below(ROWS));
        let (rows, text) = match rng.below(100) {
            0..45 => {
                self.flying
                    .insert(number, Request::Insert { partition, row });
                self.asked.insert(number, (partition, row));
                let text =
                    format!("INSERT INTO ks.rows (p, c, v) VALUES ({partition}, {row}, {number})");
                return stamped(number, level, text);
            }
            45..57 => {
                let text = format!("DELETE FROM ks.rows WHERE p = {partition} AND c = {row}");
                (row..row + 1, text)
            }
            57..64 => {
                let end = row + 1 + rng.below(ROWS - row);
                let text = format!(
                    "DELETE FROM ks.rows WHERE p = {partition} AND c >= {row} AND c < {end}"
                );
                (row..end, text)
            }
            64..67 => (
                0..ROWS,
                format!("DELETE FROM ks.rows WHERE p = {partition}"),
            ),
            _ => {
                let known = *self.partitions.entry(partition).or_default();
                let known = Box::new(known);
                self.flying
                    .insert(number, Request::Read { partition, known });
                return Asking::new(level, select(partition));
            }
        };
        for row in self.rows(partition, rows.clone()) {
            row.latest_deletion = number;
        }
        self.flying
            .insert(number, Request::Delete { partition, rows });
        stamped(number, level, text)
    }

    fn ended(&mut self, number: u64, ended: Ended) -> Result<Option<Asking>, String> {
        match (self.flying.remove(&number), ended) {
            (Some(Request::Insert { partition, row }), Ended::Done) => {
                for row in self.rows(partition, row..row + 1) {
                    row.inserted = row.inserted.max(number);
                }
            }
            (Some(Request::Delete { partition, rows }), Ended::Done) => {
                for row in self.rows(partition, rows) {
                    row.deleted = row.deleted.max(number);
                }
            }
            (Some(Request::Read { partition, known }), Ended::Rows(rows, _)) => {
                self.compare(partition, &known, &rows)?;
            }
            _ => {}
        }
        Ok(None)
    }

    fn questions(&self) -> Vec<Question> {
        let partitions = 0..PARTITIONS;
        partitions
            .map(|partition| of_all(select(partition)))
            .collect()
    }

    fn answered(&mut self, question: usize, rows: &Rows) -> Check {
        let partition = question as u64;
        let known = *self.partitions.entry(partition).or_default();
        self.compare(partition, &known, rows)
    }

    fn compared(&self) -> Vec<String> {
        let text = |p| format!("SELECT c, v, writetime(v) FROM ks.rows WHERE p = {p}");
        (0..PARTITIONS).map(text).collect()
    }
}
