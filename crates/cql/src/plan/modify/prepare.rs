//! From the syntax of INSERT, UPDATE and DELETE to their plans, with every rule about what may be changed.

use super::super::restrictions::{InTerms, Restrictions, Use};
use super::super::term::TermContext;
use super::super::{column_spec, find_column, invalid, json, renamed, term};
use super::conditions::{ConditionPart, ConditionPlan, ConditionTest, ConditionsPlan};
use super::operation::{Change, Operation};
use super::{ModifyKind, ModifyPlan, using_slot};
use crate::ast;
use crate::frame::ColumnSpec;
use model::error::RequestError;
use model::filter::Operator;
use model::schema::{Column, ColumnKind, Table};
use model::types::{CqlType, Frozen};
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
        let mut operations: Vec<Operation> = Vec::with_capacity(update.assignments.len());
        for assignment in &update.assignments {
            let column = find_column(table, &assignment.column)?;
            if column.is_primary_key() {
                return Err(invalid(format!(
                    "PRIMARY KEY part {} found in SET part",
                    column.name
                )));
            }
            let change = change(assignment, column, table, terms)?;
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
                    return Err(invalid(
                        "Range deletions are not supported for specific columns",
                    ));
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

fn wrong_operation(assignment: &ast::Assignment, rest: &str) -> RequestError {
    let column = &assignment.column;
    let text = match &assignment.operation {
        ast::Operation::Set(value) => format!("{column} = {value}"),
        ast::Operation::SetElement { key, value } => format!("{column}[{key}] = {value}"),
        ast::Operation::SetField { field, value } => format!("{column}.{field} = {value}"),
        ast::Operation::Add(value) => format!("{column} = {column} + {value}"),
        ast::Operation::Subtract(value) => format!("{column} = {column} - {value}"),
        ast::Operation::Prepend(value) => format!("{column} = {value} - {column}"),
    };
    invalid(format!("Invalid operation ({text}) for {rest}"))
}

fn change(
    assignment: &ast::Assignment,
    column: &Column,
    table: &Table,
    terms: &mut TermContext<'_>,
) -> Result<Change, RequestError> {
    let spec = column_spec(table, column);
    let name = &column.name;
    match &assignment.operation {
        ast::Operation::Set(value) => {
            if column.ctype == CqlType::Counter {
                return Err(invalid(format!(
                    "Cannot set the value of counter column {name} (counters can only be incremented/decremented, not set)"
                )));
            }
            Ok(Change::Set(terms.prepare(value, &spec)?))
        }
        ast::Operation::SetElement { key, value } => {
            set_element(assignment, column, &spec, key, value, terms)
        }
        ast::Operation::SetField { field, value } => {
            let CqlType::Udt(definition, frozen) = &column.ctype else {
                return Err(wrong_operation(
                    assignment,
                    &format!("non-UDT column {name}"),
                ));
            };
            if *frozen == Frozen::Yes {
                return Err(wrong_operation(
                    assignment,
                    &format!("frozen UDT column {name}"),
                ));
            }
            let (index, ctype) = term::field(definition, field).ok_or_else(|| {
                invalid(format!(
                    "UDT column {name} does not have a field named {field}"
                ))
            })?;
            Ok(Change::SetField(
                index,
                terms.prepare(
                    value,
                    &renamed(&spec, format!("{name}.{field}"), ctype.clone()),
                )?,
            ))
        }
        ast::Operation::Add(value) => match &column.ctype {
            CqlType::Counter => Ok(Change::Count(terms.prepare(value, &spec)?, false)),
            ctype if ctype.is_collection() && ctype.is_multi_cell() => {
                Ok(Change::Append(terms.prepare(value, &spec)?))
            }
            ctype if ctype.is_collection() => Err(wrong_operation(
                assignment,
                &format!("frozen collection column {name}"),
            )),
            _ => Err(wrong_operation(
                assignment,
                &format!("non counter column {name}"),
            )),
        },
        ast::Operation::Subtract(value) => subtract(assignment, column, &spec, value, terms),
        ast::Operation::Prepend(value) => match &column.ctype {
            CqlType::List(_, Frozen::No) => Ok(Change::Prepend(terms.prepare(value, &spec)?)),
            CqlType::List(_, Frozen::Yes) => Err(wrong_operation(
                assignment,
                &format!("frozen list column {name}"),
            )),
            _ => Err(wrong_operation(
                assignment,
                &format!("non list column {name}"),
            )),
        },
    }
}

fn set_element(
    assignment: &ast::Assignment,
    column: &Column,
    spec: &ColumnSpec,
    key: &ast::Term,
    value: &ast::Term,
    terms: &mut TermContext<'_>,
) -> Result<Change, RequestError> {
    let name = &column.name;
    match &column.ctype {
        ctype if ctype.is_collection() && !ctype.is_multi_cell() => Err(wrong_operation(
            assignment,
            &format!("frozen collection column {name}"),
        )),
        CqlType::List(element, _) => Ok(Change::SetIndex(
            terms.prepare(key, &renamed(spec, format!("idx({name})"), CqlType::Int))?,
            terms.prepare(
                value,
                &renamed(spec, format!("value({name})"), element.as_ref().clone()),
            )?,
        )),
        CqlType::Map(key_type, item, _) => Ok(Change::SetEntry(
            terms.prepare(
                key,
                &renamed(spec, format!("key({name})"), key_type.as_ref().clone()),
            )?,
            terms.prepare(
                value,
                &renamed(spec, format!("value({name})"), item.as_ref().clone()),
            )?,
        )),
        CqlType::Set(..) => Err(wrong_operation(assignment, &format!("set column {name}"))),
        _ => Err(wrong_operation(
            assignment,
            &format!("non collection column {name}"),
        )),
    }
}

fn subtract(
    assignment: &ast::Assignment,
    column: &Column,
    spec: &ColumnSpec,
    value: &ast::Term,
    terms: &mut TermContext<'_>,
) -> Result<Change, RequestError> {
    let name = &column.name;
    match &column.ctype {
        CqlType::Counter => Ok(Change::Count(terms.prepare(value, spec)?, true)),
        ctype if ctype.is_collection() && !ctype.is_multi_cell() => Err(wrong_operation(
            assignment,
            &format!("frozen collection column {name}"),
        )),
        CqlType::List(..) => Ok(Change::DiscardValues(terms.prepare(value, spec)?)),
        CqlType::Set(..) => Ok(Change::Discard(terms.prepare(value, spec)?)),
        CqlType::Map(key, _, _) => {
            if let ast::Term::Map(_) = value {
                return Err(invalid(format!(
                    "Value for a map substraction has to be a set, but was: '{value}'"
                )));
            }
            let keys = CqlType::Set(key.clone(), Frozen::Yes);
            Ok(Change::Discard(
                terms.prepare(value, &renamed(spec, name.clone(), keys))?,
            ))
        }
        _ => Err(wrong_operation(
            assignment,
            &format!("non counter column {name}"),
        )),
    }
}

fn deletion_of(
    deletion: &ast::Deletion,
    column: &Column,
    table: &Table,
    terms: &mut TermContext<'_>,
) -> Result<Change, RequestError> {
    let spec = column_spec(table, column);
    let name = &column.name;
    match &deletion.part {
        ast::Part::Whole => Ok(Change::Delete),
        ast::Part::Element(key) => match &column.ctype {
            ctype if !ctype.is_collection() => Err(invalid(format!(
                "Invalid deletion operation for non collection column {name}"
            ))),
            ctype if !ctype.is_multi_cell() => Err(invalid(format!(
                "Invalid deletion operation for frozen collection column {name}"
            ))),
            CqlType::List(..) => Ok(Change::DeleteIndex(
                terms.prepare(key, &renamed(&spec, format!("idx({name})"), CqlType::Int))?,
            )),
            CqlType::Set(element, _) => Ok(Change::DeleteEntry(terms.prepare(
                key,
                &renamed(&spec, format!("value({name})"), element.as_ref().clone()),
            )?)),
            CqlType::Map(key_type, _, _) => Ok(Change::DeleteEntry(terms.prepare(
                key,
                &renamed(&spec, format!("key({name})"), key_type.as_ref().clone()),
            )?)),
            _ => unreachable!("collections are lists, sets and maps"),
        },
        ast::Part::Field(field) => {
            let CqlType::Udt(definition, frozen) = &column.ctype else {
                return Err(invalid(format!(
                    "Invalid deletion operation for non-UDT column {name}"
                )));
            };
            if *frozen == Frozen::Yes {
                return Err(invalid(format!(
                    "Frozen UDT column {name} does not support field deletions"
                )));
            }
            let (index, _) = term::field(definition, field).ok_or_else(|| {
                invalid(format!(
                    "UDT column {name} does not have a field named {field}"
                ))
            })?;
            Ok(Change::DeleteField(index))
        }
    }
}

fn conditions_plan(
    conditions: &ast::Conditions,
    table: &Arc<Table>,
    terms: &mut TermContext<'_>,
) -> Result<ConditionsPlan, RequestError> {
    Ok(match conditions {
        ast::Conditions::None => ConditionsPlan::None,
        ast::Conditions::IfNotExists => ConditionsPlan::NotExists,
        ast::Conditions::IfExists => ConditionsPlan::Exists,
        ast::Conditions::If(conditions) => ConditionsPlan::All(
            conditions
                .iter()
                .map(|condition| condition_plan(condition, table, terms))
                .collect::<Result<_, _>>()?,
        ),
    })
}

fn condition_plan(
    condition: &ast::Condition,
    table: &Arc<Table>,
    terms: &mut TermContext<'_>,
) -> Result<ConditionPlan, RequestError> {
    let column = find_column(table, &condition.column)?.clone();
    if matches!(
        column.kind,
        ColumnKind::PartitionKey | ColumnKind::Clustering
    ) {
        return Err(invalid(format!(
            "PRIMARY KEY column '{}' cannot have IF conditions",
            column.name
        )));
    }
    if column.ctype == CqlType::Counter {
        return Err(invalid("Conditions on counters are not supported"));
    }
    let spec = column_spec(table, &column);
    let name = &column.name;
    let (part, slot) = match &condition.part {
        ast::Part::Whole => (ConditionPart::Whole, spec.clone()),
        ast::Part::Element(key) => match &column.ctype {
            CqlType::List(element, _) => {
                let key =
                    terms.prepare(key, &renamed(&spec, format!("idx({name})"), CqlType::Int))?;
                (
                    ConditionPart::Element(key),
                    renamed(&spec, format!("value({name})"), element.as_ref().clone()),
                )
            }
            CqlType::Map(key_type, item, _) => {
                let key = terms.prepare(
                    key,
                    &renamed(&spec, format!("key({name})"), key_type.as_ref().clone()),
                )?;
                (
                    ConditionPart::Element(key),
                    renamed(&spec, format!("value({name})"), item.as_ref().clone()),
                )
            }
            CqlType::Set(..) => {
                return Err(invalid(format!(
                    "Invalid element access syntax for set column {name}"
                )));
            }
            _ => {
                return Err(invalid(format!(
                    "Invalid element access syntax for non-collection column {name}"
                )));
            }
        },
        ast::Part::Field(field) => {
            let CqlType::Udt(definition, _) = &column.ctype else {
                return Err(invalid(format!(
                    "Invalid field access syntax for non-UDT column {name}"
                )));
            };
            let (index, ctype) = term::field(definition, field)
                .ok_or_else(|| invalid(format!("Unknown field {field} for column {name}")))?;
            (
                ConditionPart::Field(index),
                renamed(&spec, format!("{name}.{field}"), ctype.clone()),
            )
        }
    };
    let test = condition_test(&condition.test, &slot, terms)?;
    Ok(ConditionPlan { column, part, test })
}

fn condition_test(
    test: &ast::ConditionTest,
    slot: &ColumnSpec,
    terms: &mut TermContext<'_>,
) -> Result<ConditionTest, RequestError> {
    let name = &slot.name;
    match test {
        ast::ConditionTest::Compare(operator, value) => {
            let (operator, receiver) = match operator {
                ast::Operator::Equal => (Operator::Equal, slot.clone()),
                ast::Operator::NotEqual => (Operator::NotEqual, slot.clone()),
                ast::Operator::Less => (Operator::Less, slot.clone()),
                ast::Operator::LessOrEqual => (Operator::LessOrEqual, slot.clone()),
                ast::Operator::Greater => (Operator::Greater, slot.clone()),
                ast::Operator::GreaterOrEqual => (Operator::GreaterOrEqual, slot.clone()),
                ast::Operator::Contains | ast::Operator::ContainsKey => {
                    let key = *operator == ast::Operator::ContainsKey;
                    let element = match &slot.cql_type {
                        CqlType::Map(key_type, _, _) if key => key_type,
                        CqlType::List(element, _)
                        | CqlType::Set(element, _)
                        | CqlType::Map(_, element, _)
                            if !key =>
                        {
                            element
                        }
                        _ if key => {
                            return Err(invalid(format!(
                                "Cannot use CONTAINS KEY on non-map column {name}"
                            )));
                        }
                        _ => {
                            return Err(invalid(format!(
                                "Cannot use CONTAINS on non-collection column {name}"
                            )));
                        }
                    };
                    let word = if key { "key" } else { "value" };
                    let kind = if key {
                        Operator::ContainsKey
                    } else {
                        Operator::Contains
                    };
                    (
                        kind,
                        renamed(slot, format!("{word}({name})"), element.as_ref().clone()),
                    )
                }
                ast::Operator::Like => return Err(invalid("LIKE conditions are not supported")),
            };
            let ordered = matches!(
                operator,
                Operator::Less
                    | Operator::LessOrEqual
                    | Operator::Greater
                    | Operator::GreaterOrEqual
            );
            if ordered && slot.cql_type.any(&|ctype| *ctype == CqlType::Duration) {
                return Err(invalid(
                    "Slice conditions ( ".to_owned()
                        + &format!("{operator:?}").to_lowercase()
                        + " ) are not supported on durations",
                ));
            }
            Ok(ConditionTest::Compare(
                operator,
                terms.prepare(value, &receiver)?,
            ))
        }
        ast::ConditionTest::In(ast::InValues::List(items)) => {
            let items = items
                .iter()
                .map(|item| terms.prepare(item, slot))
                .collect::<Result<_, _>>()?;
            Ok(ConditionTest::In(InTerms::List(items)))
        }
        ast::ConditionTest::In(ast::InValues::Marker(marker)) => {
            let list = CqlType::List(Arc::new(slot.cql_type.freeze()), Frozen::Yes);
            let term = terms.prepare(
                &ast::Term::Marker(marker.clone()),
                &renamed(slot, format!("in({name})"), list),
            )?;
            Ok(ConditionTest::In(InTerms::Marker(
                term,
                slot.cql_type.clone(),
            )))
        }
    }
}
