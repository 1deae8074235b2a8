//! Types.

use super::cursor::Parser;
use super::error::SyntaxError;
use crate::ast::{NativeType, Type};
use crate::lexer::{Keyword as K, Kind};

/// The native type a keyword names.
pub(super) fn native_type(keyword: K) -> Option<NativeType> {
    Some(match keyword {
        K::Ascii => NativeType::Ascii,
        K::Bigint => NativeType::Bigint,
        K::Blob => NativeType::Blob,
        K::Boolean => NativeType::Boolean,
        K::Counter => NativeType::Counter,
        K::Date => NativeType::Date,
        K::Decimal => NativeType::Decimal,
        K::Double => NativeType::Double,
        K::Duration => NativeType::Duration,
        K::Float => NativeType::Float,
        K::Inet => NativeType::Inet,
        K::Int => NativeType::Int,
        K::Smallint => NativeType::Smallint,
        K::Text => NativeType::Text,
        K::Time => NativeType::Time,
        K::Timestamp => NativeType::Timestamp,
        K::Timeuuid => NativeType::Timeuuid,
        K::Tinyint => NativeType::Tinyint,
        K::Uuid => NativeType::Uuid,
        K::Varchar => NativeType::Varchar,
        K::Varint => NativeType::Varint,
        _ => return None,
    })
}

/// Where Cassandra looks for a type class without a package.
const PACKAGE: &str = "org.apache.cassandra.db.marshal.";

/// The type classes of Cassandra 5.0.
const CLASSES: [&str; 34] = [
    "AsciiType",
    "BooleanType",
    "ByteType",
    "BytesType",
    "CompositeType",
    "CounterColumnType",
    "DateType",
    "DecimalType",
    "DoubleType",
    "DurationType",
    "DynamicCompositeType",
    "EmptyType",
    "FloatType",
    "FrozenType",
    "InetAddressType",
    "Int32Type",
    "IntegerType",
    "LexicalUUIDType",
    "ListType",
    "LongType",
    "MapType",
    "PartitionerDefinedOrder",
    "ReversedType",
    "SetType",
    "ShortType",
    "SimpleDateType",
    "TimeType",
    "TimeUUIDType",
    "TimestampType",
    "TupleType",
    "UTF8Type",
    "UUIDType",
    "UserType",
    "VectorType",
];

/// Refuses the name of a class that Cassandra does not have.
fn check_class(found: &Type) -> Result<(), SyntaxError> {
    let Type::Custom(class) = found else {
        return Ok(());
    };
    let name = class.split('(').next().unwrap_or(class).trim();
    let full = if name.contains('.') {
        name.to_owned()
    } else {
        format!("{PACKAGE}{name}")
    };
    if full
        .strip_prefix(PACKAGE)
        .is_some_and(|short| CLASSES.contains(&short))
    {
        return Ok(());
    }
    Err(SyntaxError::new(format!(
        "Error setting type {class}: Unable to find abstract-type class '{full}'"
    )))
}

impl Parser<'_> {
    pub fn native_type(&mut self) -> Result<NativeType, SyntaxError> {
        match self.kind() {
            Kind::Keyword(keyword) => match native_type(keyword) {
                Some(found) => {
                    self.advance();
                    Ok(found)
                }
                None => Err(self.no_alternative()),
            },
            _ => Err(self.no_alternative()),
        }
    }

    /// Any type.
    pub fn data_type(&mut self) -> Result<Type, SyntaxError> {
        self.nested(|parser| {
            let found = parser.data_type_here()?;
            check_class(&found)?;
            Ok(found)
        })
    }

    fn data_type_here(&mut self) -> Result<Type, SyntaxError> {
        if matches!(self.kind(), Kind::String | Kind::DollarString) {
            return Ok(Type::Custom(self.string()?));
        }
        // `list` alone is a user type of that name, and `int.x` a type of the keyspace `int`.
        let next = self.kind_at(1);
        match self.kind() {
            Kind::Keyword(K::List) if next == Kind::Less => {
                Ok(Type::List(Box::new(self.one_parameter()?)))
            }
            Kind::Keyword(K::Set) if next == Kind::Less => {
                Ok(Type::Set(Box::new(self.one_parameter()?)))
            }
            Kind::Keyword(K::Map) if next == Kind::Less => {
                self.open_parameters();
                let key = self.data_type()?;
                self.expect(Kind::Comma)?;
                let value = self.data_type()?;
                self.expect(Kind::Greater)?;
                Ok(Type::Map(Box::new(key), Box::new(value)))
            }
            Kind::Keyword(K::Tuple) if next == Kind::Less => {
                self.open_parameters();
                let elements = self.separated(Kind::Comma, Self::data_type)?;
                self.expect(Kind::Greater)?;
                Ok(Type::Tuple(elements))
            }
            Kind::Keyword(K::Vector) if next == Kind::Less => {
                self.open_parameters();
                let element = self.data_type()?;
                self.expect(Kind::Comma)?;
                let dimension = self.dimension()?;
                self.expect(Kind::Greater)?;
                Ok(Type::Vector(Box::new(element), dimension))
            }
            Kind::Keyword(K::Frozen) if next == Kind::Less => {
                let inner = self.one_parameter()?;
                if let Type::Native(native) = inner {
                    return Err(SyntaxError::new(format!(
                        "frozen<> is only allowed on collections, tuples, and user-defined types (got {})",
                        native.text()
                    )));
                }
                Ok(Type::Frozen(Box::new(inner)))
            }
            Kind::Keyword(keyword) if next != Kind::Dot && native_type(keyword).is_some() => {
                Ok(Type::Native(self.native_type()?))
            }
            _ => Ok(Type::User(self.user_type_name()?)),
        }
    }

    fn open_parameters(&mut self) {
        self.advance();
        self.advance();
    }

    fn one_parameter(&mut self) -> Result<Type, SyntaxError> {
        self.open_parameters();
        let parameter = self.data_type()?;
        self.expect(Kind::Greater)?;
        Ok(parameter)
    }

    fn dimension(&mut self) -> Result<i32, SyntaxError> {
        if self.kind() != Kind::Integer {
            return Err(self.expected(Kind::Integer));
        }
        let digits = self.slice();
        self.advance();
        digits
            .parse()
            .map_err(|_| self.failed_parsing(&format!("For input string: \"{digits}\"")))
    }

    /// A type in parentheses, if one stands here and `follows` says that what comes after makes it one. Takes nothing
    /// otherwise.
    pub fn type_in_parentheses(
        &mut self,
        follows: impl Fn(&Self) -> bool,
    ) -> Result<Option<Type>, SyntaxError> {
        debug_assert_eq!(self.kind(), Kind::LeftParen);
        let start = self.position();
        self.advance();
        // A string is a class only if the hint is one: `('a')` is a tuple.
        match self.nested(Self::data_type_here) {
            Ok(found) if self.accept(Kind::RightParen) && follows(self) => {
                check_class(&found)?;
                Ok(Some(found))
            }
            _ => {
                self.rewind(start);
                Ok(None)
            }
        }
    }
}
