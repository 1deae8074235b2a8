//! The bytes of a value as a CQL literal, in Cassandra's form: how a trace shows what was bound.

use crate::functions::text;
use crate::json::{Native, native_text};
use model::types::{CqlType, Identifier};
use model::value;
use std::fmt::Write as _;

/// Appends a value as a literal; `None` is `null`, and so is what is no value of the type.
pub fn print(ctype: &CqlType, wire: Option<&[u8]>, out: &mut String) {
    let Some(wire) = wire else {
        return out.push_str("null");
    };
    match ctype {
        CqlType::List(item, _) => {
            let items = value::elements(wire).map(|element| (item.as_ref(), element));
            enclosed('[', items, ']', out);
        }
        CqlType::Set(item, _) => {
            let items = value::elements(wire).map(|element| (item.as_ref(), element));
            enclosed('{', items, '}', out);
        }
        CqlType::Vector(item, dimension) => {
            let items = value::vector_elements(item, *dimension, wire);
            let items = items.map(|element| (item.as_ref(), Some(element)));
            enclosed('[', items, ']', out);
        }
        CqlType::Map(key, item, _) => map(key, item, wire, out),
        CqlType::Tuple(types) => {
            let mut fields = value::fields(wire);
            let items = types.iter().map(|ctype| (ctype, fields.next().flatten()));
            enclosed('(', items, ')', out);
        }
        CqlType::Udt(definition, _) => {
            let mut fields = value::fields(wire);
            out.push('{');
            for (index, (name, ctype)) in definition.fields.iter().enumerate() {
                let separator = if index == 0 { "" } else { ", " };
                let _ = write!(out, "{separator}{}: ", Identifier(name));
                print(ctype, fields.next().flatten(), out);
            }
            out.push('}');
        }
        CqlType::Text | CqlType::Ascii => quote(&String::from_utf8_lossy(wire), out),
        CqlType::Timestamp => match wire.try_into() {
            Ok(millis) => quote(&text::timestamp(i64::from_be_bytes(millis), 'T'), out),
            Err(_) => out.push_str("null"),
        },
        native => match (native, native_text(native, wire)) {
            (
                CqlType::Inet | CqlType::Date | CqlType::Time,
                Some(Native::Quoted(text) | Native::Bare(text)),
            ) => quote(&text, out),
            (_, Some(Native::Quoted(text) | Native::Bare(text))) => out.push_str(&text),
            (_, None) => out.push_str("null"),
        },
    }
}

fn enclosed<'a>(
    open: char,
    items: impl Iterator<Item = (&'a CqlType, Option<&'a [u8]>)>,
    close: char,
    out: &mut String,
) {
    out.push(open);
    for (index, (ctype, item)) in items.enumerate() {
        out.push_str(if index == 0 { "" } else { ", " });
        print(ctype, item, out);
    }
    out.push(close);
}

fn map(key: &CqlType, item: &CqlType, wire: &[u8], out: &mut String) {
    let mut parts = value::elements_of(wire, 2);
    let mut separator = "{";
    while let (Some(name), Some(element)) = (parts.next(), parts.next()) {
        out.push_str(separator);
        separator = ", ";
        print(key, name, out);
        out.push_str(": ");
        print(item, element, out);
    }
    out.push_str(if separator == "{" { "{}" } else { "}" });
}

fn quote(text: &str, out: &mut String) {
    let _ = write!(out, "'{}'", text.replace('\'', "''"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::types::Frozen;
    use std::sync::Arc;

    fn shown(ctype: &CqlType, wire: &[u8]) -> String {
        let mut out = String::new();
        print(ctype, Some(wire), &mut out);
        out
    }

    #[test]
    fn values_read_as_literals() {
        let loopback = std::net::Ipv6Addr::LOCALHOST.octets();
        assert_eq!(shown(&CqlType::Text, b"a'b"), "'a''b'");
        assert_eq!(shown(&CqlType::Int, &7i32.to_be_bytes()), "7");
        assert_eq!(shown(&CqlType::Blob, &[0xca, 0xfe]), "0xcafe");
        assert_eq!(shown(&CqlType::Inet, &loopback), "'0:0:0:0:0:0:0:1'");
        let moment = 1_704_110_400_123i64.to_be_bytes();
        assert_eq!(
            shown(&CqlType::Timestamp, &moment),
            "'2024-01-01T12:00:00.123Z'"
        );
        assert_eq!(shown(&CqlType::Int, b"?"), "null");
    }

    #[test]
    fn collections_read_as_literals() {
        let text = Arc::new(CqlType::Text);
        let set = CqlType::Set(text.clone(), Frozen::No);
        let items = value::join_collection(2, [b"a".as_slice(), b"b"].into_iter());
        assert_eq!(shown(&set, &items), "{'a', 'b'}");
        let map = CqlType::Map(text.clone(), text, Frozen::No);
        let entry = value::join_collection(1, [b"a".as_slice(), b"b"].into_iter());
        assert_eq!(shown(&map, &entry), "{'a': 'b'}");
        let empty = value::join_collection(0, std::iter::empty());
        assert_eq!(shown(&map, &empty), "{}");
    }
}
