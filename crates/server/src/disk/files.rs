//! The files the shards have open, by the ids they chose.

use model::env::{FileId, IoError};
use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, PoisonError, RwLock};

/// Open files of all shards. A file stays open while a request uses it, even if it is closed meanwhile.
#[derive(Debug, Default)]
pub struct Files {
    open: RwLock<HashMap<(u16, FileId), Arc<File>>>,
}

impl Files {
    /// Puts a file under an id that must be free.
    pub fn insert(&self, shard: u16, id: FileId, file: File) -> Result<(), IoError> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if open.contains_key(&(shard, id)) {
            return Err(IoError::Other(format!(
                "file id {} of shard {shard} is in use",
                id.0
            )));
        }
        open.insert((shard, id), Arc::new(file));
        Ok(())
    }

    /// The file under an id.
    pub fn get(&self, shard: u16, id: FileId) -> Result<Arc<File>, IoError> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.get(&(shard, id))
            .cloned()
            .ok_or_else(|| IoError::Other(format!("file id {} of shard {shard} is not open", id.0)))
    }

    /// Frees an id.
    pub fn remove(&self, shard: u16, id: FileId) {
        self.open
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&(shard, id));
    }
}
