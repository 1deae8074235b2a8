//! Cleanup: what a table holds of tokens that are not this node's any more is left out.
//!
//! Each SSTable that there is when no compaction of the table runs and nothing waits to be flushed is rewritten by itself, before any
//! other compaction of the table, so that what is left out does not come back by another way. What is written meanwhile is of tokens
//! that the node has; if it is to have others, the cleanup hears of that before the first of their rows comes.
//!
//! The same way every SSTable is rewritten when somebody asks for that: each loses what it may forget, and is read as a whole.

use super::Store;
use super::table::TableState;
use crate::compaction::Choice;
use crate::error::StoreError;
use crate::sstable::SsTable;
use model::key::Token;
use model::read::{KeyBound, KeyRange};
use model::schema::TableId;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Tokens that stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptTokens {
    /// First and last of each range, ascending and disjoint.
    ranges: Vec<(i64, i64)>,
}

impl KeptTokens {
    /// Those of ranges whose ends are tokens.
    pub fn new(ranges: impl IntoIterator<Item = KeyRange>) -> Self {
        let first = |bound: &KeyBound| match bound {
            KeyBound::After(token) => token.0.checked_add(1),
            other => Some(other.token().0),
        };
        let last = |bound: &KeyBound| match bound {
            KeyBound::Before(token) => token.0.checked_sub(1),
            other => Some(other.token().0),
        };
        let ranges = ranges.into_iter();
        let mut ranges: Vec<(i64, i64)> = ranges
            .filter_map(|range| Some((first(&range.start)?, last(&range.end)?)))
            .filter(|(first, last)| first <= last)
            .collect();
        ranges.sort_unstable();
        let mut joined: Vec<(i64, i64)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match joined.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => {
                    before.1 = before.1.max(last);
                }
                _ => joined.push((first, last)),
            }
        }
        Self { ranges: joined }
    }

    /// Whether a token stays.
    pub fn contains(&self, token: Token) -> bool {
        let place = self.ranges.partition_point(|(_, last)| *last < token.0);
        let range = self.ranges.get(place);
        range.is_some_and(|(first, _)| *first <= token.0)
    }

    /// Whether all tokens from the first to the last stay.
    fn covers(&self, first: Token, last: Token) -> bool {
        let place = self.ranges.partition_point(|(_, end)| *end < first.0);
        let range = self.ranges.get(place);
        range.is_some_and(|(start, end)| *start <= first.0 && last.0 <= *end)
    }
}

/// Which SSTables of a table are rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rewritten {
    /// Those that hold other tokens than these, without what they hold of others.
    Cut(Arc<KeptTokens>),
    /// All, with whatever tokens they hold.
    Every,
}

/// A cleanup of a table under way.
#[derive(Debug)]
pub(crate) struct Cleanup {
    pub kept: Arc<KeptTokens>,
    /// Whether all SSTables are rewritten, or those alone that hold other tokens.
    every: bool,
    /// SSTables that are not rewritten yet; `None` until they are counted.
    left: Option<BTreeSet<u64>>,
    pub tasks: Vec<u64>,
}

impl Store {
    /// Rewrites SSTables of a table; the ticket is finished when that is done. What is only in memory stays as it is: flush first.
    pub fn clean_up(
        &mut self,
        table: TableId,
        which: Rewritten,
        ticket: u64,
    ) -> Result<(), StoreError> {
        let task = self.table_task(table, ticket)?;
        let state = self.tables.get_mut(&table).expect("it has a task");
        // A second begins the first anew: its tokens are the ones that count, if it names any.
        let begun = state.cleanup.take();
        let was_every = begun.as_ref().is_some_and(|begun| begun.every);
        let every = was_every || which == Rewritten::Every;
        let (before, mut tasks) = match begun {
            Some(begun) => (Some(begun.kept), begun.tasks),
            None => (None, Vec::new()),
        };
        let kept = match (which, before) {
            (Rewritten::Cut(kept), _) | (Rewritten::Every, Some(kept)) => kept,
            (Rewritten::Every, None) => Arc::new(KeptTokens::new([KeyRange::all()])),
        };
        tasks.push(task);
        state.cleanup = Some(Cleanup {
            kept,
            every,
            left: None,
            tasks,
        });
        self.agenda.compactions = true;
        Ok(())
    }

    /// Tables whose cleanup is under way.
    pub fn cleaned_up(&self) -> impl Iterator<Item = TableId> + '_ {
        let tables = self.tables.iter();
        tables.filter_map(|(id, state)| state.cleanup.as_ref().map(|_| *id))
    }

    /// Other tokens are to stay from now on, before anything of the new ones comes: a cleanup of the table begins anew with these.
    pub fn keep_tokens(&mut self, table: TableId, kept: Arc<KeptTokens>) {
        let state = self.tables.get_mut(&table);
        if let Some(cleanup) = state.and_then(|state| state.cleanup.as_mut())
            && cleanup.kept != kept
            && !cleanup.kept.covers(Token::MIN, Token::MAX)
        {
            cleanup.kept = kept;
            cleanup.left = None;
            self.agenda.compactions = true;
        }
    }
}

impl TableState {
    /// The next SSTable to be rewritten, and the tokens that stay. `Err` with the tasks to be finished when there is none.
    pub(super) fn next_cleanup(&mut self) -> Result<Option<(Choice, Arc<KeptTokens>)>, Vec<u64>> {
        let Some(cleanup) = &mut self.cleanup else {
            return Ok(None);
        };
        if cleanup.left.is_none() && !self.frozen.is_empty() {
            return Ok(None);
        }
        let (kept, every) = (cleanup.kept.clone(), cleanup.every);
        let whole = |table: &SsTable| match &table.stats.bounds {
            _ if every => false,
            Some((first, last)) => kept.covers(first.token, last.token),
            None => true,
        };
        let sound = |table: &SsTable| !table.suspect.load(Ordering::Relaxed);
        let left = cleanup.left.get_or_insert_with(|| {
            let tables = self.sstables.iter();
            let cut = tables.filter(|table| sound(table) && !whole(table));
            cut.map(|table| table.id).collect()
        });
        left.retain(|id| {
            self.sstables
                .iter()
                .any(|table| table.id == *id && sound(table))
        });
        let next = left.first().copied();
        let next = next.and_then(|id| self.sstables.iter().find(|table| table.id == id));
        match next {
            Some(table) => {
                let choice = Choice {
                    inputs: vec![table.id],
                    level: table.stats.level,
                    split_bytes: None,
                };
                Ok(Some((choice, kept)))
            }
            None => Err(self.cleanup.take().map_or(Vec::new(), |done| done.tasks)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_ranges_stay_and_no_others() {
        let range = |start, end| KeyRange { start, end };
        let kept = KeptTokens::new([
            range(KeyBound::After(Token(10)), KeyBound::After(Token(20))),
            range(KeyBound::Before(Token::MIN), KeyBound::After(Token(-5))),
            range(KeyBound::After(Token(20)), KeyBound::After(Token(30))),
            range(KeyBound::After(Token::MAX), KeyBound::After(Token::MAX)),
        ]);
        for (token, stays) in [
            (i64::MIN, true),
            (-5, true),
            (-4, false),
            (10, false),
            (11, true),
            (21, true),
            (30, true),
            (31, false),
            (i64::MAX, false),
        ] {
            assert_eq!(kept.contains(Token(token)), stays, "{token}");
        }
        assert!(kept.covers(Token(11), Token(30)));
        assert!(!kept.covers(Token(-5), Token(11)));
    }
}
