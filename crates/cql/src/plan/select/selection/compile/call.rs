//! Function calls: the arguments are described, the function found by them, and literals given the types it takes.

use super::{Compiled, Compiler};
use crate::ast::{self, Selector};
use crate::functions::{self, Argument, Function};
use crate::plan::invalid;
use crate::plan::select::selection::expression::Expression;
use model::error::RequestError;

impl Compiler<'_, '_> {
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
            Selector::Map(entries) => {
                let entries = entries.iter().map(|(key, item)| {
                    Ok((self.describe_literal(key)?, self.describe_literal(item)?))
                });
                Ok(Argument::map(
                    text,
                    entries.collect::<Result<_, RequestError>>()?,
                ))
            }
            _ => unreachable!("checked to be literals"),
        }
    }

    pub(super) fn compile_function(
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
        let (parts, described) = self.compile_arguments(arguments)?;
        let resolved = if native && function.name == "token" {
            let key = self.table.partition_key().iter();
            let types = key.map(|column| column.ctype.clone()).collect();
            Function::Scalar(functions::token(types, &described)?)
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

    /// The arguments that have a type of their own, compiled, and what is known of each. Literals wait for the types the
    /// function takes.
    #[allow(clippy::type_complexity)]
    fn compile_arguments(
        &mut self,
        arguments: &[Selector],
    ) -> Result<(Vec<Option<Compiled>>, Vec<Argument>), RequestError> {
        let mut parts: Vec<Option<Compiled>> = Vec::with_capacity(arguments.len());
        let mut described = Vec::with_capacity(arguments.len());
        for argument in arguments {
            // Parentheses around an operand are no tuple.
            let (operand, depth) = unwrapped(argument);
            match operand {
                // A literal or marker takes its type from the function.
                Selector::Term(
                    term @ (ast::Term::Literal(_) | ast::Term::Null | ast::Term::Marker(_)),
                ) => {
                    described.push(self.terms.describe(term)?.within(depth));
                    parts.push(None);
                }
                // So do the elements of a collection of literals.
                Selector::List(_) | Selector::Set(_) | Selector::Map(_) if is_literal(operand) => {
                    described.push(self.describe_literal(operand)?.within(depth));
                    parts.push(None);
                }
                other => {
                    let mut compiled = self.compile(other)?;
                    let argument = Argument::typed(&*compiled.name, compiled.ctype.clone());
                    let argument = argument.within(depth);
                    argument.text().clone_into(&mut compiled.name);
                    described.push(argument);
                    parts.push(Some(compiled));
                }
            }
        }
        Ok((parts, described))
    }
}

/// What stands within parentheses, and how many.
fn unwrapped(mut selector: &Selector) -> (&Selector, usize) {
    let mut depth = 0;
    while let Selector::Tuple(items) = selector
        && let [inner] = items.as_slice()
    {
        selector = inner;
        depth += 1;
    }
    (selector, depth)
}

/// Whether a selector is a collection of literals, whose type only its place can tell.
fn is_literal(selector: &Selector) -> bool {
    match selector {
        Selector::Term(_) => true,
        Selector::List(items) | Selector::Set(items) => items.iter().all(is_literal),
        Selector::Map(entries) => entries
            .iter()
            .all(|(key, item)| is_literal(key) && is_literal(item)),
        _ => false,
    }
}
