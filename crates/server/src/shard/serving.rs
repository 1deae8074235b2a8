//! A shard's connections: each a task that reads, decodes and hands every whole frame to the shard.

use super::mailbox::NewConnection;
use super::run_loop::{Core, READ_BYTES};
use crate::client::{Connection, Progress};
use crate::tls;
use bytes::BytesMut;
use cql::frame::{Opcode, ProtocolVersion, RequestFrame};
use model::error::RequestError;
use node::client::ClientId;
use node::machine::{Event, Machine};
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use tokio::net::TcpStream;
use tokio::task::spawn_local;

/// Answers collected in a turn above which they are handed to their connections before the turn ends.
const COLLECTED_BYTES: usize = 256 << 10;

impl<S: Machine> Core<S> {
    /// Takes a connection that the acceptor handed over.
    pub(super) fn connect(self: &Rc<Self>, new: NewConnection) {
        let stream = match TcpStream::from_std(new.stream) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(client = %new.address, %error, "cannot serve a connection");
                self.environment.connections.fetch_sub(1, Ordering::Relaxed);
                return;
            }
        };
        let id = ClientId(self.next_client.get());
        self.next_client.set(id.0 + 1);
        let connection = Rc::new(Connection::new(
            id,
            new.address,
            stream,
            new.admitted,
            self.limits,
            self.waiting.clone(),
            self.out_buffers.clone(),
        ));
        self.clients.borrow_mut().insert(id, connection.clone());
        spawn_local(self.clone().serve(connection));
    }

    /// A connection from its first byte to its last.
    async fn serve(self: Rc<Self>, connection: Rc<Connection>) {
        let encrypted = self.encrypt(&connection).await;
        match encrypted {
            Ok(tls) => self.event(Event::ClientConnected {
                client: connection.id,
                address: connection.address,
                tls,
            }),
            Err(_) => connection.close(),
        }
        let mut own = BytesMut::new();
        while !connection.is_closed() {
            match self.decode(&connection, &mut own) {
                Progress::Hungry => {
                    if connection.stream().readable().await.is_err()
                        || !self.read(&connection, &mut own)
                    {
                        break;
                    }
                }
                Progress::Stalled => connection.readable_again().await,
                Progress::Paused(until) => {
                    // The end of the connection ends the pause.
                    let end = connection.readable_again();
                    let _ = tokio::time::timeout_at(until.into(), end).await;
                }
                Progress::Closed => {
                    // What it was last told goes out with the turn, which then closes it.
                    self.list(&connection);
                    connection.readable_again().await;
                }
            }
        }
        connection.close();
        self.clients.borrow_mut().remove(&connection.id);
        if encrypted.is_ok() {
            self.event(Event::ClientClosed(connection.id));
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
            let peeked = connection.stream().peek(&mut first).await?;
            if peeked == 0 || !tls::is_handshake(first[0]) {
                return Ok(false);
            }
        }
        let session = encryption.session().map_err(std::io::Error::other)?;
        connection.encrypt(session);
        Ok(true)
    }

    /// Reads what there is, into the shard's buffer if the connection has no half frame; `false` at the end.
    fn read(self: &Rc<Self>, connection: &Rc<Connection>, own: &mut BytesMut) -> bool {
        self.read_clocks();
        let open = if own.is_empty() {
            let mut shared = std::mem::take(&mut *self.read_buffer.borrow_mut());
            shared.reserve(READ_BYTES);
            let open = self.read_into(connection, &mut shared);
            if !shared.is_empty() {
                self.decode(connection, &mut shared);
                if !shared.is_empty() {
                    *own = BytesMut::from(&shared[..]);
                    shared.clear();
                }
            }
            *self.read_buffer.borrow_mut() = shared;
            open
        } else {
            own.reserve(READ_BYTES);
            self.read_into(connection, own)
        };
        // A handshake of TLS writes without a request.
        if connection.has_unsent() {
            self.list(connection);
        }
        open
    }

    fn read_into(&self, connection: &Connection, input: &mut BytesMut) -> bool {
        match connection.read(input) {
            Ok(0) => false,
            Ok(read) => {
                self.environment.metrics.bytes_received.add(read as u64);
                true
            }
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }

    /// Hands every whole frame of `input` to the shard.
    fn decode(self: &Rc<Self>, connection: &Rc<Connection>, input: &mut BytesMut) -> Progress {
        let mut handled = false;
        loop {
            match connection.next_frame(input) {
                Ok(frame) => {
                    handled = true;
                    self.environment.metrics.requests.add(1);
                    self.handle(connection, frame);
                }
                Err(progress) => {
                    if progress != Progress::Hungry || connection.has_unsent() {
                        self.list(connection);
                    }
                    if handled {
                        self.mailbox().ring();
                    }
                    return progress;
                }
            }
        }
    }

    fn handle(self: &Rc<Self>, connection: &Rc<Connection>, frame: RequestFrame) {
        if let Err(error) = self
            .check(connection, &frame)
            .and_then(|()| connection.count(&frame))
        {
            if matches!(error, RequestError::Overloaded(_)) {
                self.environment.metrics.overloaded.add(1);
            }
            connection.refuse(&frame, &error);
            return;
        }
        let startup = frame.header.opcode == Opcode::Startup;
        let client = connection.id;
        self.event(Event::ClientFrame { client, frame });
        let collected = self.effects.borrow().buffer.len();
        // STARTUP's answer decides how the next bytes are read; large answers should not pile up.
        if startup || collected > COLLECTED_BYTES {
            self.carry_out();
        }
    }

    /// What the shell itself refuses, before the shard sees the request.
    fn check(&self, connection: &Connection, frame: &RequestFrame) -> Result<(), RequestError> {
        let version = frame.header.version;
        if connection.is_refused() {
            connection.close_when_sent();
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
        if self.is_draining() {
            return Err(RequestError::Overloaded(
                "The node is shutting down".to_owned(),
            ));
        }
        Ok(())
    }
}
