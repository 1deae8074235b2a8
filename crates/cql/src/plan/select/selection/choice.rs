//! Keys that choose elements and slices: checked once an execution, also where there is no row, as Cassandra does.

use crate::plan::invalid;
use crate::plan::term::Term;
use crate::plan::values::{Bound, BoundValues};
use model::error::RequestError;

/// A key of `m[key]`, or an end of `m[from..to]`.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    key: Term,
    /// What is chosen from, as messages name it.
    of: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Element,
    /// An unset end leaves the slice open.
    Slice,
}

impl Choice {
    pub(super) fn element(key: &Term, of: &str) -> Self {
        Self {
            key: key.clone(),
            of: of.to_owned(),
            kind: Kind::Element,
        }
    }

    pub(super) fn slice(end: &Term, of: &str) -> Self {
        Self {
            key: end.clone(),
            of: of.to_owned(),
            kind: Kind::Slice,
        }
    }

    /// Fails if the key is null, or is an element's and unset.
    pub(super) fn check(&self, values: &BoundValues<'_>) -> Result<(), RequestError> {
        let noun = match self.kind {
            Kind::Element => "element",
            Kind::Slice => "slice",
        };
        let wrong = match self.key.evaluate(values)? {
            Bound::Value(_) => return Ok(()),
            Bound::Unset if self.kind == Kind::Slice => return Ok(()),
            Bound::Unset => "unset",
            Bound::Null => "null",
        };
        Err(invalid(format!(
            "Invalid {wrong} value for {noun} selection on {}",
            self.of
        )))
    }
}
