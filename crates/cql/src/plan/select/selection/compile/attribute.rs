//! `writetime`, `maxwritetime` and `ttl` of columns and their parts; what may be chosen by a key.

use super::{Compiled, Compiler};
use crate::ast::{self, CellAttribute, Selector};
use crate::frame::ColumnSpec;
use crate::plan::select::input::{AttributePart, Input, attribute_type};
use crate::plan::select::selection::choice::Choice;
use crate::plan::select::selection::expression::Expression;
use crate::plan::term::field;
use crate::plan::{column_spec, find_column, invalid, renamed};
use model::error::RequestError;
use model::types::CqlType;

impl Compiler<'_, '_> {
    pub(super) fn compile_attribute(
        &mut self,
        attribute: CellAttribute,
        column: &str,
        part: &Selector,
        name: String,
    ) -> Result<Compiled, RequestError> {
        let column = find_column(self.table, column)?.clone();
        let function = match attribute {
            CellAttribute::Writetime => "writetime",
            CellAttribute::MaxWritetime => "maxwritetime",
            CellAttribute::Ttl => "ttl",
        };
        if column.is_primary_key() {
            return Err(invalid(format!(
                "Cannot use selection function {function} on PRIMARY KEY part {}",
                column.name
            )));
        }
        let part = match part {
            Selector::Element { key, .. } => {
                let (slot, _) = self.element_types(&column.name, &column.ctype)?;
                let key = self.terms.prepare(key, &slot)?;
                self.choices.push(Choice::element(&key, &column.name));
                AttributePart::Element(key)
            }
            Selector::Slice { from, to, .. } => {
                let (slot, _) = self.element_types(&column.name, &column.ctype)?;
                let mut bound = |term: &Option<ast::Term>| {
                    term.as_ref()
                        .map(|term| self.terms.prepare(term, &slot))
                        .transpose()
                };
                let (from, to) = (bound(from)?, bound(to)?);
                let bounds = from.iter().chain(&to);
                self.choices
                    .extend(bounds.map(|bound| Choice::slice(bound, &column.name)));
                AttributePart::Slice(from, to)
            }
            Selector::Field {
                field: field_name, ..
            } => {
                let CqlType::Udt(definition, _) = &column.ctype else {
                    return Err(invalid(format!(
                        "Invalid field selection: {} of type {} is not a user type",
                        column.name, column.ctype
                    )));
                };
                let (index, _) = field(definition, field_name).ok_or_else(|| {
                    invalid(format!(
                        "{} of type {} has no field {field_name}",
                        column.name, definition.name
                    ))
                })?;
                AttributePart::Field(index)
            }
            _ => AttributePart::Whole,
        };
        let ctype = attribute_type(attribute, &column, &part);
        let index = self.input(Input::Attribute {
            attribute,
            column,
            part,
        });
        Ok(Compiled {
            expression: Expression::Input(index),
            ctype,
            name,
        })
    }

    /// The slot of a key and the type of an element of a map or set.
    pub(super) fn element_types(
        &self,
        of: &str,
        ctype: &CqlType,
    ) -> Result<(ColumnSpec, CqlType), RequestError> {
        let base = column_spec(self.table, &self.table.columns()[0]);
        match ctype {
            CqlType::Map(key, item, _) => Ok((
                renamed(&base, format!("key({of})"), key.as_ref().clone()),
                item.as_ref().clone(),
            )),
            CqlType::Set(item, _) => Ok((
                renamed(&base, format!("value({of})"), item.as_ref().clone()),
                item.as_ref().clone(),
            )),
            CqlType::List(..) => Err(invalid(format!(
                "Element selection is only allowed on sets and maps, but {of} is a list"
            ))),
            other => Err(invalid(format!(
                "Invalid element selection: {of} is of type {other} is not a collection"
            ))),
        }
    }
}
