//! Replay: the records of a segment become rows of memtables.
//!
//! First every record of a part of a segment is checked, once, and its place noted by its token; then they are applied in the
//! order of the memtables, which meets neighbours in the processor's cache where the log's order would miss it for every
//! record. Mutations are idempotent and merge in any order, so that changes nothing; those of one partition keep theirs.
//! Where the next part begins is known once this one is checked: it is read while this one is applied.

use super::{Recovery, left};
use crate::commitlog::{
    Kind, Position, Record, SegmentImage, SegmentIndex, Verdict, clock_body, tracked_body,
};
use crate::config::OnRot;
use crate::error::StoreError;
use crate::held::{Held, Statement};
use crate::memtable::Coming;
use crate::store::{Phase, Store};
use model::hybrid_clock::HybridClock;
use model::key::Token;
use model::mutation::MutationView;
use model::time::BootNanos;
use model::track::MutationId;

/// Whether a record was in no SSTable yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needed {
    Yes,
    No,
}

/// A part of a segment, read.
#[derive(Debug)]
pub(super) struct Part {
    /// Where it begins.
    pub(super) base: u32,
    /// How many bytes were asked for; there are less if the file ends before.
    pub(super) asked: u32,
    pub(super) bytes: Vec<u8>,
}

impl Part {
    /// Whether there is nothing more to be read of a segment that is known to go so far.
    pub(super) fn is_last(&self, known_end: Option<u32>) -> bool {
        let is_short = self.bytes.len() < self.asked as usize;
        is_short || known_end.is_none_or(|end| self.base + self.asked >= end)
    }
}

/// A segment being replayed.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) image: SegmentImage,
    pub(super) shard: u16,
    /// How far its records are checked; once they are, where it ends.
    pub(super) offset: u32,
    pub(super) known_end: Option<u32>,
    /// Below this it was synced, whatever is there now.
    pub(super) synced: u32,
    /// Tokens of its mutations and where they stand; once they are being applied, those left, the last of them next.
    pub(super) order: Vec<(Token, u32)>,
    /// Path of a later segment that is not there. Segments are freed from the oldest on: if anything in this one is needed,
    /// so was that one.
    pub(super) missing: Option<String>,
    /// Whether all records of the part that is here are checked: then they are being applied.
    pub(super) is_read: bool,
    /// Whether there are none beyond.
    pub(super) is_ended: bool,
    /// Whether the part that is here goes to the end of the file, or as far as the segment is known to go.
    pub(super) is_last: bool,
    /// The next part.
    pub(super) next: Option<Part>,
    /// Whether its mutations may be in no SSTable yet.
    pub(super) needed: Needed,
    /// Where its mutations with ids stand.
    pub(super) index: SegmentIndex,
    /// What was held up to here, if this is the newest segment: its checkpoint has what earlier ones say.
    pub(super) held: Option<Held>,
}

impl Replay {
    /// A segment of which nothing is checked.
    pub(super) fn new(
        (image, is_last): (SegmentImage, bool),
        shard: u16,
        known_end: Option<u32>,
        synced: u32,
    ) -> Self {
        Self {
            image,
            shard,
            offset: SegmentImage::START,
            known_end,
            synced,
            order: Vec::new(),
            missing: None,
            is_read: false,
            is_ended: false,
            is_last,
            next: None,
            needed: Needed::Yes,
            index: SegmentIndex::default(),
            held: None,
        }
    }

    /// The part that is to be read next, once that is known: where it begins, and how long it is.
    pub(super) fn wanted(&self, part_bytes: u32) -> Option<(u32, u32)> {
        let is_wanted = self.is_read && !self.is_last && self.next.is_none();
        let left = self.known_end.filter(|_| is_wanted)? - self.offset;
        // No record fits, or there is none: that is judged with all that follows.
        let stuck = self.offset == self.image.base();
        let length = if stuck { left } else { left.min(part_bytes) };
        Some((self.offset, length))
    }

    fn newer(&self, at: u32) -> StoreError {
        StoreError::NewerRecord {
            file: self.image.path().to_owned(),
            offset: u64::from(at),
        }
    }

    fn malformed(&self, at: u32) -> StoreError {
        StoreError::corrupt(self.image.path(), u64::from(at), "the record is malformed")
    }

    /// The mutation noted at an offset, its id, and the bytes of its record.
    fn noted(&self, at: u32) -> Option<(Option<MutationId>, MutationView<'_>, usize)> {
        let (_, record) = self.image.read_again(at)?;
        let (id, view) = mutation(&record)?;
        Some((id, view, record.bytes))
    }

    /// Checks up to `budget` bytes of records and notes the mutations among them, up to the end of the part that is here. Returns
    /// how many records were skipped because they were rotten.
    fn note(&mut self, budget: u32, on_rot: OnRot, clock: &HybridClock) -> Result<u64, StoreError> {
        let (start, mut skipped) = (self.offset, 0);
        while !self.is_read && !self.is_ended && self.offset - start < budget {
            let at = self.offset;
            let ended = self.known_end == Some(at);
            if let Some((next, record)) = self.image.read(at).filter(|_| !ended) {
                match record.kind {
                    Kind::Mutation | Kind::Tracked => {
                        let (id, view) = mutation(&record).ok_or_else(|| self.malformed(at))?;
                        let token = view.token;
                        if let Some(id) = id {
                            self.index.note(id, at, next);
                            if let Some(held) = &mut self.held {
                                held.insert(id);
                            }
                        }
                        if self.needed == Needed::Yes {
                            self.order.push((token, at));
                        }
                    }
                    Kind::Statement => {
                        let mut body = record.body;
                        while !body.is_empty() {
                            let statement = Statement::decode(&mut body);
                            let statement = statement.ok_or_else(|| self.newer(at))?;
                            if let Some(held) = &mut self.held {
                                held.take(&statement);
                            }
                        }
                    }
                    Kind::Clock => {
                        let given = clock_body(record.body);
                        clock.observe(given.ok_or_else(|| self.malformed(at))?);
                    }
                    Kind::Checkpoint | Kind::Seal => {}
                    Kind::Newer => return Err(self.newer(at)),
                }
                self.offset = next;
                continue;
            }
            if !self.is_last {
                self.is_read = true;
                break;
            }
            match self.image.judge(at, self.known_end, self.synced) {
                Verdict::End => self.is_ended = true,
                Verdict::Rot { next } if on_rot == OnRot::Skip || self.needed == Needed::No => {
                    skipped += 1;
                    match next {
                        Some(next) => self.offset = next,
                        None => self.is_ended = true,
                    }
                }
                Verdict::Rot { .. } => {
                    let what = "a record that was synced is not what was written";
                    let path = self.image.path();
                    return Err(StoreError::corrupt(path, u64::from(at), what));
                }
            }
        }
        self.is_read |= self.is_ended;
        if self.is_read {
            self.order.sort_unstable_by(|one, other| other.cmp(one));
        }
        Ok(skipped)
    }
}

/// The mutation of a record, and its id.
fn mutation<'a>(record: &Record<'a>) -> Option<(Option<MutationId>, MutationView<'a>)> {
    let (id, body) = match record.kind {
        Kind::Tracked => tracked_body(record.body).map(|(id, body)| (Some(id), body))?,
        _ => (None, record.body),
    };
    Some((id, MutationView::parse(body)?))
}

impl Store {
    /// Replays up to `budget` bytes; returns whether there is more in the segment.
    pub(super) fn replay(&mut self, budget: usize) -> Result<bool, StoreError> {
        let Some(mut replay) = self.recovery().and_then(|recovery| recovery.replay.take()) else {
            return Ok(false);
        };
        if replay.is_read {
            self.apply_noted(&mut replay, budget)?;
        } else {
            self.skipped_records +=
                replay.note(budget as u32, self.config.on_rot, &self.config.clock)?;
        }
        let is_applied = replay.is_read && replay.order.is_empty();
        if is_applied && let Some(part) = replay.next.take() {
            replay.is_last = part.is_last(replay.known_end);
            replay.is_read = false;
            let buffer = replay.image.go_on(part.base, part.bytes);
            if let Some(recovery) = self.recovery() {
                recovery.buffer = buffer;
                recovery.replay = Some(replay);
            }
        } else if is_applied && replay.is_ended {
            if let Some(recovery) = self.recovery() {
                if let Some(held) = &replay.held {
                    recovery.held.union(held);
                }
                let sealed = left(replay.offset, replay.image.salt(), replay.index);
                recovery.found.insert(replay.image.number(), sealed);
                recovery.buffer = replay.image.into_bytes();
            }
        } else if let Some(recovery) = self.recovery() {
            recovery.replay = Some(replay);
            // The next part is being read.
            return Ok(!is_applied);
        }
        Ok(true)
    }

    fn apply_noted(&mut self, replay: &mut Replay, budget: usize) -> Result<(), StoreError> {
        let mut bytes = 0;
        while bytes < budget
            && let Some((_, at)) = replay.order.pop()
        {
            let noted = replay.noted(at);
            let (id, view, length) = noted.ok_or_else(|| replay.malformed(at))?;
            bytes += length;
            let position = replay.image.position(at);
            let needed = self.replay_mutation(&view, id, replay.shard, position);
            if needed == Needed::Yes
                && let Some(path) = replay.missing.take()
            {
                self.segment_lost(&path)?;
            }
        }
        Ok(())
    }

    /// A segment that was needed is not there.
    fn segment_lost(&mut self, path: &str) -> Result<(), StoreError> {
        let error = StoreError::corrupt(path, 0, "the segment is missing");
        if self.config.on_rot == OnRot::Refuse {
            return Err(error);
        }
        self.skipped_records += 1;
        self.notices.push(format!("{error}: going on without it"));
        Ok(())
    }

    /// Applies a mutation of a shard's log to the tables whose SSTables do not have it, if its token is this shard's.
    fn replay_mutation(
        &mut self,
        view: &MutationView<'_>,
        id: Option<MutationId>,
        shard: u16,
        position: Position,
    ) -> Needed {
        let mut needed = Needed::No;
        let Phase::Recovering(recovery) = &self.phase else {
            return needed;
        };
        let Recovery {
            places, flushed, ..
        } = &**recovery;
        let places = places.as_ref();
        if places.is_some_and(|places| !places.contains(view.token)) {
            return needed;
        }
        for (table, update) in view.updates() {
            let flushed = flushed.get(&(shard, table));
            if flushed.is_some_and(|flushed| position < *flushed) {
                continue;
            }
            let Some(state) = self.tables.get_mut(&table) else {
                self.skipped_records += 1;
                continue;
            };
            let before = state.active.bytes();
            state
                .active
                .apply(view.token, view.key, &update, Coming::InOrder);
            // Positions in another generation's log mean nothing in this one's.
            state.active.note(
                Some(position).filter(|_| places.is_none()),
                id,
                BootNanos(0),
            );
            self.memtable_bytes += state.active.bytes() - before;
            needed = Needed::Yes;
        }
        needed
    }
}
