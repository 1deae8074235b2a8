//! One shard of a node: clients' requests, other shards' messages and the disk's completions in, effects out.
//!
//! Nothing here waits. A request that cannot be answered at once becomes an operation in a slab, found again by the
//! number its disk requests and messages carry. Invariants:
//! - a request gets exactly one answer;
//! - an operation lives until it is answered or its deadline passes; what comes for it later is dropped;
//! - only the owner of a token applies and reads its data;
//! - a shard that is owed [`MAX_SHARD_QUEUE`] answers by another takes no request until some have come.

mod mail;

use crate::budget::Budget;
use crate::client::{Client, ClientId, Stage};
use crate::config::NodeConfig;
use crate::effects::{Effects, LogLevel};
use crate::execute::batchlog::Batchlog;
use crate::execute::operation::Operation;
use crate::execute::partition_queue::{Partition, PartitionQueue};
use crate::execute::replicas::EndedRead;
use crate::machine::{Event, TurnEnd};
use crate::membership::Outlook;
use crate::message::ShardMessage;
use crate::metrics::ShardMetrics;
use crate::random::SplitMix;
use crate::replica::{Caller, Finished, Replica, classed};
use crate::reply::{Origin, Reply};
use crate::slab::Slab;
use crate::snapshots::Snapshots;
use crate::statement::Statements;
use crate::track::{Incarnation, Tracking};
use cluster::topology::Topology;
use cql::frame::RequestFrame;
use cql::frame::response::{self, put_event};
use cql::plan::Catalog;
use model::env::{Clock, IoOutcome, IoTag, Random};
use model::error::RequestError;
use model::hybrid_clock::HybridClock;
use model::key::Token;
use model::limits::{MAX_SHARD_QUEUE, SHARDING_IGNORE_MSB};
use model::schema::{Keyspace, Schema};
use model::time::{BootNanos, Now};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// How often operations are looked through for passed deadlines, in milliseconds.
const EXPIRY_PERIOD_MS: u64 = 50;

/// How often shards tell one another what system tables show of them, in milliseconds.
const FACTS_PERIOD_MS: u64 = 1_000;

/// How often the operator is told of prepared statements that were dropped, in milliseconds: a minute.
const NOTES_PERIOD_MS: u64 = 60_000;

/// Bytes of background work a turn does: about half a millisecond.
const BACKGROUND_BYTES: usize = 128 << 10;
/// The ticket of the drain: the shell asks whether it is done.
pub(crate) const DRAIN_TICKET: u64 = u64::MAX;
/// Where the user of the shard's disk queue stands in its tags.
const IO_SPACE_SHIFT: u32 = 56;
/// The metadata log's disk requests; a store's own have a smaller number.
pub const METADATA_IO_SPACE: u8 = 2;
/// The layout file's.
pub const LAYOUT_IO_SPACE: u8 = 3;
/// That of snapshots.
pub const SNAPSHOT_IO_SPACE: u8 = 4;
/// That of a start.
pub const STARTUP_IO_SPACE: u8 = 5;

/// A shard.
pub struct Shard {
    /// This shard's number.
    pub number: u16,
    /// What the node was told.
    pub config: Arc<NodeConfig>,
    /// The schema in force.
    pub schema: Arc<Schema>,
    /// Keyspaces whose tables are computed.
    pub virtual_keyspaces: Arc<BTreeMap<String, Arc<Keyspace>>>,
    /// The cluster.
    pub topology: Arc<Topology>,
    /// Data.
    pub replica: Replica,
    /// Connections.
    pub clients: BTreeMap<ClientId, Client>,
    /// Prepared statements.
    pub statements: Statements,
    /// Counters.
    pub metrics: ShardMetrics,
    pub(crate) operations: Slab<Operation>,
    pub(crate) partitions: PartitionQueue<u64>,
    /// Operations that were given their partitions and have not gone on yet.
    pub(crate) partitions_given: VecDeque<(Partition, u64)>,
    /// SELECTs that left their turn to others.
    pub(crate) paused_selects: Vec<u64>,
    /// Reads over replicas that ended, and who waits for them.
    pub(crate) ended_reads: VecDeque<EndedRead>,
    pub(crate) alarms: crate::execute::alarms::Alarms,
    pub(crate) batchlog: Batchlog,
    pub(crate) clock: Arc<HybridClock>,
    /// What the events of traces are timed with.
    pub(crate) stopwatch: Arc<dyn Clock + Send + Sync>,
    pub(crate) random: SplitMix,
    pub(crate) list_position: i64,
    /// Tells the list elements of this shard's run from those of every other shard, node and run.
    pub(crate) list_origin: u32,
    /// What answers under way may hold.
    pub(crate) answers: Budget,
    /// Answers that other shards owe this one, by shard: what bounds their mailboxes.
    owed_by: Vec<usize>,
    /// Facts other shards sent of themselves, by shard.
    pub(crate) facts: Vec<Option<Arc<crate::system::NodeFacts>>>,
    /// This shard's part in mutation tracking.
    pub(crate) tracking: Tracking,
    /// Requests of other nodes that wait.
    pub(crate) peer_work: crate::peers::Waiting,
    /// What is known of the other members.
    pub(crate) outlook: Arc<Outlook>,
    /// Data that moves because the ring changes.
    pub(crate) streams: crate::stream::Streams,
    /// Repairs that this node drives, and what others bring it.
    pub(crate) repairs: crate::repair::Repairs,
    /// Shard 0's, of a node that may have others beside it.
    pub(crate) membership: Option<crate::membership::Membership>,
    /// Shard 0 alone changes the schema, one change at a time.
    pub(crate) schema_changes: crate::execute::schema::SchemaChanges,
    /// Shard 0's.
    pub(crate) snapshots: Option<Snapshots>,
    /// The part of requests that are traced though nobody asked for it.
    pub(crate) trace_probability: f64,
    next_expiry: BootNanos,
    next_facts: BootNanos,
    next_notes: BootNanos,
    /// Whether a drain is done, once one was asked for.
    draining: Option<bool>,
}

/// What a shard starts with.
pub struct ShardParts {
    /// This shard's number.
    pub number: u16,
    /// What the node was told.
    pub config: Arc<NodeConfig>,
    /// The schema of the metadata log.
    pub schema: Arc<Schema>,
    /// The cluster.
    pub topology: Arc<Topology>,
    /// Which node this is, in which life.
    pub incarnation: Incarnation,
    /// What it refuses because it was given away before.
    pub streams: crate::stream::Streams,
    /// Its store, recovered.
    pub store: storage::Store,
    /// The metadata log, on shard 0.
    pub metadata_log: Option<crate::metadata_log::MetadataLog>,
    /// The others, on shard 0 of a node that may have some.
    pub membership: Option<crate::membership::Membership>,
    /// The snapshots there are, on shard 0.
    pub snapshots: Option<Snapshots>,
    /// The node's clock for timestamps.
    pub clock: Arc<HybridClock>,
    /// What the events of traces are timed with.
    pub stopwatch: Arc<dyn Clock + Send + Sync>,
    /// Seed of its random numbers.
    pub seed: u64,
}

impl Shard {
    /// A shard over a recovered store.
    pub fn new(parts: ShardParts) -> Self {
        let shards = parts.config.shards as usize;
        let virtual_keyspaces = Arc::new(crate::system::keyspaces());
        let mut random = SplitMix::new(parts.seed);
        Self {
            number: parts.number,
            batchlog: Batchlog::new(&virtual_keyspaces),
            virtual_keyspaces,
            schema: parts.schema,
            topology: parts.topology,
            replica: Replica::new(parts.store),
            clients: BTreeMap::new(),
            statements: Statements::new(parts.config.prepared_bytes_per_shard),
            metrics: ShardMetrics::default(),
            // Other nodes may still answer what an earlier start asked.
            operations: Slab::beginning_with((parts.seed >> 32) as u32),
            partitions: PartitionQueue::default(),
            partitions_given: VecDeque::new(),
            paused_selects: Vec::new(),
            ended_reads: VecDeque::new(),
            alarms: crate::execute::alarms::Alarms::new(),
            clock: parts.clock,
            stopwatch: parts.stopwatch,
            list_position: 0,
            list_origin: random.next_u64() as u32,
            random,
            answers: Budget::new(parts.config.answer_bytes_per_shard),
            owed_by: vec![0; shards],
            facts: vec![None; shards],
            tracking: Tracking::new(parts.incarnation, parts.number, &parts.config),
            peer_work: crate::peers::Waiting::default(),
            outlook: Arc::default(),
            streams: parts.streams,
            repairs: crate::repair::Repairs::default(),
            membership: parts.membership,
            schema_changes: crate::execute::schema::SchemaChanges::new(parts.metadata_log),
            snapshots: parts.snapshots,
            trace_probability: 0.0,
            next_expiry: BootNanos(0),
            next_facts: BootNanos(0),
            next_notes: BootNanos(0),
            draining: None,
            config: parts.config,
        }
    }

    /// The shard that owns a token.
    pub fn owner(&self, token: Token) -> u16 {
        token.shard(u32::from(self.config.shards), SHARDING_IGNORE_MSB)
    }

    /// Where names are looked up.
    pub fn catalog(&self) -> Catalog<'_> {
        Catalog {
            schema: &self.schema,
            virtual_keyspaces: &self.virtual_keyspaces,
        }
    }

    /// The metadata log, on the shard that has it.
    pub fn metadata_log(&self) -> Option<&crate::metadata_log::MetadataLog> {
        self.schema_changes.log()
    }

    /// Something happened.
    pub fn on(&mut self, event: Event<'_>, now: Now, out: &mut Effects) {
        match event {
            Event::ClientFrame { client, frame } => self.on_client_frame(client, frame, now, out),
            Event::Messages { from, batch } => self.on_shard_messages(from, batch, now, out),
            Event::Io { tag, outcome } => self.on_io(tag, outcome, now, out),
            Event::ClientConnected {
                client,
                address,
                tls,
            } => {
                self.clients
                    .insert(client, Client::new(client, address, tls));
            }
            // What it still waits for is dropped when it is done.
            Event::ClientClosed(client) => drop(self.clients.remove(&client)),
            Event::Work { number, done } => self.on_work_done(number, done, now, out),
            Event::Admin { id, work } => self.on_admin(id, work, now, out),
            Event::Drain => self.drain(out),
            Event::PeerMessage { from, message, .. } => {
                self.on_peer_message(from, &message, now, out);
            }
            Event::Peer(_) => {}
            Event::Start => unreachable!("a shard that runs was started"),
        }
        self.settle(now, out);
    }

    /// A client sent a frame.
    fn on_client_frame(&mut self, id: ClientId, frame: RequestFrame, now: Now, out: &mut Effects) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        client.requests += 1;
        let is_refused = self.streams.has_left();
        client.version = frame.header.version;
        self.metrics.requests += 1;
        let reply = Reply {
            origin: Origin::Client(id),
            version: frame.header.version,
            stream: frame.header.stream,
            trace: None,
            warnings: Vec::new(),
            keyspace: None,
        };
        if is_refused {
            let error = RequestError::Server("This node has left the cluster".into());
            out.closes.push(id);
            return reply.error(out, &error);
        }
        let queue = self.owed_by.iter().max().copied().unwrap_or(0);
        if self.operations.len() >= self.config.max_requests_in_flight || queue >= MAX_SHARD_QUEUE {
            self.metrics.overloaded += 1;
            return reply.error(
                out,
                &RequestError::Overloaded(
                    "Request queue is full: too many requests in flight on this shard".into(),
                ),
            );
        }
        self.serve(id, frame, reply, now, out);
    }

    /// A disk request ended.
    fn on_io(&mut self, tag: IoTag, outcome: IoOutcome, now: Now, out: &mut Effects) {
        match (tag.0 >> IO_SPACE_SHIFT) as u8 {
            METADATA_IO_SPACE => {
                let io = &mut out.io;
                self.schema_changes.on_io(tag, outcome, now.boot, io);
            }
            SNAPSHOT_IO_SPACE => {
                let store = &self.replica.store;
                if let Some(snapshots) = &mut self.snapshots {
                    snapshots.on_io(tag, outcome, |id| store.has_table(id), &mut out.io);
                }
            }
            _ => {
                self.replica.store.on_io(tag, outcome, now, &mut out.io);
            }
        }
    }

    /// Whether clients may come: a node that is to be one of several serves once it has its ranges.
    pub fn serves(&self) -> bool {
        self.membership.is_none() || !self.topology.local().tokens.is_empty()
    }

    /// Whether no request is under way, what the node does for itself aside. Once that is so on every shard, and none
    /// takes requests, nothing is lost by [`Self::drain`].
    pub fn is_quiet(&self) -> bool {
        let of_clients = |operation: &Operation| {
            !matches!(
                operation,
                Operation::Replay(_)
                    | Operation::Admin(_)
                    | Operation::Stream(_)
                    | Operation::Repair(_)
            )
        };
        self.schema_changes.is_quiet() && self.operations.select(of_clients).is_empty()
    }

    /// No more requests come: make everything durable. [`Self::is_drained`] says when it is.
    fn drain(&mut self, out: &mut Effects) {
        self.draining = Some(false);
        if let Err(error) = self.replica.store.drain(DRAIN_TICKET) {
            out.log
                .push((LogLevel::Error, format!("cannot drain: {error}")));
            self.draining = Some(true);
        }
    }

    /// Whether everything is durable.
    pub fn is_drained(&self) -> bool {
        self.draining == Some(true)
    }

    /// Called once per wake-up after everything else: starts the next group commit, runs a step of background
    /// work and says when to be woken at the latest.
    pub fn end_of_turn(&mut self, now: Now, out: &mut Effects) -> TurnEnd {
        self.replay_batches(now, out);
        self.resume_selects(now, out);
        self.tend_tracking(now, out);
        self.replica.store.end_of_turn(now, &mut out.io);
        let more = self
            .replica
            .store
            .background(now, BACKGROUND_BYTES, &mut out.io);
        self.note_compactions(now);
        if self
            .schema_changes
            .next_deadline()
            .is_some_and(|due| now.boot >= due)
        {
            self.tend_metadata(now, out);
        }
        self.tend_membership(now, out);
        self.tend_ring(now, out);
        self.tend_repairs(now, out);
        self.ring_alarms(now, out);
        self.settle(now, out);
        if now.boot >= self.next_expiry {
            self.expire(now, out);
            self.settle(now, out);
            self.next_expiry = now.boot.plus_millis(EXPIRY_PERIOD_MS);
        }
        let late = now.boot >= self.next_facts;
        // What this turn did is told by the next one that tells, even if nothing else happens.
        let facts = (!late && self.config.shards > 1).then_some(self.next_facts);
        if late {
            self.replica.latencies.tick(now.boot);
            self.replica.hot.tick(now.boot);
            self.share_facts(out);
            self.next_facts = now.boot.plus_millis(FACTS_PERIOD_MS);
        }
        if now.boot >= self.next_notes {
            let note = self.statements.evictions("minute");
            out.log.extend(note.map(|note| (LogLevel::Warn, note)));
            self.next_notes = now.boot.plus_millis(NOTES_PERIOD_MS);
        }
        let expiry = (!self.operations.is_empty()).then_some(self.next_expiry);
        let deadlines = [
            expiry,
            facts,
            self.replica.store.next_deadline(),
            self.batchlog.next_deadline(),
            self.next_alarm(),
            self.tracking.next_deadline(),
            self.schema_changes.next_deadline(),
            self.membership
                .as_ref()
                .map(crate::membership::Membership::next_deadline),
            self.next_ring_deadline(),
            self.next_repair_deadline(),
            self.tend_snapshots(now, out),
        ];
        let wake = deadlines.into_iter().flatten().min();
        let more = more || !self.paused_selects.is_empty() || !self.ended_reads.is_empty();
        TurnEnd { more, wake }
    }

    /// Hands finished work to those who wait for it, until nothing is finished.
    pub(crate) fn settle(&mut self, now: Now, out: &mut Effects) {
        loop {
            let finished = self.replica.finished(now);
            if self.replica.is_drained {
                self.draining = Some(true);
            }
            let (changes, proposals) = self.schema_changes.take_decided(out);
            let kept = self.snapshots.as_mut().map(Snapshots::take_finished);
            let kept = kept.unwrap_or_default();
            let nothing = finished.is_empty() && changes.is_empty() && proposals.is_empty();
            let nothing = nothing && kept.is_empty() && self.ended_reads.is_empty();
            if nothing && self.partitions_given.is_empty() {
                return;
            }
            self.tell_of_reads(now, out);
            for (operation, result) in kept {
                let result = result.map_err(|error| classed(&error));
                self.on_acknowledged(operation, result, now, out);
            }
            for item in finished {
                self.deliver(item, now, out);
            }
            for change in &changes {
                self.on_metadata(change, now, out);
            }
            for (ticket, decision) in proposals {
                if !self.on_join_end(ticket, &decision, out)
                    && !self.on_ring_end(ticket, &decision, now, out)
                {
                    self.on_proposal_end(ticket, decision, now, out);
                }
            }
            while let Some((partition, number)) = self.partitions_given.pop_front() {
                self.partition_held(&partition, number, now, out);
            }
        }
    }

    pub(crate) fn deliver(&mut self, finished: Finished, now: Now, out: &mut Effects) {
        match finished {
            Finished::Applied(Caller::Local(operation), result) => {
                self.on_applied(operation, result, now, out)
            }
            Finished::Applied(Caller::Peer(peer), result) => {
                self.tell_peer_written(peer, result, out);
            }
            Finished::Read(Caller::Peer(peer), result) => self.tell_peer_read(peer, result, out),
            Finished::Task(Caller::Peer(_), _) => unreachable!("nodes ask for no tasks"),
            Finished::Applied(Caller::Fence(number), result) => {
                self.on_fenced(number, result, now, out);
            }
            Finished::Applied(Caller::Owing(number), result) => {
                self.on_owed(number, &result, out);
            }
            Finished::Applied(Caller::Nobody, _) => {}
            Finished::Read(Caller::Fence(_) | Caller::Owing(_) | Caller::Nobody, _)
            | Finished::Task(Caller::Fence(_) | Caller::Owing(_) | Caller::Nobody, _) => {
                unreachable!("they write alone")
            }
            Finished::Applied(Caller::Shard(shard, request), result) => {
                out.messages
                    .push((shard, ShardMessage::Applied { request, result }));
            }
            Finished::Read(Caller::Local(operation), result) => {
                self.on_read(operation.operation, self.number, result, now, out)
            }
            Finished::Read(Caller::Shard(shard, request), result) => {
                self.send_rows(shard, request.operation, result, out);
            }
            Finished::Task(Caller::Local(operation), result) => {
                self.on_acknowledged(operation.operation, result, now, out)
            }
            Finished::Task(Caller::Shard(shard, request), result) => {
                let request = request.operation;
                out.messages
                    .push((shard, ShardMessage::Acknowledged { request, result }));
            }
        }
    }

    /// Answers operations whose deadline passed.
    fn expire(&mut self, now: Now, out: &mut Effects) {
        for number in self
            .operations
            .select(|operation| operation.deadline() <= now.boot)
        {
            self.metrics.timeouts += 1;
            self.time_out(number, now, out);
        }
        for number in self
            .operations
            .select(|operation| operation.is_due_again(now.boot))
        {
            self.write_again(number, now, out);
        }
    }

    /// Sends an event to the clients that registered for its kind.
    pub(crate) fn publish(&self, event: &response::Event, out: &mut Effects) {
        for client in self.clients.values() {
            if client.stage == Stage::Ready && client.events.contains(&event.event_type()) {
                out.respond(client.id, |buffer| put_event(buffer, client.version, event));
            }
        }
    }
}
