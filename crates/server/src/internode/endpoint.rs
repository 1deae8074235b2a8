//! One shard's end of every connection with other nodes.

use super::acceptor::{Arrival, NewPeer};
use super::backoff::backoff;
use super::incoming::{Incoming, IncomingKey, serve};
use super::link::{Link, LinkLimits};
use super::metrics::PeerBook;
use super::opening::{Failure, Opened, open};
use super::wire::Wire;
use bytes::BytesMut;
use cluster::internode::frame::Messages;
use cluster::internode::{Class, Direction, Loss, PeerEvent, PeerIdentity, Refusal};
use model::limits::MAX_INTERNODE_CONNECTIONS;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::spawn_local;

/// A connection that lasted this long was a good one: the next attempt is the first again.
const GOOD_CONNECTION: Duration = Duration::from_secs(2);

/// How often it is looked whether this node has its number.
const NUMBER_WAIT: Duration = Duration::from_millis(1);

/// Who is told what comes from other nodes. Never called while a method of the endpoint runs, but by
/// [`Endpoint::flush`].
pub trait PeerEvents {
    /// Messages came, one frame's, in the order they were sent.
    fn on_peer_messages(&self, from: &PeerIdentity, class: Class, messages: Messages);
    /// Something happened to a connection.
    fn on_peer_event(&self, event: &PeerEvent);
}

/// One shard's connections with other nodes. Lives on the shard's thread, within its `LocalSet`.
pub struct Endpoint {
    shard: u16,
    wire: Arc<Wire>,
    book: Arc<PeerBook>,
    events: Weak<dyn PeerEvents>,
    links: RefCell<HashMap<(SocketAddr, Class), Rc<Link>>>,
    incoming: RefCell<HashMap<IncomingKey, Rc<Incoming>>>,
    /// Links with something to send or to tell.
    listed: RefCell<Vec<Rc<Link>>>,
    /// Read into by every connection that has no part of a frame of its own.
    read_buffer: Cell<BytesMut>,
}

impl Endpoint {
    /// The endpoint of a shard. What it has nobody to tell of is lost, so `events` lives as long as the shard.
    pub fn new(
        shard: u16,
        wire: Arc<Wire>,
        book: Arc<PeerBook>,
        events: Weak<dyn PeerEvents>,
    ) -> Rc<Self> {
        Rc::new(Self {
            shard,
            wire,
            book,
            events,
            links: RefCell::default(),
            incoming: RefCell::default(),
            listed: RefCell::default(),
            read_buffer: Cell::default(),
        })
    }

    /// Takes a message to be sent when the turn ends; the first to a peer opens the connection. What is not taken is told
    /// by [`Endpoint::flush`].
    pub fn send(self: &Rc<Self>, to: SocketAddr, class: Class, message: &[u8]) {
        let mut links = self.links.borrow_mut();
        let link = links.entry((to, class)).or_insert_with(|| {
            let limits = LinkLimits {
                queue_bytes: self.wire.settings.queue_bytes,
                max_message_bytes: self.wire.settings.max_message_bytes,
            };
            let link = Rc::new(Link::new(to, class, limits, self.book.of(to)));
            spawn_local(self.clone().keep_open(link.clone()));
            link
        });
        if link.append(message) {
            self.listed.borrow_mut().push(link.clone());
        }
    }

    /// Ends the turn: one write for each connection with something to send, the most urgent first. `true` if the node was
    /// told of something, which may be a reason for another turn.
    pub fn flush(&self) -> bool {
        if self.listed.borrow().is_empty() {
            return false;
        }
        let mut listed = std::mem::take(&mut *self.listed.borrow_mut());
        listed.sort_by_key(|link| link.class);
        let mut told = Vec::new();
        for link in listed.drain(..) {
            link.flush(|event| told.push(event));
        }
        // Keeps the list's memory.
        *self.listed.borrow_mut() = listed;
        told.iter().for_each(|event| self.tell(event));
        !told.is_empty()
    }

    /// Ends the connections to and from a peer, and forgets it. What was written already leaves.
    pub fn close(&self, peer: SocketAddr) {
        for class in Class::ALL {
            if let Some(link) = self.links.borrow_mut().remove(&(peer, class)) {
                link.close();
            }
        }
        for incoming in self.incoming.borrow().values() {
            if incoming.identity.address == peer {
                incoming.end(None);
            }
        }
        self.book.remove(peer);
    }

    /// Ends all connections.
    pub fn close_all(&self) {
        for (_, link) in self.links.borrow_mut().drain() {
            link.close();
        }
        for incoming in self.incoming.borrow().values() {
            incoming.end(None);
        }
    }

    /// Takes what the acceptor has for this shard.
    pub fn arrive(self: &Rc<Self>, arrival: Arrival) {
        match arrival {
            Arrival::Accepted(new) => self.accept(*new),
            Arrival::Refused { address, refusal } => self.tell(&PeerEvent::Refused {
                address,
                direction: Direction::Incoming,
                refusal,
                unsent: 0,
            }),
        }
    }

    fn accept(self: &Rc<Self>, new: NewPeer) {
        spawn_local(serve(self.clone(), new));
    }

    /// One line for each connection, for the operator.
    pub fn describe(&self) -> Vec<String> {
        let links = self.links.borrow();
        let outgoing = links.values().map(|link| link.describe());
        let incoming = self.incoming.borrow();
        let incoming = incoming.values().map(|incoming| {
            format!(
                "peer {} {} from shard {}, open",
                incoming.identity.address, incoming.class, incoming.identity.shard
            )
        });
        outgoing.chain(incoming).collect()
    }

    pub(super) fn wire(&self) -> &Wire {
        &self.wire
    }

    pub(super) fn book(&self) -> &PeerBook {
        &self.book
    }

    pub(super) fn tell(&self, event: &PeerEvent) {
        if let Some(events) = self.events.upgrade() {
            events.on_peer_event(event);
        }
    }

    pub(super) fn receive(&self, from: &PeerIdentity, class: Class, messages: Messages) {
        if let Some(events) = self.events.upgrade() {
            events.on_peer_messages(from, class, messages);
        }
    }

    pub(super) fn take_read_buffer(&self) -> BytesMut {
        self.read_buffer.take()
    }

    pub(super) fn return_read_buffer(&self, buffer: BytesMut) {
        self.read_buffer.set(buffer);
    }

    /// Counts a connection that a peer opened, in the place of the one it has lost, if there is one. `false` if there are
    /// too many.
    pub(super) fn admit(&self, new: &Rc<Incoming>) -> bool {
        let mut incoming = self.incoming.borrow_mut();
        if incoming.len() >= MAX_INTERNODE_CONNECTIONS && !incoming.contains_key(&new.key()) {
            return false;
        }
        if let Some(lost) = incoming.insert(new.key(), new.clone()) {
            lost.end(Some(Loss::Replaced));
        }
        true
    }

    /// A connection that a peer opened has ended.
    pub(super) fn dismiss(&self, ended: &Rc<Incoming>) {
        let mut incoming = self.incoming.borrow_mut();
        if incoming
            .get(&ended.key())
            .is_some_and(|current| Rc::ptr_eq(current, ended))
        {
            incoming.remove(&ended.key());
        }
    }

    /// The first shard alone speaks for a node that has no number yet. What another has to say is a member's, whose number is on its
    /// way: a connection that was opened without it would be nobody's for as long as it lasts.
    async fn wait_for_number(&self) {
        while self.shard != 0 && self.wire.admission().own.node.is_none() {
            tokio::time::sleep(NUMBER_WAIT).await;
        }
    }

    /// Opens a link's connection, and again whenever it is lost, until the link is closed.
    async fn keep_open(self: Rc<Self>, link: Rc<Link>) {
        let mut failures = 0;
        while !link.is_closed() {
            self.wait_for_number().await;
            let opening = open(&self.wire, self.shard, link.peer, link.class);
            let attempt = tokio::select! {
                attempt = opening => attempt,
                () = link.closed() => return,
            };
            let since = Instant::now();
            let event = match attempt {
                Ok(opened) => match self.send_on(&link, opened).await {
                    Some(why) => lost(&link, why),
                    None => return,
                },
                Err(Failure::Unreachable(why)) => lost(&link, Loss::Unreachable(why)),
                Err(Failure::Refused(refusal)) => refused(&link, refusal),
            };
            if since.elapsed() >= GOOD_CONNECTION {
                failures = 0;
            }
            failures += 1;
            log_failure(&event, failures);
            self.tell(&event);
            let wait = backoff(failures, RandomState::new().hash_one(link.peer));
            // A link that is closed meanwhile needs no further attempt.
            let _ = tokio::time::timeout(wait, link.closed()).await;
            link.begin_opening();
        }
    }

    /// A link's connection from its opening to its end, and why that came; nothing if the link was closed.
    async fn send_on(&self, link: &Link, opened: Opened) -> Option<Loss> {
        let identity = opened.accepted.identity;
        let stream = link.begin_sending(opened)?;
        tracing::info!(peer = %link.peer, class = %link.class, "connected to another node");
        self.tell(&PeerEvent::Connected {
            identity,
            address: link.peer,
            class: link.class,
            direction: Direction::Outgoing,
        });
        let loss = link.watch(&stream).await;
        link.metrics.ended.add(1);
        loss
    }
}

fn lost(link: &Link, why: Loss) -> PeerEvent {
    let unsent = link.rest();
    PeerEvent::Lost {
        address: link.peer,
        class: link.class,
        direction: Direction::Outgoing,
        why,
        unsent,
    }
}

fn refused(link: &Link, refusal: Refusal) -> PeerEvent {
    let unsent = link.rest();
    PeerEvent::Refused {
        address: link.peer,
        direction: Direction::Outgoing,
        refusal,
        unsent,
    }
}

/// Tells the operator the first failure of many.
fn log_failure(event: &PeerEvent, failures: u32) {
    match event {
        PeerEvent::Lost {
            address,
            class,
            why,
            unsent,
            ..
        } if failures == 1 => {
            tracing::warn!(peer = %address, %class, %why, unsent, "no connection to another node");
        }
        PeerEvent::Refused {
            address, refusal, ..
        } if failures == 1 => {
            tracing::warn!(peer = %address, reason = %refusal, "another node does not talk to this one");
        }
        event => tracing::debug!(?event, failures, "still no connection to another node"),
    }
}
