//! Relations over several clustering columns at once: `(a, b) > (1, 2)`, `(a, b) IN ((1, 2), (3, 4))`.
//!
//! The columns stand next to one another in the primary key, in its order; their values are one tuple, written out or
//! bound whole.

use super::{Gatherer, Nulls, operator_text, refuse_null, slice};
use crate::ast;
use crate::frame::ColumnSpec;
use crate::plan::restrictions::{InTerms, Restriction, TupleTerm};
use crate::plan::term::Term;
use crate::plan::{column_spec, find_column, invalid, renamed};
use model::error::RequestError;
use model::schema::{Column, ColumnKind};
use model::types::CqlType;

impl Gatherer<'_, '_> {
    /// The clustering columns of a multi-column relation: adjacent, in order, none twice.
    fn tuple_columns(
        &self,
        relation: &ast::Relation,
        names: &[String],
    ) -> Result<Vec<Column>, RequestError> {
        let mut columns: Vec<Column> = Vec::with_capacity(names.len());
        for name in names {
            let column = find_column(self.table, name)?;
            if column.kind != ColumnKind::Clustering {
                return Err(invalid(format!(
                    "Multi-column relations can only be applied to clustering columns but was applied to: {name}"
                )));
            }
            if columns.iter().any(|other| other.name == *name) {
                return Err(invalid(format!(
                    "Column \"{name}\" appeared twice in a relation: {relation}"
                )));
            }
            if columns
                .last()
                .is_some_and(|before| column.position != before.position + 1)
            {
                return Err(invalid(format!(
                    "Clustering columns must appear in the PRIMARY KEY order in multi-column relations: {relation}"
                )));
            }
            columns.push(column.clone());
        }
        Ok(columns)
    }

    pub(super) fn tuple(
        &mut self,
        relation: &ast::Relation,
        names: &[String],
        operator: ast::Operator,
        value: &ast::Term,
    ) -> Result<(), RequestError> {
        let columns = self.tuple_columns(relation, names)?;
        let term = self.tuple_term(&columns, value)?;
        let restriction = match operator {
            ast::Operator::Equal => Restriction::Equal(term),
            ast::Operator::Less
            | ast::Operator::LessOrEqual
            | ast::Operator::Greater
            | ast::Operator::GreaterOrEqual => slice(operator, term),
            _ => {
                return Err(invalid(format!(
                    "{} cannot be used for multi-column relations",
                    operator_text(operator)
                )));
            }
        };
        self.restrict_clustering(columns[0].position, columns.len(), restriction)
    }

    fn tuple_term(
        &mut self,
        columns: &[Column],
        value: &ast::Term,
    ) -> Result<TupleTerm, RequestError> {
        match value {
            ast::Term::Tuple(items) => {
                if items.len() != columns.len() {
                    return Err(invalid(format!(
                        "Expected {} elements in value tuple, but got {}: {value}",
                        columns.len(),
                        items.len()
                    )));
                }
                let terms = columns.iter().zip(items).map(|(column, item)| {
                    let term = self.terms.prepare(item, &column_spec(self.table, column))?;
                    refuse_null(column, &term).map(|()| term)
                });
                Ok(TupleTerm::Terms(terms.collect::<Result<_, _>>()?))
            }
            ast::Term::Marker(_) => {
                let slot = self.tuple_slot(columns);
                Ok(TupleTerm::Marker(self.terms.prepare(value, &slot)?))
            }
            single if columns.len() == 1 => Ok(TupleTerm::Terms(vec![
                self.terms
                    .prepare(single, &column_spec(self.table, &columns[0]))?,
            ])),
            other => Err(invalid(format!(
                "Expected {} elements in value tuple, but got 1: {other}",
                columns.len()
            ))),
        }
    }

    fn tuple_slot(&self, columns: &[Column]) -> ColumnSpec {
        let spec = column_spec(self.table, &columns[0]);
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let types = columns.iter().map(|column| column.ctype.clone()).collect();
        renamed(
            &spec,
            format!("({})", names.join(",")),
            CqlType::Tuple(types),
        )
    }

    pub(super) fn tuple_in(
        &mut self,
        relation: &ast::Relation,
        names: &[String],
        values: &ast::InValues,
    ) -> Result<(), RequestError> {
        // IN of one tuple is `=`.
        if let ast::InValues::List(items) = values
            && let [only] = items.as_slice()
        {
            return self.tuple(relation, names, ast::Operator::Equal, only);
        }
        let columns = self.tuple_columns(relation, names)?;
        let slot = self.tuple_slot(&columns);
        let terms = match values {
            ast::InValues::List(items) => {
                let mut terms = Vec::with_capacity(items.len());
                for item in items {
                    match self.tuple_term(&columns, item)? {
                        TupleTerm::Terms(parts) => {
                            terms.push(Term::Fields(slot.cql_type.clone(), parts))
                        }
                        TupleTerm::Marker(marker) => terms.push(marker),
                    }
                }
                InTerms::List(terms)
            }
            marker @ ast::InValues::Marker(_) => {
                let plain = slot.name.trim_matches(['(', ')']).to_owned();
                let spec = renamed(&slot, plain, slot.cql_type.clone());
                self.in_terms(marker, &spec, Nulls::Refused)?
            }
        };
        let terms = if columns.len() == 1 {
            single_in(terms)
        } else {
            terms
        };
        self.restrict_clustering(columns[0].position, columns.len(), Restriction::In(terms))
    }
}

/// The elements of an IN over one column written as tuples of one.
fn single_in(terms: InTerms) -> InTerms {
    match terms {
        InTerms::List(items) => InTerms::List(
            items
                .into_iter()
                .map(|item| match item {
                    Term::Fields(_, mut parts) if parts.len() == 1 => parts.remove(0),
                    other => other,
                })
                .collect(),
        ),
        marker @ InTerms::Marker(..) => marker,
    }
}
