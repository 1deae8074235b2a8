//! Values as the protocol carries them: checking, taking apart, comparing.
//!
//! A value stays in these bytes from the frame to the disk. Nothing here allocates for a value that is only looked at.

use crate::types::CqlType;
use num_bigint::BigInt;
use std::cmp::Ordering;

/// Why bytes are no value of a type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidValue(pub String);

/// Checks that `wire` is a value of the type; the messages are those Cassandra's serializers give.
pub fn validate(ctype: &CqlType, wire: &[u8]) -> Result<(), InvalidValue> {
    let fail = |message: String| Err(InvalidValue(message));
    match ctype {
        CqlType::Blob | CqlType::Custom(_) => Ok(()),
        CqlType::Ascii => match wire.iter().find(|byte| **byte > 0x7f) {
            Some(byte) => fail(format!("Invalid byte for ascii: {}", *byte as i8)),
            None => Ok(()),
        },
        CqlType::Text => match std::str::from_utf8(wire) {
            Ok(_) => Ok(()),
            Err(_) => fail("String didn't validate.".into()),
        },
        CqlType::Empty if wire.is_empty() => Ok(()),
        CqlType::Empty => fail("EmptyType only accept empty values".into()),
        // Every type but these has a zero-length value in the protocol, from Thrift days.
        CqlType::Tinyint if wire.is_empty() => fail("Expected 1 byte for a tinyint (0)".into()),
        CqlType::Smallint if wire.is_empty() => fail("Expected 2 bytes for a smallint (0)".into()),
        CqlType::Date if wire.is_empty() => fail("Expected 4 byte long for date (0)".into()),
        CqlType::Time if wire.is_empty() => fail("Expected 8 byte long for time (0)".into()),
        CqlType::Vector(..)
        | CqlType::Duration
        | CqlType::List(..)
        | CqlType::Set(..)
        | CqlType::Map(..) => composite(ctype, wire),
        _ if wire.is_empty() => Ok(()),
        CqlType::Boolean if wire.len() > 1 => {
            fail(format!("Expected 1 or 0 byte value ({})", wire.len()))
        }
        CqlType::Tinyint if wire.len() != 1 => {
            fail(format!("Expected 1 byte for a tinyint ({})", wire.len()))
        }
        CqlType::Smallint if wire.len() != 2 => {
            fail(format!("Expected 2 bytes for a smallint ({})", wire.len()))
        }
        CqlType::Int if wire.len() != 4 => {
            fail(format!("Expected 4 or 0 byte int ({})", wire.len()))
        }
        CqlType::Float if wire.len() != 4 => fail(format!(
            "Expected 4 or 0 byte value for a float ({})",
            wire.len()
        )),
        CqlType::Date if wire.len() != 4 => {
            fail(format!("Expected 4 byte long for date ({})", wire.len()))
        }
        CqlType::Bigint | CqlType::Counter if wire.len() != 8 => {
            fail(format!("Expected 8 or 0 byte long ({})", wire.len()))
        }
        CqlType::Double if wire.len() != 8 => fail(format!(
            "Expected 8 or 0 byte value for a double ({})",
            wire.len()
        )),
        CqlType::Timestamp if wire.len() != 8 => fail(format!(
            "Expected 8 or 0 byte long for date ({})",
            wire.len()
        )),
        CqlType::Time if wire.len() != 8 => {
            fail(format!("Expected 8 byte long for time ({})", wire.len()))
        }
        CqlType::Uuid | CqlType::Timeuuid if wire.len() != 16 => {
            fail(format!("UUID should be 16 or 0 bytes ({})", wire.len()))
        }
        CqlType::Timeuuid if wire[6] >> 4 != 1 => fail("Invalid version for TimeUUID type.".into()),
        CqlType::Inet if wire.len() != 4 && wire.len() != 16 => {
            fail("addr is of illegal length".into())
        }
        CqlType::Decimal if wire.len() < 4 => {
            fail(format!("Expected 0 or at least 4 bytes ({})", wire.len()))
        }
        CqlType::Tuple(_) | CqlType::Udt(..) => composite(ctype, wire),
        _ => Ok(()),
    }
}

fn composite(ctype: &CqlType, wire: &[u8]) -> Result<(), InvalidValue> {
    let fail = |message: String| Err(InvalidValue(message));
    let check =
        |part: &CqlType, value: Option<&[u8]>| value.map_or(Ok(()), |value| validate(part, value));
    match ctype {
        CqlType::Duration => duration_parts(wire).map_or_else(
            || {
                fail(format!(
                    "Expected at least 3 bytes for a duration ({})",
                    wire.len()
                ))
            },
            |_| Ok(()),
        ),
        CqlType::List(element, _) | CqlType::Set(element, _) => {
            let noun = if matches!(ctype, CqlType::List(..)) {
                "list"
            } else {
                "set"
            };
            if !is_collection_of(wire, 1) {
                return fail(format!("Not enough bytes to read a {noun}"));
            }
            elements(wire).try_for_each(|item| match item {
                Some(item) => validate(element, item),
                None => fail(format!("null is not supported inside collections ({noun})")),
            })
        }
        CqlType::Map(key, value, _) => {
            if !is_collection_of(wire, 2) {
                return fail("Not enough bytes to read a map".into());
            }
            elements_of(wire, 2)
                .enumerate()
                .try_for_each(|(index, item)| check(if index % 2 == 0 { key } else { value }, item))
        }
        CqlType::Tuple(types) => fields_fit(wire, types.len(), "tuple").and_then(|()| {
            types
                .iter()
                .zip(fields(wire))
                .try_for_each(|(part, value)| check(part, value))
        }),
        CqlType::Udt(definition, _) => fields_fit(wire, definition.fields.len(), &definition.name)
            .and_then(|()| {
                definition
                    .fields
                    .iter()
                    .zip(fields(wire))
                    .try_for_each(|((_, part), value)| check(part, value))
            }),
        CqlType::Vector(element, dimension) => {
            let mut rest = wire;
            for _ in 0..*dimension {
                let Some(item) = next_vector_element(element, &mut rest) else {
                    return fail(format!("Not enough bytes to read a {ctype}"));
                };
                validate(element, item)?;
            }
            if rest.is_empty() {
                return Ok(());
            }
            let expected = element
                .vector_element_length()
                .map_or(wire.len() - rest.len(), |length| {
                    length * *dimension as usize
                });
            fail(format!(
                "Unexpected {} extraneous bytes after {ctype} value",
                wire.len() - expected
            ))
        }
        _ => Ok(()),
    }
}

fn fields_fit(wire: &[u8], count: usize, name: &str) -> Result<(), InvalidValue> {
    let mut rest = wire;
    for index in 0..count {
        if rest.is_empty() {
            return Ok(());
        }
        if next_field(&mut rest).is_none() {
            return Err(InvalidValue(format!(
                "Not enough bytes to read {index}th component of {name}"
            )));
        }
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(InvalidValue(format!(
            "Expected {count} {}s for {name} column, but got more",
            "value"
        )))
    }
}

/// Reads a `[value]`: a 32-bit length, negative for null, and the bytes. The outer `None` means the bytes are cut.
pub fn next_field<'a>(input: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let (length, rest) = input.split_first_chunk::<4>()?;
    let length = i32::from_be_bytes(*length);
    if length < 0 {
        *input = rest;
        return Some(None);
    }
    let (value, rest) = rest.split_at_checked(length as usize)?;
    *input = rest;
    Some(Some(value))
}

/// Appends a `[value]`.
pub fn put_field(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => out.extend_from_slice(&(-1i32).to_be_bytes()),
        Some(value) => {
            out.extend_from_slice(&(value.len() as i32).to_be_bytes());
            out.extend_from_slice(value);
        }
    }
}

/// The fields of a tuple or user type; ends where the bytes end.
pub fn fields(wire: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = wire;
    std::iter::from_fn(move || next_field(&mut rest))
}

/// How many elements (pairs, for a map) a collection says it has; 0 for malformed bytes.
pub fn element_count(wire: &[u8]) -> usize {
    wire.first_chunk::<4>()
        .map_or(0, |count| i32::from_be_bytes(*count).max(0) as usize)
}

/// The elements of a list or set.
pub fn elements(wire: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    elements_of(wire, 1)
}

/// The parts of a collection whose elements are `parts` values each: a map's are keys and values in turn.
pub fn elements_of(wire: &[u8], parts: usize) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = wire.get(4..).unwrap_or_default();
    let mut left = element_count(wire).saturating_mul(parts);
    std::iter::from_fn(move || {
        left = left.checked_sub(1)?;
        next_field(&mut rest)
    })
}

fn is_collection_of(wire: &[u8], parts: usize) -> bool {
    let Some(count) = wire.first_chunk::<4>() else {
        return false;
    };
    let mut rest = &wire[4..];
    let count = i32::from_be_bytes(*count);
    count >= 0 && (0..count as usize * parts).all(|_| next_field(&mut rest).is_some())
}

/// Builds a collection value; a map's `parts` are keys and values in turn and `count` the number of pairs.
pub fn join_collection<'a>(count: usize, parts: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = (count as i32).to_be_bytes().to_vec();
    parts.for_each(|part| put_field(&mut out, Some(part)));
    out
}

fn next_vector_element<'a>(element: &CqlType, input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = match element.vector_element_length() {
        Some(length) => length,
        None => usize::try_from(get_unsigned_vint(input)?).ok()?,
    };
    let (item, rest) = input.split_at_checked(length)?;
    *input = rest;
    Some(item)
}

/// The elements of a vector value that [`validate`] accepted.
pub fn vector_elements<'a>(
    element: &CqlType,
    dimension: u32,
    wire: &'a [u8],
) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = wire;
    (0..dimension).map_while(move |_| next_vector_element(element, &mut rest))
}

/// Builds a vector value.
pub fn join_vector(element: &CqlType, items: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for item in items {
        if element.vector_element_length().is_none() {
            put_unsigned_vint(&mut out, item.len() as u64);
        }
        out.extend_from_slice(item);
    }
    out
}

/// Scale and unscaled bytes of a decimal; `None` for the empty or a malformed value.
pub fn decimal_parts(wire: &[u8]) -> Option<(i32, &[u8])> {
    let (scale, unscaled) = wire.split_first_chunk::<4>()?;
    Some((i32::from_be_bytes(*scale), unscaled))
}

/// Months, days and nanoseconds of a duration; `None` if malformed or of mixed signs.
pub fn duration_parts(wire: &[u8]) -> Option<(i32, i32, i64)> {
    let mut rest = wire;
    let months = i32::try_from(get_signed_vint(&mut rest)?).ok()?;
    let days = i32::try_from(get_signed_vint(&mut rest)?).ok()?;
    let nanos = get_signed_vint(&mut rest)?;
    let positive = months >= 0 && days >= 0 && nanos >= 0;
    let negative = months <= 0 && days <= 0 && nanos <= 0;
    (positive || negative).then_some((months, days, nanos))
}

/// Builds a duration value.
pub fn join_duration(months: i32, days: i32, nanos: i64) -> Vec<u8> {
    let mut out = Vec::new();
    for part in [i64::from(months), i64::from(days), nanos] {
        put_unsigned_vint(&mut out, ((part << 1) ^ (part >> 63)) as u64);
    }
    out
}

/// The protocol's `[unsigned vint]`: the count of leading one bits is the count of further bytes (v5 spec, section 3).
pub fn put_unsigned_vint(out: &mut Vec<u8>, value: u64) {
    let significant = 64 - (value | 1).leading_zeros() as usize;
    let extra = (significant.saturating_sub(1)) / 7;
    if extra >= 8 {
        out.push(0xff);
        return out.extend_from_slice(&value.to_be_bytes());
    }
    let start = out.len();
    out.extend_from_slice(&value.to_be_bytes()[7 - extra..]);
    out[start] |= !(0xffu16 >> extra) as u8;
}

/// Reads an `[unsigned vint]`.
pub fn get_unsigned_vint(input: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = input.split_first()?;
    let extra = first.leading_ones() as usize;
    let (bytes, rest) = rest.split_at_checked(extra)?;
    let top = if extra >= 8 {
        0
    } else {
        u64::from(first) & (0xff >> extra)
    };
    *input = rest;
    Some(
        bytes
            .iter()
            .fold(top, |value, byte| value << 8 | u64::from(*byte)),
    )
}

fn get_signed_vint(input: &mut &[u8]) -> Option<i64> {
    get_unsigned_vint(input).map(|raw| (raw >> 1) as i64 ^ -((raw & 1) as i64))
}

/// Orders two values of a type as Cassandra does. Both must have passed [`validate`].
pub fn compare(ctype: &CqlType, left: &[u8], right: &[u8]) -> Ordering {
    if left.is_empty() || right.is_empty() {
        return left.len().cmp(&right.len());
    }
    match ctype {
        CqlType::Text
        | CqlType::Ascii
        | CqlType::Blob
        | CqlType::Inet
        | CqlType::Boolean
        | CqlType::Date
        | CqlType::Custom(_) => left.cmp(right),
        CqlType::Tinyint
        | CqlType::Smallint
        | CqlType::Int
        | CqlType::Bigint
        | CqlType::Counter
        | CqlType::Time
        | CqlType::Timestamp => {
            ((left[0] ^ 0x80), &left[1..]).cmp(&((right[0] ^ 0x80), &right[1..]))
        }
        CqlType::Varint => {
            BigInt::from_signed_bytes_be(left).cmp(&BigInt::from_signed_bytes_be(right))
        }
        _ => {
            let (mut one, mut other) = (Vec::new(), Vec::new());
            crate::comparable::encode(ctype, left, false, &mut one);
            crate::comparable::encode(ctype, right, false, &mut other);
            one.cmp(&other)
        }
    }
}
