//! One blocking connection.

use super::request::{Parameters, Request};
use super::response::{Answer, Response};
use super::{WireError, WireResult, segment};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a single answer may take. Schema changes on a loaded machine are the slowest.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const HEADER_BYTES: usize = 9;
/// No test sends or gets a larger message.
const BODY_MAX_BYTES: usize = 256 << 20;

/// A connection in one protocol version: with one request in flight at a time ([`Self::request`]), or with as many as there
/// are stream numbers ([`Self::send`], [`Self::receive`]).
pub struct Connection {
    stream: TcpStream,
    version: u8,
    /// Protocol 5 wraps envelopes into segments once the server has accepted STARTUP.
    segmented: bool,
    /// Bytes of segments read but not used yet.
    unread: VecDeque<u8>,
    next_stream: i16,
}

impl Connection {
    /// Connects and starts up, without authentication or with user and password if the server asks for it.
    pub fn open(address: SocketAddr, version: u8, login: Option<(&str, &str)>) -> WireResult<Self> {
        let mut connection = Self::raw(address, version)?;
        let options = vec![("CQL_VERSION".into(), "3.0.0".into())];
        match connection.request(&Request::Startup(options))?.answer {
            Answer::Ready => {}
            Answer::Error(error) => return Err(WireError::Refused(error)),
            Answer::Authenticate(_) => {
                let (user, password) = login.unwrap_or(("cassandra", "cassandra"));
                connection.segmented = version >= 5;
                let token = format!("\0{user}\0{password}").into_bytes();
                match connection.request(&Request::AuthResponse(token))?.answer {
                    Answer::AuthSuccess => {}
                    Answer::Error(error) => return Err(WireError::Refused(error)),
                    other => return Err(WireError::Malformed(format!("login answered {other:?}"))),
                }
            }
            other => return Err(WireError::Malformed(format!("STARTUP answered {other:?}"))),
        }
        connection.segmented = version >= 5;
        Ok(connection)
    }

    /// Connects without a word, for tests of the handshake itself.
    pub fn raw(address: SocketAddr, version: u8) -> WireResult<Self> {
        let stream = TcpStream::connect_timeout(&address, CONNECT_LIMIT)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.set_write_timeout(Some(ANSWER_LIMIT))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            version,
            segmented: false,
            unread: VecDeque::new(),
            next_stream: 0,
        })
    }

    /// Sends a request and waits for its answer.
    pub fn request(&mut self, request: &Request) -> WireResult<Response> {
        let stream = self.send(request)?;
        let (answered, response) = self.receive()?;
        if answered != stream {
            return Err(WireError::Malformed(format!(
                "stream {answered} answers stream {stream}"
            )));
        }
        Ok(response)
    }

    /// Sends a request and gives the stream that its answer will come on. Whoever has sent as many as there are streams
    /// must not send another before an answer.
    pub fn send(&mut self, request: &Request) -> WireResult<i16> {
        let stream = self.next_stream;
        self.next_stream = (self.next_stream + 1) & 0x7fff;
        let body = request.body(self.version)?;
        let mut envelope = vec![self.version, 0];
        envelope.extend(stream.to_be_bytes());
        envelope.push(request.opcode());
        envelope.extend((body.len() as u32).to_be_bytes());
        envelope.extend(body);
        let bytes = if self.segmented {
            segment::wrap(&envelope)
        } else {
            envelope
        };
        self.stream.write_all(&bytes)?;
        Ok(stream)
    }

    /// A statement as text, with defaults.
    pub fn query(&mut self, text: &str) -> WireResult<Response> {
        self.request(&Request::Query(text.to_owned(), Parameters::default()))
    }

    /// Writes bytes as they are, for malformed input.
    pub fn send_raw(&mut self, bytes: &[u8]) -> WireResult<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Waits for the next response: its stream and what it says.
    pub fn receive(&mut self) -> WireResult<(i16, Response)> {
        let mut header = [0; HEADER_BYTES];
        self.fill(&mut header)?;
        let version = header[0] & 0x7f;
        if header[0] & 0x80 == 0 {
            return Err(WireError::Malformed(
                "a request where a response was due".into(),
            ));
        }
        let length = u32::from_be_bytes([header[5], header[6], header[7], header[8]]) as usize;
        if length > BODY_MAX_BYTES {
            return Err(WireError::Malformed(format!("a body of {length} bytes")));
        }
        let mut body = vec![0; length];
        self.fill(&mut body)?;
        let response = Response::read(version, header[1], header[4], &body)?;
        Ok((i16::from_be_bytes([header[2], header[3]]), response))
    }

    fn fill(&mut self, out: &mut [u8]) -> WireResult<()> {
        if !self.segmented {
            return Ok(self.stream.read_exact(out)?);
        }
        while self.unread.len() < out.len() {
            self.unread.extend(segment::read(&mut self.stream)?);
        }
        let wanted = out.len();
        for (to, from) in out.iter_mut().zip(self.unread.drain(..wanted)) {
            *to = from;
        }
        Ok(())
    }
}
