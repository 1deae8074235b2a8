//! One connection: bytes in, frames to the shard, answers out.
//!
//! It knows the framing of both directions, how far the handshake is, and what waits to be sent. Answers are appended
//! when they come, in any order, and sent with one write at the end of the turn. A client that does not take its
//! answers, or has too many requests without one, is not read from until that changes: its socket fills, and it waits.

use super::admission::Admitted;
use super::out_buffers::OutBuffers;
use super::waiting::Waiting;
use crate::tls::Session;
use cql::frame::compression::Compression;
use cql::frame::header::HEADER_BYTES;
use cql::frame::request::Request;
use cql::frame::response::{Prologue, put_error_response};
use cql::frame::{Decoder, Encoder, Opcode, ProtocolVersion, RequestFrame};
use model::error::RequestError;
use node::client::ClientId;
use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// Answers waiting to be sent above which nothing more is read from the client.
const MAX_WAITING_BYTES: usize = 1 << 20;
/// What of a request that is not whole yet is not counted: many clients have a little.
const UNCOUNTED_PARTIAL_BYTES: usize = 64 << 10;
/// Why a request is refused for its size beside the others'.
const TOO_MANY_BYTES: &str =
    "Too many bytes of requests are in flight (native_transport_max_request_data_in_flight)";
/// Bytes of answers that are sent and still held, while others wait.
const MAX_SENT_BYTES: usize = 64 << 10;
/// Until a client is let in, its requests are small.
pub const MAX_HANDSHAKE_FRAME_BYTES: usize = 128 << 10;

/// A client's connection, used by its reading task and the shard's turn, on one thread.
#[derive(Debug)]
pub struct Connection {
    /// Its name.
    pub id: ClientId,
    /// Where it comes from.
    pub address: SocketAddr,
    stream: TcpStream,
    /// Rung when a reason not to read is gone.
    readable_again: Notify,
    closed: Cell<bool>,
    last_heard: Cell<Instant>,
    /// When the client last took something of an answer, or had nothing to take.
    last_taken: Cell<Instant>,
    /// What all connections of the shard have waiting.
    waiting: Rc<Waiting>,
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    decoder: Decoder,
    encoder: Encoder,
    /// Encryption, if it is encrypted.
    session: Option<Session>,
    /// Stream of the STARTUP that waits for its answer.
    startup: Option<i16>,
    /// The last version it spoke, for what is pushed to it.
    version: ProtocolVersion,
    out: Vec<u8>,
    buffers: Rc<OutBuffers>,
    /// How much of `out` is sent.
    sent: usize,
    /// What of `out` is counted as waiting.
    counted: usize,
    /// A task waits for the socket to take the rest.
    writing: bool,
    /// Whether the turn has it on its list.
    listed: bool,
    /// Whether something was appended since the last flush.
    unsent: bool,
    close_when_sent: bool,
    /// Whether the client asked to be refused what is too much, and not to wait.
    throws: bool,
    /// Until when nothing is read, because it asked too much.
    paused_until: Option<Instant>,
    in_flight: usize,
    in_flight_bytes: u64,
    /// Bytes of a request that is not whole yet, if they are many.
    partial_bytes: u64,
    admitted: Admitted,
    limits: Limits,
}

/// What one connection may have.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest body once the client is let in.
    pub max_frame_bytes: usize,
    /// Requests without answers.
    pub max_in_flight: usize,
}

/// Why decoding stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More bytes are needed.
    Hungry,
    /// Answers must go out first.
    Stalled,
    /// The client asked too much: nothing is read until then.
    Paused(Instant),
    /// The connection is at its end.
    Closed,
}

/// Whether a STARTUP says that what is too much shall be refused.
fn asks_to_throw(frame: &RequestFrame) -> bool {
    match frame.message().map(|message| message.request) {
        Ok(Request::Startup(startup)) => startup.option("THROW_ON_OVERLOAD") == Some("1"),
        _ => false,
    }
}

impl State {
    /// Holds a request against the limit of requests a second: refuses it, or reads no more for a while.
    fn keep_rate(&mut self, frame: &RequestFrame) -> Result<(), RequestError> {
        let Some(rate) = &self.admitted.admission().rate else {
            return Ok(());
        };
        if matches!(
            frame.header.opcode,
            Opcode::Startup | Opcode::Options | Opcode::AuthResponse
        ) {
            return Ok(());
        }
        let now = Instant::now();
        if !self.throws {
            self.paused_until = rate.take(now).map(|wait| now + wait);
            return Ok(());
        }
        if rate.try_take(now) {
            return Ok(());
        }
        Err(RequestError::Overloaded(format!(
            "Request breached global limit of {} requests/second. Server is currently in an overloaded state and cannot \
             accept more requests.",
            rate.per_second()
        )))
    }

    /// Bytes of its requests, whole or not.
    fn weight(&self) -> u64 {
        self.in_flight_bytes + self.partial_bytes
    }

    /// Has them counted against the limits.
    fn settle(&mut self) {
        let bytes = self.weight();
        self.admitted.settle(bytes);
    }

    fn append(&mut self, envelope: &[u8]) {
        self.unsent = true;
        if self.out.capacity() == 0 {
            self.out = self.buffers.lend();
        }
        self.encoder.append(envelope, &mut self.out);
    }
}

impl Connection {
    /// A connection that has sent nothing yet.
    pub fn new(
        id: ClientId,
        address: SocketAddr,
        stream: TcpStream,
        admitted: Admitted,
        limits: Limits,
        waiting: Rc<Waiting>,
        buffers: Rc<OutBuffers>,
    ) -> Self {
        Self {
            id,
            address,
            stream,
            readable_again: Notify::new(),
            closed: Cell::new(false),
            last_heard: Cell::new(Instant::now()),
            last_taken: Cell::new(Instant::now()),
            waiting,
            state: RefCell::new(State {
                decoder: Decoder::new(MAX_HANDSHAKE_FRAME_BYTES.min(limits.max_frame_bytes)),
                encoder: Encoder::default(),
                session: None,
                startup: None,
                version: ProtocolVersion::CURRENT,
                out: Vec::new(),
                buffers,
                sent: 0,
                counted: 0,
                writing: false,
                listed: false,
                unsent: false,
                close_when_sent: false,
                throws: admitted.admission().throws,
                paused_until: None,
                in_flight: 0,
                in_flight_bytes: 0,
                partial_bytes: 0,
                admitted,
                limits,
            }),
        }
    }

    /// The socket.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// From here on it is encrypted.
    pub fn encrypt(&self, session: Session) {
        self.state.borrow_mut().session = Some(session);
    }

    /// Reads what the socket has, decrypted: 0 at the end, `WouldBlock` if there is nothing yet.
    pub fn read(&self, input: &mut bytes::BytesMut) -> io::Result<usize> {
        let state = &mut *self.state.borrow_mut();
        self.last_heard.set(Instant::now());
        match &mut state.session {
            None => self.stream.try_read_buf(input),
            Some(session) => {
                let read = session.read(&self.stream, input);
                state.unsent |= session.wants_write();
                read
            }
        }
    }

    /// Whether it is at its end.
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Whether it was let in only to be told that it is one too many.
    pub fn is_refused(&self) -> bool {
        self.state.borrow().admitted.verdict == super::Verdict::Refuse
    }

    /// Whether the client has sent nothing for this long and waits for nothing.
    pub fn is_idle(&self, idle: Duration) -> bool {
        self.in_flight() == 0 && self.last_heard.get().elapsed() >= idle
    }

    /// Whether a large request has been on its way for this long without any more of it coming.
    pub fn is_stalled(&self, limit: Duration) -> bool {
        let state = self.state.borrow();
        // With requests in flight it may be us who do not read on.
        !self.closed.get()
            && state.partial_bytes > 0
            && state.in_flight == 0
            && self.last_heard.get().elapsed() >= limit
    }

    /// Whether answers have been waiting for this long without the client taking any of them.
    pub fn is_stuck(&self, limit: Duration) -> bool {
        !self.closed.get()
            && self.state.borrow().counted > 0
            && self.last_taken.get().elapsed() >= limit
    }

    /// Requests without answers.
    pub fn in_flight(&self) -> usize {
        self.state.borrow().in_flight
    }

    /// Whether every request is answered and every answer sent.
    pub fn is_settled(&self) -> bool {
        let state = self.state.borrow();
        state.in_flight == 0 && state.sent == state.out.len() && !state.unsent
    }

    /// Waits until there may be a reason to read again.
    pub async fn readable_again(&self) {
        self.readable_again.notified().await;
    }

    /// Takes the next request off `input`. What is no frame is answered here.
    pub fn next_frame(&self, input: &mut bytes::BytesMut) -> Result<RequestFrame, Progress> {
        let state = &mut *self.state.borrow_mut();
        loop {
            if self.closed.get() || state.close_when_sent {
                return Err(Progress::Closed);
            }
            if state.startup.is_some()
                || state.in_flight >= state.limits.max_in_flight
                || state.out.len() - state.sent > MAX_WAITING_BYTES
            {
                return Err(Progress::Stalled);
            }
            if let Some(until) = state.paused_until {
                if Instant::now() < until {
                    return Err(Progress::Paused(until));
                }
                state.paused_until = None;
            }
            match state.decoder.next(input) {
                Ok(Some(frame)) => {
                    if state.partial_bytes > 0 {
                        state.partial_bytes = 0;
                        state.settle();
                    }
                    state.version = frame.header.version;
                    if frame.header.opcode == Opcode::Startup {
                        state.throws |= asks_to_throw(&frame);
                        // Its answer decides how the next bytes are read.
                        state.startup = Some(frame.header.stream);
                        state.decoder.pause();
                    }
                    return Ok(frame);
                }
                Ok(None) => {
                    let held = input.len() + state.decoder.held_bytes();
                    return Err(self.hold_partial(state, held));
                }
                Err(rejection) => {
                    let mut envelope = Vec::new();
                    rejection.encode(&mut envelope);
                    state.append(&envelope);
                    if rejection.error.consequence() == cql::frame::Consequence::Close {
                        tracing::debug!(client = %self.address, error = %rejection.error, "closing a connection");
                        state.close_when_sent = true;
                    }
                }
            }
        }
    }

    /// Counts what came of a request that is not whole yet, and closes the connection if there is no room for it.
    fn hold_partial(&self, state: &mut State, held: usize) -> Progress {
        if held <= UNCOUNTED_PARTIAL_BYTES {
            return Progress::Hungry;
        }
        let more = (held as u64).saturating_sub(state.partial_bytes);
        if state.admitted.has_room(0, more) {
            state.partial_bytes = held as u64;
            state.settle();
            return Progress::Hungry;
        }
        tracing::warn!(client = %self.address, "closing a connection: too many bytes of requests are on their way");
        let error = RequestError::Overloaded(TOO_MANY_BYTES.to_owned());
        let mut envelope = Vec::new();
        put_error_response(
            &mut envelope,
            state.version,
            0,
            &error,
            &Prologue::default(),
        );
        state.append(&envelope);
        state.close_when_sent = true;
        Progress::Closed
    }

    /// Counts a request that the shard is about to be given; refused if too many bytes are in flight, or too many
    /// requests came in this second from a client that rather has an error than waits.
    pub fn count(&self, frame: &RequestFrame) -> Result<(), RequestError> {
        let state = &mut *self.state.borrow_mut();
        let bytes = (HEADER_BYTES + frame.body.len()) as u64;
        let uncounted = state.weight().saturating_sub(state.admitted.settled());
        if !state.admitted.has_room(uncounted, bytes) {
            return Err(RequestError::Overloaded(TOO_MANY_BYTES.to_owned()));
        }
        state.keep_rate(frame)?;
        state.in_flight += 1;
        state.in_flight_bytes += bytes;
        Ok(())
    }

    /// Appends the shard's answer, or an event.
    pub fn deliver(&self, envelope: &[u8]) {
        let state = &mut *self.state.borrow_mut();
        let stream = i16::from_be_bytes([envelope[2], envelope[3]]);
        let opcode = envelope[4];
        if self.waiting.has_room(envelope.len()) {
            state.append(envelope);
        } else {
            let error = RequestError::Overloaded(
                "Too many bytes of answers wait for clients that do not take them".to_owned(),
            );
            let mut refusal = Vec::new();
            let version = state.version;
            put_error_response(&mut refusal, version, stream, &error, &Prologue::default());
            state.append(&refusal);
        }
        self.count_waiting(state);
        if opcode == Opcode::Event as u8 {
            return;
        }
        if state.in_flight > 0 {
            // Which request weighed what is not kept; the sum is right whenever none is left.
            state.in_flight_bytes -= state.in_flight_bytes / state.in_flight as u64;
            state.in_flight -= 1;
        }
        if opcode == Opcode::Ready as u8 || opcode == Opcode::AuthSuccess as u8 {
            state.decoder.set_limit(state.limits.max_frame_bytes);
        }
        if state.startup == Some(stream) {
            state.startup = None;
            state.decoder.resume();
            self.readable_again.notify_one();
        }
    }

    /// STARTUP was accepted, and its answer appended: from here on frames travel as agreed.
    pub fn start(&self, compression: Option<Compression>) {
        let state = &mut *self.state.borrow_mut();
        state.decoder.start(state.version, compression);
        state.encoder.start(state.version, compression);
    }

    /// Appends an answer that the shell gives itself, to a request that was not counted.
    pub fn refuse(&self, frame: &RequestFrame, error: &RequestError) {
        let state = &mut *self.state.borrow_mut();
        let mut envelope = Vec::new();
        let header = frame.header;
        put_error_response(
            &mut envelope,
            header.version,
            header.stream,
            error,
            &Prologue::default(),
        );
        state.append(&envelope);
        if state.startup.take().is_some() {
            state.decoder.resume();
        }
    }

    /// Whether a turn has something to send on it.
    pub fn has_unsent(&self) -> bool {
        self.state.borrow().unsent
    }

    /// Puts it on the turn's list; `false` if it is on it already.
    pub fn list(&self) -> bool {
        !std::mem::replace(&mut self.state.borrow_mut().listed, true)
    }

    /// Closes it once everything appended is sent.
    pub fn close_when_sent(&self) {
        self.state.borrow_mut().close_when_sent = true;
    }

    /// Sends what was appended, as far as the socket takes it. `true` if a task must wait to send the rest.
    #[must_use]
    pub fn flush(&self) -> bool {
        let state = &mut *self.state.borrow_mut();
        state.listed = false;
        state.unsent = false;
        state.encoder.seal(&mut state.out);
        state.settle();
        if state.writing || self.closed.get() {
            return false;
        }
        state.writing = self
            .send(state)
            .is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        state.writing
    }

    /// Sends the rest when the socket takes it again.
    pub async fn send_rest(&self) {
        loop {
            if self.stream.writable().await.is_err() {
                break self.close();
            }
            let state = &mut *self.state.borrow_mut();
            if self.closed.get() {
                break;
            }
            // What was appended since may end in an open segment.
            state.encoder.seal(&mut state.out);
            match self.send(state) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                _ => {
                    state.writing = false;
                    break;
                }
            }
        }
    }

    /// Tells the shard what waits on this connection now.
    fn count_waiting(&self, state: &mut State) {
        let waits = state.out.len() - state.sent;
        self.waiting.change(state.counted, waits);
        state.counted = waits;
    }

    fn send(&self, state: &mut State) -> io::Result<()> {
        let result = self.send_waiting(state);
        self.count_waiting(state);
        result
    }

    fn send_waiting(&self, state: &mut State) -> io::Result<()> {
        while state.sent < state.out.len()
            || state.session.as_ref().is_some_and(Session::wants_write)
        {
            let rest = &state.out[state.sent..];
            let (written, result) = match &mut state.session {
                None => match self.stream.try_write(rest) {
                    Ok(written) => (written, Ok(())),
                    Err(error) => (0, Err(error)),
                },
                Some(session) => session.write(&self.stream, rest),
            };
            state.sent += written;
            if written > 0 {
                self.last_taken.set(Instant::now());
            }
            match result {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // A client slower than its answers are made may never have taken all of them.
                    if state.sent >= MAX_SENT_BYTES && state.sent >= state.out.len() / 2 {
                        state.out.drain(..state.sent);
                        state.sent = 0;
                    }
                    if state.out.len() - state.sent <= MAX_WAITING_BYTES / 2 {
                        self.readable_again.notify_one();
                    }
                    return Err(error);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.close();
                    return Err(error);
                }
            }
        }
        state.sent = 0;
        state.buffers.take_back(std::mem::take(&mut state.out));
        if state.close_when_sent {
            self.end(state.session.as_mut());
        }
        self.readable_again.notify_one();
        Ok(())
    }

    /// Ends it: the reading task sees the end of the stream.
    pub fn close(&self) {
        // Who is in the middle of sending closes a connection that cannot be sent to.
        match self.state.try_borrow_mut() {
            Ok(mut state) => self.end(state.session.as_mut()),
            Err(_) => self.end(None),
        }
    }

    fn end(&self, session: Option<&mut Session>) {
        if !self.closed.replace(true) {
            if let Some(session) = session {
                session.say_goodbye(&self.stream);
            }
            // The peer may be gone already; then there is nothing to shut.
            let _ = socket2::SockRef::from(&self.stream).shutdown(std::net::Shutdown::Both);
            self.readable_again.notify_one();
        }
    }

    /// One line for the operator.
    pub fn describe(&self) -> String {
        let state = self.state.borrow();
        format!(
            "client {} {} in flight {} waiting {} bytes{}",
            self.address,
            state.version,
            state.in_flight,
            state.out.len() - state.sent,
            if state.writing {
                ", not reading its answers"
            } else {
                ""
            }
        )
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.waiting.change(self.state.get_mut().counted, 0);
    }
}
