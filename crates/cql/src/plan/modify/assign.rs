//! SET of UPDATE and the columns of DELETE: which change an assignment means, by the column's type.

use super::super::term::{self, TermContext};
use super::super::{column_spec, invalid, renamed};
use super::operation::Change;
use crate::ast;
use crate::frame::ColumnSpec;
use crate::functions::{self, Argument};
use model::error::RequestError;
use model::schema::{Column, Table};
use model::types::{CqlType, Frozen};

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

/// What an assignment of UPDATE does to its column.
pub(super) fn change(
    assignment: &ast::Assignment,
    column: &Column,
    table: &Table,
    conditional: bool,
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
            set_field(assignment, column, &spec, field, value, terms)
        }
        ast::Operation::Add(value) => add(assignment, column, &spec, value, conditional, terms),
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

fn set_field(
    assignment: &ast::Assignment,
    column: &Column,
    spec: &ColumnSpec,
    field: &str,
    value: &ast::Term,
    terms: &mut TermContext<'_>,
) -> Result<Change, RequestError> {
    let name = &column.name;
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
            &renamed(spec, format!("{name}.{field}"), ctype.clone()),
        )?,
    ))
}

/// `c = c + value`. Of numbers and texts it is only allowed beside a condition.
fn add(
    assignment: &ast::Assignment,
    column: &Column,
    spec: &ColumnSpec,
    value: &ast::Term,
    conditional: bool,
    terms: &mut TermContext<'_>,
) -> Result<Change, RequestError> {
    let name = &column.name;
    let wrong = |rest: &str| Err(wrong_operation(assignment, &format!("{rest} {name}")));
    let ctype = &column.ctype;
    match ctype {
        CqlType::Counter => Ok(Change::Count(terms.prepare(value, spec)?, false)),
        _ if ctype.is_collection() && ctype.is_multi_cell() => {
            Ok(Change::Append(terms.prepare(value, spec)?))
        }
        _ if ctype.is_collection() => wrong("frozen collection column"),
        CqlType::Tuple(_) | CqlType::Udt(..) => wrong("tuple column"),
        _ if !conditional => wrong("non counter column"),
        _ if ctype.is_number() || ctype.is_text() => {
            let operand = || Argument::typed(name.clone(), ctype.clone());
            let plus = functions::operator_name(ast::ArithmeticOperator::Add);
            let arguments = [operand(), operand()];
            let scalar = functions::resolve_scalar(&plus, &arguments, Some(ctype), terms.keyspace)?;
            Ok(Change::Add(scalar, terms.prepare(value, spec)?))
        }
        _ => wrong("non-numeric and non-text type"),
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

/// What an element of DELETE's list does to its column.
pub(super) fn deletion_of(
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
