//! From selectors to expressions: what each column of the result is, its type and its name.

mod attribute;
mod call;

use super::AggregateCall;
use super::choice::Choice;
use super::expression::Expression;
use crate::ast::{self, Selector};
use crate::functions::{self, Aggregate, Argument};
use crate::plan::select::input::Input;
use crate::plan::term::{Term, TermContext, assignable, field};
use crate::plan::{column_spec, find_column, invalid, renamed, resolve_type};
use model::error::RequestError;
use model::schema::Table;
use model::types::{CqlType, Frozen, UserType};
use std::sync::Arc;

/// A compiled selector.
pub(super) struct Compiled {
    pub(super) expression: Expression,
    pub(super) ctype: CqlType,
    pub(super) name: String,
}

/// Compiles the selectors of one statement; gathers what they look at.
pub(super) struct Compiler<'a, 'b> {
    pub(super) table: &'a Arc<Table>,
    pub(super) terms: &'a mut TermContext<'b>,
    pub(super) inputs: Vec<Input>,
    pub(super) aggregates: Vec<AggregateCall>,
    pub(super) choices: Vec<Choice>,
}

impl Compiler<'_, '_> {
    pub(super) fn input(&mut self, input: Input) -> usize {
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

    pub(super) fn compile(&mut self, selector: &Selector) -> Result<Compiled, RequestError> {
        let name = selector.to_string();
        match selector {
            Selector::Column(column) => self.compile_column(column),
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
            Selector::Cast { selector, target } => self.compile_cast(selector, *target),
            Selector::Call(call) => self.compile_function(&call.function, &call.arguments),
            Selector::TypeHint { target, selector } => self.compile_type_hint(target, selector),
            Selector::Tuple(items) | Selector::List(items) | Selector::Set(items) => {
                self.compile_items(selector, items, name)
            }
            Selector::Map(_) => Err(cannot_infer(selector)),
            Selector::Field { of, field } => self.compile_field(of, field, name),
            Selector::Element { of, key } => self.compile_element(of, key, name),
            Selector::Slice { of, from, to } => {
                self.compile_slice(of, from.as_ref(), to.as_ref(), name)
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

    fn compile_column(&mut self, column: &str) -> Result<Compiled, RequestError> {
        let column = find_column(self.table, column)?.clone();
        let (ctype, name) = (column.ctype.clone(), column.name.clone());
        Ok(Compiled {
            expression: Expression::Input(self.input(Input::Value(column))),
            ctype,
            name,
        })
    }

    fn compile_cast(
        &mut self,
        selector: &Selector,
        target: ast::NativeType,
    ) -> Result<Compiled, RequestError> {
        let compiled = self.compile(selector)?;
        let described = Argument::typed(compiled.name.clone(), compiled.ctype.clone());
        let Some(scalar) = functions::cast(&described, target)? else {
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

    /// `(type)selector`: the selector must fit the type, frozen; literals are read as values of it.
    fn compile_type_hint(
        &mut self,
        target: &ast::Type,
        inner: &Selector,
    ) -> Result<Compiled, RequestError> {
        let ctype = resolve_type(target, self.terms.keyspace, &self.terms.catalog)?.freeze();
        let name = format!("({}){inner}", target.qualified(self.terms.keyspace));
        let wrong = |name: &str| {
            invalid(format!(
                "Cannot assign value {name} to {name} of type {ctype}"
            ))
        };
        if !self.may_be(inner, &ctype)? {
            return Err(wrong(&name));
        }
        let compiled = self.compile_as(inner, &ctype)?;
        Ok(Compiled {
            ctype,
            name,
            ..compiled
        })
    }

    /// Whether a selector can stand for a value of a type.
    fn may_be(&mut self, selector: &Selector, ctype: &CqlType) -> Result<bool, RequestError> {
        let all = |compiler: &mut Self, items: &[Selector], item: &CqlType| {
            items
                .iter()
                .try_fold(true, |fits, part| Ok(fits && compiler.may_be(part, item)?))
        };
        match (selector, ctype) {
            (Selector::Term(term), _) => Ok(self.terms.may_be(term, ctype)),
            (Selector::Tuple(items), CqlType::Tuple(types)) => {
                self.parts_may_be(items, types.iter())
            }
            (Selector::Tuple(items), CqlType::Udt(definition, _)) => {
                self.parts_may_be(items, definition.fields.iter().map(|(_, part)| part))
            }
            (Selector::Tuple(items), _) if items.len() == 1 => self.may_be(&items[0], ctype),
            (Selector::List(items), CqlType::Vector(item, dimension)) => {
                Ok(items.len() == *dimension as usize && all(self, items, item)?)
            }
            (Selector::List(items), CqlType::List(item, _))
            | (Selector::Set(items), CqlType::Set(item, _)) => all(self, items, item),
            (Selector::Set(items), CqlType::Map(..) | CqlType::Udt(..)) if items.is_empty() => {
                Ok(true)
            }
            (Selector::Map(entries), CqlType::Map(key, item, _)) => {
                entries.iter().try_fold(true, |fits, (left, right)| {
                    Ok(fits && self.may_be(left, key)? && self.may_be(right, item)?)
                })
            }
            (Selector::Map(entries), CqlType::Udt(definition, _)) => {
                for (name, item) in entries {
                    let (_, part) = named_field(definition, name)?;
                    if !self.may_be(item, part)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Selector::Tuple(_) | Selector::List(_) | Selector::Set(_) | Selector::Map(_), _) => {
                Ok(false)
            }
            _ => {
                let found = self.compile(selector)?.ctype;
                Ok(found.is_multi_cell() == ctype.is_multi_cell() && assignable(ctype, &found))
            }
        }
    }

    fn parts_may_be<'t>(
        &mut self,
        items: &[Selector],
        types: impl ExactSizeIterator<Item = &'t CqlType>,
    ) -> Result<bool, RequestError> {
        if items.len() > types.len() {
            return Ok(false);
        }
        for (item, part) in items.iter().zip(types) {
            if !self.may_be(item, part)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn compile_field(
        &mut self,
        of: &Selector,
        field_name: &str,
        name: String,
    ) -> Result<Compiled, RequestError> {
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

    fn compile_element(
        &mut self,
        of: &Selector,
        key: &ast::Term,
        name: String,
    ) -> Result<Compiled, RequestError> {
        let compiled = self.compile(of)?;
        let name = chosen_name(of, &compiled.name, &name);
        let (slot, result) = self.element_types(&compiled.name, &compiled.ctype)?;
        let key = self.terms.prepare(key, &slot)?;
        self.choices.push(Choice::element(&key, &compiled.name));
        Ok(Compiled {
            expression: Expression::Element(Box::new(compiled.expression), compiled.ctype, key),
            ctype: result,
            name,
        })
    }

    fn compile_slice(
        &mut self,
        of: &Selector,
        from: Option<&ast::Term>,
        to: Option<&ast::Term>,
        name: String,
    ) -> Result<Compiled, RequestError> {
        let compiled = self.compile(of)?;
        let name = chosen_name(of, &compiled.name, &name);
        let (slot, _) = self.element_types(&compiled.name, &compiled.ctype)?;
        let mut bound =
            |term: Option<&ast::Term>| term.map(|term| self.terms.prepare(term, &slot)).transpose();
        let (from, to) = (bound(from)?, bound(to)?);
        let bounds = from.iter().chain(&to);
        self.choices
            .extend(bounds.map(|bound| Choice::slice(bound, &compiled.name)));
        let ctype = compiled.ctype.clone();
        Ok(Compiled {
            expression: Expression::Slice(Box::new(compiled.expression), compiled.ctype, from, to),
            ctype,
            name,
        })
    }

    /// Compiles a selector that is to give a value of a type: what a type hint or a function asks of literals.
    pub(super) fn compile_as(
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
            (_, CqlType::Udt(definition, _)) if is_composite(selector) => {
                self.compile_user_type(selector, ctype, definition)
            }
            // Parentheses around a selector are no tuple where none is expected.
            (Selector::Tuple(items), other)
                if items.len() == 1 && !matches!(other, CqlType::Tuple(_)) =>
            {
                let compiled = self.compile_as(&items[0], ctype)?;
                Ok(Compiled {
                    name: format!("({})", compiled.name),
                    ..compiled
                })
            }
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

    /// A user type from its fields, by name or in order.
    fn compile_user_type(
        &mut self,
        selector: &Selector,
        ctype: &CqlType,
        definition: &Arc<UserType>,
    ) -> Result<Compiled, RequestError> {
        let fields = match selector {
            Selector::Map(entries) => self.compile_fields(entries, definition)?,
            Selector::Tuple(items) => items
                .iter()
                .zip(&definition.fields)
                .map(|(item, (_, part))| Ok(self.compile_as(item, part)?.expression))
                .collect::<Result<_, RequestError>>()?,
            _ => self.compile_fields(&[], definition)?,
        };
        Ok(Compiled {
            expression: Expression::Build(ctype.clone(), fields),
            ctype: ctype.clone(),
            name: selector.to_string(),
        })
    }

    /// The fields of a user type in its order; null for those not named.
    fn compile_fields(
        &mut self,
        entries: &[(Selector, Selector)],
        definition: &Arc<UserType>,
    ) -> Result<Vec<Expression>, RequestError> {
        let mut fields = vec![Expression::Term(Term::Null); definition.fields.len()];
        for (name, item) in entries {
            let (index, part) = named_field(definition, name)?;
            fields[index] = self.compile_as(item, part)?.expression;
        }
        Ok(fields)
    }

    pub(super) fn compile_term(
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
        let parts = match selector {
            // The first element whose type is known tells the type of literals beside it.
            Selector::List(_) | Selector::Set(_) if !items.iter().all(is_untyped) => {
                let known = items.iter().find(|item| !is_untyped(item));
                let ctype = self.compile(known.expect("just found"))?.ctype;
                items
                    .iter()
                    .map(|item| self.compile_as(item, &ctype))
                    .collect::<Result<Vec<_>, _>>()?
            }
            _ => items
                .iter()
                .map(|item| self.compile(item))
                .collect::<Result<Vec<_>, _>>()?,
        };
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
                    _ if first.any(&|ctype| *ctype == CqlType::Duration) => {
                        return Err(invalid(format!(
                            "Durations are not allowed inside sets: frozen<set<{first}>>"
                        )));
                    }
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
}

fn cannot_infer(selector: &Selector) -> RequestError {
    invalid(format!(
        "Cannot infer type for term {selector} in selection clause (try using a cast to force a type)"
    ))
}

/// The field of a user type that a selector, written as its name, stands for.
fn named_field<'d>(
    definition: &'d Arc<UserType>,
    name: &Selector,
) -> Result<(usize, &'d CqlType), RequestError> {
    let text = name.to_string();
    field(definition, &text).ok_or_else(|| {
        invalid(format!(
            "Unknown field '{text}' in value of user defined type {}",
            definition.name
        ))
    })
}

/// Whether a selector is a literal, whose type only its place can tell.
fn is_untyped(selector: &Selector) -> bool {
    matches!(
        selector,
        Selector::Term(ast::Term::Literal(_) | ast::Term::Null | ast::Term::Marker(_))
    )
}

/// Whether a selector may be the literal of a user type: fields by name, in order, or none.
fn is_composite(selector: &Selector) -> bool {
    match selector {
        Selector::Map(_) | Selector::Tuple(_) => true,
        Selector::Set(items) => items.is_empty(),
        _ => false,
    }
}

/// The name of a part: as written, behind the name of what it is a part of.
fn chosen_name(of: &Selector, of_name: &str, written: &str) -> String {
    let part = written
        .strip_prefix(&of.to_string())
        .expect("a part is printed behind what it is a part of");
    format!("{of_name}{part}")
}
