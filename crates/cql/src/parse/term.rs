//! Terms: values as statements write them.

use super::cursor::Parser;
use super::error::SyntaxError;
use super::names::is_name;
use crate::ast::{
    ArithmeticOperator, Binary, Call, Literal, LiteralKind, Marker, QualifiedName, Term,
};
use crate::lexer::{Keyword as K, Kind};

/// What a `+` directly before a column name means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PlusColumn {
    /// Nothing: a term holds no columns.
    Invalid,
    /// The end of the term: `c = [1] + c`.
    EndsTerm,
}

impl Parser<'_> {
    /// Any term.
    pub fn term(&mut self) -> Result<Term, SyntaxError> {
        self.term_before(PlusColumn::Invalid)
    }

    pub(super) fn term_before(&mut self, plus_column: PlusColumn) -> Result<Term, SyntaxError> {
        self.nested(|parser| {
            let mut left = parser.product()?;
            loop {
                let operator = match parser.kind() {
                    Kind::Plus
                        if plus_column == PlusColumn::EndsTerm && parser.at_plus_column() =>
                    {
                        return Ok(left);
                    }
                    Kind::Plus => ArithmeticOperator::Add,
                    Kind::Minus => ArithmeticOperator::Subtract,
                    _ => return Ok(left),
                };
                parser.advance();
                parser.count_operation()?;
                let right = parser.product()?;
                left = Term::Binary(Box::new(Binary {
                    left,
                    operator,
                    right,
                }));
            }
        })
    }

    fn at_plus_column(&self) -> bool {
        let column = self.kind_at(1);
        (is_name(column) || column == Kind::EmptyQuotedName)
            && !matches!(self.kind_at(2), Kind::LeftParen | Kind::Dot)
    }

    fn product(&mut self) -> Result<Term, SyntaxError> {
        let mut left = self.signed_term()?;
        loop {
            let operator = match self.kind() {
                Kind::Star => ArithmeticOperator::Multiply,
                Kind::Slash => ArithmeticOperator::Divide,
                Kind::Percent => ArithmeticOperator::Modulo,
                _ => return Ok(left),
            };
            self.advance();
            self.count_operation()?;
            let right = self.signed_term()?;
            left = Term::Binary(Box::new(Binary {
                left,
                operator,
                right,
            }));
        }
    }

    fn signed_term(&mut self) -> Result<Term, SyntaxError> {
        if self.accept(Kind::Minus) {
            return Ok(Term::Negate(Box::new(self.simple_term()?)));
        }
        self.simple_term()
    }

    /// A term without operators.
    fn simple_term(&mut self) -> Result<Term, SyntaxError> {
        if let Some(literal) = self.constant()? {
            return Ok(Term::Literal(literal));
        }
        match self.kind() {
            Kind::Keyword(K::Null) => {
                self.advance();
                Ok(Term::Null)
            }
            Kind::QuestionMark | Kind::Colon => Ok(Term::Marker(self.marker()?)),
            Kind::LeftBracket => {
                self.advance();
                Ok(Term::List(self.terms_until(Kind::RightBracket)?))
            }
            Kind::LeftBrace => self.braces(),
            Kind::LeftParen => {
                if let Some(target) = self.type_in_parentheses(Self::at_simple_term)? {
                    let term = Box::new(self.nested(Self::simple_term)?);
                    return Ok(Term::TypeHint { target, term });
                }
                self.tuple()
            }
            Kind::Keyword(K::Cast) if self.kind_at(1) == Kind::LeftParen => {
                self.advance();
                self.advance();
                let term = Box::new(self.nested(Self::simple_term)?);
                self.expect_keyword(K::As)?;
                let target = self.native_type()?;
                self.expect(Kind::RightParen)?;
                Ok(Term::Cast { term, target })
            }
            _ if self.at_function_call() => {
                let function = self.function_name()?;
                self.expect(Kind::LeftParen)?;
                let arguments = self.terms_until(Kind::RightParen)?;
                Ok(Term::Call(Call {
                    function,
                    arguments,
                }))
            }
            kind if is_name(kind) => {
                let start = self.position();
                self.advance();
                Err(self.no_alternative_since(start))
            }
            _ => Err(self.no_alternative()),
        }
    }

    /// Whether the next token can start a term without operators.
    fn at_simple_term(&self) -> bool {
        match self.kind() {
            Kind::String
            | Kind::DollarString
            | Kind::Integer
            | Kind::Float
            | Kind::Boolean
            | Kind::Duration
            | Kind::Uuid
            | Kind::Hex
            | Kind::Nan
            | Kind::PositiveInfinity
            | Kind::NegativeInfinity
            | Kind::Keyword(K::Null)
            | Kind::QuestionMark
            | Kind::Colon
            | Kind::LeftBracket
            | Kind::LeftBrace
            | Kind::LeftParen => true,
            Kind::Keyword(K::Cast) => self.kind_at(1) == Kind::LeftParen,
            _ => self.at_function_call(),
        }
    }

    /// Terms separated by commas, possibly none, and the bracket that closes them.
    fn terms_until(&mut self, close: Kind) -> Result<Vec<Term>, SyntaxError> {
        if self.accept(close) {
            return Ok(Vec::new());
        }
        let terms = self.separated(Kind::Comma, Self::term)?;
        self.expect(close)?;
        Ok(terms)
    }

    /// `(a, b)` with at least one element.
    pub fn tuple(&mut self) -> Result<Term, SyntaxError> {
        self.expect(Kind::LeftParen)?;
        let elements = self.separated(Kind::Comma, Self::term)?;
        self.expect(Kind::RightParen)?;
        Ok(Term::Tuple(elements))
    }

    /// `(a, b)`, possibly empty.
    pub fn term_list(&mut self) -> Result<Vec<Term>, SyntaxError> {
        self.expect(Kind::LeftParen)?;
        self.terms_until(Kind::RightParen)
    }

    /// A set, a map or a user type.
    fn braces(&mut self) -> Result<Term, SyntaxError> {
        self.expect(Kind::LeftBrace)?;
        if self.accept(Kind::RightBrace) {
            return Ok(Term::Set(Vec::new()));
        }
        if is_name(self.kind()) && self.kind_at(1) == Kind::Colon {
            let fields = self.separated(Kind::Comma, |parser| {
                let field = parser.name()?;
                parser.expect(Kind::Colon)?;
                Ok((field, parser.term()?))
            })?;
            self.expect(Kind::RightBrace)?;
            return Ok(Term::UserType(fields));
        }
        let first = self.term()?;
        if self.accept(Kind::Colon) {
            let mut entries = vec![(first, self.term()?)];
            while self.accept(Kind::Comma) {
                entries.push(self.map_entry()?);
            }
            self.expect(Kind::RightBrace)?;
            return Ok(Term::Map(entries));
        }
        let mut elements = vec![first];
        while self.accept(Kind::Comma) {
            elements.push(self.term()?);
        }
        self.expect(Kind::RightBrace)?;
        Ok(Term::Set(elements))
    }

    fn map_entry(&mut self) -> Result<(Term, Term), SyntaxError> {
        let key = self.term()?;
        self.expect(Kind::Colon)?;
        Ok((key, self.term()?))
    }

    /// `{a: b, …}` or `{}`, as property values are written.
    pub fn full_map(&mut self) -> Result<Vec<(Term, Term)>, SyntaxError> {
        self.expect(Kind::LeftBrace)?;
        if self.accept(Kind::RightBrace) {
            return Ok(Vec::new());
        }
        let entries = self.separated(Kind::Comma, Self::map_entry)?;
        self.expect(Kind::RightBrace)?;
        Ok(entries)
    }

    /// A constant, if one stands here.
    pub fn constant(&mut self) -> Result<Option<Literal>, SyntaxError> {
        let (kind, fixed) = match self.kind() {
            Kind::String | Kind::DollarString => {
                let text = self.string()?;
                return Ok(Some(Literal {
                    kind: LiteralKind::String,
                    text,
                }));
            }
            Kind::Integer => (LiteralKind::Integer, None),
            Kind::Float => (LiteralKind::Float, None),
            Kind::Boolean => (LiteralKind::Boolean, None),
            Kind::Duration => (LiteralKind::Duration, None),
            Kind::Uuid => (LiteralKind::Uuid, None),
            Kind::Hex => (LiteralKind::Hex, None),
            Kind::Nan => (LiteralKind::Float, Some("NaN")),
            Kind::PositiveInfinity => (LiteralKind::Float, Some("Infinity")),
            Kind::NegativeInfinity => (LiteralKind::Float, Some("-Infinity")),
            _ => return Ok(None),
        };
        // Cassandra compares every such constant with the double nearest to it, and fails where there is none.
        if self.kind() == Kind::Float && self.slice().parse().is_ok_and(f64::is_infinite) {
            return Err(self.failed_parsing(
                "Character I is neither a decimal digit number, decimal point, nor \"e\" notation exponential mark.",
            ));
        }
        let text = fixed.unwrap_or(self.slice()).to_owned();
        self.advance();
        Ok(Some(Literal { kind, text }))
    }

    /// `?` or `:name`
    pub fn marker(&mut self) -> Result<Marker, SyntaxError> {
        if self.accept(Kind::QuestionMark) {
            return Ok(self.new_marker(None));
        }
        if !self.accept(Kind::Colon) {
            return Err(self.no_alternative());
        }
        let name = self.name()?;
        Ok(self.new_marker(Some(name)))
    }

    /// An integer or a bind marker.
    pub fn integer_or_marker(&mut self) -> Result<Term, SyntaxError> {
        match self.kind() {
            Kind::Integer => {
                let text = self.slice().to_owned();
                self.advance();
                Ok(Term::Literal(Literal {
                    kind: LiteralKind::Integer,
                    text,
                }))
            }
            _ => Ok(Term::Marker(self.marker()?)),
        }
    }

    /// Function name and arguments of a column mask.
    pub fn mask_call(&mut self) -> Result<(QualifiedName, Vec<Term>), SyntaxError> {
        let function = self.function_name()?;
        if self.kind() != Kind::LeftParen {
            return Err(self.no_alternative());
        }
        self.advance();
        Ok((function, self.terms_until(Kind::RightParen)?))
    }
}
