//! The machine's clients: what they send as frames of the native protocol, and what they make of the answers.

use super::{EXTRA_CLIENT, Machine};
use crate::planted::Planted;
use bytes::BytesMut;
use cql::frame::header::{HEADER_BYTES, flags};
use cql::frame::put::Put;
use cql::frame::reader::Reader;
use cql::frame::{DecodeError, Decoder, Opcode, ProtocolVersion};
use model::error::Consistency;
use node::client::ClientId;
use node::machine::Event;
use std::net::{Ipv4Addr, SocketAddr};

/// Bits of a query's flags (specification, section 4.1.4): a result without its columns,
const SKIP_METADATA: u8 = 0x02;
/// the rows of a page,
const PAGE_SIZE: u8 = 0x04;
/// where it begins,
const PAGING_STATE: u8 = 0x08;
/// the level of its condition,
const SERIAL_CONSISTENCY: u8 = 0x10;
/// the timestamp of what it writes.
const TIMESTAMP: u8 = 0x20;
/// Largest body a client sends.
const MAX_BODY_BYTES: usize = 1 << 20;
/// Longest virtual time a client waits for an answer, in milliseconds.
const PATIENCE_MS: u64 = 60_000;
/// The protocol's `Protocol_error`.
const PROTOCOL_ERROR: i32 = 0x000A;
/// The protocol's `Authentication_error`.
const BAD_CREDENTIALS: i32 = 0x0100;
/// The protocol's `Overloaded`.
pub(in crate::node) const OVERLOADED: i32 = 0x1001;
/// The role a new cluster has, and its password.
pub(super) const SUPERUSER: &str = "cassandra";

/// What a client was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is done, and there is nothing to say.
    Done,
    /// The id of a prepared statement.
    Prepared(Vec<u8>),
    /// Rows of cells.
    Rows(Vec<Vec<Option<Vec<u8>>>>),
    /// An error's code and message.
    Error(i32, String),
}

/// A statement and how it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asking {
    /// The statement.
    pub text: String,
    /// How many replicas must answer.
    pub level: Consistency,
    /// The level of its condition.
    pub serial: Option<Consistency>,
    /// The timestamp of what it writes, in microseconds.
    pub timestamp: Option<i64>,
    /// Rows of a page.
    pub page_rows: Option<i32>,
    /// Where the page begins, as the page before it said.
    pub page_state: Option<Vec<u8>>,
    /// How old the answer to a read of one replica may be.
    pub max_staleness: Option<&'static str>,
}

impl Asking {
    /// A statement at a level, and nothing else.
    pub fn new(level: Consistency, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            level,
            serial: None,
            timestamp: None,
            page_rows: None,
            page_state: None,
            max_staleness: None,
        }
    }

    /// The body of its QUERY.
    fn body(&self, level: Consistency) -> Vec<u8> {
        let mut body = Vec::new();
        if let Some(bound) = self.max_staleness {
            body.put_short(1);
            body.put_string("helenus.max_staleness");
            body.put_bytes(Some(bound.as_bytes()));
        }
        body.put_bytes(Some(self.text.as_bytes()));
        body.put_short(level as u16);
        let bit = |there: bool, bit: u8| if there { bit } else { 0 };
        body.put_byte(
            SKIP_METADATA
                | bit(self.page_rows.is_some(), PAGE_SIZE)
                | bit(self.page_state.is_some(), PAGING_STATE)
                | bit(self.serial.is_some(), SERIAL_CONSISTENCY)
                | bit(self.timestamp.is_some(), TIMESTAMP),
        );
        if let Some(rows) = self.page_rows {
            body.put_int(rows);
        }
        if let Some(state) = &self.page_state {
            body.put_bytes(Some(state));
        }
        if let Some(serial) = self.serial {
            body.put_short(serial as u16);
        }
        if let Some(timestamp) = self.timestamp {
            body.extend_from_slice(&timestamp.to_be_bytes());
        }
        body
    }
}

impl Machine {
    /// Connects a client to each shard and logs it in. The node must be ready.
    pub fn connect(&mut self) -> Result<(), String> {
        for number in 0..self.shard_count() {
            let client = ClientId(u64::from(number));
            if !self.log_in(client, SUPERUSER, SUPERUSER)? {
                return Err("the superuser cannot log in".to_owned());
            }
        }
        Ok(())
    }

    /// Whether a role can log in with a password, on a connection of its own.
    pub fn can_log_in(&mut self, role: &str, password: &str) -> Result<bool, String> {
        self.next_client += 1;
        let shard = self.rng.below(u64::from(self.shard_count()));
        let client = ClientId(shard | EXTRA_CLIENT * self.next_client);
        let done = self.log_in(client, role, password);
        self.tell(shard as u16, Event::ClientClosed(client));
        done
    }

    /// Connects a client to each shard of a node that asks for no password, without waiting.
    pub fn connect_all(&mut self) {
        for number in 0..self.shard_count() {
            self.begin(ClientId(u64::from(number)));
        }
    }

    /// Connects a client; the request to wait for.
    fn begin(&mut self, client: ClientId) -> u64 {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000));
        let connected = Event::ClientConnected {
            client,
            address,
            tls: false,
        };
        self.tell(shard_of(client), connected);
        let mut startup = Vec::new();
        startup.put_short(1);
        startup.put_string("CQL_VERSION");
        startup.put_string("3.0.0");
        self.frame(client, Opcode::Startup, &startup)
    }

    fn log_in(&mut self, client: ClientId, role: &str, password: &str) -> Result<bool, String> {
        let begun = self.begin(client);
        self.wait(begun, "STARTUP")?;
        if !self.config.password_authentication {
            return Ok(true);
        }
        let mut token = Vec::new();
        token.put_bytes(Some(format!("\0{role}\0{password}").as_bytes()));
        loop {
            let first = self.frame(client, Opcode::AuthResponse, &token);
            // Impatient clients are told to wait, and cost nothing.
            let second = self
                .rng
                .chance(20)
                .then(|| self.frame(client, Opcode::AuthResponse, &token));
            let answer = self.wait(first, "AUTH_RESPONSE")?;
            if let Some(second) = second {
                match self.wait(second, "AUTH_RESPONSE")? {
                    Answer::Error(PROTOCOL_ERROR, _) => {}
                    other => return Err(format!("a second login at a time: {other:?}")),
                }
            }
            match answer {
                Answer::Error(OVERLOADED, _) => {}
                Answer::Error(BAD_CREDENTIALS, _) => return Ok(false),
                Answer::Error(code, message) => return Err(format!("login: {code:#x} {message}")),
                _ => return Ok(true),
            }
        }
    }

    /// Sends a statement to a shard; [`Self::answers`] has the answer under the number returned.
    pub fn query(&mut self, shard: u16, text: &str) -> u64 {
        self.query_at(Consistency::One, shard, text)
    }

    /// Sends a statement at a consistency level.
    pub fn query_at(&mut self, consistency: Consistency, shard: u16, text: &str) -> u64 {
        self.send(shard, &Asking::new(consistency, text))
    }

    /// Sends a statement to a shard.
    pub fn send(&mut self, shard: u16, asking: &Asking) -> u64 {
        let level = match (self.disk.planted, asking.level) {
            (Planted::OneReplicaRead, Consistency::Quorum | Consistency::LocalQuorum) => {
                Consistency::One
            }
            (_, level) => level,
        };
        let body = asking.body(level);
        let payload = match asking.max_staleness {
            Some(_) => flags::CUSTOM_PAYLOAD,
            None => 0,
        };
        let client = ClientId(u64::from(shard));
        self.frame_with(client, (Opcode::Query, payload), &body)
    }

    /// Sends a statement and runs until it is answered.
    pub fn ask(&mut self, shard: u16, text: &str) -> Result<Answer, String> {
        let request = self.query(shard, text);
        self.wait(request, text)
    }

    /// Reads at SERIAL and runs until it is answered.
    pub fn select_serially(&mut self, text: &str) -> Result<Answer, String> {
        let request = self.query_at(Consistency::Serial, 0, text);
        self.wait(request, text)
    }

    /// Sends a request and runs until it is answered.
    pub fn request(&mut self, shard: u16, opcode: Opcode, body: &[u8]) -> Result<Answer, String> {
        let request = self.frame(ClientId(u64::from(shard)), opcode, body);
        self.wait(request, opcode.name())
    }

    fn wait(&mut self, request: u64, what: &str) -> Result<Answer, String> {
        let limit = self.millis() + PATIENCE_MS;
        while self.millis() < limit {
            if let Some(answer) = self.answers.remove(&request) {
                return Ok(answer);
            }
            self.turn();
        }
        Err(format!("never answered: {what}"))
    }

    fn frame(&mut self, client: ClientId, opcode: Opcode, body: &[u8]) -> u64 {
        self.frame_with(client, (opcode, 0), body)
    }

    fn frame_with(&mut self, client: ClientId, (opcode, flags): (Opcode, u8), body: &[u8]) -> u64 {
        self.next_request += 1;
        let request = self.next_request;
        let stream = (request % 30_000) as i16;
        self.streams.insert((client, stream), request);
        let mut envelope = vec![ProtocolVersion::V4 as u8, flags];
        envelope.put_short(stream as u16);
        envelope.put_byte(opcode as u8);
        envelope.put_int(body.len() as i32);
        envelope.extend_from_slice(body);
        let mut input = BytesMut::from(&envelope[..]);
        let frame = Decoder::new(MAX_BODY_BYTES)
            .next(&mut input)
            .ok()
            .flatten()
            .expect("a frame of our own");
        self.tell(shard_of(client), Event::ClientFrame { client, frame });
        request
    }

    /// Keeps a client's answer.
    pub(super) fn answered(&mut self, client: ClientId, envelope: &[u8]) {
        self.note(envelope);
        let stream = i16::from_be_bytes([envelope[2], envelope[3]]);
        let Some(request) = self.streams.remove(&(client, stream)) else {
            return;
        };
        let opcode = Opcode::from_number(envelope[4]).expect("an opcode of our own");
        let mut body = Reader::new(&envelope[HEADER_BYTES..]);
        if envelope[1] & flags::WARNING != 0 {
            body.string_list().expect("warnings");
        }
        let answer = match opcode {
            Opcode::Error => body
                .int()
                .and_then(|code| Ok(Answer::Error(code, body.string()?.to_owned()))),
            Opcode::Result => result(&mut body).map(|(answer, more)| {
                self.pages.extend(more.map(|state| (request, state)));
                answer
            }),
            _ => Ok(Answer::Done),
        };
        self.answers
            .insert(request, answer.expect("a well-formed answer"));
    }
}

/// Reads past a type (specification, section 4.2.5.2).
fn skip_type(body: &mut Reader<'_>) -> Result<(), DecodeError> {
    match body.short()? {
        0 => body.string().map(drop),
        0x20 | 0x22 => skip_type(body),
        0x21 => {
            skip_type(body)?;
            skip_type(body)
        }
        0x30 => {
            body.string()?;
            body.string()?;
            for _ in 0..body.short()? {
                body.string()?;
                skip_type(body)?;
            }
            Ok(())
        }
        0x31 => (0..body.short()?).try_for_each(|_| skip_type(body)),
        _ => Ok(()),
    }
}

fn shard_of(client: ClientId) -> u16 {
    client.0 as u16
}

/// Reads a RESULT, and where its next page begins.
fn result(body: &mut Reader<'_>) -> Result<(Answer, Option<Vec<u8>>), DecodeError> {
    const ROWS: i32 = 2;
    const ONE_TABLE: i32 = 1;
    const HAS_MORE_PAGES: i32 = 2;
    const NO_COLUMNS: i32 = 4;
    const PREPARED: i32 = 4;
    match body.int()? {
        ROWS => {}
        PREPARED => return Ok((Answer::Prepared(body.short_bytes()?.to_vec()), None)),
        _ => return Ok((Answer::Done, None)),
    }
    let (metadata, columns) = (body.int()?, body.int()?);
    let mut more = None;
    if metadata & HAS_MORE_PAGES != 0 {
        more = body.bytes()?.map(<[u8]>::to_vec);
    }
    if metadata & NO_COLUMNS == 0 {
        assert!(metadata & ONE_TABLE != 0, "a result of one table");
        body.string()?;
        body.string()?;
        for _ in 0..columns {
            body.string()?;
            skip_type(body)?;
        }
    }
    let count = body.int()?;
    let mut rows = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let cells = (0..columns).map(|_| Ok(body.bytes()?.map(<[u8]>::to_vec)));
        rows.push(cells.collect::<Result<_, DecodeError>>()?);
    }
    Ok((Answer::Rows(rows), more))
}
