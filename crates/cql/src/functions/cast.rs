//! `CAST(a AS b)`: which types convert into which, and how.

use super::number::{NUMERIC, Number};
use super::resolve::CAST_PREFIX;
use super::scalar::Scalar;
use super::{CallContext, text, time};
use model::error::RequestError;
use model::types::CqlType;

type Outcome = Result<Option<Vec<u8>>, RequestError>;

/// The types that convert to text, besides the numbers and `ascii` itself.
const PRINTABLE: [CqlType; 7] = [
    CqlType::Boolean,
    CqlType::Inet,
    CqlType::Uuid,
    CqlType::Timeuuid,
    CqlType::Timestamp,
    CqlType::Date,
    CqlType::Time,
];

/// Every signature of a cast's function; none if nothing casts to that type.
pub(super) fn candidates(name: &str) -> Vec<Scalar> {
    let Some(target) = name
        .strip_prefix(CAST_PREFIX)
        .filter(|target| *target != "varchar")
    else {
        return Vec::new();
    };
    let Some(target) = CqlType::native(target) else {
        return Vec::new();
    };
    let from =
        |source: CqlType, body| Scalar::new(name.to_owned(), vec![source], target.clone(), body);
    match target {
        CqlType::Counter => Vec::new(),
        CqlType::Text | CqlType::Ascii => {
            let mut sources: Vec<CqlType> = NUMERIC.into_iter().chain(PRINTABLE).collect();
            if target == CqlType::Text {
                sources.push(CqlType::Ascii);
            }
            sources
                .into_iter()
                .map(|source| from(source, print))
                .collect()
        }
        CqlType::Timestamp => {
            vec![
                from(CqlType::Timeuuid, time::to_timestamp),
                from(CqlType::Date, time::to_timestamp),
            ]
        }
        CqlType::Date => vec![
            from(CqlType::Timestamp, time::to_date),
            from(CqlType::Timeuuid, time::to_date),
        ],
        ref number if super::number::is_numeric(number) => NUMERIC
            .into_iter()
            .filter(|source| source != number)
            .map(|source| from(source, convert))
            .collect(),
        _ => Vec::new(),
    }
}

fn convert(scalar: &Scalar, arguments: &[Option<&[u8]>], _: &CallContext) -> Outcome {
    let Some(number) = arguments[0].and_then(|wire| Number::decode(&scalar.arguments[0], wire))
    else {
        return Ok(None);
    };
    match number.convert(&scalar.returns) {
        Ok(converted) => Ok(Some(converted.encode())),
        Err(reason) => Err(RequestError::Invalid(reason)),
    }
}

fn print(scalar: &Scalar, arguments: &[Option<&[u8]>], _: &CallContext) -> Outcome {
    Ok(arguments[0]
        .and_then(|wire| printed(&scalar.arguments[0], wire))
        .map(String::into_bytes))
}

fn printed(ctype: &CqlType, wire: &[u8]) -> Option<String> {
    if let Some(number) = Number::decode(ctype, wire) {
        return Some(match number {
            Number::Tinyint(number) => number.to_string(),
            Number::Smallint(number) => number.to_string(),
            Number::Int(number) => number.to_string(),
            Number::Bigint(number) => number.to_string(),
            Number::Varint(number) => number.to_string(),
            Number::Float(number) => text::float(number),
            Number::Double(number) => text::double(number),
            Number::Decimal(number) => number.to_string(),
        });
    }
    Some(match ctype {
        CqlType::Boolean => (*wire.first()? != 0).to_string(),
        CqlType::Inet => text::inet(wire)?,
        CqlType::Uuid | CqlType::Timeuuid => uuid::Uuid::from_slice(wire).ok()?.to_string(),
        CqlType::Timestamp => text::timestamp(i64::from_be_bytes(wire.try_into().ok()?), 'T'),
        CqlType::Date => {
            text::date(i64::from(u32::from_be_bytes(wire.try_into().ok()?)) - (1 << 31))
        }
        CqlType::Time => text::time(i64::from_be_bytes(wire.try_into().ok()?)),
        CqlType::Ascii => String::from_utf8_lossy(wire).into_owned(),
        _ => return None,
    })
}
