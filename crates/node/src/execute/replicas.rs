//! A read of one partition from several replicas, for an operation of this shard, which gets the answer as if a shard of this node
//! had read it all.
//!
//! The machine of [`cluster::coordinate::read`] says whom to ask for rows and whom for a digest; [`resolve`] makes one answer of several.
//! Replicas are asked without the statement's filter and with tombstones, so that nothing is decided before versions have met; what
//! they then send too few rows of is asked for again, from where the first of them ended (short-read protection).

use super::operation::Operation;
use crate::effects::Effects;
use crate::execute::serial::Queueing;
use crate::message::{ReplicaError, RequestId, ShardMessage};
use crate::peers::message::{Answer, Wanted as PeerWanted};
use crate::replica::Caller;
use crate::shard::Shard;
use cluster::coordinate::ReplicaPlan;
use cluster::coordinate::read::{Ask, Progress, Read, Wanted};
use cluster::coordinate::resolve::{Resolved, resolve};
use cluster::topology::NodeId;
use model::error::RequestError;
use model::filter::{RowFilter, Target};
use model::key::Token;
use model::read::{Columns, Dead, Partitions, ReadCommand, ReadResponse};
use model::schema::Table;
use model::time::{BootNanos, Now};
use std::sync::Arc;

/// A read under way.
#[derive(Debug)]
pub struct ReplicaRead {
    /// The operation that waits for it.
    parent: u64,
    plan: ReplicaPlan,
    read: Read,
    table: Arc<Table>,
    token: Token,
    /// What the statement wants from where the last answer ended.
    command: ReadCommand,
    /// What this node itself is asked for.
    local_wanted: Wanted,
    /// Rows that have come.
    data: Vec<(NodeId, ReadResponse)>,
    /// What was resolved so far.
    whole: ReadResponse,
    /// When the client is told to give up.
    pub deadline: BootNanos,
}

/// What replicas are asked: versions to be merged, of all rows.
fn asked(command: &ReadCommand) -> ReadCommand {
    let mut asked = command.clone();
    asked.dead = Dead::Kept;
    asked.filter = RowFilter::default();
    if let Columns::Only(ids) = &mut asked.columns {
        let filtered = command.filter.conditions.iter();
        ids.extend(filtered.filter_map(|condition| match condition.target {
            Target::Static(id) | Target::Regular(id) => Some(id),
            Target::PartitionKey(_) | Target::Clustering(_) => None,
        }));
        ids.sort_unstable();
        ids.dedup();
    }
    asked
}

impl Shard {
    /// Whether a plan is this node alone.
    pub(super) fn is_local(&self, plan: &ReplicaPlan) -> bool {
        matches!(&plan.replicas[..], [only] if only.node == self.topology.local)
    }

    /// Begins a read for an operation of this shard.
    pub(super) fn read_replicas(
        &mut self,
        parent: u64,
        (plan, table): (ReplicaPlan, Arc<Table>),
        command: ReadCommand,
        deadline: BootNanos,
        now: Now,
        out: &mut Effects,
    ) {
        let Partitions::Key(key) = &command.partitions else {
            unreachable!("a range is read part by part")
        };
        let operation = ReplicaRead {
            parent,
            read: Read::new(plan.clone()),
            plan,
            table,
            token: key.token,
            command,
            local_wanted: Wanted::Data,
            data: Vec::new(),
            whole: ReadResponse::default(),
            deadline,
        };
        let number = self
            .operations
            .insert(Operation::Replicas(Box::new(operation)));
        self.ask_replicas(number, now, out);
    }

    fn ask_replicas(&mut self, number: u64, now: Now, out: &mut Effects) {
        let Some(Operation::Replicas(operation)) = self.operations.get_mut(number) else {
            return;
        };
        let asks: Vec<Ask> = operation.read.asks().collect();
        for ask in asks {
            self.ask_replica(number, ask, now, out);
        }
    }

    fn ask_replica(&mut self, number: u64, ask: Ask, now: Now, out: &mut Effects) {
        let local = self.topology.local;
        let Some(Operation::Replicas(operation)) = self.operations.get_mut(number) else {
            return;
        };
        let (command, token, deadline) = (
            asked(&operation.command),
            operation.token,
            operation.deadline,
        );
        if ask.replica != local {
            let wanted = match ask.wanted {
                Wanted::Data => PeerWanted::Rows,
                Wanted::Digest => PeerWanted::Digest,
            };
            let wait_ms = deadline.since(now.boot) / 1_000_000;
            return self.send_read(ask.replica, number.into(), (&command, wanted), wait_ms, out);
        }
        operation.local_wanted = ask.wanted;
        let owner = self.owner(token);
        if owner != self.number {
            let message = ShardMessage::Read {
                request: number,
                command: Box::new(command),
                deadline,
                turn: Queueing::AtOnce,
            };
            return self.tell(owner, message, out);
        }
        self.metrics.replica_reads += 1;
        let caller = Caller::Local(number.into());
        if let Some(result) = self.replica.read(&command, caller, now, &mut out.io) {
            self.local_replica_read(number, result, now, out);
        }
    }

    /// This node has read, as one of the replicas.
    pub(crate) fn local_replica_read(
        &mut self,
        number: u64,
        result: Result<ReadResponse, ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Replicas(operation)) = self.operations.get_mut(number) else {
            return;
        };
        let digest = operation.local_wanted == Wanted::Digest;
        let answer = result.map(|response| {
            if digest {
                Answer::Digest(response.digest(), response.tombstones)
            } else {
                Answer::Rows(response)
            }
        });
        self.replica_answered(number, self.topology.local, answer, now, out);
    }

    /// Another replica has read, or could not.
    pub(crate) fn on_peer_answered(
        &mut self,
        node: NodeId,
        id: RequestId,
        result: Result<Answer, ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        self.replica_answered(id.operation, node, result, now, out);
    }

    fn replica_answered(
        &mut self,
        number: u64,
        node: NodeId,
        result: Result<Answer, ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(endpoint) = self.endpoint_of(node) else {
            return;
        };
        let Some(Operation::Replicas(operation)) = self.operations.get_mut(number) else {
            return;
        };
        let progress = match result {
            Ok(Answer::Rows(response)) => {
                let progress = operation.read.on_data(node, || response.digest());
                operation.data.retain(|(known, _)| *known != node);
                operation.data.push((node, response));
                progress
            }
            Ok(Answer::Digest(digest, _)) => operation.read.on_digest(node, digest),
            Err(error) => endpoint.failed(&mut operation.read, error),
        };
        match progress {
            Progress::Pending => {}
            Progress::Ask(ask) => self.ask_replica(number, ask, now, out),
            Progress::Compare(asks) => {
                for ask in asks {
                    self.ask_replica(number, ask, now, out);
                }
            }
            Progress::Done | Progress::Merge => self.replicas_agreed(number, now, out),
            Progress::Failed(error) => self.end_replica_read(number, Err(error), now, out),
        }
    }

    /// All that is wanted has come: makes one answer of it, and asks for more if that is too little.
    fn replicas_agreed(&mut self, number: u64, now: Now, out: &mut Effects) {
        let Some(Operation::Replicas(operation)) = self.operations.get_mut(number) else {
            return;
        };
        let data = std::mem::take(&mut operation.data);
        let responses: Vec<ReadResponse> = data.into_iter().map(|(_, response)| response).collect();
        let Resolved { response, resume } =
            resolve(&operation.command, &operation.table, &responses);
        operation.command.limits.rows -= response.rows;
        let more = response.more;
        operation.whole.extend_partition(response);
        let full = operation.command.limits.rows == 0
            || operation.whole.bytes.len() >= operation.command.limits.bytes;
        match resume {
            Some(resume) if !full && resume.clustering.is_some() => {
                operation.command.resume = Some(resume);
                operation.read = Read::new(operation.plan.clone());
                self.ask_replicas(number, now, out);
            }
            _ => {
                operation.whole.more = more && full;
                self.end_replica_read(number, Ok(()), now, out);
            }
        }
    }

    fn end_replica_read(
        &mut self,
        number: u64,
        result: Result<(), RequestError>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Replicas(operation)) = self.operations.remove(number) else {
            return;
        };
        let result = match result {
            Ok(()) => Ok(operation.whole),
            Err(error) => Err(ReplicaError::Told(Box::new(error))),
        };
        self.on_read(operation.parent, self.number, result, now, out);
    }

    /// The deadline passed before enough replicas answered: whoever waits is told how many did.
    pub(super) fn replica_read_time_out(
        &mut self,
        operation: ReplicaRead,
        now: Now,
        out: &mut Effects,
    ) {
        let error = ReplicaError::Told(Box::new(operation.read.on_timeout()));
        self.on_read(operation.parent, self.number, Err(error), now, out);
    }
}
