//! A client that speaks every framing and knows nothing of CQL.

use bytes::BytesMut;
use cql::frame::compression::{Compression, decompress_body};
use cql::frame::header::{HEADER_BYTES, flags};
use cql::frame::put::Put;
use cql::frame::reader::Reader;
use cql::frame::segment::{SegmentFormat, read_segment};
use cql::frame::{Encoder, Opcode, ProtocolVersion};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

pub struct Client {
    stream: Box<dyn Stream>,
    local_port: u16,
    version: ProtocolVersion,
    compression: Option<Compression>,
    segments: Option<SegmentFormat>,
    encoder: Encoder,
    out: Vec<u8>,
    input: BytesMut,
    payload: BytesMut,
    /// Whether STARTUP says THROW_ON_OVERLOAD.
    pub throws: bool,
}

pub struct Answer {
    pub version: u8,
    pub stream: i16,
    pub opcode: Opcode,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn error_code(&self) -> i32 {
        assert_eq!(self.opcode, Opcode::Error);
        Reader::new(&self.body).int().unwrap()
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = Self::open(address);
        let local_port = stream.local_addr().unwrap().port();
        Self {
            local_port,
            ..Self::over(Box::new(stream))
        }
    }

    pub fn open(address: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
    }

    pub fn over(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            local_port: 0,
            version: ProtocolVersion::V4,
            compression: None,
            segments: None,
            encoder: Encoder::default(),
            out: Vec::new(),
            input: BytesMut::new(),
            payload: BytesMut::new(),
            throws: false,
        }
    }

    pub fn local_port(&self) -> u16 {
        self.local_port
    }

    fn append(&mut self, stream: i16, opcode: Opcode, body: &[u8]) {
        let mut envelope = vec![self.version as u8, 0];
        envelope.put_short(stream as u16);
        envelope.put_byte(opcode as u8);
        envelope.put_int(body.len() as i32);
        envelope.extend_from_slice(body);
        self.encoder.append(&envelope, &mut self.out);
    }

    pub fn append_query(&mut self, stream: i16, text: &str) {
        let mut body = Vec::new();
        body.put_bytes(Some(text.as_bytes()));
        body.put_short(1);
        if self.version >= ProtocolVersion::V5 {
            body.put_int(0)
        } else {
            body.put_byte(0)
        }
        self.append(stream, Opcode::Query, &body);
    }

    pub fn send(&mut self) {
        self.encoder.seal(&mut self.out);
        self.stream.write_all(&self.out).unwrap();
        self.stream.flush().unwrap();
        self.out.clear();
    }

    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn send_startup(&mut self, version: ProtocolVersion, compression: Option<Compression>) {
        self.version = version;
        let mut options = vec![("CQL_VERSION", "3.0.0")];
        if self.throws {
            options.push(("THROW_ON_OVERLOAD", "1"));
        }
        match compression {
            Some(Compression::Lz4) => options.push(("COMPRESSION", "lz4")),
            Some(Compression::Snappy) => options.push(("COMPRESSION", "snappy")),
            None => {}
        }
        let mut body = Vec::new();
        body.put_short(options.len() as u16);
        for (name, value) in options {
            body.put_string(name);
            body.put_string(value);
        }
        self.append(0, Opcode::Startup, &body);
        self.send();
    }

    pub fn startup(&mut self, version: ProtocolVersion, compression: Option<Compression>) {
        self.send_startup(version, compression);
        assert_eq!(self.receive().opcode, Opcode::Ready);
        self.compression = compression;
        self.encoder.start(version, compression);
        if version.has_segments() {
            self.segments = Some(if compression.is_some() {
                SegmentFormat::Lz4
            } else {
                SegmentFormat::Plain
            });
        }
    }

    pub fn supported(&mut self) -> BTreeMap<String, String> {
        self.append(3, Opcode::Options, b"");
        self.send();
        let answer = self.receive();
        assert_eq!(answer.opcode, Opcode::Supported);
        let mut body = Reader::new(&answer.body);
        (0..body.short().unwrap())
            .map(|_| {
                (
                    body.string().unwrap().to_owned(),
                    body.string_list().unwrap().join(","),
                )
            })
            .collect()
    }

    pub fn query(&mut self, stream: i16, text: &str) -> Answer {
        self.append_query(stream, text);
        self.send();
        self.receive()
    }

    pub fn receive(&mut self) -> Answer {
        self.try_receive()
            .expect("an answer before the end of the stream")
    }

    /// The next answer, or `None` at the end of the stream.
    pub fn try_receive(&mut self) -> Option<Answer> {
        loop {
            if let Some(answer) = self.next_answer() {
                return Some(answer);
            }
            if !self.fill() {
                return None;
            }
        }
    }

    pub fn is_closed_by_peer(&mut self) -> bool {
        !self.fill()
    }

    /// Reads more; `false` at the end.
    fn fill(&mut self) -> bool {
        let mut buffer = [0; 16384];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(read) => {
                self.input.extend_from_slice(&buffer[..read]);
                true
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof
                ) =>
            {
                false
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn next_answer(&mut self) -> Option<Answer> {
        let bytes = match self.segments {
            None => &mut self.input,
            Some(format) => {
                while let Some(segment) = read_segment(format, &mut self.input).unwrap() {
                    self.payload.extend_from_slice(&segment.payload);
                }
                &mut self.payload
            }
        };
        let header = bytes.first_chunk::<HEADER_BYTES>()?;
        let length = u32::from_be_bytes(*header.last_chunk().unwrap()) as usize;
        if bytes.len() < HEADER_BYTES + length {
            return None;
        }
        let envelope = bytes.split_to(HEADER_BYTES + length);
        let body = &envelope[HEADER_BYTES..];
        let body = match self.compression {
            Some(compression)
                if self.segments.is_none() && envelope[1] & flags::COMPRESSED != 0 =>
            {
                decompress_body(compression, body, 1 << 28)
                    .unwrap()
                    .to_vec()
            }
            _ => body.to_vec(),
        };
        Some(Answer {
            version: envelope[0],
            stream: i16::from_be_bytes([envelope[2], envelope[3]]),
            opcode: Opcode::from_number(envelope[4]).unwrap(),
            body,
        })
    }
}
