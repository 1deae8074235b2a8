//! What a leader knows of another member's log.

use super::Index;
use model::time::BootNanos;

/// How the leader sends to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// One message at a time until it is known where the logs part.
    Probe,
    /// Entries as they come, without waiting for answers.
    Stream,
    /// A snapshot is on its way; after this moment it counts as lost.
    Snapshot(BootNanos),
}

/// A member as its leader sees it.
#[derive(Debug)]
pub(super) struct Progress {
    /// It holds the leader's entries up to here, durably.
    pub matched: Index,
    /// What it is sent next.
    pub next: Index,
    /// How.
    pub mode: Mode,
    /// Whether it was sent something since it last answered; a probe waits for the next heartbeat then.
    pub probed: bool,
    /// When it was last heard.
    pub heard: BootNanos,
}

impl Progress {
    /// A member of which nothing is known.
    pub fn new(last: Index, now: BootNanos) -> Self {
        Self {
            matched: 0,
            next: last + 1,
            mode: Mode::Probe,
            probed: false,
            heard: now,
        }
    }
}
