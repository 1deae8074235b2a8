//! INSERT, UPDATE and DELETE.

use super::cursor::Parser;
use super::error::SyntaxError;
use super::names::is_column;
use super::term::PlusColumn;
use crate::ast::{
    Assignment, Conditions, Delete, Deletion, Insert, InsertSource, JsonMissing, Literal,
    LiteralKind, Operation, Part, Term, Update, Using,
};
use crate::lexer::{Keyword as K, Kind};

impl Parser<'_> {
    /// What follows INSERT.
    pub fn insert(&mut self) -> Result<Insert, SyntaxError> {
        self.expect_keyword(K::Into)?;
        let table = self.table_name()?;
        let source = if self.accept_keyword(K::Json) {
            self.json_source()?
        } else if self.accept(Kind::LeftParen) {
            let columns = self.separated(Kind::Comma, Self::column)?;
            self.expect(Kind::RightParen)?;
            self.expect_keyword(K::Values)?;
            self.expect(Kind::LeftParen)?;
            let values = self.separated(Kind::Comma, Self::term)?;
            self.expect(Kind::RightParen)?;
            InsertSource::Values { columns, values }
        } else {
            return Err(self.no_alternative());
        };
        let conditions = if self.if_not_exists()? {
            Conditions::IfNotExists
        } else {
            Conditions::None
        };
        let using = self.using()?;
        Ok(Insert {
            table,
            source,
            conditions,
            using,
        })
    }

    fn json_source(&mut self) -> Result<InsertSource, SyntaxError> {
        let value = match self.kind() {
            Kind::String | Kind::DollarString => Term::Literal(Literal {
                kind: LiteralKind::String,
                text: self.string()?,
            }),
            _ => Term::Marker(self.marker()?),
        };
        let mut missing = JsonMissing::Null;
        if self.accept_keyword(K::Default) {
            if self.accept_keyword(K::Unset) {
                missing = JsonMissing::Unset;
            } else if !self.accept_keyword(K::Null) {
                return Err(self.no_alternative());
            }
        }
        Ok(InsertSource::Json { value, missing })
    }

    /// `USING TIMESTAMP … AND TTL …`, if it is there.
    pub fn using(&mut self) -> Result<Using, SyntaxError> {
        let mut using = Using::default();
        if !self.accept_keyword(K::Using) {
            return Ok(using);
        }
        loop {
            if self.accept_keyword(K::Timestamp) {
                using.timestamp = Some(self.integer_or_marker()?);
            } else if self.accept_keyword(K::Ttl) {
                using.ttl = Some(self.integer_or_marker()?);
            } else {
                return Err(self.no_alternative());
            }
            if !self.accept_keyword(K::And) {
                return Ok(using);
            }
        }
    }

    /// What follows UPDATE.
    pub fn update(&mut self) -> Result<Update, SyntaxError> {
        let table = self.table_name()?;
        let using = self.using()?;
        self.expect_keyword(K::Set)?;
        let assignments = self.separated(Kind::Comma, Self::assignment)?;
        refuse_incompatible(&assignments)?;
        self.expect_keyword(K::Where)?;
        let relations = self.where_clause()?;
        let conditions = self.update_conditions()?;
        Ok(Update {
            table,
            using,
            assignments,
            relations,
            conditions,
        })
    }

    fn assignment(&mut self) -> Result<Assignment, SyntaxError> {
        let column = self.column()?;
        let operation = match self.kind() {
            Kind::Equal => {
                self.advance();
                self.plain_assignment(&column)?
            }
            Kind::PlusEqual => {
                self.advance();
                Operation::Add(self.term()?)
            }
            Kind::MinusEqual => {
                self.advance();
                Operation::Subtract(self.term()?)
            }
            Kind::LeftBracket => {
                self.advance();
                let key = self.term()?;
                self.expect(Kind::RightBracket)?;
                self.expect(Kind::Equal)?;
                Operation::SetElement {
                    key,
                    value: self.term()?,
                }
            }
            Kind::Dot => {
                self.advance();
                let field = self.name()?;
                self.expect(Kind::Equal)?;
                Operation::SetField {
                    field,
                    value: self.term()?,
                }
            }
            _ => return Err(self.no_alternative()),
        };
        Ok(Assignment { column, operation })
    }

    /// What follows `column =`.
    fn plain_assignment(&mut self, column: &str) -> Result<Operation, SyntaxError> {
        if is_column(self.kind())
            && !self.at_function_call()
            && !self.at_cast()
            && self.kind_at(1) != Kind::Dot
        {
            return self.self_assignment(column);
        }
        let value = self.term_before(PlusColumn::EndsTerm)?;
        if !self.accept(Kind::Plus) {
            return Ok(Operation::Set(value));
        }
        if self.column()? != column {
            return Err(SyntaxError::new(
                "Only expressions of the form X = <value> + X are supported.",
            ));
        }
        Ok(Operation::Prepend(value))
    }

    fn at_cast(&self) -> bool {
        self.kind() == Kind::Keyword(K::Cast) && self.kind_at(1) == Kind::LeftParen
    }

    /// `c + term`, `c - term` and `c -3`, which the lexer makes a name and an integer.
    fn self_assignment(&mut self, column: &str) -> Result<Operation, SyntaxError> {
        let start = self.position();
        let same = self.take_name() == column;
        match self.kind() {
            sign @ (Kind::Plus | Kind::Minus) => {
                self.advance();
                let value = self.term()?;
                let (text, operation) = match sign {
                    Kind::Plus => ("+", Operation::Add(value)),
                    _ => ("-", Operation::Subtract(value)),
                };
                if same {
                    return Ok(operation);
                }
                Err(SyntaxError::new(format!(
                    "Only expressions of the form X = X {text}<value> are supported."
                )))
            }
            Kind::Integer => {
                let text = self.slice().to_owned();
                self.advance();
                if same {
                    return Ok(Operation::Add(Term::Literal(Literal {
                        kind: LiteralKind::Integer,
                        text,
                    })));
                }
                let sign = if text.starts_with('-') { '-' } else { '+' };
                Err(SyntaxError::new(format!(
                    "Only expressions of the form X = X {sign} <value> are supported."
                )))
            }
            _ => Err(self.no_alternative_since(start)),
        }
    }

    /// What follows DELETE.
    pub fn delete(&mut self) -> Result<Delete, SyntaxError> {
        let deletions = if is_column(self.kind()) {
            self.separated(Kind::Comma, Self::deletion)?
        } else {
            Vec::new()
        };
        self.expect_keyword(K::From)?;
        let table = self.table_name()?;
        let mut using = Using::default();
        if self.accept_keyword(K::Using) {
            self.expect_keyword(K::Timestamp)?;
            using.timestamp = Some(self.integer_or_marker()?);
        }
        self.expect_keyword(K::Where)?;
        let relations = self.where_clause()?;
        let conditions = self.update_conditions()?;
        Ok(Delete {
            table,
            deletions,
            using,
            relations,
            conditions,
        })
    }

    fn deletion(&mut self) -> Result<Deletion, SyntaxError> {
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
        Ok(Deletion { column, part })
    }
}

/// A column that is set as a whole may have no other assignment, a field only one.
fn refuse_incompatible(assignments: &[Assignment]) -> Result<(), SyntaxError> {
    // Column name to whether it is set as a whole.
    let mut seen = std::collections::BTreeMap::new();
    let mut fields = std::collections::BTreeSet::new();
    for Assignment { column, operation } in assignments {
        let whole = matches!(operation, Operation::Set(_));
        let again = match operation {
            Operation::SetField { field, .. } => !fields.insert((column, field)),
            _ => false,
        };
        let before = seen.insert(column, whole);
        if again || before.is_some_and(|before| before || whole) {
            return Err(SyntaxError::new(format!(
                "Multiple incompatible setting of column {column}"
            )));
        }
    }
    Ok(())
}
