//! A JSON tree to the bytes of a value.

use super::tree::{self, Tree};
use crate::plan::literal;
use model::error::RequestError;
use model::types::{CqlType, UserType};
use model::value;
use num_bigint::BigInt;
use std::collections::BTreeMap;

/// Makes a value of a type; `None` for null. The error is Cassandra's words without the column.
pub fn decode(ctype: &CqlType, tree: &Tree) -> Result<Option<Vec<u8>>, String> {
    if *tree == Tree::Null {
        return Ok(None);
    }
    match ctype {
        CqlType::List(..)
        | CqlType::Set(..)
        | CqlType::Map(..)
        | CqlType::Tuple(_)
        | CqlType::Udt(..)
        | CqlType::Vector(..) => {
            // A string may hold the text of a collection: keys of maps have no other way.
            match tree {
                Tree::String(text) => {
                    let inner = tree::parse(text)
                        .map_err(|reason| format!("Error decoding JSON string: {reason}"))?;
                    composite(ctype, &inner)
                }
                other => composite(ctype, other),
            }
        }
        native => self::native(native, tree),
    }
    .map(Some)
}

/// An element that must not be null.
fn element(ctype: &CqlType, tree: &Tree, null: &str) -> Result<Vec<u8>, String> {
    decode(ctype, tree)?.ok_or_else(|| null.to_owned())
}

fn composite(ctype: &CqlType, tree: &Tree) -> Result<Vec<u8>, String> {
    let wrong = |expected: &str| {
        Err(format!(
            "Expected {expected}, but got a {}: {tree}",
            tree.class()
        ))
    };
    match (ctype, tree) {
        (CqlType::List(item, _), Tree::Array(items)) => {
            let items = elements(item, items, "list")?;
            Ok(value::join_collection(
                items.len(),
                items.iter().map(Vec::as_slice),
            ))
        }
        (CqlType::Set(item, _), Tree::Array(items)) => {
            let mut items = elements(item, items, "set")?;
            items.sort_by(|left, right| value::compare(item, left, right));
            items.dedup_by(|left, right| value::compare(item, left, right).is_eq());
            Ok(value::join_collection(
                items.len(),
                items.iter().map(Vec::as_slice),
            ))
        }
        (CqlType::Map(key, item, _), Tree::Object(entries)) => map(key, item, entries),
        (CqlType::Vector(item, dimension), Tree::Array(items)) => {
            if items.len() != *dimension as usize {
                let given = items.len();
                return Err(format!(
                    "List had incorrect size: expected {dimension} but given {given}; {tree}"
                ));
            }
            Ok(value::join_vector(item, &elements(item, items, "list")?))
        }
        (CqlType::Tuple(types), Tree::Array(items)) => {
            let expected = types.len();
            if items.len() > expected {
                return Err(format!(
                    "Tuple contains extra items (expected {expected}): {tree}"
                ));
            }
            if items.len() < expected {
                return Err(format!(
                    "Tuple is missing items (expected {expected}): {tree}"
                ));
            }
            let mut out = Vec::new();
            for (ctype, item) in types.iter().zip(items) {
                value::put_field(&mut out, decode(ctype, item)?.as_deref());
            }
            Ok(out)
        }
        (CqlType::Udt(definition, _), Tree::Object(entries)) => user_type(definition, entries),
        (CqlType::Tuple(_), _) => wrong("a list representation of a tuple"),
        (CqlType::Map(..) | CqlType::Udt(..), _) => wrong("a map"),
        (CqlType::Set(..), _) => wrong("a list (representing a set)"),
        _ => wrong("a list"),
    }
}

fn elements(ctype: &CqlType, items: &[Tree], kind: &str) -> Result<Vec<Vec<u8>>, String> {
    let null = format!("Invalid null element in {kind}");
    items
        .iter()
        .map(|item| element(ctype, item, &null))
        .collect()
}

fn map(key: &CqlType, item: &CqlType, entries: &[(String, Tree)]) -> Result<Vec<u8>, String> {
    let mut decoded = Vec::with_capacity(entries.len());
    for (name, tree) in entries {
        let name = element(key, &Tree::String(name.clone()), "Invalid null key in map")?;
        decoded.push((name, element(item, tree, "Invalid null value in map")?));
    }
    // Of equal keys the last entry counts: a stable sort of the entries backwards puts it first.
    decoded.reverse();
    decoded.sort_by(|left, right| value::compare(key, &left.0, &right.0));
    decoded.dedup_by(|left, right| value::compare(key, &left.0, &right.0).is_eq());
    let parts = decoded
        .iter()
        .flat_map(|(key, item)| [key.as_slice(), item.as_slice()]);
    Ok(value::join_collection(decoded.len(), parts))
}

fn user_type(definition: &UserType, entries: &[(String, Tree)]) -> Result<Vec<u8>, String> {
    let mut given: BTreeMap<String, &Tree> = BTreeMap::new();
    for (name, tree) in entries {
        given.insert(super::row::folded(name), tree);
    }
    let mut out = Vec::new();
    for (name, ctype) in &definition.fields {
        let decoded = match given.remove(name) {
            Some(tree) => decode(ctype, tree)?,
            None => None,
        };
        value::put_field(&mut out, decoded.as_deref());
    }
    match given.keys().next() {
        Some(unknown) => Err(format!(
            "Unknown field '{unknown}' in value of user defined type {}",
            definition.name
        )),
        None => Ok(out),
    }
}

fn native(ctype: &CqlType, tree: &Tree) -> Result<Vec<u8>, String> {
    let wrong = |expected: &str| {
        Err(format!(
            "Expected {expected}, but got a {}: {tree}",
            tree.class()
        ))
    };
    let parsed = |text: &str| literal::parse(ctype, text).map_err(plain);
    match (ctype, tree) {
        // As Cassandra reads it, and prints it: a value without bytes.
        (
            CqlType::Bigint
            | CqlType::Boolean
            | CqlType::Decimal
            | CqlType::Double
            | CqlType::Float
            | CqlType::Int
            | CqlType::Timeuuid
            | CqlType::Uuid,
            Tree::String(text),
        ) if text.is_empty() => Ok(Vec::new()),
        (CqlType::Varint, _) => varint(tree),
        (CqlType::Decimal, _) => decimal(ctype, tree),
        (CqlType::Blob | CqlType::Custom(_), _) => blob(tree),
        (CqlType::Ascii, Tree::String(text)) if !text.is_ascii() => Err(
            "Invalid ASCII character in string literal: java.nio.charset.UnmappableCharacterException: Input length = 1"
                .to_owned(),
        ),
        (CqlType::Timeuuid, Tree::String(text)) => timeuuid(text),
        (_, Tree::String(text)) => parsed(text),
        (CqlType::Tinyint | CqlType::Smallint, Tree::Integer(_) | Tree::Double(_)) => parsed(&tree.to_string()),
        (CqlType::Int, Tree::Integer(digits)) if tree.class() == "Integer" => parsed(digits),
        (CqlType::Bigint | CqlType::Counter, Tree::Integer(digits)) if tree.class() != "BigInteger" => parsed(digits),
        // A number that fits 32 bits is no long for Cassandra, and then no timestamp.
        (CqlType::Timestamp, Tree::Integer(digits)) if tree.class() == "Long" => parsed(digits),
        (CqlType::Float | CqlType::Double, Tree::Integer(digits)) => parsed(digits),
        (CqlType::Float, Tree::Double(number)) => Ok((*number as f32).to_be_bytes().to_vec()),
        (CqlType::Double, Tree::Double(number)) => Ok(number.to_be_bytes().to_vec()),
        (CqlType::Boolean, Tree::Boolean(value)) => Ok(vec![u8::from(*value)]),
        _ => wrong(expected(ctype)),
    }
}

/// What a type is called where something else was found.
fn expected(ctype: &CqlType) -> &'static str {
    match ctype {
        CqlType::Ascii => "an ascii string",
        CqlType::Text => "a UTF-8 string",
        CqlType::Tinyint => "a byte value",
        CqlType::Smallint => "a short value",
        CqlType::Int => "an int value",
        CqlType::Bigint | CqlType::Counter => "a bigint value",
        CqlType::Float => "a float value",
        CqlType::Double => "a double value",
        CqlType::Boolean => "a boolean value",
        CqlType::Uuid => "a string representation of a uuid",
        CqlType::Timeuuid => "a string representation of a timeuuid",
        CqlType::Inet => "a string representation of an inet value",
        CqlType::Date => "a string representation of a date value",
        CqlType::Time => "a string representation of a time value",
        CqlType::Timestamp => "a long or a datestring representation of a timestamp value",
        CqlType::Duration => "a string representation of a duration",
        _ => "a value",
    }
}

fn plain(error: RequestError) -> String {
    error.to_string()
}

fn varint(tree: &Tree) -> Result<Vec<u8>, String> {
    let text = tree.to_string();
    text.parse::<BigInt>()
        .map(|number| number.to_signed_bytes_be())
        .map_err(|_| format!("Value '{text}' is not a valid representation of a varint value"))
}

fn decimal(ctype: &CqlType, tree: &Tree) -> Result<Vec<u8>, String> {
    let text = tree.to_string();
    literal::parse(ctype, &text)
        .map_err(|_| format!("Value '{text}' is not a valid representation of a decimal value"))
}

fn blob(tree: &Tree) -> Result<Vec<u8>, String> {
    let text = tree.to_string();
    let invalid =
        |reason: String| format!("Value '{text}' is not a valid blob representation: {reason}");
    let Tree::String(_) = tree else {
        return Err(invalid(format!("a {} is not a string", tree.class())));
    };
    let Some(digits) = text.strip_prefix("0x") else {
        return Err(invalid(format!(
            "String representation of blob is missing 0x prefix: {text}"
        )));
    };
    literal::hex(digits).ok_or_else(|| invalid(format!("cannot parse '{digits}' as hex bytes")))
}

fn timeuuid(text: &str) -> Result<Vec<u8>, String> {
    let id = uuid::Uuid::try_parse(text)
        .map_err(|_| format!("Unknown timeuuid representation: {text}"))?;
    if id.get_version_num() != 1 {
        return Err("TimeUUID supports only version 1 UUIDs".to_owned());
    }
    Ok(id.as_bytes().to_vec())
}
