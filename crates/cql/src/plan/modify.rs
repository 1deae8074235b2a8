//! INSERT, UPDATE and DELETE: checked once, then turned into mutations with each execution's values.

mod assign;
mod cells;
mod conditions;
mod current;
mod if_clause;
mod operation;
mod prepare;
#[cfg(test)]
mod tests;

pub use conditions::{ConditionPlan, ConditionsPlan};
pub use current::CurrentRows;
pub use operation::Operation;

use super::restrictions::{Restrictions, row_key};
use super::term::Term;
use super::values::{Bound, BoundValues};
use super::{invalid, json};
use crate::frame::ColumnSpec;
use cells::CellBuffer;
use model::clustering::Slice;
use model::error::RequestError;
use model::key::DecoratedKey;
use model::limits::{
    MAX_EXPIRY_SECONDS, MAX_MUTATION_BYTES, MAX_STATEMENT_WRITE_BYTES, MAX_TTL_SECONDS,
};
use model::mutation::{Mutation, PartitionUpdate};
use model::row::{CellKind, ColumnId, Deletion, Liveness, NEVER, RowWriter};
use model::schema::Table;
use std::sync::Arc;

/// Which statement it is, for messages and for what it leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ModifyKind {
    Insert,
    Update,
    Delete,
}

/// A prepared modification.
#[derive(Debug, Clone)]
pub struct ModifyPlan {
    /// The statement.
    pub kind: ModifyKind,
    /// The table.
    pub table: Arc<Table>,
    /// Which partitions and rows.
    pub restrictions: Restrictions,
    /// What is done to columns; none, for DELETE, deletes rows.
    operations: Vec<Operation>,
    timestamp: Option<Term>,
    ttl: Option<Term>,
    /// IF.
    pub conditions: ConditionsPlan,
    json: Option<json::JsonInsert>,
    static_only: bool,
}

/// What an execution takes from its node.
#[derive(Debug, Clone, Copy)]
pub struct WriteContext<'a> {
    /// Timestamp for what states none, in microseconds.
    pub timestamp_micros: i64,
    /// Now, in seconds, for expiry and deletion times.
    pub now_seconds: i64,
    /// Where the statement's list elements stand; no other statement of the shard's run has the same.
    pub list_position: i64,
    /// Random for each shard and run: tells the list elements of all of them apart.
    pub origin: u32,
    /// The rows as they are, where [`ModifyPlan::reads_before`] asks for them.
    pub current: Option<&'a CurrentRows>,
    /// Which of the same timestamp holds: a deletion of a partition or range, or the rows written beside it.
    pub ties: Ties,
}

/// What holds of a deletion of a partition or range and rows written at the same timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ties {
    /// The deletion, as of any two statements.
    Deleted,
    /// The rows: a conditional batch clears a partition and fills it anew, in whatever order its statements stand.
    Written,
}

impl ModifyPlan {
    /// Whether the statement changes a counter.
    pub fn is_counter(&self) -> bool {
        self.table.is_counter()
    }

    /// Whether it states a timestamp.
    pub fn has_timestamp(&self) -> bool {
        self.timestamp.is_some()
    }

    /// Whether it is conditional.
    pub fn is_conditional(&self) -> bool {
        !matches!(self.conditions, ConditionsPlan::None)
    }

    /// The columns whose present value must be read before (list elements by index or value).
    pub fn reads_before(&self) -> Vec<ColumnId> {
        self.operations
            .iter()
            .filter_map(Operation::reads)
            .collect()
    }

    /// Whether static columns are changed.
    pub fn changes_statics(&self) -> bool {
        self.operations.iter().any(Operation::is_static)
    }

    /// Whether only the static row is changed.
    pub fn is_static_only(&self) -> bool {
        self.static_only
    }

    /// The time to live of this execution in seconds, 0 for none.
    fn time_to_live(&self, values: &BoundValues<'_>) -> Result<u32, RequestError> {
        let Some(term) = &self.ttl else {
            return Ok(self.table.options.default_time_to_live);
        };
        let ttl = match term.evaluate(values)? {
            Bound::Unset => return Ok(self.table.options.default_time_to_live),
            Bound::Null => 0,
            Bound::Value(bytes) if bytes.is_empty() => 0,
            Bound::Value(bytes) => i64::from(i32::from_be_bytes(
                bytes
                    .as_ref()
                    .try_into()
                    .map_err(|_| invalid("Invalid value for time to live"))?,
            )),
        };
        if ttl < 0 {
            return Err(invalid(format!(
                "A TTL must be greater or equal to 0, but was {ttl}"
            )));
        }
        if ttl > MAX_TTL_SECONDS {
            return Err(invalid(format!(
                "ttl is too large. requested ({ttl}) maximum ({MAX_TTL_SECONDS})"
            )));
        }
        Ok(ttl as u32)
    }

    /// The timestamp of this execution in microseconds.
    pub fn timestamp(&self, values: &BoundValues<'_>, default: i64) -> Result<i64, RequestError> {
        timestamp(self.timestamp.as_ref(), values, default)
    }

    /// The mutations of this execution, a partition each.
    pub fn mutations(
        &self,
        values: &BoundValues<'_>,
        context: &WriteContext<'_>,
    ) -> Result<Vec<Mutation>, RequestError> {
        match &self.json {
            None => self.build(values, context),
            Some(json) => {
                let parsed = json.parse(values)?;
                self.build(&json.extended(values, &parsed), context)
            }
        }
    }

    /// The partition keys of this execution.
    pub fn keys(&self, values: &BoundValues<'_>) -> Result<Vec<DecoratedKey>, RequestError> {
        match &self.json {
            None => self.restrictions.keys(values),
            Some(json) => self
                .restrictions
                .keys(&json.extended(values, &json.parse(values)?)),
        }
    }

    /// The clustering slices of this execution.
    pub fn slices(&self, values: &BoundValues<'_>) -> Result<Vec<Slice>, RequestError> {
        match &self.json {
            None => self.restrictions.slices(values),
            Some(json) => self
                .restrictions
                .slices(&json.extended(values, &json.parse(values)?)),
        }
    }

    fn build(
        &self,
        values: &BoundValues<'_>,
        context: &WriteContext<'_>,
    ) -> Result<Vec<Mutation>, RequestError> {
        let timestamp = self.timestamp(values, context.timestamp_micros)?;
        let ttl = self.time_to_live(values)?;
        let expires = if ttl == 0 {
            NEVER
        } else {
            context.now_seconds + i64::from(ttl)
        };
        if ttl != 0 && expires > MAX_EXPIRY_SECONDS {
            return Err(invalid(format!(
                "Request on table {}.{} with {}ttl of {ttl} seconds exceeds maximum supported expiration date of 2106-02-07T06:28:13+00:00. \
                 In order to avoid this use a lower TTL or change the expiration date overflow policy.",
                self.table.keyspace,
                self.table.name,
                if self.ttl.is_some() { "" } else { "default " }
            )));
        }
        let stamp = Stamp {
            timestamp,
            ttl,
            expires,
            deletion: Deletion {
                timestamp,
                local_seconds: context.now_seconds,
            },
        };
        let keys = self.restrictions.keys(values)?;
        let rows = if self.static_only {
            Vec::new()
        } else {
            self.rows(values)?
        };
        if !self.operations.is_empty() && !self.static_only && !self.restrictions.names_rows() {
            return if rows.is_empty() {
                Ok(Vec::new())
            } else {
                Err(range_of_columns())
            };
        }
        let mut mutations = Vec::with_capacity(keys.len());
        let partitions = keys.len();
        for (index, key) in keys.into_iter().enumerate() {
            let mut mutation = Mutation::new(key);
            let first_row = (index * rows.len().max(1)) as u32;
            self.build_partition(&mut mutation, &rows, first_row, values, context, &stamp)?;
            if mutations.is_empty() && partitions > 1 {
                check_total(partitions, mutation.encode().len())?;
            }
            mutations.push(mutation);
        }
        values.context.enter_row(0);
        Ok(mutations)
    }

    fn build_partition(
        &self,
        mutation: &mut Mutation,
        rows: &[RowTarget],
        first_row: u32,
        values: &BoundValues<'_>,
        context: &WriteContext<'_>,
        stamp: &Stamp,
    ) -> Result<(), RequestError> {
        let key = mutation.key.clone();
        let update = mutation.update(self.table.id);
        if self.kind == ModifyKind::Delete && self.operations.is_empty() {
            self.delete_rows(update, rows, stamp, context.ties);
            return Ok(());
        }
        values.context.enter_row(first_row);
        let mut statics = CellBuffer::default();
        for operation in self
            .operations
            .iter()
            .filter(|operation| operation.is_static())
        {
            operation.cells(
                &mut statics,
                values,
                context,
                stamp,
                context
                    .current
                    .and_then(|current| current.static_row(self.table.id, &key)),
            )?;
        }
        if !statics.is_empty() {
            let mut row = Vec::new();
            statics.write(&mut RowWriter::new(&mut row));
            update.add_static(row);
        }
        let mut bytes = 0;
        for (number, target) in (first_row..).zip(rows) {
            let RowTarget::Row(clustering, original) = target else {
                unreachable!("only DELETE of rows takes ranges")
            };
            values.context.enter_row(number);
            let mut cells = CellBuffer::with_capacity(self.operations.len());
            for operation in self
                .operations
                .iter()
                .filter(|operation| !operation.is_static())
            {
                operation.cells(
                    &mut cells,
                    values,
                    context,
                    stamp,
                    context
                        .current
                        .and_then(|current| current.row(self.table.id, &key, clustering)),
                )?;
            }
            if !cells.is_empty() || self.kind == ModifyKind::Insert {
                let row = self.row(cells, original.as_deref(), stamp);
                bytes += clustering.len() + row.len();
                if bytes > MAX_MUTATION_BYTES {
                    return Err(oversized(bytes));
                }
                update.add_row(clustering.clone(), row);
            }
        }
        Ok(())
    }

    /// A row of cells; INSERT also makes the row itself live.
    fn row(&self, cells: CellBuffer<'_>, original: Option<&[u8]>, stamp: &Stamp) -> Vec<u8> {
        let mut row = Vec::with_capacity(cells.size_hint());
        let mut writer = RowWriter::new(&mut row);
        if self.kind == ModifyKind::Insert {
            writer.liveness(Liveness {
                timestamp: stamp.timestamp,
                ttl: stamp.ttl,
                expires: stamp.expires,
            });
        }
        if let Some(original) = original {
            writer.original_clustering(original);
        }
        cells.write(&mut writer);
        row
    }

    /// DELETE without columns: the partition, rows or ranges.
    fn delete_rows(
        &self,
        update: &mut PartitionUpdate,
        rows: &[RowTarget],
        stamp: &Stamp,
        ties: Ties,
    ) {
        let wide = Deletion {
            timestamp: match ties {
                Ties::Deleted => stamp.timestamp,
                Ties::Written => stamp.timestamp - 1,
            },
            ..stamp.deletion
        };
        if !self.restrictions.restricts_clustering() {
            update.delete(wide);
            return;
        }
        for target in rows {
            match target {
                RowTarget::Row(clustering, _) => {
                    let mut row = Vec::new();
                    RowWriter::new(&mut row).deletion(stamp.deletion);
                    update.add_row(clustering.clone(), row);
                }
                RowTarget::Range(slice) => update.ranges.add(slice.clone(), wide),
            }
        }
    }

    /// The rows named, or for DELETE the ranges.
    fn rows(&self, values: &BoundValues<'_>) -> Result<Vec<RowTarget>, RequestError> {
        let ranges = !self.restrictions.names_rows();
        let exact = !ranges
            && self.restrictions.clustering_equalities() == self.table.clustering_key().len();
        if exact && let Some(tuple) = self.restrictions.clustering_values(values)? {
            let parts: Vec<&[u8]> = tuple.iter().map(AsRef::as_ref).collect();
            let (key, original) = row_key(&self.table, &parts);
            return Ok(vec![RowTarget::Row(key, original)]);
        }
        let slices = self.restrictions.slices(values)?;
        Ok(slices
            .into_iter()
            .map(|slice| {
                if ranges {
                    RowTarget::Range(slice)
                } else {
                    RowTarget::Row(slice.start, None)
                }
            })
            .collect())
    }
}

/// A range may only be deleted whole.
fn range_of_columns() -> RequestError {
    invalid("Range deletions are not supported for specific columns")
}

enum RowTarget {
    /// Clustering key, and its values if they cannot be decoded from it.
    Row(Vec<u8>, Option<Vec<u8>>),
    Range(Slice),
}

/// When an execution's cells are written and expire.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    timestamp: i64,
    ttl: u32,
    expires: i64,
    deletion: Deletion,
}

impl Stamp {
    /// The kind of the cells written.
    fn live(&self) -> CellKind {
        if self.ttl == 0 {
            CellKind::Live
        } else {
            CellKind::Expiring {
                ttl: self.ttl,
                expires: self.expires,
            }
        }
    }
}

/// The value of a USING TIMESTAMP.
pub(super) fn timestamp(
    term: Option<&Term>,
    values: &BoundValues<'_>,
    default: i64,
) -> Result<i64, RequestError> {
    let Some(term) = term else { return Ok(default) };
    match term.evaluate(values)? {
        Bound::Unset => Ok(default),
        Bound::Null => Err(invalid("Invalid null value of timestamp")),
        Bound::Value(bytes) => match bytes.as_ref().try_into().map(i64::from_be_bytes) {
            Ok(i64::MIN) => Err(invalid(format!(
                "Out of bound timestamp, must be in [{}, {}]",
                i64::MIN + 1,
                i64::MAX
            ))),
            Ok(timestamp) => Ok(timestamp),
            Err(_) => Err(invalid("Invalid timestamp value")),
        },
    }
}

/// The slots of USING's markers.
pub(super) fn using_slot(
    table: &ColumnSpec,
    name: &str,
    ctype: model::types::CqlType,
) -> ColumnSpec {
    super::renamed(table, name.to_owned(), ctype)
}

/// The error for a mutation of too many bytes.
pub fn oversized(length: usize) -> RequestError {
    RequestError::Invalid(format!(
        "Rejected an oversized mutation ({length}/{MAX_MUTATION_BYTES})"
    ))
}

/// A statement that names many partitions writes the same to each: what that comes to is known from the first.
fn check_total(partitions: usize, bytes: usize) -> Result<(), RequestError> {
    if partitions.saturating_mul(bytes) > MAX_STATEMENT_WRITE_BYTES {
        return Err(invalid(format!(
            "The statement writes {bytes} bytes to each of {partitions} partitions; at most {MAX_STATEMENT_WRITE_BYTES} are allowed together"
        )));
    }
    Ok(())
}
