//! Counting: increments become this shard's share of the counter.
//!
//! One live replica leads an increment: it reads its own share, adds to it under a higher clock and writes the context; merging
//! contexts counts every increment once. One at a time per partition, because two that read the same share would lose one. What it
//! counted goes to the other replicas as any write does, with an id, until the level is reached; whoever asked hears then. Nobody asks another
//! leader: increments that were acknowledged happened once, others once or not at all.

use super::modify::WriteOperation;
use super::operation::Operation;
use super::partition_queue::Partition;
use crate::effects::Effects;
use crate::message::{ReplicaError, ShardMessage};
use crate::replica::{Caller, Finished};
use crate::shard::Shard;
use cluster::coordinate::write::WriteSet;
use cluster::coordinate::{Access, ReplicaPlan, Replicas};
use cql::plan::modify::CurrentRows;
use model::clustering::Slice;
use model::error::{Consistency, WriteType};
use model::key::DecoratedKey;
use model::merge::counter::{self, LeaderId};
use model::mutation::{Mutation, MutationView};
use model::read::{Partitions, ReadCommand, ReadResponse};
use model::row::{Cell, CellKind, Row, RowWriter};
use model::time::Now;
use model::track::MutationId;
use storage::held::Members;

/// Increments of one partition of one table.
#[derive(Debug)]
pub struct CountOperation {
    caller: Caller,
    /// Increments; the leader's new shares once it has counted.
    mutation: Vec<u8>,
    partition: Partition,
    /// The level that is to be reached.
    level: Consistency,
    /// Who else has the partition, if anybody.
    replicas: Option<ReplicaPlan>,
    /// The epoch of the metadata that is so at.
    epoch: u64,
    /// Whether what was counted is being synced.
    syncs: bool,
    /// The id of what was counted, and whom it is for.
    tracked: Option<(MutationId, Members)>,
}

/// A node alone has nobody who remembers more than it does.
const INCARNATION: u16 = 0;

impl Shard {
    /// Counts the increments of an encoded mutation of one table.
    pub(super) fn count(
        &mut self,
        mutation: Vec<u8>,
        level: Consistency,
        caller: Caller,
        now: Now,
        out: &mut Effects,
    ) {
        let view = MutationView::parse(&mutation).expect("built by this process");
        let Some((table, _)) = view.updates().next() else {
            return self.answer_caller(caller, Ok(()), now, out);
        };
        let partition = (
            table,
            DecoratedKey {
                token: view.token,
                key: view.key.into(),
            },
        );
        let replicas = match self.followers(&partition, level) {
            Ok(replicas) => replicas,
            Err(error) => return self.answer_caller(caller, Err(error), now, out),
        };
        let operation = CountOperation {
            caller,
            mutation,
            partition: partition.clone(),
            level,
            replicas,
            epoch: self.topology.epoch,
            syncs: false,
            tracked: None,
        };
        let number = self
            .operations
            .insert(Operation::Count(Box::new(operation)));
        if self.partitions.acquire(partition, number).is_some() {
            self.count_start(number, now, out);
        }
    }

    /// The replicas of increments that this node leads; `None` if it is alone.
    fn followers(
        &self,
        (table, key): &Partition,
        level: Consistency,
    ) -> Result<Option<ReplicaPlan>, ReplicaError> {
        if self.topology.nodes.len() == 1 {
            return Ok(None);
        }
        let Some(table) = self.schema.tables().find(|known| known.id == *table) else {
            return Err(ReplicaError::Invalid("the table is gone".to_owned()));
        };
        let plan = self.admit(Access::Write, level, &table.keyspace, key.token);
        let plan = plan.map_err(|error| ReplicaError::Told(Box::new(error)))?;
        if self.is_local(&plan) {
            return Ok(None);
        }
        if !plan.has(self.topology.local) {
            return Err(ReplicaError::Outdated);
        }
        Ok(Some(plan))
    }

    /// The partition is held: read the counters.
    pub(super) fn count_start(&mut self, number: u64, now: Now, out: &mut Effects) {
        let Some(Operation::Count(operation)) = self.operations.get_mut(number) else {
            return;
        };
        let view = MutationView::parse(&operation.mutation).expect("built by this process");
        let slices = view
            .updates()
            .flat_map(|(_, update)| {
                update
                    .rows()
                    .map(|(key, _)| Slice::prefix(key))
                    .collect::<Vec<_>>()
            })
            .collect();
        let (table, key) = operation.partition.clone();
        let command = ReadCommand {
            slices,
            ..ReadCommand::all(table, Partitions::Key(key), now.wall.seconds())
        };
        if let Some(result) =
            self.replica
                .read(&command, Caller::Local(number.into()), now, &mut out.io)
        {
            self.count_read(number, result, now, out);
        }
    }

    /// Increments that waited go to the replicas there are now.
    fn count_for_present(&mut self, number: u64) -> Result<(), ReplicaError> {
        let epoch = self.topology.epoch;
        let waited = match self.operations.get_mut(number) {
            Some(Operation::Count(operation)) if operation.epoch != epoch => operation,
            _ => return Ok(()),
        };
        let (partition, level) = (waited.partition.clone(), waited.level);
        let replicas = self.followers(&partition, level)?;
        if let Some(Operation::Count(operation)) = self.operations.get_mut(number) {
            operation.replicas = replicas;
            operation.epoch = epoch;
        }
        Ok(())
    }

    /// The counters are here: add and write.
    pub(crate) fn count_read(
        &mut self,
        number: u64,
        result: Result<ReadResponse, ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let result = result.and_then(|response| {
            self.count_for_present(number)?;
            Ok(response)
        });
        let leader = LeaderId::new(self.topology.local.0, INCARNATION, self.number);
        let Some(Operation::Count(operation)) = self.operations.get_mut(number) else {
            return;
        };
        match result {
            Err(error) => self.count_applied(number, Err(error), now, out),
            Ok(response) => {
                let current = CurrentRows {
                    responses: vec![(operation.partition.0, response)],
                };
                let counted = counted(
                    &operation.mutation,
                    &operation.partition.1,
                    &current,
                    leader,
                    now,
                );
                let mutation = counted.encode();
                let caller = Caller::Local(number.into());
                self.apply_counted(number, mutation, caller, now);
            }
        }
    }

    /// Applies what was counted, under an id if others have the partition, too: who misses it fetches it.
    fn apply_counted(&mut self, number: u64, mutation: Vec<u8>, caller: Caller, now: Now) {
        let Some(Operation::Count(operation)) = self.operations.get_mut(number) else {
            return;
        };
        let replicas = operation.replicas.as_ref();
        let replicas: Replicas = replicas
            .map(|plan| plan.replicas.clone())
            .unwrap_or_default();
        let replicas = replicas.iter().map(|replica| replica.node);
        let tracked = match self.members_for(replicas, &mutation) {
            Some(members) => {
                let terms = (&members, self.topology.epoch);
                let id = self.apply_as_origin(&mutation, terms, caller, now);
                id.map(|id| (id, members))
            }
            None => {
                self.replica.apply(&mutation, caller, now);
                None
            }
        };
        if let Some(Operation::Count(operation)) = self.operations.get_mut(number) {
            (operation.mutation, operation.tracked) = (mutation, tracked);
        }
    }

    /// The contexts are durable, or were refused.
    pub(crate) fn count_applied(
        &mut self,
        number: u64,
        result: Result<(), ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        if let Some(Operation::Count(operation)) = self.operations.get_mut(number)
            && operation.replicas.is_some()
            && result.is_ok()
            && !std::mem::replace(&mut operation.syncs, true)
        {
            // What others are told of is not forgotten here: it would be counted again from before.
            return self.replica.confirm_synced(Caller::Local(number.into()));
        }
        let Some(Operation::Count(operation)) = self.operations.remove(number) else {
            return;
        };
        self.release_partition(&operation.partition);
        match operation.replicas {
            Some(plan) if result.is_ok() => {
                let counted = (operation.tracked, operation.mutation);
                self.share_count(plan, &counted, operation.caller, now, out);
            }
            _ => self.answer_caller(operation.caller, result, now, out),
        }
    }

    /// What this node counted is durable here: the other replicas are sent it.
    fn share_count(
        &mut self,
        plan: ReplicaPlan,
        counted: &(Option<(MutationId, Members)>, Vec<u8>),
        caller: Caller,
        now: Now,
        out: &mut Effects,
    ) {
        let deadline = now.boot.plus_millis(self.config.counter_write_timeout_ms);
        let write = WriteSet::new(WriteType::Counter, [Ok(plan)]).expect("a plan there is");
        let operation = WriteOperation::of(caller, write, deadline);
        self.send_counted(counted, operation, now, out);
    }

    fn answer_caller(
        &mut self,
        caller: Caller,
        result: Result<(), ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        match caller {
            Caller::Local(_) => self.deliver(Finished::Applied(caller, result), now, out),
            Caller::Shard(shard, request) => out
                .messages
                .push((shard, ShardMessage::Applied { request, result })),
            Caller::Peer(peer) => self.tell_peer_written(peer, result, out),
            Caller::Fence(_) | Caller::Owing(_) | Caller::Nobody => {
                unreachable!("they count nothing")
            }
        }
    }
}

/// A mutation of increments turned into one of counter contexts, each the leader's share added to what is there.
fn counted(
    mutation: &[u8],
    key: &DecoratedKey,
    current: &CurrentRows,
    leader: LeaderId,
    now: Now,
) -> Mutation {
    let mut counted = Mutation::new(key.clone());
    let view = MutationView::parse(mutation).expect("built by this process");
    for (table, update) in view.updates() {
        let target = counted.update(table);
        if let Some(deletion) = update.deletion {
            target.delete(deletion);
        }
        for (start, end, deletion) in update.ranges() {
            target.ranges.add(
                Slice {
                    start: start.to_vec(),
                    end: end.to_vec(),
                },
                deletion,
            );
        }
        if let Some(row) = update.static_row {
            target.add_static(counted_row(
                row,
                current.static_row(table, key),
                leader,
                now,
            ));
        }
        for (clustering, row) in update.rows() {
            target.add_row(
                clustering.to_vec(),
                counted_row(row, current.row(table, key, clustering), leader, now),
            );
        }
    }
    counted
}

fn counted_row(bytes: &[u8], present: Option<Row<'_>>, leader: LeaderId, now: Now) -> Vec<u8> {
    let row = Row::parse(bytes).expect("built by this process");
    let mut out = Vec::new();
    let mut writer = RowWriter::new(&mut out);
    if let Some(liveness) = row.liveness {
        writer.liveness(liveness);
    }
    if !row.deletion.is_none() {
        writer.deletion(row.deletion);
    }
    for cell in row.cells() {
        let delta: Option<[u8; 8]> = cell.value.try_into().ok();
        match (cell.kind, delta) {
            (CellKind::Counter, Some(delta)) => {
                let before = present
                    .and_then(|row| row.cell(cell.column))
                    .filter(|found| found.kind == CellKind::Counter);
                let context = before.map_or(&[][..], |found| found.value);
                let value = counter::add(context, leader, now.wall.0, i64::from_be_bytes(delta));
                writer.cell(&Cell {
                    value: &value,
                    ..cell
                });
            }
            _ => writer.cell(&cell),
        }
    }
    out
}
