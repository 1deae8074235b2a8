//! Which partition comes next, over all sources.

use super::disk::BlockCursor;
use super::fetch::{Fetch, Stop};
use super::source::Source;
use super::{View, end_spot};
use crate::memtable::PartitionView;
use crate::sstable::SsTable;
use crate::sstable::block::Segment;
use crate::sstable::index::Spot;
use model::key::{DecoratedKey, Token};
use model::read::KeyBound;
use std::iter::Peekable;

/// A source's next partition.
enum Head<'a> {
    Memory(Peekable<Box<dyn Iterator<Item = PartitionView<'a>> + 'a>>),
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

impl<'a> Scan<'a> {
    /// Everything above a bound.
    pub(super) fn new(
        view: View<'a>,
        bound: &KeyBound,
        fetch: &mut Fetch<'_>,
    ) -> Result<Self, Stop> {
        let mut heads = Vec::with_capacity(view.memtables.len() + view.sstables.len());
        for memtable in view.memtables {
            let above: Box<dyn Iterator<Item = PartitionView<'a>>> =
                Box::new(memtable.above(bound));
            heads.push(Head::Memory(above.peekable()));
        }
        let mut missing = false;
        for table in view.sstables {
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
    pub(super) fn settle(&mut self, fetch: &mut Fetch<'_>) -> Result<(), Stop> {
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

    /// The least partition not above `end`, with the sources that have it.
    pub(super) fn least(&mut self, end: &KeyBound) -> Option<(DecoratedKey, Vec<Source<'a>>)> {
        let mut least: Option<(Token, &[u8])> = None;
        for head in &mut self.heads {
            let next = head.key();
            if next.is_some_and(|next| least.is_none_or(|least| next < least)) {
                least = next;
            }
        }
        let (token, key) = least.filter(|(token, key)| !end.is_below(*token, key))?;
        let key = DecoratedKey {
            token,
            key: key.into(),
        };
        let at = (token, &*key.key);
        let sources = self.heads.iter_mut().filter_map(|head| {
            if head.key() != Some(at) {
                return None;
            }
            match head {
                Head::Memory(above) => above.peek().map(|view| Source::memory(*view)),
                Head::Disk {
                    state: DiskHead::Settled(cursor, _, segment),
                    ..
                } => Some(Source::disk(cursor.clone(), *segment)),
                Head::Disk { .. } => None,
            }
        });
        let sources = sources.collect();
        Some((key, sources))
    }

    /// Steps past a partition.
    pub(super) fn leave(&mut self, key: &DecoratedKey) {
        for head in &mut self.heads {
            if head.key() != Some((key.token, &*key.key)) {
                continue;
            }
            match head {
                Head::Memory(above) => {
                    above.next();
                }
                Head::Disk { state, .. } => {
                    *state = match std::mem::replace(state, DiskHead::Finished) {
                        DiskHead::Settled(cursor, index, segment) if segment.upto.is_none() => {
                            DiskHead::At(cursor, index + 1)
                        }
                        DiskHead::Settled(..) => DiskHead::After(key.clone()),
                        other => other,
                    };
                }
            }
        }
    }
}

impl Head<'_> {
    fn key(&mut self) -> Option<(Token, &[u8])> {
        match self {
            Self::Memory(above) => above.peek().map(|view| (view.token(), view.key())),
            Self::Disk {
                state: DiskHead::Settled(cursor, _, segment),
                ..
            } => Some((segment.token, segment.key.of(cursor.bytes()))),
            Self::Disk { .. } => None,
        }
    }
}

fn begin<'a>(
    table: &'a SsTable,
    bound: &KeyBound,
    fetch: &mut Fetch<'_>,
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
    fetch: &mut Fetch<'_>,
) -> Result<(), Stop> {
    if let DiskHead::After(key) = state {
        *state = match BlockCursor::seek(table, &end_spot(key), false, fetch)? {
            Some(cursor) => {
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
        if segment.from.is_none() && table.holds(segment.token) {
            *state = DiskHead::Settled(cursor.clone(), *index, segment);
        } else {
            *index += 1;
        }
    }
    Ok(())
}
