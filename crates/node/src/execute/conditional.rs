//! What a conditional statement or batch asks of its partition, and what it answers where that does not hold.
//!
//! Conditions belong to rows, and those on static columns to the partition, wherever they were written. The rows with
//! conditions are read; if there is none, the partition's first row stands for it, which tells a partition without
//! static values from one that does not exist. What was read is what a refusal shows. Invariants:
//! - a row has one kind of condition: IF EXISTS, IF NOT EXISTS, or conditions on columns;
//! - a refusal shows only rows that exist, or the static row alone if no row does.

use super::rmw::{Part, RmwOperation};
use crate::effects::Effects;
use crate::reply::Reply;
use cql::frame::response::{MetadataForm, RowsWriter};
use cql::frame::{ColumnSpec, ResultMetadata};
use cql::plan::modify::{ConditionPlan, ConditionsPlan, CurrentRows};
use cql::plan::select::input::clustering_values;
use cql::plan::values::BoundValues;
use model::clustering::Slice;
use model::error::RequestError;
use model::filter::column_value;
use model::key::{self, DecoratedKey};
use model::row::{ColumnId, Row};
use model::schema::{Column, ColumnKind, Table};
use model::types::CqlType;
use std::collections::BTreeMap;

/// Whether a request is one statement or a batch: batches show the key of every row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Statement,
    Batch,
}

/// What is asked of one row, or of the static row.
enum RowCondition<'p> {
    Exists,
    NotExists,
    Columns(Vec<(&'p ConditionPlan, BoundValues<'p>)>),
}

/// What a request asks of its partition.
pub(super) struct Asked<'p> {
    statics: Option<RowCondition<'p>>,
    rows: BTreeMap<Slice, RowCondition<'p>>,
    /// The columns a refusal shows; all of them if `None`.
    columns: Option<Vec<&'p Column>>,
    /// Whether static columns without a condition are looked at, and regular ones.
    sees_statics: bool,
    sees_regulars: bool,
}

impl<'p> Asked<'p> {
    /// Gathers the conditions of all parts.
    pub(super) fn of(parts: &'p [Part]) -> Result<Self, RequestError> {
        let mut asked = Self {
            statics: None,
            rows: BTreeMap::new(),
            columns: Some(Vec::new()),
            sees_statics: false,
            sees_regulars: false,
        };
        for part in parts {
            let plan = part.plan();
            // A refusal shows rows if any statement of a batch changes some, but static columns only if a conditional
            // one does, as in Cassandra.
            asked.sees_regulars |= !plan.is_static_only();
            if plan.is_conditional() {
                asked.sees_statics |= plan.changes_statics();
                asked.add(part)?;
            }
        }
        Ok(asked)
    }

    fn add(&mut self, part: &'p Part) -> Result<(), RequestError> {
        let plan = part.plan();
        match &plan.conditions {
            ConditionsPlan::None => return Ok(()),
            ConditionsPlan::Exists | ConditionsPlan::NotExists => self.columns = None,
            conditions @ ConditionsPlan::All(_) => {
                for column in conditions.columns() {
                    if let Some(shown) = &mut self.columns
                        && !shown.iter().any(|known| known.id == column.id)
                    {
                        shown.push(column);
                    }
                }
            }
        }
        let values = BoundValues::from_owned(&part.values);
        let row = if plan.is_static_only() {
            None
        } else {
            plan.slices(&values)?.into_iter().next()
        };
        match &plan.conditions {
            ConditionsPlan::None => {}
            ConditionsPlan::Exists => self.add_existence(row, RowCondition::Exists)?,
            ConditionsPlan::NotExists => self.add_existence(row, RowCondition::NotExists)?,
            ConditionsPlan::All(conditions) => {
                for condition in conditions {
                    condition.check(&values)?;
                    let of_row = condition.column.kind != ColumnKind::Static;
                    let place = row.clone().filter(|_| of_row);
                    self.add_condition(place, condition, values.clone())?;
                }
            }
        }
        Ok(())
    }

    fn add_existence(
        &mut self,
        row: Option<Slice>,
        condition: RowCondition<'p>,
    ) -> Result<(), RequestError> {
        let present = match &row {
            Some(row) => self.rows.get(row),
            None => self.statics.as_ref(),
        };
        let negated = matches!(condition, RowCondition::NotExists);
        match present {
            None => {}
            Some(RowCondition::Columns(_)) => {
                return Err(RequestError::Invalid(format!(
                    "Cannot mix IF conditions and IF {}EXISTS for the same row",
                    if negated { "NOT " } else { "" }
                )));
            }
            Some(other) if matches!(other, RowCondition::NotExists) == negated => return Ok(()),
            Some(_) => {
                return Err(RequestError::invalid(
                    "Cannot mix IF EXISTS and IF NOT EXISTS conditions for the same row",
                ));
            }
        }
        match row {
            Some(row) => drop(self.rows.insert(row, condition)),
            None => self.statics = Some(condition),
        }
        Ok(())
    }

    fn add_condition(
        &mut self,
        row: Option<Slice>,
        condition: &'p ConditionPlan,
        values: BoundValues<'p>,
    ) -> Result<(), RequestError> {
        let empty = || RowCondition::Columns(Vec::new());
        let present = match row {
            Some(row) => self.rows.entry(row).or_insert_with(empty),
            None => self.statics.get_or_insert_with(empty),
        };
        match present {
            RowCondition::Columns(conditions) => {
                conditions.push((condition, values));
                Ok(())
            }
            RowCondition::Exists | RowCondition::NotExists => Err(RequestError::invalid(
                "Cannot mix IF conditions and IF NOT EXISTS for the same row",
            )),
        }
    }

    /// The rows with conditions; empty if the partition's first row stands for it.
    pub(super) fn slices(&self) -> Vec<Slice> {
        self.rows.keys().cloned().collect()
    }

    /// Whether everything asked holds of the rows read.
    pub(super) fn holds(
        &self,
        table: &Table,
        key: &DecoratedKey,
        current: &CurrentRows,
        now_seconds: i64,
    ) -> Result<bool, RequestError> {
        let static_row = current.static_row(table.id, key);
        if let Some(condition) = &self.statics
            && !condition.holds(static_row.as_ref(), now_seconds)?
        {
            return Ok(false);
        }
        for (slice, condition) in &self.rows {
            let row = current.row(table.id, key, &slice.start);
            if !condition.holds(row.as_ref(), now_seconds)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn looks_at(&self, column: &Column) -> bool {
        let seen = match column.kind {
            ColumnKind::Static => self.sees_statics,
            _ => self.sees_regulars,
        };
        let conditional = |condition: &RowCondition<'_>| match condition {
            RowCondition::Columns(conditions) => conditions
                .iter()
                .any(|(condition, _)| condition.column.id == column.id),
            RowCondition::Exists | RowCondition::NotExists => false,
        };
        seen || self
            .statics
            .iter()
            .chain(self.rows.values())
            .any(conditional)
    }

    /// The columns shown beside `[applied]`: those of the conditions, or all; a batch adds the key.
    fn shown_columns<'t>(&self, table: &'t Table, shape: Shape) -> Vec<&'t Column> {
        let Some(columns) = &self.columns else {
            return table.columns().iter().collect();
        };
        let mut ids: Vec<ColumnId> = Vec::new();
        if shape == Shape::Batch {
            let keys = table.partition_key().iter().chain(table.clustering_key());
            ids.extend(keys.map(|column| column.id));
        }
        ids.extend(columns.iter().map(|column| column.id));
        ids.iter()
            .filter_map(|id| table.column_by_id(*id))
            .collect()
    }

    /// The rows conditions looked at that exist; the static row alone if there is none but it.
    fn shown_rows<'r>(
        &self,
        table: &Table,
        key: &'r DecoratedKey,
        current: &'r CurrentRows,
        now_seconds: i64,
    ) -> Vec<Shown<'r>> {
        let static_row = current.static_row(table.id, key);
        let wanted = |clustering: &[u8]| {
            self.rows.is_empty() || self.rows.keys().any(|slice| slice.start == clustering)
        };
        let limit = if self.rows.is_empty() { 1 } else { usize::MAX };
        let mut shown: Vec<Shown<'r>> = current
            .rows(table.id, key)
            .filter(|(clustering, row)| wanted(clustering) && row.is_live(now_seconds))
            .take(limit)
            .map(|row| Shown {
                row: Some(row),
                static_row,
            })
            .collect();
        let visible = |column: &Column| {
            self.looks_at(column)
                && static_row.is_some_and(|row| {
                    column_value(&row, column.id, &column.ctype, now_seconds).is_some()
                })
        };
        if shown.is_empty() && table.statics().iter().any(visible) {
            shown.push(Shown {
                row: None,
                static_row,
            });
        }
        shown
    }
}

impl RowCondition<'_> {
    fn holds(&self, row: Option<&Row<'_>>, now_seconds: i64) -> Result<bool, RequestError> {
        let exists = || row.is_some_and(|row| row.is_live(now_seconds));
        match self {
            Self::Exists => Ok(exists()),
            Self::NotExists => Ok(!exists()),
            Self::Columns(conditions) => {
                for (condition, values) in conditions {
                    if !condition.holds(row, values, now_seconds)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }
}

/// A row of a refusal.
struct Shown<'a> {
    row: Option<(&'a [u8], Row<'a>)>,
    static_row: Option<Row<'a>>,
}

impl RmwOperation {
    /// The rows a conditional request answers with: `[applied]`, and if it was not, what stood in its way.
    pub(super) fn answer(
        &self,
        applied: bool,
        reply: &Reply,
        out: &mut Effects,
    ) -> Result<(), RequestError> {
        let table = self.table();
        let key = self.key();
        let seconds = self.terms.now_seconds;
        let asked = Asked::of(&self.parts)?;
        let rows = if applied {
            Vec::new()
        } else {
            asked.shown_rows(&table, key, &self.current, seconds)
        };
        let columns: Vec<&Column> = if rows.is_empty() {
            Vec::new()
        } else {
            asked.shown_columns(&table, self.shape)
        };
        let spec = |name: &str, cql_type: CqlType| ColumnSpec {
            keyspace: table.keyspace.as_str().into(),
            table: table.name.as_str().into(),
            name: name.into(),
            cql_type,
        };
        let specs = std::iter::once(spec("[applied]", CqlType::Boolean)).chain(
            columns
                .iter()
                .map(|column| spec(&column.name, column.ctype.clone())),
        );
        let metadata = ResultMetadata::new(specs.collect());
        reply.result(out, |buffer| {
            let mut writer =
                RowsWriter::begin(buffer, &metadata, reply.version, MetadataForm::Full);
            if rows.is_empty() {
                writer.cell(Some(&[u8::from(applied)]));
            }
            for row in &rows {
                writer.cell(Some(&[0]));
                for column in &columns {
                    let value = row.value(&asked, &table, key, column, seconds);
                    writer.cell(value.as_deref());
                }
            }
            writer.finish(None);
        });
        Ok(())
    }
}

impl Shown<'_> {
    fn value(
        &self,
        asked: &Asked<'_>,
        table: &Table,
        key: &DecoratedKey,
        column: &Column,
        now_seconds: i64,
    ) -> Option<Vec<u8>> {
        let row = match column.kind {
            ColumnKind::PartitionKey => {
                let parts = key::split(&key.key, table.partition_key().len())?;
                return parts.get(column.position).map(|part| part.to_vec());
            }
            ColumnKind::Clustering => {
                let (clustering, row) = self.row?;
                return clustering_values(table, clustering, Some(&row))
                    .into_iter()
                    .nth(column.position);
            }
            ColumnKind::Static => self.static_row?,
            ColumnKind::Regular => self.row?.1,
        };
        asked
            .looks_at(column)
            .then(|| column_value(&row, column.id, &column.ctype, now_seconds))
            .flatten()
    }
}
