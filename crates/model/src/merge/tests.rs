//! The laws of merging, on generated rows.

use super::*;
use crate::row::{ColumnId, NEVER};
use proptest::prelude::*;

/// A generated cell: place, timestamp, kind and value all from small ranges, so that everything collides.
fn cell() -> impl Strategy<Value = (u32, Option<u8>, i64, u8, i64, u8)> {
    (
        0u32..3,
        proptest::option::of(0u8..3),
        0i64..4,
        0u8..4,
        0i64..3,
        0u8..3,
    )
}

fn row() -> impl Strategy<Value = Vec<u8>> {
    let liveness = proptest::option::of((0i64..4, 0u32..3, 0i64..3));
    let deletion = proptest::option::of((0i64..3, 0i64..3));
    (liveness, deletion, proptest::collection::vec(cell(), 0..6))
        .prop_map(|(liveness, deletion, cells)| build(liveness, deletion, &cells))
}

fn build(
    liveness: Option<(i64, u32, i64)>,
    deletion: Option<(i64, i64)>,
    cells: &[(u32, Option<u8>, i64, u8, i64, u8)],
) -> Vec<u8> {
    let mut parts = Vec::new();
    for &(column, path, timestamp, kind, local, value) in cells {
        let mut one = Vec::new();
        let mut writer = RowWriter::new(&mut one);
        let path = path.map(|path| [path]);
        let kind = match kind {
            0 => CellKind::Live,
            1 => CellKind::Expiring {
                ttl: 1 + value as u32,
                expires: local,
            },
            2 if path.is_none() => CellKind::CollectionDeletion { deleted_at: local },
            _ => CellKind::Tombstone { deleted_at: local },
        };
        let value = [value];
        let value: &[u8] = if matches!(kind, CellKind::Live | CellKind::Expiring { .. }) {
            &value
        } else {
            &[]
        };
        writer.cell(&Cell {
            column: ColumnId(column),
            timestamp,
            kind,
            path: path.as_ref().map(|path| &path[..]),
            original_path: None,
            value,
        });
        parts.push(one);
    }
    let mut first = Vec::new();
    let mut writer = RowWriter::new(&mut first);
    if let Some((timestamp, ttl, expires)) = liveness {
        writer.liveness(Liveness {
            timestamp,
            ttl,
            expires: if ttl == 0 { NEVER } else { expires },
        });
    }
    if let Some((timestamp, local_seconds)) = deletion {
        writer.deletion(Deletion {
            timestamp,
            local_seconds,
        });
    }
    parts
        .iter()
        .fold(merged(&first, &first), |all, part| merged(&all, part))
}

fn merged(left: &[u8], right: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    rows(left, right, &mut out);
    assert!(Row::verify(&out));
    out
}

proptest! {
    #[test]
    fn merging_commutes(a in row(), b in row()) {
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
    }

    #[test]
    fn merging_associates(a in row(), b in row(), c in row()) {
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
    }

    #[test]
    fn merging_again_changes_nothing(a in row(), b in row()) {
        let both = merged(&a, &b);
        prop_assert_eq!(merged(&both, &a), both.clone());
        prop_assert_eq!(merged(&both, &both), both);
    }

    #[test]
    fn covering_distributes_over_merging(a in row(), b in row(), timestamp in 0i64..4) {
        let deletion = Deletion { timestamp, local_seconds: 0 };
        let cut = |row: &[u8]| {
            let mut out = Vec::new();
            uncovered(row, deletion, &mut out);
            out
        };
        prop_assert_eq!(cut(&merged(&a, &b)), merged(&cut(&a), &cut(&b)));
    }

    #[test]
    fn counters_merge_by_leader(deltas in proptest::collection::vec((0u32..3, -5i64..5), 0..20)) {
        let mut all = Vec::new();
        let mut copies = [Vec::new(), Vec::new(), Vec::new()];
        let mut sum = 0;
        for (clock, &(leader, delta)) in deltas.iter().enumerate() {
            let copy = &mut copies[leader as usize];
            *copy = counter::add(copy, counter::LeaderId::new(leader, 0, 0), clock as i64, delta);
            sum += delta;
        }
        for copy in copies.iter().chain(&copies) {
            all = counter::merge(&all, copy);
        }
        prop_assert_eq!(counter::total(&all), sum);
    }
}

#[test]
fn ties_break_as_in_cassandra() {
    let live = Cell {
        column: ColumnId(1),
        timestamp: 5,
        kind: CellKind::Live,
        path: None,
        original_path: None,
        value: b"z",
    };
    let smaller = Cell {
        value: b"a",
        ..live
    };
    let expiring = Cell {
        kind: CellKind::Expiring {
            ttl: 10,
            expires: 100,
        },
        value: b"a",
        ..live
    };
    let later = Cell {
        kind: CellKind::Expiring {
            ttl: 10,
            expires: 101,
        },
        ..expiring
    };
    let tombstone = Cell {
        kind: CellKind::Tombstone { deleted_at: 1 },
        value: b"",
        ..live
    };
    for pair in [smaller, live, expiring, later, tombstone].windows(2) {
        assert!(
            stronger_cell(&pair[1], &pair[0]) && !stronger_cell(&pair[0], &pair[1]),
            "{pair:?}"
        );
    }
}

#[test]
fn purging_turns_the_expired_into_tombstones_and_forgets_the_old() {
    let row = build(
        Some((1, 2, 2)),
        None,
        &[
            (0, None, 1, 1, 2, 0),
            (1, None, 1, 3, 1, 0),
            (2, None, 1, 0, 0, 1),
        ],
    );
    let mut kept = Vec::new();
    assert!(purged(
        &row,
        &Purge {
            now_seconds: 5,
            gc_before: 0,
            older_than: i64::MAX
        },
        &mut kept
    ));
    let kinds: Vec<_> = Row::parse(&kept)
        .unwrap()
        .cells()
        .map(|cell| cell.kind)
        .collect();
    assert_eq!(
        kinds,
        [
            CellKind::Tombstone { deleted_at: 1 },
            CellKind::Tombstone { deleted_at: 1 },
            CellKind::Live
        ]
    );
    let mut gone = Vec::new();
    assert!(purged(
        &row,
        &Purge {
            now_seconds: 5,
            gc_before: 5,
            older_than: 10
        },
        &mut gone
    ));
    let row = Row::parse(&gone).unwrap();
    assert_eq!((row.liveness, row.cells().count()), (None, 1));
}
