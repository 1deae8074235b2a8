//! Takes the connections of other nodes, hears who opens them, and hands each to its shard.
//!
//! It runs beside the shards, on the thread that takes clients' connections too: which shard a connection is for stands
//! in what it begins with. A connection that is refused is told why and ends here.

use super::socket;
use super::transport::Transport;
use super::wire::Wire;
use crate::tls::{self, Session};
use bytes::{Buf, BytesMut};
use cluster::internode::handshake::{Accepted, Answer, Hello};
use cluster::internode::{Refusal, RefusalReason};
use model::limits::MAX_INTERNODE_HANDSHAKES;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

/// How long accepting rests after an error such as running out of file descriptors.
const REST: Duration = Duration::from_millis(50);

/// Refusals that are remembered, so that each is logged once.
const MAX_TOLD: usize = 256;

/// A shard, as far as the acceptor knows it.
pub trait PeerTarget: Send + Sync + 'static {
    /// Has [`Endpoint::arrive`](super::Endpoint::arrive) take it, on the shard's thread.
    fn arrive(&self, arrival: Arrival);
}

/// What the acceptor has for a shard.
#[derive(Debug)]
pub enum Arrival {
    /// A connection to serve.
    Accepted(Box<NewPeer>),
    /// A connection that was refused. For the first shard, whoever it was for.
    Refused {
        /// The address that it announced.
        address: SocketAddr,
        /// Why.
        refusal: Refusal,
    },
}

/// A connection that was accepted and is not answered yet.
#[derive(Debug)]
pub struct NewPeer {
    pub(super) stream: std::net::TcpStream,
    pub(super) session: Option<Session>,
    pub(super) hello: Hello,
    pub(super) accepted: Accepted,
    pub(super) unread: BytesMut,
}

/// Whether a port serves both kinds of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// Those that the settings allow.
    Storage,
    /// Encrypted ones only: `ssl_storage_port`.
    Encrypted,
}

/// Hands connections of other nodes to shards.
pub struct PeerAcceptor {
    wire: Arc<Wire>,
    targets: Vec<Arc<dyn PeerTarget>>,
    /// Connections that have not said yet who they are.
    handshakes: Cell<usize>,
    /// Whom the operator was told was refused, and why: they come again and again.
    told: RefCell<BTreeSet<(SocketAddr, u8)>>,
}

impl PeerAcceptor {
    /// Hands connections to these shards, of which there is at least one.
    pub fn new(wire: Arc<Wire>, targets: Vec<Arc<dyn PeerTarget>>) -> Rc<Self> {
        assert!(!targets.is_empty(), "there is at least one shard");
        Rc::new(Self {
            wire,
            targets,
            handshakes: Cell::new(0),
            told: RefCell::default(),
        })
    }

    /// Takes connections for ever, within a `LocalSet`.
    pub async fn run(self: &Rc<Self>, listener: TcpListener, port: Port) {
        loop {
            match listener.accept().await {
                Ok((stream, from)) => self.take(stream, from, port),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections of other nodes");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    fn take(self: &Rc<Self>, stream: TcpStream, from: SocketAddr, port: Port) {
        if self.handshakes.get() >= MAX_INTERNODE_HANDSHAKES {
            // Whoever it is comes again; what holds the places has a time limit.
            tracing::warn!(%from, "closing a connection: too many are in their handshake");
            self.wire.failed_handshakes.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.handshakes.set(self.handshakes.get() + 1);
        let acceptor = self.clone();
        spawn_local(async move {
            let limit = acceptor.wire.settings.connect_timeout;
            let heard = tokio::time::timeout(limit, acceptor.hear(stream, port)).await;
            acceptor.handshakes.set(acceptor.handshakes.get() - 1);
            match heard.unwrap_or_else(|elapsed| Err(elapsed.into())) {
                Ok((shard, arrival)) => acceptor.targets[usize::from(shard)].arrive(arrival),
                Err(error) => {
                    acceptor
                        .wire
                        .failed_handshakes
                        .fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(%from, %error, "a connection that is not another node's");
                }
            }
        });
    }

    /// Hears what a connection begins with, and decides; the shard it is for, and what that gets.
    async fn hear(&self, stream: TcpStream, port: Port) -> io::Result<(u16, Arrival)> {
        socket::configure_accepted(&stream, &self.wire.settings)?;
        stream.set_nodelay(true)?;
        let session = self.encrypt(&stream, port).await?;
        let encrypted = session.is_some();
        let mut transport = Transport::new(stream, session);
        let mut input = BytesMut::new();
        let hello = hello(&mut transport, &mut input).await?;
        match self.judge(&hello, encrypted) {
            Answer::Accepted(accepted) => {
                let shard = accepted.identity.shard;
                let (stream, session) = transport.into_parts()?;
                let new = NewPeer {
                    stream,
                    session,
                    hello,
                    accepted,
                    unread: input,
                };
                Ok((shard, Arrival::Accepted(Box::new(new))))
            }
            Answer::Refused(refusal) => {
                let address = hello.identity.address;
                self.wire.refusals.fetch_add(1, Ordering::Relaxed);
                self.log_refusal(address, &refusal);
                let mut bytes = Vec::new();
                Answer::Refused(refusal.clone()).encode(&mut bytes);
                transport.write_all(&bytes).await?;
                Ok((0, Arrival::Refused { address, refusal }))
            }
        }
    }

    fn log_refusal(&self, address: SocketAddr, refusal: &Refusal) {
        let mut told = self.told.borrow_mut();
        if told.len() >= MAX_TOLD {
            told.clear();
        }
        if told.insert((address, refusal.reason.code())) {
            tracing::warn!(peer = %address, reason = %refusal, "refusing another node");
        }
    }

    fn judge(&self, hello: &Hello, encrypted: bool) -> Answer {
        let admission = self.wire.admission();
        let distance = admission.distance(hello.identity.address);
        let required = self
            .wire
            .encryption
            .as_ref()
            .is_some_and(|encryption| encryption.requires(distance));
        match admission.judge(hello) {
            Answer::Accepted(_) if required && !encrypted => Answer::Refused(Refusal::new(
                RefusalReason::EncryptionRequired,
                format!(
                    "{} takes encrypted connections only from {} (server_encryption_options)",
                    admission.own.address, hello.identity.address
                ),
            )),
            answer => answer,
        }
    }

    /// Decides whether a connection is encrypted, by its first byte.
    async fn encrypt(&self, stream: &TcpStream, port: Port) -> io::Result<Option<Session>> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        match (&self.wire.encryption, tls::is_handshake(first[0])) {
            (Some(encryption), true) => encryption.accept().map(Some).map_err(io::Error::other),
            (None, true) => Err(io::Error::other(
                "it is encrypted, and server_encryption_options has no encryption",
            )),
            (_, false) if port == Port::Encrypted => Err(io::Error::other("it is not encrypted")),
            (_, false) => Ok(None),
        }
    }
}

/// Waits for what a connection begins with; what comes behind it stays in `input`.
async fn hello(transport: &mut Transport, input: &mut BytesMut) -> io::Result<Hello> {
    loop {
        match Hello::decode(input) {
            Ok(Some((hello, length))) => {
                input.advance(length);
                return Ok(hello);
            }
            Ok(None) => {}
            Err(error) => return Err(io::Error::new(ErrorKind::InvalidData, error)),
        }
        if transport.read(input).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
}
