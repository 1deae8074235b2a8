//! Selectors: what SELECT and GROUP BY ask for.

use super::cursor::Parser;
use super::error::SyntaxError;
use super::names::is_name;
use crate::ast::{ArithmeticOperator, Binary, Call, CellAttribute, Selected, Selector, Term};
use crate::lexer::{Keyword as K, Kind};

impl Parser<'_> {
    /// `*`, which gives nothing, or selectors with their aliases.
    pub fn selection(&mut self) -> Result<Vec<Selected>, SyntaxError> {
        if self.accept(Kind::Star) {
            return Ok(Vec::new());
        }
        self.separated(Kind::Comma, |parser| {
            let selector = parser.selector()?;
            let alias = if parser.accept_keyword(K::As) {
                Some(parser.name()?)
            } else {
                None
            };
            Ok(Selected { selector, alias })
        })
    }

    /// One selector without alias.
    pub fn selector(&mut self) -> Result<Selector, SyntaxError> {
        self.nested(|parser| {
            let mut left = parser.selector_product()?;
            loop {
                let operator = match parser.kind() {
                    Kind::Plus => ArithmeticOperator::Add,
                    Kind::Minus => ArithmeticOperator::Subtract,
                    _ => return Ok(left),
                };
                parser.advance();
                parser.count_operation()?;
                let right = parser.selector_product()?;
                left = Selector::Binary(Box::new(Binary {
                    left,
                    operator,
                    right,
                }));
            }
        })
    }

    fn selector_product(&mut self) -> Result<Selector, SyntaxError> {
        let mut left = self.signed_selector()?;
        loop {
            let operator = match self.kind() {
                Kind::Star => ArithmeticOperator::Multiply,
                Kind::Slash => ArithmeticOperator::Divide,
                Kind::Percent => ArithmeticOperator::Modulo,
                _ => return Ok(left),
            };
            self.advance();
            self.count_operation()?;
            let right = self.signed_selector()?;
            left = Selector::Binary(Box::new(Binary {
                left,
                operator,
                right,
            }));
        }
    }

    fn signed_selector(&mut self) -> Result<Selector, SyntaxError> {
        if self.accept(Kind::Minus) {
            return Ok(Selector::Negate(Box::new(
                self.nested(Self::signed_selector)?,
            )));
        }
        let receiver = self.simple_selector()?;
        self.modifiers(receiver)
    }

    /// `.field`, `[key]` and `[from..to]` after a selector.
    fn modifiers(&mut self, mut receiver: Selector) -> Result<Selector, SyntaxError> {
        loop {
            if self.accept(Kind::Dot) {
                self.count_operation()?;
                let field = self.name()?;
                receiver = Selector::Field {
                    of: Box::new(receiver),
                    field,
                };
            } else if self.accept(Kind::LeftBracket) {
                self.count_operation()?;
                receiver = self.subscript(receiver)?;
                self.expect(Kind::RightBracket)?;
            } else {
                return Ok(receiver);
            }
        }
    }

    fn subscript(&mut self, receiver: Selector) -> Result<Selector, SyntaxError> {
        let of = Box::new(receiver);
        if self.accept(Kind::Range) {
            return Ok(Selector::Slice {
                of,
                from: None,
                to: Some(self.term()?),
            });
        }
        let key = self.term()?;
        if !self.accept(Kind::Range) {
            return Ok(Selector::Element { of, key });
        }
        let to = if self.kind() == Kind::RightBracket {
            None
        } else {
            Some(self.term()?)
        };
        Ok(Selector::Slice {
            of,
            from: Some(key),
            to,
        })
    }

    /// A selector without operators and modifiers.
    fn simple_selector(&mut self) -> Result<Selector, SyntaxError> {
        if let Some(literal) = self.constant()? {
            return Ok(Selector::Term(Term::Literal(literal)));
        }
        match self.kind() {
            Kind::Keyword(K::Null) => {
                self.advance();
                Ok(Selector::Term(Term::Null))
            }
            Kind::QuestionMark | Kind::Colon => Ok(Selector::Term(Term::Marker(self.marker()?))),
            Kind::LeftParen => {
                if let Some(target) = self.type_in_parentheses(Self::at_hinted_selector)? {
                    let selector = Box::new(self.nested(Self::simple_selector)?);
                    return Ok(Selector::TypeHint { target, selector });
                }
                self.advance();
                Ok(Selector::Tuple(self.selectors_until(Kind::RightParen)?))
            }
            Kind::LeftBracket => {
                self.advance();
                if self.accept(Kind::RightBracket) {
                    return Ok(Selector::List(Vec::new()));
                }
                Ok(Selector::List(self.selectors_until(Kind::RightBracket)?))
            }
            Kind::LeftBrace => self.selector_braces(),
            Kind::Keyword(keyword) if self.kind_at(1) == Kind::LeftParen => {
                self.keyword_call(keyword)
            }
            _ if self.at_function_call() => self.selector_call(),
            kind if is_name(kind) => Ok(Selector::Column(self.take_name())),
            // A reserved word that names a function only: `token`.
            Kind::Keyword(K::Token) => {
                self.advance();
                Err(self.expected(Kind::LeftParen))
            }
            _ => Err(self.no_alternative()),
        }
    }

    /// `count(*)`, `writetime(…)` and the like, or a function named by a keyword.
    fn keyword_call(&mut self, keyword: K) -> Result<Selector, SyntaxError> {
        let attribute = match keyword {
            K::Count if self.kind_at(2) == Kind::Star => {
                for _ in 0..3 {
                    self.advance();
                }
                self.expect(Kind::RightParen)?;
                return Ok(Selector::CountRows);
            }
            K::Cast => {
                self.advance();
                self.advance();
                let selector = Box::new(self.selector()?);
                self.expect_keyword(K::As)?;
                let target = self.native_type()?;
                self.expect(Kind::RightParen)?;
                return Ok(Selector::Cast { selector, target });
            }
            K::Writetime => CellAttribute::Writetime,
            K::Maxwritetime => CellAttribute::MaxWritetime,
            K::Ttl => CellAttribute::Ttl,
            _ if self.at_function_call() => return self.selector_call(),
            _ if is_name(Kind::Keyword(keyword)) => {
                let start = self.position();
                self.advance();
                return Err(self.no_alternative_since(start));
            }
            _ => return Err(self.no_alternative()),
        };
        self.advance();
        self.advance();
        let column = self.name()?;
        let part = Box::new(self.modifiers(Selector::Column(column.clone()))?);
        self.expect(Kind::RightParen)?;
        Ok(Selector::Attribute {
            attribute,
            column,
            part,
        })
    }

    fn selector_call(&mut self) -> Result<Selector, SyntaxError> {
        let function = self.function_name()?;
        self.expect(Kind::LeftParen)?;
        let arguments = if self.accept(Kind::RightParen) {
            Vec::new()
        } else {
            self.call_arguments()?
        };
        Ok(Selector::Call(Call {
            function,
            arguments,
        }))
    }

    fn call_arguments(&mut self) -> Result<Vec<Selector>, SyntaxError> {
        if self.kind() == Kind::Star {
            return Err(self.expected(Kind::RightParen));
        }
        self.selectors_until(Kind::RightParen)
    }

    /// One or more selectors separated by commas, and the bracket that closes them.
    fn selectors_until(&mut self, close: Kind) -> Result<Vec<Selector>, SyntaxError> {
        let selectors = self.separated(Kind::Comma, Self::selector)?;
        self.expect(close)?;
        Ok(selectors)
    }

    /// A set, a map or a user type.
    fn selector_braces(&mut self) -> Result<Selector, SyntaxError> {
        self.expect(Kind::LeftBrace)?;
        if self.accept(Kind::RightBrace) {
            return Ok(Selector::Set(Vec::new()));
        }
        let first = self.selector()?;
        if self.accept(Kind::Colon) {
            let mut entries = vec![(first, self.selector()?)];
            while self.accept(Kind::Comma) {
                let key = self.selector()?;
                self.expect(Kind::Colon)?;
                entries.push((key, self.selector()?));
            }
            self.expect(Kind::RightBrace)?;
            return Ok(Selector::Map(entries));
        }
        let mut elements = vec![first];
        while self.accept(Kind::Comma) {
            elements.push(self.selector()?);
        }
        self.expect(Kind::RightBrace)?;
        Ok(Selector::Set(elements))
    }

    /// Whether `(type)` before the next token is a type hint and not a selector in parentheses.
    fn at_hinted_selector(&self) -> bool {
        match self.kind() {
            Kind::LeftBracket => !self.at_slice(),
            _ => {
                self.at_selector()
                    && self.kind() != Kind::Minus
                    && self.kind() != Kind::Keyword(K::As)
            }
        }
    }

    /// Whether the bracket that opens here holds a `..` of its own.
    fn at_slice(&self) -> bool {
        let mut open = 0usize;
        for ahead in 0.. {
            match self.kind_at(ahead) {
                Kind::LeftBracket | Kind::LeftParen | Kind::LeftBrace | Kind::ExprOpen => open += 1,
                Kind::RightBracket | Kind::RightParen | Kind::RightBrace => {
                    open -= 1;
                    if open == 0 {
                        return false;
                    }
                }
                Kind::Range if open == 1 => return true,
                Kind::End | Kind::Error | Kind::Semicolon => return false,
                _ => {}
            }
        }
        false
    }

    /// Whether the next token can start a selector.
    pub(super) fn at_selector(&self) -> bool {
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
            | Kind::Keyword(K::Null | K::Token)
            | Kind::QuestionMark
            | Kind::Colon
            | Kind::LeftBracket
            | Kind::LeftBrace
            | Kind::LeftParen
            | Kind::Minus => true,
            kind => is_name(kind),
        }
    }
}
