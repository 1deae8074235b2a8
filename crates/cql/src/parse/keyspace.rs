//! CREATE, ALTER and DROP KEYSPACE.

use super::cursor::Parser;
use super::error::SyntaxError;
use crate::ast::{AlterKeyspace, CreateKeyspace, DropKeyspace, Statement};
use crate::lexer::Keyword as K;

impl Parser<'_> {
    pub fn create_keyspace(&mut self) -> Result<Statement, SyntaxError> {
        self.advance();
        let if_not_exists = self.if_not_exists()?;
        let name = self.keyspace_name()?;
        self.expect_keyword(K::With)?;
        let properties = self.properties()?;
        Ok(Statement::CreateKeyspace(CreateKeyspace {
            name,
            if_not_exists,
            properties,
        }))
    }

    pub fn alter_keyspace(&mut self) -> Result<Statement, SyntaxError> {
        self.advance();
        let if_exists = self.if_exists()?;
        let name = self.keyspace_name()?;
        self.expect_keyword(K::With)?;
        let properties = self.properties()?;
        Ok(Statement::AlterKeyspace(AlterKeyspace {
            name,
            if_exists,
            properties,
        }))
    }

    pub fn drop_keyspace(&mut self) -> Result<Statement, SyntaxError> {
        self.advance();
        let if_exists = self.if_exists()?;
        let name = self.keyspace_name()?;
        Ok(Statement::DropKeyspace(DropKeyspace { name, if_exists }))
    }
}
