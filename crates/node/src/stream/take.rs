//! The other end: chunks come in on shard 0, the shards that own their partitions apply them, and when all have them the session goes
//! on. When it has everything, all tables it is of are flushed; then it is done.

use super::message::{Pull, StreamMessage};
use super::{Durable, Kept, StreamOperation, Taking};
use crate::effects::{Effects, LogLevel};
use crate::execute::operation::Operation;
use crate::message::{ReplicaError, ShardMessage};
use crate::peers::message::PeerMessage;
use crate::replica::Caller;
use crate::shard::Shard;
use cluster::metadata::{Change, Metadata};
use cluster::stream::chunk::{self, Checked, Chunk};
use cluster::stream::plan::{Patience, Unit};
use cluster::stream::session::Session;
use cluster::topology::NodeId;
use model::env::Random;
use model::read::Resume;
use model::schema::TableId;
use model::time::{BootNanos, Now};
use std::collections::{BTreeMap, BTreeSet};

/// How often the operator is told how far a session is, in milliseconds.
const TELL_MS: u64 = 10_000;

/// How soon after one that failed what was taken is flushed again, in milliseconds.
const FLUSH_PAUSE_MS: u64 = 1_000;

/// Why a chunk is asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// It did not come, or cannot be taken as it is.
    Lost,
    /// There is no room for it at the moment.
    Full,
}

/// What is taken, and why: by whose change of tokens, or to rebuild.
pub(super) type Reason = Option<NodeId>;

impl Taking {
    pub(super) fn new(
        units: Vec<Unit>,
        since: u64,
        random: &mut dyn Random,
        now: BootNanos,
    ) -> Self {
        Self {
            since,
            tables: units.iter().map(|unit| unit.table).collect(),
            durable: if units.is_empty() {
                Durable::Yes
            } else {
                Durable::No
            },
            session: Session::new(units, random.next_u64()),
            flush_from: now,
            next_tell: now.plus_millis(TELL_MS),
            told: false,
        }
    }

    /// Whether all of it is here, durably.
    pub(super) fn is_done(&self) -> bool {
        self.session.is_done() && self.durable == Durable::Yes
    }
}

impl Shard {
    fn taking_mut(&mut self, reason: Reason) -> Option<&mut Taking> {
        match reason {
            Some(node) => self.streams.takings.get_mut(&node),
            None => self.streams.rebuild.as_mut(),
        }
    }

    /// Asks for what sessions want next.
    pub(super) fn poll_takings(&mut self, now: Now, out: &mut Effects) {
        let nodes: Vec<NodeId> = self.streams.takings.keys().copied().collect();
        let reasons = nodes.into_iter().map(Some).chain([None]);
        for reason in reasons {
            self.poll_taking(reason, now, out);
        }
    }

    fn poll_taking(&mut self, reason: Reason, now: Now, out: &mut Effects) {
        let Some(log) = self.schema_changes.log() else {
            return;
        };
        let members = log.metadata().members.iter();
        let living: BTreeMap<NodeId, u16> = members
            .filter(|(id, _)| !self.is_away(**id))
            .map(|(id, member)| (*id, member.shards))
            .collect();
        let transition = reason.and_then(|node| log.metadata().transitions.get(&node));
        let takes_fewer = transition.is_some_and(|transition| transition.takes_fewer);
        self.forget_tables(reason);
        let Some(taking) = self.taking_mut(reason) else {
            return;
        };
        if takes_fewer {
            taking.session.set_patience(Patience::Over);
        }
        // Who rebuilds hears of what its source lacks as of any write.
        let as_it_is = takes_fewer || reason.is_none();
        let (since, mut asks) = (taking.since, Vec::new());
        let shards = |id| living.get(&id).copied();
        taking.session.poll(shards, now.boot, &mut asks);
        let flushes = taking.durable == Durable::No && now.boot >= taking.flush_from;
        if taking.session.is_done() && flushes {
            taking.durable = Durable::UnderWay;
            // Where there is no room for it, it is not tried again at once.
            taking.flush_from = now.boot.plus_millis(FLUSH_PAUSE_MS);
            let tables = std::mem::take(&mut taking.tables);
            self.flush_taken((reason, since), tables, out);
        }
        self.tell_progress(reason, |id| living.contains_key(&id), now, out);
        let room = self.replica.store.unlogged_bytes();
        for ask in asks {
            let unit = ask.unit;
            let command = chunk::command(unit.table, unit.range, ask.resume, room);
            let pull = Pull {
                number: ask.number,
                shard: ask.shard,
                shards: ask.shards,
                epoch: self.topology.epoch,
                since,
                as_it_is,
                command: Box::new(command),
            };
            let message = StreamMessage::Pull(pull);
            self.say(ask.source, &PeerMessage::Stream(message), out);
        }
    }

    /// Of tables that were dropped meanwhile there is nothing to be had, nor waited for.
    fn forget_tables(&mut self, reason: Reason) {
        let acceptors = self.acceptors_table();
        let Some(metadata) = self.metadata() else {
            return;
        };
        let known = metadata.schema.tables().map(|table| table.id);
        let known: BTreeSet<TableId> = known.chain([acceptors]).collect();
        let Some(taking) = self.taking_mut(reason) else {
            return;
        };
        let gone: BTreeSet<TableId> = taking.tables.difference(&known).copied().collect();
        if !gone.is_empty() {
            taking.tables.retain(|table| known.contains(table));
            taking.session.forget_tables(&gone);
        }
    }

    /// Tells the operator how far a session is, now and then, and when it is done.
    fn tell_progress(
        &mut self,
        reason: Reason,
        is_alive: impl Fn(NodeId) -> bool,
        now: Now,
        out: &mut Effects,
    ) {
        let metadata = self.metadata();
        let keyspace = metadata.and_then(|all| keyspace_of(&all, reason));
        let Some(taking) = self.taking_mut(reason) else {
            return;
        };
        let is_done = taking.is_done();
        if taking.told || !is_done && now.boot < taking.next_tell {
            return;
        }
        taking.told = is_done;
        taking.next_tell = now.boot.plus_millis(TELL_MS);
        let progress = taking.session.progress();
        let mut text = format!(
            "{} of {} stretches of tables taken from other replicas, {} bytes",
            progress.units_done, progress.units, progress.bytes
        );
        let awaited = taking.session.awaited(is_alive);
        let way_out = way_out(reason, keyspace.as_deref());
        if progress.units_doubtful > 0 {
            let doubtful = format!(
                "; {} of them from fewer replicas than a quorum: repair them",
                progress.units_doubtful
            );
            text.push_str(&doubtful);
        }
        if !awaited.is_empty() {
            let numbers: Vec<String> = awaited.iter().map(|id| id.0.to_string()).collect();
            let waits = format!(
                "; the rest is waited for from nodes {}, which are away: start them, or {way_out}",
                numbers.join(", ")
            );
            text.push_str(&waits);
        }
        if progress.units_doubtful > 0 || !awaited.is_empty() {
            out.log.push((LogLevel::Warn, text));
        } else if progress.units > 0 {
            out.log.push((LogLevel::Info, text));
        }
    }

    /// A source has answered.
    pub(super) fn on_chunk(
        &mut self,
        number: u64,
        epoch: u64,
        result: Result<Checked, String>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some((reason, unit)) = self.begin_chunk(number) else {
            return;
        };
        // Of a table that was dropped meanwhile there is nothing to be had, and its sources only say that they do not know it.
        let has_it = |all: &Metadata| all.schema.tables().any(|table| table.id == unit.table);
        let is_known =
            unit.table == self.acceptors_table() || self.metadata().is_none_or(|all| has_it(&all));
        if !is_known {
            return self.end_chunk(reason, number, Ok((None, 0)), now, out);
        }
        let response = match result {
            Ok(checked) => checked.verified(),
            Err(_) => None,
        };
        let Some(response) = response else {
            return self.end_chunk(reason, number, Err(Failure::Lost), now, out);
        };
        // Of a table that was emptied meanwhile it may be what was there before.
        let metadata = self.metadata();
        let emptied = metadata.and_then(|all| all.truncations.get(&unit.table).copied());
        if emptied.is_some_and(|at| at > epoch) {
            return self.end_chunk(reason, number, Err(Failure::Lost), now, out);
        }
        let Chunk { mutations, resume } = Chunk::of(unit.table, &response);
        let bytes = response.bytes.len() as u64;
        if mutations.is_empty() {
            return self.end_chunk(reason, number, Ok((resume, bytes)), now, out);
        }
        let mut parts: BTreeMap<u16, Vec<Vec<u8>>> = BTreeMap::new();
        for mutation in mutations {
            let owner = self.owner(mutation.key.token);
            parts.entry(owner).or_default().push(mutation.encode());
        }
        let take = StreamOperation::Take {
            number,
            left: parts.len(),
            failed: None,
            resume,
            bytes,
        };
        let request = self.operations.insert(Operation::Stream(take));
        for (shard, mutations) in parts {
            if shard == self.number {
                let chunk = (mutations, Kept::ByFlush);
                self.apply_chunk(shard, request, chunk, now, out);
            } else {
                let message = ShardMessage::Take {
                    request,
                    mutations,
                    kept: Kept::ByFlush,
                };
                self.tell(shard, message, out);
            }
        }
    }

    /// Which session waits for the answer to a question, and what of.
    fn begin_chunk(&mut self, number: u64) -> Option<(Reason, Unit)> {
        let takings = self.streams.takings.iter_mut();
        let takings = takings.map(|(node, taking)| (Some(*node), taking));
        let mut all = takings.chain(self.streams.rebuild.iter_mut().map(|taking| (None, taking)));
        all.find_map(|(reason, taking)| {
            let unit = taking.session.on_chunk(number)?;
            Some((reason, unit.clone()))
        })
    }

    fn end_chunk(
        &mut self,
        reason: Reason,
        number: u64,
        result: Result<(Option<Resume>, u64), Failure>,
        now: Now,
        out: &mut Effects,
    ) {
        if let Some(taking) = self.taking_mut(reason) {
            match result {
                Ok((resume, bytes)) => {
                    taking.session.on_applied(number, resume, bytes, now.boot);
                }
                Err(Failure::Lost) => taking.session.on_failure(number, now.boot),
                Err(Failure::Full) => taking.session.on_full(number, now.boot),
            }
        }
        self.poll_taking(reason, now, out);
    }

    /// All of a taking is here: has every shard write its tables to disk.
    fn flush_taken(
        &mut self,
        (reason, since): (Reason, u64),
        tables: BTreeSet<TableId>,
        out: &mut Effects,
    ) {
        let acceptors = self.acceptors_table();
        let known = |table: &TableId| {
            *table == acceptors || self.schema.tables().any(|known| known.id == *table)
        };
        let tables: Vec<TableId> = tables.into_iter().filter(known).collect();
        let flush = StreamOperation::Flush {
            reason,
            since,
            left: tables.len() * usize::from(self.config.shards),
            failed: None,
        };
        if tables.is_empty() {
            return self.taken_flushed(reason, since, Ok(()));
        }
        let request = self.operations.insert(Operation::Stream(flush));
        if let Some(taking) = self.taking_mut(reason) {
            taking.tables = tables.iter().copied().collect();
        }
        for table in tables {
            self.replica.flush(table, Caller::Local(request.into()));
            for shard in self.other_shards() {
                self.tell(shard, ShardMessage::Flush { request, table }, out);
            }
        }
    }

    /// What was taken is durable, or has to be flushed again.
    fn taken_flushed(&mut self, reason: Reason, since: u64, result: Result<(), ReplicaError>) {
        if let Some(taking) = self.taking_mut(reason)
            && taking.since == since
            && taking.durable == Durable::UnderWay
        {
            taking.durable = match result {
                Ok(()) => Durable::Yes,
                Err(_) => Durable::No,
            };
        }
    }

    /// Applies what this shard owns of a chunk; `from` hears when it is, durably if the log keeps it.
    pub(crate) fn apply_chunk(
        &mut self,
        from: u16,
        request: u64,
        (mutations, kept): (Vec<Vec<u8>>, Kept),
        now: Now,
        out: &mut Effects,
    ) {
        // A chunk is of one table.
        let first = mutations.first();
        let adopts = first.is_some_and(|first| self.adopted_rows(first).is_some());
        if !adopts && kept == Kept::ByFlush {
            let mut parts = mutations.iter();
            let result = parts.try_for_each(|part| self.replica.apply_unlogged(part, now));
            return self.tell_applied(from, request, result, now, out);
        }
        let awaited = if adopts {
            let rows = mutations.iter().filter_map(|part| self.adopted_rows(part));
            rows.sum()
        } else {
            mutations.len()
        };
        let apply = StreamOperation::Apply {
            from,
            request,
            left: awaited + 1,
            failed: None,
        };
        let operation = self.operations.insert(Operation::Stream(apply));
        let caller = Caller::Local(operation.into());
        for mutation in mutations {
            if adopts {
                self.adopt(&mutation, operation, now, out);
            } else {
                self.replica.apply(&mutation, caller, now);
            }
        }
        // The source may forget it then.
        self.replica.confirm_synced(caller);
    }

    /// One mutation of a chunk is durable, or was refused.
    pub(crate) fn chunk_applied(
        &mut self,
        operation: u64,
        result: Result<(), ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Stream(StreamOperation::Apply { left, failed, .. })) =
            self.operations.get_mut(operation)
        else {
            return;
        };
        *left -= 1;
        if let Err(error) = result {
            failed.get_or_insert(error);
        }
        if *left > 0 {
            return;
        }
        let Some(Operation::Stream(StreamOperation::Apply {
            from,
            request,
            failed,
            ..
        })) = self.operations.remove(operation)
        else {
            return;
        };
        let result = failed.map_or(Ok(()), Err);
        self.tell_applied(from, request, result, now, out);
    }

    /// The shard that took a chunk in hears that this one has its part of it, or could not take it.
    fn tell_applied(
        &mut self,
        from: u16,
        request: u64,
        result: Result<(), ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        if from == self.number {
            return self.on_acknowledged(request, result, now, out);
        }
        let message = ShardMessage::Acknowledged { request, result };
        out.messages.push((from, message));
    }

    /// A shard has its part of a chunk, or has flushed a table; or could not.
    pub(crate) fn chunk_acknowledged(
        &mut self,
        operation: u64,
        result: Result<(), ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Stream(
            StreamOperation::Take { left, failed, .. }
            | StreamOperation::Flush { left, failed, .. },
        )) = self.operations.get_mut(operation)
        else {
            return;
        };
        *left -= 1;
        if let Err(error) = result {
            *failed = Some(error);
        }
        if *left > 0 {
            return;
        }
        match self.operations.remove(operation) {
            Some(Operation::Stream(StreamOperation::Take {
                number,
                failed,
                resume,
                bytes,
                ..
            })) => {
                let takings = self.streams.takings.iter();
                let mut takings = takings.map(|(node, taking)| (Some(*node), taking));
                let of_change = takings.find(|(_, taking)| taking.session.is_waiting_for(number));
                let reason = of_change.and_then(|(reason, _)| reason);
                let result = match failed {
                    None => Ok((resume, bytes)),
                    Some(ReplicaError::Overloaded(_)) => Err(Failure::Full),
                    Some(_) => Err(Failure::Lost),
                };
                self.end_chunk(reason, number, result, now, out);
            }
            Some(Operation::Stream(StreamOperation::Flush {
                reason,
                since,
                failed,
                ..
            })) => {
                self.taken_flushed(reason, since, failed.map_or(Ok(()), Err));
                self.streams.next_tick = now.boot;
            }
            _ => {}
        }
    }
}

/// The keyspace whose change of replication is the reason.
fn keyspace_of(metadata: &Metadata, reason: Reason) -> Option<String> {
    let transition = metadata.transitions.get(&reason?)?;
    match &transition.change {
        Change::Replicate { keyspace, .. } => Some(keyspace.clone()),
        _ => None,
    }
}

/// What an operator can do if those that are waited for do not come back.
fn way_out(reason: Reason, keyspace: Option<&str>) -> String {
    const FORCE: &str = "have it go on without what only they have by nodetool removenode force";
    match (reason, keyspace) {
        (None, _) => {
            "begin again with another data centre, after a restart of this node".to_owned()
        }
        (Some(_), Some(keyspace)) => {
            format!("alter keyspace {keyspace} back, or {FORCE}")
        }
        (Some(_), None) => format!("{FORCE} and the host id of the member that changes"),
    }
}
