//! Planted defects: what the checkers of a run must see, or they are blind.
//!
//! Each is a promise broken by the machine below the engine, or on the way to it, as a defect of the engine would break it: an
//! answer before the sync, an entry of a directory that was never made durable, a record that is not there; or a quorum that was
//! none, an increment that is sent twice. Only the simulator can name them. [`check`] runs them and fails if one gets by.

use crate::cluster::{self, Options};
use crate::storage::Failure;
use crate::{node, storage};
use model::policy::{Defect, Policy};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// None: what runs is what ships.
    Nothing,
    /// Syncs of the commit log are answered and not done: whatever is acknowledged is acknowledged too early.
    SyncSkipped,
    /// A sync of a directory leaves out the newest of its changes.
    EntryForgotten,
    /// One in a hundred writes to the commit log is answered and not done.
    RecordLost,
    /// One in fifty mutations is applied without the last of its changes.
    ChangeForgotten,
    /// What is read at a quorum is answered by one replica.
    OneReplicaRead,
    /// An increment that timed out is sent again, to another node.
    CounterRetried,
    /// Nodes break a promise of their own.
    Broken(Defect),
}

impl Planted {
    /// How nodes keep their promises.
    pub fn policy(self) -> Policy {
        match self {
            Self::Broken(defect) => Policy::defective(defect),
            _ => Policy::default(),
        }
    }
}

/// The defects, and where each must be seen.
const MUST_BE_SEEN: [(Planted, Where); 17] = [
    (Planted::SyncSkipped, Where::Storage),
    (Planted::EntryForgotten, Where::Storage),
    (Planted::RecordLost, Where::Storage),
    (Planted::ChangeForgotten, Where::Storage),
    (Planted::SyncSkipped, Where::Node),
    (Planted::EntryForgotten, Where::Node),
    (Planted::RecordLost, Where::Node),
    (Planted::SyncSkipped, Where::Cluster("registers")),
    (Planted::OneReplicaRead, Where::Cluster("registers")),
    (Planted::CounterRetried, Where::Cluster("counters")),
    (
        Planted::Broken(Defect::AgeIgnored),
        Where::Story("a young tombstone"),
    ),
    (
        Planted::Broken(Defect::ProofIgnored),
        Where::Story("an unproved tombstone"),
    ),
    (
        Planted::Broken(Defect::SilenceTrusted),
        Where::Story("silence"),
    ),
    (
        Planted::Broken(Defect::BootRepeated),
        Where::Story("a second start"),
    ),
    (
        Planted::Broken(Defect::UnsyncedTold),
        Where::Story("unsynced ids"),
    ),
    (
        Planted::Broken(Defect::DebtForgotten),
        Where::Story("a debt"),
    ),
    (
        Planted::Broken(Defect::UnfinishedIgnored),
        Where::Cluster("conditional"),
    ),
];
/// Seeds a defect has to be seen in one of.
const SEEDS: u64 = 40;

#[derive(Debug, Clone, Copy)]
enum Where {
    Storage,
    Node,
    /// Under a workload.
    Cluster(&'static str),
    /// In a story.
    Story(&'static str),
}

/// Runs every defect until it is seen, and says how; the error names one that was not.
pub fn check() -> Result<Vec<String>, String> {
    check_some(&MUST_BE_SEEN)
}

fn check_some(some: &[(Planted, Where)]) -> Result<Vec<String>, String> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let seen = some
        .iter()
        .map(|&(planted, place)| first_seen(planted, place))
        .collect();
    std::panic::set_hook(hook);
    seen
}

fn run(seed: u64, planted: Planted, place: Where) -> Result<(), String> {
    let told = |failure: Failure| failure.what;
    match place {
        Where::Storage => storage::run_planted(seed, 400, planted)
            .map(drop)
            .map_err(told),
        Where::Node => node::run_planted(seed, 300, planted)
            .map(drop)
            .map_err(told),
        Where::Cluster(kind) => {
            let options = Options {
                planted,
                ..Options::short(kind)
            };
            cluster::run(seed, options).map(drop).map_err(told)
        }
        Where::Story(name) => cluster::stories::tell(name, seed, planted),
    }
}

fn first_seen(planted: Planted, place: Where) -> Result<String, String> {
    for seed in 0..SEEDS {
        let how = match catch_unwind(AssertUnwindSafe(|| run(seed, planted, place))) {
            Ok(Ok(())) => continue,
            Ok(Err(what)) => what.lines().next().unwrap_or_default().to_owned(),
            Err(_) => "an assertion of the engine".to_owned(),
        };
        return Ok(format!("{planted:?} in {place:?}, seed {seed}: {how}"));
    }
    Err(format!(
        "{planted:?} in {place:?} was not seen in {SEEDS} seeds: the checkers are blind"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The others take minutes without optimisation: `cargo xtask sim planted` has them.
    #[test]
    fn planted_defects_are_seen() {
        check_some(&MUST_BE_SEEN[..9]).unwrap();
    }
}
