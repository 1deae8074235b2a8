//! The files of the log: segments prepared ahead of their use, and recycled when nothing needs them.

use super::Position;
use super::journal::{Retired, Sealed};
use super::log::{Log, LogStep, Preparing, RETRY_MS, salt};
use super::record::SegmentHead;
use super::replay::SegmentName;
use crate::error::StoreError;
use crate::held::Held;
use crate::io::{Purpose, Requests};
use model::env::{IoError, IoQueue, IoRequest, OpenMode};
use model::time::{BootNanos, Now};
use model::track::IdSet;

/// Bytes of zeros written at once when a segment is prepared.
const FILL_BYTES: usize = 1 << 20;
/// Freed segments kept for recycling.
pub(super) const MAX_SPARES: usize = 2;
/// The next segment is prepared once this part of the active one is written: an idle log makes no second file, and what
/// is left takes longer to write than a segment of zeros.
const PREPARE_AT: u32 = 4;

impl Log {
    pub(super) fn prepare(&mut self, now: Now, requests: &mut Requests, io: &mut IoQueue) {
        let early = |(at, _): &(BootNanos, StoreError)| now.boot < *at;
        if self.preparing.is_some() || self.retry_prepare.as_ref().is_some_and(early) {
            return;
        }
        let number = if self.is_open() {
            if self.active.offset < self.config.segment_bytes / PREPARE_AT {
                return;
            }
            self.active.number + 1
        } else {
            // A rotation may have run ahead of the files: the oldest one missing comes first.
            let from = self
                .batches
                .front()
                .map_or(self.active.number, |batch| batch.segment);
            match (from..=self.active.number).find(|number| !self.files.contains_key(number)) {
                Some(number) => number,
                None => return,
            }
        };
        if self.files.contains_key(&number) {
            return;
        }
        self.retry_prepare = None;
        let file = requests.file();
        let (path, mode, fill) = match self.spares.pop() {
            Some(path) => (path, OpenMode::Write, false),
            None => {
                self.spare_counter += 1;
                // The first segment grows as it is written: a start does not wait for zeros, and the next reads none.
                (self.spare_path(), OpenMode::Create, !self.files.is_empty())
            }
        };
        let open = IoRequest::Open {
            file,
            path: path.clone(),
            mode,
        };
        self.preparing = Some(Preparing {
            number,
            file,
            path,
            filled: 0,
            fill,
        });
        requests.submit(io, Purpose::Log(LogStep::Open), open);
    }

    fn spare_path(&self) -> String {
        format!(
            "{}/{}-{}-spare-{}",
            self.config.directory, self.config.generation, self.config.shard, self.spare_counter
        )
    }

    pub(super) fn name(&self, number: u64) -> String {
        SegmentName {
            generation: self.config.generation,
            shard: self.config.shard,
            number,
        }
        .path(&self.config.directory)
    }

    pub(super) fn prepare_on(&mut self, requests: &mut Requests, io: &mut IoQueue) {
        let Some(preparing) = &mut self.preparing else {
            return;
        };
        let left = self.config.segment_bytes as usize - preparing.filled;
        if preparing.fill && left > 0 {
            let length = left.min(FILL_BYTES);
            let request = IoRequest::Write {
                file: preparing.file,
                offset: preparing.filled as u64,
                data: vec![0; length],
            };
            preparing.filled += length;
            requests.submit(io, Purpose::Log(LogStep::Fill), request);
            return;
        }
        let (number, file, path) = (preparing.number, preparing.file, preparing.path.clone());
        let head = SegmentHead {
            generation: self.config.generation,
            shard: self.config.shard,
            number,
            salt: salt(&self.config, number, self.opened),
            length: self.config.segment_bytes,
        };
        let chain = vec![
            IoRequest::Write {
                file,
                offset: 0,
                data: head.encode().to_vec(),
            },
            IoRequest::Sync { file },
            IoRequest::Rename {
                from: path,
                to: self.name(number),
            },
            IoRequest::SyncDirectory {
                path: self.config.directory.clone(),
            },
        ];
        requests.submit(io, Purpose::Log(LogStep::Name), IoRequest::Chain(chain));
    }

    pub(super) fn prepare_failed(
        &mut self,
        error: &IoError,
        now: Now,
        requests: &mut Requests,
        io: &mut IoQueue,
    ) {
        let failed = self.preparing.take().expect("it was being prepared");
        requests.submit(io, Purpose::Nobody, IoRequest::Close { file: failed.file });
        requests.submit(io, Purpose::Nobody, IoRequest::Remove { path: failed.path });
        // Nothing is in the segment yet, so that even a failed sync loses nothing: another file is tried.
        let error = match error {
            IoError::Full(_) => StoreError::DiskFull,
            error => StoreError::NoSegment(error.to_string()),
        };
        let retry_at = now.boot.plus_millis(RETRY_MS);
        self.retry_prepare = Some((retry_at, error.clone()));
        if failed.number <= self.active.number {
            self.stall(error, retry_at);
        }
    }

    /// Why a rotation now would have to wait: a full disk, or another reason why there is no next segment.
    pub(crate) fn next_is_refused(&self) -> Option<StoreError> {
        let (_, error) = self.retry_prepare.as_ref()?;
        (!self.next_is_ready()).then(|| error.clone())
    }

    /// Frees the segments wholly below a position all ids of which are released or forgotten: recycled, or removed. From the oldest on, so
    /// that one that is kept keeps those behind it. Returns how many.
    pub(crate) fn free_below(
        &mut self,
        position: Position,
        (released, held): (&IdSet, &Held),
        requests: &mut Requests,
        io: &mut IoQueue,
    ) -> usize {
        let queued = self
            .batches
            .front()
            .map_or(self.active.number, |batch| batch.segment);
        let limit = position.segment.min(queued).min(self.active.number);
        let mut freed = 0;
        while let Some(entry) = self.sealed.first_entry() {
            let number = *entry.key();
            let kept =
                self.unsynced.contains(&number) || !entry.get().index.is_within(released, held);
            if number >= limit || kept {
                break;
            }
            let Sealed { retired, .. } = entry.remove();
            freed += 1;
            let path = self.name(number);
            if retired == Retired::Recycle && self.spares.len() + self.recycling < MAX_SPARES {
                self.recycling += 1;
                self.spare_counter += 1;
                let spare = self.spare_path();
                let chain = vec![
                    IoRequest::Rename {
                        from: path,
                        to: spare.clone(),
                    },
                    IoRequest::SyncDirectory {
                        path: self.config.directory.clone(),
                    },
                ];
                requests.submit(
                    io,
                    Purpose::Log(LogStep::Spare(spare)),
                    IoRequest::Chain(chain),
                );
            } else {
                requests.submit(io, Purpose::Nobody, IoRequest::Remove { path });
            }
        }
        freed
    }
}
