//! SSTables: immutable files of partitions in token order. Byte-exact in `docs/formats/sstable.md`.
//!
//! Data blocks, index blocks over them, and at the end what is read when the file is opened: the index root, the bloom
//! filter, the statistics, and a footer that says where they are. Everything is in checksummed blocks ([`codec`]).
//!
//! What must stay true:
//! - Partitions ascend by (token, key), rows by clustering key; no version of anything is there twice.
//! - A block whose checksum is wrong is an error that names file and offset, never an absent row.

pub(crate) mod block;
pub(crate) mod bloom;
pub(crate) mod codec;
pub(crate) mod index;
mod stats;
mod table;
mod writer;

pub use stats::{Stats, TombstoneHistogram};
pub(crate) use table::{FOOTER_BYTES, FileName, Footer, SsTable, TAIL_BYTES, Tail};
pub(crate) use writer::{SsTableWriter, WriterOptions, Written};
