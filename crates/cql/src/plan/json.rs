//! INSERT JSON: one text in place of a list of columns and values.
//!
//! To the rest of planning the columns are markers numbered from [`FIRST`]; each execution parses its text once and
//! binds them.

use super::term::{Term, TermContext};
use super::values::{Bound, BoundValues};
use super::{invalid, renamed};
use crate::ast::{self, JsonMissing};
use crate::frame::ColumnSpec;
use crate::json::{self, Cell};
use model::error::RequestError;
use model::schema::Table;
use model::types::CqlType;
use std::sync::Arc;

/// Number of the first marker that stands for a column of a JSON text; no statement has so many of its own.
pub const FIRST: usize = 1 << 20;

/// The JSON text of an INSERT.
#[derive(Debug, Clone)]
pub struct JsonInsert {
    text: Term,
    missing: JsonMissing,
    table: Arc<Table>,
}

impl JsonInsert {
    /// Prepares the text.
    pub fn prepare(
        value: &ast::Term,
        missing: JsonMissing,
        table: &Arc<Table>,
        terms: &mut TermContext<'_>,
    ) -> Result<Self, RequestError> {
        let base = ColumnSpec {
            keyspace: table.keyspace.as_str().into(),
            table: table.name.as_str().into(),
            name: "[json]".into(),
            cql_type: CqlType::Text,
        };
        let text = terms.prepare(value, &renamed(&base, "[json]".into(), CqlType::Text))?;
        Ok(Self {
            text,
            missing,
            table: table.clone(),
        })
    }

    /// The columns of the table and the markers that stand for their values.
    pub fn as_values(&self) -> (Vec<String>, Vec<ast::Term>) {
        let marker = |index| {
            ast::Term::Marker(ast::Marker {
                index: FIRST + index,
                name: None,
            })
        };
        self.table
            .columns()
            .iter()
            .enumerate()
            .map(|(index, column)| (column.name.clone(), marker(index)))
            .unzip()
    }

    /// The values of one execution, by column.
    pub fn parse(&self, values: &BoundValues<'_>) -> Result<Vec<Cell>, RequestError> {
        let text = match self.text.evaluate(values)? {
            Bound::Value(bytes) => bytes,
            Bound::Null => return Err(invalid("Got null for INSERT JSON values")),
            Bound::Unset => return Err(invalid("Got unset for INSERT JSON values")),
        };
        let text = std::str::from_utf8(&text)
            .map_err(|_| invalid("Could not decode JSON string as a map: not UTF-8"))?;
        let columns: Vec<(&str, &CqlType)> = self
            .table
            .columns()
            .iter()
            .map(|column| (column.name.as_str(), &column.ctype))
            .collect();
        json::parse_row(text, &columns)
    }

    /// The execution's values with those of the text behind the columns' markers.
    pub fn extended<'a>(&self, values: &BoundValues<'a>, parsed: &'a [Cell]) -> BoundValues<'a> {
        let mut extended = values.clone();
        extended.set_columns(parsed.iter().map(|value| match (value, self.missing) {
            (Cell::Missing, JsonMissing::Unset) => Bound::Unset,
            (Cell::Missing, JsonMissing::Null) | (Cell::Null, _) => Bound::Null,
            (Cell::Value(bytes), _) => Bound::Value(bytes.as_slice().into()),
        }));
        extended
    }
}
