//! IF: what a conditional statement asks of the row, evaluated on the row as it is.

use super::super::invalid;
use super::super::restrictions::InTerms;
use super::super::term::Term;
use super::super::values::{Bound, BoundValues};
use model::comparable;
use model::error::RequestError;
use model::filter::{self, Operator};
use model::row::{Cell, Row};
use model::schema::{Column, ColumnKind};
use model::types::CqlType;
use model::value;
use std::borrow::Cow;

/// The IF of a statement.
#[derive(Debug, Clone)]
pub enum ConditionsPlan {
    /// None: not conditional.
    None,
    /// IF NOT EXISTS.
    NotExists,
    /// IF EXISTS.
    Exists,
    /// Conditions that must all hold.
    All(Vec<ConditionPlan>),
}

/// One condition.
#[derive(Debug, Clone)]
pub struct ConditionPlan {
    /// The column.
    pub column: Column,
    /// All of it, or an element or field.
    pub part: ConditionPart,
    /// What it is compared with.
    pub test: ConditionTest,
}

/// What of a column is compared.
#[derive(Debug, Clone)]
pub enum ConditionPart {
    /// Its value.
    Whole,
    /// The element at a key or index.
    Element(Term),
    /// A field of a user type.
    Field(usize),
}

/// How it is compared.
#[derive(Debug, Clone)]
pub enum ConditionTest {
    /// With one operand.
    Compare(Operator, Term),
    /// With any of several.
    In(InTerms),
}

impl ConditionsPlan {
    /// The columns conditions look at, in the order written but static ones last, none twice.
    pub fn columns(&self) -> Vec<&Column> {
        let Self::All(conditions) = self else {
            return Vec::new();
        };
        let is_static = |column: &Column| column.kind == ColumnKind::Static;
        let mut columns: Vec<&Column> = Vec::new();
        for wanted in [false, true] {
            for condition in conditions {
                let column = &condition.column;
                if is_static(column) == wanted && !columns.iter().any(|known| known.id == column.id)
                {
                    columns.push(column);
                }
            }
        }
        columns
    }

    /// Whether all conditions are on static columns.
    pub fn static_only(&self) -> bool {
        match self {
            Self::All(conditions) => conditions
                .iter()
                .all(|condition| condition.column.kind == ColumnKind::Static),
            _ => false,
        }
    }
}

impl ConditionPlan {
    /// Checks what was bound, whatever the row may be.
    pub fn check(&self, values: &BoundValues<'_>) -> Result<(), RequestError> {
        match &self.test {
            ConditionTest::Compare(_, term) => operand(term, values).map(drop),
            ConditionTest::In(terms) => in_operands(terms, values).map(drop),
        }
    }

    /// Whether it holds of a row: of the static row, if the column is static.
    pub fn holds(
        &self,
        row: Option<&Row<'_>>,
        values: &BoundValues<'_>,
        now_seconds: i64,
    ) -> Result<bool, RequestError> {
        let whole = row.and_then(|row| {
            filter::column_value(row, self.column.id, &self.column.ctype, now_seconds)
        });
        let (current, ctype) = match &self.part {
            ConditionPart::Whole => (whole, self.column.ctype.clone()),
            ConditionPart::Element(key) => self.element(row, whole, key, values, now_seconds)?,
            ConditionPart::Field(index) => {
                let CqlType::Udt(definition, _) = &self.column.ctype else {
                    unreachable!("checked when prepared")
                };
                let field = whole.and_then(|bytes| {
                    value::fields(&bytes)
                        .nth(*index)
                        .flatten()
                        .map(<[u8]>::to_vec)
                });
                (field, definition.fields[*index].1.clone())
            }
        };
        match &self.test {
            ConditionTest::Compare(operator, term) => compare(
                &ctype,
                *operator,
                current.as_deref(),
                operand(term, values)?.as_deref(),
            ),
            ConditionTest::In(terms) => {
                for wanted in in_operands(terms, values)? {
                    if compare(
                        &ctype,
                        Operator::Equal,
                        current.as_deref(),
                        wanted.as_deref(),
                    )? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    fn element(
        &self,
        row: Option<&Row<'_>>,
        whole: Option<Vec<u8>>,
        key: &Term,
        values: &BoundValues<'_>,
        now_seconds: i64,
    ) -> Result<(Option<Vec<u8>>, CqlType), RequestError> {
        let null = || match self.column.ctype {
            CqlType::List(..) => invalid("Invalid null value for list element access"),
            _ => invalid("Invalid null value for map element access"),
        };
        let key = operand(key, values)?.ok_or_else(null)?;
        match &self.column.ctype {
            CqlType::List(element, _) => {
                let index = i32::from_be_bytes(
                    key.as_ref()
                        .try_into()
                        .map_err(|_| invalid("Invalid list index"))?,
                );
                if index < 0 {
                    return Err(invalid(format!("Invalid negative list index {index}")));
                }
                let item = whole.and_then(|bytes| {
                    let index = usize::try_from(index).ok()?;
                    value::elements(&bytes)
                        .nth(index)
                        .flatten()
                        .map(<[u8]>::to_vec)
                });
                Ok((item, element.as_ref().clone()))
            }
            CqlType::Map(key_type, item, _) => {
                let found = if self.column.ctype.is_multi_cell() {
                    let mut path = Vec::new();
                    comparable::encode(key_type, &key, false, &mut path);
                    let matches = |cell: &Cell<'_>| {
                        cell.column == self.column.id
                            && cell.path == Some(&path)
                            && cell.is_live(now_seconds)
                    };
                    row.and_then(|row| row.cells().find(matches))
                        .map(|cell| cell.value.to_vec())
                } else {
                    whole.and_then(|bytes| {
                        let parts: Vec<&[u8]> = value::elements_of(&bytes, 2).flatten().collect();
                        parts
                            .chunks_exact(2)
                            .find(|pair| value::compare(key_type, pair[0], &key).is_eq())
                            .map(|pair| pair[1].to_vec())
                    })
                };
                Ok((found, item.as_ref().clone()))
            }
            other => Err(invalid(format!("{other} has no elements"))),
        }
    }
}

fn operand<'a>(
    term: &'a Term,
    values: &BoundValues<'a>,
) -> Result<Option<Cow<'a, [u8]>>, RequestError> {
    match term.evaluate(values)? {
        Bound::Unset => Err(invalid("Invalid 'unset' value in condition")),
        Bound::Null => Ok(None),
        Bound::Value(bytes) => Ok(Some(bytes)),
    }
}

fn in_operands(
    terms: &InTerms,
    values: &BoundValues<'_>,
) -> Result<Vec<Option<Vec<u8>>>, RequestError> {
    match terms {
        InTerms::List(items) => {
            // A value that is unset is not among those compared with.
            let set = items
                .iter()
                .filter(|item| !matches!(item.evaluate(values), Ok(Bound::Unset)));
            set.map(|item| Ok(operand(item, values)?.map(Cow::into_owned)))
                .collect()
        }
        InTerms::Marker(term, _) => {
            let list = operand(term, values)?
                .ok_or_else(|| invalid("Invalid null list in IN condition"))?;
            Ok(value::elements(&list)
                .map(|item| item.map(<[u8]>::to_vec))
                .collect())
        }
    }
}

/// Compares as IF does: null equals null, differs from every value, and is not ordered.
fn compare(
    ctype: &CqlType,
    operator: Operator,
    current: Option<&[u8]>,
    wanted: Option<&[u8]>,
) -> Result<bool, RequestError> {
    if matches!(operator, Operator::Contains | Operator::ContainsKey) {
        let wanted = wanted.ok_or_else(|| without_null(operator))?;
        let condition = filter::Condition {
            target: filter::Target::Clustering(0),
            ctype: ctype.clone(),
            operator,
            operands: vec![wanted.to_vec()],
        };
        return Ok(condition.holds(current));
    }
    // An empty multi-cell collection is null.
    let wanted = wanted.filter(|bytes| {
        !(ctype.is_multi_cell() && ctype.is_collection() && value::element_count(bytes) == 0)
    });
    match (current, wanted, operator) {
        (None, None, Operator::Equal) => Ok(true),
        (None, None, Operator::NotEqual) => Ok(false),
        (_, None, Operator::Equal) => Ok(false),
        (_, None, Operator::NotEqual) => Ok(true),
        (_, None, other) => Err(without_null(other)),
        (None, Some(_), other) => Ok(other == Operator::NotEqual),
        (Some(current), Some(wanted), other) => {
            Ok(other.accepts(value::compare(ctype, current, wanted)))
        }
    }
}

/// What is said of an operator that nothing compares with null by.
fn without_null(operator: Operator) -> RequestError {
    invalid(format!(
        "Invalid comparison with null for operator \"{}\"",
        text(operator)
    ))
}

/// An operator as CQL writes it.
pub(super) fn text(operator: Operator) -> &'static str {
    match operator {
        Operator::Less => "<",
        Operator::LessOrEqual => "<=",
        Operator::Greater => ">",
        Operator::GreaterOrEqual => ">=",
        Operator::NotEqual => "!=",
        Operator::Contains => "CONTAINS",
        Operator::ContainsKey => "CONTAINS KEY",
        _ => "=",
    }
}
