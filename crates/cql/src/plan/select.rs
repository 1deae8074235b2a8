//! SELECT: what is read, in which order, and what is made of it.

pub mod grouping;
pub mod input;
mod order;
pub mod plain;
pub mod selection;

use super::restrictions::{BoundRestrictions, Restrictions, Use};
use super::term::{Term, TermContext};
use super::values::{Bound, BoundValues};
use super::{column_spec, invalid, renamed};
use crate::ast;
use crate::frame::{ColumnSpec, ResultMetadata};
use grouping::Grouping;
use model::error::RequestError;
use model::read::{Columns, Direction};
use model::row::ColumnId;
use model::schema::{Column, ColumnKind, Table};
use model::types::CqlType;
pub use order::ClientOrder;
use plain::PlainSelection;
use selection::Selection;
use std::sync::Arc;

/// A prepared SELECT.
#[derive(Debug)]
pub struct SelectPlan {
    /// The table.
    pub table: Arc<Table>,
    /// Which partitions and rows.
    pub restrictions: Restrictions,
    /// What is computed from each row or group.
    pub selection: Selection,
    /// The same, if it is of plain columns only.
    pub plain: Option<PlainSelection>,
    /// The columns of the result.
    pub metadata: Arc<ResultMetadata>,
    /// SELECT DISTINCT.
    pub distinct: bool,
    /// Order of rows within a partition.
    pub direction: Direction,
    /// Order across several named partitions, where ORDER BY asks for one.
    pub client_order: Option<ClientOrder>,
    /// GROUP BY.
    pub grouping: Option<Grouping>,
    /// The columns a replica sends.
    pub columns: Columns,
    /// Whether ALLOW FILTERING was needed.
    pub filters: bool,
    /// The time the statement gives itself, in milliseconds (`USING TIMEOUT`).
    pub timeout_ms: Option<u64>,
    limit: Option<Term>,
    per_partition_limit: Option<Term>,
}

/// A SELECT with its values.
#[derive(Debug, Clone)]
pub struct BoundSelect {
    /// Partitions, slices and conditions.
    pub restrictions: BoundRestrictions,
    /// LIMIT.
    pub limit: u64,
    /// PER PARTITION LIMIT.
    pub per_partition_limit: u64,
}

impl SelectPlan {
    /// Prepares a SELECT.
    pub fn prepare(
        select: &ast::Select,
        table: &Arc<Table>,
        terms: &mut TermContext<'_>,
    ) -> Result<Self, RequestError> {
        let selection = Selection::prepare(select, table, terms)?;
        let restrictions = Restrictions::prepare(
            &select.relations,
            table,
            Use::Select {
                allow_filtering: select.allow_filtering,
            },
            terms,
        )?;
        if selection.selects_only_statics() && restrictions.restricts_clustering() {
            return Err(invalid(
                "Cannot restrict clustering columns when selecting only static columns",
            ));
        }
        let grouping = Grouping::prepare(select, table, &restrictions, terms)?;
        let (direction, client_order) = order::prepare(select, table, &restrictions)?;
        if select.distinct {
            // Rows that are put in order afterwards need what orders them.
            if client_order.is_some() {
                return Err(not_distinct(&table.clustering_key()[0]));
            }
            check_distinct(select, table, &selection, &restrictions, grouping.as_ref())?;
        }
        let base = column_spec(table, &table.columns()[0]);
        let mut limit = |term: &Option<ast::Term>, name: &str| {
            term.as_ref()
                .map(|term| terms.prepare(term, &renamed(&base, name.to_owned(), CqlType::Int)))
                .transpose()
        };
        let per_partition_limit = limit(&select.per_partition_limit, "[per_partition_limit]")?;
        let row_limit = limit(&select.limit, "[limit]")?;
        if select.distinct && per_partition_limit.is_some() {
            return Err(invalid(
                "PER PARTITION LIMIT is not allowed with SELECT DISTINCT queries",
            ));
        }
        if per_partition_limit.is_some() && selection.is_aggregate() && grouping.is_none() {
            return Err(invalid(
                "PER PARTITION LIMIT is not allowed with aggregate queries.",
            ));
        }
        let metadata = Arc::new(ResultMetadata::new(selection.specs(table)));
        let columns = fetched(table, &selection, &restrictions);
        let filters = restrictions.needs_filtering;
        Ok(Self {
            table: table.clone(),
            restrictions,
            plain: selection
                .plain_columns()
                .map(|columns| PlainSelection::new(&columns)),
            selection,
            metadata,
            distinct: select.distinct,
            direction,
            client_order,
            grouping,
            columns,
            filters,
            timeout_ms: select.timeout.as_deref().map(timeout_ms).transpose()?,
            limit: row_limit,
            per_partition_limit,
        })
    }

    /// Evaluates restrictions and limits.
    pub fn bind(&self, values: &BoundValues<'_>) -> Result<BoundSelect, RequestError> {
        let limit = limit_value(self.limit.as_ref(), values)?;
        let per_partition_limit = limit_value(self.per_partition_limit.as_ref(), values)?;
        self.selection.check_constants(values)?;
        if let Some(grouping) = &self.grouping {
            grouping.check()?;
        }
        Ok(BoundSelect {
            restrictions: self.restrictions.bind(values)?,
            limit,
            per_partition_limit,
        })
    }

    /// Whether several rows are made into one.
    pub fn is_grouped(&self) -> bool {
        self.selection.is_aggregate() || self.grouping.is_some()
    }

    /// Whether a partition with a live static row and no rows is a row of the result.
    pub fn static_counts(&self) -> bool {
        !self.restrictions.restricts_rows() && !self.table.statics().is_empty()
    }
}

fn timeout_ms(text: &str) -> Result<u64, RequestError> {
    match super::duration::parse_duration(text)? {
        (0, 0, nanos) if nanos > 0 => Ok((nanos as u64).div_ceil(1_000_000)),
        _ => Err(invalid(format!(
            "Invalid timeout {text}: it must be positive and without days or months"
        ))),
    }
}

fn limit_value(term: Option<&Term>, values: &BoundValues<'_>) -> Result<u64, RequestError> {
    let Some(term) = term else {
        return Ok(u64::MAX);
    };
    let limit = match term.evaluate(values)? {
        Bound::Unset => return Ok(u64::MAX),
        Bound::Null => return Err(invalid("Invalid null value of limit")),
        Bound::Value(bytes) => i32::from_be_bytes(
            bytes
                .as_ref()
                .try_into()
                .map_err(|_| invalid("Invalid limit value"))?,
        ),
    };
    if limit <= 0 {
        return Err(invalid("LIMIT must be strictly positive"));
    }
    Ok(limit as u64)
}

/// The columns a replica sends: all that the result, the conditions or the order look at. Existence of a row is also
/// told by cells that nobody selects, so without a row marker to rely on, all columns of the row are sent.
fn fetched(table: &Table, selection: &Selection, restrictions: &Restrictions) -> Columns {
    let mut ids: Vec<ColumnId> = selection
        .columns()
        .chain(restrictions.filtered_columns())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let all = table
        .statics()
        .iter()
        .chain(table.regulars())
        .filter(|column| !ids.contains(&column.id))
        .count()
        == 0;
    if all {
        Columns::All
    } else {
        Columns::Only(ids)
    }
}

fn not_distinct(column: &Column) -> RequestError {
    invalid(format!(
        "SELECT DISTINCT queries must only request partition key columns and/or static columns (not {})",
        column.name
    ))
}

fn check_distinct(
    select: &ast::Select,
    table: &Table,
    selection: &Selection,
    restrictions: &Restrictions,
    grouping: Option<&Grouping>,
) -> Result<(), RequestError> {
    if restrictions.restricts_rows() {
        return Err(invalid(
            "SELECT DISTINCT with WHERE clause only supports restriction by partition key and/or static columns.",
        ));
    }
    let selected = selection.selected_columns(select.selection.is_empty());
    for id in &selected {
        let column = table.column_by_id(*id).expect("selected from the table");
        if !matches!(column.kind, ColumnKind::PartitionKey | ColumnKind::Static) {
            return Err(not_distinct(column));
        }
    }
    for column in table.partition_key() {
        if !selected.contains(&column.id) && !restrictions.is_sought(column) {
            return Err(invalid(format!(
                "SELECT DISTINCT queries must request all the partition key columns (missing {})",
                column.name
            )));
        }
    }
    let rows = |grouping: &Grouping| {
        grouping.columns > table.partition_key().len() || grouping.function.is_some()
    };
    if grouping.is_some_and(rows) {
        return Err(invalid(
            "Grouping on clustering columns is not allowed for SELECT DISTINCT queries",
        ));
    }
    Ok(())
}

/// A column of a result that is computed.
pub(crate) fn result_spec(table: &Table, name: String, cql_type: CqlType) -> ColumnSpec {
    ColumnSpec {
        keyspace: table.keyspace.as_str().into(),
        table: table.name.as_str().into(),
        name: name.into(),
        cql_type,
    }
}
