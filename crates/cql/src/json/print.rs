//! The bytes of a value to JSON.

use crate::functions::text;
use model::types::CqlType;
use model::value;
use num_bigint::BigInt;
use std::fmt::Write as _;

/// Appends a value; null and numbers that JSON does not know are `null`.
pub fn print(ctype: &CqlType, wire: Option<&[u8]>, out: &mut String) {
    let Some(wire) = wire else {
        return out.push_str("null");
    };
    match ctype {
        CqlType::List(item, _) | CqlType::Set(item, _) => {
            list(
                out,
                value::elements(wire).map(|element| (item.as_ref(), element)),
            );
        }
        CqlType::Map(key, item, _) => map(key, item, wire, out),
        CqlType::Tuple(types) => {
            let mut fields = value::fields(wire);
            list(
                out,
                types.iter().map(|ctype| (ctype, fields.next().flatten())),
            );
        }
        CqlType::Udt(definition, _) => {
            let mut fields = value::fields(wire);
            out.push('{');
            for (index, (name, ctype)) in definition.fields.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                key_of(name, out);
                out.push_str(": ");
                print(ctype, fields.next().flatten(), out);
            }
            out.push('}');
        }
        CqlType::Vector(item, dimension) => {
            list(
                out,
                value::vector_elements(item, *dimension, wire)
                    .map(|element| (item.as_ref(), Some(element))),
            );
        }
        CqlType::Text | CqlType::Ascii => quote(&String::from_utf8_lossy(wire), out),
        native => match native_text(native, wire) {
            Some(Native::Bare(text)) => out.push_str(&text),
            Some(Native::Quoted(text)) => {
                // None of these needs escaping.
                out.push('"');
                out.push_str(&text);
                out.push('"');
            }
            // A value without bytes is none of the type, and no null either.
            None if wire.is_empty() && *native != CqlType::Boolean => out.push_str("\"\""),
            None => out.push_str("null"),
        },
    }
}

fn list<'a>(out: &mut String, items: impl Iterator<Item = (&'a CqlType, Option<&'a [u8]>)>) {
    out.push('[');
    for (index, (ctype, item)) in items.enumerate() {
        out.push_str(if index == 0 { "" } else { ", " });
        print(ctype, item, out);
    }
    out.push(']');
}

fn map(key: &CqlType, item: &CqlType, wire: &[u8], out: &mut String) {
    out.push('{');
    let mut parts = value::elements_of(wire, 2);
    let mut first = true;
    while let (Some(name), Some(element)) = (parts.next(), parts.next()) {
        out.push_str(if first { "" } else { ", " });
        first = false;
        let mut printed = String::new();
        print(key, name, &mut printed);
        // A key is a string; what is none becomes the string of its text.
        if printed.starts_with('"') {
            out.push_str(&printed);
        } else {
            quote(&printed, out);
        }
        out.push_str(": ");
        print(item, element, out);
    }
    out.push('}');
}

/// The name of a column or field as a key: with its double quotes, if CQL needs them for its capitals.
pub(super) fn key_of(name: &str, out: &mut String) {
    if name.chars().any(char::is_uppercase) {
        quote(&format!("\"{name}\""), out);
    } else {
        quote(name, out);
    }
}

/// Appends a JSON string.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            control if control < ' ' => {
                let _ = write!(out, "\\u{:04X}", control as u32);
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// A native value as text.
pub(crate) enum Native {
    /// Something JSON knows.
    Bare(String),
    /// What is a string in JSON.
    Quoted(String),
}

/// The text of a native value; `None` if the bytes are none, or JSON has no such number.
pub(crate) fn native_text(ctype: &CqlType, wire: &[u8]) -> Option<Native> {
    use Native::{Bare, Quoted};
    Some(match ctype {
        CqlType::Tinyint => Bare(i8::from_be_bytes(wire.try_into().ok()?).to_string()),
        CqlType::Smallint => Bare(i16::from_be_bytes(wire.try_into().ok()?).to_string()),
        CqlType::Int => Bare(i32::from_be_bytes(wire.try_into().ok()?).to_string()),
        CqlType::Bigint | CqlType::Counter => {
            Bare(i64::from_be_bytes(wire.try_into().ok()?).to_string())
        }
        CqlType::Varint if wire.is_empty() => return None,
        CqlType::Varint => Bare(BigInt::from_signed_bytes_be(wire).to_string()),
        CqlType::Float => {
            let number = f32::from_be_bytes(wire.try_into().ok()?);
            Bare(number.is_finite().then(|| text::float(number))?)
        }
        CqlType::Double => {
            let number = f64::from_be_bytes(wire.try_into().ok()?);
            Bare(number.is_finite().then(|| text::double(number))?)
        }
        CqlType::Decimal => Bare(text::decimal(wire)?),
        CqlType::Boolean => Bare((*wire.first()? != 0).to_string()),
        CqlType::Uuid | CqlType::Timeuuid => Quoted(uuid::Uuid::from_slice(wire).ok()?.to_string()),
        CqlType::Timestamp => Quoted(text::timestamp(
            i64::from_be_bytes(wire.try_into().ok()?),
            ' ',
        )),
        CqlType::Date => {
            let days = u32::from_be_bytes(wire.try_into().ok()?);
            Quoted(text::date(i64::from(days) - (1 << 31)))
        }
        CqlType::Time => Quoted(text::time(i64::from_be_bytes(wire.try_into().ok()?))),
        CqlType::Duration => Quoted(text::duration(wire)?),
        CqlType::Inet => Quoted(text::inet(wire)?),
        _ => Quoted(wire.iter().fold("0x".to_owned(), |mut digits, byte| {
            let _ = write!(digits, "{byte:02x}");
            digits
        })),
    })
}
