//! What the data is: types and their bytes, keys and tokens, cells, rows, mutations and how they merge, schema, limits,
//! and the traits for the world outside (clock, disk, randomness).
//!
//! Everything here is pure: no I/O, no async, no threads. A value stays in the bytes the protocol carried it in; what
//! orders data is made byte-comparable at the edge ([`comparable`]) so that everything below compares with `memcmp`.
//! Versions of a row meet in one place only, [`merge`].

pub mod clustering;
pub mod comparable;
pub mod env;
pub mod error;
pub mod filter;
pub mod hybrid_clock;
pub mod key;
pub mod limits;
pub mod merge;
pub mod murmur;
pub mod mutation;
pub mod policy;
pub mod read;
pub mod row;
pub mod schema;
pub mod staleness;
pub mod time;
pub mod tombstone;
pub mod touch;
pub mod track;
pub mod types;
pub mod value;
pub mod varint;
