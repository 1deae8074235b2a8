//! Answers: taken off a connection's bytes, and judged.
//!
//! A wrong answer must not count as a fast one, so every answer is judged by kind and number of rows; the values are
//! compared for a sample, outside the measured time ([`crate::check`]).

use crate::failure::{Failure, Outcome};
use bytes::{Buf, Bytes, BytesMut};
use cql::frame::ProtocolVersion;
use cql::frame::header::{HEADER_BYTES, Opcode, flags};
use cql::frame::reader::Reader;
use cql::frame::segment::{Content, SegmentFormat, read_segment};

mod kind {
    pub const VOID: i32 = 1;
    pub const ROWS: i32 = 2;
}

mod row_flags {
    pub const HAS_MORE_PAGES: i32 = 2;
    pub const NO_METADATA: i32 = 4;
}

/// What the right answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// A write is acknowledged.
    Void,
    /// So many rows.
    Rows(u32),
}

/// An answer as it came.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The request's stream.
    pub stream: i16,
    /// What the body is.
    pub opcode: u8,
    /// The message.
    pub body: Bytes,
}

impl Answer {
    /// Why it is not what was expected, if it is not.
    pub fn judge(&self, expected: Expected) -> Option<String> {
        let right = match expected {
            Expected::Void => {
                self.opcode == Opcode::Result as u8 && self.result_kind() == kind::VOID
            }
            Expected::Rows(count) => self.rows().is_some_and(|(rows, _)| rows == count),
        };
        (!right).then(|| format!("expected {expected:?}, got {}", self.describe()))
    }

    /// Number of rows and the bytes of their cells, of a Rows result without metadata.
    pub fn rows(&self) -> Option<(u32, &[u8])> {
        if self.opcode != Opcode::Result as u8 || self.result_kind() != kind::ROWS {
            return None;
        }
        let mut body = Reader::new(self.body.get(4..)?);
        let bits = body.int().ok()?;
        body.int().ok()?;
        if bits & row_flags::NO_METADATA == 0 {
            return None;
        }
        if bits & row_flags::HAS_MORE_PAGES != 0 {
            body.bytes().ok()?;
        }
        let count = u32::try_from(body.int().ok()?).ok()?;
        Some((count, body.rest()))
    }

    fn result_kind(&self) -> i32 {
        match self.body.first_chunk() {
            Some(bytes) => i32::from_be_bytes(*bytes),
            None => 0,
        }
    }

    /// In words, for a message.
    pub fn describe(&self) -> String {
        let name = Opcode::from_number(self.opcode).map_or("an unknown opcode", Opcode::name);
        if self.opcode != Opcode::Error as u8 {
            return format!(
                "{name} of kind {}, {} bytes",
                self.result_kind(),
                self.body.len()
            );
        }
        let mut body = Reader::new(&self.body);
        match (body.int(), body.string()) {
            (Ok(code), Ok(text)) => format!("error 0x{code:04x}: {text}"),
            _ => "an unreadable error".into(),
        }
    }
}

/// Takes answers off the bytes of a connection.
#[derive(Debug, Default)]
pub struct Answers {
    input: BytesMut,
    segmented: bool,
    payload: Bytes,
    pieces: BytesMut,
}

impl Answers {
    /// STARTUP of this version was answered.
    pub fn start(&mut self, version: ProtocolVersion) {
        self.segmented = version.has_segments();
    }

    /// Bytes that arrived.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// The next answer, once it is all there.
    pub fn next(&mut self) -> Outcome<Option<Answer>> {
        if !self.segmented {
            let Some(length) = envelope_length(&self.input) else {
                return Ok(None);
            };
            return read_envelope(self.input.split_to(length).freeze()).map(Some);
        }
        loop {
            if let Some(length) = envelope_length(&self.payload) {
                return read_envelope(self.payload.split_to(length)).map(Some);
            }
            if let Some(length) = envelope_length(&self.pieces) {
                return read_envelope(self.pieces.split_to(length).freeze()).map(Some);
            }
            let segment = read_segment(SegmentFormat::Plain, &mut self.input)
                .map_err(|error| Failure::new(format!("a damaged segment: {error}")))?;
            match segment {
                None => return Ok(None),
                Some(segment) if segment.content == Content::SelfContained => {
                    self.payload = segment.payload;
                }
                Some(segment) => self.pieces.extend_from_slice(&segment.payload),
            }
        }
    }
}

/// Length of the envelope at the front, if all of it is there.
fn envelope_length(bytes: &[u8]) -> Option<usize> {
    let header = bytes.first_chunk::<HEADER_BYTES>()?;
    let [.., a, b, c, d] = *header;
    let length = HEADER_BYTES + u32::from_be_bytes([a, b, c, d]) as usize;
    (bytes.len() >= length).then_some(length)
}

/// Reads a whole envelope; warnings, which precede the message, are dropped.
fn read_envelope(mut bytes: Bytes) -> Outcome<Answer> {
    let header = bytes.split_to(HEADER_BYTES);
    if header[1] & flags::WARNING != 0 {
        let mut body = Reader::new(&bytes);
        body.string_list()
            .map_err(|error| Failure::new(format!("unreadable warnings: {error}")))?;
        let skipped = bytes.len() - body.rest().len();
        bytes.advance(skipped);
    }
    Ok(Answer {
        stream: i16::from_be_bytes([header[2], header[3]]),
        opcode: header[4],
        body: bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cql::frame::metadata::ColumnSpec;
    use cql::frame::response::{MetadataForm, RowsWriter};
    use cql::frame::response::{Prologue, begin, put_void};
    use cql::frame::{Encoder, ResultMetadata};
    use model::types::CqlType;

    fn columns() -> ResultMetadata {
        ResultMetadata::new(vec![ColumnSpec {
            keyspace: "k".into(),
            table: "t".into(),
            name: "c".into(),
            cql_type: CqlType::Text,
        }])
    }

    fn envelopes(version: ProtocolVersion) -> [Vec<u8>; 2] {
        let mut void = Vec::new();
        let envelope = begin(&mut void, version, 3, Opcode::Result);
        put_void(&mut void);
        envelope.finish(&mut void, &Prologue::default());
        let mut rows = Vec::new();
        let envelope = begin(&mut rows, version, 4, Opcode::Result);
        let metadata = columns();
        let mut writer = RowsWriter::begin(&mut rows, &metadata, version, MetadataForm::Skipped);
        for _ in 0..20_000 {
            writer.cell(Some(b"0123456789"));
        }
        writer.finish(None);
        envelope.finish(&mut rows, &Prologue::default());
        [void, rows]
    }

    #[test]
    fn answers_come_out_whole_however_the_bytes_arrive() {
        for version in [ProtocolVersion::V4, ProtocolVersion::V5] {
            let mut encoder = Encoder::default();
            encoder.start(version, None);
            let mut out = Vec::new();
            for envelope in envelopes(version) {
                encoder.append(&envelope, &mut out);
                encoder.seal(&mut out);
            }
            for step in [1, 1_000, out.len()] {
                let mut answers = Answers::default();
                answers.start(version);
                let mut found = Vec::new();
                for bytes in out.chunks(step) {
                    answers.extend(bytes);
                    while let Some(answer) = answers.next().unwrap() {
                        found.push(answer);
                    }
                }
                let streams: Vec<i16> = found.iter().map(|answer| answer.stream).collect();
                assert_eq!(streams, [3, 4]);
                assert_eq!(found[0].judge(Expected::Void), None);
                assert!(found[0].judge(Expected::Rows(0)).is_some());
                assert_eq!(found[1].judge(Expected::Rows(20_000)), None);
                assert!(found[1].judge(Expected::Rows(1)).is_some());
            }
        }
    }
}
