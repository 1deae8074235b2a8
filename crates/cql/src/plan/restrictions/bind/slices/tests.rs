//! The slice of one column, made without the general rule, against the general rule.

use super::*;
use model::row::ColumnId;
use model::schema::{ClusteringOrder, ColumnKind};
use model::types::CqlType;
use std::borrow::Cow;

fn clustering_column(order: ClusteringOrder) -> Column {
    Column {
        id: ColumnId(1),
        name: "c".to_owned(),
        ctype: CqlType::Int,
        kind: ColumnKind::Clustering,
        position: 0,
        order,
    }
}

/// No end, or one at a few values, inclusive or not.
fn ends() -> Vec<Option<End<Vec<Bytes<'static>>>>> {
    let end = |number: i32, inclusive| {
        Some(End {
            value: vec![Cow::Owned(number.to_be_bytes().to_vec())],
            inclusive,
        })
    };
    let mut ends = vec![None];
    ends.extend((-1..=1).flat_map(|number| [end(number, false), end(number, true)]));
    ends
}

#[test]
fn a_column_is_a_tuple_of_one() {
    for order in [ClusteringOrder::Ascending, ClusteringOrder::Descending] {
        let column = clustering_column(order);
        let columns = std::slice::from_ref(&column);
        for prefix in [&[][..], &[0x40, 0x51]] {
            for lower in &ends() {
                for upper in &ends() {
                    let (lower, upper) = (lower.as_ref(), upper.as_ref());
                    let slices = normalized(tuple_slices(prefix, columns, lower, upper));
                    let slice = column_slice(prefix, &column, lower, upper);
                    assert_eq!(Vec::from_iter(slice), slices);
                }
            }
        }
    }
}
