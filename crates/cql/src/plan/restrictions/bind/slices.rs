//! From the ends of a range of clustering values to slices of encoded keys.

use super::super::End;
use super::Bytes;
use model::clustering::{Slice, above};
use model::comparable;
use model::schema::Column;
use std::cmp::Ordering;

/// The slice under `prefix` between two values of one column: what [`tuple_slices`] makes of tuples of one.
pub(super) fn column_slice(
    prefix: &[u8],
    column: &Column,
    lower: Option<&End<Vec<Bytes<'_>>>>,
    upper: Option<&End<Vec<Bytes<'_>>>>,
) -> Option<Slice> {
    let mut slice = Slice::prefix(prefix);
    for (end, side) in [(lower, Ordering::Greater), (upper, Ordering::Less)] {
        let Some(end) = end else { continue };
        let value = &end.value[0];
        let mut at = Vec::with_capacity(prefix.len() + value.len() + 4);
        at.extend_from_slice(prefix);
        comparable::encode(&column.ctype, value, column.is_descending(), &mut at);
        // Whether what is wanted comes after the value's rows in clustering order.
        let after = (side == Ordering::Greater) != column.is_descending();
        if after != end.inclusive {
            at.push(comparable::ABOVE);
        }
        *if after {
            &mut slice.start
        } else {
            &mut slice.end
        } = at;
    }
    (!slice.is_empty()).then_some(slice)
}

/// The slices under `prefix` between two tuples. With columns of mixed directions a tuple comparison is no single
/// range of encoded keys: `(a, b) > (x, y)` is `a > x`, or `a = x` and `b > y`, each its own slice.
pub(super) fn tuple_slices(
    prefix: &[u8],
    columns: &[Column],
    lower: Option<&End<Vec<Bytes<'_>>>>,
    upper: Option<&End<Vec<Bytes<'_>>>>,
) -> Vec<Slice> {
    let whole = || vec![Slice::prefix(prefix)];
    let above = lower.map_or_else(whole, |end| beyond(prefix, columns, end, Ordering::Greater));
    let below = upper.map_or_else(whole, |end| beyond(prefix, columns, end, Ordering::Less));
    let mut both = Vec::new();
    for one in &above {
        for other in &below {
            let slice = Slice {
                start: one.start.clone().max(other.start.clone()),
                end: one.end.clone().min(other.end.clone()),
            };
            if !slice.is_empty() {
                both.push(slice);
            }
        }
    }
    both
}

/// The slices under `prefix` whose tuples compare as `side` to `end`, or equal it if it is inclusive.
fn beyond(
    prefix: &[u8],
    columns: &[Column],
    end: &End<Vec<Bytes<'_>>>,
    side: Ordering,
) -> Vec<Slice> {
    let mut slices = Vec::new();
    let mut equal = prefix.to_vec();
    for (column, value) in columns.iter().zip(&end.value) {
        let mut at = equal.clone();
        comparable::encode(&column.ctype, value, column.is_descending(), &mut at);
        let after = (side == Ordering::Greater) != column.is_descending();
        slices.push(if after {
            Slice {
                start: above(&at),
                end: above(&equal),
            }
        } else {
            Slice {
                start: equal,
                end: at.clone(),
            }
        });
        equal = at;
    }
    if end.inclusive {
        slices.push(Slice::prefix(&equal));
    }
    slices
}

/// Ascending, disjoint slices; those that touch are one.
pub(super) fn normalized(mut slices: Vec<Slice>) -> Vec<Slice> {
    slices.retain(|slice| !slice.is_empty());
    if slices.len() < 2 {
        return slices;
    }
    slices.sort();
    let mut out: Vec<Slice> = Vec::with_capacity(slices.len());
    for slice in slices {
        match out.last_mut() {
            Some(last) if slice.start <= last.end => {
                if slice.end > last.end {
                    last.end = slice.end;
                }
            }
            _ => out.push(slice),
        }
    }
    out
}

#[cfg(test)]
mod tests;
