//! ORDER BY: the direction rows are read in, and the sorting left to do across named partitions.

use super::super::restrictions::Restrictions;
use super::super::{find_column, invalid};
use crate::ast;
use model::error::RequestError;
use model::read::Direction;
use model::schema::{ColumnKind, Table};

/// Rows of several named partitions are sorted by their encoded clustering keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientOrder {
    /// Which way.
    pub direction: Direction,
    /// How many clustering columns, from the first, are compared.
    pub columns: usize,
}

pub(super) fn prepare(
    select: &ast::Select,
    table: &Table,
    restrictions: &Restrictions,
) -> Result<(Direction, Option<ClientOrder>), RequestError> {
    if select.order_by.is_empty() {
        return Ok((Direction::Forward, None));
    }
    if select
        .order_by
        .iter()
        .any(|ordering| ordering.nearest_to.is_some())
    {
        return Err(invalid(
            "ANN ordering by vector requires the column to be indexed using StorageAttachedIndex",
        ));
    }
    if !restrictions.names_partitions() {
        return Err(invalid(
            "ORDER BY is only supported when the partition key is restricted by an EQ or an IN.",
        ));
    }
    let mut direction: Option<Direction> = None;
    let mut next = 0;
    for ordering in &select.order_by {
        let column = find_column(table, &ordering.column)?;
        if column.kind != ColumnKind::Clustering {
            return Err(invalid(format!(
                "Order by is currently only supported on the clustered columns of the PRIMARY KEY, got {}",
                column.name
            )));
        }
        while next < column.position && restrictions.is_fixed(&table.clustering_key()[next]) {
            next += 1;
        }
        if column.position != next {
            return Err(invalid(
                "Order by currently only supports the ordering of columns following their declared order in the PRIMARY KEY",
            ));
        }
        next += 1;
        let wanted = (ordering.direction == ast::Direction::Descending) == column.is_descending();
        let wanted = if wanted {
            Direction::Forward
        } else {
            Direction::Backward
        };
        if direction.is_some_and(|direction| direction != wanted) {
            return Err(invalid("Unsupported order by relation"));
        }
        direction = Some(wanted);
    }
    let direction = direction.unwrap_or(Direction::Forward);
    Ok((
        direction,
        restrictions.partition_in().then_some(ClientOrder {
            direction,
            columns: next,
        }),
    ))
}
