//! The place in the token list, the bind markers met so far, and the errors at a place.

use super::error::SyntaxError;
use super::{MAX_NESTING, MAX_OPERATIONS};
use crate::ast::Marker;
use crate::lexer::{Keyword, Kind, LexError, Token, Tokens, tokenize};

/// How many tokens and gaps before the offending one an error shows.
const CONTEXT: usize = 10;

pub(super) struct Parser<'a> {
    text: &'a str,
    tokens: Tokens,
    at: usize,
    markers: Vec<Option<String>>,
    depth: usize,
    operations: usize,
}

impl<'a> Parser<'a> {
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            tokens: tokenize(text),
            at: 0,
            markers: Vec::new(),
            depth: 0,
            operations: 0,
        }
    }

    pub fn into_markers(self) -> Vec<Option<String>> {
        self.markers
    }

    /// Kind of the next token.
    pub fn kind(&self) -> Kind {
        self.tokens.list[self.at].kind
    }

    /// Kind of the token `ahead` tokens after the next one.
    pub fn kind_at(&self, ahead: usize) -> Kind {
        // The last token is the end or an error, and stays so however far one looks.
        let last = self.tokens.list.len() - 1;
        self.tokens.list[(self.at + ahead).min(last)].kind
    }

    pub fn position(&self) -> usize {
        self.at
    }

    /// Goes back to a position taken before.
    pub fn rewind(&mut self, position: usize) {
        debug_assert!(position <= self.at);
        self.at = position;
    }

    pub fn advance(&mut self) {
        if self.at + 1 < self.tokens.list.len() {
            self.at += 1;
        }
    }

    /// Text of the next token as written.
    pub fn slice(&self) -> &'a str {
        let token = self.tokens.list[self.at];
        &self.text[token.start as usize..token.end as usize]
    }

    pub fn accept(&mut self, kind: Kind) -> bool {
        let found = self.kind() == kind;
        if found {
            self.advance();
        }
        found
    }

    pub fn accept_keyword(&mut self, keyword: Keyword) -> bool {
        self.accept(Kind::Keyword(keyword))
    }

    pub fn expect(&mut self, kind: Kind) -> Result<(), SyntaxError> {
        if self.accept(kind) {
            Ok(())
        } else {
            Err(self.expected(kind))
        }
    }

    pub fn expect_keyword(&mut self, keyword: Keyword) -> Result<(), SyntaxError> {
        self.expect(Kind::Keyword(keyword))
    }

    /// `IF NOT EXISTS`, if it is there.
    pub fn if_not_exists(&mut self) -> Result<bool, SyntaxError> {
        if !self.accept_keyword(Keyword::If) {
            return Ok(false);
        }
        self.expect_keyword(Keyword::Not)?;
        self.expect_keyword(Keyword::Exists)?;
        Ok(true)
    }

    /// `IF EXISTS`, if it is there.
    pub fn if_exists(&mut self) -> Result<bool, SyntaxError> {
        if !self.accept_keyword(Keyword::If) {
            return Ok(false);
        }
        self.expect_keyword(Keyword::Exists)?;
        Ok(true)
    }

    /// One or more of what `element` reads, separated by `separator`.
    pub fn separated<T>(
        &mut self,
        separator: Kind,
        mut element: impl FnMut(&mut Self) -> Result<T, SyntaxError>,
    ) -> Result<Vec<T>, SyntaxError> {
        let mut elements = vec![element(self)?];
        while self.accept(separator) {
            elements.push(element(self)?);
        }
        Ok(elements)
    }

    pub fn new_marker(&mut self, name: Option<String>) -> Marker {
        let index = self.markers.len();
        self.markers.push(name.clone());
        Marker { index, name }
    }

    /// Runs `inner` one level deeper. The first level starts a new budget of operations.
    pub fn nested<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, SyntaxError>,
    ) -> Result<T, SyntaxError> {
        if self.depth == 0 {
            self.operations = 0;
        }
        if self.depth == MAX_NESTING {
            return Err(self.at_place(format!(
                "nested too deeply (more than {MAX_NESTING} levels)"
            )));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// Counts an operation that makes the current expression deeper without brackets.
    pub fn count_operation(&mut self) -> Result<(), SyntaxError> {
        self.operations += 1;
        if self.operations > MAX_OPERATIONS {
            return Err(self.at_place(format!(
                "too many operations in one expression (more than {MAX_OPERATIONS})"
            )));
        }
        Ok(())
    }

    /// Nothing that may stand here starts with the next token.
    pub fn no_alternative(&self) -> SyntaxError {
        self.no_alternative_since(self.at)
    }

    /// Nothing that started at token `start` may go on with the next token.
    pub fn no_alternative_since(&self, start: usize) -> SyntaxError {
        self.failure(start, |found| {
            format!("no viable alternative at input '{found}'")
        })
    }

    /// Only `kind` may stand here.
    pub fn expected(&self, kind: Kind) -> SyntaxError {
        let expected = token_name(kind);
        self.failure(self.at, |found| {
            format!("mismatched input '{found}' expecting {expected}")
        })
    }

    /// A number that Java could not read.
    pub fn failed_parsing(&self, reason: &str) -> SyntaxError {
        SyntaxError::new(format!(
            "Failed parsing statement: [{}] reason: NumberFormatException {reason}",
            self.text
        ))
    }

    fn at_place(&self, message: String) -> SyntaxError {
        self.failure(self.at, |_| message)
    }

    fn failure(&self, start: usize, message: impl FnOnce(&str) -> String) -> SyntaxError {
        let token = self.tokens.list[self.at];
        match token.kind {
            Kind::Error => self.lexical_error(),
            Kind::End => SyntaxError {
                message: format!("line 0:-1 {}", message("<EOF>")),
                line: 0,
                column: -1,
            },
            _ => {
                let (line, column) = self.line_and_column(token.start);
                let found = self.content(token);
                let snippet = self.snippet(start);
                SyntaxError {
                    message: format!("line {line}:{column} {} ({snippet})", message(&found)),
                    line,
                    column,
                }
            }
        }
    }

    fn lexical_error(&self) -> SyntaxError {
        let end = self.text.len() as u32;
        let (at, message) = match self.tokens.error {
            Some(LexError::UnexpectedCharacter(at)) => {
                let character = self.text[at as usize..]
                    .chars()
                    .next()
                    .unwrap_or('\u{FFFD}');
                (
                    at,
                    format!("no viable alternative at character '{character}'"),
                )
            }
            Some(LexError::MismatchedCharacter(at, expected)) => {
                let character = self.text[at as usize..]
                    .chars()
                    .next()
                    .unwrap_or('\u{FFFD}');
                (
                    at,
                    format!("mismatched character '{character}' expecting {expected}"),
                )
            }
            Some(LexError::UnexpectedEnd(expected)) => (
                end,
                format!("mismatched character '<EOF>' expecting {expected}"),
            ),
            None => (end, "unreadable text".to_owned()),
        };
        let (line, column) = self.line_and_column(at);
        SyntaxError {
            message: format!("line {line}:{column} {message}"),
            line,
            column,
        }
    }

    fn line_and_column(&self, offset: u32) -> (u32, i32) {
        let before = &self.text[..offset as usize];
        let line = before.bytes().filter(|&byte| byte == b'\n').count() as u32 + 1;
        let last_line = before.rsplit('\n').next().unwrap_or("");
        (line, last_line.encode_utf16().count() as i32)
    }

    /// Text of a token without its quotes.
    fn content(&self, token: Token) -> String {
        let slice = &self.text[token.start as usize..token.end as usize];
        unquote(token.kind, slice)
    }

    /// The text around an error: ten tokens and gaps before token `start`, `start` itself in brackets, all up to the
    /// offending token. A bracketed literal is cut by the length of its quotes, as in Cassandra.
    fn snippet(&self, start: usize) -> String {
        let offending = self.tokens.list[self.at];
        let bracketed = self.tokens.list[start];
        // Gaps count like tokens; the text shown may start with one.
        let mut from = bracketed.start as usize;
        let mut first = start;
        for _ in 0..CONTEXT {
            let token_end = if first == 0 {
                0
            } else {
                self.tokens.list[first - 1].end as usize
            };
            if token_end < from {
                from = token_end;
            } else if first > 0 {
                first -= 1;
                from = self.tokens.list[first].start as usize;
            }
        }
        let mut snippet = String::new();
        if from > 0 {
            snippet.push_str("...");
        }
        snippet.push_str(&self.text[from..bracketed.start as usize]);
        let inner_length = self.content(bracketed).len();
        let mut cut = (bracketed.start as usize + inner_length).min(bracketed.end as usize);
        while !self.text.is_char_boundary(cut) {
            cut -= 1;
        }
        snippet.push('[');
        snippet.push_str(&self.text[bracketed.start as usize..cut]);
        snippet.push(']');
        if self.at > start {
            snippet.push_str(&self.text[bracketed.end as usize..offending.end as usize]);
        }
        if self.kind_at(1) != Kind::End {
            snippet.push_str("...");
        }
        // Line ends are left out, not replaced.
        snippet.retain(|character| character != '\n');
        snippet
    }
}

/// The content of a quoted token, the text of any other.
pub(super) fn unquote(kind: Kind, slice: &str) -> String {
    match kind {
        Kind::String => slice[1..slice.len() - 1].replace("''", "'"),
        Kind::DollarString => slice[2..slice.len() - 2].to_owned(),
        Kind::QuotedName => slice[1..slice.len() - 1].replace("\"\"", "\""),
        _ => slice.to_owned(),
    }
}

/// What Cassandra calls a token in "expecting …".
fn token_name(kind: Kind) -> String {
    let name = match kind {
        Kind::Keyword(keyword) => return format!("K_{}", keyword.text().to_uppercase()),
        Kind::Ident => "IDENT",
        Kind::QuotedName => "QUOTED_NAME",
        Kind::EmptyQuotedName => "EMPTY_QUOTED_NAME",
        Kind::String | Kind::DollarString => "STRING_LITERAL",
        Kind::Integer => "INTEGER",
        Kind::Float => "FLOAT",
        Kind::Boolean => "BOOLEAN",
        Kind::Duration => "DURATION",
        Kind::Uuid => "UUID",
        Kind::Hex => "HEXNUMBER",
        Kind::Nan => "K_POSITIVE_NAN",
        Kind::PositiveInfinity => "K_POSITIVE_INFINITY",
        Kind::NegativeInfinity => "K_NEGATIVE_INFINITY",
        Kind::ExprOpen => "'expr('",
        Kind::LeftParen => "'('",
        Kind::RightParen => "')'",
        Kind::LeftBracket => "'['",
        Kind::RightBracket => "']'",
        Kind::LeftBrace => "'{'",
        Kind::RightBrace => "'}'",
        Kind::Comma => "','",
        Kind::Semicolon => "';'",
        Kind::Colon => "':'",
        Kind::Dot => "'.'",
        Kind::Range => "RANGE",
        Kind::QuestionMark => "QMARK",
        Kind::Equal => "'='",
        Kind::NotEqual => "'!='",
        Kind::Less => "'<'",
        Kind::LessEqual => "'<='",
        Kind::Greater => "'>'",
        Kind::GreaterEqual => "'>='",
        Kind::Plus => "'+'",
        Kind::Minus => "'-'",
        Kind::Star => "'*'",
        Kind::Slash => "'/'",
        Kind::Percent => "'%'",
        Kind::PlusEqual => "'+='",
        Kind::MinusEqual => "'-='",
        Kind::Error | Kind::End => "EOF",
    };
    name.to_owned()
}
