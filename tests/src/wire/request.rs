//! Requests and their bodies.

use super::bytes::{put_bytes, put_long_string, put_string};
use super::{WireError, WireResult};

/// A consistency level by its CQL name.
pub fn consistency(name: &str) -> Option<u16> {
    const NAMES: [&str; 11] = [
        "ANY",
        "ONE",
        "TWO",
        "THREE",
        "QUORUM",
        "ALL",
        "LOCAL_QUORUM",
        "EACH_QUORUM",
        "SERIAL",
        "LOCAL_SERIAL",
        "LOCAL_ONE",
    ];
    NAMES
        .iter()
        .position(|known| *known == name)
        .map(|at| at as u16)
}

/// A bound value on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Length -1.
    Null,
    /// Length -2 (protocol 4 and later).
    Unset,
    /// These bytes.
    Bytes(Vec<u8>),
}

impl Value {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => put_bytes(out, None),
            Value::Unset => out.extend((-2i32).to_be_bytes()),
            Value::Bytes(bytes) => put_bytes(out, Some(bytes)),
        }
    }
}

/// Everything beside the statement that QUERY and EXECUTE carry (section 4.1.4).
#[derive(Debug, Clone)]
pub struct Parameters {
    /// Consistency level.
    pub consistency: u16,
    /// Serial consistency level of conditional statements.
    pub serial: Option<u16>,
    /// Bound values, with names where the request gives them.
    pub values: Vec<(Option<String>, Value)>,
    /// Rows a page.
    pub page_size: Option<i32>,
    /// Where to go on.
    pub paging_state: Option<Vec<u8>>,
    /// Default write timestamp, microseconds.
    pub timestamp: Option<i64>,
    /// Keyspace of this request (protocol 5).
    pub keyspace: Option<String>,
    /// What the server should take for now, seconds since 1970 (protocol 5).
    pub now_in_seconds: Option<i32>,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            consistency: 1,
            serial: None,
            values: Vec::new(),
            page_size: None,
            paging_state: None,
            timestamp: None,
            keyspace: None,
            now_in_seconds: None,
        }
    }
}

impl Parameters {
    fn flags(&self) -> u32 {
        let named = self.values.iter().any(|(name, _)| name.is_some());
        [
            (0x01, !self.values.is_empty()),
            (0x04, self.page_size.is_some()),
            (0x08, self.paging_state.is_some()),
            (0x10, self.serial.is_some()),
            (0x20, self.timestamp.is_some()),
            (0x40, named),
            (0x80, self.keyspace.is_some()),
            (0x100, self.now_in_seconds.is_some()),
        ]
        .iter()
        .fold(
            0,
            |flags, (bit, set)| if *set { flags | bit } else { flags },
        )
    }

    fn put(&self, version: u8, out: &mut Vec<u8>) -> WireResult<()> {
        out.extend(self.consistency.to_be_bytes());
        put_flags(self.flags(), version, out)?;
        if !self.values.is_empty() {
            out.extend((self.values.len() as u16).to_be_bytes());
            for (name, value) in &self.values {
                if let Some(name) = name {
                    put_string(out, name);
                }
                value.put(out);
            }
        }
        if let Some(page_size) = self.page_size {
            out.extend(page_size.to_be_bytes());
        }
        if let Some(state) = &self.paging_state {
            put_bytes(out, Some(state));
        }
        self.put_tail(out);
        Ok(())
    }

    /// The part QUERY and BATCH have in common.
    fn put_tail(&self, out: &mut Vec<u8>) {
        if let Some(serial) = self.serial {
            out.extend(serial.to_be_bytes());
        }
        if let Some(timestamp) = self.timestamp {
            out.extend(timestamp.to_be_bytes());
        }
        if let Some(keyspace) = &self.keyspace {
            put_string(out, keyspace);
        }
        if let Some(now) = self.now_in_seconds {
            out.extend(now.to_be_bytes());
        }
    }
}

fn put_flags(flags: u32, version: u8, out: &mut Vec<u8>) -> WireResult<()> {
    if version >= 5 {
        out.extend(flags.to_be_bytes());
    } else {
        let narrow = u8::try_from(flags).ok().filter(|flags| flags & 0x80 == 0);
        out.push(
            narrow.ok_or_else(|| {
                WireError::Request(format!("protocol {version} has no such option"))
            })?,
        );
    }
    Ok(())
}

/// A statement of a protocol-level batch.
#[derive(Debug, Clone)]
pub enum BatchStatement {
    /// CQL text.
    Query(String),
    /// A prepared id.
    Prepared(Vec<u8>),
}

/// A request this client can send.
#[derive(Debug, Clone)]
pub enum Request {
    /// Opens the connection.
    Startup(Vec<(String, String)>),
    /// Asks what the server supports.
    Options,
    /// SASL token.
    AuthResponse(Vec<u8>),
    /// A statement as text.
    Query(String, Parameters),
    /// Prepares, in a keyspace of its own if protocol 5.
    Prepare(String, Option<String>),
    /// Statement id, result metadata id (protocol 5), parameters.
    Execute(Vec<u8>, Option<Vec<u8>>, Parameters),
    /// Kind (0 logged, 1 unlogged, 2 counter), statements with their values, parameters.
    Batch(u8, Vec<(BatchStatement, Vec<Value>)>, Parameters),
    /// Subscribes to events.
    Register(Vec<String>),
}

impl Request {
    /// The opcode.
    pub fn opcode(&self) -> u8 {
        match self {
            Request::Startup(_) => 0x01,
            Request::Options => 0x05,
            Request::Query(..) => 0x07,
            Request::Prepare(..) => 0x09,
            Request::Execute(..) => 0x0A,
            Request::Register(_) => 0x0B,
            Request::Batch(..) => 0x0D,
            Request::AuthResponse(_) => 0x0F,
        }
    }

    /// The body for a protocol version.
    pub fn body(&self, version: u8) -> WireResult<Vec<u8>> {
        let mut out = Vec::new();
        match self {
            Request::Startup(options) => {
                out.extend((options.len() as u16).to_be_bytes());
                for (key, value) in options {
                    put_string(&mut out, key);
                    put_string(&mut out, value);
                }
            }
            Request::Options => {}
            Request::AuthResponse(token) => put_bytes(&mut out, Some(token)),
            Request::Query(text, parameters) => {
                put_long_string(&mut out, text);
                parameters.put(version, &mut out)?;
            }
            Request::Prepare(text, keyspace) => {
                put_long_string(&mut out, text);
                if version >= 5 {
                    out.extend(u32::from(keyspace.is_some()).to_be_bytes());
                    if let Some(keyspace) = keyspace {
                        put_string(&mut out, keyspace);
                    }
                }
            }
            Request::Execute(id, metadata_id, parameters) => {
                for id in [Some(id), metadata_id.as_ref().filter(|_| version >= 5)]
                    .into_iter()
                    .flatten()
                {
                    out.extend((id.len() as u16).to_be_bytes());
                    out.extend(id);
                }
                parameters.put(version, &mut out)?;
            }
            Request::Batch(kind, statements, parameters) => {
                put_batch(*kind, statements, parameters, version, &mut out)?;
            }
            Request::Register(events) => {
                out.extend((events.len() as u16).to_be_bytes());
                for event in events {
                    put_string(&mut out, event);
                }
            }
        }
        Ok(out)
    }
}

fn put_batch(
    kind: u8,
    statements: &[(BatchStatement, Vec<Value>)],
    parameters: &Parameters,
    version: u8,
    out: &mut Vec<u8>,
) -> WireResult<()> {
    out.push(kind);
    out.extend((statements.len() as u16).to_be_bytes());
    for (statement, values) in statements {
        match statement {
            BatchStatement::Query(text) => {
                out.push(0);
                put_long_string(out, text);
            }
            BatchStatement::Prepared(id) => {
                out.push(1);
                out.extend((id.len() as u16).to_be_bytes());
                out.extend(id);
            }
        }
        out.extend((values.len() as u16).to_be_bytes());
        for value in values {
            value.put(out);
        }
    }
    out.extend(parameters.consistency.to_be_bytes());
    let without_values = Parameters {
        values: Vec::new(),
        page_size: None,
        paging_state: None,
        ..parameters.clone()
    };
    put_flags(without_values.flags(), version, out)?;
    without_values.put_tail(out);
    Ok(())
}
