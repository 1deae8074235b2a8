//! `mask_null`, `mask_default`, `mask_replace`, `mask_inner`, `mask_outer` and `mask_hash`.

use super::CallContext;
use super::scalar::Scalar;
use md5::Md5;
use model::error::RequestError;
use model::types::CqlType;
use model::value;
use sha1::Sha1;
use sha2::digest::{Digest, DynDigest};

type Bytes<'a> = [Option<&'a [u8]>];
type Outcome = Result<Option<Vec<u8>>, RequestError>;

/// What a character becomes unless another is given.
const PADDING: u16 = b'*' as u16;

/// The algorithm of `mask_hash` unless another is given.
const ALGORITHM: &str = "SHA-256";

pub(super) fn null(_: &Scalar, _: &Bytes<'_>, _: &CallContext) -> Outcome {
    Ok(None)
}

pub(super) fn default(scalar: &Scalar, _: &Bytes<'_>, _: &CallContext) -> Outcome {
    Ok(Some(masked(&scalar.returns)))
}

pub(super) fn replace(_: &Scalar, arguments: &Bytes<'_>, _: &CallContext) -> Outcome {
    Ok(arguments[1].map(<[u8]>::to_vec))
}

/// The value that stands for every value of a type: zeros, stars, empty collections.
fn masked(ctype: &CqlType) -> Vec<u8> {
    match ctype {
        CqlType::Ascii | CqlType::Text => b"****".to_vec(),
        CqlType::Blob | CqlType::Empty | CqlType::Custom(_) => Vec::new(),
        CqlType::Varint => vec![0],
        CqlType::Decimal => vec![0; 5],
        CqlType::Date => (1u32 << 31).to_be_bytes().to_vec(),
        CqlType::Duration => vec![0; 3],
        CqlType::Inet | CqlType::List(..) | CqlType::Set(..) | CqlType::Map(..) => vec![0; 4],
        // The least time UUID of the epoch.
        CqlType::Timeuuid => 0x1381_4000_1dd2_11b2_8080_8080_8080_8080u128
            .to_be_bytes()
            .to_vec(),
        CqlType::Tuple(elements) => fields(elements.iter()),
        CqlType::Udt(definition, _) => fields(definition.fields.iter().map(|(_, field)| field)),
        CqlType::Vector(element, dimension) => {
            let items: Vec<Vec<u8>> = (0..*dimension).map(|_| masked(element)).collect();
            value::join_vector(element, &items)
        }
        fixed => vec![0; fixed.fixed_length().unwrap_or(0)],
    }
}

fn fields<'a>(types: impl Iterator<Item = &'a CqlType>) -> Vec<u8> {
    let mut out = Vec::new();
    types.for_each(|ctype| value::put_field(&mut out, Some(&masked(ctype))));
    out
}

/// Masks all but the first and last characters.
pub(super) fn inner(scalar: &Scalar, arguments: &Bytes<'_>, _: &CallContext) -> Outcome {
    partial(scalar, arguments, |index, length, begin, end| {
        index >= begin && index < length - end
    })
}

/// Masks the first and last characters.
pub(super) fn outer(scalar: &Scalar, arguments: &Bytes<'_>, _: &CallContext) -> Outcome {
    partial(scalar, arguments, |index, length, begin, end| {
        index < begin || index >= length - end
    })
}

/// Masks the characters for which `hidden` holds. Characters are Java's: UTF-16 units.
fn partial(
    scalar: &Scalar,
    arguments: &Bytes<'_>,
    hidden: impl Fn(i64, i64, i64, i64) -> bool,
) -> Outcome {
    let padding = padding(scalar, arguments.get(3).copied().flatten())?;
    let Some(text) = arguments[0] else {
        return Ok(None);
    };
    let count = |argument: Option<&[u8]>| {
        let bytes = argument.and_then(|wire| wire.try_into().ok());
        i64::from(bytes.map_or(0, i32::from_be_bytes).max(0))
    };
    let (begin, end) = (count(arguments[1]), count(arguments[2]));
    let units: Vec<u16> = String::from_utf8_lossy(text).encode_utf16().collect();
    let length = units.len() as i64;
    let masked: Vec<u16> = units
        .iter()
        .enumerate()
        .map(|(index, unit)| {
            if hidden(index as i64, length, begin, end) {
                padding
            } else {
                *unit
            }
        })
        .collect();
    Ok(Some(String::from_utf16_lossy(&masked).into_bytes()))
}

fn padding(scalar: &Scalar, argument: Option<&[u8]>) -> Result<u16, RequestError> {
    let Some(argument) = argument else {
        return Ok(PADDING);
    };
    let text = String::from_utf8_lossy(argument);
    let units: Vec<u16> = text.encode_utf16().collect();
    match units.as_slice() {
        [only] => Ok(*only),
        _ => Err(RequestError::Invalid(format!(
            "The padding argument for function {} should be single-character, but '{text}' has {} characters.",
            scalar.display_name(),
            units.len()
        ))),
    }
}

pub(super) fn hash(_: &Scalar, arguments: &Bytes<'_>, _: &CallContext) -> Outcome {
    let name = match arguments.get(1).copied().flatten() {
        Some(name) => String::from_utf8_lossy(name).into_owned(),
        None => ALGORITHM.to_owned(),
    };
    let mut digest = digest(&name)
        .ok_or_else(|| RequestError::Invalid(format!("Hash algorithm not found: {name}")))?;
    Ok(arguments[0].map(|wire| {
        digest.update(wire);
        digest.finalize().to_vec()
    }))
}

/// The digest of a name that Java's security providers know.
fn digest(name: &str) -> Option<Box<dyn DynDigest>> {
    Some(match name.to_ascii_uppercase().as_str() {
        "MD5" => Box::new(Md5::new()),
        "SHA" | "SHA1" | "SHA-1" => Box::new(Sha1::new()),
        "SHA224" | "SHA-224" => Box::new(sha2::Sha224::new()),
        "SHA256" | "SHA-256" => Box::new(sha2::Sha256::new()),
        "SHA384" | "SHA-384" => Box::new(sha2::Sha384::new()),
        "SHA512" | "SHA-512" => Box::new(sha2::Sha512::new()),
        "SHA512/224" | "SHA-512/224" => Box::new(sha2::Sha512_224::new()),
        "SHA512/256" | "SHA-512/256" => Box::new(sha2::Sha512_256::new()),
        "SHA3-224" => Box::new(sha3::Sha3_224::new()),
        "SHA3-256" => Box::new(sha3::Sha3_256::new()),
        "SHA3-384" => Box::new(sha3::Sha3_384::new()),
        "SHA3-512" => Box::new(sha3::Sha3_512::new()),
        _ => return None,
    })
}
