//! Pages: a row that is there all the time is read exactly once, in its order, while others come and go around it.

use super::{Check, Ended, Question, Rows, Workload, number_in, of_all, stamped};
use crate::node::machine::Asking;
use crate::random::Rng;
use model::error::Consistency;
use std::collections::BTreeMap;

const PARTITIONS: u64 = 2;
/// Rows of a partition; those with even numbers stay.
const ROWS: u64 = 40;
const MAX_PAGE_ROWS: u64 = 9;

#[derive(Debug)]
enum Request {
    Change,
    /// What was read so far of a partition, in pages of so many rows.
    Read {
        partition: u64,
        page_rows: i32,
        read: Vec<u64>,
    },
}

/// Reads under way.
#[derive(Debug, Default)]
pub(super) struct Paging {
    flying: BTreeMap<u64, Request>,
}

fn select(partition: u64) -> String {
    format!("SELECT c FROM ks.pages WHERE p = {partition}")
}

fn page(partition: u64, rows: i32, state: Option<Vec<u8>>) -> Asking {
    Asking {
        page_rows: Some(rows),
        page_state: state,
        ..Asking::new(Consistency::Quorum, select(partition))
    }
}

/// The rows that stay are there, each once, and all are in their order.
fn check(partition: u64, read: &[u64]) -> Check {
    let disordered = |pair: &&[u64]| pair[0] >= pair[1];
    if let Some([before, after]) = read.windows(2).find(disordered) {
        return Err(format!(
            "partition {partition}: row {after} was read after {before}"
        ));
    }
    match (0..ROWS).step_by(2).find(|row| !read.contains(row)) {
        Some(row) => Err(format!(
            "partition {partition}: row {row} was there all the time, and not read: {read:?}"
        )),
        None => Ok(()),
    }
}

fn numbers(rows: &Rows) -> Result<Vec<u64>, String> {
    rows.iter().map(|row| number_in(row.first())).collect()
}

impl Workload for Paging {
    fn prepare(&self) -> Vec<String> {
        let table = "CREATE TABLE ks.pages (p bigint, c bigint, v bigint, PRIMARY KEY (p, c))";
        let rows = (0..PARTITIONS).flat_map(|p| (0..ROWS).step_by(2).map(move |c| (p, c)));
        let insert = |(p, c)| {
            format!("INSERT INTO ks.pages (p, c, v) VALUES ({p}, {c}, 0) USING TIMESTAMP 1")
        };
        [table.to_owned()]
            .into_iter()
            .chain(rows.map(insert))
            .collect()
    }

    fn next(&mut self, number: u64, rng: &mut Rng) -> Asking {
        let partition = rng.below(PARTITIONS);
        if rng.chance(40) {
            let page_rows = 1 + rng.below(MAX_PAGE_ROWS) as i32;
            let request = Request::Read {
                partition,
                page_rows,
                read: Vec::new(),
            };
            self.flying.insert(number, request);
            return page(partition, page_rows, None);
        }
        self.flying.insert(number, Request::Change);
        let row = rng.below(ROWS / 2) * 2 + 1;
        let text = match rng.below(10) {
            0..6 => format!("INSERT INTO ks.pages (p, c, v) VALUES ({partition}, {row}, {number})"),
            6..9 => format!("DELETE FROM ks.pages WHERE p = {partition} AND c = {row}"),
            // Between two that stay.
            _ => format!(
                "DELETE FROM ks.pages WHERE p = {partition} AND c > {} AND c < {}",
                row - 1,
                row + 1
            ),
        };
        stamped(number + 1, Consistency::Quorum, text)
    }

    fn ended(&mut self, number: u64, ended: Ended) -> Result<Option<Asking>, String> {
        let request = self.flying.remove(&number);
        let (
            Some(Request::Read {
                partition,
                page_rows,
                mut read,
            }),
            Ended::Rows(rows, next),
        ) = (request, ended)
        else {
            return Ok(None);
        };
        read.extend(numbers(&rows)?);
        if rows.len() > page_rows as usize {
            return Err(format!("a page of {page_rows} rows has {}", rows.len()));
        }
        if next.is_none() {
            check(partition, &read)?;
            return Ok(None);
        }
        let asking = page(partition, page_rows, next);
        let request = Request::Read {
            partition,
            page_rows,
            read,
        };
        self.flying.insert(number, request);
        Ok(Some(asking))
    }

    fn questions(&self) -> Vec<Question> {
        (0..PARTITIONS).map(|p| of_all(select(p))).collect()
    }

    fn answered(&mut self, question: usize, rows: &Rows) -> Check {
        check(question as u64, &numbers(rows)?)
    }

    fn compared(&self) -> Vec<String> {
        let text = |p| format!("SELECT c, v, writetime(v) FROM ks.pages WHERE p = {p}");
        (0..PARTITIONS).map(text).collect()
    }
}
