//! Replicas are compared, and brought to the same rows where they differ (docs/tracking.md, section 7).
//!
//! ```text
//! plan     which stretches of which tables this node compares with whom
//! part     a stretch taken to pieces of a mebibyte, and what is asked of a replica about one
//! manner   how a repair is to be, what it wants done, how far it is
//! session  what is asked of whom and when, until all stretches are equal
//! ```
//!
//! A part is read here to find out where it ends, then everybody answers with a digest of it, at one `now` and with one purge horizon:
//! what may be purged by then counts for nobody, so that a replica that has purged and one that has not are equal. Where digests
//! differ, everybody sends its rows, with all tombstones, however old: who lacks a deletion is told of it even if it may be purged
//! elsewhere. What each lacks of all versions merged it is sent as a mutation with the timestamps that it has.
//!
//! What must stay true:
//! - what a part is made of does not depend on who reads it: the same command goes to all;
//! - nothing is held of a session but one part of each member;
//! - a stretch counts as equal only if every member answered about every part of it, and has what it lacked durably;
//! - the progress of a session is not durable. What it brought is: repairing again costs time and nothing else.

pub mod manner;
pub mod part;
pub mod plan;
pub mod session;
#[cfg(test)]
mod tests;
