//! One at a time per partition: what reads a partition and then writes it (conditional statements, counters, list
//! elements by index) waits its turn instead of racing, so contention queues and never livelocks.
//!
//! - At most one operation holds a partition.
//! - Operations get it in the order in which they asked.

use model::key::DecoratedKey;
use model::schema::TableId;
use std::collections::{BTreeMap, VecDeque};

/// A partition of a table.
pub type Partition = (TableId, DecoratedKey);

/// Who holds partitions and who waits for them. `T` names an operation.
#[derive(Debug)]
pub struct PartitionQueue<T> {
    held: BTreeMap<Partition, VecDeque<T>>,
    waiting: usize,
}

impl<T> Default for PartitionQueue<T> {
    fn default() -> Self {
        Self {
            held: BTreeMap::new(),
            waiting: 0,
        }
    }
}

impl<T> PartitionQueue<T> {
    /// Asks for a partition. Returns the operation if it holds it now; otherwise it is kept and waits.
    pub fn acquire(&mut self, partition: Partition, operation: T) -> Option<T> {
        match self.held.entry(partition) {
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(VecDeque::new());
                Some(operation)
            }
            std::collections::btree_map::Entry::Occupied(mut queue) => {
                queue.get_mut().push_back(operation);
                self.waiting += 1;
                None
            }
        }
    }

    /// Gives a partition back. Returns the operation that holds it next.
    pub fn release(&mut self, partition: &Partition) -> Option<T> {
        let queue = self
            .held
            .get_mut(partition)
            .expect("only a holder releases");
        let next = queue.pop_front();
        match next {
            Some(_) => self.waiting -= 1,
            None => {
                self.held.remove(partition);
            }
        }
        next
    }

    /// Operations that wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_in_order_and_partitions_do_not_mix() {
        let table = TableId(uuid::Uuid::nil());
        let one = (table, DecoratedKey::new(*b"one"));
        let other = (table, DecoratedKey::new(*b"other"));
        let mut queue = PartitionQueue::default();
        assert_eq!(queue.acquire(one.clone(), 1), Some(1));
        assert_eq!(queue.acquire(one.clone(), 2), None);
        assert_eq!(queue.acquire(other.clone(), 3), Some(3));
        assert_eq!(queue.acquire(one.clone(), 4), None);
        assert_eq!(queue.waiting(), 2);
        assert_eq!(queue.release(&one), Some(2));
        assert_eq!(queue.release(&other), None);
        assert_eq!(queue.release(&one), Some(4));
        assert_eq!(queue.release(&one), None);
        assert_eq!(queue.acquire(one, 5), Some(5));
    }
}
