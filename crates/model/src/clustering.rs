//! Clustering keys and the ranges over them.
//!
//! A row's clustering key is the concatenation of its components' byte-comparable encodings; the key of a table
//! without clustering columns is empty. All ranges are half-open over those bytes: a prefix alone is below every row
//! that starts with it, a prefix and [`comparable::ABOVE`] is above them all. So an inclusive start and an exclusive
//! end are the prefix, an exclusive start and an inclusive end are the prefix and `ABOVE`.

use crate::comparable;
use crate::schema::Table;

/// A half-open range of clustering keys, `start <= key < end`, compared as bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slice {
    /// First key in the range, or the prefix of those.
    pub start: Vec<u8>,
    /// First bytes beyond the range.
    pub end: Vec<u8>,
}

impl Slice {
    /// Every row of a partition.
    pub fn all() -> Self {
        Self {
            start: Vec::new(),
            end: vec![comparable::ABOVE],
        }
    }

    /// The rows whose key starts with `prefix`; for a whole key, that row.
    pub fn prefix(prefix: &[u8]) -> Self {
        Self {
            start: prefix.to_vec(),
            end: above(prefix),
        }
    }

    /// Whether no key can be in the range.
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Whether `key` is in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.start.as_slice() <= key && key < self.end.as_slice()
    }
}

/// The bound above every key that starts with `prefix`.
pub fn above(prefix: &[u8]) -> Vec<u8> {
    let mut bound = Vec::with_capacity(prefix.len() + 1);
    bound.extend_from_slice(prefix);
    bound.push(comparable::ABOVE);
    bound
}

/// Encodes the first `values.len()` clustering components of `table`.
pub fn encode(table: &Table, values: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(values.iter().map(|value| value.len() + 3).sum());
    for (column, value) in table.clustering().zip(values) {
        comparable::encode(&column.ctype, value, column.is_descending(), &mut out);
    }
    out
}

/// Whether the values can be had back from their encoding alone.
pub fn is_exact(table: &Table, values: &[&[u8]]) -> bool {
    table
        .clustering()
        .zip(values)
        .all(|(column, value)| comparable::is_exact(&column.ctype, value))
}

/// The component values of a clustering key; `None` for corrupt bytes.
pub fn decode(table: &Table, key: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut rest = key;
    let values = table
        .clustering()
        .map(|column| comparable::decode(&column.ctype, &mut rest, column.is_descending()))
        .collect();
    if rest.is_empty() { values } else { None }
}
