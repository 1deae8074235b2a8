//! One request through its replicas.
//!
//! A coordinator makes a [`plan`] of each partition: who its replicas are, and what the consistency level wants of them; it
//! is `Unavailable` at once if too few are alive. Then a machine ([`write`], [`read`]) says what goes to which replica and
//! counts what comes back until the level is reached, or cannot be any more. The errors it ends with have the fields of
//! their bodies (native protocol v5, section 9). Nothing here knows shards, sockets or clocks.

pub mod batchlog;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod plan;
pub mod ranges;
pub mod read;
pub mod resolve;
mod tally;
pub mod write;

use model::error::RequestError;
pub use plan::{Access, Replica, ReplicaPlan, Replicas, admit, check_level, members, participants};

/// Why a replica could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicaError {
    /// No room: nothing was done, and the client is to slow down.
    Overloaded(String),
    /// It failed; reason code of the protocol and detail.
    Failed(u16, String),
    /// What was asked is wrong, found out only with the data at hand; nothing was done.
    Invalid(String),
    /// Several replicas were asked, and this is what the client is told of them.
    Told(Box<RequestError>),
    /// The ring has changed since it was planned, and who asks may not know all replicas; or the table was emptied, and who decides
    /// about it does not know. Nothing was done.
    Outdated,
    /// The replica may miss recent writes, and rows of one that may were not wanted.
    Behind,
}

/// What a client is told of [`ReplicaError::Outdated`].
const OUTDATED: &str = "the ring or the table has changed since this was planned";

impl ReplicaError {
    /// Its words alone.
    pub fn into_text(self) -> String {
        match self {
            Self::Overloaded(text) | Self::Failed(_, text) | Self::Invalid(text) => text,
            Self::Told(error) => error.to_string(),
            Self::Outdated => OUTDATED.to_owned(),
            Self::Behind => "it may miss recent writes".to_owned(),
        }
    }

    /// The protocol's reason code.
    fn reason(&self) -> u16 {
        match self {
            Self::Failed(reason, _) => *reason,
            Self::Overloaded(_)
            | Self::Invalid(_)
            | Self::Told(_)
            | Self::Outdated
            | Self::Behind => 0,
        }
    }
}
