//! UnifiedCompactionStrategy: levels by size, each `fan factor` times the one below, and a number of SSTables per
//! level from which it is compacted, both from one scaling parameter.
//!
//! `T<n>` (tiered) merges `n` SSTables of a level, `L<n>` (leveled) merges as soon as there are two, `N` is between; the
//! fan factor is `n`, of `N` 2. A list gives each level its own, the last to all that follow. This is the strategy on
//! one shard's data: Cassandra's splitting of the output by token is what Helenus' shards are.

use super::options::option;
use super::{Candidate, Choice};
use std::collections::BTreeMap;

/// Levels whose parameters can differ.
const MAX_LEVELS: usize = 32;

/// The strategy's options.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Options {
    levels: [Scaling; MAX_LEVELS],
    /// Bytes up to which an SSTable is of the lowest level.
    base_bytes: u64,
    max_inputs: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scaling {
    fan_factor: u64,
    threshold: usize,
}

impl Scaling {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let number = |text: &str| text.parse::<u64>().ok().map(|number| number.max(2));
        if let Some(rest) = text.strip_prefix('T') {
            let fan_factor = number(rest)?;
            return Some(Self {
                fan_factor,
                threshold: fan_factor as usize,
            });
        }
        if let Some(rest) = text.strip_prefix('L') {
            return Some(Self {
                fan_factor: number(rest)?,
                threshold: 2,
            });
        }
        if text == "N" {
            return Some(Self {
                fan_factor: 2,
                threshold: 2,
            });
        }
        // A plain number W: positive is tiered, negative leveled, as in Cassandra's document.
        let scaling: i64 = text.parse().ok()?;
        let fan_factor = 2 + scaling.unsigned_abs();
        let threshold = if scaling > 0 { fan_factor as usize } else { 2 };
        Some(Self {
            fan_factor,
            threshold,
        })
    }
}

impl Options {
    pub(super) fn new(options: &BTreeMap<String, String>) -> Self {
        let text = options
            .get("scaling_parameters")
            .map_or("T4", String::as_str);
        let default = Scaling {
            fan_factor: 4,
            threshold: 4,
        };
        let mut levels = [default; MAX_LEVELS];
        let mut last = default;
        let mut given = text
            .split(',')
            .map(|part| Scaling::parse(part).unwrap_or(default));
        for level in &mut levels {
            last = given.next().unwrap_or(last);
            *level = last;
        }
        Self {
            levels,
            base_bytes: 8 << 20,
            max_inputs: option(options, "max_sstables_to_compact", 32usize).max(2),
        }
    }

    fn level(&self, bytes: u64) -> usize {
        let mut bound = self.base_bytes;
        for (index, level) in self.levels.iter().enumerate() {
            if bytes < bound {
                return index;
            }
            bound = bound.saturating_mul(level.fan_factor);
        }
        MAX_LEVELS - 1
    }
}

/// What to compact: the lowest level that has enough.
pub(super) fn choose(options: &Options, candidates: &[Candidate]) -> Option<Choice> {
    let mut levels: BTreeMap<usize, Vec<&Candidate>> = BTreeMap::new();
    for candidate in candidates {
        levels
            .entry(options.level(candidate.bytes))
            .or_default()
            .push(candidate);
    }
    levels.into_iter().find_map(|(level, mut tables)| {
        if tables.len() < options.levels[level].threshold {
            return None;
        }
        tables.sort_by_key(|candidate| (candidate.written_at, candidate.id));
        Some(Choice::one(
            tables
                .iter()
                .take(options.max_inputs)
                .map(|candidate| candidate.id),
        ))
    })
}
