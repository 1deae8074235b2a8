//! What clients do, and what they may expect of the answers: one promise a file.
//!
//! A workload is asked for statements one at a time, under numbers that grow, and told how each ended. It fails the run as soon as
//! an answer breaks its promise; after the faults it asks what it wants to know of what is there. Numbers serve as values and as
//! timestamps: of two writes the one that was asked for later wins, whatever the clocks of the nodes say.

mod bank;
mod batches;
mod collections;
mod conditional;
mod counters;
mod paging;
mod registers;
mod schema;
mod tombstones;

use crate::node::machine::Asking;
use crate::random::Rng;
use model::error::Consistency;

/// Longest time a client thinks, in nanoseconds.
const THINK_NANOS: u64 = 120_000_000;

/// Rows of cells.
pub(super) type Rows = Vec<Vec<Option<Vec<u8>>>>;
/// What is wrong, in words.
pub(super) type Check = Result<(), String>;

/// How a request ended.
#[derive(Debug, Clone)]
pub(super) enum Ended {
    /// It was carried out.
    Done,
    /// It was read, and there may be another page from here.
    Rows(Rows, Option<Vec<u8>>),
    /// Nobody knows what came of it: an error that leaves it open, or the coordinator is gone.
    Open,
}

/// Something that is asked after the faults.
pub(super) struct Question {
    /// What.
    pub asking: Asking,
    /// Of every node, whose answers must be the same; else of any.
    pub everywhere: bool,
}

/// What clients do, and what must be true of it.
pub(super) trait Workload {
    /// Statements that come first, one after the other.
    fn prepare(&self) -> Vec<String>;
    /// What a client asks for under a number.
    fn next(&mut self, number: u64, rng: &mut Rng) -> Asking;
    /// How that ended; the client may go on with another statement under the same number.
    fn ended(&mut self, number: u64, ended: Ended) -> Result<Option<Asking>, String>;
    /// How long what was begun may take to end by itself after the faults, in milliseconds.
    fn settle_ms(&self) -> u64 {
        0
    }
    /// Longest time a client thinks between two requests, in nanoseconds.
    fn think_nanos(&self) -> u64 {
        THINK_NANOS
    }
    /// What is asked after the faults.
    fn questions(&self) -> Vec<Question>;
    /// The answer to one of them, by its place.
    fn answered(&mut self, question: usize, rows: &Rows) -> Check;
    /// Statements about one partition each, which every replica must answer alike in the end.
    fn compared(&self) -> Vec<String>;
    /// Whether an error of this code is no failure of the run, beside those that any request may end with.
    fn may_end_with(&self, _code: i32) -> bool {
        false
    }
}

/// The workload of a name.
pub(super) fn of(kind: &str) -> Option<Box<dyn Workload>> {
    Some(match kind {
        "registers" => Box::new(registers::Registers::default()),
        "bank" => Box::new(bank::Bank::default()),
        "batches" => Box::new(batches::Batches::default()),
        "conditional" => Box::new(conditional::Conditional::default()),
        "collections" => Box::new(collections::Collections::default()),
        "counters" => Box::new(counters::Counters::default()),
        "paging" => Box::new(paging::Paging::default()),
        "schema" => Box::new(schema::Schemas::default()),
        "tombstones" => Box::new(tombstones::Tombstones::default()),
        _ => return None,
    })
}

/// A statement with its number as timestamp.
fn stamped(number: u64, level: Consistency, text: String) -> Asking {
    Asking {
        timestamp: Some(number as i64),
        ..Asking::new(level, text)
    }
}

/// A question to any node, at ALL: no replica is left out.
fn of_all(text: String) -> Question {
    Question {
        asking: Asking::new(Consistency::All, text),
        everywhere: false,
    }
}

/// The number in a cell of type `bigint` or `counter`.
fn number_in(cell: Option<&Option<Vec<u8>>>) -> Result<u64, String> {
    let bytes = cell.and_then(Option::as_ref).ok_or("a cell is null")?;
    let bytes: [u8; 8] = bytes
        .as_slice()
        .try_into()
        .map_err(|_| format!("a number of {} bytes", bytes.len()))?;
    Ok(i64::from_be_bytes(bytes) as u64)
}

/// The numbers in a cell of type `set<bigint>` or `list<bigint>`.
fn numbers_in(cell: Option<&Option<Vec<u8>>>) -> Result<Vec<u64>, String> {
    let Some(Some(bytes)) = cell else {
        return Ok(Vec::new());
    };
    // Count, then a length and a number each (specification, section 5.12).
    let elements = bytes.get(4..).unwrap_or_default().chunks(12);
    let number = |element: &[u8]| number_in(Some(&element.get(4..).map(<[u8]>::to_vec)));
    elements.map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_collections() {
        let mut cell = 2i32.to_be_bytes().to_vec();
        for number in [7i64, 300] {
            cell.extend_from_slice(&8i32.to_be_bytes());
            cell.extend_from_slice(&number.to_be_bytes());
        }
        assert_eq!(numbers_in(Some(&Some(cell))), Ok(vec![7, 300]));
        assert_eq!(numbers_in(Some(&None)), Ok(Vec::new()));
    }
}
