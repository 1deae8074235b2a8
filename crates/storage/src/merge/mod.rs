//! The one walk over memtables and SSTables that reads, flushes and compactions share.
//!
//! A [`Walk`] visits partitions in order and, in each, rows in clustering order or against it; versions of a row meet
//! by [`model::merge`], what deletions of partitions and ranges cover is taken out, and the deleted ranges themselves
//! are handed over disjoint. What becomes of it is the [`Sink`]'s.
//!
//! A walk is a place, not a cursor: when a block is missing it keeps only how far it came, and goes on from there by
//! looking its sources up again. So memtables may be flushed and SSTables compacted between two runs, and nothing
//! borrowed outlives a run.

mod disk;
mod fetch;
mod merged;
mod scan;
mod source;

pub(crate) use disk::BlockCursor;
pub(crate) use fetch::{Fetch, Pins, Stop, Want};
pub(crate) use merged::Merged;

use crate::error::StoreError;
use crate::memtable::Memtable;
use crate::sstable::SsTable;
use crate::sstable::block::{Block, RowSpan};
use crate::sstable::index::Spot;
use model::clustering::Slice;
use model::key::{DecoratedKey, Token};
use model::read::{Direction, KeyBound};
use model::row::Deletion;
use model::tombstone::RangeTombstone;
use scan::{Next, Scan, Sole, SoleRows};
pub(crate) use source::Source;
use source::{load, open_all, version};
use std::sync::Arc;

/// What a walk reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub memtables: &'a [&'a Memtable],
    pub sstables: &'a [Arc<SsTable>],
}

/// What a sink wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// More of the partition.
    Continue,
    /// The next partition.
    NextPartition,
    /// Nothing: the walk ends here.
    Stop,
}

/// Takes what a walk finds.
pub(crate) trait Sink {
    /// Whether static rows are wanted.
    fn wants_static(&self) -> bool;
    /// How many rows it will want at most if all are as it hopes: sources first load no more. Most if it cannot say.
    fn rows_wanted(&self) -> usize {
        usize::MAX
    }
    /// A partition begins.
    fn begin(
        &mut self,
        token: Token,
        key: &[u8],
        deletion: Deletion,
        static_row: Option<&[u8]>,
    ) -> Flow;
    /// A deleted range of it, cut to what is being walked; a long one comes in touching pieces.
    fn range(&mut self, range: &RangeTombstone);
    /// A row of it.
    fn row(&mut self, clustering: &[u8], row: &[u8]) -> Flow;
    /// A row of it of which everything is alive: nothing in it is a tombstone, nothing expires.
    fn live_row(&mut self, clustering: &[u8], row: &[u8]) -> Flow {
        self.row(clustering, row)
    }
    /// The partition ends: nothing more of it was found, or the sink wanted no more.
    fn end(&mut self) -> Flow;
    /// The partition changed under the walk. `true` if the sink took back what it got of it and wants it anew.
    fn restart(&mut self) -> bool;
}

/// How a run of a walk ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Everything was visited, or the sink wanted no more.
    Finished,
    /// Blocks are missing.
    Missing,
    /// The budget is spent.
    Yielded,
    /// It cannot be finished.
    Failed(StoreError),
}

/// How far a walk is.
#[derive(Debug, Clone)]
enum At {
    /// Above this bound.
    Above(KeyBound),
    /// Above the partition last handed over.
    AboveLast,
    /// Above it as well, and the sink wanted no more.
    Stopped,
    /// In a partition.
    Inside(Inside),
    /// At its end.
    Finished,
}

#[derive(Debug, Clone)]
struct Inside {
    key: DecoratedKey,
    /// Index of the slice.
    slice: usize,
    /// Rows up to here are done with: inclusive lower end forward, exclusive upper end backward.
    at: Vec<u8>,
    /// Whether the sink was told of the partition.
    begun: bool,
    /// Versions of the memtables' partitions when it was.
    version: u64,
}

/// A walk.
#[derive(Debug)]
pub(crate) struct Walk {
    slices: Vec<Slice>,
    direction: Direction,
    /// Whether partitions are wanted whole and forward.
    direct: bool,
    /// Upper end of the range walked; `None` for a single partition.
    end: Option<KeyBound>,
    at: At,
    /// The partition last handed over, of those that one source alone had.
    last: (Token, Vec<u8>),
    spans: Vec<RowSpan>,
    merged: Merged,
}

impl Walk {
    /// Over all partitions above `start` and not above `end`.
    pub(crate) fn range(
        start: KeyBound,
        end: KeyBound,
        slices: Vec<Slice>,
        direction: Direction,
    ) -> Self {
        let whole = matches!(&slices[..], [all] if *all == Slice::all());
        Self {
            slices,
            direction,
            direct: whole && direction == Direction::Forward,
            end: Some(end),
            at: At::Above(start),
            last: (Token::MIN, Vec::new()),
            spans: Vec::new(),
            merged: Merged::default(),
        }
    }

    /// Over everything, ascending: flush and compaction.
    pub(crate) fn everything() -> Self {
        let (start, end) = (KeyBound::Before(Token::MIN), KeyBound::After(Token::MAX));
        Self::range(start, end, vec![Slice::all()], Direction::Forward)
    }

    /// Over one partition.
    pub(crate) fn key(key: DecoratedKey, slices: Vec<Slice>, direction: Direction) -> Self {
        let mut walk = Self::range(
            KeyBound::AfterKey(key.clone()),
            KeyBound::After(Token::MAX),
            slices,
            direction,
        );
        walk.end = None;
        walk.at = walk.enter(key);
        walk
    }

    /// Begins inside a partition, after the row with this clustering key in the walk's direction.
    pub(crate) fn begin_after(&mut self, key: DecoratedKey, clustering: &[u8]) {
        assert!(
            !self.slices.is_empty(),
            "a walk that ended at a row had slices"
        );
        let at = match self.direction {
            Direction::Forward => model::clustering::above(clustering),
            Direction::Backward => clustering.to_vec(),
        };
        let At::Inside(mut inside) = self.enter(key) else {
            unreachable!("enter goes inside");
        };
        while self
            .slices
            .get(inside.slice)
            .is_some_and(|slice| match self.direction {
                Direction::Forward => slice.end <= at,
                Direction::Backward => slice.start >= at,
            })
            && self.next_slice(&mut inside)
        {}
        let slice = &self.slices[inside.slice];
        inside.at = match self.direction {
            Direction::Forward => at.max(slice.start.clone()),
            Direction::Backward => at.min(slice.end.clone()),
        };
        self.at = At::Inside(inside);
    }

    fn enter(&self, key: DecoratedKey) -> At {
        let slice = match self.direction {
            Direction::Forward => 0,
            Direction::Backward => self.slices.len().saturating_sub(1),
        };
        let at = match (self.slices.get(slice), self.direction) {
            (None, _) => Vec::new(),
            (Some(slice), Direction::Forward) => slice.start.clone(),
            (Some(slice), Direction::Backward) => slice.end.clone(),
        };
        At::Inside(Inside {
            key,
            slice,
            at,
            begun: false,
            version: 0,
        })
    }

    /// Moves to the beginning of the next slice; `false` after the last.
    fn next_slice(&self, inside: &mut Inside) -> bool {
        let next = match self.direction {
            Direction::Forward => Some(inside.slice + 1).filter(|next| *next < self.slices.len()),
            Direction::Backward => inside.slice.checked_sub(1),
        };
        let Some(next) = next else { return false };
        inside.slice = next;
        inside.at = match self.direction {
            Direction::Forward => self.slices[next].start.clone(),
            Direction::Backward => self.slices[next].end.clone(),
        };
        true
    }

    /// Whether everything was visited. A walk whose sink stopped it at the end of a partition can go on with another.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.at, At::Finished)
    }

    /// Walks until it is at its end, misses blocks, or `budget` bytes were handed over.
    pub(crate) fn run<'a>(
        &mut self,
        view: View<'a>,
        fetch: &mut Fetch<'a>,
        sink: &mut impl Sink,
        budget: &mut usize,
    ) -> Outcome {
        match self.go(view, fetch, sink, budget) {
            Ok(outcome) => outcome,
            Err(Stop::Missing) => Outcome::Missing,
            Err(Stop::Failed(error)) => Outcome::Failed(error),
        }
    }

    fn go<'a>(
        &mut self,
        view: View<'a>,
        fetch: &mut Fetch<'a>,
        sink: &mut impl Sink,
        budget: &mut usize,
    ) -> Result<Outcome, Stop> {
        let mut scan: Option<Scan<'a>> = None;
        loop {
            let sources = match &self.at {
                At::Finished => return Ok(Outcome::Finished),
                At::Inside(inside) => {
                    open_all(view, &inside.key, &inside.at, self.direction, fetch)?
                }
                At::Above(_) | At::AboveLast if *budget == 0 => return Ok(Outcome::Yielded),
                At::Above(_) | At::AboveLast => {
                    let scan = match &mut scan {
                        Some(scan) => scan,
                        none => none.insert(Scan::new(view, &self.bound(), self.end(), fetch)?),
                    };
                    match self.next_partition(scan, fetch, sink, budget)? {
                        Some(_) if self.direction == Direction::Backward => continue,
                        Some(sources) => sources,
                        None if matches!(self.at, At::Stopped) => {
                            self.at = At::AboveLast;
                            return Ok(Outcome::Finished);
                        }
                        None => continue,
                    }
                }
                At::Stopped => unreachable!("left where it is set"),
            };
            let At::Inside(mut inside) = std::mem::replace(&mut self.at, At::Finished) else {
                unreachable!("sources are of the partition the walk is in");
            };
            let result = self.partition(view, &mut inside, sources, fetch, sink, budget);
            let flow = match result {
                Ok(Some(flow)) => flow,
                Ok(None) => {
                    self.at = At::Inside(inside);
                    return Ok(Outcome::Yielded);
                }
                Err(stop) => {
                    self.at = At::Inside(inside);
                    return Err(stop);
                }
            };
            if self.end.is_none() {
                return Ok(Outcome::Finished);
            }
            if let Some(scan) = &mut scan {
                scan.leave(&inside.key);
            }
            self.at = At::Above(KeyBound::AfterKey(inside.key));
            if flow == Flow::Stop {
                return Ok(Outcome::Finished);
            }
        }
    }

    /// Goes to the next partition, and into it: the sources that share it, where reading forward begins. One that a
    /// source has alone is handed over at once, and one there is none after is the end: then there is nothing to go into.
    fn next_partition<'a>(
        &mut self,
        scan: &mut Scan<'a>,
        fetch: &mut Fetch<'a>,
        sink: &mut impl Sink,
        budget: &mut usize,
    ) -> Result<Option<Vec<Source<'a>>>, Stop> {
        scan.settle(fetch)?;
        match scan.least(self.end()) {
            Next::Nothing => self.at = At::Finished,
            Next::Sole(sole) if self.direct => {
                let head = sole.head();
                self.last.0 = sole.token;
                self.last.1.clear();
                self.last.1.extend_from_slice(sole.key);
                let flow = self.sole(&sole, sink, budget)?;
                scan.leave_sole(head);
                self.at = if flow == Flow::Stop {
                    At::Stopped
                } else {
                    At::AboveLast
                };
            }
            Next::Sole(sole) => {
                let (token, key) = (sole.token, sole.key.into());
                self.at = self.enter(DecoratedKey { token, key });
            }
            Next::Shared(key, sources) => {
                self.at = self.enter(key);
                return Ok(Some(sources));
            }
        }
        Ok(None)
    }

    /// What the walk is above.
    fn end(&self) -> &KeyBound {
        let end = self.end.as_ref();
        end.expect("a single partition is never left")
    }

    fn bound(&self) -> KeyBound {
        match &self.at {
            At::Above(bound) => bound.clone(),
            _ => KeyBound::AfterKey(DecoratedKey {
                token: self.last.0,
                key: self.last.1.as_slice().into(),
            }),
        }
    }

    /// Hands over a partition that one source alone has.
    fn sole(
        &mut self,
        sole: &Sole<'_>,
        sink: &mut impl Sink,
        budget: &mut usize,
    ) -> Result<Flow, Stop> {
        let deletion = sole.deletion;
        let mut fixed = None;
        if let Some(row) = sole.static_row.filter(|_| sink.wants_static()) {
            self.merged.clear();
            self.merged.add(row);
            fixed = self.merged.uncovered(deletion);
        }
        let mut flow = sink.begin(sole.token, sole.key, deletion, fixed);
        let merged = &mut self.merged;
        let mut row = |key: &[u8], row: &[u8], sink: &mut _| {
            *budget = budget.saturating_sub(key.len() + row.len() + 16);
            hand_over(key, row, deletion, merged, sink)
        };
        match &sole.rows {
            _ if flow != Flow::Continue => {}
            SoleRows::One(None) => {}
            SoleRows::One(Some((key, bytes))) => flow = row(key, bytes, sink),
            SoleRows::Segment(cursor, segment) => {
                self.spans.clear();
                let (block, above) = (cursor.bytes(), [model::comparable::ABOVE]);
                let rows = Block(block).rows(segment, &[], &above, usize::MAX, &mut self.spans);
                rows.ok_or_else(|| cursor.malformed())?;
                for span in &self.spans {
                    flow = row(span.key.of(block), span.row.of(block), sink);
                    if flow != Flow::Continue {
                        break;
                    }
                }
            }
        }
        *budget = budget.saturating_sub(sole.key.len() + 16);
        Ok(sink.end().max_stop(flow))
    }

    /// Walks one partition to its end; `None` if the budget ended it before.
    fn partition<'a>(
        &mut self,
        view: View<'a>,
        inside: &mut Inside,
        mut sources: Vec<Source<'a>>,
        fetch: &mut Fetch<'a>,
        sink: &mut impl Sink,
        budget: &mut usize,
    ) -> Result<Option<Flow>, Stop> {
        let version = version(&sources);
        if inside.begun && version != inside.version && sink.restart() {
            let At::Inside(again) = self.enter(inside.key.clone()) else {
                unreachable!("enter goes inside");
            };
            *inside = again;
            sources = open_all(view, &inside.key, &inside.at, self.direction, fetch)?;
        }
        let mut deletion = Deletion::NONE;
        for source in &sources {
            deletion = deletion.max(source.deletion());
        }
        if !inside.begun {
            if sources.is_empty() {
                return Ok(Some(Flow::NextPartition));
            }
            let flow = self.begin(view, inside, &sources, deletion, fetch, sink)?;
            inside.begun = true;
            inside.version = version;
            if flow != Flow::Continue {
                return Ok(Some(sink.end().max_stop(flow)));
            }
        }
        let mut most = sink.rows_wanted();
        loop {
            if inside.slice >= self.slices.len() {
                break;
            }
            let slice = &self.slices[inside.slice];
            let done = match self.direction {
                Direction::Forward => inside.at >= slice.end,
                Direction::Backward => inside.at <= slice.start,
            };
            if done {
                if self.next_slice(inside) {
                    continue;
                }
                break;
            }
            if *budget == 0 {
                return Ok(None);
            }
            load(&mut sources, &inside.at, slice, self.direction, most, fetch)?;
            // Rows that the sink had no use for are many or few; whoever loads more loads a lot.
            most = usize::MAX;
            let flow = self.merged.window(
                &mut sources,
                &mut inside.at,
                self.direction,
                deletion,
                sink,
                budget,
            );
            if flow != Flow::Continue {
                return Ok(Some(sink.end().max_stop(flow)));
            }
        }
        Ok(Some(sink.end()))
    }

    /// Tells the sink of the partition, with its static row if it wants it.
    fn begin<'a>(
        &mut self,
        view: View<'a>,
        inside: &Inside,
        sources: &[Source<'_>],
        deletion: Deletion,
        fetch: &mut Fetch<'a>,
        sink: &mut impl Sink,
    ) -> Result<Flow, Stop> {
        let (token, key) = (inside.key.token, &*inside.key.key);
        if !sink.wants_static() {
            return Ok(sink.begin(token, key, deletion, None));
        }
        let merged = &mut self.merged;
        merged.clear();
        if sources.iter().all(Source::knows_static) {
            sources
                .iter()
                .filter_map(Source::static_row)
                .for_each(|row| merged.add(row));
        } else {
            // A read that begins in the middle of a wide partition looks at its beginning too.
            for source in open_all(view, &inside.key, &[], Direction::Forward, fetch)? {
                if let Some(row) = source.static_row() {
                    merged.add(row);
                }
            }
        }
        Ok(sink.begin(token, key, deletion, merged.uncovered(deletion)))
    }
}

impl Flow {
    /// `Stop` if either is.
    fn max_stop(self, other: Self) -> Self {
        if other == Self::Stop { other } else { self }
    }
}

/// Hands over a row without what the partition's deletion covers.
fn hand_over(
    key: &[u8],
    row: &[u8],
    deletion: Deletion,
    merged: &mut Merged,
    sink: &mut impl Sink,
) -> Flow {
    if deletion.is_none() {
        return sink.row(key, row);
    }
    merged.clear();
    merged.add(row);
    match merged.uncovered(deletion) {
        Some(row) => sink.row(key, row),
        None => Flow::Continue,
    }
}

/// Where an SSTable is looked at from for a whole partition's end.
fn end_spot(key: &DecoratedKey) -> Spot<'_> {
    Spot {
        token: key.token,
        key: &key.key,
        clustering: Some(&[model::comparable::ABOVE]),
    }
}
