//! Bringing memory near before it is walked.
//!
//! Rows are found one after the other: where the next begins is known once the last was looked at, so a walk over
//! memory that is in no cache of the processor waits for each line of it in turn. Loads that do not depend on each
//! other are fetched ten and more at a time; touching a stretch first makes the walk several times faster where
//! the memory was far, and costs next to nothing where it was near.

use std::hint::black_box;

/// Bytes of a cache line.
const LINE_BYTES: usize = 64;

/// Has the processor fetch all of `bytes`.
#[inline]
pub fn touch(bytes: &[u8]) {
    let mut all = 0;
    for line in bytes.chunks(LINE_BYTES) {
        all ^= line[0];
    }
    black_box(all);
}
