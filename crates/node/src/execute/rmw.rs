//! What reads a partition before it writes it: conditional statements, list elements by index or value. (Counters read
//! too, but at each replica: see `counter`.)
//!
//! Runs on the shard that owns the partition, one at a time per partition (`cluster::coordinate::partition_queue`): read,
//! decide, write, answer. A conditional batch is one such operation with several parts.

use super::batch::{KeptValues, batch_plan, modify_plan};
use super::operation::Operation;
use super::request::{Requester, Terms};
use crate::effects::Effects;
use crate::message::ReplicaError;
use crate::replica::Waiter;
use crate::reply::Reply;
use crate::shard::Shard;
use crate::statement::Statement;
use cluster::coordinate::partition_queue::Partition;
use cluster::coordinate::write::{Progress, Write};
use cluster::coordinate::{Access, ReplicaPlan, read};
use cql::frame::RequestFrame;
use cql::frame::response::{MetadataForm, RowsWriter, put_void};
use cql::frame::{ColumnSpec, ResultMetadata};
use cql::plan::modify::{ConditionsPlan, CurrentRows, ModifyPlan, WriteContext};
use cql::plan::select::input::clustering_values;
use cql::plan::values::BoundValues;
use model::clustering::Slice;
use model::error::{RequestError, WriteType};
use model::filter::{RowFilter, column_value};
use model::key::{self, DecoratedKey};
use model::mutation::Mutation;
use model::read::{Columns, Dead, Direction, Limits, Partitions, ReadCommand, ReadResponse};
use model::row::Row;
use model::schema::{Column, ColumnKind, Table};
use model::time::{BootNanos, Now};
use model::types::CqlType;
use std::sync::Arc;

/// One modification of the operation.
#[derive(Debug, Clone)]
pub struct Part {
    /// The statement.
    pub statement: Arc<Statement>,
    /// Which of its modifications, if it is a BATCH.
    pub member: Option<usize>,
    /// The values bound to it.
    pub values: KeptValues,
}

impl Part {
    fn plan(&self) -> &ModifyPlan {
        match self.member {
            None => modify_plan(&self.statement),
            Some(member) => &batch_plan(&self.statement).statements[member],
        }
    }
}

/// An operation that reads, decides and writes.
#[derive(Debug)]
pub struct RmwOperation {
    reply: Option<Reply>,
    parts: Vec<Part>,
    terms: Terms,
    context: WriteContext<'static>,
    plan: ReplicaPlan,
    write_type: WriteType,
    /// Partitions still to be worked on; the last is the one at hand. Changes of lists may name several.
    partitions: Vec<Partition>,
    current: CurrentRows,
    /// Whether something of it may be written already.
    written: bool,
    /// When the client is told to give up.
    pub deadline: BootNanos,
}

impl RmwOperation {
    fn is_conditional(&self) -> bool {
        self.parts.iter().any(|part| part.plan().is_conditional())
    }
}

impl Shard {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn modify_reading(
        &mut self,
        requester: &Requester,
        frame: &RequestFrame,
        statement: &Arc<Statement>,
        values: &BoundValues<'_>,
        terms: Terms,
        reply: Reply,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), (Reply, RequestError)> {
        let parts = vec![Part {
            statement: statement.clone(),
            member: None,
            values: values.to_owned_values(),
        }];
        self.parts_reading(requester, frame, parts, terms, reply, now, out)
    }

    /// Starts the operation here, or has the owner of its partition do it.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn parts_reading(
        &mut self,
        requester: &Requester,
        frame: &RequestFrame,
        parts: Vec<Part>,
        terms: Terms,
        reply: Reply,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), (Reply, RequestError)> {
        match self.plan_reading(&parts, &terms) {
            Err(error) => Err((reply, error)),
            Ok((owner, partitions, plan, write_type)) => {
                if owner != self.number {
                    self.forward(owner, requester, frame, reply, now, out);
                    return Ok(());
                }
                let timeout_ms = match write_type {
                    WriteType::Cas => self.config.cas_timeout_ms,
                    _ => self.config.write_timeout_ms,
                };
                let context = self.write_context(&terms, parts.len(), now);
                let operation = RmwOperation {
                    reply: Some(reply),
                    parts,
                    terms,
                    context,
                    plan,
                    write_type,
                    partitions,
                    current: CurrentRows::default(),
                    written: false,
                    deadline: now.boot.plus_millis(timeout_ms),
                };
                let number = self.operations.insert(Operation::Rmw(Box::new(operation)));
                self.rmw_next_partition(number, now, out);
                Ok(())
            }
        }
    }

    /// The owner, the partitions and the level of an operation.
    fn plan_reading(
        &mut self,
        parts: &[Part],
        terms: &Terms,
    ) -> Result<(u16, Vec<Partition>, ReplicaPlan, WriteType), RequestError> {
        let conditional = parts.iter().any(|part| part.plan().is_conditional());
        let mut partitions: Vec<Partition> = Vec::new();
        for part in parts {
            let plan = part.plan();
            let keys = plan.keys(&BoundValues::from_owned(&part.values))?;
            if plan.is_conditional() && keys.len() > 1 {
                return Err(RequestError::invalid(
                    "IN on the partition key is not supported with conditional updates",
                ));
            }
            for key in keys {
                if !partitions
                    .iter()
                    .any(|(table, known)| *table == plan.table.id && *known == key)
                {
                    partitions.push((plan.table.id, key));
                }
            }
        }
        if conditional && partitions.iter().any(|(_, key)| *key != partitions[0].1) {
            return Err(RequestError::invalid(
                "Batch with conditions cannot span multiple partitions",
            ));
        }
        let table = &parts[0].plan().table;
        let (access, write_type) = if conditional {
            self.metrics.conditional_writes += 1;
            if !terms.serial_consistency.is_serial() {
                return Err(RequestError::invalid(
                    "Invalid consistency level for conditional update. Must be one of SERIAL or LOCAL_SERIAL",
                ));
            }
            refuse_mixed_conditions(parts)?;
            if !terms.consistency.is_serial() {
                self.admit(Access::Read, terms.serial_consistency, &table.keyspace)?;
            }
            (Access::Conditional, WriteType::Cas)
        } else {
            (Access::Write, WriteType::Simple)
        };
        let plan = self.admit(access, terms.consistency, &table.keyspace)?;
        let Some((_, first)) = partitions.first() else {
            return Err(RequestError::invalid("the statement names no partition"));
        };
        // Operations on several partitions are coordinated where the first lives; each part is read and written through
        // its owner only if that is one shard, so those that span shards are split by the client's driver or refused.
        let owner = self.owner(first.token);
        if partitions
            .iter()
            .any(|(_, key)| self.owner(key.token) != owner)
        {
            return Err(RequestError::not_supported(
                "List changes by index or value of several partitions in one statement are",
            ));
        }
        partitions.reverse();
        Ok((owner, partitions, plan, write_type))
    }

    /// Waits for the turn at the next partition.
    fn rmw_next_partition(&mut self, number: u64, now: Now, out: &mut Effects) {
        let Some(Operation::Rmw(operation)) = self.operations.get_mut(number) else {
            return;
        };
        let Some(partition) = operation.partitions.last().cloned() else {
            return;
        };
        if self.partitions.acquire(partition, number).is_some() {
            self.rmw_start(number, now, out);
        }
    }

    /// The partition is held: read it.
    fn rmw_start(&mut self, number: u64, now: Now, out: &mut Effects) {
        let Some(Operation::Rmw(operation)) = self.operations.get_mut(number) else {
            return;
        };
        let Some((_, key)) = operation.partitions.last() else {
            return;
        };
        match read_commands(&operation.parts, key, operation.terms.now_seconds) {
            Err(error) => self.rmw_end(number, Err(error), now, out),
            Ok(command) => {
                if let Some(reply) = &mut operation.reply {
                    reply.note(now, || "Reading existing values".into());
                }
                if let Some(result) =
                    self.replica
                        .read(&command, Waiter::Local(number), now, &mut out.io)
                {
                    self.rmw_read(number, result, now, out);
                }
            }
        }
    }

    /// The rows are here: decide and write.
    pub(crate) fn rmw_read(
        &mut self,
        number: u64,
        result: Result<ReadResponse, ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let node = self.config.client_address.ip();
        let Some(Operation::Rmw(operation)) = self.operations.get_mut(number) else {
            return;
        };
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                let error = match error {
                    ReplicaError::Overloaded(message) => RequestError::Overloaded(message),
                    ReplicaError::Invalid(message) => RequestError::Invalid(message),
                    ReplicaError::Failed(reason, detail) => {
                        read::failure(&operation.plan, node, reason, format!(": {detail}"))
                    }
                };
                return self.rmw_end(number, Err(error), now, out);
            }
        };
        operation.current = CurrentRows {
            responses: vec![response],
        };
        if operation.is_conditional() {
            // Like a ballot, taken in the partition's turn: what was read is older, whatever clients' clocks say.
            operation.context.timestamp_micros = self.clock.next(now);
        }
        match operation.decide() {
            Err(error) => self.rmw_end(number, Err(error), now, out),
            Ok(Decision::Refused) => self.rmw_end(number, Ok(false), now, out),
            Ok(Decision::Apply(None)) => self.rmw_applied(number, Ok(()), now, out),
            Ok(Decision::Apply(Some(mutation))) => {
                operation.written = true;
                self.metrics.replica_writes += 1;
                self.replica.apply(&mutation, Waiter::Local(number), now);
            }
        }
    }

    /// The partition's mutation is durable or was refused.
    pub(crate) fn rmw_applied(
        &mut self,
        number: u64,
        result: Result<(), ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let node = self.config.client_address.ip();
        let Some(Operation::Rmw(operation)) = self.operations.get_mut(number) else {
            return;
        };
        let error = match result {
            Ok(()) => None,
            Err(ReplicaError::Overloaded(message)) => Some(RequestError::Overloaded(message)),
            Err(ReplicaError::Invalid(message)) => Some(RequestError::Invalid(message)),
            Err(ReplicaError::Failed(reason, detail)) => {
                let mut write = Write::new(operation.plan.clone(), operation.write_type);
                match write.on_failure(node, reason, format!(": {detail}")) {
                    Progress::Done(Err(error)) => Some(error),
                    Progress::Done(Ok(())) | Progress::Pending => Some(write.on_timeout()),
                }
            }
        };
        if let Some(error) = error {
            return self.rmw_end(number, Err(error), now, out);
        }
        if operation.partitions.len() > 1 {
            let done = operation.partitions.pop().expect("one is at hand");
            self.release_partition(&done);
            return self.rmw_next_partition(number, now, out);
        }
        self.rmw_end(number, Ok(true), now, out);
    }

    /// Answers and gives the partition to whoever is next.
    fn rmw_end(
        &mut self,
        number: u64,
        result: Result<bool, RequestError>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Rmw(mut operation)) = self.operations.remove(number) else {
            return;
        };
        if let Some(reply) = operation.reply.take() {
            let answer = match result {
                Ok(applied) if operation.is_conditional() => operation.answer(applied, &reply, out),
                Ok(_) => {
                    reply.result(out, put_void);
                    Ok(())
                }
                Err(error) => Err(error),
            };
            match answer {
                Ok(()) => self.finish_trace(&reply, now, out),
                Err(error) => self.fail(&reply, &error, now, out),
            }
        }
        if let Some(partition) = operation.partitions.last() {
            self.release_partition(partition);
        }
    }

    /// Gives a partition to the next operation, which goes on when the present one has returned: thousands may wait.
    pub(super) fn release_partition(&mut self, partition: &Partition) {
        if let Some(next) = self.partitions.release(partition) {
            self.holders.push_back((partition.clone(), next));
        }
    }

    /// An operation holds its partition now. Those that were given up while they waited pass it on.
    pub(crate) fn partition_held(
        &mut self,
        partition: &Partition,
        number: u64,
        now: Now,
        out: &mut Effects,
    ) {
        match self.operations.get_mut(number) {
            Some(Operation::Count(_)) => self.count_start(number, now, out),
            Some(Operation::Rmw(operation)) if operation.reply.is_none() && !operation.written => {
                self.operations.remove(number);
                self.release_partition(partition);
            }
            Some(_) => self.rmw_start(number, now, out),
            None => self.release_partition(partition),
        }
    }

    /// The deadline passed: the client is told, but a write under way keeps its partition until it ends.
    pub(super) fn rmw_time_out(&mut self, number: u64, now: Now, out: &mut Effects) {
        let Some(Operation::Rmw(operation)) = self.operations.get_mut(number) else {
            return;
        };
        operation.deadline = BootNanos(u64::MAX);
        let error = Write::new(operation.plan.clone(), operation.write_type).on_timeout();
        if let Some(reply) = operation.reply.take() {
            self.fail(&reply, &error, now, out);
        }
    }
}

enum Decision {
    Refused,
    /// The encoded mutation; none if nothing changes.
    Apply(Option<Vec<u8>>),
}

impl RmwOperation {
    fn decide(&self) -> Result<Decision, RequestError> {
        let (_, key) = self.partitions.last().expect("one is at hand");
        let seconds = self.terms.now_seconds;
        for part in self
            .parts
            .iter()
            .filter(|part| part.plan().is_conditional())
        {
            let plan = part.plan();
            let values = BoundValues::from_owned(&part.values);
            let static_row = self.current.static_row(key);
            let row = match plan.slices(&values)?.first() {
                Some(slice) if !plan.is_static_only() => self.current.row(key, &slice.start),
                _ => None,
            };
            if !plan.conditions.hold(
                static_row.as_ref(),
                row.as_ref(),
                plan.is_static_only(),
                &values,
                seconds,
            )? {
                return Ok(Decision::Refused);
            }
        }
        let mut merged: Option<Mutation> = None;
        for (index, part) in self.parts.iter().enumerate() {
            let context = WriteContext {
                current: Some(&self.current),
                list_position: self.context.list_position + index as i64,
                ..self.context
            };
            let values = BoundValues::from_owned(&part.values);
            for mutation in part.plan().mutations(&values, &context)? {
                if mutation.key != *key {
                    continue;
                }
                match &mut merged {
                    None => merged = Some(mutation),
                    Some(all) => all.merge(mutation),
                }
            }
        }
        let Some(mutation) = merged else {
            return Ok(Decision::Apply(None));
        };
        Ok(Decision::Apply(Some(mutation.encode())))
    }

    /// The rows a conditional statement answers with: `[applied]`, and if it was not, what stood in its way.
    fn answer(&self, applied: bool, reply: &Reply, out: &mut Effects) -> Result<(), RequestError> {
        let table = self.parts[0].plan().table.clone();
        let flag = ColumnSpec {
            keyspace: table.keyspace.as_str().into(),
            table: table.name.as_str().into(),
            name: "[applied]".into(),
            cql_type: CqlType::Boolean,
        };
        let rows = if applied {
            Vec::new()
        } else {
            self.rows_in_the_way()?
        };
        let columns: Vec<&Column> = if rows.is_empty() {
            Vec::new()
        } else {
            self.shown_columns(&table)
        };
        let specs = std::iter::once(flag).chain(columns.iter().map(|column| ColumnSpec {
            keyspace: table.keyspace.as_str().into(),
            table: table.name.as_str().into(),
            name: column.name.as_str().into(),
            cql_type: column.ctype.clone(),
        }));
        let metadata = ResultMetadata::new(specs.collect());
        reply.result(out, |buffer| {
            let mut writer =
                RowsWriter::begin(buffer, &metadata, reply.version, MetadataForm::Full);
            if rows.is_empty() {
                writer.cell(Some(&[u8::from(applied)]));
            }
            for row in &rows {
                writer.cell(Some(&[0]));
                for column in &columns {
                    writer.cell(self.shown_value(&table, row, column).as_deref());
                }
            }
            writer.finish(None);
        });
        Ok(())
    }

    /// The columns shown beside `[applied]`: those of the conditions, or all for IF NOT EXISTS; a batch adds the key.
    fn shown_columns<'t>(&self, table: &'t Table) -> Vec<&'t Column> {
        let conditional: Vec<&Part> = self
            .parts
            .iter()
            .filter(|part| part.plan().is_conditional())
            .collect();
        let whole = conditional.iter().any(|part| {
            matches!(
                part.plan().conditions,
                ConditionsPlan::NotExists | ConditionsPlan::Exists
            )
        });
        if whole {
            return table.columns().iter().collect();
        }
        let mut ids = Vec::new();
        if self.parts.len() > 1 {
            ids.extend(
                table
                    .partition_key()
                    .iter()
                    .chain(table.clustering_key())
                    .map(|column| column.id),
            );
        }
        for part in conditional {
            for column in part.plan().conditions.columns() {
                if !ids.contains(&column.id) {
                    ids.push(column.id);
                }
            }
        }
        ids.iter()
            .filter_map(|id| table.column_by_id(*id))
            .collect()
    }

    /// The rows conditions looked at that exist.
    fn rows_in_the_way(&self) -> Result<Vec<Shown<'_>>, RequestError> {
        let (_, key) = self.partitions.last().expect("one is at hand");
        let seconds = self.terms.now_seconds;
        let mut shown: Vec<Shown<'_>> = Vec::new();
        for part in self
            .parts
            .iter()
            .filter(|part| part.plan().is_conditional())
        {
            let plan = part.plan();
            let static_row = self.current.static_row(key);
            let values = BoundValues::from_owned(&part.values);
            let clustering = if plan.is_static_only() {
                self.current.first_row(key).map(<[u8]>::to_vec)
            } else {
                plan.slices(&values)?
                    .first()
                    .map(|slice| slice.start.clone())
            };
            let row = clustering
                .as_ref()
                .and_then(|clustering| self.current.row(key, clustering));
            let exists = row.is_some_and(|row| row.is_live(seconds));
            let static_exists = static_row.is_some_and(|row| row.is_live(seconds));
            let by_statics = matches!(&plan.conditions, ConditionsPlan::All(_)) && static_exists;
            if (exists || (plan.is_static_only() && static_exists) || by_statics)
                && !shown.iter().any(|other| other.clustering == clustering)
            {
                shown.push(Shown {
                    clustering,
                    row,
                    static_row,
                });
            }
        }
        shown.sort_by(|one, other| one.clustering.cmp(&other.clustering));
        Ok(shown)
    }

    fn shown_value(&self, table: &Table, shown: &Shown<'_>, column: &Column) -> Option<Vec<u8>> {
        let (_, key) = self.partitions.last().expect("one is at hand");
        let seconds = self.terms.now_seconds;
        match column.kind {
            ColumnKind::PartitionKey => key::split(&key.key, table.partition_key().len())
                .and_then(|parts| parts.get(column.position).map(|part| part.to_vec())),
            ColumnKind::Clustering => {
                let clustering = shown.clustering.as_ref().filter(|_| shown.row.is_some())?;
                clustering_values(table, clustering, shown.row.as_ref())
                    .into_iter()
                    .nth(column.position)
            }
            ColumnKind::Static => shown
                .static_row
                .filter(|_| self.looks_at(column))
                .and_then(|row| column_value(&row, column.id, &column.ctype, seconds)),
            ColumnKind::Regular => shown
                .row
                .filter(|_| self.looks_at(column))
                .and_then(|row| column_value(&row, column.id, &column.ctype, seconds)),
        }
    }
}

impl RmwOperation {
    /// Whether the statements look at a column: those that change static columns see all of them, those that change
    /// rows all regular ones, and every one sees the columns of its conditions.
    fn looks_at(&self, column: &Column) -> bool {
        let conditional = self
            .parts
            .iter()
            .map(Part::plan)
            .filter(|plan| plan.is_conditional());
        conditional.into_iter().any(|plan| {
            let changed = match column.kind {
                ColumnKind::Static => plan.changes_statics(),
                _ => !plan.is_static_only(),
            };
            changed
                || plan
                    .conditions
                    .columns()
                    .iter()
                    .any(|other| other.id == column.id)
        })
    }
}

/// IF NOT EXISTS of a row contradicts any other condition on it.
fn refuse_mixed_conditions(parts: &[Part]) -> Result<(), RequestError> {
    let mut seen: Vec<(Vec<Slice>, bool)> = Vec::new();
    for part in parts.iter().filter(|part| part.plan().is_conditional()) {
        let plan = part.plan();
        let absent = matches!(plan.conditions, ConditionsPlan::NotExists);
        let slices = plan.slices(&BoundValues::from_owned(&part.values))?;
        if seen
            .iter()
            .any(|(other, other_absent)| *other == slices && *other_absent != absent)
        {
            return Err(RequestError::invalid(
                "Cannot mix IF conditions and IF NOT EXISTS for the same row",
            ));
        }
        seen.push((slices, absent));
    }
    Ok(())
}

struct Shown<'a> {
    clustering: Option<Vec<u8>>,
    row: Option<Row<'a>>,
    static_row: Option<Row<'a>>,
}

/// One read that covers what all parts look at.
fn read_commands(
    parts: &[Part],
    key: &DecoratedKey,
    now_seconds: i64,
) -> Result<ReadCommand, RequestError> {
    let mut slices: Vec<Slice> = Vec::new();
    for part in parts {
        if !part.plan().is_static_only() {
            slices.extend(part.plan().slices(&BoundValues::from_owned(&part.values))?);
        }
    }
    // Statements about static columns alone show the partition's first row.
    let first_row_only = slices.is_empty();
    if first_row_only {
        slices.push(Slice::all());
    }
    slices.sort();
    slices.dedup();
    let mut disjoint: Vec<Slice> = Vec::with_capacity(slices.len());
    for slice in slices {
        match disjoint.last_mut() {
            Some(last) if slice.start <= last.end => last.end = last.end.clone().max(slice.end),
            _ => disjoint.push(slice),
        }
    }
    Ok(ReadCommand {
        table: parts[0].plan().table.id,
        partitions: Partitions::Key(key.clone()),
        slices: disjoint,
        direction: Direction::Forward,
        columns: Columns::All,
        static_counts: true,
        filter: RowFilter::default(),
        limits: if first_row_only {
            Limits {
                rows: 1,
                ..Limits::NONE
            }
        } else {
            Limits::NONE
        },
        resume: None,
        now_seconds,
        purge_before: i64::MIN,
        dead: Dead::Dropped,
    })
}
