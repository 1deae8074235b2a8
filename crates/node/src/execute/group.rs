//! GROUP BY and aggregates: rows folded into groups as they are read.
//!
//! Rows of a group come one after the other, because groups are prefixes of the primary key. A page holds whole groups;
//! the next one begins after the last row of the last whole group, so a group cut by the end of a page is read again.

use super::page::PagingState;
use super::rows::{Emitter, ReadRow, key_prefix};
use cql::plan::select::SelectPlan;
use cql::plan::select::selection::Group;
use cql::plan::values::BoundValues;
use model::error::RequestError;
use model::read::Resume;

type Cells = Vec<Option<Vec<u8>>>;

/// Groups being folded.
#[derive(Debug)]
pub struct GroupFold {
    /// Groups the page may still take.
    page_left: u64,
    /// Groups the limit still allows.
    pub(super) limit_left: u64,
    per_partition: u64,
    in_partition: u64,
    partition: Option<Vec<u8>>,
    open: Option<Open>,
    finished: Vec<Cells>,
}

#[derive(Debug)]
struct Open {
    key: Vec<u8>,
    prefix: Vec<u8>,
    /// What the function of GROUP BY gives for its rows.
    mark: Option<Vec<u8>>,
    group: Group,
    last: Resume,
    /// Beyond PER PARTITION LIMIT: read but not shown.
    hidden: bool,
}

impl GroupFold {
    /// Nothing folded yet. `resume` is where the page before ended.
    pub(super) fn new(
        plan: &SelectPlan,
        page: u64,
        limit: u64,
        per_partition: u64,
        resume: Option<&Resume>,
    ) -> Self {
        let single = plan.grouping.is_none();
        // left_in_partition carries, for grouped statements, how many groups the partition may still show.
        let carried = resume.filter(|_| !single).map(|resume| {
            (
                resume.key.key.to_vec(),
                per_partition.saturating_sub(resume.left_in_partition),
            )
        });
        Self {
            page_left: if single { u64::MAX } else { page },
            limit_left: if single { u64::MAX } else { limit },
            per_partition,
            in_partition: carried.as_ref().map_or(0, |(_, shown)| *shown),
            partition: carried.map(|(key, _)| key),
            open: None,
            finished: Vec::new(),
        }
    }

    /// Adds a row. When it begins a group for which there is no room, says where to go on and drops it.
    pub(super) fn add(
        &mut self,
        plan: &SelectPlan,
        emitter: &Emitter<'_>,
        row: &ReadRow<'_>,
        values: &BoundValues<'_>,
    ) -> Result<Option<Resume>, RequestError> {
        let prefix = group_prefix(plan, row);
        let mark = group_mark(plan, emitter, row, values)?;
        let same = self.open.as_ref().is_some_and(|open| {
            plan.grouping.is_none()
                || (open.key == row.key && open.prefix == prefix && open.mark == mark)
        });
        if !same {
            let resume = self.open.as_ref().map(|open| open.last.clone());
            self.close(plan, values)?;
            if self.page_left == 0 || self.limit_left == 0 {
                return Ok(resume);
            }
            if self.partition.as_deref() != Some(row.key) {
                self.partition = Some(row.key.to_vec());
                self.in_partition = 0;
            }
            let hidden = plan.grouping.is_some() && self.in_partition >= self.per_partition;
            self.open = Some(Open {
                key: row.key.to_vec(),
                prefix,
                mark,
                group: plan.selection.group(),
                last: row.resume(u64::MAX),
                hidden,
            });
        }
        let shown = self.in_partition;
        let per_partition = self.per_partition;
        let open = self.open.as_mut().expect("just opened");
        let left = per_partition.saturating_sub(shown + 1);
        open.last = row.resume(if plan.distinct { 0 } else { left });
        plan.selection
            .add(&mut open.group, &emitter.view(row), values)?;
        Ok(None)
    }

    fn close(&mut self, plan: &SelectPlan, values: &BoundValues<'_>) -> Result<(), RequestError> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        if open.hidden {
            return Ok(());
        }
        self.finished
            .push(plan.selection.group_row(open.group, values)?);
        self.in_partition += 1;
        self.page_left -= 1;
        self.limit_left -= 1;
        Ok(())
    }

    /// Where the next page begins, if closing the group at hand fills this one.
    pub(super) fn resume_if_full(&self) -> Option<PagingState> {
        let open = self.open.as_ref().filter(|open| !open.hidden)?;
        let full = self.page_left == 1 && self.limit_left > 1;
        full.then(|| PagingState {
            resume: open.last.clone(),
            left: self.limit_left - 1,
        })
    }

    /// The groups of the page. Aggregates without GROUP BY give a row even of nothing.
    pub(super) fn finish(
        mut self,
        plan: &SelectPlan,
        values: &BoundValues<'_>,
    ) -> Result<Vec<Cells>, RequestError> {
        if self.open.is_none() && plan.grouping.is_none() {
            return Ok(vec![
                plan.selection.group_row(plan.selection.group(), values)?,
            ]);
        }
        self.close(plan, values)?;
        Ok(self.finished)
    }
}

/// The clustering bytes that tell groups of a partition apart.
fn group_prefix(plan: &SelectPlan, row: &ReadRow<'_>) -> Vec<u8> {
    let (Some(grouping), Some((clustering, _))) = (&plan.grouping, row.row) else {
        return Vec::new();
    };
    let columns = grouping
        .columns
        .saturating_sub(plan.table.partition_key().len());
    key_prefix(&plan.table, clustering, columns).to_vec()
}

/// What the function of GROUP BY gives for a row; `None` without one, and for a partition's static row alone.
fn group_mark(
    plan: &SelectPlan,
    emitter: &Emitter<'_>,
    row: &ReadRow<'_>,
    values: &BoundValues<'_>,
) -> Result<Option<Vec<u8>>, RequestError> {
    let function = plan
        .grouping
        .as_ref()
        .and_then(|grouping| grouping.function.as_ref());
    match (function, row.row) {
        (Some(function), Some(_)) => function.value(&emitter.view(row), values),
        _ => Ok(None),
    }
}
