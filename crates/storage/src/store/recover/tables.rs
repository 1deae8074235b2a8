//! Recovery of tables: manifests are read, SSTables opened, or linked when the number of shards changed.
//!
//! An SSTable whose end is corrupt does not stop the start. It stays listed and on disk, in quarantine: reads of the tokens that
//! the manifest says it has fail and name it ([`SsTable::broken`]). A corrupt manifest does: nobody else knows what the table consists of.

use super::leftovers::is_junk;
use super::{Opening, Step, read_whole};
use crate::error::StoreError;
use crate::manifest::{ManifestEntry, parse_manifest_name};
use crate::ownership::Places;
use crate::sstable::bloom::Bloom;
use crate::sstable::{FOOTER_BYTES, FileName, Footer, SsTable, Stats, TAIL_BYTES, Tail};
use crate::store::Store;
use model::env::{IoQueue, IoRequest, OpenMode};
use model::key::DecoratedKey;
use model::schema::TableId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};

impl Store {
    pub(super) fn read_manifests(&mut self, io: &mut IoQueue) {
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
        self.sync_listed(io);
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

    /// Makes durable what was listed. A killed process may have renamed a manifest into place and not lived to sync the
    /// directory: who trusts that manifest and frees the log below it would lose both when the power fails next.
    fn sync_listed(&mut self, io: &mut IoQueue) {
        let Some(recovery) = self.recovery() else {
            return;
        };
        let with_files: Vec<TableId> = recovery
            .listings
            .iter()
            .filter(|(_, entries)| !entries.is_empty())
            .map(|(id, _)| *id)
            .collect();
        let mut directories = BTreeSet::new();
        for id in with_files {
            let mut path = self.tables[&id].directory.as_str();
            directories.insert(path.to_owned());
            while let Some((parent, _)) = path.rsplit_once('/') {
                directories.insert(parent.to_owned());
                path = parent;
            }
        }
        if !directories.is_empty() {
            let chain = directories.into_iter();
            let chain = chain
                .map(|path| IoRequest::SyncDirectory { path })
                .collect();
            self.recovery_submit(Step::SyncListed, IoRequest::Chain(chain), io);
        }
    }

    /// Removes the files that no manifest that counts lists: their names are used again.
    pub(super) fn clean_tables(&mut self, io: &mut IoQueue) {
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
    pub(super) fn take_manifests(&mut self, io: &mut IoQueue) {
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
                    state.log_synced = manifest.log_synced;
                    state.truncated_at = manifest.truncated_at;
                    state.truncated_epoch = manifest.truncated_epoch;
                    state.truncated_upto = manifest.truncated_upto;
                    for entry in manifest.entries {
                        self.open_sstable(id, entry, io);
                    }
                }
                continue;
            };
            let mut shared: BTreeMap<FileName, ManifestEntry> = BTreeMap::new();
            let state = self.tables.get_mut(&id).expect("one of the tables");
            // Emptied is what every shard has emptied.
            let epochs = manifests
                .iter()
                .map(|(_, manifest)| manifest.truncated_epoch);
            state.truncated_epoch = epochs.min().unwrap_or(0);
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

    pub(super) fn link(
        &mut self,
        id: TableId,
        shared: BTreeMap<FileName, ManifestEntry>,
        io: &mut IoQueue,
    ) {
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

    pub(super) fn open_sstable(&mut self, table: TableId, entry: ManifestEntry, io: &mut IoQueue) {
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

    pub(super) fn tail_read(
        &mut self,
        mut opening: Opening,
        bytes: &[u8],
        io: &mut IoQueue,
    ) -> Result<(), StoreError> {
        let (path, length) = (&opening.path, opening.entry.length);
        let footer = if opening.start + bytes.len() as u64 != length || bytes.len() < FOOTER_BYTES {
            let at = bytes.len() as u64;
            Err(StoreError::corrupt(path, at, "the file is cut"))
        } else {
            Footer::decode(path, length, &bytes[bytes.len() - FOOTER_BYTES..])
        };
        let footer = match footer {
            Ok(footer) => footer,
            Err(error) => return self.quarantine(opening, error),
        };
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
        let tail = match Tail::open(path, opening.table, origin, &footer, opening.start, bytes) {
            Ok(tail) => tail,
            Err(error) => return self.quarantine(opening, error),
        };
        if let Some(error) = tail.bad_filter {
            self.notices
                .push(format!("{error}: it is read without its filter"));
        }
        let filter_bytes = tail.filter.as_ref().map_or(0, Bloom::bytes);
        let room = self.filter_bytes + filter_bytes <= self.config.filter_bytes;
        let filter = tail.filter.filter(|_| room);
        self.filter_bytes += filter.as_ref().map_or(0, |_| filter_bytes);
        self.opened(opening, tail.root, filter, tail.stats, None);
        Ok(())
    }

    /// Keeps an SSTable that cannot be read.
    fn quarantine(&mut self, opening: Opening, error: StoreError) -> Result<(), StoreError> {
        if !matches!(error, StoreError::Corrupt { .. }) {
            // Not damaged, but of a newer version: only that one may go on with it.
            return Err(error);
        }
        let (first, last) = opening.entry.tokens;
        let table = &self.tables[&opening.table].table;
        self.notices.push(format!(
            "{error}: the file is kept in quarantine, reads of {}.{} fail for tokens {} to {}",
            table.keyspace, table.name, first.0, last.0
        ));
        let bound = |token| DecoratedKey {
            token,
            key: Box::default(),
        };
        let stats = Stats {
            bounds: Some((bound(first), bound(last))),
            min_timestamp: i64::MIN,
            max_timestamp: i64::MAX,
            ..Stats::default()
        };
        self.opened(opening, Vec::new(), None, stats, Some(error));
        Ok(())
    }

    fn opened(
        &mut self,
        opening: Opening,
        root: Vec<u8>,
        filter: Option<Bloom>,
        stats: Stats,
        broken: Option<StoreError>,
    ) {
        self.next_sstable += 1;
        let table = SsTable {
            id: self.next_sstable,
            file: opening.file,
            name: opening.entry.name,
            origin: opening.entry.origin,
            path: opening.path,
            length: opening.entry.length,
            places: opening.entry.places,
            root,
            filter,
            stats,
            in_flight: AtomicU32::new(0),
            suspect: AtomicBool::new(broken.is_some()),
            broken,
        };
        let state = self
            .tables
            .get_mut(&opening.table)
            .expect("one of the tables");
        state.add(Arc::new(table));
    }
}
