//! A selection of plain columns: where each cell of the result comes from, found once when the statement is prepared,
//! so that a row's bytes are walked once whatever the order of its columns in the result.

use model::row::ColumnId;
use model::schema::{Column, ColumnKind};

/// Where one cell of the result comes from.
#[derive(Debug, Clone)]
pub enum Place {
    /// The partition key's component at a position.
    PartitionKey(usize),
    /// The clustering key's component at a position.
    Clustering(usize),
    /// A static column.
    Static(Column),
    /// A regular column of one cell: its index in [`PlainSelection::single`].
    Single(usize),
    /// A regular column of several cells: a collection or a user type.
    Several(Column),
}

/// The places of a result's cells.
#[derive(Debug, Clone)]
pub struct PlainSelection {
    /// One for each cell of a row of the result.
    pub places: Vec<Place>,
    /// The regular columns of one cell, ascending as they stand in a row.
    pub single: Vec<ColumnId>,
    /// Whether the clustering key has to be decoded.
    pub uses_clustering: bool,
}

impl PlainSelection {
    /// Of columns in the order of the result.
    pub(super) fn new(columns: &[&Column]) -> Self {
        let is_single =
            |column: &Column| column.kind == ColumnKind::Regular && !column.ctype.is_multi_cell();
        let mut single: Vec<ColumnId> = columns
            .iter()
            .filter(|column| is_single(column))
            .map(|column| column.id)
            .collect();
        single.sort_unstable();
        single.dedup();
        let place = |column: &&Column| match column.kind {
            ColumnKind::PartitionKey => Place::PartitionKey(column.position),
            ColumnKind::Clustering => Place::Clustering(column.position),
            ColumnKind::Static => Place::Static((*column).clone()),
            ColumnKind::Regular => match single.binary_search(&column.id) {
                Ok(index) => Place::Single(index),
                Err(_) => Place::Several((*column).clone()),
            },
        };
        Self {
            places: columns.iter().map(place).collect(),
            uses_clustering: columns
                .iter()
                .any(|column| column.kind == ColumnKind::Clustering),
            single,
        }
    }
}
