//! REGISTER: asks for events to be pushed to this connection.
//!
//! Body: `[string list]` of event types.

use super::super::decode_error::DecodeError;
use super::super::reader::Reader;

/// What a client can be told about unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum EventType {
    TopologyChange,
    StatusChange,
    SchemaChange,
    /// Known to Cassandra; it never sends one.
    TraceComplete,
}

impl EventType {
    const ALL: [Self; 4] = [
        Self::TopologyChange,
        Self::StatusChange,
        Self::SchemaChange,
        Self::TraceComplete,
    ];

    /// The protocol's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::TopologyChange => "TOPOLOGY_CHANGE",
            Self::StatusChange => "STATUS_CHANGE",
            Self::SchemaChange => "SCHEMA_CHANGE",
            Self::TraceComplete => "TRACE_COMPLETE",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|event| event.name().eq_ignore_ascii_case(name))
    }
}

/// The events a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// In the order asked, each once.
    pub events: Vec<EventType>,
}

impl Register {
    pub(super) fn decode(body: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut events = Vec::new();
        for name in body.string_list()? {
            let event = EventType::from_name(name)
                .ok_or_else(|| DecodeError::EventType(name.to_owned()))?;
            if !events.contains(&event) {
                events.push(event);
            }
        }
        Ok(Self { events })
    }
}
