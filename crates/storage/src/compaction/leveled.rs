//! LeveledCompactionStrategy: level 0 holds what was flushed; every level above holds SSTables of about one size that
//! do not overlap, and is ten times the size of the one below.
//!
//! A level that is over its size gives one SSTable (the one least recently given) to the level above, where it is
//! merged with what it overlaps. Level 0 is merged whole into level 1 when it has four; when it falls far behind it is
//! compacted by size within itself first.

use super::options::option;
use super::{Candidate, Choice, size_tiered};
use std::collections::BTreeMap;

/// SSTables of level 0 that make a compaction into level 1 worth while, as in Cassandra.
const LEVEL_0_TABLES: usize = 4;
/// SSTables of level 0 from which it is compacted by size within itself, as in Cassandra.
const LEVEL_0_BEHIND: usize = 32;
/// The highest level.
const MAX_LEVEL: u32 = 8;

/// The strategy's options.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Options {
    /// Bytes of an SSTable above level 0.
    table_bytes: u64,
    fan_out: u64,
    tiers: size_tiered::Options,
}

impl Options {
    pub(super) fn new(options: &BTreeMap<String, String>) -> Self {
        Self {
            table_bytes: option(options, "sstable_size_in_mb", 160u64).max(1) << 20,
            fan_out: option(options, "fanout_size", 10u64).max(2),
            tiers: size_tiered::Options::new(options),
        }
    }

    fn level_bytes(&self, level: u32) -> u64 {
        self.table_bytes
            .saturating_mul(self.fan_out.saturating_pow(level))
    }

    fn into(&self, inputs: Vec<u64>, level: u32) -> Choice {
        Choice {
            inputs,
            level,
            split_bytes: Some(self.table_bytes),
        }
    }
}

/// What to compact: the highest level that is over its size first, so that there is room below.
pub(super) fn choose(options: &Options, candidates: &[Candidate]) -> Option<Choice> {
    let level = |wanted: u32| {
        candidates
            .iter()
            .filter(move |candidate| candidate.level == wanted)
    };
    for over in (1..MAX_LEVEL).rev() {
        let bytes: u64 = level(over).map(|candidate| candidate.bytes).sum();
        if bytes <= options.level_bytes(over) {
            continue;
        }
        let given = level(over).min_by_key(|candidate| (candidate.written_at, candidate.id))?;
        let mut inputs = vec![given.id];
        inputs.extend(overlapping(level(over + 1), given.tokens));
        return Some(options.into(inputs, over + 1));
    }
    let lowest: Vec<Candidate> = level(0).cloned().collect();
    if lowest.len() > LEVEL_0_BEHIND
        && let Some(choice) = size_tiered::choose(&options.tiers, &lowest)
    {
        return Some(choice);
    }
    if lowest.len() < LEVEL_0_TABLES {
        return None;
    }
    let mut sorted = lowest;
    sorted.sort_by_key(|candidate| (candidate.written_at, candidate.id));
    sorted.truncate(options.tiers.max_threshold);
    let tokens = sorted
        .iter()
        .fold((i64::MAX, i64::MIN), |(low, high), candidate| {
            (low.min(candidate.tokens.0), high.max(candidate.tokens.1))
        });
    let mut inputs: Vec<u64> = sorted.iter().map(|candidate| candidate.id).collect();
    inputs.extend(overlapping(level(1), tokens));
    Some(options.into(inputs, 1))
}

/// A major compaction: everything, split, into the lowest level that holds it.
pub(super) fn everything(options: &Options, candidates: &[Candidate], all: Choice) -> Choice {
    let bytes: u64 = candidates.iter().map(|candidate| candidate.bytes).sum();
    let level = (1..MAX_LEVEL).find(|level| bytes <= options.level_bytes(*level));
    options.into(all.inputs, level.unwrap_or(MAX_LEVEL))
}

fn overlapping<'a>(
    level: impl Iterator<Item = &'a Candidate>,
    tokens: (i64, i64),
) -> impl Iterator<Item = u64> {
    level
        .filter(move |other| other.tokens.0 <= tokens.1 && other.tokens.1 >= tokens.0)
        .map(|other| other.id)
}
