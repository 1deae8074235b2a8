//! SELECT: one or more reads, a page of rows.
//!
//! A read of one partition goes to the shard that owns it; a read of a range goes to all shards, whose answers are
//! merged in token order. Reads go on until the page is full, the limit reached or nothing is left. Where everything
//! is at hand (the owner is this shard, the blocks are in memory) the whole of it happens in one call.

mod answer;
mod cancel;
mod issue;
mod progress;
mod ranges;
mod tombstones;

use super::call::{Call, Execution, Terms};
use super::group::GroupFold;
use super::operation::Operation;
use super::page::PagingState;
use crate::budget::{Held, SMALL_ANSWER_BYTES, TOO_MANY_ANSWERS};
use crate::effects::Effects;
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
use model::read::{ReadResponse, Resume};
use model::time::{BootNanos, Now};
use progress::Step;
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
    replicas: Option<Others>,
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
    deadline: BootNanos,
}

/// Nodes that have what is read, beside this one or in its place.
#[derive(Debug, Clone)]
enum Others {
    /// The replicas of the partition at hand.
    Partition(ReplicaPlan),
    /// Those of a range, which change along it.
    Range,
}

/// What an operation begins with, beside what was bound.
struct Begun {
    reply: Reply,
    statement: Arc<Statement>,
    values: OwnedValues,
    terms: Terms,
    read: Read,
    replicas: Option<Others>,
    /// When the client begins to wait, and when it is told to give up.
    span: [BootNanos; 2],
    tombstone_failure: u64,
}

impl SelectOperation {
    /// When the client is told to give up; by the read over replicas that it waits for, if there is one.
    pub fn deadline(&self) -> BootNanos {
        let left_to_read = self.replicas.is_some() && !self.terms.consistency.is_serial();
        if left_to_read && self.awaited > 0 {
            BootNanos(u64::MAX)
        } else {
            self.deadline
        }
    }

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
            mut terms,
        } = execution;
        self.check_level(Access::Read, terms.consistency, &plan.table.keyspace)?;
        let (bound, state) = bind(plan, values, &terms)?;
        let range = bound.restrictions.keys.is_none();
        let first = first_token(&bound, state.as_ref());
        let (read, replicas) = self.plan_read(plan, &bound, terms.consistency, first)?;
        if replicas.is_some() {
            let user = call.requester.user.as_deref();
            let of_role = || user.and_then(|user| self.staleness_of(user));
            terms.max_staleness_ms = call.max_staleness_ms.or_else(of_role);
        }
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
    ) -> Result<(Read, Option<Others>), RequestError> {
        let keyspace = &plan.table.keyspace;
        let others = if bound.restrictions.keys.is_none() {
            if self.has_all_of(keyspace) {
                let own = self.admit(Access::Range, level, keyspace, token)?;
                return Ok((Read::new(own), None));
            }
            Others::Range
        } else {
            let replicas = self.admit(Access::Read, level, keyspace, token)?;
            if self.is_local(&replicas) {
                return Ok((Read::new(replicas), None));
            }
            Others::Partition(replicas)
        };
        let local = ReplicaPlan::local(level, &self.topology);
        Ok((Read::new(local), Some(others)))
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
}
