//! Operations in flight, by number. A number is never used again, so a late answer cannot meet another operation.

/// Values by number; constant time, no hashing.
#[derive(Debug)]
pub struct Slab<T> {
    slots: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
    /// What the numbers of new places begin with.
    generation: u32,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            generation: 0,
        }
    }
}

impl<T> Slab<T> {
    /// One whose numbers begin with `generation`: if each start of a process takes another, an answer that was meant for an earlier
    /// one meets no operation of this one.
    pub fn beginning_with(generation: u32) -> Self {
        Self {
            generation,
            ..Self::default()
        }
    }

    /// Keeps a value under a new number.
    pub fn insert(&mut self, value: T) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push((self.generation, None));
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        assert!(slot.1.is_none(), "a free slot is empty");
        slot.1 = Some(value);
        u64::from(slot.0) << 32 | u64::from(index)
    }

    /// The value under a number, while it is there.
    pub fn get(&self, number: u64) -> Option<&T> {
        let slot = self.slots.get(number as u32 as usize)?;
        if slot.0 == (number >> 32) as u32 {
            slot.1.as_ref()
        } else {
            None
        }
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let slot = self.slots.get_mut(number as u32 as usize)?;
        if slot.0 == (number >> 32) as u32 {
            slot.1.as_mut()
        } else {
            None
        }
    }

    /// Puts another value under a number that is in use.
    pub fn replace(&mut self, number: u64, value: T) {
        *self.get_mut(number).expect("the number is in use") = value;
    }

    /// Takes the value under a number out.
    pub fn remove(&mut self, number: u64) -> Option<T> {
        let slot = self.slots.get_mut(number as u32 as usize)?;
        if slot.0 != (number >> 32) as u32 {
            return None;
        }
        let value = slot.1.take()?;
        slot.0 = slot.0.wrapping_add(1);
        self.free.push(number as u32);
        Some(value)
    }

    /// Numbers of the values that satisfy a test.
    pub fn select(&self, mut test: impl FnMut(&T) -> bool) -> Vec<u64> {
        let matching = |(index, (generation, value)): (usize, &(u32, Option<T>))| {
            value
                .as_ref()
                .filter(|value| test(value))
                .map(|_| u64::from(*generation) << 32 | index as u64)
        };
        self.slots.iter().enumerate().filter_map(matching).collect()
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_not_used_again() {
        let mut slab = Slab::default();
        let first = slab.insert('a');
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.insert('b');
        assert_ne!(first, second);
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.select(|value| *value == 'b'), [second]);
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn starts_do_not_share_numbers() {
        let mut before = Slab::beginning_with(7);
        let mut after = Slab::beginning_with(8);
        let number = before.insert('a');
        after.insert('b');
        assert_eq!(before.get_mut(number), Some(&mut 'a'));
        assert_eq!(after.get_mut(number), None, "it belongs to another start");
    }
}
