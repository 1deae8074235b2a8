//! One shard's durable data: commit log, memtable, SSTable, flush, compaction, read, cache.
//!
//! No threads, no async, no files, no clock: requests to the disk go out through [`model::env::IoQueue`], their
//! outcomes come in through [`Store::on_io`], time is an argument. So the simulator drives what ships.
//!
//! A write goes `store/write → commitlog/log + memtable`, a read `store/reads → read → merge → memtable, sstable, cache`; what
//! nobody waits for is `store/flush`, `store/compact` and `store/manifests`. What is on disk, byte by byte, is in
//! `docs/formats/`.
//! What other replicas may still need of the log is `store/journal`.

mod cache;
mod commitlog;
mod compaction;
mod config;
mod error;
mod format;
pub mod formats;
pub mod held;
mod io;
mod layout;
mod manifest;
mod memtable;
mod merge;
mod metalog;
mod ownership;
mod read;
mod sstable;
mod store;

pub use commitlog::Position;
pub use config::{Generation, OnRot, StoreConfig, SyncMode};
pub use error::StoreError;
pub use layout::LayoutFile;
pub use manifest::DROP_MARK;
pub use metalog::MetaLog;
pub use sstable::{Stats, TombstoneHistogram};
pub use store::{
    Applied, Closeness, CompactionStats, Farewell, Fetched, JobKind, JobStats, KeptTokens, PLACED,
    ReadProgress, Removal, Rewritten, Store, StoreStats, TableStats, Verified,
};
