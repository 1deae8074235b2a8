//! `int_as_blob(…)`, `blob_as_int(…)` and their like, for every native type, in both spellings.

use super::CallContext;
use super::scalar::Scalar;
use model::error::RequestError;
use model::types::CqlType;
use model::value;

type Outcome = Result<Option<Vec<u8>>, RequestError>;

/// The function of this name, if it is a conversion.
pub(super) fn candidates(name: &str) -> Vec<Scalar> {
    let to_blob = name
        .strip_suffix("_as_blob")
        .or_else(|| name.strip_suffix("asblob"));
    let from_blob = name
        .strip_prefix("blob_as_")
        .or_else(|| name.strip_prefix("blobas"));
    let convertible = |other: &str| {
        CqlType::native(other).filter(|ctype| !matches!(ctype, CqlType::Blob | CqlType::Empty))
    };
    if let Some(source) = to_blob.and_then(convertible) {
        return vec![Scalar::new(
            name.to_owned(),
            vec![source],
            CqlType::Blob,
            as_it_is,
        )];
    }
    if let Some(target) = from_blob.and_then(convertible) {
        return vec![Scalar::new(
            name.to_owned(),
            vec![CqlType::Blob],
            target,
            checked,
        )];
    }
    Vec::new()
}

fn as_it_is(_: &Scalar, arguments: &[Option<&[u8]>], _: &CallContext) -> Outcome {
    Ok(arguments[0].map(<[u8]>::to_vec))
}

fn checked(scalar: &Scalar, arguments: &[Option<&[u8]>], _: &CallContext) -> Outcome {
    let Some(wire) = arguments[0] else {
        return Ok(None);
    };
    if value::validate(&scalar.returns, wire).is_err() {
        let digits: String = wire.iter().map(|byte| format!("{byte:02x}")).collect();
        return Err(RequestError::Invalid(format!(
            "In call to function {}, value 0x{digits} is not a valid binary representation for type {}",
            scalar.display_name(),
            scalar.returns
        )));
    }
    Ok(Some(wire.to_vec()))
}
