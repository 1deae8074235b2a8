//! SELECT: one or more reads, a page of rows.
//!
//! A read of one partition goes to the shard that owns it; a read of a range goes to all shards, whose answers are
//! merged in token order. Reads go on until the page is full, the limit reached or nothing is left. Where everything
//! is at hand (the owner is this shard, the blocks are in memory) the whole of it happens in one call.

mod answer;
mod cancel;
mod progress;
mod ranges;
mod tombstones;

use super::call::{Call, Execution, Terms};
use super::group::GroupFold;
use super::operation::Operation;
use super::page::PagingState;
use super::serial::Queueing;
use crate::budget::{Held, SMALL_ANSWER_BYTES, TOO_MANY_ANSWERS};
use crate::effects::Effects;
use crate::message::{ReplicaError, ShardMessage};
use crate::replica::Caller;
use crate::reply::Reply;
use crate::shard::Shard;
use crate::statement::Statement;
use cluster::coordinate::read::Read;
use cluster::coordinate::{Access, ReplicaPlan};
use cql::plan::Plan;
use cql::plan::select::{BoundSelect, SelectPlan};
use cql::plan::values::{BoundValues, OwnedValues};
use model::error::{Consistency, RequestError};
use model::key::Token;
use model::limits::{MAX_PAGE_ROWS, MAX_READ_BYTES_A_TURN, MAX_READS_A_TURN};
use model::read::{Partitions, ReadCommand, ReadResponse, Resume};
use model::schema::TableKind;
use model::time::{BootNanos, Now};
use progress::Step;
use ranges::merge_ranges;
use std::sync::Arc;

/// A SELECT in flight.
#[derive(Debug)]
pub struct SelectOperation {
    reply: Reply,
    statement: Arc<Statement>,
    values: OwnedValues,
    bound: BoundSelect,
    terms: Terms,
    /// The read of the partition or range at hand, as this node alone has it.
    read: Read,
    /// Who else has the partition at hand, if anybody.
    replicas: Option<ReplicaPlan>,
    /// Rows the page may still take.
    page_left: u64,
    /// Rows the limit still allows.
    limit_left: u64,
    /// Which of the named partitions is next.
    next_key: usize,
    resume: Option<Resume>,
    gathered: Vec<ReadResponse>,
    /// Bytes of `gathered`.
    gathered_bytes: usize,
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
    /// The shard it goes to, if it goes to one.
    asked_shard: Option<u16>,
    /// Live rows read.
    live: u64,
    /// Tombstones read.
    tombstones: u64,
    /// Tombstones that one read of it may meet.
    tombstone_failure: u64,
    /// When the client began to wait.
    began: BootNanos,
    /// When the client is told to give up.
    pub deadline: BootNanos,
}

/// What an operation begins with, beside what was bound.
struct Begun {
    reply: Reply,
    statement: Arc<Statement>,
    values: OwnedValues,
    terms: Terms,
    read: Read,
    replicas: Option<ReplicaPlan>,
    /// When the client begins to wait, and when it is told to give up.
    span: [BootNanos; 2],
    tombstone_failure: u64,
}

impl SelectOperation {
    /// Nothing read yet. `state` is where the page before ended.
    fn begin(begun: Begun, bound: BoundSelect, state: Option<PagingState>) -> Self {
        let plan = select_plan(&begun.statement);
        let [began, deadline] = begun.span;
        let range = bound.restrictions.keys.is_none();
        let page = begun
            .terms
            .page_size
            .filter(|size| *size > 0 && plan.client_order.is_none())
            .map_or(u64::MAX, u64::from);
        let page = if plan.client_order.is_some() {
            page
        } else {
            page.min(MAX_PAGE_ROWS as u64)
        };
        let limit = match &state {
            Some(state) => state.left,
            // The limit counts rows in the order asked for, which is known when all are there.
            None if plan.client_order.is_some() && !plan.is_grouped() => u64::MAX,
            None => bound.limit,
        };
        let next_key = next_key(&bound, state.as_ref());
        let resume = state
            .map(|state| state.resume)
            .filter(|resume| range || resume.clustering.is_some());
        let group = plan.is_grouped().then(|| {
            let per_partition = bound.per_partition_limit;
            // Groups of DISTINCT come in one page, as in Cassandra.
            let page = if plan.distinct { u64::MAX } else { page };
            GroupFold::new(plan, page, limit, per_partition, resume.as_ref())
        });
        Self {
            reply: begun.reply,
            statement: begun.statement,
            values: begun.values,
            bound,
            terms: begun.terms,
            read: begun.read,
            replicas: begun.replicas,
            page_left: page,
            limit_left: limit,
            next_key,
            resume,
            gathered: Vec::new(),
            gathered_bytes: 0,
            gathered_held: Held::default(),
            group,
            answers: Vec::new(),
            answers_held: Held::default(),
            awaited: 0,
            asked_rows: 0,
            asked_shard: None,
            live: 0,
            tombstones: 0,
            tombstone_failure: begun.tombstone_failure,
            began,
            deadline,
        }
    }
}

/// Which of the named partitions a page begins with.
fn next_key(bound: &BoundSelect, state: Option<&PagingState>) -> usize {
    let (Some(keys), Some(state)) = (&bound.restrictions.keys, state) else {
        return 0;
    };
    let found = keys
        .iter()
        .position(|key| *key == state.resume.key)
        .unwrap_or(keys.len());
    found + usize::from(state.resume.clustering.is_none())
}

/// The token a page begins with.
fn first_token(bound: &BoundSelect, state: Option<&PagingState>) -> Token {
    let keys = bound.restrictions.keys.as_ref();
    let first = keys.and_then(|keys| keys.get(next_key(bound, state)));
    first.map_or(Token::MIN, |key| key.token)
}

/// Restrictions and limits of an execution, and where the page before ended.
fn bind(
    plan: &SelectPlan,
    values: &BoundValues<'_>,
    terms: &Terms,
) -> Result<(BoundSelect, Option<PagingState>), RequestError> {
    let bound = plan.bind(values)?;
    let wrong = || RequestError::Protocol("Invalid value for the paging state".into());
    let state = terms
        .paging_state
        .as_ref()
        .map(|bytes| PagingState::decode(bytes).ok_or_else(wrong))
        .transpose()?;
    let keys = bound.restrictions.keys.as_ref();
    if terms.consistency.is_serial() && keys.is_some_and(|keys| keys.len() > 1) {
        return Err(RequestError::invalid(
            "SERIAL/LOCAL_SERIAL consistency may only be requested for one partition at a time",
        ));
    }
    Ok((bound, state))
}

/// What the client is told of an aggregation over more than one partition.
fn advice(plan: &SelectPlan) -> Option<&'static str> {
    if !plan.is_grouped() {
        None
    } else if !plan.restrictions.restricts_partition() {
        Some("Aggregation query used without partition key")
    } else {
        plan.restrictions
            .partition_in()
            .then_some("Aggregation query used on multiple partition keys (IN restriction)")
    }
}

/// The rows of several named partitions are put in order when all are there, so they cannot come in pages. None at all can,
/// but for a group of none.
fn check_paged_order(
    plan: &SelectPlan,
    bound: &BoundSelect,
    terms: &Terms,
) -> Result<(), RequestError> {
    let nothing = bound.restrictions.slices.is_empty()
        || bound.restrictions.keys.as_ref().is_some_and(Vec::is_empty);
    let paged = terms.page_size.is_some_and(|size| size > 0);
    if plan.client_order.is_some() && paged && (plan.is_grouped() || !nothing) {
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
        call: &mut Call<'_>,
        plan: &SelectPlan,
        execution: Execution<'_>,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), RequestError> {
        let Execution {
            statement,
            values,
            terms,
        } = execution;
        self.check_level(Access::Read, terms.consistency, &plan.table.keyspace)?;
        let (bound, state) = bind(plan, values, &terms)?;
        let range = bound.restrictions.keys.is_none();
        let first = first_token(&bound, state.as_ref());
        let (read, replicas) = self.plan_read(plan, &bound, terms.consistency, first)?;
        call.reply().warnings.extend(advice(plan).map(Into::into));
        check_paged_order(plan, &bound, &terms)?;
        let timeout_ms = if range {
            self.metrics.range_reads += 1;
            self.config.range_timeout_ms
        } else {
            self.metrics.reads += 1;
            self.config.read_timeout_ms
        };
        call.reply().note(|| {
            if range {
                "Computing ranges to query".into()
            } else {
                format!("Executing single-partition query on {}", plan.table.name)
            }
        });
        let timeout_ms = plan
            .timeout_ms
            .map_or(timeout_ms, |own| own.min(timeout_ms));
        // Plain columns look at no bound value once the statement is under way.
        let values = if plan.selection.is_plain() && !plan.is_grouped() {
            OwnedValues::default()
        } else {
            values.to_owned_values()
        };
        let begun = Begun {
            reply: call.take_reply(),
            statement: statement.clone(),
            values,
            terms,
            read,
            replicas,
            tombstone_failure: self.config.tombstone_failure,
            span: [now.boot, now.boot.plus_millis(timeout_ms)],
        };
        let operation = Box::new(SelectOperation::begin(begun, bound, state));
        self.drive_select(operation, None, now, out);
        Ok(())
    }

    /// Who is read from for a partition of a statement, or for its range.
    fn plan_read(
        &self,
        plan: &SelectPlan,
        bound: &BoundSelect,
        level: Consistency,
        token: Token,
    ) -> Result<(Read, Option<ReplicaPlan>), RequestError> {
        let access = match bound.restrictions.keys {
            Some(_) => Access::Read,
            None => Access::Range,
        };
        let replicas = self.admit(access, level, &plan.table.keyspace, token)?;
        if self.is_local(&replicas) {
            return Ok((Read::new(replicas), None));
        }
        let local = ReplicaPlan::local(level, &self.topology);
        Ok((Read::new(local), Some(replicas)))
    }

    /// Goes on with a SELECT as far as it can at once.
    fn drive_select(
        &mut self,
        mut operation: Box<SelectOperation>,
        mut ready: Option<ReadResponse>,
        now: Now,
        out: &mut Effects,
    ) {
        let (mut reads, mut bytes) = (0, 0);
        loop {
            if let Some(response) = ready.take() {
                reads += 1;
                bytes += response.bytes.len();
                match self.take_in(&mut operation, response) {
                    Ok(Some(Step::Finish(state))) => {
                        return self.answer_select(operation, state.as_ref(), now, out);
                    }
                    Ok(Some(Step::Read(_)) | None) => {}
                    Err(error) => return self.fail(&operation.reply, &error, now, out),
                }
            }
            if reads >= MAX_READS_A_TURN || bytes >= MAX_READ_BYTES_A_TURN {
                return self.pause_select(operation);
            }
            match operation.next() {
                Step::Finish(state) => {
                    return self.answer_select(operation, state.as_ref(), now, out);
                }
                Step::Read(command) => match self.issue(operation, command, now, out) {
                    Some((back, response)) => {
                        operation = back;
                        ready = Some(response);
                    }
                    None => return,
                },
            }
        }
    }

    /// Takes in what this node read; the end of the page, if it is reached.
    fn take_in(
        &mut self,
        operation: &mut SelectOperation,
        response: ReadResponse,
    ) -> Result<Option<Step>, RequestError> {
        let result = if response.tombstones > operation.tombstone_failure {
            Err(self.too_many_tombstones())
        } else {
            Ok(response)
        };
        let response = self.endpoint().read(&mut operation.read, result)?;
        if response.tombstones > self.config.tombstone_warn {
            operation.warn_of_tombstones(&response);
        }
        let (bytes, held) = (response.bytes.len(), &mut operation.gathered_held);
        if bytes > SMALL_ANSWER_BYTES && !self.answers.hold(held, bytes) {
            return Err(RequestError::Overloaded(TOO_MANY_ANSWERS.to_owned()));
        }
        let taken = operation.take(response);
        if operation.plan().is_grouped() {
            // Its rows are folded into the groups.
            operation.gathered_held = Held::default();
        }
        taken
    }

    /// Leaves the turn to others, for as long as they take one each.
    fn pause_select(&mut self, mut operation: Box<SelectOperation>) {
        operation.asked_shard = None;
        let number = self.operations.insert(Operation::Select(operation));
        self.paused_selects.push(number);
    }

    /// Goes on with the SELECTs that left their turn to others.
    pub(crate) fn resume_selects(&mut self, now: Now, out: &mut Effects) {
        for number in std::mem::take(&mut self.paused_selects) {
            // One whose deadline passed is gone.
            if let Some(Operation::Select(operation)) = self.operations.remove(number) {
                self.drive_select(operation, None, now, out);
            }
        }
    }

    /// Sends a read to whoever owns the data. Gives the operation back with the answer if it is there at once.
    fn issue(
        &mut self,
        mut operation: Box<SelectOperation>,
        command: Box<ReadCommand>,
        now: Now,
        out: &mut Effects,
    ) -> Option<(Box<SelectOperation>, ReadResponse)> {
        operation.asked_rows = command.limits.rows;
        let token = match &command.partitions {
            Partitions::Key(key) => Some(key.token),
            Partitions::Range(_) => None,
        };
        if operation.read.is_over() {
            let (plan, level) = (operation.plan(), operation.terms.consistency);
            let first = token.unwrap_or(Token::MIN);
            match self.plan_read(plan, &operation.bound, level, first) {
                Ok((read, replicas)) => (operation.read, operation.replicas) = (read, replicas),
                Err(error) => {
                    self.fail(&operation.reply, &error, now, out);
                    return None;
                }
            }
        }
        if operation.plan().table.kind == TableKind::Virtual {
            let table = operation.plan().table.clone();
            let response = self.read_virtual(&table, &command, now);
            return Some((operation, response));
        }
        match token {
            Some(_) if operation.replicas.is_some() => {
                self.issue_to_replicas(operation, *command, now, out);
                None
            }
            Some(token) => self.issue_to(self.owner(token), operation, command, now, out),
            None => self.issue_to_all(operation, &command, now, out),
        }
    }

    /// A read of one partition. The operation gets its place only if it has to wait.
    fn issue_to(
        &mut self,
        owner: u16,
        mut operation: Box<SelectOperation>,
        command: Box<ReadCommand>,
        now: Now,
        out: &mut Effects,
    ) -> Option<(Box<SelectOperation>, ReadResponse)> {
        operation
            .reply
            .note(|| format!("Reading from shard {owner}"));
        operation.awaited = 1;
        operation.asked_shard = Some(owner);
        let turn = if operation.terms.consistency.is_serial() {
            Queueing::InTurn
        } else {
            Queueing::AtOnce
        };
        let number = self.operations.insert(Operation::Reserved);
        if owner != self.number {
            let deadline = operation.deadline;
            let message = ShardMessage::Read {
                request: number,
                command,
                deadline,
                turn,
            };
            self.tell(owner, message, out);
            self.operations
                .replace(number, Operation::Select(operation));
            return None;
        }
        self.metrics.replica_reads += 1;
        if turn == Queueing::InTurn {
            self.operations
                .replace(number, Operation::Select(operation));
            self.read_in_turn(&command, Caller::Local(number.into()), now, out);
            return None;
        }
        match self
            .replica
            .read(&command, Caller::Local(number.into()), now, &mut out.io)
        {
            Some(Ok(response)) => {
                self.operations.remove(number);
                Some((operation, response))
            }
            Some(Err(error)) => {
                self.operations.remove(number);
                self.fail_read(operation, error, now, out);
                None
            }
            None => {
                self.operations
                    .replace(number, Operation::Select(operation));
                None
            }
        }
    }

    /// A read of one partition that other nodes have, too.
    fn issue_to_replicas(
        &mut self,
        mut operation: Box<SelectOperation>,
        command: ReadCommand,
        now: Now,
        out: &mut Effects,
    ) {
        operation.reply.note(|| "Reading from replicas".to_owned());
        operation.awaited = 1;
        operation.asked_shard = Some(self.number);
        let replicas = operation.replicas.clone().expect("the caller looked");
        let table = operation.plan().table.clone();
        let deadline = operation.deadline;
        let number = self.operations.insert(Operation::Select(operation));
        self.read_replicas(number, (replicas, table), command, deadline, now, out);
    }

    /// A read of a range: every shard has a part of it.
    fn issue_to_all(
        &mut self,
        mut operation: Box<SelectOperation>,
        command: &ReadCommand,
        now: Now,
        out: &mut Effects,
    ) -> Option<(Box<SelectOperation>, ReadResponse)> {
        let shards = self.config.shards;
        operation
            .reply
            .note(|| format!("Reading from {shards} shard(s)"));
        operation.awaited = usize::from(shards);
        operation.asked_shard = None;
        operation.answers = (0..shards).map(|_| None).collect();
        let deadline = operation.deadline;
        let number = self.operations.insert(Operation::Select(operation));
        for shard in self.other_shards() {
            let command = Box::new(command.clone());
            let message = ShardMessage::Read {
                request: number,
                command,
                deadline,
                turn: Queueing::AtOnce,
            };
            self.tell(shard, message, out);
        }
        self.metrics.replica_reads += 1;
        let result = self
            .replica
            .read(command, Caller::Local(number.into()), now, &mut out.io)?;
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
    ) -> Option<(Box<SelectOperation>, ReadResponse)> {
        let Some(Operation::Select(operation)) = self.operations.get_mut(number) else {
            return None;
        };
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                if let Some(Operation::Select(operation)) = self.operations.remove(number) {
                    self.cancel_reads(number, &operation, out);
                    self.fail_read(operation, error, now, out);
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
                self.cancel_reads(number, &operation, out);
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
            Some(Operation::Select(operation)) => Some((operation, whole)),
            _ => unreachable!("just found"),
        }
    }
}
