//! Types given as a Java class name in quotes (`'UTF8Type'`, `'org.apache.cassandra.db.marshal.ListType(Int32Type)'`).
//!
//! Classes that have a CQL type become it. Those of Cassandra that have none are carried as opaque bytes
//! ([`CqlType::Custom`]), named in full.

use model::error::RequestError;
use model::types::{CqlType, Frozen};
use std::sync::Arc;

const PACKAGE: &str = "org.apache.cassandra.db.marshal.";

/// Classes of Cassandra without a CQL type that can still be read and written as bytes.
const OPAQUE: &[&str] = &[
    "AbstractCompositeType",
    "CompositeType",
    "DynamicCompositeType",
    "LexicalUUIDType",
    "LocalByPartionerType",
    "PartitionerDefinedOrder",
];

/// Resolves a class name.
pub(super) fn resolve(class: &str) -> Result<CqlType, RequestError> {
    let fail =
        |problem: String| RequestError::Syntax(format!("Error setting type {class}: {problem}"));
    if class.trim().is_empty() {
        return Ok(CqlType::Blob);
    }
    let mut parser = Parser { rest: class };
    parser.class(0).map_err(fail)
}

/// Deepest nesting of classes that is followed.
const MAX_DEPTH: usize = 32;

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn word(&mut self) -> &'a str {
        let rest = self.rest.trim_start();
        let end = rest
            .find(|next: char| !(next.is_alphanumeric() || "-+.$_=>:".contains(next)))
            .unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        self.rest = rest.trim_start();
        word
    }

    fn accept(&mut self, expected: char) -> bool {
        match self.rest.trim_start().strip_prefix(expected) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// A class and its arguments.
    fn class(&mut self, depth: usize) -> Result<CqlType, String> {
        let name = self.word();
        let full = if name.contains('.') {
            name.to_owned()
        } else {
            format!("{PACKAGE}{name}")
        };
        let Some(short) = full.strip_prefix(PACKAGE) else {
            return Err(format!("Unable to find abstract-type class '{full}'"));
        };
        if let Some(native) = native(short) {
            return Ok(native);
        }
        if OPAQUE.contains(&short) {
            return Ok(CqlType::Custom(self.opaque(&full).into()));
        }
        let parameters = match short {
            "ListType" | "SetType" | "FrozenType" | "ReversedType" => 1,
            "MapType" | "VectorType" => 2,
            "TupleType" => usize::MAX,
            _ => return Err(format!("Unable to find abstract-type class '{full}'")),
        };
        if depth > MAX_DEPTH || !self.accept('(') {
            return Err(format!("Invalid definition for comparator {full}."));
        }
        let mut arguments = vec![self.class(depth + 1)?];
        if short == "VectorType" {
            let dimension = if self.accept(',') { self.word() } else { "" };
            let dimension = dimension.parse().ok().filter(|dimension| *dimension > 0);
            let dimension =
                dimension.ok_or_else(|| format!("Invalid definition for comparator {full}."))?;
            self.accept(')');
            return Ok(CqlType::Vector(arguments.remove(0).into(), dimension));
        }
        while self.accept(',') {
            arguments.push(self.class(depth + 1)?);
        }
        if !self.accept(')') || (parameters != usize::MAX && arguments.len() != parameters) {
            return Err(format!("Invalid definition for comparator {full}."));
        }
        let mut arguments = arguments.into_iter();
        let mut next = || Arc::new(arguments.next().unwrap_or(CqlType::Blob));
        Ok(match short {
            "ListType" => CqlType::List(next(), Frozen::No),
            "SetType" => CqlType::Set(next(), Frozen::No),
            "MapType" => CqlType::Map(next(), next(), Frozen::No),
            "FrozenType" => next().freeze(),
            "TupleType" => CqlType::Tuple(arguments.map(|element| element.freeze()).collect()),
            _ => (*next()).clone(),
        })
    }

    /// The class with all names in it written in full.
    fn opaque(&mut self, full: &str) -> String {
        let mut text = full.to_owned();
        if !self.accept('(') {
            return text;
        }
        text.push('(');
        let mut depth = 1;
        while depth > 0 && !self.rest.is_empty() {
            let word = self.word();
            let (alias, name) = word.split_once("=>").map_or(("", word), |(_, name)| {
                (&word[..word.len() - name.len()], name)
            });
            text.push_str(alias);
            if !name.is_empty() && !name.contains('.') {
                text.push_str(PACKAGE);
            }
            text.push_str(name);
            if let Some(next) = self.rest.chars().next() {
                depth = match next {
                    '(' => depth + 1,
                    ')' => depth - 1,
                    _ => depth,
                };
                text.push(next);
                self.rest = &self.rest[next.len_utf8()..];
            }
        }
        text
    }
}

fn native(class: &str) -> Option<CqlType> {
    Some(match class {
        "AsciiType" => CqlType::Ascii,
        "BooleanType" => CqlType::Boolean,
        "ByteType" => CqlType::Tinyint,
        "BytesType" => CqlType::Blob,
        "CounterColumnType" => CqlType::Counter,
        "DateType" | "TimestampType" => CqlType::Timestamp,
        "DecimalType" => CqlType::Decimal,
        "DoubleType" => CqlType::Double,
        "DurationType" => CqlType::Duration,
        "EmptyType" => CqlType::Empty,
        "FloatType" => CqlType::Float,
        "InetAddressType" => CqlType::Inet,
        "Int32Type" => CqlType::Int,
        "IntegerType" => CqlType::Varint,
        "LongType" => CqlType::Bigint,
        "ShortType" => CqlType::Smallint,
        "SimpleDateType" => CqlType::Date,
        "TimeType" => CqlType::Time,
        "TimeUUIDType" => CqlType::Timeuuid,
        "UTF8Type" => CqlType::Text,
        "UUIDType" => CqlType::Uuid,
        _ => return None,
    })
}
