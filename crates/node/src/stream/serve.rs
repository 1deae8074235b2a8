//! A source: a shard reads a chunk for another node.

use super::StreamOperation;
use super::message::{Pull, StreamMessage};
use crate::effects::Effects;
use crate::execute::operation::Operation;
use crate::message::ReplicaError;
use crate::peers::message::PeerMessage;
use crate::replica::Caller;
use crate::shard::Shard;
use cluster::stream::chunk::Checked;
use cluster::topology::NodeId;
use model::read::ReadResponse;
use model::time::Now;

/// Chunks that a shard reads for others at once.
const MAX_SERVING: usize = 32;

impl Shard {
    /// Another node asks for a chunk of what this shard has.
    pub(super) fn serve_pull(&mut self, node: NodeId, pull: Pull, now: Now, out: &mut Effects) {
        if let Some(reason) = self.pull_refused(&pull, now) {
            return self.tell_chunk(node, (pull.number, pull.epoch), Err(reason), out);
        }
        let streams = &mut self.streams;
        streams.refused_before = streams.refused_before.max(pull.since);
        streams.serving += 1;
        let serve = StreamOperation::Serve {
            node,
            number: pull.number,
            epoch: pull.epoch,
        };
        let operation = self.operations.insert(Operation::Stream(serve));
        let caller = Caller::Local(operation.into());
        if let Some(result) = self.replica.read(&pull.command, caller, now, &mut out.io) {
            self.chunk_read(operation, result, out);
        }
    }

    fn pull_refused(&mut self, pull: &Pull, now: Now) -> Option<String> {
        if pull.shards != self.config.shards {
            return Some(format!("this node has {} shards", self.config.shards));
        }
        if self.topology.epoch < pull.epoch.max(pull.since) {
            return Some(format!("epoch {} is not known here yet", pull.epoch));
        }
        if self.streams.serving >= MAX_SERVING {
            return Some("busy with other chunks".to_owned());
        }
        // By the first question everybody writes to who asks as well: what replicas have of before is all that there will be of it.
        let (first_of, first_at) = self.streams.asked_since;
        let asked_at = if pull.since > first_of {
            self.streams.asked_since = (pull.since, now.boot);
            now.boot
        } else {
            first_at
        };
        let has_all = pull.as_it_is || self.has_caught_up(asked_at);
        (!has_all).then(|| "it has not caught up with the other replicas yet".to_owned())
    }

    /// A chunk was read, or could not be.
    pub(crate) fn chunk_read(
        &mut self,
        operation: u64,
        result: Result<ReadResponse, ReplicaError>,
        out: &mut Effects,
    ) {
        let Some(Operation::Stream(StreamOperation::Serve {
            node,
            number,
            epoch,
        })) = self.operations.remove(operation)
        else {
            return;
        };
        self.streams.serving -= 1;
        let result = result.map(Checked::new).map_err(ReplicaError::into_text);
        self.tell_chunk(node, (number, epoch), result, out);
    }

    fn tell_chunk(
        &mut self,
        node: NodeId,
        (number, epoch): (u64, u64),
        result: Result<Checked, String>,
        out: &mut Effects,
    ) {
        let message = StreamMessage::Chunk {
            number,
            epoch,
            result,
        };
        self.say(node, &PeerMessage::Stream(message), out);
    }

    /// Whether a write of another node that was planned at an epoch comes too late: what it is about was given away by then, and
    /// the new replica would not hear of it.
    pub(crate) fn comes_too_late(&self, epoch: u64) -> bool {
        epoch < self.streams.refused_before
    }

    /// Whether what was planned at an epoch may not be done here any more: it comes too late, or who planned it may not know all
    /// replicas.
    pub(crate) fn is_outdated(&self, epoch: u64) -> bool {
        epoch < self.oldest_plan()
    }

    /// The epoch before which nothing may have been planned that is done here.
    pub(crate) fn oldest_plan(&self) -> u64 {
        self.streams
            .refused_before
            .max(self.topology.refused_before)
    }
}
