//! Replay: the records of a segment become rows of memtables.
//!
//! First every record is checked and its place noted by its token; then they are applied in the order of the memtables,
//! which meets neighbours in the processor's cache where the log's order would miss it for every record. Mutations are
//! idempotent and merge in any order, so that changes nothing; those of one partition keep theirs.

use super::Recovery;
use crate::commitlog::{Kind, Position, SegmentImage, Verdict, clock_body, tracked_body};
use crate::config::OnRot;
use crate::error::StoreError;
use crate::io::Purpose;
use crate::store::{Phase, Store};
use model::env::{FileId, IoQueue, IoRequest};
use model::hybrid_clock::HybridClock;
use model::key::Token;
use model::mutation::MutationView;
use model::track::MutationId;

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
    pub(super) file: FileId,
    /// Tokens of its mutations and where they stand; once all are noted, those left, the last of them next.
    pub(super) order: Vec<(Token, u32)>,
    /// Whether all are noted.
    pub(super) is_read: bool,
}

impl Replay {
    fn malformed(&self, at: u32) -> StoreError {
        StoreError::corrupt(self.image.path(), u64::from(at), "the record is malformed")
    }

    /// The mutation at an offset, its id, and the bytes of its record.
    fn mutation(&self, at: u32) -> Option<(Option<MutationId>, MutationView<'_>, usize)> {
        let (_, record) = self.image.read(at)?;
        let (id, body) = if record.kind == Kind::Tracked {
            let (id, body) = tracked_body(record.body)?;
            (Some(id), body)
        } else {
            (None, record.body)
        };
        Some((id, MutationView::parse(body)?, record.bytes))
    }

    /// Checks up to `budget` bytes of records and notes the mutations among them. Returns how many records were skipped
    /// because they were rotten.
    fn note(&mut self, budget: u32, on_rot: OnRot, clock: &HybridClock) -> Result<u64, StoreError> {
        let (start, mut skipped) = (self.offset, 0);
        while !self.is_read && self.offset - start < budget {
            let at = self.offset;
            let ended = self.known_end == Some(at);
            if let Some((next, record)) = self.image.read(at).filter(|_| !ended) {
                match record.kind {
                    Kind::Mutation | Kind::Tracked => {
                        let mutation = self.mutation(at);
                        let (_, view, _) = mutation.ok_or_else(|| self.malformed(at))?;
                        self.order.push((view.token, at));
                    }
                    Kind::Clock => {
                        let given = clock_body(record.body);
                        clock.observe(given.ok_or_else(|| self.malformed(at))?);
                    }
                    Kind::Checkpoint | Kind::Seal => {}
                }
                self.offset = next;
                continue;
            }
            match self.image.judge(at, self.known_end, self.synced) {
                Verdict::End => self.is_read = true,
                Verdict::Rot { next } if on_rot == OnRot::Skip => {
                    skipped += 1;
                    match next {
                        Some(next) => self.offset = next,
                        None => self.is_read = true,
                    }
                }
                Verdict::Rot { .. } => {
                    let what = "a record that was synced is not what was written";
                    let path = self.image.path();
                    return Err(StoreError::corrupt(path, u64::from(at), what));
                }
            }
        }
        if self.is_read {
            self.order.sort_unstable_by(|one, other| other.cmp(one));
        }
        Ok(skipped)
    }
}

impl Store {
    /// Replays up to `budget` bytes; returns whether there is more in the segment.
    pub(super) fn replay(&mut self, budget: usize, io: &mut IoQueue) -> Result<bool, StoreError> {
        let Some(mut replay) = self.recovery().and_then(|recovery| recovery.replay.take()) else {
            return Ok(false);
        };
        if replay.is_read {
            self.apply_noted(&mut replay, budget)?;
        } else {
            self.skipped_records +=
                replay.note(budget as u32, self.config.on_rot, &self.config.clock)?;
        }
        if replay.is_read && replay.order.is_empty() {
            let close = IoRequest::Close { file: replay.file };
            self.requests.submit(io, Purpose::Nobody, close);
            if let Some(recovery) = self.recovery() {
                recovery.found.insert(replay.image.number(), replay.offset);
            }
        } else if let Some(recovery) = self.recovery() {
            recovery.replay = Some(replay);
        }
        Ok(true)
    }

    fn apply_noted(&mut self, replay: &mut Replay, budget: usize) -> Result<(), StoreError> {
        let mut bytes = 0;
        while bytes < budget
            && let Some((_, at)) = replay.order.pop()
        {
            let mutation = replay.mutation(at);
            let (id, view, length) = mutation.ok_or_else(|| replay.malformed(at))?;
            bytes += length;
            self.replay_mutation(&view, id, replay.shard, replay.image.position(at));
        }
        Ok(())
    }

    /// Applies a mutation of a shard's log to the tables whose SSTables do not have it, if its token is this shard's.
    fn replay_mutation(
        &mut self,
        view: &MutationView<'_>,
        id: Option<MutationId>,
        shard: u16,
        position: Position,
    ) {
        let Phase::Recovering(recovery) = &self.phase else {
            return;
        };
        let Recovery {
            places, flushed, ..
        } = &**recovery;
        let places = places.as_ref();
        if places.is_some_and(|places| !places.contains(view.token)) {
            return;
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
            state.active.apply(view.token, view.key, &update);
            // Positions in another generation's log mean nothing in this one's.
            state
                .active
                .note(Some(position).filter(|_| places.is_none()), id);
            self.memtable_bytes += state.active.bytes() - before;
        }
    }
}
