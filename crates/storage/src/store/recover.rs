//! Opening a store: what is on disk becomes tables, what the log holds beyond becomes memtables.
//!
//! Directories are listed and what no manifest lists is removed; manifests are read, their SSTables opened, and the
//! log's segments replayed, newest first, because the newest says where the older ones end and where replay may stop.
//! Mutations are idempotent, so their order does not matter.
//!
//! When the number of shards changed ([`crate::layout`]) the manifests and segments are all those of the previous
//! generation; of their contents each shard takes the tokens that are its own, and it is ready when all of that is
//! flushed and listed by manifests of the new generation.

use super::Store;
use super::flush;
use super::table::TableState;
use crate::commitlog::{
    Kind, Log, LogConfig, Position, SegmentImage, SegmentName, Verdict, tracked_body,
};
use crate::config::{OnRot, StoreConfig};
use crate::error::StoreError;
use crate::io::Purpose;
use crate::layout::ROOT;
use crate::manifest::{Manifest, ManifestEntry, parse_manifest_name};
use crate::ownership::Places;
use crate::sstable::{FOOTER_BYTES, FileName, Footer, SsTable, TAIL_BYTES, Tail};
use model::env::{Entry, FileId, IoDone, IoOutcome, IoQueue, IoRequest, OpenMode};
use model::mutation::MutationView;
use model::schema::TableId;
use model::time::Now;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};

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
    Segment {
        name: SegmentName,
        path: String,
        file: FileId,
    },
    /// Writing back what was read of a segment.
    Rewrite(Replay),
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
}

/// A segment being replayed.
#[derive(Debug)]
struct Replay {
    image: SegmentImage,
    shard: u16,
    offset: u32,
    known_end: Option<u32>,
    file: FileId,
}

/// Recovery's state.
#[derive(Debug)]
pub(super) struct Recovery {
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
    listings: BTreeMap<TableId, Vec<Entry>>,
    /// Segments to read, ascending: the last is next.
    segments: Vec<SegmentName>,
    lengths: BTreeMap<SegmentName, u64>,
    /// What later segments said of earlier ones' ends, by shard.
    ends: BTreeMap<u16, BTreeMap<u64, u32>>,
    replay_from: BTreeMap<u16, Position>,
    replay: Option<Replay>,
    /// Tables taken over from the previous generation.
    taken: Vec<TableId>,
    /// Ends of this shard's own segments.
    found: BTreeMap<u64, u32>,
}

impl Recovery {
    pub(super) fn new(config: &StoreConfig) -> Self {
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
            listings: BTreeMap::new(),
            segments: Vec::new(),
            lengths: BTreeMap::new(),
            ends: BTreeMap::new(),
            replay_from: BTreeMap::new(),
            replay: None,
            taken: Vec::new(),
            found: BTreeMap::new(),
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

    pub(super) fn fail_recovery(&mut self, error: StoreError) {
        self.phase = super::Phase::Failed(error);
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

    pub(super) fn begin_recovery(&mut self, _now: Now, io: &mut IoQueue) {
        let log = self.config.commitlog_directory.clone();
        let chain = vec![
            IoRequest::CreateDirectory { path: log.clone() },
            IoRequest::SyncDirectory {
                path: ROOT.to_owned(),
            },
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

    pub(super) fn recovery_on_io(
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
            Step::Manifest { path, .. } | Step::Segment { path, .. } => path.clone(),
            Step::Tail(opening) => opening.path.clone(),
            Step::Rewrite(replay) => replay.image.path().to_owned(),
            Step::ListTable(id) | Step::Link { table: id, .. } => self
                .tables
                .get(id)
                .map_or_else(String::new, |state| state.directory.clone()),
            Step::MakeLogDirectory | Step::ListLog => self.config.commitlog_directory.clone(),
            Step::Clean => self.config.data_directory.clone(),
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
                let manifest = Manifest::decode(&path, &bytes)?;
                if manifest.table != table {
                    return Err(StoreError::corrupt(
                        &path,
                        64,
                        "the manifest is another table's",
                    ));
                }
                if let Some(recovery) = self.recovery() {
                    recovery.flushed.insert((shard, table), manifest.flushed);
                    recovery
                        .manifests
                        .entry(table)
                        .or_default()
                        .push((shard, manifest));
                }
            }
            (Step::Link { table, entries }, _) => {
                for entry in entries {
                    self.open_sstable(table, entry, io);
                }
            }
            (Step::Tail(opening), IoDone::Read(bytes)) => self.tail_read(opening, &bytes, io)?,
            (Step::Segment { name, path, file }, IoDone::Read(bytes)) => {
                self.segment_read(name, path, file, bytes, io)?;
            }
            (Step::Rewrite(replay), _) => {
                if let Some(recovery) = self.recovery() {
                    recovery.replay = Some(replay);
                }
            }
            (Step::MakeLogDirectory | Step::Clean, _) => {}
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

    /// Goes to the next stage when the present one waits for nothing.
    fn recovery_advance(&mut self, now: Now, io: &mut IoQueue) {
        while let Some(recovery) = self.recovery() {
            if !recovery.steps.is_empty() {
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
                    if recovery.replay.is_some() {
                        return;
                    }
                    if self.next_segment(io) {
                        return;
                    }
                    let Some(recovery) = self.recovery() else {
                        return;
                    };
                    if recovery.places.is_none() {
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
                        self.finish_recovery(now, io);
                    }
                    return;
                }
            }
        }
    }

    fn read_manifests(&mut self, io: &mut IoQueue) {
        let Some(recovery) = self.recovery() else {
            return;
        };
        let mut wanted = Vec::new();
        for (&table, entries) in &recovery.listings {
            for entry in entries {
                let Some((generation, shard)) = parse_manifest_name(&entry.name) else {
                    continue;
                };
                if generation == recovery.generation && recovery.shards.contains(&shard) {
                    wanted.push((table, shard, entry.name.clone(), entry.length));
                }
            }
        }
        for (table, shard, name, length) in wanted {
            let path = format!("{}/{name}", self.tables[&table].directory);
            let file = self.requests.file();
            let request = read_whole(file, &path, OpenMode::Read, length);
            self.recovery_submit(
                Step::Manifest {
                    table,
                    shard,
                    path,
                    file,
                },
                request,
                io,
            );
        }
    }

    /// Removes the files that no manifest that counts lists: their names are used again.
    fn clean_tables(&mut self, io: &mut IoQueue) {
        let Some(recovery) = self.recovery() else {
            return;
        };
        let listings = std::mem::take(&mut recovery.listings);
        for (id, entries) in listings {
            let manifests = self
                .recovery()
                .and_then(|recovery| recovery.manifests.get(&id));
            let listed: BTreeSet<FileName> = manifests
                .into_iter()
                .flatten()
                .flat_map(|(_, manifest)| manifest.entries.iter().map(|entry| entry.name))
                .collect();
            let state = self.tables.get_mut(&id).expect("one of the tables");
            state.has_directory = !entries.is_empty();
            let directory = state.directory.clone();
            let junk = entries
                .iter()
                .filter(|entry| is_junk(&entry.name, &self.config, &listed));
            let mut chain: Vec<IoRequest> = junk
                .map(|entry| IoRequest::Remove {
                    path: format!("{directory}/{}", entry.name),
                })
                .collect();
            if !chain.is_empty() {
                chain.push(IoRequest::SyncDirectory { path: directory });
                self.recovery_submit(Step::Clean, IoRequest::Chain(chain), io);
            }
        }
    }

    /// Takes over what the manifests list: as it is, or linking what holds tokens of this shard.
    fn take_manifests(&mut self, io: &mut IoQueue) {
        let Some(recovery) = self.recovery() else {
            return;
        };
        let manifests = std::mem::take(&mut recovery.manifests);
        let previous_shards = recovery.shards.len() as u16;
        let places = recovery.places.clone();
        for (id, manifests) in manifests {
            let Some(places) = &places else {
                for (_, manifest) in manifests {
                    let state = self.tables.get_mut(&id).expect("one of the tables");
                    state.next_number = manifest.next_number;
                    state.flushed = manifest.flushed;
                    state.truncated_at = manifest.truncated_at;
                    for entry in manifest.entries {
                        self.open_sstable(id, entry, io);
                    }
                }
                continue;
            };
            let mut shared: BTreeMap<FileName, ManifestEntry> = BTreeMap::new();
            let state = self.tables.get_mut(&id).expect("one of the tables");
            for (shard, manifest) in manifests {
                state.truncated_at = state.truncated_at.max(manifest.truncated_at);
                let theirs = Places::of_shard(shard, previous_shards);
                for mut entry in manifest.entries {
                    entry.places = entry.places.intersection(&theirs).intersection(places);
                    if entry.places.is_empty() {
                        continue;
                    }
                    match shared.get_mut(&entry.origin) {
                        Some(known) => known.places = known.places.union(&entry.places),
                        None => {
                            shared.insert(entry.origin, entry);
                        }
                    }
                }
            }
            self.link(id, shared, io);
            if let Some(recovery) = self.recovery() {
                recovery.taken.push(id);
            }
        }
    }

    fn link(&mut self, id: TableId, shared: BTreeMap<FileName, ManifestEntry>, io: &mut IoQueue) {
        let state = self.tables.get_mut(&id).expect("one of the tables");
        let mut entries = Vec::with_capacity(shared.len());
        let mut chain = Vec::with_capacity(shared.len() + 1);
        for mut entry in shared.into_values() {
            let from = state.path(entry.name);
            entry.name = state.next_name(&self.config);
            chain.push(IoRequest::Link {
                from,
                to: state.path(entry.name),
            });
            entries.push(entry);
        }
        if !entries.is_empty() {
            chain.push(IoRequest::SyncDirectory {
                path: state.directory.clone(),
            });
            self.recovery_submit(
                Step::Link { table: id, entries },
                IoRequest::Chain(chain),
                io,
            );
        }
    }

    fn open_sstable(&mut self, table: TableId, entry: ManifestEntry, io: &mut IoQueue) {
        let path = self.tables[&table].path(entry.name);
        let file = self.requests.file();
        let start = entry.length.saturating_sub(TAIL_BYTES as u64);
        let chain = vec![
            IoRequest::Open {
                file,
                path: path.clone(),
                mode: OpenMode::Read,
            },
            IoRequest::Read {
                file,
                offset: start,
                length: (entry.length - start) as usize,
            },
        ];
        let opening = Opening {
            table,
            entry,
            file,
            path,
            start,
        };
        self.recovery_submit(Step::Tail(opening), IoRequest::Chain(chain), io);
    }

    fn tail_read(
        &mut self,
        mut opening: Opening,
        bytes: &[u8],
        io: &mut IoQueue,
    ) -> Result<(), StoreError> {
        let (path, length) = (&opening.path, opening.entry.length);
        if opening.start + bytes.len() as u64 != length || bytes.len() < FOOTER_BYTES {
            return Err(StoreError::corrupt(
                path,
                bytes.len() as u64,
                "the file is cut",
            ));
        }
        let footer = Footer::decode(path, length, &bytes[bytes.len() - FOOTER_BYTES..])?;
        if footer.start() < opening.start {
            opening.start = footer.start();
            let request = IoRequest::Read {
                file: opening.file,
                offset: opening.start,
                length: (length - opening.start) as usize,
            };
            self.recovery_submit(Step::Tail(opening), request, io);
            return Ok(());
        }
        let origin = opening.entry.origin;
        let tail = Tail::open(path, opening.table, origin, &footer, opening.start, bytes)?;
        let filter_bytes = tail
            .filter
            .as_ref()
            .map_or(0, crate::sstable::bloom::Bloom::bytes);
        let room = self.filter_bytes + filter_bytes <= self.config.filter_bytes;
        let filter = tail.filter.filter(|_| room);
        self.filter_bytes += filter.as_ref().map_or(0, |_| filter_bytes);
        self.next_sstable += 1;
        let table = SsTable {
            id: self.next_sstable,
            file: opening.file,
            name: opening.entry.name,
            origin,
            path: opening.path,
            length,
            places: opening.entry.places,
            root: tail.root,
            filter,
            stats: tail.stats,
            in_flight: AtomicU32::new(0),
            suspect: AtomicBool::new(false),
        };
        let state = self
            .tables
            .get_mut(&opening.table)
            .expect("one of the tables");
        state.add(Arc::new(table));
        Ok(())
    }

    fn log_listed(&mut self, entries: Vec<Entry>, io: &mut IoQueue) {
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
    fn next_segment(&mut self, io: &mut IoQueue) -> bool {
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
            let length = recovery.lengths[&name];
            let ends = recovery.ends.get(&name.shard);
            let vouched = ends.is_some_and(|ends| ends.contains_key(&name.number));
            let path = name.path(&directory);
            let file = self.requests.file();
            let mode = if vouched {
                OpenMode::Read
            } else {
                OpenMode::Write
            };
            let request = read_whole(file, &path, mode, length);
            self.recovery_submit(Step::Segment { name, path, file }, request, io);
            return true;
        }
        false
    }

    fn segment_read(
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
        let replay = Replay {
            image,
            shard: name.shard,
            offset,
            known_end,
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
    pub(super) fn recovery_work(&mut self, now: Now, budget: usize, io: &mut IoQueue) -> bool {
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
    fn freeze_for_recovery(&mut self) {
        while self
            .tables
            .values()
            .map(|state| state.active.bytes())
            .sum::<usize>()
            > self.config.memtable_bytes / 2
        {
            let largest = self
                .tables
                .iter()
                .max_by_key(|(_, state)| state.active.bytes());
            let Some((&id, _)) = largest else { return };
            self.freeze(id, None);
        }
    }

    /// Replays up to `budget` bytes; returns whether there is more in the segment.
    fn replay(&mut self, budget: usize, io: &mut IoQueue) -> Result<bool, StoreError> {
        let super::Phase::Recovering(recovery) = &mut self.phase else {
            return Ok(false);
        };
        let Some(mut replay) = recovery.replay.take() else {
            return Ok(false);
        };
        let own = recovery.places.is_none();
        let start = replay.offset;
        while (replay.offset - start) < budget as u32 {
            let at = replay.offset;
            let ended = replay.known_end == Some(at);
            let Some((next, record)) = replay.image.read(at).filter(|_| !ended) else {
                match replay.image.judge(at, replay.known_end) {
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
            let super::Phase::Recovering(recovery) = &self.phase else {
                return Ok(false);
            };
            if recovery
                .places
                .as_ref()
                .is_none_or(|places| places.contains(view.token))
            {
                let position = replay.image.position(at);
                for (table, update) in view.updates() {
                    let flushed = recovery.flushed.get(&(replay.shard, table));
                    if flushed.is_some_and(|flushed| position < *flushed) {
                        continue;
                    }
                    let Some(state) = self.tables.get_mut(&table) else {
                        self.skipped_records += 1;
                        continue;
                    };
                    let before = state.active.bytes();
                    state.active.apply(view.token, view.key, &update);
                    state.active.note(Some(position).filter(|_| own), id);
                    self.memtable_bytes += state.active.bytes() - before;
                }
            }
            replay.offset = next;
        }
        if let Some(recovery) = self.recovery() {
            recovery.replay = Some(replay);
        }
        Ok(true)
    }

    /// Notes where a segment ended.
    fn segment_replayed(&mut self, replay: &Replay, io: &mut IoQueue) -> bool {
        if let Some(recovery) = self.recovery() {
            recovery.found.insert(replay.image.number(), replay.offset);
        }
        self.requests
            .submit(io, Purpose::Nobody, IoRequest::Close { file: replay.file });
        true
    }

    /// Begins the new log; the store is ready.
    fn finish_recovery(&mut self, now: Now, io: &mut IoQueue) {
        let Some(recovery) = self.recovery() else {
            return;
        };
        let own = recovery.places.is_none();
        let found = if own {
            std::mem::take(&mut recovery.found)
        } else {
            BTreeMap::new()
        };
        let flushed = recovery
            .flushed
            .values()
            .map(|position| position.segment)
            .filter(|_| own);
        let last = flushed.chain(found.keys().copied()).max().unwrap_or(0);
        let config = LogConfig {
            directory: self.config.commitlog_directory.clone(),
            generation: self.config.generation.number,
            shard: self.config.shard,
            segment_bytes: self.config.segment_bytes as u32,
            sync: self.config.sync,
        };
        let mut log = Log::new(config, last + 1, found, now);
        let floor = self.log_floor().unwrap_or(log.end());
        let checkpoint = crate::commitlog::Checkpoint {
            replay_from: floor,
            ..self.checkpoint()
        };
        log.begin(checkpoint);
        log.submit(now, &mut self.requests, io);
        self.log = Some(log);
        self.phase = super::Phase::Ready;
        self.agenda.compactions = true;
        for state in self
            .tables
            .values_mut()
            .filter(|state| !state.active.is_empty())
        {
            state.active_since = Some(now.boot);
            if let Some(at) = state.flush_at() {
                super::sooner(&mut self.agenda.flush_at, at);
            }
        }
        self.free_log(io);
    }

    /// A manifest was written: the last one may have been what recovery waited for.
    pub(super) fn recovery_manifest_written(&mut self, now: Now, io: &mut IoQueue) {
        self.recovery_advance(now, io);
    }

    /// Removes what the previous generation left, after the node committed the layout of this one.
    pub fn layout_committed(&mut self, io: &mut IoQueue) {
        self.config.generation.previous = None;
        if self.config.shard == 0 {
            let log = self.config.commitlog_directory.clone();
            let tables = self.tables.values().map(|state| state.directory.clone());
            for path in tables.chain([log]).collect::<Vec<_>>() {
                let purpose = Purpose::Leftovers(path.clone());
                self.requests.submit(io, purpose, IoRequest::List { path });
            }
        }
    }

    /// Removes files of earlier generations from a directory just listed.
    pub(super) fn leftovers_listed(
        &mut self,
        directory: &str,
        outcome: IoOutcome,
        io: &mut IoQueue,
    ) {
        // What cannot be listed or removed now is removed by the next start.
        let Ok(IoDone::Listed(entries)) = outcome else {
            return;
        };
        for entry in entries {
            let Some((generation, _)) = generation_of(&entry.name) else {
                continue;
            };
            if generation < self.config.generation.number {
                let path = format!("{directory}/{}", entry.name);
                self.requests
                    .submit(io, Purpose::Nobody, IoRequest::Remove { path });
            }
        }
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

/// Generation and shard in the name of any file of ours.
fn generation_of(name: &str) -> Option<(u32, u16)> {
    let rest = name.strip_prefix("manifest-").unwrap_or(name);
    let mut parts = rest.split(['-', '.']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Whether a file may be removed by this shard: its own that no manifest lists, and, for shard 0, what other
/// generations and shards that are no more left behind.
fn is_junk(name: &str, config: &StoreConfig, listed: &BTreeSet<FileName>) -> bool {
    let Some((generation, shard)) = generation_of(name) else {
        return false;
    };
    if config
        .generation
        .previous
        .is_some_and(|(previous, _)| previous == generation)
    {
        return false;
    }
    if generation == config.generation.number && shard < config.shards {
        let fresh = config.generation.previous.is_some();
        let kept = match FileName::parse(name) {
            Some(file) => listed.contains(&file),
            // A manifest or segment counts unless its generation is only being made.
            None => {
                let counts =
                    parse_manifest_name(name).is_some() || SegmentName::parse(name).is_some();
                !fresh && counts
            }
        };
        return shard == config.shard && !kept;
    }
    config.shard == 0
}
