//! The journal's budget (docs/tracking.md, section 6): what other replicas lack is kept for them up to a number of bytes; beyond it the
//! oldest segment goes, after it was written down who lacks what of it. That is settled when the other has it from elsewhere.

use super::shards::TrackNote;
use super::{Shard, group_of};
use crate::effects::{Effects, LogLevel};
use crate::message::ReplicaError;
use crate::replica::Caller;
use cluster::topology::NodeId;
use model::policy::Defect;
use model::time::{BootNanos, Now};
use model::track::{IdSet, Intervals, LogId};
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::held::{Members, Statement};

/// How often a shard looks whether its journal is over its budget, in milliseconds.
const LOOK_MS: u64 = 500;

/// Not so soon after a start, in milliseconds: the others have not told what they hold.
const FIRST_LOOK_MS: u64 = 10_000;
/// How long a journal that is over its budget waits for a member that lives and does not say what it holds, in milliseconds: one
/// whose disk takes no writes would fill everybody's.
const PATIENCE_MS: u64 = 60_000;
/// How often the operator is told of what is owed, in milliseconds.
const TELL_MS: u64 = 60_000;
/// How often a shard asks whether what it owes was settled, in milliseconds.
const SETTLE_MS: u64 = 5_000;

/// What a shard knows of its journal's budget.
#[derive(Debug, Default)]
pub(super) struct JournalBudget {
    next_look: BootNanos,
    next_settling: BootNanos,
    /// Since when there is more than the budget allows.
    over_since: Option<BootNanos>,
    /// What is owed once it is written down, by the number of that write.
    owing: BTreeMap<u64, Arc<IdSet>>,
    next: u64,
    /// Mutations that are owed since the operator was last told, and when that may be again.
    untold: u64,
    next_tell: BootNanos,
}

impl Shard {
    /// Gives the oldest segment away if the journal is over its budget.
    pub(super) fn keep_journal_in_budget(&mut self, now: Now, out: &mut Effects) {
        if self.tracking.budget.next_look == BootNanos(0) {
            self.tracking.budget.next_look = now.boot.plus_millis(FIRST_LOOK_MS);
        }
        if now.boot < self.tracking.budget.next_look {
            return;
        }
        self.tracking.budget.next_look = now.boot.plus_millis(LOOK_MS);
        self.tell_what_is_owed(now, out);
        if now.boot >= self.tracking.budget.next_settling {
            self.tracking.budget.next_settling = now.boot.plus_millis(SETTLE_MS);
            self.ask_what_is_owed(now, out);
        }
        let is_over = self.replica.store.journal_bytes() > self.config.journal_bytes_per_shard;
        let unkept = self.not_kept_for(now.boot);
        if !is_over {
            self.tracking.budget.over_since = None;
            if unkept.is_empty() {
                return;
            }
        }
        let unkept = Arc::new(unkept);
        let over_since = *self.tracking.budget.over_since.get_or_insert(now.boot);
        let waits = now.boot.since(over_since) < PATIENCE_MS * 1_000_000;
        let Some(oldest) = self.replica.store.oldest_unreleased() else {
            return;
        };
        let mut groups: BTreeMap<Members, Vec<(LogId, Intervals)>> = BTreeMap::new();
        let mut unknown = IdSet::default();
        for (log, sequences) in oldest.logs() {
            match self.replica.store.held().members(log).cloned() {
                Some(members) if self.is_member(&members) => {
                    let ids = groups.entry(members).or_default();
                    ids.push((log, sequences.clone()));
                }
                // Nobody will ask for what has no group.
                _ => unknown.insert_all(log, sequences),
            }
        }
        self.replica.store.release(&unknown, &mut out.io);
        for (members, ids) in groups {
            let home = self.home_of(group_of(&members));
            let note = if is_over {
                TrackNote::Shed {
                    members,
                    ids,
                    waits,
                }
            } else {
                TrackNote::Unkept(members, ids, unkept.clone())
            };
            self.note_to(home, note, now, out);
        }
    }

    /// Tells the operator how much is owed since the last time: once a minute, for a member may be away for days.
    fn tell_what_is_owed(&mut self, now: Now, out: &mut Effects) {
        let budget = &mut self.tracking.budget;
        if budget.untold == 0 || now.boot < budget.next_tell {
            return;
        }
        budget.next_tell = now.boot.plus_millis(TELL_MS);
        let owed = std::mem::take(&mut budget.untold);
        let text = format!(
            "{owed} mutations that other replicas lack are not kept for them any more: they are owed, and come by repair"
        );
        out.log.push((LogLevel::Warn, text));
    }

    /// Asks homes whether those who are owed something still lack it.
    fn ask_what_is_owed(&mut self, now: Now, out: &mut Effects) {
        let held = self.replica.store.held();
        let mut groups: BTreeMap<Members, Vec<(NodeId, LogId, Intervals)>> = BTreeMap::new();
        for (node, owed) in &held.owed {
            for (log, sequences) in owed.logs() {
                if let Some(members) = held.members(log) {
                    let debts = groups.entry(members.clone()).or_default();
                    debts.push((NodeId(*node), log, sequences.clone()));
                }
            }
        }
        for (members, debts) in groups {
            let home = self.home_of(group_of(&members));
            self.note_to(home, TrackNote::Owed(members, debts), now, out);
        }
    }

    /// What others were owed and do not lack any more is written down as settled.
    pub(super) fn settle_debts(&mut self, debts: &[(NodeId, LogId, Intervals)]) {
        let statements = debts.iter();
        let statements =
            statements.map(|(node, log, paid)| Statement::Settled(node.0, *log, paid.clone()));
        let statements: Vec<Statement> = statements.collect();
        // If the log does not take it, it is asked again.
        let _ = self.replica.state(&statements, Caller::Nobody);
    }

    /// Writes down who lacks what of a segment that is to go; once that is durable it may.
    pub(super) fn owe(
        &mut self,
        ids: &Arc<IdSet>,
        lacking: Vec<(NodeId, LogId, Intervals)>,
        out: &mut Effects,
    ) {
        if lacking.is_empty() || self.config.policy.has(Defect::DebtForgotten) {
            return self.replica.store.release(ids, &mut out.io);
        }
        let owed: u64 = lacking.iter().map(|(.., left)| left.count()).sum();
        let statements = lacking.into_iter();
        let statements = statements.map(|(node, log, left)| Statement::Owed(node.0, log, left));
        let statements: Vec<Statement> = statements.collect();
        self.tracking.budget.next += 1;
        let number = self.tracking.budget.next;
        // If the log does not take it, the next look finds the segment again.
        if self
            .replica
            .state(&statements, Caller::Owing(number))
            .is_ok()
        {
            self.tracking.budget.owing.insert(number, ids.clone());
            self.tracking.budget.untold += owed;
        }
    }

    /// What is owed is written down, or was refused.
    pub(crate) fn on_owed(
        &mut self,
        number: u64,
        result: &Result<(), ReplicaError>,
        out: &mut Effects,
    ) {
        let ids = self.tracking.budget.owing.remove(&number);
        if let (Some(ids), Ok(())) = (ids, result) {
            self.replica.store.release(&ids, &mut out.io);
        }
    }
}
