//! The types of result columns and bind variables, as section 4.2.5.2 of the protocol specification encodes them.

use super::bytes::Reader;
use super::{WireError, WireResult};
use std::fmt;

/// A CQL type as the wire names it (`frozen` does not travel).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// A type without parameters, by its CQL name.
    Native(&'static str),
    /// A type this client knows only by its class name.
    Custom(String),
    /// `list<…>`.
    List(Box<Type>),
    /// `set<…>`.
    Set(Box<Type>),
    /// `map<…, …>`.
    Map(Box<Type>, Box<Type>),
    /// `tuple<…>`.
    Tuple(Vec<Type>),
    /// A user type: keyspace, name, fields.
    User(String, String, Vec<(String, Type)>),
    /// `vector<…, n>`; travels as a custom type.
    Vector(Box<Type>, usize),
}

/// Option id, CQL name and marshal class of every native type.
const NATIVE: &[(u16, &str, &str)] = &[
    (0x01, "ascii", "AsciiType"),
    (0x02, "bigint", "LongType"),
    (0x03, "blob", "BytesType"),
    (0x04, "boolean", "BooleanType"),
    (0x05, "counter", "CounterColumnType"),
    (0x06, "decimal", "DecimalType"),
    (0x07, "double", "DoubleType"),
    (0x08, "float", "FloatType"),
    (0x09, "int", "Int32Type"),
    (0x0A, "text", "UTF8Type"),
    (0x0B, "timestamp", "TimestampType"),
    (0x0C, "uuid", "UUIDType"),
    (0x0D, "varchar", "UTF8Type"),
    (0x0E, "varint", "IntegerType"),
    (0x0F, "timeuuid", "TimeUUIDType"),
    (0x10, "inet", "InetAddressType"),
    (0x11, "date", "SimpleDateType"),
    (0x12, "time", "TimeType"),
    (0x13, "smallint", "ShortType"),
    (0x14, "tinyint", "ByteType"),
    (0x15, "duration", "DurationType"),
];

const MARSHAL: &str = "org.apache.cassandra.db.marshal.";

impl Type {
    /// Reads an `[option]`.
    pub fn read(from: &mut Reader<'_>) -> WireResult<Type> {
        let id = from.short()?;
        if let Some((_, name, _)) = NATIVE.iter().find(|(known, ..)| *known == id) {
            return Ok(Type::Native(name));
        }
        let boxed = |from: &mut Reader<'_>| Type::read(from).map(Box::new);
        Ok(match id {
            0x00 => Type::from_class(from.string()?),
            0x20 => Type::List(boxed(from)?),
            0x21 => Type::Map(boxed(from)?, boxed(from)?),
            0x22 => Type::Set(boxed(from)?),
            0x30 => {
                let (keyspace, name) = (from.string()?, from.string()?);
                let count = from.short()?;
                let fields = (0..count).map(|_| Ok((from.string()?, Type::read(from)?)));
                Type::User(keyspace, name, fields.collect::<WireResult<_>>()?)
            }
            0x31 => {
                let count = from.short()?;
                Type::Tuple(
                    (0..count)
                        .map(|_| Type::read(from))
                        .collect::<WireResult<_>>()?,
                )
            }
            other => {
                return Err(WireError::Malformed(format!(
                    "unknown type option 0x{other:04x}"
                )));
            }
        })
    }

    /// A custom class is shown as the CQL type it stands for, but only if writing that type again gives the same class
    /// name: otherwise a test could not see a server that spells it differently.
    fn from_class(class: String) -> Type {
        match Type::parse_class(&class) {
            Some(known) if known.class().as_deref() == Some(&class) => known,
            _ => Type::Custom(class),
        }
    }

    fn parse_class(class: &str) -> Option<Type> {
        let short = class.strip_prefix(MARSHAL)?;
        if let Some((_, name, _)) = NATIVE.iter().find(|(.., class)| *class == short) {
            return Some(Type::Native(name));
        }
        let (name, arguments) = short.strip_suffix(')')?.split_once('(')?;
        let arguments = split_arguments(arguments);
        let inner = |at: usize| {
            arguments
                .get(at)
                .and_then(|text| Type::parse_class(text))
                .map(Box::new)
        };
        match name {
            "VectorType" => Some(Type::Vector(
                inner(0)?,
                arguments.get(1)?.trim().parse().ok()?,
            )),
            "ListType" => Some(Type::List(inner(0)?)),
            "SetType" => Some(Type::Set(inner(0)?)),
            "MapType" => Some(Type::Map(inner(0)?, inner(1)?)),
            "TupleType" => arguments
                .iter()
                .map(|text| Type::parse_class(text))
                .collect::<Option<_>>()
                .map(Type::Tuple),
            "FrozenType" => inner(0).map(|inner| *inner),
            _ => None,
        }
    }

    fn class(&self) -> Option<String> {
        let body = match self {
            Type::Native(name) => NATIVE
                .iter()
                .find(|(_, known, _)| known == name)?
                .2
                .to_owned(),
            Type::Vector(element, length) => format!("VectorType({}, {length})", element.class()?),
            Type::List(element) => format!("ListType({})", element.class()?),
            Type::Set(element) => format!("SetType({})", element.class()?),
            Type::Map(key, value) => format!("MapType({},{})", key.class()?, value.class()?),
            Type::Tuple(parts) => {
                let parts: Option<Vec<_>> = parts.iter().map(Type::class).collect();
                format!("TupleType({})", parts?.join(","))
            }
            Type::Custom(_) | Type::User(..) => return None,
        };
        Some(format!("{MARSHAL}{body}"))
    }

    /// The type a CQL name stands for, or nothing if it is not a native type.
    pub fn native(name: &str) -> Option<Type> {
        NATIVE
            .iter()
            .find(|(_, known, _)| *known == name)
            .map(|(_, name, _)| Type::Native(name))
    }

    /// Bytes of a value inside a vector if every value of the type has the same length.
    pub fn fixed_length(&self) -> Option<usize> {
        match self {
            Type::Native("bigint" | "double" | "timestamp" | "counter") => Some(8),
            Type::Native("int" | "float") => Some(4),
            Type::Native("boolean") => Some(1),
            Type::Native("uuid" | "timeuuid") => Some(16),
            Type::Vector(element, length) => element.fixed_length().map(|one| one * length),
            _ => None,
        }
    }
}

/// Splits class arguments at the commas outside parentheses.
fn split_arguments(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Native(name) => f.write_str(name),
            Type::Custom(class) => write!(f, "'{class}'"),
            Type::List(element) => write!(f, "list<{element}>"),
            Type::Set(element) => write!(f, "set<{element}>"),
            Type::Map(key, value) => write!(f, "map<{key}, {value}>"),
            Type::Vector(element, length) => write!(f, "vector<{element}, {length}>"),
            Type::Tuple(parts) => {
                f.write_str("tuple<")?;
                for (at, part) in parts.iter().enumerate() {
                    write!(f, "{}{part}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str(">")
            }
            Type::User(keyspace, name, fields) => {
                write!(f, "{keyspace}.{name}{{")?;
                for (at, (field, kind)) in fields.iter().enumerate() {
                    write!(f, "{}{field} {kind}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_recognised_by_its_class_and_only_in_the_exact_spelling() {
        let exact = format!("{MARSHAL}VectorType({MARSHAL}FloatType, 3)");
        assert_eq!(Type::from_class(exact).to_string(), "vector<float, 3>");
        let other = format!("{MARSHAL}VectorType({MARSHAL}FloatType,3)");
        assert_eq!(
            Type::from_class(other.clone()).to_string(),
            format!("'{other}'")
        );
    }
}
