//! What a SELECT in flight reads next, and what it makes of each answer: rows until the page is full, the limit reached
//! or nothing is left. Knows no shard.

use super::{SelectOperation, select_plan};
use crate::execute::page::PagingState;
use crate::execute::rows::{Emitter, ReadRow, rows};
use cql::plan::select::SelectPlan;
use cql::plan::values::BoundValues;
use model::error::RequestError;
use model::limits::MAX_PAGE_BYTES;
use model::read::{Dead, Limits, Partitions, ReadCommand, ReadResponse, Resume};

/// Rows read at a time for grouped and aggregated statements, which may need many rows for one of the result's.
const GROUP_CHUNK_ROWS: u64 = 10_000;

/// What a SELECT does next.
pub(super) enum Step {
    /// Read this from one shard, or a range from all.
    Read(Box<ReadCommand>),
    /// Answer; with where the next page starts, if there is more.
    Finish(Option<PagingState>),
}

impl SelectOperation {
    pub(super) fn plan(&self) -> &SelectPlan {
        select_plan(&self.statement)
    }

    fn is_range(&self) -> bool {
        self.bound.restrictions.keys.is_none()
    }

    /// The next read, or the end.
    pub(super) fn next(&mut self) -> Step {
        let keys = self.bound.restrictions.keys.as_ref();
        let exhausted = keys.is_some_and(|keys| self.next_key >= keys.len());
        if exhausted || self.limit_left == 0 || self.bound.restrictions.slices.is_empty() {
            return Step::Finish(None);
        }
        let partitions = match keys {
            Some(keys) => Partitions::Key(keys[self.next_key].clone()),
            None => Partitions::Range(self.bound.restrictions.range.clone()),
        };
        let plan = select_plan(&self.statement);
        let per_partition = if plan.distinct {
            1
        } else {
            self.bound.per_partition_limit
        };
        let tombstones = self.tombstone_failure;
        let limits = if plan.is_grouped() {
            Limits {
                rows: GROUP_CHUNK_ROWS,
                per_partition: if plan.distinct { 1 } else { u64::MAX },
                bytes: MAX_PAGE_BYTES,
                tombstones,
            }
        } else {
            Limits {
                rows: self.page_left.min(self.limit_left),
                per_partition,
                bytes: MAX_PAGE_BYTES,
                tombstones,
            }
        };
        Step::Read(Box::new(ReadCommand {
            table: plan.table.id,
            partitions,
            slices: self.bound.restrictions.slices.clone(),
            direction: plan.direction,
            columns: plan.columns.clone(),
            static_counts: plan.static_counts(),
            filter: self.bound.restrictions.filter.clone(),
            limits,
            resume: self.resume_rows(plan),
            now_seconds: self.terms.now_seconds,
            purge_before: i64::MIN,
            dead: Dead::Dropped,
        }))
    }

    /// Where the next read begins. What a paging state says is left to a partition are groups in a grouped statement, and
    /// a group may have any number of rows; but DISTINCT takes one of each partition.
    fn resume_rows(&self, plan: &SelectPlan) -> Option<Resume> {
        let mut resume = self.resume.clone()?;
        if plan.is_grouped() {
            resume.left_in_partition = if plan.distinct { 0 } else { u64::MAX };
        }
        Some(resume)
    }

    /// Takes in what was read; the end of the page, if it is reached.
    pub(super) fn take(&mut self, response: ReadResponse) -> Result<Option<Step>, RequestError> {
        self.live += response.rows;
        self.tombstones += response.tombstones;
        if self.plan().is_grouped() {
            return self.take_grouped(&response);
        }
        if self.is_complete_with(&response) {
            // The usual end: nobody will ask where to go on.
            self.gathered.push(response);
            return Ok(Some(Step::Finish(None)));
        }
        let (count, partition_done) = self.advance(&response);
        let bytes = self.gathered_bytes + response.bytes.len();
        let more = response.more;
        if count > 0 {
            self.gathered_bytes = bytes;
            self.gathered.push(response);
        }
        let full = self.page_left == 0 || bytes >= MAX_PAGE_BYTES;
        if self.is_range() {
            // A full page has a next one, even if that turns out to be empty: as Cassandra, which looks no further.
            return Ok(match (full, more) {
                (true, _) => Some(Step::Finish(self.paging_state())),
                (false, true) => None,
                (false, false) => Some(Step::Finish(None)),
            });
        }
        if !partition_done {
            return Ok(full.then(|| Step::Finish(self.paging_state())));
        }
        self.next_key += 1;
        let has_next = self.next_key < self.bound.restrictions.keys.as_ref().map_or(0, Vec::len);
        if full && has_next {
            if let Some(resume) = &mut self.resume {
                resume.clustering = None;
            }
            return Ok(Some(Step::Finish(self.paging_state())));
        }
        self.resume = None;
        Ok(None)
    }

    /// Whether nothing is left to read after this response: the limit is reached, or the last partition is done with.
    fn is_complete_with(&self, response: &ReadResponse) -> bool {
        let is_last = |keys: &Vec<_>| self.next_key + 1 == keys.len();
        response.rows == self.limit_left
            || !response.more
                && response.rows <= self.limit_left
                && self.bound.restrictions.keys.as_ref().is_some_and(is_last)
    }

    /// Counts the rows read and remembers the last; whether its partition has no more to give.
    fn advance(&mut self, response: &ReadResponse) -> (u64, bool) {
        let statement = self.statement.clone();
        let plan = select_plan(&statement);
        let mut last: Option<ReadRow<'_>> = None;
        let mut in_partition = 0u64;
        let mut count = 0u64;
        for row in rows(std::iter::once(response), plan.static_counts()) {
            in_partition = if last.is_some_and(|before| before.key == row.key) {
                in_partition + 1
            } else {
                1
            };
            count += 1;
            last = Some(row);
        }
        let carried = self
            .resume
            .as_ref()
            .map(|resume| (resume.key.clone(), resume.left_in_partition));
        self.page_left = self.page_left.saturating_sub(count);
        self.limit_left = self.limit_left.saturating_sub(count);
        let mut partition_done = !response.more;
        if let Some(row) = &last {
            let allowed = match &carried {
                Some((key, left)) if *key.key == *row.key => *left,
                _ if plan.distinct => 1,
                _ => self.bound.per_partition_limit,
            };
            let left = allowed.saturating_sub(in_partition);
            let mut resume = row.resume(left);
            if left == 0 {
                resume.clustering = None;
            }
            // Nothing comes after the last row that a partition may give, its only row or its static row.
            partition_done |=
                left == 0 || row.row.is_none() || plan.table.clustering_key().is_empty();
            self.resume = Some(resume);
        }
        (count, partition_done)
    }

    fn paging_state(&self) -> Option<PagingState> {
        self.resume.clone().map(|resume| PagingState {
            resume,
            left: self.limit_left,
        })
    }

    fn take_grouped(&mut self, response: &ReadResponse) -> Result<Option<Step>, RequestError> {
        let statement = self.statement.clone();
        let plan = select_plan(&statement);
        let values = BoundValues::from_owned(&self.values);
        let emitter = Emitter::new(plan, self.terms.now_seconds);
        let keys = self.bound.restrictions.keys.as_ref().map(Vec::len);
        let more_keys = keys.is_some_and(|keys| self.next_key + 1 < keys);
        let fold = self.group.as_mut().expect("a grouped statement folds");
        let mut last = None;
        for row in rows(std::iter::once(response), plan.static_counts()) {
            if let Some(mut resume) = fold.add(plan, &emitter, &row, &values)? {
                // The page or the limit is full: the next page begins after the last finished group.
                let left = fold.limit_left;
                if keys.is_some() && resume.left_in_partition == 0 {
                    resume.clustering = None;
                    if !more_keys {
                        return Ok(Some(Step::Finish(None)));
                    }
                }
                let state = (left > 0).then_some(PagingState { resume, left });
                return Ok(Some(Step::Finish(state)));
            }
            last = Some(row.resume(u64::MAX));
        }
        let drawn = values.context.drawn();
        self.values.resume_after(drawn);
        if response.more {
            self.resume = last.or(self.resume.take());
            return Ok(None);
        }
        self.next_key += 1;
        self.resume = None;
        if more_keys {
            return Ok(None);
        }
        // A full page has a next one, even if that turns out to be empty; but not if the last partition named may give
        // no more.
        let fold = self.group.as_ref().expect("a grouped statement folds");
        let state = fold
            .resume_if_full()
            .filter(|state| keys.is_none() || state.resume.left_in_partition > 0);
        Ok(Some(Step::Finish(state)))
    }
}
