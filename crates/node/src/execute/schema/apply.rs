//! What the metadata log has decided comes into force on this node, whoever proposed it: one change after the other, each in
//! steps. What is dropped or emptied is kept in a snapshot; tables are emptied on every shard; then every shard knows of the change,
//! and the other members are told.
//!
//! What must stay true:
//! - nothing that was planned with a change is carried out here before every shard has emptied what the change empties, durably.
//!   So a crash in between leaves tables that the next start empties, and nothing in them that came after;
//! - changes come into force in the order in which they were decided;
//! - who asked for a change is answered when it is in force on all shards here, and on the members that answer.

use super::events::{differences, events};
use super::{ChangeState, SchemaAnswer};
use crate::effects::{Effects, LogLevel};
use crate::execute::farewell::Goal;
use crate::execute::gather::{AfterGather, GatherOperation};
use crate::execute::operation::Operation;
use crate::members;
use crate::membership::member_events;
use crate::message::{Emptied, ReplicaError, ShardMessage};
use crate::metadata_log::Change as MetadataChange;
use crate::replica::Caller;
use crate::reply::Reply;
use crate::shard::Shard;
use cluster::topology::{NodeId, Topology};
use cql::frame::response::Event;
use model::error::RequestError;
use model::schema::{Schema, Table, TableKind};
use model::time::{BootNanos, Now};
use std::collections::VecDeque;
use std::sync::Arc;
use storage::Removal;

/// A step that failed is tried again after so long, in milliseconds.
const RETRY_MS: u64 = 1_000;
/// How long the answer to a change of the schema waits for other members to have it in force too, in milliseconds: clients that
/// go on through another node find it there.
const AGREEMENT_MS: u64 = 2_000;

/// What was decided and is not in force on all shards yet, in order; the first is at work.
#[derive(Debug, Default)]
pub struct Applying {
    decided: VecDeque<Decided>,
    /// When emptying the tables of the first is tried again.
    retry_at: Option<BootNanos>,
}

#[derive(Debug)]
struct Decided {
    change: MetadataChange,
    /// Who waits for it on this node.
    own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    answer: SchemaAnswer,
    /// The operation that owes the answer, until its deadline.
    operation: u64,
}

impl Applying {
    /// Whether everything is in force.
    pub fn is_done(&self) -> bool {
        self.decided.is_empty()
    }

    /// When [`Shard::retry_applying`] is due.
    pub fn retry_at(&self) -> Option<BootNanos> {
        self.retry_at
    }
}

/// An answer that waits until the other members have a change in force.
#[derive(Debug)]
pub struct AgreementOperation {
    reply: Reply,
    answer: SchemaAnswer,
    /// The epoch they must have.
    epoch: u64,
    /// When it is given up.
    pub deadline: BootNanos,
}

impl Decided {
    /// Tables whose data goes with it.
    fn leaving(&self) -> Vec<(Arc<Table>, Removal)> {
        let (before, after) = (&self.change.before, &self.change.after);
        let stays = |table: &Table| after.schema.tables().any(|known| known.id == table.id);
        let stored = before.schema.tables();
        let stored = stored.filter(|table| table.kind == TableKind::Stored);
        let leaving = stored.filter_map(|table| {
            let emptied = after.truncations.get(&table.id) != before.truncations.get(&table.id);
            if stays(table) {
                emptied.then(|| (table.clone(), Removal::Truncate))
            } else {
                Some((table.clone(), Removal::Drop))
            }
        });
        leaving.collect()
    }
}

impl Shard {
    /// The metadata log has decided.
    pub(crate) fn on_metadata(&mut self, change: &MetadataChange, now: Now, out: &mut Effects) {
        let (before, after) = (&change.before, &change.after);
        // Of a proposal that was refused nothing but the epoch is new.
        let made =
            before.schema.epoch != after.schema.epoch || before.truncations != after.truncations;
        let changes = &mut self.schema_changes;
        let own = match std::mem::replace(&mut changes.state, ChangeState::Decided) {
            ChangeState::Proposed(own) if made && change.ticket == Some(own.ticket) => Some(Own {
                answer: own.planned.answer,
                operation: own.operation,
            }),
            state => {
                changes.state = state;
                None
            }
        };
        changes.applying.decided.push_back(Decided {
            change: change.clone(),
            own,
        });
        if changes.applying.decided.len() == 1 {
            self.begin_applying(now, out);
        }
    }

    /// Begins with the first change that is decided, if there is one.
    fn begin_applying(&mut self, now: Now, out: &mut Effects) {
        let Some(decided) = self.schema_changes.applying.decided.front() else {
            return;
        };
        // Whoever asked here has kept it before it was proposed.
        let leaving = match &decided.own {
            Some(_) => Vec::new(),
            None => decided.leaving(),
        };
        self.leave(&leaving, Goal::Apply, None, now, out);
    }

    /// What is to be kept is kept: tables are emptied on every shard.
    pub(in crate::execute) fn empty_tables(&mut self, now: Now, out: &mut Effects) {
        let Some(decided) = self.schema_changes.applying.decided.front() else {
            return;
        };
        let epoch = decided.change.after.epoch;
        let emptied: Vec<Emptied> = decided
            .leaving()
            .into_iter()
            .filter(|(_, removal)| *removal == Removal::Truncate)
            .map(|(table, _)| Emptied {
                table: table.id,
                at: self.clock.next(now),
                epoch,
            })
            .collect();
        let gather = GatherOperation {
            reply: None,
            left: emptied.len() * usize::from(self.config.shards),
            then: AfterGather::Emptied,
            failed: None,
            deadline: BootNanos(u64::MAX),
        };
        if gather.left == 0 {
            return self.put_in_force(now, out);
        }
        let request = self.operations.insert(Operation::Gather(gather));
        for emptied in emptied {
            for shard in self.other_shards() {
                self.tell(shard, ShardMessage::Truncate { request, emptied }, out);
            }
            let caller = Caller::Local(request.into());
            self.replica.truncate(emptied, caller, now, &mut out.io);
        }
    }

    /// Every shard has emptied its tables, or could not.
    pub(in crate::execute) fn tables_emptied(
        &mut self,
        failed: Option<ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(error) = failed else {
            return self.put_in_force(now, out);
        };
        let reason = error.into_text();
        let text = format!("a table cannot be emptied, which is tried again: {reason}");
        out.log.push((LogLevel::Error, text));
        self.schema_changes.applying.retry_at = Some(now.boot.plus_millis(RETRY_MS));
    }

    /// Tries again what failed.
    pub(super) fn retry_applying(&mut self, now: Now, out: &mut Effects) {
        let applying = &mut self.schema_changes.applying;
        if applying.retry_at.is_some_and(|due| now.boot >= due) {
            applying.retry_at = None;
            self.empty_tables(now, out);
        }
    }

    /// Puts the first change in force on every shard.
    fn put_in_force(&mut self, now: Now, out: &mut Effects) {
        let Some(decided) = self.schema_changes.applying.decided.front() else {
            return;
        };
        let change = decided.change.clone();
        let told = decided.own.as_ref().map(|own| own.answer.clone());
        if !change.after.members.contains_key(&self.topology.local) {
            // What it would do now is nobody's business any more, and nothing waits for it.
            self.schema_changes.applying.decided.clear();
            return self.leave_cluster(out);
        }
        if let Some(membership) = &mut self.membership {
            membership.watch(&change.after, self.topology.local, now.boot);
        }
        let events: Arc<[Event]> = self.events_of(&change, told, out).into();
        let topology = Arc::new(self.topology_after(&change));
        let schema = &change.after.schema;
        self.install(schema.clone(), topology.clone(), &events, now, out);
        let gather = GatherOperation {
            reply: None,
            left: usize::from(self.config.shards) - 1,
            then: AfterGather::InForce,
            failed: None,
            deadline: BootNanos(u64::MAX),
        };
        if gather.left == 0 {
            return self.in_force(now, out);
        }
        let request = self.operations.insert(Operation::Gather(gather));
        for shard in self.other_shards() {
            let message = ShardMessage::Schema {
                request,
                schema: schema.clone(),
                topology: topology.clone(),
                events: events.clone(),
            };
            self.tell(shard, message, out);
        }
    }

    /// What clients are told of a change.
    fn events_of(
        &mut self,
        change: &MetadataChange,
        told: Option<SchemaAnswer>,
        out: &mut Effects,
    ) -> Vec<Event> {
        let (before, after) = (&change.before, &change.after);
        let mut told_of = Vec::new();
        if before.members != after.members || before.gone != after.gone {
            // Connections with other nodes are judged anew.
            self.renew_admission(out);
            let alive = &self.outlook.alive;
            told_of = member_events(before, after, self.topology.local, alive);
        }
        match told {
            Some(SchemaAnswer::Change(event)) => {
                let changed = events(event.change, &event.target, &before.schema, &after.schema);
                told_of.extend(changed);
            }
            Some(SchemaAnswer::Void | SchemaAnswer::Truncated) => {}
            None => told_of.extend(differences(&before.schema, &after.schema)),
        }
        told_of
    }

    /// The cluster as statements see it after a change. Who replicates what is worked out anew only if that may have changed.
    fn topology_after(&self, change: &MetadataChange) -> Topology {
        let (before, after) = (&change.before, &change.after);
        let same = before.members == after.members
            && before.placement_epoch == after.placement_epoch
            && self.topology.epoch == before.epoch;
        if same {
            let topology = (*self.topology).clone();
            let topology = topology.with_truncations(&after.truncations);
            return topology.at(after.epoch, after.refused_before);
        }
        members::topology(after, self.topology.local, &self.config)
    }

    /// Every shard has the first change in force: the next may come.
    pub(in crate::execute) fn in_force(&mut self, now: Now, out: &mut Effects) {
        self.tell_in_force(out);
        let Some(Decided { change, own }) = self.schema_changes.applying.decided.pop_front() else {
            return;
        };
        if let Some(own) = own {
            if let Some(reply) = self.take_change(own.operation) {
                self.await_agreement(reply, own.answer, change.after.epoch, now, out);
            }
            self.next_schema_change(now, out);
        }
        self.begin_applying(now, out);
    }

    /// Answers once the members that answer have the epoch in force, too.
    fn await_agreement(
        &mut self,
        reply: Reply,
        answer: SchemaAnswer,
        epoch: u64,
        now: Now,
        out: &mut Effects,
    ) {
        let wait_ms = match answer {
            SchemaAnswer::Truncated => self.config.truncate_timeout_ms,
            SchemaAnswer::Change(_) | SchemaAnswer::Void => AGREEMENT_MS,
        };
        let operation = AgreementOperation {
            reply,
            answer,
            epoch,
            deadline: now.boot.plus_millis(wait_ms),
        };
        if self.agree(epoch) {
            return self.agreed(operation, now, out);
        }
        self.operations
            .insert(Operation::Agreement(Box::new(operation)));
    }

    /// Whether all members that answer have an epoch in force.
    fn agree(&self, epoch: u64) -> bool {
        let in_force = &self.outlook.in_force;
        let has = |id| in_force.get(id).is_some_and(|said| said.epoch >= epoch);
        self.outlook.alive.iter().all(has)
    }

    /// More is known of other members: answers those who waited for that.
    pub(crate) fn resume_agreements(&mut self, now: Now, out: &mut Effects) {
        let waiting = |operation: &Operation| matches!(operation, Operation::Agreement(_));
        for number in self.operations.select(waiting) {
            let Some(Operation::Agreement(operation)) = self.operations.get_mut(number) else {
                continue;
            };
            let epoch = operation.epoch;
            if self.agree(epoch)
                && let Some(Operation::Agreement(operation)) = self.operations.remove(number)
            {
                self.agreed(*operation, now, out);
            }
        }
    }

    fn agreed(&mut self, operation: AgreementOperation, now: Now, out: &mut Effects) {
        let AgreementOperation { reply, answer, .. } = operation;
        let version = reply.version;
        self.succeed(&reply, now, out, |buffer| answer.put(version, buffer));
    }

    /// Not all members have said that they have the change in force. Of the schema they will, and clients find out when; a table
    /// that may not be empty is no success.
    pub(in crate::execute) fn agreement_time_out(
        &mut self,
        operation: AgreementOperation,
        now: Now,
        out: &mut Effects,
    ) {
        match operation.answer {
            SchemaAnswer::Truncated => {
                let error = RequestError::Truncate("Truncate timed out".into());
                self.fail(&operation.reply, &error, now, out);
            }
            SchemaAnswer::Change(_) | SchemaAnswer::Void => self.agreed(operation, now, out),
        }
    }

    /// Puts schema and topology in force on this shard, and tells its clients.
    pub(crate) fn install(
        &mut self,
        schema: Arc<Schema>,
        topology: Arc<Topology>,
        events: &[Event],
        now: Now,
        out: &mut Effects,
    ) {
        assert!(
            schema.epoch >= self.schema.epoch,
            "the schema does not go back"
        );
        self.schema = schema.clone();
        let known = |id: &NodeId| topology.internode_address(*id).is_some();
        let before = self.topology.nodes.iter().map(|node| node.id);
        let gone: Vec<NodeId> = before.filter(|id| !known(id)).collect();
        let alive = &self.outlook.alive;
        self.topology = if topology.nodes.len() > 1 {
            Arc::new((*topology).clone().with_alive(|id| alive.contains(&id)))
        } else {
            topology
        };
        let stored = crate::system::stored(&schema);
        self.replica.store.set_schema(&stored, &mut out.io);
        let store = &self.replica.store;
        self.replica.latencies.retain(|id| store.has_table(id));
        self.renew_cleanups();
        if !gone.is_empty() {
            self.tell_of_gone(&gone, now, out);
        }
        self.resume_peer_work(now, out);
        events.iter().for_each(|event| self.publish(event, out));
    }
}
