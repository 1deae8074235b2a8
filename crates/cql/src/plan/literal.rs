//! Constants: from the text of a literal to the bytes of a value.
//!
//! Which kinds of literal a type accepts, and the texts it reads, are those of CQL 3.4.7's constants section; what is
//! out of range or malformed gets the message Cassandra gives.

mod print;

pub use print::print;

use crate::ast::{Literal, LiteralKind};
use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::BigInt;
use model::error::RequestError;
use model::types::CqlType;
use model::value;
use std::net::IpAddr;
use std::str::FromStr;

/// Whether a literal of this kind may stand for a value of the type.
pub fn accepts(ctype: &CqlType, kind: LiteralKind) -> bool {
    use CqlType::*;
    match kind {
        LiteralKind::String => matches!(
            ctype,
            Ascii | Text | Inet | Date | Time | Timestamp | Custom(_)
        ),
        LiteralKind::Integer => matches!(
            ctype,
            Bigint
                | Counter
                | Date
                | Decimal
                | Double
                | Duration
                | Float
                | Int
                | Smallint
                | Time
                | Timestamp
                | Tinyint
                | Varint
        ),
        LiteralKind::Float => matches!(ctype, Decimal | Double | Float),
        LiteralKind::Boolean => matches!(ctype, Boolean),
        LiteralKind::Uuid => matches!(ctype, Uuid | Timeuuid),
        // A byte may be written in hexadecimal, and no other number.
        LiteralKind::Hex => matches!(ctype, Blob | Tinyint),
        LiteralKind::Duration => matches!(ctype, Duration),
    }
}

/// The name of a kind in error messages.
pub fn kind_name(kind: LiteralKind) -> &'static str {
    match kind {
        LiteralKind::String => "STRING",
        LiteralKind::Integer => "INTEGER",
        LiteralKind::Float => "FLOAT",
        LiteralKind::Boolean => "BOOLEAN",
        LiteralKind::Uuid => "UUID",
        LiteralKind::Hex => "HEX",
        LiteralKind::Duration => "DURATION",
    }
}

/// The type a literal has when nothing says what it is to be: what arithmetic and function calls infer.
pub fn natural_type(kind: LiteralKind, text: &str) -> CqlType {
    match kind {
        LiteralKind::String if text.is_ascii() => CqlType::Ascii,
        LiteralKind::String => CqlType::Text,
        LiteralKind::Integer if i32::from_str(text).is_ok() => CqlType::Int,
        LiteralKind::Integer if i64::from_str(text).is_ok() => CqlType::Bigint,
        LiteralKind::Integer => CqlType::Varint,
        LiteralKind::Float
            if matches!(
                text.trim_start_matches(['-', '+'])
                    .to_ascii_lowercase()
                    .as_str(),
                "nan" | "infinity"
            ) =>
        {
            CqlType::Double
        }
        LiteralKind::Float => {
            // As Cassandra: a double if it holds the number exactly, else a decimal.
            let exact = BigDecimal::from_str(text).ok();
            let double = text
                .parse::<f64>()
                .ok()
                .filter(|double| double.is_finite())
                .and_then(|double| BigDecimal::from_str(&format!("{double}")).ok());
            if exact.is_some() && exact == double {
                CqlType::Double
            } else {
                CqlType::Decimal
            }
        }
        LiteralKind::Boolean => CqlType::Boolean,
        LiteralKind::Uuid => CqlType::Uuid,
        LiteralKind::Hex => CqlType::Blob,
        LiteralKind::Duration => CqlType::Duration,
    }
}

/// The bytes of a literal as a value of a type that [`accepts`] its kind.
pub fn encode(ctype: &CqlType, literal: &Literal) -> Result<Vec<u8>, RequestError> {
    if literal.kind != LiteralKind::Hex {
        return parse(ctype, &literal.text);
    }
    let bytes = hex_bytes(literal.text.get(2..).unwrap_or_default())?;
    if !bytes.is_empty() {
        // Cassandra stores whatever bytes a tinyint is given; here a value is always one of its type.
        value::validate(ctype, &bytes).map_err(|error| RequestError::invalid(error.0))?;
    }
    Ok(bytes)
}

/// The bytes of a value from its text, as CQL constants, JSON strings and DESCRIBE write it.
pub fn parse(ctype: &CqlType, text: &str) -> Result<Vec<u8>, RequestError> {
    let cannot = |noun: &str| RequestError::invalid(format!("Unable to make {noun} from '{text}'"));
    Ok(match ctype {
        CqlType::Ascii if !text.is_ascii() => {
            return Err(RequestError::invalid(
                "Invalid ASCII character in string literal",
            ));
        }
        CqlType::Ascii | CqlType::Text | CqlType::Custom(_) => text.as_bytes().to_vec(),
        CqlType::Boolean => match text.to_ascii_lowercase().as_str() {
            "true" => vec![1],
            "false" => vec![0],
            _ => return Err(cannot("boolean")),
        },
        CqlType::Tinyint => integer(text, i8::to_be_bytes).ok_or_else(|| cannot("byte"))?,
        CqlType::Smallint => integer(text, i16::to_be_bytes).ok_or_else(|| cannot("short"))?,
        CqlType::Int => integer(text, i32::to_be_bytes).ok_or_else(|| cannot("int"))?,
        CqlType::Bigint | CqlType::Counter => {
            integer(text, i64::to_be_bytes).ok_or_else(|| cannot("long"))?
        }
        CqlType::Varint => BigInt::from_str(text)
            .map_err(|_| cannot("unsigned int"))?
            .to_signed_bytes_be(),
        CqlType::Float => float(text)
            .ok_or_else(|| cannot("float"))?
            .to_be_bytes()
            .to_vec(),
        CqlType::Double => double(text)
            .ok_or_else(|| cannot("double"))?
            .to_be_bytes()
            .to_vec(),
        CqlType::Decimal => decimal(text).ok_or_else(|| cannot("BigDecimal"))?,
        CqlType::Uuid => uuid::Uuid::try_parse(text)
            .map_err(|_| cannot("UUID"))?
            .as_bytes()
            .to_vec(),
        CqlType::Timeuuid => {
            let id = parse(&CqlType::Uuid, text)?;
            value::validate(ctype, &id).map_err(|error| RequestError::invalid(error.0))?;
            id
        }
        CqlType::Blob => hex_bytes(text)?,
        CqlType::Inet | CqlType::Timestamp if text.is_empty() => Vec::new(),
        CqlType::Inet => match super::inet::parse(text).ok_or_else(|| cannot("inet address"))? {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        },
        CqlType::Timestamp => super::temporal::parse_timestamp(text)?
            .to_be_bytes()
            .to_vec(),
        CqlType::Date => super::temporal::parse_date(text)?.to_be_bytes().to_vec(),
        CqlType::Time => super::temporal::parse_time(text)?.to_be_bytes().to_vec(),
        CqlType::Duration => {
            let (months, days, nanos) = super::duration::parse_duration(text)?;
            value::join_duration(months, days, nanos)
        }
        other => {
            return Err(RequestError::invalid(format!(
                "Invalid constant '{text}' for a value of type {other}"
            )));
        }
    })
}

/// The bytes of an integer of a fixed width, if the text is one.
fn integer<I: FromStr, const WIDTH: usize>(
    text: &str,
    bytes: impl Fn(I) -> [u8; WIDTH],
) -> Option<Vec<u8>> {
    text.parse().ok().map(|number| bytes(number).to_vec())
}

fn float(text: &str) -> Option<f32> {
    match text.trim_start_matches('+') {
        "NaN" | "-NaN" => Some(f32::NAN),
        other => named_number(other)
            .map(|number| number as f32)
            .or_else(|| other.parse().ok()),
    }
}

fn double(text: &str) -> Option<f64> {
    let text = text.trim_start_matches('+');
    named_number(text).or_else(|| text.parse().ok())
}

/// NaN and the infinities, in any case.
fn named_number(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        "nan" | "-nan" => Some(f64::NAN),
        "infinity" => Some(f64::INFINITY),
        "-infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// A decimal's bytes: its scale as written, so `100.00` keeps two digits after the point.
fn decimal(text: &str) -> Option<Vec<u8>> {
    let number = BigDecimal::from_str(text).ok()?;
    let (unscaled, scale) = number.as_bigint_and_exponent();
    let mut out = i32::try_from(scale).ok()?.to_be_bytes().to_vec();
    out.extend(unscaled.to_signed_bytes_be());
    Some(out)
}

fn hex_bytes(digits: &str) -> Result<Vec<u8>, RequestError> {
    hex(digits)
        .ok_or_else(|| RequestError::invalid(format!("cannot parse '{digits}' as hex bytes")))
}

/// Bytes from hexadecimal digits, two to a byte.
pub fn hex(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.as_bytes();
    let nibble = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    if digits.len() % 2 == 1 {
        return None;
    }
    digits
        .chunks_exact(2)
        .map(|pair| Some(nibble(pair[0])? << 4 | nibble(pair[1])?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(kind: LiteralKind, text: &str) -> Literal {
        Literal {
            kind,
            text: text.into(),
        }
    }

    #[test]
    fn hexadecimal_is_for_blobs_and_single_bytes() {
        let byte = |text: &str| encode(&CqlType::Tinyint, &literal(LiteralKind::Hex, text));
        assert!(accepts(&CqlType::Tinyint, LiteralKind::Hex));
        assert!(!accepts(&CqlType::Smallint, LiteralKind::Hex));
        assert_eq!(byte("0x01"), Ok(vec![1]));
        assert_eq!(byte("0x"), Ok(vec![]));
        assert!(byte("0x0102").is_err());
        assert_eq!(
            encode(&CqlType::Blob, &literal(LiteralKind::Hex, "0xCAF")),
            Err(RequestError::invalid("cannot parse 'CAF' as hex bytes"))
        );
    }

    #[test]
    fn the_empty_text_is_an_empty_timestamp_or_address() {
        assert_eq!(parse(&CqlType::Timestamp, ""), Ok(vec![]));
        assert_eq!(parse(&CqlType::Inet, ""), Ok(vec![]));
        assert!(parse(&CqlType::Date, "").is_err() && parse(&CqlType::Time, "").is_err());
    }

    #[test]
    fn strings_are_ascii_if_they_can_be() {
        assert_eq!(natural_type(LiteralKind::String, "abc"), CqlType::Ascii);
        assert_eq!(natural_type(LiteralKind::String, "é"), CqlType::Text);
    }
}
