//! An ordered list of small values: leaves of up to [`LEAF`] entries under an array of their first entries.
//!
//! What orders the entries is the caller's, because it needs the arena. Finding is two binary searches, the upper one
//! in an array that stays in the processor's cache; appending at the end is one comparison. Entries never move between
//! finding a place and inserting there.

use std::cmp::Ordering;

/// Most entries of a leaf.
const LEAF: usize = 128;

/// A place in the list: at an entry, or one past the last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    leaf: usize,
    index: usize,
}

/// The list.
#[derive(Debug, Clone)]
pub(crate) struct Leaves<T> {
    leaves: Vec<Vec<T>>,
    firsts: Vec<T>,
    len: usize,
}

impl<T> Default for Leaves<T> {
    fn default() -> Self {
        Self {
            leaves: Vec::new(),
            firsts: Vec::new(),
            len: 0,
        }
    }
}

impl<T: Copy> Leaves<T> {
    /// Bytes of heap, about.
    pub(crate) fn bytes(&self) -> usize {
        // Leaves are two thirds full on average when entries come in random order.
        self.len * size_of::<T>() * 3 / 2
            + self.leaves.len() * (size_of::<Vec<T>>() + size_of::<T>())
    }

    /// Finds the entry that `compare` (of an entry with what is sought) calls equal: `Err` is where it belongs.
    pub(crate) fn find(&self, mut compare: impl FnMut(&T) -> Ordering) -> Result<Place, Place> {
        let Some(last) = self.leaves.last() else {
            return Err(Place { leaf: 0, index: 0 });
        };
        if compare(last.last().expect("leaves are not empty")) == Ordering::Less {
            return Err(self.end());
        }
        let leaf = self
            .firsts
            .partition_point(|first| compare(first) != Ordering::Greater)
            .saturating_sub(1);
        let index = self.leaves[leaf].binary_search_by(compare);
        match index {
            Ok(index) => Ok(Place { leaf, index }),
            Err(index) => Err(Place { leaf, index }),
        }
    }

    /// [`Self::find`] among entries that are ordered by a number first and spread evenly over it, as tokens are: looks
    /// where the entry should be and around it, because each step of a binary search through a leaf waits for memory.
    pub(crate) fn find_spread(
        &self,
        sought: i64,
        number: impl Fn(&T) -> i64,
        mut compare: impl FnMut(&T) -> Ordering,
    ) -> Result<Place, Place> {
        let after = self.firsts.partition_point(|first| number(first) < sought);
        // Entries of one number may begin in the leaf before, and go on over several.
        let one_number = self
            .firsts
            .get(after)
            .is_some_and(|first| number(first) == sought);
        let Some(leaf) = after.checked_sub(1).filter(|_| !one_number) else {
            return self.find(compare);
        };
        let entries = &self.leaves[leaf];
        let first = number(&self.firsts[leaf]);
        let next = self.firsts.get(after).map_or(i64::MAX, number);
        let share = |number: i64| u128::from(number.abs_diff(first));
        let guess = share(sought) * entries.len() as u128 / share(next).max(1);
        let index = search_from(entries, guess as usize, &mut compare);
        match index {
            Ok(index) => Ok(Place { leaf, index }),
            Err(index) => Err(Place { leaf, index }),
        }
    }

    /// [`Self::find`], fast where the entry is at `near` or a little behind it: input that comes in order is found by a few
    /// comparisons with entries that were just looked at.
    pub(crate) fn find_near(
        &self,
        near: Place,
        mut compare: impl FnMut(&T) -> Ordering,
    ) -> Result<Place, Place> {
        for leaf in [near.leaf, near.leaf + 1] {
            let begins = self.firsts.get(leaf).map(&mut compare);
            if begins.is_none_or(|order| order == Ordering::Greater) {
                break;
            }
            let next = self.firsts.get(leaf + 1).map(&mut compare);
            if next.is_none_or(|order| order == Ordering::Greater) {
                let guess = if leaf == near.leaf { near.index } else { 0 };
                let index = search_from(&self.leaves[leaf], guess, &mut compare);
                return index
                    .map(|index| Place { leaf, index })
                    .map_err(|index| Place { leaf, index });
            }
        }
        self.find(compare)
    }

    /// Entries in it.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// All entries, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.leaves.iter().flatten()
    }

    /// One past the last entry.
    pub(crate) fn end(&self) -> Place {
        match self.leaves.last() {
            Some(last) => Place {
                leaf: self.leaves.len() - 1,
                index: last.len(),
            },
            None => Place { leaf: 0, index: 0 },
        }
    }

    /// Puts an entry where [`Self::find`] said it belongs.
    pub(crate) fn insert(&mut self, place: Place, entry: T) {
        self.len += 1;
        let Some(leaf) = self.leaves.get_mut(place.leaf) else {
            self.leaves.push(vec![entry]);
            self.firsts.push(entry);
            return;
        };
        if leaf.len() == LEAF {
            let append = place.leaf + 1 == self.firsts.len() && place.index == LEAF;
            // Ascending input fills leaves; anything else splits them in the middle.
            let upper = if append {
                Vec::with_capacity(LEAF)
            } else {
                leaf.split_off(LEAF / 2)
            };
            let lower = leaf.len();
            self.leaves.insert(place.leaf + 1, upper);
            self.firsts.insert(
                place.leaf + 1,
                *self.leaves[place.leaf + 1].first().unwrap_or(&entry),
            );
            let place = if place.index > lower || append {
                Place {
                    leaf: place.leaf + 1,
                    index: place.index - lower,
                }
            } else {
                place
            };
            self.put(place, entry);
        } else {
            self.put(place, entry);
        }
    }

    fn put(&mut self, place: Place, entry: T) {
        self.leaves[place.leaf].insert(place.index, entry);
        if place.index == 0 {
            self.firsts[place.leaf] = entry;
        }
    }

    /// The entry at a place, unless it is past the last.
    pub(crate) fn get(&self, place: Place) -> Option<&T> {
        let leaf = self.leaves.get(place.leaf)?;
        match leaf.get(place.index) {
            Some(entry) => Some(entry),
            None => self.leaves.get(place.leaf + 1)?.first(),
        }
    }

    /// The entry at a place that [`Self::find`] found.
    pub(crate) fn get_mut(&mut self, place: Place) -> &mut T {
        &mut self.leaves[place.leaf][place.index]
    }

    /// Entries from a place on, ascending.
    pub(crate) fn from(&self, place: Place) -> impl Iterator<Item = &T> {
        let first = self
            .leaves
            .get(place.leaf)
            .map_or(&[][..], |leaf| &leaf[place.index..]);
        first
            .iter()
            .chain(self.leaves.iter().skip(place.leaf + 1).flatten())
    }

    /// Appends up to `most` entries from a place on, ascending, while they are `below` an end; returns the first that
    /// is below it and was left out. Asks about few entries: their keys are elsewhere in memory.
    pub(crate) fn take_below(
        &self,
        place: Place,
        most: usize,
        mut below: impl FnMut(&T) -> bool,
        out: &mut Vec<T>,
    ) -> Option<&T> {
        let mut left = most;
        let mut start = place.index;
        for leaf in self.leaves.iter().skip(place.leaf) {
            let rest = &leaf[start..];
            start = 0;
            let run = &rest[..rest.len().min(left)];
            let all = run.last().is_none_or(&mut below);
            let taken = if all {
                run.len()
            } else {
                run.partition_point(&mut below)
            };
            out.extend_from_slice(&run[..taken]);
            left -= taken;
            if !all {
                return None;
            }
            if let Some(next) = rest.get(taken) {
                return below(next).then_some(next);
            }
        }
        None
    }

    /// Entries below a place, descending.
    pub(crate) fn before(&self, place: Place) -> impl Iterator<Item = &T> {
        let first = self
            .leaves
            .get(place.leaf)
            .map_or(&[][..], |leaf| &leaf[..place.index]);
        first.iter().rev().chain(
            self.leaves[..place.leaf.min(self.leaves.len())]
                .iter()
                .rev()
                .flat_map(|leaf| leaf.iter().rev()),
        )
    }
}

/// A binary search that begins near `guess` and widens: as [`slice::binary_search_by`], whatever the guess.
fn search_from<T>(
    entries: &[T],
    guess: usize,
    compare: &mut impl FnMut(&T) -> Ordering,
) -> Result<usize, usize> {
    let (mut low, mut high) = (0, entries.len());
    let mut reach = 4;
    let mut at = guess.min(high.saturating_sub(1));
    while low < high {
        match compare(&entries[at]) {
            Ordering::Equal => return Ok(at),
            Ordering::Less => low = at + 1,
            Ordering::Greater => high = at,
        }
        // Towards what is left of the range, further each time; halves it where that is less.
        let middle = low.midpoint(high);
        at = if low > at {
            (at + reach).min(middle)
        } else {
            at.saturating_sub(reach).max(middle)
        };
        reach *= 2;
    }
    Err(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_as_an_ordered_set(values in proptest::collection::vec(0u32..2000, 0..1500), ascending: bool, probe in 0u32..2000, end in 0u32..2000, most in 1usize..400, leaf in 0usize..40) {
            let mut values = values;
            if ascending {
                values.sort_unstable();
            }
            let mut list = Leaves::default();
            let mut model = BTreeSet::new();
            for value in values {
                match list.find(|entry: &u32| entry.cmp(&value)) {
                    Ok(place) => prop_assert_eq!(*list.get_mut(place), value),
                    Err(place) => list.insert(place, value),
                }
                model.insert(value);
            }
            prop_assert_eq!(list.len, model.len());
            let (Ok(place) | Err(place)) = list.find(|entry| entry.cmp(&probe));
            // Several entries share a number.
            let number = |value: &u32| i64::from(value / 3);
            let spread = list.find_spread(number(&probe), number, |entry| entry.cmp(&probe));
            prop_assert_eq!(spread.is_ok(), model.contains(&probe));
            let (Ok(spread) | Err(spread)) = spread;
            prop_assert_eq!(spread, place);
            prop_assert_eq!(list.get(place), model.range(probe..).next());
            for near in [place, Place { leaf, index: most }, list.end()] {
                prop_assert_eq!(list.find_near(near, |entry| entry.cmp(&probe)), list.find(|entry| entry.cmp(&probe)));
            }
            prop_assert!(list.from(place).eq(model.range(probe..)));
            prop_assert!(list.before(place).eq(model.range(..probe).rev()));
            let mut taken = Vec::new();
            let left_out = list.take_below(place, most, |entry| *entry < end, &mut taken);
            let mut wanted = model.range(probe..end.max(probe));
            prop_assert!(taken.iter().eq(wanted.by_ref().take(most)));
            prop_assert_eq!(left_out, wanted.next());
        }
    }
}
