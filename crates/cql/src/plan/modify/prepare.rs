//! From the syntax of INSERT, UPDATE and DELETE to their plans, with every rule about what may be changed.

use super::super::restrictions::{Restrictions, Use};
use super::super::term::TermContext;
use super::super::{column_spec, find_column, invalid, json};
use super::assign::{change, deletion_of};
use super::conditions::ConditionsPlan;
use super::if_clause::conditions_plan;
use super::operation::{Change, Operation};
use super::{ModifyKind, ModifyPlan, range_of_columns, using_slot};
use crate::ast;
use model::error::RequestError;
use model::schema::Table;
use model::types::CqlType;
use std::sync::Arc;

impl ModifyPlan {
    /// Prepares an INSERT.
    pub fn insert(
        insert: &ast::Insert,
        table: &Arc<Table>,
        terms: &mut TermContext<'_>,
    ) -> Result<Self, RequestError> {
        if table.is_counter() {
            return Err(invalid(
                "INSERT statements are not allowed on counter tables, use UPDATE instead",
            ));
        }
        let (columns, values, json) = match &insert.source {
            ast::InsertSource::Values { columns, values } => {
                if columns.len() != values.len() {
                    return Err(invalid("Unmatched column names/values"));
                }
                if columns.is_empty() {
                    return Err(invalid("No columns provided to INSERT"));
                }
                (columns.clone(), values.clone(), None)
            }
            ast::InsertSource::Json { value, missing } => {
                let json = json::JsonInsert::prepare(value, *missing, table, terms)?;
                let (columns, values) = json.as_values();
                (columns, values, Some(json))
            }
        };
        let mut relations = Vec::new();
        let mut operations = Vec::new();
        for (index, (name, value)) in columns.iter().zip(&values).enumerate() {
            let column = find_column(table, name)?;
            if columns[..index].contains(name) {
                return Err(invalid("The column names contains duplicates"));
            }
            if column.is_primary_key() {
                relations.push(ast::Relation::Column {
                    column: name.clone(),
                    operator: ast::Operator::Equal,
                    value: value.clone(),
                });
            } else {
                let term = terms.prepare(value, &column_spec(table, column))?;
                operations.push(Operation {
                    column: column.clone(),
                    change: Change::Set(term),
                });
            }
        }
        let mut plan = Self::finish(
            ModifyKind::Insert,
            table,
            &relations,
            operations,
            &insert.using,
            &insert.conditions,
            terms,
        )?;
        plan.json = json;
        terms.markers.retain(|index, _| *index < json::FIRST);
        Ok(plan)
    }

    /// Prepares an UPDATE.
    pub fn update(
        update: &ast::Update,
        table: &Arc<Table>,
        terms: &mut TermContext<'_>,
    ) -> Result<Self, RequestError> {
        let conditional = !matches!(update.conditions, ast::Conditions::None);
        let mut operations: Vec<Operation> = Vec::with_capacity(update.assignments.len());
        for assignment in &update.assignments {
            let column = find_column(table, &assignment.column)?;
            if column.is_primary_key() {
                return Err(invalid(format!(
                    "PRIMARY KEY part {} found in SET part",
                    column.name
                )));
            }
            let change = change(assignment, column, table, conditional, terms)?;
            let clashes = |other: &Operation| {
                other.column.id == column.id
                    && (matches!(other.change, Change::Set(_)) || matches!(change, Change::Set(_)))
            };
            if operations.iter().any(clashes) {
                return Err(invalid(format!(
                    "Multiple incompatible setting of column {}",
                    column.name
                )));
            }
            operations.push(Operation {
                column: column.clone(),
                change,
            });
        }
        Self::finish(
            ModifyKind::Update,
            table,
            &update.relations,
            operations,
            &update.using,
            &update.conditions,
            terms,
        )
    }

    /// Prepares a DELETE.
    pub fn delete(
        delete: &ast::Delete,
        table: &Arc<Table>,
        terms: &mut TermContext<'_>,
    ) -> Result<Self, RequestError> {
        let mut operations = Vec::with_capacity(delete.deletions.len());
        for deletion in &delete.deletions {
            let column = find_column(table, &deletion.column)?;
            if column.is_primary_key() {
                return Err(invalid(format!(
                    "Invalid identifier {} for deletion (should not be a PRIMARY KEY part)",
                    column.name
                )));
            }
            operations.push(Operation {
                column: column.clone(),
                change: deletion_of(deletion, column, table, terms)?,
            });
        }
        Self::finish(
            ModifyKind::Delete,
            table,
            &delete.relations,
            operations,
            &delete.using,
            &delete.conditions,
            terms,
        )
    }

    fn finish(
        kind: ModifyKind,
        table: &Arc<Table>,
        relations: &[ast::Relation],
        operations: Vec<Operation>,
        using: &ast::Using,
        conditions: &ast::Conditions,
        terms: &mut TermContext<'_>,
    ) -> Result<Self, RequestError> {
        let conditional = !matches!(conditions, ast::Conditions::None);
        if table.is_counter() {
            if using.timestamp.is_some() {
                return Err(invalid(
                    "Cannot provide custom timestamp for counter updates",
                ));
            }
            if using.ttl.is_some() {
                return Err(invalid("Cannot provide custom TTL for counter updates"));
            }
            if conditional {
                return Err(invalid(
                    "Conditional updates are not supported on counter tables",
                ));
            }
        }
        let base = column_spec(table, &table.columns()[0]);
        let timestamp = using
            .timestamp
            .as_ref()
            .map(|term| terms.prepare(term, &using_slot(&base, "[timestamp]", CqlType::Bigint)))
            .transpose()?;
        let ttl = using
            .ttl
            .as_ref()
            .map(|term| terms.prepare(term, &using_slot(&base, "[ttl]", CqlType::Int)))
            .transpose()?;
        let restrictions = Restrictions::prepare(relations, table, Use::Modify, terms)?;
        let conditions = conditions_plan(conditions, table, terms)?;
        if conditional {
            if restrictions.clustering_in() && kind != ModifyKind::Insert {
                return Err(invalid(format!(
                    "IN on the clustering key columns is not supported with conditional {}",
                    if kind == ModifyKind::Delete {
                        "deletions"
                    } else {
                        "updates"
                    }
                )));
            }
            if timestamp.is_some() {
                return Err(invalid(
                    "Cannot provide custom timestamp for conditional updates",
                ));
            }
        }
        let mut plan = Self {
            kind,
            table: table.clone(),
            restrictions,
            operations,
            timestamp,
            ttl,
            conditions,
            json: None,
            static_only: false,
        };
        plan.check_rows()?;
        Ok(plan)
    }

    /// That the rows changed are named as the statement's kind needs.
    fn check_rows(&mut self) -> Result<(), RequestError> {
        let touches_static =
            !self.operations.is_empty() && self.operations.iter().all(Operation::is_static);
        let any_static = self.operations.iter().any(Operation::is_static);
        let restricted = self.restrictions.restricts_clustering();
        let word = match self.kind {
            ModifyKind::Insert => "INSERT",
            ModifyKind::Update => "UPDATE",
            ModifyKind::Delete => "DELETE",
        };
        if self.table.clustering_key().is_empty() {
            return Ok(());
        }
        // INSERT with a whole primary key also makes the row; without one it must be about statics alone.
        if touches_static && !(self.kind == ModifyKind::Insert && restricted) {
            let by_row = matches!(&self.conditions, ConditionsPlan::All(_))
                && !self.conditions.static_only();
            if restricted && !by_row {
                return Err(invalid(format!(
                    "Invalid restrictions on clustering columns since the {word} statement modifies only static columns"
                )));
            }
            if !matches!(&self.conditions, ConditionsPlan::All(_)) || self.conditions.static_only()
            {
                self.static_only = true;
                return Ok(());
            }
        }
        self.check_named(word, any_static)
    }

    /// That a statement names its rows, or for DELETE ranges.
    fn check_named(&self, word: &str, any_static: bool) -> Result<(), RequestError> {
        match self.kind {
            ModifyKind::Delete if self.operations.is_empty() => {
                if self.is_conditional() && !self.restrictions.names_rows() {
                    return Err(invalid(
                        "DELETE statements must restrict all PRIMARY KEY columns with equality relations in order to delete non static columns",
                    ));
                }
            }
            ModifyKind::Delete => {
                if !self.restrictions.names_rows() {
                    if self.is_conditional() {
                        return Err(invalid(
                            "DELETE statements must restrict all PRIMARY KEY columns with equality relations in order to delete non static columns",
                        ));
                    }
                    // Whether a range is empty, and then nothing is done, is known when the values are.
                    if !self.restrictions.restricts_clustering() {
                        return Err(range_of_columns());
                    }
                }
            }
            ModifyKind::Insert | ModifyKind::Update => {
                if self.restrictions.clustering_slice() {
                    return Err(invalid(format!(
                        "Slice restrictions are not supported on the clustering columns in {word} statements"
                    )));
                }
                if !self.restrictions.names_rows() {
                    return Err(invalid(format!(
                        "Some clustering keys are missing: {}",
                        self.restrictions.missing_clustering().join(", ")
                    )));
                }
                if self.kind == ModifyKind::Update
                    && any_static
                    && self.restrictions.clustering_in()
                {
                    return Err(invalid(
                        "Invalid restrictions on clustering columns since the UPDATE statement modifies static columns",
                    ));
                }
            }
        }
        Ok(())
    }
}
