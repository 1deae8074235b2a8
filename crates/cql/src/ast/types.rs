//! Types as they are written.

use super::QualifiedName;

/// A type in a statement; user types are not resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// A native type.
    Native(NativeType),
    /// `list<element>`
    List(Box<Type>),
    /// `set<element>`
    Set(Box<Type>),
    /// `map<key, value>`
    Map(Box<Type>, Box<Type>),
    /// `tuple<a, b>`
    Tuple(Vec<Type>),
    /// `vector<element, dimension>`; the dimension is not checked.
    Vector(Box<Type>, i32),
    /// A user type.
    User(QualifiedName),
    /// `frozen<type>`
    Frozen(Box<Type>),
    /// A Java class name in quotes.
    Custom(String),
}

impl Type {
    /// The type with user types named by their keyspace, `keyspace` where none was written.
    pub fn qualified(&self, keyspace: &str) -> Self {
        let again = |inner: &Self| Box::new(inner.qualified(keyspace));
        match self {
            Self::List(element) => Self::List(again(element)),
            Self::Set(element) => Self::Set(again(element)),
            Self::Map(key, item) => Self::Map(again(key), again(item)),
            Self::Vector(element, dimension) => Self::Vector(again(element), *dimension),
            Self::Frozen(inner) => Self::Frozen(again(inner)),
            Self::Tuple(parts) => {
                Self::Tuple(parts.iter().map(|part| part.qualified(keyspace)).collect())
            }
            Self::User(name) => Self::User(QualifiedName {
                keyspace: Some(name.keyspace.clone().unwrap_or_else(|| keyspace.to_owned())),
                name: name.name.clone(),
            }),
            Self::Native(_) | Self::Custom(_) => self.clone(),
        }
    }
}

macro_rules! native_types {
    ($($name:ident $text:literal)*) => {
        /// The types that have a name of their own.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "each is the CQL type it is named after")]
        pub enum NativeType { $($name,)* }

        impl NativeType {
            /// Its name in CQL.
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

native_types! {
    Ascii "ascii"
    Bigint "bigint"
    Blob "blob"
    Boolean "boolean"
    Counter "counter"
    Date "date"
    Decimal "decimal"
    Double "double"
    Duration "duration"
    Float "float"
    Inet "inet"
    Int "int"
    Smallint "smallint"
    Text "text"
    Time "time"
    Timestamp "timestamp"
    Timeuuid "timeuuid"
    Tinyint "tinyint"
    Uuid "uuid"
    Varchar "varchar"
    Varint "varint"
}
