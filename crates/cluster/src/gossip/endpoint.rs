//! A node as gossip knows it: who it is, which life it is in, how its heart beats, what it says of itself.
//!
//! - Versions of one generation only grow, and each belongs to one value. An endpoint at version `v` holds exactly what
//!   its owner said up to `v`; that is what makes one number a digest (van Renesse et al., "Efficient Reconciliation
//!   and Flow Control for Anti-Entropy Protocols", 2008).
//! - Only the owner writes its states; everyone else copies.

use crate::gossip::message::Delta;
use crate::gossip::state::{State, StateKey, put_address};
use model::murmur;
use model::time::BootNanos;
use model::varint;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use uuid::Uuid;

/// Which life of a node: later starts are greater.
///
/// The boot number decides; it is synced before it is used. The second of the start tells two directories apart that
/// were copied from one, and orders starts of which one lost its boot number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation {
    /// How often this directory was started.
    pub boot: u32,
    /// When, in seconds since 1970.
    pub started_seconds: u64,
}

/// Who a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// Where other nodes reach it.
    pub address: SocketAddr,
    /// Its host id, made at its first start.
    pub host_id: Uuid,
    /// Its life.
    pub generation: Generation,
    /// The host id of the node it was started to replace.
    pub replaces: Option<Uuid>,
}

/// How an identity that was offered compares with the one that is held for the same address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// The same life.
    Same,
    /// A later life, or the declared replacement.
    Newer,
    /// An earlier life, or the node that was replaced.
    Older,
    /// Another node at the same address, which nobody declared.
    Conflict,
}

impl Identity {
    /// Compares an identity offered for this one's address.
    pub fn relation(&self, offered: &Self) -> Relation {
        if self.host_id == offered.host_id {
            return match offered.generation.cmp(&self.generation) {
                Ordering::Equal => Relation::Same,
                Ordering::Greater => Relation::Newer,
                Ordering::Less => Relation::Older,
            };
        }
        if offered.replaces == Some(self.host_id) {
            Relation::Newer
        } else if self.replaces == Some(offered.host_id) {
            Relation::Older
        } else {
            Relation::Conflict
        }
    }

    /// A hash of who and which life, for the roster.
    pub(super) fn digest(&self) -> u64 {
        let mut bytes = Vec::with_capacity(64);
        put_address(&mut bytes, self.address);
        bytes.extend_from_slice(self.host_id.as_bytes());
        varint::put(&mut bytes, u64::from(self.generation.boot));
        varint::put(&mut bytes, self.generation.started_seconds);
        murmur::hash(&bytes) as u64
    }
}

/// A value with the version its owner gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The version, unique within the endpoint's generation.
    pub version: u64,
    /// The value.
    pub state: State,
}

/// What is known of a node.
#[derive(Debug, Clone)]
pub struct Endpoint {
    identity: Identity,
    /// [`Identity::digest`], kept because every exchange needs it.
    digest: u64,
    /// Counts seconds of its present life.
    pub(super) heartbeat: u64,
    version: u64,
    states: BTreeMap<StateKey, Versioned>,
    /// When its heartbeat was last seen to advance, from whomever.
    pub(super) heard_at: BootNanos,
    /// What the detector says; see [`super::Gossip::set_reachable`].
    pub(super) reachable: bool,
}

impl Endpoint {
    /// An endpoint that nothing is known of yet.
    pub(super) fn new(identity: Identity, now: BootNanos) -> Self {
        Self {
            identity,
            digest: identity.digest(),
            heartbeat: 0,
            version: 0,
            states: BTreeMap::new(),
            heard_at: now,
            reachable: true,
        }
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where other nodes reach it.
    pub fn address(&self) -> SocketAddr {
        self.identity.address
    }

    /// The greatest version it is known up to.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How often its heart has beaten in this life.
    pub fn heartbeat(&self) -> u64 {
        self.heartbeat
    }

    /// When its heartbeat was last seen to advance, from whomever.
    pub fn heard_at(&self) -> BootNanos {
        self.heard_at
    }

    /// What it says of itself, by key.
    pub fn states(&self) -> &BTreeMap<StateKey, Versioned> {
        &self.states
    }

    /// One of its states.
    pub fn state(&self, key: StateKey) -> Option<&State> {
        self.states.get(&key).map(|versioned| &versioned.state)
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    /// Begins another life: nothing of the earlier one counts any more.
    pub(super) fn replace_identity(&mut self, identity: Identity, now: BootNanos) {
        *self = Self::new(identity, now);
    }

    /// The owner's own life got a later number; what it says stays.
    pub(super) fn raise(&mut self, generation: Generation) {
        assert!(
            generation > self.identity.generation,
            "generations only grow"
        );
        self.identity.generation = generation;
        self.digest = self.identity.digest();
    }

    /// The owner says something. Whether it was news: what is said again takes no version.
    pub(super) fn set(&mut self, state: State) -> bool {
        let key = state.key();
        if self.state(key) == Some(&state) {
            return false;
        }
        self.version += 1;
        let version = self.version;
        self.states.insert(key, Versioned { version, state });
        true
    }

    /// Takes over what another node passed on of this same life. Keys that changed are appended to `changed`.
    ///
    /// A delta that begins after what is known here would leave a gap below the version it ends at: it is ignored, and
    /// the next exchange asks from the right place.
    pub(super) fn apply(&mut self, delta: Delta, changed: &mut Vec<StateKey>) {
        if delta.from > self.version || delta.to <= self.version {
            return;
        }
        for value in delta.values {
            let key = value.state.key();
            let known = self.states.get(&key).map_or(0, |known| known.version);
            if value.version > known {
                self.states.insert(key, value);
                changed.push(key);
            }
        }
        self.version = delta.to;
    }

    /// Takes over a heartbeat of this same life. Whether it is later than what was known.
    pub(super) fn beat(&mut self, heartbeat: u64, now: BootNanos) -> bool {
        if heartbeat <= self.heartbeat {
            return false;
        }
        self.heartbeat = heartbeat;
        self.heard_at = now;
        true
    }

    /// The values later than `from`, in the order of their versions.
    pub(super) fn values_after(&self, from: u64) -> Vec<&Versioned> {
        let mut values: Vec<&Versioned> = self
            .states
            .values()
            .filter(|value| value.version > from)
            .collect();
        values.sort_by_key(|value| value.version);
        values
    }
}
