//! This shard as an acceptor of decisions about partitions it owns ([`cluster::paxos`]).
//!
//! What it has promised, accepted and seen committed is a row of `system.paxos`, as in Cassandra, beside the partition: the same
//! key, so the same shard. Invariants:
//! - what an answer tells of is synced before the answer leaves, whatever `commitlog_sync` says: others decide by it;
//! - what was decided by replicas that are not the present ones any more, nor their neighbours of one step, is refused;
//! - requests about a partition look at its row one after the other, each at what the one before made of it;
//! - a commit is data before the row says so. Doing it twice is doing it once: the update has its own timestamps.

use super::operation::Operation;
use super::partition_queue::Partition;
use crate::effects::Effects;
use crate::message::{ReplicaError, RequestId};
use crate::peers::PeerCaller;
use crate::peers::message::Terms;
use crate::random::UUID_EPOCH_STEPS;
use crate::replica::Caller;
use crate::shard::Shard;
use crate::system::row::SystemRow;
use crate::track::commit::Tracked;
use cluster::paxos::{Answer, Ballot, Instance, Proposal, Request};
use cluster::topology::NodeId;
use model::clustering::{self, Slice};
use model::key::DecoratedKey;
use model::mutation::MutationView;
use model::read::{Partitions, ReadCommand, ReadEntry, ReadResponse};
use model::row::Row;
use model::schema::{Table, TableId};
use model::time::Now;
use model::varint;
use std::sync::Arc;

/// The version of the encoding of proposals in `system.paxos`.
const VERSION: i32 = 1;
/// A partition's row is kept for at least this long after its last decision, as in Cassandra, in seconds.
const LEAST_TTL: u32 = 3 * 3600;

/// Who asked an acceptor.
#[derive(Debug, Clone, Copy)]
pub enum Asker {
    /// A coordinator on this shard.
    Own(u64),
    /// One on another node.
    Peer(PeerCaller),
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

/// A request being answered.
#[derive(Debug)]
pub struct AcceptOperation {
    asker: Asker,
    asked: DecisionRequest,
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
        // One table's requests do not wait for another's.
        let mut place = asked.key.key.to_vec();
        place.extend_from_slice(asked.table.0.as_bytes());
        let partition = (
            self.paxos_table().id,
            DecoratedKey {
                token: asked.key.token,
                key: place.into(),
            },
        );
        let operation = AcceptOperation {
            asker,
            asked,
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
        let row = clustering::encode(&table, &[operation.asked.table.0.as_bytes()]);
        let partition = Partitions::Key(operation.asked.key.clone());
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
        let asked = &operation.asked;
        let known = result.and_then(|response| {
            // What was emptied may be decided before, but not shown any more.
            let is_emptied = topology.is_truncated_since(asked.table, operation.epoch);
            let is_over = is_emptied && !matches!(asked.request, Request::Commit(_));
            if operation.epoch < oldest_plan || is_over {
                return Err(ReplicaError::Outdated);
            }
            instance(&table, &response)
                .ok_or_else(|| ReplicaError::Failed(0, "a row of system.paxos is damaged".into()))
        });
        let known = match known {
            Ok(known) => known,
            Err(error) => {
                operation.failed = Some(error);
                return self.accept_failed(number, now, out);
            }
        };
        let (after, answer) = known.after(&asked.request);
        operation.answer = Some(answer);
        let commit = match &asked.request {
            Request::Commit(proposal) if !proposal.update.is_empty() => Some(asked.clone()),
            _ => None,
        };
        let mut state = None;
        if after != known {
            let ttl = self.schema.tables().find(|known| known.id == asked.table);
            let ttl = ttl.map_or(0, |table| table.options.gc_grace_seconds);
            let row = state_row(&table, (&known, &after), self.clock.next(now));
            let row = row.expiring(ttl.max(LEAST_TTL), now);
            let row = row.finish(&asked.key, &[asked.table.0.as_bytes()]);
            state = Some(row.encode());
        }
        operation.left = 1 + u32::from(commit.is_some()) + u32::from(state.is_some());
        let partition = operation.partition.clone();
        let asked_by = (operation.epoch, operation.asker);
        let caller = |part| {
            Caller::Local(RequestId {
                operation: number,
                part,
            })
        };
        // It is data before the row says so.
        if let Some(commit) = commit {
            self.apply_commit(commit, asked_by, caller(0), now, out);
        }
        if let Some(state) = state {
            self.replica.apply(&state, caller(1), now);
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
        let result = match (operation.failed, operation.answer) {
            (None, Some(answer)) => Ok(answer),
            (Some(error), _) => Err(error),
            (None, None) => unreachable!("answered or failed"),
        };
        self.tell_asker(operation.asker, result, now, out);
    }

    fn tell_asker(
        &mut self,
        asker: Asker,
        result: Result<Answer, ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        match asker {
            Asker::Own(number) => {
                self.on_decision_answer(self.topology.local, number, result, now, out);
            }
            Asker::Peer(peer) => self.tell_peer_decided(peer, result, out),
        }
    }
}

/// What the row says; nothing known if there is none. `None` if it cannot be read.
fn instance(table: &Table, response: &ReadResponse) -> Option<Instance> {
    let row = response.entries().find_map(|entry| match entry {
        ReadEntry::Row { row, .. } => Some(row),
        _ => None,
    });
    let Some(row) = row else {
        return Some(Instance::default());
    };
    let row = Row::parse(row)?;
    let cell = |name: &str| -> Option<Option<&[u8]>> {
        let cell = row.cell(table.column(name)?.id);
        Some(
            cell.map(|cell| cell.value)
                .filter(|value| !value.is_empty()),
        )
    };
    let proposal = |name: &str| -> Option<Option<Proposal>> {
        match cell(name)? {
            None => Some(None),
            Some(mut bytes) => Proposal::decode(&mut bytes).map(Some),
        }
    };
    let promised = match cell("in_progress_ballot")? {
        None => None,
        Some(bytes) => Some(ballot_of(bytes.try_into().ok()?)),
    };
    Some(Instance {
        promised,
        accepted: proposal("proposal")?,
        committed: proposal("most_recent_commit")?,
    })
}

/// What the row is to say beside what it says: what stays as it is is not written again, for it would be kept longer. A commit that
/// outlived the tombstones of its table would bring back what was deleted after it.
fn state_row<'a>(
    table: &'a Table,
    (before, after): (&Instance, &Instance),
    timestamp: i64,
) -> SystemRow<'a> {
    let mut row = SystemRow::new(table, timestamp);
    if let Some(ballot) = after.promised {
        row = row.set("in_progress_ballot", &time_uuid(ballot));
    }
    for (name, at, version, known, proposal) in [
        (
            "proposal",
            "proposal_ballot",
            "proposal_version",
            &before.accepted,
            &after.accepted,
        ),
        (
            "most_recent_commit",
            "most_recent_commit_at",
            "most_recent_commit_version",
            &before.committed,
            &after.committed,
        ),
    ] {
        if known == proposal {
            continue;
        }
        let mut bytes = Vec::new();
        if let Some(proposal) = proposal {
            proposal.encode(&mut bytes);
            row = row.set(at, &time_uuid(proposal.ballot));
            row = row.set(version, &VERSION.to_be_bytes());
        }
        // Nothing accepted any more is no bytes.
        row = row.set(name, &bytes);
    }
    row
}

/// A ballot as a time UUID: its time; node and shard stand for the node.
fn time_uuid(ballot: Ballot) -> [u8; 16] {
    let steps = (ballot.micros as u64)
        .wrapping_mul(10)
        .wrapping_add(UUID_EPOCH_STEPS);
    let mut bytes = [0; 16];
    bytes[0..4].copy_from_slice(&(steps as u32).to_be_bytes());
    bytes[4..6].copy_from_slice(&((steps >> 32) as u16).to_be_bytes());
    bytes[6..8].copy_from_slice(&((steps >> 48) as u16 & 0x0fff | 0x1000).to_be_bytes());
    bytes[8] = 0x80;
    bytes[10..14].copy_from_slice(&ballot.node.0.to_be_bytes());
    bytes[14..16].copy_from_slice(&ballot.shard.to_be_bytes());
    bytes
}

/// The ballot of a time UUID.
fn ballot_of(bytes: [u8; 16]) -> Ballot {
    let word = |from: usize| u64::from(u16::from_be_bytes([bytes[from], bytes[from + 1]]));
    let steps = word(0) << 16 | word(2) | word(4) << 32 | (word(6) & 0x0fff) << 48;
    Ballot {
        micros: (steps.wrapping_sub(UUID_EPOCH_STEPS) / 10) as i64,
        node: NodeId((word(10) << 16 | word(12)) as u32),
        shard: word(14) as u16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::key;

    #[test]
    fn what_is_known_survives_its_row() {
        let keyspaces = crate::system::keyspaces();
        let table = &keyspaces["system"].tables["paxos"];
        let ballot = Ballot {
            micros: 1_700_000_000_123_456,
            node: NodeId(0x0102_0304),
            shard: 7,
        };
        assert_eq!(ballot_of(time_uuid(ballot)), ballot);
        let proposal = Proposal {
            ballot,
            origin: ballot,
            instance: 3,
            history: vec![ballot],
            update: vec![1, 2],
        };
        for known in [
            Instance::default(),
            Instance {
                promised: Some(ballot),
                accepted: Some(proposal.clone()),
                committed: None,
            },
            Instance {
                promised: Some(ballot),
                accepted: None,
                committed: Some(proposal),
            },
        ] {
            let key = DecoratedKey::new(key::join(&[b"k"]));
            let id = uuid::Uuid::from_u128(5);
            let written = |before: &Instance, after: &Instance| {
                let row = state_row(table, (before, after), 9);
                let mutation = row.finish(&key, &[id.as_bytes()]);
                let mut response = ReadResponse::default();
                let (_, update) = &mutation.updates()[0];
                let (clustering, row) = &update.rows()[0];
                response.put_row(clustering, row);
                instance(table, &response)
            };
            assert_eq!(written(&Instance::default(), &known), Some(known.clone()));
            let promised = Instance {
                promised: known.promised,
                ..Instance::default()
            };
            assert_eq!(written(&known, &known), Some(promised), "not kept longer");
        }
        let empty = ReadResponse::default();
        assert_eq!(instance(table, &empty), Some(Instance::default()));
    }
}
