//! Which partition comes next, over all sources.

use super::disk::BlockCursor;
use super::fetch::{Fetch, Stop};
use super::source::Source;
use super::{View, end_spot};
use crate::memtable::PartitionView;
use crate::sstable::SsTable;
use crate::sstable::block::{Block, Segment};
use crate::sstable::index::Spot;
use model::key::{DecoratedKey, Token};
use model::read::KeyBound;
use model::row::Deletion;
use std::cmp::Ordering;

/// A source's next partition.
enum Head<'a> {
    Memory {
        next: Option<PartitionView<'a>>,
        rest: Box<dyn Iterator<Item = PartitionView<'a>> + 'a>,
    },
    Disk {
        table: &'a SsTable,
        state: DiskHead<'a>,
    },
}

enum DiskHead<'a> {
    /// The first partition from this segment of the block on.
    At(BlockCursor<'a>, usize),
    /// The partition it stands at.
    Settled(BlockCursor<'a>, usize, Segment),
    /// The first partition above this one, which may go on in other blocks.
    After(DecoratedKey),
    Finished,
}

/// The next partition of all sources.
pub(super) struct Scan<'a> {
    heads: Vec<Head<'a>>,
}

/// What comes next.
pub(super) enum Next<'s, 'a> {
    /// Nothing up to the end.
    Nothing,
    /// A partition that one source alone has, and has at hand.
    Sole(Sole<'s>),
    /// Any other, and who has it.
    Shared(DecoratedKey, Vec<Source<'a>>),
}

/// A small partition without deleted ranges that one source alone has: most are like that, so they are handed over
/// without any of what merging needs.
pub(super) struct Sole<'s> {
    head: usize,
    pub token: Token,
    pub key: &'s [u8],
    pub deletion: Deletion,
    pub static_row: Option<&'s [u8]>,
    pub rows: SoleRows<'s>,
}

/// Its rows.
pub(super) enum SoleRows<'s> {
    One(Option<(&'s [u8], &'s [u8])>),
    Segment(&'s BlockCursor<'s>, Segment),
}

impl<'a> Scan<'a> {
    /// Everything above a bound, of which nothing above `end` will be asked for.
    pub(super) fn new(
        view: View<'a>,
        bound: &KeyBound,
        end: &KeyBound,
        fetch: &mut Fetch<'a>,
    ) -> Result<Self, Stop> {
        let mut heads = Vec::with_capacity(view.memtables.len() + view.sstables.len());
        for memtable in view.memtables {
            let mut rest: Box<dyn Iterator<Item = PartitionView<'a>>> =
                Box::new(memtable.above(bound));
            heads.push(Head::Memory {
                next: rest.next(),
                rest,
            });
        }
        let mut missing = false;
        // What cannot be read is in the way of those alone who ask for what it has.
        let needed = |table: &SsTable| table.broken.is_none() || table.may_overlap(bound, end);
        for table in view.sstables.iter().filter(|table| needed(table)) {
            match begin(table, bound, fetch) {
                Ok(state) => heads.push(Head::Disk { table, state }),
                Err(Stop::Missing) => missing = true,
                Err(failed) => return Err(failed),
            }
        }
        if missing {
            Err(Stop::Missing)
        } else {
            Ok(Self { heads })
        }
    }

    /// Finds every source's next partition.
    pub(super) fn settle(&mut self, fetch: &mut Fetch<'a>) -> Result<(), Stop> {
        let mut missing = false;
        for head in &mut self.heads {
            if let Head::Disk { table, state } = head {
                match settle(table, state, fetch) {
                    Ok(()) => {}
                    Err(Stop::Missing) => missing = true,
                    Err(failed) => return Err(failed),
                }
            }
        }
        if missing { Err(Stop::Missing) } else { Ok(()) }
    }

    /// The least partition not above `end`.
    pub(super) fn least(&self, end: &KeyBound) -> Next<'_, 'a> {
        let mut least: Option<(usize, (Token, &[u8]))> = None;
        let mut sharers = 0;
        for (index, head) in self.heads.iter().enumerate() {
            let Some(next) = head.key() else { continue };
            match least.map_or(Ordering::Less, |(_, least)| next.cmp(&least)) {
                Ordering::Less => {
                    least = Some((index, next));
                    sharers = 1;
                }
                Ordering::Equal => sharers += 1,
                Ordering::Greater => {}
            }
        }
        let Some((first, (token, key))) =
            least.filter(|(_, (token, key))| !end.is_below(*token, key))
        else {
            return Next::Nothing;
        };
        if sharers == 1
            && let Some(sole) = self.heads[first].sole(first)
        {
            return Next::Sole(sole);
        }
        let shared = self
            .heads
            .iter()
            .filter(|head| head.key() == Some((token, key)));
        let sources = shared.filter_map(|head| match head {
            Head::Memory { next, .. } => next.map(Source::memory),
            Head::Disk {
                state: DiskHead::Settled(cursor, _, segment),
                ..
            } => Some(Source::disk(cursor.clone(), *segment)),
            Head::Disk { .. } => None,
        });
        let key = DecoratedKey {
            token,
            key: key.into(),
        };
        Next::Shared(key, sources.collect())
    }

    /// Steps past a partition.
    pub(super) fn leave(&mut self, key: &DecoratedKey) {
        for head in &mut self.heads {
            if head.key() == Some((key.token, &*key.key)) {
                head.leave();
            }
        }
    }

    /// Steps past the partition that one source alone has.
    pub(super) fn leave_sole(&mut self, head: usize) {
        self.heads[head].leave();
    }
}

impl Sole<'_> {
    /// For [`Scan::leave_sole`].
    pub(super) fn head(&self) -> usize {
        self.head
    }
}

impl Head<'_> {
    fn key(&self) -> Option<(Token, &[u8])> {
        match self {
            Self::Memory { next, .. } => next.map(|view| (view.token(), view.key())),
            Self::Disk {
                state: DiskHead::Settled(cursor, _, segment),
                ..
            } => Some((segment.token, segment.key.of(cursor.bytes()))),
            Self::Disk { .. } => None,
        }
    }

    fn sole(&self, head: usize) -> Option<Sole<'_>> {
        match self {
            Self::Memory { next, .. } => {
                let view = (*next)?;
                if view.ranges().is_some() {
                    return None;
                }
                Some(Sole {
                    head,
                    token: view.token(),
                    key: view.key(),
                    deletion: view.deletion(),
                    static_row: view.static_row(),
                    rows: SoleRows::One(view.only_row()?),
                })
            }
            Self::Disk {
                state: DiskHead::Settled(cursor, _, segment),
                ..
            } => {
                if segment.upto.is_some() || Block::has_ranges(segment) {
                    return None;
                }
                let bytes = cursor.bytes();
                Some(Sole {
                    head,
                    token: segment.token,
                    key: segment.key.of(bytes),
                    deletion: segment.deletion,
                    static_row: segment.static_row.map(|row| row.of(bytes)),
                    rows: SoleRows::Segment(cursor, *segment),
                })
            }
            Self::Disk { .. } => None,
        }
    }

    fn leave(&mut self) {
        match self {
            Self::Memory { next, rest } => *next = rest.next(),
            Self::Disk { state, .. } => {
                *state = match std::mem::replace(state, DiskHead::Finished) {
                    DiskHead::Settled(cursor, index, segment) if segment.upto.is_none() => {
                        DiskHead::At(cursor, index + 1)
                    }
                    DiskHead::Settled(cursor, _, segment) => DiskHead::After(DecoratedKey {
                        token: segment.token,
                        key: segment.key.of(cursor.bytes()).into(),
                    }),
                    other => other,
                };
            }
        }
    }
}

fn begin<'a>(
    table: &'a SsTable,
    bound: &KeyBound,
    fetch: &mut Fetch<'a>,
) -> Result<DiskHead<'a>, Stop> {
    let spot = |token, key| Spot {
        token,
        key,
        clustering: None,
    };
    let spot = match bound {
        KeyBound::AfterKey(key) => return Ok(DiskHead::After(key.clone())),
        KeyBound::BeforeKey(key) => spot(key.token, &*key.key),
        KeyBound::Before(token) => spot(*token, &[]),
        // No token lies between: tokens are whole numbers.
        KeyBound::After(token) => match token.0.checked_add(1) {
            Some(next) => spot(Token(next), &[]),
            None => return Ok(DiskHead::Finished),
        },
    };
    Ok(match BlockCursor::seek(table, &spot, false, fetch)? {
        Some(cursor) => {
            let index = cursor.first_from(spot.token, spot.key, false)?;
            DiskHead::At(cursor, index)
        }
        None => DiskHead::At(BlockCursor::first(table, fetch)?, 0),
    })
}

fn settle<'a>(
    table: &'a SsTable,
    state: &mut DiskHead<'a>,
    fetch: &mut Fetch<'a>,
) -> Result<(), Stop> {
    if let DiskHead::After(key) = state {
        *state = match BlockCursor::seek(table, &end_spot(key), false, fetch)? {
            Some(cursor) => {
                cursor.note_place(fetch);
                let index = cursor.first_from(key.token, &key.key, true)?;
                DiskHead::At(cursor, index)
            }
            None => DiskHead::At(BlockCursor::first(table, fetch)?, 0),
        };
    }
    while let DiskHead::At(cursor, index) = state {
        if *index >= cursor.segments() {
            match cursor.next(fetch)? {
                Some(next) => *state = DiskHead::At(next, 0),
                None => *state = DiskHead::Finished,
            }
            continue;
        }
        let segment = cursor.segment(*index)?;
        if !table.holds(segment.token) {
            *state = after_foreign(cursor, segment.token, fetch)?;
            continue;
        }
        if segment.from.is_some() {
            *index += 1;
            continue;
        }
        let DiskHead::At(cursor, index) = std::mem::replace(state, DiskHead::Finished) else {
            unreachable!("it is what the loop looked at");
        };
        *state = DiskHead::Settled(cursor, index, segment);
    }
    Ok(())
}

/// Where the partitions go on that are valid here, from a token on that is not: what is another shard's may be most of a
/// file that several share, and is not read.
fn after_foreign<'a>(
    cursor: &BlockCursor<'a>,
    token: Token,
    fetch: &mut Fetch<'a>,
) -> Result<DiskHead<'a>, Stop> {
    let table = cursor.table();
    let Some(token) = table.places.next(token) else {
        return Ok(DiskHead::Finished);
    };
    let index = cursor.first_from(token, &[], false)?;
    if index < cursor.segments() {
        return Ok(DiskHead::At(cursor.clone(), index));
    }
    let spot = Spot {
        token,
        key: &[],
        clustering: None,
    };
    // The block at hand begins before it.
    let found = BlockCursor::seek(table, &spot, false, fetch)?;
    let found = found.ok_or_else(|| cursor.malformed())?;
    let index = found.first_from(token, &[], false)?;
    Ok(DiskHead::At(found, index))
}
