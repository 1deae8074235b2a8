//! SELECT.

use super::{QualifiedName, Relation, Selector, Term};

/// `SELECT [JSON] [DISTINCT] … FROM table …`
#[derive(Debug, Clone, PartialEq)]
pub struct Select {
    /// The table read.
    pub table: QualifiedName,
    /// Whether each row comes as one JSON text.
    pub json: bool,
    /// Whether each partition counts once.
    pub distinct: bool,
    /// What is asked for; empty means `*`.
    pub selection: Vec<Selected>,
    /// The conditions of WHERE, all of which must hold.
    pub relations: Vec<Relation>,
    /// GROUP BY.
    pub group_by: Vec<Selector>,
    /// ORDER BY.
    pub order_by: Vec<Ordering>,
    /// PER PARTITION LIMIT: an integer or a bind marker.
    pub per_partition_limit: Option<Term>,
    /// LIMIT: an integer or a bind marker.
    pub limit: Option<Term>,
    /// ALLOW FILTERING.
    pub allow_filtering: bool,
    /// `USING TIMEOUT`: the duration as written.
    pub timeout: Option<String>,
}

/// A selector with its alias.
#[derive(Debug, Clone, PartialEq)]
pub struct Selected {
    /// What is asked for.
    pub selector: Selector,
    /// `AS alias`
    pub alias: Option<String>,
}

/// One element of ORDER BY.
#[derive(Debug, Clone, PartialEq)]
pub struct Ordering {
    /// The column that orders.
    pub column: String,
    /// `ANN OF vector`
    pub nearest_to: Option<Term>,
    /// Ascending unless DESC was written.
    pub direction: Direction,
}

/// ASC or DESC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Greatest first.
    Descending,
}
