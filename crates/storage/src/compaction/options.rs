//! The `compaction` option of a table, read.

use super::{Candidate, Choice, leveled, size_tiered, time_window, unified};
use std::collections::BTreeMap;
use std::str::FromStr;

/// What every strategy knows of single SSTables that are mostly tombstones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TombstoneOptions {
    /// `tombstone_threshold`: the share of droppable tombstones that makes a rewrite worth while.
    pub threshold: f64,
    /// `tombstone_compaction_interval`, in seconds: how old the SSTable must be.
    pub interval_seconds: i64,
    /// `unchecked_tombstone_compaction`: also when others overlap.
    pub unchecked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Class {
    SizeTiered(size_tiered::Options),
    Leveled(leveled::Options),
    TimeWindow(time_window::Options, size_tiered::Options),
    Unified(unified::Options),
}

/// A table's strategy with its options.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Strategy {
    class: Class,
    tombstones: TombstoneOptions,
    enabled: bool,
}

/// An option's value, or its default.
pub(super) fn option<T: FromStr>(options: &BTreeMap<String, String>, name: &str, default: T) -> T {
    options
        .get(name)
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

impl Strategy {
    /// Reads the options, which the statement that set them has checked.
    pub(crate) fn new(options: &BTreeMap<String, String>) -> Self {
        let class = options.get("class").map_or("", String::as_str);
        let class = match class.rsplit('.').next().unwrap_or(class) {
            "LeveledCompactionStrategy" => Class::Leveled(leveled::Options::new(options)),
            "TimeWindowCompactionStrategy" => Class::TimeWindow(
                time_window::Options::new(options),
                size_tiered::Options::new(options),
            ),
            "UnifiedCompactionStrategy" => Class::Unified(unified::Options::new(options)),
            _ => Class::SizeTiered(size_tiered::Options::new(options)),
        };
        Self {
            class,
            tombstones: TombstoneOptions {
                threshold: option(options, "tombstone_threshold", 0.2),
                interval_seconds: option(options, "tombstone_compaction_interval", 86_400),
                unchecked: option(options, "unchecked_tombstone_compaction", false),
            },
            enabled: option(options, "enabled", true),
        }
    }

    /// What to compact now, if anything.
    pub(crate) fn choose(&self, candidates: &[Candidate], now_micros: i64) -> Option<Choice> {
        if !self.enabled {
            return None;
        }
        let choice = match &self.class {
            Class::SizeTiered(options) => size_tiered::choose(options, candidates),
            Class::Leveled(options) => leveled::choose(options, candidates),
            Class::TimeWindow(options, tiers) => time_window::choose(options, tiers, candidates),
            Class::Unified(options) => unified::choose(options, candidates),
        };
        choice.or_else(|| self.mostly_tombstones(candidates, now_micros))
    }

    /// The one SSTable that most deserves to be rewritten for its tombstones alone.
    fn mostly_tombstones(&self, candidates: &[Candidate], now_micros: i64) -> Option<Choice> {
        let options = self.tombstones;
        let old = |written_at: i64| {
            now_micros.saturating_sub(written_at) / 1_000_000 >= options.interval_seconds
        };
        let alone = |one: &Candidate| {
            options.unchecked
                || candidates.iter().all(|other| {
                    other.id == one.id
                        || other.tokens.1 < one.tokens.0
                        || other.tokens.0 > one.tokens.1
                })
        };
        let worth = candidates
            .iter()
            .filter(|one| one.droppable > options.threshold && old(one.written_at) && alone(one));
        let best = worth.max_by(|one, other| one.droppable.total_cmp(&other.droppable))?;
        Some(Choice {
            level: best.level,
            ..Choice::one([best.id])
        })
    }

    /// Everything, for a major compaction.
    pub(crate) fn everything(&self, candidates: &[Candidate]) -> Option<Choice> {
        if candidates.is_empty() {
            return None;
        }
        let all = Choice::one(candidates.iter().map(|candidate| candidate.id));
        Some(match &self.class {
            Class::Leveled(options) => leveled::everything(options, candidates, all),
            _ => all,
        })
    }
}
