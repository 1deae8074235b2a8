//! Where an answer goes and what goes with it.

use crate::client::ClientId;
use crate::effects::Effects;
use crate::message::ShardMessage;
use crate::trace::Trace;
use bytes::Bytes;
use cql::frame::response::{Envelope, Prologue, begin, put_error_response};
use cql::frame::{Opcode, ProtocolVersion};
use model::error::RequestError;
use std::sync::Arc;

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A client of this shard.
    Client(ClientId),
    /// Another shard, for a client of its own.
    Shard {
        /// Which.
        shard: u16,
        /// Number of its request.
        request: u64,
    },
}

/// An answer that is owed.
#[derive(Debug)]
pub struct Reply {
    /// To whom.
    pub origin: Origin,
    /// Version the client speaks.
    pub version: ProtocolVersion,
    /// Stream of the request.
    pub stream: i16,
    /// The request's trace, if it is traced.
    pub trace: Option<Box<Trace>>,
    /// Warnings to send along.
    pub warnings: Vec<String>,
    /// The keyspace the client uses from now on.
    pub keyspace: Option<Arc<str>>,
}

impl Reply {
    /// Sends an answer whose body `write` appends.
    pub fn send(&self, opcode: Opcode, out: &mut Effects, write: impl FnOnce(&mut Vec<u8>)) {
        self.emit(out, |buffer, reply, prologue| {
            let envelope: Envelope = begin(buffer, reply.version, reply.stream, opcode);
            write(buffer);
            envelope.finish(buffer, prologue);
        });
    }

    /// Sends a RESULT.
    pub fn result(&self, out: &mut Effects, write: impl FnOnce(&mut Vec<u8>)) {
        self.send(Opcode::Result, out, write);
    }

    /// Sends an error.
    pub fn error(&self, out: &mut Effects, error: &RequestError) {
        self.emit(out, |buffer, reply, prologue| {
            put_error_response(buffer, reply.version, reply.stream, error, prologue)
        });
    }

    fn emit(&self, out: &mut Effects, write: impl FnOnce(&mut Vec<u8>, &Self, &Prologue<'_>)) {
        let prologue = Prologue {
            trace: self.trace.as_ref().map(|trace| trace.id),
            warnings: &self.warnings,
            payload: &[],
        };
        match self.origin {
            Origin::Client(client) => out.respond(client, |buffer| write(buffer, self, &prologue)),
            Origin::Shard { shard, request } => {
                let mut envelope = Vec::new();
                write(&mut envelope, self, &prologue);
                let message = ShardMessage::Forwarded {
                    request,
                    envelope: Bytes::from(envelope),
                    keyspace: self.keyspace.clone(),
                };
                out.messages.push((shard, message));
            }
        }
    }

    /// Notes an event in the trace.
    pub fn note(&mut self, activity: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.note(activity());
        }
    }
}
