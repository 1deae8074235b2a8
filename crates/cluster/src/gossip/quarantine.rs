//! Nodes that hearsay must not bring back.
//!
//! After a node is removed or forgotten here, others still list it for a while. A removed host id stays out (its
//! directory must be cleared to come back, which gives it another); a forgotten one returns when it is heard of later
//! than it was forgotten, by a greater generation or heartbeat.

use crate::gossip::config::{MAX_QUARANTINED, QUARANTINE_MS};
use crate::gossip::endpoint::{Generation, Identity};
use model::time::BootNanos;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Why a node is kept out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// It was removed.
    Removed,
    /// It was silent and no member; this is the last that was heard.
    Forgotten {
        generation: Generation,
        heartbeat: u64,
    },
}

/// Who is kept out, by host id.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    held: BTreeMap<Uuid, (Reason, BootNanos)>,
}

impl Quarantine {
    pub fn insert(&mut self, host_id: Uuid, reason: Reason, now: BootNanos) {
        if self.held.len() >= MAX_QUARANTINED && !self.held.contains_key(&host_id) {
            let oldest = self.held.iter().min_by_key(|(_, (_, at))| *at);
            if let Some(host_id) = oldest.map(|(host_id, _)| *host_id) {
                self.held.remove(&host_id);
            }
        }
        self.held.insert(host_id, (reason, now));
    }

    /// Whether a node was removed, so that it is refused.
    pub fn is_removed(&self, host_id: Uuid) -> bool {
        matches!(self.held.get(&host_id), Some((Reason::Removed, _)))
    }

    /// Whether news of this life with this heartbeat are to be ignored.
    pub fn ignores(&self, identity: &Identity, heartbeat: u64) -> bool {
        match self.held.get(&identity.host_id) {
            None => false,
            Some((Reason::Removed, _)) => true,
            Some((
                Reason::Forgotten {
                    generation,
                    heartbeat: last,
                },
                _,
            )) => (identity.generation, heartbeat) <= (*generation, *last),
        }
    }

    /// A forgotten node is back.
    pub fn release(&mut self, host_id: Uuid) {
        self.held.remove(&host_id);
    }

    /// Lets go of those that were kept out long enough.
    pub fn expire(&mut self, now: BootNanos) {
        self.held
            .retain(|_, (_, at)| now.since(*at) < QUARANTINE_MS * 1_000_000);
    }
}
