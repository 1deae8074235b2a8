//! A mutation: the change of one partition key across tables of one keyspace, Cassandra's unit of atomicity.
//!
//! It is built structured ([`Mutation`]) and lives on as bytes, which the commit log stores, shards pass on and
//! memtables apply from ([`MutationView`]), each row's bytes unchanged all the way (`docs/formats/mutation.md`):
//!
//! ```text
//! mutation := version:u8=1 token:i64be key:bytes tables:varint table*
//! table    := id:16 bytes body:bytes
//! body     := flags:u8 [deletion] [static row:bytes] ranges:varint range* rows:varint (clustering:bytes row:bytes)*
//! ```
//! `bytes` is a varint length and that many bytes. Rows stand in ascending clustering order, ranges disjoint.

use crate::clustering::Slice;
use crate::key::{DecoratedKey, Token};
use crate::merge;
use crate::row::{Deletion, Row};
use crate::schema::TableId;
use crate::tombstone::{RangeTombstone, RangeTombstones};
use crate::varint;

const VERSION: u8 = 1;
const HAS_DELETION: u8 = 1;
const HAS_STATIC: u8 = 2;

/// What changes in one partition of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartitionUpdate {
    /// Deletion of the whole partition.
    pub deletion: Option<Deletion>,
    /// The static row's bytes.
    pub static_row: Option<Vec<u8>>,
    /// Deleted ranges of rows.
    pub ranges: RangeTombstones,
    /// Clustering keys and row bytes, ascending, no key twice.
    rows: Vec<(Vec<u8>, Vec<u8>)>,
}

impl PartitionUpdate {
    /// Deletes the whole partition.
    pub fn delete(&mut self, deletion: Deletion) {
        self.deletion = Some(self.deletion.map_or(deletion, |own| own.max(deletion)));
    }

    /// Adds a change of the static row, merged with what is there.
    pub fn add_static(&mut self, row: Vec<u8>) {
        match &mut self.static_row {
            Some(own) => merge_into(own, &row),
            none => *none = Some(row),
        }
    }

    /// Adds a change of a row, merged with what is there.
    pub fn add_row(&mut self, clustering: Vec<u8>, row: Vec<u8>) {
        match self.rows.last() {
            Some((last, _)) if *last >= clustering => {
                match self.rows.binary_search_by(|(key, _)| key.cmp(&clustering)) {
                    Ok(index) => merge_into(&mut self.rows[index].1, &row),
                    Err(index) => self.rows.insert(index, (clustering, row)),
                }
            }
            _ => self.rows.push((clustering, row)),
        }
    }

    /// The rows, ascending.
    pub fn rows(&self) -> &[(Vec<u8>, Vec<u8>)] {
        &self.rows
    }

    /// Adds everything `other` changes.
    pub fn merge(&mut self, other: Self) {
        if let Some(deletion) = other.deletion {
            self.delete(deletion);
        }
        if let Some(row) = other.static_row {
            self.add_static(row);
        }
        for piece in other.ranges.pieces() {
            self.ranges.add(piece.slice.clone(), piece.deletion);
        }
        other
            .rows
            .into_iter()
            .for_each(|(key, row)| self.add_row(key, row));
    }

    /// Bytes that [`Self::encode`] appends, at most.
    fn encoded_bound(&self) -> usize {
        const PREFIX: usize = varint::MAX_BYTES;
        let row = |(key, row): &(Vec<u8>, Vec<u8>)| key.len() + row.len() + 2 * PREFIX;
        let range =
            |piece: &RangeTombstone| piece.slice.start.len() + piece.slice.end.len() + 4 * PREFIX;
        let static_row = self.static_row.as_ref().map_or(0, Vec::len);
        let rows: usize = self.rows.iter().map(row).sum();
        let ranges: usize = self.ranges.pieces().iter().map(range).sum();
        1 + 5 * PREFIX + static_row + rows + ranges
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(
            u8::from(self.deletion.is_some()) * HAS_DELETION
                | u8::from(self.static_row.is_some()) * HAS_STATIC,
        );
        if let Some(deletion) = self.deletion {
            put_deletion(out, deletion);
        }
        if let Some(row) = &self.static_row {
            varint::put_bytes(out, row);
        }
        varint::put(out, self.ranges.pieces().len() as u64);
        for piece in self.ranges.pieces() {
            put_range(out, &piece.slice, piece.deletion);
        }
        varint::put(out, self.rows.len() as u64);
        for (key, row) in &self.rows {
            varint::put_bytes(out, key);
            varint::put_bytes(out, row);
        }
    }
}

fn merge_into(own: &mut Vec<u8>, row: &[u8]) {
    let mut merged = Vec::with_capacity(own.len() + row.len());
    merge::rows(own, row, &mut merged);
    *own = merged;
}

/// What [`put_deletion`] makes of [`Deletion::NONE`], which nearly every partition of an answer has: the smallest number
/// is the longest.
const NO_DELETION: [u8; 2 * varint::MAX_BYTES] = {
    let mut bytes = [0xff; 2 * varint::MAX_BYTES];
    bytes[varint::MAX_BYTES - 1] = 1;
    bytes[2 * varint::MAX_BYTES - 1] = 1;
    bytes
};

/// Appends a deletion: timestamp and local time, both signed varints.
pub fn put_deletion(out: &mut Vec<u8>, deletion: Deletion) {
    if deletion == Deletion::NONE {
        return out.extend_from_slice(&NO_DELETION);
    }
    varint::put_signed(out, deletion.timestamp);
    varint::put_signed(out, deletion.local_seconds);
}

/// Reads what [`put_deletion`] wrote.
pub fn get_deletion(input: &mut &[u8]) -> Option<Deletion> {
    if let Some(rest) = input.strip_prefix(&NO_DELETION) {
        *input = rest;
        return Some(Deletion::NONE);
    }
    Some(Deletion {
        timestamp: varint::get_signed(input)?,
        local_seconds: varint::get_signed(input)?,
    })
}

/// Appends a range tombstone: start, end, deletion.
pub fn put_range(out: &mut Vec<u8>, slice: &Slice, deletion: Deletion) {
    varint::put_bytes(out, &slice.start);
    varint::put_bytes(out, &slice.end);
    put_deletion(out, deletion);
}

/// Reads what [`put_range`] wrote, borrowing the bounds.
pub fn get_range<'a>(input: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8], Deletion)> {
    Some((
        varint::get_bytes(input)?,
        varint::get_bytes(input)?,
        get_deletion(input)?,
    ))
}

/// The change of one partition key, being built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutation {
    /// The partition key all updates share.
    pub key: DecoratedKey,
    updates: Vec<(TableId, PartitionUpdate)>,
}

impl Mutation {
    /// A mutation that changes nothing yet.
    pub fn new(key: DecoratedKey) -> Self {
        Self {
            key,
            updates: Vec::new(),
        }
    }

    /// The update of a table, made if there is none yet.
    pub fn update(&mut self, table: TableId) -> &mut PartitionUpdate {
        let index = self
            .updates
            .iter()
            .position(|(id, _)| *id == table)
            .unwrap_or_else(|| {
                self.updates.push((table, PartitionUpdate::default()));
                self.updates.len() - 1
            });
        &mut self.updates[index].1
    }

    /// The updates by table.
    pub fn updates(&self) -> &[(TableId, PartitionUpdate)] {
        &self.updates
    }

    /// Adds everything `other`, of the same key, changes.
    pub fn merge(&mut self, other: Self) {
        assert_eq!(self.key, other.key, "mutations merge by key");
        for (table, update) in other.updates {
            self.update(table).merge(update);
        }
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let bounds = self
            .updates
            .iter()
            .map(|(_, update)| update.encoded_bound());
        let (all, largest) = bounds.fold((0, 0), |(all, largest), bound| {
            (all + bound + 16 + varint::MAX_BYTES, bound.max(largest))
        });
        let head = 9 + 2 * varint::MAX_BYTES + self.key.key.len();
        let mut out = Vec::with_capacity(head + all);
        put_head(&mut out, self.key.token, &self.key.key, self.updates.len());
        let mut body = Vec::with_capacity(largest);
        for (table, update) in &self.updates {
            out.extend_from_slice(table.0.as_bytes());
            body.clear();
            update.encode(&mut body);
            varint::put_bytes(&mut out, &body);
        }
        out
    }
}

fn put_head(out: &mut Vec<u8>, token: Token, key: &[u8], tables: usize) {
    out.push(VERSION);
    out.extend_from_slice(&token.0.to_be_bytes());
    varint::put_bytes(out, key);
    varint::put(out, tables as u64);
}

/// A mutation's bytes, its head decoded.
#[derive(Debug, Clone, Copy)]
pub struct MutationView<'a> {
    /// Token of the key.
    pub token: Token,
    /// The partition key.
    pub key: &'a [u8],
    count: u64,
    rest: &'a [u8],
}

impl<'a> MutationView<'a> {
    /// Reads the head; `None` if the bytes are no mutation of a version we know.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (&version, mut rest) = bytes.split_first()?;
        if version != VERSION {
            return None;
        }
        let token = Token(i64::from_be_bytes(
            varint::take(&mut rest, 8)?.try_into().ok()?,
        ));
        let key = varint::get_bytes(&mut rest)?;
        let count = varint::get(&mut rest)?;
        Some(Self {
            token,
            key,
            count,
            rest,
        })
    }

    /// The updates by table.
    pub fn updates(&self) -> impl Iterator<Item = (TableId, UpdateView<'a>)> + use<'a> {
        let mut rest = self.rest;
        (0..self.count).map_while(move |_| {
            let id = uuid::Uuid::from_slice(varint::take(&mut rest, 16)?).ok()?;
            Some((
                TableId(id),
                UpdateView::parse(varint::get_bytes(&mut rest)?)?,
            ))
        })
    }

    /// The mutation without the updates of the tables that `keep` refuses; `None` if nothing is left of it, or the
    /// bytes are no mutation.
    pub fn retain(bytes: &'a [u8], mut keep: impl FnMut(TableId) -> bool) -> Option<Vec<u8>> {
        let view = Self::parse(bytes)?;
        let mut kept = Vec::new();
        let mut rest = view.rest;
        for _ in 0..view.count {
            let id = TableId(uuid::Uuid::from_slice(varint::take(&mut rest, 16)?).ok()?);
            let body = varint::get_bytes(&mut rest)?;
            if keep(id) {
                kept.push((id, body));
            }
        }
        if kept.is_empty() {
            return None;
        }
        let mut out = Vec::with_capacity(bytes.len());
        put_head(&mut out, view.token, view.key, kept.len());
        for (id, body) in kept {
            out.extend_from_slice(id.0.as_bytes());
            varint::put_bytes(&mut out, body);
        }
        Some(out)
    }

    /// Whether all of the bytes are one well-formed mutation: for those that came from outside.
    pub fn verify(bytes: &'a [u8]) -> bool {
        let Some(view) = Self::parse(bytes) else {
            return false;
        };
        let mut count = 0;
        for (_, update) in view.updates() {
            count += 1;
            if !update.verify() {
                return false;
            }
        }
        count == view.count
    }
}

/// The update of one table, its head decoded.
#[derive(Debug, Clone, Copy)]
pub struct UpdateView<'a> {
    /// Deletion of the whole partition.
    pub deletion: Option<Deletion>,
    /// The static row's bytes.
    pub static_row: Option<&'a [u8]>,
    ranges: u64,
    rest: &'a [u8],
}

impl<'a> UpdateView<'a> {
    fn parse(body: &'a [u8]) -> Option<Self> {
        let (&flags, mut rest) = body.split_first()?;
        let deletion = if flags & HAS_DELETION != 0 {
            Some(get_deletion(&mut rest)?)
        } else {
            None
        };
        let static_row = if flags & HAS_STATIC != 0 {
            Some(varint::get_bytes(&mut rest)?)
        } else {
            None
        };
        let ranges = varint::get(&mut rest)?;
        Some(Self {
            deletion,
            static_row,
            ranges,
            rest,
        })
    }

    /// The deleted ranges: start, end, deletion.
    pub fn ranges(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8], Deletion)> + use<'a> {
        let mut rest = self.rest;
        (0..self.ranges).map_while(move |_| get_range(&mut rest))
    }

    /// The rows: clustering key and row bytes.
    pub fn rows(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut rest = self.rest;
        let whole = (0..self.ranges).all(|_| get_range(&mut rest).is_some());
        let count = if whole {
            varint::get(&mut rest).unwrap_or(0)
        } else {
            0
        };
        (0..count).map_while(move |_| {
            Some((varint::get_bytes(&mut rest)?, varint::get_bytes(&mut rest)?))
        })
    }

    fn verify(&self) -> bool {
        let mut rest = self.rest;
        let ranges = (0..self.ranges).all(|_| get_range(&mut rest).is_some());
        let Some(count) = varint::get(&mut rest).filter(|_| ranges) else {
            return false;
        };
        let mut previous: Option<&[u8]> = None;
        for _ in 0..count {
            let (Some(key), Some(row)) =
                (varint::get_bytes(&mut rest), varint::get_bytes(&mut rest))
            else {
                return false;
            };
            if previous.is_some_and(|before| before >= key) || !Row::verify(row) {
                return false;
            }
            previous = Some(key);
        }
        rest.is_empty() && self.static_row.is_none_or(Row::verify)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_deletion_is_two_numbers_like_any_other() {
        let mut numbers = Vec::new();
        varint::put_signed(&mut numbers, Deletion::NONE.timestamp);
        varint::put_signed(&mut numbers, Deletion::NONE.local_seconds);
        let mut deletions = Vec::new();
        put_deletion(&mut deletions, Deletion::NONE);
        assert_eq!(deletions, numbers);
        let other = Deletion {
            timestamp: i64::MIN,
            local_seconds: 7,
        };
        put_deletion(&mut deletions, other);
        let mut rest = deletions.as_slice();
        assert_eq!(get_deletion(&mut rest), Some(Deletion::NONE));
        assert_eq!(get_deletion(&mut rest), Some(other));
        assert!(rest.is_empty());
    }
}
