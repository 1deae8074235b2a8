//! What a shard knows of a client's connection.

use cql::frame::ProtocolVersion;
use cql::frame::request::EventType;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Number of a connection, unique within the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// STARTUP has not come.
    Fresh,
    /// AUTHENTICATE was sent.
    Authenticating,
    /// A password is being checked: one at a time, so that a connection cannot keep the threads that do it to itself.
    Verifying,
    /// Requests are served.
    Ready,
}

/// A connection.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its number.
    pub id: ClientId,
    /// The peer's address.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// How far it has come.
    pub stage: Stage,
    /// Version of its last frame.
    pub version: ProtocolVersion,
    /// Keyspace in use.
    pub keyspace: Option<Arc<str>>,
    /// Whether it was told that statements prepared with a keyspace in use are ambiguous.
    pub warned_of_use: bool,
    /// Who is logged in.
    pub user: Option<Arc<str>>,
    /// Options of STARTUP, for `system_views.clients`.
    pub options: BTreeMap<String, String>,
    /// Events it registered for.
    pub events: Vec<EventType>,
    /// Requests so far.
    pub requests: u64,
}

impl Client {
    /// A connection that was just accepted.
    pub fn new(id: ClientId, address: SocketAddr, tls: bool) -> Self {
        Self {
            id,
            address,
            tls,
            stage: Stage::Fresh,
            version: ProtocolVersion::V4,
            keyspace: None,
            warned_of_use: false,
            user: None,
            options: BTreeMap::new(),
            events: Vec::new(),
            requests: 0,
        }
    }
}
