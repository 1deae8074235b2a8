//! Consensus on one log: Raft (Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm", 2014; Ongaro's
//! thesis for PreVote, CheckQuorum and changes of the voters one at a time).
//!
//! The metadata log of a cluster is ordered by this machine. It does no I/O: what it wants on disk it puts into
//! [`Output::records`], and hears of it by [`Raft::on_persisted`]; what it wants sent, into [`Output::messages`]. A node that is
//! no voter is a *learner*: the leader sends it the log, and its answers count for nothing.
//!
//! What must stay true:
//! - at most one leader a term: a vote is durable before its answer leaves, the candidate's own before it counts;
//! - what a follower acknowledges is durable, and so is what a leader counts of its own;
//! - an entry is committed when a majority of the voters has it and it, or one after it, is of the leader's term;
//! - committed entries never change, and are handed out once each, in order, when they, and that they are committed, are durable
//!   *here*: whatever is built on them (a table, and mutations of it in the commit log) must not outlive them, and must find
//!   them after a restart without anybody's help;
//! - of the voters one is added or removed at a time, and only by a leader that has committed in its term, so that any two
//!   majorities meet.
//!
//! `election.rs` makes leaders, `replication.rs` moves entries, `log.rs` keeps them, `message.rs` is the bytes on the wire and
//! on disk, `restore.rs` what is believed of those, `progress.rs` what a leader knows of the others, `recover.rs` how a log goes on
//! whose voters are lost.

mod election;
mod log;
mod message;
mod progress;
mod recover;
mod replication;
mod restore;
#[cfg(test)]
mod tests;

use crate::topology::NodeId;
use log::Log;
pub use message::{Entry, Message, Payload, Record, Snapshot};
use model::env::Random;
use model::time::BootNanos;
use progress::Progress;
pub use recover::NothingToRecover;
pub use restore::Damage;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Number of a reign; each has at most one leader.
pub type Term = u64;
/// Place of an entry in the log, from 1.
pub type Index = u64;
/// Number of a record handed out to be made durable, ascending.
pub type Position = u64;

/// Limits of the machine, in milliseconds of the boot clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// A leader is heard at least so often.
    pub heartbeat_ms: u64,
    /// Without a leader for this long, up to twice as long by lot, a voter stands for election; a leader that hears no
    /// majority for this long gives up.
    pub election_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat_ms: 200,
            election_ms: 1_000,
        }
    }
}

/// What the machine wants done.
#[derive(Debug, Default)]
pub struct Output {
    /// Records to append to the durable log, in order; answered by [`Raft::on_persisted`].
    pub records: Vec<(Position, Record)>,
    /// Records that replace all of the durable log, those of earlier positions included; answered likewise. They go before
    /// [`Self::records`] of the same output.
    pub replacement: Option<(Position, Vec<Record>)>,
    /// Messages to send. Any may be lost, doubled or late.
    pub messages: Vec<(NodeId, Message)>,
    /// A snapshot whose state replaces all that was built so far; it goes before [`Self::committed`].
    pub installed: Option<Snapshot>,
    /// Entries to carry out, in order.
    pub committed: Vec<Entry>,
    /// A place at which the leader has another entry than one that was committed here: a majority of voters was lost and the others
    /// went on without what it had decided last.
    pub diverged: Option<Index>,
}

/// Why a proposal was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// This node does not lead; perhaps that one does.
    #[error("this node is not the leader")]
    NotLeader(Option<NodeId>),
    /// A change of the voters is under way, or the leader is too new to begin one, or more than one node would change.
    #[error("the voters cannot be changed now")]
    NotNow,
}

#[derive(Debug)]
enum Role {
    Follower,
    /// Asks whether it could win, which disturbs nobody.
    PreCandidate(BTreeSet<NodeId>),
    Candidate(BTreeSet<NodeId>),
    Leader(Leadership),
}

#[derive(Debug)]
struct Leadership {
    followers: BTreeMap<NodeId, Progress>,
    /// Index of the entry that opened the term.
    first: Index,
    heartbeat_due: BootNanos,
    /// When it is next asked whether a majority was heard.
    quorum_due: BootNanos,
}

/// One member of the consensus.
#[derive(Debug)]
pub struct Raft {
    id: NodeId,
    timing: Timing,
    term: Term,
    vote: Option<NodeId>,
    role: Role,
    leader: Option<NodeId>,
    /// When the leader was last heard.
    leader_heard: Option<BootNanos>,
    election_due: BootNanos,
    log: Log,
    commit: Index,
    /// Entries up to this were handed out.
    applied: Index,
    /// Entries up to this are on record as committed, by this record.
    noted: (Index, Position),
    learners: BTreeSet<NodeId>,
    /// Number of the last record handed out.
    written: Position,
    /// Records up to this are durable.
    persisted: Position,
    /// Messages that promise what is not yet durable, with the record they wait for.
    held: VecDeque<(Position, NodeId, Message)>,
    /// Record of the candidate's own vote.
    own_vote: Position,
    /// Record of a snapshot that came from another member, until it is durable and handed out.
    installing: Option<Position>,
}

/// Where a node stands, for tools and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The current term.
    pub term: Term,
    /// The leader, as far as this node knows.
    pub leader: Option<NodeId>,
    /// Last committed entry.
    pub commit: Index,
    /// Last entry handed out.
    pub applied: Index,
    /// Who votes.
    pub voters: BTreeSet<NodeId>,
}

impl Raft {
    /// A member with what its disk holds; `records` in the order in which they were written. A node of a cluster that is being
    /// founded begins with one snapshot that names it as the only voter. Records that no member writes are refused.
    pub fn new(
        id: NodeId,
        records: impl IntoIterator<Item = Record>,
        timing: Timing,
        now: BootNanos,
        random: &mut dyn Random,
    ) -> Result<Self, Damage> {
        let mut raft = Self {
            id,
            timing,
            term: 0,
            vote: None,
            role: Role::Follower,
            leader: None,
            leader_heard: None,
            election_due: now,
            log: Log::default(),
            commit: 0,
            applied: 0,
            noted: (0, 0),
            learners: BTreeSet::new(),
            written: 0,
            persisted: 0,
            held: VecDeque::new(),
            own_vote: 0,
            installing: None,
        };
        for (number, record) in records.into_iter().enumerate() {
            let restored = raft.restore(record);
            restored.map_err(|what| Damage { number, what })?;
        }
        raft.log.all_persisted();
        raft.term = raft.term.max(raft.log.last_term());
        raft.applied = raft.log.snapshot().index;
        raft.commit = raft.commit.clamp(raft.applied, raft.log.last());
        raft.noted = (raft.commit, 0);
        // A voter alone has nobody to wait for: what it holds is decided.
        if raft.is_alone() {
            raft.commit = raft.log.last();
            raft.election_due = now;
        } else {
            raft.put_off_election(now, random);
        }
        Ok(raft)
    }

    /// Whether this node is the only voter.
    fn is_alone(&self) -> bool {
        self.voters().iter().eq([&self.id])
    }

    /// This node's number.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The snapshot that the log begins with, whose state was not handed out.
    pub fn snapshot(&self) -> &Snapshot {
        self.log.snapshot()
    }

    /// Where this node stands.
    pub fn status(&self) -> Status {
        Status {
            term: self.term,
            leader: self.leader,
            commit: self.commit,
            applied: self.applied,
            voters: self.voters().clone(),
        }
    }

    /// Who votes, by the last entry that says so, committed or not.
    pub fn voters(&self) -> &BTreeSet<NodeId> {
        self.log.voters()
    }

    /// The term it is in.
    pub fn term(&self) -> Term {
        self.term
    }

    /// Term and place of the last entry it holds, committed or not.
    pub fn last_entry(&self) -> (Term, Index) {
        (self.log.last_term(), self.log.last())
    }

    /// Members beside this one that are known to have the log of its term, if it leads: whoever has none of it may never have.
    pub fn followed_by(&self) -> BTreeSet<NodeId> {
        let Role::Leader(leadership) = &self.role else {
            return BTreeSet::new();
        };
        let followers = leadership.followers.iter();
        let matched = followers.filter(|(_, progress)| progress.matched >= leadership.first);
        matched.map(|(id, _)| *id).collect()
    }

    /// Whether this node leads.
    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// The leader, if one was heard of late. A node that knows none cannot have anything decided.
    pub fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    /// Members beside the voters that the leader sends the log to.
    pub fn set_learners(&mut self, learners: BTreeSet<NodeId>, now: BootNanos, out: &mut Output) {
        self.learners = learners;
        self.follow_members(now, out);
    }

    /// When [`Self::tick`] is due.
    pub fn next_deadline(&self) -> BootNanos {
        match &self.role {
            Role::Leader(leadership) if leadership.followers.is_empty() => BootNanos(u64::MAX),
            Role::Leader(leadership) => leadership.heartbeat_due.min(leadership.quorum_due),
            _ => self.election_due,
        }
    }

    /// Time passed.
    pub fn tick(&mut self, now: BootNanos, random: &mut dyn Random, out: &mut Output) {
        if self.is_leader() {
            self.lead_on(now, random, out);
        } else if now >= self.election_due {
            self.stand(now, random, out);
        }
        self.hand_out(out);
    }

    /// A message of another member. One that no member sends changes nothing.
    pub fn on_message(
        &mut self,
        from: NodeId,
        message: Message,
        now: BootNanos,
        random: &mut dyn Random,
        out: &mut Output,
    ) {
        if !restore::is_sound_message(&message) {
            return;
        }
        match message {
            Message::PreVote {
                term,
                last_index,
                last_term,
            } => self.on_pre_vote(from, term, (last_term, last_index), now, out),
            Message::PreVoteAnswer { term, granted } => {
                self.on_pre_vote_answer(from, term, granted, now, random, out);
            }
            Message::Vote {
                term,
                last_index,
                last_term,
                handed_over,
            } => {
                let last = (last_term, last_index);
                self.on_vote(from, term, last, handed_over, now, random, out);
            }
            Message::VoteAnswer { term, granted } => {
                self.on_vote_answer(from, term, granted, now, random, out);
            }
            Message::Append {
                term,
                previous,
                entries,
                commit,
            } => {
                if self.follow(from, term, now, random, out) {
                    self.on_append(from, previous, entries, commit, out);
                }
            }
            Message::Install { term, snapshot } => {
                if self.follow(from, term, now, random, out) {
                    self.on_install(from, snapshot, out);
                }
            }
            Message::Matched { term, index } => {
                self.on_matched(from, term, index, now, random, out)
            }
            Message::Mismatched { term, hint } => {
                self.on_mismatched(from, term, hint, now, random, out);
            }
            Message::TakeOver { term } => {
                if term == self.term && !self.is_leader() {
                    self.campaign(true, now, random, out);
                }
            }
        }
        self.hand_out(out);
    }

    /// Everything up to this record is durable.
    pub fn on_persisted(&mut self, position: Position, now: BootNanos, out: &mut Output) {
        assert!(position <= self.written, "what was written becomes durable");
        self.persisted = self.persisted.max(position);
        self.log.on_persisted(position);
        while let Some((wanted, ..)) = self.held.front()
            && *wanted <= self.persisted
            && let Some((_, to, message)) = self.held.pop_front()
        {
            out.messages.push((to, message));
        }
        self.count_own_vote(now, out);
        self.advance_commit(now, out);
        self.hand_out(out);
    }

    /// Has a command ordered; returns its place. It is committed once it is handed out at that place with this term, and lost
    /// once another entry is handed out there.
    pub fn propose(
        &mut self,
        command: Vec<u8>,
        now: BootNanos,
        out: &mut Output,
    ) -> Result<(Term, Index), Refusal> {
        self.append(Payload::Command(command), now, out)
    }

    /// Adds or removes one voter.
    pub fn propose_voters(
        &mut self,
        voters: BTreeSet<NodeId>,
        now: BootNanos,
        out: &mut Output,
    ) -> Result<(Term, Index), Refusal> {
        let Role::Leader(leadership) = &self.role else {
            return Err(Refusal::NotLeader(self.leader));
        };
        let changes = voters.symmetric_difference(self.voters()).count();
        let under_way = self.log.voters_index() > self.commit;
        if changes != 1 || voters.is_empty() || under_way || self.commit < leadership.first {
            return Err(Refusal::NotNow);
        }
        // Once it is not alone it must find after a restart what it had decided alone.
        self.note_commit(out);
        if self.noted.0 < self.commit {
            return Err(Refusal::NotNow);
        }
        let place = self.append(Payload::Voters(voters), now, out)?;
        self.follow_members(now, out);
        Ok(place)
    }

    /// Asks the voter that is furthest on to lead in this node's place.
    pub fn hand_over(&mut self, out: &mut Output) {
        let Role::Leader(leadership) = &self.role else {
            return;
        };
        let voters = self.voters();
        let heir = leadership
            .followers
            .iter()
            .filter(|(id, progress)| voters.contains(id) && progress.matched == self.log.last())
            .max_by_key(|(_, progress)| progress.heard);
        if let Some((&heir, _)) = heir {
            out.messages
                .push((heir, Message::TakeOver { term: self.term }));
        }
    }

    /// Forgets entries up to `through`, which were handed out: `state` says the same.
    pub fn compact(&mut self, through: Index, state: Vec<u8>, out: &mut Output) {
        assert!(through <= self.applied, "what was not handed out is kept");
        if through <= self.log.snapshot().index {
            return;
        }
        self.log.compact(through, state);
        self.replace_durable(out);
    }

    /// Hands out what was committed before a restart.
    pub fn begin(&mut self, out: &mut Output) {
        self.hand_out(out);
    }

    /// A snapshot of what was handed out, which `state` says.
    pub fn snapshot_now(&self, state: Vec<u8>) -> Snapshot {
        self.log.snapshot_at(self.applied, state)
    }

    /// What a member that has applied up to `applied` lacks of the committed log: a snapshot if it is too far behind, and
    /// entries after it, of at most about so many bytes.
    pub fn committed_since(&self, applied: Index, bytes: usize) -> (Option<Snapshot>, Vec<Entry>) {
        let snapshot = self.log.snapshot();
        let missing = (applied < snapshot.index).then(|| snapshot.clone());
        let from = applied.max(snapshot.index).saturating_add(1);
        (missing, self.log.slice(from, self.applied, bytes))
    }

    /// Takes committed entries from whoever has them: what was committed once is so for ever, whoever tells of it.
    pub fn learn(&mut self, snapshot: Option<Snapshot>, entries: Vec<Entry>, out: &mut Output) {
        if let Some(snapshot) = snapshot.filter(restore::is_sound_snapshot) {
            self.install(snapshot, out);
        }
        for entry in entries {
            if entry.index <= self.commit {
                continue;
            }
            if entry.index > self.log.last() + 1 || !self.log.takes(&entry) {
                break;
            }
            let index = entry.index;
            self.raise_term(entry.term, out);
            if self.log.term(index) != Some(entry.term) {
                // Whoever had another entry here led in vain.
                self.role = Role::Follower;
                self.store(entry, out);
            }
            self.commit = index;
        }
        self.hand_out(out);
    }

    /// The disk may not hold what was given to it last: gives it all of it again.
    pub fn persist_again(&mut self, out: &mut Output) {
        self.replace_durable(out);
    }

    /// Hands out what is committed and durable here.
    fn hand_out(&mut self, out: &mut Output) {
        if let Some(position) = self.installing {
            if position > self.persisted {
                return;
            }
            self.installing = None;
            self.applied = self.log.snapshot().index;
            out.installed = Some(self.log.snapshot().clone());
        }
        let mut through = self.commit.min(self.log.persisted());
        if !self.is_alone() {
            self.note_commit(out);
            let (noted, record) = self.noted;
            if record > self.persisted {
                return;
            }
            through = through.min(noted);
        }
        for index in self.applied + 1..=through {
            let entry = self.log.entry(index).expect("committed entries are kept");
            out.committed.push(entry.clone());
        }
        self.applied = self.applied.max(through);
    }

    /// Puts on record what is committed.
    fn note_commit(&mut self, out: &mut Output) {
        let through = self.commit.min(self.log.last());
        // One at a time: the next says more.
        if through > self.noted.0 && self.noted.1 <= self.persisted {
            self.record(Record::Committed(through), out);
            self.noted = (through, self.written);
        }
    }

    fn record(&mut self, record: Record, out: &mut Output) {
        self.written += 1;
        out.records.push((self.written, record));
    }

    /// Appends an entry of a leader, or over what a leader that is gone had put there.
    fn store(&mut self, entry: Entry, out: &mut Output) {
        assert!(entry.index > self.commit, "committed entries never change");
        self.record(Record::Entry(entry.clone()), out);
        self.log.append(entry, self.written);
    }

    /// Writes the durable log anew, as the log stands.
    fn replace_durable(&mut self, out: &mut Output) {
        let ballot = Record::Ballot {
            term: self.term,
            vote: self.vote,
        };
        let mut records = vec![ballot, Record::Snapshot(self.log.snapshot().clone())];
        records.extend(self.log.entries().cloned().map(Record::Entry));
        records.push(Record::Committed(self.commit));
        self.written += 1;
        self.noted = (self.commit, self.written);
        self.log.rewritten(self.written);
        // A snapshot that is being written is in it.
        self.installing = self.installing.map(|_| self.written);
        // Records of this output that are not on their way yet are covered.
        out.records.clear();
        out.replacement = Some((self.written, records));
    }

    /// Sends what promises something once that is durable.
    fn send_durable(&mut self, to: NodeId, mut message: Message, out: &mut Output) {
        if self.persisted == self.written {
            out.messages.push((to, message));
            return;
        }
        // While a disk hangs, leaders ask again and again: one answer says it all, that of a heartbeat after a snapshot too.
        if let (
            Some((_, before, Message::Matched { index: held, .. })),
            Message::Matched { index, .. },
        ) = (self.held.back(), &mut message)
            && *before == to
        {
            *index = (*index).max(*held);
            self.held.pop_back();
        }
        self.held.push_back((self.written, to, message));
    }
}
