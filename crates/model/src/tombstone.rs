//! Range tombstones of one partition: disjoint, ordered pieces.
//!
//! A list keeps its pieces non-overlapping, each with the strongest deletion that was put over it, so that at any
//! clustering position at most one is open. Sources (memtable, SSTable) hold such lists; a reader takes the maximum of
//! what its sources have open.

use crate::clustering::Slice;
use crate::row::Deletion;

/// One deleted range of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeTombstone {
    /// The rows it covers.
    pub slice: Slice,
    /// Since when.
    pub deletion: Deletion,
}

/// Disjoint deleted ranges in ascending order. Adjacent pieces with equal deletions are one piece.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeTombstones {
    pieces: Vec<RangeTombstone>,
}

impl RangeTombstones {
    /// The pieces, ascending and disjoint.
    pub fn pieces(&self) -> &[RangeTombstone] {
        &self.pieces
    }

    /// Whether nothing is deleted.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The deletion over a row, [`Deletion::NONE`] if none is.
    pub fn covering(&self, key: &[u8]) -> Deletion {
        let index = self
            .pieces
            .partition_point(|piece| piece.slice.end.as_slice() <= key);
        self.pieces
            .get(index)
            .filter(|piece| piece.slice.start.as_slice() <= key)
            .map_or(Deletion::NONE, |piece| piece.deletion)
    }

    /// Puts `deletion` over `slice`; where something is deleted already the stronger deletion stays.
    pub fn add(&mut self, slice: Slice, deletion: Deletion) {
        if slice.is_empty() || deletion.is_none() {
            return;
        }
        let from = self
            .pieces
            .partition_point(|piece| piece.slice.end <= slice.start);
        let to = self
            .pieces
            .partition_point(|piece| piece.slice.start < slice.end);
        let mut renewed: Vec<RangeTombstone> = Vec::with_capacity(to - from + 2);
        let mut put = |start: &[u8], end: &[u8], deletion: Deletion| {
            if start >= end {
                return;
            }
            match renewed.last_mut() {
                Some(last) if last.slice.end == start && last.deletion == deletion => {
                    last.slice.end = end.to_vec()
                }
                _ => renewed.push(RangeTombstone {
                    slice: Slice {
                        start: start.to_vec(),
                        end: end.to_vec(),
                    },
                    deletion,
                }),
            }
        };
        let mut at = slice.start.clone();
        for piece in &self.pieces[from..to] {
            put(
                &piece.slice.start,
                piece.slice.end.as_slice().min(&slice.start),
                piece.deletion,
            );
            let (start, end) = (
                piece.slice.start.as_slice().max(&slice.start),
                piece.slice.end.as_slice().min(&slice.end),
            );
            put(&at, start, deletion);
            put(start, end, deletion.max(piece.deletion));
            at = end.to_vec();
            if piece.slice.end > slice.end {
                put(&slice.end, &piece.slice.end, piece.deletion);
            }
        }
        put(&at, &slice.end, deletion);
        self.pieces.splice(from..to, renewed);
        self.join_neighbours(from);
    }

    /// Joins equal, touching pieces around the splice at `from`.
    fn join_neighbours(&mut self, from: usize) {
        let mut index = from.max(1);
        while index < self.pieces.len() {
            let (before, after) = (&self.pieces[index - 1], &self.pieces[index]);
            if before.slice.end == after.slice.start && before.deletion == after.deletion {
                let joined = self.pieces.remove(index);
                self.pieces[index - 1].slice.end = joined.slice.end;
            } else if index > from + 1 && before.slice.end != after.slice.start {
                break;
            } else {
                index += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_as_a_deletion_per_position(adds in proptest::collection::vec((0u8..20, 0u8..20, 1i64..4), 0..12)) {
            let mut list = RangeTombstones::default();
            let mut model = [Deletion::NONE; 20];
            for (start, end, timestamp) in adds {
                let deletion = Deletion { timestamp, local_seconds: 0 };
                list.add(Slice { start: vec![start], end: vec![end] }, deletion);
                for covered in model.iter_mut().take(end as usize).skip(start as usize) {
                    *covered = covered.max(deletion);
                }
            }
            for (key, deletion) in model.iter().enumerate() {
                prop_assert_eq!(list.covering(&[key as u8]), *deletion);
            }
            for pair in list.pieces().windows(2) {
                prop_assert!(pair[0].slice.end <= pair[1].slice.start);
                prop_assert!(pair[0].slice.end < pair[1].slice.start || pair[0].deletion != pair[1].deletion);
            }
            prop_assert!(list.pieces().iter().all(|piece| !piece.slice.is_empty()));
        }
    }
}
