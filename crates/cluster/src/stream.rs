//! Data that a node has to have because the ring changes, and how it gets it from those who have it.
//!
//! ```text
//! metadata::Metadata::moved   which stretches of the ring a change gives to whom
//! plan                        what one node gains of that, and from whom it may take it
//! session                     what is asked of whom and when, until all of it is here
//! chunk                       a replica's answer taken apart into mutations, and where the next one begins
//! ```
//!
//! A node *pulls*: it asks one shard of a source for a chunk of one table's stretch, applies it like any write, and asks for what
//! follows once the chunk is applied. So it never has more under way than its window, a chunk that is lost is asked for again, and
//! what is applied twice is applied once. A chunk is a replica's versions as they are: deletions, tombstones and what has expired too.
//!
//! What must stay true:
//! - nothing is taken from a source before it is written to by everybody who could be reached, the new replica beside it, so that
//!   what a source does not hold yet comes to both (`node/stream` waits for that);
//! - where one replica takes another's place, it takes the data from that one: who held what stays as it was, and so do quorums.
//!   If that one is away, the data is taken from all others that live: whatever a quorum acknowledged one of them has;
//! - neither the progress of a session nor what it took is durable before its end, when all of it is flushed: a node that restarts
//!   begins the session over, which costs time and nothing else.

pub mod chunk;
pub mod plan;
pub mod session;
