//! CREATE, ALTER and DROP TYPE.

use super::cursor::Parser;
use super::error::SyntaxError;
use crate::ast::{AlterType, CreateType, Drop, Statement, Type, TypeChange};
use crate::lexer::{Keyword as K, Kind};

impl Parser<'_> {
    pub fn create_type(&mut self) -> Result<Statement, SyntaxError> {
        self.advance();
        let if_not_exists = self.if_not_exists()?;
        let name = self.user_type_name()?;
        self.expect(Kind::LeftParen)?;
        let mut fields = vec![self.field_definition()?];
        while self.accept(Kind::Comma) {
            // Cassandra allows an empty place after a comma.
            if !matches!(self.kind(), Kind::Comma | Kind::RightParen) {
                fields.push(self.field_definition()?);
            }
        }
        self.expect(Kind::RightParen)?;
        Ok(Statement::CreateType(CreateType {
            name,
            if_not_exists,
            fields,
        }))
    }

    fn field_definition(&mut self) -> Result<(String, Type), SyntaxError> {
        Ok((self.name()?, self.data_type()?))
    }

    pub fn alter_type(&mut self) -> Result<Statement, SyntaxError> {
        self.advance();
        let if_exists = self.if_exists()?;
        let name = self.user_type_name()?;
        let change = match self.kind() {
            Kind::Keyword(K::Alter) => {
                self.advance();
                let field = self.name()?;
                self.expect_keyword(K::Type)?;
                TypeChange::AlterField {
                    field,
                    data_type: self.data_type()?,
                }
            }
            Kind::Keyword(K::Add) => {
                self.advance();
                let if_not_exists = self.if_not_exists()?;
                let (field, data_type) = self.field_definition()?;
                TypeChange::Add {
                    if_not_exists,
                    field,
                    data_type,
                }
            }
            Kind::Keyword(K::Rename) => {
                self.advance();
                let if_exists = self.if_exists()?;
                TypeChange::Rename {
                    if_exists,
                    fields: self.separated(Kind::Keyword(K::And), Self::rename)?,
                }
            }
            _ => return Err(self.no_alternative()),
        };
        Ok(Statement::AlterType(AlterType {
            name,
            if_exists,
            change,
        }))
    }

    pub fn drop_type(&mut self) -> Result<Statement, SyntaxError> {
        self.advance();
        let if_exists = self.if_exists()?;
        let name = self.user_type_name()?;
        Ok(Statement::DropType(Drop { name, if_exists }))
    }
}
