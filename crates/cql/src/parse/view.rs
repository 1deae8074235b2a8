//! CREATE, ALTER and DROP MATERIALIZED VIEW.

use super::cursor::Parser;
use super::error::SyntaxError;
use crate::ast::{AlterMaterializedView, CreateMaterializedView, Drop, Properties, Statement};
use crate::lexer::Keyword as K;

impl Parser<'_> {
    pub fn create_view(&mut self) -> Result<Statement, SyntaxError> {
        self.advance();
        self.expect_keyword(K::View)?;
        let if_not_exists = self.if_not_exists()?;
        let name = self.table_name()?;
        self.expect_keyword(K::As)?;
        self.expect_keyword(K::Select)?;
        let selection = self.selection()?;
        self.expect_after_selection(K::From)?;
        let base = self.table_name()?;
        let relations = if self.accept_keyword(K::Where) {
            self.where_clause()?
        } else {
            Vec::new()
        };
        self.expect_keyword(K::Primary)?;
        self.expect_keyword(K::Key)?;
        let primary_key = self.primary_key()?;
        let mut view = CreateMaterializedView {
            name,
            if_not_exists,
            base,
            selection,
            relations,
            primary_key,
            clustering_order: Vec::new(),
            properties: Properties::default(),
        };
        if self.accept_keyword(K::With) {
            self.view_property(&mut view)?;
            while self.accept_keyword(K::And) {
                self.view_property(&mut view)?;
            }
        }
        Ok(Statement::CreateMaterializedView(view))
    }

    fn view_property(&mut self, view: &mut CreateMaterializedView) -> Result<(), SyntaxError> {
        if self.at_compact_storage() {
            return Err(SyntaxError::new(
                "COMPACT STORAGE tables are not allowed starting with version 4.0",
            ));
        }
        if self.at_clustering_order() {
            view.clustering_order.extend(self.clustering_order()?);
            return Ok(());
        }
        self.property(&mut view.properties)
    }

    pub fn alter_view(&mut self) -> Result<Statement, SyntaxError> {
        self.advance();
        self.expect_keyword(K::View)?;
        let if_exists = self.if_exists()?;
        let name = self.table_name()?;
        self.expect_keyword(K::With)?;
        let properties = self.properties()?;
        Ok(Statement::AlterMaterializedView(AlterMaterializedView {
            name,
            if_exists,
            properties,
        }))
    }

    pub fn drop_view(&mut self) -> Result<Statement, SyntaxError> {
        self.advance();
        self.expect_keyword(K::View)?;
        let if_exists = self.if_exists()?;
        let name = self.table_name()?;
        Ok(Statement::DropMaterializedView(Drop { name, if_exists }))
    }
}
