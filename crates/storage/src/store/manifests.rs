//! Writing manifests: one in flight per table, the next says everything that changed meanwhile.

use super::table::Then;
use super::{RETRY_MS, Store};
use crate::error::StoreError;
use crate::io::Purpose;
use crate::layout::ROOT;
use crate::sstable::SsTable;
use crate::sstable::bloom::Bloom;
use model::env::{IoError, IoOutcome, IoQueue, IoRequest, OpenMode};
use model::schema::TableId;
use model::time::Now;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Store {
    /// Submits the manifests that changed.
    pub(super) fn write_manifests(&mut self, now: Now, io: &mut IoQueue) {
        if !std::mem::take(&mut self.agenda.manifests) {
            return;
        }
        let ids: Vec<TableId> = self
            .tables
            .iter()
            .filter(|(_, state)| state.manifest.dirty && state.manifest.writing.is_none())
            .filter(|(_, state)| state.manifest.retry_at.is_none_or(|at| now.boot >= at))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.write_manifest(id, io);
        }
    }

    fn write_manifest(&mut self, id: TableId, io: &mut IoQueue) {
        let state = self.tables.get_mut(&id).expect("one of the tables");
        let path = state.manifest_path(&self.config);
        let new_path = format!("{path}.new");
        let file = self.requests.file();
        let mut chain = Vec::with_capacity(12);
        if !state.has_directory {
            chain.extend(make_directory(&state.directory));
        }
        let data = state.manifest().encode();
        chain.extend([
            IoRequest::Remove {
                path: new_path.clone(),
            },
            IoRequest::Open {
                file,
                path: new_path.clone(),
                mode: OpenMode::Create,
            },
            IoRequest::Write {
                file,
                offset: 0,
                data,
            },
            IoRequest::Sync { file },
            IoRequest::Close { file },
            IoRequest::Rename {
                from: new_path,
                to: path,
            },
            IoRequest::SyncDirectory {
                path: state.directory.clone(),
            },
        ]);
        state.manifest.dirty = false;
        state.manifest.retry_at = None;
        state.manifest.file = Some(file);
        state.manifest.writing = Some(std::mem::take(&mut state.manifest.then));
        self.requests
            .submit(io, Purpose::Manifest(id), IoRequest::Chain(chain));
    }

    pub(super) fn manifest_on_io(
        &mut self,
        id: TableId,
        outcome: IoOutcome,
        now: Now,
        io: &mut IoQueue,
    ) {
        let Some(state) = self.tables.get_mut(&id) else {
            return self.drop_written(id, io);
        };
        let Some(then) = state.manifest.writing.take() else {
            return;
        };
        match outcome {
            Ok(_) => {
                state.has_directory = true;
                for then in then {
                    self.then(id, then);
                }
                self.agenda.manifests = true;
                self.free_log(io);
                self.remove_retired(io);
                self.write_manifests(now, io);
                self.recovery_manifest_written(now, io);
            }
            Err(error) => {
                let later = std::mem::replace(&mut state.manifest.then, then);
                state.manifest.then.extend(later);
                state.manifest.dirty = true;
                let retry_at = now.boot.plus_millis(RETRY_MS);
                state.manifest.retry_at = Some(retry_at);
                super::sooner(&mut self.agenda.retry_at, retry_at);
                if let Some(file) = state.manifest.file.take() {
                    self.requests
                        .submit(io, Purpose::Nobody, IoRequest::Close { file });
                }
                self.fail_waiting(id, error, io);
            }
        }
    }

    fn then(&mut self, id: TableId, then: Then) {
        match then {
            Then::Release(first) => {
                let state = self.tables.get_mut(&id).expect("looked up by the caller");
                if let Some(index) = state.unlisted.iter().position(|other| *other == first) {
                    state.unlisted.swap_remove(index);
                }
            }
            Then::Remove(tables) => self.retired.extend(tables),
            Then::Task(task) => self.task_step(task, None),
        }
    }

    /// Tells those who wait for a manifest that it could not be written; what must be done when it is stays noted.
    fn fail_waiting(&mut self, id: TableId, error: IoError, io: &mut IoQueue) {
        let Some(state) = self.tables.get_mut(&id) else {
            return;
        };
        let error = StoreError::io(&state.manifest_path(&self.config), error);
        let mut tasks = Vec::new();
        state.manifest.then.retain(|then| match then {
            Then::Task(task) => {
                tasks.push(*task);
                false
            }
            _ => true,
        });
        for task in tasks {
            self.task_step(task, Some(error.clone()));
        }
        self.recovery_failed_write(&error);
        self.remove_retired(io);
    }

    /// Closes and removes the files that nobody reads any more.
    pub(super) fn remove_retired(&mut self, io: &mut IoQueue) {
        let in_use = |table: &Arc<SsTable>| table.in_flight.load(Ordering::Relaxed) > 0;
        let retired = std::mem::take(&mut self.retired);
        let (in_use, gone): (Vec<_>, Vec<_>) = retired.into_iter().partition(in_use);
        self.retired = in_use;
        if gone.is_empty() {
            return;
        }
        self.cache
            .forget(&gone.iter().map(|table| table.id).collect());
        for table in gone {
            self.filter_bytes -= table.filter.as_ref().map_or(0, Bloom::bytes);
            let close = IoRequest::Close { file: table.file };
            let remove = IoRequest::Remove {
                path: table.path.clone(),
            };
            self.requests
                .submit(io, Purpose::Nobody, IoRequest::Chain(vec![close, remove]));
        }
    }
}

/// Makes a table's directory, durably: the entries of all directories above it too.
pub(super) fn make_directory(path: &str) -> Vec<IoRequest> {
    let mut chain = vec![IoRequest::CreateDirectory {
        path: path.to_owned(),
    }];
    let mut rest = path;
    while let Some((parent, _)) = rest.rsplit_once('/') {
        chain.push(IoRequest::SyncDirectory {
            path: parent.to_owned(),
        });
        rest = parent;
    }
    chain.push(IoRequest::SyncDirectory {
        path: ROOT.to_owned(),
    });
    chain
}
