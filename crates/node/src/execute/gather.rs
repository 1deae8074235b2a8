//! Requests that are answered once every shard has done its part: PREPARE, changes of the schema, TRUNCATE, and the
//! snapshots before data goes.

use super::farewell::Leaving;
use super::operation::Operation;
use super::request::put_statement;
use crate::effects::Effects;
use crate::message::ReplicaError;
use crate::reply::Reply;
use crate::shard::Shard;
use crate::statement::Statement;
use cql::frame::response::put_void;
use model::error::RequestError;
use model::time::{BootNanos, Now};
use std::sync::Arc;

/// Waits for other shards to acknowledge.
#[derive(Debug)]
pub struct GatherOperation {
    /// The answer owed; none if the client was told to give up before.
    pub reply: Option<Reply>,
    /// Shards that have not answered.
    pub left: usize,
    /// What is said when they all have.
    pub then: AfterGather,
    /// The first failure.
    pub failed: Option<ReplicaError>,
    /// When the client is told to give up.
    pub deadline: BootNanos,
}

/// What is said when all shards have acknowledged.
#[derive(Debug)]
pub enum AfterGather {
    /// PREPARE: the statement can be executed everywhere.
    Prepared(Arc<Statement>),
    /// A change of the metadata is in force everywhere.
    InForce,
    /// What a change of the metadata empties is empty.
    Emptied,
    /// TRUNCATE of a table of the node's own is done.
    Truncated,
    /// What each shard has is in its snapshots.
    Linked(Box<Leaving>),
    /// The snapshots are whole.
    Kept(Box<Leaving>),
}

impl AfterGather {
    /// What a client is told when it came to nothing.
    fn error(&self, reason: String) -> RequestError {
        match self {
            Self::Truncated => RequestError::Truncate(format!("Error during truncate: {reason}")),
            Self::Linked(leaving) | Self::Kept(leaving) => leaving.error(&reason),
            Self::InForce | Self::Emptied | Self::Prepared(_) => RequestError::Server(reason),
        }
    }

    /// What a client is told whose deadline passed.
    fn late(&self) -> RequestError {
        match self {
            Self::Truncated => RequestError::Truncate("Truncate timed out".into()),
            other => other.error("Not all shards answered in time".to_owned()),
        }
    }

    /// Whether the next change of the schema waits for it.
    fn is_change(&self) -> bool {
        match self {
            Self::Linked(leaving) | Self::Kept(leaving) => leaving.is_change(),
            Self::Prepared(_) | Self::InForce | Self::Emptied | Self::Truncated => false,
        }
    }

    /// Appends the answer of what went well.
    fn put(&self, reply: &Reply, buffer: &mut Vec<u8>) {
        match self {
            Self::Prepared(statement) => put_statement(statement, reply, buffer),
            Self::Truncated => put_void(buffer),
            Self::InForce | Self::Emptied | Self::Linked(_) | Self::Kept(_) => {
                unreachable!("goes on")
            }
        }
    }
}

impl Shard {
    /// A shard did what it was asked.
    pub(super) fn gather_acknowledged(
        &mut self,
        number: u64,
        result: Result<(), ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Gather(gather)) = self.operations.get_mut(number) else {
            return;
        };
        gather.left -= 1;
        if let Err(error) = result {
            gather.failed.get_or_insert(error);
        }
        if gather.left == 0
            && let Some(Operation::Gather(gather)) = self.operations.remove(number)
        {
            self.gathered(gather, now, out);
        }
    }

    /// Every shard has answered.
    pub(super) fn gathered(&mut self, gather: GatherOperation, now: Now, out: &mut Effects) {
        match gather.then {
            AfterGather::Linked(_) | AfterGather::Kept(_) => return self.left(gather, now, out),
            AfterGather::Emptied => return self.tables_emptied(gather.failed, now, out),
            AfterGather::InForce => return self.in_force(now, out),
            AfterGather::Prepared(_) | AfterGather::Truncated => {}
        }
        let then = gather.then;
        if let Some(reply) = &gather.reply {
            match gather.failed {
                Some(error) => self.fail(reply, &then.error(error.into_text()), now, out),
                None => self.succeed(reply, now, out, |buffer| then.put(reply, buffer)),
            }
        }
    }

    /// The deadline passed.
    pub(super) fn gather_time_out(
        &mut self,
        gather: &GatherOperation,
        now: Now,
        out: &mut Effects,
    ) {
        if let Some(reply) = &gather.reply {
            self.fail(reply, &gather.then.late(), now, out);
        }
        if gather.then.is_change() {
            self.next_schema_change(now, out);
        }
    }
}
