//! Values of a measure in buckets, taken out of a shard to be put together with those of others.

use super::{BUCKETS, last_of, percentile};

/// How many values lie in which bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    buckets: Vec<u64>,
    max: u64,
    /// All values there ever were; those in the buckets are of the last minutes.
    pub count: u64,
}

impl Default for Distribution {
    fn default() -> Self {
        Self {
            buckets: vec![0; BUCKETS],
            max: 0,
            count: 0,
        }
    }
}

impl Distribution {
    pub(super) fn new(buckets: &[u32; BUCKETS], max: u64, count: u64) -> Self {
        Self {
            buckets: buckets.iter().map(|count| u64::from(*count)).collect(),
            max,
            count,
        }
    }

    /// Adds another's values.
    pub fn add(&mut self, other: &Self) {
        for (bucket, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket += more;
        }
        self.max = self.max.max(other.max);
        self.count += other.count;
    }

    /// Whether there were no values lately.
    pub fn is_empty(&self) -> bool {
        self.buckets.iter().all(|count| *count == 0)
    }

    /// The value below which this part of the values of the last minutes lies, 0 if there were none.
    pub fn percentile(&self, part: f64) -> f64 {
        percentile(&self.buckets, self.max, part)
    }

    /// The smallest, as far as the buckets tell.
    pub fn min(&self) -> f64 {
        let first = self.buckets.iter().position(|count| *count > 0);
        match first {
            None | Some(0) => 0.0,
            Some(first) => (last_of(first - 1) + 1).min(self.max) as f64,
        }
    }

    /// The largest.
    pub fn max(&self) -> f64 {
        self.max as f64
    }

    /// The mean of the last minutes' values, as far as the buckets tell.
    pub fn mean(&self) -> f64 {
        let mut sum = 0.0;
        let mut count = 0;
        for (index, values) in self.buckets.iter().enumerate() {
            sum += *values as f64 * last_of(index).min(self.max) as f64;
            count += values;
        }
        if count == 0 { 0.0 } else { sum / count as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::bucket_of;

    fn of(values: &[u64]) -> Distribution {
        let mut buckets = [0; BUCKETS];
        for value in values {
            buckets[bucket_of(*value)] += 1;
        }
        let max = values.iter().copied().max().unwrap_or(0);
        Distribution::new(&buckets, max, values.len() as u64)
    }

    #[test]
    fn what_is_put_together_is_as_if_it_had_been_one() {
        let (left, right) = (of(&[1, 5, 9_000]), of(&[2, 2, 2, 700]));
        let mut sum = left.clone();
        sum.add(&right);
        assert_eq!(sum, of(&[1, 5, 9_000, 2, 2, 2, 700]));
        assert_eq!((sum.min(), sum.max()), (1.0, 9_000.0));
        assert_eq!(sum.percentile(0.5), 2.0);
        assert_eq!(sum.percentile(1.0), 9_000.0);
    }

    #[test]
    fn nothing_has_no_percentiles() {
        let nothing = Distribution::default();
        assert!(nothing.is_empty());
        assert_eq!(
            (nothing.min(), nothing.percentile(0.99), nothing.mean()),
            (0.0, 0.0, 0.0)
        );
    }
}
