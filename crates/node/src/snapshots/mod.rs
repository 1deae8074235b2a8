//! Snapshots: which there are, how one is made whole, and when it goes. Shard 0's.
//!
//! A snapshot is a directory, `<table's directory>/snapshots/<name>`, into which every shard links what it has of the table
//! ([`storage::Farewell`]). When all have, [`Snapshots::complete`] writes beside that what Cassandra's users look for:
//! `schema.cql`, the statement that makes the table again, and last `manifest.json` ([`manifest`]). A directory without
//! that file is of a snapshot that was never finished. Where no shard had anything to link there is no snapshot.
//!
//! At the start [`survey`] looks at what is on the disk: snapshots are found again, and the files of dropped tables that
//! a crash left are removed.
//!
//! What must stay true: nothing below a directory `snapshots` is removed but by [`Snapshots::discard`], which removes
//! what failed to become a snapshot, by expiry, and by [`Snapshots::clear`], when an operator wants it.

mod manifest;
mod survey;
#[cfg(test)]
mod tests;

use crate::system::SnapshotFact;
use manifest::Manifest;
use model::env::{Entry, FileId, IoDone, IoOutcome, IoQueue, IoRequest, IoTag, OpenMode};
use model::schema::TableId;
use model::time::{BootNanos, Now};
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::StoreError;
use survey::{Survey, Visit};

/// The statement that makes the table again.
const SCHEMA_FILE: &str = "schema.cql";
/// What says that a snapshot is whole.
const MANIFEST_FILE: &str = "manifest.json";

/// A snapshot that all shards have linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linked {
    /// Its name.
    pub name: Arc<str>,
    /// Keyspace of the table.
    pub keyspace: String,
    /// The table.
    pub table: String,
    /// The table's directory.
    pub table_directory: String,
    /// The statement that makes the table again.
    pub schema_cql: String,
    /// When it was taken, in milliseconds.
    pub created_millis: i64,
    /// When it is to go, in milliseconds.
    pub expires_millis: Option<i64>,
}

impl Linked {
    fn directory(&self) -> String {
        format!("{}/snapshots/{}", self.table_directory, self.name)
    }
}

/// What an outstanding request is for.
#[derive(Debug)]
enum Step {
    /// A look at a directory or file.
    Survey(Visit),
    /// Listing what the shards linked.
    List(u64, Linked),
    /// Writing what makes a snapshot whole.
    Write(u64, SnapshotFact, String, [FileId; 2]),
    /// Removal of a snapshot that an operator wants gone.
    Clear(u64, String, SnapshotFact),
    /// Removal, whose failure changes nothing: the next start tries again.
    Nobody,
}

/// The snapshots on the disk.
#[derive(Debug)]
pub struct Snapshots {
    space: u64,
    next_tag: u64,
    next_file: u64,
    waiting: BTreeMap<u64, Step>,
    survey: Survey,
    /// By directory.
    known: BTreeMap<String, SnapshotFact>,
    /// The same for who shows them.
    shown: Arc<Vec<SnapshotFact>>,
    /// When the first of them is to go, in milliseconds.
    expires_millis: Option<i64>,
    finished: Vec<(u64, Result<(), StoreError>)>,
    notes: Vec<String>,
}

impl Snapshots {
    /// Begins the survey of a data directory.
    pub fn open(space: u8, data_directory: &str, io: &mut IoQueue) -> Self {
        let mut snapshots = Self {
            space: u64::from(space) << 56,
            next_tag: 0,
            next_file: 0,
            waiting: BTreeMap::new(),
            survey: Survey::new(data_directory),
            known: BTreeMap::new(),
            shown: Arc::default(),
            expires_millis: None,
            finished: Vec::new(),
            notes: Vec::new(),
        };
        snapshots.survey_on(io);
        snapshots
    }

    /// The snapshots there are.
    pub fn shown(&self) -> Arc<Vec<SnapshotFact>> {
        self.shown.clone()
    }

    /// Operations that ended, by number.
    pub fn take_finished(&mut self) -> Vec<(u64, Result<(), StoreError>)> {
        std::mem::take(&mut self.finished)
    }

    /// What the operator is to know.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Makes a snapshot whole that all shards have linked; [`Self::take_finished`] says when it is.
    pub fn complete(&mut self, operation: u64, linked: Linked, io: &mut IoQueue) {
        let path = linked.directory();
        self.submit(Step::List(operation, linked), IoRequest::List { path }, io);
    }

    /// Removes what failed to become a snapshot.
    pub fn discard(&mut self, linked: &Linked, io: &mut IoQueue) {
        let path = linked.directory();
        self.submit(Step::Nobody, IoRequest::RemoveTree { path }, io);
    }

    /// Removes the snapshots of a name, or of all, in these keyspaces, or in all if none is named. Returns how many:
    /// [`Self::take_finished`] tells of each when it is gone.
    pub fn clear(
        &mut self,
        operation: u64,
        name: Option<&str>,
        keyspaces: &[String],
        io: &mut IoQueue,
    ) -> usize {
        let is_meant = |fact: &SnapshotFact| {
            name.is_none_or(|name| fact.name == name)
                && (keyspaces.is_empty() || keyspaces.contains(&fact.keyspace))
        };
        let meant: Vec<(String, SnapshotFact)> = self
            .known
            .extract_if(.., |_, fact| is_meant(fact))
            .collect();
        let count = meant.len();
        for (path, fact) in meant {
            let step = Step::Clear(operation, path.clone(), fact);
            self.submit(step, IoRequest::RemoveTree { path }, io);
        }
        self.changed();
        count
    }

    /// Removes the snapshots whose time is over.
    pub fn expire(&mut self, now: Now, io: &mut IoQueue) {
        let millis = now.wall.0 / 1000;
        if self.expires_millis.is_none_or(|at| millis < at) {
            return;
        }
        let is_over = |fact: &SnapshotFact| fact.expires_millis.is_some_and(|at| at <= millis);
        let over: Vec<String> = self
            .known
            .extract_if(.., |_, fact| is_over(fact))
            .map(|(directory, _)| directory)
            .collect();
        for path in over {
            self.notes
                .push(format!("the snapshot {path} expired and is removed"));
            self.submit(Step::Nobody, IoRequest::RemoveTree { path }, io);
        }
        self.changed();
    }

    /// When [`Self::expire`] has something to do.
    pub fn next_deadline(&self, now: Now) -> Option<BootNanos> {
        let left = self.expires_millis? - now.wall.0 / 1000;
        Some(now.boot.plus_millis(left.max(0) as u64))
    }

    /// Takes the outcome of one of its requests; others are ignored. `is_live` tells whether a table is in the schema in
    /// force.
    pub fn on_io(
        &mut self,
        tag: IoTag,
        outcome: IoOutcome,
        is_live: impl Fn(TableId) -> bool,
        io: &mut IoQueue,
    ) {
        match self.waiting.remove(&tag.0) {
            Some(Step::Survey(visit)) => self.visited(visit, outcome, is_live, io),
            Some(Step::List(operation, linked)) => self.listed(operation, &linked, outcome, io),
            Some(Step::Write(operation, fact, directory, files)) => {
                if let Err(error) = outcome {
                    for file in files {
                        self.submit(Step::Nobody, IoRequest::Close { file }, io);
                    }
                    let error = StoreError::io(&directory, error);
                    return self.finished.push((operation, Err(error)));
                }
                self.know(directory, fact);
                self.finished.push((operation, Ok(())));
            }
            Some(Step::Clear(operation, directory, fact)) => {
                let result = outcome.map(drop).map_err(|error| {
                    let error = StoreError::io(&directory, error);
                    self.know(directory, fact);
                    error
                });
                self.finished.push((operation, result));
            }
            Some(Step::Nobody) | None => {}
        }
    }

    fn submit(&mut self, step: Step, request: IoRequest, io: &mut IoQueue) {
        self.next_tag += 1;
        let tag = self.space | self.next_tag;
        self.waiting.insert(tag, step);
        io.submit(IoTag(tag), request);
    }

    fn file(&mut self) -> FileId {
        self.next_file += 1;
        FileId(self.space | self.next_file)
    }

    fn know(&mut self, directory: String, fact: SnapshotFact) {
        self.known.insert(directory, fact);
        self.changed();
    }

    fn changed(&mut self) {
        self.shown = Arc::new(self.known.values().cloned().collect());
        let expiries = self.known.values().filter_map(|fact| fact.expires_millis);
        self.expires_millis = expiries.min();
    }

    /// What the shards linked is known: the rest is written.
    fn listed(&mut self, operation: u64, linked: &Linked, outcome: IoOutcome, io: &mut IoQueue) {
        let directory = linked.directory();
        let entries = match outcome {
            Ok(IoDone::Listed(entries)) => entries,
            Ok(_) => Vec::new(),
            Err(error) => {
                let error = StoreError::io(&directory, error);
                return self.finished.push((operation, Err(error)));
            }
        };
        if entries.is_empty() {
            return self.finished.push((operation, Ok(())));
        }
        let manifest = Manifest {
            files: entries.iter().map(|entry| entry.name.clone()).collect(),
            created_millis: linked.created_millis,
            expires_millis: linked.expires_millis,
        };
        let texts = [
            (SCHEMA_FILE, linked.schema_cql.clone()),
            (MANIFEST_FILE, manifest.encode()),
        ];
        let files = [self.file(), self.file()];
        let mut chain = Vec::new();
        let mut bytes = total(&entries);
        for (file, (name, text)) in files.into_iter().zip(texts) {
            bytes += text.len() as u64;
            chain.extend([
                IoRequest::Open {
                    file,
                    path: format!("{directory}/{name}"),
                    mode: OpenMode::Create,
                },
                IoRequest::Write {
                    file,
                    offset: 0,
                    data: text.into_bytes(),
                },
                IoRequest::Sync { file },
                IoRequest::Close { file },
            ]);
        }
        let path = directory.clone();
        chain.push(IoRequest::SyncDirectory { path });
        let fact = SnapshotFact {
            name: linked.name.to_string(),
            keyspace: linked.keyspace.clone(),
            table: linked.table.clone(),
            created_millis: linked.created_millis,
            expires_millis: linked.expires_millis,
            bytes,
        };
        let step = Step::Write(operation, fact, directory, files);
        self.submit(step, IoRequest::Chain(chain), io);
    }

    /// Goes on with the survey: one request at a time, for nobody waits for it.
    fn survey_on(&mut self, io: &mut IoQueue) {
        let file = self.file();
        let Some(visit) = self.survey.next(file) else {
            return;
        };
        let request = visit.request();
        self.submit(Step::Survey(visit), request, io);
    }

    fn visited(
        &mut self,
        visit: Visit,
        outcome: IoOutcome,
        is_live: impl Fn(TableId) -> bool,
        io: &mut IoQueue,
    ) {
        let path = visit.path().to_owned();
        if let Visit::Manifest { file, .. } = visit {
            self.submit(Step::Nobody, IoRequest::Close { file }, io);
        }
        match outcome {
            Ok(done) => {
                let found = self.survey.visited(visit, done, is_live);
                if let Some((directory, fact)) = found.snapshot {
                    self.know(directory, fact);
                }
                if let Some((path, removal)) = found.removal {
                    self.notes.push(format!(
                        "{path} is of a table that was dropped: what a crash left of it is removed"
                    ));
                    self.submit(Step::Nobody, removal, io);
                }
            }
            Err(error) => self
                .notes
                .push(format!("{path} could not be looked at: {error}")),
        }
        self.survey_on(io);
    }
}

/// The bytes of files just listed.
fn total(entries: &[Entry]) -> u64 {
    entries.iter().map(|entry| entry.length).sum()
}
