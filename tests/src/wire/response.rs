//! Responses, read to their last byte.

use super::bytes::Reader;
use super::types::Type;
use super::{WireError, WireResult};

/// A column of a result, or a bind variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name as the server wrote it.
    pub name: String,
    /// Its type.
    pub kind: Type,
}

/// Metadata of rows or of bind variables.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    /// Columns in order; empty when the server left them out.
    pub columns: Vec<Column>,
    /// Positions of the partition key's components among the bind variables (protocol 4 and later).
    pub key: Vec<u16>,
    /// Present when there is another page.
    pub paging_state: Option<Vec<u8>>,
}

/// A page of rows.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// What the columns are.
    pub metadata: Metadata,
    /// Cells by row.
    pub rows: Vec<Vec<Option<Vec<u8>>>>,
}

/// A prepared statement.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Statement id.
    pub id: Vec<u8>,
    /// Result metadata id (protocol 5).
    pub metadata_id: Option<Vec<u8>>,
    /// Bind variables.
    pub parameters: Metadata,
    /// Result columns, if known.
    pub result: Metadata,
}

/// An error the server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    /// Code of section 9 of the specification.
    pub code: i32,
    /// Text for people.
    pub message: String,
    /// The further fields of the code, as `name=value`.
    pub fields: Vec<String>,
}

impl ServerError {
    /// The specification's name for the code.
    pub fn class(&self) -> &'static str {
        match self.code {
            0x0000 => "ServerError",
            0x000A => "ProtocolError",
            0x0100 => "AuthenticationError",
            0x1000 => "Unavailable",
            0x1001 => "Overloaded",
            0x1002 => "IsBootstrapping",
            0x1003 => "TruncateError",
            0x1100 => "WriteTimeout",
            0x1200 => "ReadTimeout",
            0x1300 => "ReadFailure",
            0x1400 => "FunctionFailure",
            0x1500 => "WriteFailure",
            0x1600 => "CdcWriteFailure",
            0x1700 => "CasWriteUnknown",
            0x2000 => "SyntaxError",
            0x2100 => "Unauthorized",
            0x2200 => "Invalid",
            0x2300 => "ConfigError",
            0x2400 => "AlreadyExists",
            0x2500 => "Unprepared",
            _ => "Unknown",
        }
    }

    fn read(from: &mut Reader<'_>) -> WireResult<Self> {
        let (code, message) = (from.int()?, from.string()?);
        let mut fields = Vec::new();
        match code {
            0x1000 => {
                fields.push(format!("consistency={}", from.short()?));
                fields.push(format!("required={}", from.int()?));
                fields.push(format!("alive={}", from.int()?));
            }
            0x1400 => {
                fields.push(format!("keyspace={}", from.string()?));
                fields.push(format!("function={}", from.string()?));
                fields.push(format!("arguments={}", from.string_list()?.join(",")));
            }
            0x2400 => {
                fields.push(format!("keyspace={}", from.string()?));
                fields.push(format!("table={}", from.string()?));
            }
            0x2500 => fields.push(format!("id={}", super::render::blob(from.short_bytes()?))),
            // Timeouts and failures depend on the moment; their numbers are not worth recording.
            _ => {
                from.take(from.rest().len())?;
            }
        }
        Ok(Self {
            code,
            message,
            fields,
        })
    }
}

/// The body of a response.
#[derive(Debug, Clone)]
pub enum Answer {
    /// READY.
    Ready,
    /// AUTHENTICATE: the authenticator's class.
    Authenticate(String),
    /// AUTH_SUCCESS.
    AuthSuccess,
    /// SUPPORTED.
    Supported(Vec<(String, Vec<String>)>),
    /// RESULT Void.
    Void,
    /// RESULT Rows.
    Rows(Rows),
    /// RESULT Set_keyspace.
    Keyspace(String),
    /// RESULT Prepared.
    Prepared(Box<Prepared>),
    /// RESULT Schema_change: `CREATED TABLE ks.t`.
    SchemaChange(String),
    /// ERROR.
    Error(ServerError),
    /// EVENT, described.
    Event(String),
}

/// A response with what came along.
#[derive(Debug, Clone)]
pub struct Response {
    /// The body.
    pub answer: Answer,
    /// Client warnings.
    pub warnings: Vec<String>,
    /// Tracing session.
    pub tracing: Option<[u8; 16]>,
}

const FLAG_TRACING: u8 = 0x02;
const FLAG_PAYLOAD: u8 = 0x04;
const FLAG_WARNING: u8 = 0x08;

impl Response {
    /// Decodes the body of an envelope.
    pub fn read(version: u8, flags: u8, opcode: u8, body: &[u8]) -> WireResult<Self> {
        let mut from = Reader::new(body);
        let tracing = if flags & FLAG_TRACING != 0 {
            Some(from.uuid()?)
        } else {
            None
        };
        let warnings = if flags & FLAG_WARNING != 0 {
            from.string_list()?
        } else {
            Vec::new()
        };
        if flags & FLAG_PAYLOAD != 0 {
            for _ in 0..from.short()? {
                from.string()?;
                from.bytes()?;
            }
        }
        let answer = answer(version, opcode, &mut from)?;
        if !from.rest().is_empty() {
            return Err(WireError::Malformed(format!(
                "{} bytes after the body",
                from.rest().len()
            )));
        }
        Ok(Self {
            answer,
            warnings,
            tracing,
        })
    }
}

fn answer(version: u8, opcode: u8, from: &mut Reader<'_>) -> WireResult<Answer> {
    Ok(match opcode {
        0x00 => Answer::Error(ServerError::read(from)?),
        0x02 => Answer::Ready,
        0x03 => Answer::Authenticate(from.string()?),
        0x06 => {
            let entries = (0..from.short()?).map(|_| Ok((from.string()?, from.string_list()?)));
            Answer::Supported(entries.collect::<WireResult<_>>()?)
        }
        0x08 => result(version, from)?,
        0x0C => match from.string()?.as_str() {
            "SCHEMA_CHANGE" => Answer::Event(schema_change(from)?),
            kind => Answer::Event(format!("{kind} {} {}", from.string()?, from.inet()?)),
        },
        0x10 => {
            from.bytes()?;
            Answer::AuthSuccess
        }
        other => {
            return Err(WireError::Malformed(format!(
                "opcode 0x{other:02x} in a response"
            )));
        }
    })
}

fn result(version: u8, from: &mut Reader<'_>) -> WireResult<Answer> {
    Ok(match from.int()? {
        1 => Answer::Void,
        2 => {
            let (metadata, count) = rows_metadata(version, from)?;
            let row = |from: &mut Reader<'_>| {
                (0..count)
                    .map(|_| Ok(from.bytes()?.map(<[u8]>::to_vec)))
                    .collect::<WireResult<Vec<_>>>()
            };
            let rows = (0..from.int()?)
                .map(|_| row(from))
                .collect::<WireResult<_>>()?;
            Answer::Rows(Rows { metadata, rows })
        }
        3 => Answer::Keyspace(from.string()?),
        4 => {
            let id = from.short_bytes()?.to_vec();
            let metadata_id = if version >= 5 {
                Some(from.short_bytes()?.to_vec())
            } else {
                None
            };
            let parameters = prepared_metadata(version, from)?;
            let (result, _) = rows_metadata(version, from)?;
            Answer::Prepared(Box::new(Prepared {
                id,
                metadata_id,
                parameters,
                result,
            }))
        }
        5 => Answer::SchemaChange(schema_change(from)?),
        other => return Err(WireError::Malformed(format!("result kind {other}"))),
    })
}

fn schema_change(from: &mut Reader<'_>) -> WireResult<String> {
    let (change, target, keyspace) = (from.string()?, from.string()?, from.string()?);
    let name = match target.as_str() {
        "KEYSPACE" => keyspace,
        "FUNCTION" | "AGGREGATE" => format!(
            "{keyspace}.{}({})",
            from.string()?,
            from.string_list()?.join(", ")
        ),
        _ => format!("{keyspace}.{}", from.string()?),
    };
    Ok(format!("{change} {target} {name}"))
}

const METADATA_GLOBAL_TABLE: i32 = 0x1;
const METADATA_MORE_PAGES: i32 = 0x2;
const METADATA_NONE: i32 = 0x4;
const METADATA_CHANGED: i32 = 0x8;

fn rows_metadata(version: u8, from: &mut Reader<'_>) -> WireResult<(Metadata, i32)> {
    let (flags, count) = (from.int()?, from.int()?);
    let mut metadata = Metadata::default();
    if flags & METADATA_MORE_PAGES != 0 {
        metadata.paging_state = from.bytes()?.map(<[u8]>::to_vec);
    }
    if version >= 5 && flags & METADATA_CHANGED != 0 {
        from.short_bytes()?;
    }
    if flags & METADATA_NONE == 0 {
        metadata.columns = columns(flags, count, from)?;
    }
    Ok((metadata, count))
}

fn prepared_metadata(version: u8, from: &mut Reader<'_>) -> WireResult<Metadata> {
    let (flags, count) = (from.int()?, from.int()?);
    let mut key = Vec::new();
    if version >= 4 {
        key = (0..from.int()?)
            .map(|_| from.short())
            .collect::<WireResult<_>>()?;
    }
    Ok(Metadata {
        columns: columns(flags, count, from)?,
        key,
        paging_state: None,
    })
}

fn columns(flags: i32, count: i32, from: &mut Reader<'_>) -> WireResult<Vec<Column>> {
    let global = flags & METADATA_GLOBAL_TABLE != 0 && count > 0;
    if global {
        from.string()?;
        from.string()?;
    }
    let column = |_| {
        if !global {
            from.string()?;
            from.string()?;
        }
        Ok(Column {
            name: from.string()?,
            kind: Type::read(from)?,
        })
    };
    (0..count).map(column).collect()
}
