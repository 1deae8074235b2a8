//! How a repair is to be, what it wants done, and how far it is: what stands between a session and who drives it.

use crate::topology::NodeId;
use model::read::ReadCommand;
use serde::{Deserialize, Serialize};

/// What a repair does about differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It ends them.
    Repair,
    /// It counts them.
    Preview,
}

/// How fast a repair goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// One part after the other: somebody waits for it.
    Full,
    /// Half of that: this node is not trusted until it is over, and clients are served meanwhile.
    Steady,
    /// About a tenth of that: it runs by itself.
    Gentle,
}

/// What becomes of stretches of which a member is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// They have failed.
    Fails,
    /// They wait for it, behind the others.
    Waits,
}

/// How a repair is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// What it does about differences.
    pub purpose: Purpose,
    /// How fast it goes.
    pub pace: Pace,
    /// What it does about members that are away.
    pub absence: Absence,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Have a member, maybe this one, make a digest of what it reads; the answer goes to [`Session::on_digest`].
    Digest(Question, Box<ReadCommand>),
    /// Have a member, maybe this one, send what it reads; the answer goes to [`Session::on_rows`].
    Rows(Question, Box<ReadCommand>),
    /// Have a member, maybe this one, make these encoded mutations durable; how that ended goes to [`Session::on_sent`].
    Send(Question, Vec<Vec<u8>>),
}

/// What is asked of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// Its number: one for all who are asked at once.
    pub number: u64,
    /// Who is asked.
    pub member: NodeId,
}

/// How far a repair is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Stretches that are done, failed ones among them.
    pub units_done: u64,
    /// All of them.
    pub units: u64,
    /// Stretches that failed.
    pub units_failed: u64,
    /// Parts that were compared.
    pub parts: u64,
    /// Parts in which members differed.
    pub parts_different: u64,
    /// Bytes of this node's rows that were compared.
    pub bytes_compared: u64,
    /// Mutations that members lacked.
    pub mutations: u64,
    /// Bytes of those, about.
    pub mutation_bytes: u64,
}
