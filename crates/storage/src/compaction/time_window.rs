//! TimeWindowCompactionStrategy: SSTables are grouped by the window their newest data is of; the newest window is
//! compacted by size, a window that is past is merged into one and then left alone until it expires whole.

use super::options::option;
use super::{Candidate, Choice, size_tiered};
use std::collections::BTreeMap;

/// The strategy's options.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Options {
    window_micros: i64,
    /// Timestamps per microsecond's worth: what `timestamp_resolution` says the writers use.
    unit_micros: f64,
}

impl Options {
    pub(super) fn new(options: &BTreeMap<String, String>) -> Self {
        let unit = match options.get("compaction_window_unit").map(String::as_str) {
            Some("MINUTES") => 60,
            Some("HOURS") => 3_600,
            _ => 86_400,
        };
        let size = option(options, "compaction_window_size", 1i64).max(1);
        let resolution = options.get("timestamp_resolution").map(String::as_str);
        Self {
            window_micros: size.saturating_mul(unit * 1_000_000),
            unit_micros: match resolution {
                Some("MILLISECONDS") => 1_000.0,
                Some("SECONDS") => 1_000_000.0,
                Some("NANOSECONDS") => 0.001,
                _ => 1.0,
            },
        }
    }

    fn window(&self, candidate: &Candidate) -> i64 {
        let micros = (candidate.max_timestamp as f64 * self.unit_micros) as i64;
        micros.div_euclid(self.window_micros)
    }
}

/// What to compact.
pub(super) fn choose(
    options: &Options,
    tiers: &size_tiered::Options,
    candidates: &[Candidate],
) -> Option<Choice> {
    let mut windows: BTreeMap<i64, Vec<Candidate>> = BTreeMap::new();
    for candidate in candidates {
        windows
            .entry(options.window(candidate))
            .or_default()
            .push(candidate.clone());
    }
    let newest = *windows.keys().next_back()?;
    windows.into_iter().rev().find_map(|(window, bucket)| {
        if window == newest {
            return size_tiered::choose(tiers, &bucket);
        }
        let inputs = bucket
            .iter()
            .take(tiers.max_threshold)
            .map(|candidate| candidate.id);
        (bucket.len() > 1).then(|| Choice::one(inputs))
    })
}
