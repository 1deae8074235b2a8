//! How entries get from the leader to the others, and when they are committed.

use super::progress::Mode;
use super::{Entry, Index, Message, Output, Raft, Role, Snapshot, Term};
use crate::topology::NodeId;
use model::env::Random;
use model::time::BootNanos;

/// Bytes of entries in one message, one entry aside.
const MESSAGE_BYTES: usize = 512 << 10;
/// A snapshot that was not answered for so long is sent again.
const SNAPSHOT_MS: u64 = 10_000;

impl Raft {
    /// A leader's turn: heartbeats, and the question whether a majority still hears it.
    pub(super) fn lead_on(&mut self, now: BootNanos, random: &mut dyn Random, out: &mut Output) {
        let Role::Leader(leadership) = &mut self.role else {
            return;
        };
        if now >= leadership.quorum_due {
            leadership.quorum_due = now.plus_millis(self.timing.election_ms);
            if !self.hears_majority(now) {
                self.role = Role::Follower;
                self.leader = None;
                return self.put_off_election(now, random);
            }
        }
        self.beat(now, out);
    }

    fn hears_majority(&self, now: BootNanos) -> bool {
        let Role::Leader(leadership) = &self.role else {
            return false;
        };
        let limit = self.timing.election_ms;
        let followers = leadership.followers.iter();
        let heard = followers.filter(|(_, progress)| now <= progress.heard.plus_millis(limit));
        let heard = heard.map(|(id, _)| *id).chain([self.id]);
        self.is_majority(&heard.collect())
    }

    fn beat(&mut self, now: BootNanos, out: &mut Output) {
        let Role::Leader(leadership) = &mut self.role else {
            return;
        };
        if now < leadership.heartbeat_due {
            return;
        }
        leadership.heartbeat_due = now.plus_millis(self.timing.heartbeat_ms);
        let members: Vec<NodeId> = leadership.followers.keys().copied().collect();
        for member in members {
            if let Some(progress) = self.progress(member) {
                progress.probed = false;
            }
            if !self.send_entries(member, now, out) {
                self.send_heartbeat(member, out);
            }
        }
    }

    /// Sends every member what it lacks.
    pub(super) fn send_all(&mut self, now: BootNanos, out: &mut Output) {
        let Role::Leader(leadership) = &self.role else {
            return;
        };
        let members: Vec<NodeId> = leadership.followers.keys().copied().collect();
        for member in members {
            self.send_entries(member, now, out);
        }
    }

    fn progress(&mut self, member: NodeId) -> Option<&mut super::Progress> {
        match &mut self.role {
            Role::Leader(leadership) => leadership.followers.get_mut(&member),
            _ => None,
        }
    }

    /// Sends a member what it lacks; returns whether that was anything.
    pub(super) fn send_entries(&mut self, to: NodeId, now: BootNanos, out: &mut Output) -> bool {
        let last = self.log.last();
        let Some(progress) = self.progress(to) else {
            return false;
        };
        let (next, mode) = (progress.next, progress.mode);
        let waits = match mode {
            Mode::Probe => progress.probed,
            Mode::Stream => false,
            Mode::Snapshot(until) => now < until,
        };
        if waits || next > last && mode != Mode::Probe {
            return false;
        }
        let Some(previous) = self.log.term(next - 1) else {
            return self.send_snapshot(to, now, out);
        };
        let entries = self.log.slice(next, last, MESSAGE_BYTES);
        let sent = entries.len() as Index;
        if let Some(progress) = self.progress(to) {
            match mode {
                Mode::Stream => progress.next += sent,
                Mode::Probe | Mode::Snapshot(_) => {
                    progress.mode = Mode::Probe;
                    progress.probed = true;
                }
            }
        }
        let message = Message::Append {
            term: self.term,
            previous: (next - 1, previous),
            entries,
            commit: self.commit,
        };
        out.messages.push((to, message));
        true
    }

    fn send_snapshot(&mut self, to: NodeId, now: BootNanos, out: &mut Output) -> bool {
        let snapshot = self.log.snapshot().clone();
        if let Some(progress) = self.progress(to) {
            progress.mode = Mode::Snapshot(now.plus_millis(SNAPSHOT_MS));
        }
        let term = self.term;
        out.messages.push((to, Message::Install { term, snapshot }));
        true
    }

    /// Tells a member that its leader lives, and what is committed of what it should have: if a message was lost it does not have
    /// that, and says so.
    fn send_heartbeat(&mut self, to: NodeId, out: &mut Output) {
        let Some(progress) = self.progress(to) else {
            return;
        };
        let claimed = match progress.mode {
            Mode::Stream => progress.next - 1,
            Mode::Probe | Mode::Snapshot(_) => progress.matched,
        };
        // Of a member that is not known to match anything nothing is claimed but that the log begins.
        let previous = self
            .log
            .term(claimed)
            .map_or((0, 0), |term| (claimed, term));
        let message = Message::Append {
            term: self.term,
            previous,
            entries: Vec::new(),
            commit: self.commit.min(previous.0),
        };
        out.messages.push((to, message));
    }

    /// Entries of this member's leader.
    pub(super) fn on_append(
        &mut self,
        from: NodeId,
        previous: (Index, Term),
        entries: Vec<Entry>,
        commit: Index,
        out: &mut Output,
    ) {
        let (index, term) = previous;
        let Some(through) = index.checked_add(entries.len() as Index) else {
            return;
        };
        // What is committed is the same everywhere, whether its entries are still held or not.
        if index > self.commit && self.log.term(index) != Some(term) {
            let hint = if index > self.log.last() {
                self.log.last() + 1
            } else {
                self.log.first_of_term(index).max(self.commit + 1)
            };
            let term = self.term;
            return self.send_durable(from, Message::Mismatched { term, hint }, out);
        }
        let mut expected = index;
        for entry in entries {
            expected += 1;
            if entry.index != expected {
                return;
            }
            let held = self.log.term(entry.index);
            if entry.index <= self.commit && held.is_some_and(|term| term != entry.term) {
                out.diverged = Some(entry.index);
                return;
            }
            if entry.index > self.commit && held != Some(entry.term) {
                // No leader sends entries of terms after its own, or of terms that fall.
                if entry.term > self.term || !self.log.takes(&entry) {
                    return;
                }
                self.store(entry, out);
            }
        }
        self.commit = self.commit.max(commit.min(through));
        let answer = Message::Matched {
            term: self.term,
            index: through,
        };
        self.send_durable(from, answer, out);
    }

    /// A snapshot of this member's leader.
    pub(super) fn on_install(&mut self, from: NodeId, snapshot: Snapshot, out: &mut Output) {
        let index = snapshot.index;
        self.install(snapshot, out);
        let term = self.term;
        self.send_durable(from, Message::Matched { term, index }, out);
    }

    /// Begins with a snapshot, if it is ahead of what is committed here.
    pub(super) fn install(&mut self, snapshot: Snapshot, out: &mut Output) {
        if snapshot.index <= self.commit {
            return;
        }
        self.raise_term(snapshot.term, out);
        if self.log.term(snapshot.index) != Some(snapshot.term) {
            // Whoever had another entry there led in vain.
            self.role = Role::Follower;
        }
        self.commit = snapshot.index;
        self.log.install(snapshot);
        self.installing = Some(self.written);
        self.replace_durable(out);
    }

    /// Who answers this leader, if it does: of another term, or of a member that is sent nothing, an answer is of no use.
    fn answered_by(
        &mut self,
        from: NodeId,
        term: Term,
        now: BootNanos,
        random: &mut dyn Random,
        out: &mut Output,
    ) -> Option<&mut super::Progress> {
        self.meet_term(term, now, random, out);
        if term == self.term {
            self.progress(from)
        } else {
            None
        }
    }

    pub(super) fn on_matched(
        &mut self,
        from: NodeId,
        term: Term,
        index: Index,
        now: BootNanos,
        random: &mut dyn Random,
        out: &mut Output,
    ) {
        let last = self.log.last();
        let Some(progress) = self.answered_by(from, term, now, random, out) else {
            return;
        };
        // Only another disk than the one it had could match what it was never sent.
        if index > last {
            return;
        }
        progress.heard = now;
        progress.matched = progress.matched.max(index);
        progress.next = progress.next.max(progress.matched + 1);
        // A heartbeat's answer says nothing of what a probe asked about.
        if index > 0 || last == 0 {
            progress.mode = Mode::Stream;
            progress.probed = false;
        }
        self.advance_commit(now, out);
        self.send_entries(from, now, out);
    }

    pub(super) fn on_mismatched(
        &mut self,
        from: NodeId,
        term: Term,
        hint: Index,
        now: BootNanos,
        random: &mut dyn Random,
        out: &mut Output,
    ) {
        let Some(progress) = self.answered_by(from, term, now, random, out) else {
            return;
        };
        progress.heard = now;
        progress.next = hint.min(progress.next).max(progress.matched + 1);
        progress.mode = Mode::Probe;
        progress.probed = false;
        self.send_entries(from, now, out);
    }

    /// A leader commits what a majority of the voters has, if that is of its own term.
    pub(super) fn advance_commit(&mut self, now: BootNanos, out: &mut Output) {
        let Role::Leader(leadership) = &self.role else {
            return;
        };
        let held = |voter: &NodeId| {
            if *voter == self.id {
                return self.log.persisted();
            }
            let follower = leadership.followers.get(voter);
            follower.map_or(0, |progress| progress.matched)
        };
        let mut held: Vec<Index> = self.voters().iter().map(held).collect();
        held.sort_unstable();
        let majority = held[(held.len() - 1) / 2];
        if majority <= self.commit || self.log.term(majority) != Some(self.term) {
            return;
        }
        self.commit = majority;
        let removed = !self.voters().contains(&self.id);
        if removed && self.log.voters_index() <= self.commit {
            self.leave_office(out);
        } else {
            self.beat_soon(now);
        }
    }

    /// The others hear soon that something was committed: whoever proposed it may wait there.
    fn beat_soon(&mut self, now: BootNanos) {
        if let Role::Leader(leadership) = &mut self.role {
            leadership.heartbeat_due = leadership.heartbeat_due.min(now);
        }
    }

    /// This leader is no voter any more, and that is committed.
    fn leave_office(&mut self, out: &mut Output) {
        let members: Vec<NodeId> = self.voters().iter().copied().collect();
        for member in members {
            self.send_heartbeat(member, out);
        }
        self.hand_over(out);
        self.role = Role::Follower;
        self.leader = None;
    }
}
