//! Which cells of a row an answer carries.
//!
//! Cells of dropped columns never. Of other columns that were not asked for: an answer to be merged with others carries
//! their cells without the values, because a row is alive through any of its columns and only the merged row tells;
//! an answer of live data alone carries one such cell if nothing that was asked for shows that the row is alive.

use model::merge::{self, Purge};
use model::read::Columns;
use model::row::{Cell, ColumnId, Deletion, Row, RowWriter};
use model::schema::Table;

/// What is known of a row after looking at all of its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life {
    /// Whether a reader sees the row.
    pub is_live: bool,
    /// Whether its bytes can be handed over as they are, if all columns were asked for.
    pub is_plain: bool,
    /// Tombstones in it, expired cells among them: its own deletion counts if nothing of it is alive and no cell counts,
    /// as in Cassandra.
    pub tombstones: u64,
}

/// Ids of the columns a table has, ascending; `None` if none was ever dropped, so that every cell is of one there is.
pub(crate) fn known_columns(table: &Table) -> Option<Vec<ColumnId>> {
    (!table.dropped.is_empty()).then(|| {
        let mut ids: Vec<ColumnId> = table.columns().iter().map(|column| column.id).collect();
        ids.sort_unstable();
        ids
    })
}

/// The columns of one table that one command sees.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Projection<'a> {
    /// See [`known_columns`].
    pub known: Option<&'a [ColumnId]>,
    /// What was asked for.
    pub columns: &'a Columns,
}

impl Projection<'_> {
    fn exists(&self, column: ColumnId) -> bool {
        self.known
            .as_ref()
            .is_none_or(|known| known.binary_search(&column).is_ok())
    }

    /// Looks at a row as a reader at `now_seconds` does.
    pub(crate) fn life(&self, row: &Row<'_>, now_seconds: i64) -> Life {
        let mut life = Life {
            is_live: false,
            is_plain: row.deletion.is_none(),
            tombstones: 0,
        };
        if let Some(liveness) = row.liveness {
            let live = liveness.is_live(now_seconds);
            life.is_live |= live;
            life.is_plain &= live;
        }
        let mut cells = row.cells();
        // Where no column was ever dropped, values written with the row need no look at what they are.
        while self.known.is_none() && cells.next_plain().is_some() {
            life.is_live = true;
        }
        for cell in cells {
            let exists = self.exists(cell.column);
            let live = cell.is_live(now_seconds);
            life.is_live |= live && exists;
            life.is_plain &= live && exists;
            life.tombstones += u64::from(!live);
        }
        if !life.is_live && life.tombstones == 0 && !row.deletion.is_none() {
            life.tombstones = 1;
        }
        life
    }

    /// Whether rows are handed over whole.
    pub(crate) fn is_whole(&self) -> bool {
        *self.columns == Columns::All
    }

    /// Appends what is live of a row that is.
    pub(crate) fn live(&self, row: &Row<'_>, now_seconds: i64, out: &mut Vec<u8>) {
        row.put_live(now_seconds, |column| self.exists(column), self.columns, out);
    }

    /// Appends a row for merging with other replicas' versions of it, without the tombstones that may be forgotten;
    /// returns whether anything is left.
    pub(crate) fn mergeable(
        &self,
        row: &[u8],
        purge: &Purge,
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> bool {
        scratch.clear();
        if !merge::purged(row, purge, scratch) {
            return false;
        }
        if self.is_whole() && self.known.is_none() {
            out.extend_from_slice(scratch);
            return true;
        }
        let row = Row::parse(scratch).expect("just written");
        let mut writer = RowWriter::new(out);
        if let Some(liveness) = row.liveness {
            writer.liveness(liveness);
        }
        if row.deletion != Deletion::NONE {
            writer.deletion(row.deletion);
        }
        if let Some(original) = row.original_clustering {
            writer.original_clustering(original);
        }
        for cell in row.cells().filter(|cell| self.exists(cell.column)) {
            if self.columns.contains(cell.column) {
                writer.cell(&cell);
            } else {
                writer.cell(&Cell { value: &[], ..cell });
            }
        }
        !writer.is_empty()
    }
}
