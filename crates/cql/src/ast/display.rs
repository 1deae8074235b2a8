//! How Cassandra prints terms, selectors, relations and types in error messages and in the names of result columns.
//!
//! Strings come out between single quotes without escaping what is in them, and constants exactly as they were written.

use std::fmt::{self, Display, Formatter};

use super::*;

/// A name as CQL needs it written: in double quotes unless it is lower case, starts with a letter and is not reserved.
pub fn maybe_quote(name: &str) -> String {
    let plain = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && !crate::lexer::is_reserved(name);
    if plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// The full name of a table or type as CQL needs it written.
pub fn full_name(keyspace: &str, name: &str) -> String {
    format!("{}.{}", maybe_quote(keyspace), maybe_quote(name))
}

/// Elements with `, ` between them.
fn list<T: Display>(formatter: &mut Formatter<'_>, elements: &[T]) -> fmt::Result {
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            formatter.write_str(", ")?;
        }
        element.fmt(formatter)?;
    }
    Ok(())
}

/// `key: value` pairs with `, ` between them.
fn pairs<K: Display, V: Display>(formatter: &mut Formatter<'_>, entries: &[(K, V)]) -> fmt::Result {
    for (index, (key, value)) in entries.iter().enumerate() {
        if index > 0 {
            formatter.write_str(", ")?;
        }
        write!(formatter, "{key}: {value}")?;
    }
    Ok(())
}

/// Columns as CQL needs them written, in parentheses.
fn columns(formatter: &mut Formatter<'_>, columns: &[String]) -> fmt::Result {
    formatter.write_str("(")?;
    for (index, column) in columns.iter().enumerate() {
        if index > 0 {
            formatter.write_str(", ")?;
        }
        formatter.write_str(&maybe_quote(column))?;
    }
    formatter.write_str(")")
}

impl Display for QualifiedName {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        if let Some(keyspace) = &self.keyspace {
            write!(formatter, "{keyspace}.")?;
        }
        formatter.write_str(&self.name)
    }
}

impl Display for Type {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native(native) => native.fmt(formatter),
            Self::List(element) => write!(formatter, "list<{element}>"),
            Self::Set(element) => write!(formatter, "set<{element}>"),
            Self::Map(key, value) => write!(formatter, "map<{key}, {value}>"),
            Self::Tuple(elements) => {
                formatter.write_str("tuple<")?;
                list(formatter, elements)?;
                formatter.write_str(">")
            }
            Self::Vector(element, dimension) => write!(formatter, "vector<{element}, {dimension}>"),
            Self::User(name) => name.fmt(formatter),
            Self::Frozen(inner) => write!(formatter, "frozen<{inner}>"),
            Self::Custom(class) => write!(formatter, "'{class}'"),
        }
    }
}

impl Display for NativeType {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.text())
    }
}

impl Display for Literal {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self.kind {
            LiteralKind::String => write!(formatter, "'{}'", self.text),
            _ => formatter.write_str(&self.text),
        }
    }
}

impl Display for Marker {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("?")
    }
}

impl Display for ArithmeticOperator {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
        })
    }
}

impl<T: Display> Display for Call<T> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}(", self.function)?;
        list(formatter, &self.arguments)?;
        formatter.write_str(")")
    }
}

impl<T: Display> Display for Binary<T> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} {}", self.left, self.operator, self.right)
    }
}

impl Display for Term {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(literal) => literal.fmt(formatter),
            Self::Null => formatter.write_str("NULL"),
            Self::Marker(marker) => marker.fmt(formatter),
            Self::List(elements) => {
                formatter.write_str("[")?;
                list(formatter, elements)?;
                formatter.write_str("]")
            }
            Self::Set(elements) => {
                formatter.write_str("{")?;
                list(formatter, elements)?;
                formatter.write_str("}")
            }
            Self::Map(entries) => {
                formatter.write_str("{")?;
                pairs(formatter, entries)?;
                formatter.write_str("}")
            }
            Self::UserType(fields) => {
                formatter.write_str("{")?;
                pairs(formatter, fields)?;
                formatter.write_str("}")
            }
            Self::Tuple(elements) => {
                formatter.write_str("(")?;
                list(formatter, elements)?;
                formatter.write_str(")")
            }
            Self::TypeHint { target, term } => write!(formatter, "({target}){term}"),
            Self::Cast { term, target } => write!(formatter, "cast({term} as {target})"),
            Self::Call(call) => call.fmt(formatter),
            Self::Binary(binary) => binary.fmt(formatter),
            Self::Negate(term) => write!(formatter, "-{term}"),
        }
    }
}

impl Display for CellAttribute {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Writetime => "writetime",
            Self::MaxWritetime => "maxwritetime",
            Self::Ttl => "ttl",
        })
    }
}

impl Display for Selector {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column(column) => formatter.write_str(column),
            Self::Term(term) => term.fmt(formatter),
            Self::CountRows => formatter.write_str("count(*)"),
            Self::Attribute {
                attribute, part, ..
            } => write!(formatter, "{attribute}({part})"),
            Self::Cast { selector, target } => write!(formatter, "cast({selector} as {target})"),
            Self::Call(call) => call.fmt(formatter),
            Self::TypeHint { target, selector } => write!(formatter, "({target}){selector}"),
            Self::Tuple(elements) => {
                formatter.write_str("(")?;
                list(formatter, elements)?;
                formatter.write_str(")")
            }
            Self::List(elements) => {
                formatter.write_str("[")?;
                list(formatter, elements)?;
                formatter.write_str("]")
            }
            Self::Set(elements) => {
                formatter.write_str("{")?;
                list(formatter, elements)?;
                formatter.write_str("}")
            }
            Self::Map(entries) => {
                formatter.write_str("{")?;
                pairs(formatter, entries)?;
                formatter.write_str("}")
            }
            Self::Field { of, field } => write!(formatter, "{of}.{field}"),
            Self::Element { of, key } => write!(formatter, "{of}[{key}]"),
            Self::Slice { of, from, to } => {
                write!(formatter, "{of}[")?;
                if let Some(from) = from {
                    from.fmt(formatter)?;
                }
                formatter.write_str("..")?;
                if let Some(to) = to {
                    to.fmt(formatter)?;
                }
                formatter.write_str("]")
            }
            Self::Binary(binary) => binary.fmt(formatter),
            Self::Negate(selector) => write!(formatter, "-{selector}"),
        }
    }
}

impl Display for Operator {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Contains => "CONTAINS",
            Self::ContainsKey => "CONTAINS KEY",
            Self::Like => "LIKE",
        })
    }
}

impl Display for InValues {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(values) => {
                formatter.write_str("(")?;
                list(formatter, values)?;
                formatter.write_str(")")
            }
            Self::Marker(marker) => marker.fmt(formatter),
        }
    }
}

impl Display for Relation {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column {
                column,
                operator,
                value,
            } => {
                write!(formatter, "{} {operator} {value}", maybe_quote(column))
            }
            Self::In { column, values } => write!(formatter, "{} IN {values}", maybe_quote(column)),
            Self::IsNotNull { column } => write!(formatter, "{} IS NOT NULL", maybe_quote(column)),
            Self::Element {
                column,
                key,
                operator,
                value,
            } => {
                write!(
                    formatter,
                    "{}[{key}] {operator} {value}",
                    maybe_quote(column)
                )
            }
            Self::Tuple {
                columns: names,
                operator,
                value,
            } => {
                columns(formatter, names)?;
                write!(formatter, " {operator} {value}")
            }
            Self::TupleIn {
                columns: names,
                values,
            } => {
                columns(formatter, names)?;
                write!(formatter, " IN {values}")
            }
            Self::Token {
                columns: names,
                operator,
                value,
            } => {
                formatter.write_str("token")?;
                columns(formatter, names)?;
                write!(formatter, " {operator} {value}")
            }
            Self::CustomIndex { index, value } => {
                write!(formatter, "expr({},{value})", maybe_quote(index))
            }
        }
    }
}
