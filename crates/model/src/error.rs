//! What a request can fail with, classed as the native protocol classes it.
//!
//! Every crate makes these; only `cql::frame::error` knows their numbers. Who must act: `Syntax`, `Invalid`,
//! `Unauthorized`, `Config`, `AlreadyExists` and `BadCredentials` are the client's; `Unavailable`, the timeouts, the
//! failures, `Overloaded` and `Truncate` are the operator's; `Unprepared` is nobody's, the driver answers it itself;
//! `Server` is a defect of ours.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// Consistency levels of the native protocol (section 3, `[consistency]`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u16)]
#[allow(missing_docs)]
pub enum Consistency {
    Any = 0,
    One = 1,
    Two = 2,
    Three = 3,
    Quorum = 4,
    All = 5,
    LocalQuorum = 6,
    EachQuorum = 7,
    Serial = 8,
    LocalSerial = 9,
    LocalOne = 10,
}

impl Consistency {
    /// The level with this protocol number.
    pub fn from_code(code: u16) -> Option<Self> {
        use Consistency::*;
        [
            Any,
            One,
            Two,
            Three,
            Quorum,
            All,
            LocalQuorum,
            EachQuorum,
            Serial,
            LocalSerial,
            LocalOne,
        ]
        .into_iter()
        .find(|level| *level as u16 == code)
    }

    /// Whether the level is one of the two that only conditional statements use.
    pub fn is_serial(self) -> bool {
        matches!(self, Self::Serial | Self::LocalSerial)
    }
}

impl fmt::Display for Consistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "ANY",
            Self::One => "ONE",
            Self::Two => "TWO",
            Self::Three => "THREE",
            Self::Quorum => "QUORUM",
            Self::All => "ALL",
            Self::LocalQuorum => "LOCAL_QUORUM",
            Self::EachQuorum => "EACH_QUORUM",
            Self::Serial => "SERIAL",
            Self::LocalSerial => "LOCAL_SERIAL",
            Self::LocalOne => "LOCAL_ONE",
        })
    }
}

/// What kind of write timed out or failed, as the protocol names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum WriteType {
    Simple,
    Batch,
    UnloggedBatch,
    Counter,
    BatchLog,
    Cas,
    View,
    Cdc,
}

impl WriteType {
    /// The protocol's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Simple => "SIMPLE",
            Self::Batch => "BATCH",
            Self::UnloggedBatch => "UNLOGGED_BATCH",
            Self::Counter => "COUNTER",
            Self::BatchLog => "BATCH_LOG",
            Self::Cas => "CAS",
            Self::View => "VIEW",
            Self::Cdc => "CDC",
        }
    }
}

/// Why one replica failed a request (protocol v5 `<reasonmap>`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaFailure {
    /// The replica.
    pub endpoint: IpAddr,
    /// Reason code of the protocol: 0 unknown, 1 too many tombstones read, 2 index not available, …
    pub reason: u16,
}

/// The failure of a request, with every field its error body carries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum RequestError {
    #[error("{0}")]
    Server(String),
    #[error("{0}")]
    Protocol(String),
    #[error("{0}")]
    BadCredentials(String),
    #[error("Cannot achieve consistency level {consistency}")]
    Unavailable {
        consistency: Consistency,
        required: u32,
        alive: u32,
    },
    #[error("{0}")]
    Overloaded(String),
    #[error("{0}")]
    Bootstrapping(String),
    #[error("{0}")]
    Truncate(String),
    #[error("Operation timed out - received only {received} responses.")]
    WriteTimeout {
        consistency: Consistency,
        received: u32,
        block_for: u32,
        write_type: WriteType,
        contentions: Option<u16>,
    },
    #[error("Operation timed out - received only {received} responses.")]
    ReadTimeout {
        consistency: Consistency,
        received: u32,
        block_for: u32,
        data_present: bool,
    },
    #[error("Operation failed - received {received} responses and {} failures{}", failures.len(), detail)]
    ReadFailure {
        consistency: Consistency,
        received: u32,
        block_for: u32,
        failures: Vec<ReplicaFailure>,
        data_present: bool,
        detail: String,
    },
    #[error("{detail}")]
    FunctionFailure {
        keyspace: String,
        function: String,
        arg_types: Vec<String>,
        detail: String,
    },
    #[error("Operation failed - received {received} responses and {} failures{}", failures.len(), detail)]
    WriteFailure {
        consistency: Consistency,
        received: u32,
        block_for: u32,
        failures: Vec<ReplicaFailure>,
        write_type: WriteType,
        detail: String,
    },
    #[error("CAS operation result is unknown - proposal accepted by {received} but not a quorum.")]
    CasWriteUnknown {
        consistency: Consistency,
        received: u32,
        block_for: u32,
    },
    #[error("{0}")]
    Syntax(String),
    #[error("{0}")]
    Unauthorized(String),
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Config(String),
    /// `table` is empty when it is the keyspace that exists.
    #[error("{}", already_exists(keyspace, table))]
    AlreadyExists { keyspace: String, table: String },
    #[error(
        "Prepared query with ID {} not found (either the query was not prepared on this host (maybe the host has been restarted?) or you have prepared too many queries and it has been evicted from the internal cache)",
        hex(id)
    )]
    Unprepared { id: Vec<u8> },
}

impl RequestError {
    /// An `Invalid` from anything printable.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }

    /// An `Invalid` that says plainly what this version cannot do yet.
    pub fn not_supported(what: &str) -> Self {
        Self::Invalid(format!(
            "{what} not supported yet by this version of Helenus"
        ))
    }
}

fn already_exists(keyspace: &str, table: &str) -> String {
    if table.is_empty() {
        format!("Cannot add existing keyspace \"{keyspace}\"")
    } else {
        format!("Cannot add already existing table \"{table}\" to keyspace \"{keyspace}\"")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
