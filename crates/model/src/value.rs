//! Values as the protocol carries them: checking, taking apart, comparing.
//!
//! A value stays in these bytes from the frame to the disk. Nothing here allocates for a value that is only looked at.

use crate::types::CqlType;
use num_bigint::BigInt;
use std::cmp::Ordering;

mod validate;

pub use validate::validate;

/// Why bytes are no value of a type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidValue(pub String);

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
        | CqlType::Date
        | CqlType::Custom(_) => left.cmp(right),
        // Every byte but zero is true.
        CqlType::Boolean => (left[0] != 0).cmp(&(right[0] != 0)),
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
