//! Mutations with ids: which the stores say they hold, and what they keep for other replicas.
//!
//! Every write of a run that has an id is compared with its witness: an id is held exactly if the mutation is there. What a store
//! has told of stays held through every crash, whatever the sync mode, and can be read from its journal until it is released.

use super::run::{Check, Run};
use super::tables::key;
use ::model::mutation::MutationView;
use ::model::schema::TableId;
use ::model::track::{IdSet, LogId, MutationId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use storage::held::Members;

/// Nodes whose logs there are; the first is this one.
const NODES: u64 = 3;

/// What a run knows of ids.
#[derive(Debug, Default)]
pub(super) struct Ids {
    /// The writes that have one.
    numbers: BTreeMap<MutationId, u64>,
    /// The last sequence of each log.
    ends: BTreeMap<LogId, u64>,
    /// What stores have said they hold, durably.
    told: IdSet,
    /// Of that, what their journals must still have.
    kept: IdSet,
    /// What nobody asks them for any more.
    released: IdSet,
    /// Up to which write each table was emptied, durably or not.
    emptied: BTreeMap<TableId, u64>,
    boot: u32,
}

impl Run {
    /// An id for the next write, unless it has none.
    pub(super) fn next_id(&mut self, shard: usize) -> Option<MutationId> {
        if self.rng.chance(40) {
            return None;
        }
        let node = 1 + self.rng.below(NODES) as u32;
        let log = LogId::new(node, self.ids.boot, shard as u32).expect("small numbers");
        let members: Members = Arc::new([1, 2, 3]);
        let opened = self
            .node
            .with_store(shard, |store, _, _| store.open_log(log, &members));
        opened.ok()?;
        let end = self.ids.ends.entry(log).or_default();
        // A gap here and there: not everything that is assigned comes.
        *end += 1 + u64::from(self.rng.chance(3));
        let sequence = *end;
        Some(MutationId { log, sequence })
    }

    /// A table is being emptied of all writes before this one.
    pub(super) fn note_emptied(&mut self, table: TableId, before: u64) {
        self.ids.emptied.insert(table, before);
    }

    pub(super) fn note_id(&mut self, id: MutationId, number: u64) {
        self.ids.numbers.insert(id, number);
    }

    /// Takes what the stores say they hold.
    pub(super) fn take_held(&mut self) -> Check {
        for store in &mut self.node.stores {
            let held = store.take_held();
            for (log, first, last) in held.intervals() {
                for sequence in first..=last {
                    let id = MutationId { log, sequence };
                    if !self.ids.numbers.contains_key(&id) {
                        return Err(format!("{id:?} is held and was never assigned"));
                    }
                }
            }
            self.ids.told.union(&held);
            self.ids.kept.union(&held);
        }
        Ok(())
    }

    /// Other replicas hold some of what the journals keep.
    pub(super) fn release(&mut self) {
        let mut released = IdSet::default();
        for (log, first, last) in self.ids.kept.intervals() {
            if self.rng.chance(70) {
                released.insert_interval(log, first, first.max(last - self.rng.below(3).min(last)));
            }
        }
        self.ids.kept = self.ids.kept.minus(&released);
        self.ids.released.union(&released);
        let released = self.ids.released.clone();
        for shard in 0..self.node.stores.len() {
            self.node
                .with_store(shard, |store, _, io| store.release(&released, io));
        }
    }

    /// Everything that was told of and not released can be read, and is what was written.
    pub(super) fn check_journal(&mut self) -> Check {
        let mut left = self.ids.kept.clone();
        for shard in 0..self.node.stores.len() {
            loop {
                let ticket = self.node.ticket();
                let wanted = left.clone();
                let begun = self
                    .node
                    .with_store(shard, |store, _, io| store.fetch(&wanted, ticket, io));
                if !begun {
                    break;
                }
                let fetched = self.node.wait_fetched(ticket);
                if let Some((log, first, _)) = fetched.gone.intervals().next() {
                    return Err(format!("{log:?} {first} is kept and cannot be read"));
                }
                let mut found = IdSet::default();
                for (id, mutation) in &fetched.mutations {
                    let number = self.ids.numbers.get(id).copied().unwrap_or(0);
                    let whole = self.attempted[&number].encode(&self.tables);
                    if !self.is_rest_of(number, &whole, mutation) {
                        return Err(format!("{id:?} was read and is another mutation"));
                    }
                    found.insert(*id);
                }
                left = left.minus(&found);
            }
        }
        match left.intervals().next() {
            None => Ok(()),
            Some((log, first, last)) => Err(format!(
                "{log:?} {first} to {last} was held, was not released and is not in the journal"
            )),
        }
    }

    /// Whether this is that write, whole or without what it had in tables emptied since. Each table for itself: of two that were
    /// being emptied when the node crashed one may have been, durably, and the other not.
    fn is_rest_of(&self, number: u64, whole: &[u8], read: &[u8]) -> bool {
        let Some(view) = MutationView::parse(read) else {
            return read.is_empty()
                && MutationView::retain(whole, |table| !self.was_emptied(table, number)).is_none();
        };
        let left: BTreeSet<TableId> = view.updates().map(|(table, _)| table).collect();
        let rest = MutationView::retain(whole, |table| {
            left.contains(&table) || !self.was_emptied(table, number)
        });
        rest.as_deref() == Some(read)
    }

    /// Whether this table was being emptied of that write.
    fn was_emptied(&self, table: TableId, number: u64) -> bool {
        let before = self.ids.emptied.get(&table);
        before.is_some_and(|before| number < *before)
    }

    /// After a start with as many shards as before, or others: what is held is what is there, and everything that was told of.
    pub(super) fn check_held(&mut self, present: &BTreeSet<u64>, same_shards: bool) -> Check {
        let mut held = IdSet::default();
        for store in &self.node.stores {
            for (log, known) in &store.held().logs {
                held.insert_all(*log, &known.sequences);
                if known.members.as_ref() != [1, 2, 3] {
                    return Err(format!("{log:?} is for {:?}", known.members));
                }
            }
        }
        if let Some((log, first, _)) = self.ids.told.minus(&held).intervals().next() {
            return Err(format!("{log:?} {first} was told of and is not held"));
        }
        for (id, number) in &self.ids.numbers {
            let is_there = present.contains(number);
            if held.contains(*id) != is_there {
                let key = key(self.attempted[number].key).token;
                return Err(format!(
                    "{id:?} (write {number}, {key:?}) is there: {is_there}"
                ));
            }
        }
        self.ids.told = held.clone();
        if !same_shards {
            // What journals kept is nobody's after a change of the number of shards.
            self.ids.released = held.clone();
        }
        self.ids.kept = held.minus(&self.ids.released);
        self.ids.numbers.retain(|id, _| held.contains(*id));
        self.ids.boot += 1;
        self.ids.ends.clear();
        self.check_journal()
    }
}
