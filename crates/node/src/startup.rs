//! A shard from its thread's first event to its last: starting, running, ended.
//!
//! Shard 0 reads the layout file and the metadata log (on the very first start it writes them), counts the start, durably, then
//! tells the others what the metadata is; all recover their stores; when the last is ready, a change of the number of shards is
//! made final, and all begin to serve. Nothing is written to a store before that.

mod identity;
mod joining;

use crate::admission::admission;
use crate::config::NodeConfig;
use crate::effects::{Effects, LogLevel};
use crate::execute::admin::AdminError;
use crate::machine::{Event, Machine, TurnEnd};
use crate::membership::Membership;
use crate::message::ShardMessage;
use crate::metadata_log::{MetadataLog, NodeIdentity, Stored};
use crate::shard::{
    LAYOUT_IO_SPACE, METADATA_IO_SPACE, SNAPSHOT_IO_SPACE, STARTUP_IO_SPACE, Shard, ShardParts,
};
use crate::snapshots::Snapshots;
use crate::stream::Streams;
use crate::track::Incarnation;
use cluster::metadata::{Metadata, Step};
use cluster::topology::NodeId;
use joining::Joining;
use model::env::{Clock, IoDone, IoOutcome, IoTag};
use model::time::Now;
use std::sync::Arc;
use storage::{Generation, LayoutFile, MetaLog, Store, StoreConfig};

/// Bytes of recovery a turn does: about half a millisecond.
const RECOVERY_BYTES: usize = 128 << 10;

/// The tag of a start's own request.
const LOOKING_TAG: IoTag = IoTag((STARTUP_IO_SPACE as u64) << 56);

/// The ticket of the last record that a start puts on disk before anything else.
const COUNTED: u64 = 1;

/// How far the wall clock may be behind the node's timestamps before a start warns, in microseconds.
const CLOCK_WARN_MICROS: i64 = 1_000_000;

/// What a shard is made of.
#[derive(Debug, Clone)]
pub struct StartupConfig {
    /// This shard's number.
    pub number: u16,
    /// What the node was told.
    pub node: Arc<NodeConfig>,
    /// What its store is told, and the node's clock for timestamps; shard, shards and generation are set here.
    pub store: StoreConfig,
    /// What the events of traces are timed with: a turn is one moment for all else, too coarse for them.
    pub stopwatch: Arc<dyn Clock + Send + Sync>,
    /// Seed of its random numbers, different for every shard and start.
    pub seed: u64,
}

/// What shard 0 tells the others when it knows it.
#[derive(Debug, Clone)]
pub struct StartOrder {
    /// What the members of the cluster agree on.
    pub metadata: Arc<Metadata>,
    /// This node's number.
    pub id: NodeId,
    /// In which life it is.
    pub incarnation: Incarnation,
    /// Which data to open.
    pub generation: Generation,
}

/// A shard, whatever it is doing.
pub struct NodeShard {
    config: StartupConfig,
    state: State,
    /// Messages of shards that serve already.
    early: Vec<(u16, ShardMessage)>,
}

enum State {
    /// Not begun, or not told yet (all shards but 0).
    Waiting,
    /// Shard 0 reads what all need.
    Reading { layout: LayoutFile, log: MetaLog },
    /// Shard 0 found no metadata: is there data of a node that had some?
    Looking {
        layout: LayoutFile,
        generation: Generation,
        log: MetaLog,
        /// Who this directory is, if it was not let into a cluster yet.
        named: Option<NodeIdentity>,
        /// Files of the commit log, once they are listed.
        segments: Option<usize>,
    },
    /// Shard 0 asks the seeds to be let in.
    Joining(Box<Joining>),
    /// Shard 0 puts on disk what must be there before anything else of this start.
    Counting {
        layout: LayoutFile,
        generation: Generation,
        log: MetaLog,
        stored: Box<Stored>,
    },
    /// The store recovers.
    Recovering(Box<Recovering>),
    /// Clients are served.
    Running(Box<Shard>),
    /// It could not start; the text says why.
    Failed(String),
}

struct Recovering {
    order: StartOrder,
    store: Store,
    /// Shard 0's own.
    layout: Option<LayoutFile>,
    log: Option<MetadataLog>,
    /// Other shards that are ready; shard 0 counts them.
    others_ready: u16,
    told: bool,
    go: bool,
    /// Tables being emptied because the metadata says so and a crash came between, once that was looked at.
    emptying: Option<usize>,
}

impl Machine for NodeShard {
    fn on(&mut self, event: Event<'_>, now: Now, out: &mut Effects) {
        if let State::Running(shard) = &mut self.state {
            return shard.on(event, now, out);
        }
        match event {
            Event::Start => self.start(out),
            Event::Messages { from, batch } => self.on_shard_messages(from, batch, now, out),
            Event::Io { tag, outcome } => self.on_io(tag, outcome, now, out),
            Event::PeerMessage { from, message, .. } => {
                self.on_answer_to_join(from.address, &message, out);
                self.advance(now, out);
            }
            Event::Peer(event) => self.on_refusal_to_join(event, now),
            Event::Admin { id, .. } => {
                let reason = "the shard does not serve yet".to_owned();
                out.admin.push((id, Err(AdminError::Failed(reason))));
            }
            // Clients come once all shards are ready, other nodes are not let in, and there is nothing to drain.
            Event::ClientConnected { .. }
            | Event::ClientFrame { .. }
            | Event::ClientClosed(_)
            | Event::Work { .. }
            | Event::Drain => {}
        }
    }

    fn end_of_turn(&mut self, now: Now, out: &mut Effects) -> TurnEnd {
        let mut more = false;
        match &mut self.state {
            State::Running(shard) => return shard.end_of_turn(now, out),
            State::Recovering(recovering) => {
                more = recovering
                    .store
                    .background(now, RECOVERY_BYTES, &mut out.io);
                recovering.store.end_of_turn(now, &mut out.io);
            }
            _ => {}
        }
        self.advance(now, out);
        let wake = match &self.state {
            State::Recovering(recovering) => recovering.store.next_deadline(),
            State::Joining(joining) => joining.next_deadline(),
            _ => None,
        };
        TurnEnd {
            more: more || self.is_ready(),
            wake,
        }
    }

    fn is_ready(&self) -> bool {
        matches!(&self.state, State::Running(shard) if shard.serves())
    }

    fn failure(&self) -> Option<&str> {
        match &self.state {
            State::Failed(reason) => Some(reason),
            _ => None,
        }
    }

    fn is_quiet(&self) -> bool {
        match &self.state {
            State::Running(shard) => shard.is_quiet(),
            _ => true,
        }
    }

    fn is_drained(&self) -> bool {
        match &self.state {
            State::Running(shard) => shard.is_drained(),
            _ => true,
        }
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        match &self.state {
            State::Running(shard) => shard.metrics.entries().to_vec(),
            _ => Vec::new(),
        }
    }

    fn describe(&self) -> String {
        match &self.state {
            State::Running(shard) => shard.describe(),
            State::Failed(reason) => {
                format!("shard {} could not start: {reason}", self.config.number)
            }
            State::Recovering(_) => format!("shard {} is recovering", self.config.number),
            _ => format!("shard {} is starting", self.config.number),
        }
    }
}

impl NodeShard {
    /// A shard that has not begun.
    pub fn new(config: StartupConfig) -> Self {
        Self {
            config,
            state: State::Waiting,
            early: Vec::new(),
        }
    }

    /// The first event.
    fn start(&mut self, out: &mut Effects) {
        if self.config.number == 0 {
            let layout = LayoutFile::open(self.config.node.shards, LAYOUT_IO_SPACE, &mut out.io);
            let log = MetaLog::open(METADATA_IO_SPACE, &mut out.io);
            self.state = State::Reading { layout, log };
        }
    }

    /// The shard at work.
    pub fn running(&mut self) -> Option<&mut Shard> {
        match &mut self.state {
            State::Running(shard) => Some(shard),
            _ => None,
        }
    }

    /// Messages of other shards while not all serve.
    fn on_shard_messages(
        &mut self,
        from: u16,
        batch: &mut Vec<ShardMessage>,
        now: Now,
        out: &mut Effects,
    ) {
        for message in batch.drain(..) {
            match (message, &mut self.state) {
                (ShardMessage::Start(order), State::Waiting) => {
                    self.recover(*order, None, None, now, out);
                }
                (ShardMessage::Started, State::Recovering(recovering)) => {
                    recovering.others_ready += 1;
                }
                (ShardMessage::Go, State::Recovering(recovering)) => recovering.go = true,
                // A shard that was told to serve first may speak to one that has not heard yet.
                (message, _) => self.early.push((from, message)),
            }
        }
        self.advance(now, out);
        if let State::Running(shard) = &mut self.state {
            for (from, message) in self.early.drain(..) {
                let batch = &mut vec![message];
                shard.on(Event::Messages { from, batch }, now, out);
            }
        }
    }

    /// A disk request ended before the shard serves.
    fn on_io(&mut self, tag: IoTag, outcome: IoOutcome, now: Now, out: &mut Effects) {
        match &mut self.state {
            State::Looking { segments, .. } if tag == LOOKING_TAG => match outcome {
                Ok(IoDone::Listed(entries)) => *segments = Some(entries.len()),
                Ok(_) => {}
                Err(error) => {
                    let reason = format!("the commit log cannot be listed: {error}");
                    return self.fail(reason, out);
                }
            },
            State::Reading { layout, log }
            | State::Looking { layout, log, .. }
            | State::Counting { layout, log, .. } => {
                if !log.on_io(tag, outcome.clone(), &mut out.io) {
                    layout.on_io(tag, outcome, &mut out.io);
                }
            }
            State::Recovering(recovering) => {
                // Segments of the log come this way: nothing of that size is copied to find out whose it is.
                if recovering.store.asked(tag) {
                    recovering.store.on_io(tag, outcome, now, &mut out.io);
                } else if let Some(layout) = &mut recovering.layout {
                    layout.on_io(tag, outcome, &mut out.io);
                }
            }
            State::Joining(joining) => joining.on_io(tag, outcome, out),
            // Nothing is asked of the disk meanwhile.
            State::Waiting | State::Running(_) | State::Failed(_) => {}
        }
        self.advance(now, out);
    }

    fn fail(&mut self, reason: String, out: &mut Effects) {
        out.log.push((LogLevel::Error, reason.clone()));
        self.state = State::Failed(reason);
    }

    /// Goes from one state to the next where it can.
    fn advance(&mut self, now: Now, out: &mut Effects) {
        loop {
            let state = std::mem::replace(&mut self.state, State::Waiting);
            let (next, again) = match state {
                State::Reading { layout, log } => self.read(layout, log, out),
                State::Looking {
                    layout,
                    generation,
                    log,
                    named,
                    segments: Some(segments),
                } => self.look((layout, generation, log), named, segments, now, out),
                State::Joining(joining) => self.join(joining, now, out),
                State::Counting {
                    layout,
                    generation,
                    log,
                    stored,
                } => self.count(layout, generation, log, stored, now, out),
                State::Recovering(recovering) => self.recovered(recovering, now, out),
                other => (other, false),
            };
            self.state = next;
            if !again {
                if let State::Failed(reason) = &self.state {
                    let known = out.log.iter().any(|(_, text)| text == reason);
                    let reason = reason.clone();
                    if !known {
                        self.fail(reason, out);
                    }
                }
                return;
            }
        }
    }

    fn recover(
        &mut self,
        order: StartOrder,
        layout: Option<LayoutFile>,
        log: Option<MetadataLog>,
        now: Now,
        out: &mut Effects,
    ) {
        self.state = self.begin_recovery(order, layout, log, now, out);
    }

    fn begin_recovery(
        &mut self,
        order: StartOrder,
        layout: Option<LayoutFile>,
        log: Option<MetadataLog>,
        now: Now,
        out: &mut Effects,
    ) -> State {
        if self.config.number == 0 {
            for shard in 1..self.config.node.shards {
                out.messages
                    .push((shard, ShardMessage::Start(Box::new(order.clone()))));
            }
        }
        let config = StoreConfig {
            shard: self.config.number,
            shards: self.config.node.shards,
            generation: order.generation,
            policy: self.config.node.policy,
            ..self.config.store.clone()
        };
        let store = Store::open(
            config,
            &crate::system::stored(&order.metadata.schema),
            now,
            &mut out.io,
        );
        State::Recovering(Box::new(Recovering {
            order,
            store,
            layout,
            log,
            others_ready: 0,
            told: false,
            go: false,
            emptying: None,
        }))
    }

    /// Is the store recovered, and may it serve?
    fn recovered(
        &mut self,
        mut recovering: Box<Recovering>,
        now: Now,
        out: &mut Effects,
    ) -> (State, bool) {
        if let Some(error) = recovering.store.recovery_error() {
            return (State::Failed(error.to_string()), false);
        }
        let notices = recovering.store.take_notices().into_iter();
        out.log
            .extend(notices.map(|notice| (LogLevel::Error, notice)));
        if !recovering.store.is_ready() {
            return (State::Recovering(recovering), false);
        }
        match self.empty_tables(&mut recovering, now, out) {
            Ok(0) => {}
            Ok(_) => return (State::Recovering(recovering), false),
            Err(reason) => return (State::Failed(reason), false),
        }
        if let Some(layout) = &mut recovering.layout {
            if let Some(error) = layout.error() {
                return (State::Failed(error.to_string()), false);
            }
            if recovering.others_ready + 1 == self.config.node.shards {
                if layout.is_settled() {
                    for shard in 1..self.config.node.shards {
                        out.messages.push((shard, ShardMessage::Go));
                    }
                    recovering.go = true;
                    self.compare_clocks(now, out);
                } else {
                    layout.commit(&mut out.io);
                }
            }
        } else if !recovering.told {
            recovering.told = true;
            out.messages.push((0, ShardMessage::Started));
        }
        if recovering.go {
            // What the generation before left is nobody's now.
            recovering.store.layout_committed(&mut out.io);
            (
                State::Running(Box::new(self.run(*recovering, now, out))),
                false,
            )
        } else {
            (State::Recovering(recovering), false)
        }
    }

    /// Empties tables that the metadata says were, if a crash came between; returns how many are not empty yet.
    fn empty_tables(
        &self,
        recovering: &mut Recovering,
        now: Now,
        out: &mut Effects,
    ) -> Result<usize, String> {
        let failed = |error| format!("a table that was truncated cannot be emptied: {error}");
        let Recovering {
            order,
            store,
            emptying,
            ..
        } = recovering;
        let mut left = match *emptying {
            Some(left) => left,
            None => {
                let mut left = 0;
                for (table, epoch) in &order.metadata.truncations {
                    if store
                        .truncated_epoch(*table)
                        .is_some_and(|done| done < *epoch)
                    {
                        let at = self.config.store.clock.next(now);
                        let ticket = left as u64;
                        let begun = store.truncate(*table, (at, *epoch), ticket, now, &mut out.io);
                        begun.map_err(failed)?;
                        left += 1;
                    }
                }
                left
            }
        };
        for (_, result) in store.take_finished_tasks() {
            result.map_err(failed)?;
            left -= 1;
        }
        *emptying = Some(left);
        Ok(left)
    }

    /// Every shard has observed what the node gave before: says so if the wall clock is behind it.
    fn compare_clocks(&self, now: Now, out: &mut Effects) {
        let ahead = self.config.store.clock.last().saturating_sub(now.wall.0);
        if ahead > CLOCK_WARN_MICROS {
            let text = format!(
                "the wall clock is {} s behind the timestamps this node gave before its restart: until it has caught up, \
                 they go on from there, and are younger than those that clients give",
                ahead / 1_000_000
            );
            out.log.push((LogLevel::Warn, text));
        }
    }

    fn run(&self, recovering: Recovering, now: Now, out: &mut Effects) -> Shard {
        let Recovering {
            order, store, log, ..
        } = recovering;
        let node = &self.config.node;
        let topology = crate::members::topology(&order.metadata, order.id, node);
        // What was given to new replicas before this start is not known any more: all of it may have been.
        let transitions = order.metadata.transitions.values();
        let begun = transitions.filter(|transition| transition.step == Step::WriteBoth);
        let streams = Streams::refusing_before(begun.map(|transition| transition.since).max());
        let membership = log.as_ref().filter(|_| node.has_wire).map(|log| {
            Membership::new(
                log,
                node.seeds.clone(),
                node.started_seconds.unsigned_abs(),
                now.boot,
            )
        });
        if let (Some(log), true) = (&log, node.has_wire) {
            let metadata = Some(&**log.metadata());
            let admission = admission(node, log.identity(), log.boot(), metadata, |_| false);
            out.peers.admission = Some(Arc::new(admission));
        }
        let data_directory = &self.config.store.data_directory;
        let snapshots = (self.config.number == 0)
            .then(|| Snapshots::open(SNAPSHOT_IO_SPACE, data_directory, &mut out.io));
        Shard::new(ShardParts {
            number: self.config.number,
            snapshots,
            config: node.clone(),
            schema: order.metadata.schema.clone(),
            topology: Arc::new(topology),
            incarnation: order.incarnation,
            streams,
            store,
            metadata_log: log,
            membership,
            clock: self.config.store.clock.clone(),
            stopwatch: self.config.stopwatch.clone(),
            seed: self.config.seed,
        })
    }
}
