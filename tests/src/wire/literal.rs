//! The small language in which scripts write bind values: `int 1, text 'a', raw 0x01, null, unset, :name = list<int> [1]`.

use super::types::Type;
use super::{WireError, WireResult};

/// A literal as written, before its type turns it into bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// No value.
    Null,
    /// Number, uuid, boolean, hexadecimal: anything without quotes.
    Word(String),
    /// Between single quotes.
    Text(String),
    /// `[…]`, `{…}` or `(…)`.
    Sequence(Vec<Literal>),
    /// `{…: …}`.
    Entries(Vec<(Literal, Literal)>),
}

/// One value of a `bind` directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// The absent value.
    Null,
    /// "Leave the column alone" (protocol 4 and later).
    Unset,
    /// These bytes, whatever the type.
    Raw(Vec<u8>),
    /// A literal of a type.
    Typed(Type, Literal),
}

/// Reads a whole `bind` directive: values with the names given to them, if any.
pub fn parse_bind(text: &str) -> WireResult<Vec<(Option<String>, Bound)>> {
    let mut parser = Parser { rest: text.trim() };
    let mut values = Vec::new();
    while !parser.rest.is_empty() {
        values.push(parser.bound()?);
        if !parser.accept(",") && !parser.rest.is_empty() {
            return Err(parser.error("a comma"));
        }
    }
    Ok(values)
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn error(&self, wanted: &str) -> WireError {
        WireError::Request(format!("bind: {wanted} wanted at «{}»", self.rest))
    }

    fn accept(&mut self, token: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(token) else {
            return false;
        };
        self.rest = rest.trim_start();
        true
    }

    fn expect(&mut self, token: &str) -> WireResult<()> {
        if self.accept(token) {
            Ok(())
        } else {
            Err(self.error(&format!("«{token}»")))
        }
    }

    /// A run of the characters numbers, names, uuids and hexadecimals are made of.
    fn word(&mut self) -> WireResult<String> {
        let in_word = |c: char| c.is_alphanumeric() || "_-.+".contains(c);
        let end = self.rest.find(|c| !in_word(c)).unwrap_or(self.rest.len());
        if end == 0 {
            return Err(self.error("a word"));
        }
        let word = self.rest[..end].to_owned();
        self.rest = self.rest[end..].trim_start();
        Ok(word)
    }

    fn bound(&mut self) -> WireResult<(Option<String>, Bound)> {
        let mut name = None;
        if self.accept(":") {
            name = Some(self.word()?);
            self.expect("=")?;
        }
        let checkpoint = self.rest;
        let value = match self.word()?.as_str() {
            "null" => Bound::Null,
            "unset" => Bound::Unset,
            "raw" => {
                Bound::Raw(unhex(&self.word()?).ok_or_else(|| self.error("hexadecimal digits"))?)
            }
            _ => {
                self.rest = checkpoint;
                let kind = self.kind()?;
                Bound::Typed(kind, self.literal()?)
            }
        };
        Ok((name, value))
    }

    fn kind(&mut self) -> WireResult<Type> {
        let name = self.word()?;
        if let Some(native) = Type::native(&name) {
            return Ok(native);
        }
        self.expect("<")?;
        let first = self.kind()?;
        let kind = match name.as_str() {
            "list" => Type::List(Box::new(first)),
            "set" => Type::Set(Box::new(first)),
            "map" => {
                self.expect(",")?;
                Type::Map(Box::new(first), Box::new(self.kind()?))
            }
            "vector" => {
                self.expect(",")?;
                let length = self.word()?;
                Type::Vector(
                    Box::new(first),
                    length.parse().map_err(|_| self.error("a length"))?,
                )
            }
            "tuple" => {
                let mut parts = vec![first];
                while self.accept(",") {
                    parts.push(self.kind()?);
                }
                Type::Tuple(parts)
            }
            _ => return Err(self.error("a type")),
        };
        self.expect(">")?;
        Ok(kind)
    }

    fn literal(&mut self) -> WireResult<Literal> {
        if self.rest.starts_with('\'') {
            return self.quoted();
        }
        for (open, close) in [("[", "]"), ("(", ")"), ("{", "}")] {
            if self.accept(open) {
                return self.sequence(close);
            }
        }
        let word = self.word()?;
        Ok(if word == "null" {
            Literal::Null
        } else {
            Literal::Word(word)
        })
    }

    fn sequence(&mut self, close: &str) -> WireResult<Literal> {
        let (mut plain, mut entries) = (Vec::new(), Vec::new());
        while !self.accept(close) {
            let value = self.literal()?;
            if self.accept(":") {
                entries.push((value, self.literal()?));
            } else {
                plain.push(value);
            }
            if !self.accept(",") && !self.rest.starts_with(close) {
                return Err(self.error("a comma"));
            }
        }
        match (plain.is_empty(), entries.is_empty()) {
            (_, true) => Ok(Literal::Sequence(plain)),
            (true, false) => Ok(Literal::Entries(entries)),
            (false, false) => Err(self.error("either keys and values or values alone")),
        }
    }

    fn quoted(&mut self) -> WireResult<Literal> {
        let mut text = String::new();
        let mut rest = &self.rest[1..];
        loop {
            let Some(end) = rest.find('\'') else {
                return Err(self.error("a closing quote"));
            };
            text.push_str(&rest[..end]);
            rest = &rest[end + 1..];
            let Some(after) = rest.strip_prefix('\'') else {
                break;
            };
            text.push('\'');
            rest = after;
        }
        self.rest = rest.trim_start();
        Ok(Literal::Text(text))
    }
}

/// The bytes of `0x…`, or nothing if it is not that.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x")?;
    if !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return None;
    }
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bind_directive_is_read() {
        let values = parse_bind(
            "int -1, :n = map<text, list<int>> {'it''s': [1, 2]}, raw 0x0a, null, unset",
        )
        .unwrap();
        assert_eq!(values.len(), 5);
        assert_eq!(
            values[0].1,
            Bound::Typed(Type::Native("int"), Literal::Word("-1".into()))
        );
        assert_eq!(values[1].0.as_deref(), Some("n"));
        assert_eq!(values[2].1, Bound::Raw(vec![10]));
        assert_eq!((&values[3].1, &values[4].1), (&Bound::Null, &Bound::Unset));
        assert!(parse_bind("int [1").is_err());
    }
}
