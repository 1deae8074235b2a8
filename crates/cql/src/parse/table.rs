//! CREATE, ALTER and DROP TABLE.

use super::cursor::Parser;
use super::error::SyntaxError;
use crate::ast::{
    AlterTable, ColumnDefinition, CreateTable, Drop, Mask, PrimaryKey, Properties, QualifiedName,
    Statement, TableChange, Type,
};
use crate::lexer::{Keyword as K, Kind};

impl Parser<'_> {
    pub fn create_table(&mut self) -> Result<Statement, SyntaxError> {
        self.advance();
        let if_not_exists = self.if_not_exists()?;
        let mut table = CreateTable {
            name: self.table_name()?,
            if_not_exists,
            columns: Vec::new(),
            primary_keys: Vec::new(),
            clustering_order: Vec::new(),
            compact_storage: false,
            properties: Properties::default(),
        };
        self.expect(Kind::LeftParen)?;
        self.table_element(&mut table)?;
        while self.accept(Kind::Comma) {
            // Cassandra allows an empty place after a comma.
            if !matches!(self.kind(), Kind::Comma | Kind::RightParen) {
                self.table_element(&mut table)?;
            }
        }
        self.expect(Kind::RightParen)?;
        if self.accept_keyword(K::With) {
            self.table_property(&mut table)?;
            while self.accept_keyword(K::And) {
                self.table_property(&mut table)?;
            }
        }
        Ok(Statement::CreateTable(table))
    }

    /// A column or a PRIMARY KEY clause.
    fn table_element(&mut self, table: &mut CreateTable) -> Result<(), SyntaxError> {
        if self.accept_keyword(K::Primary) {
            self.expect_keyword(K::Key)?;
            table.primary_keys.push(self.primary_key()?);
            return Ok(());
        }
        let name = self.name()?;
        let data_type = self.data_type()?;
        let column = self.column_definition(name, data_type)?;
        if self.accept_keyword(K::Primary) {
            self.expect_keyword(K::Key)?;
            table.primary_keys.push(PrimaryKey {
                partition: vec![column.name.clone()],
                clustering: Vec::new(),
            });
        }
        table.columns.push(column);
        Ok(())
    }

    /// STATIC and the mask after the type of a column.
    fn column_definition(
        &mut self,
        name: String,
        data_type: Type,
    ) -> Result<ColumnDefinition, SyntaxError> {
        let is_static = self.accept_keyword(K::Static);
        let mask = if self.kind() == Kind::Keyword(K::Masked) {
            Some(self.mask()?)
        } else {
            None
        };
        Ok(ColumnDefinition {
            name,
            data_type,
            is_static,
            mask,
        })
    }

    /// `MASKED WITH …`
    fn mask(&mut self) -> Result<Mask, SyntaxError> {
        self.expect_keyword(K::Masked)?;
        self.expect_keyword(K::With)?;
        // `default` may also be the name of a function.
        if self.kind() == Kind::Keyword(K::Default)
            && !matches!(self.kind_at(1), Kind::LeftParen | Kind::Dot)
        {
            self.advance();
            let function = QualifiedName {
                keyspace: None,
                name: "mask_default".to_owned(),
            };
            return Ok(Mask {
                function,
                arguments: Vec::new(),
            });
        }
        let (function, arguments) = self.mask_call()?;
        Ok(Mask {
            function,
            arguments,
        })
    }

    /// `((a, b), c)` or `(a, b)`
    pub fn primary_key(&mut self) -> Result<PrimaryKey, SyntaxError> {
        self.expect(Kind::LeftParen)?;
        let partition = if self.accept(Kind::LeftParen) {
            let columns = self.separated(Kind::Comma, Self::name)?;
            self.expect(Kind::RightParen)?;
            columns
        } else {
            vec![self.name()?]
        };
        let mut clustering = Vec::new();
        while self.accept(Kind::Comma) {
            clustering.push(self.name()?);
        }
        self.expect(Kind::RightParen)?;
        Ok(PrimaryKey {
            partition,
            clustering,
        })
    }

    fn table_property(&mut self, table: &mut CreateTable) -> Result<(), SyntaxError> {
        if self.at_compact_storage() {
            self.advance();
            self.advance();
            table.compact_storage = true;
        } else if self.at_clustering_order() {
            table.clustering_order.extend(self.clustering_order()?);
        } else {
            self.property(&mut table.properties)?;
        }
        Ok(())
    }

    pub fn alter_table(&mut self) -> Result<Statement, SyntaxError> {
        self.advance();
        let if_exists = self.if_exists()?;
        let name = self.table_name()?;
        let change = match self.kind() {
            Kind::Keyword(K::Alter) => self.alter_column()?,
            Kind::Keyword(K::Add) => self.add_columns()?,
            Kind::Keyword(K::Drop) => self.drop_columns()?,
            Kind::Keyword(K::Rename) => {
                self.advance();
                let if_exists = self.if_exists()?;
                let columns = self.separated(Kind::Keyword(K::And), Self::rename)?;
                TableChange::Rename { if_exists, columns }
            }
            Kind::Keyword(K::With) => {
                self.advance();
                TableChange::With(self.properties()?)
            }
            _ => return Err(self.no_alternative()),
        };
        Ok(Statement::AlterTable(AlterTable {
            name,
            if_exists,
            change,
        }))
    }

    /// `a TO b`
    pub fn rename(&mut self) -> Result<(String, String), SyntaxError> {
        let from = self.name()?;
        self.expect_keyword(K::To)?;
        Ok((from, self.name()?))
    }

    fn alter_column(&mut self) -> Result<TableChange, SyntaxError> {
        self.advance();
        let start = self.position();
        let if_exists = self.if_exists()?;
        let column = self.column()?;
        match self.kind() {
            Kind::Keyword(K::Type) if !if_exists => {
                self.advance();
                let data_type = self.data_type()?;
                Ok(TableChange::AlterType { column, data_type })
            }
            Kind::Keyword(K::Masked) => {
                let mask = Some(self.mask()?);
                Ok(TableChange::Mask {
                    if_exists,
                    column,
                    mask,
                })
            }
            Kind::Keyword(K::Drop) => {
                self.advance();
                self.expect_keyword(K::Masked)?;
                Ok(TableChange::Mask {
                    if_exists,
                    column,
                    mask: None,
                })
            }
            _ => Err(self.no_alternative_since(start)),
        }
    }

    fn add_columns(&mut self) -> Result<TableChange, SyntaxError> {
        self.advance();
        let if_not_exists = self.if_not_exists()?;
        let column = |parser: &mut Self| {
            let name = parser.name()?;
            let data_type = parser.data_type()?;
            parser.column_definition(name, data_type)
        };
        let columns = if self.accept(Kind::LeftParen) {
            let columns = self.separated(Kind::Comma, column)?;
            self.expect(Kind::RightParen)?;
            columns
        } else {
            vec![column(self)?]
        };
        Ok(TableChange::Add {
            if_not_exists,
            columns,
        })
    }

    fn drop_columns(&mut self) -> Result<TableChange, SyntaxError> {
        self.advance();
        if self.at_compact_storage() {
            self.advance();
            self.advance();
            return Ok(TableChange::DropCompactStorage);
        }
        let if_exists = self.if_exists()?;
        let columns = if self.accept(Kind::LeftParen) {
            let columns = self.separated(Kind::Comma, Self::name)?;
            self.expect(Kind::RightParen)?;
            columns
        } else {
            vec![self.name()?]
        };
        let mut timestamp = None;
        if self.accept_keyword(K::Using) {
            self.expect_keyword(K::Timestamp)?;
            timestamp = Some(self.long()?);
        }
        Ok(TableChange::Drop {
            if_exists,
            columns,
            timestamp,
        })
    }

    /// An integer of 64 bits.
    fn long(&mut self) -> Result<i64, SyntaxError> {
        if self.kind() != Kind::Integer {
            return Err(self.expected(Kind::Integer));
        }
        let digits = self.slice();
        self.advance();
        digits
            .parse()
            .map_err(|_| self.failed_parsing(&format!("For input string: \"{digits}\"")))
    }

    pub fn drop_table(&mut self) -> Result<Statement, SyntaxError> {
        self.advance();
        let if_exists = self.if_exists()?;
        let name = self.table_name()?;
        Ok(Statement::DropTable(Drop { name, if_exists }))
    }
}
