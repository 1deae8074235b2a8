//! Opening a store: what is on disk becomes tables, what the log holds beyond becomes memtables.
//!
//! Directories are listed and what no manifest lists is removed; manifests are read, their SSTables opened, and the
//! log's segments replayed, newest first, because the newest says where the older ones end and where replay may stop.
//! Mutations are idempotent, so their order does not matter.
//!
//! When the number of shards changed ([`crate::layout`]) the manifests and segments are all those of the previous
//! generation; of their contents each shard takes the tokens that are its own, and it is ready when all of that is
//! flushed and listed by manifests of the new generation, and the new log's first record is synced ([`begin`]).

mod begin;
mod leftovers;
mod replay;
mod segments;
mod tables;

use super::table::TableState;
use super::{Store, flush};
use crate::commitlog::{Position, Retired, Sealed, SegmentIndex, SegmentName};
use crate::config::StoreConfig;
use crate::error::StoreError;
use crate::held::Held;
use crate::io::Purpose;
use crate::layout::ROOT;
use crate::manifest::{Manifest, ManifestEntry};
use crate::ownership::Places;
use model::env::{Entry, FileId, IoDone, IoOutcome, IoQueue, IoRequest, OpenMode};
use model::schema::TableId;
use model::time::Now;
use replay::{Part, Replay};
use std::collections::{BTreeMap, BTreeSet};

/// An SSTable being opened.
#[derive(Debug)]
struct Opening {
    table: TableId,
    entry: ManifestEntry,
    file: FileId,
    path: String,
    /// Where what was read of its end begins.
    start: u64,
}

/// What an outstanding request is for.
#[derive(Debug)]
enum Step {
    MakeLogDirectory,
    ListLog,
    ListTable(TableId),
    /// Making durable what the tables' directories show.
    SyncListed,
    /// Removal of files that no manifest lists.
    Clean,
    Manifest {
        table: TableId,
        shard: u16,
        path: String,
        file: FileId,
    },
    Link {
        table: TableId,
        entries: Vec<ManifestEntry>,
    },
    Tail(Opening),
    /// Reading so much of a segment's beginning.
    Segment {
        name: SegmentName,
        length: u32,
        path: String,
        file: FileId,
    },
    /// Reading the part of the segment being replayed that begins at this offset.
    Part {
        base: u32,
        length: u32,
        path: String,
        file: FileId,
    },
    /// Writing back what was read of the segment at this path.
    Rewrite(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Listing,
    Manifests,
    Linking,
    Opening,
    Replaying,
    /// After a change of the number of shards: everything replayed is being flushed.
    Settling,
    /// The new log is begun; after a change of the number of shards its first record is being synced.
    Beginning,
}

/// Recovery's state.
#[derive(Debug)]
pub(in crate::store) struct Recovery {
    stage: Stage,
    steps: BTreeMap<u64, Step>,
    next_step: u64,
    /// Generation and shards whose manifests and logs are read.
    generation: u32,
    shards: Vec<u16>,
    /// Tokens taken from them; `None` when all are this shard's anyway.
    places: Option<Places>,
    manifests: BTreeMap<TableId, Vec<(u16, Manifest)>>,
    /// How far each log is in the SSTables, by shard and table.
    flushed: BTreeMap<(u16, TableId), Position>,
    /// How far segments are known to have been synced, by shard and number: what was flushed had been.
    synced: BTreeMap<(u16, u64), u32>,
    listings: BTreeMap<TableId, Vec<Entry>>,
    /// Segments to read, ascending: the last is next.
    segments: Vec<SegmentName>,
    lengths: BTreeMap<SegmentName, u64>,
    /// What later segments said of earlier ones' ends, by shard.
    ends: BTreeMap<u16, BTreeMap<u64, u32>>,
    replay_from: BTreeMap<u16, Position>,
    /// Segments that the newest one knows and that are not there, by shard: freed, or lost.
    missing: BTreeMap<u16, BTreeSet<u64>>,
    replay: Option<Replay>,
    /// The segment of which the first part was read while the last part of that one is replayed.
    read_ahead: Option<Replay>,
    /// Whether a part of a segment is being read.
    is_reading: bool,
    /// Whether a flush failed for want of room.
    disk_is_full: bool,
    /// Memory of a part that was replayed, for the next one.
    buffer: Vec<u8>,
    /// Tables taken over from the previous generation.
    taken: Vec<TableId>,
    /// This shard's own segments.
    found: BTreeMap<u64, Sealed>,
    /// Which mutations the log held, and the shards whose newest segment has said so.
    held: Held,
    held_of: BTreeSet<u16>,
    /// Whether segments that are in SSTables may be there for the sake of their ids.
    is_journal: bool,
}

impl Recovery {
    pub(in crate::store) fn new(config: &StoreConfig) -> Self {
        flush::check(config);
        let (generation, shards, places) = match config.generation.previous {
            None => (config.generation.number, vec![config.shard], None),
            Some((generation, shards)) => {
                let places = Places::of_shard(config.shard, config.shards);
                (generation, (0..shards).collect(), Some(places))
            }
        };
        Self {
            stage: Stage::Listing,
            steps: BTreeMap::new(),
            next_step: 0,
            generation,
            shards,
            places,
            manifests: BTreeMap::new(),
            flushed: BTreeMap::new(),
            synced: BTreeMap::new(),
            listings: BTreeMap::new(),
            segments: Vec::new(),
            lengths: BTreeMap::new(),
            ends: BTreeMap::new(),
            replay_from: BTreeMap::new(),
            missing: BTreeMap::new(),
            replay: None,
            read_ahead: None,
            is_reading: false,
            disk_is_full: false,
            buffer: Vec::new(),
            taken: Vec::new(),
            found: BTreeMap::new(),
            held: Held::default(),
            held_of: BTreeSet::new(),
            is_journal: false,
        }
    }
}

impl Store {
    fn recovery(&mut self) -> Option<&mut Recovery> {
        match &mut self.phase {
            super::Phase::Recovering(recovery) => Some(recovery),
            _ => None,
        }
    }

    pub(in crate::store) fn fail_recovery(&mut self, error: StoreError) {
        self.phase = super::Phase::Failed(error);
    }

    /// Something could not be written while recovery goes on. On a full disk it does without: what the log holds stays in
    /// memory, however much that is, so that reads can be served; the flush is tried again when there is a log.
    pub(in crate::store) fn recovery_failed_write(&mut self, error: &StoreError) {
        let Some(recovery) = self.recovery() else {
            return;
        };
        match error {
            StoreError::DiskFull if recovery.places.is_none() => recovery.disk_is_full = true,
            // The files of the new generation are the only place for what other shards' logs hold.
            StoreError::DiskFull => self.fail_recovery(StoreError::NoRoomForShards),
            error => {
                let error = error.clone();
                self.fail_recovery(error);
            }
        }
    }

    fn recovery_submit(&mut self, step: Step, request: IoRequest, io: &mut IoQueue) {
        let Some(recovery) = self.recovery() else {
            return;
        };
        recovery.next_step += 1;
        let id = recovery.next_step;
        recovery.steps.insert(id, step);
        self.requests.submit(io, Purpose::Recovery(id), request);
    }

    pub(in crate::store) fn begin_recovery(&mut self, _now: Now, io: &mut IoQueue) {
        let log = self.config.commitlog_directory.clone();
        let chain = vec![
            IoRequest::CreateDirectory { path: log.clone() },
            IoRequest::SyncDirectory {
                path: ROOT.to_owned(),
            },
            // What a killed process left in it is about to be believed.
            IoRequest::SyncDirectory { path: log.clone() },
        ];
        self.recovery_submit(Step::MakeLogDirectory, IoRequest::Chain(chain), io);
        self.recovery_submit(Step::ListLog, IoRequest::List { path: log }, io);
        let directories: Vec<(TableId, String)> = self
            .tables
            .iter()
            .map(|(id, state)| (*id, state.directory.clone()))
            .collect();
        for (id, path) in directories {
            self.recovery_submit(Step::ListTable(id), IoRequest::List { path }, io);
        }
    }

    pub(in crate::store) fn recovery_on_io(
        &mut self,
        step: u64,
        outcome: IoOutcome,
        now: Now,
        io: &mut IoQueue,
    ) {
        let Some(step) = self
            .recovery()
            .and_then(|recovery| recovery.steps.remove(&step))
        else {
            return;
        };
        let result = match outcome {
            Ok(done) => self.recovery_step(step, done, io),
            Err(error) => Err(StoreError::io(&self.step_path(&step), error)),
        };
        if let Err(error) = result {
            return self.fail_recovery(error);
        }
        self.recovery_advance(now, io);
    }

    fn step_path(&self, step: &Step) -> String {
        match step {
            Step::Manifest { path, .. }
            | Step::Segment { path, .. }
            | Step::Part { path, .. }
            | Step::Rewrite(path) => path.clone(),
            Step::Tail(opening) => opening.path.clone(),
            Step::ListTable(id) | Step::Link { table: id, .. } => self
                .tables
                .get(id)
                .map_or_else(String::new, |state| state.directory.clone()),
            Step::MakeLogDirectory | Step::ListLog => self.config.commitlog_directory.clone(),
            Step::SyncListed | Step::Clean => self.config.data_directory.clone(),
        }
    }

    fn recovery_step(
        &mut self,
        step: Step,
        done: IoDone,
        io: &mut IoQueue,
    ) -> Result<(), StoreError> {
        match (step, done) {
            (Step::ListLog, IoDone::Listed(entries)) => self.log_listed(entries, io),
            (Step::ListTable(id), IoDone::Listed(entries)) => {
                if let Some(recovery) = self.recovery() {
                    recovery.listings.insert(id, entries);
                }
            }
            (
                Step::Manifest {
                    table,
                    shard,
                    path,
                    file,
                },
                IoDone::Read(bytes),
            ) => {
                self.requests
                    .submit(io, Purpose::Nobody, IoRequest::Close { file });
                self.manifest_read((table, shard), &path, &bytes)?;
            }
            (Step::Link { table, entries }, _) => {
                for entry in entries {
                    self.open_sstable(table, entry, io);
                }
            }
            (Step::Tail(opening), IoDone::Read(bytes)) => self.tail_read(opening, &bytes, io)?,
            (
                Step::Segment {
                    name,
                    length: asked,
                    path,
                    file,
                },
                IoDone::Read(bytes),
            ) => {
                let base = 0;
                self.segment_read((name, path, file), Part { base, asked, bytes }, io)?;
            }
            (
                Step::Part {
                    base,
                    length: asked,
                    file,
                    ..
                },
                IoDone::Read(bytes),
            ) => {
                self.requests
                    .submit(io, Purpose::Nobody, IoRequest::Close { file });
                self.part_read(Part { base, asked, bytes });
            }
            (Step::MakeLogDirectory | Step::SyncListed | Step::Clean | Step::Rewrite(_), _) => {}
            (step, _) => {
                let path = self.step_path(&step);
                return Err(StoreError::corrupt(
                    &path,
                    0,
                    "the disk gave the wrong answer",
                ));
            }
        }
        Ok(())
    }

    /// A table's manifest of a shard is here.
    fn manifest_read(
        &mut self,
        (table, shard): (TableId, u16),
        path: &str,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let manifest = Manifest::decode(path, bytes)?;
        if manifest.table != table {
            let what = "the manifest is another table's";
            return Err(StoreError::corrupt(path, 64, what));
        }
        if let Some(recovery) = self.recovery() {
            recovery.flushed.insert((shard, table), manifest.flushed);
            let Position { segment, offset } = manifest.log_synced;
            let synced = recovery.synced.entry((shard, segment)).or_default();
            *synced = offset.max(*synced);
            let manifests = recovery.manifests.entry(table).or_default();
            manifests.push((shard, manifest));
        }
        Ok(())
    }

    /// Goes to the next stage when the present one waits for nothing.
    fn recovery_advance(&mut self, now: Now, io: &mut IoQueue) {
        while let Some(recovery) = self.recovery() {
            if recovery.stage == Stage::Replaying {
                self.read_ahead(io);
            }
            let Some(recovery) = self.recovery() else {
                return;
            };
            if recovery.replay.is_some() || !recovery.steps.is_empty() {
                return;
            }
            match recovery.stage {
                Stage::Listing => {
                    recovery.stage = Stage::Manifests;
                    self.read_manifests(io);
                }
                Stage::Manifests => {
                    recovery.stage = Stage::Linking;
                    self.clean_tables(io);
                }
                Stage::Linking => {
                    recovery.stage = Stage::Opening;
                    self.take_manifests(io);
                }
                Stage::Opening => {
                    recovery.stage = Stage::Replaying;
                    // Only now do the tables have all that their first manifests must list.
                    let taken = std::mem::take(&mut recovery.taken);
                    self.agenda.manifests = true;
                    for id in taken {
                        self.tables
                            .get_mut(&id)
                            .expect("one of the tables")
                            .change([]);
                    }
                }
                Stage::Replaying => {
                    if recovery.places.is_none() {
                        self.begin_log(now, io);
                        return self.finish_recovery(now, io);
                    }
                    recovery.stage = Stage::Settling;
                    for id in self.tables.keys().copied().collect::<Vec<_>>() {
                        self.freeze(id, None);
                    }
                }
                Stage::Settling => {
                    let clean = |state: &TableState| {
                        !state.manifest.dirty
                            && state.manifest.writing.is_none()
                            && state.frozen.is_empty()
                    };
                    if self.jobs.is_empty() && self.tables.values().all(clean) {
                        self.begin_log(now, io);
                    }
                    return;
                }
                Stage::Beginning => return self.await_log(now, io),
            }
        }
    }

    /// A manifest was written: the last one may have been what recovery waited for.
    pub(in crate::store) fn recovery_manifest_written(&mut self, now: Now, io: &mut IoQueue) {
        self.recovery_advance(now, io);
    }
}

/// A segment that an earlier run left. It may have another size: it is not recycled.
fn left(end: u32, salt: u32, index: SegmentIndex) -> Sealed {
    Sealed {
        end,
        salt,
        index,
        retired: Retired::Remove,
    }
}

/// Opens and reads a whole file.
fn read_whole(file: FileId, path: &str, mode: OpenMode, length: u64) -> IoRequest {
    IoRequest::Chain(vec![
        IoRequest::Open {
            file,
            path: path.to_owned(),
            mode,
        },
        IoRequest::Read {
            file,
            offset: 0,
            length: length as usize,
        },
    ])
}
