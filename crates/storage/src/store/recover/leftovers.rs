//! Files that nothing needs any more: of other generations, or in no manifest.

use crate::commitlog::SegmentName;
use crate::config::StoreConfig;
use crate::io::Purpose;
use crate::manifest::{DROP_MARK, parse_manifest_name};
use crate::sstable::FileName;
use crate::store::Store;
use model::env::{IoDone, IoOutcome, IoQueue, IoRequest};
use std::collections::BTreeSet;

impl Store {
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
    pub(in crate::store) fn leftovers_listed(
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

/// Generation and shard in the name of any file of ours.
fn generation_of(name: &str) -> Option<(u32, u16)> {
    let rest = name.strip_prefix("manifest-").unwrap_or(name);
    let mut parts = rest.split(['-', '.']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Whether a file may be removed by this shard: its own that no manifest lists, and, for shard 0, what other
/// generations and shards that are no more left behind.
pub(super) fn is_junk(name: &str, config: &StoreConfig, listed: &BTreeSet<FileName>) -> bool {
    // Its table is in the schema: the drop came to nothing.
    if name.starts_with(DROP_MARK) {
        return config.shard == 0;
    }
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
