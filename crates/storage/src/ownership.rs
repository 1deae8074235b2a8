//! Which tokens a shard, or a file shared by several, answers for.
//!
//! The shard map ([`Token::shard`]) leaves out the upper bits of the biased token and divides what remains evenly, so
//! a shard owns an interval of a 64-bit *place* that is the same in every section of the ring. A set of places is a
//! few disjoint intervals; that is enough to say which part of a file stays valid for whom when the number of shards
//! changes, and changes again.

use model::key::Token;
use model::limits::SHARDING_IGNORE_MSB;
use model::varint;

/// Where a token stands in the shard map.
fn place(token: Token) -> u64 {
    (token.0 as u64).wrapping_add(1 << 63) << SHARDING_IGNORE_MSB
}

/// Disjoint ascending intervals of places, both ends included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    intervals: Vec<(u64, u64)>,
}

impl Places {
    /// Every token.
    pub(crate) fn all() -> Self {
        Self {
            intervals: vec![(0, u64::MAX)],
        }
    }

    /// The tokens of one shard of `shards`.
    pub(crate) fn of_shard(shard: u16, shards: u16) -> Self {
        let start = |shard: u16| ((u128::from(shard) << 64).div_ceil(u128::from(shards))) as u64;
        let last = if shard + 1 == shards {
            u64::MAX
        } else {
            start(shard + 1) - 1
        };
        Self {
            intervals: vec![(start(shard), last)],
        }
    }

    /// Whether it holds every token.
    pub(crate) fn is_all(&self) -> bool {
        self.intervals == [(0, u64::MAX)]
    }

    /// Whether it holds none.
    pub(crate) fn is_empty(&self) -> bool {
        self.intervals.is_empty()
    }

    /// Whether it holds the token.
    pub(crate) fn contains(&self, token: Token) -> bool {
        let place = place(token);
        let index = self.intervals.partition_point(|&(_, last)| last < place);
        self.intervals
            .get(index)
            .is_some_and(|&(first, _)| first <= place)
    }

    /// The first token it holds of those from this one on.
    pub(crate) fn next(&self, token: Token) -> Option<Token> {
        const LOW: u64 = u64::MAX >> SHARDING_IGNORE_MSB;
        let biased = (token.0 as u64).wrapping_add(1 << 63);
        let (section, low) = (biased & !LOW, biased & LOW);
        // Places of tokens have zeros where they were shifted.
        let first_from = |low: u64| {
            self.intervals.iter().find_map(|&(first, last)| {
                let low = low.max(first.div_ceil(1 << SHARDING_IGNORE_MSB));
                (low <= last >> SHARDING_IGNORE_MSB).then_some(low)
            })
        };
        let next = match first_from(low) {
            Some(low) => section | low,
            None => section.checked_add(LOW + 1)? | first_from(0)?,
        };
        Some(Token(next.wrapping_sub(1 << 63) as i64))
    }

    /// The tokens in both.
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        let mut intervals = Vec::new();
        for &(first, last) in &self.intervals {
            for &(from, to) in &other.intervals {
                let (from, to) = (from.max(first), to.min(last));
                if from <= to {
                    intervals.push((from, to));
                }
            }
        }
        Self { intervals }
    }

    /// The tokens in either.
    pub(crate) fn union(&self, other: &Self) -> Self {
        let mut all: Vec<(u64, u64)> = [&self.intervals[..], &other.intervals[..]].concat();
        all.sort_unstable();
        let mut intervals: Vec<(u64, u64)> = Vec::with_capacity(all.len());
        for (first, last) in all {
            match intervals.last_mut() {
                Some(open) if open.1 == u64::MAX || first <= open.1 + 1 => {
                    open.1 = open.1.max(last)
                }
                _ => intervals.push((first, last)),
            }
        }
        Self { intervals }
    }

    /// Appends it: a count and the intervals.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        varint::put(out, self.intervals.len() as u64);
        for &(first, last) in &self.intervals {
            out.extend_from_slice(&first.to_le_bytes());
            out.extend_from_slice(&last.to_le_bytes());
        }
    }

    /// Reads what [`Self::encode`] wrote; `None` if it is no such thing.
    pub(crate) fn decode(input: &mut &[u8]) -> Option<Self> {
        let mut intervals: Vec<(u64, u64)> = Vec::new();
        for _ in 0..varint::get(input)? {
            let mut word = || Some(u64::from_le_bytes(varint::take(input, 8)?.try_into().ok()?));
            let (first, last) = (word()?, word()?);
            if first > last || intervals.last().is_some_and(|&(_, before)| before >= first) {
                return None;
            }
            intervals.push((first, last));
        }
        Some(Self { intervals })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_the_shard_map(token: i64, shards in 1u16..9, others in 1u16..9) {
            let token = Token(token);
            let owner = token.shard(u32::from(shards), SHARDING_IGNORE_MSB);
            let other = token.shard(u32::from(others), SHARDING_IGNORE_MSB);
            let mut all = Places { intervals: Vec::new() };
            for shard in 0..shards {
                let places = Places::of_shard(shard, shards);
                prop_assert_eq!(places.contains(token), shard == owner);
                all = all.union(&places);
                let both = places.intersection(&Places::of_shard(other, others));
                prop_assert_eq!(both.contains(token), shard == owner);
                let mut bytes = Vec::new();
                both.encode(&mut bytes);
                prop_assert_eq!(Places::decode(&mut bytes.as_slice()), Some(both));
            }
            prop_assert!(all.is_all());
        }

        #[test]
        fn the_next_token_is_the_first_it_holds(
            token: i64,
            at_the_end: bool,
            ahead in 0i128..1 << 53,
            shard in 0u16..5,
            other in 0u16..5,
        ) {
            let token = if at_the_end { i64::MAX - ahead as i64 } else { token };
            let places = Places::of_shard(shard, 5).union(&Places::of_shard(other, 5));
            let places = places.intersection(&Places::of_shard(1, 3));
            let next = places.next(Token(token));
            prop_assert!(next.is_none_or(|next| next.0 >= token && places.contains(next)));
            // None lies between, or after it if there is no next.
            let end = next.map_or(i128::from(i64::MAX) + 1, |next| i128::from(next.0));
            let between = end - i128::from(token);
            if between > 0 {
                for skipped in [i128::from(token) + ahead % between, end - 1] {
                    prop_assert!(!places.contains(Token(skipped as i64)));
                }
            }
        }
    }
}
