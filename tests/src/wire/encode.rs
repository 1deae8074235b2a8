//! Bind values to bytes.

use super::bytes::{put_bytes, put_unsigned_vint, put_vint};
use super::literal::{Bound, Literal, unhex};
use super::number;
use super::render::days_from_civil;
use super::request::Value;
use super::types::Type;
use super::{WireError, WireResult};
use std::net::IpAddr;

/// What travels for a bound value.
pub fn bound(value: &Bound) -> WireResult<Value> {
    Ok(match value {
        Bound::Null => Value::Null,
        Bound::Unset => Value::Unset,
        Bound::Raw(bytes) => Value::Bytes(bytes.clone()),
        Bound::Typed(kind, literal) => encode(kind, literal)?.map_or(Value::Null, Value::Bytes),
    })
}

fn mismatch(kind: &Type, literal: &Literal) -> WireError {
    WireError::Request(format!("{literal:?} cannot be written as {kind}"))
}

fn encode(kind: &Type, literal: &Literal) -> WireResult<Option<Vec<u8>>> {
    if *literal == Literal::Null {
        return Ok(None);
    }
    let mut out = Vec::new();
    match (kind, literal) {
        (Type::Native(name), Literal::Word(text) | Literal::Text(text)) => {
            out = native(name, text).ok_or_else(|| mismatch(kind, literal))?;
        }
        (Type::List(element) | Type::Set(element), Literal::Sequence(values)) => {
            out.extend((values.len() as i32).to_be_bytes());
            for value in values {
                put_bytes(&mut out, encode(element, value)?.as_deref());
            }
        }
        (Type::Map(_, _), Literal::Sequence(values)) if values.is_empty() => {
            out.extend(0i32.to_be_bytes());
        }
        (Type::Map(key, mapped), Literal::Entries(entries)) => {
            out.extend((entries.len() as i32).to_be_bytes());
            for (from, to) in entries {
                put_bytes(&mut out, encode(key, from)?.as_deref());
                put_bytes(&mut out, encode(mapped, to)?.as_deref());
            }
        }
        (Type::Tuple(parts), Literal::Sequence(values)) => {
            for (part, value) in parts.iter().zip(values) {
                put_bytes(&mut out, encode(part, value)?.as_deref());
            }
        }
        (Type::Vector(element, _), Literal::Sequence(values)) => {
            for value in values {
                let bytes = encode(element, value)?.ok_or_else(|| mismatch(kind, literal))?;
                if element.fixed_length().is_none() {
                    put_unsigned_vint(&mut out, bytes.len() as u64);
                }
                out.extend(bytes);
            }
        }
        _ => return Err(mismatch(kind, literal)),
    }
    Ok(Some(out))
}

fn native(name: &str, text: &str) -> Option<Vec<u8>> {
    Some(match name {
        "ascii" | "text" | "varchar" => text.as_bytes().to_vec(),
        "blob" => unhex(text)?,
        "boolean" => vec![u8::from(text.parse::<bool>().ok()?)],
        "tinyint" => text.parse::<i8>().ok()?.to_be_bytes().to_vec(),
        "smallint" => text.parse::<i16>().ok()?.to_be_bytes().to_vec(),
        "int" => text.parse::<i32>().ok()?.to_be_bytes().to_vec(),
        "bigint" | "counter" | "timestamp" | "time" => {
            text.parse::<i64>().ok()?.to_be_bytes().to_vec()
        }
        "float" => text.parse::<f32>().ok()?.to_be_bytes().to_vec(),
        "double" => text.parse::<f64>().ok()?.to_be_bytes().to_vec(),
        "varint" => number::from_decimal(text)?,
        "decimal" => {
            let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
            let mut out = (fraction.len() as i32).to_be_bytes().to_vec();
            out.extend(number::from_decimal(&format!("{whole}{fraction}"))?);
            out
        }
        "uuid" | "timeuuid" => unhex(&format!("0x{}", text.replace('-', "")))?,
        "inet" => match text.parse().ok()? {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        },
        "date" => {
            let mut parts = text.splitn(3, '-').map(|part| part.parse::<i64>().ok());
            let days = days_from_civil(parts.next()??, parts.next()??, parts.next()??);
            ((days + (1 << 31)) as u32).to_be_bytes().to_vec()
        }
        "duration" => {
            let (months, rest) = text.split_once("mo")?;
            let (days, nanos) = rest.split_once('d')?;
            let mut out = Vec::new();
            for part in [months, days, nanos.strip_suffix("ns")?] {
                put_vint(&mut out, part.parse().ok()?);
            }
            out
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::literal::parse_bind;
    use super::super::render;
    use super::*;

    #[test]
    fn what_is_encoded_is_rendered_the_same() {
        for (kind, literal) in [
            ("int", "-5"),
            ("bigint", "9223372036854775807"),
            ("varint", "-12345678901234567890123"),
            ("decimal", "-0.010"),
            ("double", "1.5"),
            ("boolean", "true"),
            ("uuid", "00000000-0000-4000-8000-00000000000a"),
            ("date", "'2024-02-29'"),
            ("inet", "'::1'"),
            ("duration", "1mo2d3ns"),
            ("list<int>", "[1, 2]"),
            ("map<text, int>", "{'a': 1, 'b': 2}"),
            ("tuple<int, text>", "(1, null)"),
            ("vector<text, 2>", "['a', 'bc']"),
            ("vector<float, 2>", "[1.0, 2.5]"),
        ] {
            let parsed = parse_bind(&format!("{kind} {literal}")).unwrap();
            let Bound::Typed(kind, _) = &parsed[0].1 else {
                panic!("typed")
            };
            let Value::Bytes(bytes) = bound(&parsed[0].1).unwrap() else {
                panic!("bytes")
            };
            assert_eq!(render::value(kind, Some(&bytes)), literal);
        }
    }
}
