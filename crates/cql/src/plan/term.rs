//! Terms: checked against the type that is to receive them when a statement is prepared, evaluated when it runs.
//!
//! A term without markers or calls is folded to its bytes at once, so executing a prepared statement touches only what
//! the client bound. Evaluation borrows bound values from the frame.

mod evaluate;
mod fits;

use evaluate::fold;
pub use evaluate::{field, sorted_map, sorted_set};

use super::literal;
use super::{Catalog, invalid, named, renamed, resolve_type};
use crate::ast;
use crate::frame::ColumnSpec;
use crate::functions::{self, Argument, Assignment, CallSite, Scalar};
use model::error::RequestError;
use model::schema::Table;
use model::types::CqlType;
use std::collections::BTreeMap;

/// A prepared term.
#[derive(Debug, Clone)]
pub enum Term {
    /// Always these bytes.
    Constant(Vec<u8>),
    /// Always null.
    Null,
    /// What the client binds at the index, checked against the type.
    Marker(usize, CqlType),
    /// A list or set of elements.
    Sequence(CqlType, Vec<Term>),
    /// A map of entries.
    Map(CqlType, Vec<(Term, Term)>),
    /// A tuple or the fields of a user type, in order.
    Fields(CqlType, Vec<Term>),
    /// A vector of elements.
    Vector(CqlType, Vec<Term>),
    /// A function of terms.
    Call(Scalar, Vec<Term>),
}

/// Where terms are prepared: names to resolve and the markers met so far.
pub struct TermContext<'a> {
    /// Types and functions by name.
    pub catalog: Catalog<'a>,
    /// The keyspace whose types and functions unqualified names mean.
    pub keyspace: &'a str,
    /// Types of the partition key of the statement's table: what `token()` takes.
    pub partition_key: Vec<CqlType>,
    /// The specification of each marker met, by index.
    pub markers: BTreeMap<usize, ColumnSpec>,
    /// The partition key's columns, and of each the last marker met that stands for a value of it.
    pub key_markers: Vec<(String, Option<usize>)>,
    /// Where the last call whose result is not determined by its arguments stands.
    pub last_site: CallSite,
}

impl<'a> TermContext<'a> {
    /// Prepares terms of a statement about a table from here on.
    pub fn enter(&mut self, table: &'a Table) {
        self.keyspace = &table.keyspace;
        self.partition_key = table
            .partition_key()
            .iter()
            .map(|column| column.ctype.clone())
            .collect();
        if self.key_markers.is_empty() {
            let names = table.partition_key().iter();
            self.key_markers = names.map(|column| (column.name.clone(), None)).collect();
        }
    }
}

impl TermContext<'_> {
    /// Prepares `term` for `receiver`.
    pub fn prepare(
        &mut self,
        term: &ast::Term,
        receiver: &ColumnSpec,
    ) -> Result<Term, RequestError> {
        let prepared = match term {
            ast::Term::Null => Ok(Term::Null),
            ast::Term::Marker(marker) => {
                let key = self.key_markers.iter_mut();
                for (name, last) in key {
                    if **name == *receiver.name && marker.index < super::json::FIRST {
                        *last = Some(marker.index);
                    }
                }
                self.markers
                    .insert(marker.index, named(receiver, marker.name.as_deref()));
                Ok(Term::Marker(marker.index, receiver.cql_type.clone()))
            }
            // A constant alone may be the first component of a tuple, as in Cassandra.
            ast::Term::Literal(_) if matches!(receiver.cql_type, CqlType::Tuple(_)) => {
                self.prepare_tuple(std::slice::from_ref(term), receiver)
            }
            // 'now' is the time of execution; Cassandra fixes it when the statement is prepared.
            ast::Term::Literal(constant)
                if receiver.cql_type == CqlType::Timestamp
                    && constant.text.eq_ignore_ascii_case("now") =>
            {
                let name = ast::QualifiedName {
                    keyspace: None,
                    name: "current_timestamp".to_owned(),
                };
                let scalar = functions::resolve_scalar(&name, &[], None, self.keyspace)?;
                Ok(Term::Call(scalar, Vec::new()))
            }
            ast::Term::Literal(constant) => prepare_literal(constant, receiver),
            ast::Term::List(items) => self.prepare_list(term, items, receiver),
            ast::Term::Set(items) => self.prepare_set(items, receiver),
            ast::Term::Map(entries) => self.prepare_map(term, entries, receiver),
            ast::Term::UserType(fields) => self.prepare_user_type(fields, receiver),
            ast::Term::Tuple(items) => self.prepare_tuple(items, receiver),
            ast::Term::TypeHint {
                target,
                term: inner,
            } => {
                let target = resolve_type(target, self.keyspace, &self.catalog)?;
                let frozen_alike = target.is_multi_cell() == receiver.cql_type.is_multi_cell();
                if !frozen_alike || !assignable(&receiver.cql_type, &target) {
                    return Err(invalid(format!(
                        "Cannot assign value {term} to {} of type {}",
                        receiver.name, receiver.cql_type
                    )));
                }
                // The hint chooses among functions; what is written is read as the receiver's type.
                self.prepare(inner, receiver)
            }
            ast::Term::Cast { .. }
            | ast::Term::Call(_)
            | ast::Term::Binary(_)
            | ast::Term::Negate(_) => self.prepare_call(term, receiver),
        }?;
        fold(prepared)
    }

    fn prepare_list(
        &mut self,
        term: &ast::Term,
        items: &[ast::Term],
        receiver: &ColumnSpec,
    ) -> Result<Term, RequestError> {
        match &receiver.cql_type {
            CqlType::List(element, _) => {
                let slot = renamed(
                    receiver,
                    format!("value({})", receiver.name),
                    element.as_ref().clone(),
                );
                let items = self.prepare_elements(items, &slot, |item| {
                    format!(
                        "Invalid list literal for {}: value {item} is not of type {element}",
                        receiver.name
                    )
                })?;
                Ok(Term::Sequence(receiver.cql_type.clone(), items))
            }
            CqlType::Vector(element, dimension) => {
                if items.len() != *dimension as usize {
                    return Err(invalid(format!(
                        "Invalid vector literal for {} of type {}; expected {dimension} elements, but given {}",
                        receiver.name,
                        receiver.cql_type,
                        items.len()
                    )));
                }
                let slot = renamed(
                    receiver,
                    format!("value({})", receiver.name),
                    element.as_ref().clone(),
                );
                let items = self.prepare_items(items, &slot, |item| {
                    format!(
                        "Invalid vector literal for {}: value {item} is not of type {element}",
                        receiver.name
                    )
                })?;
                Ok(Term::Vector(receiver.cql_type.clone(), items))
            }
            other if other.is_collection() => {
                let _ = term;
                Err(invalid(format!(
                    "Unexpected receiver type '{other}'; only list and vector are expected"
                )))
            }
            other => Err(invalid(format!(
                "Invalid list literal for {} of type {other}",
                receiver.name
            ))),
        }
    }

    /// Elements of a collection literal: null is refused, and a wrong element is told of in the collection's words.
    fn prepare_items(
        &mut self,
        items: &[ast::Term],
        slot: &ColumnSpec,
        wrong: impl Fn(&ast::Term) -> String,
    ) -> Result<Vec<Term>, RequestError> {
        items
            .iter()
            .map(|item| {
                if *item == ast::Term::Null {
                    return Err(invalid("null is not supported inside collections"));
                }
                if !self.may_be(item, &slot.cql_type) {
                    return Err(invalid(wrong(item)));
                }
                self.prepare(item, slot)
            })
            .collect()
    }

    /// A collection's elements, none of which may be bound alone.
    fn prepare_elements(
        &mut self,
        items: &[ast::Term],
        slot: &ColumnSpec,
        wrong: impl Fn(&ast::Term) -> String,
    ) -> Result<Vec<Term>, RequestError> {
        items
            .iter()
            .try_for_each(|item| refuse_marker(item, slot))?;
        self.prepare_items(items, slot, wrong)
    }

    fn prepare_set(
        &mut self,
        items: &[ast::Term],
        receiver: &ColumnSpec,
    ) -> Result<Term, RequestError> {
        match &receiver.cql_type {
            CqlType::Set(element, _) => {
                let slot = renamed(
                    receiver,
                    format!("value({})", receiver.name),
                    element.as_ref().clone(),
                );
                let items = self.prepare_elements(items, &slot, |item| {
                    format!(
                        "Invalid set literal for {}: value {item} is not of type {element}",
                        receiver.name
                    )
                })?;
                Ok(Term::Sequence(receiver.cql_type.clone(), items))
            }
            // An empty pair of braces is an empty map as well.
            CqlType::Map(..) if items.is_empty() => {
                Ok(Term::Map(receiver.cql_type.clone(), Vec::new()))
            }
            other => Err(invalid(format!(
                "Invalid set literal for {} of type {other}",
                receiver.name
            ))),
        }
    }

    fn prepare_map(
        &mut self,
        term: &ast::Term,
        entries: &[(ast::Term, ast::Term)],
        receiver: &ColumnSpec,
    ) -> Result<Term, RequestError> {
        let CqlType::Map(key, item, _) = &receiver.cql_type else {
            let _ = term;
            return Err(invalid(format!(
                "Invalid map literal for {} of type {}",
                receiver.name, receiver.cql_type
            )));
        };
        let key_slot = renamed(
            receiver,
            format!("key({})", receiver.name),
            key.as_ref().clone(),
        );
        let item_slot = renamed(
            receiver,
            format!("value({})", receiver.name),
            item.as_ref().clone(),
        );
        let mut prepared = Vec::with_capacity(entries.len());
        for (left, right) in entries {
            if *left == ast::Term::Null || *right == ast::Term::Null {
                return Err(invalid("null is not supported inside collections"));
            }
            refuse_marker(left, receiver)?;
            refuse_marker(right, receiver)?;
            if !self.may_be(left, key) {
                return Err(invalid(format!(
                    "Invalid map literal for {}: key {left} is not of type {key}",
                    receiver.name
                )));
            }
            if !self.may_be(right, item) {
                return Err(invalid(format!(
                    "Invalid map literal for {}: value {right} is not of type {item}",
                    receiver.name
                )));
            }
            prepared.push((
                self.prepare(left, &key_slot)?,
                self.prepare(right, &item_slot)?,
            ));
        }
        Ok(Term::Map(receiver.cql_type.clone(), prepared))
    }

    fn prepare_user_type(
        &mut self,
        fields: &[(String, ast::Term)],
        receiver: &ColumnSpec,
    ) -> Result<Term, RequestError> {
        let CqlType::Udt(definition, _) = &receiver.cql_type else {
            return Err(invalid(format!(
                "Invalid user type literal for {} of type {}",
                receiver.name, receiver.cql_type
            )));
        };
        for (name, _) in fields {
            if !definition.fields.iter().any(|(field, _)| field == name) {
                return Err(invalid(format!(
                    "Unknown field '{name}' in value of user defined type {}",
                    definition.name
                )));
            }
        }
        let mut prepared = Vec::with_capacity(definition.fields.len());
        for (name, ctype) in &definition.fields {
            let Some((_, item)) = fields.iter().rfind(|(given, _)| given == name) else {
                prepared.push(Term::Null);
                continue;
            };
            if !self.may_be(item, ctype) {
                return Err(invalid(format!(
                    "Invalid user type literal for {}: field {name} is not of type {ctype}",
                    receiver.name
                )));
            }
            prepared.push(self.prepare(
                item,
                &renamed(receiver, format!("{}.{name}", receiver.name), ctype.clone()),
            )?);
        }
        Ok(Term::Fields(receiver.cql_type.clone(), prepared))
    }

    fn prepare_tuple(
        &mut self,
        items: &[ast::Term],
        receiver: &ColumnSpec,
    ) -> Result<Term, RequestError> {
        let CqlType::Tuple(types) = &receiver.cql_type else {
            // Parentheses around a single term are no tuple where none is expected.
            return match items {
                [only] => self.prepare(only, receiver),
                _ => Err(invalid(format!(
                    "Invalid tuple type literal for {} of type {}",
                    receiver.name, receiver.cql_type
                ))),
            };
        };
        if items.len() > types.len() {
            return Err(invalid(format!(
                "Invalid tuple literal for {}: too many elements. Type {} expects {} but got {}",
                receiver.name,
                receiver.cql_type,
                types.len(),
                items.len()
            )));
        }
        let mut prepared = Vec::with_capacity(items.len());
        for (index, (item, ctype)) in items.iter().zip(types.iter()).enumerate() {
            if !self.may_be(item, ctype) {
                return Err(invalid(format!(
                    "Invalid tuple literal for {}: component {index} is not of type {ctype}",
                    receiver.name
                )));
            }
            prepared.push(self.prepare(
                item,
                &renamed(
                    receiver,
                    format!("{}[{index}]", receiver.name),
                    ctype.clone(),
                ),
            )?);
        }
        Ok(Term::Fields(receiver.cql_type.clone(), prepared))
    }

    /// The function that a call, cast or arithmetic means by the types of its arguments and of what is to receive it, and the
    /// arguments.
    fn resolve_call<'t>(
        &mut self,
        term: &'t ast::Term,
        receiver: &CqlType,
    ) -> Result<(Scalar, Vec<&'t ast::Term>), RequestError> {
        let (name, arguments): (ast::QualifiedName, Vec<&ast::Term>) = match term {
            ast::Term::Call(call) => (call.function.clone(), call.arguments.iter().collect()),
            ast::Term::Cast { term, target } => {
                (functions::cast_name(*target), vec![term.as_ref()])
            }
            ast::Term::Binary(binary) => (
                functions::operator_name(binary.operator),
                vec![&binary.left, &binary.right],
            ),
            ast::Term::Negate(inner) => (functions::negation_name(), vec![inner.as_ref()]),
            _ => unreachable!("the caller matched these"),
        };
        let described: Vec<Argument> = arguments
            .iter()
            .map(|argument| self.describe(argument))
            .collect::<Result<_, _>>()?;
        let scalar = self.resolve_scalar(&name, &described, Some(receiver))?;
        Ok((scalar, arguments))
    }

    /// A function, cast or arithmetic, given to something.
    fn prepare_call(
        &mut self,
        term: &ast::Term,
        receiver: &ColumnSpec,
    ) -> Result<Term, RequestError> {
        let (scalar, arguments) = self.resolve_call(term, &receiver.cql_type)?;
        if !assignable(&receiver.cql_type, scalar.return_type()) {
            return Err(invalid(format!(
                "Type error: cannot assign result of function {} (type {}) to {} (type {})",
                scalar.display_name(),
                scalar.return_type(),
                receiver.name,
                receiver.cql_type
            )));
        }
        let mut prepared = Vec::with_capacity(arguments.len());
        for (index, argument) in arguments.iter().enumerate() {
            let slot = renamed(
                receiver,
                scalar.argument_name(index),
                scalar.argument_type(index).clone(),
            );
            prepared.push(self.prepare(argument, &slot)?);
        }
        let scalar = if scalar.is_deterministic() {
            scalar
        } else {
            self.last_site = self.last_site.next();
            scalar.at(self.last_site)
        };
        Ok(Term::Call(scalar, prepared))
    }

    fn resolve_scalar(
        &self,
        name: &ast::QualifiedName,
        described: &[Argument],
        receiver: Option<&CqlType>,
    ) -> Result<Scalar, RequestError> {
        let native = name
            .keyspace
            .as_deref()
            .is_none_or(|keyspace| keyspace == functions::SYSTEM);
        if native && name.name == "token" && described.len() == self.partition_key.len() {
            return functions::token(self.partition_key.clone(), described);
        }
        functions::resolve_scalar(name, described, receiver, self.keyspace)
    }

    /// What is known of an argument before its function is chosen.
    pub(super) fn describe(&mut self, term: &ast::Term) -> Result<Argument, RequestError> {
        let text = term.to_string();
        Ok(match term {
            ast::Term::Marker(_) => Argument::marker(text),
            ast::Term::Null => Argument::null(text),
            ast::Term::Literal(constant) => Argument::literal(
                text,
                constant.kind,
                literal::natural_type(constant.kind, &constant.text),
            ),
            // Parentheses around an operand are no tuple.
            ast::Term::Tuple(items) if items.len() == 1 => self.describe(&items[0])?,
            other => match self.infer(other)? {
                Some(ctype) => Argument::typed(text, ctype),
                None => Argument::marker(text),
            },
        })
    }

    /// The type of a term that nothing receives, if it has one.
    pub fn infer(&mut self, term: &ast::Term) -> Result<Option<CqlType>, RequestError> {
        Ok(match term {
            ast::Term::Literal(constant) => {
                Some(literal::natural_type(constant.kind, &constant.text))
            }
            ast::Term::TypeHint { target, .. } => {
                Some(resolve_type(target, self.keyspace, &self.catalog)?)
            }
            ast::Term::Cast { target, .. } => CqlType::native(target.text()),
            ast::Term::Call(call) => {
                let described: Vec<Argument> = call
                    .arguments
                    .iter()
                    .map(|argument| self.describe(argument))
                    .collect::<Result<_, _>>()?;
                Some(
                    self.resolve_scalar(&call.function, &described, None)?
                        .return_type()
                        .clone(),
                )
            }
            ast::Term::Binary(binary) => {
                let described = [self.describe(&binary.left)?, self.describe(&binary.right)?];
                let name = functions::operator_name(binary.operator);
                Some(
                    functions::resolve_scalar(&name, &described, None, self.keyspace)?
                        .return_type()
                        .clone(),
                )
            }
            ast::Term::Negate(inner) => self.infer(inner)?,
            _ => None,
        })
    }
}

/// A collection literal takes no bind variables, as in Cassandra: the whole collection is bound instead.
fn refuse_marker(item: &ast::Term, slot: &ColumnSpec) -> Result<(), RequestError> {
    if !matches!(item, ast::Term::Marker(_)) {
        return Ok(());
    }
    let name = slot.name.trim_start_matches("value(").trim_end_matches(')');
    Err(invalid(format!(
        "Invalid collection literal for {name}: bind variables are not supported inside collection literals"
    )))
}

/// Whether a value of type `from` can stand for one of type `to` as it is.
pub fn assignable(to: &CqlType, from: &CqlType) -> bool {
    functions::value_assignment(from, to) != Assignment::No
        || (*to == CqlType::Bigint && *from == CqlType::Counter)
}

fn prepare_literal(constant: &ast::Literal, receiver: &ColumnSpec) -> Result<Term, RequestError> {
    if !literal::accepts(&receiver.cql_type, constant.kind) {
        return Err(invalid(format!(
            "Invalid {} constant ({}) for \"{}\" of type {}",
            literal::kind_name(constant.kind),
            constant.text,
            receiver.name,
            receiver.cql_type
        )));
    }
    Ok(Term::Constant(literal::encode(
        &receiver.cql_type,
        constant,
    )?))
}
