//! BATCH.

use super::cursor::Parser;
use super::error::SyntaxError;
use crate::ast::{Batch, BatchKind, Modification};
use crate::lexer::{Keyword as K, Kind};

impl Parser<'_> {
    /// What follows BEGIN.
    pub fn batch(&mut self) -> Result<Batch, SyntaxError> {
        let kind = if self.accept_keyword(K::Unlogged) {
            BatchKind::Unlogged
        } else if self.accept_keyword(K::Counter) {
            BatchKind::Counter
        } else {
            BatchKind::Logged
        };
        self.expect_keyword(K::Batch)?;
        let using = self.using()?;
        let mut statements = Vec::new();
        loop {
            let statement = match self.kind() {
                Kind::Keyword(K::Insert) => {
                    self.advance();
                    Modification::Insert(self.insert()?)
                }
                Kind::Keyword(K::Update) => {
                    self.advance();
                    Modification::Update(self.update()?)
                }
                Kind::Keyword(K::Delete) => {
                    self.advance();
                    Modification::Delete(self.delete()?)
                }
                _ => break,
            };
            statements.push(statement);
            self.accept(Kind::Semicolon);
        }
        self.expect_keyword(K::Apply)?;
        self.expect_keyword(K::Batch)?;
        Ok(Batch {
            kind,
            using,
            statements,
        })
    }
}
