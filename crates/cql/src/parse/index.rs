//! CREATE and DROP INDEX.

use super::cursor::Parser;
use super::error::SyntaxError;
use crate::ast::{CreateIndex, Drop, IndexTarget, IndexTargetKind, Properties, Statement};
use crate::lexer::{Keyword as K, Kind};

impl Parser<'_> {
    pub fn create_index(&mut self) -> Result<Statement, SyntaxError> {
        let custom = self.accept_keyword(K::Custom);
        self.expect_keyword(K::Index)?;
        let if_not_exists = self.if_not_exists()?;
        let name = if self.accept_keyword(K::On) {
            None
        } else {
            let name = self.index_name()?;
            self.expect_keyword(K::On)?;
            Some(name)
        };
        let table = self.table_name()?;
        self.expect(Kind::LeftParen)?;
        let targets = if self.kind() == Kind::RightParen {
            Vec::new()
        } else {
            self.separated(Kind::Comma, Self::index_target)?
        };
        self.expect(Kind::RightParen)?;
        let class = if self.accept_keyword(K::Using) {
            Some(self.string()?)
        } else {
            None
        };
        let properties = if self.accept_keyword(K::With) {
            self.properties()?
        } else {
            Properties::default()
        };
        Ok(Statement::CreateIndex(CreateIndex {
            custom,
            if_not_exists,
            name,
            table,
            targets,
            class,
            properties,
        }))
    }

    fn index_target(&mut self) -> Result<IndexTarget, SyntaxError> {
        let kind = match self.kind() {
            Kind::Keyword(K::Entries) => IndexTargetKind::Entries,
            Kind::Keyword(K::Full) => IndexTargetKind::Full,
            Kind::Keyword(K::Values) if self.kind_at(1) == Kind::LeftParen => {
                IndexTargetKind::Values
            }
            Kind::Keyword(K::Keys) if self.kind_at(1) == Kind::LeftParen => IndexTargetKind::Keys,
            _ => {
                return Ok(IndexTarget {
                    kind: IndexTargetKind::Simple,
                    column: self.column()?,
                });
            }
        };
        self.advance();
        self.expect(Kind::LeftParen)?;
        let column = self.column()?;
        self.expect(Kind::RightParen)?;
        Ok(IndexTarget { kind, column })
    }

    pub fn drop_index(&mut self) -> Result<Statement, SyntaxError> {
        self.advance();
        let if_exists = self.if_exists()?;
        let name = self.qualified_index_name()?;
        Ok(Statement::DropIndex(Drop { name, if_exists }))
    }
}
