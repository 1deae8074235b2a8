//! WHERE and IF.

use super::cursor::Parser;
use super::error::SyntaxError;
use super::names::is_column;
use crate::ast::{Condition, ConditionTest, Conditions, InValues, Operator, Part, Relation, Term};
use crate::lexer::{Keyword as K, Kind};

impl Parser<'_> {
    /// The relations after WHERE.
    pub fn where_clause(&mut self) -> Result<Vec<Relation>, SyntaxError> {
        self.separated(Kind::Keyword(K::And), |parser| {
            if parser.accept(Kind::ExprOpen) {
                let index = parser.index_name()?;
                parser.expect(Kind::Comma)?;
                let value = parser.term()?;
                parser.expect(Kind::RightParen)?;
                return Ok(Relation::CustomIndex { index, value });
            }
            parser.relation()
        })
    }

    fn relation(&mut self) -> Result<Relation, SyntaxError> {
        match self.kind() {
            Kind::Keyword(K::Token) => {
                self.advance();
                let columns = self.column_tuple()?;
                let operator = self.comparison()?;
                Ok(Relation::Token {
                    columns,
                    operator,
                    value: self.term()?,
                })
            }
            Kind::LeftParen => {
                if is_column(self.kind_at(1))
                    && matches!(self.kind_at(2), Kind::Comma | Kind::RightParen)
                {
                    return self.tuple_relation();
                }
                self.advance();
                let relation = self.nested(Self::relation)?;
                self.expect(Kind::RightParen)?;
                Ok(relation)
            }
            kind if is_column(kind) => self.column_relation(),
            _ => Err(self.no_alternative()),
        }
    }

    fn column_relation(&mut self) -> Result<Relation, SyntaxError> {
        let start = self.position();
        let column = self.take_name();
        match self.kind() {
            Kind::Keyword(K::Like) => {
                self.advance();
                Ok(Relation::Column {
                    column,
                    operator: Operator::Like,
                    value: self.term()?,
                })
            }
            Kind::Keyword(K::Is) => {
                self.advance();
                self.expect_keyword(K::Not)?;
                self.expect_keyword(K::Null)?;
                Ok(Relation::IsNotNull { column })
            }
            Kind::Keyword(K::In) => {
                self.advance();
                let values = self.in_values(start)?;
                Ok(Relation::In { column, values })
            }
            Kind::Keyword(K::Contains) => {
                let operator = self.contains();
                Ok(Relation::Column {
                    column,
                    operator,
                    value: self.term()?,
                })
            }
            Kind::LeftBracket => {
                self.advance();
                let key = self.term()?;
                self.expect(Kind::RightBracket)?;
                let operator = self.comparison()?;
                Ok(Relation::Element {
                    column,
                    key,
                    operator,
                    value: self.term()?,
                })
            }
            _ => match self.accept_comparison() {
                Some(operator) => Ok(Relation::Column {
                    column,
                    operator,
                    value: self.term()?,
                }),
                None => Err(self.no_alternative_since(start)),
            },
        }
    }

    fn column_tuple(&mut self) -> Result<Vec<String>, SyntaxError> {
        self.expect(Kind::LeftParen)?;
        let columns = self.separated(Kind::Comma, Self::column)?;
        self.expect(Kind::RightParen)?;
        Ok(columns)
    }

    fn tuple_relation(&mut self) -> Result<Relation, SyntaxError> {
        let columns = self.column_tuple()?;
        let start = self.position();
        if self.accept_keyword(K::In) {
            let values = self.tuple_in_values()?;
            return Ok(Relation::TupleIn { columns, values });
        }
        let operator = self.comparison()?;
        let value = match self.kind() {
            Kind::LeftParen => self.nested(Self::tuple)?,
            Kind::QuestionMark | Kind::Colon => Term::Marker(self.marker()?),
            _ => return Err(self.no_alternative_since(start)),
        };
        Ok(Relation::Tuple {
            columns,
            operator,
            value,
        })
    }

    /// `(?, ?)`, `((1, 2), (3, 4))`, `()` or a marker.
    fn tuple_in_values(&mut self) -> Result<InValues, SyntaxError> {
        if matches!(self.kind(), Kind::QuestionMark | Kind::Colon) {
            return Ok(InValues::Marker(self.marker()?));
        }
        self.expect(Kind::LeftParen)?;
        if self.accept(Kind::RightParen) {
            return Ok(InValues::List(Vec::new()));
        }
        let of_markers = matches!(self.kind(), Kind::QuestionMark | Kind::Colon);
        let values = self.separated(Kind::Comma, |parser| {
            if of_markers {
                Ok(Term::Marker(parser.marker()?))
            } else {
                parser.nested(Self::tuple)
            }
        })?;
        self.expect(Kind::RightParen)?;
        Ok(InValues::List(values))
    }

    /// `(1, 2)`, `()` or a marker.
    fn in_values(&mut self, start: usize) -> Result<InValues, SyntaxError> {
        match self.kind() {
            Kind::QuestionMark | Kind::Colon => Ok(InValues::Marker(self.marker()?)),
            Kind::LeftParen => Ok(InValues::List(self.term_list()?)),
            _ => Err(self.no_alternative_since(start)),
        }
    }

    /// CONTAINS or CONTAINS KEY.
    fn contains(&mut self) -> Operator {
        self.advance();
        if self.accept_keyword(K::Key) {
            Operator::ContainsKey
        } else {
            Operator::Contains
        }
    }

    fn accept_comparison(&mut self) -> Option<Operator> {
        let operator = match self.kind() {
            Kind::Equal => Operator::Equal,
            Kind::NotEqual => Operator::NotEqual,
            Kind::Less => Operator::Less,
            Kind::LessEqual => Operator::LessOrEqual,
            Kind::Greater => Operator::Greater,
            Kind::GreaterEqual => Operator::GreaterOrEqual,
            _ => return None,
        };
        self.advance();
        Some(operator)
    }

    fn comparison(&mut self) -> Result<Operator, SyntaxError> {
        self.accept_comparison()
            .ok_or_else(|| self.no_alternative())
    }

    /// The conditions of an UPDATE or DELETE, if there are any.
    pub fn update_conditions(&mut self) -> Result<Conditions, SyntaxError> {
        if !self.accept_keyword(K::If) {
            return Ok(Conditions::None);
        }
        // EXISTS may also be a column that is compared.
        if self.kind() == Kind::Keyword(K::Exists) && !continues_condition(self.kind_at(1)) {
            self.advance();
            return Ok(Conditions::IfExists);
        }
        Ok(Conditions::If(
            self.separated(Kind::Keyword(K::And), Self::condition)?,
        ))
    }

    fn condition(&mut self) -> Result<Condition, SyntaxError> {
        let column = self.column()?;
        let part = if self.accept(Kind::LeftBracket) {
            let key = self.term()?;
            self.expect(Kind::RightBracket)?;
            Part::Element(key)
        } else if self.accept(Kind::Dot) {
            Part::Field(self.name()?)
        } else {
            Part::Whole
        };
        let test = match self.kind() {
            Kind::Keyword(K::In) => {
                self.advance();
                let start = self.position();
                ConditionTest::In(self.in_values(start)?)
            }
            Kind::Keyword(K::Contains) if part == Part::Whole => {
                let operator = self.contains();
                ConditionTest::Compare(operator, self.term()?)
            }
            _ => {
                let operator = self.comparison()?;
                ConditionTest::Compare(operator, self.term()?)
            }
        };
        Ok(Condition { column, part, test })
    }
}

/// Whether a token can follow the column of a condition.
fn continues_condition(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Equal
            | Kind::NotEqual
            | Kind::Less
            | Kind::LessEqual
            | Kind::Greater
            | Kind::GreaterEqual
            | Kind::LeftBracket
            | Kind::Dot
            | Kind::Keyword(K::In | K::Contains)
    )
}
