//! Repairs as operators see them.

use cluster::repair::session::{Progress, Purpose, Session};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why there is a repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RepairReason {
    /// An operator asked for it.
    Command,
    /// This node lacks what no journal has any more.
    Owed,
    /// Everything is compared now and then.
    Round,
}

/// How a repair stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RepairState {
    /// It is under way.
    Running,
    /// All of its stretches are equal, or were compared.
    Completed,
    /// Some could not be.
    Failed,
    /// Somebody ended it.
    Cancelled,
}

/// A repair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairFact {
    /// Its number on this node, since the start.
    pub command: u64,
    /// Its identity.
    pub id: Uuid,
    /// Why there is one.
    pub reason: RepairReason,
    /// The keyspace; none if of several.
    pub keyspace: Option<String>,
    /// The tables that were named, or all there are.
    pub tables: Vec<String>,
    /// Whether of stretches alone of which this node is the first replica.
    pub primary: bool,
    /// Whether differences are counted and not ended.
    pub preview: bool,
    /// Numbers of the members that are compared.
    pub participants: Vec<u32>,
    /// How it stands.
    pub state: RepairState,
    /// Why a stretch failed, if one did.
    pub failure: Option<String>,
    /// When it was begun, in milliseconds since 1970.
    pub started_millis: i64,
    /// When it was last heard of, in milliseconds since 1970.
    pub updated_millis: i64,
    /// How far it is.
    #[serde(flatten)]
    pub progress: Progress,
}

impl RepairFact {
    /// Takes over how its session stands.
    pub(super) fn update(&mut self, session: &Session, now_millis: i64) {
        self.updated_millis = now_millis;
        self.progress = session.progress();
        self.failure = session.failure().map(str::to_owned);
    }

    /// What it does about differences.
    pub(super) fn purpose(&self) -> Purpose {
        if self.preview {
            Purpose::Preview
        } else {
            Purpose::Repair
        }
    }
}
