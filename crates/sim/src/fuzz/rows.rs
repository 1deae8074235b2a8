//! Fuzzers of rows, mutations and keys.

use crate::random::Rng;
use model::comparable;
use model::merge;
use model::mutation::{Mutation, MutationView};
use model::row::{Cell, CellKind, ColumnId, Deletion, Liveness, NEVER, Row, RowWriter};
use model::types::CqlType;
use model::value;
use std::cmp::Ordering;

/// A cell as the fuzzer knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    column: u32,
    path: Option<Vec<u8>>,
    timestamp: i64,
    kind: CellKind,
    value: Vec<u8>,
}

fn known_cells(rng: &mut Rng) -> Vec<Known> {
    let mut cells: Vec<Known> = (0..rng.below(8))
        .map(|_| {
            let kind = match rng.below(4) {
                0 => CellKind::Tombstone {
                    deleted_at: rng.below(5) as i64,
                },
                1 => CellKind::Expiring {
                    ttl: 1 + rng.below(3) as u32,
                    expires: rng.below(9) as i64,
                },
                _ => CellKind::Live,
            };
            let tombstone = matches!(kind, CellKind::Tombstone { .. });
            let (length, short) = (rng.index(200), rng.index(4));
            Known {
                column: rng.below(3) as u32,
                path: rng.chance(30).then(|| rng.bytes(1)),
                timestamp: rng.below(4) as i64 - 1,
                kind,
                value: rng.bytes(if tombstone { 0 } else { length.min(short * 60) }),
            }
        })
        .collect();
    cells.sort_by(|one, other| (one.column, &one.path).cmp(&(other.column, &other.path)));
    cells.dedup_by(|one, other| (one.column, &one.path) == (other.column, &other.path));
    cells
}

fn write(rng: &mut Rng, cells: &[Known]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = RowWriter::new(&mut bytes);
    if rng.chance(50) {
        let ttl = rng.below(3) as u32;
        let expires = if ttl == 0 { NEVER } else { rng.below(9) as i64 };
        writer.liveness(Liveness {
            timestamp: rng.below(4) as i64,
            ttl,
            expires,
        });
    }
    // A row holds nothing that its own deletion covers.
    if rng.chance(20) {
        writer.deletion(Deletion {
            timestamp: -2,
            local_seconds: rng.below(5) as i64,
        });
    }
    for cell in cells {
        writer.cell(&Cell {
            column: ColumnId(cell.column),
            timestamp: cell.timestamp,
            kind: cell.kind,
            path: cell.path.as_deref(),
            original_path: None,
            value: &cell.value,
        });
    }
    bytes
}

/// Rows of any bytes are read, or refused, without harm.
pub fn any_bytes(rng: &mut Rng) -> Result<(), String> {
    let length = rng.index(80);
    let mut bytes = rng.bytes(length);
    bytes.iter_mut().for_each(|byte| *byte &= 0x1f);
    if Row::verify(&bytes) {
        let mut out = Vec::new();
        merge::rows(&bytes, &bytes, &mut out);
        if !Row::verify(&out) {
            return Err(format!(
                "{bytes:?} verifies, merged with itself it does not"
            ));
        }
    }
    Ok(())
}

/// What a writer wrote, a reader reads.
pub fn read_back(rng: &mut Rng) -> Result<(), String> {
    let cells = known_cells(rng);
    let bytes = write(rng, &cells);
    if !Row::verify(&bytes) {
        return Err(format!("a row as written does not verify: {cells:?}"));
    }
    let row = Row::parse(&bytes).ok_or("a row as written does not parse")?;
    let read: Vec<Known> = row
        .cells()
        .map(|cell| Known {
            column: cell.column.0,
            path: cell.path.map(<[u8]>::to_vec),
            timestamp: cell.timestamp,
            kind: cell.kind,
            value: cell.value.to_vec(),
        })
        .collect();
    if read == cells {
        Ok(())
    } else {
        Err(format!("wrote {cells:?}, read {read:?}"))
    }
}

/// Three rows give the same whichever way they meet.
pub fn merge_order(rng: &mut Rng) -> Result<(), String> {
    let rows: Vec<Vec<u8>> = (0..3)
        .map(|_| {
            let cells = known_cells(rng);
            write(rng, &cells)
        })
        .collect();
    let merged = |one: &[u8], other: &[u8]| {
        let mut out = Vec::new();
        merge::rows(one, other, &mut out);
        out
    };
    let forward = merged(&merged(&rows[0], &rows[1]), &rows[2]);
    let backward = merged(&rows[2], &merged(&rows[1], &rows[0]));
    let again = merged(&forward, &rows[1]);
    if forward == backward && again == forward {
        Ok(())
    } else {
        Err(format!(
            "{rows:?} merge to {forward:?} and {backward:?} and {again:?}"
        ))
    }
}

/// Mutations read back, and damaged ones do no harm.
pub fn mutations(rng: &mut Rng) -> Result<(), String> {
    let table = model::schema::TableId(uuid::Uuid::from_u128(7));
    let mut mutation = Mutation::new(model::key::DecoratedKey::new(rng.bytes(3)));
    let mut rows = 0;
    for _ in 0..rng.below(5) {
        let cells = known_cells(rng);
        let row = write(rng, &cells);
        let length = rng.index(3);
        let clustering = rng.bytes(length);
        mutation.update(table).add_row(clustering, row);
        rows = mutation.update(table).rows().len();
    }
    let bytes = mutation.encode();
    if !MutationView::verify(&bytes) {
        return Err(format!(
            "a mutation as written does not verify: {mutation:?}"
        ));
    }
    let view = MutationView::parse(&bytes).ok_or("it does not parse")?;
    let read: usize = view
        .updates()
        .map(|(_, update)| update.rows().count())
        .sum();
    if read != rows {
        return Err(format!("{rows} rows were written, {read} are read"));
    }
    let mut damaged = bytes;
    let at = rng.index(damaged.len());
    damaged[at] ^= 1 << rng.below(8);
    if MutationView::verify(&damaged) {
        let view = MutationView::parse(&damaged).ok_or("it verifies and does not parse")?;
        view.updates()
            .for_each(|(_, update)| update.rows().for_each(drop));
    }
    Ok(())
}

/// Encoded values compare as bytes the way their type compares them, and decode to themselves.
pub fn clustering_order(rng: &mut Rng) -> Result<(), String> {
    let fixed = [
        (CqlType::Int, 4),
        (CqlType::Bigint, 8),
        (CqlType::Smallint, 2),
        (CqlType::Double, 8),
        (CqlType::Uuid, 16),
        (CqlType::Date, 4),
    ];
    let (ctype, length) = match rng.below(8) {
        0 => (CqlType::Blob, None),
        1 => (CqlType::Varint, None),
        _ => {
            let (ctype, length) = rng.pick(&fixed);
            (ctype.clone(), Some(*length))
        }
    };
    let make = |rng: &mut Rng| {
        let length = length.unwrap_or(1 + rng.index(5));
        let mut bytes = rng.bytes(length);
        if rng.chance(50) {
            bytes.iter_mut().for_each(|byte| *byte &= 3);
        }
        bytes
    };
    let (one, other) = (make(rng), make(rng));
    let not_a_number = |bytes: &[u8]| {
        ctype == CqlType::Double
            && f64::from_be_bytes(bytes.try_into().unwrap_or_default()).is_nan()
    };
    if not_a_number(&one) || not_a_number(&other) {
        return Ok(());
    }
    let descending = rng.chance(50);
    let encode = |value: &[u8]| {
        let mut bytes = Vec::new();
        comparable::encode(&ctype, value, descending, &mut bytes);
        bytes
    };
    let (left, right) = (encode(&one), encode(&other));
    let mut order = value::compare(&ctype, &one, &other);
    if descending {
        order = order.reverse();
    }
    if left.cmp(&right) != order && order != Ordering::Equal {
        return Err(format!(
            "{ctype:?}: {one:?} and {other:?} are {order:?}, their bytes are not"
        ));
    }
    if comparable::is_exact(&ctype, &one)
        && comparable::decode(&ctype, &mut left.as_slice(), descending).as_ref() != Some(&one)
    {
        return Err(format!("{ctype:?}: {one:?} does not decode to itself"));
    }
    Ok(())
}
