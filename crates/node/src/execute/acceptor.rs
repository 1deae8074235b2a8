//! This shard as an acceptor of decisions about partitions it owns ([`cluster::paxos`]).
//!
//! What it has promised, accepted and seen committed is a row of `system.paxos`, as in Cassandra, beside the partition: the same
//! key, so the same shard. Invariants:
//! - what an answer tells of is synced before the answer leaves, whatever `commitlog_sync` says: others decide by it;
//! - what was decided by replicas that are not the present ones any more, nor their neighbours of one step, is refused;
//! - requests about a partition look at its row one after the other, each at what the one before made of it;
//! - with a partition a node takes over what the acceptor knew that loses it: the new majority knows what the old one did;
//! - a commit is data before the row says so. Doing it twice is doing it once: the update has its own timestamps.

mod adopting;
mod state;

use super::operation::Operation;
use super::partition_queue::Partition;
use crate::effects::Effects;
use crate::message::{ReplicaError, RequestId, ShardMessage};
use crate::peers::PeerCaller;
use crate::peers::message::Terms;
use crate::replica::Caller;
use crate::shard::Shard;
use crate::track::commit::Tracked;
use cluster::paxos::{Answer, Instance, Request};
use model::clustering::{self, Slice};
use model::key::DecoratedKey;
use model::mutation::MutationView;
use model::read::{Partitions, ReadCommand, ReadResponse};
use model::schema::{Table, TableId};
use model::time::Now;
use model::varint;
use state::{Kept, instance, state_row};
use std::sync::Arc;

/// A partition's row is kept for at least this long after its last decision, as in Cassandra, in seconds.
const LEAST_TTL: u32 = 3 * 3600;

/// Who asked an acceptor.
#[derive(Debug, Clone, Copy)]
pub enum Asker {
    /// A coordinator on this shard.
    Own(RequestId),
    /// One on another node.
    Peer(PeerCaller),
    /// Nobody: what the acceptor is told came with the partition, by this operation.
    Stream(u64),
}

/// A request of a coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionRequest {
    /// The table.
    pub table: TableId,
    /// The partition.
    pub key: DecoratedKey,
    /// What is asked.
    pub request: Request,
    /// How what it commits is tracked.
    pub tracked: Option<Tracked>,
}

impl DecisionRequest {
    /// Appends its bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.table.0.as_bytes());
        varint::put_bytes(out, &self.key.key);
        Tracked::encode(self.tracked.as_ref(), out);
        self.request.encode(out);
    }

    /// Reads what [`Self::encode`] wrote in a message of these terms.
    pub(crate) fn decode(input: &mut &[u8], terms: Terms) -> Option<Self> {
        Some(Self {
            table: TableId(uuid::Uuid::from_slice(varint::take(input, 16)?).ok()?),
            key: DecoratedKey::new(varint::get_bytes(input)?),
            tracked: Tracked::decode(input, terms)?,
            request: Request::decode(input)?,
        })
    }
}

/// What an acceptor is told.
#[derive(Debug)]
enum Told {
    /// A request.
    Request(DecisionRequest),
    /// What another acceptor knew.
    Adopt(Adopted),
}

/// What another acceptor knew of a partition.
#[derive(Debug)]
struct Adopted {
    table: TableId,
    key: DecoratedKey,
    instance: Instance,
    /// How long its commit is kept, in seconds.
    commit_kept: u32,
}

impl Told {
    fn table(&self) -> TableId {
        match self {
            Self::Request(asked) => asked.table,
            Self::Adopt(adopted) => adopted.table,
        }
    }

    fn key(&self) -> &DecoratedKey {
        match self {
            Self::Request(asked) => &asked.key,
            Self::Adopt(adopted) => &adopted.key,
        }
    }

    /// Whether something is to be decided by it that is not decided yet.
    fn is_new(&self) -> bool {
        matches!(self, Self::Request(asked) if !matches!(asked.request, Request::Commit(_)))
    }

    /// The commit whose update is to be applied, if it is one.
    fn commit(&self) -> Option<&DecisionRequest> {
        match self {
            Self::Request(asked) => match &asked.request {
                Request::Commit(proposal) if !proposal.update.is_empty() => Some(asked),
                _ => None,
            },
            Self::Adopt(_) => None,
        }
    }
}

/// A request being answered.
#[derive(Debug)]
pub struct AcceptOperation {
    asker: Asker,
    told: Told,
    /// The epoch at which its coordinator found the participants.
    epoch: u64,
    partition: Partition,
    answer: Option<Answer>,
    /// Writes that are not durable yet.
    left: u32,
    failed: Option<ReplicaError>,
}

impl Shard {
    /// Answers a coordinator; it hears when the answer may be known.
    pub(crate) fn accept(
        &mut self,
        asked: DecisionRequest,
        epoch: u64,
        asker: Asker,
        now: Now,
        out: &mut Effects,
    ) {
        if let Request::Propose(proposal) | Request::Commit(proposal) = &asked.request
            && !(proposal.update.is_empty() || MutationView::verify(&proposal.update))
        {
            let error = ReplicaError::Invalid("what was proposed is no mutation".to_owned());
            return self.tell_asker(asker, Err(error), now, out);
        }
        self.tell_acceptor(Told::Request(asked), epoch, asker, now, out);
    }

    fn tell_acceptor(&mut self, told: Told, epoch: u64, asker: Asker, now: Now, out: &mut Effects) {
        // One table's requests do not wait for another's.
        let mut place = told.key().key.to_vec();
        place.extend_from_slice(told.table().0.as_bytes());
        let partition = (
            self.paxos_table().id,
            DecoratedKey {
                token: told.key().token,
                key: place.into(),
            },
        );
        let operation = AcceptOperation {
            asker,
            told,
            epoch,
            partition: partition.clone(),
            answer: None,
            left: 0,
            failed: None,
        };
        let number = self
            .operations
            .insert(Operation::Accept(Box::new(operation)));
        if self.partitions.acquire(partition, number).is_some() {
            self.accept_start(number, now, out);
        }
    }

    fn paxos_table(&self) -> Arc<Table> {
        self.virtual_keyspaces["system"].tables["paxos"].clone()
    }

    /// It is the request's turn: reads what the acceptor knows.
    pub(super) fn accept_start(&mut self, number: u64, now: Now, out: &mut Effects) {
        let table = self.paxos_table();
        let Some(Operation::Accept(operation)) = self.operations.get_mut(number) else {
            return;
        };
        let row = clustering::encode(&table, &[operation.told.table().0.as_bytes()]);
        let partition = Partitions::Key(operation.told.key().clone());
        let command = ReadCommand {
            slices: vec![Slice::prefix(&row)],
            static_counts: false,
            ..ReadCommand::all(table.id, partition, now.wall.seconds())
        };
        let caller = Caller::Local(number.into());
        if let Some(result) = self.replica.read(&command, caller, now, &mut out.io) {
            self.accept_read(number, result, now, out);
        }
    }

    /// The acceptor's row is here: answers, and writes what that makes of it.
    pub(super) fn accept_read(
        &mut self,
        number: u64,
        result: Result<ReadResponse, ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let table = self.paxos_table();
        let oldest_plan = self.oldest_plan();
        let topology = self.topology.clone();
        let Some(Operation::Accept(operation)) = self.operations.get_mut(number) else {
            return;
        };
        let told = &operation.told;
        let known = result.and_then(|response| {
            // What was emptied may be decided before, but not shown any more.
            let is_emptied = topology.is_truncated_since(told.table(), operation.epoch);
            if operation.epoch < oldest_plan || is_emptied && told.is_new() {
                return Err(ReplicaError::Outdated);
            }
            instance(&table, &response, now)
                .ok_or_else(|| ReplicaError::Failed(0, "a row of system.paxos is damaged".into()))
        });
        let known = match known {
            Ok(known) => known,
            Err(error) => {
                operation.failed = Some(error);
                return self.accept_failed(number, now, out);
            }
        };
        self.accept_known(number, &known, now, out);
    }

    /// What the acceptor knows is here.
    fn accept_known(&mut self, number: u64, known: &Instance, now: Now, out: &mut Effects) {
        let table = self.paxos_table();
        let Some(Operation::Accept(operation)) = self.operations.get_mut(number) else {
            return;
        };
        let told = &operation.told;
        let ttl = self.schema.tables().find(|known| known.id == told.table());
        let ttl = ttl.map_or(0, |table| table.options.gc_grace_seconds);
        let ttl = ttl.max(LEAST_TTL);
        let (after, answer, commit_kept) = match told {
            Told::Request(asked) => {
                let (after, answer) = known.after(&asked.request);
                (after, Some(answer), ttl)
            }
            Told::Adopt(adopted) => {
                let after = known.adopt(&adopted.instance);
                (after, None, adopted.commit_kept)
            }
        };
        operation.answer = answer;
        let commit = told.commit().cloned();
        let mut state = None;
        if after != *known {
            let kept = Kept {
                state: ttl,
                commit: commit_kept,
            };
            let timestamp = self.clock.next(now);
            let row = state_row(&table, (known, &after), kept, timestamp, now);
            let row = row.finish(told.key(), &[told.table().0.as_bytes()]);
            state = Some(row.encode());
        }
        let partition = operation.partition.clone();
        let asker = operation.asker;
        let caller = |part| {
            Caller::Local(RequestId {
                operation: number,
                part,
            })
        };
        let mut left = 1 + u32::from(commit.is_some());
        // It is data before the row says so; what is refused is not known to be committed here.
        let taken = match commit {
            Some(commit) => self.apply_commit(commit, asker, caller(0), now, out),
            None => true,
        };
        if let Some(state) = state.filter(|_| taken) {
            left += 1;
            self.replica.apply(&state, caller(1), now);
        }
        if let Some(Operation::Accept(operation)) = self.operations.get_mut(number) {
            operation.left = left;
        }
        // The next one reads what was written, and its own answer becomes durable after this one.
        self.release_partition(&partition);
        // What the answer tells of may still be on its way to the disk, also what others wrote.
        self.replica.confirm_synced(Caller::Local(number.into()));
    }

    /// The row could not be read.
    fn accept_failed(&mut self, number: u64, now: Now, out: &mut Effects) {
        if let Some(Operation::Accept(operation)) = self.operations.get_mut(number) {
            let partition = operation.partition.clone();
            self.release_partition(&partition);
            self.accept_done(number, now, out);
        }
    }

    /// One of the request's writes is durable, or was refused.
    pub(super) fn accept_applied(
        &mut self,
        number: u64,
        result: Result<(), ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Accept(operation)) = self.operations.get_mut(number) else {
            return;
        };
        operation.left -= 1;
        if let Err(error) = result {
            operation.failed.get_or_insert(error);
        }
        if operation.left == 0 {
            self.accept_done(number, now, out);
        }
    }

    fn accept_done(&mut self, number: u64, now: Now, out: &mut Effects) {
        let Some(Operation::Accept(operation)) = self.operations.remove(number) else {
            return;
        };
        let AcceptOperation {
            asker,
            answer,
            failed,
            ..
        } = *operation;
        let failed = failed.map_or(Ok(()), Err);
        if let Asker::Stream(chunk) = asker {
            return self.chunk_applied(chunk, failed, now, out);
        }
        let result = failed.map(|()| answer.expect("answered or failed"));
        self.tell_asker(asker, result, now, out);
    }

    fn tell_asker(
        &mut self,
        asker: Asker,
        result: Result<Answer, ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        match asker {
            Asker::Own(request) => {
                self.on_decision_answer(self.topology.local, request, result, now, out);
            }
            // It was begun by another acceptor, for a coordinator here.
            Asker::Peer(peer) if peer.node == self.topology.local => {
                let request = peer.request();
                let (node, id) = (peer.node, request.id);
                if request.shard == self.number {
                    return self.on_decision_answer(node, id, result, now, out);
                }
                let message = ShardMessage::PeerDecided { node, id, result };
                out.messages.push((request.shard, message));
            }
            Asker::Peer(peer) => self.tell_peer_decided(peer, result, out),
            Asker::Stream(_) => unreachable!("it asks nothing"),
        }
    }
}
