//! Evaluating terms: what a statement's terms come to with the values of one execution.

use super::Term;
use crate::functions::Scalar;
use crate::plan::invalid;
use crate::plan::values::{Bound, BoundValues};
use model::error::RequestError;
use model::types::{CqlType, UserType};
use model::value;
use std::borrow::Cow;
use std::sync::Arc;

impl Term {
    /// Whether executions cannot differ in it.
    pub(super) fn is_constant(&self) -> bool {
        match self {
            Self::Constant(_) | Self::Null => true,
            Self::Marker(..) => false,
            Self::Sequence(_, items) | Self::Fields(_, items) | Self::Vector(_, items) => {
                items.iter().all(Self::is_constant)
            }
            Self::Map(_, entries) => entries
                .iter()
                .all(|(key, item)| key.is_constant() && item.is_constant()),
            Self::Call(scalar, arguments) => {
                scalar.is_deterministic() && arguments.iter().all(Self::is_constant)
            }
        }
    }

    /// Whether a function is called in it.
    pub(super) fn has_call(&self) -> bool {
        match self {
            Self::Constant(_) | Self::Null | Self::Marker(..) => false,
            Self::Sequence(_, items) | Self::Fields(_, items) | Self::Vector(_, items) => {
                items.iter().any(Self::has_call)
            }
            Self::Map(_, entries) => entries
                .iter()
                .any(|(key, item)| key.has_call() || item.has_call()),
            Self::Call(..) => true,
        }
    }

    /// The index of the marker the term is, if it is one.
    pub fn marker(&self) -> Option<usize> {
        match self {
            Self::Marker(index, _) => Some(*index),
            _ => None,
        }
    }

    /// The term's value in one execution.
    pub fn evaluate<'a>(&'a self, values: &BoundValues<'a>) -> Result<Bound<'a>, RequestError> {
        match self {
            Self::Constant(bytes) => Ok(Bound::Value(Cow::Borrowed(bytes))),
            Self::Null => Ok(Bound::Null),
            Self::Marker(index, ctype) => {
                let bound = values.get(*index);
                if let Bound::Value(bytes) = &bound {
                    value::validate(ctype, bytes).map_err(|error| invalid(error.0))?;
                }
                Ok(bound)
            }
            Self::Sequence(ctype, items) => {
                let parts = evaluate_elements(items, values)?;
                Ok(owned(match ctype {
                    CqlType::Set(element, _) => sorted_set(element, parts),
                    _ => value::join_collection(parts.len(), parts.iter().map(AsRef::as_ref)),
                }))
            }
            Self::Map(ctype, entries) => evaluate_map(ctype, entries, values),
            Self::Fields(_, items) => {
                let mut out = Vec::new();
                for item in items {
                    let part = item
                        .evaluate(values)?
                        .required(|| invalid("Invalid unset value for field or component"))?;
                    value::put_field(&mut out, part.as_deref());
                }
                Ok(owned(out))
            }
            Self::Vector(ctype, items) => {
                let CqlType::Vector(element, _) = ctype else {
                    unreachable!("prepared as a vector")
                };
                let parts: Vec<Vec<u8>> = evaluate_elements(items, values)?
                    .into_iter()
                    .map(Cow::into_owned)
                    .collect();
                Ok(owned(value::join_vector(element, &parts)))
            }
            Self::Call(scalar, arguments) => evaluate_call(scalar, arguments, values),
        }
    }
}

/// Evaluates what needs no execution. A call that fails does so when the statement runs, as in Cassandra.
pub(super) fn fold(term: Term) -> Result<Term, RequestError> {
    if matches!(term, Term::Constant(_) | Term::Null | Term::Marker(..)) || !term.is_constant() {
        return Ok(term);
    }
    let folded = match term.evaluate(&BoundValues::none()) {
        Ok(Bound::Value(bytes)) => Some(bytes.into_owned()),
        Ok(Bound::Null | Bound::Unset) => None,
        Err(_) if term.has_call() => return Ok(term),
        Err(error) => return Err(error),
    };
    Ok(folded.map_or(Term::Null, Term::Constant))
}

fn owned<'a>(bytes: Vec<u8>) -> Bound<'a> {
    Bound::Value(Cow::Owned(bytes))
}

fn element<'a>(item: &'a Term, values: &BoundValues<'a>) -> Result<Cow<'a, [u8]>, RequestError> {
    item.evaluate(values)?
        .required(|| invalid("unset value is not supported inside collections"))?
        .ok_or_else(|| invalid("null is not supported inside collections"))
}

fn evaluate_map<'a>(
    ctype: &CqlType,
    entries: &'a [(Term, Term)],
    values: &BoundValues<'a>,
) -> Result<Bound<'a>, RequestError> {
    let CqlType::Map(key, _, _) = ctype else {
        unreachable!("prepared as a map")
    };
    let keys = entries
        .iter()
        .map(|(key, _)| element(key, values))
        .collect::<Result<Vec<_>, _>>()?;
    let items = entries
        .iter()
        .map(|(_, item)| element(item, values))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(owned(sorted_map(
        key,
        keys.into_iter().zip(items).collect(),
    )))
}

fn evaluate_call<'a>(
    scalar: &Scalar,
    arguments: &'a [Term],
    values: &BoundValues<'a>,
) -> Result<Bound<'a>, RequestError> {
    let mut parts = Vec::with_capacity(arguments.len());
    for argument in arguments {
        parts.push(argument.evaluate(values)?.required(|| {
            invalid(format!(
                "Invalid unset value for argument in call to function {}",
                scalar.short_name()
            ))
        })?);
    }
    let borrowed: Vec<Option<&[u8]>> = parts.iter().map(|part| part.as_deref()).collect();
    Ok(match scalar.call(&borrowed, &values.context)? {
        Some(bytes) => owned(bytes),
        None => Bound::Null,
    })
}

fn evaluate_elements<'a>(
    items: &'a [Term],
    values: &BoundValues<'a>,
) -> Result<Vec<Cow<'a, [u8]>>, RequestError> {
    items.iter().map(|item| element(item, values)).collect()
}

/// A set's bytes: elements in the order of their type, none twice.
pub fn sorted_set(ctype: &CqlType, mut parts: Vec<Cow<'_, [u8]>>) -> Vec<u8> {
    parts.sort_by(|one, other| value::compare(ctype, one, other));
    parts.dedup_by(|one, other| value::compare(ctype, one, other).is_eq());
    value::join_collection(parts.len(), parts.iter().map(AsRef::as_ref))
}

/// A map's bytes: entries in the order of the key type; of equal keys the last entry counts.
pub fn sorted_map(ctype: &CqlType, mut entries: Vec<(Cow<'_, [u8]>, Cow<'_, [u8]>)>) -> Vec<u8> {
    entries.reverse();
    entries.sort_by(|one, other| value::compare(ctype, &one.0, &other.0));
    entries.dedup_by(|one, other| value::compare(ctype, &one.0, &other.0).is_eq());
    value::join_collection(
        entries.len(),
        entries
            .iter()
            .flat_map(|(key, item)| [key.as_ref(), item.as_ref()]),
    )
}

/// The field of a user type by name, with its index.
pub fn field<'a>(definition: &'a Arc<UserType>, name: &str) -> Option<(usize, &'a CqlType)> {
    definition
        .fields
        .iter()
        .enumerate()
        .find(|(_, (field, _))| field == name)
        .map(|(index, (_, ctype))| (index, ctype))
}
