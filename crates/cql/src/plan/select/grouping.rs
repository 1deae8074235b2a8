//! GROUP BY: what tells one group of rows from the next.
//!
//! Groups are runs of rows: a prefix of the primary key, and after it at most one function of the clustering column
//! that follows. Columns fixed by `=` may be left out of the prefix.

use super::selection::RowFunction;
use crate::ast;
use crate::plan::restrictions::Restrictions;
use crate::plan::term::TermContext;
use crate::plan::{find_column, invalid};
use model::error::RequestError;
use model::schema::{Column, ColumnKind, Table};
use std::sync::Arc;

/// What makes a group.
#[derive(Debug)]
pub struct Grouping {
    /// How many columns, from the first of the partition key; never less than the partition key has.
    pub columns: usize,
    /// The function of the clustering column after these.
    pub function: Option<RowFunction>,
}

impl Grouping {
    /// Checks that groups are runs of rows: that a function keeps the order of its column.
    pub fn check(&self) -> Result<(), RequestError> {
        self.function
            .as_ref()
            .map_or(Ok(()), RowFunction::check_monotonic)
    }

    /// Checks a GROUP BY; `None` without one.
    pub fn prepare(
        select: &ast::Select,
        table: &Arc<Table>,
        restrictions: &Restrictions,
        terms: &mut TermContext<'_>,
    ) -> Result<Option<Self>, RequestError> {
        if select.group_by.is_empty() {
            return Ok(None);
        }
        let key_columns = table.partition_key().len();
        let keys = &table.columns()[..key_columns + table.clustering_key().len()];
        let mut function = None;
        let mut next = 0;
        for selector in &select.group_by {
            let column = match selector {
                ast::Selector::Column(name) => grouped_column(table, name, function.is_some())?,
                ast::Selector::Call(_)
                | ast::Selector::Binary(_)
                | ast::Selector::Negate(_)
                | ast::Selector::CountRows => {
                    let (compiled, column) = grouping_function(selector, table, terms)?;
                    function = Some(compiled);
                    column
                }
                _ => {
                    return Err(invalid(
                        "Group by is only supported on columns and functions",
                    ));
                }
            };
            next = after(keys, next, &column, restrictions)?;
        }
        if next < key_columns {
            return Err(invalid(
                "Group by is not supported on only a part of the partition key",
            ));
        }
        Ok(Some(Self {
            columns: next - usize::from(function.is_some()),
            function,
        }))
    }
}

fn grouped_column(table: &Table, name: &str, after_function: bool) -> Result<Column, RequestError> {
    let column = find_column(table, name)?;
    if !column.is_primary_key() {
        return Err(invalid(format!(
            "Group by is currently only supported on the columns of the PRIMARY KEY, got {name}"
        )));
    }
    if after_function {
        return Err(invalid(
            "Functions are only supported on the last element of the GROUP BY clause",
        ));
    }
    Ok(column.clone())
}

/// A function of one clustering column, and that column.
fn grouping_function(
    selector: &ast::Selector,
    table: &Arc<Table>,
    terms: &mut TermContext<'_>,
) -> Result<(RowFunction, Column), RequestError> {
    let function = RowFunction::prepare(selector, table, terms)?;
    if let Some(aggregate) = function.is_aggregate() {
        return Err(invalid(format!(
            "Aggregate functions are not supported within the GROUP BY clause, got: {aggregate}"
        )));
    }
    let columns = function.columns();
    let [column] = columns.as_slice() else {
        if columns.is_empty() {
            return Err(invalid(
                "GROUP BY functions must have one clustering column name as parameter",
            ));
        }
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        return Err(invalid(format!(
            "GROUP BY functions accept only one clustering column as parameter, got: {}",
            names.join(",")
        )));
    };
    if column.kind != ColumnKind::Clustering {
        return Err(invalid(format!(
            "Group by functions are only supported on clustering columns, got {}",
            column.name
        )));
    }
    let column = (*column).clone();
    Ok((function, column))
}

/// The position after a grouped column, when all columns passed over are fixed.
fn after(
    keys: &[Column],
    mut next: usize,
    column: &Column,
    restrictions: &Restrictions,
) -> Result<usize, RequestError> {
    loop {
        let expected = keys.get(next);
        next += 1;
        match expected {
            Some(expected) if expected.id == column.id => return Ok(next),
            Some(expected) if restrictions.is_fixed(expected) => {}
            _ => {
                return Err(invalid(
                    "Group by currently only support groups of columns following their declared order in the PRIMARY KEY",
                ));
            }
        }
    }
}
