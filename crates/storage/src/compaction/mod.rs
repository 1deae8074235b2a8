//! Which SSTables to compact: pure functions from what there is to a choice.
//!
//! A strategy sees [`Candidate`]s and options, never files; the store carries the choice out. So tables of cases test
//! them, and the same state always leads to the same choice.

mod leveled;
mod options;
mod size_tiered;
mod time_window;
mod unified;

pub(crate) use options::Strategy;

/// An SSTable as a strategy sees it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Candidate {
    /// Number within the process.
    pub id: u64,
    /// Bytes of the file, or of the share of it that is this shard's.
    pub bytes: u64,
    /// Level, of leveled compaction.
    pub level: u32,
    /// First and last token.
    pub tokens: (i64, i64),
    /// Largest timestamp in it, in microseconds.
    pub max_timestamp: i64,
    /// Share of it that is tombstones old enough to be dropped, from 0 to 1.
    pub droppable: f64,
    /// When it was written, in microseconds.
    pub written_at: i64,
}

/// What to compact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The SSTables, by number.
    pub inputs: Vec<u64>,
    /// Level of the output.
    pub level: u32,
    /// Bytes after which the output goes on in another file, at a partition's end.
    pub split_bytes: Option<u64>,
}

impl Choice {
    /// All of these into one.
    pub(crate) fn one(inputs: impl IntoIterator<Item = u64>) -> Self {
        Self {
            inputs: inputs.into_iter().collect(),
            level: 0,
            split_bytes: None,
        }
    }
}

#[cfg(test)]
mod tests;
