//! CREATE and DROP of functions, aggregates and triggers.

use super::cursor::Parser;
use super::error::SyntaxError;
use crate::ast::{
    CreateAggregate, CreateFunction, CreateTrigger, DropFunction, DropTrigger, Statement, Type,
};
use crate::lexer::{Keyword as K, Kind};

impl Parser<'_> {
    pub fn create_function_or_aggregate(&mut self) -> Result<Statement, SyntaxError> {
        let or_replace = self.accept_keyword(K::Or);
        if or_replace {
            self.expect_keyword(K::Replace)?;
        }
        if self.accept_keyword(K::Function) {
            return self.create_function(or_replace);
        }
        if self.accept_keyword(K::Aggregate) {
            return self.create_aggregate(or_replace);
        }
        Err(self.no_alternative())
    }

    fn create_function(&mut self, or_replace: bool) -> Result<Statement, SyntaxError> {
        let if_not_exists = self.if_not_exists()?;
        let name = self.function_name()?;
        self.expect(Kind::LeftParen)?;
        let mut arguments = Vec::new();
        if self.kind() != Kind::RightParen {
            arguments = self.separated(Kind::Comma, |parser| {
                Ok((parser.name()?, parser.data_type()?))
            })?;
        }
        self.expect(Kind::RightParen)?;
        let called_on_null_input = self.accept_keyword(K::Called);
        if !called_on_null_input {
            if self.kind() != Kind::Keyword(K::Returns) {
                return Err(self.no_alternative());
            }
            self.advance();
            self.expect_keyword(K::Null)?;
        }
        self.expect_keyword(K::On)?;
        self.expect_keyword(K::Null)?;
        self.expect_keyword(K::Input)?;
        self.expect_keyword(K::Returns)?;
        let returns = self.data_type()?;
        self.expect_keyword(K::Language)?;
        if self.kind() != Kind::Ident {
            return Err(self.expected(Kind::Ident));
        }
        let language = self.take_name();
        self.expect_keyword(K::As)?;
        let body = self.string()?;
        Ok(Statement::CreateFunction(CreateFunction {
            name,
            or_replace,
            if_not_exists,
            arguments,
            called_on_null_input,
            returns,
            language,
            body,
        }))
    }

    fn create_aggregate(&mut self, or_replace: bool) -> Result<Statement, SyntaxError> {
        let if_not_exists = self.if_not_exists()?;
        let name = self.function_name()?;
        let arguments = self.argument_types()?;
        self.expect_keyword(K::Sfunc)?;
        let state_function = self.bare_function_name()?;
        self.expect_keyword(K::Stype)?;
        let state_type = self.data_type()?;
        let final_function = if self.accept_keyword(K::Finalfunc) {
            Some(self.bare_function_name()?)
        } else {
            None
        };
        let initial_state = if self.accept_keyword(K::Initcond) {
            Some(self.term()?)
        } else {
            None
        };
        Ok(Statement::CreateAggregate(CreateAggregate {
            name,
            or_replace,
            if_not_exists,
            arguments,
            state_function,
            state_type,
            final_function,
            initial_state,
        }))
    }

    /// Types in parentheses, possibly none.
    pub fn argument_types(&mut self) -> Result<Vec<Type>, SyntaxError> {
        self.expect(Kind::LeftParen)?;
        let mut types = Vec::new();
        if self.kind() == Kind::Star {
            return Err(self.expected(Kind::RightParen));
        }
        if self.kind() != Kind::RightParen {
            types = self.separated(Kind::Comma, Self::data_type)?;
        }
        self.expect(Kind::RightParen)?;
        Ok(types)
    }

    pub fn drop_function_or_aggregate(&mut self) -> Result<Statement, SyntaxError> {
        let is_function = self.kind() == Kind::Keyword(K::Function);
        self.advance();
        let if_exists = self.if_exists()?;
        let name = self.function_name()?;
        let arguments = if self.kind() == Kind::LeftParen {
            Some(self.argument_types()?)
        } else {
            None
        };
        let drop = DropFunction {
            name,
            if_exists,
            arguments,
        };
        Ok(if is_function {
            Statement::DropFunction(drop)
        } else {
            Statement::DropAggregate(drop)
        })
    }

    pub fn create_trigger(&mut self) -> Result<Statement, SyntaxError> {
        self.advance();
        let if_not_exists = self.if_not_exists()?;
        let name = self.name()?;
        self.expect_keyword(K::On)?;
        let table = self.table_name()?;
        self.expect_keyword(K::Using)?;
        let class = self.string()?;
        Ok(Statement::CreateTrigger(CreateTrigger {
            name,
            if_not_exists,
            table,
            class,
        }))
    }

    pub fn drop_trigger(&mut self) -> Result<Statement, SyntaxError> {
        self.advance();
        let if_exists = self.if_exists()?;
        let name = self.name()?;
        self.expect_keyword(K::On)?;
        let table = self.table_name()?;
        Ok(Statement::DropTrigger(DropTrigger {
            name,
            if_exists,
            table,
        }))
    }
}
