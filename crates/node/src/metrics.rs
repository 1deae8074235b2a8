//! Counters of a shard, summed over shards by the shell.

use std::fmt;

/// Counts since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ShardMetrics {
    pub requests: u64,
    pub reads: u64,
    pub range_reads: u64,
    pub writes: u64,
    pub conditional_writes: u64,
    pub counter_writes: u64,
    pub batches: u64,
    pub batches_replayed: u64,
    pub prepared_executed: u64,
    pub regular_executed: u64,
    pub replica_reads: u64,
    pub replica_writes: u64,
    pub forwarded: u64,
    pub timeouts: u64,
    pub unavailable: u64,
    pub failures: u64,
    pub overloaded: u64,
    pub dropped_reads: u64,
    pub truncated_writes: u64,
    pub late_mutations: u64,
    pub unfresh_reads: u64,
    pub raised_reads: u64,
    pub invalid: u64,
    pub read_repairs: u64,
    pub speculative_retries: u64,
    pub contentions: u64,
    pub repairs_completed: u64,
    pub repairs_failed: u64,
    pub repair_mutations: u64,
    pub repair_parts_different: u64,
    pub catch_up_mutations: u64,
    pub catch_up_sent_bytes: u64,
}

impl ShardMetrics {
    /// Names and values, for the metrics endpoint and virtual tables.
    pub fn entries(&self) -> [(&'static str, u64); 32] {
        [
            ("requests", self.requests),
            ("reads", self.reads),
            ("range_reads", self.range_reads),
            ("writes", self.writes),
            ("conditional_writes", self.conditional_writes),
            ("counter_writes", self.counter_writes),
            ("batches", self.batches),
            ("batches_replayed", self.batches_replayed),
            ("prepared_executed", self.prepared_executed),
            ("regular_executed", self.regular_executed),
            ("replica_reads", self.replica_reads),
            ("replica_writes", self.replica_writes),
            ("forwarded", self.forwarded),
            ("timeouts", self.timeouts),
            ("unavailable", self.unavailable),
            ("failures", self.failures),
            ("overloaded", self.overloaded),
            ("dropped_reads", self.dropped_reads),
            ("truncated_writes", self.truncated_writes),
            ("late_mutations", self.late_mutations),
            ("unfresh_reads", self.unfresh_reads),
            ("raised_reads", self.raised_reads),
            ("invalid", self.invalid),
            ("read_repairs", self.read_repairs),
            ("speculative_retries", self.speculative_retries),
            ("contentions", self.contentions),
            ("repairs_completed", self.repairs_completed),
            ("repairs_failed", self.repairs_failed),
            ("repair_mutations", self.repair_mutations),
            ("repair_parts_different", self.repair_parts_different),
            ("catch_up_mutations", self.catch_up_mutations),
            ("catch_up_sent_bytes", self.catch_up_sent_bytes),
        ]
    }

    /// Adds another shard's counts.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.reads += other.reads;
        self.range_reads += other.range_reads;
        self.writes += other.writes;
        self.conditional_writes += other.conditional_writes;
        self.counter_writes += other.counter_writes;
        self.batches += other.batches;
        self.batches_replayed += other.batches_replayed;
        self.prepared_executed += other.prepared_executed;
        self.regular_executed += other.regular_executed;
        self.replica_reads += other.replica_reads;
        self.replica_writes += other.replica_writes;
        self.forwarded += other.forwarded;
        self.timeouts += other.timeouts;
        self.unavailable += other.unavailable;
        self.failures += other.failures;
        self.overloaded += other.overloaded;
        self.dropped_reads += other.dropped_reads;
        self.truncated_writes += other.truncated_writes;
        self.late_mutations += other.late_mutations;
        self.unfresh_reads += other.unfresh_reads;
        self.raised_reads += other.raised_reads;
        self.invalid += other.invalid;
        self.read_repairs += other.read_repairs;
        self.speculative_retries += other.speculative_retries;
        self.contentions += other.contentions;
        self.repairs_completed += other.repairs_completed;
        self.repairs_failed += other.repairs_failed;
        self.repair_mutations += other.repair_mutations;
        self.repair_parts_different += other.repair_parts_different;
        self.catch_up_mutations += other.catch_up_mutations;
        self.catch_up_sent_bytes += other.catch_up_sent_bytes;
    }
}

impl fmt::Display for ShardMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self
            .entries()
            .into_iter()
            .filter(|(_, value)| *value > 0)
            .enumerate()
        {
            write!(f, "{}{name} {value}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
