//! Recovery of the log: segments are read, newest first, and their records replayed into memtables.

use super::leftovers::is_junk;
use super::{Replay, Step, read_whole};
use crate::commitlog::{Kind, Position, SegmentImage, SegmentName, Verdict, tracked_body};
use crate::config::OnRot;
use crate::error::StoreError;
use crate::io::Purpose;
use crate::store::{Phase, Store};
use model::env::{Entry, FileId, IoQueue, IoRequest, OpenMode};
use model::mutation::MutationView;
use model::time::Now;
use model::track::MutationId;
use std::collections::BTreeSet;

impl Store {
    pub(super) fn log_listed(&mut self, entries: Vec<Entry>, io: &mut IoQueue) {
        let config = self.config.clone();
        let Some(recovery) = self.recovery() else {
            return;
        };
        let mut chain = Vec::new();
        for entry in entries {
            match SegmentName::parse(&entry.name) {
                Some(name)
                    if name.generation == recovery.generation
                        && recovery.shards.contains(&name.shard) =>
                {
                    recovery.segments.push(name);
                    recovery.lengths.insert(name, entry.length);
                }
                _ if is_junk(&entry.name, &config, &BTreeSet::new()) => {
                    let path = format!("{}/{}", config.commitlog_directory, entry.name);
                    chain.push(IoRequest::Remove { path });
                }
                _ => {}
            }
        }
        recovery.segments.sort_unstable();
        if !chain.is_empty() {
            chain.push(IoRequest::SyncDirectory {
                path: config.commitlog_directory,
            });
            self.recovery_submit(Step::Clean, IoRequest::Chain(chain), io);
        }
    }

    /// Begins reading the next segment; `false` if there is none.
    pub(super) fn next_segment(&mut self, io: &mut IoQueue) -> bool {
        let directory = self.config.commitlog_directory.clone();
        let Some(recovery) = self.recovery() else {
            return false;
        };
        while let Some(name) = recovery.segments.pop() {
            let from = recovery.replay_from.get(&name.shard);
            if from.is_some_and(|from| name.number < from.segment) {
                // Flushed long ago: it is only to be removed.
                recovery.found.insert(name.number, SegmentImage::START);
                continue;
            }
            let ends = recovery.ends.get(&name.shard);
            let known_end = ends.and_then(|ends| ends.get(&name.number));
            // Beyond a known end there is nothing. Where it is not known, a mark anywhere in the file may tell rot from
            // a torn tail.
            let (mode, length) = match known_end {
                Some(&end) => (OpenMode::Read, u64::from(end)),
                None => (OpenMode::Write, recovery.lengths[&name]),
            };
            let path = name.path(&directory);
            let file = self.requests.file();
            let request = read_whole(file, &path, mode, length);
            self.recovery_submit(Step::Segment { name, path, file }, request, io);
            return true;
        }
        false
    }

    pub(super) fn segment_read(
        &mut self,
        name: SegmentName,
        path: String,
        file: FileId,
        bytes: Vec<u8>,
        io: &mut IoQueue,
    ) -> Result<(), StoreError> {
        let skip = self.config.on_rot == OnRot::Skip;
        let checked = SegmentImage::new(path, name, bytes)
            .and_then(|image| image.checkpoint().map(|checkpoint| (image, checkpoint)));
        let (image, checkpoint) = match checked {
            Ok(checked) => checked,
            Err(StoreError::Corrupt { .. }) if skip => {
                self.skipped_records += 1;
                self.requests
                    .submit(io, Purpose::Nobody, IoRequest::Close { file });
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let Some(recovery) = self.recovery() else {
            return Ok(());
        };
        let ends = recovery.ends.entry(name.shard).or_default();
        let known_end = ends.get(&name.number).copied();
        if let Some(checkpoint) = checkpoint {
            for (number, end) in checkpoint.ends {
                ends.entry(number).or_insert(end);
            }
            recovery
                .replay_from
                .entry(name.shard)
                .or_insert(checkpoint.replay_from);
        }
        let offset = SegmentImage::START;
        let synced = recovery.synced.get(&(name.shard, name.number));
        let synced = synced.copied().unwrap_or(0);
        let replay = Replay {
            image,
            shard: name.shard,
            offset,
            known_end,
            synced,
            file,
        };
        if known_end.is_some() {
            recovery.replay = Some(replay);
            return Ok(());
        }
        // A process that was killed, or whose sync failed, leaves records that the system shows and the disk may not
        // hold, and a sync alone would say nothing of those it gave up on. They are written again before anything
        // builds on them.
        let data = replay.image.readable();
        let chain = vec![
            IoRequest::Write {
                file,
                offset: 0,
                data,
            },
            IoRequest::Sync { file },
        ];
        self.recovery_submit(Step::Rewrite(replay), IoRequest::Chain(chain), io);
        Ok(())
    }

    /// A share of recovery's work: replaying records, flushing what does not fit in memory.
    pub(in crate::store) fn recovery_work(
        &mut self,
        now: Now,
        budget: usize,
        io: &mut IoQueue,
    ) -> bool {
        self.freeze_for_recovery();
        self.start_flushes(now, io);
        let mut more = self.run_jobs(now, budget, io);
        self.write_manifests(now, io);
        if self.memtable_bytes <= self.config.memtable_bytes {
            match self.replay(budget, io) {
                Ok(working) => more |= working,
                Err(error) => {
                    self.fail_recovery(error);
                    return false;
                }
            }
        }
        self.recovery_advance(now, io);
        more
    }

    /// Flushes half-way when the log holds more than the memtables may.
    pub(super) fn freeze_for_recovery(&mut self) {
        while self.memtable_bytes - self.frozen_bytes > self.config.memtable_bytes / 2 {
            let largest = self
                .tables
                .iter()
                .max_by_key(|(_, state)| state.active.bytes());
            let Some((&id, _)) = largest else { return };
            self.freeze(id, None);
        }
    }

    /// Replays up to `budget` bytes; returns whether there is more in the segment.
    pub(super) fn replay(&mut self, budget: usize, io: &mut IoQueue) -> Result<bool, StoreError> {
        let Phase::Recovering(recovery) = &mut self.phase else {
            return Ok(false);
        };
        let Some(mut replay) = recovery.replay.take() else {
            return Ok(false);
        };
        let start = replay.offset;
        while (replay.offset - start) < budget as u32 {
            let at = replay.offset;
            let ended = replay.known_end == Some(at);
            let Some((next, record)) = replay.image.read(at).filter(|_| !ended) else {
                match replay.image.judge(at, replay.known_end, replay.synced) {
                    Verdict::Rot { next } if self.config.on_rot == OnRot::Skip => {
                        self.skipped_records += 1;
                        match next {
                            Some(next) => replay.offset = next,
                            None => return Ok(self.segment_replayed(&replay, io)),
                        }
                        continue;
                    }
                    Verdict::Rot { .. } => {
                        let what = "a record that was synced is not what was written";
                        return Err(StoreError::corrupt(
                            replay.image.path(),
                            u64::from(at),
                            what,
                        ));
                    }
                    Verdict::End => return Ok(self.segment_replayed(&replay, io)),
                }
            };
            let malformed = || {
                StoreError::corrupt(
                    replay.image.path(),
                    u64::from(at),
                    "the record is malformed",
                )
            };
            let (id, body) = match record.kind {
                Kind::Mutation => (None, record.body),
                Kind::Tracked => {
                    let (id, body) = tracked_body(record.body).ok_or_else(malformed)?;
                    (Some(id), body)
                }
                Kind::Checkpoint | Kind::Seal => {
                    replay.offset = next;
                    continue;
                }
            };
            let view = MutationView::parse(body).ok_or_else(malformed)?;
            self.replay_mutation(&view, id, replay.shard, replay.image.position(at));
            replay.offset = next;
        }
        if let Some(recovery) = self.recovery() {
            recovery.replay = Some(replay);
        }
        Ok(true)
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
        let places = recovery.places.as_ref();
        if places.is_some_and(|places| !places.contains(view.token)) {
            return;
        }
        for (table, update) in view.updates() {
            let flushed = recovery.flushed.get(&(shard, table));
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

    /// Notes where a segment ended.
    pub(super) fn segment_replayed(&mut self, replay: &Replay, io: &mut IoQueue) -> bool {
        if let Some(recovery) = self.recovery() {
            recovery.found.insert(replay.image.number(), replay.offset);
        }
        self.requests
            .submit(io, Purpose::Nobody, IoRequest::Close { file: replay.file });
        true
    }
}
