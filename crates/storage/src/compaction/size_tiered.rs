//! SizeTieredCompactionStrategy: SSTables of similar size are merged when there are enough of them.
//!
//! Buckets as Cassandra forms them: ascending by size, a table joins a bucket when its size is within
//! `bucket_low..bucket_high` times the bucket's average, or both are below `min_sstable_size`. Of the buckets with at
//! least `min_threshold` tables the one of the smallest is taken, cut to `max_threshold`: it costs least per table that
//! is gone afterwards.

use super::options::option;
use super::{Candidate, Choice};
use std::collections::BTreeMap;

/// The strategy's options, with Cassandra's names and defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Options {
    pub min_threshold: usize,
    pub max_threshold: usize,
    pub bucket_low: f64,
    pub bucket_high: f64,
    /// Bytes.
    pub min_sstable_size: u64,
}

impl Options {
    pub(super) fn new(options: &BTreeMap<String, String>) -> Self {
        let min_threshold = option(options, "min_threshold", 4usize).max(2);
        Self {
            min_threshold,
            max_threshold: option(options, "max_threshold", 32usize).max(min_threshold),
            bucket_low: option(options, "bucket_low", 0.5),
            bucket_high: option(options, "bucket_high", 1.5),
            min_sstable_size: option(options, "min_sstable_size", 50 << 20),
        }
    }
}

/// What to compact.
pub(super) fn choose(options: &Options, candidates: &[Candidate]) -> Option<Choice> {
    let bucket = buckets(options, candidates)
        .into_iter()
        .find(|bucket| bucket.len() >= options.min_threshold)?;
    let inputs = bucket.into_iter().take(options.max_threshold);
    Some(Choice::one(inputs.map(|candidate| candidate.id)))
}

/// Tables of similar size, the smallest first.
fn buckets<'a>(options: &Options, candidates: &'a [Candidate]) -> Vec<Vec<&'a Candidate>> {
    let mut sorted: Vec<&Candidate> = candidates.iter().collect();
    sorted.sort_by_key(|candidate| (candidate.bytes, candidate.id));
    let mut buckets: Vec<(f64, Vec<&Candidate>)> = Vec::new();
    for candidate in sorted {
        let size = candidate.bytes as f64;
        let small = options.min_sstable_size as f64;
        let joins = |average: f64| {
            size > average * options.bucket_low && size < average * options.bucket_high
                || size < small && average < small
        };
        match buckets.iter_mut().find(|(average, _)| joins(*average)) {
            Some((average, bucket)) => {
                *average = (*average * bucket.len() as f64 + size) / (bucket.len() + 1) as f64;
                bucket.push(candidate);
            }
            None => buckets.push((size, vec![candidate])),
        }
    }
    buckets.into_iter().map(|(_, bucket)| bucket).collect()
}
