//! A request while it is begun: for whom, the frame it came in, and the answer that is owed.
//!
//! What begins a request takes the answer over ([`Call::take_reply`]), to give it now or with an operation, or returns an
//! error; one place ([`Shard::execute_message`](crate::shard::Shard)) answers with that. So an error is returned only
//! while the answer is still the call's.

use crate::message::Moment;
use crate::reply::Reply;
use crate::statement::Statement;
use crate::trace::Trace;
use cql::frame::RequestFrame;
use cql::frame::request::QueryParameters;
use cql::plan::values::BoundValues;
use model::error::{Consistency, RequestError};
use model::time::Now;
use std::net::SocketAddr;
use std::sync::Arc;

/// For whom a request is executed.
#[derive(Debug, Clone)]
pub(crate) struct Requester {
    pub keyspace: Option<Arc<str>>,
    pub user: Option<Arc<str>>,
    pub address: SocketAddr,
    /// What functions are evaluated with.
    pub moment: Moment,
}

/// A request being begun.
pub(super) struct Call<'a> {
    pub requester: Requester,
    /// What is handed on if another shard has to execute it.
    pub frame: &'a RequestFrame,
    /// The bound of staleness that it asks for, in milliseconds.
    pub max_staleness_ms: Option<u64>,
    reply: Option<Reply>,
}

impl<'a> Call<'a> {
    pub(super) fn new(requester: Requester, frame: &'a RequestFrame, reply: Reply) -> Self {
        Self {
            requester,
            frame,
            max_staleness_ms: None,
            reply: Some(reply),
        }
    }

    /// The answer owed, which nobody has taken over yet.
    pub(super) fn reply(&mut self) -> &mut Reply {
        self.reply.as_mut().expect("a request is answered once")
    }

    /// Takes the answer over: whoever does gives it.
    pub(super) fn take_reply(&mut self) -> Reply {
        self.reply.take().expect("a request is answered once")
    }

    /// The request's trace, if it is traced.
    pub(super) fn trace(&mut self) -> Option<&mut Trace> {
        self.reply().trace.as_deref_mut()
    }
}

/// A statement with what one execution of it was given.
pub(super) struct Execution<'a> {
    pub statement: &'a Arc<Statement>,
    pub values: &'a BoundValues<'a>,
    pub terms: Terms,
}

/// How a statement is to be executed, from its frame, with what the connection knows.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Level of the read or write.
    pub consistency: Consistency,
    /// Level of the conditional part.
    pub serial_consistency: Consistency,
    /// Rows per page.
    pub page_size: Option<u32>,
    /// Where the page before ended.
    pub paging_state: Option<Vec<u8>>,
    /// Timestamp the client gives, in microseconds.
    pub timestamp: Option<i64>,
    /// The request's idea of now, in seconds.
    pub now_seconds: i64,
    /// Leave out the result's columns.
    pub skip_metadata: bool,
    /// How old the answer to a read of one replica may be, in milliseconds, if that is bounded.
    pub max_staleness_ms: Option<u64>,
    /// Id of the result columns the client knows (version 5).
    pub known_metadata: Option<[u8; 16]>,
}

impl Terms {
    /// Those of a message.
    pub(super) fn new(parameters: &QueryParameters<'_>, now: Now) -> Result<Self, RequestError> {
        Ok(Self {
            consistency: parameters.consistency,
            serial_consistency: parameters.serial_consistency.unwrap_or(Consistency::Serial),
            page_size: page_size(parameters.page_size)?,
            paging_state: parameters.paging_state.map(<[u8]>::to_vec),
            timestamp: parameters.timestamp,
            // Seconds are unsigned since Cassandra 5.0, so a negative number is a late one.
            now_seconds: parameters
                .now_in_seconds
                .map_or(now.wall.seconds(), |seconds| i64::from(seconds as u32)),
            skip_metadata: parameters.skip_metadata,
            max_staleness_ms: None,
            known_metadata: None,
        })
    }
}

/// Rows per page; a negative number asks for no paging.
fn page_size(asked: Option<u32>) -> Result<Option<u32>, RequestError> {
    match asked {
        Some(0) => Err(RequestError::Protocol("The page size cannot be 0".into())),
        Some(size) if i32::try_from(size).is_err() => Ok(None),
        other => Ok(other),
    }
}
