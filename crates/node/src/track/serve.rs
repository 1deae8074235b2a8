//! Catching up (docs/tracking.md, section 5): what this node's journal has and another lacks, and what others' journals have and this
//! node lacks.

use super::shards::TrackNote;
use super::{Shard, group_of};
use crate::effects::{Effects, LogLevel};
use crate::peers::message::PeerMessage;
use crate::replica::Caller;
use crate::track::message::TrackMessage;
use crate::track::origin::Replicated;
use cluster::topology::NodeId;
use model::mutation::MutationView;
use model::time::Now;
use model::track::{IdSet, Intervals, LogId, MutationId};
use std::sync::Arc;
use storage::StoreError;
use storage::held::{Members, Statement};

/// Bytes of mutations that one shard sends for one question: the rest is asked for anew.
const SERVED_BYTES: usize = 8 << 20;
/// Questions of others that a shard reads its journal for at once.
const MAX_SERVING: usize = 16;

/// What another node is being sent.
#[derive(Debug)]
pub(super) struct Serving {
    to: NodeId,
    members: Members,
    /// What it lacks still.
    left: IdSet,
    bytes: usize,
}

impl Serving {
    /// Whether the same is wanted by the same node for the same group.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.to == other.to
            && self.members == other.members
            && (other.left.covers(&self.left) || self.left.covers(&other.left))
    }
}

impl Shard {
    /// Another node asks for mutations: each shard sends what it has.
    pub(super) fn on_pull(
        &mut self,
        from: NodeId,
        members: &Members,
        (log, sequences): (LogId, &Intervals),
        now: Now,
        out: &mut Effects,
    ) {
        let mut wanted = IdSet::default();
        wanted.insert_all(log, sequences);
        let wanted = Arc::new(wanted);
        let serve = || TrackNote::Serve {
            to: from,
            members: members.clone(),
            wanted: wanted.clone(),
        };
        self.tell_all(serve, now, out);
    }

    /// Sends another node what this shard's journal has of what it lacks.
    pub(super) fn serve_journal(
        &mut self,
        to: NodeId,
        members: Members,
        wanted: &IdSet,
        now: Now,
        out: &mut Effects,
    ) {
        if self.tracking.serving.len() >= MAX_SERVING {
            return self.send_records(to, members, Vec::new(), (IdSet::default(), true), out);
        }
        let mut gone = self.replica.store.unjournaled_of(wanted);
        let to_others = self.replica.store.held().owed.values();
        to_others.for_each(|ids| gone.union(&wanted.both(ids)));
        if !gone.is_empty() {
            self.send_records(to, members.clone(), Vec::new(), (gone.clone(), false), out);
        }
        // Of what there is nothing to, nothing stands in the log but that.
        let empty = self.replica.store.held().empty_of(wanted);
        if !empty.is_empty() {
            let ids = empty.intervals().flat_map(|(log, first, last)| {
                (first..=last).map(move |sequence| MutationId { log, sequence })
            });
            let mutations = ids.map(|id| (id, Vec::new())).collect();
            self.send_records(to, members.clone(), mutations, Default::default(), out);
        }
        let serving = Serving {
            to,
            members,
            left: wanted.minus(&gone).minus(&empty),
            bytes: 0,
        };
        self.read_journal(serving, now, out);
    }

    /// Reads what is to be sent, when it may be.
    pub(super) fn read_journal(&mut self, serving: Serving, now: Now, out: &mut Effects) {
        let Some(serving) = self.tracking.handoff.admit(serving, now.boot) else {
            return;
        };
        self.tracking.next_serving += 1;
        let number = self.tracking.next_serving;
        let begun = self.replica.store.fetch(&serving.left, number, &mut out.io);
        if begun {
            self.tracking.serving.insert(number, serving);
        }
    }

    /// What was read of the journal is sent.
    pub(super) fn go_on_serving(&mut self, now: Now, out: &mut Effects) {
        for fetched in self.replica.store.take_fetched() {
            let Some(mut serving) = self.tracking.serving.remove(&fetched.ticket) else {
                continue;
            };
            let mut seen = fetched.gone.clone();
            let mut bytes = 0;
            for (id, mutation) in &fetched.mutations {
                seen.insert(*id);
                bytes += mutation.len();
            }
            serving.bytes += bytes;
            self.metrics.catch_up_sent_bytes += bytes as u64;
            self.tracking.handoff.sent(bytes, now.boot);
            serving.left = serving.left.minus(&seen);
            let cut = serving.bytes >= SERVED_BYTES && !serving.left.is_empty();
            let (to, members) = (serving.to, serving.members.clone());
            self.send_records(to, members, fetched.mutations, (fetched.gone, cut), out);
            if !cut && !seen.is_empty() {
                self.read_journal(serving, now, out);
            }
        }
    }

    fn send_records(
        &self,
        to: NodeId,
        members: Members,
        mutations: Vec<(MutationId, Vec<u8>)>,
        (gone, cut): (IdSet, bool),
        out: &mut Effects,
    ) {
        let message = TrackMessage::Records {
            epoch: self.topology.epoch,
            members,
            mutations,
            gone,
            cut,
        };
        self.say(to, &PeerMessage::Tracked(message), out);
    }

    /// Another node sends what this one lacked.
    pub(super) fn on_records(
        &mut self,
        from: NodeId,
        (epoch, members): (u64, Members),
        mutations: Vec<(MutationId, Vec<u8>)>,
        (gone, cut): (IdSet, bool),
        now: Now,
        out: &mut Effects,
    ) {
        // Tables that this node does not know yet would be taken for ones that were dropped. It is asked for again.
        if epoch > self.topology.epoch {
            return;
        }
        for (id, mutation) in mutations {
            if !(mutation.is_empty() || MutationView::verify(&mutation)) {
                let text = format!("node {} sent what is no mutation", from.0);
                out.log.push((LogLevel::Warn, text));
                continue;
            }
            let mutation = self.not_truncated(mutation, epoch);
            let owner = MutationView::parse(&mutation).map(|view| self.owner(view.token));
            let Some(owner) = owner else {
                self.hold_empty(id, &members);
                continue;
            };
            let replicated = Arc::new(Replicated {
                id,
                members: members.clone(),
                mutation,
            });
            self.note_to(owner, TrackNote::Take(replicated), now, out);
        }
        if cut || !gone.is_empty() {
            let home = self.home_of(group_of(&members));
            let note = TrackNote::Answered {
                from,
                members,
                gone,
                cut,
            };
            self.note_to(home, note, now, out);
        }
    }

    /// What is left of a mutation that another journal holds at an epoch: that node may not have emptied yet what this one has, and
    /// what came after that it would not have taken. Empty if nothing is.
    fn not_truncated(&self, mutation: Vec<u8>, epoch: u64) -> Vec<u8> {
        let topology = &self.topology;
        if mutation.is_empty() || !topology.has_truncations_since(epoch) {
            return mutation;
        }
        let kept = |table| !topology.is_truncated_since(table, epoch);
        MutationView::retain(&mutation, kept).unwrap_or_default()
    }

    /// Whether this shard lacks a mutation and can take it. What a slow holder sends of a log that is settled since, because it came from
    /// another holder, would open that log again.
    fn is_lacking(&mut self, id: MutationId, members: &Members) -> bool {
        let store = &mut self.replica.store;
        let held = store.held();
        let is_known = held.contains(id) || held.is_retired(id.log, members);
        !is_known && store.open_log(id.log, members).is_ok()
    }

    /// All that this node lacked of a mutation was for tables that are empty by now: there is nothing to be had but its id.
    fn hold_empty(&mut self, id: MutationId, members: &Members) {
        self.metrics.truncated_writes += 1;
        if !self.is_lacking(id, members) {
            return;
        }
        let run = Intervals::run(id.sequence, id.sequence);
        // If the log does not take it, it is asked for again.
        let _ = self
            .replica
            .state(&[Statement::Empty(id.log, run)], Caller::Nobody);
    }

    /// A mutation this node lacked, whose token this shard owns, is appended.
    pub(super) fn take_fetched(&mut self, replicated: &Replicated, now: Now) {
        let Replicated {
            id,
            members,
            mutation,
        } = replicated;
        if !self.is_lacking(*id, members) {
            return;
        }
        self.metrics.catch_up_mutations += 1;
        let mut applied = self.replica.apply_unattended(mutation, *id, now);
        if let Err(StoreError::UnknownTable(_)) = applied {
            // A table is gone, and with it what the mutation was for; it may have been for others, too.
            self.metrics.late_mutations += 1;
            let store = &self.replica.store;
            applied = match MutationView::retain(mutation, |table| store.has_table(table)) {
                Some(rest) => self.replica.apply_unattended(&rest, *id, now),
                None => Ok(false),
            };
        }
        match applied {
            // It is for tables alone that are gone, or are not logged any more.
            Ok(false) => {}
            // What there is no room for is fetched again.
            Ok(true) | Err(_) => return,
        }
        let run = Intervals::run(id.sequence, id.sequence);
        let statement = Statement::Empty(id.log, run);
        // If the log does not take it, it is fetched again.
        let _ = self.replica.state(&[statement], Caller::Nobody);
    }
}
