//! From the syntax of IF to its plan.

use super::super::restrictions::InTerms;
use super::super::term::{self, TermContext};
use super::super::{column_spec, find_column, invalid, renamed};
use super::conditions::{ConditionPart, ConditionPlan, ConditionTest, ConditionsPlan, text};
use crate::ast;
use crate::frame::ColumnSpec;
use model::error::RequestError;
use model::filter::Operator;
use model::schema::{ColumnKind, Table};
use model::types::{CqlType, Frozen};
use std::sync::Arc;

/// The IF of a statement.
pub(super) fn conditions_plan(
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
            let (operator, receiver) = compared(*operator, slot)?;
            let ordered = matches!(
                operator,
                Operator::Less
                    | Operator::LessOrEqual
                    | Operator::Greater
                    | Operator::GreaterOrEqual
            );
            if ordered && slot.cql_type.any(&|ctype| *ctype == CqlType::Duration) {
                return Err(invalid(format!(
                    "Slice conditions ( {} ) are not supported on durations",
                    text(operator)
                )));
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

/// The operator of a condition, and what its operand is received as.
fn compared(
    operator: ast::Operator,
    slot: &ColumnSpec,
) -> Result<(Operator, ColumnSpec), RequestError> {
    let name = &slot.name;
    Ok(match operator {
        ast::Operator::Equal => (Operator::Equal, slot.clone()),
        ast::Operator::NotEqual => (Operator::NotEqual, slot.clone()),
        ast::Operator::Less => (Operator::Less, slot.clone()),
        ast::Operator::LessOrEqual => (Operator::LessOrEqual, slot.clone()),
        ast::Operator::Greater => (Operator::Greater, slot.clone()),
        ast::Operator::GreaterOrEqual => (Operator::GreaterOrEqual, slot.clone()),
        ast::Operator::Contains | ast::Operator::ContainsKey => {
            let key = operator == ast::Operator::ContainsKey;
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
    })
}
