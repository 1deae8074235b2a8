//! The functions whose types follow from their arguments: `min` of anything, `to_json`, `map_keys`, `mask_inner`, ….
//!
//! A parameter says which types it takes and how a type is inferred for an argument that has none of its own: from
//! another argument, or from the receiver of the result.

use super::aggregate::{Aggregate, Kind};
use super::argument::{Argument, Assignment};
use super::number::is_numeric;
use super::resolve::{Function, check};
use super::scalar::{Body, Scalar};
use super::{SYSTEM, collection, mask, vector};
use crate::json;
use model::error::RequestError;
use model::types::{CqlType, Frozen};
use std::sync::Arc;

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parameter {
    /// Anything.
    Any,
    /// Anything; without a type of its own, what the result is for.
    AnyOrReceiver,
    /// Anything; without a type of its own, the type of the first argument.
    AnyLikeFirst,
    /// A text of either type.
    AnyText,
    /// An `int`.
    Int,
    /// A `text`.
    Text,
    /// A map.
    Map,
    /// A list, set or map.
    Collection,
    /// A set or list whose messages say that it is of numbers.
    SetOrList,
    /// A set or list of numbers.
    NumericSetOrList,
    /// A vector of floats; without a type of its own, like the other one.
    FloatVector,
}

impl Parameter {
    fn text(self) -> &'static str {
        match self {
            Self::Any | Self::AnyOrReceiver | Self::AnyLikeFirst => "any",
            Self::AnyText => "[text|varchar|ascii]",
            Self::Int => "int",
            Self::Text => "text",
            Self::Map => "map",
            Self::Collection => "collection",
            Self::SetOrList | Self::NumericSetOrList => "numeric_set_or_list",
            Self::FloatVector => "vector<float, n>",
        }
    }

    /// The type of an argument by itself.
    fn infer(self, argument: &Argument, receiver: Option<&CqlType>) -> Option<CqlType> {
        match self {
            Self::AnyOrReceiver => argument.natural_type().or_else(|| receiver.cloned()),
            Self::AnyText | Self::Text => Some(argument.natural_type().unwrap_or(CqlType::Text)),
            Self::Int => Some(argument.natural_type().unwrap_or(CqlType::Int)),
            Self::FloatVector => match argument.list_length() {
                Some(length) => Some(CqlType::Vector(Arc::new(CqlType::Float), length as u32)),
                None => argument.natural_type(),
            },
            _ => argument.natural_type(),
        }
    }

    /// Why an argument of this type does not do.
    fn refuse(self, name: &str, argument: &Argument, ctype: &CqlType) -> Result<(), RequestError> {
        let of_type = |wanted: &CqlType| super::value_assignment(ctype, wanted) != Assignment::No;
        let (fits, wanted) = match self {
            Self::Any | Self::AnyOrReceiver | Self::AnyLikeFirst => return Ok(()),
            Self::AnyText => (
                of_type(&CqlType::Text),
                "an argument of type [text|varchar|ascii]",
            ),
            Self::Int => (of_type(&CqlType::Int), "an argument of type int"),
            Self::Text => (of_type(&CqlType::Text), "an argument of type text"),
            Self::Map => (matches!(ctype, CqlType::Map(..)), "a map argument"),
            Self::Collection => (ctype.is_collection(), "a collection argument"),
            Self::SetOrList => (element(ctype).is_some(), "a set or list argument"),
            Self::NumericSetOrList => (
                element(ctype).is_some_and(|element| is_numeric(element)),
                "a numeric set/list argument",
            ),
            Self::FloatVector => {
                let is_floats =
                    matches!(ctype, CqlType::Vector(element, _) if **element == CqlType::Float);
                (is_floats, "a float vector argument")
            }
        };
        if fits {
            return Ok(());
        }
        Err(RequestError::Invalid(format!(
            "Function {SYSTEM}.{name} requires {wanted}, but found argument {} of type {ctype}",
            argument.text()
        )))
    }
}

/// The element type of a set or list.
fn element(ctype: &CqlType) -> Option<&Arc<CqlType>> {
    match ctype {
        CqlType::List(element, _) | CqlType::Set(element, _) => Some(element),
        _ => None,
    }
}

/// The parameters of the functions made here, and how many of them must be given.
fn parameters(name: &str) -> Option<(&'static [Parameter], usize)> {
    use Parameter::*;
    let (parameters, optional): (&[Parameter], usize) = match name {
        "min" | "max" => (&[AnyOrReceiver], 0),
        "to_json" | "tojson" => (&[Any], 0),
        "from_json" | "fromjson" => (&[Text], 0),
        "map_keys" | "map_values" => (&[Map], 0),
        "collection_count" => (&[Collection], 0),
        "collection_min" | "collection_max" => (&[SetOrList], 0),
        "collection_sum" | "collection_avg" => (&[NumericSetOrList], 0),
        "similarity_cosine" | "similarity_euclidean" | "similarity_dot_product" => {
            (&[FloatVector, FloatVector], 0)
        }
        "mask_null" | "mask_default" => (&[AnyOrReceiver], 0),
        "mask_replace" => (&[AnyOrReceiver, AnyLikeFirst], 0),
        "mask_inner" | "mask_outer" => (&[AnyText, Int, Int, Text], 1),
        "mask_hash" => (&[Any, Text], 1),
        _ => return None,
    };
    Some((parameters, parameters.len() - optional))
}

/// The function of this name for these arguments; `None` if no such function is made here.
pub(super) fn create(
    name: &str,
    arguments: &[Argument],
    receiver: Option<&CqlType>,
) -> Result<Option<Function>, RequestError> {
    let Some((parameters, mandatory)) = parameters(name) else {
        return Ok(None);
    };
    if arguments.len() < mandatory || arguments.len() > parameters.len() {
        let described = describe(name, parameters, mandatory);
        return Err(RequestError::Invalid(format!(
            "Invalid number of arguments for function {described}"
        )));
    }
    let types = infer(name, parameters, mandatory, arguments, receiver)?;
    for ((parameter, argument), ctype) in parameters.iter().zip(arguments).zip(&types) {
        parameter.refuse(name, argument, ctype)?;
    }
    let function = build(name, types, receiver)?;
    check(&function, arguments)?;
    Ok(Some(function))
}

/// `system.name(a, [b])`
fn describe(name: &str, parameters: &[Parameter], mandatory: usize) -> String {
    let described: Vec<String> = parameters
        .iter()
        .enumerate()
        .map(|(index, parameter)| {
            let text = parameter.text();
            if index < mandatory {
                text.to_owned()
            } else {
                format!("[{text}]")
            }
        })
        .collect();
    format!("{SYSTEM}.{name}({})", described.join(", "))
}

/// The types of all arguments: first each by itself, then those that have none from the others.
fn infer(
    name: &str,
    parameters: &[Parameter],
    mandatory: usize,
    arguments: &[Argument],
    receiver: Option<&CqlType>,
) -> Result<Vec<CqlType>, RequestError> {
    let alone: Vec<Option<CqlType>> = parameters
        .iter()
        .zip(arguments)
        .map(|(parameter, argument)| parameter.infer(argument, receiver))
        .collect();
    let mut types = Vec::with_capacity(arguments.len());
    for (index, argument) in arguments.iter().enumerate() {
        let from_others = || match parameters[index] {
            Parameter::AnyLikeFirst => alone[0].clone(),
            Parameter::FloatVector => alone.iter().flatten().next().cloned(),
            _ => None,
        };
        let Some(ctype) = alone[index].clone().or_else(from_others) else {
            return Err(RequestError::Invalid(format!(
                "Cannot infer type of argument {} in call to function {}: use type casts to disambiguate",
                argument.text(),
                describe(name, parameters, mandatory)
            )));
        };
        types.push(ctype);
    }
    Ok(types)
}

/// The function of arguments whose types suit it.
fn build(
    name: &str,
    types: Vec<CqlType>,
    receiver: Option<&CqlType>,
) -> Result<Function, RequestError> {
    let first = types[0].clone();
    let element = element(&first).map(|element| element.as_ref().clone());
    let scalar = |types: Vec<CqlType>, returns: CqlType, body: Body| {
        Scalar::new(name.to_owned(), types, returns, body)
    };
    let of_element = |body: Body| {
        scalar(
            types.clone(),
            element.clone().unwrap_or(CqlType::Blob),
            body,
        )
    };
    Ok(Function::Scalar(match name {
        "min" => return Ok(Function::Aggregate(Aggregate::of(Kind::Min, first))),
        "max" => return Ok(Function::Aggregate(Aggregate::of(Kind::Max, first))),
        "to_json" | "tojson" => scalar(types, CqlType::Text, json::to_json).called_on_null(),
        "from_json" | "fromjson" => {
            let Some(receiver) = receiver else {
                let message = format!(
                    "{name}() cannot be used in the selection clause of a SELECT statement"
                );
                return Err(RequestError::Invalid(message));
            };
            scalar(vec![CqlType::Text], receiver.clone(), json::from_json)
        }
        "map_keys" | "map_values" => {
            let CqlType::Map(key, item, _) = &first else {
                unreachable!("its parameter takes maps only")
            };
            if name == "map_keys" {
                scalar(
                    types.clone(),
                    CqlType::Set(key.clone(), Frozen::No),
                    collection::map_keys,
                )
            } else {
                scalar(
                    types.clone(),
                    CqlType::List(item.clone(), Frozen::No),
                    collection::map_values,
                )
            }
        }
        "collection_count" => scalar(types, CqlType::Int, collection::count),
        "collection_min" => of_element(collection::min),
        "collection_max" => of_element(collection::max),
        "collection_sum" => of_element(collection::sum),
        "collection_avg" => of_element(collection::avg),
        "mask_null" => scalar(types, first, mask::null).called_on_null(),
        "mask_default" => scalar(types, first, mask::default).called_on_null(),
        "mask_replace" => {
            scalar(vec![first.clone(), first.clone()], first, mask::replace).called_on_null()
        }
        "mask_inner" => scalar(types, first, mask::inner).called_on_null(),
        "mask_outer" => scalar(types, first, mask::outer).called_on_null(),
        "mask_hash" => scalar(types, CqlType::Blob, mask::hash).called_on_null(),
        _ => similarity(name, types)?,
    }))
}

/// A similarity of two vectors.
fn similarity(name: &str, types: Vec<CqlType>) -> Result<Scalar, RequestError> {
    if types[0] != types[1] {
        return Err(RequestError::invalid(
            "All arguments must have the same vector dimensions",
        ));
    }
    let body: Body = match name {
        "similarity_cosine" => vector::cosine,
        "similarity_euclidean" => vector::euclidean,
        _ => vector::dot_product,
    };
    Ok(Scalar::new(name.to_owned(), types, CqlType::Float, body))
}
