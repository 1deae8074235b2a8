//! The server that does nothing: what CQL costs before any database work.
//!
//! One thread reads frames and answers them with answers made in advance: an acknowledgement for a write, one order or
//! twenty for a read. Everything that arrived by a wake-up is answered with one write a connection. It uses the codec of
//! `crates/cql`, so that what Helenus costs beyond it is Helenus' own work.

use crate::failure::{Failure, Outcome};
use crate::orders::{self, Pool, SLICE_ROWS};
use bytes::BytesMut;
use cql::frame::header::HEADER_BYTES;
use cql::frame::metadata::ColumnSpec;
use cql::frame::response::{
    MetadataForm, PreparedResult, Prologue, RowsWriter, begin, prepared_id, put_prepared,
    put_ready, put_supported, put_void,
};
use cql::frame::{
    Decoder, Encoder, Opcode, ProtocolVersion, Request, RequestFrame, ResultMetadata,
};
use model::types::CqlType;
use rustix::event::{PollFd, PollFlags, poll};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

const LIMIT_BYTES: usize = 16 << 20;
const READ_BYTES: usize = 256 * 1024;

/// Serves until it is killed.
pub fn serve(address: SocketAddr) -> Outcome {
    let listener =
        TcpListener::bind(address).map_err(|error| Failure::new(format!("{address}: {error}")))?;
    listener.set_nonblocking(true)?;
    let canned = Canned::new();
    let mut clients: Vec<Client> = Vec::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let mut ready = vec![PollFd::new(&listener, PollFlags::IN)];
        ready.extend(clients.iter().map(Client::poll));
        match poll(&mut ready, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(std::io::Error::from(error).into()),
        }
        let readable: Vec<bool> = ready[1..]
            .iter()
            .map(|one| !one.revents().is_empty())
            .collect();
        let accept = !ready[0].revents().is_empty();
        let mut turn = readable.into_iter();
        clients.retain_mut(|client| match turn.next() {
            Some(true) => client.turn(&mut buffer, &canned).is_ok(),
            _ => true,
        });
        if accept {
            let (socket, _) = listener.accept()?;
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            clients.push(Client::new(socket));
        }
    }
}

/// A connection of a client.
struct Client {
    socket: TcpStream,
    input: BytesMut,
    decoder: Decoder,
    encoder: Encoder,
    out: Vec<u8>,
    written: usize,
    envelope: Vec<u8>,
}

impl Client {
    fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            input: BytesMut::new(),
            decoder: Decoder::new(LIMIT_BYTES),
            encoder: Encoder::default(),
            out: Vec::new(),
            written: 0,
            envelope: Vec::new(),
        }
    }

    fn poll(&self) -> PollFd<'_> {
        let waiting = self.written < self.out.len();
        PollFd::new(
            &self.socket,
            if waiting {
                PollFlags::OUT
            } else {
                PollFlags::IN
            },
        )
    }

    /// Reads once, answers everything, writes once. An error ends the connection.
    fn turn(&mut self, buffer: &mut [u8], canned: &Canned) -> Outcome {
        if self.written == self.out.len() {
            match self.socket.read(buffer) {
                Ok(0) => return Err(Failure::new("closed")),
                Ok(count) => self.input.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            self.out.clear();
            self.written = 0;
            while let Some(frame) = self
                .decoder
                .next(&mut self.input)
                .map_err(|rejection| Failure::new(rejection.error.to_string()))?
            {
                self.answer(&frame, canned)?;
            }
            self.encoder.seal(&mut self.out);
        }
        match self.socket.write(&self.out[self.written..]) {
            Ok(count) => self.written += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn answer(&mut self, frame: &RequestFrame, canned: &Canned) -> Outcome {
        let version = frame.header.version;
        let stream = frame.header.stream;
        let message = frame
            .message()
            .map_err(|error| Failure::new(error.to_string()))?;
        let out = &mut self.envelope;
        out.clear();
        match message.request {
            Request::Execute(execute) => {
                let answer = canned.answer(execute.id, version);
                out.extend_from_slice(answer);
                out[2..4].copy_from_slice(&stream.to_be_bytes());
            }
            Request::Prepare(prepare) => canned.put_prepared(out, version, stream, prepare.text),
            Request::Options => put_supported(out, version, stream, "3.4.7", &[]),
            Request::Startup(_) => {
                put_ready(out, version, stream);
                self.encoder.append(out, &mut self.out);
                self.encoder.seal(&mut self.out);
                self.encoder.start(version, None);
                self.decoder.start(version, None);
                return Ok(());
            }
            _ => put_result(out, version, stream, put_void),
        }
        self.encoder.append(out, &mut self.out);
        Ok(())
    }
}

/// Answers made in advance, by statement and version.
struct Canned {
    statements: Vec<Statement>,
}

struct Statement {
    id: [u8; 16],
    columns: ResultMetadata,
    answers: [Vec<u8>; 2],
}

impl Canned {
    fn new() -> Self {
        let pool = Pool::default();
        let select = Statement::new(orders::SELECT, Columns::Order, 1, &pool);
        let slice = Statement::new(orders::SELECT_SLICE, Columns::Slice, SLICE_ROWS, &pool);
        let writes = [orders::INSERT, orders::INSERT_BY_CUSTOMER, orders::APPEND];
        let mut statements = vec![select, slice];
        statements.extend(writes.map(|text| Statement::new(text, Columns::None, 0, &pool)));
        Self { statements }
    }

    fn answer(&self, id: &[u8], version: ProtocolVersion) -> &[u8] {
        let statement = self.statements.iter().find(|statement| statement.id == id);
        let statement = statement.unwrap_or(&self.statements[0]);
        &statement.answers[usize::from(version.has_segments())]
    }

    fn put_prepared(&self, out: &mut Vec<u8>, version: ProtocolVersion, stream: i16, text: &str) {
        let id = prepared_id(None, text);
        let statement = self.statements.iter().find(|statement| statement.id == id);
        let nothing = ResultMetadata::default();
        let result = statement.map_or(&nothing, |statement| &statement.columns);
        put_result(out, version, stream, |out| {
            let prepared = PreparedResult {
                id,
                markers: &nothing,
                partition_key: &[],
                result,
            };
            put_prepared(out, version, &prepared);
        });
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Columns {
    None,
    Order,
    Slice,
}

impl Columns {
    fn specs(self) -> ResultMetadata {
        use CqlType::{Bigint, Text, Timestamp, Uuid};
        let key = match self {
            Self::None => return ResultMetadata::default(),
            Self::Order => vec![
                ("order_id", Uuid),
                ("customer_id", Bigint),
                ("placed_at", Timestamp),
            ],
            Self::Slice => vec![("placed_at", Timestamp), ("order_id", Uuid)],
        };
        let details = ["status", "currency", "total_cents", "items", "address"];
        let details = details.map(|name| (name, if name == "total_cents" { Bigint } else { Text }));
        let (keyspace, table): (Arc<str>, Arc<str>) = ("bench".into(), "orders".into());
        let spec = |(name, cql_type): (&str, CqlType)| ColumnSpec {
            keyspace: keyspace.clone(),
            table: table.clone(),
            name: name.into(),
            cql_type,
        };
        ResultMetadata::new(key.into_iter().chain(details).map(spec).collect())
    }
}

impl Statement {
    fn new(text: &str, columns: Columns, rows: u64, pool: &Pool) -> Self {
        let metadata = columns.specs();
        let answers = [ProtocolVersion::V4, ProtocolVersion::V5].map(|version| {
            let mut out = Vec::new();
            put_result(&mut out, version, 0, |out| match columns {
                Columns::None => put_void(out),
                _ => put_orders(out, &metadata, version, columns, rows, pool),
            });
            debug_assert!(out.len() > HEADER_BYTES);
            out
        });
        Self {
            id: prepared_id(None, text),
            columns: metadata,
            answers,
        }
    }
}

fn put_orders(
    out: &mut Vec<u8>,
    metadata: &ResultMetadata,
    version: ProtocolVersion,
    columns: Columns,
    rows: u64,
    pool: &Pool,
) {
    let mut writer = RowsWriter::begin(out, metadata, version, MetadataForm::Skipped);
    for i in 0..rows {
        let order = pool.order(i);
        let placed_at = order.placed_at_ms.to_be_bytes();
        if columns == Columns::Slice {
            writer.cell(Some(&placed_at));
        }
        writer.cell(Some(&order.id));
        if columns == Columns::Order {
            writer.cell(Some(&order.customer.to_be_bytes()));
            writer.cell(Some(&placed_at));
        }
        writer.cell(Some(order.status.as_bytes()));
        writer.cell(Some(order.currency.as_bytes()));
        writer.cell(Some(&order.total_cents.to_be_bytes()));
        writer.cell(Some(order.items.as_bytes()));
        writer.cell(Some(order.address.as_bytes()));
    }
    writer.finish(None);
}

fn put_result(
    out: &mut Vec<u8>,
    version: ProtocolVersion,
    stream: i16,
    body: impl FnOnce(&mut Vec<u8>),
) {
    let envelope = begin(out, version, stream, Opcode::Result);
    body(out);
    envelope.finish(out, &Prologue::default());
}
