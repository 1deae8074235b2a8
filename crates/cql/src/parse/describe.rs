//! DESCRIBE.

use super::cursor::Parser;
use super::error::SyntaxError;
use crate::ast::{Describe, DescribeTarget, QualifiedName, Statement};
use crate::lexer::{Keyword as K, Kind};

impl Parser<'_> {
    /// What follows DESCRIBE or DESC.
    pub fn describe(&mut self) -> Result<Statement, SyntaxError> {
        let target = self.describe_target()?;
        let with_internals = self.accept_keyword(K::With);
        if with_internals {
            self.expect_keyword(K::Internals)?;
        }
        Ok(Statement::Describe(Describe {
            target,
            with_internals,
        }))
    }

    fn describe_target(&mut self) -> Result<DescribeTarget, SyntaxError> {
        let Kind::Keyword(keyword) = self.kind() else {
            return self.describe_any();
        };
        // Words that may also be the name of what is described when nothing or something else follows.
        let named = super::names::is_name(self.kind_at(1)) || self.kind_at(1) == Kind::QuestionMark;
        let list = match keyword {
            K::Cluster => Some(DescribeTarget::Cluster),
            K::Keyspaces => Some(DescribeTarget::Keyspaces),
            K::Tables => Some(DescribeTarget::Tables),
            K::Types => Some(DescribeTarget::Types),
            K::Functions => Some(DescribeTarget::Functions),
            K::Aggregates => Some(DescribeTarget::Aggregates),
            _ => None,
        };
        if let Some(list) = list {
            self.advance();
            return Ok(list);
        }
        match keyword {
            K::Full => {
                self.advance();
                self.expect_keyword(K::Schema)?;
                Ok(DescribeTarget::Schema { full: true })
            }
            K::Schema => {
                self.advance();
                Ok(DescribeTarget::Schema { full: false })
            }
            K::Only if self.kind_at(1) == Kind::Keyword(K::Keyspace) => {
                self.advance();
                self.describe_keyspace(true)
            }
            K::Keyspace => self.describe_keyspace(false),
            K::Columnfamily => {
                self.advance();
                Ok(DescribeTarget::Table(self.table_name()?))
            }
            K::Index => {
                self.advance();
                Ok(DescribeTarget::Index(self.table_name()?))
            }
            K::Materialized => {
                self.advance();
                self.expect_keyword(K::View)?;
                Ok(DescribeTarget::MaterializedView(self.table_name()?))
            }
            K::Type if named => {
                self.advance();
                Ok(DescribeTarget::Type(self.user_type_name()?))
            }
            K::Function if named || self.kind_at(1) == Kind::Keyword(K::Token) => {
                self.advance();
                Ok(DescribeTarget::Function(self.function_name()?))
            }
            K::Aggregate if named || self.kind_at(1) == Kind::Keyword(K::Token) => {
                self.advance();
                Ok(DescribeTarget::Aggregate(self.function_name()?))
            }
            _ => self.describe_any(),
        }
    }

    fn describe_keyspace(&mut self, only: bool) -> Result<DescribeTarget, SyntaxError> {
        self.expect_keyword(K::Keyspace)?;
        let unnamed = matches!(
            self.kind(),
            Kind::End | Kind::Semicolon | Kind::Keyword(K::With)
        );
        let name = if unnamed {
            None
        } else {
            Some(self.keyspace_name()?)
        };
        Ok(DescribeTarget::Keyspace { name, only })
    }

    fn describe_any(&mut self) -> Result<DescribeTarget, SyntaxError> {
        let first = self.name()?;
        if !self.accept(Kind::Dot) {
            return Ok(DescribeTarget::Any(QualifiedName {
                keyspace: None,
                name: first,
            }));
        }
        let name = self.name()?;
        Ok(DescribeTarget::Any(QualifiedName {
            keyspace: Some(first),
            name,
        }))
    }
}
