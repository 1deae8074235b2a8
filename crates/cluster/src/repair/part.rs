//! A stretch of a table taken to pieces, and what is asked about one.
//!
//! A part is a range of whole partitions, or rows of one partition that is too long for that. Where it ends is found by a read of
//! this node's own rows that stops at [`PART_BYTES`].

use model::clustering::{self, Slice};
use model::key::{DecoratedKey, Token};
use model::read::{
    Dead, KeyBound, KeyRange, Limits, Partitions, ReadCommand, ReadEntry, ReadResponse, Resume,
};
use model::schema::TableId;

/// Bytes of this node's rows in a part, about: it ends with the row that reaches them.
pub const PART_BYTES: usize = 1 << 20;
/// Bytes that a shard reads at least to find out where a part ends.
const LEAST_BYTES: usize = 32 << 10;
/// Bytes that a digest is made of at most. Who has more in a part differs from this node anyway.
const DIGEST_BYTES: usize = 4 * PART_BYTES;

/// What is compared at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Whole partitions.
    Range(KeyRange),
    /// Rows of one partition, with what is of the partition as a whole.
    Rows(DecoratedKey, Slice),
}

/// What is left of a stretch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rest {
    /// The partition that was begun, and its rows from here on.
    inside: Option<(DecoratedKey, Vec<u8>)>,
    /// Partitions behind that.
    range: KeyRange,
}

/// When versions are looked at: the same for all members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// What expired by then is dead.
    pub now_seconds: i64,
    /// Tombstones made before that count for nobody.
    pub purge_before: i64,
}

impl Part {
    /// What everybody makes a digest of.
    pub fn digest(&self, table: TableId, moment: Moment) -> ReadCommand {
        self.command(table, DIGEST_BYTES, moment)
    }

    /// What everybody sends where digests differ: all versions, from where the last answers ended.
    pub fn rows(&self, table: TableId, resume: Option<Resume>) -> ReadCommand {
        let everything = Moment {
            now_seconds: 0,
            purge_before: i64::MIN,
        };
        ReadCommand {
            resume,
            ..self.command(table, PART_BYTES, everything)
        }
    }

    fn command(&self, table: TableId, bytes: usize, moment: Moment) -> ReadCommand {
        let (partitions, slices) = match self {
            Self::Range(range) => (Partitions::Range(range.clone()), vec![Slice::all()]),
            Self::Rows(key, slice) => (Partitions::Key(key.clone()), vec![slice.clone()]),
        };
        ReadCommand {
            slices,
            static_counts: false,
            limits: Limits {
                bytes,
                ..Limits::NONE
            },
            purge_before: moment.purge_before,
            dead: Dead::Kept,
            ..ReadCommand::all(table, partitions, moment.now_seconds)
        }
    }
}

impl Rest {
    /// All of a stretch.
    pub fn new(range: KeyRange) -> Self {
        Self {
            inside: None,
            range,
        }
    }

    /// The read of this node's rows that finds out where the next part ends. Each of its shards reads up to a limit of a range, and one
    /// alone has a partition.
    pub fn bound(&self, table: TableId, moment: Moment, shards: u16) -> ReadCommand {
        let bytes = match &self.inside {
            Some(_) => PART_BYTES,
            None => (PART_BYTES / usize::from(shards.max(1))).max(LEAST_BYTES),
        };
        self.everything().command(table, bytes, moment)
    }

    /// All that is left, or all that is left of the partition that was begun.
    fn everything(&self) -> Part {
        match &self.inside {
            Some((key, from)) => {
                let end = Slice::all().end;
                let start = from.clone();
                Part::Rows(key.clone(), Slice { start, end })
            }
            None => Part::Range(self.range.clone()),
        }
    }

    /// The next part, by the answer to [`Self::bound`], and what is left after it.
    pub fn cut(self, response: &ReadResponse) -> (Part, Option<Self>) {
        let ends = response.more.then(|| ends(response)).flatten();
        let Some(ends) = ends else {
            let whole = self.everything();
            let left = self.inside.is_some().then(|| Self::new(self.range));
            return (whole, left);
        };
        match self.inside {
            Some((key, start)) => {
                let Some(last_row) = ends.last_row else {
                    let end = Slice::all().end;
                    return (
                        Part::Rows(key, Slice { start, end }),
                        Some(Self::new(self.range)),
                    );
                };
                rows(key, start, &last_row, self.range)
            }
            None => cut_range(self.range, ends),
        }
    }
}

/// Where an answer that stopped at its limit began and ended.
struct Ends {
    first: DecoratedKey,
    last: DecoratedKey,
    /// The last row of the last partition; `None` if all of that was told.
    last_row: Option<Vec<u8>>,
}

fn ends(response: &ReadResponse) -> Option<Ends> {
    let (mut first, mut last, mut last_row) = (None, None, None);
    for entry in response.entries() {
        match entry {
            ReadEntry::Partition { token, key, .. } => {
                first.get_or_insert((token, key));
                (last, last_row) = (Some((token, key)), None);
            }
            ReadEntry::Row { clustering, .. } => last_row = Some(clustering.to_vec()),
            ReadEntry::Static(_) | ReadEntry::Range { .. } => {}
        }
    }
    let decorated = |(token, key): (Token, &[u8])| DecoratedKey {
        token,
        key: key.into(),
    };
    Some(Ends {
        first: decorated(first?),
        last: decorated(last?),
        last_row,
    })
}

fn cut_range(range: KeyRange, ends: Ends) -> (Part, Option<Rest>) {
    let KeyRange { start, end } = range;
    let through = |at: KeyBound| {
        let part = KeyRange {
            start: start.clone(),
            end: at.clone(),
        };
        let left = KeyRange {
            start: at,
            end: end.clone(),
        };
        (Part::Range(part), Some(Rest::new(left)))
    };
    let Some(last_row) = ends.last_row else {
        return through(KeyBound::AfterKey(ends.last));
    };
    let before = KeyBound::BeforeKey(ends.last.clone());
    // What others may have before it must not be passed over.
    if ends.first != ends.last || start != before {
        return through(before);
    }
    let behind = KeyRange {
        start: KeyBound::AfterKey(ends.last.clone()),
        end,
    };
    rows(ends.last, Vec::new(), &last_row, behind)
}

/// Rows of a partition up to one of them.
fn rows(
    key: DecoratedKey,
    start: Vec<u8>,
    last_row: &[u8],
    range: KeyRange,
) -> (Part, Option<Rest>) {
    let end = clustering::above(last_row);
    let rest = Rest {
        inside: Some((key.clone(), end.clone())),
        range,
    };
    (Part::Rows(key, Slice { start, end }), Some(rest))
}
