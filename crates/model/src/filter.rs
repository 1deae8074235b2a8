//! Conditions a row must satisfy beyond its place: what ALLOW FILTERING asks for, and what IF asks of a row.
//!
//! Values are compared in the type's own order, not as bytes. A null never satisfies anything (IF alone compares with
//! null, and does so above this module).

use crate::comparable;
use crate::row::{CellKind, ColumnId, Row};
use crate::types::CqlType;
use crate::value;
use std::cmp::Ordering;

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Contains,
    ContainsKey,
    /// The map's element at `key` equals the operand.
    Entry,
    Like,
}

impl Operator {
    /// Whether an ordering satisfies an order comparison.
    pub fn accepts(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order == Ordering::Equal,
            Self::NotEqual => order != Ordering::Equal,
            Self::Less => order == Ordering::Less,
            Self::LessOrEqual => order != Ordering::Greater,
            Self::Greater => order == Ordering::Greater,
            Self::GreaterOrEqual => order != Ordering::Less,
            _ => false,
        }
    }
}

/// Where the compared value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A component of the partition key.
    PartitionKey(usize),
    /// A component of the clustering key.
    Clustering(usize),
    /// A static column.
    Static(ColumnId),
    /// A regular column.
    Regular(ColumnId),
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// What is compared.
    pub target: Target,
    /// Its type.
    pub ctype: CqlType,
    /// How.
    pub operator: Operator,
    /// Operands, wire bytes: one; several for `In`; key and value for `Entry`.
    pub operands: Vec<Vec<u8>>,
}

/// Conditions that must all hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowFilter {
    /// The conditions.
    pub conditions: Vec<Condition>,
}

impl RowFilter {
    /// Whether every row passes.
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty()
    }

    /// Whether conditions on the partition key and static columns alone hold: all else decides per row.
    pub fn accepts_partition(
        &self,
        key: &[&[u8]],
        static_row: Option<&Row<'_>>,
        now_seconds: i64,
    ) -> bool {
        self.conditions
            .iter()
            .all(|condition| match condition.target {
                Target::PartitionKey(index) => condition.holds(key.get(index).copied()),
                Target::Static(column) => condition.holds_in(static_row, column, now_seconds),
                _ => true,
            })
    }

    /// Whether conditions on clustering and regular columns hold.
    pub fn accepts_row(&self, clustering: &[Vec<u8>], row: &Row<'_>, now_seconds: i64) -> bool {
        self.conditions
            .iter()
            .all(|condition| match condition.target {
                Target::Clustering(index) => {
                    condition.holds(clustering.get(index).map(Vec::as_slice))
                }
                Target::Regular(column) => condition.holds_in(Some(row), column, now_seconds),
                _ => true,
            })
    }

    /// Whether any condition looks at a row and not only at its partition.
    pub fn looks_at_rows(&self) -> bool {
        self.conditions
            .iter()
            .any(|condition| matches!(condition.target, Target::Clustering(_) | Target::Regular(_)))
    }

    /// Whether any condition looks at clustering values.
    pub fn looks_at_clustering(&self) -> bool {
        self.conditions
            .iter()
            .any(|condition| matches!(condition.target, Target::Clustering(_)))
    }
}

impl Condition {
    fn holds_in(&self, row: Option<&Row<'_>>, column: ColumnId, now_seconds: i64) -> bool {
        let Some(row) = row else { return false };
        match column_value(row, column, &self.ctype, now_seconds) {
            Some(value) => self.holds(Some(&value)),
            None => false,
        }
    }

    /// Whether the condition holds for a value; never for null.
    pub fn holds(&self, value: Option<&[u8]>) -> bool {
        let Some(value) = value else { return false };
        match self.operator {
            Operator::In => self
                .operands
                .iter()
                .any(|operand| value::compare(&self.ctype, value, operand) == Ordering::Equal),
            Operator::Contains | Operator::ContainsKey | Operator::Entry => {
                self.holds_inside(value)
            }
            Operator::Like => self
                .operands
                .first()
                .is_some_and(|pattern| like(value, pattern)),
            order => self
                .operands
                .first()
                .is_some_and(|operand| order.accepts(value::compare(&self.ctype, value, operand))),
        }
    }

    fn holds_inside(&self, value: &[u8]) -> bool {
        let Some(operand) = self.operands.first() else {
            return false;
        };
        let equal = |ctype: &CqlType, item: &[u8], operand: &[u8]| {
            value::compare(ctype, item, operand) == Ordering::Equal
        };
        match &self.ctype {
            CqlType::List(element, _) | CqlType::Set(element, _) => {
                self.operator == Operator::Contains
                    && value::elements(value)
                        .flatten()
                        .any(|item| equal(element, item, operand))
            }
            CqlType::Map(key, item, _) => {
                let parts: Vec<&[u8]> = value::elements_of(value, 2).flatten().collect();
                parts.chunks_exact(2).any(|pair| match self.operator {
                    Operator::Contains => equal(item, pair[1], operand),
                    Operator::ContainsKey => equal(key, pair[0], operand),
                    _ => {
                        equal(key, pair[0], operand)
                            && self
                                .operands
                                .get(1)
                                .is_some_and(|wanted| equal(item, pair[1], wanted))
                    }
                })
            }
            CqlType::Vector(element, dimension) => {
                self.operator == Operator::Contains
                    && value::vector_elements(element, *dimension, value)
                        .any(|item| equal(element, item, operand))
            }
            _ => false,
        }
    }
}

/// SQL-style LIKE with `%` at either end only, as Cassandra's indexes know it.
fn like(value: &[u8], pattern: &[u8]) -> bool {
    let (open_start, pattern) = pattern
        .strip_prefix(b"%")
        .map_or((false, pattern), |rest| (true, rest));
    let (open_end, pattern) = pattern
        .strip_suffix(b"%")
        .map_or((false, pattern), |rest| (true, rest));
    match (open_start, open_end) {
        (false, false) => value == pattern,
        (false, true) => value.starts_with(pattern),
        (true, false) => value.ends_with(pattern),
        (true, true) => {
            pattern.is_empty() || value.windows(pattern.len()).any(|window| window == pattern)
        }
    }
}

/// The value of a column in a row as the protocol carries it: the cell's own bytes, or a collection or user type put
/// together from its cells; `None` for null. Counters give their total.
pub fn column_value(
    row: &Row<'_>,
    column: ColumnId,
    ctype: &CqlType,
    now_seconds: i64,
) -> Option<Vec<u8>> {
    if !ctype.is_multi_cell() {
        let cell = row.cell(column).filter(|cell| cell.is_live(now_seconds))?;
        return Some(match cell.kind {
            CellKind::Counter => crate::merge::counter::total(cell.value)
                .to_be_bytes()
                .to_vec(),
            _ => cell.value.to_vec(),
        });
    }
    let cells = row
        .cells()
        .filter(|cell| cell.column == column && cell.is_live(now_seconds));
    let mut count = 0i32;
    let mut out = vec![0; 4];
    match ctype {
        CqlType::Udt(definition, _) => {
            let mut fields: Vec<Option<&[u8]>> = vec![None; definition.fields.len()];
            for cell in cells {
                let index = cell
                    .path
                    .and_then(|path| path.try_into().ok())
                    .map(u16::from_be_bytes)?;
                *fields.get_mut(usize::from(index))? = Some(cell.value);
                count += 1;
            }
            out.clear();
            fields
                .iter()
                .for_each(|field| value::put_field(&mut out, *field));
        }
        CqlType::List(..) => {
            for cell in cells {
                value::put_field(&mut out, Some(cell.value));
                count += 1;
            }
        }
        CqlType::Set(key, _) | CqlType::Map(key, _, _) => {
            for cell in cells {
                put_path(&mut out, key, cell.path?, cell.original_path)?;
                if matches!(ctype, CqlType::Map(..)) {
                    value::put_field(&mut out, Some(cell.value));
                }
                count += 1;
            }
        }
        _ => unreachable!("only collections and user types are multi-cell"),
    }
    if !matches!(ctype, CqlType::Udt(..)) {
        out[..4].copy_from_slice(&count.to_be_bytes());
    }
    (count > 0).then_some(out)
}

/// Appends a set element or map key: its original bytes, or those its path decodes to.
fn put_path(
    out: &mut Vec<u8>,
    ctype: &CqlType,
    path: &[u8],
    original: Option<&[u8]>,
) -> Option<()> {
    match original {
        Some(original) => value::put_field(out, Some(original)),
        None => value::put_field(
            out,
            Some(&comparable::decode(ctype, &mut &path[..], false)?),
        ),
    }
    Some(())
}
