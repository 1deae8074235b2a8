//! EVENT: what is pushed to clients that registered, and the schema change that RESULT shares with it.

use super::{Prologue, begin};
use crate::frame::header::{EVENT_STREAM, Opcode};
use crate::frame::put::Put;
use crate::frame::request::EventType;
use crate::frame::version::ProtocolVersion;
use std::net::SocketAddr;

/// What happened to a schema object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SchemaChange {
    Created,
    Updated,
    Dropped,
}

impl SchemaChange {
    fn name(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Updated => "UPDATED",
            Self::Dropped => "DROPPED",
        }
    }
}

/// The object it happened to. An index is a change of its table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SchemaTarget {
    Keyspace {
        keyspace: String,
    },
    Table {
        keyspace: String,
        name: String,
    },
    Type {
        keyspace: String,
        name: String,
    },
    /// Argument types as CQL writes them.
    Function {
        keyspace: String,
        name: String,
        arguments: Vec<String>,
    },
    /// Argument types as CQL writes them.
    Aggregate {
        keyspace: String,
        name: String,
        arguments: Vec<String>,
    },
}

/// Something that clients can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Event {
    NodeAdded(SocketAddr),
    NodeRemoved(SocketAddr),
    NodeUp(SocketAddr),
    NodeDown(SocketAddr),
    Schema(SchemaChange, SchemaTarget),
}

impl Event {
    /// What a client must have registered for to be sent it.
    pub fn event_type(&self) -> EventType {
        match self {
            Self::NodeAdded(_) | Self::NodeRemoved(_) => EventType::TopologyChange,
            Self::NodeUp(_) | Self::NodeDown(_) => EventType::StatusChange,
            Self::Schema(..) => EventType::SchemaChange,
        }
    }
}

/// Appends a whole EVENT.
pub fn put_event(out: &mut Vec<u8>, version: ProtocolVersion, event: &Event) {
    let envelope = begin(out, version, EVENT_STREAM, Opcode::Event);
    out.put_string(event.event_type().name());
    let (change, node) = match event {
        Event::NodeAdded(node) => ("NEW_NODE", node),
        Event::NodeRemoved(node) => ("REMOVED_NODE", node),
        Event::NodeUp(node) => ("UP", node),
        Event::NodeDown(node) => ("DOWN", node),
        Event::Schema(change, target) => {
            put_change(out, version, *change, target);
            return envelope.finish(out, &Prologue::default());
        }
    };
    out.put_string(change);
    out.put_address(node.ip());
    out.put_int(i32::from(node.port()));
    envelope.finish(out, &Prologue::default());
}

/// Appends `<change_type><target><options>`. To version 3, which has no functions, their change is one of the keyspace.
pub(super) fn put_change(
    out: &mut Vec<u8>,
    version: ProtocolVersion,
    change: SchemaChange,
    target: &SchemaTarget,
) {
    let put = |out: &mut Vec<u8>, change: SchemaChange, target: &str, names: &[&str]| {
        out.put_string(change.name());
        out.put_string(target);
        for name in names {
            out.put_string(name);
        }
    };
    match target {
        SchemaTarget::Keyspace { keyspace } => put(out, change, "KEYSPACE", &[keyspace]),
        SchemaTarget::Table { keyspace, name } => put(out, change, "TABLE", &[keyspace, name]),
        SchemaTarget::Type { keyspace, name } => put(out, change, "TYPE", &[keyspace, name]),
        SchemaTarget::Function { keyspace, .. } | SchemaTarget::Aggregate { keyspace, .. }
            if version < ProtocolVersion::V4 =>
        {
            put(out, SchemaChange::Updated, "KEYSPACE", &[keyspace]);
        }
        SchemaTarget::Function {
            keyspace,
            name,
            arguments,
        } => {
            put(out, change, "FUNCTION", &[keyspace, name]);
            out.put_string_list(arguments);
        }
        SchemaTarget::Aggregate {
            keyspace,
            name,
            arguments,
        } => {
            put(out, change, "AGGREGATE", &[keyspace, name]);
            out.put_string_list(arguments);
        }
    }
}
