//! The parser: CQL 3.4.7 text to the tree of [`crate::ast`], as Cassandra 5.0.6 accepts it.
//!
//! A recursive-descent parser over the token list, one file per family of statements. What it accepts is what the oracle
//! accepts, surprises included: `CREATE SCHEMA` is refused, `-` binds to a number it touches, a statement may end in any
//! number of `;`. Whatever Cassandra's grammar refuses is a [`SyntaxError`] here, also where a grammar need not (a
//! frozen native type, two incompatible assignments of one column, a permission its resource does not have).
//!
//! What must stay true:
//! - time is linear in the text: looking ahead is by a bounded number of tokens, or over a type, or once per bracket;
//! - no tree is deeper than [`MAX_NESTING`] levels of brackets plus [`MAX_OPERATIONS`] operations, so neither the parser
//!   nor anybody who walks or drops the tree can exhaust the stack;
//! - no input panics (`sim`'s fuzzers mutate valid statements to look for one).

mod access;
mod batch;
mod cursor;
mod describe;
mod error;
mod function;
mod index;
mod keyspace;
mod modify;
mod names;
mod permission;
mod property;
mod relation;
mod select;
mod selector;
mod table;
mod term;
mod types;
mod user_type;
mod view;

pub use error::SyntaxError;

use crate::ast::{Parsed, Statement};
use crate::lexer::{Keyword as K, Kind};
use cursor::Parser;
use model::limits::MAX_NESTING;

/// How many operators and element or field selections one outermost expression may hold.
pub const MAX_OPERATIONS: usize = 1000;

/// Parses one statement, with any number of `;` after it.
pub fn parse(text: &str) -> Result<Parsed, SyntaxError> {
    let mut parser = Parser::new(text);
    let statement = parser.statement()?;
    while parser.accept(Kind::Semicolon) {}
    if parser.kind() != Kind::End {
        return Err(parser.expected(Kind::End));
    }
    Ok(Parsed {
        statement,
        markers: parser.into_markers(),
    })
}

impl Parser<'_> {
    fn statement(&mut self) -> Result<Statement, SyntaxError> {
        let Kind::Keyword(first) = self.kind() else {
            return Err(self.no_alternative());
        };
        let start = self.position();
        if !matches!(
            first,
            K::Use
                | K::Select
                | K::Insert
                | K::Update
                | K::Delete
                | K::Begin
                | K::Truncate
                | K::Create
                | K::Alter
                | K::Drop
                | K::Grant
                | K::Revoke
                | K::List
                | K::Add
                | K::Describe
                | K::Desc
        ) {
            return Err(self.no_alternative());
        }
        self.advance();
        match first {
            K::Use => Ok(Statement::Use(self.keyspace_name()?)),
            K::Select => Ok(Statement::Select(self.select()?)),
            K::Insert => Ok(Statement::Insert(self.insert()?)),
            K::Update => Ok(Statement::Update(self.update()?)),
            K::Delete => Ok(Statement::Delete(self.delete()?)),
            K::Begin => Ok(Statement::Batch(self.batch()?)),
            K::Truncate => {
                self.accept_keyword(K::Columnfamily);
                Ok(Statement::Truncate(self.table_name()?))
            }
            K::Create => self.create(start),
            K::Alter => self.alter(start),
            K::Drop => self.drop_statement(start),
            K::Grant => self.grant(),
            K::Revoke => self.revoke(),
            K::List => self.list(start),
            K::Add => self.add_identity(),
            _ => self.describe(),
        }
    }

    fn create(&mut self, start: usize) -> Result<Statement, SyntaxError> {
        let Kind::Keyword(object) = self.kind() else {
            return Err(self.no_alternative_since(start));
        };
        match object {
            K::Keyspace => self.create_keyspace(),
            K::Columnfamily => self.create_table(),
            K::Type => self.create_type(),
            K::Custom | K::Index => self.create_index(),
            K::Materialized => self.create_view(),
            K::Or | K::Function | K::Aggregate => self.create_function_or_aggregate(),
            K::Trigger => self.create_trigger(),
            K::Role => self.create_role(),
            K::User => self.create_user(),
            _ => Err(self.no_alternative_since(start)),
        }
    }

    fn alter(&mut self, start: usize) -> Result<Statement, SyntaxError> {
        let Kind::Keyword(object) = self.kind() else {
            return Err(self.no_alternative_since(start));
        };
        match object {
            K::Keyspace => self.alter_keyspace(),
            K::Columnfamily => self.alter_table(),
            K::Type => self.alter_type(),
            K::Materialized => self.alter_view(),
            K::Role => self.alter_role(),
            K::User => self.alter_user(),
            _ => Err(self.no_alternative_since(start)),
        }
    }

    fn drop_statement(&mut self, start: usize) -> Result<Statement, SyntaxError> {
        let Kind::Keyword(object) = self.kind() else {
            return Err(self.no_alternative_since(start));
        };
        match object {
            K::Keyspace => self.drop_keyspace(),
            K::Columnfamily => self.drop_table(),
            K::Type => self.drop_type(),
            K::Index => self.drop_index(),
            K::Materialized => self.drop_view(),
            K::Function | K::Aggregate => self.drop_function_or_aggregate(),
            K::Trigger => self.drop_trigger(),
            K::Role | K::User => self.drop_role(),
            K::Identity => self.drop_identity(),
            _ => Err(self.no_alternative_since(start)),
        }
    }
}

#[cfg(test)]
mod tests;
