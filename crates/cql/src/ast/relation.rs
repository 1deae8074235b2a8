//! The conditions of WHERE and IF.

use super::{Marker, Term};

/// One condition of WHERE.
#[derive(Debug, Clone, PartialEq)]
pub enum Relation {
    /// `column = term`, also with CONTAINS, CONTAINS KEY and LIKE.
    Column {
        /// The column.
        column: String,
        /// The operator.
        operator: Operator,
        /// What it is compared with.
        value: Term,
    },
    /// `column IN (a, b)` or `column IN ?`
    In {
        /// The column.
        column: String,
        /// The values.
        values: InValues,
    },
    /// `column IS NOT NULL`
    IsNotNull {
        /// The column.
        column: String,
    },
    /// `column[key] = term`
    Element {
        /// The map.
        column: String,
        /// The key.
        key: Term,
        /// The operator.
        operator: Operator,
        /// What it is compared with.
        value: Term,
    },
    /// `(a, b) > (1, 2)` or `(a, b) > ?`
    Tuple {
        /// The columns.
        columns: Vec<String>,
        /// The operator.
        operator: Operator,
        /// A [`Term::Tuple`] or a [`Term::Marker`].
        value: Term,
    },
    /// `(a, b) IN ((1, 2), (3, 4))`, `(a, b) IN (?, ?)` or `(a, b) IN ?`
    TupleIn {
        /// The columns.
        columns: Vec<String>,
        /// Tuples or markers.
        values: InValues,
    },
    /// `token(a, b) > term`
    Token {
        /// The columns.
        columns: Vec<String>,
        /// The operator.
        operator: Operator,
        /// What it is compared with.
        value: Term,
    },
    /// `expr(index, term)`
    CustomIndex {
        /// The index.
        index: String,
        /// What it is asked.
        value: Term,
    },
}

/// What follows IN.
#[derive(Debug, Clone, PartialEq)]
pub enum InValues {
    /// A list in parentheses, possibly empty.
    List(Vec<Term>),
    /// One marker for the whole list.
    Marker(Marker),
}

/// An operator of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `CONTAINS`
    Contains,
    /// `CONTAINS KEY`
    ContainsKey,
    /// `LIKE`
    Like,
}

/// When a modification applies.
#[derive(Debug, Clone, PartialEq)]
pub enum Conditions {
    /// Always.
    None,
    /// `IF NOT EXISTS`
    IfNotExists,
    /// `IF EXISTS`
    IfExists,
    /// `IF condition AND condition`
    If(Vec<Condition>),
}

/// One condition of IF.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The column.
    pub column: String,
    /// The part of the column that is compared.
    pub part: Part,
    /// The comparison.
    pub test: ConditionTest,
}

/// A column, or an element or a field of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// All of it.
    Whole,
    /// `column[key]`
    Element(Term),
    /// `column.field`
    Field(String),
}

/// How a condition of IF compares.
#[derive(Debug, Clone, PartialEq)]
pub enum ConditionTest {
    /// By an operator, never [`Operator::Like`].
    Compare(Operator, Term),
    /// `IN (a, b)` or `IN ?`
    In(InValues),
}
