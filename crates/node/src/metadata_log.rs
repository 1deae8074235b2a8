//! The metadata log of the cluster, as one node has it: consensus, its file, and what the log has come to.
//!
//! Shard 0 has the one instance. A proposal is sent to the leader until it is seen in the log: every member applies every entry,
//! so whoever proposed sees for itself how it ended, and that is in force here by then. Entries that a member lacks it also takes
//! from any other ([`MetadataMessage::Since`]): what is committed is so for ever.
//!
//! What must stay true:
//! - nothing is applied that is not durable here (`cluster::raft`);
//! - a proposal that is reported to have ended has ended so everywhere; one that is reported as undecided may still be carried
//!   out, once;
//! - numbers of proposals are never used again: they begin with the boot, which is durable before anything is proposed;
//! - of a node's proposals one is sent at a time, in the order of their numbers;
//! - an entry that this version does not understand stops the log here: what follows it is not applied.
//!
//! The file's payloads are [`DiskRecord`]s (docs/formats/metalog.md).

mod disk;
mod message;
mod record;
pub mod recover;
#[cfg(test)]
mod tests;

pub use message::MetadataMessage;
pub use record::{DiskRecord, NodeIdentity, Stored, spread_tokens};

use crate::config::MetadataLogBound;
use crate::effects::LogLevel;
use cluster::metadata::{Command, Member, Metadata, Proposal, ProposalId, Refused};
use cluster::raft::{Entry, Output, Payload, Raft, Snapshot, Status, Term, Timing};
use cluster::topology::NodeId;
use model::env::{IoQueue, Random};
use model::time::BootNanos;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use storage::{MetaLog, StoreError};

/// A proposal is sent again so often, in milliseconds, until it is seen in the log.
const RESEND_MS: u64 = 500;
/// Without a leader for so long, in milliseconds, proposals are refused: no majority of the voters can be reached.
const LEADERLESS_MS: u64 = 2_500;
/// A disk that did not take what it was given is asked again after so long, in milliseconds.
const DISK_RETRY_MS: u64 = 1_000;
/// Until the others know what this node is they are told again so often, in milliseconds.
const OWN_MS: u64 = 5_000;
/// The ticket of that, which nobody waits for.
pub const OWN_TICKET: u64 = 0;
/// Entries and snapshot that one answer to [`MetadataMessage::Since`] carries at most, in bytes; one entry aside.
const LEARN_BYTES: usize = 1 << 20;

/// How a proposal ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It was carried out, and is in force here.
    Done,
    /// It was refused, by everybody.
    Refused(Refused),
    /// No majority of the voters can be reached: it was not proposed.
    NoMajority,
    /// It did not end in time: it may be carried out later.
    Undecided,
    /// The disk here does not take it, for this reason: it may be carried out later.
    Failed(String),
}

/// A proposal under way.
#[derive(Debug)]
struct Waiting {
    ticket: u64,
    proposal: Proposal,
    deadline: BootNanos,
    sent: Option<BootNanos>,
}

/// A change of what is in force.
#[derive(Debug, Clone)]
pub struct Change {
    /// What was.
    pub before: Arc<Metadata>,
    /// What is.
    pub after: Arc<Metadata>,
    /// The ticket of this node's proposal that made it, if one did.
    pub ticket: Option<u64>,
}

/// The metadata log.
pub struct MetadataLog {
    identity: NodeIdentity,
    boot: u32,
    raft: Raft,
    disk: MetaLog,
    bound: MetadataLogBound,
    metadata: Arc<Metadata>,
    /// What this node is, as its configuration and process have it, and when it is compared again with what the others know.
    own: Member,
    compare_own: BootNanos,
    /// Tickets of the file, and up to which record of the consensus each makes it durable.
    tickets: VecDeque<(u64, u64)>,
    next_ticket: u64,
    retry_disk: Option<BootNanos>,
    /// Why the disk did not take the last records.
    disk_error: Option<StoreError>,
    snapshot_bytes: u64,
    /// Whether members came or went since a leader here last looked: one that has nobody to send to sleeps.
    members_changed: bool,
    /// The term in which this node, as its leader, sent the log to the members.
    steered: Term,
    proposals: BTreeMap<ProposalId, Waiting>,
    next_proposal: u64,
    leaderless_since: Option<BootNanos>,
    finished: Vec<(u64, Decision)>,
    messages: Vec<(NodeId, MetadataMessage)>,
    changes: Vec<Change>,
    /// For the operator.
    notes: Vec<(LogLevel, String)>,
    /// Why nothing more is applied here: an entry is of a newer version, or damaged.
    halted: Option<String>,
}

impl MetadataLog {
    /// The log of a member, from what its file holds; `stored` has its number. The boot in it is durable.
    pub fn new(
        disk: MetaLog,
        stored: Stored,
        own: Member,
        bound: MetadataLogBound,
        now: BootNanos,
        random: &mut dyn Random,
    ) -> Result<Self, String> {
        let id = stored.identity.node.ok_or("this node is no member yet")?;
        let raft = Raft::new(id, stored.records, Timing::default(), now, random);
        let raft = raft.map_err(|damage| damage.to_string())?;
        let metadata = record::metadata_of(raft.snapshot())?;
        let mut log = Self {
            identity: stored.identity,
            boot: stored.boot,
            raft,
            disk,
            bound,
            metadata: Arc::new(metadata),
            own,
            compare_own: now,
            tickets: VecDeque::new(),
            next_ticket: 0,
            retry_disk: None,
            disk_error: None,
            snapshot_bytes: 0,
            members_changed: false,
            steered: 0,
            proposals: BTreeMap::new(),
            next_proposal: 0,
            leaderless_since: None,
            finished: Vec::new(),
            messages: Vec::new(),
            changes: Vec::new(),
            notes: Vec::new(),
            halted: None,
        };
        // What was decided before this start is where it begins.
        let mut out = Output::default();
        log.raft.begin(&mut out);
        for entry in out.committed {
            log.apply(&entry);
        }
        log.changes.clear();
        match log.halted {
            Some(reason) => Err(reason),
            None => Ok(log),
        }
    }

    /// This node's number.
    pub fn id(&self) -> NodeId {
        self.raft.id()
    }

    /// What this node is.
    pub fn identity(&self) -> &NodeIdentity {
        &self.identity
    }

    /// Starts of this data directory, this one included.
    pub fn boot(&self) -> u32 {
        self.boot
    }

    /// Who votes, as far as this node knows.
    pub fn voters(&self) -> &BTreeSet<NodeId> {
        self.raft.voters()
    }

    /// What is in force here.
    pub fn metadata(&self) -> &Arc<Metadata> {
        &self.metadata
    }

    /// What is in force, for a node that begins with it. Its epoch is that of the last command, as it is on members that applied the
    /// entries one by one: entries that are no commands may have passed since, and requests that name an epoch wait for it.
    pub fn snapshot(&self) -> Snapshot {
        self.raft.snapshot_now(self.metadata.encode())
    }

    /// Where the consensus stands.
    pub fn status(&self) -> Status {
        self.raft.status()
    }

    /// Proposes a command; its end is told under the ticket.
    pub fn propose(&mut self, command: Command, ticket: u64, deadline: BootNanos, now: BootNanos) {
        let error = self.disk_error.as_ref().map(ToString::to_string);
        if let Some(error) = self.halted.clone().or(error) {
            return self.finished.push((ticket, Decision::Failed(error)));
        }
        if self.is_leaderless(now) {
            return self.finished.push((ticket, Decision::NoMajority));
        }
        self.next_proposal += 1;
        let id = ProposalId {
            node: self.id(),
            number: u64::from(self.boot) << 32 | self.next_proposal,
        };
        let waiting = Waiting {
            ticket,
            proposal: Proposal { id, command },
            deadline,
            sent: None,
        };
        self.proposals.insert(id, waiting);
    }

    fn is_leaderless(&self, now: BootNanos) -> bool {
        let since = self.leaderless_since;
        let since = since.filter(|_| self.raft.leader().is_none());
        since.is_some_and(|since| now >= since.plus_millis(LEADERLESS_MS))
    }

    /// Ends of proposals since the last call.
    pub fn take_finished(&mut self) -> Vec<(u64, Decision)> {
        std::mem::take(&mut self.finished)
    }

    /// Messages to send since the last call.
    pub fn take_messages(&mut self) -> Vec<(NodeId, MetadataMessage)> {
        std::mem::take(&mut self.messages)
    }

    /// Changes since the last call, in order.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// What the operator is told, since the last call.
    pub fn take_notes(&mut self) -> Vec<(LogLevel, String)> {
        std::mem::take(&mut self.notes)
    }

    /// When [`Self::tick`] is due.
    pub fn next_deadline(&self) -> BootNanos {
        let led = self.raft.leader().is_some();
        let given_up = self.leaderless_since;
        let given_up = given_up.map_or(BootNanos(0), |since| since.plus_millis(LEADERLESS_MS));
        // One at a time is sent: the others have their deadlines alone.
        let proposals = self.proposals.values().enumerate().map(|(place, waiting)| {
            let due = match waiting.sent {
                Some(sent) if led => sent.plus_millis(RESEND_MS),
                Some(_) => waiting.deadline,
                None if place > 0 => waiting.deadline,
                None if led => BootNanos(0),
                None => given_up,
            };
            due.min(waiting.deadline)
        });
        let own = (!self.is_known()).then_some(self.compare_own);
        // Whoever comes to lead alone, as the only voter, has others to tell all the same.
        let is_new = self.raft.is_leader() && self.steered != self.raft.term();
        let steer = self.members_changed && self.raft.is_leader() || is_new;
        let steer = steer.then_some(BootNanos(0));
        let others = proposals.chain(self.retry_disk).chain(own).chain(steer);
        others.fold(self.raft.next_deadline(), BootNanos::min)
    }

    /// Time passed, or a proposal was made. `alive` are the members that answer.
    pub fn tick(
        &mut self,
        alive: &BTreeSet<NodeId>,
        now: BootNanos,
        random: &mut dyn Random,
        io: &mut IoQueue,
    ) {
        let mut out = Output::default();
        if now >= self.raft.next_deadline() {
            self.raft.tick(now, random, &mut out);
        }
        self.steer(alive, now, &mut out);
        if self.retry_disk.is_some_and(|due| now >= due) {
            self.retry_disk = None;
            self.raft.persist_again(&mut out);
        }
        self.carry_out(out, now, io);
        // A file that failed says so of each record at once.
        self.take_disk(now, io);
        self.make_known(now);
        self.resend(now, io);
    }

    /// Whether the members know this node as it is.
    fn is_known(&self) -> bool {
        let known = self.metadata.members.get(&self.raft.id());
        known.is_none_or(|known| {
            let own = &self.own;
            (
                known.internode_address,
                known.client_address,
                known.shards,
                &known.version,
            ) == (
                own.internode_address,
                own.client_address,
                own.shards,
                &own.version,
            )
        })
    }

    /// Tells the others what has changed of this node since they heard of it last.
    fn make_known(&mut self, now: BootNanos) {
        if self.is_known() || now < self.compare_own {
            return;
        }
        self.compare_own = now.plus_millis(OWN_MS);
        let command = Command::Update {
            node: self.id(),
            member: Box::new(self.own.clone()),
        };
        self.propose(command, OWN_TICKET, self.compare_own, now);
    }

    /// A leader sends the log to all members, and has the right ones vote.
    fn steer(&mut self, alive: &BTreeSet<NodeId>, now: BootNanos, out: &mut Output) {
        if !self.raft.is_leader() {
            return;
        }
        self.members_changed = false;
        self.steered = self.raft.term();
        let members: BTreeSet<NodeId> = self.metadata.members.keys().copied().collect();
        self.raft.set_learners(members, now, out);
        // Who does not follow would be one more whose vote is waited for.
        let (voters, followers) = (self.raft.voters(), self.raft.followed_by());
        let fit =
            |id: &NodeId| *id == self.raft.id() || voters.contains(id) || followers.contains(id);
        let alive = alive.iter().copied().filter(fit).collect();
        if let Some(voters) = self.metadata.next_voters(voters, &alive) {
            // Refused while the change before is under way: the next turn asks again.
            let _ = self.raft.propose_voters(voters, now, out);
        }
    }

    fn resend(&mut self, now: BootNanos, io: &mut IoQueue) {
        match self.raft.leader() {
            Some(_) => self.leaderless_since = None,
            None => self.leaderless_since = self.leaderless_since.or(Some(now)),
        }
        let leaderless = self.is_leaderless(now);
        let mut due = None;
        let mut over = Vec::new();
        for (place, (id, waiting)) in self.proposals.iter_mut().enumerate() {
            if now >= waiting.deadline {
                over.push((*id, Decision::Undecided));
            } else if leaderless && waiting.sent.is_none() {
                over.push((*id, Decision::NoMajority));
            } else if place == 0
                && self.raft.leader().is_some()
                && waiting
                    .sent
                    .is_none_or(|sent| now >= sent.plus_millis(RESEND_MS))
            {
                waiting.sent = Some(now);
                due = Some(waiting.proposal.clone());
            }
        }
        for (id, decision) in over {
            self.end(id, decision);
        }
        if let Some(proposal) = due {
            self.submit(proposal, now, io);
        }
    }

    fn end(&mut self, id: ProposalId, decision: Decision) {
        if let Some(waiting) = self.proposals.remove(&id) {
            self.finished.push((waiting.ticket, decision));
        }
    }

    /// Ends all proposals: nobody here waits any longer.
    fn fail_all(&mut self, reason: &str) {
        let ended = std::mem::take(&mut self.proposals).into_values();
        let failed = |waiting: Waiting| (waiting.ticket, Decision::Failed(reason.to_owned()));
        self.finished.extend(ended.map(failed));
    }

    /// Puts a proposal into the log, or sends it to whoever can.
    fn submit(&mut self, proposal: Proposal, now: BootNanos, io: &mut IoQueue) {
        let mut out = Output::default();
        let bytes = proposal.encode();
        match self.raft.propose(bytes, now, &mut out) {
            Ok(_) => self.carry_out(out, now, io),
            Err(_) => {
                if let Some(leader) = self.raft.leader() {
                    let message = MetadataMessage::Propose(proposal);
                    self.messages.push((leader, message));
                }
            }
        }
    }

    /// A message of another member.
    pub fn on_message(
        &mut self,
        from: NodeId,
        message: MetadataMessage,
        now: BootNanos,
        random: &mut dyn Random,
        io: &mut IoQueue,
    ) {
        match message {
            MetadataMessage::Raft(message) => {
                let mut out = Output::default();
                self.raft.on_message(from, message, now, random, &mut out);
                self.carry_out(out, now, io);
            }
            // Sent on once at most: whoever proposed sends it again, to the leader it knows by then.
            MetadataMessage::Propose(proposal) => {
                if self.raft.is_leader() && !self.metadata.has_decided(proposal.id) {
                    self.submit(proposal, now, io);
                }
            }
            MetadataMessage::Since(epoch) => {
                let (snapshot, entries) = self.raft.committed_since(epoch, LEARN_BYTES);
                if snapshot.is_some() || !entries.is_empty() {
                    let message = MetadataMessage::Learn { snapshot, entries };
                    self.messages.push((from, message));
                }
            }
            MetadataMessage::Learn { snapshot, entries } => {
                let mut out = Output::default();
                self.raft.learn(snapshot, entries, &mut out);
                self.carry_out(out, now, io);
            }
        }
    }

    /// Another member has shown that it knows a later epoch: asks it for what this node lacks.
    pub fn catch_up(&mut self, from: NodeId) {
        let epoch = self.raft.status().applied;
        self.messages.push((from, MetadataMessage::Since(epoch)));
    }

    fn carry_out(&mut self, out: Output, now: BootNanos, io: &mut IoQueue) {
        if let Some((position, records)) = out.replacement {
            self.retry_disk = None;
            let entries = record::payloads(&self.identity, self.boot, records);
            self.snapshot_bytes = entries.iter().map(|entry| entry.len() as u64).sum();
            let ticket = self.ticket(position);
            self.disk.replace(entries, ticket, io);
        }
        // After a record that the disk did not take it gets no other, until all are written again.
        let records = out
            .records
            .into_iter()
            .filter(|_| self.retry_disk.is_none());
        let records: Vec<_> = records.collect();
        for (position, record) in records {
            let ticket = self.ticket(position);
            let bytes = DiskRecord::Raft(record).encode();
            self.disk.append(&bytes, ticket, io);
        }
        let messages = out.messages.into_iter();
        self.messages
            .extend(messages.map(|(to, message)| (to, MetadataMessage::Raft(message))));
        if let Some(index) = out.diverged {
            return self.halt(went_on_without(index));
        }
        if let Some(snapshot) = out.installed {
            match record::metadata_of(&snapshot) {
                Ok(metadata) if !metadata.follows(&self.metadata) => {
                    return self.halt(went_on_without(self.metadata.epoch));
                }
                Ok(metadata) => {
                    self.put_in_force(metadata, None);
                    self.end_decided();
                }
                Err(reason) => self.halt(reason),
            }
        }
        for entry in out.committed {
            self.apply(&entry);
        }
        self.shorten(now, io);
    }

    /// Ends proposals that were decided in what a snapshot has replaced: it does not tell how, and they are not sent again.
    fn end_decided(&mut self) {
        let mut decided: Vec<ProposalId> = self.proposals.keys().copied().collect();
        decided.retain(|id| self.metadata.has_decided(*id));
        decided
            .into_iter()
            .for_each(|id| self.end(id, Decision::Undecided));
    }

    fn ticket(&mut self, position: u64) -> u64 {
        self.next_ticket += 1;
        self.tickets.push_back((self.next_ticket, position));
        self.next_ticket
    }

    fn put_in_force(&mut self, metadata: Metadata, ticket: Option<u64>) {
        let before = std::mem::replace(&mut self.metadata, Arc::new(metadata));
        let after = self.metadata.clone();
        self.members_changed |= !before.members.keys().eq(after.members.keys());
        self.changes.push(Change {
            before,
            after,
            ticket,
        });
    }

    /// Nothing more is applied here.
    fn halt(&mut self, reason: String) {
        if self.halted.is_some() {
            return;
        }
        self.fail_all(&reason);
        let note = format!("the metadata log stops here: {reason}");
        self.notes.push((LogLevel::Error, note));
        self.halted = Some(reason);
    }

    fn apply(&mut self, entry: &Entry) {
        if self.halted.is_some() {
            return;
        }
        let Payload::Command(bytes) = &entry.payload else {
            return;
        };
        let proposal = match Proposal::decode(bytes) {
            Ok(proposal) => proposal,
            Err(error) => return self.halt(error.to_string()),
        };
        let (after, result) = self.metadata.apply(entry.index, &proposal);
        let waiting = self.proposals.get(&proposal.id);
        let ticket = waiting.map(|waiting| waiting.ticket);
        self.put_in_force(after, ticket);
        let decision = match result {
            Ok(()) => Decision::Done,
            Err(refused) => Decision::Refused(refused),
        };
        self.end(proposal.id, decision);
    }

    /// Replaces the entries by what they came to, once they take much more room than that.
    fn shorten(&mut self, now: BootNanos, io: &mut IoQueue) {
        let allowed = |bound: MetadataLogBound, snapshot: u64| {
            bound.bytes.max(bound.snapshots.saturating_mul(snapshot))
        };
        if self.disk.bytes() <= allowed(self.bound, self.snapshot_bytes)
            || self.retry_disk.is_some()
            || self.halted.is_some()
        {
            return;
        }
        let through = self.raft.status().applied;
        // While a snapshot of another member is being written, what was applied is behind it.
        if through <= self.raft.snapshot().index {
            return;
        }
        let state = self.metadata.encode();
        if self.disk.bytes() <= allowed(self.bound, state.len() as u64) {
            self.snapshot_bytes = state.len() as u64;
            return;
        }
        let mut out = Output::default();
        self.raft.compact(through, state, &mut out);
        let note = format!("the metadata log up to entry {through} is replaced by a snapshot");
        self.notes.push((LogLevel::Info, note));
        self.carry_out(out, now, io);
    }
}

/// Why a node stops that knows what the others do not.
fn went_on_without(index: u64) -> String {
    format!(
        "entry {index} was decided here, and the other members went on without it after their voters were lost: start with an \
         empty data directory, in the place of this node"
    )
}
