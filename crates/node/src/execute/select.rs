//! SELECT: one or more reads, a page of rows.
//!
//! A read of one partition goes to the shard that owns it; a read of a range goes to all shards, whose answers are
//! merged in token order. Reads go on until the page is full, the limit reached or nothing is left. Where everything
//! is at hand (the owner is this shard, the blocks are in memory) the whole of it happens in one call.

use super::group::GroupFold;
use super::merge::merge_ranges;
use super::operation::Operation;
use super::page::PagingState;
use super::request::Terms;
use super::rows::{Emitter, ReadRow, key_prefix, rows};
use crate::budget::{Held, SMALL_ANSWER_BYTES, TOO_MANY_ANSWERS};
use crate::effects::Effects;
use crate::message::{ReplicaError, ShardMessage};
use crate::replica::Waiter;
use crate::reply::Reply;
use crate::shard::Shard;
use crate::statement::Statement;
use cluster::coordinate::{Access, ReplicaPlan, read};
use cql::frame::response::{MetadataForm, RowsWriter};
use cql::plan::Plan;
use cql::plan::select::{BoundSelect, SelectPlan};
use cql::plan::values::{BoundValues, OwnedValues};
use model::error::RequestError;
use model::limits::{MAX_PAGE_BYTES, MAX_PAGE_ROWS};
use model::read::{Dead, Direction, Limits, Partitions, ReadCommand, ReadResponse, Resume};
use model::schema::TableKind;
use model::time::{BootNanos, Now};
use std::sync::Arc;

/// Rows read at a time for grouped and aggregated statements, which may need many rows for one of the result's.
const GROUP_CHUNK_ROWS: u64 = 10_000;

/// A SELECT in flight.
#[derive(Debug)]
pub struct SelectOperation {
    reply: Reply,
    statement: Arc<Statement>,
    values: OwnedValues,
    bound: BoundSelect,
    terms: Terms,
    replicas: ReplicaPlan,
    /// Rows the page may still take.
    page_left: u64,
    /// Rows the limit still allows.
    limit_left: u64,
    /// Which of the named partitions is next.
    next_key: usize,
    resume: Option<Resume>,
    gathered: Vec<ReadResponse>,
    /// What `gathered` holds of the shard's budget.
    gathered_held: Held,
    group: Option<GroupFold>,
    /// Answers of a range read, by shard; empty while none is out.
    answers: Vec<Option<ReadResponse>>,
    /// What `answers` hold of the budget.
    answers_held: Held,
    awaited: usize,
    /// Rows the read under way asked for.
    asked_rows: u64,
    tombstones: u64,
    /// When the client is told to give up.
    pub deadline: BootNanos,
}

/// What a SELECT does next.
enum Step {
    /// Read this from one shard, or a range from all.
    Read(Box<ReadCommand>),
    /// Answer; with where the next page starts, if there is more.
    Finish(Option<PagingState>),
}

impl SelectOperation {
    fn plan(&self) -> &SelectPlan {
        select_plan(&self.statement)
    }

    fn is_range(&self) -> bool {
        self.bound.restrictions.keys.is_none()
    }

    /// The next read, or the end.
    fn next(&mut self) -> Step {
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
        let limits = if plan.is_grouped() {
            Limits {
                rows: GROUP_CHUNK_ROWS,
                per_partition: if plan.distinct { 1 } else { u64::MAX },
                bytes: MAX_PAGE_BYTES,
            }
        } else {
            Limits {
                rows: self.page_left.min(self.limit_left),
                per_partition,
                bytes: MAX_PAGE_BYTES,
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
    fn take(&mut self, response: ReadResponse) -> Result<Option<Step>, RequestError> {
        self.tombstones += response.tombstones;
        if self.plan().is_grouped() {
            return self.take_grouped(&response);
        }
        let statement = self.statement.clone();
        let plan = select_plan(&statement);
        let mut last: Option<ReadRow<'_>> = None;
        let mut in_partition = 0u64;
        let mut count = 0u64;
        for row in rows(std::iter::once(&response), plan.static_counts()) {
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
        let bytes = self
            .gathered
            .iter()
            .map(|response| response.bytes.len())
            .sum::<usize>()
            + response.bytes.len();
        let more = response.more;
        if count > 0 {
            self.gathered.push(response);
        }
        let full = self.page_left == 0 || bytes >= MAX_PAGE_BYTES;
        if self.limit_left == 0 {
            return Ok(Some(Step::Finish(None)));
        }
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

/// The rows of several named partitions are put in order when all are there, so they cannot come in pages. A limit no
/// greater than the page makes one page of them.
fn check_paged_order(
    plan: &SelectPlan,
    bound: &BoundSelect,
    terms: &Terms,
) -> Result<(), RequestError> {
    let page = terms.page_size.filter(|size| *size > 0).map(u64::from);
    let paged = page.is_some_and(|page| plan.is_grouped() || bound.limit > page);
    if plan.client_order.is_some() && paged {
        return Err(RequestError::invalid(
            "Cannot page queries with both ORDER BY and a IN restriction on the partition key; you must either remove the ORDER BY or the IN and sort client side, or disable paging for this query",
        ));
    }
    Ok(())
}

/// The plan of a statement that is a SELECT.
fn select_plan(statement: &Statement) -> &SelectPlan {
    match &statement.prepared.plan {
        Plan::Select(plan) => plan,
        _ => unreachable!("dispatched by plan"),
    }
}

impl Shard {
    pub(super) fn select(
        &mut self,
        statement: &Arc<Statement>,
        values: &BoundValues<'_>,
        terms: Terms,
        mut reply: Reply,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), (Reply, RequestError)> {
        let plan = select_plan(statement);
        let prepared = self
            .admit(Access::Read, terms.consistency, &plan.table.keyspace)
            .and_then(|replicas| {
                let bound = plan.bind(values)?;
                let state = match &terms.paging_state {
                    None => None,
                    Some(bytes) => Some(PagingState::decode(bytes).ok_or_else(|| {
                        RequestError::Protocol("Invalid value for the paging state".into())
                    })?),
                };
                Ok((replicas, bound, state))
            });
        let (replicas, bound, state) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Err((reply, error)),
        };
        let range = bound.restrictions.keys.is_none();
        if terms.consistency.is_serial()
            && bound
                .restrictions
                .keys
                .as_ref()
                .is_some_and(|keys| keys.len() > 1)
        {
            let message =
                "SERIAL/LOCAL_SERIAL consistency may only be requested for one partition at a time";
            return Err((reply, RequestError::invalid(message)));
        }
        if range {
            self.metrics.range_reads += 1;
        } else {
            self.metrics.reads += 1;
        }
        if plan.is_grouped() {
            if !plan.restrictions.restricts_partition() {
                reply
                    .warnings
                    .push("Aggregation query used without partition key".into());
            } else if plan.restrictions.partition_in() {
                reply.warnings.push(
                    "Aggregation query used on multiple partition keys (IN restriction)".into(),
                );
            }
        }
        if let Err(error) = check_paged_order(plan, &bound, &terms) {
            return Err((reply, error));
        }
        reply.note(now, || {
            if range {
                "Computing ranges to query".into()
            } else {
                format!("Executing single-partition query on {}", plan.table.name)
            }
        });
        let page = terms
            .page_size
            .filter(|size| *size > 0)
            .map_or(u64::MAX, u64::from)
            .min(MAX_PAGE_ROWS as u64);
        let page = if plan.client_order.is_some() {
            u64::MAX
        } else {
            page
        };
        let limit = match &state {
            Some(state) => state.left,
            // The limit counts rows in the order asked for, which is known when all are there.
            None if plan.client_order.is_some() && !plan.is_grouped() => u64::MAX,
            None => bound.limit,
        };
        let next_key = match (&bound.restrictions.keys, &state) {
            (Some(keys), Some(state)) => {
                let found = keys
                    .iter()
                    .position(|key| *key == state.resume.key)
                    .unwrap_or(keys.len());
                if state.resume.clustering.is_none() {
                    found + 1
                } else {
                    found
                }
            }
            _ => 0,
        };
        let resume = state
            .map(|state| state.resume)
            .filter(|resume| range || resume.clustering.is_some());
        let group = plan.is_grouped().then(|| {
            GroupFold::new(
                plan,
                page,
                limit,
                bound.per_partition_limit,
                resume.as_ref(),
            )
        });
        let timeout_ms = if range {
            self.config.range_timeout_ms
        } else {
            self.config.read_timeout_ms
        };
        let timeout_ms = plan
            .timeout_ms
            .map_or(timeout_ms, |own| own.min(timeout_ms));
        let operation = SelectOperation {
            reply,
            statement: statement.clone(),
            // Plain columns look at no bound value once the statement is under way.
            values: if plan.selection.is_plain() && !plan.is_grouped() {
                OwnedValues::default()
            } else {
                values.to_owned_values()
            },
            bound,
            terms,
            replicas,
            page_left: page,
            limit_left: limit,
            next_key,
            resume,
            gathered: Vec::new(),
            gathered_held: Held::default(),
            group,
            answers: Vec::new(),
            answers_held: Held::default(),
            awaited: 0,
            asked_rows: 0,
            tombstones: 0,
            deadline: now.boot.plus_millis(timeout_ms),
        };
        self.drive_select(operation, None, now, out);
        Ok(())
    }

    /// Goes on with a SELECT as far as it can at once. `number` is where it lives if it waited before.
    fn drive_select(
        &mut self,
        mut operation: SelectOperation,
        mut ready: Option<ReadResponse>,
        now: Now,
        out: &mut Effects,
    ) {
        loop {
            if let Some(response) = ready.take() {
                if operation.tombstones + response.tombstones > self.config.tombstone_failure {
                    return self.fail_tombstones(&operation, now, out);
                }
                if response.bytes.len() > SMALL_ANSWER_BYTES
                    && !self
                        .answers
                        .hold(&mut operation.gathered_held, response.bytes.len())
                {
                    return self.fail(
                        &operation.reply,
                        &RequestError::Overloaded(TOO_MANY_ANSWERS.to_owned()),
                        now,
                        out,
                    );
                }
                match operation.take(response) {
                    Ok(Some(Step::Finish(state))) => {
                        return self.answer_select(operation, state.as_ref(), now, out);
                    }
                    Ok(Some(Step::Read(_)) | None) => {}
                    Err(error) => return self.fail(&operation.reply, &error, now, out),
                }
            }
            match operation.next() {
                Step::Finish(state) => {
                    return self.answer_select(operation, state.as_ref(), now, out);
                }
                Step::Read(command) => match self.issue(operation, *command, now, out) {
                    Some((back, response)) => {
                        operation = back;
                        ready = Some(response);
                    }
                    None => return,
                },
            }
        }
    }

    /// Sends a read to whoever owns the data. Gives the operation back with the answer if it is there at once.
    fn issue(
        &mut self,
        mut operation: SelectOperation,
        command: ReadCommand,
        now: Now,
        out: &mut Effects,
    ) -> Option<(SelectOperation, ReadResponse)> {
        operation.asked_rows = command.limits.rows;
        if operation.plan().table.kind == TableKind::Virtual {
            let table = operation.plan().table.clone();
            let response = self.read_virtual(&table, &command, now);
            return Some((operation, response));
        }
        match &command.partitions {
            Partitions::Key(key) => {
                let owner = self.owner(key.token);
                self.issue_to(owner, operation, command, now, out)
            }
            Partitions::Range(_) => self.issue_to_all(operation, &command, now, out),
        }
    }

    /// A read of one partition. The operation gets its place only if it has to wait.
    fn issue_to(
        &mut self,
        owner: u16,
        mut operation: SelectOperation,
        command: ReadCommand,
        now: Now,
        out: &mut Effects,
    ) -> Option<(SelectOperation, ReadResponse)> {
        operation
            .reply
            .note(now, || format!("Reading from shard {owner}"));
        operation.awaited = 1;
        let number = self.operations.insert(Operation::Reserved);
        if owner != self.number {
            let deadline = operation.deadline;
            let message = ShardMessage::Read {
                request: number,
                command: Box::new(command),
                deadline,
            };
            self.tell(owner, message, out);
            self.operations
                .replace(number, Operation::Select(Box::new(operation)));
            return None;
        }
        self.metrics.replica_reads += 1;
        match self
            .replica
            .read(&command, Waiter::Local(number), now, &mut out.io)
        {
            Some(Ok(response)) => {
                self.operations.remove(number);
                Some((operation, response))
            }
            Some(Err(error)) => {
                self.operations.remove(number);
                self.fail_read(&operation, error, now, out);
                None
            }
            None => {
                self.operations
                    .replace(number, Operation::Select(Box::new(operation)));
                None
            }
        }
    }

    /// A read of a range: every shard has a part of it.
    fn issue_to_all(
        &mut self,
        mut operation: SelectOperation,
        command: &ReadCommand,
        now: Now,
        out: &mut Effects,
    ) -> Option<(SelectOperation, ReadResponse)> {
        let shards = self.config.shards;
        operation
            .reply
            .note(now, || format!("Reading from {shards} shard(s)"));
        operation.awaited = usize::from(shards);
        operation.answers = (0..shards).map(|_| None).collect();
        let deadline = operation.deadline;
        let number = self
            .operations
            .insert(Operation::Select(Box::new(operation)));
        for shard in self.other_shards() {
            let command = Box::new(command.clone());
            let message = ShardMessage::Read {
                request: number,
                command,
                deadline,
            };
            self.tell(shard, message, out);
        }
        self.metrics.replica_reads += 1;
        let result = self
            .replica
            .read(command, Waiter::Local(number), now, &mut out.io)?;
        self.collect(number, self.number, result, now, out)
    }

    /// One shard answered.
    pub(crate) fn select_read(
        &mut self,
        number: u64,
        from: u16,
        result: Result<ReadResponse, ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        if let Some((operation, response)) = self.collect(number, from, result, now, out) {
            self.drive_select(operation, Some(response), now, out);
        }
    }

    /// Keeps one shard's answer; when it was the last, takes the operation out with what they answered together.
    fn collect(
        &mut self,
        number: u64,
        from: u16,
        result: Result<ReadResponse, ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) -> Option<(SelectOperation, ReadResponse)> {
        let Some(Operation::Select(operation)) = self.operations.get_mut(number) else {
            return None;
        };
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                if let Some(Operation::Select(operation)) = self.operations.remove(number) {
                    self.fail_read(&operation, error, now, out);
                }
                return None;
            }
        };
        let bytes = response.bytes.len();
        if operation.awaited > 1
            && bytes > SMALL_ANSWER_BYTES
            && !self.answers.hold(&mut operation.answers_held, bytes)
        {
            if let Some(Operation::Select(operation)) = self.operations.remove(number) {
                self.fail(
                    &operation.reply,
                    &RequestError::Overloaded(TOO_MANY_ANSWERS.to_owned()),
                    now,
                    out,
                );
            }
            return None;
        }
        operation.awaited -= 1;
        let whole = if operation.answers.is_empty() {
            response
        } else {
            operation.answers[usize::from(from)] = Some(response);
            if operation.awaited > 0 {
                return None;
            }
            operation.answers_held = Held::default();
            let mut answers: Vec<ReadResponse> = operation.answers.drain(..).flatten().collect();
            if answers.len() == 1 {
                answers.remove(0)
            } else {
                merge_ranges(answers, operation.asked_rows)
            }
        };
        match self.operations.remove(number) {
            Some(Operation::Select(operation)) => Some((*operation, whole)),
            _ => unreachable!("just found"),
        }
    }

    fn fail_read(
        &mut self,
        operation: &SelectOperation,
        error: ReplicaError,
        now: Now,
        out: &mut Effects,
    ) {
        let node = self.config.client_address.ip();
        let error = match error {
            ReplicaError::Overloaded(message) => RequestError::Overloaded(message),
            ReplicaError::Invalid(message) => RequestError::Invalid(message),
            ReplicaError::Failed(reason, detail) => {
                read::failure(&operation.replicas, node, reason, format!(": {detail}"))
            }
        };
        self.fail(&operation.reply, &error, now, out);
    }

    fn fail_tombstones(&mut self, operation: &SelectOperation, now: Now, out: &mut Effects) {
        const READ_TOO_MANY_TOMBSTONES: u16 = 1;
        let node = self.config.client_address.ip();
        let detail = format!(": READ_TOO_MANY_TOMBSTONES from {node}");
        let error = read::failure(&operation.replicas, node, READ_TOO_MANY_TOMBSTONES, detail);
        self.fail(&operation.reply, &error, now, out);
    }

    fn answer_select(
        &mut self,
        mut operation: SelectOperation,
        state: Option<&PagingState>,
        now: Now,
        out: &mut Effects,
    ) {
        let statement = operation.statement.clone();
        let plan = select_plan(&statement);
        if operation.tombstones > self.config.tombstone_warn {
            operation.reply.warnings.push(format!(
                "Read {} live rows and {} tombstone cells for query on {}.{} (see tombstone_warn_threshold)",
                operation.gathered.iter().map(|response| response.rows).sum::<u64>(),
                operation.tombstones,
                plan.table.keyspace,
                plan.table.name
            ));
        }
        let values = BoundValues::from_owned(&operation.values);
        let finished = match operation.group.take() {
            Some(fold) => match fold.finish(plan, &values) {
                Ok(rows) => Some(rows),
                Err(error) => return self.fail(&operation.reply, &error, now, out),
            },
            None => None,
        };
        operation.reply.note(now, || {
            format!(
                "Read {} live rows",
                operation
                    .gathered
                    .iter()
                    .map(|response| response.rows)
                    .sum::<u64>()
            )
        });
        let form = match &operation.terms.known_metadata {
            Some(known) if *known != plan.metadata.id() => MetadataForm::Changed,
            _ if operation.terms.skip_metadata => MetadataForm::Skipped,
            _ => MetadataForm::Full,
        };
        let mut failed = None;
        let paging = state.map(PagingState::encode);
        let reply = &operation.reply;
        let start = out.buffer.len();
        let responses = out.responses.len();
        let messages = out.messages.len();
        reply.result(out, |buffer| {
            let mut writer = RowsWriter::begin(buffer, &plan.metadata, reply.version, form);
            let result = match &finished {
                Some(rows) => {
                    rows.iter()
                        .flatten()
                        .for_each(|cell| writer.cell(cell.as_deref()));
                    Ok(())
                }
                None => write_rows(&mut writer, plan, &operation, &values),
            };
            match result {
                Ok(()) => writer.finish(paging.as_deref()),
                Err(error) => failed = Some(error),
            }
        });
        if let Some(error) = failed {
            out.buffer.truncate(start);
            out.responses.truncate(responses);
            out.messages.truncate(messages);
            return self.fail(&operation.reply, &error, now, out);
        }
        self.finish_trace(&operation.reply, now, out);
    }

    /// The deadline passed.
    pub(super) fn select_time_out(
        &mut self,
        operation: &SelectOperation,
        now: Now,
        out: &mut Effects,
    ) {
        self.fail(
            &operation.reply,
            &read::timeout(&operation.replicas),
            now,
            out,
        );
    }
}

/// Writes what was gathered, in the order asked for.
fn write_rows(
    writer: &mut RowsWriter<'_>,
    plan: &SelectPlan,
    operation: &SelectOperation,
    values: &BoundValues<'_>,
) -> Result<(), RequestError> {
    let emitter = Emitter::new(plan, operation.terms.now_seconds);
    let all = rows(operation.gathered.iter(), plan.static_counts());
    let Some(order) = plan.client_order else {
        for row in all {
            emitter.write(writer, &row, values)?;
        }
        return Ok(());
    };
    let mut sorted: Vec<ReadRow<'_>> = all.collect();
    let compared = |row: &ReadRow<'_>| {
        row.row
            .map(|(key, _)| key_prefix(&plan.table, key, order.columns).to_vec())
    };
    sorted.sort_by(|one, other| {
        let by_row = compared(one).cmp(&compared(other));
        if order.direction == Direction::Backward {
            by_row.reverse()
        } else {
            by_row
        }
    });
    let limit = usize::try_from(operation.bound.limit).unwrap_or(usize::MAX);
    for row in sorted.iter().take(limit) {
        emitter.write(writer, row, values)?;
    }
    Ok(())
}
