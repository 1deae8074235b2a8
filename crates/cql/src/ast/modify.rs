//! INSERT, UPDATE, DELETE and BATCH.

use super::{Conditions, Part, QualifiedName, Relation, Term};

/// `INSERT INTO table …`
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    /// The table.
    pub table: QualifiedName,
    /// What is inserted.
    pub source: InsertSource,
    /// [`Conditions::None`] or [`Conditions::IfNotExists`].
    pub conditions: Conditions,
    /// `USING …`
    pub using: Using,
}

/// Where the values of an INSERT come from.
#[derive(Debug, Clone, PartialEq)]
pub enum InsertSource {
    /// `(a, b) VALUES (1, 2)`; the two lengths may differ.
    Values {
        /// The columns.
        columns: Vec<String>,
        /// Their values.
        values: Vec<Term>,
    },
    /// `JSON '{…}'`
    Json {
        /// A string literal or a bind marker.
        value: Term,
        /// What happens to columns that the text does not name.
        missing: JsonMissing,
    },
}

/// What an INSERT JSON does with columns that the text does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonMissing {
    /// `DEFAULT NULL`, and when nothing was written: they become null.
    Null,
    /// `DEFAULT UNSET`: they keep their value.
    Unset,
}

/// `USING TIMESTAMP t AND TTL s`; each is an integer or a bind marker, and the last one written counts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Using {
    /// Microseconds since the epoch.
    pub timestamp: Option<Term>,
    /// Seconds to live.
    pub ttl: Option<Term>,
}

/// `UPDATE table …`
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// The table.
    pub table: QualifiedName,
    /// `USING …`
    pub using: Using,
    /// The assignments of SET; no column has two that exclude each other.
    pub assignments: Vec<Assignment>,
    /// The conditions of WHERE.
    pub relations: Vec<Relation>,
    /// The conditions of IF, never [`Conditions::IfNotExists`].
    pub conditions: Conditions,
}

/// One assignment of SET.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The column.
    pub column: String,
    /// What happens to it.
    pub operation: Operation,
}

/// What an assignment does.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// `c = term`
    Set(Term),
    /// `c[key] = term`
    SetElement {
        /// Index of a list or key of a map.
        key: Term,
        /// The new value.
        value: Term,
    },
    /// `c.field = term`
    SetField {
        /// The field.
        field: String,
        /// The new value.
        value: Term,
    },
    /// `c = c + term`, `c += term`, `c = c -3` (which adds -3)
    Add(Term),
    /// `c = c - term`, `c -= term`
    Subtract(Term),
    /// `c = term + c`
    Prepend(Term),
}

/// `DELETE … FROM table …`
#[derive(Debug, Clone, PartialEq)]
pub struct Delete {
    /// The table.
    pub table: QualifiedName,
    /// What of the rows is deleted; empty means the rows themselves.
    pub deletions: Vec<Deletion>,
    /// `USING TIMESTAMP t`; the TTL is never given.
    pub using: Using,
    /// The conditions of WHERE.
    pub relations: Vec<Relation>,
    /// The conditions of IF, never [`Conditions::IfNotExists`].
    pub conditions: Conditions,
}

/// A column, element or field to delete.
#[derive(Debug, Clone, PartialEq)]
pub struct Deletion {
    /// The column.
    pub column: String,
    /// The part of it.
    pub part: Part,
}

/// `BEGIN … BATCH … APPLY BATCH`
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// How it is applied.
    pub kind: BatchKind,
    /// `USING …` of the whole batch.
    pub using: Using,
    /// Its statements.
    pub statements: Vec<Modification>,
}

/// How a batch is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BatchKind {
    /// All or nothing, by way of the batch log.
    Logged,
    /// Without the batch log.
    Unlogged,
    /// Counter updates.
    Counter,
}

/// A statement of a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Modification {
    /// `INSERT …`
    Insert(Insert),
    /// `UPDATE …`
    Update(Update),
    /// `DELETE …`
    Delete(Delete),
}

impl Modification {
    /// The table it changes.
    pub fn table(&self) -> &QualifiedName {
        match self {
            Self::Insert(insert) => &insert.table,
            Self::Update(update) => &update.table,
            Self::Delete(delete) => &delete.table,
        }
    }
}
