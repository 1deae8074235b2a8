//! Where in a segment mutations with ids stand: stretches of a quarter of a MiB, each with the set of its ids. A mutation is found by
//! reading its stretch; ids that come in order cost nothing but the end of an interval.

use crate::held::Held;
use model::track::{IdSet, MutationId};

/// A stretch ends with the record that reaches this length.
const STRETCH_BYTES: u32 = 256 << 10;

/// Records that are read at once.
#[derive(Debug, Clone)]
pub(crate) struct Stretch {
    /// Offset of its first record.
    pub from: u32,
    /// Offset behind its last.
    pub to: u32,
    /// Ids in it.
    pub ids: IdSet,
}

/// The ids of a segment.
#[derive(Debug, Clone, Default)]
pub(crate) struct SegmentIndex {
    stretches: Vec<Stretch>,
}

impl SegmentIndex {
    /// A mutation stands from one offset to another, behind all that were noted before.
    pub(crate) fn note(&mut self, id: MutationId, from: u32, to: u32) {
        let open = self.stretches.last_mut();
        match open.filter(|stretch| stretch.to - stretch.from < STRETCH_BYTES) {
            Some(stretch) => {
                stretch.to = to;
                stretch.ids.insert(id);
            }
            None => {
                let mut ids = IdSet::default();
                ids.insert(id);
                self.stretches.push(Stretch { from, to, ids });
            }
        }
    }

    /// Whether all its ids are in a set, or of logs that are forgotten.
    pub(super) fn is_within(&self, set: &IdSet, held: &Held) -> bool {
        let mut stretches = self.stretches.iter();
        stretches.all(|stretch| {
            let mut logs = stretch.ids.logs();
            logs.all(|(log, sequences)| {
                let in_set = set.of(log).is_some_and(|own| own.covers(sequences));
                in_set || held.is_forgotten(log)
            })
        })
    }

    /// All its ids.
    pub(super) fn ids(&self) -> IdSet {
        let mut ids = IdSet::default();
        let stretches = self.stretches.iter();
        stretches.for_each(|stretch| ids.union(&stretch.ids));
        ids
    }

    /// The first stretch below an offset that has some of these ids, as far as it is below it.
    pub(super) fn find(&self, wanted: &IdSet, below: u32) -> Option<Stretch> {
        let mut stretches = self.stretches.iter();
        let found = stretches
            .find(|stretch| stretch.from < below && !stretch.ids.both(wanted).is_empty())?;
        Some(Stretch {
            to: found.to.min(below),
            ..found.clone()
        })
    }
}
