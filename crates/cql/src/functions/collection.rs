//! What functions take out of a collection's bytes, and `map_keys`, `collection_count`, `collection_sum` and their like.

use super::aggregate::{Accumulator, Kind};
use super::scalar::Scalar;
use super::{Aggregate, CallContext};
use model::error::RequestError;
use model::types::CqlType;
use model::value;

type Bytes<'a> = [Option<&'a [u8]>];
type Outcome = Result<Option<Vec<u8>>, RequestError>;

pub(super) fn map_keys(_: &Scalar, arguments: &Bytes<'_>, _: &CallContext) -> Outcome {
    every_other(arguments[0], 0)
}

pub(super) fn map_values(_: &Scalar, arguments: &Bytes<'_>, _: &CallContext) -> Outcome {
    every_other(arguments[0], 1)
}

/// The keys (`first` 0) or values (`first` 1) of a map, as the bytes of a set or list.
fn every_other(map: Option<&[u8]>, first: usize) -> Outcome {
    let Some(map) = map else {
        return Ok(None);
    };
    let parts = value::elements_of(map, 2)
        .skip(first)
        .step_by(2)
        .map(Option::unwrap_or_default);
    Ok(Some(value::join_collection(
        value::element_count(map),
        parts,
    )))
}

pub(super) fn count(_: &Scalar, arguments: &Bytes<'_>, _: &CallContext) -> Outcome {
    Ok(arguments[0].map(|collection| {
        (value::element_count(collection) as i32)
            .to_be_bytes()
            .to_vec()
    }))
}

pub(super) fn min(scalar: &Scalar, arguments: &Bytes<'_>, _: &CallContext) -> Outcome {
    fold(Kind::Min, scalar, arguments)
}

pub(super) fn max(scalar: &Scalar, arguments: &Bytes<'_>, _: &CallContext) -> Outcome {
    fold(Kind::Max, scalar, arguments)
}

pub(super) fn sum(scalar: &Scalar, arguments: &Bytes<'_>, _: &CallContext) -> Outcome {
    fold(Kind::Sum, scalar, arguments)
}

pub(super) fn avg(scalar: &Scalar, arguments: &Bytes<'_>, _: &CallContext) -> Outcome {
    fold(Kind::Avg, scalar, arguments)
}

/// An aggregate over the elements of a collection.
fn fold(kind: Kind, scalar: &Scalar, arguments: &Bytes<'_>) -> Outcome {
    let Some(collection) = arguments[0] else {
        return Ok(None);
    };
    let element: &CqlType = &scalar.returns;
    let mut state = Accumulator::new(&Aggregate::of(kind, element.clone()));
    for item in value::elements(collection) {
        state.add(&[item])?;
    }
    state.result()
}
