//! Which function a call means: by name, by what is known of the arguments, and by the type that is to receive the
//! result.
//!
//! A name with a single signature is checked against it and every fault is named. Of several signatures an exact match
//! wins, then a sole assignable one; a receiver rules out those whose result it cannot take, and for arithmetic decides
//! among the rest (`int_column = 1 + 2`).

use super::argument::{Argument, Assignment, value_assignment};
use super::scalar::Scalar;
use super::{Aggregate, SYSTEM, arithmetic, cast as casts, factory, native};
use crate::ast::{ArithmeticOperator, NativeType, QualifiedName};
use model::error::RequestError;
use model::types::CqlType;

/// The name of `-a`.
pub(super) const NEGATION: &str = "_negate";

/// What the names of casts start with.
pub(super) const CAST_PREFIX: &str = "cast_as_";

/// A resolved function.
#[derive(Debug, Clone, PartialEq)]
pub enum Function {
    /// Of one row's values.
    Scalar(Scalar),
    /// Of many rows' values.
    Aggregate(Aggregate),
}

impl Function {
    /// Types of its arguments.
    pub fn argument_types(&self) -> &[CqlType] {
        match self {
            Self::Scalar(scalar) => scalar.argument_types(),
            Self::Aggregate(aggregate) => aggregate.argument_types(),
        }
    }

    /// Type of its result.
    pub fn return_type(&self) -> &CqlType {
        match self {
            Self::Scalar(scalar) => scalar.return_type(),
            Self::Aggregate(aggregate) => aggregate.return_type(),
        }
    }

    /// Its name with keyspace, as messages have it.
    pub fn display_name(&self) -> String {
        match self {
            Self::Scalar(scalar) => scalar.display_name(),
            Self::Aggregate(aggregate) => aggregate.display_name(),
        }
    }

    fn signature(&self) -> String {
        match self {
            Self::Scalar(scalar) => scalar.signature(),
            Self::Aggregate(aggregate) => aggregate.signature(),
        }
    }
}

/// The name of an arithmetic operator's function.
pub fn operator_name(operator: ArithmeticOperator) -> QualifiedName {
    native_name(match operator {
        ArithmeticOperator::Add => "_add",
        ArithmeticOperator::Subtract => "_substract",
        ArithmeticOperator::Multiply => "_multiply",
        ArithmeticOperator::Divide => "_divide",
        ArithmeticOperator::Modulo => "_modulo",
    })
}

/// The operator a function stands for, if it is arithmetic.
pub(super) fn operator_symbol(name: &str) -> Option<char> {
    match name {
        "_add" => Some('+'),
        "_substract" => Some('-'),
        "_multiply" => Some('*'),
        "_divide" => Some('/'),
        "_modulo" => Some('%'),
        _ => None,
    }
}

/// The name of the function of `-a`.
pub fn negation_name() -> QualifiedName {
    native_name(NEGATION)
}

/// The name of the function of `CAST(a AS target)`.
pub fn cast_name(target: NativeType) -> QualifiedName {
    native_name(&format!("{CAST_PREFIX}{}", target.text()))
}

fn native_name(name: &str) -> QualifiedName {
    QualifiedName {
        keyspace: Some(SYSTEM.to_owned()),
        name: name.to_owned(),
    }
}

/// The cast of a selector to a type; `None` if it is of that type already and stays as it is, name included.
pub fn cast(argument: &Argument, target: NativeType) -> Result<Option<Scalar>, RequestError> {
    let wanted = CqlType::native(target.text());
    if argument.certain_type().is_some() && argument.certain_type() == wanted.as_ref() {
        return Ok(None);
    }
    let name = cast_name(target);
    if casts::candidates(&name.name).is_empty() {
        let message = format!("{} cannot be cast to {}", argument.text(), target.text());
        return Err(RequestError::Invalid(message));
    }
    resolve_scalar(&name, std::slice::from_ref(argument), None, SYSTEM).map(Some)
}

/// `token(…)` of a table with these partition key columns, checked against its arguments.
pub fn token(partition_key: Vec<CqlType>, arguments: &[Argument]) -> Result<Scalar, RequestError> {
    let scalar = native::token(partition_key);
    check(&Function::Scalar(scalar.clone()), arguments)?;
    Ok(scalar)
}

/// `count(*)`
pub fn count_rows() -> Aggregate {
    Aggregate::count_rows()
}

/// The function a term calls. `receiver` is the type its result is for, if there is one.
pub fn resolve_scalar(
    name: &QualifiedName,
    arguments: &[Argument],
    receiver: Option<&CqlType>,
    keyspace: &str,
) -> Result<Scalar, RequestError> {
    match find(name, arguments, receiver, keyspace)? {
        Some(Function::Scalar(scalar)) => Ok(scalar),
        Some(Function::Aggregate(_)) => Err(RequestError::invalid(
            "Aggregation function are not supported in the where clause",
        )),
        None => Err(RequestError::Invalid(format!(
            "Unknown function {name} called"
        ))),
    }
}

/// The function a selector calls.
pub fn resolve(
    name: &QualifiedName,
    arguments: &[Argument],
    keyspace: &str,
) -> Result<Function, RequestError> {
    find(name, arguments, None, keyspace)?
        .ok_or_else(|| RequestError::Invalid(format!("Unknown function '{name}'")))
}

/// Native functions are found by their bare name or in `system`; `keyspace`, where bare names would also find user
/// functions, has none yet.
fn find(
    name: &QualifiedName,
    arguments: &[Argument],
    receiver: Option<&CqlType>,
    _keyspace: &str,
) -> Result<Option<Function>, RequestError> {
    if name
        .keyspace
        .as_deref()
        .is_some_and(|keyspace| keyspace != SYSTEM)
    {
        return Ok(None);
    }
    if let Some(function) = factory::create(&name.name, arguments, receiver)? {
        return Ok(Some(function));
    }
    let candidates = candidates(&name.name);
    match candidates.as_slice() {
        [] => Ok(None),
        [only] => {
            check(only, arguments)?;
            Ok(Some(only.clone()))
        }
        _ => best(name, candidates, arguments, receiver).map(Some),
    }
}

fn candidates(name: &str) -> Vec<Function> {
    let scalars = if operator_symbol(name).is_some() || name == NEGATION {
        arithmetic::candidates(name)
    } else if name.starts_with(CAST_PREFIX) {
        casts::candidates(name)
    } else {
        native::candidates(name)
    };
    if scalars.is_empty() {
        return Aggregate::candidates(name)
            .into_iter()
            .map(Function::Aggregate)
            .collect();
    }
    scalars.into_iter().map(Function::Scalar).collect()
}

/// Checks the arguments of a function that has no overloads.
pub(super) fn check(function: &Function, arguments: &[Argument]) -> Result<(), RequestError> {
    let types = function.argument_types();
    let name = function.display_name();
    if types.len() != arguments.len() {
        return Err(RequestError::Invalid(format!(
            "Invalid number of arguments in call to function {name}: {} required but {} provided",
            types.len(),
            arguments.len()
        )));
    }
    for (index, (argument, ctype)) in arguments.iter().zip(types).enumerate() {
        if argument.assignment(ctype) == Assignment::No {
            return Err(RequestError::Invalid(format!(
                "Type error: {} cannot be passed as argument {index} of function {name} of type {ctype}",
                argument.text()
            )));
        }
    }
    Ok(())
}

fn fit(function: &Function, arguments: &[Argument]) -> Assignment {
    let types = function.argument_types();
    if types.len() != arguments.len() {
        return Assignment::No;
    }
    let fits = arguments
        .iter()
        .zip(types)
        .map(|(argument, ctype)| argument.assignment(ctype));
    fits.min().unwrap_or(Assignment::Exact)
}

fn best(
    name: &QualifiedName,
    candidates: Vec<Function>,
    arguments: &[Argument],
    receiver: Option<&CqlType>,
) -> Result<Function, RequestError> {
    let mut compatible = Vec::new();
    for candidate in &candidates {
        let suits = receiver.is_none_or(|receiver| {
            value_assignment(candidate.return_type(), receiver) != Assignment::No
        });
        if !suits {
            continue;
        }
        match fit(candidate, arguments) {
            Assignment::Exact => return Ok(candidate.clone()),
            Assignment::Weak => compatible.push(candidate.clone()),
            Assignment::No => {}
        }
    }
    let operator = operator_symbol(&name.name);
    if compatible.is_empty() {
        return Err(RequestError::Invalid(match (operator, arguments) {
            (Some(operator), [left, right]) => {
                format!(
                    "the '{operator}' operation is not supported between {} and {}",
                    left.text(),
                    right.text()
                )
            }
            _ => format!(
                "Invalid call to function {name}, none of its type signatures match (known type signatures: {})",
                signatures(&candidates)
            ),
        }));
    }
    if compatible.len() == 1 {
        return Ok(compatible.swap_remove(0));
    }
    if let (Some(operator), [left, right]) = (operator, arguments) {
        if let Some(receiver) = receiver
            && !left.is_marker()
            && !right.is_marker()
            && let Some(same) = compatible
                .iter()
                .find(|function| function.argument_types() == [receiver.clone(), receiver.clone()])
        {
            return Ok(same.clone());
        }
        return Err(RequestError::Invalid(format!(
            "Ambiguous '{operator}' operation with args {} and {}: use type hint to disambiguate, example '(int) ?'",
            left.text(),
            right.text()
        )));
    }
    if name.name == NEGATION {
        return Err(RequestError::invalid(
            "Ambiguous negation: use type casts to disambiguate",
        ));
    }
    Err(RequestError::Invalid(format!(
        "Ambiguous call to function {name} (can be matched by following signatures: {}): use type casts to disambiguate",
        signatures(&compatible)
    )))
}

fn signatures(functions: &[Function]) -> String {
    functions
        .iter()
        .map(Function::signature)
        .collect::<Vec<_>>()
        .join(", ")
}
