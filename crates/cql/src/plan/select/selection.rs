//! The selectors of a SELECT: compiled to expressions over the inputs of a row, and to aggregates over the rows of a
//! group.
//!
//! A selection of plain columns, by far the most common, is written from the row's cells to the frame without an
//! expression in between.

use super::super::term::{Term, TermContext, assignable, field, sorted_map, sorted_set};
use super::super::values::{Bound, BoundValues};
use super::super::{column_spec, find_column, invalid, renamed, resolve_type};
use super::input::{AttributePart, Input, RowView, attribute_type};
use super::result_spec;
use crate::ast::{self, CellAttribute, Selector};
use crate::frame::ColumnSpec;
use crate::functions::{self, Accumulator, Aggregate, Argument, Function, Scalar};
use crate::json;
use model::error::RequestError;
use model::row::ColumnId;
use model::schema::{Column, ColumnKind, Table};
use model::types::{CqlType, Frozen};
use model::value;
use std::borrow::Cow;
use std::sync::Arc;

/// A value computed from inputs and, in a grouped SELECT, from aggregates.
#[derive(Debug, Clone)]
pub enum Expression {
    /// An input.
    Input(usize),
    /// The result of an aggregate.
    Aggregated(usize),
    /// A term of the statement.
    Term(Term),
    /// A function of values.
    Call(Scalar, Vec<Expression>),
    /// A field of a user type or tuple.
    Field(Box<Expression>, usize),
    /// An element of a map (its value) or set (the element itself, if it is there).
    Element(Box<Expression>, CqlType, Term),
    /// The elements of a map or set between two keys.
    Slice(Box<Expression>, CqlType, Option<Term>, Option<Term>),
    /// A collection, tuple or user type of values.
    Build(CqlType, Vec<Expression>),
}

/// One column of the result.
#[derive(Debug, Clone)]
pub struct Selected {
    /// Its name: the alias or the text of the selector.
    pub name: String,
    /// Its type.
    pub ctype: CqlType,
    /// How it is computed.
    pub expression: Expression,
    plain: bool,
}

/// An aggregate and what it is fed.
#[derive(Debug, Clone)]
pub struct AggregateCall {
    /// The function.
    pub aggregate: Aggregate,
    /// Its arguments.
    pub arguments: Vec<Expression>,
}

/// The compiled selectors.
#[derive(Debug)]
pub struct Selection {
    /// The result's columns.
    pub selected: Vec<Selected>,
    /// What expressions look at.
    pub inputs: Vec<Input>,
    /// What groups are folded by.
    pub aggregates: Vec<AggregateCall>,
    /// SELECT JSON: the columns become one text.
    pub json: bool,
    plain: bool,
}

impl Selection {
    /// Compiles the selectors.
    pub fn prepare(
        select: &ast::Select,
        table: &Arc<Table>,
        terms: &mut TermContext<'_>,
    ) -> Result<Self, RequestError> {
        let mut compiler = Compiler {
            table,
            terms,
            inputs: Vec::new(),
            aggregates: Vec::new(),
        };
        let mut selected = Vec::new();
        if select.selection.is_empty() {
            for column in table.columns() {
                let index = compiler.input(Input::Value(column.clone()));
                let expression = Expression::Input(index);
                selected.push(Selected {
                    name: column.name.clone(),
                    ctype: column.ctype.clone(),
                    expression,
                    plain: true,
                });
            }
        }
        for item in &select.selection {
            let compiled = compiler.compile(&item.selector)?;
            let plain = matches!(item.selector, Selector::Column(_));
            let name = item.alias.clone().unwrap_or(compiled.name);
            selected.push(Selected {
                name,
                ctype: compiled.ctype,
                expression: compiled.expression,
                plain,
            });
        }
        let plain = !select.json
            && compiler.aggregates.is_empty()
            && selected.iter().all(|selected| selected.plain);
        Ok(Self {
            selected,
            inputs: compiler.inputs,
            aggregates: compiler.aggregates,
            json: select.json,
            plain,
        })
    }

    /// Whether all that is selected are plain columns.
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// Whether rows are folded into one.
    pub fn is_aggregate(&self) -> bool {
        !self.aggregates.is_empty()
    }

    /// The columns of the result as clients are told of them.
    pub fn specs(&self, table: &Table) -> Vec<ColumnSpec> {
        if self.json {
            return vec![result_spec(table, "[json]".to_owned(), CqlType::Text)];
        }
        self.selected
            .iter()
            .map(|selected| result_spec(table, selected.name.clone(), selected.ctype.clone()))
            .collect()
    }

    /// Whether static columns are selected, and nothing else but columns of the partition key.
    pub fn selects_only_statics(&self) -> bool {
        let column = |input: &Input| match input {
            Input::Value(column) | Input::Attribute { column, .. } => column.kind,
        };
        let kinds: Vec<ColumnKind> = self.inputs.iter().map(column).collect();
        kinds.contains(&ColumnKind::Static)
            && kinds
                .iter()
                .all(|kind| matches!(kind, ColumnKind::Static | ColumnKind::PartitionKey))
    }

    /// The regular and static columns looked at.
    pub fn columns(&self) -> impl Iterator<Item = ColumnId> + '_ {
        self.inputs.iter().filter_map(|input| match input {
            Input::Value(column) | Input::Attribute { column, .. } => {
                (!column.is_primary_key()).then_some(column.id)
            }
        })
    }

    /// All columns selected, key columns included.
    pub fn selected_columns(&self, _all: bool) -> Vec<ColumnId> {
        self.inputs
            .iter()
            .map(|input| match input {
                Input::Value(column) | Input::Attribute { column, .. } => column.id,
            })
            .collect()
    }

    /// The columns, if all that is selected are plain columns in this order.
    pub fn plain_columns(&self) -> Option<Vec<&Column>> {
        if !self.plain {
            return None;
        }
        self.selected
            .iter()
            .map(|selected| match (&selected.expression, selected.plain) {
                (Expression::Input(index), true) => match &self.inputs[*index] {
                    Input::Value(column) => Some(column),
                    Input::Attribute { .. } => None,
                },
                _ => None,
            })
            .collect()
    }

    /// The result's cells of one row.
    pub fn row(
        &self,
        view: &RowView<'_>,
        values: &BoundValues<'_>,
    ) -> Result<Vec<Option<Vec<u8>>>, RequestError> {
        let inputs = view.evaluate(&self.inputs, values)?;
        self.finish(&inputs, &[], values)
    }

    /// An empty group.
    pub fn group(&self) -> Group {
        Group {
            first: None,
            states: self
                .aggregates
                .iter()
                .map(|call| Accumulator::new(&call.aggregate))
                .collect(),
        }
    }

    /// Adds a row to a group.
    pub fn add(
        &self,
        group: &mut Group,
        view: &RowView<'_>,
        values: &BoundValues<'_>,
    ) -> Result<(), RequestError> {
        let inputs = view.evaluate(&self.inputs, values)?;
        for (call, state) in self.aggregates.iter().zip(&mut group.states) {
            let arguments = call
                .arguments
                .iter()
                .map(|argument| evaluate(argument, &inputs, &[], values))
                .collect::<Result<Vec<_>, _>>()?;
            let borrowed: Vec<Option<&[u8]>> = arguments
                .iter()
                .map(|argument| argument.as_deref())
                .collect();
            state.add(&borrowed)?;
        }
        if group.first.is_none() {
            group.first = Some(
                inputs
                    .into_iter()
                    .map(|input| input.map(Cow::into_owned))
                    .collect(),
            );
        }
        Ok(())
    }

    /// The result's cells of a finished group.
    pub fn group_row(
        &self,
        group: Group,
        values: &BoundValues<'_>,
    ) -> Result<Vec<Option<Vec<u8>>>, RequestError> {
        let results = group
            .states
            .iter()
            .map(Accumulator::result)
            .collect::<Result<Vec<_>, _>>()?;
        let first = group.first.unwrap_or_else(|| vec![None; self.inputs.len()]);
        let inputs: Vec<Option<Cow<'_, [u8]>>> = first
            .iter()
            .map(|input| input.as_deref().map(Cow::Borrowed))
            .collect();
        self.finish(&inputs, &results, values)
    }

    fn finish(
        &self,
        inputs: &[Option<Cow<'_, [u8]>>],
        results: &[Option<Vec<u8>>],
        values: &BoundValues<'_>,
    ) -> Result<Vec<Option<Vec<u8>>>, RequestError> {
        let cells = self
            .selected
            .iter()
            .map(|selected| {
                Ok(evaluate(&selected.expression, inputs, results, values)?.map(Cow::into_owned))
            })
            .collect::<Result<Vec<_>, RequestError>>()?;
        if !self.json {
            return Ok(cells);
        }
        let columns = self
            .selected
            .iter()
            .map(|selected| (selected.name.as_str(), &selected.ctype));
        Ok(vec![Some(
            json::print_row(
                columns
                    .zip(&cells)
                    .map(|((name, ctype), cell)| (name, ctype, cell.as_deref())),
            )
            .into_bytes(),
        )])
    }
}

/// Rows of one group, folded.
#[derive(Debug)]
pub struct Group {
    /// The inputs of its first row: what selectors outside aggregates show.
    first: Option<Vec<Option<Vec<u8>>>>,
    states: Vec<Accumulator>,
}

impl Group {
    /// Whether no row was added.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

type Value<'a> = Option<Cow<'a, [u8]>>;

fn evaluate<'a>(
    expression: &'a Expression,
    inputs: &'a [Value<'_>],
    results: &'a [Option<Vec<u8>>],
    values: &BoundValues<'_>,
) -> Result<Value<'a>, RequestError> {
    let again = |inner: &'a Expression| evaluate(inner, inputs, results, values);
    Ok(match expression {
        Expression::Input(index) => inputs[*index].as_deref().map(Cow::Borrowed),
        Expression::Aggregated(index) => results[*index].as_deref().map(Cow::Borrowed),
        Expression::Term(term) => term_value(term, values)?.map(Cow::Owned),
        Expression::Call(scalar, arguments) => {
            let arguments = arguments.iter().map(again).collect::<Result<Vec<_>, _>>()?;
            let borrowed: Vec<Option<&[u8]>> = arguments
                .iter()
                .map(|argument| argument.as_deref())
                .collect();
            scalar.call(&borrowed, &values.context)?.map(Cow::Owned)
        }
        Expression::Field(of, index) => again(of)?.and_then(|bytes| {
            value::fields(&bytes)
                .nth(*index)
                .flatten()
                .map(|field| Cow::Owned(field.to_vec()))
        }),
        Expression::Element(of, ctype, key) => match (again(of)?, term_value(key, values)?) {
            (Some(bytes), Some(key)) => element(ctype, &bytes, &key).map(Cow::Owned),
            _ => None,
        },
        Expression::Slice(of, ctype, from, to) => {
            let bound = |term: &Option<Term>| {
                term.as_ref()
                    .map(|term| term_value(term, values))
                    .transpose()
                    .map(Option::flatten)
            };
            let (from, to) = (bound(from)?, bound(to)?);
            again(of)?
                .map(|bytes| slice(ctype, &bytes, from.as_deref(), to.as_deref()))
                .filter(|kept| !ctype.is_multi_cell() || value::element_count(kept) > 0)
                .map(Cow::Owned)
        }
        Expression::Build(ctype, parts) => {
            let parts = parts.iter().map(again).collect::<Result<Vec<_>, _>>()?;
            Some(Cow::Owned(build(ctype, parts)?))
        }
    })
}

fn term_value(term: &Term, values: &BoundValues<'_>) -> Result<Option<Vec<u8>>, RequestError> {
    match term.evaluate(values)? {
        Bound::Value(bytes) => Ok(Some(bytes.into_owned())),
        Bound::Null => Ok(None),
        Bound::Unset => Err(invalid("Invalid unset value in selection clause")),
    }
}

fn element(ctype: &CqlType, bytes: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    match ctype {
        CqlType::Set(item, _) => value::elements(bytes)
            .flatten()
            .find(|found| value::compare(item, found, key).is_eq())
            .map(<[u8]>::to_vec),
        CqlType::Map(key_type, _, _) => {
            let parts: Vec<&[u8]> = value::elements_of(bytes, 2).flatten().collect();
            parts
                .chunks_exact(2)
                .find(|pair| value::compare(key_type, pair[0], key).is_eq())
                .map(|pair| pair[1].to_vec())
        }
        _ => None,
    }
}

fn slice(ctype: &CqlType, bytes: &[u8], from: Option<&[u8]>, to: Option<&[u8]>) -> Vec<u8> {
    let (key, width) = match ctype {
        CqlType::Set(item, _) => (item, 1),
        CqlType::Map(key, _, _) => (key, 2),
        _ => return bytes.to_vec(),
    };
    let parts: Vec<&[u8]> = value::elements_of(bytes, width).flatten().collect();
    let inside = |item: &[u8]| {
        from.is_none_or(|from| value::compare(key, item, from).is_ge())
            && to.is_none_or(|to| value::compare(key, item, to).is_le())
    };
    let kept: Vec<&[u8]> = parts
        .chunks_exact(width)
        .filter(|entry| inside(entry[0]))
        .flatten()
        .copied()
        .collect();
    value::join_collection(kept.len() / width, kept.into_iter())
}

fn build(ctype: &CqlType, parts: Vec<Value<'_>>) -> Result<Vec<u8>, RequestError> {
    let element = |part: Value<'static>| {
        part.ok_or_else(|| invalid("null is not supported inside collections"))
    };
    let owned: Vec<Value<'static>> = parts
        .into_iter()
        .map(|part| part.map(|bytes| Cow::Owned(bytes.into_owned())))
        .collect();
    Ok(match ctype {
        CqlType::Tuple(_) | CqlType::Udt(..) => {
            let mut out = Vec::new();
            owned
                .iter()
                .for_each(|part| value::put_field(&mut out, part.as_deref()));
            out
        }
        CqlType::Set(item, _) => sorted_set(
            item,
            owned.into_iter().map(element).collect::<Result<_, _>>()?,
        ),
        CqlType::Map(key, _, _) => {
            let flat = owned
                .into_iter()
                .map(element)
                .collect::<Result<Vec<_>, _>>()?;
            let mut entries = Vec::with_capacity(flat.len() / 2);
            let mut flat = flat.into_iter();
            while let (Some(left), Some(right)) = (flat.next(), flat.next()) {
                entries.push((left, right));
            }
            sorted_map(key, entries)
        }
        CqlType::Vector(item, _) => {
            let items = owned
                .into_iter()
                .map(|part| element(part).map(Cow::into_owned))
                .collect::<Result<Vec<_>, _>>()?;
            value::join_vector(item, &items)
        }
        _ => {
            let items = owned
                .into_iter()
                .map(element)
                .collect::<Result<Vec<_>, _>>()?;
            value::join_collection(items.len(), items.iter().map(AsRef::as_ref))
        }
    })
}

struct Compiled {
    expression: Expression,
    ctype: CqlType,
    name: String,
}

struct Compiler<'a, 'b> {
    table: &'a Arc<Table>,
    terms: &'a mut TermContext<'b>,
    inputs: Vec<Input>,
    aggregates: Vec<AggregateCall>,
}

impl Compiler<'_, '_> {
    fn input(&mut self, input: Input) -> usize {
        if let Input::Value(column) = &input
            && let Some(index) = self
                .inputs
                .iter()
                .position(|known| matches!(known, Input::Value(other) if other.id == column.id))
        {
            return index;
        }
        self.inputs.push(input);
        self.inputs.len() - 1
    }

    fn compile(&mut self, selector: &Selector) -> Result<Compiled, RequestError> {
        let name = selector.to_string();
        match selector {
            Selector::Column(column) => {
                let column = find_column(self.table, column)?.clone();
                let (ctype, name) = (column.ctype.clone(), column.name.clone());
                Ok(Compiled {
                    expression: Expression::Input(self.input(Input::Value(column))),
                    ctype,
                    name,
                })
            }
            Selector::Term(term) => self.compile_term(term, None),
            Selector::CountRows => {
                let aggregate = functions::count_rows();
                Ok(self.aggregated(aggregate, Vec::new(), "count".to_owned()))
            }
            Selector::Attribute {
                attribute,
                column,
                part,
            } => self.compile_attribute(*attribute, column, part, name),
            Selector::Cast {
                selector: inner,
                target,
            } => {
                let compiled = self.compile(inner)?;
                let described = Argument::typed(compiled.name.clone(), compiled.ctype.clone());
                let Some(scalar) = functions::cast(&described, *target)? else {
                    return Ok(compiled);
                };
                let name = scalar.column_name(std::slice::from_ref(&compiled.name));
                let ctype = scalar.return_type().clone();
                Ok(Compiled {
                    expression: Expression::Call(scalar, vec![compiled.expression]),
                    ctype,
                    name,
                })
            }
            Selector::Call(call) => self.compile_function(&call.function, &call.arguments),
            Selector::TypeHint {
                target,
                selector: inner,
            } => {
                let ctype = resolve_type(target, self.terms.keyspace, &self.terms.catalog)?;
                let compiled = self.compile_as(inner, &ctype)?;
                if !assignable(&ctype, &compiled.ctype) {
                    return Err(invalid(format!(
                        "Cannot assign value {inner} to {name} of type {ctype}"
                    )));
                }
                Ok(Compiled {
                    ctype,
                    name,
                    ..compiled
                })
            }
            Selector::Tuple(items) | Selector::List(items) | Selector::Set(items) => {
                self.compile_items(selector, items, name)
            }
            Selector::Map(_) => Err(cannot_infer(selector)),
            Selector::Field {
                of,
                field: field_name,
            } => {
                let compiled = self.compile(of)?;
                let CqlType::Udt(definition, _) = &compiled.ctype else {
                    return Err(invalid(format!(
                        "Invalid field selection: {} of type {} is not a user type",
                        of, compiled.ctype
                    )));
                };
                let (index, ctype) = field(definition, field_name).ok_or_else(|| {
                    invalid(format!(
                        "{of} of type {} has no field {field_name}",
                        definition.name
                    ))
                })?;
                let ctype = ctype.clone();
                Ok(Compiled {
                    expression: Expression::Field(Box::new(compiled.expression), index),
                    ctype,
                    name,
                })
            }
            Selector::Element { of, key } => {
                let compiled = self.compile(of)?;
                let (slot, result) = self.element_types(of, &compiled.ctype)?;
                let key = self.terms.prepare(key, &slot)?;
                let expression =
                    Expression::Element(Box::new(compiled.expression), compiled.ctype, key);
                Ok(Compiled {
                    expression,
                    ctype: result,
                    name,
                })
            }
            Selector::Slice { of, from, to } => {
                let compiled = self.compile(of)?;
                let (slot, _) = self.element_types(of, &compiled.ctype)?;
                let mut bound = |term: &Option<ast::Term>| {
                    term.as_ref()
                        .map(|term| self.terms.prepare(term, &slot))
                        .transpose()
                };
                let (from, to) = (bound(from)?, bound(to)?);
                let ctype = compiled.ctype.clone();
                Ok(Compiled {
                    expression: Expression::Slice(
                        Box::new(compiled.expression),
                        compiled.ctype,
                        from,
                        to,
                    ),
                    ctype,
                    name,
                })
            }
            Selector::Binary(binary) => {
                let arguments = [binary.left.clone(), binary.right.clone()];
                self.compile_function(&functions::operator_name(binary.operator), &arguments)
            }
            Selector::Negate(inner) => self.compile_function(
                &functions::negation_name(),
                std::slice::from_ref(inner.as_ref()),
            ),
        }
    }

    /// Compiles a selector that is to give a value of a type: what a type hint asks of literals.
    fn compile_as(
        &mut self,
        selector: &Selector,
        ctype: &CqlType,
    ) -> Result<Compiled, RequestError> {
        let name = selector.to_string();
        let build = |parts: Vec<Compiled>| Compiled {
            expression: Expression::Build(
                ctype.clone(),
                parts.into_iter().map(|part| part.expression).collect(),
            ),
            ctype: ctype.clone(),
            name: name.clone(),
        };
        match (selector, ctype) {
            (Selector::Term(term), _) => self.compile_term(term, Some(ctype)),
            (Selector::Tuple(items), CqlType::Tuple(types)) if items.len() <= types.len() => {
                Ok(build(
                    items
                        .iter()
                        .zip(types.iter())
                        .map(|(item, part)| self.compile_as(item, part))
                        .collect::<Result<_, _>>()?,
                ))
            }
            (Selector::List(items), CqlType::List(item, _) | CqlType::Vector(item, _))
            | (Selector::Set(items), CqlType::Set(item, _)) => Ok(build(
                items
                    .iter()
                    .map(|part| self.compile_as(part, item))
                    .collect::<Result<_, _>>()?,
            )),
            (Selector::Set(items), CqlType::Map(..)) if items.is_empty() => Ok(build(Vec::new())),
            (Selector::Map(entries), CqlType::Map(key, item, _)) => {
                let mut parts = Vec::with_capacity(entries.len() * 2);
                for (left, right) in entries {
                    parts.push(self.compile_as(left, key)?);
                    parts.push(self.compile_as(right, item)?);
                }
                Ok(build(parts))
            }
            _ => self.compile(selector),
        }
    }

    fn compile_term(
        &mut self,
        term: &ast::Term,
        ctype: Option<&CqlType>,
    ) -> Result<Compiled, RequestError> {
        let name = term.to_string();
        let ctype = match ctype {
            Some(ctype) => ctype.clone(),
            None => match term {
                ast::Term::Literal(_) | ast::Term::Null | ast::Term::Marker(_) => {
                    return Err(invalid(format!("Cannot infer type for term {term} in selection clause (try using a cast to force a type)")));
                }
                other => self
                    .terms
                    .infer(other)?
                    .ok_or_else(|| invalid(format!("Cannot infer type for term {term} in selection clause (try using a cast to force a type)")))?,
            },
        };
        let slot = renamed(
            &column_spec(self.table, &self.table.columns()[0]),
            "[selection]".to_owned(),
            ctype.clone(),
        );
        let prepared = self.terms.prepare(term, &slot)?;
        Ok(Compiled {
            expression: Expression::Term(prepared),
            ctype,
            name,
        })
    }

    fn compile_items(
        &mut self,
        selector: &Selector,
        items: &[Selector],
        name: String,
    ) -> Result<Compiled, RequestError> {
        if let (Selector::Tuple(_), [_]) = (selector, items) {
            return Err(cannot_infer(selector));
        }
        let parts = items
            .iter()
            .map(|item| self.compile(item))
            .collect::<Result<Vec<_>, _>>()?;
        let ctype = match selector {
            Selector::Tuple(_) => {
                CqlType::Tuple(parts.iter().map(|part| part.ctype.clone()).collect())
            }
            _ => {
                let first = parts
                    .first()
                    .ok_or_else(|| cannot_infer(selector))?
                    .ctype
                    .clone();
                if parts.iter().any(|part| !assignable(&first, &part.ctype)) {
                    return Err(cannot_infer(selector));
                }
                match selector {
                    Selector::List(_) => CqlType::List(Arc::new(first), Frozen::Yes),
                    _ => CqlType::Set(Arc::new(first), Frozen::Yes),
                }
            }
        };
        let expression = Expression::Build(
            ctype.clone(),
            parts.into_iter().map(|part| part.expression).collect(),
        );
        Ok(Compiled {
            expression,
            ctype,
            name,
        })
    }

    fn compile_attribute(
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
            Selector::Element { of, key } => {
                let (slot, _) = self.element_types(of, &column.ctype)?;
                AttributePart::Element(self.terms.prepare(key, &slot)?)
            }
            Selector::Slice { of, from, to } => {
                let (slot, _) = self.element_types(of, &column.ctype)?;
                let mut bound = |term: &Option<ast::Term>| {
                    term.as_ref()
                        .map(|term| self.terms.prepare(term, &slot))
                        .transpose()
                };
                AttributePart::Slice(bound(from)?, bound(to)?)
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
    fn element_types(
        &self,
        of: &Selector,
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

    fn describe_literal(&mut self, selector: &Selector) -> Result<Argument, RequestError> {
        let text = selector.to_string();
        match selector {
            Selector::Term(term) => self.terms.describe(term),
            Selector::List(items) | Selector::Set(items) => {
                let elements = items
                    .iter()
                    .map(|item| self.describe_literal(item))
                    .collect::<Result<Vec<_>, _>>()?;
                Ok(match selector {
                    Selector::List(_) => Argument::list(text, elements),
                    _ => Argument::set(text, elements),
                })
            }
            _ => unreachable!("checked to be literals"),
        }
    }

    fn aggregated(
        &mut self,
        aggregate: Aggregate,
        arguments: Vec<Expression>,
        name: String,
    ) -> Compiled {
        let ctype = aggregate.return_type().clone();
        self.aggregates.push(AggregateCall {
            aggregate,
            arguments,
        });
        Compiled {
            expression: Expression::Aggregated(self.aggregates.len() - 1),
            ctype,
            name,
        }
    }

    fn compile_function(
        &mut self,
        function: &ast::QualifiedName,
        arguments: &[Selector],
    ) -> Result<Compiled, RequestError> {
        let native = function
            .keyspace
            .as_deref()
            .is_none_or(|keyspace| keyspace == functions::SYSTEM);
        if let (true, "count", [Selector::Term(ast::Term::Literal(_))]) =
            (native, function.name.as_str(), arguments)
        {
            return Ok(self.aggregated(functions::count_rows(), Vec::new(), "count".to_owned()));
        }
        let aggregates_before = self.aggregates.len();
        let mut parts: Vec<Option<Compiled>> = Vec::with_capacity(arguments.len());
        let mut described = Vec::with_capacity(arguments.len());
        for argument in arguments {
            match argument {
                // A literal or marker takes its type from the function.
                Selector::Term(
                    term @ (ast::Term::Literal(_) | ast::Term::Null | ast::Term::Marker(_)),
                ) => {
                    described.push(self.terms.describe(term)?);
                    parts.push(None);
                }
                // So do the elements of a collection of literals.
                Selector::List(_) | Selector::Set(_) if is_literal(argument) => {
                    described.push(self.describe_literal(argument)?);
                    parts.push(None);
                }
                // Parentheses around an operand are no tuple.
                Selector::Tuple(items) if items.len() == 1 => {
                    let compiled = self.compile(&items[0])?;
                    described.push(Argument::typed(
                        compiled.name.clone(),
                        compiled.ctype.clone(),
                    ));
                    parts.push(Some(compiled));
                }
                other => {
                    let compiled = self.compile(other)?;
                    described.push(Argument::typed(
                        compiled.name.clone(),
                        compiled.ctype.clone(),
                    ));
                    parts.push(Some(compiled));
                }
            }
        }
        let types = |column: &Column| column.ctype.clone();
        let resolved = if function.name == "token"
            && function
                .keyspace
                .as_deref()
                .is_none_or(|keyspace| keyspace == functions::SYSTEM)
        {
            let scalar = functions::token(self.table.partition_key().iter().map(types).collect());
            if scalar.argument_types().len() != arguments.len() {
                return Err(invalid(format!(
                    "Invalid number of arguments in call to function system.token: {} required but {} provided",
                    scalar.argument_types().len(),
                    arguments.len()
                )));
            }
            Function::Scalar(scalar)
        } else {
            functions::resolve(function, &described, self.terms.keyspace)?
        };
        if matches!(resolved, Function::Aggregate(_)) && self.aggregates.len() > aggregates_before {
            return Err(invalid(
                "aggregate functions cannot be used as arguments of aggregate functions",
            ));
        }
        let mut names = Vec::with_capacity(parts.len());
        let mut expressions = Vec::with_capacity(parts.len());
        for (index, (part, argument)) in parts.into_iter().zip(arguments).enumerate() {
            let compiled = match (part, argument) {
                (Some(compiled), _) => compiled,
                (None, Selector::Term(term)) => {
                    self.compile_term(term, Some(&resolved.argument_types()[index].clone()))?
                }
                (None, other) => {
                    let ctype = resolved.argument_types()[index].clone();
                    self.compile_as(other, &ctype)?
                }
            };
            names.push(compiled.name);
            expressions.push(compiled.expression);
        }
        match resolved {
            Function::Aggregate(aggregate) => {
                let name = aggregate.column_name(&names);
                Ok(self.aggregated(aggregate, expressions, name))
            }
            Function::Scalar(scalar) => {
                let (name, ctype) = (scalar.column_name(&names), scalar.return_type().clone());
                Ok(Compiled {
                    expression: Expression::Call(scalar, expressions),
                    ctype,
                    name,
                })
            }
        }
    }
}

fn cannot_infer(selector: &Selector) -> RequestError {
    invalid(format!(
        "Cannot infer type for term {selector} in selection clause (try using a cast to force a type)"
    ))
}

/// Whether a selector is a collection of literals, whose type only its place can tell.
fn is_literal(selector: &Selector) -> bool {
    match selector {
        Selector::Term(_) => true,
        Selector::List(items) | Selector::Set(items) => items.iter().all(is_literal),
        _ => false,
    }
}
