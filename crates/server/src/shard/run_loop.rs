//! The loop of one shard's thread: turn after turn, until it is drained.
//!
//! Connections are tasks that read and decode ([`super::serving`]); the first of them to have something rings the
//! shard's mailbox, which puts the turn behind all tasks that are ready now, so the turn runs once for all of them.

use super::mailbox::{Arrived, Command, Mailbox};
use super::peers::endpoint;
use crate::client::{Connection, Encryption, Limits, OutBuffers, Waiting};
use crate::clock::SystemClock;
use crate::config::NativeTransport;
use crate::disk::DiskPool;
use crate::internode::{Endpoint, PeerBook, Wire};
use crate::metrics::ShardMetrics;
use crate::work::WorkPool;
use bytes::BytesMut;
use model::env::{Clock, IoOutcome, IoTag};
use model::time::Now;
use node::client::ClientId;
use node::effects::{Effects, LogLevel, WorkDone};
use node::execute::admin::AdminResult;
use node::machine::{Event, Machine};
use node::message::ShardMessage;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local};

/// Read from a socket at once.
pub(super) const READ_BYTES: usize = 64 << 10;
/// What the answers' buffer may keep between turns.
const KEPT_BYTES: usize = 1 << 20;
/// A client that takes none of its answers for this long loses its connection if others need the room: what
/// Cassandra's `native_transport_timeout` ships with.
const STUCK_LIMIT: Duration = Duration::from_secs(12);
/// How long the rest of a large request may take to begin to come.
const STALLED_LIMIT: Duration = Duration::from_secs(30);
/// How often that is looked for.
const STUCK_POLL: Duration = Duration::from_secs(2);
/// How often a drain looks whether it is done.
const DRAIN_POLL: Duration = Duration::from_millis(10);
/// How long the end waits for requests in flight, and after that for the disk.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// What a shard's thread is given beside its state machine.
pub struct Environment {
    /// Its number.
    pub index: u16,
    /// Every shard's mailbox, its own included.
    pub mailboxes: Arc<[Arc<Mailbox>]>,
    /// The disk.
    pub disk: DiskPool,
    /// The threads for slow work.
    pub work: WorkPool,
    /// The native transport's settings.
    pub transport: Arc<NativeTransport>,
    /// Clients' encryption, if there is any.
    pub encryption: Option<Encryption>,
    /// Bytes of answers that may wait for clients to take them.
    pub waiting_bytes: usize,
    /// Its number of connections, counted up by the acceptor.
    pub connections: Arc<AtomicUsize>,
    /// The wire to other nodes, if there are others.
    pub wire: Option<Arc<Wire>>,
    /// What it counts of each of them.
    pub peers: Arc<PeerBook>,
    /// What it counts.
    pub metrics: Arc<ShardMetrics>,
    /// Told once the shard serves; dropped if it cannot.
    pub ready: Option<oneshot::Sender<()>>,
}

/// One shard at work.
pub struct Core<S: Machine> {
    pub(super) environment: Environment,
    pub(super) limits: Limits,
    /// Bytes of answers that clients have not taken.
    pub(super) waiting: Rc<Waiting>,
    pub(super) shard: RefCell<S>,
    pub(super) effects: RefCell<Effects>,
    /// Its connections with other nodes.
    pub(super) endpoint: Option<Rc<Endpoint>>,
    pub(super) clients: RefCell<HashMap<ClientId, Rc<Connection>>>,
    pub(super) next_client: Cell<u64>,
    /// Connections with something to send.
    listed: RefCell<Vec<Rc<Connection>>>,
    /// Lent to connections that have answers to send.
    pub(super) out_buffers: Rc<OutBuffers>,
    /// Read into by every connection that has no half frame of its own.
    pub(super) read_buffer: RefCell<BytesMut>,
    /// The clocks as last read; read again whenever something arrives.
    now: Cell<Now>,
    /// Outcomes of reads that needed no disk, on their way to the mailbox.
    read_at_once: RefCell<Vec<(IoTag, IoOutcome)>>,
    ready: Cell<Option<oneshot::Sender<()>>>,
    /// Who waits for what an operator asked, by number.
    admin: RefCell<HashMap<u64, oneshot::Sender<AdminResult>>>,
    next_admin: Cell<u64>,
    /// Whether requests are still taken.
    takes_requests: Cell<bool>,
    /// Set once no more requests are taken, and answered when none is in flight.
    quieting: RefCell<Option<(Instant, oneshot::Sender<()>)>>,
    /// Set once everything is to be made durable, and answered when it is.
    draining: RefCell<Option<(Instant, oneshot::Sender<()>)>>,
}

/// When the next turn is.
enum Wake {
    Now,
    WhenRung,
    After(Duration),
}

/// Runs a shard on this thread until it is drained.
pub fn run<S: Machine>(shard: S, mut environment: Environment) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ready = environment.ready.take();
    let core = Rc::new_cyclic(|core| Core {
        endpoint: endpoint(&environment, core),
        limits: Limits {
            max_frame_bytes: environment.transport.max_frame_bytes,
            max_in_flight: environment.transport.max_in_flight_requests,
        },
        waiting: Rc::new(Waiting::new(environment.waiting_bytes)),
        shard: RefCell::new(shard),
        effects: RefCell::default(),
        clients: RefCell::default(),
        // The numbers of all shards' connections differ in their upper bits.
        next_client: Cell::new(u64::from(environment.index) << 48),
        listed: RefCell::default(),
        out_buffers: Rc::default(),
        read_buffer: RefCell::new(BytesMut::with_capacity(READ_BYTES)),
        now: Cell::new(SystemClock.now()),
        read_at_once: RefCell::default(),
        ready: Cell::new(ready),
        admin: RefCell::default(),
        next_admin: Cell::new(0),
        takes_requests: Cell::new(true),
        quieting: RefCell::default(),
        draining: RefCell::default(),
        environment,
    });
    LocalSet::new().block_on(&runtime, async {
        if let Some(idle) = core.environment.transport.idle_timeout {
            spawn_local(close_idle(core.clone(), idle));
        }
        spawn_local(close_stuck(core.clone()));
        core.event(Event::Start);
        core.turns().await;
        if let Some(endpoint) = &core.endpoint {
            endpoint.close_all();
        }
    });
    Ok(())
}

impl<S: Machine> Core<S> {
    pub(super) fn mailbox(&self) -> &Mailbox {
        &self.environment.mailboxes[usize::from(self.environment.index)]
    }

    /// The time of this wake-up.
    pub(super) fn now(&self) -> Now {
        self.now.get()
    }

    /// Tells the state machine what happened.
    pub(super) fn event(&self, event: Event<'_>) {
        let effects = &mut *self.effects.borrow_mut();
        self.shard.borrow_mut().on(event, self.now(), effects);
    }

    /// Reads the clocks.
    pub(super) fn read_clocks(&self) {
        self.now.set(SystemClock.now());
    }

    /// Whether no more requests are taken.
    pub(super) fn is_draining(&self) -> bool {
        !self.takes_requests.get()
    }

    /// Turn after turn, until drained.
    async fn turns(self: &Rc<Self>) {
        loop {
            let wake = self.turn();
            self.tell_quiet();
            if self.is_drained() || self.has_failed() {
                return;
            }
            match wake {
                Wake::Now => tokio::task::yield_now().await,
                Wake::WhenRung => self.mailbox().rung().await,
                Wake::After(wait) => {
                    // A deadline that passes while the mailbox rings is only a turn with nothing to do.
                    let _ = tokio::time::timeout(wait, self.mailbox().rung()).await;
                }
            }
        }
    }

    /// One turn: hands over what arrived, and carries out what came of it.
    fn turn(self: &Rc<Self>) -> Wake {
        self.read_clocks();
        let arrived = self.mailbox().take();
        self.hand_over(arrived);
        let end = {
            let effects = &mut *self.effects.borrow_mut();
            self.shard.borrow_mut().end_of_turn(self.now(), effects)
        };
        self.carry_out();
        self.flush();
        self.environment.metrics.turns.add(1);
        let wait = end.wake.map(|moment| SystemClock.until(moment));
        match wait {
            _ if end.more => Wake::Now,
            wait if self.is_draining() => {
                Wake::After(wait.map_or(DRAIN_POLL, |wait| wait.min(DRAIN_POLL)))
            }
            None => Wake::WhenRung,
            Some(wait) => Wake::After(wait),
        }
    }

    fn hand_over(self: &Rc<Self>, arrived: Arrived) {
        for connection in arrived.connections {
            self.connect(connection);
        }
        self.meet(arrived.peers);
        let now = self.now();
        let effects = &mut *self.effects.borrow_mut();
        let shard = &mut *self.shard.borrow_mut();
        for (from, mut batch) in arrived.messages {
            let batch = &mut batch;
            shard.on(Event::Messages { from, batch }, now, effects);
        }
        for (tag, outcome) in arrived.completions {
            shard.on(Event::Io { tag, outcome }, now, effects);
        }
        for (number, done) in arrived.work {
            shard.on(Event::Work { number, done }, now, effects);
        }
        for command in arrived.commands {
            match command {
                Command::Describe(answer) => {
                    let mut text = shard.describe();
                    for client in self.clients.borrow().values() {
                        text.push('\n');
                        text.push_str(&client.describe());
                    }
                    for peer in self
                        .endpoint
                        .iter()
                        .flat_map(|endpoint| endpoint.describe())
                    {
                        text.push('\n');
                        text.push_str(&peer);
                    }
                    // Whoever asked may have gone.
                    let _ = answer.send(text);
                }
                Command::Count(answer) => {
                    let _ = answer.send(shard.counters());
                }
                Command::Admin(work, answer) => {
                    let id = self.next_admin.get();
                    self.next_admin.set(id + 1);
                    self.admin.borrow_mut().insert(id, answer);
                    shard.on(Event::Admin { id, work: &work }, now, effects);
                }
                Command::SendAway(answer) => {
                    for client in self.clients.borrow().values() {
                        client.close();
                    }
                    let _ = answer.send(());
                }
                Command::Quiet(answer) => {
                    self.takes_requests.set(false);
                    *self.quieting.borrow_mut() = Some((Instant::now(), answer));
                }
                Command::Drain(answer) => {
                    shard.on(Event::Drain, now, effects);
                    *self.draining.borrow_mut() = Some((Instant::now(), answer));
                }
            }
        }
    }

    /// Tells who waits for it that no request is in flight any more, or that it took too long.
    fn tell_quiet(&self) {
        let mut quieting = self.quieting.borrow_mut();
        let Some((since, _)) = &*quieting else {
            return;
        };
        let quiet = self.is_settled() && self.shard.borrow().is_quiet();
        if (quiet || since.elapsed() >= DRAIN_LIMIT)
            && let Some((_, answer)) = quieting.take()
        {
            // Whoever asked may have gone.
            let _ = answer.send(());
        }
    }

    /// Whether every client has its answers.
    fn is_settled(&self) -> bool {
        let clients = self.clients.borrow();
        clients.values().all(|client| client.is_settled())
    }

    /// Whether the drain that was asked for is done; answers it if so.
    fn is_drained(&self) -> bool {
        let mut draining = self.draining.borrow_mut();
        let Some((since, _)) = &*draining else {
            return false;
        };
        let done = self.is_settled() && self.shard.borrow().is_drained();
        if !done && since.elapsed() < DRAIN_LIMIT {
            return false;
        }
        if !done {
            tracing::warn!(
                shard = self.environment.index,
                "not everything was flushed in time: the next start reads it from the commit log"
            );
        }
        if let Some((_, answer)) = draining.take() {
            let _ = answer.send(());
        }
        true
    }

    /// Whether the shard could not start. Tells who waits for it how it went, once it is known.
    fn has_failed(&self) -> bool {
        let Some(ready) = self.ready.take() else {
            return false;
        };
        let shard = self.shard.borrow();
        if let Some(reason) = shard.failure() {
            tracing::error!(shard = self.environment.index, "{reason}");
            return true;
        }
        if shard.is_ready() {
            // Nobody waits if the start was given up.
            let _ = ready.send(());
        } else {
            self.ready.set(Some(ready));
        }
        false
    }

    /// Carries out what the shard wants done; answers are appended to their connections, not yet sent.
    pub(super) fn carry_out(&self) {
        let effects = &mut *self.effects.borrow_mut();
        // Another shard that is told to begin says at once who this node is.
        self.admit(&mut effects.peers);
        self.send_messages(effects);
        self.talk(&mut effects.peers);
        if !effects.io.is_empty() {
            let mut done = self.read_at_once.borrow_mut();
            let requests = effects.io.drain_lanes();
            self.environment
                .disk
                .submit(self.environment.index, requests, &mut done);
            if !done.is_empty() {
                // The next turn takes them, with what else has come by then.
                self.mailbox().complete_all(&mut done);
            }
        }
        for order in effects.work.drain(..) {
            let number = order.number;
            if !self.environment.work.submit(self.environment.index, order) {
                self.mailbox().done(number, WorkDone::Refused);
            }
        }
        for (id, result) in effects.admin.drain(..) {
            if let Some(answer) = self.admin.borrow_mut().remove(&id) {
                // Whoever asked may have gone.
                let _ = answer.send(result);
            }
        }
        for (level, text) in effects.log.drain(..) {
            let shard = self.environment.index;
            match level {
                LogLevel::Info => tracing::info!(shard, "{text}"),
                LogLevel::Warn => tracing::warn!(shard, "{text}"),
                LogLevel::Error => tracing::error!(shard, "{text}"),
            }
        }
        self.deliver(effects);
    }

    /// Hands answers to their connections, and closes those that are to be closed.
    fn deliver(&self, effects: &mut Effects) {
        let clients = self.clients.borrow();
        let mut last: Option<(ClientId, &Rc<Connection>)> = None;
        for (client, range) in effects.responses.drain(..) {
            let connection = match last {
                Some((id, connection)) if id == client => Some(connection),
                _ => clients.get(&client),
            };
            // A client that has gone is told nothing.
            let Some(connection) = connection else {
                continue;
            };
            connection.deliver(&effects.buffer[range]);
            self.list(connection);
            last = Some((client, connection));
        }
        effects.buffer.clear();
        effects.buffer.shrink_to(KEPT_BYTES);
        for (client, compression) in effects.started.drain(..) {
            if let Some(connection) = clients.get(&client) {
                connection.start(compression);
            }
        }
        for client in effects.closes.drain(..) {
            if let Some(connection) = clients.get(&client) {
                connection.close_when_sent();
                self.list(connection);
            }
        }
    }

    fn send_messages(&self, effects: &mut Effects) {
        if effects.messages.is_empty() {
            return;
        }
        let mut batches: Vec<Vec<ShardMessage>> = Vec::new();
        batches.resize_with(self.environment.mailboxes.len(), Vec::new);
        for (shard, message) in effects.messages.drain(..) {
            batches[usize::from(shard)].push(message);
        }
        for (mailbox, batch) in self.environment.mailboxes.iter().zip(batches) {
            if !batch.is_empty() {
                self.environment
                    .metrics
                    .shard_messages
                    .add(batch.len() as u64);
                mailbox.send(self.environment.index, batch);
            }
        }
    }

    /// Puts a connection on the turn's list and sees that there is a turn.
    pub(super) fn list(&self, connection: &Rc<Connection>) {
        if connection.list() {
            self.listed.borrow_mut().push(connection.clone());
            self.mailbox().ring();
        }
    }

    /// One write for each connection that has something to send.
    fn flush(self: &Rc<Self>) {
        if let Some(endpoint) = &self.endpoint {
            endpoint.flush();
        }
        let mut listed = std::mem::take(&mut *self.listed.borrow_mut());
        for connection in listed.drain(..) {
            if connection.flush() {
                spawn_local(async move { connection.send_rest().await });
            }
        }
        // Keeps the list's memory, and what was listed meanwhile.
        let mut list = self.listed.borrow_mut();
        listed.append(&mut list);
        *list = listed;
    }
}

/// Closes connections that have been silent for too long.
async fn close_idle<S: Machine>(core: Rc<Core<S>>, idle: Duration) {
    let mut ticks = tokio::time::interval((idle / 4).max(Duration::from_millis(100)));
    loop {
        ticks.tick().await;
        for connection in core.clients.borrow().values() {
            if connection.is_idle(idle) {
                connection.close();
            }
        }
    }
}

/// Closes connections whose large requests stopped on their way; and those whose clients take nothing, when what waits for
/// them leaves others no room.
async fn close_stuck<S: Machine>(core: Rc<Core<S>>) {
    loop {
        tokio::time::sleep(STUCK_POLL).await;
        let tight = core.waiting.is_tight();
        for connection in core.clients.borrow().values() {
            if connection.is_stalled(STALLED_LIMIT) {
                tracing::warn!(client = %connection.address, "closing a connection whose request stopped on its way");
                connection.close();
            } else if tight && connection.is_stuck(STUCK_LIMIT) {
                tracing::warn!(client = %connection.address, "closing a connection that does not take its answers");
                connection.close();
            }
        }
    }
}
