//! Table options, with the defaults Apache Cassandra 5.0.6 prints in DESCRIBE.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// How many rows of a partition the row cache would keep. Kept and shown; Helenus' block cache needs no such advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum RowsPerPartition {
    None,
    All,
    Head(u32),
}

/// The `caching` option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caching {
    /// `keys: ALL` rather than `NONE`.
    pub keys: bool,
    /// `rows_per_partition`.
    pub rows: RowsPerPartition,
}

impl fmt::Display for RowsPerPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("NONE"),
            Self::All => f.write_str("ALL"),
            Self::Head(count) => write!(f, "{count}"),
        }
    }
}

/// `speculative_retry` and `additional_write_policy`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum SpeculativeRetry {
    /// Never.
    Never,
    /// At once.
    Always,
    /// After this percentile of the table's latencies.
    Percentile(f64),
    /// After so many milliseconds, a whole number.
    FixedMillis(f64),
    /// The smaller of a percentile and a fixed time (`MIN(99p,50ms)`).
    Min(f64, f64),
    /// The larger of the two.
    Max(f64, f64),
}

impl Eq for SpeculativeRetry {}

impl fmt::Display for SpeculativeRetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("NEVER"),
            Self::Always => f.write_str("ALWAYS"),
            Self::Percentile(percentile) => write!(f, "{percentile}p"),
            Self::FixedMillis(millis) => write!(f, "{millis}ms"),
            Self::Min(percentile, millis) => write!(f, "MIN({percentile}p,{millis}ms)"),
            Self::Max(percentile, millis) => write!(f, "MAX({percentile}p,{millis}ms)"),
        }
    }
}

/// The options of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct TableOptions {
    pub additional_write_policy: SpeculativeRetry,
    pub allow_auto_snapshot: bool,
    pub bloom_filter_fp_chance: f64,
    pub caching: Caching,
    pub cdc: bool,
    pub comment: String,
    /// `class` without its package, and the strategy's options.
    pub compaction: BTreeMap<String, String>,
    /// `class` without its package and its options; empty means not compressed.
    pub compression: BTreeMap<String, String>,
    pub memtable: String,
    pub crc_check_chance: f64,
    /// Seconds, 0 for none.
    pub default_time_to_live: u32,
    pub extensions: BTreeMap<String, String>,
    pub gc_grace_seconds: u32,
    pub incremental_backups: bool,
    pub max_index_interval: u32,
    pub memtable_flush_period_in_ms: u32,
    pub min_index_interval: u32,
    /// `BLOCKING` rather than `NONE`.
    pub read_repair: bool,
    pub speculative_retry: SpeculativeRetry,
}

impl Eq for TableOptions {}

/// `gc_grace_seconds` unless set: ten days.
pub const DEFAULT_GC_GRACE_SECONDS: u32 = 864_000;

impl Default for TableOptions {
    fn default() -> Self {
        let map = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect()
        };
        Self {
            additional_write_policy: SpeculativeRetry::Percentile(99.0),
            allow_auto_snapshot: true,
            bloom_filter_fp_chance: 0.01,
            caching: Caching {
                keys: true,
                rows: RowsPerPartition::None,
            },
            cdc: false,
            comment: String::new(),
            compaction: map(&[
                ("class", "SizeTieredCompactionStrategy"),
                ("max_threshold", "32"),
                ("min_threshold", "4"),
            ]),
            compression: map(&[("class", "LZ4Compressor"), ("chunk_length_in_kb", "16")]),
            memtable: "default".into(),
            crc_check_chance: 1.0,
            default_time_to_live: 0,
            extensions: BTreeMap::new(),
            gc_grace_seconds: DEFAULT_GC_GRACE_SECONDS,
            incremental_backups: true,
            max_index_interval: 2048,
            memtable_flush_period_in_ms: 0,
            min_index_interval: 128,
            read_repair: true,
            speculative_retry: SpeculativeRetry::Percentile(99.0),
        }
    }
}
