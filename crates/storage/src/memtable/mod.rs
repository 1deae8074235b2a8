//! What was written and is not in an SSTable yet: partitions in the order of (token, key), rows in clustering order.
//!
//! Single-threaded, and never smaller: a memtable grows until it is frozen, is written out and dropped whole. Bytes of
//! keys and rows are in an [`Arena`], order is kept by [`Leaves`]; a partition of one row (the common case) is one
//! entry without any list of its own. A row's versions meet when they arrive ([`model::merge`]); what deletions of
//! partitions and ranges cover is taken out when it is read.

mod arena;
mod leaves;
mod slots;

use crate::commitlog::Position;
use arena::{Arena, Ref};
use leaves::{Leaves, Place};
use model::clustering::Slice;
use model::key::Token;
use model::merge::{self, Merged};
use model::mutation::UpdateView;
use model::read::KeyBound;
use model::row::{Deletion, Row};
use model::time::BootNanos;
use model::tombstone::RangeTombstones;
use model::track::{IdSet, MutationId};
use slots::Slots;
use std::cmp::Ordering;

/// Rows of a partition that are looked at for their timestamps, at most: about half a millisecond's worth.
const MAX_LOOKED_AT: usize = 4096;

/// A row: where its clustering key is and where its bytes are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowRef {
    key: Ref,
    row: Ref,
}

#[derive(Debug)]
enum Rows {
    None,
    One(RowRef),
    Many(Box<Leaves<RowRef>>),
}

/// What few partitions have.
#[derive(Debug)]
struct Extra {
    deletion: Deletion,
    static_row: Option<Ref>,
    ranges: RangeTombstones,
}

#[derive(Debug)]
struct Partition {
    token: i64,
    key: Ref,
    version: u32,
    rows: Rows,
    extra: Option<Box<Extra>>,
}

/// One memtable of one table.
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    arena: Arena,
    index: Leaves<(i64, u32)>,
    partitions: Slots<Partition>,
    /// Heap beyond arena, index and partitions: wide partitions' lists and range tombstones.
    beyond: usize,
    rows: u64,
    /// Position of the first logged mutation in it.
    first: Option<Position>,
    /// Ids of the mutations in it.
    ids: IdSet,
    /// When the last mutation without one came.
    untracked: Option<BootNanos>,
    /// Where the last update was found that came in order.
    near: Near,
    scratch: Vec<u8>,
}

/// Where the next of updates that come in order is looked for first.
#[derive(Debug, Default)]
struct Near {
    partition: Place,
    row: Place,
}

/// In which order updates come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coming {
    /// In any.
    AtRandom,
    /// Of partitions in their order, mostly: each is looked for near the last one.
    InOrder,
}

impl Memtable {
    /// Whether nothing was ever put in.
    pub(crate) fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Partitions held.
    pub(crate) fn partition_count(&self) -> usize {
        self.partitions.len()
    }

    /// Rows held, static rows left out.
    pub(crate) fn row_count(&self) -> u64 {
        self.rows
    }

    /// Bytes of memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.arena.bytes() + self.index.bytes() + self.partitions.bytes() + self.beyond
    }

    /// Gives a piece of its memory back: all of it at once would hold everything else up. Returns whether there is more.
    /// It must not be used for anything else any more.
    pub(crate) fn decay(&mut self) -> bool {
        const PARTITION_CHUNKS: usize = 10;
        const ARENA_CHUNKS: usize = 4;
        let more_partitions = self.partitions.decay(PARTITION_CHUNKS);
        self.arena.decay(ARENA_CHUNKS) || more_partitions
    }

    /// The log position below which nothing of it stands, if anything of it is logged.
    pub(crate) fn first(&self) -> Option<Position> {
        self.first
    }

    /// Ids of the mutations in it.
    pub(crate) fn ids(&self) -> &IdSet {
        &self.ids
    }

    /// When the last mutation without an id came to it; of those that were replayed nought.
    pub(crate) fn untracked(&self) -> Option<BootNanos> {
        self.untracked
    }

    /// Notes where a mutation stands in the log, its id, and when it came.
    pub(crate) fn note(
        &mut self,
        position: Option<Position>,
        id: Option<MutationId>,
        at: BootNanos,
    ) {
        if let Some(position) = position {
            self.first = Some(self.first.map_or(position, |first| first.min(position)));
        }
        match id {
            Some(id) => self.ids.insert(id),
            None => self.untracked = Some(at),
        }
    }

    fn find(&self, token: Token, key: &[u8]) -> Result<Place, Place> {
        self.index.find_spread(
            token.0,
            |&(other, _)| other,
            |&(other, slot)| {
                other
                    .cmp(&token.0)
                    .then_with(|| self.arena.get(self.partitions[slot].key).cmp(key))
            },
        )
    }

    /// Where a partition is, which stands behind the last one that was asked for so, if not by much.
    fn find_next(&mut self, token: Token, key: &[u8]) -> Result<Place, Place> {
        let found = self.index.find_near(self.near.partition, |&(other, slot)| {
            other
                .cmp(&token.0)
                .then_with(|| self.arena.get(self.partitions[slot].key).cmp(key))
        });
        let (Ok(place) | Err(place)) = found;
        self.near.partition = place;
        found
    }

    /// Applies the update of one partition. Its rows must verify.
    pub(crate) fn apply(
        &mut self,
        token: Token,
        key: &[u8],
        update: &UpdateView<'_>,
        coming: Coming,
    ) {
        let found = match coming {
            Coming::AtRandom => self.find(token, key),
            Coming::InOrder => self.find_next(token, key),
        };
        let slot = match found {
            Ok(place) => self.index.get(place).expect("found").1,
            Err(place) => {
                let key = self.arena.put(key);
                let slot = self.partitions.push(Partition {
                    token: token.0,
                    key,
                    version: 0,
                    rows: Rows::None,
                    extra: None,
                });
                self.index.insert(place, (token.0, slot));
                slot
            }
        };
        let partition = &mut self.partitions[slot];
        partition.version = partition.version.wrapping_add(1);
        let mut ranges = update.ranges().peekable();
        if update.deletion.is_some() || update.static_row.is_some() || ranges.peek().is_some() {
            let extra = partition.extra.get_or_insert_with(|| {
                self.beyond += size_of::<Extra>();
                Box::new(Extra {
                    deletion: Deletion::NONE,
                    static_row: None,
                    ranges: RangeTombstones::default(),
                })
            });
            if let Some(deletion) = update.deletion {
                extra.deletion = extra.deletion.max(deletion);
            }
            if let Some(row) = update.static_row {
                extra.static_row = Some(match extra.static_row {
                    Some(own) => merge_row(&mut self.arena, &mut self.scratch, own, row),
                    None => self.arena.put(row),
                });
            }
            for (start, end, deletion) in ranges {
                // A piece splits what it overlaps, so this is an upper bound of what is added.
                self.beyond += 2 * (start.len() + end.len()) + 96;
                let slice = Slice {
                    start: start.to_vec(),
                    end: end.to_vec(),
                };
                extra.ranges.add(slice, deletion);
            }
        }
        for (clustering, row) in update.rows() {
            self.put_row(slot, clustering, row, coming);
        }
    }

    fn put_row(&mut self, slot: u32, clustering: &[u8], row: &[u8], coming: Coming) {
        let Self {
            arena,
            partitions,
            scratch,
            beyond,
            near,
            rows: count,
            ..
        } = self;
        let rows = &mut partitions[slot].rows;
        match rows {
            Rows::None => {
                *rows = Rows::One(new_row(arena, clustering, row));
                *count += 1;
            }
            Rows::One(own) => match arena.get(own.key).cmp(clustering) {
                Ordering::Equal => own.row = merge_row(arena, scratch, own.row, row),
                order => {
                    let new = new_row(arena, clustering, row);
                    let mut list = Box::new(Leaves::default());
                    list.insert(list.end(), if order == Ordering::Less { *own } else { new });
                    list.insert(list.end(), if order == Ordering::Less { new } else { *own });
                    *beyond += list.bytes();
                    *rows = Rows::Many(list);
                    *count += 1;
                }
            },
            Rows::Many(list) => {
                let order = |entry: &RowRef| arena.get(entry.key).cmp(clustering);
                let found = match coming {
                    Coming::AtRandom => list.find(order),
                    Coming::InOrder => list.find_near(near.row, order),
                };
                let (Ok(place) | Err(place)) = found;
                near.row = place;
                if found.is_ok() {
                    let own = list.get_mut(place);
                    own.row = merge_row(arena, scratch, own.row, row);
                } else {
                    list.insert(place, new_row(arena, clustering, row));
                    *beyond += size_of::<RowRef>() * 3 / 2;
                    *count += 1;
                }
            }
        }
    }

    /// The partition of this key.
    pub(crate) fn get(&self, token: Token, key: &[u8]) -> Option<PartitionView<'_>> {
        let place = self.find(token, key).ok()?;
        Some(self.view(self.index.get(place)?.1))
    }

    fn view(&self, slot: u32) -> PartitionView<'_> {
        PartitionView {
            arena: &self.arena,
            partition: &self.partitions[slot],
        }
    }

    /// The partitions above a bound, ascending.
    pub(crate) fn above<'a>(
        &'a self,
        bound: &KeyBound,
    ) -> impl Iterator<Item = PartitionView<'a>> + use<'a> {
        let (Ok(place) | Err(place)) = self.index.find(|&(token, slot)| {
            let key = || self.arena.get(self.partitions[slot].key);
            let below = match bound {
                KeyBound::Before(bound) => token < bound.0,
                KeyBound::After(bound) => token <= bound.0,
                KeyBound::BeforeKey(bound) => (token, key()) < (bound.token.0, &bound.key),
                KeyBound::AfterKey(bound) => (token, key()) <= (bound.token.0, &bound.key),
            };
            if below {
                Ordering::Less
            } else {
                Ordering::Greater
            }
        });
        self.index.from(place).map(|&(_, slot)| self.view(slot))
    }
}

fn new_row(arena: &mut Arena, clustering: &[u8], row: &[u8]) -> RowRef {
    RowRef {
        key: arena.put(clustering),
        row: arena.put(row),
    }
}

fn merge_row(arena: &mut Arena, scratch: &mut Vec<u8>, own: Ref, row: &[u8]) -> Ref {
    scratch.clear();
    match merge::rows_unless_one(arena.get(own), row, scratch) {
        Merged::Left => own,
        Merged::Right => arena.replace(own, row),
        Merged::Both => arena.replace(own, scratch),
    }
}

/// A partition of a memtable, borrowed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartitionView<'a> {
    arena: &'a Arena,
    partition: &'a Partition,
}

impl<'a> PartitionView<'a> {
    /// Its token.
    pub(crate) fn token(&self) -> Token {
        Token(self.partition.token)
    }

    /// Its key.
    pub(crate) fn key(&self) -> &'a [u8] {
        self.arena.get(self.partition.key)
    }

    /// Changes with every update.
    pub(crate) fn version(&self) -> u32 {
        self.partition.version
    }

    /// Its deletion.
    pub(crate) fn deletion(&self) -> Deletion {
        self.partition
            .extra
            .as_ref()
            .map_or(Deletion::NONE, |extra| extra.deletion)
    }

    /// Its static row.
    pub(crate) fn static_row(&self) -> Option<&'a [u8]> {
        let row = self.partition.extra.as_ref()?.static_row?;
        Some(self.arena.get(row))
    }

    /// Its deleted ranges.
    pub(crate) fn ranges(&self) -> Option<&'a RangeTombstones> {
        let extra = self.partition.extra.as_ref()?;
        (!extra.ranges.is_empty()).then_some(&extra.ranges)
    }

    /// Key and bytes of a row.
    pub(crate) fn row(&self, row: RowRef) -> (&'a [u8], &'a [u8]) {
        (self.arena.get(row.key), self.arena.get(row.row))
    }

    /// Its row, if it has one at most; `None` if it has more.
    pub(crate) fn only_row(&self) -> Option<Option<(&'a [u8], &'a [u8])>> {
        match &self.partition.rows {
            Rows::None => Some(None),
            Rows::One(row) => Some(Some(self.row(*row))),
            Rows::Many(_) => None,
        }
    }

    /// The first row with a key in `from..to`: its key and bytes.
    pub(crate) fn first_row(&self, from: &[u8], to: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
        let row = match &self.partition.rows {
            Rows::None => return None,
            Rows::One(row) => row,
            Rows::Many(list) => {
                let (Ok(place) | Err(place)) =
                    list.find(|entry| self.arena.get(entry.key).cmp(from));
                list.get(place)?
            }
        };
        let (key, bytes) = self.row(*row);
        (from <= key && key < to).then_some((key, bytes))
    }

    /// Puts up to `most` rows with keys in `from..to` into `out`, ascending; returns the first key left out.
    pub(crate) fn ascending(
        &self,
        from: &[u8],
        to: &[u8],
        most: usize,
        out: &mut Vec<RowRef>,
    ) -> Option<&'a [u8]> {
        match &self.partition.rows {
            Rows::None => None,
            Rows::One(row) => {
                let key = self.arena.get(row.key);
                if from <= key && key < to {
                    out.push(*row);
                }
                None
            }
            Rows::Many(list) => {
                let (Ok(place) | Err(place)) =
                    list.find(|entry| self.arena.get(entry.key).cmp(from));
                let left_out =
                    list.take_below(place, most, |entry| self.arena.get(entry.key) < to, out);
                left_out.map(|row| self.arena.get(row.key))
            }
        }
    }

    /// Puts up to `most` rows with keys in `from..to` into `out`, descending; returns the last key put if there are more.
    pub(crate) fn descending(
        &self,
        from: &[u8],
        to: &[u8],
        most: usize,
        out: &mut Vec<RowRef>,
    ) -> Option<&'a [u8]> {
        let Rows::Many(list) = &self.partition.rows else {
            return self.ascending(from, to, most, out);
        };
        let (Ok(place) | Err(place)) = list.find(|entry| self.arena.get(entry.key).cmp(to));
        for row in list.before(place) {
            if self.arena.get(row.key) < from {
                break;
            }
            if out.len() == most {
                return out.last().map(|last| self.arena.get(last.key));
            }
            out.push(*row);
        }
        None
    }

    /// The smallest timestamp of anything in the partition: what a tombstone must be older than to be forgotten. Of one
    /// with very many rows it is not known, and nothing is older.
    pub(crate) fn min_timestamp(&self) -> i64 {
        let mut least = i64::MAX;
        let mut see = |deletion: Deletion| {
            if !deletion.is_none() {
                least = least.min(deletion.timestamp);
            }
        };
        see(self.deletion());
        if let Some(ranges) = self.ranges() {
            ranges.pieces().iter().for_each(|piece| see(piece.deletion));
        }
        let (one, many) = match &self.partition.rows {
            Rows::None => (None, None),
            Rows::One(row) => (Some(row), None),
            Rows::Many(list) if list.len() > MAX_LOOKED_AT => return i64::MIN,
            Rows::Many(list) => (None, Some(list.iter())),
        };
        let rows = one.into_iter().chain(many.into_iter().flatten());
        let rows = rows.map(|row| self.arena.get(row.row));
        for bytes in rows.chain(self.static_row()) {
            least = least.min(row_min_timestamp(bytes));
        }
        least
    }
}

/// The smallest timestamp in a row.
fn row_min_timestamp(bytes: &[u8]) -> i64 {
    let Some(row) = Row::parse(bytes) else {
        return i64::MIN;
    };
    let mut least = row.liveness.map_or(i64::MAX, |liveness| liveness.timestamp);
    if !row.deletion.is_none() {
        least = least.min(row.deletion.timestamp);
    }
    row.cells()
        .fold(least, |least, cell| least.min(cell.timestamp))
}
