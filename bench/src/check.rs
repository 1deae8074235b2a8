//! Whether a server gives back what was written, value by value: a benchmark of wrong answers is worth nothing.

use crate::failure::{Failure, Outcome};
use crate::load::Connection;
use crate::orders::{Pool, ROWS_PER_PARTITION, SLICE_ROWS, scatter};
use crate::workload::Statements;
use cql::frame::header::Opcode;
use cql::frame::reader::Reader;

/// Orders and slices compared.
const SAMPLES: u64 = 200;

/// Reads a sample of `orders` orders both ways and compares every value.
pub fn compare(
    connection: &mut Connection,
    statements: &Statements,
    pool: &Pool,
    orders: u64,
) -> Outcome {
    for sample in 0..SAMPLES {
        let i = scatter(sample) % orders;
        let answer = connection.call(Opcode::Execute, |out| {
            statements.put_select(pool, i, 0, out)
        })?;
        let rows = answer.rows();
        let expected = order_cells(pool, i);
        if !rows.is_some_and(|(count, cells)| count == 1 && equal(cells, &expected)) {
            return Err(Failure::new(format!(
                "order {i} came back wrong: {}",
                answer.describe()
            )));
        }
        let partition = i / ROWS_PER_PARTITION;
        let position = SLICE_ROWS - 1 + i % (ROWS_PER_PARTITION - SLICE_ROWS);
        let answer = connection.call(Opcode::Execute, |out| {
            statements.put_select_slice(pool, partition, position, 0, out);
        })?;
        // Newest first: from the position down.
        let first = partition * ROWS_PER_PARTITION + position;
        let expected: Vec<Vec<u8>> = (0..SLICE_ROWS)
            .flat_map(|back| slice_cells(pool, first - back))
            .collect();
        let rows = answer.rows();
        if !rows
            .is_some_and(|(count, cells)| u64::from(count) == SLICE_ROWS && equal(cells, &expected))
        {
            return Err(Failure::new(format!(
                "the slice of {SLICE_ROWS} before order {first} came back wrong: {}",
                answer.describe()
            )));
        }
    }
    Ok(())
}

fn order_cells(pool: &Pool, i: u64) -> Vec<Vec<u8>> {
    let order = pool.order(i);
    let key = [
        order.id.to_vec(),
        order.customer.to_be_bytes().to_vec(),
        order.placed_at_ms.to_be_bytes().to_vec(),
    ];
    key.into_iter().chain(detail_cells(pool, i)).collect()
}

fn slice_cells(pool: &Pool, i: u64) -> Vec<Vec<u8>> {
    let order = pool.order(i);
    let key = [order.placed_at_ms.to_be_bytes().to_vec(), order.id.to_vec()];
    key.into_iter().chain(detail_cells(pool, i)).collect()
}

fn detail_cells(pool: &Pool, i: u64) -> [Vec<u8>; 5] {
    let order = pool.order(i);
    [
        order.status.into(),
        order.currency.into(),
        order.total_cents.to_be_bytes().to_vec(),
        order.items.into(),
        order.address.into(),
    ]
}

fn equal(cells: &[u8], expected: &[Vec<u8>]) -> bool {
    let mut cells = Reader::new(cells);
    let same = expected
        .iter()
        .all(|value| matches!(cells.bytes(), Ok(Some(cell)) if cell == &value[..]));
    same && cells.rest().is_empty()
}
