//! Rows as they are, for statements that read before they write.

use model::key::DecoratedKey;
use model::read::{ReadEntry, ReadResponse};
use model::row::Row;
use model::schema::TableId;

/// The rows a statement reads before it writes.
#[derive(Debug, Default)]
pub struct CurrentRows {
    /// Answers, each of one table.
    pub responses: Vec<(TableId, ReadResponse)>,
}

impl CurrentRows {
    /// The rows of a partition with their clustering keys, in the order read.
    pub fn rows<'a>(
        &'a self,
        table: TableId,
        key: &'a DecoratedKey,
    ) -> impl Iterator<Item = (&'a [u8], Row<'a>)> {
        self.partition(table, key).filter_map(|entry| match entry {
            ReadEntry::Row { clustering, row } => Some((clustering, Row::parse(row)?)),
            _ => None,
        })
    }

    /// The static row of a partition.
    pub fn static_row(&self, table: TableId, key: &DecoratedKey) -> Option<Row<'_>> {
        let row = self.partition(table, key).find_map(|entry| match entry {
            ReadEntry::Static(row) => Some(row),
            _ => None,
        });
        row.and_then(Row::parse)
    }

    /// A row.
    pub fn row(&self, table: TableId, key: &DecoratedKey, clustering: &[u8]) -> Option<Row<'_>> {
        let row = self.partition(table, key).find_map(|entry| match entry {
            ReadEntry::Row {
                clustering: found,
                row,
            } if found == clustering => Some(row),
            _ => None,
        });
        row.and_then(Row::parse)
    }

    fn partition<'a>(
        &'a self,
        table: TableId,
        wanted: &DecoratedKey,
    ) -> impl Iterator<Item = ReadEntry<'a>> + use<'a> {
        let wanted = wanted.key.clone();
        let mut inside = false;
        self.responses
            .iter()
            .filter(move |(of, _)| *of == table)
            .flat_map(|(_, response)| response.entries())
            .filter(move |entry| {
                if let ReadEntry::Partition { key, .. } = entry {
                    inside = *key == &*wanted;
                }
                inside
            })
    }
}
