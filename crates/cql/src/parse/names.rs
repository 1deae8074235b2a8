//! Names, and which keywords may stand for which of them.

use super::cursor::{Parser, unquote};
use super::error::SyntaxError;
use crate::ast::QualifiedName;
use crate::lexer::{Class, Keyword as K, Kind};

/// Type names that are kept for later and no user type may have, unquoted.
const RESERVED_TYPE_NAMES: [&str; 7] = [
    "byte",
    "complex",
    "enum",
    "date",
    "interval",
    "macaddr",
    "bitstring",
];

/// Whether a token of this kind may be the name of a column, table, field or marker.
pub(super) fn is_name(kind: Kind) -> bool {
    match kind {
        Kind::Ident | Kind::QuotedName => true,
        Kind::Keyword(keyword) => keyword.class() != Class::Reserved,
        _ => false,
    }
}

/// Whether a token of this kind may be a column where also `""` is one.
pub(super) fn is_column(kind: Kind) -> bool {
    kind == Kind::EmptyQuotedName || is_name(kind)
}

/// Whether a token of this kind may be the name of a function.
pub(super) fn is_function_name(kind: Kind) -> bool {
    match kind {
        Kind::Ident | Kind::QuotedName => true,
        Kind::Keyword(keyword) => {
            matches!(keyword.class(), Class::Basic | Class::NativeType)
                || matches!(keyword, K::Token | K::Count)
        }
        _ => false,
    }
}

impl Parser<'_> {
    /// Takes the next token as a name: lower case unless quoted.
    pub fn take_name(&mut self) -> String {
        let name = match self.kind() {
            Kind::QuotedName => unquote(Kind::QuotedName, self.slice()),
            Kind::EmptyQuotedName => String::new(),
            _ => self.slice().to_ascii_lowercase(),
        };
        self.advance();
        name
    }

    /// A name that is not the empty one.
    pub fn name(&mut self) -> Result<String, SyntaxError> {
        if is_name(self.kind()) {
            Ok(self.take_name())
        } else {
            Err(self.no_alternative())
        }
    }

    /// A column, also the empty name of old super columns.
    pub fn column(&mut self) -> Result<String, SyntaxError> {
        if is_column(self.kind()) {
            Ok(self.take_name())
        } else {
            Err(self.no_alternative())
        }
    }

    fn object_name(&mut self, object: &str) -> Result<String, SyntaxError> {
        if self.kind() == Kind::QuestionMark {
            return Err(SyntaxError::new(format!(
                "Bind variables cannot be used for {object} names"
            )));
        }
        self.name()
    }

    pub fn keyspace_name(&mut self) -> Result<String, SyntaxError> {
        self.object_name("keyspace")
    }

    pub fn index_name(&mut self) -> Result<String, SyntaxError> {
        self.object_name("index")
    }

    fn qualified(&mut self, object: &str) -> Result<QualifiedName, SyntaxError> {
        let qualified = self.kind_at(1) == Kind::Dot;
        let first = self.object_name(if qualified { "keyspace" } else { object })?;
        if !qualified {
            return Ok(QualifiedName {
                keyspace: None,
                name: first,
            });
        }
        self.advance();
        let name = self.object_name(object)?;
        Ok(QualifiedName {
            keyspace: Some(first),
            name,
        })
    }

    /// `[keyspace.]table`
    pub fn table_name(&mut self) -> Result<QualifiedName, SyntaxError> {
        self.qualified("table")
    }

    /// `[keyspace.]index`
    pub fn qualified_index_name(&mut self) -> Result<QualifiedName, SyntaxError> {
        self.qualified("index")
    }

    /// `[keyspace.]type`, where the type is no native one.
    pub fn user_type_name(&mut self) -> Result<QualifiedName, SyntaxError> {
        let keyspace = if self.kind_at(1) == Kind::Dot {
            let keyspace = self.name()?;
            self.advance();
            Some(keyspace)
        } else {
            None
        };
        let allowed = match self.kind() {
            Kind::Ident | Kind::QuotedName => true,
            Kind::Keyword(keyword) => keyword.class() == Class::Basic || keyword == K::Key,
            _ => false,
        };
        if !allowed {
            return Err(self.no_alternative());
        }
        if self.kind() == Kind::Ident && RESERVED_TYPE_NAMES.contains(&self.slice()) {
            return Err(SyntaxError::new(format!(
                "Invalid (reserved) user type name {}",
                self.slice()
            )));
        }
        Ok(QualifiedName {
            keyspace,
            name: self.take_name(),
        })
    }

    /// `[keyspace.]function`
    pub fn function_name(&mut self) -> Result<QualifiedName, SyntaxError> {
        let keyspace = if self.kind_at(1) == Kind::Dot {
            let keyspace = self.keyspace_name()?;
            self.advance();
            Some(keyspace)
        } else {
            None
        };
        Ok(QualifiedName {
            keyspace,
            name: self.bare_function_name()?,
        })
    }

    pub fn bare_function_name(&mut self) -> Result<String, SyntaxError> {
        if is_function_name(self.kind()) {
            Ok(self.take_name())
        } else {
            Err(self.no_alternative())
        }
    }

    /// Whether a function call starts here: `f(` or `k.f(`.
    pub fn at_function_call(&self) -> bool {
        if is_function_name(self.kind()) && self.kind_at(1) == Kind::LeftParen {
            return true;
        }
        is_name(self.kind())
            && self.kind_at(1) == Kind::Dot
            && is_function_name(self.kind_at(2))
            && self.kind_at(3) == Kind::LeftParen
    }

    /// A role: a name or a string, which keeps its case.
    pub fn role_name(&mut self) -> Result<String, SyntaxError> {
        match self.kind() {
            Kind::String | Kind::DollarString => self.string(),
            _ => self.object_name("role"),
        }
    }

    /// The content of a string.
    pub fn string(&mut self) -> Result<String, SyntaxError> {
        let kind = self.kind();
        if !matches!(kind, Kind::String | Kind::DollarString) {
            return Err(self.expected(Kind::String));
        }
        let content = unquote(kind, self.slice());
        self.advance();
        Ok(content)
    }
}
