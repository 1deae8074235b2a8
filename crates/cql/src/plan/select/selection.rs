//! The selectors of a SELECT: compiled to expressions over the inputs of a row, and to aggregates over the rows of a
//! group.
//!
//! A selection of plain columns, by far the most common, is written from the row's cells to the frame without an
//! expression in between.

mod choice;
mod compile;
pub(super) mod expression;

use super::super::term::TermContext;
use super::super::values::BoundValues;
use super::input::{Input, RowView};
use super::result_spec;
use crate::ast::{self, Selector};
use crate::frame::ColumnSpec;
use crate::functions::{Accumulator, Aggregate};
use crate::json;
use crate::plan::invalid;
use choice::Choice;
use compile::Compiler;
use expression::{Expression, evaluate};
use model::error::RequestError;
use model::row::ColumnId;
use model::schema::{Column, ColumnKind, Table};
use model::types::CqlType;
use std::borrow::Cow;
use std::sync::Arc;

/// One column of the result.
#[derive(Debug, Clone)]
pub struct Selected {
    /// Its name: the alias or the text of the selector.
    pub name: String,
    /// Its type.
    pub ctype: CqlType,
    expression: Expression,
    plain: bool,
}

/// An aggregate and what it is fed.
#[derive(Debug, Clone)]
struct AggregateCall {
    aggregate: Aggregate,
    arguments: Vec<Expression>,
}

/// The compiled selectors.
#[derive(Debug)]
pub struct Selection {
    /// The result's columns.
    selected: Vec<Selected>,
    /// What expressions look at.
    inputs: Vec<Input>,
    /// What groups are folded by.
    aggregates: Vec<AggregateCall>,
    /// SELECT JSON: the columns become one text.
    json: bool,
    plain: bool,
    /// Calls whose result is the same for every row.
    constants: Vec<Expression>,
    /// Keys that choose elements and slices.
    choices: Vec<Choice>,
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
            choices: Vec::new(),
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
        let (inputs, aggregates) = (compiler.inputs, compiler.aggregates);
        let choices = compiler.choices;
        let mut constants = Vec::new();
        let expressions = selected.iter().map(|selected| &selected.expression);
        for expression in expressions.chain(aggregates.iter().flat_map(|call| &call.arguments)) {
            expression.constant_calls(&mut constants);
        }
        Ok(Self {
            selected,
            inputs,
            aggregates,
            json: select.json,
            plain,
            constants,
            choices,
        })
    }

    /// Fails if a call that is the same for every row does, or a key that chooses an element is null: also where there is no
    /// row, as in Cassandra.
    pub fn check_constants(&self, values: &BoundValues<'_>) -> Result<(), RequestError> {
        self.choices
            .iter()
            .try_for_each(|choice| choice.check(values))?;
        self.constants
            .iter()
            .try_for_each(|call| evaluate(call, &[], &[], values).map(drop))
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

/// A function of one row's columns, for GROUP BY.
#[derive(Debug)]
pub struct RowFunction {
    expression: Expression,
    inputs: Vec<Input>,
    aggregates: Vec<AggregateCall>,
}

impl RowFunction {
    /// Compiles a selector.
    pub fn prepare(
        selector: &Selector,
        table: &Arc<Table>,
        terms: &mut TermContext<'_>,
    ) -> Result<Self, RequestError> {
        let mut compiler = Compiler {
            table,
            terms,
            inputs: Vec::new(),
            aggregates: Vec::new(),
            choices: Vec::new(),
        };
        let compiled = compiler.compile(selector)?;
        Ok(Self {
            expression: compiled.expression,
            inputs: compiler.inputs,
            aggregates: compiler.aggregates,
        })
    }

    /// The name of the aggregate it is, which makes it no function of one row.
    pub fn is_aggregate(&self) -> Option<String> {
        let Expression::Aggregated(index) = self.expression else {
            return None;
        };
        Some(self.aggregates[index].aggregate.display_name())
    }

    /// Checks that every function in it keeps the order of its first argument, and that its others are constant.
    pub fn check_monotonic(&self) -> Result<(), RequestError> {
        check_monotonic(&self.expression)
    }

    /// The columns it looks at, each once.
    pub fn columns(&self) -> Vec<&Column> {
        self.inputs
            .iter()
            .map(|input| match input {
                Input::Value(column) | Input::Attribute { column, .. } => column,
            })
            .collect()
    }

    /// Its value for a row.
    pub fn value(
        &self,
        view: &RowView<'_>,
        values: &BoundValues<'_>,
    ) -> Result<Option<Vec<u8>>, RequestError> {
        let inputs = view.evaluate(&self.inputs, values)?;
        Ok(evaluate(&self.expression, &inputs, &[], values)?.map(Cow::into_owned))
    }
}

fn check_monotonic(expression: &Expression) -> Result<(), RequestError> {
    match expression {
        Expression::Call(scalar, arguments) => {
            let constant = |argument: &Expression| matches!(argument, Expression::Term(_));
            if !scalar.is_monotonic() || !arguments.iter().skip(1).all(constant) {
                return Err(invalid(format!(
                    "Only monotonic functions are supported in the GROUP BY clause. Got: {} ",
                    scalar.signature()
                )));
            }
            arguments.iter().take(1).try_for_each(check_monotonic)
        }
        Expression::Aggregated(_) => Err(invalid(
            "Only column names and monotonic scalar functions are supported in the GROUP BY clause.",
        )),
        _ => Ok(()),
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
