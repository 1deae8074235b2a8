//! CQL types: what a column may hold, and how a type is written.
//!
//! A user type is held by value of its definition (`Arc<UserType>`), resolved when the schema is built; a changed
//! definition makes new column types, so a type in hand never changes under a reader.

use crate::limits::MAX_NESTING;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Whether a collection, tuple or user type is one value or a set of cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Frozen {
    /// One value, replaced as a whole.
    Yes,
    /// One cell an element or field.
    No,
}

/// A user-defined type.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UserType {
    /// Keyspace it belongs to.
    pub keyspace: String,
    /// Name, as stored (case kept).
    pub name: String,
    /// Field names and types in order. Fields are only ever added at the end or renamed.
    pub fields: Vec<(String, CqlType)>,
}

/// The type of a column, field, argument or term.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum CqlType {
    Ascii,
    Bigint,
    Blob,
    Boolean,
    Counter,
    Date,
    Decimal,
    Double,
    Duration,
    Empty,
    Float,
    Inet,
    Int,
    Smallint,
    Text,
    Time,
    Timestamp,
    Timeuuid,
    Tinyint,
    Uuid,
    Varint,
    List(Arc<CqlType>, Frozen),
    Set(Arc<CqlType>, Frozen),
    Map(Arc<CqlType>, Arc<CqlType>, Frozen),
    /// Always frozen.
    Tuple(Arc<[CqlType]>),
    Udt(Arc<UserType>, Frozen),
    /// Element type and number of elements. Always frozen.
    Vector(Arc<CqlType>, u32),
    /// A class of Cassandra we carry as opaque bytes.
    Custom(Arc<str>),
}

impl CqlType {
    /// The native type of this name (lower case), `varchar` included.
    pub fn native(name: &str) -> Option<Self> {
        Some(match name {
            "ascii" => Self::Ascii,
            "bigint" => Self::Bigint,
            "blob" => Self::Blob,
            "boolean" => Self::Boolean,
            "counter" => Self::Counter,
            "date" => Self::Date,
            "decimal" => Self::Decimal,
            "double" => Self::Double,
            "duration" => Self::Duration,
            "empty" => Self::Empty,
            "float" => Self::Float,
            "inet" => Self::Inet,
            "int" => Self::Int,
            "smallint" => Self::Smallint,
            "text" | "varchar" => Self::Text,
            "time" => Self::Time,
            "timestamp" => Self::Timestamp,
            "timeuuid" => Self::Timeuuid,
            "tinyint" => Self::Tinyint,
            "uuid" => Self::Uuid,
            "varint" => Self::Varint,
            _ => return None,
        })
    }

    /// Whether its values can be added up.
    pub fn is_number(&self) -> bool {
        matches!(
            self,
            Self::Tinyint
                | Self::Smallint
                | Self::Int
                | Self::Bigint
                | Self::Varint
                | Self::Float
                | Self::Double
                | Self::Decimal
        )
    }

    /// Whether its values are text.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Text | Self::Ascii)
    }

    /// Whether it is a list, set or map.
    pub fn is_collection(&self) -> bool {
        matches!(self, Self::List(..) | Self::Set(..) | Self::Map(..))
    }

    /// Whether a column of this type is several cells: a non-frozen collection or user type.
    pub fn is_multi_cell(&self) -> bool {
        matches!(
            self,
            Self::List(_, Frozen::No)
                | Self::Set(_, Frozen::No)
                | Self::Map(_, _, Frozen::No)
                | Self::Udt(_, Frozen::No)
        )
    }

    /// The same type with its outer level, and every level inside, frozen; but for the elements of vectors, which
    /// Cassandra leaves as they were written.
    pub fn freeze(&self) -> Self {
        let inner = |element: &Arc<Self>| Arc::new(element.freeze());
        match self {
            Self::List(element, _) => Self::List(inner(element), Frozen::Yes),
            Self::Set(element, _) => Self::Set(inner(element), Frozen::Yes),
            Self::Map(key, value, _) => Self::Map(inner(key), inner(value), Frozen::Yes),
            Self::Tuple(elements) => Self::Tuple(elements.iter().map(Self::freeze).collect()),
            Self::Udt(definition, _) => Self::Udt(
                Arc::new(UserType {
                    keyspace: definition.keyspace.clone(),
                    name: definition.name.clone(),
                    fields: definition
                        .fields
                        .iter()
                        .map(|(name, field)| (name.clone(), field.freeze()))
                        .collect(),
                }),
                Frozen::Yes,
            ),
            other => other.clone(),
        }
    }

    /// The same type with every user type in it replaced by the tuple of its fields, as `dropped_columns` shows it.
    pub fn expand_user_types(&self) -> Self {
        let inner = |element: &Arc<Self>| Arc::new(element.expand_user_types());
        match self {
            Self::List(element, frozen) => Self::List(inner(element), *frozen),
            Self::Set(element, frozen) => Self::Set(inner(element), *frozen),
            Self::Map(key, value, frozen) => Self::Map(inner(key), inner(value), *frozen),
            Self::Tuple(elements) => {
                Self::Tuple(elements.iter().map(Self::expand_user_types).collect())
            }
            Self::Udt(definition, _) => Self::Tuple(
                definition
                    .fields
                    .iter()
                    .map(|(_, field)| field.expand_user_types())
                    .collect(),
            ),
            Self::Vector(element, dimension) => Self::Vector(inner(element), *dimension),
            native => native.clone(),
        }
    }

    /// Bytes of a value, where every non-empty value has the same length.
    pub fn fixed_length(&self) -> Option<usize> {
        Some(match self {
            Self::Boolean | Self::Tinyint => 1,
            Self::Smallint => 2,
            Self::Int | Self::Float | Self::Date => 4,
            Self::Bigint | Self::Counter | Self::Double | Self::Time | Self::Timestamp => 8,
            Self::Uuid | Self::Timeuuid => 16,
            _ => return None,
        })
    }

    /// The length a vector packs each element at: [`Self::fixed_length`] where Cassandra's serializer is fixed-length
    /// too (`tinyint`, `smallint`, `date` and `time` are not, a quirk of its type classes), or a nested vector of such.
    pub fn vector_element_length(&self) -> Option<usize> {
        match self {
            Self::Tinyint | Self::Smallint | Self::Date | Self::Time | Self::Counter => None,
            Self::Vector(element, dimension) => {
                Some(element.vector_element_length()? * *dimension as usize)
            }
            other => other.fixed_length(),
        }
    }

    /// Whether a type of this name occurs in it, at any depth.
    pub fn references(&self, keyspace: &str, user_type: &str) -> bool {
        self.any(&|found| matches!(found, Self::Udt(definition, _) if definition.keyspace == keyspace && definition.name == user_type))
    }

    /// Whether `test` holds for it or for any type inside it.
    pub fn any(&self, test: &dyn Fn(&Self) -> bool) -> bool {
        test(self)
            || match self {
                Self::List(element, _) | Self::Set(element, _) | Self::Vector(element, _) => {
                    element.any(test)
                }
                Self::Map(key, value, _) => key.any(test) || value.any(test),
                Self::Tuple(elements) => elements.iter().any(|element| element.any(test)),
                Self::Udt(definition, _) => {
                    definition.fields.iter().any(|(_, field)| field.any(test))
                }
                _ => false,
            }
    }

    /// The same type with every use of a user type of this name replaced by `definition`.
    pub fn with_user_type(&self, definition: &Arc<UserType>) -> Self {
        let inner = |element: &Arc<Self>| Arc::new(element.with_user_type(definition));
        match self {
            Self::List(element, frozen) => Self::List(inner(element), *frozen),
            Self::Set(element, frozen) => Self::Set(inner(element), *frozen),
            Self::Map(key, value, frozen) => Self::Map(inner(key), inner(value), *frozen),
            Self::Tuple(elements) => Self::Tuple(
                elements
                    .iter()
                    .map(|element| element.with_user_type(definition))
                    .collect(),
            ),
            Self::Vector(element, dimension) => Self::Vector(inner(element), *dimension),
            Self::Udt(old, frozen)
                if old.keyspace == definition.keyspace && old.name == definition.name =>
            {
                let renewed = Self::Udt(definition.clone(), Frozen::No);
                if *frozen == Frozen::Yes {
                    renewed.freeze()
                } else {
                    renewed
                }
            }
            Self::Udt(old, frozen) => Self::Udt(
                Arc::new(UserType {
                    keyspace: old.keyspace.clone(),
                    name: old.name.clone(),
                    fields: old
                        .fields
                        .iter()
                        .map(|(name, field)| (name.clone(), field.with_user_type(definition)))
                        .collect(),
                }),
                *frozen,
            ),
            other => other.clone(),
        }
    }

    /// How the type stands in system_schema and DESCRIBE: a frozen type says so, nested ones are shown as they are.
    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        if depth > MAX_NESTING {
            return f.write_str("…");
        }
        let framed = matches!(
            self,
            Self::List(_, Frozen::Yes)
                | Self::Set(_, Frozen::Yes)
                | Self::Map(_, _, Frozen::Yes)
                | Self::Udt(_, Frozen::Yes)
                | Self::Tuple(_)
        );
        if framed {
            f.write_str("frozen<")?;
        }
        match self {
            Self::List(element, _) => write!(f, "list<{}>", Nested(element, depth))?,
            Self::Set(element, _) => write!(f, "set<{}>", Nested(element, depth))?,
            Self::Map(key, value, _) => {
                write!(f, "map<{}, {}>", Nested(key, depth), Nested(value, depth))?
            }
            Self::Vector(element, dimension) => {
                write!(f, "vector<{}, {dimension}>", Nested(element, depth))?
            }
            Self::Udt(definition, _) => write!(f, "{}", Identifier(&definition.name))?,
            Self::Tuple(elements) => {
                f.write_str("tuple<")?;
                for (index, element) in elements.iter().enumerate() {
                    write!(
                        f,
                        "{}{}",
                        if index == 0 { "" } else { ", " },
                        Nested(element, depth)
                    )?;
                }
                f.write_str(">")?;
            }
            Self::Custom(class) => write!(f, "'{class}'")?,
            native => f.write_str(native.native_name())?,
        }
        if framed { f.write_str(">") } else { Ok(()) }
    }

    fn native_name(&self) -> &'static str {
        match self {
            Self::Ascii => "ascii",
            Self::Bigint => "bigint",
            Self::Blob => "blob",
            Self::Boolean => "boolean",
            Self::Counter => "counter",
            Self::Date => "date",
            Self::Decimal => "decimal",
            Self::Double => "double",
            Self::Duration => "duration",
            Self::Empty => "empty",
            Self::Float => "float",
            Self::Inet => "inet",
            Self::Int => "int",
            Self::Smallint => "smallint",
            Self::Text => "text",
            Self::Time => "time",
            Self::Timestamp => "timestamp",
            Self::Timeuuid => "timeuuid",
            Self::Tinyint => "tinyint",
            Self::Uuid => "uuid",
            Self::Varint => "varint",
            Self::List(..)
            | Self::Set(..)
            | Self::Map(..)
            | Self::Tuple(_)
            | Self::Udt(..)
            | Self::Vector(..)
            | Self::Custom(_) => {
                unreachable!("written by its own arm")
            }
        }
    }
}

struct Nested<'a>(&'a CqlType, usize);

impl fmt::Display for Nested<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, self.1 + 1)
    }
}

impl fmt::Display for CqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

/// A name as CQL writes it: quoted unless it is all lower-case letters, digits and underscores, starting with a letter.
#[derive(Debug, Clone, Copy)]
pub struct Identifier<'a>(pub &'a str);

impl fmt::Display for Identifier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.0.chars();
        let plain = chars.next().is_some_and(|first| first.is_ascii_lowercase())
            && chars.all(|next| next.is_ascii_lowercase() || next.is_ascii_digit() || next == '_');
        if plain && !RESERVED.contains(&self.0) {
            f.write_str(self.0)
        } else {
            write!(f, "\"{}\"", self.0.replace('"', "\"\""))
        }
    }
}

/// Words that cannot be names unless quoted: those DESCRIBE quotes, which are fewer than the CQL definition's appendix A lists
/// (`any`, `default`, `inet`, `mbean`, `mbeans`, `replace` and `unset` are plain names to the grammar).
pub const RESERVED: &[&str] = &[
    "add",
    "allow",
    "alter",
    "and",
    "apply",
    "asc",
    "authorize",
    "batch",
    "begin",
    "by",
    "columnfamily",
    "create",
    "delete",
    "desc",
    "describe",
    "drop",
    "entries",
    "execute",
    "from",
    "full",
    "grant",
    "if",
    "in",
    "index",
    "infinity",
    "insert",
    "into",
    "is",
    "keyspace",
    "limit",
    "materialized",
    "modify",
    "nan",
    "norecursive",
    "not",
    "null",
    "of",
    "on",
    "or",
    "order",
    "primary",
    "rename",
    "revoke",
    "schema",
    "select",
    "set",
    "table",
    "to",
    "token",
    "truncate",
    "unlogged",
    "update",
    "use",
    "using",
    "view",
    "where",
    "with",
];
