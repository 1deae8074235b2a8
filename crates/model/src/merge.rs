//! How versions of the same row meet: the only place where they do.
//!
//! Merging is associative, commutative and idempotent (property-tested in `merge/tests.rs`), with the tie-breaks of
//! Cassandra 5.0: the later timestamp wins; at equal timestamps a tombstone wins over a value, an expiring cell over
//! one that does not expire, the later expiry over the earlier, the shorter TTL over the longer, and at last the greater
//! value. A merged row holds nothing that its own deletions cover.

pub mod counter;

use crate::row::{Cell, CellKind, Deletion, Liveness, Row, RowWriter};
use std::cmp::Ordering;

/// What the merge of two rows is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merged {
    /// The left one as it is.
    Left,
    /// The right one as it is.
    Right,
    /// Something of both.
    Both,
}

/// Appends the merge of two rows' bytes to `out`. Both must be rows that verify.
pub fn rows(left_bytes: &[u8], right_bytes: &[u8], out: &mut Vec<u8>) {
    match rows_unless_one(left_bytes, right_bytes, out) {
        Merged::Left => out.extend_from_slice(left_bytes),
        Merged::Right => out.extend_from_slice(right_bytes),
        Merged::Both => {}
    }
}

/// The same for who has both rows: where one of them is seen to be the merge, nothing is appended.
pub fn rows_unless_one(left_bytes: &[u8], right_bytes: &[u8], out: &mut Vec<u8>) -> Merged {
    let (Some(left), Some(right)) = (Row::parse(left_bytes), Row::parse(right_bytes)) else {
        unreachable!("rows are verified where they enter the process");
    };
    if supersedes(&right, &left) {
        return Merged::Right;
    }
    if supersedes(&left, &right) {
        return Merged::Left;
    }
    let deletion = left.deletion.max(right.deletion);
    let liveness = match (left.liveness, right.liveness) {
        (Some(one), Some(other)) => Some(stronger_liveness(one, other)),
        (one, other) => one.or(other),
    };
    let mut writer = RowWriter::new(out);
    head(
        &mut writer,
        liveness,
        deletion,
        left.original_clustering.max(right.original_clustering),
    );

    let (mut lefts, mut rights) = (left.cells().peekable(), right.cells().peekable());
    let mut cover = Cover::new(deletion);
    loop {
        let order = match (lefts.peek(), rights.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(other)) => one.compare_place(other),
        };
        match order {
            Ordering::Less => cover.write(&mut writer, &lefts.next().expect("peeked")),
            Ordering::Greater => cover.write(&mut writer, &rights.next().expect("peeked")),
            Ordering::Equal => {
                let (one, other) = (
                    lefts.next().expect("peeked"),
                    rights.next().expect("peeked"),
                );
                if one.kind == CellKind::Counter && other.kind == CellKind::Counter {
                    let value = counter::merge(one.value, other.value);
                    let timestamp = one.timestamp.max(other.timestamp);
                    cover.write(
                        &mut writer,
                        &Cell {
                            timestamp,
                            value: &value,
                            ..one
                        },
                    );
                } else {
                    cover.write(
                        &mut writer,
                        if stronger_cell(&one, &other) {
                            &one
                        } else {
                            &other
                        },
                    );
                }
            }
        }
    }
    Merged::Both
}

/// Whether a row alone is what merging it with another gives: so it is for most writes to a row that exists already,
/// and to see it is a fraction of what merging costs. `false` says nothing.
fn supersedes(newer: &Row<'_>, older: &Row<'_>) -> bool {
    let alive = match (newer.liveness, older.liveness) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(newer), Some(older)) => newer.timestamp > older.timestamp,
    };
    let plain = newer.deletion.is_none() && older.deletion.is_none();
    if !alive || !plain || newer.original_clustering < older.original_clustering {
        return false;
    }
    let is_plain = |cell: &Cell<'_>| cell.kind == CellKind::Live && cell.path.is_none();
    let mut cells = newer.cells();
    older.cells().all(|old| {
        let new = cells.find(|new| new.column >= old.column);
        new.is_some_and(|new| {
            new.column == old.column
                && new.timestamp > old.timestamp
                && is_plain(&new)
                && is_plain(&old)
        })
    })
}

/// Appends the part of a row that `deletion` (of its partition or of a range) leaves; returns whether anything is left.
pub fn uncovered(row: &[u8], deletion: Deletion, out: &mut Vec<u8>) -> bool {
    let row = Row::parse(row).expect("rows are verified where they enter the process");
    let mut writer = RowWriter::new(out);
    let own = if row.deletion.timestamp > deletion.timestamp {
        row.deletion
    } else {
        Deletion::NONE
    };
    let liveness = row
        .liveness
        .filter(|liveness| !deletion.covers(liveness.timestamp));
    head(&mut writer, liveness, own, row.original_clustering);
    let mut cover = Cover::new(deletion.max(row.deletion));
    row.cells().for_each(|cell| cover.write(&mut writer, &cell));
    !writer.is_empty()
}

fn head(
    writer: &mut RowWriter<'_>,
    liveness: Option<Liveness>,
    deletion: Deletion,
    original: Option<&[u8]>,
) {
    if let Some(liveness) =
        liveness.filter(|liveness| deletion.is_none() || !deletion.covers(liveness.timestamp))
    {
        writer.liveness(liveness);
    }
    if !deletion.is_none() {
        writer.deletion(deletion);
    }
    if let Some(original) = original {
        writer.original_clustering(original);
    }
}

/// What covers the cells being written: the row's deletion and the deletion of the collection at hand.
struct Cover {
    row: Deletion,
    collection: Option<(crate::row::ColumnId, i64)>,
}

impl Cover {
    fn new(row: Deletion) -> Self {
        Self {
            row,
            collection: None,
        }
    }

    fn write(&mut self, writer: &mut RowWriter<'_>, cell: &Cell<'_>) {
        if !self.row.is_none() && self.row.covers(cell.timestamp) {
            return;
        }
        if let CellKind::CollectionDeletion { .. } = cell.kind {
            self.collection = Some((cell.column, cell.timestamp));
        } else if self
            .collection
            .is_some_and(|(column, timestamp)| column == cell.column && cell.timestamp <= timestamp)
        {
            return;
        }
        writer.cell(cell);
    }
}

/// Cassandra's `LivenessInfo.supersedes`, with the TTL as a last tie-break so that the order is total.
fn stronger_liveness(one: Liveness, other: Liveness) -> Liveness {
    let rank = |liveness: &Liveness| {
        (
            liveness.timestamp,
            liveness.ttl != 0,
            liveness.expires,
            std::cmp::Reverse(liveness.ttl),
        )
    };
    if rank(&one) >= rank(&other) {
        one
    } else {
        other
    }
}

/// Whether `one` wins over `other` at the same place.
pub fn stronger_cell(one: &Cell<'_>, other: &Cell<'_>) -> bool {
    // A deleted counter stays deleted, whatever is counted later (Cassandra's `Cells.resolveCounter`): contexts only grow.
    match (one.kind, other.kind) {
        (CellKind::Tombstone { .. }, CellKind::Counter) => return true,
        (CellKind::Counter, CellKind::Tombstone { .. }) => return false,
        _ => {}
    }
    // Kind rank: a plain value loses to an expiring one, which loses to a tombstone; then the later local time.
    fn rank(cell: &Cell<'_>) -> (i64, u8, i64, std::cmp::Reverse<u32>) {
        let (kind, local, ttl) = match cell.kind {
            CellKind::Live => (0, 0, 0),
            CellKind::Counter => (1, 0, 0),
            CellKind::Expiring { ttl, expires } => (2, expires, ttl),
            CellKind::Tombstone { deleted_at } | CellKind::CollectionDeletion { deleted_at } => {
                (3, deleted_at, 0)
            }
        };
        (cell.timestamp, kind, local, std::cmp::Reverse(ttl))
    }
    match rank(one).cmp(&rank(other)) {
        Ordering::Equal => (one.value, one.original_path) >= (other.value, other.original_path),
        order => order == Ordering::Greater,
    }
}

/// What compaction and reads may forget.
#[derive(Debug, Clone, Copy)]
pub struct Purge {
    /// The second the reader or compaction takes as now: what expired by then is dead.
    pub now_seconds: i64,
    /// Tombstones made before this second may go (now less gc_grace_seconds).
    pub gc_before: i64,
    /// … if their timestamp is below this: nothing older can be hidden elsewhere.
    pub older_than: i64,
}

impl Purge {
    /// Whether a deletion may be forgotten.
    pub fn forgets(&self, deletion: Deletion) -> bool {
        deletion.local_seconds < self.gc_before && deletion.timestamp < self.older_than
    }
}

/// Appends the row with expired cells turned to tombstones and forgettable tombstones left out; returns whether
/// anything is left.
pub fn purged(row: &[u8], purge: &Purge, out: &mut Vec<u8>) -> bool {
    let row = Row::parse(row).expect("rows are verified where they enter the process");
    let mut writer = RowWriter::new(out);
    let liveness = row.liveness.filter(|liveness| {
        liveness.is_live(purge.now_seconds)
            || !purge.forgets(Deletion {
                timestamp: liveness.timestamp,
                local_seconds: liveness.expires,
            })
    });
    let deletion = if purge.forgets(row.deletion) {
        Deletion::NONE
    } else {
        row.deletion
    };
    head(&mut writer, liveness, deletion, row.original_clustering);
    for mut cell in row.cells() {
        if let CellKind::Expiring { ttl, expires } = cell.kind
            && expires <= purge.now_seconds
        {
            // As Cassandra does, the tombstone counts from when the cell was written, so gc_grace includes the TTL.
            cell.kind = CellKind::Tombstone {
                deleted_at: expires - i64::from(ttl),
            };
            cell.value = &[];
        }
        match cell.kind {
            CellKind::Tombstone { deleted_at } | CellKind::CollectionDeletion { deleted_at }
                if purge.forgets(Deletion {
                    timestamp: cell.timestamp,
                    local_seconds: deleted_at,
                }) => {}
            _ => writer.cell(&cell),
        }
    }
    !writer.is_empty()
}

#[cfg(test)]
mod tests;
