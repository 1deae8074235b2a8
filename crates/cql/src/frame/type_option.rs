//! How a type is named to clients: the `[option]` of column specifications, and Cassandra's class names.
//!
//! A type that the client's version does not know (short integers, dates and times before 4, durations before 5, and
//! always vectors) is announced as `custom` with Cassandra's class name, which drivers parse. Frozen or not is not part
//! of an option; in class names it is.

use super::put::Put;
use super::version::ProtocolVersion;
use model::types::{CqlType, Frozen, UserType};
use std::fmt::{self, Write};

const PACKAGE: &str = "org.apache.cassandra.db.marshal.";

mod id {
    pub const CUSTOM: u16 = 0x0000;
    pub const LIST: u16 = 0x0020;
    pub const MAP: u16 = 0x0021;
    pub const SET: u16 = 0x0022;
    pub const UDT: u16 = 0x0030;
    pub const TUPLE: u16 = 0x0031;
}

/// Number, first version that knows it, and Cassandra's class of a type without parameters.
fn simple(cql_type: &CqlType) -> Option<(u16, ProtocolVersion, &'static str)> {
    use ProtocolVersion::{V3, V4, V5};
    Some(match cql_type {
        CqlType::Ascii => (0x0001, V3, "AsciiType"),
        CqlType::Bigint => (0x0002, V3, "LongType"),
        CqlType::Blob => (0x0003, V3, "BytesType"),
        CqlType::Boolean => (0x0004, V3, "BooleanType"),
        CqlType::Counter => (0x0005, V3, "CounterColumnType"),
        CqlType::Decimal => (0x0006, V3, "DecimalType"),
        CqlType::Double => (0x0007, V3, "DoubleType"),
        CqlType::Float => (0x0008, V3, "FloatType"),
        CqlType::Int => (0x0009, V3, "Int32Type"),
        CqlType::Timestamp => (0x000B, V3, "TimestampType"),
        CqlType::Uuid => (0x000C, V3, "UUIDType"),
        CqlType::Text => (0x000D, V3, "UTF8Type"),
        CqlType::Varint => (0x000E, V3, "IntegerType"),
        CqlType::Timeuuid => (0x000F, V3, "TimeUUIDType"),
        CqlType::Inet => (0x0010, V3, "InetAddressType"),
        CqlType::Date => (0x0011, V4, "SimpleDateType"),
        CqlType::Time => (0x0012, V4, "TimeType"),
        CqlType::Smallint => (0x0013, V4, "ShortType"),
        CqlType::Tinyint => (0x0014, V4, "ByteType"),
        CqlType::Duration => (0x0015, V5, "DurationType"),
        _ => return None,
    })
}

/// Appends the `[option]` of a type.
pub fn put_type(out: &mut Vec<u8>, cql_type: &CqlType, version: ProtocolVersion) {
    if let Some((number, since, _)) = simple(cql_type)
        && since <= version
    {
        return out.put_short(number);
    }
    match cql_type {
        CqlType::List(element, _) => {
            out.put_short(id::LIST);
            put_type(out, element, version);
        }
        CqlType::Set(element, _) => {
            out.put_short(id::SET);
            put_type(out, element, version);
        }
        CqlType::Map(key, value, _) => {
            out.put_short(id::MAP);
            put_type(out, key, version);
            put_type(out, value, version);
        }
        CqlType::Tuple(elements) => {
            out.put_short(id::TUPLE);
            out.put_short(elements.len() as u16);
            for element in elements.iter() {
                put_type(out, element, version);
            }
        }
        CqlType::Udt(definition, _) => {
            out.put_short(id::UDT);
            out.put_string(&definition.keyspace);
            out.put_string(&definition.name);
            out.put_short(definition.fields.len() as u16);
            for (name, field) in &definition.fields {
                out.put_string(name);
                put_type(out, field, version);
            }
        }
        other => {
            out.put_short(id::CUSTOM);
            out.put_string(&class_name(other));
        }
    }
}

/// The class that Cassandra implements the type with, as it writes it.
pub fn class_name(cql_type: &CqlType) -> String {
    let mut name = String::new();
    write_class(&mut name, cql_type, Inside::Nothing).expect("a string takes what is written");
    name
}

/// Whether an outer type is frozen already, so that `FrozenType` is not repeated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Nothing,
    Frozen,
}

fn write_class(out: &mut String, cql_type: &CqlType, inside: Inside) -> fmt::Result {
    if let Some((_, _, class)) = simple(cql_type) {
        return write!(out, "{PACKAGE}{class}");
    }
    match cql_type {
        CqlType::List(element, frozen) => write_frozen(out, *frozen, inside, |out, inside| {
            write!(out, "{PACKAGE}ListType(")?;
            write_class(out, element, inside)?;
            out.write_char(')')
        }),
        CqlType::Set(element, frozen) => write_frozen(out, *frozen, inside, |out, inside| {
            write!(out, "{PACKAGE}SetType(")?;
            write_class(out, element, inside)?;
            out.write_char(')')
        }),
        CqlType::Map(key, value, frozen) => write_frozen(out, *frozen, inside, |out, inside| {
            write!(out, "{PACKAGE}MapType(")?;
            write_class(out, key, inside)?;
            out.write_char(',')?;
            write_class(out, value, inside)?;
            out.write_char(')')
        }),
        CqlType::Udt(definition, frozen) => write_frozen(out, *frozen, inside, |out, inside| {
            write_user_type(out, definition, inside)
        }),
        CqlType::Tuple(elements) => {
            write!(out, "{PACKAGE}TupleType")?;
            for (index, element) in elements.iter().enumerate() {
                out.write_char(if index == 0 { '(' } else { ',' })?;
                write_class(out, element, Inside::Frozen)?;
            }
            out.write_char(')')
        }
        CqlType::Vector(element, dimension) => {
            write!(out, "{PACKAGE}VectorType(")?;
            write_class(out, element, inside)?;
            write!(out, " , {dimension})")
        }
        CqlType::Custom(class) => out.write_str(class),
        _ => write!(out, "{PACKAGE}EmptyType"),
    }
}

fn write_frozen(
    out: &mut String,
    frozen: Frozen,
    inside: Inside,
    write: impl FnOnce(&mut String, Inside) -> fmt::Result,
) -> fmt::Result {
    match (frozen, inside) {
        (Frozen::Yes, Inside::Nothing) => {
            write!(out, "{PACKAGE}FrozenType(")?;
            write(out, Inside::Frozen)?;
            out.write_char(')')
        }
        _ => write(out, inside),
    }
}

fn write_user_type(out: &mut String, definition: &UserType, inside: Inside) -> fmt::Result {
    write!(out, "{PACKAGE}UserType({},", definition.keyspace)?;
    write_hex(out, &definition.name)?;
    for (name, field) in &definition.fields {
        out.write_char(',')?;
        write_hex(out, name)?;
        out.write_char(':')?;
        write_class(out, field, inside)?;
    }
    out.write_char(')')
}

fn write_hex(out: &mut String, text: &str) -> fmt::Result {
    text.bytes().try_for_each(|byte| write!(out, "{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn vector(element: CqlType, dimension: u32) -> CqlType {
        CqlType::Vector(Arc::new(element), dimension)
    }

    #[test]
    fn class_names_as_cassandra_writes_them() {
        let marshal = |text: &str| text.replace('~', PACKAGE);
        assert_eq!(
            class_name(&vector(CqlType::Float, 3)),
            marshal("~VectorType(~FloatType , 3)")
        );
        let tuple = CqlType::Tuple([CqlType::Int, CqlType::Duration].into());
        assert_eq!(
            class_name(&vector(vector(tuple, 2), 2)),
            marshal("~VectorType(~VectorType(~TupleType(~Int32Type,~DurationType) , 2) , 2)")
        );
        let list = CqlType::List(Arc::new(CqlType::Int), Frozen::Yes);
        assert_eq!(
            class_name(&vector(list, 2)),
            marshal("~VectorType(~FrozenType(~ListType(~Int32Type)) , 2)")
        );
        let address = CqlType::Udt(
            Arc::new(UserType {
                keyspace: "srv_probe".into(),
                name: "Ad dr".into(),
                fields: vec![
                    ("street".into(), CqlType::Text),
                    ("n".into(), CqlType::Int),
                    ("d".into(), CqlType::Duration),
                ],
            }),
            Frozen::Yes,
        );
        assert_eq!(
            class_name(&vector(address, 2)),
            marshal(
                "~VectorType(~FrozenType(~UserType(srv_probe,4164206472,737472656574:~UTF8Type,6e:~Int32Type,64:~DurationType)) , 2)"
            )
        );
    }

    #[test]
    fn a_type_unknown_to_a_version_is_custom_in_it() {
        let encode = |cql_type: &CqlType, version| {
            let mut out = Vec::new();
            put_type(&mut out, cql_type, version);
            out
        };
        let custom = |class: &str| {
            let mut out = vec![0, 0];
            out.put_string(&format!("{PACKAGE}{class}"));
            out
        };
        use ProtocolVersion::*;
        assert_eq!(encode(&CqlType::Smallint, V3), custom("ShortType"));
        assert_eq!(encode(&CqlType::Smallint, V4), [0, 0x13]);
        assert_eq!(encode(&CqlType::Duration, V4), custom("DurationType"));
        assert_eq!(encode(&CqlType::Duration, V5), [0, 0x15]);
        assert_eq!(
            encode(&vector(CqlType::Float, 3), V5),
            custom(&format!("VectorType({PACKAGE}FloatType , 3)"))
        );
        assert_eq!(encode(&CqlType::Empty, V5), custom("EmptyType"));
        let nested = CqlType::List(Arc::new(CqlType::Duration), Frozen::Yes);
        assert_eq!(
            encode(&nested, V4),
            [&[0, 0x20][..], &custom("DurationType")].concat()
        );
    }
}
