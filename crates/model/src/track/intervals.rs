//! Sets of sequence numbers that are mostly runs.

use crate::varint;

/// A set of numbers, as disjoint, non-adjacent, ascending intervals, both ends included. In the order in which a log is
/// written it is one interval, and upkeep is constant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Intervals(Vec<(u64, u64)>);

impl Intervals {
    /// Every number from `first` to `last`.
    pub fn run(first: u64, last: u64) -> Self {
        assert!(first <= last, "an interval runs forward");
        Self(vec![(first, last)])
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many intervals: what it costs.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// How many numbers, or `u64::MAX` if that many or more.
    pub fn count(&self) -> u64 {
        let counts = self.0.iter().map(|(first, last)| last - first);
        counts.fold(0, |sum, more| sum.saturating_add(more).saturating_add(1))
    }

    /// The greatest number, if there is any.
    pub fn last(&self) -> Option<u64> {
        self.0.last().map(|(_, last)| *last)
    }

    /// The intervals, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }

    /// Adds every number from `first` to `last`.
    pub fn insert(&mut self, first: u64, last: u64) {
        assert!(first <= last, "an interval runs forward");
        if let Some(end) = self.0.last_mut()
            && end.1.checked_add(1) == Some(first)
        {
            end.1 = last;
            return;
        }
        let from = self
            .0
            .partition_point(|&(_, end)| end.saturating_add(1) < first);
        let to = self
            .0
            .partition_point(|&(start, _)| start <= last.saturating_add(1));
        let merged = self.0[from..to]
            .iter()
            .fold((first, last), |(low, high), &(start, end)| {
                (low.min(start), high.max(end))
            });
        self.0.splice(from..to, [merged]);
    }

    /// Whether a number is among them.
    pub fn contains(&self, number: u64) -> bool {
        let index = self.0.partition_point(|&(_, end)| end < number);
        self.0.get(index).is_some_and(|&(start, _)| start <= number)
    }

    /// Adds all of `other`.
    pub fn union(&mut self, other: &Self) {
        for &(first, last) in &other.0 {
            self.insert(first, last);
        }
    }

    /// Those that are not in `other`.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut left = Self::default();
        for &(first, last) in &self.0 {
            let mut next = first;
            let from = other.0.partition_point(|&(_, end)| end < first);
            for &(start, end) in &other.0[from..] {
                if start > last {
                    break;
                }
                if start > next {
                    left.0.push((next, start - 1));
                }
                let Some(after) = end.checked_add(1) else {
                    next = last;
                    break;
                };
                next = next.max(after);
            }
            let covered = other.contains(last);
            if next <= last && !covered {
                left.0.push((next, last));
            }
        }
        left
    }

    /// Those that are in `other` too.
    #[must_use]
    pub fn both(&self, other: &Self) -> Self {
        self.minus(&self.minus(other))
    }

    /// Whether all of `other` is among them.
    pub fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|&(first, last)| {
            let index = self.0.partition_point(|&(_, end)| end < first);
            self.0
                .get(index)
                .is_some_and(|&(start, end)| start <= first && last <= end)
        })
    }

    /// Its first intervals with at most so many numbers together.
    #[must_use]
    pub fn first(&self, count: u64) -> Self {
        let mut left = count;
        let mut taken = Self::default();
        for &(first, last) in &self.0 {
            if left == 0 {
                break;
            }
            let end = last.min(first.saturating_add(left - 1));
            left -= end - first + 1;
            taken.0.push((first, end));
        }
        taken
    }

    /// Appends the set: count of intervals, then each as differences.
    pub fn encode(&self, out: &mut Vec<u8>) {
        varint::put(out, self.0.len() as u64);
        let mut previous = 0;
        for &(first, last) in &self.0 {
            varint::put(out, first - previous);
            varint::put(out, last - first);
            previous = last;
        }
    }

    /// Reads what [`Self::encode`] wrote; `None` if it is cut or not in order.
    pub fn decode(input: &mut &[u8]) -> Option<Self> {
        let mut set = Self::default();
        let mut previous = 0u64;
        for _ in 0..varint::get(input)? {
            let first = previous.checked_add(varint::get(input)?)?;
            let last = first.checked_add(varint::get(input)?)?;
            set.insert(first, last);
            previous = last;
        }
        Some(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn set(numbers: &BTreeSet<u64>) -> Intervals {
        let mut set = Intervals::default();
        numbers
            .iter()
            .for_each(|number| set.insert(*number, *number));
        set
    }

    fn numbers(set: &Intervals) -> BTreeSet<u64> {
        set.iter().flat_map(|(first, last)| first..=last).collect()
    }

    #[test]
    fn counts_end_where_numbers_do() {
        assert_eq!(Intervals::run(0, u64::MAX).count(), u64::MAX);
        assert_eq!(Intervals::run(1, u64::MAX).count(), u64::MAX);
        assert_eq!(Intervals::run(3, 5).count(), 3);
    }

    proptest! {
        #[test]
        fn behaves_as_a_set(
            runs in proptest::collection::vec((0u64..60, 0u64..6), 0..12),
            one in proptest::collection::btree_set(0u64..70, 0..40),
            count in 0u64..20,
        ) {
            let mut other = Intervals::default();
            let mut model = BTreeSet::new();
            for (first, length) in runs {
                other.insert(first, first + length);
                model.extend(first..=first + length);
            }
            prop_assert_eq!(&numbers(&other), &model);
            prop_assert_eq!(&other, &set(&model));
            prop_assert_eq!(other.count(), model.len() as u64);
            prop_assert_eq!(other.last(), model.last().copied());
            let this = set(&one);
            prop_assert_eq!(numbers(&this.minus(&other)), &one - &model);
            prop_assert_eq!(numbers(&this.both(&other)), &one & &model);
            prop_assert_eq!(this.covers(&other), model.is_subset(&one));
            let mut union = this.clone();
            union.union(&other);
            prop_assert_eq!(union, set(&(&one | &model)));
            prop_assert_eq!(numbers(&other.first(count)), model.iter().copied().take(count as usize).collect());
            prop_assert!((0..70).all(|number| other.contains(number) == model.contains(&number)));
            let mut bytes = Vec::new();
            other.encode(&mut bytes);
            prop_assert_eq!(Intervals::decode(&mut bytes.as_slice()), Some(other));
        }
    }

    #[test]
    fn the_greatest_number_is_no_edge() {
        let all = Intervals::run(0, u64::MAX);
        assert_eq!(
            Intervals::run(5, u64::MAX).minus(&all),
            Intervals::default()
        );
        assert_eq!(
            Intervals::run(5, 9).minus(&Intervals::run(7, u64::MAX)),
            Intervals::run(5, 6)
        );
    }
}
