//! Whether bytes are a value of a type, in the words of Cassandra's serializers.
//!
//! A value is read from its first byte on, each part checked as it is met, so that of several faults the first is told.

use super::{InvalidValue, duration_parts, next_field, next_vector_element};
use crate::types::{CqlType, Frozen};

/// Checks that `wire` is a value of the type; the messages are those Cassandra's serializers give.
///
/// As there, a frozen list may hold nulls where it is a whole value, and nowhere else: a list inside another value, a set
/// and a map may not.
pub fn validate(ctype: &CqlType, wire: &[u8]) -> Result<(), InvalidValue> {
    match ctype {
        CqlType::List(element, Frozen::Yes) => collection("list", &[element], wire, || Ok(())),
        CqlType::List(element, Frozen::No) => collection("list", &[element], wire, || {
            fail("null is not supported inside collections (list)")
        }),
        other => part(other, wire),
    }
}

fn fail<T>(message: impl Into<String>) -> Result<T, InvalidValue> {
    Err(InvalidValue(message.into()))
}

/// Checks a value that may stand inside another.
fn part(ctype: &CqlType, wire: &[u8]) -> Result<(), InvalidValue> {
    let no_nulls = || fail("Null value read when not allowed");
    match ctype {
        CqlType::List(element, _) => collection("list", &[element], wire, no_nulls),
        CqlType::Set(element, _) => collection("set", &[element], wire, no_nulls),
        CqlType::Map(key, value, _) => collection("map", &[key, value], wire, no_nulls),
        CqlType::Tuple(types) => tuple(types, wire),
        CqlType::Udt(definition, _) => user_type(&definition.fields, wire),
        CqlType::Vector(element, dimension) => vector(ctype, element, *dimension, wire),
        scalar => text(scalar, wire).and_then(|()| width(scalar, wire)),
    }
}

/// Checks what only texts and the types of no bytes at all have to hold to.
fn text(ctype: &CqlType, wire: &[u8]) -> Result<(), InvalidValue> {
    match ctype {
        CqlType::Ascii => match wire.iter().find(|byte| !byte.is_ascii()) {
            Some(byte) => fail(format!("Invalid byte for ascii: {}", *byte as i8)),
            None => Ok(()),
        },
        CqlType::Text if std::str::from_utf8(wire).is_err() => fail("String didn't validate."),
        CqlType::Empty if !wire.is_empty() => fail("EmptyType only accept empty values"),
        _ => Ok(()),
    }
}

/// Checks the length of a scalar value, and what its bytes have to hold to beyond it.
fn width(ctype: &CqlType, wire: &[u8]) -> Result<(), InvalidValue> {
    use CqlType::*;
    let length = wire.len();
    // Every type but these has a zero-length value in the protocol, from Thrift days.
    let may_be_empty = !matches!(ctype, Tinyint | Smallint | Date | Time | Duration);
    if wire.is_empty() && may_be_empty {
        return Ok(());
    }
    let (fits, wanted) = match ctype {
        Boolean => (length == 1, "1 or 0 byte value"),
        Tinyint => (length == 1, "1 byte for a tinyint"),
        Smallint => (length == 2, "2 bytes for a smallint"),
        Int => (length == 4, "4 or 0 byte int"),
        Float => (length == 4, "4 or 0 byte value for a float"),
        Date => (length == 4, "4 byte long for date"),
        Bigint | Counter => (length == 8, "8 or 0 byte long"),
        Double => (length == 8, "8 or 0 byte value for a double"),
        Timestamp => (length == 8, "8 or 0 byte long for date"),
        Time => (length == 8, "8 byte long for time"),
        Decimal => (length >= 4, "0 or at least 4 bytes"),
        Duration => (
            duration_parts(wire).is_some(),
            "at least 3 bytes for a duration",
        ),
        Uuid | Timeuuid if length != 16 => {
            return fail(format!("UUID should be 16 or 0 bytes ({length})"));
        }
        Timeuuid if wire[6] >> 4 != 1 => return fail("Invalid version for TimeUUID type."),
        Inet if length != 4 && length != 16 => return fail("addr is of illegal length"),
        _ => return Ok(()),
    };
    if fits {
        Ok(())
    } else {
        fail(format!("Expected {wanted} ({length})"))
    }
}

/// Checks a list, a set or a map: each element is one value of every one of `types`.
fn collection(
    noun: &str,
    types: &[&CqlType],
    wire: &[u8],
    null: impl Fn() -> Result<(), InvalidValue>,
) -> Result<(), InvalidValue> {
    let cut = || InvalidValue(format!("Not enough bytes to read a {noun}"));
    let (count, mut rest) = wire.split_first_chunk::<4>().ok_or_else(cut)?;
    let count = i32::from_be_bytes(*count);
    if count < 0 {
        return fail(format!("The data cannot be deserialized as a {noun}"));
    }
    for _ in 0..count {
        for ctype in types {
            match next_field(&mut rest).ok_or_else(cut)? {
                Some(item) => part(ctype, item)?,
                None => null()?,
            }
        }
    }
    if rest.is_empty() {
        Ok(())
    } else {
        fail(format!("Unexpected extraneous bytes after {noun} value"))
    }
}

/// Reads the component `index` of a tuple or user type, which `name` calls; the outer `None` means the bytes ended before it.
fn component<'a>(
    index: usize,
    name: &str,
    rest: &mut &'a [u8],
) -> Result<Option<Option<&'a [u8]>>, InvalidValue> {
    if rest.is_empty() {
        return Ok(None);
    }
    match next_field(rest) {
        Some(value) => Ok(Some(value)),
        None if rest.len() < 4 => {
            fail(format!("Not enough bytes to read size of {index}th {name}"))
        }
        None => fail(format!("Not enough bytes to read {index}th {name}")),
    }
}

fn tuple(types: &[CqlType], wire: &[u8]) -> Result<(), InvalidValue> {
    let mut rest = wire;
    for (index, ctype) in types.iter().enumerate() {
        match component(index, "component", &mut rest)? {
            Some(Some(value)) => part(ctype, value)?,
            Some(None) => {}
            None => return Ok(()),
        }
    }
    if rest.is_empty() {
        Ok(())
    } else {
        fail("Invalid remaining data after end of tuple value")
    }
}

fn user_type<N: AsRef<str>>(fields: &[(N, CqlType)], wire: &[u8]) -> Result<(), InvalidValue> {
    let mut rest = wire;
    for (index, (name, ctype)) in fields.iter().enumerate() {
        let name = name.as_ref();
        match component(index, &format!("field {name}"), &mut rest)? {
            Some(Some(value)) => part(ctype, value).map_err(|InvalidValue(why)| {
                InvalidValue(format!(
                    "Failure validating the {index}th field {name}; {why}"
                ))
            })?,
            Some(None) => {}
            None => return Ok(()),
        }
    }
    if rest.is_empty() {
        Ok(())
    } else {
        fail("Invalid remaining data after end of UDT value")
    }
}

fn vector(
    ctype: &CqlType,
    element: &CqlType,
    dimension: u32,
    wire: &[u8],
) -> Result<(), InvalidValue> {
    if wire.is_empty() {
        return fail("Invalid empty vector value");
    }
    let mut rest = wire;
    for _ in 0..dimension {
        let Some(item) = next_vector_element(element, &mut rest) else {
            return fail(format!("Not enough bytes to read a {ctype}"));
        };
        part(element, item)?;
    }
    if rest.is_empty() {
        Ok(())
    } else {
        fail(format!(
            "Unexpected {} extraneous bytes after {ctype} value",
            rest.len()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// What [`validate`] says of bytes written in hexadecimal: nothing, or its message.
    fn said(ctype: &CqlType, digits: &str) -> String {
        let wire: Vec<u8> = (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal"))
            .collect();
        validate(ctype, &wire)
            .err()
            .map_or_else(String::new, |error| error.0)
    }

    fn list(frozen: Frozen) -> CqlType {
        CqlType::List(Arc::new(CqlType::Int), frozen)
    }

    #[test]
    fn collections_end_where_they_say() {
        let set = CqlType::Set(Arc::new(CqlType::Int), Frozen::No);
        let map = CqlType::Map(Arc::new(CqlType::Int), Arc::new(CqlType::Int), Frozen::No);
        for (ctype, noun) in [(list(Frozen::No), "list"), (set, "set"), (map, "map")] {
            let cut = format!("Not enough bytes to read a {noun}");
            for (digits, message) in [
                ("", cut.clone()),
                ("00", cut.clone()),
                ("00000001", cut),
                ("00000000", String::new()),
                (
                    "00000000ff",
                    format!("Unexpected extraneous bytes after {noun} value"),
                ),
                (
                    "ffffffff",
                    format!("The data cannot be deserialized as a {noun}"),
                ),
                ("0000000100000001ff", "Expected 4 or 0 byte int (1)".into()),
            ] {
                assert_eq!(said(&ctype, digits), message, "{noun} {digits}");
            }
        }
    }

    #[test]
    fn only_whole_frozen_lists_hold_nulls() {
        let null = "00000001ffffffff";
        assert_eq!(said(&list(Frozen::Yes), null), "");
        assert_eq!(
            said(&list(Frozen::Yes), "00000001ffffffff00"),
            "Unexpected extraneous bytes after list value"
        );
        assert_ne!(said(&list(Frozen::No), null), "");
        let nested = CqlType::List(Arc::new(list(Frozen::Yes)), Frozen::Yes);
        assert_eq!(said(&nested, null), "");
        let refused = "Null value read when not allowed";
        assert_eq!(said(&nested, "000000010000000800000001ffffffff"), refused);
        let set = CqlType::Set(Arc::new(CqlType::Int), Frozen::Yes);
        assert_eq!(said(&set, "00000001ffffffff00"), refused);
        let map = CqlType::Map(Arc::new(CqlType::Int), Arc::new(CqlType::Int), Frozen::Yes);
        assert_eq!(said(&map, "000000010000000400000001ffffffff"), refused);
    }

    #[test]
    fn tuples_may_end_early_and_not_late() {
        let tuple = CqlType::Tuple(vec![CqlType::Int, CqlType::Text].into());
        for (digits, message) in [
            ("", ""),
            ("ffffffff", ""),
            ("0000000400000001", ""),
            ("000000", "Not enough bytes to read size of 0th component"),
            ("00000001", "Not enough bytes to read 0th component"),
            ("0000000101", "Expected 4 or 0 byte int (1)"),
            ("000000040000000100000001ff", "String didn't validate."),
            (
                "00000004000000010000000161ffffffff",
                "Invalid remaining data after end of tuple value",
            ),
        ] {
            assert_eq!(said(&tuple, digits), message, "{digits}");
        }
    }

    #[test]
    fn vectors_hold_all_their_elements() {
        let floats = CqlType::Vector(Arc::new(CqlType::Float), 2);
        for (digits, message) in [
            ("3f8000003f800000", ""),
            ("", "Invalid empty vector value"),
            ("3f800000", "Not enough bytes to read a vector<float, 2>"),
            (
                "3f8000003f80000000",
                "Unexpected 1 extraneous bytes after vector<float, 2> value",
            ),
        ] {
            assert_eq!(said(&floats, digits), message, "{digits}");
        }
    }

    #[test]
    fn scalars_have_their_widths() {
        for (ctype, digits, message) in [
            (CqlType::Int, "", ""),
            (CqlType::Tinyint, "", "Expected 1 byte for a tinyint (0)"),
            (CqlType::Date, "", "Expected 4 byte long for date (0)"),
            (CqlType::Uuid, "01", "UUID should be 16 or 0 bytes (1)"),
            (CqlType::Decimal, "01", "Expected 0 or at least 4 bytes (1)"),
            (CqlType::Boolean, "0101", "Expected 1 or 0 byte value (2)"),
            (CqlType::Inet, "010203", "addr is of illegal length"),
            (CqlType::Ascii, "ff", "Invalid byte for ascii: -1"),
        ] {
            assert_eq!(said(&ctype, digits), message, "{ctype} {digits}");
        }
    }
}
