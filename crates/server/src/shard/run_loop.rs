//! The loop of one shard's thread.
//!
//! Connections are tasks that read and decode; the first of them to have something rings the shard's mailbox, which
//! puts the turn behind all tasks that are ready now, so the turn runs once for all of them.

use super::mailbox::{Arrived, Command, Mailbox, NewConnection};
use super::{ClientId, ClientInfo, Effects, Shard};
use crate::client::{Connection, Encryption, Limits, Progress, Session, ShardAwareness};
use crate::clock::SystemClock;
use crate::config::NativeTransport;
use crate::disk::DiskPool;
use crate::metrics::ShardMetrics;
use bytes::BytesMut;
use cql::frame::response::{Prologue, put_error_response};
use cql::frame::{Opcode, ProtocolVersion, Request, RequestFrame};
use model::error::RequestError;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local};

/// Read from a socket at once.
const READ_BYTES: usize = 64 << 10;
/// Answers collected in a turn above which they are handed to their connections before the turn ends.
const COLLECTED_BYTES: usize = 256 << 10;
/// How often a drain looks whether it is done.
const DRAIN_POLL: Duration = Duration::from_millis(10);
/// How long a drain waits for requests in flight.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// What a shard's thread is given beside its state machine.
pub struct Environment<M> {
    /// Its number.
    pub index: u16,
    /// Every shard's mailbox, its own included.
    pub mailboxes: Arc<[Arc<Mailbox<M>>]>,
    /// The disk.
    pub disk: DiskPool,
    /// The native transport's settings.
    pub transport: Arc<NativeTransport>,
    /// Clients' encryption, if there is any.
    pub encryption: Option<Encryption>,
    /// Its number of connections, counted up by the acceptor.
    pub connections: Arc<AtomicUsize>,
    /// What it counts.
    pub metrics: Arc<ShardMetrics>,
    /// Told once the shard serves.
    pub ready: Option<oneshot::Sender<()>>,
}

/// One shard at work.
pub struct Core<S: Shard> {
    environment: Environment<S::Message>,
    awareness: ShardAwareness,
    limits: Limits,
    shard: RefCell<S>,
    effects: RefCell<Effects<S::Message>>,
    clients: RefCell<HashMap<ClientId, Rc<Connection>>>,
    next_client: Cell<u64>,
    /// Connections with something to send.
    listed: RefCell<Vec<Rc<Connection>>>,
    /// Read into by every connection that has no half frame of its own.
    read_buffer: RefCell<BytesMut>,
    /// Told once the shard serves.
    ready: Cell<Option<oneshot::Sender<()>>>,
    /// Set once the shard takes no more requests, and answered when none is in flight.
    draining: RefCell<Option<(Instant, oneshot::Sender<()>)>>,
}

/// Runs a shard on this thread until it is drained.
pub fn run<S: Shard>(shard: S, mut environment: Environment<S::Message>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ready = environment.ready.take();
    let transport = &environment.transport;
    let core = Rc::new(Core {
        awareness: ShardAwareness::new(
            environment.index,
            environment.mailboxes.len() as u16,
            transport.shard_aware_port,
        ),
        limits: Limits {
            max_frame_bytes: transport.max_frame_bytes,
            max_in_flight: transport.max_in_flight_requests,
        },
        shard: RefCell::new(shard),
        effects: RefCell::default(),
        clients: RefCell::default(),
        next_client: Cell::new(0),
        listed: RefCell::default(),
        read_buffer: RefCell::new(BytesMut::with_capacity(READ_BYTES)),
        ready: Cell::new(ready),
        draining: RefCell::default(),
        environment,
    });
    LocalSet::new().block_on(&runtime, async {
        if let Some(idle) = core.environment.transport.idle_timeout {
            spawn_local(close_idle(core.clone(), idle));
        }
        core.shard
            .borrow_mut()
            .start(&mut core.effects.borrow_mut());
        core.turns().await;
    });
    Ok(())
}

impl<S: Shard> Core<S> {
    fn mailbox(&self) -> &Mailbox<S::Message> {
        &self.environment.mailboxes[usize::from(self.environment.index)]
    }

    /// Turn after turn, until drained.
    async fn turns(self: &Rc<Self>) {
        loop {
            let wake_at = self.turn();
            if self.is_drained() {
                return;
            }
            match wake_at {
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
        let arrived = self.mailbox().take();
        self.hand_over(arrived);
        let (deadline, more) = {
            let effects = &mut *self.effects.borrow_mut();
            let deadline = self.shard.borrow_mut().end_of_turn(effects);
            (deadline, std::mem::take(&mut effects.more_background))
        };
        self.send_messages();
        self.submit_io();
        self.deliver();
        self.flush();
        self.environment.metrics.turns.add(1);
        if let Some(ready) = self.ready.take() {
            if self.shard.borrow().is_ready() {
                // Nobody waits if the start was given up.
                let _ = ready.send(());
            } else {
                self.ready.set(Some(ready));
            }
        }
        let wait = deadline.map(|deadline| SystemClock.until(deadline));
        match wait {
            _ if more => Wake::Now,
            wait if self.draining.borrow().is_some() => {
                Wake::After(wait.map_or(DRAIN_POLL, |wait| wait.min(DRAIN_POLL)))
            }
            None => Wake::WhenRung,
            Some(wait) => Wake::After(wait),
        }
    }

    fn hand_over(self: &Rc<Self>, arrived: Arrived<S::Message>) {
        for connection in arrived.connections {
            self.connect(connection);
        }
        let effects = &mut *self.effects.borrow_mut();
        let shard = &mut *self.shard.borrow_mut();
        for (from, mut batch) in arrived.messages {
            shard.on_shard_messages(from, &mut batch, effects);
        }
        for (tag, outcome) in arrived.completions {
            shard.on_io(tag, outcome, effects);
        }
        for command in arrived.commands {
            match command {
                Command::Describe(answer) => {
                    let mut text = shard.describe();
                    for client in self.clients.borrow().values() {
                        text.push('\n');
                        text.push_str(&client.describe());
                    }
                    // Whoever asked may have gone.
                    let _ = answer.send(text);
                }
                Command::Drain(answer) => {
                    shard.drain(effects);
                    *self.draining.borrow_mut() = Some((Instant::now(), answer));
                }
            }
        }
    }

    /// Whether the drain that was asked for is done; answers it if so.
    fn is_drained(&self) -> bool {
        let mut draining = self.draining.borrow_mut();
        let Some((since, _)) = &*draining else {
            return false;
        };
        let in_flight = self
            .clients
            .borrow()
            .values()
            .any(|client| !client.is_settled());
        if (in_flight || !self.shard.borrow().is_drained()) && since.elapsed() < DRAIN_LIMIT {
            return false;
        }
        if let Some((_, answer)) = draining.take() {
            let _ = answer.send(());
        }
        true
    }

    fn connect(self: &Rc<Self>, new: NewConnection) {
        let stream = match TcpStream::from_std(new.stream) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(client = %new.info.address, %error, "cannot serve a connection");
                self.environment.connections.fetch_sub(1, Ordering::Relaxed);
                return;
            }
        };
        let id = ClientId(self.next_client.get());
        self.next_client.set(id.0 + 1);
        let connection = Rc::new(Connection::new(
            id,
            new.info,
            stream,
            new.admitted,
            self.limits,
        ));
        self.clients.borrow_mut().insert(id, connection.clone());
        spawn_local(self.clone().serve(connection));
    }

    /// A connection's reading task.
    async fn serve(self: Rc<Self>, connection: Rc<Connection>) {
        let mut own = BytesMut::new();
        let encrypted = self.encrypt(&connection).await;
        if let Ok(tls) = encrypted {
            let info = ClientInfo {
                tls,
                ..connection.info.clone()
            };
            self.shard
                .borrow_mut()
                .on_client_connected(connection.id, &info);
        } else {
            connection.close();
        }
        while !connection.is_closed() {
            match self.decode(&connection, &mut own) {
                Progress::Hungry => {}
                Progress::Stalled => {
                    connection.readable_again().await;
                    continue;
                }
                Progress::Closed => {
                    self.list(&connection);
                    // What it was last told goes out with the turn, which then closes it.
                    connection.readable_again().await;
                    continue;
                }
            }
            if connection.stream().readable().await.is_err() || !self.read(&connection, &mut own) {
                break;
            }
        }
        connection.close();
        self.clients.borrow_mut().remove(&connection.id);
        if encrypted.is_ok() {
            self.shard
                .borrow_mut()
                .on_client_closed(connection.id, &mut self.effects.borrow_mut());
        }
        self.environment.connections.fetch_sub(1, Ordering::Relaxed);
        self.mailbox().ring();
    }

    /// Decides whether a connection is encrypted, by its first byte where both are served.
    async fn encrypt(&self, connection: &Connection) -> std::io::Result<bool> {
        let Some(encryption) = &self.environment.encryption else {
            return Ok(false);
        };
        if encryption.optional {
            let mut first = [0];
            if connection.stream().peek(&mut first).await? == 0
                || !Encryption::is_handshake(first[0])
            {
                return Ok(false);
            }
        }
        let session = Session::new(encryption).map_err(std::io::Error::other)?;
        connection.encrypt(session);
        Ok(true)
    }

    /// Reads what there is, into the shard's buffer if the connection has no half frame; `false` at the end.
    fn read(self: &Rc<Self>, connection: &Rc<Connection>, own: &mut BytesMut) -> bool {
        let open = self.read_and_decode(connection, own);
        // A handshake of TLS writes without a request.
        if connection.has_unsent() {
            self.list(connection);
        }
        open
    }

    fn read_and_decode(self: &Rc<Self>, connection: &Rc<Connection>, own: &mut BytesMut) -> bool {
        if !own.is_empty() {
            own.reserve(READ_BYTES);
            return self.read_into(connection, own);
        }
        let mut shared = std::mem::take(&mut *self.read_buffer.borrow_mut());
        shared.reserve(READ_BYTES);
        let open = self.read_into(connection, &mut shared);
        if open && !shared.is_empty() {
            self.decode(connection, &mut shared);
            if !shared.is_empty() {
                *own = BytesMut::from(&shared[..]);
                shared.clear();
            }
        }
        *self.read_buffer.borrow_mut() = shared;
        open
    }

    fn read_into(&self, connection: &Connection, input: &mut BytesMut) -> bool {
        match connection.read(input) {
            Ok(0) => false,
            Ok(read) => {
                self.environment.metrics.bytes_received.add(read as u64);
                connection.touch();
                true
            }
            Err(error) => matches!(
                error.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted
            ),
        }
    }

    /// Hands every whole frame of `input` to the shard.
    fn decode(self: &Rc<Self>, connection: &Rc<Connection>, input: &mut BytesMut) -> Progress {
        loop {
            match connection.next_frame(input) {
                Ok(frame) => {
                    self.environment.metrics.requests.add(1);
                    self.handle(connection, frame);
                    self.list(connection);
                }
                Err(progress) => {
                    if progress != Progress::Hungry || connection.has_unsent() {
                        self.list(connection);
                    }
                    return progress;
                }
            }
        }
    }

    fn handle(self: &Rc<Self>, connection: &Rc<Connection>, frame: RequestFrame) {
        let header = frame.header;
        if let Err(error) = self.check(connection, &frame) {
            let mut envelope = Vec::new();
            put_error_response(
                &mut envelope,
                header.version,
                header.stream,
                &error,
                &Prologue::default(),
            );
            connection.answer(&envelope);
            return;
        }
        if header.opcode == Opcode::Options {
            let mut envelope = Vec::new();
            self.awareness
                .put(&mut envelope, header.version, header.stream);
            connection.answer(&envelope);
            return;
        }
        if let Err(error) = connection.count(&frame) {
            self.environment.metrics.overloaded.add(1);
            let mut envelope = Vec::new();
            put_error_response(
                &mut envelope,
                header.version,
                header.stream,
                &error,
                &Prologue::default(),
            );
            connection.answer(&envelope);
            return;
        }
        let effects = &mut *self.effects.borrow_mut();
        self.shard
            .borrow_mut()
            .on_client_frame(connection.id, frame, effects);
        // STARTUP's answer decides how the next bytes are read; large answers should not pile up.
        if header.opcode == Opcode::Startup || effects.response_bytes() > COLLECTED_BYTES {
            self.deliver_from(effects);
        }
    }

    /// What the shell itself refuses, before the shard sees the request.
    fn check(&self, connection: &Connection, frame: &RequestFrame) -> Result<(), RequestError> {
        let version = frame.header.version;
        if connection.is_refused() {
            connection.close_when_sent();
            self.environment.metrics.overloaded.add(1);
            return Err(RequestError::Overloaded(
                "Too many connections (native_transport_max_concurrent_connections)".to_owned(),
            ));
        }
        if !self.environment.transport.older_protocols && version < ProtocolVersion::CURRENT {
            return Err(RequestError::Protocol(format!(
                "Rejecting Protocol Version {version} < {}",
                ProtocolVersion::CURRENT
            )));
        }
        if self.draining.borrow().is_some() {
            return Err(RequestError::Overloaded(
                "The node is shutting down".to_owned(),
            ));
        }
        connection.admit(frame.header.opcode)?;
        if frame.header.opcode == Opcode::Startup
            && let Request::Startup(startup) = frame.message()?.request
        {
            let compression = startup.agree(version)?;
            connection.await_startup(frame, compression);
        }
        Ok(())
    }

    /// Puts a connection on the turn's list and sees that there is a turn.
    fn list(&self, connection: &Rc<Connection>) {
        if connection.list() {
            self.listed.borrow_mut().push(connection.clone());
            self.mailbox().ring();
        }
    }

    fn deliver(&self) {
        self.deliver_from(&mut self.effects.borrow_mut());
    }

    /// Hands answers to their connections, and closes those that are to be closed.
    fn deliver_from(&self, effects: &mut Effects<S::Message>) {
        let clients = self.clients.borrow();
        effects.take_responses(|client, envelope| {
            // A client that has gone is told nothing.
            if let Some(connection) = clients.get(&client) {
                connection.deliver(envelope);
                self.list(connection);
            }
        });
        for client in effects.closes.drain(..) {
            if let Some(connection) = clients.get(&client) {
                connection.close_when_sent();
                self.list(connection);
            }
        }
    }

    fn send_messages(&self) {
        let effects = &mut *self.effects.borrow_mut();
        if effects.messages.is_empty() {
            return;
        }
        let mut batches: Vec<Vec<S::Message>> = Vec::new();
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

    fn submit_io(&self) {
        let effects = &mut *self.effects.borrow_mut();
        if !effects.io.is_empty() {
            self.environment
                .disk
                .submit(self.environment.index, effects.io.drain());
        }
    }

    /// One write for each connection that has something to send.
    fn flush(self: &Rc<Self>) {
        let listed = std::mem::take(&mut *self.listed.borrow_mut());
        for connection in &listed {
            if connection.flush() {
                let connection = connection.clone();
                spawn_local(async move { connection.send_rest().await });
            }
        }
        // Keep the list's memory, and what was listed meanwhile.
        let mut list = self.listed.borrow_mut();
        let meanwhile = std::mem::replace(&mut *list, listed);
        list.clear();
        list.extend(meanwhile);
    }
}

/// When the next turn is.
enum Wake {
    Now,
    WhenRung,
    After(Duration),
}

/// Closes connections that have been silent for too long.
async fn close_idle<S: Shard>(core: Rc<Core<S>>, idle: Duration) {
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
