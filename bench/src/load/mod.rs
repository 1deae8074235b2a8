//! The client that loads a server: one thread, a few connections, at most so many requests in flight.
//!
//! - At saturation every answer is followed by the next request.
//! - At a fixed rate request `i` is due at start + i / rate, and its latency counts from then, whether or not it could
//!   be sent then: a server that stalls is charged for every request that came due meanwhile (no coordinated omission).
//!
//! A turn reads what arrived, answers it with new requests, and sends those with one write a connection. Time is
//! divided into windows; whoever runs the load is handed each window as it ends, and says when it has seen enough.

mod answer;
mod connection;
mod window;

pub use answer::Expected;
pub use connection::Connection;
pub use window::Window;

use crate::failure::{Failure, Outcome};
use cql::frame::ProtocolVersion;
use cql::frame::header::Opcode;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A server that answers nothing for so long is given up.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);
/// How long the thread may sleep past what it asked for.
const TIMER_SLACK_NS: u64 = 1_000;

/// What is asked, request after request.
pub trait Source {
    /// Writes the body of the next EXECUTE, written at `timestamp_us`; `None` when there is nothing left to ask.
    fn next(&mut self, timestamp_us: i64, out: &mut Vec<u8>) -> Option<Expected>;
}

/// How fast requests follow each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As fast as answers come.
    Saturation,
    /// So many a second.
    Rate(f64),
}

/// How the load is shaped.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Where servers answer: connections are spread over them.
    pub addresses: Vec<SocketAddr>,
    /// The protocol spoken.
    pub version: ProtocolVersion,
    /// Connections.
    pub connections: usize,
    /// Requests in flight over all connections.
    pub in_flight: usize,
}

/// A client with its connections open.
#[derive(Debug)]
pub struct Load {
    lanes: Vec<Lane>,
    body: Vec<u8>,
    began: Instant,
    began_us: i64,
}

/// A connection and its requests in flight.
#[derive(Debug)]
struct Lane {
    connection: Connection,
    /// By stream.
    pending: Vec<Option<Pending>>,
    free: Vec<i16>,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    due: Duration,
    expected: Expected,
}

/// What is left to ask in one run.
struct Run<'a> {
    source: &'a mut dyn Source,
    pace: Pace,
    start: Duration,
    issued: u64,
    exhausted: bool,
}

impl Run<'_> {
    /// When the next request is due; `None` when there is none.
    fn due(&self, now: Duration) -> Option<Duration> {
        match self.pace {
            _ if self.exhausted => None,
            Pace::Saturation => Some(now),
            Pace::Rate(rate) => {
                Some(self.start + Duration::from_secs_f64(self.issued as f64 / rate))
            }
        }
    }
}

impl Load {
    /// Opens the connections.
    pub fn open(shape: &Shape) -> Outcome<Self> {
        if let Some(slack) = std::num::NonZeroU64::new(TIMER_SLACK_NS) {
            // Refused only where the kernel is older than the call; then latencies are up to 50 µs longer for everybody.
            let _ = rustix::thread::set_current_timer_slack(Some(slack));
        }
        let each = shape.in_flight.div_ceil(shape.connections);
        let streams = i16::try_from(each)
            .map_err(|_| Failure::new(format!("{each} requests in flight on one connection")))?;
        let mut lanes = Vec::new();
        let addresses = shape.addresses.iter().cycle();
        for address in addresses.take(shape.connections) {
            let connection = Connection::open(*address, shape.version)?;
            connection.set_nonblocking()?;
            lanes.push(Lane {
                connection,
                pending: vec![None; each],
                free: (0..streams).collect(),
            });
        }
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        Ok(Self {
            lanes,
            body: Vec::new(),
            began: Instant::now(),
            began_us: since_1970.map_or(0, |time| time.as_micros() as i64),
        })
    }

    /// Loads the server until `observe`, called at the end of each window, breaks or the source is exhausted, then waits
    /// for the answers still due.
    pub fn run(
        &mut self,
        source: &mut dyn Source,
        pace: Pace,
        length: Duration,
        observe: &mut dyn FnMut(Window) -> Outcome<ControlFlow<()>>,
    ) -> Outcome {
        let start = self.began.elapsed();
        let mut run = Run {
            source,
            pace,
            start,
            issued: 0,
            exhausted: false,
        };
        let mut window = Window::new(start)?;
        let mut last_answer = start;
        let mut stopped = false;
        loop {
            let now = self.began.elapsed();
            self.issue(&mut run, now, &mut window);
            for lane in &mut self.lanes {
                lane.connection.flush()?;
            }
            if run.exhausted && self.in_flight() == 0 {
                // After a break nobody waits for the answers that were still due.
                if !stopped {
                    window.end(now);
                    let _: ControlFlow<()> = observe(window)?;
                }
                return Ok(());
            }
            self.wait(run.due(now), now)?;
            let now = self.began.elapsed();
            if self.take_answers(now, &mut window)? > 0 || self.in_flight() == 0 {
                last_answer = now;
            }
            if now.saturating_sub(last_answer) > SILENCE_LIMIT {
                return Err(Failure::new(format!("no answer for {SILENCE_LIMIT:?}")));
            }
            if now.saturating_sub(window.start()) >= length && !run.exhausted {
                let mut ended = std::mem::replace(&mut window, Window::new(now)?);
                ended.end(now);
                ended.check()?;
                stopped = observe(ended)?.is_break();
                run.exhausted = stopped;
            }
        }
    }

    fn in_flight(&self) -> usize {
        self.lanes.iter().map(Lane::in_flight).sum()
    }

    /// Pushes every request that is due and has room, each to the connection with the fewest in flight.
    fn issue(&mut self, run: &mut Run<'_>, now: Duration, window: &mut Window) {
        let timestamp_us = self.began_us + now.as_micros() as i64;
        while let Some(due) = run.due(now).filter(|due| *due <= now) {
            let Some(lane) = self
                .lanes
                .iter_mut()
                .filter(|lane| !lane.free.is_empty())
                .max_by_key(|lane| lane.free.len())
            else {
                return;
            };
            self.body.clear();
            let Some(expected) = run.source.next(timestamp_us, &mut self.body) else {
                run.exhausted = true;
                return;
            };
            run.issued += 1;
            window.sent(now.saturating_sub(due));
            lane.push(Pending { due, expected }, &self.body);
        }
    }

    /// Sleeps until bytes arrive, can be sent, or the next request is due.
    fn wait(&self, due: Option<Duration>, now: Duration) -> Outcome {
        const IDLE: Duration = Duration::from_millis(100);
        let full = self.lanes.iter().all(|lane| lane.free.is_empty());
        let time = match due {
            // With no room left, only an answer makes any.
            Some(due) if !full => due.saturating_sub(now).min(IDLE),
            _ => IDLE,
        };
        let timeout = Timespec {
            tv_sec: time.as_secs() as i64,
            tv_nsec: i64::from(time.subsec_nanos()),
        };
        let mut ready: Vec<PollFd<'_>> = self.lanes.iter().map(Lane::poll).collect();
        match poll(&mut ready, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(std::io::Error::from(error).into()),
        }
    }

    /// Takes every answer that has arrived; how many those are.
    fn take_answers(&mut self, now: Duration, window: &mut Window) -> Outcome<usize> {
        let mut count = 0;
        for lane in self.lanes.iter_mut().filter(|lane| lane.in_flight() > 0) {
            lane.connection.fill()?;
            while let Some(answer) = lane.connection.next_answer()? {
                let pending = lane.take(answer.stream)?;
                let fault = answer.judge(pending.expected);
                window.answered(now.saturating_sub(pending.due), fault);
                count += 1;
            }
        }
        Ok(count)
    }
}

impl Lane {
    fn in_flight(&self) -> usize {
        self.pending.len() - self.free.len()
    }

    fn poll(&self) -> PollFd<'_> {
        let mut events = PollFlags::IN;
        if self.connection.wants_write() {
            events |= PollFlags::OUT;
        }
        PollFd::new(&self.connection, events)
    }

    fn push(&mut self, pending: Pending, body: &[u8]) {
        let stream = self.free.pop().expect("only lanes with room are chosen");
        self.pending[stream as usize] = Some(pending);
        self.connection
            .push(stream, Opcode::Execute, |out| out.extend_from_slice(body));
    }

    fn take(&mut self, stream: i16) -> Outcome<Pending> {
        let slot = usize::try_from(stream)
            .ok()
            .and_then(|stream| self.pending.get_mut(stream));
        let pending = slot.and_then(Option::take);
        self.free.push(stream);
        pending.ok_or_else(|| {
            Failure::new(format!(
                "an answer on stream {stream}, where nothing was asked"
            ))
        })
    }
}
