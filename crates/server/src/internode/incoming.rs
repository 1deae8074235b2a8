//! One connection that a peer opened: frames in, messages to the node.

use super::acceptor::NewPeer;
use super::endpoint::Endpoint;
use super::metrics::PeerMetrics;
use super::socket;
use super::transport::Transport;
use bytes::BytesMut;
use cluster::internode::frame::Decoder;
use cluster::internode::handshake::Answer;
use cluster::internode::{Class, Direction, Loss, PeerEvent, PeerIdentity};
use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use uuid::Uuid;

/// Read from a socket at once, at least.
const READ_BYTES: usize = 64 << 10;
/// Room made at once for a frame that is longer. No more: what a header claims has not come yet.
const LARGE_READ_BYTES: usize = 1 << 20;

/// Of the connections with the same key the last is the peer's; any other is one that it has lost.
pub(super) type IncomingKey = (Uuid, u16, Class);

/// A connection that a peer opened and that is served.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) identity: PeerIdentity,
    pub(super) class: Class,
    metrics: Arc<PeerMetrics>,
    /// Rung when it is to end before the peer ends it.
    ended: Notify,
    /// Why it is to end; nothing if the node wants it to.
    end: RefCell<Option<Loss>>,
}

impl Incoming {
    pub(super) fn key(&self) -> IncomingKey {
        (self.identity.host_id, self.identity.shard, self.class)
    }

    /// Ends it; the node is told only if there is a reason to tell it.
    pub(super) fn end(&self, why: Option<Loss>) {
        *self.end.borrow_mut() = why;
        self.ended.notify_one();
    }
}

/// Serves a connection from its answer to its end.
pub(super) async fn serve(endpoint: Rc<Endpoint>, new: NewPeer) {
    let (identity, class) = (new.hello.identity, new.hello.class);
    let incoming = Rc::new(Incoming {
        identity,
        class,
        metrics: endpoint.book().of(identity.address),
        ended: Notify::new(),
        end: RefCell::new(None),
    });
    let (mut transport, unread) = match answer(&endpoint, new).await {
        Ok(answered) => answered,
        Err(error) => {
            tracing::debug!(peer = %identity.address, %class, %error, "a connection was lost before it was served");
            return;
        }
    };
    if !endpoint.admit(&incoming) {
        tracing::warn!(peer = %identity.address, %class, "closing a connection: there are too many of other nodes");
        return;
    }
    incoming.metrics.opened.add(1);
    endpoint.tell(&PeerEvent::Connected {
        identity,
        address: identity.address,
        class,
        direction: Direction::Incoming,
    });
    let loss = incoming.receive(&endpoint, &mut transport, unread).await;
    incoming.metrics.ended.add(1);
    transport.shutdown();
    endpoint.dismiss(&incoming);
    if let Some(why) = loss {
        tracing::debug!(peer = %identity.address, %class, %why, "a connection of another node has ended");
        endpoint.tell(&PeerEvent::Lost {
            address: identity.address,
            class,
            direction: Direction::Incoming,
            why,
            unsent: 0,
        });
    }
}

/// Tells the peer that it may send.
async fn answer(endpoint: &Endpoint, new: NewPeer) -> io::Result<(Transport, BytesMut)> {
    let settings = &endpoint.wire().settings;
    let stream = TcpStream::from_std(new.stream)?;
    socket::configure(&stream, new.hello.class, settings)?;
    let mut transport = Transport::new(stream, new.session);
    let mut bytes = Vec::new();
    Answer::Accepted(new.accepted).encode(&mut bytes);
    let written = transport.write_all(&bytes);
    tokio::time::timeout(settings.connect_timeout, written).await??;
    Ok((transport, new.unread))
}

impl Incoming {
    /// Hands over what comes until the end; says why it is the end, unless the node wanted it.
    async fn receive(
        &self,
        endpoint: &Endpoint,
        transport: &mut Transport,
        unread: BytesMut,
    ) -> Option<Loss> {
        let stream = transport.stream();
        let mut decoder = Decoder::default();
        let mut own = unread;
        if let Err(loss) = self.hand_over(endpoint, &mut decoder, &mut own) {
            return Some(loss);
        }
        loop {
            tokio::select! {
                ready = stream.readable() => if let Err(error) = ready {
                    return Some(Loss::Broken(error.to_string()));
                },
                () = self.ended.notified() => return self.end.take(),
            }
            if let Err(loss) = self.read(endpoint, transport, &mut decoder, &mut own) {
                return Some(loss);
            }
            if transport.wants_write() && transport.write_all(&[]).await.is_err() {
                return Some(Loss::Closed);
            }
            if self.class == Class::Bulk {
                // Whoever is in a hurry goes first.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Reads what there is, into the endpoint's buffer if there is no part of a frame, and hands it over.
    fn read(
        &self,
        endpoint: &Endpoint,
        transport: &mut Transport,
        decoder: &mut Decoder,
        own: &mut BytesMut,
    ) -> Result<(), Loss> {
        let missing = decoder.missing_bytes(own);
        if !own.is_empty() || missing > 0 {
            own.reserve(missing.clamp(READ_BYTES, LARGE_READ_BYTES));
            self.read_into(transport, own)?;
            return self.hand_over(endpoint, decoder, own);
        }
        let mut shared = endpoint.take_read_buffer();
        shared.reserve(READ_BYTES);
        let result = self
            .read_into(transport, &mut shared)
            .and_then(|()| self.hand_over(endpoint, decoder, &mut shared));
        if !shared.is_empty() {
            own.extend_from_slice(&shared);
            shared.clear();
        }
        endpoint.return_read_buffer(shared);
        result
    }

    fn read_into(&self, transport: &mut Transport, input: &mut BytesMut) -> Result<(), Loss> {
        match transport.try_read(input) {
            Ok(0) => Err(Loss::Closed),
            Ok(read) => {
                self.metrics.received_bytes.add(read as u64);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                Err(Loss::Garbage(error.to_string()))
            }
            Err(error) => Err(Loss::Broken(error.to_string())),
        }
    }

    /// Hands every whole frame to the node.
    fn hand_over(
        &self,
        endpoint: &Endpoint,
        decoder: &mut Decoder,
        input: &mut BytesMut,
    ) -> Result<(), Loss> {
        loop {
            match decoder.next(input) {
                Ok(Some(messages)) => {
                    self.metrics.received_messages.add(messages.len() as u64);
                    endpoint.receive(&self.identity, self.class, messages);
                }
                Ok(None) => return Ok(()),
                Err(error) => return Err(Loss::Garbage(error.to_string())),
            }
        }
    }
}
