//! One connection that this node opens, over and over: what waits to be sent on it, and what became of it.
//!
//! Messages become frames as they are appended, in one buffer that is written from its front. While the connection is
//! being opened they wait; after a failed attempt they are dropped at once until the next one begins, so that nobody
//! waits for a peer that is not there.

use super::metrics::PeerMetrics;
use super::opening::Opened;
use super::transport::Transport;
use bytes::BytesMut;
use cluster::internode::frame::Encoder;
use cluster::internode::handshake::FrameCompression;
use cluster::internode::{Class, DropReason, Loss, PeerEvent};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// Memory that an empty buffer keeps.
const KEPT_BYTES: usize = 256 << 10;
/// Bytes at the front of the buffer that have been sent and are still held, while others wait.
const MAX_SENT_BYTES: usize = 256 << 10;
/// What may come on a connection that only sends, beside its end: nothing.
const NOTHING_BYTES: usize = 64;

/// What a link is held to.
#[derive(Debug, Clone, Copy)]
pub(super) struct LinkLimits {
    /// Bytes that may wait, unless it is one message alone.
    pub(super) queue_bytes: usize,
    /// Longest message.
    pub(super) max_message_bytes: usize,
}

/// The connection from this shard to a peer for one class.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) peer: SocketAddr,
    pub(super) class: Class,
    pub(super) metrics: Arc<PeerMetrics>,
    limits: LinkLimits,
    /// Rung when whoever watches the connection has something to look at.
    changed: Notify,
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    encoder: Encoder,
    out: Vec<u8>,
    /// How much of `out` was sent.
    sent: usize,
    /// The sealed frames that are not sent whole: where each ends, counted from the first byte ever appended, and its
    /// messages.
    frames: VecDeque<(u64, u32)>,
    /// The first byte of `out`, counted so.
    start: u64,
    /// Messages of the open frame.
    open_messages: u32,
    /// What the metrics have as waiting.
    counted: u64,
    /// Whether the turn has it on its list.
    listed: bool,
    /// What was not taken since the node was last told: messages and bytes, by reason.
    dropped: [(u64, u64); 3],
    /// Why the connection is at its end, once it is.
    loss: Option<Loss>,
    /// Whether it was ever open.
    opened_before: bool,
}

#[derive(Debug)]
enum Phase {
    /// It is being opened.
    Opening,
    /// It is open.
    Open(Transport),
    /// It could not be opened, or is lost; the next attempt has not begun.
    Resting,
    /// Nothing is to be sent any more.
    Closed,
}

const REASONS: [DropReason; 3] = [
    DropReason::Full,
    DropReason::Unreachable,
    DropReason::TooLarge,
];

impl Link {
    /// A link that is about to be opened for the first time.
    pub(super) fn new(
        peer: SocketAddr,
        class: Class,
        limits: LinkLimits,
        metrics: Arc<PeerMetrics>,
    ) -> Self {
        Self {
            peer,
            class,
            metrics,
            limits,
            changed: Notify::new(),
            state: RefCell::new(State {
                phase: Phase::Opening,
                encoder: Encoder::new(FrameCompression::None, limits.max_message_bytes),
                out: Vec::new(),
                sent: 0,
                frames: VecDeque::new(),
                start: 0,
                open_messages: 0,
                counted: 0,
                listed: false,
                dropped: [(0, 0); 3],
                loss: None,
                opened_before: false,
            }),
        }
    }

    /// Takes a message to be sent, or counts that it was not taken. `true` if the turn must put the link on its list.
    pub(super) fn append(&self, message: &[u8]) -> bool {
        let state = &mut *self.state.borrow_mut();
        if let Err(reason) = self.try_append(state, message) {
            let (messages, bytes) = &mut state.dropped[reason as usize];
            *messages += 1;
            *bytes += message.len() as u64;
            self.metrics.dropped_messages.add(1);
            self.metrics.dropped_bytes.add(message.len() as u64);
        }
        !std::mem::replace(&mut state.listed, true)
    }

    fn try_append(&self, state: &mut State, message: &[u8]) -> Result<(), DropReason> {
        if matches!(state.phase, Phase::Resting | Phase::Closed) {
            return Err(DropReason::Unreachable);
        }
        if message.len() > self.limits.max_message_bytes {
            return Err(DropReason::TooLarge);
        }
        let waiting = state.waiting_bytes();
        if waiting > 0 && waiting + message.len() > self.limits.queue_bytes {
            return Err(DropReason::Full);
        }
        let full = state
            .encoder
            .append(message, &mut state.out)
            .map_err(|_| DropReason::TooLarge)?;
        state.open_messages += 1;
        if full {
            state.seal();
        }
        Ok(())
    }

    /// Ends the turn: sends what was appended as far as the socket takes it; the task that watches the connection sends
    /// the rest. Tells what was not taken.
    pub(super) fn flush(&self, mut told: impl FnMut(PeerEvent)) {
        let state = &mut *self.state.borrow_mut();
        state.listed = false;
        self.write(state);
        let dropped = std::mem::take(&mut state.dropped);
        for (why, (messages, bytes)) in REASONS.into_iter().zip(dropped) {
            if messages > 0 {
                told(PeerEvent::Dropped {
                    address: self.peer,
                    class: self.class,
                    why,
                    messages,
                    bytes,
                });
            }
        }
    }

    /// Sends what waits, as far as the socket takes it.
    fn write(&self, state: &mut State) {
        state.seal();
        let Phase::Open(transport) = &mut state.phase else {
            self.count_waiting(state);
            return;
        };
        let rest = &state.out[state.sent..];
        let (taken, result) = transport.try_write(rest);
        self.metrics.sent_bytes.add(taken as u64);
        let messages = state.advance(taken);
        self.metrics.sent_messages.add(messages);
        self.count_waiting(state);
        match result {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.changed.notify_one(),
            Err(error) => self.lose(state, Loss::Broken(error.to_string())),
        }
    }

    fn count_waiting(&self, state: &mut State) {
        let waiting = state.waiting_bytes() as u64;
        self.metrics.waiting_bytes.change(state.counted, waiting);
        state.counted = waiting;
    }

    fn lose(&self, state: &mut State, loss: Loss) {
        state.loss.get_or_insert(loss);
        self.changed.notify_one();
    }

    /// Nothing more is sent but what waits already and the socket takes at once.
    pub(super) fn close(&self) {
        let state = &mut *self.state.borrow_mut();
        self.write(state);
        if let Phase::Open(transport) = &mut state.phase {
            transport.shutdown();
        }
        state.phase = Phase::Closed;
        self.forget_waiting(state);
        self.changed.notify_one();
    }

    /// Whether it was closed.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state.borrow().phase, Phase::Closed)
    }

    /// A connection is being opened: messages wait for it.
    pub(super) fn begin_opening(&self) {
        let state = &mut *self.state.borrow_mut();
        if !matches!(state.phase, Phase::Closed) {
            state.phase = Phase::Opening;
        }
    }

    /// A connection is open; what waited is sent. Nothing if the link was closed meanwhile.
    pub(super) fn begin_sending(&self, opened: Opened) -> Option<std::rc::Rc<TcpStream>> {
        let state = &mut *self.state.borrow_mut();
        if matches!(state.phase, Phase::Closed) {
            return None;
        }
        state.encoder.set_compression(opened.compression);
        state.loss = None;
        self.metrics.opened.add(1);
        if std::mem::replace(&mut state.opened_before, true) {
            self.metrics.reconnects.add(1);
        }
        let stream = opened.transport.stream();
        state.phase = Phase::Open(opened.transport);
        self.write(state);
        Some(stream)
    }

    /// There is no connection, and what waits is dropped. Returns how many messages that are.
    pub(super) fn rest(&self) -> u64 {
        let state = &mut *self.state.borrow_mut();
        if !matches!(state.phase, Phase::Closed) {
            state.phase = Phase::Resting;
        }
        self.forget_waiting(state)
    }

    /// Drops what waits. Returns how many messages that are.
    fn forget_waiting(&self, state: &mut State) -> u64 {
        state.seal();
        let bytes = state.waiting_bytes();
        let messages = state
            .frames
            .drain(..)
            .map(|(_, count)| u64::from(count))
            .sum();
        state.start += state.out.len() as u64;
        state.out = Vec::new();
        state.sent = 0;
        self.metrics.dropped_messages.add(messages);
        self.metrics.dropped_bytes.add(bytes as u64);
        self.count_waiting(state);
        messages
    }

    /// Waits until it is closed.
    pub(super) async fn closed(&self) {
        while !self.is_closed() {
            self.changed.notified().await;
        }
    }

    /// Sends the rest whenever the socket takes it, until the connection is at its end; nothing if the link was closed.
    pub(super) async fn watch(&self, stream: &TcpStream) -> Option<Loss> {
        let mut input = BytesMut::new();
        loop {
            let interest = {
                let state = &mut *self.state.borrow_mut();
                if let Some(loss) = state.loss.take() {
                    return Some(loss);
                }
                match &state.phase {
                    Phase::Open(transport)
                        if state.sealed_bytes() > 0 || transport.wants_write() =>
                    {
                        Interest::READABLE | Interest::WRITABLE
                    }
                    Phase::Open(_) => Interest::READABLE,
                    _ => return None,
                }
            };
            tokio::select! {
                ready = stream.ready(interest) => match ready {
                    Ok(ready) => self.serve(ready.is_readable(), &mut input),
                    Err(error) => return Some(Loss::Broken(error.to_string())),
                },
                () = self.changed.notified() => {}
            }
        }
    }

    /// Writes what waits, and reads: the end, an error, or what belongs to the encryption.
    fn serve(&self, readable: bool, input: &mut BytesMut) {
        let state = &mut *self.state.borrow_mut();
        self.write(state);
        let Phase::Open(transport) = &mut state.phase else {
            return;
        };
        if !readable {
            return;
        }
        input.reserve(NOTHING_BYTES);
        match transport.try_read(input) {
            Ok(0) => self.lose(state, Loss::Closed),
            Ok(_) => self.lose(
                state,
                Loss::Garbage("bytes came on a connection that only sends".to_owned()),
            ),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => self.lose(state, Loss::Broken(error.to_string())),
        }
    }

    /// One line for the operator.
    pub(super) fn describe(&self) -> String {
        let state = self.state.borrow();
        let phase = match state.phase {
            Phase::Opening => "being opened",
            Phase::Open(_) => "open",
            Phase::Resting => "lost, to be tried again",
            Phase::Closed => "closed",
        };
        let waiting = state.waiting_bytes();
        format!(
            "peer {} {} {phase}, waiting {waiting} bytes",
            self.peer, self.class
        )
    }
}

impl State {
    fn waiting_bytes(&self) -> usize {
        self.out.len() - self.sent
    }

    /// What of it may be sent.
    fn sealed_bytes(&self) -> usize {
        match self.frames.back() {
            Some((end, _)) => (end - self.start) as usize - self.sent,
            None => 0,
        }
    }

    fn seal(&mut self) {
        let messages = self.encoder.seal(&mut self.out);
        assert_eq!(messages, self.open_messages, "every message is in a frame");
        if messages > 0 {
            self.open_messages = 0;
            let end = self.start + self.out.len() as u64;
            self.frames.push_back((end, messages));
        }
    }

    /// So many more bytes are sent; returns how many messages have now left whole.
    fn advance(&mut self, taken: usize) -> u64 {
        self.sent += taken;
        let sent = self.start + self.sent as u64;
        let mut messages = 0;
        while let Some((_, count)) = self.frames.pop_front_if(|(end, _)| *end <= sent) {
            messages += u64::from(count);
        }
        if self.sent == self.out.len() {
            self.out.clear();
            if self.out.capacity() > KEPT_BYTES {
                self.out = Vec::new();
            }
        } else if self.sent >= MAX_SENT_BYTES && self.sent >= self.out.len() / 2 {
            self.out.drain(..self.sent);
        } else {
            return messages;
        }
        self.start = sent;
        self.sent = 0;
        messages
    }
}
