//! The answers of all shards to a range read, as one: partitions in token order.
//!
//! A shard that stopped at its limit has said nothing of what comes after its last row. So the merge stops with the
//! first such shard that runs out: whatever other shards sent beyond is read again with the next page.

use crate::execute::rows::{ReadRow, rows};
use model::read::ReadResponse;
use std::cmp::Ordering;

/// Merges answers, taking `limit` rows at most.
pub(super) fn merge_ranges(answers: Vec<ReadResponse>, limit: u64) -> ReadResponse {
    let mut merged = ReadResponse {
        tombstones: answers.iter().map(|answer| answer.tombstones).sum(),
        ..ReadResponse::default()
    };
    let mut sources: Vec<Source<'_>> = answers.iter().map(Source::new).collect();
    loop {
        if merged.rows >= limit {
            merged.more = true;
            return merged;
        }
        if sources
            .iter()
            .any(|source| source.next.is_none() && source.answer.more)
        {
            merged.more = true;
            return merged;
        }
        let Some(source) = sources
            .iter_mut()
            .filter(|source| source.next.is_some())
            .min_by(|one, other| order(one, other))
        else {
            return merged;
        };
        source.copy_partition(&mut merged, limit);
    }
}

fn order<'a>(one: &Source<'a>, other: &Source<'a>) -> Ordering {
    let place = |source: &Source<'a>| source.next.map(|row| (row.token, row.key));
    place(one).cmp(&place(other))
}

struct Source<'a> {
    answer: &'a ReadResponse,
    rows: Box<dyn Iterator<Item = ReadRow<'a>> + 'a>,
    next: Option<ReadRow<'a>>,
}

impl<'a> Source<'a> {
    fn new(answer: &'a ReadResponse) -> Self {
        // A partition whose only content is a static row was sent because it counts.
        let mut rows: Box<dyn Iterator<Item = ReadRow<'a>> + 'a> =
            Box::new(rows(std::iter::once(answer), true));
        let next = rows.next();
        Self { answer, rows, next }
    }

    /// Copies the partition at hand, up to `limit` rows in all.
    fn copy_partition(&mut self, merged: &mut ReadResponse, limit: u64) {
        let Some(first) = self.next else { return };
        merged.put_partition(first.token, first.key, model::row::Deletion::NONE);
        if let Some(row) = first.static_row {
            merged.put_static(row);
        }
        while let Some(row) = self.next.filter(|row| row.key == first.key) {
            if merged.rows >= limit {
                return;
            }
            if let Some((clustering, bytes)) = row.row {
                merged.put_row(clustering, bytes);
            }
            merged.rows += 1;
            self.next = self.rows.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::key::Token;
    use model::read::ReadEntry;
    use model::row::Deletion;

    fn answer(tokens: &[i64], more: bool) -> ReadResponse {
        let mut answer = ReadResponse {
            more,
            ..ReadResponse::default()
        };
        for token in tokens {
            answer.put_partition(Token(*token), &token.to_be_bytes(), Deletion::NONE);
            answer.put_row(b"", &[0]);
            answer.rows += 1;
        }
        answer
    }

    fn tokens(answer: &ReadResponse) -> Vec<i64> {
        answer
            .entries()
            .filter_map(|entry| match entry {
                ReadEntry::Partition { token, .. } => Some(token.0),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn partitions_come_in_token_order_up_to_the_limit() {
        let merged = merge_ranges(vec![answer(&[1, 4, 9], false), answer(&[2, 3], false)], 4);
        assert_eq!(
            (tokens(&merged), merged.rows, merged.more),
            (vec![1, 2, 3, 4], 4, true)
        );
        let all = merge_ranges(vec![answer(&[1, 4], false), answer(&[2], false)], 10);
        assert_eq!((tokens(&all), all.more), (vec![1, 2, 4], false));
    }

    #[test]
    fn nothing_is_taken_beyond_where_a_shard_stopped() {
        let merged = merge_ranges(vec![answer(&[1, 2], true), answer(&[3, 4], false)], 10);
        assert_eq!((tokens(&merged), merged.more), (vec![1, 2], true));
    }
}
