//! BATCH, as a statement and as a message: one mutation a partition, all of them or an error.

use super::call::{Call, Execution, Requester, Terms};
use super::conditional::Shape;
use super::rmw::{Part, Reading};
use crate::effects::Effects;
use crate::shard::Shard;
use crate::statement::Statement;
use cluster::coordinate::Access;
use cluster::coordinate::write::WriteSet;
use cql::ast::BatchKind;
use cql::frame::request::{Batch, BatchQuery};
use cql::frame::response::put_void;
use cql::plan::batch::validate;
use cql::plan::modify::{ModifyPlan, WriteContext};
use cql::plan::values::{BoundValues, OwnedValues};
use cql::plan::{Plan, batch::BatchPlan};
use model::error::{Consistency, RequestError, WriteType};
use model::key::DecoratedKey;
use model::mutation::Mutation;
use model::time::Now;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A statement of a batch with its values.
struct Member<'a> {
    plan: &'a ModifyPlan,
    values: &'a BoundValues<'a>,
}

/// A batch whose values are bound.
struct Bound<'a> {
    kind: BatchKind,
    members: &'a [Member<'a>],
    /// The same, for what outlives the request's frame.
    parts: Vec<Part>,
    terms: Terms,
}

impl Shard {
    /// A BATCH message.
    pub(super) fn batch(
        &mut self,
        call: &mut Call<'_>,
        batch: &Batch<'_>,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), RequestError> {
        let parameters = &batch.parameters;
        if let Some(trace) = call.trace() {
            trace.levels(parameters.consistency, parameters.serial_consistency);
        }
        let statements = self.batch_members(&call.requester, batch)?;
        let terms = Terms::new(parameters, now)?;
        let kind = match batch.kind {
            cql::frame::request::BatchKind::Logged => BatchKind::Logged,
            cql::frame::request::BatchKind::Unlogged => BatchKind::Unlogged,
            cql::frame::request::BatchKind::Counter => BatchKind::Counter,
        };
        let parts: Vec<Part> = statements
            .iter()
            .map(|(statement, values)| Part {
                statement: statement.clone(),
                member: None,
                values: values.to_owned_values(),
            })
            .collect();
        let members: Vec<Member<'_>> = statements
            .iter()
            .map(|(statement, values)| Member {
                plan: modify_plan(statement),
                values,
            })
            .collect();
        let plans: Vec<&ModifyPlan> = members.iter().map(|member| member.plan).collect();
        validate(kind, &plans, false)?;
        let bound = Bound {
            kind,
            members: &members,
            parts,
            terms,
        };
        self.run_batch(call, bound, now, out)
    }

    fn batch_members<'a>(
        &mut self,
        requester: &Requester,
        batch: &Batch<'a>,
    ) -> Result<Vec<(Arc<Statement>, BoundValues<'a>)>, RequestError> {
        let keyspace = batch
            .parameters
            .keyspace
            .map(Into::into)
            .or_else(|| requester.keyspace.clone());
        self.check_keyspace(batch.parameters.keyspace)?;
        let mut members = Vec::with_capacity(batch.statements.len());
        for (index, member) in batch.statements.clone().enumerate() {
            let statement = match member.query {
                BatchQuery::Text(text) => {
                    Arc::new(Statement::new(text, keyspace.as_deref(), self.catalog())?)
                }
                BatchQuery::Prepared(id) => self.prepared_statement(id)?,
            };
            if !matches!(statement.prepared.plan, Plan::Modify(_)) {
                return Err(RequestError::invalid(
                    "Invalid statement in batch: only UPDATE, INSERT and DELETE statements are allowed.",
                ));
            }
            let context = requester.moment.context(index);
            let values =
                BoundValues::new(member.values, &statement.prepared.marker_names, context)?;
            members.push((statement, values));
        }
        Ok(members)
    }

    /// A BATCH statement.
    pub(super) fn batch_statement(
        &mut self,
        call: &mut Call<'_>,
        plan: &BatchPlan,
        execution: Execution<'_>,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), RequestError> {
        let Execution {
            statement,
            values,
            mut terms,
        } = execution;
        if plan.has_timestamp() {
            terms.timestamp = Some(plan.timestamp(values, 0)?);
        }
        let owned = values.to_owned_values();
        let parts = (0..plan.statements.len())
            .map(|member| Part {
                statement: statement.clone(),
                member: Some(member),
                values: owned.clone(),
            })
            .collect();
        let members: Vec<Member<'_>> = plan
            .statements
            .iter()
            .map(|plan| Member { plan, values })
            .collect();
        let bound = Bound {
            kind: plan.kind,
            members: &members,
            parts,
            terms,
        };
        self.run_batch(call, bound, now, out)
    }

    fn run_batch(
        &mut self,
        call: &mut Call<'_>,
        bound: Bound<'_>,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), RequestError> {
        self.metrics.batches += 1;
        let Bound {
            kind,
            members,
            parts,
            terms,
        } = bound;
        let Some(first) = members.first() else {
            self.succeed(&call.take_reply(), now, out, put_void);
            return Ok(());
        };
        let reads = |member: &Member<'_>| {
            member.plan.is_conditional() || !member.plan.reads_before().is_empty()
        };
        if members.iter().any(reads) {
            let reading = Reading {
                parts,
                shape: Shape::Batch,
                write_type: match kind {
                    BatchKind::Logged => WriteType::Batch,
                    _ => WriteType::UnloggedBatch,
                },
                terms,
            };
            return self.parts_reading(call, reading, now, out);
        }
        let context = self.write_context(&terms, members.len(), now);
        let (keyspaces, merged) = merge_members(members, &context)?;
        let advice = self.judge_size(kind, members, &merged)?;
        call.reply().warnings.extend(advice);
        let write_type = match kind {
            _ if first.plan.is_counter() => WriteType::Counter,
            BatchKind::Logged if merged.len() > 1 => WriteType::Batch,
            _ if merged.len() == 1 => WriteType::Simple,
            _ => WriteType::UnloggedBatch,
        };
        let level = terms.consistency;
        let write = self.plan_batch(write_type, level, &keyspaces, &merged)?;
        let reply = call.take_reply();
        if write_type == WriteType::Batch {
            self.write_logged(&merged, write, level, reply, now, out);
        } else {
            self.write(&merged, write, Some(reply), now, out);
        }
        Ok(())
    }

    /// Who is sent a batch's mutations, whose keyspaces are named one by one.
    pub(super) fn plan_batch(
        &self,
        write_type: WriteType,
        level: Consistency,
        keyspaces: &[&str],
        mutations: &[Mutation],
    ) -> Result<WriteSet, RequestError> {
        let parts = keyspaces.iter().zip(mutations);
        WriteSet::new(
            write_type,
            parts.map(|(keyspace, mutation)| {
                let token = mutation.key.token;
                let plan = self.admit(Access::Batch, level, keyspace, token)?;
                Ok(match write_type {
                    WriteType::Counter => self.led(plan, token),
                    _ => plan,
                })
            }),
        )
    }
}

impl Shard {
    /// What the client is told of a batch's size; an error if it is too large.
    fn judge_size(
        &self,
        kind: BatchKind,
        members: &[Member<'_>],
        merged: &[Mutation],
    ) -> Result<Vec<String>, RequestError> {
        let mut advice = Vec::new();
        let bytes: usize = merged.iter().map(|mutation| mutation.encode().len()).sum();
        let tables: Vec<String> = merged_tables(members);
        if bytes > self.config.batch_fail_bytes && merged.len() > 1 {
            return Err(RequestError::invalid("Batch too large"));
        }
        if bytes > self.config.batch_warn_bytes && merged.len() > 1 {
            advice.push(format!(
                "Batch for [{}] is of size {}, exceeding specified threshold of {} by {}.",
                tables.join(", "),
                display_size(bytes),
                display_size(self.config.batch_warn_bytes),
                display_size(bytes - self.config.batch_warn_bytes)
            ));
        }
        if kind == BatchKind::Unlogged && merged.len() > self.config.unlogged_batch_warn_partitions
        {
            advice.push(format!(
                "Unlogged batch covering {} partitions detected against table{} [{}]. You should use a logged batch for atomicity, or asynchronous writes for performance.",
                merged.len(),
                if tables.len() == 1 { "" } else { "s" },
                tables.join(", ")
            ));
        }
        Ok(advice)
    }
}

/// A size as Cassandra prints it: `5.391KiB`.
fn display_size(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes}B"),
        1024..0x10_0000 => format!("{:.3}KiB", bytes as f64 / 1024.0),
        _ => format!("{:.3}MiB", bytes as f64 / 1_048_576.0),
    }
}

/// One mutation a partition key and keyspace, and the keyspace of each.
fn merge_members<'a>(
    members: &[Member<'a>],
    context: &WriteContext<'_>,
) -> Result<(Vec<&'a str>, Vec<Mutation>), RequestError> {
    // Increments stay apart: merging is for what is final, and each is counted under its partition's turn.
    let mut merged: BTreeMap<(&str, DecoratedKey, Option<usize>), Mutation> = BTreeMap::new();
    for (index, member) in members.iter().enumerate() {
        // Statements of a batch append to lists in the order in which they stand.
        let context = WriteContext {
            list_position: context.list_position + index as i64,
            ..*context
        };
        for mutation in member.plan.mutations(member.values, &context)? {
            let apart = member.plan.is_counter().then_some(index);
            match merged.entry((
                member.plan.table.keyspace.as_str(),
                mutation.key.clone(),
                apart,
            )) {
                std::collections::btree_map::Entry::Vacant(slot) => {
                    slot.insert(mutation);
                }
                std::collections::btree_map::Entry::Occupied(mut slot) => {
                    slot.get_mut().merge(mutation)
                }
            }
        }
    }
    let merged = merged.into_iter();
    Ok(merged
        .map(|((keyspace, ..), mutation)| (keyspace, mutation))
        .unzip())
}

fn merged_tables(members: &[Member<'_>]) -> Vec<String> {
    let mut tables: Vec<String> = members
        .iter()
        .map(|member| format!("{}.{}", member.plan.table.keyspace, member.plan.table.name))
        .collect();
    tables.sort();
    tables.dedup();
    tables
}

/// The plan of a statement that was checked to be a modification.
pub(super) fn modify_plan(statement: &Statement) -> &ModifyPlan {
    match &statement.prepared.plan {
        Plan::Modify(plan) => plan,
        _ => unreachable!("checked to be a modification"),
    }
}

/// The plan of a statement that is a batch.
pub(super) fn batch_plan(statement: &Statement) -> &BatchPlan {
    match &statement.prepared.plan {
        Plan::Batch(plan) => plan,
        _ => unreachable!("checked to be a batch"),
    }
}

/// Values that outlive their frame.
pub(super) type KeptValues = OwnedValues;
