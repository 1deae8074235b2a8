//! Expressions over the inputs of a row and the results of aggregates.

use crate::functions::Scalar;
use crate::plan::invalid;
use crate::plan::term::{Term, sorted_set};
use crate::plan::values::{Bound, BoundValues};
use model::error::RequestError;
use model::types::CqlType;
use model::value;
use std::borrow::Cow;

/// A value computed from inputs and, in a grouped SELECT, from aggregates.
#[derive(Debug, Clone)]
pub(super) enum Expression {
    /// An input.
    Input(usize),
    /// The result of an aggregate.
    Aggregated(usize),
    /// A term of the statement.
    Term(Term),
    /// A function of values.
    Call(Scalar, Vec<Expression>),
    /// A field of a user type or tuple.
    Field(Box<Expression>, usize),
    /// An element of a map (its value) or set (the element itself, if it is there).
    Element(Box<Expression>, CqlType, Term),
    /// The elements of a map or set between two keys.
    Slice(Box<Expression>, CqlType, Option<Term>, Option<Term>),
    /// A collection, tuple or user type of values.
    Build(CqlType, Vec<Expression>),
}

impl Expression {
    /// Collects the calls in it of deterministic functions of terms alone.
    pub(super) fn constant_calls(&self, found: &mut Vec<Self>) {
        match self {
            Self::Input(_) | Self::Aggregated(_) | Self::Term(_) => {}
            Self::Call(scalar, arguments) => {
                let constant = |argument: &Self| matches!(argument, Self::Term(_));
                if scalar.is_deterministic() && arguments.iter().all(constant) {
                    return found.push(self.clone());
                }
                arguments
                    .iter()
                    .for_each(|argument| argument.constant_calls(found));
            }
            Self::Field(of, _) | Self::Element(of, ..) | Self::Slice(of, ..) => {
                of.constant_calls(found);
            }
            Self::Build(_, parts) => parts.iter().for_each(|part| part.constant_calls(found)),
        }
    }
}

/// A value, borrowed from the row where it can be.
pub(super) type Value<'a> = Option<Cow<'a, [u8]>>;

/// The value of an expression over a row's inputs and a group's results.
pub(super) fn evaluate<'a>(
    expression: &'a Expression,
    inputs: &'a [Value<'_>],
    results: &'a [Option<Vec<u8>>],
    values: &BoundValues<'_>,
) -> Result<Value<'a>, RequestError> {
    let again = |inner: &'a Expression| evaluate(inner, inputs, results, values);
    Ok(match expression {
        Expression::Input(index) => inputs[*index].as_deref().map(Cow::Borrowed),
        Expression::Aggregated(index) => results[*index].as_deref().map(Cow::Borrowed),
        Expression::Term(term) => term_value(term, values)?.map(Cow::Owned),
        Expression::Call(scalar, arguments) => {
            let arguments = arguments.iter().map(again).collect::<Result<Vec<_>, _>>()?;
            let borrowed: Vec<Option<&[u8]>> = arguments
                .iter()
                .map(|argument| argument.as_deref())
                .collect();
            scalar.call(&borrowed, &values.context)?.map(Cow::Owned)
        }
        Expression::Field(of, index) => again(of)?.and_then(|bytes| {
            value::fields(&bytes)
                .nth(*index)
                .flatten()
                .map(|field| Cow::Owned(field.to_vec()))
        }),
        Expression::Element(of, ctype, key) => match (again(of)?, term_value(key, values)?) {
            (Some(bytes), Some(key)) => element(ctype, &bytes, &key).map(Cow::Owned),
            _ => None,
        },
        Expression::Slice(of, ctype, from, to) => {
            let bound = |term: &Option<Term>| {
                term.as_ref()
                    .map_or(Ok(None), |term| end_value(term, values))
            };
            let (from, to) = (bound(from)?, bound(to)?);
            again(of)?
                .map(|bytes| slice(ctype, &bytes, from.as_deref(), to.as_deref()))
                .filter(|kept| !ctype.is_multi_cell() || value::element_count(kept) > 0)
                .map(Cow::Owned)
        }
        Expression::Build(ctype, parts) => {
            let parts = parts.iter().map(again).collect::<Result<Vec<_>, _>>()?;
            Some(Cow::Owned(build(ctype, parts)?))
        }
    })
}

fn term_value(term: &Term, values: &BoundValues<'_>) -> Result<Option<Vec<u8>>, RequestError> {
    match term.evaluate(values)? {
        Bound::Value(bytes) => Ok(Some(bytes.into_owned())),
        Bound::Null => Ok(None),
        Bound::Unset => Err(invalid("Invalid unset value in selection clause")),
    }
}

/// The end of a slice: open where it is unset.
pub(in crate::plan::select) fn end_value(
    term: &Term,
    values: &BoundValues<'_>,
) -> Result<Option<Vec<u8>>, RequestError> {
    match term.evaluate(values)? {
        Bound::Value(bytes) => Ok(Some(bytes.into_owned())),
        Bound::Null | Bound::Unset => Ok(None),
    }
}

/// The element of a map or set at a key.
pub(in crate::plan::select) fn element(
    ctype: &CqlType,
    bytes: &[u8],
    key: &[u8],
) -> Option<Vec<u8>> {
    match ctype {
        CqlType::Set(item, _) => value::elements(bytes)
            .flatten()
            .find(|found| value::compare(item, found, key).is_eq())
            .map(<[u8]>::to_vec),
        CqlType::Map(key_type, _, _) => {
            let parts: Vec<&[u8]> = value::elements_of(bytes, 2).flatten().collect();
            parts
                .chunks_exact(2)
                .find(|pair| value::compare(key_type, pair[0], key).is_eq())
                .map(|pair| pair[1].to_vec())
        }
        _ => None,
    }
}

/// The elements of a map or set between two keys.
pub(in crate::plan::select) fn slice(
    ctype: &CqlType,
    bytes: &[u8],
    from: Option<&[u8]>,
    to: Option<&[u8]>,
) -> Vec<u8> {
    let (key, width) = match ctype {
        CqlType::Set(item, _) => (item, 1),
        CqlType::Map(key, _, _) => (key, 2),
        _ => return bytes.to_vec(),
    };
    let parts: Vec<&[u8]> = value::elements_of(bytes, width).flatten().collect();
    let inside = |item: &[u8]| {
        from.is_none_or(|from| value::compare(key, item, from).is_ge())
            && to.is_none_or(|to| value::compare(key, item, to).is_le())
    };
    let kept: Vec<&[u8]> = parts
        .chunks_exact(width)
        .filter(|entry| inside(entry[0]))
        .flatten()
        .copied()
        .collect();
    value::join_collection(kept.len() / width, kept.into_iter())
}

fn build(ctype: &CqlType, parts: Vec<Value<'_>>) -> Result<Vec<u8>, RequestError> {
    let element = |part: Value<'static>| {
        part.ok_or_else(|| invalid("null is not supported inside collections"))
    };
    let owned: Vec<Value<'static>> = parts
        .into_iter()
        .map(|part| part.map(|bytes| Cow::Owned(bytes.into_owned())))
        .collect();
    Ok(match ctype {
        CqlType::Tuple(_) | CqlType::Udt(..) => {
            let mut out = Vec::new();
            owned
                .iter()
                .for_each(|part| value::put_field(&mut out, part.as_deref()));
            out
        }
        CqlType::Set(item, _) => sorted_set(
            item,
            owned.into_iter().map(element).collect::<Result<_, _>>()?,
        ),
        CqlType::Map(key, _, _) => {
            let mut entries = Vec::with_capacity(owned.len() / 2);
            let mut flat = owned.into_iter();
            while let (Some(left), Some(right)) = (flat.next(), flat.next()) {
                entries.push((element(left)?, right));
            }
            map_of(key, entries)
        }
        CqlType::Vector(item, _) => {
            let items = owned
                .into_iter()
                .map(|part| element(part).map(Cow::into_owned))
                .collect::<Result<Vec<_>, _>>()?;
            value::join_vector(item, &items)
        }
        // Only here may an element of a list be null, as in Cassandra.
        _ => {
            let mut out = (owned.len() as i32).to_be_bytes().to_vec();
            owned
                .iter()
                .for_each(|item| value::put_field(&mut out, item.as_deref()));
            out
        }
    })
}

/// A map's bytes: entries in the order of the key type, the last of equal keys; their values may be null.
fn map_of(key: &CqlType, mut entries: Vec<(Cow<'_, [u8]>, Value<'_>)>) -> Vec<u8> {
    entries.reverse();
    entries.sort_by(|one, other| value::compare(key, &one.0, &other.0));
    entries.dedup_by(|one, other| value::compare(key, &one.0, &other.0).is_eq());
    let mut out = (entries.len() as i32).to_be_bytes().to_vec();
    for (left, right) in &entries {
        value::put_field(&mut out, Some(left.as_ref()));
        value::put_field(&mut out, right.as_deref());
    }
    out
}
