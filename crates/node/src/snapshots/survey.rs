//! What a start finds in the data directory beside the files of its tables: snapshots, and what is left of dropped tables.
//!
//! Directories are looked at one after the other: the data directory, keyspaces, tables, their snapshots. A directory of
//! a table that is not in the schema is cleared if it has a mark ([`storage::DROP_MARK`]); marks go last, and
//! snapshots stay. Without a mark it is left as it is: it may be the schema that was lost.

use super::manifest::Manifest;
use super::{MANIFEST_FILE, total};
use crate::system::SnapshotFact;
use model::env::{Entry, FileId, IoDone, IoRequest, OpenMode};
use model::schema::TableId;
use std::collections::VecDeque;
use storage::DROP_MARK;

/// Longest manifest that is read, in bytes.
const MAX_MANIFEST_BYTES: u64 = 16 << 20;

/// Something to look at, with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Visit {
    Data(String),
    Keyspace(String),
    Table(String),
    Snapshots(String),
    Snapshot(String),
    Manifest {
        directory: String,
        /// Bytes of all files of the snapshot.
        bytes: u64,
        /// Bytes of the manifest.
        length: u64,
        file: FileId,
    },
}

impl Visit {
    pub(super) fn path(&self) -> &str {
        match self {
            Self::Data(path)
            | Self::Keyspace(path)
            | Self::Table(path)
            | Self::Snapshots(path)
            | Self::Snapshot(path)
            | Self::Manifest {
                directory: path, ..
            } => path,
        }
    }

    /// The request that looks.
    pub(super) fn request(&self) -> IoRequest {
        match self {
            Self::Manifest {
                directory,
                file,
                length,
                ..
            } => IoRequest::Chain(vec![
                IoRequest::Open {
                    file: *file,
                    path: format!("{directory}/{MANIFEST_FILE}"),
                    mode: OpenMode::Read,
                },
                IoRequest::Read {
                    file: *file,
                    offset: 0,
                    length: (*length).min(MAX_MANIFEST_BYTES) as usize,
                },
            ]),
            _ => IoRequest::List {
                path: self.path().to_owned(),
            },
        }
    }
}

/// What a look found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// A snapshot and its directory.
    pub snapshot: Option<(String, SnapshotFact)>,
    /// What removes the rest of a dropped table, and its directory.
    pub removal: Option<(String, IoRequest)>,
}

/// What is still to be looked at.
#[derive(Debug)]
pub(super) struct Survey {
    visits: VecDeque<Visit>,
}

impl Survey {
    pub(super) fn new(data_directory: &str) -> Self {
        Self {
            visits: [Visit::Data(data_directory.to_owned())].into(),
        }
    }

    /// What is looked at next; a manifest that is to be read gets this id.
    pub(super) fn next(&mut self, file: FileId) -> Option<Visit> {
        let mut visit = self.visits.pop_front()?;
        if let Visit::Manifest { file: own, .. } = &mut visit {
            *own = file;
        }
        Some(visit)
    }

    /// Takes what was seen.
    pub(super) fn visited(
        &mut self,
        visit: Visit,
        done: IoDone,
        is_live: impl Fn(TableId) -> bool,
    ) -> Found {
        let mut found = Found::default();
        match (visit, done) {
            (Visit::Data(path), IoDone::Listed(entries)) => {
                self.go_into(&path, &entries, Visit::Keyspace);
            }
            (Visit::Keyspace(path), IoDone::Listed(entries)) => {
                self.go_into(&path, &entries, Visit::Table);
            }
            (Visit::Table(path), IoDone::Listed(entries)) => {
                let id = table_id(&path);
                if id.is_some_and(|id| !is_live(id)) {
                    found.removal = removal(&path, &entries).map(|removal| (path.clone(), removal));
                }
                if entries.iter().any(is_snapshots) {
                    self.visits
                        .push_front(Visit::Snapshots(format!("{path}/snapshots")));
                }
            }
            (Visit::Snapshots(path), IoDone::Listed(entries)) => {
                self.go_into(&path, &entries, Visit::Snapshot);
            }
            (Visit::Snapshot(directory), IoDone::Listed(entries)) => {
                // One without a manifest was never finished.
                let manifest = entries.iter().find(|entry| entry.name == MANIFEST_FILE);
                if let Some(manifest) = manifest {
                    self.visits.push_front(Visit::Manifest {
                        directory,
                        bytes: total(&entries),
                        length: manifest.length,
                        file: FileId(0),
                    });
                }
            }
            (
                Visit::Manifest {
                    directory, bytes, ..
                },
                IoDone::Read(content),
            ) => {
                let fact = snapshot(&directory, bytes, &content);
                found.snapshot = fact.map(|fact| (directory, fact));
            }
            _ => {}
        }
        found
    }

    fn go_into(&mut self, path: &str, entries: &[Entry], visit: fn(String) -> Visit) {
        for entry in entries.iter().filter(|entry| entry.directory) {
            self.visits
                .push_front(visit(format!("{path}/{}", entry.name)));
        }
    }
}

fn is_snapshots(entry: &Entry) -> bool {
    entry.directory && entry.name == "snapshots"
}

/// The id at the end of the name of a table's directory.
fn table_id(path: &str) -> Option<TableId> {
    let (_, id) = path.rsplit_once('-')?;
    Some(TableId(uuid::Uuid::try_parse(id).ok()?))
}

/// What removes what is left of a dropped table; `None` if nothing says that it was dropped.
fn removal(path: &str, entries: &[Entry]) -> Option<IoRequest> {
    let is_mark = |entry: &&Entry| entry.name.starts_with(DROP_MARK);
    entries.iter().find(is_mark)?;
    let remove = |entry: &Entry| IoRequest::Remove {
        path: format!("{path}/{}", entry.name),
    };
    let sync = |path: &str| IoRequest::SyncDirectory {
        path: path.to_owned(),
    };
    let files = || entries.iter().filter(|entry| !entry.directory);
    let mut chain: Vec<IoRequest> = files()
        .filter(|entry| !is_mark(entry))
        .map(remove)
        .collect();
    // While anything may come back, so may its mark.
    chain.push(sync(path));
    if entries.iter().any(|entry| entry.directory) {
        chain.extend(files().filter(is_mark).map(remove));
        chain.push(sync(path));
    } else {
        let parent = path.rsplit_once('/').map_or(path, |(parent, _)| parent);
        chain.push(IoRequest::RemoveTree {
            path: path.to_owned(),
        });
        chain.push(sync(parent));
    }
    Some(IoRequest::Chain(chain))
}

/// The snapshot in `<data>/<keyspace>/<table>-<id>/snapshots/<name>`.
fn snapshot(directory: &str, bytes: u64, manifest: &[u8]) -> Option<SnapshotFact> {
    let mut parts = directory.rsplit('/');
    let (name, _, table, keyspace) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let manifest = Manifest::decode(manifest)?;
    Some(SnapshotFact {
        name: name.to_owned(),
        keyspace: keyspace.to_owned(),
        table: table.rsplit_once('-')?.0.to_owned(),
        created_millis: manifest.created_millis,
        expires_millis: manifest.expires_millis,
        bytes,
    })
}
