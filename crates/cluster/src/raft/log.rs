//! The entries a member holds: a snapshot of all that was forgotten, and everything after it.
//!
//! What must stay true: entries follow the snapshot and each other without a gap; terms never fall; `voters` is what the last
//! entry that names voters says, or the snapshot.

use super::message::{Entry, Payload, Snapshot};
use super::restore::is_sound_entry;
use super::{Index, Position, Term};
use crate::topology::NodeId;
use std::collections::{BTreeSet, VecDeque};

/// A member's log.
#[derive(Debug, Default)]
pub(super) struct Log {
    snapshot: Snapshot,
    entries: VecDeque<Entry>,
    voters: BTreeSet<NodeId>,
    voters_index: Index,
    /// Entries up to this are durable.
    persisted: Index,
    /// Records that are being made durable, and up to which entry the log is once they are.
    unpersisted: VecDeque<(Position, Index)>,
}

impl Log {
    /// What stands for the entries that were forgotten.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The last entry's place.
    pub fn last(&self) -> Index {
        self.snapshot.index + self.entries.len() as Index
    }

    /// The last entry's term.
    pub fn last_term(&self) -> Term {
        self.entries
            .back()
            .map_or(self.snapshot.term, |entry| entry.term)
    }

    /// Who votes.
    pub fn voters(&self) -> &BTreeSet<NodeId> {
        &self.voters
    }

    /// The entry that said so.
    pub fn voters_index(&self) -> Index {
        self.voters_index
    }

    /// Who voted before the last entry that says who votes.
    pub fn earlier_voters(&self) -> &BTreeSet<NodeId> {
        let mut named = self
            .entries
            .iter()
            .rev()
            .filter_map(|entry| match &entry.payload {
                Payload::Voters(voters) => Some(voters),
                Payload::Noop | Payload::Command(_) => None,
            });
        named.nth(1).unwrap_or(&self.snapshot.voters)
    }

    /// Entries up to this are durable.
    pub fn persisted(&self) -> Index {
        self.persisted
    }

    /// The term of the entry at a place; `None` if it was forgotten or never was.
    pub fn term(&self, index: Index) -> Option<Term> {
        if index == self.snapshot.index {
            return Some(self.snapshot.term);
        }
        self.entry(index).map(|entry| entry.term)
    }

    /// The entry at a place.
    pub fn entry(&self, index: Index) -> Option<&Entry> {
        let offset = index.checked_sub(self.snapshot.index + 1)?;
        self.entries.get(usize::try_from(offset).ok()?)
    }

    /// All entries after the snapshot.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Entries from one place to another, both included, until there are so many bytes; at least one, if there is any.
    pub fn slice(&self, from: Index, through: Index, bytes: usize) -> Vec<Entry> {
        let mut slice: Vec<Entry> = Vec::new();
        let mut taken = 0;
        for index in from..=through {
            let Some(entry) = self.entry(index) else {
                break;
            };
            taken += entry.payload.bytes();
            if taken > bytes && !slice.is_empty() {
                break;
            }
            slice.push(entry.clone());
        }
        slice
    }

    /// The first place whose entry has the same term as the one at `index`.
    pub fn first_of_term(&self, index: Index) -> Index {
        let Some(term) = self.term(index) else {
            return index;
        };
        let mut first = index;
        while first > self.snapshot.index + 1 && self.term(first - 1) == Some(term) {
            first -= 1;
        }
        first
    }

    /// Whether an entry can be put at its place: it leaves no gap, its term is not before that of the entry before it, and it is
    /// one that members write.
    pub fn takes(&self, entry: &Entry) -> bool {
        let before = entry
            .index
            .checked_sub(1)
            .and_then(|before| self.term(before));
        before.is_some_and(|before| entry.term >= before) && is_sound_entry(entry)
    }

    /// Takes an entry in whose record is durable already: over whatever is at its place and after.
    pub fn put(&mut self, entry: Entry) {
        self.cut(entry.index);
        assert_eq!(entry.index, self.last() + 1, "entries leave no gap");
        assert!(entry.term >= self.last_term(), "terms never fall");
        if let Payload::Voters(voters) = &entry.payload {
            self.voters.clone_from(voters);
            self.voters_index = entry.index;
        }
        self.entries.push_back(entry);
    }

    /// The same, with the record that makes it durable.
    pub fn append(&mut self, entry: Entry, record: Position) {
        self.put(entry);
        self.unpersisted.push_back((record, self.last()));
    }

    /// Drops the entries from a place on.
    fn cut(&mut self, from: Index) {
        if from > self.last() {
            return;
        }
        assert!(from > self.snapshot.index, "a snapshot is committed");
        self.entries
            .truncate((from - self.snapshot.index - 1) as usize);
        self.persisted = self.persisted.min(from - 1);
        for (_, through) in &mut self.unpersisted {
            *through = (*through).min(from - 1);
        }
        if self.voters_index >= from {
            self.find_voters();
        }
    }

    fn find_voters(&mut self) {
        let named = self.entries.iter().rev().find_map(|entry| {
            if let Payload::Voters(voters) = &entry.payload {
                Some((entry.index, voters.clone()))
            } else {
                None
            }
        });
        (self.voters_index, self.voters) =
            named.unwrap_or_else(|| (self.snapshot.index, self.snapshot.voters.clone()));
    }

    /// Begins with another snapshot. Entries after it stay if the log holds the one it ends with.
    pub fn install(&mut self, snapshot: Snapshot) {
        if self.term(snapshot.index) == Some(snapshot.term) {
            let forgotten = (snapshot.index - self.snapshot.index) as usize;
            self.entries.drain(..forgotten);
        } else {
            self.entries.clear();
            self.persisted = self.persisted.min(self.snapshot.index);
            for (_, through) in &mut self.unpersisted {
                *through = (*through).min(self.snapshot.index);
            }
        }
        self.snapshot = snapshot;
        self.find_voters();
    }

    /// Puts a snapshot in the place of the entries up to `through`.
    pub fn compact(&mut self, through: Index, state: Vec<u8>) {
        let snapshot = self.snapshot_at(through, state);
        self.install(snapshot);
    }

    /// A snapshot that stands for the entries up to `through`.
    pub fn snapshot_at(&self, through: Index, state: Vec<u8>) -> Snapshot {
        let term = self.term(through).expect("an entry that is held");
        let named = self
            .entries
            .iter()
            .rev()
            .find_map(|entry| match &entry.payload {
                Payload::Voters(voters) if entry.index <= through => Some(voters.clone()),
                _ => None,
            });
        let voters = named.unwrap_or_else(|| self.snapshot.voters.clone());
        Snapshot {
            index: through,
            term,
            voters,
            state,
        }
    }

    /// The whole log is being written anew by this record.
    pub fn rewritten(&mut self, record: Position) {
        self.unpersisted.push_back((record, self.last()));
    }

    /// Everything up to a record is durable.
    pub fn on_persisted(&mut self, position: Position) {
        while let Some(&(record, through)) = self.unpersisted.front()
            && record <= position
        {
            self.persisted = self.persisted.max(through);
            self.unpersisted.pop_front();
        }
    }

    /// All was read from the disk.
    pub fn all_persisted(&mut self) {
        self.persisted = self.last();
    }
}
