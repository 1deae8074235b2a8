//! One connection of the client: requests out, answers in, and which answer belongs to which request.
//!
//! It opens blocking, so that STARTUP, schema and PREPARE read as calls, and is switched to non-blocking for the load.
//! All requests of a turn leave with one write and, in version 5, in one segment.

use super::answer::{Answer, Answers};
use crate::failure::{Failure, Outcome};
use crate::requests::{
    Level, Prepared, put_envelope, put_execute, put_execute_tail, put_prepare, put_query,
    put_startup,
};
use cql::frame::header::Opcode;
use cql::frame::reader::Reader;
use cql::frame::{Encoder, ProtocolVersion};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// How long a call may take: creating a table on a busy machine takes seconds.
const CALL_LIMIT: Duration = Duration::from_secs(30);
const READ_BYTES: usize = 256 * 1024;

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    socket: TcpStream,
    version: ProtocolVersion,
    encoder: Encoder,
    answers: Answers,
    out: Vec<u8>,
    written: usize,
    envelope: Vec<u8>,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects and starts up.
    pub fn open(address: SocketAddr, version: ProtocolVersion) -> Outcome<Self> {
        let socket = TcpStream::connect_timeout(&address, CALL_LIMIT)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(CALL_LIMIT))?;
        let mut connection = Self {
            socket,
            version,
            encoder: Encoder::default(),
            answers: Answers::default(),
            out: Vec::new(),
            written: 0,
            envelope: Vec::new(),
            buffer: vec![0; READ_BYTES],
        };
        let answer = connection.call(Opcode::Startup, put_startup)?;
        if answer.opcode != Opcode::Ready as u8 {
            return Err(Failure::new(format!(
                "STARTUP was answered with {}",
                answer.describe()
            )));
        }
        connection.encoder.start(version, None);
        connection.answers.start(version);
        Ok(connection)
    }

    /// The version spoken.
    pub fn version(&self) -> ProtocolVersion {
        self.version
    }

    /// How many rows a statement answers with.
    pub fn count(&mut self, text: &str) -> Outcome<u32> {
        let prepared = self.prepare(text)?;
        let terms = (self.version, Level::LocalOne);
        let answer = self.call(Opcode::Execute, |out| {
            put_execute(out, terms, &prepared, 0);
            put_execute_tail(out, 0);
        })?;
        let rows = answer.rows().map(|(count, _)| count);
        rows.ok_or_else(|| Failure::new(format!("{text}: {}", answer.describe())))
    }

    /// Asks and waits for the answer.
    pub fn call(&mut self, opcode: Opcode, body: impl FnOnce(&mut Vec<u8>)) -> Outcome<Answer> {
        self.push(0, opcode, body);
        self.encoder.seal(&mut self.out);
        let out = std::mem::take(&mut self.out);
        self.socket.write_all(&out)?;
        loop {
            if let Some(answer) = self.answers.next()? {
                return Ok(answer);
            }
            let count = match self.socket.read(&mut self.buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Err(Failure::new(format!("no answer within {CALL_LIMIT:?}")));
                }
                count => count?,
            };
            if count == 0 {
                return Err(Failure::new("the server closed the connection"));
            }
            self.answers.extend(&self.buffer[..count]);
        }
    }

    /// Executes a statement without values.
    pub fn query(&mut self, text: &str) -> Outcome<Answer> {
        let version = self.version;
        let answer = self.call(Opcode::Query, |out| put_query(out, version, text))?;
        if answer.opcode != Opcode::Result as u8 {
            return Err(Failure::new(format!("{text}: {}", answer.describe())));
        }
        Ok(answer)
    }

    /// Prepares a statement.
    pub fn prepare(&mut self, text: &str) -> Outcome<Prepared> {
        let version = self.version;
        let answer = self.call(Opcode::Prepare, |out| put_prepare(out, version, text))?;
        read_prepared(&answer, version)
            .ok_or_else(|| Failure::new(format!("PREPARE {text}: {}", answer.describe())))
    }

    /// Appends a request to what [`Connection::flush`] will send.
    pub fn push(&mut self, stream: i16, opcode: Opcode, body: impl FnOnce(&mut Vec<u8>)) {
        self.envelope.clear();
        put_envelope(&mut self.envelope, self.version, stream, opcode, body);
        self.encoder.append(&self.envelope, &mut self.out);
    }

    /// From now on reads and writes do not wait.
    pub fn set_nonblocking(&self) -> Outcome {
        Ok(self.socket.set_nonblocking(true)?)
    }

    /// Sends what was pushed, as far as the socket takes it.
    pub fn flush(&mut self) -> Outcome {
        self.encoder.seal(&mut self.out);
        while self.written < self.out.len() {
            match self.socket.write(&self.out[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    /// Whether bytes wait to be sent.
    pub fn wants_write(&self) -> bool {
        self.written < self.out.len()
    }

    /// Reads once; the answers are then there to be taken.
    pub fn fill(&mut self) -> Outcome {
        match self.socket.read(&mut self.buffer) {
            Ok(0) => Err(Failure::new(
                "the server closed a connection under the load",
            )),
            Ok(count) => {
                self.answers.extend(&self.buffer[..count]);
                Ok(())
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The next answer that is all there.
    pub fn next_answer(&mut self) -> Outcome<Option<Answer>> {
        self.answers.next()
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The ids of a prepared statement, if that is what the answer is.
fn read_prepared(answer: &Answer, version: ProtocolVersion) -> Option<Prepared> {
    const PREPARED: i32 = 4;
    if answer.opcode != Opcode::Result as u8 {
        return None;
    }
    let mut body = Reader::new(&answer.body);
    if body.int().ok()? != PREPARED {
        return None;
    }
    let id = body.short_bytes().ok()?.to_vec();
    let result_metadata_id = if version.has_segments() {
        body.short_bytes().ok()?.to_vec()
    } else {
        Vec::new()
    };
    Some(Prepared {
        id,
        result_metadata_id,
    })
}
