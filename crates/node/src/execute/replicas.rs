//! A read of one partition or of a range from several replicas, for an operation of this shard, which gets the answer as if a shard of
//! this node had read it all.
//!
//! The machine of [`cluster::coordinate::read`] says whom to ask for rows and whom for a digest; [`resolve`] makes one answer of several.
//! Replicas are asked without the statement's filter and with tombstones, so that nothing is decided before versions have met; what
//! they then send too few rows of is asked for again, from where the first of them ended (short-read protection). A range is read piece
//! by piece in the ring's order ([`ranges`]), each with replicas of its own, until there are rows enough.
//!
//! What must stay true:
//! - each time replicas are asked the operation has another number, so that what comes late cannot be taken for an answer to the next;
//! - whoever waits hears once, and not before the turn's event is done with: what answers at once does not recurse.

use super::operation::Operation;
use crate::budget::{Held, SMALL_ANSWER_BYTES, TOO_MANY_ANSWERS};
use crate::effects::Effects;
use crate::message::{ReplicaError, RequestId};
use crate::peers::message::{Answer, Wanted as PeerWanted};
use crate::shard::Shard;
use crate::track::gate::{MAY_BE_STALE, Trust};
use cluster::coordinate::ranges::{self, first_piece, later};
use cluster::coordinate::read::{Ask, Progress, Read, Wanted};
use cluster::coordinate::resolve::{Resolved, lacking, resolve};
use cluster::coordinate::{Access, ReplicaPlan};
use cluster::paxos::Ballot;
use cluster::topology::NodeId;
use model::error::{Consistency, RequestError};
use model::filter::{RowFilter, Target};
use model::read::{Columns, Dead, KeyBound, KeyRange, Partitions, ReadCommand, ReadResponse};
use model::schema::Table;
use model::time::{BootNanos, Now};
use std::sync::Arc;

/// Bytes of rows that a replica sends at once where a filter is applied here: any number of them may be refused.
const UNFILTERED_BYTES: usize = 1 << 20;

/// What a read is for.
#[derive(Debug, Clone)]
pub(super) struct ReadTerms {
    /// The ballot of the decision that it is for, if it is for one.
    pub ballot: Option<Ballot>,
    /// The table.
    pub table: Arc<Table>,
    /// At which level.
    pub level: Consistency,
    /// How old the answer may be, in milliseconds, if that is bounded.
    pub max_staleness_ms: Option<u64>,
    /// When whoever waits is told to give up.
    pub deadline: BootNanos,
}

/// A read that ended: the operation that waits for it, the ballot it was for, and what was read.
pub(crate) type EndedRead = ((u64, Option<Ballot>), Result<ReadResponse, ReplicaError>);

/// A read under way.
#[derive(Debug)]
pub struct ReplicaRead {
    /// The operation that waits for it.
    parent: u64,
    terms: ReadTerms,
    plan: ReplicaPlan,
    /// Whether the plan was gated: the replicas left in it are no group that anything is known of.
    is_gated: bool,
    /// How far its replicas are trusted.
    trust: Trust,
    pub(super) read: Read,
    /// What the statement wants from where the last answer ended, of the piece at hand.
    command: ReadCommand,
    /// What of a range comes after the piece at hand.
    rest: Option<KeyRange>,
    /// What this node itself is asked for.
    local_wanted: Wanted,
    /// Rows that have come.
    data: Vec<(NodeId, ReadResponse)>,
    /// What the rows hold of the shard's budget.
    held: Held,
    /// What replicas were resolved to, while those that lack something of it are sent that.
    repairing: Option<Resolved>,
    /// What was resolved so far.
    whole: ReadResponse,
    /// When one more replica is asked.
    alarm: Option<BootNanos>,
}

impl ReplicaRead {
    /// When whoever waits is told to give up.
    pub fn deadline(&self) -> BootNanos {
        self.terms.deadline
    }

    /// What whoever waits is told when the deadline passes.
    fn on_timeout(&self) -> RequestError {
        if self.repairing.is_some() {
            return RequestError::ReadTimeout {
                consistency: self.plan.consistency,
                received: self.plan.block_for.saturating_sub(1),
                block_for: self.plan.block_for,
                data_present: true,
            };
        }
        self.read.on_timeout()
    }
}

/// What replicas are asked: versions to be merged, of all rows.
fn asked(command: &ReadCommand) -> ReadCommand {
    let mut asked = command.clone();
    asked.dead = Dead::Kept;
    if command.filter.is_empty() {
        return asked;
    }
    asked.filter = RowFilter::default();
    asked.limits.rows = u64::MAX;
    asked.limits.bytes = UNFILTERED_BYTES.min(asked.limits.bytes);
    if asked.limits.per_partition > 0 {
        asked.limits.per_partition = u64::MAX;
    }
    if let Some(resume) = &mut asked.resume
        && resume.left_in_partition > 0
    {
        resume.left_in_partition = u64::MAX;
    }
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

    /// Whether all of a keyspace is on this node and no other.
    pub(super) fn has_all_of(&self, keyspace: &str) -> bool {
        let keyspace = self.topology.keyspace(keyspace);
        let placement = keyspace.and_then(|keyspace| keyspace.placement.as_ref());
        placement.is_none_or(|placement| {
            let mut groups = placement.groups().iter();
            groups.all(|group| group.all().eq([self.topology.local]))
        })
    }

    /// Begins a read of one partition for an operation of this shard.
    pub(super) fn read_replicas(
        &mut self,
        parent: u64,
        (plan, terms): (ReplicaPlan, ReadTerms),
        command: ReadCommand,
        now: Now,
        out: &mut Effects,
    ) {
        let operation = ReplicaRead::begun(parent, (plan, terms), command, None);
        self.begin_round(Box::new(operation), now, out);
    }

    /// Begins a read of a range for an operation of this shard.
    pub(super) fn read_range(
        &mut self,
        parent: u64,
        terms: ReadTerms,
        command: ReadCommand,
        now: Now,
        out: &mut Effects,
    ) {
        let Partitions::Range(range) = &command.partitions else {
            unreachable!("the caller looked")
        };
        let mut rest = range.clone();
        if let Some(resume) = &command.resume {
            rest.start = later(rest.start, KeyBound::BeforeKey(resume.key.clone()));
        }
        let nobody = ReplicaPlan::local(terms.level, &self.topology);
        let operation = ReplicaRead::begun(parent, (nobody, terms), command, Some(rest));
        self.next_piece(Box::new(operation), now, out);
    }

    /// Reads the next piece of a range; ends if there is none.
    fn next_piece(&mut self, mut operation: Box<ReplicaRead>, now: Now, out: &mut Effects) {
        let piece = self.piece_of(&operation);
        let (Some(piece), Some(rest)) = (piece, &operation.rest) else {
            operation.whole.more = false;
            return self.end_replica_read(operation, Ok(()));
        };
        operation.rest = Some(ranges::after(rest, &piece.range));
        operation.command.partitions = Partitions::Range(piece.range);
        let (table, level) = (&operation.terms.table, operation.terms.level);
        match self.admit(Access::Range, level, &table.keyspace, piece.token) {
            Ok(plan) => {
                (operation.plan, operation.is_gated) = (plan, false);
                self.begin_round(operation, now, out);
            }
            Err(error) => self.end_replica_read(operation, Err(error)),
        }
    }

    /// The next piece of what is left of a range.
    fn piece_of(&self, operation: &ReplicaRead) -> Option<ranges::Piece> {
        let keyspace = self.topology.keyspace(&operation.terms.table.keyspace);
        let placement = keyspace.and_then(|keyspace| keyspace.placement.as_deref());
        first_piece(placement, operation.rest.as_ref()?)
    }

    /// Sees to it that the plan of a read rests on replicas that may be trusted, as far as it asks for that.
    fn gate_read(&mut self, operation: &mut ReplicaRead) -> Result<(), RequestError> {
        let plan = operation.plan.clone();
        let (plan, trust) = match operation.terms.max_staleness_ms {
            Some(most) => {
                let keyspace = &operation.terms.table.keyspace;
                (self.keep_bound(plan, (keyspace, most))?, Trust::Fresh)
            }
            None => self.gate(plan)?,
        };
        (operation.plan, operation.trust) = (plan, trust);
        self.note_trust(operation.parent, trust);
        Ok(())
    }

    /// Asks the replicas of the plan.
    fn begin_round(&mut self, mut operation: Box<ReplicaRead>, now: Now, out: &mut Effects) {
        if !std::mem::replace(&mut operation.is_gated, true)
            && let Err(error) = self.gate_read(&mut operation)
        {
            return self.end_replica_read(operation, Err(error));
        }
        let read = Read::new(operation.plan.clone());
        let delay = if read.has_spare() {
            self.speculation_delay(&operation.terms.table)
        } else {
            None
        };
        let mut asks: Vec<Ask> = read.asks().collect();
        // This node's answer may be there at once: others work meanwhile.
        asks.sort_by_key(|ask| ask.replica == self.topology.local);
        operation.read = read;
        operation.data.clear();
        operation.alarm = delay.map(|nanos| BootNanos(now.boot.0.saturating_add(nanos)));
        let alarm = operation.alarm;
        let number = self.operations.insert(Operation::Replicas(operation));
        for ask in asks {
            self.ask_replica(number, ask, now, out);
        }
        match alarm {
            Some(at) if at <= now.boot => self.read_is_slow(number, now, out),
            Some(at) => self.set_alarm(at, number),
            None => {}
        }
    }

    /// Counts an answer that may be stale, and tells the client, once.
    fn note_trust(&mut self, parent: u64, trust: Trust) {
        if trust != Trust::Stale {
            return;
        }
        self.metrics.unfresh_reads += 1;
        if let Some(Operation::Select(select)) = self.operations.get_mut(parent) {
            select.warn_once(MAY_BE_STALE);
        }
    }

    /// Replicas take longer than they usually do: one more is asked.
    pub(super) fn read_is_slow(&mut self, number: u64, now: Now, out: &mut Effects) {
        let Some(Operation::Replicas(operation)) = self.operations.get_mut(number) else {
            return;
        };
        if let Some(ask) = operation.read.on_slow() {
            self.metrics.speculative_retries += 1;
            self.ask_another(number, ask, now, out);
        }
    }

    /// Asks a replica in the place of one that is slow, or failed: what it says may be less than that one would have said.
    fn ask_another(&mut self, number: u64, ask: Ask, now: Now, out: &mut Effects) {
        if let Some(Operation::Replicas(operation)) = self.operations.get(number) {
            let (parent, trust) = (operation.parent, self.trust(&operation.plan, ask.replica));
            self.note_trust(parent, trust);
        }
        self.ask_replica(number, ask, now, out);
    }

    fn ask_replica(&mut self, number: u64, ask: Ask, now: Now, out: &mut Effects) {
        let local = self.topology.local;
        let Some(Operation::Replicas(operation)) = self.operations.get_mut(number) else {
            return;
        };
        let (command, deadline) = (asked(&operation.command), operation.terms.deadline);
        let is_asked = operation.trust == Trust::Asked;
        let is_local = operation.plan.consistency == Consistency::LocalOne;
        if ask.replica != local {
            let wanted = match ask.wanted {
                Wanted::Data if is_asked => PeerWanted::FreshRows { local: is_local },
                Wanted::Data => PeerWanted::Rows,
                Wanted::Digest => PeerWanted::Digest,
            };
            let wait_ms = deadline.since(now.boot) / 1_000_000;
            let epoch = operation.plan.epoch;
            let terms = self.terms(number.into(), epoch, wait_ms);
            return self.send_read(ask.replica, &terms, (&command, wanted), out);
        }
        operation.local_wanted = ask.wanted;
        if is_asked && !self.is_fresh_for(&command, is_local) {
            return self.local_replica_read(number, Err(ReplicaError::Behind), now, out);
        }
        if let Some(result) = self.read_own(number, command, deadline, now, out) {
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
        if let Some(Operation::Repair(_)) = self.operations.get_mut(id.operation) {
            return self.repair_answered(id.operation, node, result, now, out);
        }
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
        if !operation.plan.has(node) || operation.repairing.is_some() {
            return;
        }
        let progress = match result {
            Ok(Answer::Rows(response)) => {
                let bytes = response.bytes.len();
                if bytes > SMALL_ANSWER_BYTES && !self.answers.hold(&mut operation.held, bytes) {
                    let error = RequestError::Overloaded(TOO_MANY_ANSWERS.to_owned());
                    return self.follow_read(number, Progress::Failed(error), now, out);
                }
                let progress = operation.read.on_data(node, || response.digest());
                operation.data.retain(|(known, _)| *known != node);
                operation.data.push((node, response));
                progress
            }
            Ok(Answer::Digest(digest, _)) => operation.read.on_digest(node, digest),
            Err(error) => endpoint.failed(&mut operation.read, error),
        };
        self.follow_read(number, progress, now, out);
    }

    /// Does what the machine of a read says.
    pub(super) fn follow_read(
        &mut self,
        number: u64,
        progress: Progress,
        now: Now,
        out: &mut Effects,
    ) {
        match progress {
            Progress::Pending => {}
            Progress::Ask(ask) => self.ask_another(number, ask, now, out),
            Progress::Compare(asks) => {
                for ask in asks {
                    self.ask_replica(number, ask, now, out);
                }
            }
            Progress::Done | Progress::Merge => {
                if let Some(operation) = self.take_replica_read(number) {
                    self.replicas_agreed(operation, now, out);
                }
            }
            Progress::Failed(error) => {
                if let Some(operation) = self.take_replica_read(number) {
                    self.read_failed(operation, error, now, out);
                }
            }
        }
    }

    /// Nobody is left to be asked. Where nobody but those who may be behind could be, they are asked for what they have, if that will do.
    fn read_failed(
        &mut self,
        mut operation: Box<ReplicaRead>,
        error: RequestError,
        now: Now,
        out: &mut Effects,
    ) {
        if operation.trust != Trust::Asked || !operation.read.was_held_back() {
            return self.end_replica_read(operation, Err(error));
        }
        match self.distrust(&operation.plan) {
            Ok(trust) => {
                operation.trust = trust;
                self.note_trust(operation.parent, trust);
                self.begin_round(operation, now, out);
            }
            Err(error) => self.end_replica_read(operation, Err(error)),
        }
    }

    fn take_replica_read(&mut self, number: u64) -> Option<Box<ReplicaRead>> {
        let Some(Operation::Replicas(mut operation)) = self.operations.remove(number) else {
            return None;
        };
        if let Some(at) = operation.alarm.take() {
            self.drop_alarm(at, number);
        }
        Some(operation)
    }

    /// All that is wanted has come: makes one answer of it. Replicas whose rows were compared and differ are sent what they lack
    /// before anybody hears of it, unless the table does not want that.
    fn replicas_agreed(&mut self, mut operation: Box<ReplicaRead>, now: Now, out: &mut Effects) {
        let data = std::mem::take(&mut operation.data);
        let (nodes, responses): (Vec<NodeId>, Vec<ReadResponse>) = data.into_iter().unzip();
        let (command, table) = (&operation.command, &operation.terms.table);
        let resolved = resolve(command, table, &responses);
        if responses.len() > 1 && table.options.read_repair {
            let lacking = lacking(&asked(command), table, &responses);
            let lacking = nodes.into_iter().zip(lacking);
            let repairs: Vec<_> = lacking
                .flat_map(|(node, all)| all.into_iter().map(move |mutation| (node, mutation)))
                .collect();
            if !repairs.is_empty() {
                self.metrics.read_repairs += 1;
                operation.repairing = Some(resolved);
                let deadline = operation.terms.deadline;
                let number = self.operations.insert(Operation::Replicas(operation));
                return self.send_repairs(number, repairs, deadline, now, out);
            }
        }
        self.go_on_reading(operation, resolved, now, out);
    }

    /// Replicas have what they lacked, or could not be sent it.
    pub(super) fn replicas_repaired(
        &mut self,
        number: u64,
        result: Result<(), ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(mut operation) = self.take_replica_read(number) else {
            return;
        };
        if result.is_err() {
            let error = operation.on_timeout();
            return self.end_replica_read(operation, Err(error));
        }
        let resolved = operation.repairing.take().expect("it was being repaired");
        self.go_on_reading(operation, resolved, now, out);
    }

    /// Takes in what replicas were resolved to, and asks for more if that is too little.
    fn go_on_reading(
        &mut self,
        mut operation: Box<ReplicaRead>,
        Resolved { response, resume }: Resolved,
        now: Now,
        out: &mut Effects,
    ) {
        operation.held = Held::default();
        operation.command.limits.rows -= response.rows;
        let more = response.more;
        operation.whole.extend(response);
        let limits = operation.command.limits;
        let is_range = operation.rest.is_some();
        if limits.rows == 0 || operation.whole.bytes.len() >= limits.bytes {
            operation.whole.more = more || self.piece_of(&operation).is_some();
            return self.end_replica_read(operation, Ok(()));
        }
        match resume {
            // A piece that was not all read is found anew among the replicas there are now.
            Some(resume) if is_range && operation.plan.epoch != self.topology.epoch => {
                let rest = operation.rest.as_mut().expect("of a range");
                rest.start = KeyBound::BeforeKey(resume.key.clone());
                operation.command.resume = Some(resume);
                self.next_piece(operation, now, out);
            }
            Some(resume) if is_range || resume.clustering.is_some() => {
                operation.command.resume = Some(resume);
                match operation.plan.again(&self.topology) {
                    Ok(plan) => {
                        operation.plan = plan;
                        self.begin_round(operation, now, out);
                    }
                    Err(error) => self.end_replica_read(operation, Err(error)),
                }
            }
            _ if is_range => {
                operation.command.resume = None;
                self.next_piece(operation, now, out);
            }
            _ => {
                operation.whole.more = false;
                self.end_replica_read(operation, Ok(()));
            }
        }
    }

    fn end_replica_read(&mut self, operation: Box<ReplicaRead>, result: Result<(), RequestError>) {
        let result = match result {
            Ok(()) => Ok(operation.whole),
            Err(error) => Err(ReplicaError::Told(Box::new(error))),
        };
        let reader = (operation.parent, operation.terms.ballot);
        self.ended_reads.push_back((reader, result));
    }

    /// The deadline passed before enough replicas answered: whoever waits is told how many did.
    pub(super) fn replica_read_time_out(&mut self, operation: Box<ReplicaRead>, number: u64) {
        if let Some(at) = operation.alarm {
            self.drop_alarm(at, number);
        }
        let error = operation.on_timeout();
        self.end_replica_read(operation, Err(error));
    }

    /// Tells those who wait for reads that ended, some of them: what they do next may end at once, too.
    pub(crate) fn tell_of_reads(&mut self, now: Now, out: &mut Effects) {
        for _ in 0..self.ended_reads.len() {
            if let Some(((parent, ballot), result)) = self.ended_reads.pop_front() {
                // A decision that has begun again is not told what was read before.
                if ballot.is_some_and(|ballot| !self.reads_under(parent, ballot)) {
                    continue;
                }
                self.on_read(parent, self.number, result, now, out);
            }
        }
    }
}

impl ReplicaRead {
    /// Nobody is asked yet.
    fn begun(
        parent: u64,
        (plan, terms): (ReplicaPlan, ReadTerms),
        command: ReadCommand,
        rest: Option<KeyRange>,
    ) -> Self {
        Self {
            parent,
            terms,
            read: Read::new(plan.clone()),
            plan,
            is_gated: false,
            trust: Trust::Fresh,
            command,
            rest,
            local_wanted: Wanted::Data,
            data: Vec::new(),
            held: Held::default(),
            repairing: None,
            whole: ReadResponse::default(),
            alarm: None,
        }
    }
}
