//! Recovery of the log: segments are read, newest first, a part ahead of the one that is replayed. Memory that is touched for the
//! first time costs as much as replaying what is read into it, so parts are a fraction of a segment; only where it is not known how
//! far a segment goes it is read whole.

use super::leftovers::is_junk;
use super::replay::Needed;
use super::{Part, Recovery, Replay, Step, left};
use crate::commitlog::{Checkpoint, SegmentImage, SegmentIndex, SegmentName};
use crate::config::OnRot;
use crate::error::StoreError;
use crate::held::Held;
use crate::io::Purpose;
use crate::store::Store;
use model::env::{Entry, FileId, IoQueue, IoRequest, OpenMode};
use model::time::Now;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Parts of a segment that it is read in.
const PARTS: usize = 4;

impl Recovery {
    /// Takes what a segment says of those before it: the newest is right. Returns what was held when it was begun if it
    /// is the newest: what it says of ids itself comes after that, and what others say before.
    fn learn(&mut self, name: SegmentName, checkpoint: Checkpoint) -> Option<Held> {
        let ends = self.ends.entry(name.shard).or_default();
        for (number, end) in checkpoint.ends {
            ends.entry(number).or_insert(end);
        }
        let from = checkpoint.replay_from;
        self.replay_from.entry(name.shard).or_insert(from);
        let lengths = &self.lengths;
        let is_missing = |number: &u64| {
            let segment = SegmentName {
                number: *number,
                ..name
            };
            *number >= from.segment && !lengths.contains_key(&segment)
        };
        let missing = ends.keys().copied().filter(is_missing);
        self.missing
            .entry(name.shard)
            .or_insert_with(|| missing.collect());
        self.is_journal |= !checkpoint.held.is_empty();
        let is_newest = self.held_of.insert(name.shard);
        is_newest.then_some(checkpoint.held)
    }
}

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

    /// Goes on to the segment that was read ahead, and reads what follows meanwhile: the next part, or the segment before. One read at
    /// a time: what a segment says of where earlier ones end must be known before those are read.
    pub(super) fn read_ahead(&mut self, io: &mut IoQueue) {
        let part_bytes = (self.config.segment_bytes / PARTS) as u32;
        let Some(recovery) = self.recovery() else {
            return;
        };
        if recovery.replay.is_none() {
            recovery.replay = recovery.read_ahead.take();
        }
        if recovery.is_reading || recovery.read_ahead.is_some() {
            return;
        }
        if let Some(replay) = recovery.replay.as_ref().filter(|replay| !replay.is_ended) {
            let path = replay.image.path().to_owned();
            if let Some((base, length)) = replay.wanted(part_bytes) {
                let file = self.requests.file();
                let step = Step::Part {
                    base,
                    length,
                    path: path.clone(),
                    file,
                };
                self.read_part(step, (file, path, OpenMode::Read), (base, length), io);
            }
            return;
        }
        while let Some(name) = recovery.segments.pop() {
            let from = recovery.replay_from.get(&name.shard);
            let flushed = from.is_some_and(|from| name.number < from.segment);
            if flushed && (!recovery.is_journal || recovery.places.is_some()) {
                // Nobody needs it: it is only to be removed.
                let sealed = left(SegmentImage::START, 0, SegmentIndex::default());
                recovery.found.insert(name.number, sealed);
                continue;
            }
            let ends = recovery.ends.get(&name.shard);
            let known_end = ends.and_then(|ends| ends.get(&name.number));
            // Beyond a known end there is nothing. Where it is not known, a mark anywhere in the file may tell rot from
            // a torn tail.
            let (mode, length) = match known_end {
                Some(&end) => (OpenMode::Read, end.min(part_bytes)),
                None => (OpenMode::Write, recovery.lengths[&name] as u32),
            };
            return self.read_segment(name, mode, length, io);
        }
    }

    /// Reads so much of a segment's beginning.
    fn read_segment(&mut self, name: SegmentName, mode: OpenMode, length: u32, io: &mut IoQueue) {
        let path = name.path(&self.config.commitlog_directory);
        let file = self.requests.file();
        let step = Step::Segment {
            name,
            length,
            path: path.clone(),
            file,
        };
        self.read_part(step, (file, path, mode), (0, length), io);
    }

    fn read_part(
        &mut self,
        step: Step,
        (file, path, mode): (FileId, String, OpenMode),
        (base, length): (u32, u32),
        io: &mut IoQueue,
    ) {
        let Some(recovery) = self.recovery() else {
            return;
        };
        recovery.is_reading = true;
        let mut buffer = std::mem::take(&mut recovery.buffer);
        if buffer.capacity() < length as usize {
            // Zeros of the system's: nobody writes them first, which an empty one would be filled with.
            buffer = vec![0; length as usize];
        }
        let request = IoRequest::Chain(vec![
            IoRequest::Open { file, path, mode },
            IoRequest::ReadInto {
                file,
                offset: u64::from(base),
                length: length as usize,
                buffer,
            },
        ]);
        self.recovery_submit(step, request, io);
    }

    /// The next part of the segment that is being replayed is here.
    pub(super) fn part_read(&mut self, part: Part) {
        let Some(recovery) = self.recovery() else {
            return;
        };
        recovery.is_reading = false;
        if let Some(replay) = &mut recovery.replay {
            replay.next = Some(part);
        }
    }

    /// A segment's first part is here.
    pub(super) fn segment_read(
        &mut self,
        (name, path, file): (SegmentName, String, FileId),
        part: Part,
        io: &mut IoQueue,
    ) -> Result<(), StoreError> {
        let skip = self.config.on_rot == OnRot::Skip;
        let directory = self.config.commitlog_directory.clone();
        if let Some(recovery) = self.recovery() {
            recovery.is_reading = false;
        }
        // Until its end is known it is looked for in all of the file.
        let known_end = self.recovery().and_then(|recovery| {
            let ends = recovery.ends.get(&name.shard)?;
            ends.get(&name.number).copied()
        });
        let is_last = part.is_last(known_end);
        let checked = SegmentImage::new(path.clone(), name, part.bytes)
            .and_then(|image| image.checkpoint().map(|checkpoint| (image, checkpoint)));
        let from = self
            .recovery()
            .and_then(|recovery| recovery.replay_from.get(&name.shard).copied());
        // What is in SSTables is missed by other replicas at most.
        let flushed = from.is_some_and(|from| name.number < from.segment);
        let (image, checkpoint) = match checked {
            Ok(checked) => checked,
            Err(StoreError::Corrupt { .. }) if skip || flushed => {
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
        if let Some(end) = known_end.filter(|_| !is_last)
            && image.read(SegmentImage::START).is_none()
        {
            // The checkpoint is longer than a part, or rotten.
            self.requests
                .submit(io, Purpose::Nobody, IoRequest::Close { file });
            self.read_segment(name, OpenMode::Read, end, io);
            return Ok(());
        }
        let held = checkpoint.and_then(|checkpoint| recovery.learn(name, checkpoint));
        let missing = recovery.missing.get(&name.shard);
        let missing = missing.and_then(|missing| missing.range(name.number..).next().copied());
        let synced = recovery.synced.get(&(name.shard, name.number));
        let synced = synced.copied().unwrap_or(0);
        let mut replay = Replay::new((image, is_last), name.shard, known_end, synced);
        replay.held = held;
        replay.needed = if flushed { Needed::No } else { Needed::Yes };
        replay.missing = missing.map(|number| SegmentName { number, ..name }.path(&directory));
        if known_end.is_some() {
            recovery.read_ahead = Some(replay);
            self.requests
                .submit(io, Purpose::Nobody, IoRequest::Close { file });
            return Ok(());
        }
        let data = replay.image.readable();
        recovery.read_ahead = Some(replay);
        self.write_back((path, file), data, io);
        Ok(())
    }

    /// Writes back what was read of a segment whose end nobody knows.
    fn write_back(&mut self, (path, file): (String, FileId), data: Arc<Vec<u8>>, io: &mut IoQueue) {
        // A process that was killed, or whose sync failed, leaves records that the system shows and the disk may not
        // hold, and a sync alone would say nothing of those it gave up on. They are written again, and recovery does not
        // end before: only what comes after it builds on them.
        let chain = vec![
            IoRequest::WriteShared {
                file,
                offset: 0,
                data,
            },
            IoRequest::Sync { file },
            IoRequest::Close { file },
        ];
        self.recovery_submit(Step::Rewrite(path), IoRequest::Chain(chain), io);
    }

    /// A share of recovery's work: replaying records, flushing what does not fit in memory.
    pub(in crate::store) fn recovery_work(
        &mut self,
        now: Now,
        budget: usize,
        io: &mut IoQueue,
    ) -> bool {
        let full = self
            .recovery()
            .is_some_and(|recovery| recovery.disk_is_full);
        if !full {
            self.freeze_for_recovery();
            self.start_flushes(now, io);
        }
        let mut more = self.run_jobs(now, budget, io);
        self.write_manifests(now, io);
        // Nobody is held up by it, and the next memtable grows in the memory of the last.
        self.decaying.clear();
        if full || self.memtable_bytes <= self.config.memtable_bytes {
            match self.replay(budget) {
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
}
