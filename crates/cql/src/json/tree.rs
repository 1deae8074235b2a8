//! JSON text to a tree, by RFC 8259, with the texts of numbers kept.
//!
//! Nesting is bounded, time is linear, and whatever follows the first value is left unread, as Cassandra's parser does.

use model::limits::MAX_NESTING;
use std::fmt;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean(bool),
    /// A number without point and exponent, its digits.
    Integer(String),
    /// Any other number.
    Double(f64),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Tree>),
    /// An object; of equal keys the last value counts.
    Object(Vec<(String, Tree)>),
}

impl Tree {
    /// The Java class that stands for it in Cassandra's messages.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "Boolean",
            Self::Integer(digits) if digits.parse::<i32>().is_ok() => "Integer",
            Self::Integer(digits) if digits.parse::<i64>().is_ok() => "Long",
            Self::Integer(_) => "BigInteger",
            Self::Double(_) => "Double",
            Self::String(_) => "String",
            Self::Array(_) => "ArrayList",
            Self::Object(_) => "LinkedHashMap",
        }
    }
}

impl fmt::Display for Tree {
    /// As Java prints it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => formatter.write_str("null"),
            Self::Boolean(value) => value.fmt(formatter),
            Self::Integer(digits) => formatter.write_str(digits),
            Self::Double(value) => formatter.write_str(&crate::functions::text::double(*value)),
            Self::String(text) => formatter.write_str(text),
            Self::Array(items) => {
                formatter.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(formatter, "{}{item}", if index == 0 { "" } else { ", " })?;
                }
                formatter.write_str("]")
            }
            Self::Object(entries) => {
                formatter.write_str("{")?;
                for (index, (key, value)) in entries.iter().enumerate() {
                    write!(
                        formatter,
                        "{}{key}={value}",
                        if index == 0 { "" } else { ", " }
                    )?;
                }
                formatter.write_str("}")
            }
        }
    }
}

/// Parses the first value of a text; the error says what and at which column.
pub fn parse(text: &str) -> Result<Tree, String> {
    let mut reader = Reader { text, at: 0 };
    reader.skip_blank();
    reader.value(0)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn failure<T>(&self, message: &str) -> Result<T, String> {
        let before = &self.text[..self.at.min(self.text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Err(format!("{message} (line {line}, column {column})"))
    }

    fn unexpected<T>(&self, expected: &str) -> Result<T, String> {
        match self.text[self.at..].chars().next() {
            None => self.failure("Unexpected end-of-input"),
            Some(found) => self.failure(&format!(
                "Unexpected character ('{found}' (code {})): was expecting {expected}",
                found as u32
            )),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Tree, String> {
        if depth > MAX_NESTING {
            return self.failure(&format!(
                "Document nesting depth exceeds the maximum allowed ({MAX_NESTING})"
            ));
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Tree::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'a'..=b'z' | b'A'..=b'Z') => self.word(),
            _ => self.unexpected("a value"),
        }
    }

    fn word(&mut self) -> Result<Tree, String> {
        let rest = &self.text[self.at..];
        let length = rest
            .bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
            .count();
        let word = &rest[..length];
        let tree = match word {
            "null" => Tree::Null,
            "true" => Tree::Boolean(true),
            "false" => Tree::Boolean(false),
            _ => {
                return self.failure(&format!(
                    "Unrecognized token '{word}': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
                ));
            }
        };
        self.at += length;
        Ok(tree)
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Result<Tree, String> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let leading_zero = self.peek() == Some(b'0');
        let count = self.digits();
        if count == 0 {
            return self.unexpected("a digit");
        }
        if leading_zero && count > 1 {
            return self.failure("Invalid numeric value: Leading zeroes not allowed");
        }
        let mut is_integer = true;
        if self.peek() == Some(b'.') {
            is_integer = false;
            self.at += 1;
            if self.digits() == 0 {
                return self.unexpected("a digit");
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            is_integer = false;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return self.unexpected("a digit");
            }
        }
        let text = &self.text[start..self.at];
        if is_integer {
            return Ok(Tree::Integer(if text == "-0" {
                "0".to_owned()
            } else {
                text.to_owned()
            }));
        }
        Ok(Tree::Double(text.parse().unwrap_or(f64::NAN)))
    }

    fn string(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest
                .bytes()
                .position(|byte| byte == b'"' || byte == b'\\' || byte < 0x20)
                .unwrap_or(rest.len());
            out.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                Some(control) => {
                    let message = format!(
                        "Illegal unquoted character ((CTRL-CHAR, code {control})): has to be escaped using backslash to be included in string value"
                    );
                    return self.failure(&message);
                }
                None => {
                    return self.failure(
                        "Unexpected end-of-input: was expecting closing quote for a string value",
                    );
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let escaped = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape();
            }
            _ => return self.unexpected("an escape"),
        };
        self.at += 1;
        Ok(escaped)
    }

    /// The four digits after `\u`, and the other half of a surrogate pair. A lone half becomes U+FFFD.
    fn unicode_escape(&mut self) -> Result<char, String> {
        let first = self.four_digits()?;
        if (0xD800..0xDC00).contains(&first) && self.text[self.at..].starts_with("\\u") {
            let back = self.at;
            self.at += 2;
            let second = self.four_digits()?;
            if (0xDC00..0xE000).contains(&second) {
                let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = back;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn four_digits(&mut self) -> Result<u32, String> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let code = digits
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u32::from_str_radix(digits, 16).ok());
        match code {
            Some(code) => {
                self.at += 4;
                Ok(code)
            }
            None => self.failure("Expected a hex-digit for character escape sequence"),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Tree, String> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_blank();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Tree::Array(items));
        }
        loop {
            self.skip_blank();
            items.push(self.value(depth + 1)?);
            self.skip_blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Tree::Array(items));
                }
                _ => return self.unexpected("comma to separate Array entries"),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Tree, String> {
        self.at += 1;
        let mut entries = Vec::new();
        self.skip_blank();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Tree::Object(entries));
        }
        loop {
            self.skip_blank();
            if self.peek() != Some(b'"') {
                return self.unexpected("double-quote to start field name");
            }
            let key = self.string()?;
            self.skip_blank();
            if self.peek() != Some(b':') {
                return self.unexpected("a colon to separate field name and value");
            }
            self.at += 1;
            self.skip_blank();
            entries.push((key, self.value(depth + 1)?));
            self.skip_blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Tree::Object(entries));
                }
                _ => return self.unexpected("comma to separate Object entries"),
            }
        }
    }
}
