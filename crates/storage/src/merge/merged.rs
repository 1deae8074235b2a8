//! One window of a partition: the rows and deleted ranges of all sources between two positions, merged.

use super::source::Source;
use super::{Flow, Sink};
use model::clustering::Slice;
use model::merge;
use model::read::Direction;
use model::row::Deletion;
use model::tombstone::{RangeTombstone, RangeTombstones};
use std::cmp::Ordering;

/// Merges versions, in buffers that are used again.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    row: Vec<u8>,
    scratch: Vec<u8>,
    versions: usize,
}

impl Merged {
    /// Begins a row.
    pub(crate) fn clear(&mut self) {
        self.row.clear();
        self.versions = 0;
    }

    /// Adds a version of it.
    pub(crate) fn add(&mut self, version: &[u8]) {
        self.versions += 1;
        if self.versions == 1 {
            self.row.extend_from_slice(version);
        } else {
            self.scratch.clear();
            merge::rows(&self.row, version, &mut self.scratch);
            std::mem::swap(&mut self.row, &mut self.scratch);
        }
    }

    /// Whether no version was added.
    pub(crate) fn is_none(&self) -> bool {
        self.versions == 0
    }

    /// The versions merged, so far.
    pub(crate) fn row(&self) -> &[u8] {
        &self.row
    }

    /// The merged row without what a deletion covers; `None` if nothing is left.
    pub(crate) fn uncovered(&mut self, deletion: Deletion) -> Option<&[u8]> {
        if self.versions == 0 {
            return None;
        }
        if deletion.is_none() {
            return Some(&self.row);
        }
        self.scratch.clear();
        let left = merge::uncovered(&self.row, deletion, &mut self.scratch);
        left.then_some(self.scratch.as_slice())
    }

    /// Hands over what all sources have from `at` to where the first of their chunks ends, and moves `at` there.
    pub(super) fn window(
        &mut self,
        sources: &mut [Source<'_>],
        at: &mut Vec<u8>,
        direction: Direction,
        deletion: Deletion,
        sink: &mut impl Sink,
        budget: &mut usize,
    ) -> Flow {
        if let [source] = sources
            && source.ranges().is_empty()
        {
            return self.sole(source, at, deletion, sink, budget);
        }
        let forward = direction == Direction::Forward;
        let bounds = sources.iter().map(|source| source.bound());
        let end = if forward { bounds.min() } else { bounds.max() };
        let end = end.expect("a partition has a source").to_vec();
        let (low, high) = if forward {
            (&at[..], &end[..])
        } else {
            (&end[..], &at[..])
        };
        let mut ranges = RangeTombstones::default();
        for source in sources.iter().filter(|source| !source.ranges().is_empty()) {
            add_ranges(&mut ranges, source.ranges(), low, high);
        }
        let mut pieces = Pieces::new(&ranges, direction, deletion);
        let flow = loop {
            let Some(first) = least(sources, &end, forward) else {
                break Flow::Continue;
            };
            let (key, row) = sources[first].peek().expect("it has a row");
            pieces.up_to(key, sink);
            let covering = deletion.max(ranges.covering(key));
            *budget = budget.saturating_sub(key.len() + row.len() + 16);
            let others = sources[first + 1..]
                .iter()
                .any(|source| source.peek().is_some_and(|(other, _)| other == key));
            let flow = if !others && covering.is_none() {
                sink.row(key, row)
            } else {
                self.clear();
                for source in &sources[first..] {
                    match source.peek() {
                        Some((other, version)) if other == key => self.add(version),
                        _ => {}
                    }
                }
                match self.uncovered(covering) {
                    Some(row) => sink.row(key, row),
                    None => Flow::Continue,
                }
            };
            if flow != Flow::Continue {
                break flow;
            }
            step(sources, first);
        };
        if flow == Flow::Continue {
            pieces.rest(sink);
            *at = end;
        }
        flow
    }
}

impl Merged {
    /// A window of one source that has no deleted ranges: nothing to compare, nothing to merge.
    fn sole(
        &mut self,
        source: &mut Source<'_>,
        at: &mut Vec<u8>,
        deletion: Deletion,
        sink: &mut impl Sink,
        budget: &mut usize,
    ) -> Flow {
        let live = deletion.is_none() && source.is_all_live();
        while let Some((key, row)) = source.peek() {
            *budget = budget.saturating_sub(key.len() + row.len() + 16);
            let flow = if live {
                sink.live_row(key, row)
            } else {
                super::hand_over(key, row, deletion, self, sink)
            };
            if flow != Flow::Continue {
                return flow;
            }
            source.advance();
        }
        at.clear();
        at.extend_from_slice(source.bound());
        Flow::Continue
    }
}

/// The first of the sources that have the next row of the window.
fn least(sources: &[Source<'_>], end: &[u8], forward: bool) -> Option<usize> {
    let mut least: Option<(usize, &[u8])> = None;
    for (index, source) in sources.iter().enumerate() {
        let Some((key, _)) = source.peek() else {
            continue;
        };
        if if forward { key >= end } else { key < end } {
            continue;
        }
        let better = least.is_none_or(|(_, least)| match key.cmp(least) {
            Ordering::Less => forward,
            Ordering::Greater => !forward,
            Ordering::Equal => false,
        });
        if better {
            least = Some((index, key));
        }
    }
    least.map(|(index, _)| index)
}

/// Steps every source past the row that the one at `first` stands at.
fn step(sources: &mut [Source<'_>], first: usize) {
    let (head, rest) = sources[first..]
        .split_first_mut()
        .expect("it is one of them");
    if let Some((key, _)) = head.peek() {
        for source in rest {
            if source.peek().is_some_and(|(other, _)| other == key) {
                source.advance();
            }
        }
    }
    head.advance();
}

/// Hands over deleted ranges between the rows, in the walk's order.
struct Pieces<'a> {
    ranges: &'a [RangeTombstone],
    direction: Direction,
    deletion: Deletion,
}

impl<'a> Pieces<'a> {
    fn new(ranges: &'a RangeTombstones, direction: Direction, deletion: Deletion) -> Self {
        Self {
            ranges: ranges.pieces(),
            direction,
            deletion,
        }
    }

    /// Those that begin, in the walk's direction, before the row at `key`.
    fn up_to(&mut self, key: &[u8], sink: &mut impl Sink) {
        loop {
            let next = match self.direction {
                Direction::Forward => self
                    .ranges
                    .split_first()
                    .filter(|(range, _)| range.slice.start.as_slice() <= key),
                Direction::Backward => self
                    .ranges
                    .split_last()
                    .filter(|(range, _)| range.slice.end.as_slice() > key),
            };
            let Some((range, rest)) = next else { return };
            self.hand_over(range, sink);
            self.ranges = rest;
        }
    }

    fn rest(&mut self, sink: &mut impl Sink) {
        let ranges = std::mem::take(&mut self.ranges);
        match self.direction {
            Direction::Forward => ranges.iter().for_each(|range| self.hand_over(range, sink)),
            Direction::Backward => ranges
                .iter()
                .rev()
                .for_each(|range| self.hand_over(range, sink)),
        }
    }

    /// What the partition's own deletion covers is not worth a word.
    fn hand_over(&self, range: &RangeTombstone, sink: &mut impl Sink) {
        if self.deletion.is_none() || !self.deletion.covers(range.deletion.timestamp) {
            sink.range(range);
        }
    }
}

/// The pieces of `ranges` (ascending, disjoint) that reach into `low..high`.
fn overlapping<'a>(ranges: &'a [RangeTombstone], low: &[u8], high: &[u8]) -> &'a [RangeTombstone] {
    let from = ranges.partition_point(|range| range.slice.end.as_slice() <= low);
    let to = ranges.partition_point(|range| range.slice.start.as_slice() < high);
    &ranges[from..to.max(from)]
}

/// Adds the pieces of a source that reach into a window, cut to it.
fn add_ranges(all: &mut RangeTombstones, ranges: &[RangeTombstone], low: &[u8], high: &[u8]) {
    for range in overlapping(ranges, low, high) {
        let slice = Slice {
            start: range.slice.start.as_slice().max(low).to_vec(),
            end: range.slice.end.as_slice().min(high).to_vec(),
        };
        all.add(slice, range.deletion);
    }
}
