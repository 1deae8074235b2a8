//! The answer of a SELECT: a RESULT of rows, or an error.

use super::{SelectOperation, select_plan};
use crate::effects::Effects;
use crate::execute::page::PagingState;
use crate::execute::rows::{Emitter, ReadRow, each_row, key_prefix, rows};
use crate::latency::Measure;
use crate::message::{READ_TOO_MANY_TOMBSTONES, ReplicaError};
use crate::shard::Shard;
use cql::frame::response::{MetadataForm, RowsWriter};
use cql::plan::select::SelectPlan;
use cql::plan::values::BoundValues;
use model::error::RequestError;
use model::read::Direction;
use model::time::Now;
use model::touch::touch;

impl Shard {
    /// This node could not read.
    pub(super) fn fail_read(
        &mut self,
        mut operation: Box<SelectOperation>,
        error: ReplicaError,
        now: Now,
        out: &mut Effects,
    ) {
        let error = match error {
            ReplicaError::Failed(READ_TOO_MANY_TOMBSTONES, _) => self.too_many_tombstones(),
            other => other,
        };
        if let Err(error) = self.endpoint().read(&mut operation.read, Err(error)) {
            self.fail(&operation.reply, &error, now, out);
        }
    }

    pub(super) fn answer_select(
        &mut self,
        mut operation: Box<SelectOperation>,
        state: Option<&PagingState>,
        now: Now,
        out: &mut Effects,
    ) {
        let statement = operation.statement.clone();
        let plan = select_plan(&statement);
        let values = BoundValues::from_owned(&operation.values);
        let finished = match operation.group.take() {
            Some(fold) => match fold.finish(plan, &values) {
                Ok(rows) => Some(rows),
                Err(error) => return self.fail(&operation.reply, &error, now, out),
            },
            None => None,
        };
        operation.reply.note(|| {
            format!(
                "Read {} live rows and {} tombstone cells",
                operation.live, operation.tombstones
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
        let measure = match operation.bound.restrictions.keys {
            Some(_) => Measure::CoordinatorRead,
            None => Measure::CoordinatorScan,
        };
        let latencies = &mut self.replica.latencies;
        latencies.took(plan.table.id, measure, operation.began, now.boot);
        self.finish_trace(&operation.reply, now, out);
    }

    /// The deadline passed.
    pub(in crate::execute) fn select_time_out(
        &mut self,
        number: u64,
        operation: &SelectOperation,
        now: Now,
        out: &mut Effects,
    ) {
        self.cancel_reads(number, operation, out);
        self.fail(&operation.reply, &operation.read.on_timeout(), now, out);
    }
}

/// Writes what was gathered, in the order asked for.
fn write_rows(
    writer: &mut RowsWriter<'_>,
    plan: &SelectPlan,
    operation: &SelectOperation,
    values: &BoundValues<'_>,
) -> Result<(), RequestError> {
    // Another shard's answer is in the cache of another core.
    for response in &operation.gathered {
        touch(&response.bytes);
    }
    let mut emitter = Emitter::new(plan, operation.terms.now_seconds);
    if plan.client_order.is_none() && plan.table.statics().is_empty() {
        return each_row(operation.gathered.iter(), |row| {
            emitter.write(writer, row, values)
        });
    }
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
